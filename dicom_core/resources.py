"""DICOM resources and their names (PS3.18 8.2, 10.1): parse, validate, build URLs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from dicom_core.errors import BadRequest

DEFAULT_PARTITION = "Microsoft.Default"
"""The partition of every path without a partition segment, named as the managed service names it."""

MAX_FRAMES = 10_000
"""The most frames that one request may list; a list is bounded by the URL's length long before."""

MAX_REPEATS = 10
"""How often one request may list the same frame: each time costs as much as the first."""

MAX_UID = 64
"""Characters of a UID (PS3.5 9.1)."""

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_PARTITION = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}")


class Level(IntEnum):
    """The levels of the Study Root information model (PS3.4 C.6.2.1)."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


def is_uid(value: str) -> bool:
    """Say if a value is a UID: digits and dots, at most 64 characters (PS3.5 9.1).

    Leading zeros of a component are let through: real files have them.
    """
    return len(value) <= MAX_UID and _UID.fullmatch(value) is not None


def is_partition(value: str) -> bool:
    """Say if a value can name a partition, as the managed service names them; dots alone cannot."""
    return _PARTITION.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Resource:
    """The Target Resource of a request (PS3.18 8.2): all studies, a study, a series or an instance."""

    study: str | None = None
    series: str | None = None
    instance: str | None = None
    partition: str = DEFAULT_PARTITION

    @property
    def level(self) -> Level | None:
        """The level of what is named; None for all studies."""
        if self.instance is not None:
            return Level.INSTANCE
        if self.series is not None:
            return Level.SERIES
        return Level.STUDY if self.study is not None else None

    @property
    def path(self) -> str:
        """The path below the service's base URL (PS3.18 10.1)."""
        path = "studies"
        if self.study is not None:
            path += f"/{self.study}"
        if self.series is not None:
            path += f"/series/{self.series}"
        if self.instance is not None:
            path += f"/instances/{self.instance}"
        return path


def parse(variables: Mapping[str, str]) -> Resource:
    """Read the template variables {study}, {series} and {instance} of a route.

    Raises
    ------
    BadRequest
        One of them is not a UID.
    """
    uids: dict[str, str] = {}
    for name in ("study", "series", "instance"):
        if name in variables:
            value = variables[name].strip(" \0")
            if not is_uid(value):
                raise BadRequest(
                    f"{{{name}}} in the path is not a UID (digits and dots, at most 64 characters)"
                )
            uids[name] = value
    return Resource(**uids)


def parse_frames(value: str) -> tuple[int, ...]:
    """Read the template variable {frames}: a comma-separated list of frame numbers from 1 (PS3.18 10.4.1.1.6).

    Raises
    ------
    BadRequest
        It is not such a list, has more than `MAX_FRAMES` entries, or a frame more than `MAX_REPEATS` times.
    """
    items = value.split(",")
    if len(items) > MAX_FRAMES:
        raise BadRequest(
            f"{{frames}} in the path lists {len(items)} frames; at most {MAX_FRAMES} are allowed"
        )
    for position, item in enumerate(items, 1):
        if not (item.isascii() and item.isdigit() and len(item) <= 10 and int(item) > 0):
            raise BadRequest(f"{{frames}} in the path: entry {position} is not a positive number")
    numbers = tuple(int(item) for item in items)
    frame, times = Counter(numbers).most_common(1)[0]
    if times > MAX_REPEATS:
        raise BadRequest(
            f"{{frames}} in the path lists frame {frame} {times} times; at most {MAX_REPEATS} are allowed"
        )
    return numbers
