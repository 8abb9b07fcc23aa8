"""What the subscribers of the change feed cost in storage requests, over the feed as it is."""

from __future__ import annotations

from collections import Counter

import pytest

from dicom_core.delivery.worker import Delivery
from dicom_core.ports import Stores
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage.rest import Kind
from dicom_core.studies import store
from tests import instances
from tests.delivering import Told
from tests.storage import answer, store_request

pytestmark = pytest.mark.azurite


async def told(stores: Stores, counts: Counter[Kind], *subscribers: Told) -> dict[Kind, int]:
    """What a run costs."""
    counts.clear()
    await Delivery(subscribers).run(stores, 120.0)
    return dict(counts)


def named(number: int) -> list[Told]:
    """Subscribers that no other test has."""
    return [Told(f"s-{instances.uid().rpartition('.')[2]}", from_beginning=False) for _ in range(number)]


async def test_price_of_nothing_new(stores: Stores, counts: Counter[Kind]) -> None:
    """Where nothing is new or due: one request for each subscriber, and two for where the feed ends."""
    subscribers = named(3)
    await stores.index.sweep()
    await told(stores, counts, *subscribers)

    assert await told(stores, counts, *subscribers) == {Kind.TABLE: 2 + 3}


async def test_price_of_a_study(stores: Stores, counts: Counter[Kind]) -> None:
    """A study that was stored and indexed is told to a subscriber by few requests."""
    (subscriber,) = named(1)
    study, series = instances.uid(), instances.uid()
    await told(stores, counts, subscriber)
    files = [instances.file(study, series, instances.uid()) for _ in range(5)]
    status, _ = await answer(store.store, store_request(files, DEFAULT_PARTITION), stores)
    assert status == 200
    await stores.index.sweep()

    price = await told(stores, counts, subscriber)

    ((found, first, last),) = subscriber.tasks
    assert (found, last - first + 1) == (study, 5)
    end_of_the_feed, due, changes, tasks, claim_and_end = 2, 1, 2, 1, 2
    assert price == {Kind.TABLE: end_of_the_feed + due + changes + tasks + claim_and_end}
    assert len(await stores.feed.of_study(DEFAULT_PARTITION, study, first, last)) == 5
