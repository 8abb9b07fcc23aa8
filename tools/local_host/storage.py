"""The few operations of Blob and Queue Storage that triggers need."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from urllib.parse import quote
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import aiohttp
from azure.storage.blob import generate_account_sas
from yarl import URL

_PAGE = 1000  # a larger page keeps the emulator from everyone else for too long
_VERSION = {"x-ms-version": "2021-12-02"}
_TIMEOUT = aiohttp.ClientTimeout(total=60)
_parsed_date = lru_cache(4096)(parsedate_to_datetime)


@dataclass(frozen=True, slots=True)
class Blob:
    """What a container's list tells of a blob."""

    name: str
    etag: str
    modified: datetime


@dataclass(frozen=True, slots=True)
class Message:
    """A message of a queue, hidden from others until handled."""

    id: str
    receipt: str
    text: str
    attempts: int

    @property
    def body(self) -> bytes:
        """The content: base64 is what senders of the Functions host use by default."""
        try:
            return base64.b64decode(self.text, validate=True)
        except ValueError:
            return self.text.encode()


class Storage:
    """A storage account known by a connection string; a context manager, for it keeps connections."""

    def __init__(self, connection_string: str) -> None:
        parts = dict(item.split("=", 1) for item in connection_string.split(";") if "=" in item)
        self._blob_url = _endpoint(parts, "blob")
        self._queue_url = _endpoint(parts, "queue")
        self._signature = generate_account_sas(
            parts["AccountName"],
            parts["AccountKey"],
            resource_types="sco",
            permission="rwdlacup",
            expiry=datetime.now(UTC) + timedelta(days=3650),
            services="bq",
        )
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Storage:
        self._session = aiohttp.ClientSession(timeout=_TIMEOUT, headers=_VERSION)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def blobs(self, container: str, prefix: str) -> AsyncIterator[Blob]:
        """Every blob whose name begins with the prefix; none if there is no such container."""
        marker = ""
        while True:
            query = f"restype=container&comp=list&maxresults={_PAGE}&prefix={quote(prefix)}"
            if marker:
                query += f"&marker={quote(marker)}"
            async with self._request("GET", f"{self._blob_url}/{container}?{query}") as response:
                if response.status == 404:
                    return
                page = ElementTree.fromstring(await _content(response))
            for blob in page.iter("Blob"):
                yield Blob(
                    name=blob.findtext("Name", ""),
                    etag=blob.findtext("Properties/Etag", "").strip('"'),
                    modified=_parsed_date(blob.findtext("Properties/Last-Modified", "")),
                )
            marker = page.findtext("NextMarker") or ""
            if not marker:
                return

    def url(self, container: str, name: str) -> str:
        """Where a blob can be read without further rights."""
        return f"{self._blob_url}/{container}/{quote(name)}?{self._signature}"

    async def read(self, container: str, name: str) -> bytes | None:
        """A blob's content; None if there is no such blob."""
        async with self._request("GET", f"{self._blob_url}/{container}/{quote(name)}") as response:
            return None if response.status == 404 else await _content(response)

    async def etag(self, container: str, name: str) -> str | None:
        """A blob's ETag; None if there is no such blob."""
        async with self._request("HEAD", f"{self._blob_url}/{container}/{quote(name)}") as response:
            return response.headers.get("etag", "").strip('"') if response.status == 200 else None

    async def write(self, container: str, name: str, content: bytes) -> None:
        """Create or replace a blob, and its container."""
        async with self._request("PUT", f"{self._blob_url}/{container}?restype=container"):
            pass
        headers = {"x-ms-blob-type": "BlockBlob"}
        url = f"{self._blob_url}/{container}/{quote(name)}"
        async with self._request("PUT", url, content, headers) as response:
            await _content(response)

    async def send(self, queue: str, text: str) -> None:
        """Append a message to a queue, which is created if need be."""
        async with self._request("PUT", f"{self._queue_url}/{queue}"):
            pass
        async with self._request(
            "POST", f"{self._queue_url}/{queue}/messages", _message_body(text)
        ) as response:
            await _content(response)

    async def receive(self, queue: str, hidden_seconds: int) -> list[Message]:
        """The next messages; none if there is no such queue."""
        query = f"numofmessages=16&visibilitytimeout={hidden_seconds}"
        async with self._request("GET", f"{self._queue_url}/{queue}/messages?{query}") as response:
            if response.status == 404:
                return []
            page = ElementTree.fromstring(await _content(response))
        return [
            Message(
                id=one.findtext("MessageId", ""),
                receipt=one.findtext("PopReceipt", ""),
                text=one.findtext("MessageText", ""),
                attempts=int(one.findtext("DequeueCount", "1")),
            )
            for one in page.iter("QueueMessage")
        ]

    async def delete(self, queue: str, message: Message) -> None:
        """Remove a message that was handled."""
        async with self._request("DELETE", self._message_url(queue, message)):
            pass

    async def release(self, queue: str, message: Message) -> None:
        """Show a message again at once."""
        url = f"{self._message_url(queue, message)}&visibilitytimeout=0"
        async with self._request("PUT", url, _message_body(message.text)):
            pass

    def _message_url(self, queue: str, message: Message) -> str:
        return f"{self._queue_url}/{queue}/messages/{message.id}?popreceipt={quote(message.receipt, safe='')}"

    def _request(
        self, method: str, url: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        signed = URL(f"{url}{'&' if '?' in url else '?'}{self._signature}", encoded=True)
        return self._session.request(method, signed, data=body, headers=headers)


def _message_body(text: str) -> bytes:
    return f"<QueueMessage><MessageText>{escape(text)}</MessageText></QueueMessage>".encode()


def _endpoint(parts: dict[str, str], service: str) -> str:
    default = (
        f"{parts.get('DefaultEndpointsProtocol', 'https')}://{parts['AccountName']}.{service}."
        f"{parts.get('EndpointSuffix', 'core.windows.net')}"
    )
    return parts.get(f"{service.capitalize()}Endpoint", default).rstrip("/")


async def _content(response: aiohttp.ClientResponse) -> bytes:
    response.raise_for_status()
    return await response.read()
