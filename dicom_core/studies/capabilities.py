"""Retrieve Capabilities transaction (PS3.18 8.9)."""

from __future__ import annotations

from dicom_core.errors import ResourceNotFound
from dicom_core.ports import Stores
from dicom_core.web import api_description, capabilities, media_types
from dicom_core.web.media_types import JSON, Offer
from dicom_core.web.messages import Request, Response

_OFFERS = [Offer(media_type, None, multipart=False) for media_type in (capabilities.WADL, JSON)]


async def retrieve(request: Request, stores: Stores) -> Response:
    """A description of the resource at a path and of all below it; of the whole service at the base URL.

    Raises
    ------
    ResourceNotFound
        There is no resource at the path.
    """
    described = capabilities.find(request.variables.get("path", ""))
    if described is None:
        raise ResourceNotFound("there is no such resource")
    offer = media_types.select_among(request, _OFFERS)
    encode = capabilities.as_json if offer.media_type == JSON else capabilities.as_wadl
    fields = {"Content-Type": offer.media_type, "Allow": ", ".join(described.allowed)}
    return Response(200, fields, encode(request.base_url, described))


async def description(request: Request, stores: Stores) -> Response:
    """The description of the API as OpenAPI; not of PS3.18, but what many tools read."""
    return Response(200, {"Content-Type": JSON}, api_description.as_json(request.base_url))
