"""From what is desired and what was found to the entries of a transaction."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import pytest

from dicom_core.delivery.subscribing import Refused, Unavailable
from dicom_core.fhir import bundles
from dicom_core.fhir.bundles import Found
from dicom_core.fhir.elements import Element
from dicom_core.fhir.mapping import Desired, Entry
from tests.unit.fhir import samples

BASE = "https://fhir.example.org/r4"
SOURCE = samples.OPTIONS.base_url
KEYS = ("patient", "endpoint", "study")


@pytest.fixture
def desired() -> Desired:
    """What a study is mapped to, with an Observation."""
    mapped = samples.of(PatientID="a,b|c", PatientName="Doe^Jane")
    urn = "urn:uuid:6f1a2b1e-0000-4000-8000-000000000001"
    observation: Element = {
        "resourceType": "Observation",
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": urn}],
        "meta": {"source": SOURCE},
        "status": "final",
        "code": {"text": "dose"},
        "subject": {"reference": mapped.patient.full_url},
        "partOf": [{"reference": mapped.imaging_study.full_url}],
    }
    entry = Entry(urn, f"urn:ietf:rfc:3986|{urn}", observation)
    return Desired(mapped.patient, mapped.endpoint, mapped.imaging_study, (entry,))


def on_server(desired: Desired) -> Found:
    """What a server has when it has all that is desired."""
    names = {entry.full_url: f"{entry.type}/{place}" for place, entry in enumerate(desired.entries)}

    def kept(entry: Entry) -> Element:
        resource: Element = bundles._resolved(entry.resource, names)
        meta = resource["meta"] | {"versionId": "3", "lastUpdated": "2026-01-31T08:00:00Z"}
        return resource | {"id": names[entry.full_url].partition("/")[2], "meta": meta}

    patient, endpoint, study, *observations = map(kept, desired.entries)
    return Found(study, patient, endpoint, patient, (endpoint,), tuple(observations))


def requests(entries: list[Any]) -> list[str]:
    """Method and URL of each entry."""
    return [f"{one['request']['method']} {one['request']['url']}" for one in entries]


def test_nothing_found(desired: Desired) -> None:
    """All is created on the condition that it is not there; references are to entries of the bundle."""
    entries = bundles.write(desired, Found(), SOURCE)

    assert requests(entries) == ["POST Patient", "POST Endpoint", "POST ImagingStudy", "POST Observation"]
    assert [one["fullUrl"] for one in entries] == [one.full_url for one in desired.entries]
    assert entries[0]["request"]["ifNoneExist"] == "identifier=urn%3Aexample%3Apatients%7Ca%5C%2Cb%5C%7Cc"
    assert entries[2]["resource"]["subject"] == {"reference": desired.patient.full_url}


def test_all_found(desired: Desired) -> None:
    """What is as it should be has no entry."""
    assert bundles.write(desired, on_server(desired), SOURCE) == []


@pytest.mark.parametrize("missing", KEYS)
def test_one_missing(desired: Desired, missing: str) -> None:
    """Only what is not there is created, and what refers to it is updated."""
    there = on_server(desired)
    found = Found(**{name: getattr(there, name) for name in (*KEYS, "observations") if name != missing})

    entries = bundles.write(desired, found, SOURCE)

    kinds = {"patient": "Patient", "endpoint": "Endpoint", "study": "ImagingStudy"}
    expected = {
        "patient": ["PUT ImagingStudy/2", "PUT Observation/3"],
        "endpoint": ["PUT ImagingStudy/2"],
        "study": ["PUT Observation/3"],
    }
    assert requests(entries) == [f"POST {kinds[missing]}", *expected[missing]]


@pytest.mark.parametrize("changed", [*KEYS, "observations"])
def test_one_changed(desired: Desired, changed: str) -> None:
    """Only what differs is replaced, if it is still the version that was read."""
    found = deepcopy(on_server(desired))
    there = found.observations[0] if changed == "observations" else getattr(found, changed)
    there |= {"gender": "male"} if changed == "patient" else {"status": "unknown"}
    if changed == "patient":
        there["name"] = []

    (entry,) = bundles.write(desired, found, SOURCE)

    assert entry["request"] == {"method": "PUT", "url": bundles.path_of(there), "ifMatch": 'W/"3"'}
    assert entry["resource"]["id"] == there["id"]


def test_observation_that_is_not_desired(desired: Desired) -> None:
    """An Observation of ours whose report is gone is deleted."""
    without = Desired(desired.patient, desired.endpoint, desired.imaging_study, ())

    assert requests(bundles.write(without, on_server(desired), SOURCE)) == ["DELETE Observation/3"]


def test_removal(desired: Desired) -> None:
    """Of a study that is gone Observations and ImagingStudy are deleted, the latter last."""
    entries = bundles.remove(on_server(desired), SOURCE)

    assert requests(entries) == ["DELETE Observation/3", "DELETE ImagingStudy/2"]
    assert {one["request"]["ifMatch"] for one in entries} == {'W/"3"'}


def test_removal_of_what_is_not_there() -> None:
    """Where nothing was found, nothing is to be done."""
    assert bundles.remove(Found(), SOURCE) == []


def test_removal_from_study_of_others(desired: Desired) -> None:
    """Of an ImagingStudy of others our series and our endpoint are taken away."""
    there = on_server(desired)
    assert there.study is not None
    theirs = there.study | {"meta": {"source": "https://ris.example.org", "versionId": "3"}}

    (entry,) = bundles.remove(Found(theirs, endpoint=there.endpoint), SOURCE)

    assert entry["request"]["method"] == "PUT"
    assert not {"series", "endpoint", "numberOfSeries", "numberOfInstances"} & entry["resource"].keys()
    assert bundles.remove(Found(entry["resource"], endpoint=there.endpoint), SOURCE) == []


def test_withdrawal(desired: Desired) -> None:
    """Where a server does not delete the ImagingStudy, it is emptied, and that is enough."""
    there = on_server(desired)

    observation, study = bundles.withdraw(there, SOURCE)

    assert requests([observation, study]) == ["DELETE Observation/3", "PUT ImagingStudy/2"]
    assert study["resource"]["status"] == "entered-in-error"
    assert bundles.remove(Found(study["resource"], endpoint=there.endpoint), SOURCE) == []


@pytest.mark.parametrize(
    ("place", "kind", "error"),
    [(0, "ImagingStudy", Refused), (1, "Endpoint", Unavailable), (3, "Patient", Refused)],
)
def test_identifier_that_is_not_unique(place: int, kind: str, error: type[Exception]) -> None:
    """Several resources with one identifier: for a person to put right; of the Endpoint it concerns every study."""
    answers: list[list[Element]] = [[], [], [], []]
    answers[place] = [{"resourceType": kind, "id": str(one)} for one in range(3)]

    with pytest.raises(error, match=f"^3 {kind} resources have the same identifier"):
        bundles.found(answers, SOURCE, BASE)


def test_references_by_url(desired: Desired) -> None:
    """References that repeat the server's base URL are those without it."""
    there = on_server(desired)
    assert there.study is not None
    absolute = bundles._resolved(
        there.study, {f"{one}": f"{BASE}/{one}" for one in ("Patient/0", "Endpoint/1")}
    )

    found = bundles.found([[absolute, there.patient], [], [], []], SOURCE, BASE)

    assert absolute["subject"]["reference"].startswith(BASE)
    assert (found.study, found.subject) == (there.study, there.patient)


