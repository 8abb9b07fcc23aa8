"""The table of what is measured, and the data it needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum

from benchmarks import load
from benchmarks.images import HUGE, LARGE, SMALL, image, uid
from benchmarks.load import Call

STUDY = 1
"""The study of `IMAGES` images that the retrieve scenarios read."""

IMAGES = 500
OTHERS = 99
"""Further studies of one small image each, for searches."""

_INSTANCES = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"
"""As OHIF asks for frames: without quotation marks, which would have a browser ask about the header first."""

_DECODED = "multipart/related; type=application/octet-stream; transfer-syntax=1.2.840.10008.1.2.1"
_JSON = "application/dicom+json"
_CHANGES = "application/json"
_JPEG = "image/jpeg"
_ZIP = "application/zip"
_MULTIPART = "multipart/related"
_BROWSER = "gzip, deflate, br"
"""As every browser asks for contents to be encoded."""

_OHIF = "fuzzymatching=true&includefield=00081030%2C00080060"


class Data(Enum):
    """What is stored before the scenarios of a group."""

    NOTHING = "nothing"
    STORED = "stored"
    INDEXED = "stored and indexed"


GROUPS: Mapping[str, Data] = {
    "store": Data.NOTHING,
    "retrieve": Data.STORED,
    "frames": Data.STORED,
    "pictures": Data.STORED,
    "metadata": Data.STORED,
    "search": Data.STORED,
    "indexed": Data.INDEXED,
    "feed": Data.INDEXED,
}


@dataclass(slots=True)
class Fresh:
    """Numbers of studies not stored yet."""

    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(10_000))

    def next(self) -> int:
        """A number never given before."""
        return next(self.numbers)


@dataclass(frozen=True, slots=True)
class Round:
    """The requests of one repetition, and those that come before them and are not measured."""

    calls: Sequence[Call]
    before: Sequence[Call] = ()


Rounds = Callable[[Fresh], Round]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Parameters
    ----------
    rounds
        Makes the requests of each repetition.
    per
        Operations in each call.
    reads
        Requests to storage of each operation, where another number would mean that something else was measured.
    """

    group: str
    name: str
    rounds: Rounds
    senders: int = 1
    per: int = 1
    reads: Mapping[str, float] | None = None


def _stores(side: int, count: int, studies: int = 1) -> Rounds:
    """Each image in a request of its own."""

    def made(fresh: Fresh) -> Round:
        numbers = [fresh.next() for _ in range(studies)]
        return Round([load.store([image(side, numbers[one % studies], one)]) for one in range(count)])

    return made


def _bulk(side: int, count: int, images: int) -> Rounds:
    """Several images of one study in each request."""

    def made(fresh: Fresh) -> Round:
        studies = [fresh.next() for _ in range(count)]
        return Round(
            [load.store([image(side, study, number) for number in range(images)]) for study in studies]
        )

    return made


def _same(path: str, accept: str = _JSON, count: int = 1, *, gives: str = "", encoding: str = "") -> Rounds:
    """The same request again and again."""
    call = Call(path, accept, headers=_encoded(encoding), gives=gives or accept)
    return lambda _: Round([call] * count)


def _each(suffix: str, accept: str, count: int, gives: str, *, encoding: str = "") -> Rounds:
    """The same of several instances of the study."""
    paths = [f"{_instance(STUDY, number)}{suffix}" for number in range(count)]
    return lambda _: Round([Call(path, accept, headers=_encoded(encoding), gives=gives) for path in paths])


def _of_new(
    side: int,
    suffix: str,
    accept: str,
    count: int,
    gives: str,
    *,
    compressed: bool = False,
    again: bool = False,
) -> Rounds:
    """The same of several instances that have just been stored; for the second time, if it is asked for again."""

    def made(fresh: Fresh) -> Round:
        study = fresh.next()
        stores = [load.store([image(side, study, number, compressed=compressed)]) for number in range(count)]
        calls = [Call(f"{_instance(study, number)}{suffix}", accept, gives=gives) for number in range(count)]
        return Round(calls, [*stores, *(calls if again else ())])

    return made


