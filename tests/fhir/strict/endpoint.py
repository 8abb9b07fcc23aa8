"""The endpoint: requests by HTTP, one after the other, in a thread of this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl

import orjson
from aiohttp import web

from tests.fhir.client import FHIR_JSON
from tests.fhir.strict import references
from tests.fhir.strict.faults import CarryOut, Faults, Message, Reply
from tests.fhir.strict.interactions import Asked, Done, carry_out
from tests.fhir.strict.outcome import Refused
from tests.fhir.strict.search import Query
from tests.fhir.strict.store import Store
from tests.fhir.strict.transactions import process

FORM = "application/x-www-form-urlencoded"
METADATA = {
    "resourceType": "CapabilityStatement",
    "status": "active",
    "date": "2026-01-01",
    "kind": "instance",
    "fhirVersion": "4.0.1",
    "format": ["json"],
    "rest": [{"mode": "server"}],
}


@dataclass(slots=True)
class Endpoint:
    """A running endpoint: where it is, what it keeps, and what goes wrong there."""

    url: str
    store: Store = field(default_factory=Store)
    faults: Faults = field(default_factory=Faults)

    def clear(self) -> None:
        """Begin anew: no resources, no faults."""
        self.store.adopt(Store())
        self.faults.clear()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, unless a fault is planned."""
        content = await request.read()
        message = Message(request.method, request.path_qs, dict(request.headers), content)
        self.faults.requests.append(message)
        fault = self.faults.plan(len(self.faults.requests), message)
        do = self._carrying_out(request, content)
        reply = await fault(do, self.store) if fault else do()
        if reply.status is None:
            assert request.transport is not None
            request.transport.abort()
        body = None if reply.body is None else orjson.dumps(reply.body)
        return web.Response(status=reply.status or 500, body=body, headers=reply.headers)

    def _carrying_out(self, request: web.Request, content: bytes) -> CarryOut:
        def do() -> Reply:
            try:
                return self._answer(request, content)
            except Refused as error:
                return Reply(error.status, error.outcome, {"Content-Type": FHIR_JSON})

        return do

    def _answer(self, request: web.Request, content: bytes) -> Reply:
        steps = tuple(request.path.removeprefix("/fhir").strip("/").split("/"))
        whole = "return=representation" in request.headers.get("Prefer", "")
        shown = {"Content-Type": FHIR_JSON}
        if steps == ("metadata",):
            return Reply(200, METADATA, shown)
        query: Query = parse_qsl(request.query_string, keep_blank_values=True)
        method, resource = request.method, None
        if method == "POST" and steps[1:] == ("_search",):
            query = [*query, *parse_qsl(_form(request, content), keep_blank_values=True)]
            method, steps = "GET", steps[:1]
        elif method in ("POST", "PUT"):
            resource = _resource(request, content)
        if steps == ("",):
            if method != "POST":
                raise Refused(405, "not-supported", "only bundles go to the base")
            return Reply(200, process(self.store, self.url, resource, whole), shown)
        condition = request.headers.get("If-None-Exist")
        asked = Asked(
            method,
            steps,
            query,
            resource,
            request.headers.get("If-Match"),
            None if condition is None else parse_qsl(condition, keep_blank_values=True),
        )
        trial = self.store.trial()
        done = carry_out(trial, self.url, asked)
        if method != "GET":
            references.check(trial, [done])
        self.store.adopt(trial)
        return self._reply(done, whole or method == "GET")

    def _reply(self, done: Done, whole: bool) -> Reply:
        headers: dict[str, str] = {}
        if done.version:
            moment = datetime.fromisoformat(done.version.moment)
            headers = {"ETag": done.version.tag, "Last-Modified": format_datetime(moment, usegmt=True)}
        if done.status == 201:
            headers["Location"] = f"{self.url}/{done.location}"
        if done.content is None or not whole:
            return Reply(done.status, None, headers)
        return Reply(done.status, done.content, {**headers, "Content-Type": FHIR_JSON})


def _resource(request: web.Request, content: bytes) -> Any:
    if request.content_type != FHIR_JSON:
        raise Refused(415, "not-supported", f"resources are {FHIR_JSON}")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise Refused(400, "structure", "the payload is no JSON") from None


def _form(request: web.Request, content: bytes) -> str:
    if request.content_type != FORM:
        raise Refused(415, "not-supported", f"searches are {FORM}")
    return content.decode()


@contextmanager
def served() -> Iterator[Endpoint]:
    """A running endpoint on a free port, in a thread; it is stopped at the end."""
    ready, loop, endpoint = threading.Event(), asyncio.new_event_loop(), Endpoint("")
    stop = asyncio.Event()

    async def serve() -> None:
        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", endpoint.handle)
        runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/fhir"
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10), "the endpoint did not start"
        yield endpoint
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
