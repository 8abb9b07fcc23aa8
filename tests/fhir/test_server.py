"""What a FHIR server has to do for the service to keep its resources there (FHIR R4 3.1).

With FHIR_URL in the environment, and FHIR_TOKEN where it asks for one, these tests are about that server.
"""

from __future__ import annotations

from collections.abc import Callable
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
    is_outcome,
    number,
    observation,
    path_of,
    patient,
    study,
    version_of,
)

WRONG: dict[str, Resource] = {
    "missing element": {"resourceType": "Observation", "status": "final"},
    "missing code": {"resourceType": "Endpoint", "address": "https://example.org"},
    "unknown element": {"resourceType": "Patient", "colour": "red"},
    "unknown code": {"resourceType": "Patient", "gender": "M"},
    "date that is none": {"resourceType": "Patient", "birthDate": "20200101"},
    "number for text": {"resourceType": "Patient", "name": [{"family": 1}]},
    "value for list": {"resourceType": "Patient", "name": {"family": "A"}},
    "time without zone": {
        "resourceType": "ImagingStudy",
        "status": "available",
        "subject": {"display": "someone"},
        "started": "2020-01-01T10:00:00",
    },
}
wrong = pytest.mark.parametrize("resource", WRONG.values(), ids=WRONG)


# Reads and writes of one resource (3.1.0.2 to 3.1.0.8)


def test_capability_statement(fhir: Fhir) -> None:
    """The server says that it is one of R4."""
    assert body_of(fhir.send("GET", "metadata"))["fhirVersion"].startswith("4.0")


def test_create(fhir: Fhir) -> None:
    """A new resource has an id and a version, which header fields say as well."""
    answer = fhir.send("POST", "Patient", patient(number()), Prefer="return=representation")

    made = body_of(answer)
    assert answer.status_code == 201
    assert answer.headers["ETag"] == version_of(made)
    assert answer.headers["Location"].endswith(f"{path_of(made)}/_history/{made['meta']['versionId']}")
    assert made["meta"]["lastUpdated"]


def test_read(fhir: Fhir) -> None:
    """What was written is read, with its version in the ETag."""
    made = fhir.created(patient(number(), active=True))

    answer = fhir.send("GET", path_of(made))

    assert body_of(answer) == made
    assert answer.headers["ETag"] == version_of(made)


def test_read_of_unknown(fhir: Fhir) -> None:
    """What was never there is not found."""
    answer = fhir.send("GET", f"Patient/{number()}")

    assert answer.status_code == 404
    assert is_outcome(answer)


def test_update(fhir: Fhir) -> None:
    """An update replaces the resource, and is another version of it."""
    made = fhir.created(patient(number(), active=True))

    answer = fhir.send("PUT", path_of(made), {key: made[key] for key in ("resourceType", "id", "identifier")})

    now = fhir.read(made)
    assert answer.status_code == 200
    assert answer.headers["ETag"] == version_of(now) != version_of(made)
    assert "active" not in now


def test_versions(fhir: Fhir) -> None:
    """Every version can be read; the history has the newest first."""
    first = fhir.created(patient(number(), active=True))
    fhir.send("PUT", path_of(first), {**first, "active": False})

    second = fhir.read(first)
    old = fhir.send("GET", f"{path_of(first)}/_history/{first['meta']['versionId']}")
    history = body_of(fhir.send("GET", f"{path_of(first)}/_history"))

    assert body_of(old) == first
    assert [one["resource"] for one in history["entry"]] == [second, first]


def test_update_of_another_id(fhir: Fhir) -> None:
    """The id in the resource has to be that of the URL."""
    made = fhir.created(patient(number()))

    answer = fhir.send("PUT", path_of(made), {**made, "id": number()})

    assert answer.status_code in REFUSED
    assert fhir.read(made) == made


def test_delete(fhir: Fhir) -> None:
    """What was deleted is gone, and is found no more."""
    value = number()
    made = fhir.created(patient(value))

    assert fhir.send("DELETE", path_of(made)).status_code in DONE

    assert fhir.send("GET", path_of(made)).status_code == 410
    assert fhir.matches(f"Patient?{by(value)}") == []


def test_delete_again(fhir: Fhir) -> None:
    """To delete what is gone is no error."""
    made = fhir.created(patient(number()))
    fhir.send("DELETE", path_of(made))

    assert fhir.send("DELETE", path_of(made)).status_code in DONE


def test_update_after_delete(fhir: Fhir) -> None:
    """An update brings back what was deleted."""
    made = fhir.created(patient(number()))
    fhir.send("DELETE", path_of(made))

    answer = fhir.send("PUT", path_of(made), made)

    assert answer.status_code in (200, 201)
    assert version_of(fhir.read(made)) != version_of(made)


@wrong
def test_invalid_create(fhir: Fhir, resource: Resource) -> None:
    """A resource that breaks the rules of its type is refused."""
    answer = fhir.send("POST", resource["resourceType"], resource)

    assert answer.status_code in REFUSED
    assert is_outcome(answer)


