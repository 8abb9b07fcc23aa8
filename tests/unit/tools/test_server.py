"""What is told of the HTTP server's errors."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tools.local_host import server
from tools.local_host.host import HttpHost

CANCELLED = (asyncio.CancelledError, asyncio.CancelledError(), None)
FAILED = (OSError, OSError(), None)


@pytest.mark.parametrize(
    ("message", "error", "stopping", "told"),
    [
        ("Cancel %s running task(s), timeout graceful shutdown exceeded", None, True, False),
        ("Exception in ASGI application", CANCELLED, True, False),
        ("Exception in ASGI application", CANCELLED, False, True),
        ("Exception in ASGI application", FAILED, True, True),
        ("ASGI callable returned without starting response.", None, True, True),
    ],
)
def test_errors_told(message: str, error: Any, stopping: bool, told: bool) -> None:
    """Requests that a stop breaks off are no errors; all others are told, also during a stop."""
    made = server.make(HttpHost([], ""))
    made.should_exit = stopping
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, message, (2,), error)

    logger = logging.getLogger("uvicorn.error")
    try:
        assert bool(logger.filter(record)) is told
    finally:
        logger.removeFilter(made.is_told)
