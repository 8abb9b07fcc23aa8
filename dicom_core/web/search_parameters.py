"""The query parameters of the Search transaction (PS3.18 8.3.4), read to a `Query`.

What is not understood is ignored with a warning that names it; what is malformed is refused. Neither text
repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_core import attributes, query
from dicom_core.attributes import Attribute
from dicom_core.errors import BadRequest
from dicom_core.query import Match, Query
from dicom_core.resources import Level, Resource

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
_UNSUPPORTED = ("emptyvaluematching", "multiplevaluematching")
_REPEATABLE = frozenset({"accept", "accept-charset", "includefield"})
_PLURAL = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
_NUMBER = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


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
    fuzzy = _boolean("fuzzymatching", options)
    warnings += [f"{name} is not supported" for name in _UNSUPPORTED if _boolean(name, options)]
    include, include_all = _included(options.get("includefield", ()), level, warnings)
    return Parsed(
        Query(
            level,
            resource,
            _matches(sought, level, fuzzy, warnings),
            include,
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
        raise BadRequest(f"{name} must be a number from {least}")
    return int(value)


def _boolean(name: str, options: dict[str, list[str]]) -> bool:
    value = options[name][0].lower() if name in options else "false"
    if value not in ("true", "false"):
        raise BadRequest(f"{name} must be true or false")
    return value == "true"


def _included(lists: Iterable[str], level: Level, warnings: list[str]) -> tuple[frozenset[str], bool]:
    """Read includefield: tags, and whether all are asked for (PS3.18 8.3.4.3).

    What `attributes.TABLE` has at a lower level than the answers is passed over in silence: a viewer asks
    studies for their Modality.
    """
    names = dict.fromkeys(name.strip() for names in lists for name in names.split(","))
    tags: set[str] = set()
    include_all = False
    for name in filter(None, names):
        attribute = attributes.find(name)
        if name.lower() == "all":
            include_all = True
        elif attribute is None:
            warnings.append(f"includefield {_shown(name)} is no attribute that is known; it is ignored")
        elif attribute.level <= level or not attributes.is_in_table(attribute.tag):
            tags.add(attribute.tag)
    return frozenset(tags), include_all


def _matches(
    sought: Iterable[tuple[str, str]], level: Level, fuzzy: bool, warnings: list[str]
) -> tuple[Match, ...]:
    """Read the match parameters (PS3.18 8.3.4.1)."""
    values: dict[Attribute, list[str]] = {}
    for name, value in sought:
        attribute = attributes.find(name)
        problem = _problem(attribute, level)
        if attribute is None or problem:
            warnings.append(f"{_shown(name)} {problem}; it is ignored")
        elif attribute in values and not query.may_be_list(attribute):
            raise BadRequest(f"{attribute.keyword} is given twice")
        else:
            values.setdefault(attribute, []).append(value)
    found = ((attribute, _condition(attribute, given, fuzzy)) for attribute, given in values.items())
    return tuple(Match(attribute, condition) for attribute, condition in found if condition is not None)


def _problem(attribute: Attribute | None, level: Level) -> str:
    """Why an attribute cannot be a match parameter; empty if it can."""
    if attribute is None:
        return "is no parameter or attribute that is known"
    if not attribute.searchable:
        return "is no attribute that can be searched by"
    if attribute.level > level:
        return f"is no attribute by which {_PLURAL[level]} can be searched"
    return ""


def _condition(attribute: Attribute, given: Sequence[str], fuzzy: bool) -> query.Condition | None:
    try:
        return query.condition_of(attribute, "\\".join(given), fuzzy=fuzzy)
    except ValueError as error:
        raise BadRequest(f"{attribute.keyword} must be {error}") from None


def _shown(name: str) -> str:
    """A parameter's name as a warning may show it: what may be anything is not shown."""
    return name if _NAME.fullmatch(name) else "a parameter"