@wrong
def test_invalid_update(fhir: Fhir, resource: Resource) -> None:
    """An update with such a resource changes nothing."""
    valid: dict[str, Callable[[str], Resource]] = {
        "Patient": patient,
        "Endpoint": endpoint,
        "Observation": lambda value: observation(path_of(fhir.created(patient(value)))),
        "ImagingStudy": lambda value: study(path_of(fhir.created(patient(value)))),
    }
    made = fhir.created(valid[resource["resourceType"]](number()))

    answer = fhir.send("PUT", path_of(made), {**resource, "id": made["id"]})

    assert answer.status_code in REFUSED
    assert fhir.read(made) == made


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"resourceType": "Observation"}', b"{}"])
def test_create_of_something_else(fhir: Fhir, content: bytes) -> None:
    """A payload that is no resource of the type is refused."""
    answer = fhir.send("POST", "Patient", content)

    assert answer.status_code in REFUSED
    assert is_outcome(answer)


# Versions as preconditions (3.1.0.5)


def test_update_of_current_version(fhir: Fhir) -> None:
    """If-Match with the current version is met."""
    made = fhir.created(patient(number()))

    answer = fhir.send("PUT", path_of(made), {**made, "active": True}, If_Match=version_of(made))

    assert answer.status_code == 200
    assert fhir.read(made)["active"] is True


def test_update_of_old_version(fhir: Fhir) -> None:
    """If-Match with another version is not, and nothing changes."""
    made = fhir.created(patient(number()))
    fhir.send("PUT", path_of(made), {**made, "active": True})

    answer = fhir.send("PUT", path_of(made), {**made, "active": False}, If_Match=version_of(made))

    assert answer.status_code == 412
    assert is_outcome(answer)
    assert fhir.read(made)["active"] is True


def test_updates_of_one_version_at_once(fhir: Fhir) -> None:
    """Of many updates of one version, one succeeds."""
    made = fhir.created(patient(number()))

    def update(place: int) -> int:
        changed = {**made, "multipleBirthInteger": place}
        return (
            Fhir(fhir.base, fhir.token)
            .send("PUT", path_of(made), changed, If_Match=version_of(made))
            .status_code
        )

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(update, range(8)))

    assert sorted(statuses) == [200] + [412] * 7
    assert fhir.read(made)["multipleBirthInteger"] == statuses.index(200)


# Conditional create, update and delete (3.1.0.8.1, 3.1.0.4.3, 3.1.0.7.1)


def test_conditional_create_of_new(fhir: Fhir) -> None:
    """Without a match the resource is created."""
    value = number()

    answer = fhir.send("POST", "Patient", patient(value), If_None_Exist=by(value))

    assert answer.status_code == 201
    assert len(fhir.matches(f"Patient?{by(value)}")) == 1


def test_conditional_create_of_existing(fhir: Fhir) -> None:
    """With a match nothing is written."""
    value = number()
    made = fhir.created(patient(value))

    answer = fhir.send("POST", "Patient", patient(value, active=True), If_None_Exist=by(value))

    assert answer.status_code == 200
    assert fhir.read(made) == made
    assert fhir.matches(f"Patient?{by(value)}") == [path_of(made)]


def test_conditional_create_of_several(fhir: Fhir) -> None:
    """Several matches are an error."""
    value = number()
    twice = {path_of(fhir.created(patient(value))) for _ in range(2)}

    answer = fhir.send("POST", "Patient", patient(value), If_None_Exist=by(value))

    assert answer.status_code == 412
    assert set(fhir.matches(f"Patient?{by(value)}")) == twice


def test_conditional_update_of_new(fhir: Fhir) -> None:
    """Without a match the resource is created."""
    value = number()

    answer = fhir.send("PUT", f"Patient?{by(value)}", patient(value))

    assert answer.status_code == 201
    assert len(fhir.matches(f"Patient?{by(value)}")) == 1


def test_conditional_update_of_existing(fhir: Fhir) -> None:
    """The match is updated."""
    value = number()
    made = fhir.created(patient(value))

    answer = fhir.send("PUT", f"Patient?{by(value)}", patient(value, active=True))

    assert answer.status_code == 200
    assert fhir.read(made)["active"] is True
    assert fhir.matches(f"Patient?{by(value)}") == [path_of(made)]


def test_conditional_update_of_several(fhir: Fhir) -> None:
    """Several matches are an error, and none of them changes."""
    value = number()
    twice = [fhir.created(patient(value)) for _ in range(2)]

    answer = fhir.send("PUT", f"Patient?{by(value)}", patient(value, active=True))

    assert answer.status_code == 412
    assert [fhir.read(one) for one in twice] == twice


def test_conditional_update_of_old_version(fhir: Fhir) -> None:
    """If-Match is about the match."""
    value = number()
    made = fhir.created(patient(value))
    fhir.send("PUT", path_of(made), {**made, "active": True})

    answer = fhir.send("PUT", f"Patient?{by(value)}", patient(value, active=False), If_Match=version_of(made))

    assert answer.status_code == 412
    assert fhir.read(made)["active"] is True


def test_conditional_delete(fhir: Fhir) -> None:
    """The match is deleted."""
    value = number()
    made = fhir.created(patient(value))

    assert fhir.send("DELETE", f"Patient?{by(value)}").status_code in DONE

    assert fhir.send("GET", path_of(made)).status_code == 410
