"""The query parameters by which failures of a subscriber are listed and retried; others are refused by name."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from dicom_core.errors import BadRequest
from dicom_core.resources import is_uid
from dicom_core.web.match_parameters import shown

LISTING = ("limit", "offset")
RETRYING = ("study",)

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_OFFSET = 1_000_000

_NUMBER = re.compile(r"[0-9]{1,7}")


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a list: what to pass over, and the most to return."""

    offset: int
    limit: int


def window(parameters: Iterable[tuple[str, str]]) -> Window:
    """Read what part of the failures is asked for.

    Raises
    ------
    BadRequest
        A value is malformed, a parameter is given twice, or there is none of its name.
    """
    given = _given(parameters, LISTING)
    return Window(
        _number("offset", given, 0, 0, MAX_OFFSET), _number("limit", given, DEFAULT_LIMIT, 1, MAX_LIMIT)
    )


def none(parameters: Iterable[tuple[str, str]]) -> None:
    """Refuse parameters where there are none; raises as `window`."""
    _given(parameters, ())


def study(parameters: Iterable[tuple[str, str]]) -> str | None:
    """Read which study is to be retried, None for all; raises as `window`."""
    uid = _given(parameters, RETRYING).get("study")
    if uid is not None and not is_uid(uid):
        raise BadRequest("study is not a UID")
    return uid


def _given(parameters: Iterable[tuple[str, str]], names: Collection[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in names:
            raise BadRequest(
                f"{shown(name)} is no parameter of this resource; it has {' and '.join(names) or 'none'}"
            )
        if name in given:
            raise BadRequest(f"{name} is given twice")
        given[name] = value
    return given


def _number(name: str, given: Mapping[str, str], default: int, least: int, most: int) -> int:
    if name not in given:
        return default
    if not _NUMBER.fullmatch(given[name]) or not least <= int(given[name]) <= most:
        raise BadRequest(f"{name} must be a number from {least} to {most}")
    return int(given[name])
