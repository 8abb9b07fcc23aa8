"""What the subscribers of the change feed cost in storage requests, over the feed as it is."""

from __future__ import annotations

import pytest

from dicom_core.delivery.worker import Delivery
from dicom_core.ports import Stores
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage import deliveries
from dicom_core.storage.deliveries import TableDeliveries
from dicom_core.storage.memory import MemoryDropZone, MemoryRenditions, MemoryStore
from dicom_core.studies import store
from tests import instances
from tests.delivering import Told
from tests.fake_tables import Service
from tests.storage import answer, store_request


@pytest.fixture
def service() -> Service:
    """Tables of this test alone: what others journalled would be looked at, too."""
    return Service()


@pytest.fixture
def stores(service: Service) -> Stores:
    """The ports over these tables."""
    index = service.index()
    kept = TableDeliveries(service.table(deliveries.TABLE))
    return Stores(MemoryStore(), index, MemoryDropZone(), MemoryRenditions(), index.feed, kept)


async def told(service: Service, stores: Stores, *subscribers: Told) -> int:
    """What a run costs."""
    service.requests = 0
    await Delivery(subscribers).run(stores, 120.0)
    return service.requests


async def test_price_of_nothing_new(service: Service, stores: Stores) -> None:
    """Where nothing is new or due: one request for each subscriber, and two for where the feed ends."""
    subscribers = [Told(f"s-{number}", from_beginning=False) for number in range(3)]
    await told(service, stores, *subscribers)

    assert await told(service, stores, *subscribers) == 2 + 3


async def test_price_of_a_study(service: Service, stores: Stores) -> None:
    """A study that was stored and indexed is told to a subscriber by few requests."""
    subscriber = Told(from_beginning=False)
    study, series = instances.uid(), instances.uid()
    await told(service, stores, subscriber)
    files = [instances.file(study, series, instances.uid()) for _ in range(5)]
    status, _ = await answer(store.store, store_request(files, DEFAULT_PARTITION), stores)
    assert status == 200
    await stores.index.sweep()

    price = await told(service, stores, subscriber)

    ((found, first, last),) = subscriber.tasks
    assert (found, last - first + 1) == (study, 5)
    end_of_the_feed, due, changes, tasks, claim_and_end = 2, 1, 2, 1, 2
    assert price == end_of_the_feed + due + changes + tasks + claim_and_end
    assert len(await stores.feed.of_study(DEFAULT_PARTITION, study, first, last, 10)) == 5
