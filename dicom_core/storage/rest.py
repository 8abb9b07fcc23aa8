"""The one HTTP client for an Azure Storage account: sign, send, retry, count.

Beside the SDK, not on it: one SDK call costs five to six times the CPU of the same request sent bare, and the
number of storage requests times their cost is the speed of this service (docs/decisions/0003-storage-client.md).
Identity still comes from azure-identity; Shared Key Lite is for Azurite only, whose key is public.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum
from types import MappingProxyType
from typing import Protocol
from urllib.parse import quote

import aiohttp
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError
from yarl import URL

from dicom_core.errors import StorageUnavailable

API_VERSION = "2021-12-02"
"""The service version asked for; the first that this client relies on is 2020-12-06 (Entra ID for tables)."""

ATTEMPTS = 5
_RETRIED_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 8.0
_SCOPE = "https://storage.azure.com/.default"
_TOKEN_MARGIN = 300.0
_AT_ONCE = 1 << 20
_READ_BUFFER = 1 << 18
_NOTHING: Mapping[str, str] = MappingProxyType({})
_SIGNED = (
    "Content-Encoding",
    "Content-Language",
    "Content-Length",
    "Content-MD5",
    "Content-Type",
    "Date",
    "If-Modified-Since",
    "If-Match",
    "If-None-Match",
    "If-Unmodified-Since",
    "Range",
)
_OWN_HEADERS = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})


class Kind(StrEnum):
    """What a storage request is billed as."""

    TABLE = "table"
    BLOB_WRITE = "blob_write"
    BLOB_READ = "blob_read"
    BLOB_LIST = "blob_list"
    BLOB_DELETE = "blob_delete"
    QUEUE = "queue"


tally: ContextVar[Counter[Kind]] = ContextVar("tally")
"""Where the requests of the current transaction are counted, if anywhere."""

waits: ContextVar[list[float]] = ContextVar("waits")
"""Where the seconds are noted until an answer to each of them began, if anywhere."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole response of the storage service."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> str:
        """The service's error code; never its message, which may name keys."""
        return self.headers.get("x-ms-error-code", f"status {self.status}")


class Signer(Protocol):
    """Adds what proves who is asking."""

    async def sign(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str]) -> None:
        """Add header fields to a request that is otherwise complete."""


