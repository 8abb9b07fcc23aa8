"""Frames and instances in another transfer syntax than the one they are stored with (PS3.18 8.7.3.5.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

import orjson

from dicom_core.errors import NotAcceptable
from dicom_core.ports import InstanceStore, Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations import metadata, transcoding
from dicom_core.representations.conversion import MAX_HEADER, Conversion, Parts
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.images import Image, Undecodable, Unencodable
from dicom_core.representations.instances import is_deflated
from dicom_core.studies import payloads
from dicom_core.studies.computing import TIMES_DECODED, compute, room
from dicom_core.studies.payloads import Pieces, Read

_TO_THE_END = 1 << 62


def targets(row: Instance) -> tuple[str, ...]:
    """The transfer syntaxes that an instance can be given in beside its own, those that cost least first."""
    return transcoding.targets(row.transfer_syntax)


async def frames(
    stores: Stores, row: Instance, read: Read, table: FrameTable, numbers: Sequence[int], target: str
) -> Pieces:
    """Frames in a transfer syntax, each made from its own bytes only."""
    (with_header,) = await stores.index.records(row.resource, Columns.HEADER)
    with _not_acceptable():
        image = Image.of(orjson.loads(metadata.unpack(with_header.header)))
        async for index, frame in payloads.whole(payloads.frames(read, table, numbers)):
            async with room.taken(TIMES_DECODED * image.size + len(frame)):
                transcoded = await compute(_frame, frame, row.transfer_syntax, image, target)
            yield index, transcoded


async def instance(store: InstanceStore, row: Instance, target: str) -> AsyncIterator[bytes]:
    """The file of an instance in a transfer syntax; the row has its pixel columns.

    A frame at a time is in memory, and what stands before and behind the pixel data.
    """
    table = FrameTable.from_bytes(row.frames)
    parts, read = Parts.of(row.bulkdata, table), payloads.reader(store, row)
    end = _TO_THE_END if is_deflated(row.transfer_syntax) else row.length
    with _not_acceptable():
        head = await _read(read, 0, end if parts.head is None else parts.head)
        conversion = await compute(Conversion, head, row.transfer_syntax, target, parts)
        if parts.head is None or parts.tail is None:
            yield await compute(conversion.finish)
            return
        if transcoding.is_native(row.transfer_syntax):
            pieces = await read(parts.head, parts.length)
        else:
            every = payloads.frames(read, table, range(1, table.count + 1))
            pieces = payloads.unnumbered(payloads.whole(every))
        needed = TIMES_DECODED * conversion.frame_size
        async for piece in pieces:
            async with room.taken(needed + len(piece)):
                converted = await compute(conversion.pixels, piece)
            if converted:
                yield converted
        tail = await _read(read, parts.tail, end - parts.tail) if parts.tail < end else b""
        yield await compute(conversion.finish, tail)


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
