"""Changes as events: CloudEvents 1.0 in JSON, or the schema of Event Grid.

Types and data are those of the managed service, so that what receives its events receives these; `sopClassUid` is new.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

import orjson

from dicom_core.changes import Action, Change
from dicom_core.resources import DEFAULT_PARTITION

TYPES: Mapping[Action, str] = MappingProxyType(
    {
        Action.CREATE: "Microsoft.HealthcareApis.DicomImageCreated",
        Action.UPDATE: "Microsoft.HealthcareApis.DicomImageUpdated",
        Action.DELETE: "Microsoft.HealthcareApis.DicomImageDeleted",
    }
)

_VERSION = "v1"
"""The version in subjects: that which the managed service writes; the resource is the same under any."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it is sent: JSON."""

    id: str
    sequence: int
    content: bytes


Writer = Callable[[Change, str], Event]
"""Writes a change as an event of the service at a URL."""


def cloud_event(change: Change, source: str) -> Event:
    """Write an event of CloudEvents 1.0."""
    name = _id(change, source)
    event = {
        "specversion": "1.0",
        "id": name,
        "source": source,
        "type": TYPES[change.action],
        "subject": _subject(change, source),
        "time": _time(change.time),
        "datacontenttype": "application/json",
        "data": _data(change, source),
    }
    return Event(name, change.sequence, orjson.dumps(event))


def event_grid_event(change: Change, source: str) -> Event:
    """Write an event of Event Grid's schema, less what its topic adds."""
    return _event_grid_event(change, source, {})


def delivered_event_grid_event(change: Change, source: str) -> Event:
    """Write an event of Event Grid's schema, as it is after a topic: for receivers that get it without one."""
    return _event_grid_event(change, source, {"topic": source, "metadataVersion": "1"})


def batches(events: Sequence[Event], most: int, size: int) -> Iterator[Sequence[Event]]:
    """Cut events, in their order, into batches of at most so many, and of at most so many bytes as a JSON array."""
    batch: list[Event] = []
    total = 2
    for event in events:
        length = len(event.content) + 1
        if batch and (len(batch) == most or total + length > size):
            yield batch
            batch, total = [], 2
        batch.append(event)
        total += length
    if batch:
        yield batch


def array(events: Sequence[Event]) -> bytes:
    """Events as a JSON array."""
    return b"[" + b",".join(event.content for event in events) + b"]"


def _event_grid_event(change: Change, source: str, added: Mapping[str, str]) -> Event:
    name = _id(change, source)
    event = {
        "id": name,
        "subject": _subject(change, source),
        "eventType": TYPES[change.action],
        "eventTime": _time(change.time),
        "dataVersion": "1",
        "data": _data(change, source),
        **added,
    }
    return Event(name, change.sequence, orjson.dumps(event))


def _id(change: Change, source: str) -> str:
    """The same each time the change is sent, and no other's: receivers know repeats by it."""
    return str(uuid5(NAMESPACE_URL, f"{source}|{change.sequence}|{change.version}"))


def _subject(change: Change, source: str) -> str:
    partition = change.resource.partition
    root = _VERSION if partition == DEFAULT_PARTITION else f"{_VERSION}/partitions/{partition}"
    url = urlsplit(source)
    resource = change.resource
    return (
        f"{url.netloc}{url.path}/{root}/studies/{resource.study}"
        f"/series/{resource.series}/instances/{resource.instance}"
    )


def _data(change: Change, source: str) -> dict[str, Any]:
    resource = change.resource
    data = {
        "partitionName": resource.partition,
        "imageStudyInstanceUid": resource.study,
        "imageSeriesInstanceUid": resource.series,
        "imageSopInstanceUid": resource.instance,
        "serviceHostName": urlsplit(source).netloc,
        "sequenceNumber": change.sequence,
    }
    return data if change.sop_class is None else {**data, "sopClassUid": change.sop_class}


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
