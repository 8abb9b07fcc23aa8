"""Frames and instances in another transfer syntax than the one they are stored with (PS3.18 8.7.3.5.2)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager

import orjson

from dicom_core.errors import NotAcceptable
from dicom_core.ports import InstanceStore
from dicom_core.record import Instance
from dicom_core.representations import metadata, transcoding
from dicom_core.representations.conversion import MAX_HEADER, Conversion, Parts
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.images import MAX_FRAME, Image, Undecodable, Unencodable
from dicom_core.representations.instances import is_deflated
from dicom_core.studies import payloads
from dicom_core.studies.computing import TIMES_DECODED, compute, room
from dicom_core.studies.payloads import Read

TIMES_HEADER = 4
"""How many times the bytes of a head or a tail are in memory: as they came, read, and written again."""

_TO_THE_END = 1 << 62


def targets(row: Instance) -> tuple[str, ...]:
    """The transfer syntaxes that an instance can be given in beside its own, those that cost least first."""
    return transcoding.targets(row.transfer_syntax)


async def frames(
    store: InstanceStore, row: Instance, table: FrameTable, numbers: Sequence[int], target: str
) -> AsyncGenerator[tuple[int, bytes], None]:
    """Frames in a transfer syntax, each made from its own bytes only; the row has its header and pixel columns."""
    with _not_acceptable():
        image = Image.of(orjson.loads(metadata.unpack(row.header)))
        lengths = [_length(table, number) for number in numbers]
        contents = payloads.whole(payloads.frames(payloads.reader(store, row), table, numbers))
        for index, length in enumerate(lengths):
            async with room.taken(TIMES_DECODED * image.size + length):
                _, frame = await anext(contents)
                transcoded = await compute(_frame, frame, row.transfer_syntax, image, target)
            yield index, transcoded


async def instance(store: InstanceStore, row: Instance, target: str) -> AsyncGenerator[bytes, None]:
    """The file of an instance in a transfer syntax; the row has its pixel columns.

    A frame at a time is in memory, and what stands before and behind the pixel data. What takes room enters it before
    it is read.
    """
    table = FrameTable.from_bytes(row.frames)
    parts, read = Parts.of(row.bulkdata, table), payloads.reader(store, row)
    end = _TO_THE_END if is_deflated(row.transfer_syntax) else row.length
    with _not_acceptable():
        length = end if parts.head is None else parts.head
        async with _room_for_header(length):
            head = await _read(read, 0, length)
            conversion = await compute(Conversion, head, row.transfer_syntax, target, parts)
            del head
        if parts.head is None or parts.tail is None:
            yield await compute(conversion.finish)
            return
        if transcoding.is_native(row.transfer_syntax):
            converted = _converted_pieces(conversion, await read(parts.head, parts.length))
        else:
            converted = _converted_frames(conversion, read, table)
        async for piece in converted:
            yield piece
        length = end - parts.tail
        async with _room_for_header(length):
            tail = await _read(read, parts.tail, length) if length > 0 else b""
            last = await compute(conversion.finish, tail)
        yield last


async def _converted_pieces(conversion: Conversion, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What becomes of native pixel data."""
    needed = TIMES_DECODED * conversion.frame_size
    async for piece in pieces:
        async with room.taken(needed + len(piece)):
            converted = await compute(conversion.pixels, piece)
        if converted:
            yield converted


async def _converted_frames(conversion: Conversion, read: Read, table: FrameTable) -> AsyncIterator[bytes]:
    """What becomes of encapsulated pixel data."""
    needed = TIMES_DECODED * conversion.frame_size
    numbers = range(1, table.count + 1)
    contents = payloads.whole(payloads.frames(read, table, numbers))
    for number in numbers:
        async with room.taken(needed + _length(table, number)):
            _, frame = await anext(contents)
            converted = await compute(conversion.pixels, frame)
        if converted:
            yield converted


def _length(table: FrameTable, number: int) -> int:
    """Bytes of a frame as it is stored, which need not be in any relation to those that its header speaks of.

    Raises
    ------
    Undecodable
        They are more than `MAX_FRAME`.
    """
    length = sum(length for _, length in table.locate(number))
    if length > MAX_FRAME:
        raise Undecodable(f"frame {number} of the instance has more than {MAX_FRAME} bytes")
    return length


def _room_for_header(length: int) -> AbstractAsyncContextManager[None]:
    return room.taken(TIMES_HEADER * min(length, MAX_HEADER))


def _frame(frame: bytes, transfer_syntax: str, image: Image, target: str) -> bytes:
    return transcoding.encode(*transcoding.decode(frame, transfer_syntax, image), target)[0]


async def _read(read: Read, start: int, length: int) -> bytes:
    """Some bytes as a whole, up to the most that a header may have."""
    content = bytearray()
    async for chunk in await read(start, length):
        content += chunk
        if len(content) > MAX_HEADER:
            raise Undecodable(f"the instance has more than {MAX_HEADER} bytes beside its pixel data")
    return bytes(content)


@contextmanager
def _not_acceptable() -> Iterator[None]:
    try:
        yield
    except (Undecodable, Unencodable) as error:
        raise NotAcceptable(f"Accept: the instance cannot be transcoded: {error}") from None
