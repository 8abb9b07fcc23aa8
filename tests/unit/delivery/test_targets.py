"""Topics and webhooks get what they understand, and what they answer is taken for what it is."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from email.utils import formatdate
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from dicom_core.changes import Change
from dicom_core.delivery import events, posting, targets
from dicom_core.delivery.posting import Poster
from dicom_core.delivery.running import Run
from dicom_core.delivery.subscribing import DeliveryError, Failed, Refused, Unavailable
from dicom_core.delivery.targets import EventSubscriber, Topic, Webhook
from dicom_core.storage.memory import MemoryFeed
from dicom_core.tasks import Load, Task
from tests.delivering import START, World
from tests.receiver import Receiver, is_signed, receiving

SECRET = "whsec_" + "c2VjcmV0LW9mLXRoaXJ0eS10d28tYnl0ZXMtYXQtbGVhc3Q="
OTHER = "whsec_" + "YW5vdGhlci1zZWNyZXQtb2YtdGhpcnR5LXR3by1ieXRlcyE="
SOURCE = "https://dicom.example.org"


class Credential:
    """An identity."""

    def __init__(self, error: Exception | None = None) -> None:
        self.scopes: list[str] = []
        self._error = error

    async def get_token(self, *scopes: str, **how: Any) -> AccessToken:
        """A token of the scopes."""
        self.scopes += scopes
        if self._error:
            raise self._error
        return AccessToken("t0k3n", int(time.time()) + 3600)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Where events go."""
    async with receiving() as each:
        yield each


@pytest.fixture
def world() -> World:
    """Five changes of a study."""
    each = World()
    each.change("1.2", "1.2", "1.2", "1.2", "1.2")
    return each


def task(first: int = 1, last: int = 5) -> Task:
    """Changes of that study."""
    return Task("p", "1.2", first=first, last=last, since=START, due=START)


def webhook(receiver: Receiver, *secrets: str, cloud: bool = True) -> EventSubscriber:
    """A webhook at the receiver."""
    sender = Webhook(f"{receiver.url}?code=hidden", "webhook-1", secrets, cloud=cloud)
    write = events.cloud_event if cloud else events.delivered_event_grid_event
    return EventSubscriber("webhook-1", sender, write, SOURCE)


async def test_topic_gets_cloud_events(receiver: Receiver, world: World) -> None:
    """In one batch, by a token for Event Grid."""
    credential = Credential()
    subscriber = EventSubscriber("t", Topic(receiver.url, credential, cloud=True), events.cloud_event, SOURCE)

    assert await subscriber.deliver(task(2, 4), world.stores) is None
    await subscriber.close()

    (posted,) = receiver.posted
    assert posted.sequences == [2, 3, 4]
    assert posted.headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert posted.headers["Authorization"] == "Bearer t0k3n"
    assert credential.scopes == ["https://eventgrid.azure.net/.default"]


async def test_topic_gets_events_of_its_schema(receiver: Receiver, world: World) -> None:
    """As plain JSON."""
    topic = Topic(receiver.url, Credential(), cloud=False)
    subscriber = EventSubscriber("t", topic, events.event_grid_event, SOURCE)

    await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    assert receiver.posted[0].headers["Content-Type"] == "application/json; charset=utf-8"
    assert receiver.posted[0].events[0]["eventType"] == "Microsoft.HealthcareApis.DicomImageCreated"


async def test_identity_without_a_token(receiver: Receiver, world: World) -> None:
    """Without a token nothing is sent, and the subscriber waits."""
    topic = Topic(receiver.url, Credential(ClientAuthenticationError("secret text")), cloud=True)
    subscriber = EventSubscriber("t", topic, events.cloud_event, SOURCE)

    with pytest.raises(Unavailable, match=r"no token \(ClientAuthenticationError\)"):
        await subscriber.deliver(task(), world.stores)

    assert receiver.posted == []


async def test_webhook_is_signed(receiver: Receiver, world: World) -> None:
    """By every secret, so that a receiver takes it whichever of them it knows; not by others."""
    subscriber = webhook(receiver, SECRET, OTHER)

    await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    (posted,) = receiver.posted
    now = time.time()
    assert is_signed(posted, SECRET, now)
    assert is_signed(posted, OTHER, now)
    assert not is_signed(posted, "whsec_" + "A" * 44, now)
    assert not is_signed(posted, SECRET, now + 1000)
    assert posted.headers["Content-Type"] == "application/cloudevents-batch+json; charset=utf-8"


