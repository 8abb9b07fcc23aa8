"""Answers of very many parts: made one after the other, while others get their turn."""

from __future__ import annotations

import asyncio
import tracemalloc
from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from dicom_core.ports import Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations.frames import FrameTable
from dicom_core.resources import Resource
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import bulkdata, payloads
from dicom_core.web.messages import Request, Response
from tests.storage import BASE, Transaction

COUNT = 200_000
AT = 1000
RLE, EXPLICIT = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.1"
ROW = Instance("1.2", "1.2.3", "1.2.3.4", "a-0", "1.2.840.10008.5.1.4.1.1.7", RLE, AT, "", "p")
ACCEPT = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'
BOTH = pytest.mark.parametrize("transaction", [bulkdata.pixel_data, bulkdata.bulkdata])


def image(count: int, length: int = 2) -> Instance:
    """The row of an image of so many frames in a fragment each."""
    table = FrameTable(count, True, AT, 0, array("I", [length]) * count)
    frames = table.to_bytes()
    return replace(ROW, frames=frames, bulkdata={"7FE00010": (AT - 8, count * (length + 8) + 16)})


class Zeros(MemoryStore):
    """A store of nothing but zeros."""

    async def get(
        self, partition: str, version: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """As many as are asked for."""
        assert length is not None
        return self._zeros(length)

    async def _zeros(self, length: int) -> AsyncIterator[bytes]:
        for start in range(0, length, 1 << 16):
            yield bytes(min(1 << 16, length - start))


class Rows(MemoryIndex):
    """An index of one study."""

    def __init__(self, *rows: Instance) -> None:
        self.listed = list(rows)

    async def records(self, resource: Resource, columns: Columns) -> list[Instance]:
        """All of the rows."""
        return self.listed


async def ask(transaction: Transaction, *rows: Instance, **headers: str) -> Response:
    """Begin to answer a request for the rows."""
    stores = Stores(
        Zeros(), Rows(*rows), MemoryDropZone(), MemoryRenditions(), MemoryFeed(), MemoryDeliveries()
    )
    resource = ROW.resource if len(rows) == 1 else Resource("1.2", partition="p")
    asked = Request(
        "GET", resource, BASE, headers={"accept": ACCEPT, **headers}, variables={"bulkdata": "7FE00010"}
    )
    return await transaction(asked, stores)


def body_of(response: Response) -> AsyncIterator[bytes]:
    """A body that is sent as it is made."""
    assert not isinstance(response.body, bytes)
    return response.body


@contextmanager
def memory() -> Iterator[dict[str, int]]:
    """The most that was held at once, when it is left."""
    measured: dict[str, int] = {}
    tracemalloc.start()
    try:
        yield measured
        measured["peak"] = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@contextmanager
def others() -> Iterator[list[None]]:
    """The turns that others are given meanwhile."""
    turns: list[None] = []

    async def other() -> None:
        while True:
            await asyncio.sleep(0)
            turns.append(None)

    beside = asyncio.create_task(other())
    try:
        yield turns
    finally:
        beside.cancel()


@BOTH
async def test_memory_of_many_frames(transaction: Transaction) -> None:
    """A frame costs its entries in the table, and nothing else before it is its turn."""
    row = image(COUNT)

    with memory() as measured:
        body = body_of(await ask(transaction, row))
        for _ in range(3000):
            await anext(body)

    assert measured["peak"] < COUNT * 24


@BOTH
async def test_others_get_their_turn_between_many_frames(transaction: Transaction) -> None:
    """No more than a thousand frames are planned and sent in one turn of the event loop."""
    count = 20_000

    with others() as turns:
        content = b"".join([chunk async for chunk in body_of(await ask(transaction, image(count)))])

    assert content.count(b"\r\n\r\n\0\0\r\n--") == count
    assert len(turns) >= count // 1000 - 2


async def test_others_get_their_turn_between_many_instances() -> None:
    """The table of no more than one instance is looked at in one turn of the event loop."""
    rows = [replace(image(3), instance=f"1.2.3.{number}") for number in range(50)]

    with others() as turns:
        await ask(bulkdata.pixel_data, *rows)

    assert len(turns) >= len(rows) - 2


async def test_heads_of_many_parts() -> None:
    """Each part is named by its own instance and frame, across values of one part and of many."""
    rows = [
        replace(
            image(count), instance=f"1.2.3.{count}", bulkdata={**image(count).bulkdata, "00281201": (0, 6)}
        )
        for count in (1, 3, 2)
    ]

    content = b"".join([chunk async for chunk in body_of(await ask(bulkdata.all_bulkdata, *rows))])

    lines = content.decode().splitlines()
    named = [line.partition("/instances/")[2] for line in lines if line.startswith("Content-Location")]
    assert named == [
        f"1.2.3.{count}/{path}"
        for count in (1, 3, 2)
        for path in (*(f"frames/{number}" for number in range(1, count + 1)), "bulkdata/00281201")
    ]
    types = [line for line in lines if line.startswith("Content-Type")]
    octets = "Content-Type: application/octet-stream; transfer-syntax="
    framed, plain = f"{octets}{RLE}", f"{octets}{EXPLICIT}"
    assert types == [each for count in (1, 3, 2) for each in [framed] * count + [plain]]


@pytest.mark.parametrize("count", [1, 999, 1000, 1001, 2500])
async def test_frames_in_slices(count: int) -> None:
    """Slices of a list are numbered as one list."""
    stored = b"".join(number.to_bytes(2, "little") for number in range(count))

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        return payload(stored[start : start + length])

    async def payload(content: bytes) -> AsyncIterator[bytes]:
        yield content

    table = FrameTable(count, offset=0, bits=16)
    pieces: list[Any] = [
        piece async for piece in payloads.whole(payloads.frames(read, table, range(1, count + 1)))
    ]

    assert pieces == [(number, number.to_bytes(2, "little")) for number in range(count)]


@pytest.mark.parametrize("transaction", [bulkdata.all_bulkdata, bulkdata.bulkdata])
async def test_part_without_bytes(transaction: Transaction) -> None:
    """A value of no bytes is a part all the same."""
    row = replace(ROW, transfer_syntax=EXPLICIT, bulkdata={"7FE00010": (AT, 0)})

    content = b"".join([chunk async for chunk in body_of(await ask(transaction, row))])

    assert content.count(b"Content-Type") == 1
