"""Between the Functions host and the transactions: messages, errors and CORS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from urllib.parse import parse_qsl

from azurefunctions.extensions.http.fastapi import Request as HttpRequest
from azurefunctions.extensions.http.fastapi import Response as HttpResponse
from azurefunctions.extensions.http.fastapi import StreamingResponse
from starlette.requests import ClientDisconnect

from dicom_core import resources
from dicom_core.audit import Line, Tracing
from dicom_core.errors import BadRequest, PayloadTooLarge, ResourceNotFound, TransactionError
from dicom_core.guard import Guard
from dicom_core.ports import Stores
from dicom_core.settings import Settings
from dicom_core.web import compression
from dicom_core.web.messages import Request, Response

Transaction = Callable[[Request, Stores], Awaitable[Response]]
"""What this module calls: a transaction of the Studies Service."""

VERSIONS = ("1", "2")
"""The versions of the managed service's API that paths may begin with."""

AT_ONCE = 1 << 20
"""Bodies of at most as many bytes are sent as a whole: a stream costs more than it saves."""


MAX_FIELDS, MAX_FIELD_BYTES = 100, 64 << 10
"""Header fields of a request, and bytes of all of them; the host takes less, but it is not always in between."""

MAX_QUERY, MAX_PARAMETERS = 64 << 10, 4000
"""Bytes of a query, and parameters in it."""

PATIENCE = 220.0
"""Seconds until an answer begins, from when the last bytes of the payload came: the platform waits for 230."""

_UIDS = frozenset({"study", "series", "instance", "version"})
_FAULT = b"something went wrong inside of the service; it has been logged"
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_COMMON = {
    "api-supported-versions": ", ".join(f"v{version}" for version in VERSIONS),
    "X-Content-Type-Options": "nosniff",
    "Vary": "Accept, Accept-Encoding",
    "Cache-Control": "private, no-cache",  # what is kept is asked for again: what was replaced or deleted is not shown
}
_CORS = {
    "Access-Control-Expose-Headers": "*, Authorization, Content-Length, Content-Location, Content-Range, "
    "Content-Type, ETag, Location, Retry-After, WWW-Authenticate, Warning",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Accept, Authorization, Cache-Control, Content-Type, If-None-Match, Range, "
    "X-Requested-With",
    "Access-Control-Max-Age": "86400",
}


