"""The change feed over HTTP: what a Store, a PUT and a DELETE leave in it at once, its headers, and its price."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import orjson
import pytest
import requests

from dicom_core.ports import Stores
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage.memory import MemoryDeliveries, MemoryDropZone, MemoryRenditions, MemoryStore
from dicom_core.studies import changefeed
from dicom_core.studies.standing import MANY
from dicom_core.web.messages import Request
from tests import dicomweb, instances
from tests.dicomweb import Stored, made
from tests.fake_tables import Service
from tests.serving import ROOT
from tests.storage import answer, request

Entry = dict[str, Any]
Follow = Callable[[str, int, Callable[[Entry], None]], int]
Window = Callable[[str, str, str, Callable[[Entry], None]], None]


def ask(service: str, path: str, **parameters: object) -> requests.Response:
    """Ask for a part of the feed; the service's URL ends in the version."""
    given = {name: str(value) for name, value in parameters.items()}
    return requests.get(f"{service}/{path}", params=given, timeout=60)


def page(service: str, **parameters: object) -> list[Entry]:
    """A page of the feed."""
    found = ask(service, "changefeed", **parameters)
    assert found.status_code == 200, found.text
    return cast(list[Entry], found.json())


def first(service: str) -> str:
    """The other version of the service."""
    return service.rpartition("/")[0] + "/v1"


def last(service: str) -> Entry:
    """The last entry without metadata; one of the number 0 if there is none."""
    found = ask(service, "changefeed/latest", includeMetadata="false")
    assert found.status_code in (200, 204), found.text
    return cast(Entry, found.json()) if found.status_code == 200 else {"sequence": 0}


def upsert(service: str, one: Stored) -> None:
    """Put an instance in the place of what stands there."""
    assert dicomweb.post(f"{service}/studies", one.content, method="PUT").status_code == 200


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59.9999999Z", "0001-01-01T00:00:00.0000000Z"])
def test_ends_of_the_calendar(service: str, time: str) -> None:
    """Nothing begins after the one, or ends before the other."""
    beyond = {"startTime": time} if time.startswith("9") else {"endTime": time}

    assert page(service, **beyond) == []


def test_what_was_stored_is_told_at_once(service: str) -> None:
    """In both versions, and as the latest; with the metadata that Retrieve gives."""
    before = last(service)["sequence"]
    one = made()
    dicomweb.keep(service, one)

    (entry,) = page(first(service), offset=before)

    assert entry["metadata"] == dicomweb.get(f"{first(service)}/{one.path}/metadata").json()[0]
    del entry["metadata"]
    assert entry == {
        "sequence": before + 1,
        "partitionName": DEFAULT_PARTITION,
        "studyInstanceUid": one.study,
        "seriesInstanceUid": one.series,
        "sopInstanceUid": one.instance,
        "sopClassUid": "1.2.840.10008.5.1.4.1.1.2",
        "action": "Create",
        "timestamp": entry["timestamp"],
        "state": "Current",
    }
    assert last(service) == entry
    assert page(service, startTime=entry["timestamp"], includeMetadata="false") == [entry]


def test_states_over_a_life(service: str) -> None:
    """Stored, deleted, stored again: the first two are replaced. A PUT is an update, a DELETE leaves nothing."""
    one = made(PatientID="P1")
    other = made(one.study, one.series, one.instance, PatientID="P2")
    before = last(service)["sequence"]

    def told() -> list[tuple[str, str, bool]]:
        found = page(first(service), offset=before)
        assert {entry["sopInstanceUid"] for entry in found} == {one.instance}
        return [(entry["action"], entry["state"], "metadata" in entry) for entry in found]

    dicomweb.keep(service, one)
    assert told() == [("Create", "Current", True)]
    assert dicomweb.delete(f"{service}/{one.path}").status_code == 204
    assert told() == [("Create", "Deleted", False), ("Delete", "Deleted", False)]
    dicomweb.keep(service, one)
    assert told() == [("Create", "Replaced", True), ("Delete", "Replaced", True), ("Create", "Current", True)]
    upsert(service, other)
    assert told()[2:] == [("Create", "Replaced", True), ("Update", "Current", True)]
    (*_, latest) = page(first(service), offset=before)
    assert dicomweb.value(latest["metadata"], "00100020") == "P2"
    assert dicomweb.delete(f"{service}/studies/{one.study}").status_code == 204
    assert told()[-1] == ("Delete", "Deleted", False)


def test_what_was_not_stored_is_not_told(service: str) -> None:
    """The same bytes again, and other bytes where some stand, change nothing."""
    one = made()
    dicomweb.keep(service, one)
    before = last(service)["sequence"]

    assert dicomweb.post(f"{service}/studies", one.content).status_code == 202
    other = made(one.study, one.series, one.instance, PatientID="P2")
    assert dicomweb.post(f"{service}/studies", other.content).status_code == 409

    assert last(service)["sequence"] == before


