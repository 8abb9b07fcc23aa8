"""The subscriber that keeps a FHIR server as the record is, when the server fails and others write to it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

from dicom_core import tasks
from dicom_core.delivery.subscribing import DeliveryError, Failed, Refused, Unavailable
from dicom_core.fhir import client, synchronizing
from tests.dicomweb import made
from tests.fhir.client import Fhir, entry, observation, path_of
from tests.fhir.following import NAME, Following, dose_report, following, kept, of_kind
from tests.fhir.strict import faults
from tests.fhir.strict.endpoint import Endpoint
from tests.fhir.strict.faults import CarryOut, Fault, Message, Reply
from tests.fhir.strict.store import Store

PATIENT_DATA = "Doe"
PLACE = "Bundle.entry[0].resource.ofType(Patient).name[0]"
TRANSIENT: dict[str, Fault] = {
    "429": faults.answering(429, 1),
    "503 for a while": faults.answering(503, 1),
    **{str(status): faults.answering(status) for status in (401, 403, 408, 409, 412, 500, 502, 503, 504)},
    "refused": faults.refused,
    "lost reply": faults.lost_reply,
    "silent": faults.silent,
    "late": faults.late,
}


@pytest.fixture
async def service(strict: Endpoint) -> AsyncIterator[Following]:
    """A service that the strict server follows."""
    async with following(strict.url) as running:
        yield running


@pytest.fixture
def fhir(strict: Endpoint) -> Fhir:
    """A client of it."""
    return Fhir(strict.url)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subscriber waits for an answer only a moment, and not at all before it looks again."""
    monkeypatch.setattr(synchronizing, "_PAUSE", 0.0)
    monkeypatch.setattr(client, "_SEARCH_SECONDS", 0.3)
    monkeypatch.setattr(client, "_WRITE_SECONDS", 0.3)


def writing(study: str, fault: Fault) -> Callable[[int, Message], Fault | None]:
    """A fault of every transaction that names a study."""

    def plan(number: int, message: Message) -> Fault | None:
        is_meant = b'"transaction"' in message.body and study.encode() in message.body
        return fault if is_meant else None

    return plan


@pytest.mark.parametrize("numbers", [(1,), (2,), (1, 2), (2, 3)])
@pytest.mark.parametrize("fault", TRANSIENT.values(), ids=TRANSIENT)
async def test_transient_failure(
    strict: Endpoint, fhir: Fhir, service: Following, fault: Fault, numbers: tuple[int, ...]
) -> None:
    """Requests that fail, in whatever way, are made up for: nothing is missing, nothing is doubled."""
    image = made()
    await service.store(image, dose_report(image.study))
    strict.faults.at(dict.fromkeys(numbers, fault))

    load = await service.settle()

    strict.faults.clear()
    assert (load.failed, load.waiting) == (0, 0)
    assert kept(fhir, service.base_url) == await service.expected()


@pytest.mark.parametrize("fault", [faults.lost_reply, faults.late], ids=["lost reply", "late"])
async def test_transaction_whose_reply_is_lost(
    strict: Endpoint, fhir: Fhir, service: Following, fault: Fault
) -> None:
    """What was written although no reply came is not written again."""
    await service.store(made())
    strict.faults.at({2: fault})

    await service.settle()

    assert {one["meta"]["versionId"] for kind in ("Patient", "ImagingStudy") for one in _all(fhir, kind)} == {
        "1"
    }


async def test_deletion_whose_reply_is_lost(strict: Endpoint, fhir: Fhir, service: Following) -> None:
    """The same of a deletion."""
    image = made()
    await service.store(image, dose_report(image.study))
    await service.settle()
    await service.delete(image.study)
    strict.faults.at({2: faults.lost_reply})

    load = await service.settle()

    assert load.failed == 0
    assert _all(fhir, "ImagingStudy") == _all(fhir, "Observation") == []


