"""The change feed as it is answered: entries, their states and metadata, pages, and bodies that are streamed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from dicom_core.changes import Action, Change
from dicom_core.ports import Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations import metadata
from dicom_core.resources import DEFAULT_PARTITION, Resource
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import changefeed, delete, retrieve, store
from dicom_core.web.messages import Request, Response
from tests import instances
from tests.storage import answer, store_request

Transaction = Callable[[Request, Stores], Awaitable[Response]]

BASE = "https://dicom.example"
STUDY, SERIES, INSTANCE = "1.2", "1.2.3", "1.2.3.0"
RESOURCE = Resource(STUDY, SERIES, INSTANCE)


@pytest.fixture
def stores() -> Stores:
    """In memory."""
    index = MemoryIndex()
    return Stores(
        MemoryStore(), index, MemoryDropZone(), MemoryRenditions(), MemoryFeed(index), MemoryDeliveries()
    )


def asking(version: int = 2, **parameters: object) -> Request:
    """A request for a part of the feed."""
    pairs = tuple((name, str(value)) for name, value in parameters.items())
    return Request("GET", Resource(), f"{BASE}/v{version}", version, parameters=pairs)


async def entries(stores: Stores, version: int = 2, **parameters: object) -> list[dict[str, Any]]:
    """A page of the feed."""
    status, body = await answer(changefeed.changes, asking(version, **parameters), stores)
    assert status == 200, body
    found: list[dict[str, Any]] = orjson.loads(body)
    return found


async def kept(stores: Stores, **elements: Any) -> None:
    """Store the instance; in the place of what stands there, if elements are given."""
    request = store_request([instances.file(STUDY, SERIES, INSTANCE, **elements)], DEFAULT_PARTITION)
    status, body = await answer(store.upsert if elements else store.store, request, stores)
    assert status == 200, body


async def deleted(stores: Stores) -> None:
    """Delete the instance."""
    assert (await answer(delete.delete, Request("DELETE", RESOURCE, BASE), stores))[0] == 204


async def told(stores: Stores, number: int) -> None:
    """Tell of so many instances of a series."""
    of = instances.transaction(STUDY)
    await stores.index.commit(of, [instances.row(of, part) for part in range(number)], upsert=False)


async def test_entry(stores: Stores) -> None:
    """Its members, as the client of the managed service names and spells them; nothing is null."""
    await kept(stores)
    (change,) = await stores.feed.after(0, 2)

    (entry,) = await entries(stores, includeMetadata="false")

    assert list(entry.items()) == [
        ("sequence", 1),
        ("partitionName", "Microsoft.Default"),
        ("studyInstanceUid", STUDY),
        ("seriesInstanceUid", SERIES),
        ("sopInstanceUid", INSTANCE),
        ("sopClassUid", "1.2.840.10008.5.1.4.1.1.2"),
        ("action", "Create"),
        ("timestamp", entry["timestamp"]),
        ("state", "Current"),
    ]
    assert datetime.fromisoformat(entry["timestamp"]) == change.time


@pytest.mark.parametrize(("metadata", "named"), [("true", [Resource(STUDY)]), ("false", [])])
@pytest.mark.parametrize("transaction", [changefeed.changes, changefeed.latest])
async def test_audit_record_names_whose_metadata_were_read(
    stores: Stores, transaction: Transaction, metadata: str, named: list[Resource]
) -> None:
    """Each study once; of entries alone, which hold UIDs only, none."""
    await told(stores, 3)

    response = await transaction(asking(includeMetadata=metadata), stores)

    assert list(response.about) == named


async def test_metadata_are_those_of_retrieve(stores: Stores) -> None:
    """Byte for byte, with the URLs of this request."""
    await kept(stores, RedPaletteColorLookupTableData=bytes(2048))
    _, expected = await answer(retrieve.metadata, Request("GET", RESOURCE, f"{BASE}/v2"), stores)

    _, body = await answer(changefeed.changes, asking(), stores)

    assert f'"BulkDataURI":"{BASE}/v2/studies/'.encode() in expected
    assert body.partition(b'"metadata":')[2] == expected[1:-1] + b"}]"


async def test_states(stores: Stores) -> None:
    """Create, delete, create: the first two are replaced, and have the metadata of what stands now."""
    await kept(stores)
    (entry,) = await entries(stores)
    assert (entry["action"], entry["state"], "metadata" in entry) == ("Create", "Current", True)

    await deleted(stores)
    assert [(each["action"], each["state"], "metadata" in each) for each in await entries(stores)] == [
        ("Create", "Deleted", False),
        ("Delete", "Deleted", False),
    ]

    await kept(stores, PatientID="P2")
    found = await entries(stores)
    assert [(each["action"], each["state"]) for each in found] == [
        ("Create", "Replaced"),
        ("Delete", "Replaced"),
        ("Create", "Current"),
    ]
    assert {each["metadata"]["00100020"]["Value"][0] for each in found} == {"P2"}


async def test_update(stores: Stores) -> None:
    """A PUT over what stands replaces it."""
    await kept(stores)
    await kept(stores, PatientID="P2")

    found = await entries(stores, includeMetadata="false")

    assert [(each["action"], each["state"]) for each in found] == [
        ("Create", "Replaced"),
        ("Update", "Current"),
    ]


@pytest.mark.parametrize("wanted", ["true", "false"])
async def test_latest(stores: Stores, wanted: str) -> None:
    """The last entry as the feed has it, alone."""
    await told(stores, 3)

    status, body = await answer(changefeed.latest, asking(includeMetadata=wanted), stores)

    assert status == 200
    assert orjson.loads(body) == (await entries(stores, includeMetadata=wanted))[-1]
    assert (b"metadata" in body) == (wanted == "true")


async def test_feed_without_entries(stores: Stores) -> None:
    """A page without entries is an array; the latest of nothing is no content."""
    assert await answer(changefeed.changes, asking(1), stores) == (200, b"[]")
    assert await answer(changefeed.latest, asking(), stores) == (204, b"")


async def test_pages_by_number(stores: Stores) -> None:
    """Version 1: what follows the number, at most so many; shorter only at the end."""
    await told(stores, 25)

    pages = [
        [entry["sequence"] for entry in await entries(stores, 1, offset=offset, includeMetadata="false")]
        for offset in (0, 10, 20, 25, 1000)
    ]

    assert pages == [[*range(1, 11)], [*range(11, 21)], [*range(21, 26)], [], []]


async def test_pages_by_time(stores: Stores) -> None:
    """Version 2: from the start, before the end, passing over the offset."""
    for part in range(5):
        of = instances.transaction(STUDY)
        await stores.index.commit(of, [instances.row(of, part)], upsert=False)
    assert isinstance(stores.index, MemoryIndex)
    for number, change in enumerate(stores.index.changes):
        moved = change.time + timedelta(seconds=number)
        stores.index.changes[number] = Change(
            change.sequence, moved, change.action, change.resource, change.version, None
        )
    times = [entry["timestamp"] for entry in await entries(stores)]

    async def numbers(**parameters: object) -> list[int]:
        found = await entries(stores, includeMetadata="false", **parameters)
        return [entry["sequence"] for entry in found]

    assert await numbers(startTime=times[1], endTime=times[4]) == [2, 3, 4]
    assert await numbers(startTime=times[1], endTime=times[4], offset=1, limit=1) == [3]
    assert await numbers(startTime=times[1], endTime=times[4], offset=3) == []
    assert await numbers(startTime=times[4]) == [5]
    assert await numbers(endTime=times[0]) == []
    assert await numbers(limit=2) == [1, 2]


async def test_sop_class_that_is_not_known(stores: Stores) -> None:
    """It is left out, as all that is not there."""
    assert isinstance(stores.index, MemoryIndex)
    now = datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=2)))
    stores.index.changes.append(Change(1, now, Action.DELETE, RESOURCE, "v", None))

    (entry,) = await entries(stores)

    assert "sopClassUid" not in entry
    assert entry["timestamp"] == "2026-01-31T08:00:00.000000Z"


async def test_warnings(stores: Stores) -> None:
    """What is no parameter is named in a header field, also where nothing is found."""
    for transaction in (changefeed.changes, changefeed.latest):
        response = await transaction(asking(1, startTime="x", since="y"), stores)

        assert response.headers["Warning"] == (
            '299 dicom-functions "startTime is no parameter of this resource; it is ignored", '
            '299 dicom-functions "since is no parameter of this resource; it is ignored"'
        )


async def test_page_of_large_headers_is_streamed(stores: Stores) -> None:
    """A page that would take much memory as a whole is sent in pieces, while the rest is still read."""
    of, header = (
        instances.transaction(STUDY),
        metadata.pack({"00081030": {"vr": "LO", "Value": ["a" * (1 << 20)]}}),
    )
    await stores.index.commit(
        of, [instances.row(of, part, series=f"1.{part}", header=header) for part in range(100)], upsert=False
    )
    assert isinstance(stores.index, MemoryIndex)
    reads = 0
    records = stores.index.records

    async def counted(resource: Resource, columns: Columns) -> list[Instance]:
        nonlocal reads
        reads += 1
        return await records(resource, columns)

    stores.index.records = counted  # type: ignore[method-assign]
    response: Response = await changefeed.changes(asking(), stores)
    assert isinstance(response.body, AsyncIterator)

    pieces = [await anext(response.body)]
    assert reads <= 10
    pieces += [piece async for piece in response.body]

    assert (reads, len(pieces)) == (100, 101)
    assert len(orjson.loads(b"".join(pieces))) == 100
