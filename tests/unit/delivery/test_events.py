"""Events are those of CloudEvents 1.0 and of Event Grid, with the types and the data of the managed service."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from dicom_core.changes import Action, Change
from dicom_core.delivery import events
from dicom_core.delivery.events import Event
from dicom_core.resources import Resource

SOURCE = "https://dicom.example.org"
CHANGE = Change(
    7,
    datetime(2026, 1, 31, 9, 0, 0, 5, tzinfo=timezone(timedelta(hours=1))),
    Action.CREATE,
    Resource("1.2", "1.2.3", "1.2.3.4"),
    "01J-0",
    "1.2.840.10008.5.1.4.1.1.2",
)
DATA = {
    "partitionName": "Microsoft.Default",
    "imageStudyInstanceUid": "1.2",
    "imageSeriesInstanceUid": "1.2.3",
    "imageSopInstanceUid": "1.2.3.4",
    "serviceHostName": "dicom.example.org",
    "sequenceNumber": 7,
    "sopClassUid": "1.2.840.10008.5.1.4.1.1.2",
}
SUBJECT = "dicom.example.org/v1/studies/1.2/series/1.2.3/instances/1.2.3.4"


def read(event: Event) -> dict[str, Any]:
    """What an event says."""
    found: dict[str, Any] = orjson.loads(event.content)
    assert found["id"] == event.id
    assert found["data"]["sequenceNumber"] == event.sequence
    return found


def test_cloud_event() -> None:
    """All members that CloudEvents requires, and no other than it defines (CloudEvents 1.0 3.1)."""
    event = events.cloud_event(CHANGE, SOURCE)

    assert read(event) == {
        "specversion": "1.0",
        "id": event.id,
        "source": SOURCE,
        "type": "Microsoft.HealthcareApis.DicomImageCreated",
        "subject": SUBJECT,
        "time": "2026-01-31T08:00:00.000005Z",
        "datacontenttype": "application/json",
        "data": DATA,
    }


def test_event_grid_event() -> None:
    """What a topic takes: it adds its own name and the version of the metadata."""
    event = events.event_grid_event(CHANGE, SOURCE)

    assert read(event) == {
        "id": event.id,
        "subject": SUBJECT,
        "eventType": "Microsoft.HealthcareApis.DicomImageCreated",
        "eventTime": "2026-01-31T08:00:00.000005Z",
        "dataVersion": "1",
        "data": DATA,
    }


def test_delivered_event_grid_event() -> None:
    """What a receiver gets without a topic has what a topic would have added."""
    event = events.delivered_event_grid_event(CHANGE, SOURCE)

    assert read(event) == {
        **read(events.event_grid_event(CHANGE, SOURCE)),
        "topic": SOURCE,
        "metadataVersion": "1",
    }


@pytest.mark.parametrize(
    ("action", "word"),
    [(Action.CREATE, "Created"), (Action.UPDATE, "Updated"), (Action.DELETE, "Deleted")],
)
def test_type_is_that_of_the_managed_service(action: Action, word: str) -> None:
    """One for each action."""
    event = read(events.cloud_event(replace(CHANGE, action=action), SOURCE))

    assert event["type"] == f"Microsoft.HealthcareApis.DicomImage{word}"


def test_partition_is_in_the_subject() -> None:
    """That of another partition than the default one."""
    change = replace(CHANGE, resource=replace(CHANGE.resource, partition="Ward-7"))

    event = read(events.cloud_event(change, f"{SOURCE}/pacs"))

    assert event["subject"] == (
        "dicom.example.org/pacs/v1/partitions/Ward-7/studies/1.2/series/1.2.3/instances/1.2.3.4"
    )
    assert event["data"]["partitionName"] == "Ward-7"
    assert event["data"]["serviceHostName"] == "dicom.example.org"


def test_sop_class_that_is_not_known() -> None:
    """It is left out."""
    event = read(events.cloud_event(replace(CHANGE, sop_class=None), SOURCE))

    assert "sopClassUid" not in event["data"]


def test_identifier_stands_for_the_change() -> None:
    """It is the same each time, under either schema, and another for another change or service."""
    same = {write(CHANGE, SOURCE).id for write in (events.cloud_event, events.event_grid_event)}
    others = {
        events.cloud_event(replace(CHANGE, sequence=8), SOURCE).id,
        events.cloud_event(replace(CHANGE, version="01K-0"), SOURCE).id,
        events.cloud_event(CHANGE, "https://other.example.org").id,
    }

    assert len(same) == 1
    assert len(others | same) == 4


def made(*sizes: int) -> list[Event]:
    """Events of so many bytes."""
    return [Event(str(number), number, b"x" * size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "most", "size", "expected"),
    [
        ((), 10, 100, []),
        ((1, 1, 1), 2, 100, [2, 1]),
        ((40, 40, 40), 10, 84, [2, 1]),
        ((40, 40), 10, 83, [1, 1]),
        ((500, 1), 10, 100, [1, 1]),
    ],
    ids=["none", "by number", "just fit", "just too large", "larger than a batch"],
)
def test_batches(sizes: tuple[int, ...], most: int, size: int, expected: list[int]) -> None:
    """All events in their order, within both limits where that is possible."""
    found = made(*sizes)

    cut = list(events.batches(found, most, size))

    assert [len(batch) for batch in cut] == expected
    assert [event for batch in cut for event in batch] == found
    assert all(len(events.array(batch)) <= size for batch in cut if len(batch) > 1)


def test_array() -> None:
    """A batch is a JSON array."""
    batch = [events.cloud_event(CHANGE, SOURCE), events.cloud_event(replace(CHANGE, sequence=8), SOURCE)]

    assert [event["data"]["sequenceNumber"] for event in orjson.loads(events.array(batch))] == [7, 8]


def test_time_is_utc() -> None:
    """Whatever the zone of the change's."""
    zoned = read(events.cloud_event(CHANGE, SOURCE))
    utc = read(events.cloud_event(replace(CHANGE, time=CHANGE.time.astimezone(UTC)), SOURCE))

    assert zoned["time"] == utc["time"]
