"""Retrieve transaction (PS3.18 10.4), also known as WADO-RS: frames, bulk data and pixel data."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from dicom_core import attributes, resources
from dicom_core.errors import ResourceNotFound
from dicom_core.ports import InstanceStore, Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations import frames as pixels
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.instances import IMPLICIT_LITTLE, is_deflated
from dicom_core.representations.rendered_types import DOCUMENT
from dicom_core.resources import Level
from dicom_core.studies import payloads, transcode
from dicom_core.studies.payloads import Pieces
from dicom_core.web import media_types
from dicom_core.web.media_types import EXPLICIT_VR_LITTLE_ENDIAN, Category, Offer
from dicom_core.web.messages import Request, Response

_LITTLE_THEN_ALL = (Columns.PIXELS, Columns.PIXELS | Columns.HEADER)
"""What is read of a row for its frames; if they are transcoded, all of it once more: it may be another by then."""


async def frames(request: Request, stores: Stores) -> Response:
    """Frames of an instance, in the order they were asked for (PS3.18 10.4.1.1.6)."""
    numbers = resources.parse_frames(request.variables["frames"])
    acceptable = media_types.negotiate(request, Category.FRAMES, single=len(numbers) == 1)
    for columns in _LITTLE_THEN_ALL:
        (row,) = await payloads.records(request, stores, columns)
        table = FrameTable.from_bytes(row.frames)
        _check(table, numbers)
        offer = acceptable.select(_pixel_syntax(row), targets=transcode.targets(row))
        etag = payloads.etag_of(row.version, [offer])
        if known := payloads.not_modified(request, etag):
            return known
        if not offer.transcoded:
            return await _frames(request, stores.instances, row, offer, table, numbers)
    assert offer.transfer_syntax is not None
    pieces = transcode.frames(stores.instances, row, table, numbers, offer.transfer_syntax)
    if offer.multipart:
        return payloads.several([offer], row.version, pieces)
    fields = {"Content-Type": offer.content_type, "ETag": etag}
    return Response(200, fields, payloads.unnumbered(pieces))


async def bulkdata(request: Request, stores: Stores) -> Response:
    """The value that a BulkDataURI of the metadata stands for (PS3.18 10.4.1.1.5)."""
    acceptable = media_types.negotiate(request, Category.BULKDATA, single=True)
    (row,) = await payloads.records(request, stores, Columns.PIXELS | Columns.INSTANCE)
    path = request.variables.get("bulkdata", "")
    location = row.bulkdata.get(path)
    if location is None:
        raise ResourceNotFound("there is no such bulk data in the instance")
    offer = acceptable.select(_syntax(row, path), document=_document(row, path))
    table = FrameTable.from_bytes(row.frames)
    etag = payloads.etag_of(row.version, [offer])
    if known := payloads.not_modified(request, etag):
        return known
    if _is_framed(path, table):
        numbers = range(1, table.count + 1)
        return await _frames(request, stores.instances, row, offer, table, numbers)
    read = payloads.reader(stores.instances, row)
    if offer.multipart:
        return payloads.several([offer], row.version, payloads.numbered(await read(*location)))
    return await payloads.single(request, offer, etag, read, location)


async def all_bulkdata(request: Request, stores: Stores) -> Response:
    """All bulk data of the Target Resource's instances, pixel data included (PS3.18 10.4.1.1.5)."""
    return await _every(request, stores, lambda path: True)


async def pixel_data(request: Request, stores: Stores) -> Response:
    """The pixel data of the Target Resource's instances (PS3.18 10.4.1.1.7)."""
    return await _every(request, stores, pixels.ELEMENTS.__contains__)


@dataclass(frozen=True, slots=True)
class _Value:
    """Bulk data of an answer: one part, or one for each frame of encapsulated pixel data."""

    row: Instance
    path: str
    offer: Offer
    frames: int


