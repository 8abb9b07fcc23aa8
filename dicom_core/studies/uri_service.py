"""Transactions of the URI Service (PS3.18 9), also known as WADO-URI: an instance as it is stored, or rendered."""

from __future__ import annotations

from dataclasses import replace

from dicom_core.errors import BadRequest, NotAcceptable
from dicom_core.ports import Stores
from dicom_core.resources import is_uid
from dicom_core.studies import rendered, retrieve
from dicom_core.studies.rendered import Asked, FrameNotFound
from dicom_core.web import media_types, rendered_parameters, uri_parameters
from dicom_core.web.media_types import MediaRange
from dicom_core.web.messages import Request, Response
from dicom_core.web.uri_parameters import Parsed


async def instance(request: Request, stores: Stores) -> Response:
    """The instance that parameters name (PS3.18 9.4, 9.5).

    Where any media type will do it is an image (9.3); what cannot be rendered is given as it is stored.
    """
    asked = uri_parameters.parse(request.parameters)
    accept = (("accept", asked.accept),) if asked.accept else ()
    request = replace(request, resource=asked.resource, parameters=accept)
    return replace(await _answer(request, stores, asked), about=(asked.resource,))


async def _answer(request: Request, stores: Stores, asked: Parsed) -> Response:
    ranges = media_types.acceptable(request)
    preferred = max(ranges, key=lambda media_range: media_range.q, default=None)
    if preferred is not None and preferred.content == media_types.DICOM:
        return await _stored(request, stores, asked, preferred)
    try:
        return await _rendered(request, stores, asked)
    except NotAcceptable:
        anything = next((each for each in ranges if each.q and each.content == "*/*"), None)
        if anything is None:
            raise
        return await _stored(request, stores, asked, anything)


async def _stored(request: Request, stores: Stores, asked: Parsed, preferred: MediaRange) -> Response:
    syntaxes = (asked.transfer_syntax,) if asked.transfer_syntax else preferred.transfer_syntaxes
    named = (f"; transfer-syntax={syntax}" for syntax in syntaxes if syntax == "*" or is_uid(syntax))
    accept = "".join([media_types.DICOM, *named])
    response = await retrieve.instances(replace(request, parameters=(("accept", accept),)), stores)
    return rendered.warned(response, asked.warnings)


async def _rendered(request: Request, stores: Stores, asked: Parsed) -> Response:
    parsed = rendered_parameters.parse(asked.rendered)
    frames = () if asked.frame is None else (asked.frame,)
    image = Asked(parsed.rendition, frames, asked.region, (*asked.warnings, *parsed.warnings), alone=True)
    try:
        return await rendered.answer(request, stores, image)
    except FrameNotFound as error:
        raise BadRequest(f"frameNumber: {error}") from None
