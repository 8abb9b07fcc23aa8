"""Retrieve transaction (PS3.18 10.4), also known as WADO-RS: instances, metadata, frames and bulk data.

Nothing is transcoded: what is given has the transfer syntax it was stored with.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial

from dicom_core import resources
from dicom_core.errors import ResourceNotFound
from dicom_core.ports import InstanceStore, Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations import frames as pixels
from dicom_core.representations import metadata as json
from dicom_core.representations.bulkdata import Inflater, Window
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.instances import IMPLICIT_LITTLE, is_deflated
from dicom_core.resources import Level
from dicom_core.studies.ahead import ahead
from dicom_core.web import headers, media_types, multipart
from dicom_core.web.media_types import EXPLICIT_VR_LITTLE_ENDIAN, Category, Offer
from dicom_core.web.messages import Request, Response

Read = Callable[[int, int], Awaitable[AsyncIterator[bytes]]]
"""Begins to read a range, given by offset and length, that counts as a `Layout` does."""

Pieces = AsyncIterator[tuple[int, bytes]]
"""Bytes of the parts of an answer, each with the index of its part."""

_CHUNK = 1 << 18
"""Bytes of metadata that are sent at once."""


async def instances(request: Request, stores: Stores) -> Response:
    """The instances of the Target Resource, as they were stored (PS3.18 10.4.1.1.1)."""
    single = request.resource.level is Level.INSTANCE
    acceptable = media_types.negotiate(request, Category.INSTANCES, single=single)
    rows = await _records(request, stores, Columns.NONE)
    offers = [acceptable.select(row.transfer_syntax) for row in rows]
    version = _version(request, rows)
    etag = _etag(version, offers)
    if _is_known(request, etag):
        return Response(304, {"ETag": etag})
    if offers[0].multipart:
        return _multipart(offers, version, _instances(stores.instances, rows))
    read = partial(stores.instances.get, rows[0].partition, rows[0].version)
    return await _single(request, offers[0], etag, read, (0, rows[0].length))


async def metadata(request: Request, stores: Stores) -> Response:
    """The data sets of the Target Resource's instances, without bulk data (PS3.18 10.4.1.1.2)."""
    offer = media_types.negotiate(request, Category.METADATA, single=True).select()
    rows = await _records(request, stores, Columns.HEADER)
    etag = headers.etag(_version(request, rows))
    if _is_known(request, etag):
        return Response(304, {"ETag": etag})
    texts = (json.absolute(json.unpack(row.header), request.url(row.resource)) for row in rows)
    return Response(200, {"Content-Type": offer.content_type, "ETag": etag}, _gathered(json.join(texts)))


async def frames(request: Request, stores: Stores) -> Response:
    """Frames of an instance, in the order they were asked for (PS3.18 10.4.1.1.6)."""
    numbers = resources.parse_frames(request.variables["frames"])
    acceptable = media_types.negotiate(request, Category.FRAMES, single=len(numbers) == 1)
    (row,) = await _records(request, stores, Columns.PIXELS)
    table = FrameTable.from_bytes(row.frames)
    beyond = next((number for number in numbers if number > table.count), None)
    if beyond is not None:
        raise ResourceNotFound(
            f"there is no frame {beyond}; of the instance's frames {table.count} can be had"
        )
    offer = acceptable.select(_pixel_syntax(row))
    etag = _etag(row.version, [offer])
    if _is_known(request, etag):
        return Response(304, {"ETag": etag})
    return await _frames(request, stores.instances, row, offer, table, numbers)


async def bulkdata(request: Request, stores: Stores) -> Response:
    """The value that a BulkDataURI of the metadata stands for (PS3.18 10.4.1.1.5)."""
    acceptable = media_types.negotiate(request, Category.BULKDATA, single=True)
    (row,) = await _records(request, stores, Columns.PIXELS)
    path = request.variables.get("bulkdata", "")
    location = row.bulkdata.get(path)
    if location is None:
        raise ResourceNotFound("there is no such bulk data in the instance")
    syntax = _pixel_syntax(row) if path in pixels.ELEMENTS else EXPLICIT_VR_LITTLE_ENDIAN
    offer, table = acceptable.select(syntax), FrameTable.from_bytes(row.frames)
    etag = _etag(row.version, [offer])
    if _is_known(request, etag):
        return Response(304, {"ETag": etag})
    if path in pixels.ELEMENTS and table.encapsulated and table.count:
        numbers = range(1, table.count + 1)
        return await _frames(request, stores.instances, row, offer, table, numbers)
    read = _reader(stores.instances, row)
    if offer.multipart:
        return _multipart([offer], row.version, _numbered(await read(*location)))
    return await _single(request, offer, etag, read, location)


async def _records(request: Request, stores: Stores, columns: Columns) -> list[Instance]:
    rows = await stores.index.records(request.resource, columns)
    if not rows:
        raise ResourceNotFound(f"there is no {request.resource.path}")
    return rows


def _version(request: Request, rows: Sequence[Instance]) -> str:
    """What changes whenever an instance is added, replaced or removed."""
    if request.resource.level is Level.INSTANCE:
        return rows[0].version
    return hashlib.blake2b("|".join(sorted(row.version for row in rows)).encode(), digest_size=16).hexdigest()