def _told(images: int, studies: int, *, metadata: bool, count: int = 10) -> Rounds:
    """The changes of several studies that have just been stored, and told by another reader."""

    def made(fresh: Fresh) -> Round:
        path = _changes_from_now(limit=images * studies, metadata=metadata)
        stores = _bulk(SMALL, studies, images)(fresh).calls
        return Round([Call(path, gives=_CHANGES)] * count, [*stores, _LATEST])

    return made


def _untold(studies: int, readers: int) -> Rounds:
    """The latest change, when studies of one image have been stored and no one was told of them."""
    return lambda fresh: Round([_LATEST] * readers, _bulk(SMALL, studies, 1)(fresh).calls)


def _followed(count: int) -> Rounds:
    """Each image in a request of its own, and after each what is new."""

    def made(fresh: Fresh) -> Round:
        path = _changes_from_now(limit=100, metadata=False)
        stores = _stores(SMALL, count)(fresh).calls
        news = [Call(f"{path}&offset={number}", gives=_CHANGES) for number in range(count)]
        return Round([call for pair in zip(stores, news, strict=True) for call in pair])

    return made


def _changes_from_now(*, limit: int, metadata: bool) -> str:
    now = datetime.now(UTC).replace(tzinfo=None).isoformat()
    return f"/changefeed?startTime={now}Z&limit={limit}&includeMetadata={str(metadata).lower()}"


def _encoded(encoding: str) -> dict[str, str]:
    return {"Accept-Encoding": encoding} if encoding else {}


def _study(number: int) -> str:
    return f"/studies/{uid(1, number)}"


def _series(number: int) -> str:
    return f"{_study(number)}/series/{uid(2, number)}"


def _instance(study: int, number: int) -> str:
    return f"{_series(study)}/instances/{uid(3, study * 1000 + number)}"


def prepare() -> list[Call]:
    """Store what the retrieve and search scenarios read."""
    return [
        *(
            load.store([image(LARGE, STUDY, number) for number in range(first, first + 50)])
            for first in range(0, IMAGES, 50)
        ),
        *(load.store([image(SMALL, STUDY + other, 0)]) for other in range(1, OTHERS + 1)),
    ]


