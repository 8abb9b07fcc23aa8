"""docs/events.md says what is sent, where, and how often it is tried."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from dicom_core import settings, tasks
from dicom_core.delivery import events, posting, targets
from dicom_core.delivery.events import Writer
from dicom_core.delivery.subscribing import Failed, Refused
from tests.serving import ROOT
from tests.test_docs import table
from tests.unit.delivery.test_events import CHANGE, SOURCE

DOCUMENT = (ROOT / "docs" / "events.md").read_text()


@pytest.mark.parametrize(
    ("number", "write"),
    [(0, events.cloud_event), (1, events.delivered_event_grid_event)],
    ids=["cloud", "grid"],
)
def test_examples_are_what_is_sent(number: int, write: Writer) -> None:
    """Each example is an event of its schema, but for the ID."""
    example: dict[str, Any] = orjson.loads(re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL)[number])
    event = write(CHANGE, SOURCE)

    assert example | {"id": event.id} == orjson.loads(event.content)


def test_types_are_listed() -> None:
    """Every type that is sent."""
    assert [row[0] for row in table(DOCUMENT, "type", "when")] == list(events.TYPES.values())


def test_settings_are_those_of_the_code() -> None:
    """The rows of events in the table of settings.py."""
    rows = table(settings.__doc__ or "", "setting", "meaning", "default")

    assert table(DOCUMENT, "setting", "meaning", "default") == [
        row for row in rows if row[0].startswith("DicomEvent")
    ]


def test_limits_are_those_of_the_code() -> None:
    """Events and bytes of a batch."""
    by_target = {row[0]: row[2] for row in table(DOCUMENT, "target", "example", "what it gets")}

    assert targets.TOPIC_BATCH == (1000, 10**6)
    assert "up to 1,000 events and 1 MB" in by_target["custom topic of Event Grid"]
    assert targets.WEBHOOK_BATCH == (100, 250_000)
    assert "up to 100 events and 250 kB" in by_target["webhook"]


def test_answers_are_those_of_the_code() -> None:
    """What becomes of a study by each answer, and how often it is tried."""
    rows = dict(table(DOCUMENT, "answer", "what follows"))
    by_outcome = {
        outcome: ", ".join(str(status) for status, one in posting.OUTCOMES.items() if one is outcome)
        for outcome in (Refused, Failed)
    }
    pauses = [tasks.pause(number).total_seconds() for number in (0, 1, 2, 100)]

    assert rows[by_outcome[Refused]] == "the study fails at once"
    assert f"fails after {tasks.ATTEMPTS} attempts" in rows[by_outcome[Failed]]
    assert tasks.FIRST_DELAY.total_seconds() == 10
    assert tasks.LONGEST_DELAY.total_seconds() == 3600
    assert pauses == [5, 10, 20, 600]
    assert f"any other, or none within {posting.TIMEOUT:.0f} s" in rows
