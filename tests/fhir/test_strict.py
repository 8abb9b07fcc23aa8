"""What the strict server refuses that other servers may allow, and how it fails when told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from tests.fhir.client import (
    Fhir,
    Resource,
    body_of,
    by,
    endpoint,
    entry,
    number,
    path_of,
    patient,
    status_of,
    study,
    urn,
    version_of,
)
from tests.fhir.strict.endpoint import Endpoint
from tests.fhir.strict.faults import (
    Fault,
    Faults,
    answering,
    late,
    lost_reply,
    preceded,
    refused,
    silent,
)

SHORT = 0.2


@pytest.fixture
def fhir(strict: Endpoint) -> Fhir:
    """A client of the empty strict server."""
    return Fhir(strict.url)


@pytest.mark.parametrize(
    "query",
    [
        "Patient?colour=red",
        "Patient?identifier:phonetic=1",
        "Patient?_elements=name",
        "Patient?_summary=true",
        "Patient?birthdate=20200101",
        "Patient?birthdate=2020-13-01",
        "Patient?family.name=A",
        "Patient?_has:ImagingStudy:patient=CT",
        "Patient?_has:ImagingStudy:person:modality=CT",
        "Patient?_sort=colour",
        "ImagingStudy?subject.name=A",
        "ImagingStudy?patient.colour=red",
        "ImagingStudy?_include=ImagingStudy:person",
    ],
)
def test_search_of_what_it_does_not_know(fhir: Fhir, query: str) -> None:
    """A server may ignore what it does not know of a search; this one refuses it."""
    made = fhir.created(patient(number(), birthDate="2020-01-01", name=[{"family": "A"}]))
    fhir.created(study(path_of(made)))

    assert fhir.send("GET", query).status_code == 400


@pytest.mark.parametrize("condition", ["", "_count=1", "colour=red"])
def test_condition_that_is_none(fhir: Fhir, condition: str) -> None:
    """So it does with conditions, where to ignore a part would find other resources."""
    answers = [
        fhir.send("PUT", f"Patient?{condition}", patient(number())),
        fhir.send("POST", "Patient", patient(number()), If_None_Exist=condition),
        fhir.send("DELETE", f"Patient?{condition}"),
    ]

    assert [one.status_code for one in answers] == [400] * 3
    assert fhir.matches("Patient") == []


def test_pages_of_any_search(fhir: Fhir) -> None:
    """An answer has ten matches at most, and does not say how many there are unless asked."""
    for _ in range(11):
        fhir.created(patient(number()))

    found = fhir.search("Patient")

    assert len(found["entry"]) == 10
    assert [one["relation"] for one in found["link"]] == ["self", "next"]
    assert "total" not in found
    assert fhir.search("Patient?_total=accurate")["total"] == 11


def test_writes_show_nothing(fhir: Fhir) -> None:
    """What was written is shown to those who ask for it only."""
    single = fhir.send("POST", "Patient", patient(number()))
    several = fhir.send("POST", "", bundle(entry("POST", "Patient", patient(number()), urn())))

    assert single.content == b""
    assert [set(one) for one in body_of(several)["entry"]] == [{"response"}]


def test_existing_without_location(fhir: Fhir) -> None:
    """Where the match of a conditional create is need not be said."""
    value = number()
    fhir.created(patient(value))

    (answer,) = fhir.transacted(entry("POST", "Patient", patient(value), urn(), ifNoneExist=by(value)))

    assert answer["response"] == {"status": "200 OK"}


@pytest.mark.parametrize("reference", ["Patient/none", "Device/1"])
def test_reference_to_nothing(fhir: Fhir, reference: str) -> None:
    """References to what is not there are refused, alone and in a transaction."""
    single = fhir.send("POST", "ImagingStudy", study(reference))
    several = fhir.bundle(entry("POST", "ImagingStudy", study(reference), urn()))

    assert (single.status_code, several.status_code) == (400, 400)
    assert fhir.matches("ImagingStudy") == []


def test_delete_of_what_is_referred_to(fhir: Fhir) -> None:
    """What others refer to is not deleted, unless they are deleted with it."""
    made = fhir.created(patient(number()))
    images = fhir.created(study(path_of(made)))

    single = fhir.send("DELETE", path_of(made))
    several = fhir.bundle(entry("DELETE", path_of(made)), entry("DELETE", path_of(images)))

    assert (single.status_code, several.status_code) == (409, 200)
    assert fhir.matches("Patient") == fhir.matches("ImagingStudy") == []


def test_reference_to_what_the_transaction_deletes(fhir: Fhir) -> None:
    """Whether it is there is asked at the end of a transaction."""
    made = fhir.created(patient(number()))

    answer = fhir.bundle(
        entry("POST", "ImagingStudy", study(path_of(made)), urn()), entry("DELETE", path_of(made))
    )

    assert answer.status_code in (400, 409)
    assert fhir.read(made) == made


def test_reference_to_another_type(fhir: Fhir) -> None:
    """An element refers to resources of its types only."""
    made = fhir.created(patient(number()))
    wrong = study(path_of(made), endpoint=[{"reference": path_of(made)}])

    assert fhir.send("POST", "ImagingStudy", wrong).status_code == 422


def twice(kind: str) -> tuple[Resource, Resource]:
    """Two entries that do not go together."""
    value, name = number(), urn()
    one = entry("POST", "Patient", patient(value), name, ifNoneExist=by(value))
    update = entry("PUT", f"Patient?{by(value)}", patient(value))
    other = {
        "one fullUrl": entry("POST", "Endpoint", endpoint(value), name),
        "one condition": {**one, "fullUrl": urn()},
        "create and update": update,
    }
    return one, other[kind]


@pytest.mark.parametrize("kind", ["one fullUrl", "one condition", "create and update"])
def test_entries_about_the_same(fhir: Fhir, kind: str) -> None:
    """Entries that may make one resource twice are refused, and so are those of one name."""
    answer = fhir.bundle(*twice(kind))

    assert answer.status_code == 400
    assert fhir.matches("Patient") == []


@pytest.mark.parametrize(
    "bad",
    [
        entry("POST", "Patient"),
        entry("GET", "Patient", patient("1")),
        entry("PATCH", "Patient/1", patient("1")),
        entry("PUT", "Patient/1", patient("1", id="1"), ifNoneExist="identifier=1"),
        entry("POST", "Patient", patient("1"), ifMatch='W/"1"'),
        entry("POST", "", patient("1")),
    ],
)
def test_entry_that_is_none(fhir: Fhir, bad: Resource) -> None:
    """An entry has a method, a URL, a resource if that is written, and no condition that is not of its method."""
    assert fhir.bundle(bad).status_code == 400
    assert fhir.matches("Patient") == []


def test_reference_within_a_batch(fhir: Fhir) -> None:
    """Entries of a batch do not refer to each other."""
    who = urn()

    answer = fhir.bundle(
        entry("POST", "Patient", patient(number()), who),
        entry("POST", "ImagingStudy", study(who), urn()),
        kind="batch",
    )

    assert [status_of(one) for one in body_of(answer)["entry"]] == [201, 400]


@pytest.mark.parametrize("tag", ["1", '"1"', "*"])
def test_version_that_is_none(fhir: Fhir, tag: str) -> None:
    """If-Match is a weak entity tag."""
    made = fhir.created(patient(number()))

    assert fhir.send("PUT", path_of(made), made, If_Match=tag).status_code == 400


def test_delete_of_old_version(fhir: Fhir) -> None:
    """If-Match is a condition of a deletion, too."""
    made = fhir.created(patient(number()))
    fhir.send("PUT", path_of(made), made)

    assert fhir.send("DELETE", path_of(made), If_Match=version_of(made)).status_code == 412
    assert fhir.bundle(entry("DELETE", path_of(made), ifMatch=version_of(made))).status_code == 412
    assert fhir.read(made)["meta"]["versionId"] == "2"


def test_resource_of_another_media_type(fhir: Fhir) -> None:
    """A payload says what it is."""
    answer = fhir.send("POST", "Patient", patient(number()), Content_Type="text/plain")

    assert answer.status_code == 415


# Faults


def bundle(*entries: Resource) -> Resource:
    """A transaction."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def create(fhir: Fhir) -> requests.Response:
    """A request that does not wait for long."""
    return fhir.session.post(
        f"{fhir.base}/Patient",
        json=patient(number()),
        headers={"Content-Type": "application/fhir+json"},
        timeout=SHORT,
    )


