"""The table of what is measured, and the data it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks import load
from benchmarks.images import LARGE, SMALL, image, uid
from benchmarks.load import Call

STUDY = 1
"""The study of `IMAGES` images that the retrieve scenarios read."""

IMAGES = 500
OTHERS = 99
"""Further studies of one small image each, for searches."""

_INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


_OHIF = "fuzzymatching=true&includefield=00081030%2C00080060"


@dataclass(slots=True)
class Fresh:
    """Numbers of studies not stored yet."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10_000))

    def next(self) -> int:
        """A number never given before."""
        return next(self.numbers)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table; `calls` makes the requests of one repetition."""

    group: str
    name: str
    calls: Callable[[Fresh], Sequence[Call]]
    senders: int = 1
    per: int = 1
    """Operations in each call."""


def _stores(side: int, count: int, studies: int = 1) -> Callable[[Fresh], Sequence[Call]]:
    """Each image in a request of its own."""

    def calls(fresh: Fresh) -> Sequence[Call]:
        numbers = [fresh.next() for _ in range(studies)]
        return [load.store([image(side, numbers[one % studies], one)]) for one in range(count)]

    return calls


def _bulk(side: int, count: int, images: int) -> Callable[[Fresh], Sequence[Call]]:
    """Several images of one study in each request."""

    def calls(fresh: Fresh) -> Sequence[Call]:
        studies = [fresh.next() for _ in range(count)]
        return [load.store([image(side, study, number) for number in range(images)]) for study in studies]

    return calls


def _series(suffix: str = "") -> str:
    return f"/studies/{uid(1, STUDY)}/series/{uid(2, STUDY)}{suffix}"


def _same(call: Call, count: int = 1) -> Callable[[Fresh], Sequence[Call]]:
    return lambda _: [call] * count


def _each(suffix: str, accept: str, count: int) -> Callable[[Fresh], Sequence[Call]]:
    """The same of several instances of the study."""
    paths = [_series(f"/instances/{uid(3, STUDY * 1000 + number)}{suffix}") for number in range(count)]
    return lambda _: [Call(path, accept) for path in paths]


def prepare() -> list[Call]:
    """Store what the retrieve and search scenarios read."""
    return [
        *(
            load.store([image(LARGE, STUDY, number) for number in range(first, first + 50)])
            for first in range(0, IMAGES, 50)
        ),
        *(load.store([image(SMALL, STUDY + other, 0)]) for other in range(1, OTHERS + 1)),
    ]


SCENARIOS = (
    Scenario("store", "Store 0.5 MiB, 1 sender", _stores(LARGE, 100)),
    Scenario("store", "Store 0.5 MiB, 8 senders", _stores(LARGE, 160), 8),
    Scenario("store", "Store 0.5 MiB, 32 senders", _stores(LARGE, 320), 32),
    Scenario("store", "Store 0.5 MiB, 32 senders, 32 studies", _stores(LARGE, 320, 32), 32),
    Scenario("store", "Store 12 KiB, 32 senders", _stores(SMALL, 320), 32),
    Scenario("store", "Store 50 × 0.5 MiB a request, per image", _bulk(LARGE, 4, 50), 1, 50),
    Scenario(
        "retrieve",
        f"Retrieve study of {IMAGES}, per image",
        _same(Call(f"/studies/{uid(1, STUDY)}", _INSTANCES)),
        1,
        IMAGES,
    ),
    Scenario("retrieve", "Retrieve instance, 8 senders", _each("", _INSTANCES, 200), 8),
    Scenario("retrieve", "Retrieve frame, 8 senders", _each("/frames/1", _FRAMES, 200), 8),
    Scenario("metadata", f"Metadata of a series of {IMAGES}", _same(Call(_series("/metadata")), 3)),
    Scenario(
        "metadata", "Metadata of an instance, 8 senders", _each("/metadata", "application/dicom+json", 200), 8
    ),
    Scenario("search", "Search studies, 100 found, none indexed", _same(Call("/studies?limit=100"), 3)),
    Scenario(
        "search",
        "Search studies by StudyInstanceUID",
        _same(Call(f"/studies?StudyInstanceUID={uid(1, 7)}"), 50),
    ),
    Scenario(
        "search", f"Search series of a study of {IMAGES}", _same(Call(f"/studies/{uid(1, STUDY)}/series"), 3)
    ),
    Scenario(
        "search",
        f"Search instances of a study, {IMAGES} found",
        _same(Call(f"/studies/{uid(1, STUDY)}/instances?limit={IMAGES}"), 3),
    ),
    Scenario("indexed", "Search studies, 100 found", _same(Call("/studies?limit=100"), 10)),
    Scenario(
        "indexed",
        "Search studies as OHIF lists them",
        _same(Call(f"/studies?limit=101&offset=0&{_OHIF}"), 10),
    ),
    Scenario(
        "indexed",
        "Search studies by PatientID, limit 25",
        _same(Call("/studies?PatientID=PID-000123456&limit=25"), 20),
    ),
    Scenario(
        "indexed",
        "Search studies by name prefix, limit 25",
        _same(Call("/studies?PatientName=Doe*&limit=25"), 20),
    ),
    Scenario(
        "indexed", "Search studies by *middle*, 100 found", _same(Call("/studies?PatientID=*0012*"), 10)
    ),
)
