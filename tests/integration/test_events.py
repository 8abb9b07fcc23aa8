"""Events of what is stored and deleted, end to end: from a request to the queue, and only the service between."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import orjson
import pytest
import requests

from dicom_core import bootstrap
from dicom_core.delivery.events import Event, cloud_event
from dicom_core.delivery.subscribing import Unavailable
from dicom_core.delivery.targets import EventSubscriber, QueueSender
from dicom_core.settings import Settings
from dicom_core.storage.queues import Queue
from dicom_core.storage.rest import Client
from tests import dicomweb, instances
from tests.delivering import World
from tests.serving import ROOT, Service, served, storage_settings
from tools.local_host import azurite as emulator
from tools.local_host.storage import Storage

pytestmark = pytest.mark.azurite

QUEUE = "dicom-events"
NAME = f"queue-{QUEUE}"
SOON = 20.0
"""Seconds within which an event arrives, on a machine that does much else."""


@pytest.fixture(scope="module")
def connection_string() -> Iterator[str]:
    """An emulator that no other test uses."""
    with emulator.Azurite(tools=ROOT / emulator.TOOLS) as running:
        yield running.connection_string


@pytest.fixture(scope="module")
def host(connection_string: str) -> Iterator[Service]:
    """The service, with a queue that its events go to, and one that cannot be reached."""
    settings = storage_settings(connection_string)
    targets = f"queue:{QUEUE},http://127.0.0.1:9/in"
    with served(
        TRIGGER_SECONDS="0.1", DicomSweepSchedule="*/2 * * * * *", DicomEventTargets=targets, **settings
    ) as running:
        dicomweb.search(running.url, "studies")  # creates what is missing
        yield running


@pytest.fixture
async def queues(connection_string: str) -> AsyncIterator[Storage]:
    """The queues, as receivers see them."""
    async with Storage(connection_string) as storage:
        yield storage


@pytest.fixture
async def client(connection_string: str) -> AsyncIterator[Client]:
    """A client of the queue service."""
    each = bootstrap.queues(Settings.from_environment({"DicomStorage": connection_string}))
    yield each
    await each.close()


def read(text: str) -> dict[str, Any]:
    """An event of a message."""
    event: dict[str, Any] = orjson.loads(base64.b64decode(text, validate=True))
    return event


def subscribers(host: Service) -> dict[str, dict[str, Any]]:
    """The subscribers by name."""
    found = requests.get(f"{host.url}/subscribers", timeout=30)
    assert found.status_code == 200
    return {one["name"]: one for one in found.json()}


async def begun(host: Service) -> None:
    """Return when the subscribers have begun to follow the feed."""
    deadline = time.monotonic() + SOON
    while not all("sequence" in one for one in subscribers(host).values()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


async def received(queues: Storage, count: int, name: str = QUEUE) -> list[dict[str, Any]]:
    """The next events in a queue, which are taken out of it."""
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + SOON
    while len(found) < count:
        assert time.monotonic() < deadline, found
        for message in await queues.receive(name, 30):
            found.append(read(message.text))
            await queues.delete(name, message)
        await asyncio.sleep(0.05)
    return found


async def test_queue_is_made_and_filled(client: Client, queues: Storage) -> None:
    """A queue that is missing is made; what is put there is what a queue trigger reads."""
    sender = QueueSender(Queue(client, "made-by-need"))

    await sender.send([Event("1", 1, b'{"a":"\xc3\xbc<&"}'), Event("2", 2, b"{}")])

    assert await received(queues, 2, "made-by-need") == [{"a": "ü<&"}, {}]


async def test_queue_that_cannot_be_used(client: Client) -> None:
    """A name that the service refuses makes the subscriber wait, and says why."""
    with pytest.raises(Unavailable, match="storage refused"):
        await QueueSender(Queue(client, "No_Queue")).send([Event("1", 1, b"{}")])


async def test_changes_of_a_study_keep_their_order(client: Client, queues: Storage) -> None:
    """Events of one study are put in the order of their numbers."""
    world = World()
    world.change(*("1.2" for _ in range(40)))
    subscriber: Any = EventSubscriber("q", QueueSender(Queue(client, "in-order")), cloud_event, "https://a")
    subscriber.from_beginning = True

    await world.run(subscriber)

    found = await received(queues, 40, "in-order")
    assert [event["data"]["sequenceNumber"] for event in found] == list(range(1, 41))


async def test_stored_and_deleted_instance_is_told(host: Service, queues: Storage) -> None:
    """Within seconds: what was stored, what was replaced, and what was deleted, by whom and as what it was."""
    await begun(host)
    one = dicomweb.made()
    started = time.monotonic()
    dicomweb.keep(host.url, one)

    (created,) = await received(queues, 1)

    assert time.monotonic() - started < SOON
    uids = {
        "imageStudyInstanceUid": one.study,
        "imageSeriesInstanceUid": one.series,
        "imageSopInstanceUid": one.instance,
    }
    assert created["type"] == "Microsoft.HealthcareApis.DicomImageCreated"
    assert created["data"].items() >= uids.items()
    assert created["data"]["sopClassUid"]
    assert created["subject"].endswith(
        f"/v1/studies/{one.study}/series/{one.series}/instances/{one.instance}"
    )
    requests.delete(f"{host.url}/studies/{one.study}", timeout=30).raise_for_status()

    (deleted,) = await received(queues, 1)

    assert deleted["type"] == "Microsoft.HealthcareApis.DicomImageDeleted"
    assert deleted["data"].items() >= uids.items()
    assert deleted["data"]["sequenceNumber"] == created["data"]["sequenceNumber"] + 1
    assert deleted["id"] != created["id"]


async def test_subscriber_whose_target_is_down(host: Service) -> None:
    """It rests, which is told with the reason; the other one is up to date all the same."""
    await begun(host)
    dicomweb.keep(host.url, dicomweb.made(instances.uid()))
    deadline = time.monotonic() + SOON
    while True:
        found = subscribers(host)
        up, down = found.pop(NAME), *found.values()
        if "restsUntil" in down and up["sequence"] == up["latest"] and up["waiting"] == 0:
            break
        assert time.monotonic() < deadline, (up, down)
        await asyncio.sleep(0.1)

    assert down["reason"].startswith("no answer (")
    assert "9/in" not in str(down)
    assert down["failed"] == 0
    assert "restsUntil" not in up


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"subscribers/{NAME}/failures", 200),
        ("GET", f"subscribers/{NAME}/failures?limit=1&offset=0", 200),
        ("POST", f"subscribers/{NAME}/failures", 202),
        ("POST", f"subscribers/{NAME}/failures?study=1.2.3", 404),
        ("POST", f"subscribers/{NAME}/failures?study=DOE", 400),
        ("GET", f"subscribers/{NAME}/failures?limit=0", 400),
        ("GET", f"subscribers/{NAME}/failures?study=1.2.3", 400),
        ("GET", "subscribers/nobody/failures", 404),
        ("POST", "subscribers/nobody/failures", 404),
    ],
)
def test_failures(host: Service, method: str, path: str, status: int) -> None:
    """They are listed and retried by the name of a subscriber that there is."""
    found = requests.request(method, f"{host.url}/{path}", timeout=30)

    assert found.status_code == status
    if status < 300:
        assert found.json() in ([], {"retried": 0})
    assert "DOE" not in found.text
