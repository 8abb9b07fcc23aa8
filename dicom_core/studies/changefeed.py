"""The change feed: what became of which instance, page by page, for those who follow the service.

Not of PS3.18; it is that of the DICOM service of Azure Health Data Services: by sequence number in version 1, by time
in version 2. It is JSON whatever the user agent accepts, as there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import orjson

from dicom_core.changes import Change
from dicom_core.ports import Stores
from dicom_core.record import Instance
from dicom_core.representations import metadata as json
from dicom_core.resources import Resource
from dicom_core.studies import standing
from dicom_core.studies.standing import Standing
from dicom_core.web import changefeed_parameters, headers
from dicom_core.web.media_types import JSON
from dicom_core.web.messages import Request, Response

_CHUNK = 1 << 18
"""Bytes of entries that are sent at once."""


async def changes(request: Request, stores: Stores) -> Response:
    """A page of the feed."""
    asked = changefeed_parameters.parse(request.parameters, request.version)
    if request.version == 1:
        found = await stores.feed.after(asked.offset, asked.limit)
    else:
        found = await stores.feed.between(asked.start, asked.end, asked.offset, asked.limit)
    fields = {"Content-Type": JSON, **_warning(asked.warnings)}
    if not found:
        return Response(200, fields, b"[]")
    known = await standing.known(stores.index, found, headers=asked.metadata)
    entries = _entries(request, stores, found, known, metadata=asked.metadata)
    return Response(200, fields, _array(entries), about=_about(found, metadata=asked.metadata))


async def latest(request: Request, stores: Stores) -> Response:
    """The last entry of the feed; nothing if there is none."""
    asked = changefeed_parameters.parse_latest(request.parameters)
    fields = _warning(asked.warnings)
    change = await stores.feed.latest()
    if change is None:
        return Response(204, fields)
    entries = _entries(request, stores, [change], {}, metadata=asked.metadata)
    body = b"".join([entry async for entry in entries])
    about = _about([change], metadata=asked.metadata)
    return Response(200, {"Content-Type": JSON, **fields}, body, about=about)


def _about(changes: Sequence[Change], *, metadata: bool) -> tuple[Resource, ...]:
    """The studies of which data sets are given, for the log; an entry alone holds none."""
    resources = (change.resource for change in changes if metadata)
    return tuple(dict.fromkeys(Resource(each.study, partition=each.partition) for each in resources))


async def _entries(
    request: Request, stores: Stores, changes: Sequence[Change], known: Standing, *, metadata: bool
) -> AsyncIterator[bytes]:
    async with aclosing(standing.each(stores.index, changes, known, headers=metadata)) as pairs:
        async for change, row in pairs:
            entry = _entry(change, row)
            if metadata and row is not None:
                dataset = json.absolute(json.unpack(row.header), request.url(row.resource))
                entry = b'%b,"metadata":%b}' % (entry[:-1], dataset)
            yield entry


def _entry(change: Change, row: Instance | None) -> bytes:
    """An entry without metadata; what is not known is left out."""
    resource = change.resource
    members = {
        "sequence": change.sequence,
        "partitionName": resource.partition,
        "studyInstanceUid": resource.study,
        "seriesInstanceUid": resource.series,
        "sopInstanceUid": resource.instance,
        "sopClassUid": change.sop_class,
        "action": change.action.capitalize(),
        "timestamp": _shown(change.time),
        "state": change.state(None if row is None else row.version).capitalize(),
    }
    return orjson.dumps({name: value for name, value in members.items() if value is not None})


def _shown(time: datetime) -> str:
    """A time in UTC with all of its digits, as it can be asked for; no character of it needs to be encoded."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


async def _array(entries: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A JSON array of the entries, a line for each, in pieces of some size."""
    piece, before = bytearray(b"["), b""
    async for entry in entries:
        piece += before + entry
        before = json.BETWEEN
        if len(piece) >= _CHUNK:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece + b"]")


def _warning(texts: Sequence[str]) -> dict[str, str]:
    """The header field of some warnings (RFC 7234 5.5)."""
    field = ", ".join(f"299 dicom-functions {headers.quote(text)}" for text in texts)
    return {"Warning": field} if field else {}
