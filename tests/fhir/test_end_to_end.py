"""The whole service, its triggers and its timer, and a FHIR server that it tells."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests import dicomweb, instances
from tests.dicomweb import Stored, made
from tests.fhir.client import Fhir, Resource, number, path_of
from tests.serving import ROOT, Service, served, storage_settings
from tools.local_host import azurite as emulator

pytestmark = [pytest.mark.azurite, pytest.mark.slow]

SYSTEM = "urn:oid:1.2.276.0.76"


@pytest.fixture(scope="module")
def service(azurite: emulator.Azurite, sekmet: str) -> Iterator[Service]:
    """The service with a storage of its own, whose timer fires every second."""
    with (
        emulator.Azurite(tools=ROOT / emulator.TOOLS) as storage,
        served(
            TRIGGER_SECONDS="0.1",
            DicomSweepSchedule="* * * * * *",
            DicomFhirUrl=sekmet,
            DicomFhirAuthentication="none",
            DicomFhirPatientSystem=SYSTEM,
            **storage_settings(storage.connection_string),
        ) as running,
    ):
        yield running


@pytest.fixture
def fhir(sekmet: str) -> Iterator[Fhir]:
    """A client of the FHIR server."""
    client = Fhir(sekmet)
    with client.session:
        yield client


async def eventually(holds: Callable[[], Any], seconds: float = 40) -> Any:
    """What comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    return held


def study_of(fhir: Fhir, uid: str) -> Resource:
    """The ImagingStudy of a study; nothing if there is none."""
    entries = fhir.search(f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{uid}").get("entry", [])
    return entries[0]["resource"] if entries else {}


def patient_of(fhir: Fhir, who: str) -> Resource:
    """The Patient of a Patient ID; nothing if there is none."""
    entries = fhir.search(f"Patient?identifier={SYSTEM}|{who}").get("entry", [])
    return entries[0]["resource"] if entries else {}


def replace(service: Service, stored: Stored, **elements: Any) -> None:
    """Replace an instance."""
    changed = made(stored.study, stored.series, stored.instance, **elements)
    assert dicomweb.post(f"{service.url}/studies", changed.content, method="PUT").status_code == 200


async def test_store(service: Service, fhir: Fhir) -> None:
    """A study of 500 instances, sent in ten requests, can be seen; its Endpoint is where it can be got."""
    study, series = instances.uid(), instances.uid()
    images = [made(study, series, PatientID=number()) for _ in range(500)]
    for first in range(0, 500, 50):
        dicomweb.keep(service.url, *images[first : first + 50])

    assert await eventually(lambda: study_of(fhir, study).get("numberOfInstances") == 500)

    place = fhir.send("GET", study_of(fhir, study)["endpoint"][0]["reference"]).json()
    answer = dicomweb.get(f"{place['address']}/studies/{study}/metadata", dicomweb.DICOM_JSON)
    assert len(answer.json()) == 500


async def test_changes(service: Service, fhir: Fhir) -> None:
    """Another name, another patient, a deletion, and the study again: each can be seen."""
    who, other = number(), number()
    image = made(PatientID=who, PatientName="Doe^Jane")
    dicomweb.keep(service.url, image)
    assert await eventually(lambda: patient_of(fhir, who))

    replace(service, image, PatientID=who, PatientName="Roe^Jane")
    assert await eventually(lambda: patient_of(fhir, who)["name"][0]["family"] == "Roe")

    replace(service, image, PatientID=other, PatientName="Poe^Ann")
    assert await eventually(lambda: patient_of(fhir, other))
    assert study_of(fhir, image.study)["subject"]["reference"] == path_of(patient_of(fhir, other))
    assert patient_of(fhir, who)["name"][0]["family"] == "Roe"

    assert dicomweb.delete(f"{service.url}/studies/{image.study}").status_code == 204
    assert await eventually(lambda: not study_of(fhir, image.study))
    assert patient_of(fhir, other)

    dicomweb.keep(service.url, image)
    assert await eventually(lambda: study_of(fhir, image.study))
    assert study_of(fhir, image.study)["subject"]["reference"] == path_of(patient_of(fhir, who))


async def test_failure(service: Service, fhir: Fhir) -> None:
    """A study that cannot be mapped is listed with the reason; others are delivered; it may be tried again."""
    bad, good = made(PatientID=""), made(PatientID=number())
    dicomweb.keep(service.url, good)
    answer = dicomweb.post(f"{service.url}/studies", bad.content)
    assert answer.status_code in (200, 202), answer.text
    failures = f"{service.url}/subscribers/fhir/failures"

    assert await eventually(lambda: bad.study in dicomweb.get(failures, "application/json").text)

    assert "(0010,0020)" in dicomweb.get(failures, "application/json").text
    assert await eventually(lambda: study_of(fhir, good.study))
    replace(service, bad, PatientID=number())
    assert await eventually(lambda: study_of(fhir, bad.study))
    assert await eventually(lambda: bad.study not in dicomweb.get(failures, "application/json").text)
