"""Search transaction (PS3.18 10.6), also known as QIDO-RS: studies, series and instances, below all or below one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import orjson

from dicom_core.ports import Stores
from dicom_core.record import Dataset
from dicom_core.representations import metadata as json
from dicom_core.representations import native
from dicom_core.resources import Level, Resource
from dicom_core.web import media_types, multipart, search_parameters
from dicom_core.web.media_types import Category
from dicom_core.web.messages import Request, Response


async def studies(request: Request, stores: Stores) -> Response:
    """Search for studies."""
    return await _search(request, stores, Level.STUDY)


async def series(request: Request, stores: Stores) -> Response:
    """Search for series, of one study or of all."""
    return await _search(request, stores, Level.SERIES)


async def instances(request: Request, stores: Stores) -> Response:
    """Search for instances, of one series, of one study or of all."""
    return await _search(request, stores, Level.INSTANCE)


async def _search(request: Request, stores: Stores, level: Level) -> Response:
    offer = media_types.negotiate(request, Category.METADATA, single=True).select()
    parsed = search_parameters.parse(request.parameters, level, request.resource)
    page = await stores.index.search(parsed.query)
    warnings = list(parsed.warnings)
    if page.more:
        warnings.append("there are more results than these; ask for them with offset")
    headers = {"Warning": ", ".join(f'299 dicom-functions "{text}"' for text in warnings)} if warnings else {}
    if not page.datasets:
        return Response(204, headers)
    texts = [_encoded(request, level, dataset) for dataset in page.datasets]
    if offer.media_type == media_types.DICOM_XML:
        return _as_xml(headers, texts)
    return Response(200, {"Content-Type": offer.content_type, **headers}, b"[" + b",".join(texts) + b"]")


def _as_xml(headers: Mapping[str, str], texts: Sequence[bytes]) -> Response:
    """Each result as a document of its own (PS3.18 10.6.3.3)."""
    documents = [native.document(orjson.loads(text)) for text in texts]
    boundary = blake2b(b"".join(documents), digest_size=16).hexdigest()
    encoder, content_type = multipart.Encoder(boundary), {"Content-Type": media_types.DICOM_XML}
    body = b"".join(piece for document in documents for piece in (encoder.head(content_type), document))
    fields = {"Content-Type": media_types.related(media_types.DICOM_XML, boundary), **headers}
    return Response(200, fields, body + encoder.tail())


def _encoded(request: Request, level: Level, dataset: Dataset) -> bytes:
    """A result as JSON, with RetrieveURL (0008,1190) in its place by tag.

    Bulk data is told where it lies by an instance's result only: a study or a series has none of its own.
    """
    study, series, instance = (_uid(dataset, tag) for tag in ("0020000D", "0020000E", "00080018"))
    url = request.url(Resource(study, series, instance))
    ordered = dict(sorted((dataset | {"00081190": {"vr": "UR", "Value": [url]}}).items()))
    text = orjson.dumps(ordered)
    if json.BULK not in text:
        return text
    if level is Level.INSTANCE:
        return json.absolute(text, url)
    return orjson.dumps(
        {tag: element for tag, element in ordered.items() if json.BULK not in orjson.dumps(element)}
    )


def _uid(dataset: Dataset, tag: str) -> str | None:
    element = dataset.get(tag)
    return None if element is None else element["Value"][0]
