"""Blob, queue and timer triggers: each is a task that calls its function when there is cause."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import os
import re
import socket
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

import aiohttp
import azure.functions as func
from azure.functions.blob import InputStream
from azure.functions.queue import QueueMessage
from azure.functions.timer import TimerRequest
from azure.storage.blob import BlobClient as AzureBlobClient
from azure.storage.blob import BlobServiceClient
from azurefunctions.extensions.bindings.blob import BlobClient

from tools.local_host import schedule, settings
from tools.local_host.application import Function
from tools.local_host.errors import StartUpError
from tools.local_host.storage import Message, Storage

_HIDDEN_SECONDS = 600  # as long as a function may run
_CLOCK_MARGIN = timedelta(seconds=10)
_REST_FACTOR = 20  # a scan takes at most a twentieth of the time
_SAVE_SECONDS = 5.0
_SYSTEM_CONTAINER = "azure-webjobs-hosts"
_BLOB_POISON_QUEUE = "webjobs-blobtrigger-poison"
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Trigger(Protocol):
    """What fires a function until cancelled."""

    async def run(self) -> None:
        """Wait for causes and call the function, for ever."""


def make(
    functions: Iterable[Function], configuration: Mapping[str, Any], *, has_events: bool
) -> list[Trigger]:
    """The triggers of an app that are no HTTP triggers.

    Raises
    ------
    StartUpError
        A function has a trigger that this host does not know, or one that names what is not set.
    """
    return [_make(one, configuration, has_events) for one in functions if one.type != "httpTrigger"]


def _make(function: Function, configuration: Mapping[str, Any], has_events: bool) -> Trigger:
    if function.type == "timerTrigger":
        return TimerTrigger(function)
    interval = float(os.environ.get("TRIGGER_SECONDS", "0.5"))
    if function.type == "blobTrigger":
        options = settings.extension(configuration, "blobs")
        return BlobTrigger(function, options, interval=interval, has_events=has_events)
    if function.type == "queueTrigger":
        return QueueTrigger(function, settings.extension(configuration, "queues"), interval=interval)
    raise StartUpError(f"Function {function.name}: the local host has no {function.type}.")


def _account(function: Function) -> Storage:
    name = function.trigger["connection"]
    text = os.environ.get(name, "")
    if "AccountKey=" not in text:
        raise StartUpError(f"Function {function.name}: {name} must be a connection string with a key here.")
    return Storage(text)


async def deliver(events: socket.socket, triggers: Iterable[Trigger]) -> None:
    """Hand the emulator's events to the blob triggers; returns when the emulator has ended."""
    watching: dict[str, list[BlobTrigger]] = {}
    for one in triggers:
        if isinstance(one, BlobTrigger):
            watching.setdefault(one.container, []).append(one)
    reader, writer = await asyncio.open_connection(sock=events)
    try:
        while line := await reader.readline():
            created = json.loads(line)
            for trigger in watching.get(created["container"], ()):
                trigger.offer(created["name"], created["etag"].strip('"'))
    finally:
        writer.close()


async def keep_running(trigger: Trigger) -> None:
    """Run a trigger; should it end, say why."""
    try:
        await trigger.run()
    except Exception:
        _log.exception("A trigger ended")


