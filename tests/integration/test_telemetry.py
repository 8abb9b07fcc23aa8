"""What a service that is told to sends to Application Insights, and what it never does."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from tests import dicomweb
from tests.ingestion import Ingestion, Item, ingestion
from tests.serving import served, storage_settings
from tools.local_host.azurite import Azurite

pytestmark = pytest.mark.azurite

NAME = "Quirinius^Zyxwvutia"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def component() -> Iterator[Ingestion]:
    """Where the telemetry goes."""
    with ingestion() as running:
        yield running


@pytest.fixture(scope="module")
def traced(azurite: Azurite, component: Ingestion) -> Iterator[str]:
    """The URL of a service that sends telemetry."""
    settings = {**storage_settings(azurite.connection_string), **component.settings}
    with served(TRIGGER_SECONDS="3600", **settings) as running:
        yield running.url


def about(transaction: str, **properties: str) -> dict[str, str]:
    """What an item says of a transaction."""
    return {"transaction": transaction, **properties}


def saying(item: Item, properties: dict[str, str]) -> bool:
    """Whether an item has these properties."""
    return properties.items() <= item["data"]["baseData"]["properties"].items()


def test_request_is_a_span_and_an_audit_record(traced: str, component: Ingestion) -> None:
    """Both have the UIDs, who asked, and what it took as data, and belong to one operation."""
    one = dicomweb.made()
    stored = dicomweb.post(f"{traced}/studies", one.content)
    requests.get(f"{traced}/studies/{one.study}/metadata", timeout=30)

    expected = about("retrieve.metadata", study=one.study)
    (record,) = component.wait(1, "MessageData", lambda item: saying(item, expected))
    (span,) = component.wait(1, "RemoteDependencyData", lambda item: saying(item, expected))
    both = [item for item in component.items if saying(item, expected)]

    assert stored.status_code == 200
    assert record.items() >= {"method": "GET", "status": "200", "who": "-", "app": "-"}.items()
    assert int(record["bytes"]) > 0
    assert int(record["table"]) > 0
    assert 0 < float(record["storage_longest_ms"]) <= float(record["storage_ms"])
    assert span.items() >= {"status": "200", "table": record["table"]}.items()
    assert len({item["tags"]["ai.operation.id"] for item in both}) == 1


def test_stored_and_named_by_parameters(traced: str, component: Ingestion) -> None:
    """Records name the study, too, where the path does not: it is in the payload, or in the query."""
    one = dicomweb.made()
    dicomweb.post(f"{traced}/studies", one.content)
    requests.get(
        f"{traced}/wado",
        {
            "requestType": "WADO",
            "studyUID": one.study,
            "seriesUID": one.series,
            "objectUID": one.instance,
            "contentType": "application/dicom",
        },
        timeout=30,
    )

    stored, read = about("store.store", study=one.study), about("uri_service.instance", study=one.study)
    component.wait(1, "MessageData", lambda item: saying(item, stored))
    (record,) = component.wait(1, "MessageData", lambda item: saying(item, read))

    assert record["instance"] == one.instance
    assert record["status"] == "200"


def test_search_leaves_no_trace_of_a_name(traced: str, component: Ingestion) -> None:
    """Whatever is sent of a request, it is not what was looked for, nor what was found or refused."""
    one = dicomweb.made(PatientName=NAME)
    dicomweb.post(f"{traced}/studies", one.content)
    asked = [
        ("studies", {"PatientName": NAME, "limit": "3"}, 200),
        ("studies", {"PatientName": f"{NAME[:5]}*", "fuzzymatching": "true"}, 200),
        ("studies", {"StudyDate": NAME}, 400),
        (f"studies/{one.study}/series", {"00100010": NAME}, 200),
        (f"studies/{NAME}/metadata", {}, 400),
        (NAME, {}, 404),
    ]
    for path, parameters, status in asked:
        headers = {"traceparent": TRACE, "tracestate": "a=b", "User-Agent": NAME, "Referer": f"http://{NAME}"}
        answer = requests.get(f"{traced}/{path}", parameters, headers=headers, timeout=30)
        assert answer.status_code == status, path

    searches = about("search.studies")
    component.wait(3, "MessageData", lambda item: saying(item, searches))
    component.wait(3, "RemoteDependencyData", lambda item: saying(item, searches))
    component.wait(1, "MessageData", lambda item: saying(item, about("functions_http.unknown")))
    component.wait(1, "RemoteDependencyData", lambda item: saying(item, about("functions_http.unknown")))
    sent = json.dumps(component.items).lower()

    for part in ("quirin", "zyxwv", "patientname", "00100010", "fuzzymatching"):
        assert part not in sent
