"""The subscriber that keeps a FHIR server as the record is, against each server."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator

import pytest

from dicom_core.delivery.subscribing import Refused
from dicom_core.fhir import bundles
from tests import instances
from tests.dicomweb import made
from tests.fhir.client import Fhir, Resource, number, path_of
from tests.fhir.following import (
    Following,
    dose_report,
    following,
    kept,
    of_kind,
    versions,
    without_patients,
)


@pytest.fixture
async def service(fhir_url: str) -> AsyncIterator[Following]:
    """A service that each server follows in turn."""
    async with following(fhir_url) as running:
        yield running


@pytest.fixture
def who() -> str:
    """A Patient ID that no other test has."""
    return number()


def the(fhir: Fhir, service: Following, kind: str) -> Resource:
    """The one resource of a type that the server has of the service."""
    (found,) = of_kind(kept(fhir, service.base_url), kind)
    return found


def found_by(fhir: Fhir, kind: str, value: str) -> Resource:
    """The one resource that an identifier without a system finds, with its id."""
    (one,) = fhir.search(f"{kind}?identifier={value}")["entry"]
    resource: Resource = one["resource"]
    return resource


def study_of(fhir: Fhir, uid: str) -> Resource:
    """The ImagingStudy of a study, with its id."""
    return found_by(fhir, "ImagingStudy", f"urn:dicom:uid|urn:oid:{uid}")


def observations_of(fhir: Fhir, study: str) -> list[Resource]:
    """The Observations of a study, with their ids."""
    name = f"part-of:ImagingStudy.identifier=urn:dicom:uid|urn:oid:{study}"
    return [one["resource"] for one in fhir.search(f"Observation?{name}")["entry"]]


async def settled(service: Following) -> None:
    """Deliver everything; nothing may fail."""
    assert (await service.settle()).failed == 0


async def test_store(fhir: Fhir, service: Following, who: str) -> None:
    """What is stored becomes a Patient, an Endpoint and an ImagingStudy that refers to them."""
    await service.store(made(PatientID=who))

    await settled(service)

    assert kept(fhir, service.base_url) == await service.expected()
    assert len(await service.expected()) == 3


async def test_store_of_many_instances(fhir: Fhir, service: Following, who: str) -> None:
    """A study of 500 instances is one transaction, after one batch of searches."""
    study, series = instances.uid(), instances.uid()
    for _ in range(10):
        await service.store(*(made(study, series, PatientID=who) for _ in range(50)))

    await settled(service)

    assert the(fhir, service, "ImagingStudy")["numberOfInstances"] == 500
    assert service.client.requests == 2


async def test_store_of_further_series(fhir: Fhir, service: Following, who: str) -> None:
    """A series that comes later is added; Patient and Endpoint have no new version."""
    first = made(PatientID=who)
    await service.store(first)
    await settled(service)
    before = versions(fhir, service.base_url)

    await service.store(made(first.study, PatientID=who, Modality="MR"))
    await settled(service)

    after = versions(fhir, service.base_url)
    assert kept(fhir, service.base_url) == await service.expected()
    changed = {path.partition("/")[0] for path in after if after[path] != before[path]}
    assert changed == {"ImagingStudy"}


async def test_delivery_again(fhir: Fhir, service: Following, who: str) -> None:
    """To deliver what is there writes nothing: one batch of searches, no transaction."""
    image = made(PatientID=who)
    await service.store(image, dose_report(image.study, PatientID=who))
    await settled(service)
    before, requests = versions(fhir, service.base_url), service.client.requests

    await service.deliver(image.study)

    assert versions(fhir, service.base_url) == before
    assert service.client.requests == requests + 1


async def test_name_changed_by_put(fhir: Fhir, service: Following, who: str) -> None:
    """A PUT with another name of the patient changes the Patient."""
    image = made(PatientID=who, PatientName="Doe^Jane")
    await service.store(image)
    await settled(service)
    changed = made(image.study, image.series, image.instance, PatientID=who, PatientName="Roe^Jane")

    await service.store(changed, replace=True)
    await settled(service)

    assert the(fhir, service, "Patient")["name"][0]["family"] == "Roe"
    assert kept(fhir, service.base_url) == await service.expected()


async def test_names_of_one_patient_in_two_studies(fhir: Fhir, service: Following, who: str) -> None:
    """Studies that disagree on a name: the one stored last is believed, whichever is delivered last."""
    old, new = made(PatientID=who, PatientName="Old"), made(PatientID=who, PatientName="New")
    await service.store(old)
    await service.store(new)

    for study in (new.study, old.study, new.study, old.study):
        await service.deliver(study)

    assert the(fhir, service, "Patient")["name"][0]["family"] == "New"
    assert found_by(fhir, "Patient", who)["meta"]["versionId"] == "1"


async def test_studies_of_one_patient_at_once(fhir: Fhir, service: Following, who: str) -> None:
    """Studies of a new patient that are delivered at the same time are of one Patient."""
    for _ in range(12):
        await service.store(made(PatientID=who))

    await settled(service)

    assert kept(fhir, service.base_url) == await service.expected()
    assert (
        len(fhir.matches(f"ImagingStudy?patient={path_of(found_by(fhir, 'Patient', who))}&_count=50")) == 12
    )


async def test_birth_date_that_only_one_study_tells(fhir: Fhir, service: Following, who: str) -> None:
    """What a later study does not tell stays as an earlier one told it."""
    old = made(PatientID=who, PatientBirthDate="19700304")
    await service.store(old)
    new = made(PatientID=who, PatientName="New")
    await service.store(new)

    for study in (new.study, old.study):
        await service.deliver(study)

    patient = the(fhir, service, "Patient")
    assert (patient["birthDate"], patient["name"][0]["family"]) == ("1970-03-04", "New")


async def test_study_moved_to_another_patient(fhir: Fhir, service: Following, who: str) -> None:
    """A study that is replaced with another Patient ID is the other patient's; the former one stays."""
    image, other = made(PatientID=who), number()
    report = dose_report(image.study, PatientID=who)
    await service.store(image, report)
    await settled(service)
    former = found_by(fhir, "Patient", who)

    await service.store(
        made(image.study, image.series, image.instance, PatientID=other),
        dose_report(image.study, report.series, report.instance, PatientID=other),
        replace=True,
    )
    await settled(service)

    study = study_of(fhir, image.study)
    assert study["subject"]["reference"] == path_of(found_by(fhir, "Patient", other))
    assert fhir.read(former) == former
    assert without_patients(kept(fhir, service.base_url)) == without_patients(await service.expected())