def test_observations_that_count(desired: Desired) -> None:
    """Those of the ImagingStudy, and of ours: a server may ignore what it was asked for."""
    there = on_server(desired)
    (ours,) = there.observations
    elsewhere = ours | {"partOf": [{"reference": "ImagingStudy/9"}]}
    theirs = ours | {"meta": {"source": "https://ris.example.org"}}

    found = bundles.found([[there.study], [], [ours, elsewhere, theirs], []], SOURCE, BASE)

    assert found.observations == (ours,)


def test_queries() -> None:
    """Values are encoded; a study that is gone has no Patient to look for."""
    queries = bundles.queries("urn:dicom:uid|urn:oid:1.2", "urn:ietf:rfc:3986|https://a", "s|a&b=c")

    assert [re.split(r"[?=&]", one)[:3] for one in queries] == [
        ["ImagingStudy", "identifier", "urn%3Adicom%3Auid%7Curn%3Aoid%3A1.2"],
        ["Endpoint", "identifier", "urn%3Aietf%3Arfc%3A3986%7Chttps%3A%2F%2Fa"],
        ["Observation", "part-of:ImagingStudy.identifier", "urn%3Adicom%3Auid%7Curn%3Aoid%3A1.2"],
        ["Patient", "identifier", "s%7Ca%26b%3Dc"],
    ]
    assert len(bundles.queries("a", "b", None)) == 3


@pytest.mark.parametrize(
    ("moved", "source", "leaves"),
    [(True, SOURCE, True), (False, SOURCE, False), (True, "https://ris", False)],
)
def test_former_patient(desired: Desired, moved: bool, source: str, leaves: bool) -> None:
    """A Patient of ours whom the study leaves is looked after."""
    there = on_server(desired)
    assert there.patient is not None
    subject = there.patient | {"meta": {"source": source}}
    patient = subject | {"id": "other"} if moved else subject

    former = bundles.former(Found(there.study, patient, subject=subject), desired, SOURCE)

    assert former == (subject if leaves else None)
    assert bundles.former(Found(there.study, subject=subject), None, SOURCE) == (
        subject if source == SOURCE else None
    )
