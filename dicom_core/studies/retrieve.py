"""Retrieve transaction (PS3.18 10.4), also known as WADO-RS: instances and metadata."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import replace
from functools import partial

import orjson

from dicom_core import record
from dicom_core.ports import InstanceStore, Packed, Stores
from dicom_core.record import Columns, Instance
from dicom_core.representations import metadata as json
from dicom_core.representations import native
from dicom_core.representations.archive import Archive
from dicom_core.representations.metadata import Lines
from dicom_core.resources import Level
from dicom_core.studies import payloads, transcode
from dicom_core.studies.ahead import ahead
from dicom_core.studies.payloads import Pieces
from dicom_core.web import headers, media_types
from dicom_core.web.media_types import EXPLICIT_VR_LITTLE_ENDIAN, Category, Offer
from dicom_core.web.messages import Request, Response

_CHUNK = 1 << 18
"""Bytes of metadata that are sent at once."""

_LITTLE_THEN_ALL = (Columns.NONE, Columns.PIXELS)
"""What is read of rows; if some are transcoded, all of it once more: they may be others by then."""


async def instances(request: Request, stores: Stores) -> Response:
    """The instances of the Target Resource, as they were stored or transcoded (PS3.18 10.4.1.1.1)."""
    single = request.resource.level is Level.INSTANCE
    acceptable = media_types.negotiate(request, Category.INSTANCES, single=single)
    for columns in _LITTLE_THEN_ALL:
        rows = await payloads.records(request, stores, columns)
        offers = [acceptable.select(row.transfer_syntax, targets=transcode.targets(row)) for row in rows]
        version = payloads.version_of(request, rows)
        zipped = next((offer for offer in offers if offer.media_type == media_types.ZIP), None)
        if zipped is not None:
            return _archive(request, stores.instances, rows, version, zipped)
        etag = payloads.etag_of(version, offers)
        if known := payloads.not_modified(request, etag):
            return known
        if not any(offer.transcoded for offer in offers):
            break
    given = [_possible(offer, row) for offer, row in zip(offers, rows, strict=True)]
    if offers[0].multipart:
        pieces = _instances(stores.instances, rows, given)
        return payloads.several(
            offers, version, pieces, lambda index: {"Content-Type": given[index].content_type}
        )
    if offers[0].transcoded:
        fields = {"Content-Type": given[0].content_type, "ETag": etag}
        return Response(200, fields, await _content(stores.instances, rows[0], given[0]))
    read = partial(stores.instances.get, rows[0].partition, rows[0].version)
    return await payloads.single(request, offers[0], etag, read, (0, rows[0].length))


async def metadata(request: Request, stores: Stores) -> Response:
    """The data sets of the Target Resource's instances, without bulk data (PS3.18 10.4.1.1.2)."""
    offer = media_types.negotiate(request, Category.METADATA, single=True).select()
    as_xml = offer.media_type == media_types.DICOM_XML
    if request.resource.level is not Level.INSTANCE:
        offer = replace(offer, multipart=as_xml)
        packed = () if as_xml else await stores.index.packed(request.resource)
        if packed:
            return await _packed_metadata(request, stores, offer, packed)
    rows = await payloads.records(request, stores, Columns.HEADER)
    version = payloads.version_of(request, rows) + (".xml" if as_xml else "")
    etag = payloads.etag_of(version, [offer])
    if known := payloads.not_modified(request, etag):
        return known
    texts = (json.absolute(json.unpack(row.header), request.url(row.resource)) for row in rows)
    if offer.multipart:
        return payloads.several([offer], version, _documents(texts))
    fields = {"Content-Type": offer.content_type, "ETag": etag}
    if as_xml:
        return Response(200, fields, native.document(orjson.loads(next(texts))))
    return Response(200, fields, _gathered(json.join(texts)))


async def _packed_metadata(
    request: Request, stores: Stores, offer: Offer, packed: Sequence[Packed]
) -> Response:
    """Metadata that the indexer has put together: as they lie, if one blob is what is asked for."""
    etag = headers.etag(record.joint_version(one.version for one in packed))
    if known := payloads.not_modified(request, etag):
        return known
    fields = {"Content-Type": offer.content_type, "ETag": etag}
    as_it_lies = len(packed) == 1 and packed[0].base_url == request.base_url
    if as_it_lies and headers.accepts_gzip(request.headers.get("accept-encoding")):
        fields["Content-Encoding"] = "gzip"
        return Response(200, fields, await stores.index.read_packed(packed[0]))
    return Response(200, fields, _unpacked(request, stores, packed))


async def _unpacked(request: Request, stores: Stores, packed: Sequence[Packed]) -> AsyncIterator[bytes]:
    """Packed metadata as one JSON array, with the URLs of this request."""
    before = b"["
    async with aclosing(ahead(stores.index.read_packed(one) for one in packed)) as contents:
        for one in packed:
            yield before
            lines = Lines()
            async for chunk in await anext(contents):
                if text := lines.feed(chunk):
                    yield json.rebased(text, one.base_url, request.base_url)
            yield json.rebased(lines.finish(), one.base_url, request.base_url)
            before = json.BETWEEN
    yield b"]"


def _archive(
    request: Request, store: InstanceStore, rows: Sequence[Instance], version: str, offer: Offer
) -> Response:
    """The instances as files of a zip archive, for people; a folder for each series."""
    etag = headers.etag(f"{version}.zip")
    if known := payloads.not_modified(request, etag):
        return known
    fields = {
        "Content-Type": media_types.ZIP,
        "Content-Disposition": f'attachment; filename="{request.resource.path.rpartition("/")[2]}.zip"',
        "ETag": etag,
    }
    return Response(200, fields, _archived(store, rows, offer))


async def _archived(store: InstanceStore, rows: Sequence[Instance], offer: Offer) -> AsyncIterator[bytes]:
    archive = Archive()
    index = -1
    async for part, chunk in _instances(store, rows, [offer] * len(rows)):
        if part != index:
            index = part
            archive.begin(f"{rows[part].series}/{rows[part].instance}.dcm")
        yield archive.write(chunk)
    yield archive.finish()


def _possible(offer: Offer, row: Instance) -> Offer:
    """What an instance is given as: one without pixels is not compressed, whatever the others are."""
    compressed = offer.transcoded and offer.transfer_syntax != EXPLICIT_VR_LITTLE_ENDIAN
    if compressed and not row.frames:
        return replace(offer, transfer_syntax=EXPLICIT_VR_LITTLE_ENDIAN)
    return offer


async def _content(store: InstanceStore, row: Instance, offer: Offer) -> AsyncIterator[bytes]:
    """Begin to read an instance as it is offered."""
    if offer.transcoded and offer.transfer_syntax != row.transfer_syntax:
        return transcode.instance(store, row, offer.transfer_syntax or "")
    return await store.get(row.partition, row.version)


async def _instances(store: InstanceStore, rows: Sequence[Instance], offers: Sequence[Offer]) -> Pieces:
    """The bytes of whole instances; each is begun to be read while the one before is sent."""
    index = 0
    begun = (_content(store, row, offer) for row, offer in zip(rows, offers, strict=True))
    async with aclosing(ahead(begun)) as contents:
        async for content in contents:
            async for chunk in content:
                yield index, chunk
            index += 1


async def _documents(texts: Iterable[bytes]) -> Pieces:
    for index, text in enumerate(texts):
        yield index, native.document(orjson.loads(text))


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
