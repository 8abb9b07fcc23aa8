"""What the Retrieve transactions share: the rows they are about, validators, payloads of one or many parts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial

from dicom_core import record
from dicom_core.errors import ResourceGone, ResourceNotFound
from dicom_core.ports import InstanceStore, Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations import frames as pixels
from dicom_core.representations.bulkdata import Inflater, Window
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.instances import is_deflated
from dicom_core.resources import Level
from dicom_core.web import compression, headers, media_types, multipart
from dicom_core.web.media_types import Offer
from dicom_core.web.messages import Request, Response

Read = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
"""Begins to read a range, given by offset and length, that counts as a `Layout` does."""

Pieces = AsyncIterator[tuple[int, bytes]]
"""Bytes of the parts of an answer, each with the index of its part."""

Head = Callable[[int], Mapping[str, str]]
"""The header fields of a part, by its index."""

AT_ONCE = 1000
"""Frames that are planned together: what a frame costs in memory, it costs when it is its turn."""


async def records(request: Request, stores: Stores, columns: Columns) -> list[Instance]:
    """The rows of the Target Resource.

    Raises
    ------
    ResourceGone
        It was deleted not long ago.
    ResourceNotFound
        There is none, and nothing is known of it.
    """
    rows = await stores.index.records(request.resource, columns)
    if rows:
        return rows
    if await stores.index.remembers(request.resource):
        raise ResourceGone(f"{request.resource.path} was deleted")
    raise ResourceNotFound(f"there is no {request.resource.path}")


def version_of(request: Request, rows: Sequence[Instance]) -> str:
    """What changes whenever an instance is added, replaced or removed."""
    return rows[0].version if request.resource.level is Level.INSTANCE else record.version(rows)


def etag_of(version: str, offers: Sequence[Offer]) -> str:
    """The validator of a version as it is offered: multipart, and other transfer syntaxes, are other bytes."""
    is_as_stored = not (offers[0].multipart or any(offer.transcoded for offer in offers))
    return headers.etag(version if is_as_stored else f"{version}.{_boundary(version, offers)[:8]}")


def not_modified(request: Request, etag: str) -> Response | None:
    """The answer to a user agent that has what would be sent (RFC 9110 13.1.2)."""
    asked = request.headers.get("if-none-match")
    if asked is None or headers.none_match(compression.uncompressed_condition(asked), etag):
        return None
    return Response(304, {"ETag": etag})


async def single(
    request: Request, offer: Offer, etag: str, read: Read, location: tuple[int, int]
) -> Response:
    """Some bytes as a single part, or the range of them that is asked for (RFC 9110 13.1.5, 14)."""
    start, length = location
    fields = {"Content-Type": offer.content_type, "ETag": etag, "Accept-Ranges": "bytes"}
    honoured = request.method == "GET" and request.headers.get("if-range", etag) == etag
    wanted = headers.parse_range(request.headers.get("range") if honoured else None, length)
    status = 200
    if wanted is not None:
        fields["Content-Range"] = f"bytes {wanted[0]}-{sum(wanted) - 1}/{length}"
        start, length, status = start + wanted[0], wanted[1], 206
    fields["Content-Length"] = str(length)
    return Response(status, fields, await read(start, length) if length else b"")


def several(offers: Sequence[Offer], version: str, pieces: Pieces, head: Head | None = None) -> Response:
    """The parts as one multipart payload; what is offered of each may differ in its transfer syntax.

    Parameters
    ----------
    offers
        Every offer that there is, in the order of the first part of each.
    head
        What stands before a part, asked for when it is its turn; None if the first offer is that of all.
    """
    boundary = _boundary(version, offers)
    fields = {
        "Content-Type": media_types.related(offers[0].media_type, boundary),
        "ETag": etag_of(version, offers),
    }
    of_all = {"Content-Type": offers[0].content_type}
    return Response(200, fields, _encoded(boundary, head or (lambda index: of_all), pieces))


def reader(store: InstanceStore, row: Instance) -> Read:
    """What reads ranges of an instance's data set."""
    if is_deflated(row.transfer_syntax):
        return partial(_inflated, store, row)
    return partial(store.get, row.partition, row.version)


async def frames(read: Read, table: FrameTable, numbers: Sequence[int]) -> Pieces:
    """The bytes of frames, in as few reads as they lie together, each of `AT_ONCE` at most."""
    if not table.aligned:
        async for index, piece in _shifted(read, table, numbers):
            yield index, piece
        return
    first = 0
    while first < len(numbers):
        if first:
            await asyncio.sleep(0)  # many small frames may lie in one chunk: others get their turn
        for planned in pixels.plan(table, numbers[first : first + AT_ONCE]):
            cutter = pixels.Cutter(planned)
            async for chunk in await read(planned.start, planned.length):
                for index, piece in cutter.feed(chunk):
                    yield first + index, piece
            first += len(planned.frames)


async def whole(pieces: Pieces) -> Pieces:
    """Each part in one piece."""
    kept: list[bytes] = []
    part = 0
    async for index, piece in pieces:
        if index != part:
            yield part, b"".join(kept)
            kept, part = [], index
        kept.append(piece)
    if kept:
        yield part, b"".join(kept)


async def numbered(content: AsyncIterator[bytes]) -> Pieces:
    """Bytes as those of one part, which is there even if they are none."""
    empty = True
    async for chunk in content:
        empty = False
        yield 0, chunk
    if empty:
        yield 0, b""


async def unnumbered(pieces: Pieces) -> AsyncIterator[bytes]:
    """The bytes of all parts."""
    async for _, piece in pieces:
        yield piece


async def _shifted(read: Read, table: FrameTable, numbers: Sequence[int]) -> Pieces:
    """The bytes of frames of single bits that begin within a byte."""
    for index, number in enumerate(numbers):
        ((start, length),) = table.locate(number)
        covering = b"".join([chunk async for chunk in await read(start, length)])
        yield index, pixels.cut_bits(covering, table.shift(number), table.bits)


def _boundary(version: str, offers: Sequence[Offer]) -> str:
    """The boundary of a payload: the same each time, and known to no one before the version was stored."""
    types = "|".join(dict.fromkeys(offer.content_type for offer in offers))
    return hashlib.blake2b(f"{version}|{types}".encode(), digest_size=16).hexdigest()


async def _encoded(boundary: str, head: Head, pieces: Pieces) -> AsyncIterator[bytes]:
    encoder = multipart.Encoder(boundary)
    part = -1
    async for index, piece in pieces:
        if index != part:
            part = index
            yield encoder.head(head(index)) + piece
        else:
            yield piece
    yield encoder.tail()


async def _inflated(store: InstanceStore, row: Instance, start: int, length: int) -> AsyncIterator[bytes]:
    return _window(await store.get(row.partition, row.version), start, length)


async def _window(content: AsyncIterator[bytes], start: int, length: int) -> AsyncIterator[bytes]:
    inflater, window = Inflater(), Window(start, length)
    async for chunk in content:
        for inflated in inflater.feed(chunk):
            await asyncio.sleep(0)  # a little that is deflated may be much: others get their turn
            if piece := window.feed(inflated):
                yield piece
            if window.complete:
                return