async def test_large_task_is_delivered_in_parts(
    receiver: Receiver, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery reads no more than so many changes; all of them arrive, in their order, each once."""
    monkeypatch.setattr(targets, "MOST", 2)
    asked: list[int] = []
    of_study = MemoryFeed.of_study

    async def counted(self: MemoryFeed, *of: Any) -> list[Change]:
        found = await of_study(self, *of)
        asked.append(len(found))
        return found

    monkeypatch.setattr(MemoryFeed, "of_study", counted)
    world.change("1.3", "1.2")
    subscriber = webhook(receiver)
    subscriber.from_beginning = True
    stores, until = world.stores, world.clock.time + timedelta(seconds=120)

    await Run(subscriber, stores, until, world.clock).carry_out(7)
    await subscriber.close()

    assert [posted.sequences for posted in receiver.posted if posted.sequences != [6]] == [
        [1, 2],
        [3, 4],
        [5, 7],
    ]
    assert max(asked) == 2
    assert await world.deliveries.load(subscriber.name) == Load(0, 0)


async def test_webhook_without_a_secret(receiver: Receiver, world: World) -> None:
    """It is sent without a signature."""
    subscriber = webhook(receiver)

    await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    assert "webhook-signature" not in receiver.posted[0].headers
    assert receiver.posted[0].sequences == [1, 2, 3, 4, 5]


async def test_webhook_of_event_grid_schema(receiver: Receiver, world: World) -> None:
    """It looks as if Event Grid had sent it."""
    subscriber = webhook(receiver, SECRET, cloud=False)

    await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    assert receiver.posted[0].headers["aeg-event-type"] == "Notification"
    assert receiver.posted[0].events[0]["topic"] == SOURCE


async def test_secret_that_cannot_be_read(receiver: Receiver, world: World) -> None:
    """Nothing is sent with a reference for a secret."""
    subscriber = webhook(receiver, "@Microsoft.KeyVault(VaultName=v;SecretName=s)")

    with pytest.raises(Unavailable, match="DicomEventSecret"):
        await subscriber.deliver(task(), world.stores)

    assert receiver.posted == []


async def test_repeated_batch_is_known_by_its_name(receiver: Receiver, world: World) -> None:
    """A batch that is sent again has the same name and the same events, so that it can be dropped."""
    subscriber = webhook(receiver, SECRET)
    receiver.answers = [(500, {})]
    with pytest.raises(Failed):
        await subscriber.deliver(task(), world.stores)

    await subscriber.deliver(task(), world.stores)
    await subscriber.deliver(task(1, 4), world.stores)
    await subscriber.close()

    first, second, other = receiver.posted
    assert first.headers["webhook-id"] == second.headers["webhook-id"] != other.headers["webhook-id"]
    assert first.body == second.body


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *(
            (status, Unavailable)
            for status in (301, 302, 307, 308, 401, 403, 404, 408, 410, 429, 502, 503, 504)
        ),
        *((status, Refused) for status in (400, 406, 409, 415, 422)),
        *((status, Failed) for status in (500, 501)),
    ],
)
async def test_answer_is_taken_for_what_it_is(
    receiver: Receiver, world: World, status: int, outcome: type[DeliveryError]
) -> None:
    """A fault of what was sent is told from one of the target; redirections are not followed."""
    subscriber = webhook(receiver)
    receiver.answers = [(status, {"Location": receiver.url})]

    with pytest.raises(outcome, match=f"^status {status}$"):
        await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    assert len(receiver.posted) == 1


@pytest.mark.parametrize(("field", "asked"), [("7", 7), ("soon", None), ("", None)])
def test_retry_after(field: str, asked: float | None) -> None:
    """Seconds, or nothing that can be read (RFC 9110 10.2.3)."""
    assert posting.seconds(field) == asked


def test_retry_after_date() -> None:
    """A date counts from now (RFC 9110 10.2.3)."""
    asked = posting.seconds(formatdate(time.time() + 3000, usegmt=True))

    assert asked is not None
    assert 2900 <= asked <= 3000


async def test_target_asks_for_patience(receiver: Receiver, world: World) -> None:
    """Retry-After is passed on."""
    subscriber = webhook(receiver)
    receiver.answers = [(429, {"Retry-After": "17"})]

    with pytest.raises(Unavailable) as caught:
        await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    assert caught.value.retry_after == 17


async def test_connection_that_breaks(
    receiver: Receiver, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The target is unavailable; its URL, which may hold a secret, is said nowhere."""
    caplog.set_level(logging.DEBUG)
    subscriber = webhook(receiver, SECRET)
    receiver.answers = [None]

    with pytest.raises(Unavailable) as caught:
        await subscriber.deliver(task(), world.stores)
    await subscriber.close()

    assert "no answer" in str(caught.value)
    assert "hidden" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


async def test_no_one_listens(world: World) -> None:
    """A host without a server is unavailable."""
    async with receiving() as gone:
        url = gone.url
    poster = Poster(url)

    with pytest.raises(Unavailable):
        await poster.post(b"", {})
    await poster.close()


async def test_target_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for so long and no longer."""
    monkeypatch.setattr(posting, "TIMEOUT", 0.05)
    over = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    poster = Poster(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")

    with pytest.raises(Unavailable, match="Timeout"):
        await poster.post(b"", {})

    over.set()
    await poster.close()
    server.close()


async def test_batch_that_is_too_large_is_cut(receiver: Receiver, world: World) -> None:
    """In halves, down to one event; all arrive, in order."""
    subscriber = webhook(receiver, SECRET)
    receiver.limit = 1500

    assert await subscriber.deliver(task(), world.stores) is None
    await subscriber.close()

    taken = [posted for posted in receiver.posted if len(posted.body) <= receiver.limit]
    assert [sequence for posted in taken for sequence in posted.sequences] == [1, 2, 3, 4, 5]
    assert len({posted.headers["webhook-id"] for posted in receiver.posted}) == len(receiver.posted)


async def test_event_that_is_too_large_is_refused(receiver: Receiver, world: World) -> None:
    """One that cannot be cut will never be taken."""
    subscriber = webhook(receiver)
    receiver.limit = 10

    with pytest.raises(Refused, match="status 413"):
        await subscriber.deliver(task(1, 1), world.stores)
    await subscriber.close()


async def test_what_was_taken_is_not_sent_again(
    receiver: Receiver, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a later batch fails, the answer says how far it got; the failure shows next time."""
    monkeypatch.setattr(Webhook, "limits", (2, 10**6))
    subscriber = webhook(receiver)
    receiver.answers = [(200, {}), (503, {})]

    assert await subscriber.deliver(task(), world.stores) == 2

    receiver.answers = [(503, {})]
    with pytest.raises(Unavailable):
        await subscriber.deliver(task(3, 5), world.stores)
    await subscriber.close()


async def test_long_delivery_stops_halfway(
    receiver: Receiver, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says how far it got when its time is over, but never gets nowhere."""
    monkeypatch.setattr(Webhook, "limits", (2, 10**6))
    monkeypatch.setattr(targets, "_ENOUGH", -1.0)
    subscriber = webhook(receiver)

    assert await subscriber.deliver(task(), world.stores) == 2
    assert await subscriber.deliver(task(5, 5), world.stores) is None
    await subscriber.close()


async def test_every_change_arrives_whatever_happens(receiver: Receiver) -> None:
    """A target that breaks, throttles and fails gets every event at least once, those of a study in order."""
    world = World()
    world.change(*(study for _ in range(4) for study in ("1", "2", "3")))
    subscriber: Any = webhook(receiver, SECRET)
    subscriber.from_beginning = True
    receiver.answers = [None, (429, {"Retry-After": "1"}), (500, {}), (503, {}), (200, {}), None, (404, {})]
    for _ in range(30):
        await world.run(subscriber)
        world.clock.move(700)
    await subscriber.close()

    taken: dict[str, list[int]] = {}
    for posted in receiver.posted:
        for event in posted.events:
            taken.setdefault(event["data"]["imageStudyInstanceUid"], []).append(
                event["data"]["sequenceNumber"]
            )
    assert {study: sorted(set(numbers)) for study, numbers in taken.items()} == {
        "1": [1, 4, 7, 10],
        "2": [2, 5, 8, 11],
        "3": [3, 6, 9, 12],
    }
    assert await world.deliveries.load("webhook-1") == Load(0, 0)
    assert all(is_signed(posted, SECRET, time.time()) for posted in receiver.posted)