def _is_known(request: Request, etag: str) -> bool:
    """The user agent has what would be sent (RFC 9110 13.1.2): the answer is 304."""
    return not headers.none_match(request.headers.get("if-none-match"), etag)


def _pixel_syntax(row: Instance) -> str:
    """The transfer syntax of frames: native little endian pixels are the same, whatever the header's encoding."""
    if is_deflated(row.transfer_syntax) or row.transfer_syntax == IMPLICIT_LITTLE:
        return EXPLICIT_VR_LITTLE_ENDIAN
    return row.transfer_syntax


async def _frames(
    request: Request,
    store: InstanceStore,
    row: Instance,
    offer: Offer,
    table: FrameTable,
    numbers: Sequence[int],
) -> Response:
    read = _reader(store, row)
    pieces = _cut(read, table, numbers) if table.aligned else _shifted(read, table, numbers)
    if offer.multipart:
        return _multipart([offer] * len(numbers), row.version, pieces)
    ranges = table.locate(numbers[0])
    if len(ranges) == 1 and table.aligned:
        return await _single(request, offer, _etag(row.version, [offer]), read, ranges[0])
    fields = {"Content-Type": offer.content_type, "ETag": _etag(row.version, [offer])}
    return Response(200, fields, _unnumbered(pieces))


async def _single(
    request: Request, offer: Offer, etag: str, read: Read, location: tuple[int, int]
) -> Response:
    """Some bytes as a single part, or the range of them that is asked for (RFC 9110 13.1.5, 14)."""
    start, length = location
    fields = {"Content-Type": offer.content_type, "ETag": etag, "Accept-Ranges": "bytes"}
    asked = request.headers.get("range") if request.headers.get("if-range", etag) == etag else None
    wanted = headers.parse_range(asked, length)
    status = 200
    if wanted is not None:
        fields["Content-Range"] = f"bytes {wanted[0]}-{sum(wanted) - 1}/{length}"
        start, length, status = start + wanted[0], wanted[1], 206
    fields["Content-Length"] = str(length)
    return Response(status, fields, await read(start, length))


def _multipart(offers: Sequence[Offer], version: str, pieces: Pieces) -> Response:
    """The parts as one multipart payload; what is offered of each may differ in its transfer syntax."""
    boundary = _boundary(version, offers)
    fields = {
        "Content-Type": media_types.related(offers[0].media_type, boundary),
        "ETag": _etag(version, offers),
    }
    return Response(200, fields, _encoded(boundary, offers, pieces))


def _etag(version: str, offers: Sequence[Offer]) -> str:
    """The validator of a version as it is offered: a multipart payload has other bytes than a single part."""
    return headers.etag(f"{version}.{_boundary(version, offers)[:8]}" if offers[0].multipart else version)


def _boundary(version: str, offers: Sequence[Offer]) -> str:
    """The boundary of a payload: the same each time, and known to no one before the version was stored."""
    types = "|".join(dict.fromkeys(offer.content_type for offer in offers))
    return hashlib.blake2b(f"{version}|{types}".encode(), digest_size=16).hexdigest()


async def _encoded(boundary: str, offers: Sequence[Offer], pieces: Pieces) -> AsyncIterator[bytes]:
    encoder = multipart.Encoder(boundary)
    part = -1
    async for index, piece in pieces:
        if index != part:
            part = index
            yield encoder.head({"Content-Type": offers[index].content_type}) + piece
        else:
            yield piece
    yield encoder.tail()


def _reader(store: InstanceStore, row: Instance) -> Read:
    """What reads ranges of an instance's data set."""
    if is_deflated(row.transfer_syntax):
        return partial(_inflated, store, row)
    return partial(store.get, row.partition, row.version)


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


async def _instances(store: InstanceStore, rows: Sequence[Instance]) -> Pieces:
    """The bytes of whole instances; each is begun to be read while the one before is sent."""
    index = 0
    async for content in ahead(store.get(row.partition, row.version) for row in rows):
        async for chunk in content:
            yield index, chunk
        index += 1


async def _cut(read: Read, table: FrameTable, numbers: Sequence[int]) -> Pieces:
    """The bytes of frames, in as few reads as they lie together."""
    first = 0
    for planned in pixels.plan(table, numbers):
        cutter = pixels.Cutter(planned)
        async for chunk in await read(planned.start, planned.length):
            for index, piece in cutter.feed(chunk):
                yield first + index, piece
        first += len(planned.frames)


async def _shifted(read: Read, table: FrameTable, numbers: Sequence[int]) -> Pieces:
    """The bytes of frames of single bits that begin within a byte."""
    for index, number in enumerate(numbers):
        ((start, length),) = table.locate(number)
        covering = b"".join([chunk async for chunk in await read(start, length)])
        yield index, pixels.cut_bits(covering, table.shift(number), table.bits)


async def _numbered(content: AsyncIterator[bytes]) -> Pieces:
    async for chunk in content:
        yield 0, chunk


async def _unnumbered(pieces: Pieces) -> AsyncIterator[bytes]:
    async for _, piece in pieces:
        yield piece


async def _gathered(texts: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Send many small pieces in fewer larger ones."""
    gathered: list[bytes] = []
    size = 0
    for text in texts:
        gathered.append(text)
        size += len(text)
        if size >= _CHUNK:
            yield b"".join(gathered)
            gathered, size = [], 0
    yield b"".join(gathered)
