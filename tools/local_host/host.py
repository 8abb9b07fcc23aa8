"""HTTP triggers: an ASGI application that stands where the Functions host and its worker stand in Azure."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from azurefunctions.extensions.http.fastapi import PlainTextResponse, Request, Response

from tools.local_host.application import Function
from tools.local_host.errors import StartUpError
from tools.local_host.routes import Table, compile_route, decoded_path

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEY = "local"  # the function key and master key of this host
_KEY_HEADER = b"x-functions-key"
_RESERVED = ("admin", "runtime")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Endpoint:
    name: str
    call: Callable[[Any], Awaitable[Any]]
    needs_key: bool


class HttpHost:
    """Hands each request to the function whose route fits.

    As in Azure a request that fits no route, or one with another verb, is answered by an empty 404; one
    without the key that its function asks for by an empty 401; one whose function raises by a 500 that says
    nothing of the inside.
    """

    def __init__(self, functions: Iterable[Function], prefix: str) -> None:
        self._routes = Table(_route(one, prefix) for one in functions if one.type == "httpTrigger")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (the ASGI interface)."""
        raw_path = scope["raw_path"]
        path = decoded_path(raw_path) if b"%" in raw_path else scope["path"]
        found = self._routes.find(scope["method"], path)
        if found is None:
            await _empty(404, send)
            return
        endpoint, values = found
        if endpoint.needs_key and not _has_key(scope):
            await _empty(401, send)
            return
        scope["path_params"] = values
        try:
            response = await endpoint.call(Request(scope, receive))
            if not isinstance(response, Response):
                raise TypeError(f"it returned {type(response).__name__}, which is no response")
        except Exception:
            _log.exception("Function %s failed", endpoint.name)
            response = PlainTextResponse("Internal Server Error", status_code=500)
        await response(scope, receive, send)


def _route(function: Function, prefix: str) -> Any:
    trigger = function.trigger
    template = trigger.get("route") or function.name
    methods = [str(getattr(method, "value", method)) for method in trigger.get("methods") or ()]
    level = trigger.get("authLevel") or "function"
    needs_key = str(getattr(level, "value", level)).lower() != "anonymous"
    endpoint = _Endpoint(function.name, function.call, needs_key)
    try:
        route = compile_route(template, endpoint, methods, prefix)
    except ValueError as error:
        raise StartUpError(f"Function {function.name}: {error}.") from error
    if route.template.lower().startswith(_RESERVED):
        raise StartUpError(f"Function {function.name}: the route {route.template!r} is reserved by the host.")
    return route


def _has_key(scope: Scope) -> bool:
    keys = [value.decode("latin-1") for name, value in scope["headers"] if name == _KEY_HEADER]
    return KEY in (keys or parse_qs(scope["query_string"].decode("latin-1")).get("code", []))


async def _empty(status: int, send: Send) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