class Responder:
    """Answers the requests of the host by way of the transactions."""

    def __init__(
        self,
        settings: Settings,
        stores: Callable[[], Awaitable[Stores]],
        guard: Guard,
        tracing: Tracing | None = None,
    ) -> None:
        self._settings = settings
        self._stores = stores
        self._guard = guard
        self._tracing = tracing

    async def __call__(self, http: HttpRequest, transaction: Transaction) -> HttpResponse:
        """Carry out a transaction; whatever goes wrong becomes an answer."""
        line = Line(http.method, name_of(transaction), self._tracing)
        deadline = asyncio.timeout(PATIENCE)
        try:
            async with deadline:
                response = await self._answer(http, transaction, line, deadline)
        except TransactionError as error:
            response = Response(error.status, {**_TEXT, **error.headers}, str(error).encode())
        except Exception as error:
            line.exception(error)
            response = _late() if deadline.expired() else Response(500, _TEXT, _FAULT)
        headers = {**_COMMON, **self._cors(http), **response.headers}
        if isinstance(response.body, bytes):
            line.end(response.status, len(response.body))
            return HttpResponse(response.body, response.status, headers)
        return StreamingResponse(line.through(response.status, response.body), response.status, headers)

    async def unknown(self, http: HttpRequest) -> HttpResponse:
        """Answer that there is no such resource; the host's own answer could not be read by a page."""
        return await self(http, unknown)

    async def options(self, http: HttpRequest, transaction: Transaction) -> HttpResponse:
        """Carry out a transaction, or tell a browser if a page of another origin may ask (fetch.spec.whatwg.org)."""
        if "access-control-request-method" not in http.headers:
            return await self(http, transaction)
        return HttpResponse(b"", 204, {**_COMMON, **self._cors(http), **_PREFLIGHT})

    async def _answer(
        self, http: HttpRequest, transaction: Transaction, line: Line, deadline: asyncio.Timeout
    ) -> Response:
        """What a transaction answers, as far as it begins."""
        line.caller = await self._guard.admit(line.name, http.headers.getlist("authorization"))
        request = self._request(http, deadline)
        line.resource = request.resource
        response = await transaction(request, await self._stores())
        line.about = response.about
        if line.has_taken_long and not isinstance(response.body, bytes) and await http.is_disconnected():
            response = Response(499)  # no one reads it: what it would cost to encode is saved
        response = await _begun(compression.compressed(response, request.headers))
        return await _without_body(response) if http.method == "HEAD" else response

    def _request(self, http: HttpRequest, deadline: asyncio.Timeout) -> Request:
        variables = http.path_params
        version = variables.get("version", VERSIONS[-1])
        if version not in VERSIONS:
            raise ResourceNotFound(f"there is no version {version} of this service; there are v1 and v2")
        headers = _fields(http.scope["headers"])
        query = http.scope["query_string"].decode("latin-1")
        return Request(
            method=http.method,
            resource=resources.parse(variables),
            base_url=f"{public_url(self._settings, headers, http.scope['scheme'])}/v{version}",
            version=int(version),
            headers=headers,
            parameters=self._parameters(query) if query else (),
            variables={name: value for name, value in variables.items() if name not in _UIDS},
            body=self._body(http, headers, deadline),
        )

    def _parameters(self, query: str) -> tuple[tuple[str, str], ...]:
        """The query's pairs, without the key, which was for the host."""
        if len(query) > MAX_QUERY:
            raise BadRequest(f"the query has more than {MAX_QUERY} bytes")
        if query.count("&") >= MAX_PARAMETERS:
            raise BadRequest(f"the query has more than {MAX_PARAMETERS} parameters")
        pairs = parse_qsl(query, keep_blank_values=True)
        if self._settings.authentication.by_key:
            pairs = [(name, value) for name, value in pairs if name != "code"]
        return tuple(pairs)

    async def _body(
        self, http: HttpRequest, headers: Mapping[str, str], deadline: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        """The request's payload, chunk by chunk, up to the limit; with each, there is time again."""
        limit = self._settings.body_limit
        too_large = PayloadTooLarge(
            f"the payload is larger than {limit} bytes, the most this service takes at once"
        )
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            raise too_large
        received = 0
        try:
            async for chunk in http.stream():
                received += len(chunk)
                if received > limit:
                    raise too_large
                if not deadline.expired():
                    deadline.reschedule(asyncio.get_running_loop().time() + PATIENCE)
                if chunk:
                    yield chunk
        except ClientDisconnect:
            raise BadRequest(f"the user agent went away after {received} bytes of the payload") from None

    def _cors(self, http: HttpRequest) -> dict[str, str]:
        allowed = self._settings.cors_origins
        origin = http.headers.get("origin")
        if "*" in allowed:
            return {"Access-Control-Allow-Origin": "*", **_CORS}
        if origin is not None and origin in allowed:
            return {"Access-Control-Allow-Origin": origin, "Vary": f"{_COMMON['Vary']}, Origin", **_CORS}
        return {"Vary": f"{_COMMON['Vary']}, Origin"} if allowed else {}


def _fields(raw: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """The header fields by lower-case name."""
    if len(raw) > MAX_FIELDS or sum(len(name) + len(value) for name, value in raw) > MAX_FIELD_BYTES:
        raise BadRequest(f"the header has more than {MAX_FIELDS} fields, or than {MAX_FIELD_BYTES} bytes")
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def _late() -> Response:
    text = f"there is no answer after {PATIENCE:.0f} seconds; what was asked for may have been done"
    return Response(503, {**_TEXT, "Retry-After": "5"}, text.encode())


async def unknown(request: Request, stores: Stores) -> Response:
    """Carry out what is no transaction."""
    raise ResourceNotFound("there is no such resource")


def name_of(transaction: Transaction) -> str:
    """The module and the name of a transaction, as rules and the log have it."""
    return f"{transaction.__module__.rpartition('.')[2]}.{transaction.__name__}"


async def _begun(response: Response) -> Response:
    """Take the beginning of a body, or all of one that is small, so that what fails there is still an answer."""
    if isinstance(response.body, bytes):
        return response
    taken: list[bytes] = []
    size = 0
    async for chunk in response.body:
        taken.append(chunk)
        size += len(chunk)
        if size > AT_ONCE:
            return replace(response, body=_continued(taken, response.body))
    return replace(response, body=taken[0] if len(taken) == 1 else b"".join(taken))


async def _without_body(response: Response) -> Response:
    """What a HEAD is answered: the header fields of the GET, as far as they are known (RFC 9110 9.3.2)."""
    if isinstance(response.body, bytes):
        length = str(len(response.body)) if response.status not in (204, 304) else ""
    else:
        length = response.headers.get("Content-Length", "")
        async for _ in response.body:  # a body must have begun before it can be closed
            break
        if isinstance(response.body, AsyncGenerator):
            await response.body.aclose()
    fields = {**response.headers, "Content-Length": length} if length else response.headers
    return replace(response, headers=fields, body=b"")


async def _continued(taken: list[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    while taken:
        yield taken.pop(0)
    async for chunk in rest:
        yield chunk


def public_url(settings: Settings, headers: Mapping[str, str], scheme: str) -> str:
    """What the service's URLs begin with: the setting, what a proxy says, or the name the platform gave.

    `Host` counts only with its port, or where nothing else is known: some clients leave the port out.
    """
    if settings.public_url is not None:
        return settings.public_url
    host = headers.get("host", "")
    named = host if ":" in host else settings.site or host or "localhost"
    forwarded = headers.get("x-forwarded-host", "").split(",")[0].strip()
    protocol = headers.get("x-forwarded-proto", "").split(",")[0].strip()
    if protocol not in ("http", "https"):
        protocol = scheme if ":" in named or settings.site is None else "https"
    return f"{protocol}://{forwarded or named}{headers.get('x-forwarded-prefix', '').rstrip('/')}"
