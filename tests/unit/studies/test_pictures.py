"""Pictures: what is read and held for them, and which are kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Stores
from dicom_core.resources import Resource
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import computing, pictures, rendered, store
from dicom_core.studies.computing import Room
from dicom_core.web.messages import Request
from tests import instances
from tests.storage import BASE, answer, store_request

SIDE = 2048
LARGE = SIDE * SIDE * 2


@dataclass(slots=True)
class Counting(MemoryStore):
    """A store that knows which ranges were read."""

    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    reads: list[tuple[int, int | None]] = field(default_factory=list)

    async def get(
        self, partition: str, version: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Note the range."""
        self.reads.append((start, length))
        return await MemoryStore.get(self, partition, version, start, length)


@dataclass(slots=True)
class Archive:
    """Stores in memory with one image."""

    stores: Stores
    resource: Resource
    instances: Counting
    renditions: MemoryRenditions

    async def ask(self, *parameters: tuple[str, str], what: str = "rendered", **variables: str) -> int:
        """Ask for the image; the status of the answer."""
        self.instances.reads.clear()
        asked = Request("GET", self.resource, BASE, parameters=parameters, variables=variables)
        status, _ = await answer(getattr(rendered, what), asked, self.stores)
        return status


async def archive(**elements: Any) -> Archive:
    """An archive of an image with these elements."""
    kept, renditions = Counting(), MemoryRenditions()
    stores = Stores(kept, MemoryIndex(), MemoryDropZone(), renditions, MemoryFeed(), MemoryDeliveries())
    resource = Resource(instances.uid(), instances.uid(), instances.uid())
    file = instances.file(resource.study or "", resource.series or "", resource.instance or "", **elements)
    status, _ = await answer(store.store, store_request([file], resource.partition), stores)
    assert status == 200
    return Archive(stores, resource, kept, renditions)


async def large() -> Archive:
    """An archive of an image that takes long."""
    return await archive(Rows=SIDE, Columns=SIDE, PixelData=bytes(LARGE))


THUMBNAIL: dict[str, Any] = {"what": "thumbnail"}


@pytest.mark.parametrize(
    ("parameters", "options"),
    [
        ((), {}),
        ((), THUMBNAIL),
        ((("viewport", "256,256"),), {}),
        ((("viewport", "256,256"),), THUMBNAIL),
        ((("accept", "image/png"),), {"frames": "1"}),
    ],
)
async def test_kept(parameters: tuple[tuple[str, str], ...], options: dict[str, Any]) -> None:
    """What took long is kept, and pixels are not read a second time."""
    of = await large()

    assert (await of.ask(*parameters, **options), len(of.instances.reads)) == (200, 1)
    assert (await of.ask(*parameters, **options), len(of.instances.reads)) == (200, 0)


@pytest.mark.parametrize(
    "parameter", [("window", "1,2,linear"), ("viewport", "9,9,1,1,9,9"), ("viewport", "9,9,,,-2048,")]
)
async def test_not_kept(parameter: tuple[str, str]) -> None:
    """What a reader drags about is not kept."""
    of = await large()

    assert await of.ask(parameter) == 200

    assert of.renditions.kept == {}


async def test_small_images_are_not_kept() -> None:
    """A blob write would cost more than rendering them again."""
    of = await archive()

    assert await of.ask(what="thumbnail") == 200

    assert of.renditions.kept == {}


@pytest.mark.parametrize(
    ("side", "slow", "kept"),
    [(1024, False, False), (1024, True, True), (1000, True, False)],
    ids=["small", "slowly decoded", "slowly decoded but small"],
)
async def test_what_is_slow_is_kept_earlier(
    monkeypatch: pytest.MonkeyPatch, side: int, slow: bool, kept: bool
) -> None:
    """A transfer syntax that takes four times as long needs a quarter of the bytes."""
    of = await archive(Rows=side, Columns=side, PixelData=bytes(side * side * 2))
    monkeypatch.setattr(pictures, "SLOW", {"1.2.840.10008.1.2.1"} if slow else set())

    assert await of.ask() == 200

    assert bool(of.renditions.kept) is kept


async def test_single_bits_that_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits become bytes: it is the pixels that are counted."""
    of = await archive(Rows=8, Columns=8, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=bytes(8))
    monkeypatch.setattr(pictures, "MAX_FRAME", 63)

    assert (await of.ask(), of.instances.reads) == (406, [])


async def test_storage_that_does_not_keep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rendition that cannot be kept is answered all the same."""
    of = await large()

    async def fail(*_: object) -> None:
        raise StorageUnavailable("not now")

    monkeypatch.setattr(of.renditions, "put", fail)

    assert await of.ask(what="thumbnail") == 200


async def test_frames_are_read_alone() -> None:
    """Of many frames only the bytes of the one that is asked for are read."""
    of = await archive(NumberOfFrames=10, PixelData=bytes(320))

    assert await of.ask(frames="4") == 200

    ((_, length),) = of.instances.reads
    assert length == 32


async def test_values_of_several_frames_are_read_once() -> None:
    """A lookup table that all frames share is read with the first of them."""
    table = np.arange(1024, dtype="<u2").tobytes()
    palette = {
        f"{color}PaletteColorLookupTable{part}": value
        for color in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [1024, 0, 16]), ("Data", table))
    }
    of = await archive(
        NumberOfFrames=3, PixelData=bytes(96), PhotometricInterpretation="PALETTE COLOR", **palette
    )

    assert await of.ask(frames="1,2,3") == 200

    assert sorted(length or 0 for _, length in of.instances.reads) == [32, 32, 32, 2048, 2048, 2048]


class Watched(Room):
    """A room that knows how much was in it at once."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.held = self.most = 0
        self.sizes: list[int] = []

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Note what is held."""
        async with Room.taken(self, size):
            self.sizes.append(size)
            self.held += size
            self.most = max(self.most, self.held)
            yield
            self.held -= size


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask at once: what they hold together, several times each frame's bytes, fits into the room."""
    of = await large()
    room = Watched(LARGE * 11)
    monkeypatch.setattr(computing, "room", room)

    windows = [("window", f"{number},9,linear") for number in range(6)]
    statuses = await asyncio.gather(*(of.ask(window) for window in windows))

    assert statuses == [200] * 6
    assert room.sizes == [LARGE * 5] * 6
    assert room.most == LARGE * 10


async def test_frame_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has more bytes than are rendered at once is not read."""
    of = await archive()
    monkeypatch.setattr(pictures, "MAX_FRAME", 31)

    assert (await of.ask(), of.instances.reads) == (406, [])