def test_window_of_time(service: str) -> None:
    """From the start, before the end; passing over entries; in any zone, and beyond the digits of the feed."""
    before = last(service)["sequence"]
    times = []
    for _ in range(3):
        dicomweb.keep(service, made())
        times.append(last(service)["timestamp"])  # told by itself: what is told together has one time

    def numbers(**parameters: object) -> list[int]:
        return [entry["sequence"] - before for entry in page(service, includeMetadata="false", **parameters)]

    assert numbers(startTime=times[0], endTime=times[2]) == [1, 2]
    assert numbers(startTime=times[0], offset=1) == [2, 3]
    assert numbers(startTime=times[0], offset=3) == []
    assert numbers(
        startTime=times[1].replace("Z", "0+00:00"), endTime="9999-12-31T23:59:59.9999999+00:00"
    ) == [2, 3]
    assert before + 1 not in numbers(endTime=times[0])
    assert (
        page(service, startTime="0001-01-01T00:00:00Z", limit=1, includeMetadata="false")[0]["sequence"] == 1
    )


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("v1/changefeed", {"limit": "101"}),
        ("v2/changefeed", {"limit": "201"}),
        ("v2/changefeed", {"startTime": "2026-01-31T08:00:00"}),
        ("v1/changefeed/latest", {"includeMetadata": "asdf"}),
    ],
)
def test_malformed_parameters(service: str, path: str, parameters: Mapping[str, str]) -> None:
    """They are answered 400."""
    answered = ask(service.rpartition("/")[0], path, **parameters)

    assert answered.status_code == 400
    assert answered.text.startswith(next(iter(parameters)))


def test_headers(service: str) -> None:
    """JSON whatever is accepted, for every page, compressed where that is worth it; what is no parameter is named."""
    dicomweb.keep(service, made(), made())
    for accept in ("application/json", "application/dicom+json", "text/html"):
        answered = requests.get(
            f"{service}/changefeed?since=1",
            headers={"Accept": accept, "Accept-Encoding": "gzip", "Origin": "https://viewer.example"},
            timeout=60,
            stream=True,
        )
        content = answered.raw.read()

        assert (answered.status_code, answered.headers["Content-Type"]) == (200, "application/json")
        assert answered.headers["Content-Encoding"] == "gzip"
        assert orjson.loads(gzip.decompress(content))
        assert answered.headers["Access-Control-Allow-Origin"] == "*"
        assert "since is no parameter" in answered.headers["Warning"]


@pytest.mark.parametrize(
    "path", ["changefeed?limit=1", "changefeed/latest", "changefeed?startTime=9000-01-01T00:00:00Z"]
)
def test_head(service: str, path: str) -> None:
    """The header fields of GET, without a payload."""
    dicomweb.keep(service, made())
    plain = {"Accept-Encoding": "identity"}

    got = requests.get(f"{service}/{path}", headers=plain, timeout=60)
    told = requests.head(f"{service}/{path}", headers=plain, timeout=60)

    assert (told.status_code, told.content) == (got.status_code, b"") == (200, b"")
    assert told.headers["Content-Length"] == str(len(got.content))
    assert told.headers["Content-Type"] == got.headers["Content-Type"]


def test_guide_follows_the_feed(service: str) -> None:
    """The programs that docs/changefeed.md shows tell of every change once, by number and by time."""
    by_number, by_time = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs" / "changefeed.md").read_text(), re.DOTALL
    )
    names: dict[str, Any] = {}
    exec(by_number + by_time, names)
    follow, window = cast(Follow, names["follow"]), cast(Window, names["window"])
    root, before = service.rpartition("/")[0], last(service)["sequence"]
    study = instances.uid()
    dicomweb.keep(service, *(made(study) for _ in range(201)))
    numbered: list[Entry] = []
    timed: list[Entry] = []

    middle = follow(root, before, numbered.append)
    assert dicomweb.delete(f"{service}/studies/{study}").status_code == 204
    end = follow(root, middle, numbered.append)
    window(root, numbered[0]["timestamp"], numbered[-1]["timestamp"], timed.append)

    assert [entry["sequence"] for entry in numbered] == [*range(before + 1, end + 1)]
    assert [entry["action"] for entry in numbered] == ["Create"] * 201 + ["Delete"] * 201
    assert follow(root, end, numbered.append) == end
    assert [entry["sequence"] for entry in timed] == [*range(before + 1, end)]


@pytest.mark.parametrize(
    ("number", "wanted", "records"),
    [
        (1, "true", 1),
        (MANY - 1, "true", MANY - 1),
        (MANY - 1, "false", MANY - 1),
        (MANY, "true", 3),
        (100, "true", 3),
        (100, "false", 1),
    ],
)
async def test_price_of_a_page(number: int, wanted: str, records: int) -> None:
    """The journal, the feed, and few instances one by one, or many by their series."""
    service = Service()
    index = service.index()
    stores = Stores(
        MemoryStore(), index, MemoryDropZone(), MemoryRenditions(), index.feed, MemoryDeliveries()
    )
    of = instances.transaction(instances.uid())
    await index.begin(of, None)
    await index.commit(of, [instances.row(of, part) for part in range(number)], upsert=False)
    await index.index(of.partition, of.study)
    asked = Request(
        "GET",
        request(DEFAULT_PARTITION, "").resource,
        "",
        1,
        parameters=(("limit", "100"), ("includeMetadata", wanted)),
    )
    before = service.requests

    status, body = await answer(changefeed.changes, asked, stores)

    assert (status, len(orjson.loads(body))) == (200, number)
    assert service.requests - before == 2 + records
