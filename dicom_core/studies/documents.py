"""Documents and videos: given as their instances hold them (PS3.3 C.24.2, PS3.5 8.2.5 and following)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from dataclasses import replace

from dicom_core.errors import NotAcceptable
from dicom_core.ports import InstanceStore
from dicom_core.record import Dataset, Instance
from dicom_core.representations import rendered_types
from dicom_core.representations.frames import ITEM_HEADER, FrameTable, Range
from dicom_core.representations.videos import Joiner
from dicom_core.studies import payloads
from dicom_core.studies.payloads import Read
from dicom_core.web.media_types import Offer
from dicom_core.web.messages import Request, Response

_PIXEL_DATA = "7FE00010"
_ALL = (0, 0)


_RUN_BY_BROWSERS = {"text/xml": {"Content-Security-Policy": "sandbox"}}
"""XML may hold scripts, which must not run as if they were pages of this service."""


async def answer(
    request: Request, store: InstanceStore, row: Instance, dataset: Dataset, offer: Offer
) -> Response:
    """The document or the video of an instance, or the range of it that is asked for.

    Raises
    ------
    NotAcceptable
        The instance has none.
    """
    response = await _answer(request, store, row, dataset, offer)
    return replace(response, headers={**response.headers, **_RUN_BY_BROWSERS.get(offer.media_type, {})})


async def _answer(
    request: Request, store: InstanceStore, row: Instance, dataset: Dataset, offer: Offer
) -> Response:
    version = f"{row.version}.rendered"
    etag = payloads.etag_of(version, [offer])
    if known := payloads.not_modified(request, etag):
        return known
    read = payloads.reader(store, row)
    if row.sop_class in rendered_types.DOCUMENTS:
        read, location = _document(row, dataset, read)
    else:
        read, location = await _video(row, read)
    if location is not None and not offer.multipart:
        return await payloads.single(request, offer, etag, read, location)
    content = await read(*(location or _ALL))
    if offer.multipart:
        return payloads.several([offer], version, payloads.numbered(content))
    return Response(200, {"Content-Type": offer.content_type, "ETag": etag}, content)


def _document(row: Instance, dataset: Dataset, read: Read) -> tuple[Read, Range | None]:
    """Where a document lies, without what pads it."""
    found = rendered_types.document(dataset)
    content = found.content
    if content is None:
        start, length = _value(row, rendered_types.DOCUMENT, "document")
        return read, (start, min(length, found.length or length))

    async def cut(start: int, length: int) -> AsyncIterator[bytes]:
        return _once(content[start : start + length])

    return cut, (0, len(content))


def _value(row: Instance, path: str, what: str) -> Range:
    location = row.bulkdata.get(path)
    if location is None:
        raise NotAcceptable(f"the instance has no {what}")
    return location


async def _video(row: Instance, read: Read) -> tuple[Read, Range | None]:
    """Where a video lies that is in one fragment, as nearly all are: players ask for ranges of it.

    Where one of several fragments lies is not known before it is read: there is only all of it.
    """
    value = _value(row, _PIXEL_DATA, "video")
    first = FrameTable.from_bytes(row.frames).offset
    if value[0] <= first <= sum(value) - ITEM_HEADER:
        header = b"".join([chunk async for chunk in await read(first, ITEM_HEADER)])
        (length,) = struct.unpack_from("<L", header, 4)
        if first + ITEM_HEADER + length == sum(value):
            return read, (first + ITEM_HEADER, length)

    async def joined(start: int, length: int) -> AsyncIterator[bytes]:
        return _joined(await read(*value))

    return joined, None


async def _joined(value: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    joiner = Joiner()
    async for chunk in value:
        if piece := joiner.feed(chunk):
            yield piece


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
