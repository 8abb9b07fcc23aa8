"""What becomes of resources that are on the server already: whose is what, and what stays."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dicom_core.fhir import merging
from dicom_core.fhir.elements import Element

SOURCE, OTHER = "https://dicom.example.org/v2", "https://other.example.org/v2"
HERE, THERE = "Endpoint/1", "Endpoint/2"
MAPPING = Path(__file__).parents[3] / "docs" / "fhir-mapping.md"
MERGED = {
    "Patient": {"identifier", "name"},
    "Endpoint": {"identifier"},
    "ImagingStudy": {
        *("identifier", "note", "endpoint", "series", "modality", "numberOfSeries", "numberOfInstances"),
        *merging.LINKS,
    },
}
"""Elements that are merged item by item."""


def series(uid: str, *places: str, instances: tuple[str, ...] = ("1",), modality: str = "CT") -> Element:
    """A series with its instances, and where it can be got."""
    made: Element = {
        "uid": uid,
        "modality": {"system": "dcm", "code": modality},
        "numberOfInstances": len(instances),
        "instance": [{"uid": one} for one in instances],
    }
    return made | ({"endpoint": [{"reference": one} for one in places]} if places else {})


def study(*of: Element, source: str = SOURCE, place: str = HERE, **elements: Any) -> Element:
    """An ImagingStudy as the mapping makes it."""
    return {
        "resourceType": "ImagingStudy",
        "meta": {"source": source},
        "identifier": [{"system": "urn:dicom:uid", "value": "urn:oid:1.2"}],
        "status": "available",
        "subject": {"reference": "Patient/1"},
        "endpoint": [{"reference": place}],
        "series": list(of),
        "numberOfSeries": len(of),
        "numberOfInstances": sum(one["numberOfInstances"] for one in of),
        "modality": [{"system": "dcm", "code": "CT"}],
        **elements,
    }


def patient(source: str = SOURCE, **elements: Any) -> Element:
    """A Patient."""
    return {"resourceType": "Patient", "meta": {"source": source}, "identifier": [{"value": "1"}], **elements}


def merged(desired: Element, there: Element) -> Element:
    """The ImagingStudy that comes of two; neither is changed."""
    before = deepcopy((desired, there))
    result = merging.study(desired, there, SOURCE, HERE)
    assert (desired, there) == before
    return result


@pytest.mark.parametrize("kind", ["Patient", "Endpoint", "ImagingStudy"])
def test_every_element_of_the_mapping_is_merged(kind: str) -> None:
    """What the mapping makes is written when the resource is there already, too."""
    made = set(re.findall(rf"^\| {kind}\.(\w+)", MAPPING.read_text(), re.MULTILINE)) - {"meta"}

    assert made
    assert made <= {*merging.OWNED[kind], *MERGED[kind]}


@pytest.mark.parametrize(
    ("source", "ours"),
    [
        (SOURCE, True),
        (f"{SOURCE}#gf3X", True),
        (OTHER, False),
        (f"{SOURCE}/partitions/a", False),
        ("", False),
    ],
)
def test_whose_a_resource_is(source: str, ours: bool) -> None:
    """The source says so, but for what a server adds to it behind #."""
    assert merging.is_ours(patient(source), SOURCE) is ours


@pytest.mark.parametrize(
    ("there", "differ"),
    [
        (patient(), False),
        (patient() | {"meta": {"source": SOURCE, "versionId": "7", "lastUpdated": "2026"}}, False),
        (patient() | {"meta": {"source": f"{SOURCE}#1"}}, False),
        (patient() | {"meta": {"source": SOURCE, "tag": [{"code": "a"}]}}, True),
        (patient(gender="male"), True),
        (patient(OTHER), True),
    ],
)
def test_difference(there: Element, differ: bool) -> None:
    """Versions and times of the server are no difference."""
    assert merging.differs(patient(), there) is differ


def test_patient_of_others() -> None:
    """A Patient of others stays as it is."""
    there = patient(OTHER, gender="male")

    assert merging.patient(patient(gender="female", birthDate="1970"), there, SOURCE) == there


def test_patient_of_ours() -> None:
    """Gender, birth date and the name of the same use follow; what DICOM does not say, and what others added, stays."""
    there = patient(
        gender="male",
        birthDate="1970",
        name=[{"use": "usual", "family": "A"}, {"use": "maiden", "family": "B"}],
        identifier=[{"value": "0"}, {"value": "1"}],
        telecom=[{"value": "1"}],
    )
    desired = patient(
        gender="female", name=[{"use": "usual", "family": "C"}], identifier=[{"value": "1"}, {"value": "2"}]
    )

    result = merging.patient(desired, there, SOURCE)

    assert result == there | {
        "gender": "female",
        "name": [{"use": "usual", "family": "C"}, {"use": "maiden", "family": "B"}],
        "identifier": [{"value": "0"}, {"value": "1"}, {"value": "2"}],
    }


