"""The query parameters of the change feed, as the DICOM service of Azure Health Data Services has them.

The case of their names does not count. What is no parameter is ignored with a warning that names it; what is malformed
is refused. Neither text repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType

from dicom_core.errors import BadRequest
from dicom_core.web.match_parameters import shown

MAX_OFFSET = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Limit:
    """The most entries of a page: what is taken where none is given, and what may be given."""

    default: int
    most: int


LIMITS: Mapping[int, Limit] = MappingProxyType({1: Limit(10, 100), 2: Limit(100, 200)})
"""The limits by the version of the path."""

NAMES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: ("offset", "limit", "includeMetadata"),
        2: ("startTime", "endTime", "offset", "limit", "includeMetadata"),
    }
)
"""The parameters by the version of the path."""

OF_LATEST = ("includeMetadata",)

_MAX_WARNINGS = 16  # what a response header has room for
_MICROSECOND = timedelta(microseconds=1)
_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{1,19}")
# A plus sign that was not encoded arrives as a space.
_TIME = re.compile(
    r"(?P<minute>\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,32}))?)?"
    r"(?:[Zz]|(?P<sign>[-+ ])(?P<hours>\d\d)(?::?(?P<minutes>\d\d))?)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is asked for.

    `offset` is a sequence number in version 1, and entries to pass over from `start` on in version 2. A time is None
    where none is given. `warnings` are texts for `Warning: 299`.
    """

    offset: int
    limit: int
    start: datetime | None
    end: datetime | None
    metadata: bool
    warnings: tuple[str, ...]


def parse(parameters: Iterable[tuple[str, str]], version: int) -> Parsed:
    """Read what part of the feed is asked for by a path of a version.

    Raises
    ------
    BadRequest
        A value has not the form that its parameter asks for, a parameter is given twice, or the times end before they
        begin.
    """
    given, warnings = _sorted_out(parameters, NAMES[version])
    start, end = _time("startTime", given), _time("endTime", given)
    if start is not None and end is not None and end <= start:
        raise BadRequest("endTime must be after startTime")
    limit = LIMITS[version]
    return Parsed(
        _number("offset", given, 0, 0, MAX_OFFSET),
        _number("limit", given, limit.default, 1, limit.most),
        start,
        end,
        _boolean("includeMetadata", given),
        warnings,
    )


def parse_latest(parameters: Iterable[tuple[str, str]]) -> Parsed:
    """Read how the latest entry is asked for; raises as `parse`."""
    given, warnings = _sorted_out(parameters, OF_LATEST)
    return Parsed(0, 1, None, None, _boolean("includeMetadata", given), warnings)


def _sorted_out(
    parameters: Iterable[tuple[str, str]], names: Collection[str]
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Tell the values of known parameters, by name, from what there is to warn of."""
    known = {name.lower(): name for name in names}
    given: dict[str, str] = {}
    warnings: dict[str, None] = {}
    for name, value in parameters:
        option = known.get(name.strip().lower())
        if option is None:
            warnings[f"{shown(name.strip())} is no parameter of this resource; it is ignored"] = None
        elif option in given:
            raise BadRequest(f"{option} is given twice")
        else:
            given[option] = value.strip()
    return given, tuple(warnings)[:_MAX_WARNINGS]


def _number(name: str, given: Mapping[str, str], default: int, least: int, most: int) -> int:
    if name not in given:
        return default
    if not _NUMBER.fullmatch(given[name]) or not least <= int(given[name]) <= most:
        raise BadRequest(f"{name} must be a number from {least} to {most}")
    return int(given[name])


def _boolean(name: str, given: Mapping[str, str]) -> bool:
    """Clients in C# write True."""
    value = given.get(name, "true").lower()
    if value not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false")
    return value == "true"


def _time(name: str, given: Mapping[str, str]) -> datetime | None:
    """Read a time of ISO 8601 with its zone.

    What has more digits than the feed's times is rounded up: nothing of the feed lies between the two. The ends of the
    calendar are as far as it goes; clients write them for a side that is open.
    """
    if name not in given:
        return None
    match = _TIME.fullmatch(given[name])
    if match is None:
        raise BadRequest(f"{name} must be a time with a zone, as 2026-01-31T08:00:00Z")
    digits = (match["fraction"] or "").ljust(6, "0")
    zone = timedelta(hours=int(match["hours"] or 0), minutes=int(match["minutes"] or 0))
    try:
        local = datetime.fromisoformat(
            f"{match['minute'].replace(' ', 'T').upper()}:{match['second'] or '00'}"
        )
        local = local.replace(
            microsecond=int(digits[:6]), tzinfo=timezone(-zone if match["sign"] == "-" else zone)
        )
    except ValueError:
        raise BadRequest(f"{name} is no date and time that there is") from None
    try:
        return local.astimezone(UTC) + (_MICROSECOND if digits[6:].strip("0") else timedelta())
    except OverflowError:
        return _LAST if local.year > 1 else _FIRST
