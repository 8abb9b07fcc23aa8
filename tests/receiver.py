"""A server of a test's own that stands where events go: it notes what is posted, and answers as it is told."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Posted:
    """A request as it came."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events in it."""
        found: list[dict[str, Any]] = orjson.loads(self.body)
        return found

    @property
    def sequences(self) -> list[int]:
        """Their sequence numbers."""
        return [event["data"]["sequenceNumber"] for event in self.events]


@dataclass(slots=True)
class Receiver:
    """What came; `answers` are given first, as statuses with header fields, None for a connection that breaks."""

    url: str
    posted: list[Posted] = field(default_factory=list)
    answers: list[tuple[int, Mapping[str, str]] | None] = field(default_factory=list)
    limit: int = 1 << 30

    async def take(self, request: web.Request) -> web.Response:
        """Note a request."""
        body = await request.read()
        self.posted.append(Posted(dict(request.headers), body))
        if len(body) > self.limit:
            return web.Response(status=413)
        if not self.answers:
            return web.Response()
        answer = self.answers.pop(0)
        if answer is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return web.Response(status=answer[0], headers=answer[1])


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A server on a free port."""
    receiver = Receiver("")
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    assert site._server is not None
    port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    receiver.url = f"http://127.0.0.1:{port}/in"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def is_signed(posted: Posted, secret: str, now: float, tolerance: float = 300) -> bool:
    """Verify a message as a receiver does (Standard Webhooks): a signature is by the secret, and it is new."""
    fields = {name.lower(): value for name, value in posted.headers.items()}
    if abs(now - int(fields["webhook-timestamp"])) > tolerance:
        return False
    content = b".".join([fields["webhook-id"].encode(), fields["webhook-timestamp"].encode(), posted.body])
    key = base64.b64decode(secret[len("whsec_") :])
    expected = hmac.new(key, content, hashlib.sha256).digest()
    given: Sequence[Sequence[str]] = [one.split(",", 1) for one in fields["webhook-signature"].split(" ")]
    return any(
        version == "v1" and hmac.compare_digest(base64.b64decode(signature), expected)
        for version, signature in given
    )