class SharedKey:
    """Signs with an account key: Shared Key for blobs and queues, Shared Key Lite for tables."""

    def __init__(self, account: str, key: str, *, table: bool) -> None:
        self._account = account
        self._key = base64.b64decode(key)
        self._sign = self._table if table else self._blob

    async def sign(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str]) -> None:
        """Add Authorization (learn.microsoft.com, Authorize with Shared Key)."""
        scheme, text = self._sign(method, f"/{self._account}{path}", query, headers)
        signature = base64.b64encode(hmac.digest(self._key, text.encode(), hashlib.sha256)).decode()
        headers["Authorization"] = f"{scheme} {self._account}:{signature}"

    @staticmethod
    def _table(
        method: str, resource: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, str]:
        return "SharedKeyLite", f"{headers['x-ms-date']}\n{resource}"

    @staticmethod
    def _blob(
        method: str, resource: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> tuple[str, str]:
        standard = "\n".join(headers.get(name, "") for name in _SIGNED)
        standard = standard.replace(
            "\n0\n", "\n\n", 1
        )  # a Content-Length of 0 is signed as if it were missing
        own = "".join(
            f"{name.lower()}:{headers[name]}\n" for name in sorted(headers) if name.startswith("x-ms-")
        )
        asked = "".join(f"\n{name}:{query[name]}" for name in sorted(query))
        return "SharedKey", f"{method}\n{standard}\n{own}{resource}{asked}"


class Bearer:
    """Signs with a token of Microsoft Entra ID, fetched again before it expires."""

    def __init__(self, credential: AsyncTokenCredential) -> None:
        self._credential = credential
        self._token = ""
        self._expires = 0.0
        self._lock = asyncio.Lock()

    async def sign(self, method: str, path: str, query: Mapping[str, str], headers: dict[str, str]) -> None:
        """Add Authorization with the current token."""
        if time.time() > self._expires - _TOKEN_MARGIN:
            async with self._lock:
                if time.time() > self._expires - _TOKEN_MARGIN:
                    try:
                        token = await self._credential.get_token(_SCOPE)
                    except AzureError as error:
                        raise StorageUnavailable(f"no token for storage ({type(error).__name__})") from error
                    self._token, self._expires = token.token, float(token.expires_on)
        headers["Authorization"] = f"Bearer {self._token}"


class Client:
    """Sends requests to one endpoint (the blob, the table or the queue service of one account)."""

    def __init__(self, endpoint: str, signer: Signer) -> None:
        url = URL(endpoint)
        self.endpoint = endpoint.rstrip("/")
        self._origin = str(url.origin())
        self._base = url.raw_path.rstrip("/")
        self._signer = signer
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self,
        kind: Kind,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = _NOTHING,
        headers: Mapping[str, str] = _NOTHING,
        body: Sequence[bytes] = (),
    ) -> Reply:
        """Send one request and read its whole response.

        Parameters
        ----------
        path
            Below the endpoint, beginning with a slash, percent-encoded.
        body
            Pieces that are sent in order; kept for the retries.

        Raises
        ------
        StorageUnavailable
            No final answer after `ATTEMPTS` attempts. The request may or may not have been carried out.
        """
        reason = ""
        for _ in range(ATTEMPTS):
            response = await self._begin(kind, method, path, query, headers, body)
            try:
                return Reply(response.status, response.headers, await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = type(error).__name__
            finally:
                response.release()
        raise StorageUnavailable(f"storage broke off {ATTEMPTS} answers ({reason})")

    async def stream(
        self,
        kind: Kind,
        path: str,
        start: int,
        end: int | None,
        missing: Exception,
        *,
        headers: Mapping[str, str] = _NOTHING,
    ) -> AsyncIterator[bytes]:
        """Begin to read a range of bytes; returns when the first of them may be read.

        A connection that breaks is taken up again where it broke. What is read must never change (blobs of this
        service do not), unless the headers have an If-Match.

        Raises
        ------
        StorageUnavailable
            As `send`.
        Exception
            `missing`, if there is no such path, or it does not meet a condition in the headers.
        """
        response = await self._range(kind, path, start, end, missing, headers)
        return _Stream(response, self._resumed(response, kind, path, start, end, missing, headers))

    async def close(self) -> None:
        """Close the connections; the client may be used again."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _resumed(
        self,
        response: aiohttp.ClientResponse,
        kind: Kind,
        path: str,
        start: int,
        end: int | None,
        missing: Exception,
        headers: Mapping[str, str],
    ) -> AsyncGenerator[bytes, None]:
        attempts = ATTEMPTS
        try:
            while True:
                try:
                    async for chunk in response.content.iter_any():
                        start += len(chunk)
                        yield chunk
                    return
                except (aiohttp.ClientError, TimeoutError) as error:
                    attempts -= 1
                    if not attempts:
                        raise StorageUnavailable(
                            f"storage broke off a read ({type(error).__name__})"
                        ) from error
                response.close()
                response = await self._range(kind, path, start, end, missing, headers)
        finally:
            response.close()

    async def _range(
        self,
        kind: Kind,
        path: str,
        start: int,
        end: int | None,
        missing: Exception,
        extra: Mapping[str, str],
    ) -> aiohttp.ClientResponse:
        headers = dict(extra)
        if start or end is not None:
            headers["x-ms-range"] = f"bytes={start}-{'' if end is None else end - 1}"
        response = await self._begin(kind, "GET", path, _NOTHING, headers, ())
        if response.status in (200, 206):
            return response
        code = response.headers.get("x-ms-error-code", f"status {response.status}")
        response.close()
        if response.status in (404, 412):
            raise missing
        raise StorageUnavailable(f"storage refused a read ({code})")

    async def _begin(
        self,
        kind: Kind,
        method: str,
        path: str,
        query: Mapping[str, str],
        extra: Mapping[str, str],
        body: Sequence[bytes],
    ) -> aiohttp.ClientResponse:
        """Send until there is a response that a further attempt would not change."""
        path = self._base + path
        asked = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        url = URL(f"{self._origin}{path}?{asked}" if asked else f"{self._origin}{path}", encoded=True)
        length = sum(map(len, body))
        counts, waited = tally.get(None), waits.get(None)
        reason = ""
        for attempt in range(ATTEMPTS):
            headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": API_VERSION, **extra}
            if method in ("PUT", "POST"):
                headers["Content-Length"] = str(length)
            await self._signer.sign(method, path, query, headers)
            if counts is not None:
                counts[kind] += 1
            started = time.perf_counter()
            delay = min(_FIRST_DELAY * 2**attempt, _LONGEST_DELAY) * random.uniform(0.8, 1.2)
            try:
                response = await self._open().request(
                    method, url, headers=headers, data=_payload(body, length)
                )
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                reason = type(error).__name__
            else:
                if waited is not None:
                    waited.append(time.perf_counter() - started)
                if response.status not in _RETRIED_STATUS:
                    return response
                reason = response.headers.get("x-ms-error-code", f"status {response.status}")
                after = response.headers.get("Retry-After", "")
                delay = max(delay, float(after)) if after.isdigit() else delay
                response.close()
            if attempt < ATTEMPTS - 1:
                await asyncio.sleep(min(delay, _LONGEST_DELAY))
        raise StorageUnavailable(f"storage did not answer after {ATTEMPTS} attempts ({reason})")

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=256, keepalive_timeout=30, ttl_dns_cache=300),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                read_bufsize=_READ_BUFFER,
                skip_auto_headers=_OWN_HEADERS,
            )
        return self._session


class _Stream(AsyncIterator[bytes]):
    """Bytes on their way; closed, the connection is given up, whether or not any have been read."""

    __slots__ = ("_bytes", "_response")

    def __init__(self, response: aiohttp.ClientResponse, content: AsyncGenerator[bytes, None]) -> None:
        self._response = response
        self._bytes = content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._bytes

    async def __anext__(self) -> bytes:
        return await anext(self._bytes)

    async def aclose(self) -> None:
        await self._bytes.aclose()
        self._response.close()


def _payload(body: Sequence[bytes], length: int) -> bytes | AsyncIterator[bytes] | None:
    """What aiohttp sends: small bodies joined, large ones piece by piece."""
    if not body:
        return None
    if length <= _AT_ONCE:
        return body[0] if len(body) == 1 else b"".join(body)
    return _pieces(body)


async def _pieces(body: Sequence[bytes]) -> AsyncIterator[bytes]:
    for piece in body:
        yield piece
