"""What docs/fhir.md says that the resources are good for: its queries, as they stand there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.dicomweb import Stored, made
from tests.fhir.client import Fhir, Resource, path_of
from tests.fhir.following import Following, dose_report, following
from tests.fhir.strict.endpoint import Endpoint
from tests.serving import ROOT

SYSTEM, WHO = "urn:oid:1.2.276.0.76", "4711"
READERS, READER = "1.2.276.0.77", "dr-7"
COHORT, SIMILAR, HISTORY, DOSE, FINDINGS, READ = (
    re.sub(r"\s+", "", query)
    for query in re.findall(r"```fhir\n(.*?)```", (ROOT / "docs/fhir.md").read_text(), re.DOTALL)
)


@pytest.fixture
async def on_strict(strict: Endpoint) -> AsyncIterator[Following]:
    """A service that the strict server follows."""
    async with following(strict.url) as running:
        yield running


@pytest.fixture
async def on_sekmet(sekmet: str) -> AsyncIterator[Following]:
    """A service that SEKMET follows."""
    async with following(sekmet) as running:
        yield running


@pytest.fixture
async def service(fhir_url: str) -> AsyncIterator[Following]:
    """A service that each server follows in turn."""
    async with following(fhir_url) as running:
        yield running


def image(who: str = WHO, **elements: Any) -> Stored:
    """An image of a patient of the hospital."""
    issuer = Dataset()
    issuer.UniversalEntityID, issuer.UniversalEntityIDType = SYSTEM.removeprefix("urn:oid:"), "ISO"
    return made(PatientID=who, IssuerOfPatientIDQualifiersSequence=[issuer], **elements)


def reader() -> Dataset:
    """Who identifies the reader of a study."""
    code, identification = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = READER, "99READERS", "a reader"
    identification.PersonIdentificationCodeSequence = [code]
    return identification


def scheme() -> Dataset:
    """What identifies the coding scheme of readers."""
    item = Dataset()
    item.CodingSchemeDesignator, item.CodingSchemeUID = "99READERS", READERS
    return item


def ask(fhir: Fhir, query: str) -> list[Resource]:
    """What a query finds; the server may have nothing to say against it."""
    entries = fhir.search(query).get("entry", [])
    assert {one["search"]["mode"] for one in entries} <= {"match", "include"}
    return [one["resource"] for one in entries]


def studies(resources: list[Resource]) -> list[str]:
    """The UIDs of the studies among the resources."""
    return [
        one["identifier"][0]["value"].removeprefix("urn:oid:")
        for one in resources
        if one["resourceType"] == "ImagingStudy"
    ]


async def test_cohort(strict: Endpoint, on_strict: Following) -> None:
    """Studies by modality, region, time, and by sex and birth date of the patient; with where the images are."""
    wanted = {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "StudyDate": "20250303",
        "PatientSex": "F",
        "PatientBirthDate": "19600101",
    }
    others: list[dict[str, Any]] = [
        {"Modality": "MR"},
        {"BodyPartExamined": "HEAD"},
        {"StudyDate": "20260101"},
        {"PatientSex": "M"},
        {"PatientBirthDate": "19810101"},
    ]
    match = image("0", **wanted)
    await on_strict.store(match, *(image(str(n), **wanted | one) for n, one in enumerate(others, 1)))
    await on_strict.settle()

    found = ask(Fhir(strict.url), COHORT)

    assert studies(found) == [match.study]
    assert [one["resourceType"] for one in found] == ["ImagingStudy", "Patient", "Endpoint"]
    assert found[2]["address"] == on_strict.base_url


async def test_similar_patients(sekmet: str, on_sekmet: Following) -> None:
    """Patients by sex, age, diagnosis, and by what was imaged of them; with all their studies."""
    fhir = Fhir(sekmet)
    elements = {"PatientSex": "M", "PatientBirthDate": "19700101"}
    match, other = image("similar", Modality="MR", **elements), image("healthy", Modality="MR", **elements)
    earlier = image("similar", Modality="CT", **elements)
    await on_sekmet.store(match, other, earlier)
    await on_sekmet.settle()
    (patient,) = ask(fhir, f"Patient?identifier={SYSTEM}|similar")
    code = {"system": "http://snomed.info/sct", "code": "126952004"}
    fhir.created(
        {
            "resourceType": "Condition",
            "subject": {"reference": path_of(patient)},
            "code": {"coding": [code]},
        }
    )

    found = ask(fhir, SIMILAR)

    assert path_of(found[0]) == path_of(patient)
    assert sorted(studies(found)) == sorted([match.study, earlier.study])


async def test_history(fhir: Fhir, fhir_url: str, service: Following) -> None:
    """The studies of a patient from two services, the latest first; with where each is, and their doses."""
    issuer = {"IssuerOfPatientID": "&1.2.276.0.76&ISO"}
    async with following(fhir_url) as elsewhere:
        old, new = image(StudyDate="20200101"), image(StudyDate="20250101")
        report = dose_report(new.study, PatientID=WHO, StudyDate="20250101", **issuer)
        await service.store(new, report, image("4712"))
        await elsewhere.store(old)
        await service.settle()
        await elsewhere.settle()

        found, doses = ask(fhir, HISTORY), ask(fhir, DOSE)

        places = {one["address"] for one in found if one["resourceType"] == "Endpoint"}
    assert studies(found) == [new.study, old.study]
    assert places == {service.base_url, elsewhere.base_url}
    assert (doses[0]["resourceType"], studies(doses)) == ("Observation", [new.study])


async def test_findings_for_the_reader(sekmet: str, on_sekmet: Following) -> None:
    """What pathology found lately, with the patients and their studies."""
    fhir = Fhir(sekmet)
    await on_sekmet.store(match := image("found"), image("not found"))
    await on_sekmet.settle()
    (patient,) = ask(fhir, f"Patient?identifier={SYSTEM}|found")
    category = {"system": "http://terminology.hl7.org/CodeSystem/v2-0074", "code": "PAT"}
    for issued in ("2025-12-31T10:00:00Z", "2026-01-05T10:00:00Z"):
        fhir.created(
            {
                "resourceType": "DiagnosticReport",
                "status": "final",
                "category": [{"coding": [category]}],
                "code": {"text": "biopsy"},
                "subject": {"reference": path_of(patient)},
                "issued": issued,
            }
        )

    found = ask(fhir, FINDINGS)

    assert [one["issued"][:4] for one in found if one["resourceType"] == "DiagnosticReport"] == ["2026"]
    assert path_of(patient) in [path_of(one) for one in found]
    assert studies(found) == [match.study]


async def test_studies_of_the_reader(strict: Endpoint, on_strict: Following) -> None:
    """The latest study of a patient before a day that a reader has read."""
    read = {
        "NameOfPhysiciansReadingStudy": "Reader^A",
        "PhysiciansReadingStudyIdentificationSequence": [reader()],
        "CodingSchemeIdentificationSequence": [scheme()],
    }
    match = image(StudyDate="20251201", **read)
    await on_strict.store(
        match,
        image(StudyDate="20250101", **read),
        image(StudyDate="20260201", **read),
        image(StudyDate="20260101"),
        image("4712", StudyDate="20251224", **read),
    )
    await on_strict.settle()

    found = ask(Fhir(strict.url), READ)

    assert studies(found) == [match.study]