async def test_study_that_is_refused(strict: Endpoint, fhir: Fhir, service: Following) -> None:
    """A study that the server refuses is listed with the reason, and holds up no other; it is retried on request."""
    bad, good = made(PatientID="1"), [made(PatientID="2") for _ in range(3)]
    await service.store(bad)
    for one in good:
        await service.store(one)
    strict.faults.plan = writing(bad.study, faults.answering(422))

    await service.settle()

    (failure,) = await service.stores.deliveries.failures(NAME, 0, 10)
    assert failure.study == bad.study
    assert failure.reason == "the FHIR server answered a transaction with status 422: transient"
    assert len(_all(fhir, "ImagingStudy")) == 3

    strict.faults.clear()
    await service.stores.deliveries.save(NAME, [tasks.retried(failure, service.now() - timedelta(hours=1))])
    await service.settle()

    assert kept(fhir, service.base_url) == await service.expected()


async def test_study_that_is_never_answered(strict: Endpoint, fhir: Fhir, service: Following) -> None:
    """A study that is too much for the server fails in the end; others are delivered meanwhile."""
    bad, good = made(PatientID="1"), made(PatientID="2")
    await service.store(bad)
    await service.store(good)
    strict.faults.plan = writing(bad.study, faults.refused)

    load = await service.settle()

    assert load.failed == 1
    (study,) = _all(fhir, "ImagingStudy")
    assert study["identifier"][0]["value"] == f"urn:oid:{good.study}"


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        (Reply(401), Unavailable, "status 401; check what the identity or the client may do there"),
        (Reply(403), Unavailable, "status 403; check what the identity or the client may do there"),
        (Reply(404), Unavailable, "status 404; check DicomFhirUrl"),
        (
            Reply(302, None, {"Location": "https://example.org/"}),
            Unavailable,
            "status 302; check DicomFhirUrl",
        ),
        (Reply(503, None, {"Retry-After": "7"}), Unavailable, "status 503"),
        (Reply(500), Failed, "status 500"),
        (Reply(413), Refused, "status 413"),
        (Reply(200, ["a list"], {"Content-Type": "application/json"}), Failed, "each of 4 requests"),
        (Reply(200, None, {"Content-Type": "application/json"}), Failed, "is no JSON"),
    ],
    ids=lambda value: str(getattr(value, "status", "")) or None,
)
async def test_answer_to_search(
    strict: Endpoint, service: Following, answer: Reply, error: type[DeliveryError], reason: str
) -> None:
    """What is so for every study has the subscriber rest; what may be for this one only does not."""
    image = made()
    await service.store(image)

    async def fault(carry_out: CarryOut, store: Store) -> Reply:
        return answer

    strict.faults.every(fault)

    with pytest.raises(error) as caught:
        await service.deliver(image.study)

    assert reason in str(caught.value)


async def test_seconds_to_wait(strict: Endpoint, service: Following) -> None:
    """What the server asks for with Retry-After is passed on."""
    image = made()
    await service.store(image)
    strict.faults.every(faults.answering(429, 17))

    with pytest.raises(Unavailable) as caught:
        await service.deliver(image.study)

    assert caught.value.retry_after == 17


async def test_server_that_is_not_there(service: Following) -> None:
    """No connection: the subscriber rests."""
    image = made()
    await service.store(image)
    async with following("http://127.0.0.1:9/fhir") as nowhere:
        with pytest.raises(Unavailable, match="does not answer"):
            await nowhere.subscriber.deliver(service.task(image.study), service.stores)


