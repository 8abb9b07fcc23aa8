"""Answers in another transfer syntax: what is held for them, and what they say of a record that changes meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from dicom_core.errors import NotAcceptable, TransactionError
from dicom_core.ports import Stores
from dicom_core.record import Columns, Instance
from dicom_core.resources import DEFAULT_PARTITION, Resource
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import bulkdata, delete, retrieve, store, transcode
from dicom_core.studies.computing import Room
from dicom_core.web.messages import Request, Response
from tests.dicomweb import Stored, made
from tests.storage import BASE, Transaction, store_request

RLE, EXPLICIT = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
INSTANCE = 'application/dicom; transfer-syntax="{}"'
INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax={}'
FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax={}'


class Watched(Room):
    """A room that knows what is in it."""

    def __init__(self) -> None:
        super().__init__(1 << 30)
        self.held = 0

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Note what is held."""
        async with Room.taken(self, size):
            self.held += size
            yield
            self.held -= size


@dataclass(slots=True)
class Watching(MemoryStore):
    """A store that knows which ranges were read, and what was held when the first bytes of each came."""

    room: Watched
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    reads: list[tuple[int, int | None, int]] = field(default_factory=list)

    async def get(
        self, partition: str, version: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Note the range."""
        content = await MemoryStore.get(self, partition, version, start, length)
        return self._noted(content, start, length)

    async def _noted(
        self, content: AsyncIterator[bytes], start: int, length: int | None
    ) -> AsyncIterator[bytes]:
        self.reads.append((start, length, self.room.held))
        async for chunk in content:
            yield chunk


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """The room of the test."""
    watched = Watched()
    monkeypatch.setattr(transcode, "room", watched)
    return watched


@pytest.fixture
def stores(room: Watched) -> Stores:
    """Stores in memory."""
    return Stores(
        Watching(room), Meanwhile(), MemoryDropZone(), MemoryRenditions(), MemoryFeed(), MemoryDeliveries()
    )


class Meanwhile(MemoryIndex):
    """An index in which something happens before its rows are read for the second time."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[Columns] = []
        self.happens: Callable[[], Awaitable[object]] | None = None

    async def records(self, resource: Resource, columns: Columns) -> list[Instance]:
        """Let it happen."""
        self.reads.append(columns)
        if len(self.reads) == 2 and self.happens:
            happens, self.happens = self.happens, None
            await happens()
        return await MemoryIndex.records(self, resource, columns)


def watching(stores: Stores) -> Watching:
    """The store, as what it is."""
    assert isinstance(stores.instances, Watching)
    return stores.instances


def meanwhile(stores: Stores) -> Meanwhile:
    """The index, as what it is."""
    assert isinstance(stores.index, Meanwhile)
    return stores.index


async def keep(stores: Stores, *stored: Stored) -> None:
    """Store instances in place of those that are there."""
    answer = await store.upsert(store_request([one.content for one in stored], DEFAULT_PARTITION), stores)
    assert answer.status == 200


async def forget(stores: Stores, one: Stored) -> None:
    """Delete an instance."""
    resource = Resource(one.study, one.series, one.instance)
    await delete.delete(Request("DELETE", resource, BASE), stores)


async def ask(
    stores: Stores, transaction: Transaction, resource: Resource, accept: str, **variables: str
) -> tuple[Response, bytes]:
    """An answer with its whole body."""
    meanwhile(stores).reads.clear()
    watching(stores).reads.clear()
    asked = Request("GET", resource, BASE, headers={"accept": accept}, variables=variables)
    response = await transaction(asked, stores)
    if isinstance(response.body, bytes):
        return response, response.body
    return response, b"".join([chunk async for chunk in response.body])


def rle() -> Stored:
    """A compressed image of two frames of 100 x 100 pixels in three colours."""
    path = SHIPPED / "SC_rgb_rle_2frame.dcm"
    dataset = pydicom.dcmread(path)
    uids = dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID
    return Stored(*uids, path.read_bytes())


def resource_of(one: Stored) -> Resource:
    """An instance as the target of a request."""
    return Resource(one.study, one.series, one.instance)


FRAME = 100 * 100 * 3
ENCODED = pydicom.dcmread(SHIPPED / "SC_rgb_rle_2frame.dcm").PixelData
LENGTH = int.from_bytes(ENCODED[20:24], "little")


@pytest.mark.parametrize("frames", ["1", "2,1", "1,2"])
async def test_room_is_taken_before_frames_are_read(stores: Stores, frames: str) -> None:
    """What waits for its turn holds nothing: neither the frame nor what it becomes."""
    one = rle()
    await keep(stores, one)

    await ask(stores, bulkdata.frames, resource_of(one), FRAMES.format(EXPLICIT), frames=frames)

    reads = watching(stores).reads
    assert reads
    assert all(held >= FRAME * 4 + LENGTH // 2 for _, _, held in reads)


async def test_room_is_taken_before_an_instance_is_read(stores: Stores) -> None:
    """The head, the frames and the tail are read in their turns."""
    one = rle()
    await keep(stores, one)

    await ask(stores, retrieve.instances, resource_of(one), INSTANCE.format(EXPLICIT))

    (_, head, held), (_, _, with_frame), *_ = reads = watching(stores).reads
    assert head
    assert held >= head
    assert with_frame >= FRAME * 4 + LENGTH // 2
    assert all(held for _, _, held in reads)


@pytest.mark.parametrize(
    ("stored", "target"), [(made(NumberOfFrames=2, PixelData=bytes(64)), RLE), (rle(), EXPLICIT)]
)
async def test_frame_that_is_too_long(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, stored: Stored, target: str
) -> None:
    """A frame with more bytes than a decoded one may have is not read, whatever the header says of it."""
    await keep(stores, stored)
    monkeypatch.setattr(transcode, "MAX_FRAME", 31)

    with pytest.raises(NotAcceptable):
        await ask(stores, bulkdata.frames, resource_of(stored), FRAMES.format(target), frames="2")

    assert watching(stores).reads == []


async def test_instance_with_a_frame_that_is_too_long(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the head of the instance is read."""
    one = rle()
    await keep(stores, one)
    monkeypatch.setattr(transcode, "MAX_FRAME", LENGTH - 1)

    with pytest.raises(NotAcceptable):
        await ask(stores, retrieve.instances, resource_of(one), INSTANCE.format(EXPLICIT))

    assert [start for start, _, _ in watching(stores).reads] == [0]


CASES = [(retrieve.instances, INSTANCES), (retrieve.instances, INSTANCE), (bulkdata.frames, FRAMES)]


@pytest.mark.parametrize(("transaction", "accept"), CASES)
async def test_instance_replaced_while_it_is_asked_for(
    stores: Stores, transaction: Transaction, accept: str
) -> None:
    """The answer is all of one version, and its ETag is that of this version."""
    one = made()
    other = made(one.study, one.series, one.instance, Rows=2, Columns=2, PixelData=bytes(8))
    await keep(stores, one)
    meanwhile(stores).happens = partial(keep, stores, other)

    response, body = await ask(stores, transaction, resource_of(one), accept.format(RLE), frames="1")

    assert len(meanwhile(stores).reads) == 2
    again, expected = await ask(stores, transaction, resource_of(one), accept.format(RLE), frames="1")
    assert (response.headers, body) == (again.headers, expected)


@pytest.mark.parametrize(("transaction", "accept"), CASES)
async def test_instance_deleted_while_it_is_asked_for(
    stores: Stores, transaction: Transaction, accept: str
) -> None:
    """It is answered as one that is not there."""
    one = made()
    await keep(stores, one)
    meanwhile(stores).happens = partial(forget, stores, one)

    with pytest.raises(TransactionError) as error:
        await ask(stores, transaction, resource_of(one), accept.format(RLE), frames="1")

    assert error.value.status in (404, 410)


@pytest.mark.parametrize("removed", [True, False])
async def test_study_that_changes_while_it_is_asked_for(stores: Stores, removed: bool) -> None:
    """The answer has the instances of one moment, and the ETag of them."""
    one = made()
    other = made(one.study, one.series)
    await keep(stores, one, *([other] if removed else []))
    meanwhile(stores).happens = partial(forget if removed else keep, stores, other)
    study = Resource(one.study)

    response, body = await ask(stores, retrieve.instances, study, INSTANCES.format(RLE))

    again, expected = await ask(stores, retrieve.instances, study, INSTANCES.format(RLE))
    assert (response.headers, body) == (again.headers, expected)


async def test_instance_replaced_by_one_of_the_transfer_syntax_asked_for(stores: Stores) -> None:
    """It is given as it is stored."""
    one = made()
    dataset = pydicom.dcmread(BytesIO(one.content))
    dataset.compress(RLE, generate_instance_uid=False)
    content = BytesIO()
    dataset.save_as(content)
    compressed = Stored(one.study, one.series, one.instance, content.getvalue())
    await keep(stores, one)
    meanwhile(stores).happens = partial(keep, stores, compressed)

    _, body = await ask(stores, retrieve.instances, resource_of(one), INSTANCE.format(RLE))

    assert body == compressed.content


async def test_etag_of_a_study_where_not_all_is_transcoded_alike(stores: Stores) -> None:
    """The ETag of an answer is the one its condition is compared with, also where an instance has no pixels."""
    one = made()
    await keep(stores, one, made(one.study, Modality="SR", PixelData=None))
    response, _ = await ask(stores, retrieve.instances, Resource(one.study), INSTANCES.format(RLE))

    headers = {"accept": INSTANCES.format(RLE), "if-none-match": response.headers["ETag"]}
    again = await retrieve.instances(Request("GET", Resource(one.study), BASE, headers=headers), stores)

    assert again.status == 304
