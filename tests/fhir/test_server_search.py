"""What a FHIR server has to do with searches (FHIR R4 3.1.1); `test_server` says for which server."""

from __future__ import annotations

import pytest

from tests.fhir.client import (
    CODES,
    Fhir,
    Resource,
    body_of,
    endpoint,
    number,
    observation,
    path_of,
    paths,
    patient,
    series,
    study,
)


@pytest.fixture
def family() -> str:
    """A name that no other patient has."""
    return f"Ng{number()}"


@pytest.fixture
def person(fhir: Fhir, family: str) -> Resource:
    """A patient who has studies."""
    name = [{"family": family, "given": ["Ann", "Bo"]}]
    return fhir.created(patient(number(), name=name, birthDate="1970-03-04", gender="female"))


@pytest.fixture
def images(fhir: Fhir, person: Resource) -> list[Resource]:
    """Studies of CT, of MR, and of both, in three years; the first has an endpoint."""
    place = {"reference": path_of(fhir.created(endpoint(number())))}
    of = path_of(person)
    return [
        fhir.created(study(of, series=series("CT"), started="2020-05-06T23:30:00Z", endpoint=[place])),
        fhir.created(study(of, series=series("MR"), started="2021-05-06T10:00:00+02:00")),
        fhir.created(study(of, series=series("CT", "MR"), started="2022-05-06")),
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("identifier={system}|{value}", True),
        ("identifier={value}", True),
        ("identifier=|{value}", False),
        ("identifier=urn:oid:1.2.3|{value}", False),
        ("identifier={system}|x{value}", False),
        ("identifier=x,{system}|{value}", True),
        ("identifier={system}|{value}&birthdate=1970-03-04", True),
        ("identifier={system}|{value}&birthdate=1970-03-05", False),
        ("identifier={system}|{value}&birthdate=1970", True),
        ("identifier={system}|{value}&birthdate=gt1970-03-04", False),
        ("identifier={system}|{value}&gender=female", True),
        ("identifier={system}|{value}&gender=male", False),
        ("identifier={system}|{value}&gender=male,female", True),
        ("identifier={system}|{value}&gender:not=male", True),
        ("family={family}", True),
        ("family={family_begins}", True),
        ("family={family_in_capitals}", True),
        ("family={family_ends}", False),
        ("family:exact={family}", True),
        ("family:exact={family_in_capitals}", False),
        ("family:contains={family_ends}", True),
        ("name={family}&given=bo", True),
        ("name={family}&given=ann&given=bo", True),
        ("name={family}&given=cy", False),
        ("_id={id}", True),
        ("_id={id}&identifier={system}|{value}", True),
        ("_id={id}&_lastUpdated=ge2020-01-01", True),
        ("_id={id}&_lastUpdated=lt2020-01-01", False),
    ],
)
def test_search_of_patients(fhir: Fhir, person: Resource, family: str, query: str, found: bool) -> None:
    """Identifiers and codes are tokens, names are strings that begin so, dates are ranges."""
    (name,) = person["identifier"]
    asked = query.format(
        **name,
        id=person["id"],
        family=family,
        family_begins=family[:-2],
        family_in_capitals=family.upper(),
        family_ends=family[2:],
    )

    assert fhir.matches(f"Patient?{asked}") == [path_of(person)] * found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("patient={path}", {0, 1, 2}),
        ("patient={id}", {0, 1, 2}),
        ("subject={path}", {0, 1, 2}),
        ("subject:Patient={id}", {0, 1, 2}),
        ("patient={path}&modality=CT", {0, 2}),
        ("patient={path}&modality={codes}|CT", {0, 2}),
        ("patient={path}&modality=http://example.org|CT", set()),
        ("patient={path}&modality=CT&modality=MR", {2}),
        ("patient={path}&modality=CT,MR", {0, 1, 2}),
        ("patient={path}&started=2020-05-06", {0}),
        ("patient={path}&started=2021", {1}),
        ("patient={path}&started=ge2021-05-06", {1, 2}),
        ("patient={path}&started=gt2021-05-06", {2}),
        ("patient={path}&started=lt2021-05-06T08:00:01Z", {0, 1}),
        ("patient={path}&started=le2021-05-06T07:59:59Z", {0}),
        ("patient={path}&started=ge2021-01-01&started=le2021-12-31", {1}),
        ("patient={path}&modality=CT&started=ge2021", {2}),
        ("patient={path}&status=available", {0, 1, 2}),
        ("patient={path}&status=registered", set()),
        ("patient.identifier={system}|{value}", {0, 1, 2}),
        ("patient.family={family}&modality=MR", {1, 2}),
        ("patient.name={family}&modality=CT&started=ge2020-01-01", {0, 2}),
        ("patient:Patient.name={family}", {0, 1, 2}),
        ("subject:Patient.name={family}", {0, 1, 2}),
        ("patient.name=x{family}", set()),
        ("patient={path}&endpoint:missing=true", {1, 2}),
    ],
)
def test_search_of_studies(
    fhir: Fhir, person: Resource, images: list[Resource], family: str, query: str, found: set[int]
) -> None:
    """References, codes and dates narrow a search; a chain asks about the resource referred to."""
    asked = query.format(
        **person["identifier"][0], path=path_of(person), id=person["id"], family=family, codes=CODES
    )

    matched = fhir.matches(f"ImagingStudy?{asked}")

    assert len(matched) == len(found)
    assert set(matched) == {path_of(images[place]) for place in found}


