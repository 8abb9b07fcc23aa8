"""What a FHIR server has to do with bundles of requests (FHIR R4 3.1.0.11); `test_server` says for which server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.fhir.client import (
    DONE,
    REFUSED,
    Fhir,
    Resource,
    body_of,
    by,
    endpoint,
    entry,
    is_outcome,
    located,
    number,
    path_of,
    patient,
    status_of,
    study,
    urn,
    version_of,
)


def test_transaction(fhir: Fhir) -> None:
    """Each entry has its answer at its place, whatever order they are carried out in."""
    old, changed = fhir.created(patient(number())), fhir.created(patient(number()))

    answers = fhir.transacted(
        entry("GET", path_of(changed)),
        entry("PUT", path_of(changed), {**changed, "active": True}),
        entry("POST", "Patient", patient(number()), urn()),
        entry("DELETE", path_of(old)),
    )

    assert [status_of(one) for one in answers[:3]] == [200, 200, 201]
    assert status_of(answers[3]) in DONE
    assert answers[0]["resource"]["active"] is True
    assert answers[1]["response"]["etag"] == version_of(fhir.read(changed))
    assert fhir.send("GET", located(answers[2])).status_code == 200
    assert fhir.send("GET", path_of(old)).status_code == 410


def test_transaction_of_references(fhir: Fhir) -> None:
    """A reference to another entry becomes one to its resource, wherever the entries stand."""
    who, where = urn(), urn()

    images, person, place = fhir.transacted(
        entry("POST", "ImagingStudy", study(who, endpoint=[{"reference": where}]), urn()),
        entry("POST", "Patient", patient(number()), who),
        entry("POST", "Endpoint", endpoint(number()), where),
    )

    written = body_of(fhir.send("GET", located(images)))
    assert written["subject"]["reference"] == located(person)
    assert written["endpoint"] == [{"reference": located(place)}]


@pytest.mark.parametrize(
    ("method", "url", "condition", "status"),
    [
        ("POST", "Patient", "ifNoneExist", 200),
        ("PUT", "Patient?", None, 200),
    ],
    ids=["create", "update"],
)
def test_transaction_of_references_to_existing(
    fhir: Fhir, method: str, url: str, condition: str | None, status: int
) -> None:
    """So does a reference to an entry whose condition finds a resource."""
    value, who = number(), urn()
    made = fhir.created(patient(value))
    request = {condition: by(value)} if condition else {}

    images, person = fhir.transacted(
        entry("POST", "ImagingStudy", study(who), urn()),
        entry(method, url if condition else url + by(value), patient(value), who, **request),
    )

    assert status_of(person) == status
    assert body_of(fhir.send("GET", located(images)))["subject"]["reference"] == path_of(made)


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_transaction_of_references_to_conditional_new(fhir: Fhir, method: str) -> None:
    """And one to an entry whose condition finds none."""
    value, who = number(), urn()
    person = (
        entry("POST", "Patient", patient(value), who, ifNoneExist=by(value))
        if method == "POST"
        else entry("PUT", f"Patient?{by(value)}", patient(value), who)
    )

    images, made = fhir.transacted(entry("POST", "ImagingStudy", study(who), urn()), person)

    assert status_of(made) == 201
    assert body_of(fhir.send("GET", located(images)))["subject"]["reference"] == located(made)


def test_transaction_of_conditional_references(fhir: Fhir) -> None:
    """A reference may be a search that has one match."""
    value = number()
    made = fhir.created(patient(value))

    (images,) = fhir.transacted(entry("POST", "ImagingStudy", study(f"Patient?{by(value)}"), urn()))

    assert body_of(fhir.send("GET", located(images)))["subject"]["reference"] == path_of(made)


def test_transaction_twice(fhir: Fhir) -> None:
    """Conditional entries sent again make nothing new."""
    value, who, images = number(), urn(), study("")
    images["subject"]["reference"] = who
    name = by(images["identifier"][0]["value"], "urn:dicom:uid")
    sent = (
        entry("POST", "Patient", patient(value), who, ifNoneExist=by(value)),
        entry("PUT", f"ImagingStudy?{name}", images, urn()),
    )

    first, second = fhir.transacted(*sent), fhir.transacted(*sent)

    assert [status_of(one) for one in first] == [201, 201]
    assert [status_of(one) for one in second] == [200, 200]
    assert fhir.matches(f"Patient?{by(value)}") == [located(first[0])]
    assert fhir.matches(f"ImagingStudy?{name}") == [located(first[1])]


def failing(fhir: Fhir) -> dict[str, Resource]:
    """Entries that cannot be carried out."""
    several, made = number(), fhir.created(patient(number()))
    fhir.created(patient(several))
    fhir.created(patient(several))
    fhir.send("PUT", path_of(made), {**made, "active": True})
    old = {**made, "active": False}
    value = made["identifier"][0]["value"]
    return {
        "invalid": entry("POST", "Observation", {"resourceType": "Observation"}, urn()),
        "invalid update": entry("PUT", path_of(made), {**made, "gender": 1}, ifMatch=version_of(made)),
        "old version": entry("PUT", path_of(made), old, ifMatch=version_of(made)),
        "old version of match": entry(
            "PUT", f"Patient?{by(value)}", patient(value, active=False), ifMatch=version_of(made)
        ),
        "several to create": entry("POST", "Patient", patient(several), urn(), ifNoneExist=by(several)),
        "several to update": entry("PUT", f"Patient?{by(several)}", patient(several)),
        "unresolved": entry("POST", "ImagingStudy", study(urn()), urn()),
        "unresolved search": entry("POST", "ImagingStudy", study(f"Patient?{by(number())}"), urn()),
        "no such type": entry("POST", "Shoe", {"resourceType": "Shoe"}, urn()),
        "no such resource": entry("GET", f"Patient/{number()}"),
    }


FAILING = {
    "invalid": REFUSED,
    "invalid update": (*REFUSED, 412),
    "old version": (412,),
    "old version of match": (412,),
    "several to create": (412,),
    "several to update": (412,),
    "unresolved": REFUSED,
    "unresolved search": (*REFUSED, 404, 412),
    "no such type": (*REFUSED, 404),
    "no such resource": (*REFUSED, 404),
}


@pytest.mark.parametrize("name", FAILING)
def test_transaction_that_fails(fhir: Fhir, name: str) -> None:
    """If one entry fails, nothing of the others is done: no create, no update, no delete."""
    value, bad = number(), failing(fhir)[name]
    changed, doomed = fhir.created(patient(number())), fhir.created(patient(number()))

    answer = fhir.bundle(
        entry("POST", "Patient", patient(value), urn()),
        entry("PUT", path_of(changed), {**changed, "active": True}),
        entry("DELETE", path_of(doomed)),
        bad,
    )

    assert answer.status_code in FAILING[name]
    assert is_outcome(answer)
    assert fhir.matches(f"Patient?{by(value)}") == []
    assert fhir.read(changed) == changed
    assert fhir.read(doomed) == doomed


def test_transaction_of_same_resource(fhir: Fhir) -> None:
    """Two entries may not write one resource."""
    made = fhir.created(patient(number()))

    answer = fhir.bundle(
        entry("PUT", path_of(made), {**made, "active": True}),
        entry("PUT", path_of(made), {**made, "active": False}),
    )

    assert answer.status_code in (*REFUSED, 409)
    assert fhir.read(made) == made


def test_transaction_of_current_version(fhir: Fhir) -> None:
    """An entry's ifMatch with the current version is met."""
    made = fhir.created(patient(number()))

    (answer,) = fhir.transacted(
        entry("PUT", path_of(made), {**made, "active": True}, ifMatch=version_of(made))
    )

    assert status_of(answer) == 200
    assert fhir.read(made)["active"] is True


def test_transactions_of_one_version_at_once(fhir: Fhir) -> None:
    """Of many transactions that need one version, one is carried out, and of the others nothing."""
    made, values = fhir.created(patient(number())), [number() for _ in range(6)]

    def transact(value: str) -> int:
        return (
            Fhir(fhir.base, fhir.token)
            .bundle(
                entry("POST", "Patient", patient(value), urn()),
                entry("PUT", path_of(made), {**made, "language": "en"}, ifMatch=version_of(made)),
            )
            .status_code
        )

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(transact, values))

    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 409, 412}
    found = [bool(fhir.matches(f"Patient?{by(value)}")) for value in values]
    assert found == [status == 200 for status in statuses]


def test_batch(fhir: Fhir) -> None:
    """The entries of a batch are carried out each by itself."""
    value = number()

    answer = fhir.bundle(
        entry("POST", "Observation", {"resourceType": "Observation"}),
        entry("POST", "Patient", patient(value)),
        kind="batch",
    )

    bad, good = body_of(answer)["entry"]
    assert answer.status_code == 200
    assert status_of(bad) in REFUSED
    assert status_of(good) == 201
    assert fhir.matches(f"Patient?{by(value)}") == [located(good)]
