"""The HTTP server: that of the worker, which stops when it is told to, and breaks requests off without complaint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from tools.local_host.host import HttpHost

_GRACE_SECONDS = 3
"""For requests to finish once the service is to stop."""

_log = logging.getLogger("uvicorn.error")


class Server(uvicorn.Server):
    """The worker's HTTP server, with the signals left to us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def is_told(self, record: logging.LogRecord) -> bool:
        """Whether to tell what the server logs: of a request that a stop breaks off, at INFO only."""
        if self.should_exit and _is_of_cancellation(record):
            record.levelno, record.levelname = logging.INFO, "INFO"
        return _log.isEnabledFor(record.levelno)


def make(host: HttpHost) -> Server:
    """The worker's server, less what costs time and says nothing here: its logs, its trust in proxies."""
    server = Server(
        uvicorn.Config(
            host,
            interface="asgi3",
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )
    _log.addFilter(server.is_told)
    return server


def _is_of_cancellation(record: logging.LogRecord) -> bool:
    if record.exc_info:
        return isinstance(record.exc_info[1], asyncio.CancelledError)
    return str(record.msg).startswith("Cancel ")
