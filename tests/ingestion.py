"""What stands where Application Insights takes in telemetry, for tests that look at what is sent."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

Item = Mapping[str, Any]

SOON = 60
"""Seconds within which what was sent has come, on a machine that does much else."""


class Ingestion:
    """A component of Application Insights that takes whatever comes."""

    def __init__(self, port: int) -> None:
        self.items: list[Item] = []
        self._port = port
        self._came = Condition()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that have a service send to it, soon."""
        key = "00000000-0000-0000-0000-000000000001"
        return {
            "PYTHON_ENABLE_OPENTELEMETRY": "true",
            "APPLICATIONINSIGHTS_CONNECTION_STRING": (
                f"InstrumentationKey={key};IngestionEndpoint=http://127.0.0.1:{self._port}/"
            ),
            "OTEL_TRACES_SAMPLER_ARG": "1000",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_BLRP_SCHEDULE_DELAY": "50",
        }

    def take(self, items: list[Item]) -> None:
        """Keep what has come."""
        with self._came:
            self.items += items
            self._came.notify_all()

    def wait(self, count: int, kind: str, fits: Callable[[Item], bool]) -> list[Mapping[str, str]]:
        """The properties of the first items of a kind that fit, once there are so many."""

        def found() -> list[Item]:
            return [one for one in self.items if one["data"]["baseType"] == kind and fits(one)]

        with self._came:
            assert self._came.wait_for(lambda: len(found()) >= count, SOON), self.items
            return [one["data"]["baseData"]["properties"] for one in found()]


@contextmanager
def ingestion() -> Iterator[Ingestion]:
    """A component on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            items = json.loads(content)
            taken.take(items)
            said = {"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}
            answer = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        taken = Ingestion(server.server_address[1])
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield taken
        finally:
            server.shutdown()
            thread.join()