_LATEST = Call("/changefeed/latest?includeMetadata=false", gives=_CHANGES)
_METADATA = f"{_series(STUDY)}/metadata"
_OF_STUDY = f"{_study(STUDY)}/series?includefield=00080021%2C00080031%2C0008103E%2C00200011"
_KEPT = {"table": 1, "blob_read": 1}

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
        _same(_study(STUDY), _INSTANCES, gives=_MULTIPART),
        per=IMAGES,
    ),
    Scenario(
        "retrieve", f"Retrieve study of {IMAGES} as zip, per image", _same(_study(STUDY), _ZIP), per=IMAGES
    ),
    Scenario("retrieve", "Retrieve instance, 1 sender", _each("", _INSTANCES, 200, _MULTIPART)),
    Scenario("retrieve", "Retrieve instance, 8 senders", _each("", _INSTANCES, 200, _MULTIPART), 8),
    Scenario("frames", "Retrieve frame, 1 sender", _each("/frames/1", _FRAMES, 200, _MULTIPART)),
    Scenario("frames", "Retrieve frame, 8 senders", _each("/frames/1", _FRAMES, 400, _MULTIPART), 8),
    Scenario("frames", "Retrieve frame, 20 senders", _each("/frames/1", _FRAMES, 400, _MULTIPART), 20),
    Scenario(
        "frames",
        "Retrieve frame, 8 senders that accept gzip",
        _each("/frames/1", _FRAMES, 400, _MULTIPART, encoding=_BROWSER),
        8,
    ),
    Scenario(
        "pictures",
        "Frame of JPEG 2000 as Explicit VR Little Endian",
        _of_new(LARGE, "/frames/1", _DECODED, 40, _MULTIPART, compressed=True),
    ),
    Scenario("pictures", "Rendered CT, 1 sender", _each("/rendered", _JPEG, 50, _JPEG)),
    Scenario("pictures", "Rendered CT, 8 senders", _each("/rendered", _JPEG, 100, _JPEG), 8),
    Scenario(
        "pictures", "Rendered image of 8 MiB, the first time", _of_new(HUGE, "/rendered", _JPEG, 5, _JPEG)
    ),
    Scenario(
        "pictures",
        "Rendered image of 8 MiB, as it is kept",
        _of_new(HUGE, "/rendered", _JPEG, 5, _JPEG, again=True),
        reads=_KEPT,
    ),
    Scenario("pictures", "Thumbnail of an instance", _each("/thumbnail", _JPEG, 50, _JPEG)),
    Scenario(
        "pictures", f"Thumbnail of a series of {IMAGES}", _same(f"{_series(STUDY)}/thumbnail", _JPEG, 5)
    ),
    Scenario("metadata", f"Metadata of a series of {IMAGES}, not indexed", _same(_METADATA, count=3)),
    Scenario(
        "metadata",
        f"Metadata of a series of {IMAGES}, not indexed, gzip accepted",
        _same(_METADATA, count=3, encoding=_BROWSER),
    ),
    Scenario("metadata", "Metadata of an instance, 8 senders", _each("/metadata", _JSON, 200, _JSON), 8),
    Scenario("search", "Search studies, 100 found, none indexed", _same("/studies?limit=100", count=3)),
    Scenario(
        "search",
        "Search studies by StudyInstanceUID",
        _same(f"/studies?StudyInstanceUID={uid(1, 7)}", count=50),
    ),
    Scenario("search", f"Search series of a study of {IMAGES}, not indexed", _same(_OF_STUDY, count=3)),
    Scenario(
        "search",
        f"Search instances of a study, {IMAGES} found",
        _same(f"{_study(STUDY)}/instances?limit={IMAGES}", count=3),
    ),
    Scenario("indexed", f"Search series of a study of {IMAGES}", _same(_OF_STUDY, count=50)),
    Scenario("indexed", f"Metadata of a series of {IMAGES}, packed", _same(_METADATA, count=10), reads=_KEPT),
    Scenario(
        "indexed",
        f"Metadata of a series of {IMAGES}, packed, gzip accepted",
        _same(_METADATA, count=50, encoding=_BROWSER),
        reads=_KEPT,
    ),
    Scenario("indexed", "Search studies, 100 found", _same("/studies?limit=100", count=10)),
    Scenario(
        "indexed",
        "Search studies as OHIF lists them",
        _same(f"/studies?limit=101&offset=0&{_OHIF}", count=10),
    ),
    Scenario(
        "indexed",
        "Search studies by PatientID, limit 25",
        _same("/studies?PatientID=PID-000123456&limit=25", count=20),
    ),
    Scenario(
        "indexed",
        "Search studies by name prefix, limit 25",
        _same("/studies?PatientName=Doe*&limit=25", count=20),
    ),
    Scenario(
        "indexed", "Search studies by *middle*, 100 found", _same("/studies?PatientID=*0012*", count=10)
    ),
    Scenario("feed", "Read 100 changes of a study", _told(100, 1, metadata=False)),
    Scenario("feed", "Read 100 changes of a study, with metadata", _told(100, 1, metadata=True)),
    Scenario("feed", "Read 100 changes of 100 studies", _told(1, 100, metadata=False)),
    Scenario("feed", "Read 100 changes of 100 studies, with metadata", _told(1, 100, metadata=True)),
    Scenario("feed", "Read the latest change", lambda _: Round([_LATEST] * 50)),
    Scenario("feed", "Publish 104 studies of one image, 1 reader, per change", _untold(104, 1), per=104),
    Scenario("feed", "Publish 104 studies of one image, 8 readers, per change", _untold(104, 8), 8, 13),
    Scenario("feed", "Store 12 KiB and read what is new, in turns, per request", _followed(50)),
)