def test_search_of_endpoints_chained(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """A chain goes through any reference."""
    place = body_of(fhir.send("GET", images[0]["endpoint"][0]["reference"]))
    name = place["identifier"][0]

    found = fhir.matches(f"ImagingStudy?endpoint.identifier={name['system']}|{name['value']}")

    assert found == [path_of(images[0])]


def test_search_of_series(fhir: Fhir, person: Resource) -> None:
    """A study is found by the UID of one of its series."""
    made = fhir.created(study(path_of(person), series=series("CT", "SR")))

    assert fhir.matches(f"ImagingStudy?series={made['series'][1]['uid']}") == [path_of(made)]


def test_search_of_observations(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """Findings are found by code, by patient, and by what they are derived from."""
    source = {"reference": path_of(images[0])}
    made = fhir.created(observation(path_of(person), derivedFrom=[source]))
    fhir.created(observation(path_of(person)))

    asked = f"patient={path_of(person)}&code=http://loinc.org|18748-4&derived-from={source['reference']}"

    assert fhir.matches(f"Observation?{asked}") == [path_of(made)]


@pytest.mark.parametrize(
    ("query", "found"),
    [("CT", True), ("MR", True), ("CT&_has:ImagingStudy:patient:started=lt2019", False), ("US", False)],
)
def test_search_of_what_is_referred_to(
    fhir: Fhir, person: Resource, images: list[Resource], query: str, found: bool
) -> None:
    """`_has` asks about what refers to a resource."""
    asked = f"_id={person['id']}&_has:ImagingStudy:patient:modality={query}"

    assert fhir.matches(f"Patient?{asked}") == [path_of(person)] * found


def test_include(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """`_include` adds what matches refer to, once, and marks it."""
    found = fhir.search(
        f"ImagingStudy?patient={path_of(person)}&_include=ImagingStudy:patient&_include=ImagingStudy:endpoint"
    )

    assert set(paths(found, "match")) == {path_of(one) for one in images}
    place = images[0]["endpoint"][0]["reference"]
    assert sorted(paths(found, "include")) == sorted([path_of(person), place])


def test_include_of_match(fhir: Fhir, person: Resource) -> None:
    """What matches itself is not included as well."""
    first = fhir.created(observation(path_of(person)))
    second = fhir.created(observation(path_of(person), derivedFrom=[{"reference": path_of(first)}]))

    found = fhir.search(f"Observation?patient={path_of(person)}&_include=Observation:derived-from")

    assert set(paths(found, "match")) == {path_of(first), path_of(second)}
    assert paths(found, "include") == []


def test_reverse_include(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """`_revinclude` adds what refers to matches."""
    found = fhir.search(f"Patient?_id={person['id']}&_revinclude=ImagingStudy:patient")

    assert paths(found, "match") == [path_of(person)]
    assert set(paths(found, "include")) == {path_of(one) for one in images}


def test_sort(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """`_sort` orders by a parameter; a minus turns it round."""
    newest = fhir.matches(f"ImagingStudy?patient={path_of(person)}&_sort=-started")
    oldest = fhir.matches(f"ImagingStudy?patient={path_of(person)}&_sort=started")

    assert newest == [path_of(one) for one in reversed(images)]
    assert oldest == newest[::-1]


def test_pages(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """`_count` limits a page; its link leads to the next, until there is none."""
    page = fhir.search(f"ImagingStudy?patient={path_of(person)}&_count=2")

    found, sizes = paths(page, "match"), [len(page["entry"])]
    while following := [one["url"] for one in page["link"] if one["relation"] == "next"]:
        page = body_of(fhir.send("GET", following[0].removeprefix(f"{fhir.base}/")))
        found += paths(page, "match")
        sizes.append(len(page["entry"]))

    assert sizes == [2, 1]
    assert set(found) == {path_of(one) for one in images}


def test_count(fhir: Fhir, person: Resource, images: list[Resource]) -> None:
    """`_summary=count` says how many there are, and nothing else."""
    found = fhir.search(f"ImagingStudy?patient={path_of(person)}&_summary=count")

    assert found["total"] == 3
    assert "entry" not in found


def test_search_by_post(fhir: Fhir, person: Resource) -> None:
    """The parameters may be the payload, which keeps them out of logs."""
    name = person["identifier"][0]
    asked = f"identifier={name['system']}|{name['value']}".encode()

    answer = fhir.send("POST", "Patient/_search", asked, Content_Type="application/x-www-form-urlencoded")

    assert paths(body_of(answer), "match") == [path_of(person)]