async def test_reason_without_patient_data(
    strict: Endpoint, service: Following, caplog: pytest.LogCaptureFixture
) -> None:
    """Codes and places of what the server says are kept and logged; its texts, which may repeat values, are not."""
    image = made(PatientName=PATIENT_DATA)
    await service.store(image)
    issue = {
        "severity": "error",
        "code": "value",
        "diagnostics": f"{PATIENT_DATA} is no name",
        "details": {"text": PATIENT_DATA},
        "expression": [
            f"Patient.name.where(family='{PATIENT_DATA}')",
            "Bundle.entry[0].resource.ofType(Patient).name[0]",
        ],
    }
    odd = {"severity": "error", "code": f"{PATIENT_DATA}!"}

    async def fault(carry_out: CarryOut, store: Store) -> Reply:
        return Reply(422, {"resourceType": "OperationOutcome", "issue": [issue, odd]})

    strict.faults.plan = writing(image.study, fault)
    caplog.set_level(logging.DEBUG)

    await service.settle()

    (failure,) = await service.stores.deliveries.failures(NAME, 0, 10)
    assert failure.reason.endswith(f"422: value at {PLACE}")
    assert PATIENT_DATA not in caplog.text


async def test_change_by_others_between_read_and_write(
    strict: Endpoint, fhir: Fhir, service: Following
) -> None:
    """What others write between the look and the transaction is read again, and stays."""
    image = made(PatientName="Doe^Jane")
    await service.store(image)
    await service.settle()
    (patient,) = _all(fhir, "Patient")
    called = {**patient, "telecom": [{"system": "phone", "value": "1"}]}
    changed = made(image.study, image.series, image.instance, PatientName="Roe^Jane")
    await service.store(changed, replace=True)
    strict.faults.at({2: faults.preceded(lambda store: store.put(called, "PUT"))})

    await service.deliver(image.study)

    (now,) = _all(fhir, "Patient")
    assert (now["name"][0]["family"], now["telecom"]) == ("Roe", called["telecom"])


@pytest.mark.parametrize("kind", ["Patient", "ImagingStudy", "Endpoint"])
async def test_creation_by_others_between_read_and_write(
    strict: Endpoint, fhir: Fhir, service: Following, kind: str
) -> None:
    """What others create between the look and the transaction is not created twice, and is completed."""
    image = made()
    await service.store(image)
    expected = await service.expected()
    (resource,) = of_kind(expected, kind)
    theirs = {"id": "theirs", **resource, "meta": {}}
    if kind == "ImagingStudy":
        gone = ("series", "endpoint", "numberOfSeries", "numberOfInstances", "subject")
        theirs = {name: value for name, value in theirs.items() if name not in gone}
        theirs["subject"] = {"display": "someone"}
    strict.faults.at({2: faults.preceded(lambda store: store.put(theirs, "PUT"))})

    await service.deliver(image.study)

    (study,) = _all(fhir, "ImagingStudy")
    assert [path_of(one) for one in _all(fhir, kind)] == [f"{kind}/theirs"]
    assert study["numberOfInstances"] == 1


async def test_change_by_others_again_and_again(strict: Endpoint, service: Following) -> None:
    """Where others are always faster, the study fails for now."""
    image = made()
    await service.store(image)
    strict.faults.plan = writing(image.study, faults.answering(412))

    with pytest.raises(Failed, match="412"):
        await service.deliver(image.study)


async def test_deleted_study_that_others_refer_to(fhir: Fhir, service: Following) -> None:
    """What the server keeps as others refer to it is marked as entered in error, until it is stored again."""
    image = made()
    await service.store(image)
    await service.settle()
    (study,), (patient,) = _all(fhir, "ImagingStudy"), _all(fhir, "Patient")
    theirs = fhir.created(observation(path_of(patient), derivedFrom=[{"reference": path_of(study)}]))
    assert fhir.bundle(entry("DELETE", path_of(study))).status_code == 409

    await service.delete(image.study)
    await service.settle()
    gone = fhir.read(study)
    await service.deliver(image.study)
    again = fhir.read(study)
    await service.store(image)
    await service.settle()

    assert (gone["status"], "series" in gone) == ("entered-in-error", False)
    assert again == gone
    assert fhir.read(study)["status"] == "available"
    assert fhir.read(theirs) == theirs


def _all(fhir: Fhir, kind: str) -> list[dict[str, Any]]:
    return [one["resource"] for one in fhir.search(f"{kind}?_count=100").get("entry", ())]
