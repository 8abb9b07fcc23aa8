"""How one value of a search parameter compares with the values that a resource has (FHIR R4 3.1.1.5)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from tests.fhir.client import Resource
from tests.fhir.strict.outcome import Refused
from tests.fhir.strict.parameters import Kind, Parameter

Range = tuple[datetime, datetime]
"""Moments from the first until before the second."""

Test = Callable[[Any], bool]

_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)
_DECIMALS = 6
_PREFIXES: Mapping[str, Callable[[Range, Range], bool]] = {
    "eq": lambda has, asked: asked[0] <= has[0] and has[1] <= asked[1],
    "ne": lambda has, asked: not (asked[0] <= has[0] and has[1] <= asked[1]),
    "gt": lambda has, asked: has[1] > asked[1],
    "lt": lambda has, asked: has[0] < asked[0],
    "ge": lambda has, asked: has[1] > asked[0],
    "le": lambda has, asked: has[0] < asked[1],
    "sa": lambda has, asked: has[0] >= asked[1],
    "eb": lambda has, asked: has[1] <= asked[0],
}
_MODIFIERS: Mapping[Kind, frozenset[str]] = {
    "token": frozenset({"", "not"}),
    "reference": frozenset({"", "identifier"}),
    "date": frozenset({""}),
    "string": frozenset({"", "exact", "contains"}),
}


def found(resource: Resource, parameter: Parameter) -> list[Any]:
    """The elements that a parameter looks at."""
    return [value for path in parameter.paths for value in _at(resource, path.split("."))]


def _at(value: Any, steps: list[str]) -> Iterator[Any]:
    if isinstance(value, list):
        for one in value:
            yield from _at(one, steps)
    elif not steps:
        yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _at(value[steps[0]], steps[1:])


def test_of(parameter: Parameter, modifier: str, asked: str) -> Test:
    """Whether a resource has one of the values asked for; a comma stands between them."""
    if modifier == "missing" and asked in ("true", "false"):
        return lambda resource: bool(found(resource, parameter)) is (asked == "false")
    if modifier not in _MODIFIERS[parameter.kind]:
        raise Refused(400, "not-supported", f"no modifier {modifier} of a {parameter.kind}")
    tests = [_TESTS[parameter.kind](value, modifier) for value in _split(asked, ",")]
    negated = modifier == "not"
    return lambda resource: (
        any(test(one) for test in tests for one in found(resource, parameter)) is not negated
    )


def _split(text: str, separator: str) -> list[str]:
    return re.split(rf"(?<!\\){re.escape(separator)}", text)


def _plain(text: str) -> str:
    return re.sub(r"\\([\\,|$])", r"\1", text)


def _token(asked: str, _: str = "") -> Test:
    system, bar, code = (_plain(part) for part in _partition(asked))
    return lambda has: any(
        (not code or code == own) and (not bar or anywhere or (system or None) == place)
        for own, place, anywhere in _codes(has)
    )


def _partition(asked: str) -> tuple[str, str, str]:
    parts = _split(asked, "|")
    return (parts[0], "|", parts[1]) if len(parts) > 1 else ("", "", parts[0])


def _codes(has: Any) -> Iterator[tuple[str, str | None, bool]]:
    """Each code, its system, and whether the system goes without saying."""
    if not isinstance(has, dict):
        yield (str(has).lower() if isinstance(has, bool) else str(has)), None, True
        return
    for coding in has.get("coding", [has]):
        yield coding.get("code", coding.get("value", "")), coding.get("system"), False


def _reference(asked: str, modifier: str) -> Test:
    if modifier == "identifier":
        test = _token(asked)
        return lambda has: test(has.get("identifier", {}))
    if "/" in asked:
        return lambda has: bool(has.get("reference") == asked)
    return lambda has: bool(has.get("reference", "").partition("/")[2] == asked)


def _string(asked: str, modifier: str) -> Test:
    exact, part = _plain(asked), _folded(_plain(asked))
    if modifier == "exact":
        return lambda has: bool(has == exact)
    if modifier == "contains":
        return lambda has: part in _folded(has)
    return lambda has: _folded(has).startswith(part)


def _folded(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in letters if not unicodedata.combining(one))


def _date(asked: str, _: str) -> Test:
    prefix, value = (asked[:2], asked[2:]) if asked[:2] in _PREFIXES else ("eq", asked)
    compare, limits = _PREFIXES[prefix], span(value)
    return lambda has: compare(span(has), limits)


def span(value: Any) -> Range:
    """The moments that a date, a time or a Period covers."""
    if isinstance(value, dict):
        begin, end = value.get("start"), value.get("end")
        return (
            span(begin)[0] if begin else datetime.min.replace(tzinfo=UTC),
            span(end)[1] if end else datetime.max.replace(tzinfo=UTC),
        )
    parts = _DATE.fullmatch(value)
    if parts is None:
        raise Refused(400, "value", "a date of the search is none")
    try:
        return _covered(*parts.groups())
    except ValueError:
        raise Refused(400, "value", "a date of the search is none") from None


def _covered(
    year: str,
    month: str | None,
    day: str | None,
    hour: str | None,
    minute: str | None,
    second: str | None,
    part: str | None,
    zone: str | None,
) -> Range:
    start = datetime.combine(date(int(year), int(month or 1), int(day or 1)), time(), UTC)
    if month is None:
        return start, start.replace(year=start.year + 1)
    if day is None:
        return start, (start + timedelta(31)).replace(day=1)
    if hour is None:
        return start, start + timedelta(1)
    micro = int((part or ".")[1:][:_DECIMALS].ljust(_DECIMALS, "0"))
    offset = datetime.fromisoformat(f"2000-01-01T00:00:00{zone or 'Z'}").tzinfo
    start = start.replace(
        hour=int(hour), minute=int(minute or 0), second=int(second or 0), microsecond=micro, tzinfo=offset
    )
    if second is None:
        return start, start + timedelta(minutes=1)
    return start, start + (timedelta(milliseconds=1) if part else timedelta(seconds=1))


_TESTS: Mapping[Kind, Callable[[str, str], Test]] = {
    "token": _token,
    "reference": _reference,
    "date": _date,
    "string": _string,
}