class BlobTrigger:
    """Fires once for each blob created or changed, and again if the function failed.

    Events (`offer`) tell of blobs as they are created. A scan of the container finds what no event told: again
    and again if there is no source of events; once, at the start, if there is one. A blob's receipt is its ETag.
    How far the scans have come is kept in the storage account: a restart does not fire for every blob.
    """

    def __init__(
        self, function: Function, options: Mapping[str, Any], *, interval: float, has_events: bool
    ) -> None:
        path = settings.expand(function.trigger["path"])
        self.container, _, pattern = path.partition("/")
        self._function = function
        self._storage = _account(function)
        self._interval = interval
        self._has_events = has_events
        self._attempts = int(options.get("poisonBlobThreshold", 5))
        self._parallel = int(options.get("maxDegreeOfParallelism", 8))
        self._prefix = pattern.partition("{")[0]
        self._fits = re.compile(_blob_pattern(pattern)).fullmatch
        self._value = _blob_value(function)
        self._receipts: dict[str, str] = {}
        self._has_news = False
        self._waiting: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._state = f"blobscaninfo/{function.name}/{self.container}/scanInfo"

    def offer(self, name: str, etag: str) -> None:
        """Tell of a blob that is there; nothing happens if it is known or its name does not fit."""
        if self._receipts.get(name) != etag and self._fits(name):
            self._receipts[name] = etag
            self._has_news = True
            self._waiting.put_nowait((name, etag))

    async def run(self) -> None:
        """Scan, and call the function for what is offered."""
        async with self._storage, asyncio.TaskGroup() as tasks:
            for _ in range(self._parallel):
                tasks.create_task(self._keep_working())
            tasks.create_task(self._keep_scanning())

    async def _keep_scanning(self) -> None:
        since = await _patiently(self._saved)
        while True:
            started, clock = datetime.now(UTC), time.monotonic()
            seen = await _patiently(lambda: self._scan(since))  # noqa: B023
            rest = max(self._interval, _REST_FACTOR * (time.monotonic() - clock))
            since = await self._settle(started)
            if self._has_events:
                break
            self._receipts = {name: self._receipts[name] for name in seen if name in self._receipts}
            await asyncio.sleep(rest)
        while True:
            self._receipts.clear()
            started = datetime.now(UTC)
            await asyncio.sleep(_SAVE_SECONDS)
            await self._settle(started)

    async def _scan(self, since: datetime | None) -> list[str]:
        seen = []
        async for blob in self._storage.blobs(self.container, self._prefix):
            if since is None or blob.modified >= since:
                seen.append(blob.name)
                self.offer(blob.name, blob.etag)
        return seen

    async def _settle(self, started: datetime) -> datetime:
        """Wait until all that was offered is done; what is older than the result is done for good."""
        await self._waiting.join()
        since = started - _CLOCK_MARGIN
        if self._has_news:
            self._has_news = False
            state = json.dumps({"LatestScan": since.isoformat()}).encode()
            await _patiently(lambda: self._storage.write(_SYSTEM_CONTAINER, self._state, state))
        return since

    async def _saved(self) -> datetime | None:
        state = await self._storage.read(_SYSTEM_CONTAINER, self._state)
        return datetime.fromisoformat(json.loads(state)["LatestScan"]) if state else None

    async def _keep_working(self) -> None:
        while True:
            name, etag = await self._waiting.get()
            try:
                await _patiently(lambda: self._fire(name, etag))  # noqa: B023
            finally:
                self._waiting.task_done()

    async def _fire(self, name: str, etag: str) -> None:
        for attempt in range(self._attempts):
            if attempt and await self._storage.etag(self.container, name) != etag:
                return  # gone or changed: if changed, that is a cause of its own
            if await _succeeds(self._function, lambda: self._value(self._storage, self.container, name)):
                return
        text = json.dumps(
            {
                "Type": "BlobTrigger",
                "FunctionId": f"Host.Functions.{self._function.name}",
                "BlobType": "BlockBlob",
                "ContainerName": self.container,
                "BlobName": name,
                "ETag": f'"{etag}"',
            }
        )
        await self._storage.send(_BLOB_POISON_QUEUE, base64.b64encode(text.encode()).decode())


class QueueTrigger:
    """Fires once for each message of a queue; one that keeps failing moves to the poison queue."""

    def __init__(self, function: Function, options: Mapping[str, Any], *, interval: float) -> None:
        self._queue = settings.expand(function.trigger["queueName"])
        self._function = function
        self._storage = _account(function)
        self._interval = interval
        self._attempts = int(options.get("maxDequeueCount", 5))
        self._value = _queue_value(function)

    async def run(self) -> None:
        """Take messages and call the function."""
        async with self._storage:
            while True:
                messages = await _patiently(lambda: self._storage.receive(self._queue, _HIDDEN_SECONDS))
                await asyncio.gather(*map(self._handle, messages))
                if not messages:
                    await asyncio.sleep(self._interval)

    async def _handle(self, message: Message) -> None:
        if await _succeeds(self._function, lambda: self._value(message)):
            await _patiently(lambda: self._storage.delete(self._queue, message))
        elif message.attempts < self._attempts:
            await _patiently(lambda: self._storage.release(self._queue, message))
        else:
            await _patiently(lambda: self._storage.send(f"{self._queue}-poison", message.text))
            await _patiently(lambda: self._storage.delete(self._queue, message))


