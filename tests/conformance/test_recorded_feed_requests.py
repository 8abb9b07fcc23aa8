"""Requests for the change feed as the clients of the archived service send them, and what they read of the answers.

DicomWebClient asks without any header; DICOMcast, which uses it, asks version 1 by number, and writes truth as C# does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

import pytest
import requests
from pydicom.dataset import Dataset

from tests import dicomweb
from tests.dicomweb import Stored, made

BARE = {"Accept": None, "Accept-Encoding": None, "User-Agent": None}
"""What requests would add of itself is taken away."""

MEMBERS = (
    "sequence",
    "studyInstanceUid",
    "seriesInstanceUid",
    "sopInstanceUid",
    "action",
    "timestamp",
    "state",
)


class Action(enum.Enum):
    """Actions as the client has them; it reads their names in any case."""

    CREATE, DELETE, UPDATE = range(3)


class State(enum.Enum):
    """States likewise."""

    CURRENT, REPLACED, DELETED = range(3)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the client has it."""

    sequence: int
    instance: tuple[str, str, str]
    action: Action
    time: datetime
    state: State
    metadata: Dataset | None


def read(item: dict[str, Any]) -> Entry:
    """Read an entry as the client does: members in any case, and none of these may be null."""
    members = {name.lower(): value for name, value in item.items()}
    sequence, study, series, instance, action, timestamp, state = (members[name.lower()] for name in MEMBERS)
    assert isinstance(sequence, int)
    dataset = members.get("metadata")
    return Entry(
        sequence,
        (study, series, instance),
        Action[action.upper()],
        datetime.fromisoformat(timestamp),
        State[state.upper()],
        None if dataset is None else Dataset.from_json(dataset, lambda *_: b""),
    )


def ask(service: str, path: str) -> requests.Response:
    """Ask as the client does."""
    session = requests.Session()
    session.headers.update(BARE)
    answer = session.get(f"{service.rpartition('/')[0]}/{path}", timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    return answer


def page(service: str, path: str) -> list[Entry]:
    """GetChangeFeed."""
    return [read(item) for item in ask(service, path).json()]


def latest(service: str, path: str) -> Entry:
    """GetChangeFeedLatest."""
    return read(ask(service, path).json())


def written(time: datetime) -> str:
    """A time by the format O of C#, encoded as its HttpUtility does: seven digits, lower-case escapes."""
    text = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond:06}0+00:00"
    return quote_plus(text).replace("%3A", "%3a").replace("%2B", "%2b")


@pytest.fixture(scope="module")
def kept(service: str) -> list[Stored]:
    """What is stored: three instances, and each told before the next."""
    stored = [made(PatientID=f"P{number}") for number in range(3)]
    for one in stored:
        dicomweb.keep(service, one)
        latest(service, "v2/changefeed/latest")
    return stored


def uids(stored: list[Stored]) -> list[tuple[str, str, str]]:
    """What the entries should be about."""
    return [(one.study, one.series, one.instance) for one in stored]


@pytest.mark.parametrize("truth", ["True", "true"], ids=["first", "later"])
def test_dicomcast(service: str, kept: list[Stored], truth: str) -> None:
    """It asks where the feed ends, and then for ten entries at a time, with metadata."""
    end = latest(service, "v1/changefeed/latest?includeMetadata=false")
    assert (end.instance, end.metadata) == (uids(kept)[-1], None)

    found = page(service, f"v1/changefeed?offset={end.sequence - 3}&limit=10&includeMetadata={truth}")

    assert [entry.instance for entry in found] == uids(kept)
    assert [entry.sequence for entry in found] == [end.sequence - 2, end.sequence - 1, end.sequence]
    assert {(entry.action, entry.state) for entry in found} == {(Action.CREATE, State.CURRENT)}
    assert [entry.metadata.PatientID for entry in found if entry.metadata] == ["P0", "P1", "P2"]


def test_client_without_parameters(service: str, kept: list[Stored]) -> None:
    """By default at most ten entries of version 1, with the metadata of each that stands."""
    found = page(service, "v1/changefeed")

    assert found[0].sequence == 1
    assert 3 <= len(found) <= 10
    assert all((entry.metadata is None) == (entry.state is State.DELETED) for entry in found)


def test_client_by_time(service: str, kept: list[Stored]) -> None:
    """Version 2 by times as C# writes them, up to the last that it knows."""
    end = latest(service, "v2/changefeed/latest?includeMetadata=False")
    begin = page(service, f"v1/changefeed?offset={end.sequence - 3}&limit=1")[0]
    until = quote_plus("9999-12-31T23:59:59.9999999+00:00")

    window = f"startTime={written(begin.time)}&endTime={until}&offset=0&limit=10"
    assert [entry.instance for entry in page(service, f"v2/changefeed?{window}")] == uids(kept)

    window = f"startTime={written(begin.time)}&endTime={written(end.time)}"
    assert [entry.instance for entry in page(service, f"v2/changefeed?{window}")] == uids(kept)[:2]

    window = f"startTime={written(begin.time)}&offset=1&limit=1&includeMetadata=False"
    (entry,) = page(service, f"v2/changefeed?{window}")
    assert (entry.instance, entry.metadata) == (uids(kept)[1], None)
