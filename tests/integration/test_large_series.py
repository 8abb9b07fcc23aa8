"""A series of 500 images: what a scanner sends, all at once or one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import aiohttp
import pytest

from tests import dicomweb, instances
from tests.dicomweb import ANY_SYNTAX, DICOM_JSON, Stored, value

pytestmark = pytest.mark.slow

COUNT = 500
SENDERS = 32
PIXELS = 12 << 10


def series() -> list[Stored]:
    """Images of 12 KiB that differ in their pixels and their number."""
    study, one = instances.uid(), instances.uid()
    return [
        dicomweb.made(
            study,
            one,
            InstanceNumber=number,
            Rows=64,
            Columns=96,
            PixelData=number.to_bytes(4, "little") * (PIXELS // 4),
        )
        for number in range(1, COUNT + 1)
    ]


async def _send(service: str, stored: Sequence[Stored]) -> list[int]:
    """Post each instance by a request of its own, `SENDERS` at a time; the statuses."""
    waiting = iter(stored)
    statuses: list[int] = []

    async def sender(client: aiohttp.ClientSession) -> None:
        for one in waiting:
            body = dicomweb.joined([one.content])
            async with client.post(f"{service}/studies", data=body) as answer:
                statuses.append(answer.status)

    headers = {"Content-Type": dicomweb.MULTIPART}
    async with aiohttp.ClientSession(headers=headers) as client:
        await asyncio.gather(*(sender(client) for _ in range(SENDERS)))
    return statuses


@pytest.fixture(scope="module", params=["500 requests", "one request"])
def stored(request: pytest.FixtureRequest, service: str) -> Iterator[list[Stored]]:
    """The series in the service, by single posts of parallel senders or as one multipart."""
    images = series()
    if request.param == "one request":
        dicomweb.keep(service, *images)
    else:
        assert asyncio.run(_send(service, images)) == [200] * COUNT
    yield images
    assert dicomweb.delete(f"{service}/studies/{images[0].study}").status_code == 204
    assert dicomweb.search(service, f"instances?StudyInstanceUID={images[0].study}") == []


def test_counts(service: str, stored: list[Stored]) -> None:
    """The study's and the series' counts are exact."""
    (study,) = dicomweb.search(service, f"studies?StudyInstanceUID={stored[0].study}")
    (one,) = dicomweb.search(service, f"studies/{stored[0].study}/series")

    assert (value(study, "00201206"), value(study, "00201208")) == (1, COUNT)
    assert value(one, "00201209") == COUNT


def test_instances_by_page(service: str, stored: list[Stored]) -> None:
    """Pages of instances have each of them once, in an order that does not change."""
    path = f"studies/{stored[0].study}/instances?limit=200&offset="

    pages = [dicomweb.search(service, f"{path}{offset}") for offset in (0, 200, 400, 600)]

    assert [len(page) for page in pages] == [200, 200, 100, 0]
    found = [value(item, "00080018") for page in pages for item in page]
    assert sorted(found) == sorted(one.instance for one in stored)


def test_more_instances_than_the_limit(service: str, stored: list[Stored]) -> None:
    """A page that is not the last one says so (PS3.18 8.3.4.4)."""
    answer = dicomweb.get(f"{service}/studies/{stored[0].study}/instances?limit=499", DICOM_JSON)

    assert len(answer.json()) == 499
    assert answer.headers["Warning"].startswith("299 ")


def test_metadata(service: str, stored: list[Stored]) -> None:
    """The metadata of the series are those of each instance."""
    first = stored[0]
    answer = dicomweb.get(f"{service}/studies/{first.study}/series/{first.series}/metadata", DICOM_JSON)

    numbers = {value(item, "00080018"): value(item, "00200013") for item in answer.json()}
    assert len(answer.json()) == COUNT
    assert numbers == {one.instance: number for number, one in enumerate(stored, 1)}


def test_whole_study(service: str, stored: list[Stored]) -> None:
    """The study is given back byte for byte, each instance once."""
    answer = dicomweb.get(f"{service}/studies/{stored[0].study}", ANY_SYNTAX)

    assert sorted(content for _, content in dicomweb.parts_of(answer)) == sorted(
        one.content for one in stored
    )