class TimerTrigger:
    """Fires at the moments of a schedule, never twice at the same time."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._at_start = bool(function.trigger.get("runOnStartup"))
        try:
            self._schedule = schedule.parse(settings.expand(function.trigger["schedule"]))
        except ValueError as error:
            raise StartUpError(f"Function {function.name}: {error}.") from error

    async def run(self) -> None:
        """Wait for the next moment and call the function."""
        if self._at_start:
            await _succeeds(self._function, _timer_value)
        while True:
            now = datetime.now(UTC)
            await asyncio.sleep((self._schedule.next(now) - now).total_seconds())
            await _succeeds(self._function, _timer_value)


async def _timer_value() -> func.TimerRequest:
    return TimerRequest(past_due=False)


async def _succeeds(function: Function, value: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await function.call(await value())
    except Exception:
        _log.exception("Function %s failed", function.name)
        return False
    return True


async def _patiently(operation: Callable[[], Awaitable[T]]) -> T:
    """Repeat an operation until the storage account answers."""
    wait = 0.5
    while True:
        try:
            return await operation()
        except (aiohttp.ClientError, TimeoutError) as error:
            _log.warning("Storage did not answer a trigger: %s", type(error).__name__)
            await asyncio.sleep(wait)
            wait = min(wait * 2, 30)


def _blob_pattern(pattern: str) -> str:
    """`{study}/{name}.dcm` as a regular expression; no pattern fits every name."""
    parts = re.split(r"(\{\w+\})", pattern)
    return "".join(".+" if part.startswith("{") else re.escape(part) for part in parts) if pattern else ".*"


BlobValue = Callable[[Storage, str, str], Awaitable[Any]]


def _blob_value(function: Function) -> BlobValue:
    """How to make the value that a blob function is annotated with."""
    if function.annotation in (bytes, str):
        return _whole_blob if function.annotation is bytes else _blob_text
    if isinstance(function.annotation, type) and issubclass(InputStream, function.annotation):
        return _blob_stream
    if function.annotation is BlobClient:
        return _blob_client(os.environ[function.trigger["connection"]])
    raise StartUpError(
        f"Function {function.name}: annotate the blob as func.InputStream, bytes, str or the extension's BlobClient."
    )


async def _whole_blob(storage: Storage, container: str, name: str) -> bytes:
    content = await storage.read(container, name)
    if content is None:
        raise FileNotFoundError(f"{container}/{name}")
    return content


async def _blob_text(storage: Storage, container: str, name: str) -> str:
    return (await _whole_blob(storage, container, name)).decode()


async def _blob_stream(storage: Storage, container: str, name: str) -> func.InputStream:
    return _LazyBlob(storage.url(container, name), f"{container}/{name}")


def _blob_client(connection_string: str) -> BlobValue:
    """The SDK's own client, as the extension makes it of the same setting; its service client is made once."""
    service = BlobServiceClient.from_connection_string(connection_string)

    async def value(storage: Storage, container: str, name: str) -> AzureBlobClient:
        return service.get_blob_client(container, name)

    return value


class _LazyBlob(InputStream):  # type: ignore[misc]
    """A blob that is fetched when first read: a function that wants its name only does not wait for it."""

    def __init__(self, url: str, name: str) -> None:
        super().__init__(data=b"", name=name, uri=url.partition("?")[0])
        self._url = url
        self._content: io.BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
        if self._content is None:
            with urllib.request.urlopen(self._url) as response:
                self._content = io.BytesIO(response.read())
        return self._content.read(size)

    read1 = read


def _queue_value(function: Function) -> Callable[[Message], Awaitable[Any]]:
    """How to make the value that a queue function is annotated with."""
    if isinstance(function.annotation, type) and issubclass(QueueMessage, function.annotation):
        return _queue_message
    raise StartUpError(f"Function {function.name}: annotate the message as func.QueueMessage.")


async def _queue_message(message: Message) -> func.QueueMessage:
    return QueueMessage(
        id=message.id, body=message.body, dequeue_count=message.attempts, pop_receipt=message.receipt
    )