async def test_study_misfiled_under_another_patient(fhir: Fhir, service: Following, who: str) -> None:
    """A patient whose name came from a study that was not theirs has their own name again when it has moved."""
    theirs, wrong = made(PatientID=who, PatientName="Right"), made(PatientID=who, PatientName="Wrong")
    await service.store(theirs)
    await settled(service)
    await service.store(wrong)
    await settled(service)
    misnamed = found_by(fhir, "Patient", who)["name"][0]["family"]

    moved = made(wrong.study, wrong.series, wrong.instance, PatientID=number(), PatientName="Wrong")
    await service.store(moved, replace=True)
    await settled(service)

    assert (misnamed, found_by(fhir, "Patient", who)["name"][0]["family"]) == ("Wrong", "Right")
    assert kept(fhir, service.base_url) == await service.expected()


@pytest.mark.parametrize("level", ["instance", "series"])
async def test_deletion_of_part(fhir: Fhir, service: Following, who: str, level: str) -> None:
    """A deleted instance is gone from its series, a series without instances from its study."""
    first = made(PatientID=who)
    second = made(first.study, first.series, PatientID=who)
    third = made(first.study, PatientID=who)
    await service.store(first, second, third)
    await settled(service)

    await service.delete(first.study, first.series, first.instance if level == "instance" else None)
    await settled(service)

    study = the(fhir, service, "ImagingStudy")
    assert study["numberOfInstances"] == (2 if level == "instance" else 1)
    assert kept(fhir, service.base_url) == await service.expected()


async def test_deletion_of_study(fhir: Fhir, service: Following, who: str) -> None:
    """Of a deleted study only Patient and Endpoint are left."""
    image = made(PatientID=who)
    await service.store(image, dose_report(image.study, PatientID=who))
    await settled(service)
    before = len(kept(fhir, service.base_url))

    await service.delete(image.study)
    await settled(service)

    assert before == 6
    assert sorted(one["resourceType"] for one in kept(fhir, service.base_url).values()) == [
        "Endpoint",
        "Patient",
    ]


async def test_deletion_of_misfiled_study(fhir: Fhir, service: Following, who: str) -> None:
    """A patient has the name again that their remaining studies tell."""
    await service.store(made(PatientID=who, PatientName="Right"))
    wrong = made(PatientID=who, PatientName="Wrong")
    await service.store(wrong)
    await settled(service)

    await service.delete(wrong.study)
    await settled(service)

    assert found_by(fhir, "Patient", who)["name"][0]["family"] == "Right"


async def test_store_after_deletion(fhir: Fhir, service: Following, who: str) -> None:
    """A study that is stored again is there again, of the same Patient."""
    image = made(PatientID=who)
    await service.store(image)
    await settled(service)
    patient = found_by(fhir, "Patient", who)
    await service.delete(image.study)
    await settled(service)

    await service.store(image)
    await settled(service)

    assert kept(fhir, service.base_url) == await service.expected()
    assert found_by(fhir, "Patient", who) == patient


