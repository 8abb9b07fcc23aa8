"""The query parameters of the Search transaction (PS3.18 8.3.4), read to a `Query`.

What is not understood is ignored with a warning that names it; what is malformed is refused. Neither text
repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dicom_core import attributes
from dicom_core.errors import BadRequest
from dicom_core.query import Query
from dicom_core.resources import Level, Resource
from dicom_core.web import match_parameters
from dicom_core.web.match_parameters import Matching, shown

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000

_MAX_WARNINGS = 16  # what a response header has room for

_OPTIONS = frozenset(
    {
        "accept",
        "accept-charset",
        "emptyvaluematching",
        "fuzzymatching",
        "includefield",
        "limit",
        "multiplevaluematching",
        "offset",
    }
)
_REPEATABLE = frozenset({"accept", "accept-charset", "includefield"})
_MAX_DIGITS = 18
_NUMBER = re.compile(f"[0-9]{{1,{_MAX_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was asked, and what of it was passed over: texts for `Warning: 299`."""

    query: Query
    warnings: tuple[str, ...]


def parse(parameters: Iterable[tuple[str, str]], level: Level, resource: Resource) -> Parsed:
    """Read the query parameters of a search at a level within a resource.

    Raises
    ------
    BadRequest
        A value has not the form that its parameter asks for, or a parameter is given twice.
    """
    options, sought = _sorted_out(parameters)
    warnings: list[str] = []
    limit = _number("limit", options, DEFAULT_LIMIT, 1)
    if limit > MAX_LIMIT:
        warnings.append(f"limit is more than the service returns at once; it returns {MAX_LIMIT}")
    matching = Matching(
        fuzzy=_boolean("fuzzymatching", options),
        empty=_boolean("emptyvaluematching", options),
        multiple=_boolean("multiplevaluematching", options),
    )
    matches, returned = match_parameters.read(sought, level, matching, warnings)
    include, include_all = _included(options.get("includefield", ()), level, warnings)
    return Parsed(
        Query(
            level,
            resource,
            matches,
            include | returned,
            include_all,
            min(limit, MAX_LIMIT),
            _number("offset", options, 0, 0),
        ),
        tuple(dict.fromkeys(warnings))[:_MAX_WARNINGS],
    )


def _sorted_out(parameters: Iterable[tuple[str, str]]) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """Tell the options, by name, from the match parameters."""
    options: dict[str, list[str]] = {}
    sought: list[tuple[str, str]] = []
    for name, value in parameters:
        option = name.strip().lower()
        if option not in _OPTIONS:
            sought.append((name.strip(), value))
        elif option in options and option not in _REPEATABLE:
            raise BadRequest(f"{option} is given twice")
        else:
            options.setdefault(option, []).append(value.strip())
    return options, sought


def _number(name: str, options: dict[str, list[str]], default: int, least: int) -> int:
    if name not in options:
        return default
    value = options[name][0]
    if not _NUMBER.fullmatch(value) or int(value) < least:
        raise BadRequest(f"{name} must be a number from {least}, of at most {_MAX_DIGITS} digits")
    return int(value)


def _boolean(name: str, options: dict[str, list[str]]) -> bool:
    value = options[name][0].lower() if name in options else "false"
    if value not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false")
    return value == "true"


def _included(lists: Iterable[str], level: Level, warnings: list[str]) -> tuple[frozenset[str], bool]:
    """Read includefield: tags, and whether all are asked for (PS3.18 8.3.4.3).

    What `attributes.TABLE` has at a lower level than the answers is passed over in silence: a viewer asks
    studies for their Modality. An attribute of a sequence stands for the whole sequence.
    """
    names = dict.fromkeys(name.strip() for names in lists for name in names.split(","))
    tags: set[str] = set()
    include_all = False
    for name in filter(None, names):
        path = match_parameters.path_of(name)
        if name.lower() == "all":
            include_all = True
        elif not path:
            warnings.append(f"includefield {shown(name)} is no attribute that is known; it is ignored")
        elif path[0].level <= level or not attributes.is_in_table(path[0].tag):
            tags.add(path[0].tag)
    return frozenset(tags), include_all
