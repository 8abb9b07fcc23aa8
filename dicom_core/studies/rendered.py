"""Retrieve transaction (PS3.18 10.4), also known as WADO-RS: rendered resources and thumbnails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from dicom_core import resources
from dicom_core.errors import NotAcceptable, ResourceNotFound
from dicom_core.ports import Stores
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.rendition import Region, Rendition
from dicom_core.representations import metadata, rendered_types, rendering, representative
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.images import Image, Undecodable
from dicom_core.resources import Level
from dicom_core.studies import documents, payloads
from dicom_core.studies.pictures import Painter
from dicom_core.web import headers, media_types, rendered_parameters
from dicom_core.web.media_types import Offer
from dicom_core.web.messages import Request, Response


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for: of these frames, or, if none are named, of what stands for the Target Resource.

    `warnings` are texts for `Warning: 299`; `alone` says that a multipart payload is not what is meant.
    """

    rendition: Rendition
    frames: tuple[int, ...] = ()
    region: Region | None = None
    warnings: tuple[str, ...] = ()
    alone: bool = False


class FrameNotFound(ResourceNotFound):
    """The instance has fewer frames."""


async def rendered(request: Request, stores: Stores) -> Response:
    """The Target Resource as an image, a video or a document (PS3.18 10.4.1.1.3)."""
    return await answer(request, stores, _asked(request, thumbnail=False))


async def thumbnail(request: Request, stores: Stores) -> Response:
    """One small image that stands for the Target Resource (PS3.18 10.4.1.1.4)."""
    return await answer(request, stores, _asked(request, thumbnail=True))


async def answer(request: Request, stores: Stores, asked: Asked) -> Response:
    """The Target Resource as it is asked for.

    Raises
    ------
    NotAcceptable
        It cannot be rendered, or to no Acceptable Media Type.
    ResourceNotFound
        There is no such resource or frame.
    """
    row = await _row(request, stores, thumbnail=asked.rendition.thumbnail)
    table = FrameTable.from_bytes(row.frames)
    beyond = next((number for number in asked.frames if number > table.count), None)
    if beyond is not None:
        raise FrameNotFound(
            f"there is no frame {beyond}; of the instance's frames {table.count} can be rendered"
        )
    offer = _offer(request, row, table, asked)
    dataset: Dataset = orjson.loads(metadata.unpack(row.header))
    if offer.media_type in rendered_types.IMAGES:
        response = await _image(request, stores, row, table, dataset, asked, offer)
    else:
        response = await documents.answer(request, stores.instances, row, dataset, offer)
        if asked.rendition != Rendition() or asked.region:
            response = warned(response, (f"{offer.media_type} is given as it is stored",))
    return warned(response, asked.warnings)


def _asked(request: Request, *, thumbnail: bool) -> Asked:
    frames = resources.parse_frames(request.variables["frames"]) if "frames" in request.variables else ()
    parsed = rendered_parameters.parse(request.parameters, thumbnail=thumbnail)
    return Asked(parsed.rendition, frames[:1] if thumbnail else frames, warnings=parsed.warnings)


async def _row(request: Request, stores: Stores, *, thumbnail: bool) -> Instance:
    """The row of the instance that is asked for, or of the one that stands for its series or study."""
    if request.resource.level is not Level.INSTANCE:
        rows = await payloads.records(request, stores, Columns.SERIES | Columns.INSTANCE)
        standing = representative.instance(rows, thumbnail=thumbnail)
        if standing is None:
            raise NotAcceptable(f"nothing of {request.resource.path} can be rendered")
        request = replace(request, resource=standing.resource)
    (row,) = await payloads.records(request, stores, Columns.HEADER | Columns.PIXELS)
    return row


def _forms(asked: Asked, media_type: str) -> tuple[bool, ...]:
    """Whether an image may be a part of a multipart payload, and whether it must."""
    if asked.alone:
        return (False,)
    several = len(asked.frames) > 1 and media_type != rendered_types.GIF
    return (True,) if several else (False, True)


def _offer(request: Request, row: Instance, table: FrameTable, asked: Asked) -> Offer:
    is_thumbnail = asked.rendition.thumbnail
    of = rendered_types.thumbnail_media_types if is_thumbnail else rendered_types.rendered_media_types
    possible = of(row.sop_class, row.transfer_syntax, table.count)
    if not possible:
        raise NotAcceptable(rendered_types.reason(row.sop_class, row.transfer_syntax, thumbnail=is_thumbnail))
    offers = [
        Offer(media_type, None, multipart)
        for media_type in possible
        for multipart in _forms(asked, media_type)
    ]
    return media_types.select_among(request, offers)


async def _image(
    request: Request,
    stores: Stores,
    row: Instance,
    table: FrameTable,
    dataset: Dataset,
    asked: Asked,
    offer: Offer,
) -> Response:
    numbers = asked.frames or _chosen(dataset, table, asked, offer.media_type)
    pictures = [numbers] if offer.media_type == rendered_types.GIF else [(number,) for number in numbers]
    try:
        rendition = _with_region(asked, dataset)
        warnings = rendering.check(dataset, pictures[0], rendition, offer.media_type)
    except Undecodable as error:
        raise NotAcceptable(str(error)) from None
    painter = Painter(stores, row, dataset, table, rendition, offer.media_type)
    version = f"{row.version}.{painter.name(numbers)}"
    etag = payloads.etag_of(version, [offer])
    if known := payloads.not_modified(request, etag):
        return known
    if offer.multipart:
        response = payloads.several([offer] * len(pictures), version, painter.pictures(pictures))
    else:
        fields = {"Content-Type": offer.content_type, "ETag": etag}
        response = Response(200, fields, await painter.picture(pictures[0]))
    return warned(response, warnings)


def _chosen(dataset: Dataset, table: FrameTable, asked: Asked, media_type: str) -> tuple[int, ...]:
    """The frames that stand for an instance: as GIF all of them, else one."""
    is_thumbnail = asked.rendition.thumbnail
    if media_type == rendered_types.GIF and not is_thumbnail:
        return tuple(range(1, table.count + 1))
    return (representative.frame(dataset, table.count, thumbnail=is_thumbnail),)


def _with_region(asked: Asked, dataset: Dataset) -> Rendition:
    if asked.region is None:
        return asked.rendition
    image = Image.of(dataset)
    viewport = asked.region.viewport(image.columns, image.rows, asked.rendition.viewport)
    return replace(asked.rendition, viewport=viewport)


def warned(response: Response, texts: Sequence[str]) -> Response:
    """A response with texts as its warnings (RFC 7234 5.5), behind those that it has."""
    if not texts:
        return response
    before = response.headers.get("Warning")
    added = ", ".join(f"299 dicom-functions {headers.quote(text)}" for text in texts)
    warning = f"{before}, {added}" if before else added
    return replace(response, headers={**response.headers, "Warning": warning})