async def test_deletion_before_delivery(fhir: Fhir, service: Following, who: str) -> None:
    """What was stored and deleted before anyone was told leaves nothing."""
    image = made(PatientID=who)
    await service.store(image)
    await service.delete(image.study)

    await settled(service)

    assert kept(fhir, service.base_url) == {}


async def test_dose_report(fhir: Fhir, service: Following, who: str) -> None:
    """A dose report becomes Observations; when it is deleted they go, and the study stays."""
    image = made(PatientID=who)
    report = dose_report(image.study, PatientID=who)
    await service.store(image, report)
    await settled(service)
    before = kept(fhir, service.base_url)
    assert before == await service.expected()

    await service.delete(image.study, report.series)
    await settled(service)

    assert len(of_kind(before, "Observation")) == 3
    assert kept(fhir, service.base_url) == await service.expected()


async def test_dose_report_replaced(fhir: Fhir, service: Following, who: str) -> None:
    """Observations follow their report: what it tells no more goes, what is verified is final, notes of others stay."""
    report = dose_report("", PatientID=who, events=3)
    await service.store(report)
    await settled(service)
    summary = next(one for one in observations_of(fhir, report.study) if "hasMember" in one)
    fhir.send("PUT", path_of(summary), summary | {"note": [{"text": "seen"}]})

    changed = dose_report(
        report.study, report.series, report.instance, PatientID=who, events=1, VerificationFlag="VERIFIED"
    )
    await service.store(changed, replace=True)
    await settled(service)

    found = observations_of(fhir, report.study)
    assert [one["status"] for one in found] == ["final", "final"]
    assert [one["note"] for one in found if "note" in one] == [[{"text": "seen"}]]
    assert {one["identifier"][0]["value"] for one in found} == {
        one["identifier"][0]["value"] for one in of_kind(await service.expected(), "Observation")
    }