class _Values:
    """All bulk data of an answer; `parts` is how many they make. Of a part nothing is kept."""

    __slots__ = ("_ends", "_values", "parts")

    def __init__(self) -> None:
        self._values: list[_Value] = []
        self._ends: list[int] = []
        self.parts = 0

    def add(self, value: _Value) -> None:
        """Put a value behind the others."""
        self.parts += value.frames or 1
        self._values.append(value)
        self._ends.append(self.parts)

    @property
    def offers(self) -> list[Offer]:
        """What is offered, in the order it comes first."""
        return list(dict.fromkeys(value.offer for value in self._values))

    def head(self, request: Request, index: int) -> dict[str, str]:
        """The header fields of a part."""
        at = bisect_right(self._ends, index)
        value = self._values[at]
        name = f"bulkdata/{value.path}"
        if value.frames:
            name = f"frames/{index - (self._ends[at] - value.frames) + 1}"
        location = f"{request.url(value.row.resource)}/{name}"
        return {"Content-Type": value.offer.content_type, "Content-Location": location}

    async def contents(self, store: InstanceStore) -> Pieces:
        """The bytes of the parts; of the frames of one instance in as few reads as they lie together."""
        first = 0
        for value in self._values:
            read = payloads.reader(store, value.row)
            if value.frames:
                numbers = range(1, value.frames + 1)
                pieces = payloads.frames(read, FrameTable.from_bytes(value.row.frames), numbers)
            else:
                pieces = payloads.numbered(await read(*value.row.bulkdata[value.path]))
            async for index, piece in pieces:
                yield first + index, piece
            first += value.frames or 1


async def _every(request: Request, stores: Stores, is_wanted: Callable[[str], bool]) -> Response:
    """Each value of bulk data as a part, with its Content-Location; of encapsulated pixel data each frame."""
    acceptable = media_types.negotiate(request, Category.BULKDATA, single=False)
    rows = await payloads.records(request, stores, Columns.PIXELS)
    values = _Values()
    for row in rows:
        await asyncio.sleep(0)  # the table may be long: others get their turn
        table = FrameTable.from_bytes(row.frames)
        for path in filter(is_wanted, row.bulkdata):
            offer = acceptable.select(_syntax(row, path))
            values.add(_Value(row, path, offer, table.count if _is_framed(path, table) else 0))
    if not values.parts:
        raise ResourceNotFound(f"there is none in {request.resource.path}")
    version, offers = payloads.version_of(request, rows), values.offers
    if known := payloads.not_modified(request, payloads.etag_of(version, offers)):
        return known
    return payloads.several(offers, version, values.contents(stores.instances), partial(values.head, request))


def _check(table: FrameTable, numbers: Sequence[int]) -> None:
    """Raise ResourceNotFound for a frame that there is not."""
    beyond = next((number for number in numbers if number > table.count), None)
    if beyond is not None:
        raise ResourceNotFound(
            f"there is no frame {beyond}; of the instance's frames {table.count} can be had"
        )


def _document(row: Instance, path: str) -> str | None:
    """What an encapsulated document says it is: MIME Type of Encapsulated Document (0042,0012)."""
    said = attributes.values_of(row.attributes.get(Level.INSTANCE, {}), "00420012")
    return str(said[0]) if path == DOCUMENT and said else None


def _pixel_syntax(row: Instance) -> str:
    """The transfer syntax of frames: native little endian pixels are the same, whatever the header's encoding."""
    if is_deflated(row.transfer_syntax) or row.transfer_syntax == IMPLICIT_LITTLE:
        return EXPLICIT_VR_LITTLE_ENDIAN
    return row.transfer_syntax


def _syntax(row: Instance, path: str) -> str:
    return _pixel_syntax(row) if path in pixels.ELEMENTS else EXPLICIT_VR_LITTLE_ENDIAN


def _is_framed(path: str, table: FrameTable) -> bool:
    """Say if bulk data are encapsulated frames, which are given one by one."""
    return path in pixels.ELEMENTS and table.encapsulated and table.count > 0


async def _frames(
    request: Request,
    store: InstanceStore,
    row: Instance,
    offer: Offer,
    table: FrameTable,
    numbers: Sequence[int],
) -> Response:
    read = payloads.reader(store, row)
    pieces = payloads.frames(read, table, numbers)
    if offer.multipart:
        return payloads.several([offer], row.version, pieces)
    etag = payloads.etag_of(row.version, [offer])
    ranges = table.locate(numbers[0])
    if len(ranges) == 1 and table.aligned:
        return await payloads.single(request, offer, etag, read, ranges[0])
    fields = {"Content-Type": offer.content_type, "ETag": etag}
    return Response(200, fields, payloads.unnumbered(pieces))
