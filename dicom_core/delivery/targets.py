"""Subscribers that send each change as an event: to a topic of Event Grid, a webhook, or a queue.

The events of a study leave one batch after the other, in their order; those of other studies meanwhile.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError

from dicom_core.delivery import events, signing
from dicom_core.delivery.events import Event, Writer
from dicom_core.delivery.posting import Poster, TooLarge
from dicom_core.delivery.subscribing import DeliveryError, Unavailable
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Stores
from dicom_core.storage.queues import Queue
from dicom_core.subscriptions import VAULT_REFERENCE
from dicom_core.tasks import Task

TOPIC_SCOPE = "https://eventgrid.azure.net/.default"
TOPIC_BATCH = (1000, 1_000_000)
WEBHOOK_BATCH = (100, 250_000)
"""Events and bytes of a batch: a topic takes 1 MB, and a webhook may be a small program."""

MOST = 5_000
"""Changes that one delivery reads; what is left of a large study is the next."""

_ENOUGH = 60.0
"""Seconds after which a delivery leaves what is left to the next; with one time-out, less than its patience."""

_CLOUD_BATCH = "application/cloudevents-batch+json; charset=utf-8"
_JSON = "application/json; charset=utf-8"


class Sender(Protocol):
    """What takes the events of one target."""

    @property
    def limits(self) -> tuple[int, int]:
        """Events and bytes of a batch."""

    async def send(self, batch: Sequence[Event]) -> None:
        """Send a batch; raises `DeliveryError`."""

    async def close(self) -> None:
        """Close its connections."""


class EventSubscriber:
    """Sends changes as events; a new one begins with what follows."""

    settle = 0.0
    from_beginning = False

    def __init__(self, name: str, sender: Sender, write: Writer, source: str) -> None:
        self.name = name
        self._sender = sender
        self._write = write
        self._source = source

    async def deliver(self, task: Task, stores: Stores) -> int | None:
        """Send the changes of a task; those that were taken before something fails are not sent again."""
        changes = await stores.feed.of_study(task.partition, task.study, task.first, task.last, MOST)
        found = [self._write(change, self._source) for change in changes]
        ends = time.monotonic() + _ENOUGH
        reached = None
        for batch in events.batches(found, *self._sender.limits):
            if reached is not None and time.monotonic() > ends:
                return reached
            try:
                await self._sender.send(batch)
            except DeliveryError:
                if reached is None:
                    raise
                return reached
            reached = batch[-1].sequence
        return reached if len(changes) == MOST else None

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.close()


class Topic:
    """A custom topic of Event Grid, which knows the service by its identity."""

    limits = TOPIC_BATCH

    def __init__(self, url: str, credential: AsyncTokenCredential, *, cloud: bool) -> None:
        self._poster = Poster(url)
        self._credential = credential
        self._type = _CLOUD_BATCH if cloud else _JSON

    async def send(self, batch: Sequence[Event]) -> None:
        """Post a batch."""
        try:
            token = await self._credential.get_token(TOPIC_SCOPE)
        except AzureError as error:
            raise Unavailable(f"no token ({type(error).__name__})") from None
        headers = {"Content-Type": self._type, "Authorization": f"Bearer {token.token}"}
        await _in_halves(batch, lambda part: self._poster.post(events.array(part), headers))

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()


class Webhook:
    """A URL that takes signed batches (CloudEvents HTTP binding 3.3, Standard Webhooks)."""

    limits = WEBHOOK_BATCH

    def __init__(self, url: str, name: str, secrets: Sequence[str], *, cloud: bool) -> None:
        self._poster = Poster(url)
        self._name = name
        self._secrets = secrets
        self._fields = (
            {"Content-Type": _CLOUD_BATCH}
            if cloud
            else {"Content-Type": _JSON, "aeg-event-type": "Notification"}
        )

    async def send(self, batch: Sequence[Event]) -> None:
        """Post a batch; each time it is signed anew, so that receivers can refuse what is old."""
        if any(secret.startswith(VAULT_REFERENCE) for secret in self._secrets):
            raise Unavailable("DicomEventSecret refers to a secret that the platform cannot read")

        async def post(part: Sequence[Event]) -> None:
            body = events.array(part)
            message = f"{self._name}_{part[0].id}_{len(part)}"
            signed = signing.headers(self._secrets, message, int(time.time()), body)
            await self._poster.post(body, {**self._fields, **signed})

        await _in_halves(batch, post)

    async def close(self) -> None:
        """Close the connections."""
        await self._poster.close()


class QueueSender:
    """A queue of the storage account: a message for each event, in base64 as queue triggers expect it."""

    limits = (1, 64 << 10)

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def send(self, batch: Sequence[Event]) -> None:
        """Put messages."""
        for event in batch:
            try:
                await self._queue.put(base64.b64encode(event.content).decode())
            except StorageUnavailable as error:
                raise Unavailable(str(error)) from error

    async def close(self) -> None:
        """Close the connections."""
        await self._queue.close()


async def _in_halves(batch: Sequence[Event], post: Callable[[Sequence[Event]], Awaitable[None]]) -> None:
    """Post a batch, in halves if it is too large for the target."""
    try:
        await post(batch)
    except TooLarge:
        if len(batch) == 1:
            raise
        middle = len(batch) // 2
        await _in_halves(batch[:middle], post)
        await _in_halves(batch[middle:], post)
