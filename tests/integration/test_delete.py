"""Deleting over HTTP: a study, a series, an instance, as the managed service has it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests import dicomweb, instances
from tests.dicomweb import Stored, delete, get, made, search, value


def study() -> list[Stored]:
    """Two instances of one series, and one of another."""
    uid, series = instances.uid(), instances.uid()
    return [made(uid, series), made(uid, series), made(uid, Modality="MR")]


def left(service: str, stored: list[Stored]) -> list[int]:
    """Which of the instances are found, by their number; Retrieve agrees with Search."""
    found = [value(item, "00080018") for item in search(service, f"studies/{stored[0].study}/instances")]
    numbers = sorted([one.instance for one in stored].index(uid) for uid in found)
    for number, one in enumerate(stored):
        expected = 200 if number in numbers else 410
        for path in ("", "/metadata", "/frames/1", "/bulkdata/7FE00010"):
            assert get(f"{service}/{one.path}{path}").status_code == expected
    return numbers


@pytest.mark.parametrize(
    ("length", "expected"), [(6, [1, 2]), (4, [2]), (2, [])], ids=["instance", "series", "study"]
)
@pytest.mark.parametrize("version", [1, 2])
def test_delete(service: str, length: int, expected: list[int], version: int) -> None:
    """204 without a body; what was named is gone at once, what is beside it is not."""
    stored = study()
    dicomweb.keep(service, *stored)
    path = "/".join(stored[0].path.split("/")[:length])

    answer = delete(f"{service.replace('/v2', f'/v{version}')}/{path}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert left(service, stored) == expected


@pytest.mark.parametrize("length", [6, 4, 2], ids=["instance", "series", "study"])
def test_delete_what_is_not_there(service: str, length: int) -> None:
    """404 names it; the second delete of the same is such a one, whatever Retrieve remembers."""
    one = made()
    dicomweb.keep(service, one)
    path = "/".join(one.path.split("/")[:length])

    assert delete(f"{service}/{path}").status_code == 204
    answer = delete(f"{service}/{path}")

    assert (answer.status_code, answer.text) == (404, f"there is no {path}")


def test_delete_the_last_instance(service: str) -> None:
    """A series and a study without instances are gone too."""
    one = made()
    dicomweb.keep(service, one)

    delete(f"{service}/{one.path}")

    assert search(service, f"studies?StudyInstanceUID={one.study}") == []
    assert search(service, f"series?SeriesInstanceUID={one.series}") == []
    assert get(f"{service}/studies/{one.study}").status_code == 410


def test_attributes_after_delete(service: str) -> None:
    """Counts, modalities and a search by them follow."""
    stored = study()
    dicomweb.keep(service, *stored)

    delete(f"{service}/{stored[2].path}")

    (found,) = search(service, f"studies?StudyInstanceUID={stored[0].study}")
    assert [value(found, tag) for tag in ("00201206", "00201208", "00080061")] == [1, 2, "CT"]
    assert search(service, f"studies?StudyInstanceUID={stored[0].study}&ModalitiesInStudy=MR") == []


def test_same_instance_in_another_study(service: str) -> None:
    """An instance with the same UID in another study stays."""
    one = made()
    other = made(instance=one.instance)
    dicomweb.keep(service, one, other)

    delete(f"{service}/{one.path}")

    assert (left(service, [one]), left(service, [other])) == ([], [0])


@pytest.mark.parametrize(
    "path", ["studies/x", "studies/1.2/series/..", "studies/1.2/series/1.3/instances/%20"]
)
def test_delete_of_no_uid(service: str, path: str) -> None:
    """What cannot be named cannot be deleted."""
    answer = delete(f"{service}/{path}".replace("..", "%2e%2e"))

    assert answer.status_code == 400
    assert "in the path is not a UID" in answer.text


def test_delete_by_many_at_once(service: str) -> None:
    """Of several deletes of one study exactly one succeeds; the study is gone."""
    stored = study()
    dicomweb.keep(service, *stored)
    url = f"{service}/studies/{stored[0].study}"

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(delete, [url] * 6))

    assert statuses == [204] + [404] * 5
    assert left(service, stored) == []


@pytest.mark.slow
def test_delete_of_many_instances(service: str) -> None:
    """A study of more instances than one batch has is gone at once (97 instances)."""
    uid, series = instances.uid(), instances.uid()
    stored = [made(uid, series) for _ in range(230)]
    dicomweb.keep(service, *stored)

    assert delete(f"{service}/studies/{uid}/series/{series}").status_code == 204

    assert search(service, f"studies/{uid}/instances?limit=1000") == []
    assert get(f"{service}/studies/{uid}").status_code == 410