@pytest.mark.parametrize(
    ("status", "retry_after", "header"), [(429, 7, "7"), (503, None, None), (412, None, None)]
)
def test_planned_answer(
    strict: Endpoint, fhir: Fhir, status: int, retry_after: int | None, header: str | None
) -> None:
    """A planned answer comes instead of what was asked for, which is not done."""
    strict.faults.at({1: answering(status, retry_after)})

    answer = create(fhir)

    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == header
    assert body_of(answer)["resourceType"] == "OperationOutcome"
    assert fhir.matches("Patient") == []


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        (refused, requests.ConnectionError, 0),
        (lost_reply, requests.ConnectionError, 1),
        (silent, requests.ReadTimeout, 0),
        (late, requests.ReadTimeout, 1),
    ],
    ids=["refused", "lost reply", "silent", "late"],
)
def test_planned_silence(
    strict: Endpoint, fhir: Fhir, fault: Fault, error: type[Exception], done: int
) -> None:
    """A connection breaks, or nothing comes, and the request was carried out or not."""
    strict.faults.at({1: fault})

    with pytest.raises(error):
        create(fhir)

    assert len(fhir.matches("Patient")) == done


def test_planned_race(strict: Endpoint, fhir: Fhir) -> None:
    """What another client does just before a request is there when it is carried out."""
    made = fhir.created(patient(number()))
    strict.faults.at({1: preceded(lambda store: store.put({**made, "active": True}, "PUT"))})

    answer = fhir.send("PUT", path_of(made), made, If_Match=version_of(made))

    assert answer.status_code == 412
    assert fhir.read(made)["active"] is True


@pytest.mark.parametrize(
    ("plan", "statuses"),
    [
        (lambda faults: faults.at({2: answering(503)}), [201, 503, 200]),
        (lambda faults: faults.every(answering(503)), [503, 503, 503]),
        (lambda faults: faults.every(answering(503), "POST"), [503, 503, 200]),
    ],
    ids=["second", "every", "every create"],
)
def test_plan(strict: Endpoint, fhir: Fhir, plan: Callable[[Faults], None], statuses: list[int]) -> None:
    """Faults are of one request, of all, or of all of one method; requests are kept."""
    plan(strict.faults)

    answers = [create(fhir), create(fhir), fhir.send("GET", "Patient")]

    assert [one.status_code for one in answers] == statuses
    assert [one.method for one in strict.faults.requests] == ["POST", "POST", "GET"]


def test_clear(strict: Endpoint, fhir: Fhir) -> None:
    """Nothing is left of resources, requests and plans."""
    fhir.created(patient(number()))
    strict.faults.every(answering(503))

    strict.clear()

    assert strict.faults.requests == []
    assert fhir.matches("Patient") == []