async def test_dose_report_of_many_events(
    fhir: Fhir, service: Following, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More Observations than a transaction takes are written, and deleted, in several."""
    monkeypatch.setattr(bundles, "MOST_ENTRIES", 8)
    report = dose_report("", PatientID=who, events=20)
    await service.store(report)
    await settled(service)
    written = of_kind(kept(fhir, service.base_url), "Observation")
    transactions = service.client.requests

    await service.delete(report.study)
    await settled(service)

    assert len(written) == 21
    assert without_patients(kept(fhir, service.base_url)) == {}
    assert transactions == 6  # three, each after a search


async def test_replay(fhir: Fhir, service: Following, who: str) -> None:
    """All changes again in any order, twice: nothing has a new version."""
    shuffled, others = random.Random(7), [number() for _ in range(2)]
    images = [made(PatientID=one) for one in (who, *others) for _ in range(2)]
    for image in images:
        await service.store(image, dose_report(image.study, PatientID=who))
    await service.delete(images[0].study)
    moved = made(
        images[1].study, images[1].series, images[1].instance, PatientID=others[0], PatientName="Moved"
    )
    await service.store(moved, replace=True)
    await settled(service)
    before = versions(fhir, service.base_url)

    for _ in range(2):
        studies = await service.studies()
        shuffled.shuffle(studies)
        for study in studies:
            await service.deliver(study)

    assert versions(fhir, service.base_url) == before
    assert without_patients(kept(fhir, service.base_url)) == without_patients(await service.expected())


async def test_patient_of_others(fhir: Fhir, service: Following, who: str) -> None:
    """A Patient whom another system has written is referred to, and not touched."""
    theirs = fhir.created(
        {"resourceType": "Patient", "identifier": [{"value": who}], "name": [{"family": "Theirs"}]}
    )

    await service.store(made(PatientID=who, PatientName="Ours"))
    await settled(service)

    (study,) = fhir.search(f"ImagingStudy?patient={path_of(theirs)}")["entry"]
    assert study["resource"]["numberOfInstances"] == 1
    assert fhir.read(theirs) == theirs


async def test_elements_that_others_added(fhir: Fhir, service: Following, who: str) -> None:
    """What others add to our resources stays when these are updated."""
    image = made(PatientID=who, PatientName="Doe^Jane", StudyDescription="before")
    await service.store(image)
    await settled(service)
    patient, study = found_by(fhir, "Patient", who), study_of(fhir, image.study)
    added = {
        "telecom": [{"system": "phone", "value": "1"}],
        "name": [*patient["name"], {"use": "maiden", "family": "Moe"}],
        "identifier": [*patient["identifier"], {"system": "urn:oid:1.2", "value": number()}],
    }
    fhir.send("PUT", path_of(patient), patient | added)
    noted = [*study.get("note", ()), {"authorString": "A reader", "text": "seen"}]
    fhir.send("PUT", path_of(study), study | {"note": noted, "reasonReference": [{"display": "fall"}]})

    elements = {"PatientID": who, "PatientName": "Roe^Jane", "StudyDescription": "after"}
    await service.store(made(image.study, image.series, image.instance, **elements), replace=True)
    await settled(service)

    patient, study = found_by(fhir, "Patient", who), study_of(fhir, image.study)
    assert [name["family"] for name in patient["name"]] == ["Roe", "Moe"]
    assert (patient["telecom"], patient["identifier"]) == (added["telecom"], added["identifier"])
    assert (study["description"], study["reasonReference"]) == ("after", [{"display": "fall"}])
    assert noted[-1] in study["note"]


async def test_study_that_two_services_have(fhir: Fhir, service: Following, fhir_url: str, who: str) -> None:
    """Each service answers for its own series; the study is there until the last of them has none."""
    ours = made(PatientID=who)
    theirs = made(ours.study, PatientID=who, Modality="MR")
    shared = made(ours.study, PatientID=who, Modality="US")
    async with following(fhir_url) as other:
        await service.store(ours, shared)
        await settled(service)
        await other.store(theirs, shared)
        await settled(other)
        await settled(service)
        both = study_of(fhir, ours.study)

        await service.delete(ours.study)
        await settled(service)
        rest = study_of(fhir, ours.study)
        await other.delete(ours.study)
        await settled(other)

    assert {one["uid"] for one in both["series"]} == {ours.series, theirs.series, shared.series}
    assert (both["numberOfSeries"], both["numberOfInstances"], len(both["endpoint"])) == (3, 3, 2)
    assert sorted(one["code"] for one in both["modality"]) == ["CT", "MR", "US"]
    assert {one["uid"] for one in rest["series"]} == {theirs.series, shared.series}
    assert (rest["numberOfSeries"], len(rest["endpoint"])) == (2, 1)
    assert fhir.matches(f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{ours.study}") == []


async def test_services_that_two_deliver_again(
    fhir: Fhir, service: Following, fhir_url: str, who: str
) -> None:
    """Two services that have the same study, dose report included, do not write over each other for ever."""
    image = made(PatientID=who)
    stored = (image, dose_report(image.study, PatientID=who))
    async with following(fhir_url) as other:
        await service.store(*stored)
        await other.store(*stored)
        for _ in range(2):
            await service.deliver(image.study)
            await other.deliver(image.study)
        before = study_of(fhir, image.study)["meta"]["versionId"]

        await service.deliver(image.study)
        await other.deliver(image.study)

    assert study_of(fhir, image.study)["meta"]["versionId"] == before == "2"


@pytest.mark.parametrize("kind", ["Patient", "ImagingStudy"])
async def test_identifier_that_is_not_unique(fhir: Fhir, service: Following, who: str, kind: str) -> None:
    """Several resources with the identifier: refused with their number, which a person can put right."""
    image = made(PatientID=who)
    resource: Resource = {"resourceType": kind, "identifier": [{"value": who}]}
    if kind == "ImagingStudy":
        identifier = {"system": "urn:dicom:uid", "value": f"urn:oid:{image.study}"}
        resource |= {"identifier": [identifier], "status": "available", "subject": {"display": "someone"}}
    for _ in range(2):
        fhir.created(resource)
    await service.store(image)

    with pytest.raises(Refused, match=f"^2 {kind} resources have the same identifier"):
        await service.deliver(image.study)


async def test_patient_who_was_merged(fhir: Fhir, service: Following, who: str) -> None:
    """Of two Patients with the identifier, the one in whose place the other has come is passed over."""
    living = fhir.created({"resourceType": "Patient", "identifier": [{"value": who}]})
    link = [{"other": {"reference": path_of(living)}, "type": "replaced-by"}]
    fhir.created({"resourceType": "Patient", "identifier": [{"value": who}], "active": False, "link": link})
    image = made(PatientID=who)
    await service.store(image)

    await settled(service)

    assert study_of(fhir, image.study)["subject"]["reference"] == path_of(living)


async def test_study_without_patient_id(fhir: Fhir, service: Following) -> None:
    """A study that names no patient is listed as failed; others are delivered."""
    await service.store(made(PatientID=None))
    good = made(PatientID=number())
    await service.store(good)

    load = await service.settle()

    (failure,) = await service.stores.deliveries.failures("fhir", 0, 10)
    assert load.failed == 1
    assert "(0010,0020)" in failure.reason
    assert study_of(fhir, good.study)["status"] == "available"