def test_patient_of_several_studies() -> None:
    """Per element the latest study that has one is believed; identifiers are those of all."""
    latest = patient(name=[{"family": "New"}], identifier=[{"value": "1"}, {"value": "2"}])
    earlier = patient(name=[{"family": "Old"}], birthDate="1970", identifier=[{"value": "1"}, {"value": "3"}])

    result = merging.of_several([latest, earlier])

    assert result == patient(
        name=[{"family": "New"}],
        birthDate="1970",
        identifier=[{"value": "1"}, {"value": "2"}, {"value": "3"}],
    )


def test_study_that_lost_elements() -> None:
    """What the record does not say any more goes, an accession number as well; what others added stays."""
    accession = {"type": {"coding": [{"code": "ACSN"}]}, "value": "7"}
    theirs = {"system": "urn:ris", "value": "8"}
    note = {"text": "seen", "authorString": "A reader"}
    there = study(
        series("1", HERE), description="old", note=[{"text": "old"}, note], reasonReference=[{"display": "a"}]
    )
    there["identifier"] += [accession, theirs]

    result = merged(study(series("1", HERE)), there)

    assert "description" not in result
    assert result["identifier"][1:] == [theirs]
    assert (result["note"], result["reasonReference"]) == ([note], [{"display": "a"}])


@pytest.mark.parametrize(
    ("there", "result"),
    [
        ({"display": "old"}, {"display": "new"}),
        (
            {"reference": "Practitioner/1", "display": "old"},
            {"reference": "Practitioner/1", "display": "old"},
        ),
        (None, {"display": "new"}),
    ],
)
def test_link_that_others_resolved(there: Element | None, result: Element) -> None:
    """A reference that leads to a resource stays."""
    standing = study(series("1", HERE), **({"referrer": there} if there else {}))

    assert merged(study(series("1", HERE), referrer={"display": "new"}), standing)["referrer"] == result


def test_study_of_others() -> None:
    """To an ImagingStudy of others our series are added, and what is missing; nothing of theirs is changed."""
    there: Element = {
        "resourceType": "ImagingStudy",
        "identifier": [{"system": "urn:ris", "value": "8"}],
        "status": "registered",
        "subject": {"reference": "Patient/9"},
    }

    result = merged(study(series("1", HERE), started="2026"), there)

    assert result["status"] == "registered"
    assert result["subject"] == {"reference": "Patient/9"}
    assert [one["system"] for one in result["identifier"]] == ["urn:ris", "urn:dicom:uid"]
    assert (result["started"], result["numberOfSeries"], "meta" in result) == ("2026", 1, False)


def test_series_of_others() -> None:
    """Series of another service stay, those of ours that are gone go; counts and modalities are of all."""
    there = study(
        series("1", HERE), series("2", HERE), series("3", THERE, modality="MR", instances=("5", "6"))
    )
    there["endpoint"] = [{"reference": HERE}, {"reference": THERE}]

    result = merged(study(series("2", HERE)), there)

    assert [one["uid"] for one in result["series"]] == ["2", "3"]
    assert (result["numberOfSeries"], result["numberOfInstances"]) == (2, 3)
    assert [one["code"] for one in result["modality"]] == ["CT", "MR"]
    assert result["endpoint"] == there["endpoint"]


def test_series_that_two_services_have() -> None:
    """Its instances are those of both; when we have it no more, it is the other's as it was."""
    there = study(series("1", THERE, instances=("1", "2")), source=OTHER, place=THERE)

    both = merged(study(series("1", HERE, instances=("2", "3"))), there)
    rest = merging.without(both, HERE)

    assert [one["uid"] for one in both["series"][0]["instance"]] == ["1", "2", "3"]
    assert both["series"][0]["endpoint"] == [{"reference": THERE}, {"reference": HERE}]
    assert rest["series"][0]["endpoint"] == [{"reference": THERE}]
    assert rest["endpoint"] == [{"reference": THERE}]


def test_series_without_endpoint() -> None:
    """A series that does not say whose it is becomes ours if we have it, and stays if not."""
    there = study(series("1"), series("9"))

    result = merged(study(series("1", HERE)), there)

    assert [(one["uid"], "endpoint" in one) for one in result["series"]] == [("1", True), ("9", False)]


def test_merging_again() -> None:
    """What was merged is not changed by merging it again."""
    there = study(series("1", THERE), series("3", THERE), source=OTHER, place=THERE)
    desired = study(series("1", HERE), series("2", HERE), description="a")

    once = merged(desired, there)

    assert merged(desired, once) == once


@pytest.mark.parametrize(
    ("of", "left"), [((series("1", HERE),), False), ((series("1", HERE), series("2", THERE)), True)]
)
def test_what_is_left(of: tuple[Element, ...], left: bool) -> None:
    """Without our series nothing may be left."""
    places = [{"reference": HERE}] + [{"reference": THERE}] * left

    assert merging.is_left(merging.without(study(*of, endpoint=places), HERE)) is left


def test_study_handed_over() -> None:
    """Who leaves a study hands it over to a service that still has an endpoint in it."""
    there = study(series("2", THERE), place=THERE)
    places = [
        {"resourceType": "Endpoint", "id": "3", "meta": {"source": "https://third.example.org"}},
        {"resourceType": "Endpoint", "id": "2", "meta": {"source": OTHER}},
    ]

    assert merging.handed_over(there, places)["meta"]["source"] == OTHER
    assert merging.handed_over(there, places[:1]) == there
