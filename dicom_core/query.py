"""Search queries as values: the matching kinds of PS3.4 C.2.2.2, and what a query matches and returns.

What equals what is decided in `values`. Beside it: a name matches by any of its component groups, an
attribute with several values by any of them, and a time or a date-time given in part means all of the time
that it names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

from dicom_core import attributes, values
from dicom_core.attributes import Attribute, Dataset
from dicom_core.resources import Level, Resource

MODALITIES_IN_STUDY = "00080061"

_GATHERED_FROM = {
    MODALITIES_IN_STUDY: (Level.SERIES, "00080060"),
    "00080062": (Level.INSTANCE, "00080016"),
}
"""The attributes of a study that list a value of each of its instances."""

LONGEST_WITH_WILD_CARDS = 128
"""Characters of a value that patterns and words are compared with; PS3.5 6.2 allows 64 in a text or group of a name."""

_UIDS = {Level.STUDY: "0020000D", Level.SERIES: "0020000E", Level.INSTANCE: "00080018"}


class Condition(Protocol):
    """What the values of one attribute must be."""

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if one of the values of a DICOM JSON Value list does."""


@dataclass(frozen=True, slots=True)
class SingleValue:
    """Single Value Matching (PS3.4 C.2.2.2.1); `value` is normalised."""

    vr: str
    value: str

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if a value equals."""
        return any(_each_group(self.vr, self.value, value, str.__eq__) for value in present)


@dataclass(frozen=True, slots=True)
class UIDList:
    """List of UID Matching (PS3.4 C.2.2.2.2)."""

    uids: frozenset[str]

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if a value is in the list."""
        return any(values.normal("UI", value) in self.uids for value in present)


@dataclass(frozen=True, slots=True)
class WildCard:
    """Wild Card Matching (PS3.4 C.2.2.2.4); `pattern` is normalised, `*` any characters, `?` one."""

    vr: str
    pattern: str

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if a value has the pattern."""
        compare = _has_name_pattern if self.vr == "PN" else _has_pattern
        return any(_each_group(self.vr, self.pattern, value, compare) for value in present)


@dataclass(frozen=True, slots=True)
class Range:
    """Range Matching of DA, TM and DT (PS3.4 C.2.2.2.5), both ends included; an empty end is open.

    The ends are normalised; a stored value given in part counts as the first instant that it names.
    """

    vr: str
    first: str = ""
    last: str = ""

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if a value lies within."""
        return any(self._holds(values.earliest(self.vr, value)) for value in present)

    def _holds(self, instant: str | None) -> bool:
        return instant is not None and self.first <= instant and (not self.last or instant <= self.last)


@dataclass(frozen=True, slots=True)
class FuzzyName:
    """Fuzzy Semantic Matching of person names (PS3.4 C.2.2.2.1.1): each word begins some word of the name."""

    words: tuple[str, ...]

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if a name has all the words."""
        return any(self._begin(values.normal("PN", value)) for value in present)

    def _begin(self, name: str) -> bool:
        name = "=".join(group[:LONGEST_WITH_WILD_CARDS] for group in name.split("="))
        starts = values.word_starts(name)
        return all(any(name.startswith(word, start) for start in starts) for word in self.words)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Matches where one of its conditions does: a list of ModalitiesInStudy."""

    conditions: tuple[Condition, ...]

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if a condition holds."""
        return any(condition.matches(present) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class MultipleValues:
    """Multiple Value Matching (PS3.4 C.2.2.2.8): each of the values asked for is present, in any order."""

    conditions: tuple[Condition, ...]

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if all conditions hold."""
        return all(condition.matches(present) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class EmptyValue:
    """Empty Value Matching (PS3.4 C.2.2.2.7): the attribute is absent, or has no value that says anything."""

    vr: str

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if there is no value."""
        return not any(values.normal(self.vr, value) for value in present)


@dataclass(frozen=True, slots=True)
class SequenceItem:
    """Sequence Matching (PS3.4 C.2.2.2.6): one item has all that is asked for."""

    wanted: tuple[Match, ...]

    def matches(self, present: Sequence[Any]) -> bool:
        """Say if an item matches."""
        return any(isinstance(item, dict) and satisfies(self.wanted, item) for item in present)


@dataclass(frozen=True, slots=True)
class Match:
    """One match parameter: an attribute and what it must be.

    With a `date`, the attribute is a time, and what must match is that time on that date, as a date-time
    (PS3.4 C.2.2.2.5.4).
    """

    attribute: Attribute
    condition: Condition
    date: Attribute | None = None

    def holds(self, dataset: Mapping[str, Any]) -> bool:
        """Say if a data set has what is asked for."""
        present = attributes.values_of(dataset, self.attribute.tag)
        if self.date is not None:
            present = _date_time(attributes.values_of(dataset, self.date.tag), present)
        return self.condition.matches(present)


@dataclass(frozen=True, slots=True)
class Query:
    """A search (PS3.18 10.6): for what level, within what resource, what matches, what to return of it.

    `include` holds tags; `include_all` asks for all of `attributes.TABLE`.
    """

    level: Level
    resource: Resource = field(default_factory=Resource)
    matches: tuple[Match, ...] = ()
    include: frozenset[str] = frozenset()
    include_all: bool = False
    limit: int = 100
    offset: int = 0

    @property
    def studies(self) -> frozenset[str] | None:
        """The studies that the query names, in its path or by StudyInstanceUID; None if it names none."""
        if self.resource.study is not None:
            return frozenset({self.resource.study})
        for match in self.matches:
            if match.attribute.tag == _UIDS[Level.STUDY]:
                condition = match.condition
                if isinstance(condition, UIDList):
                    return condition.uids
                if isinstance(condition, SingleValue):
                    return frozenset({condition.value})
        return None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of results, and if there are more behind it."""

    datasets: list[Dataset]
    more: bool


def matches(query: Query, dataset: Mapping[str, Any]) -> bool:
    """Say if an answer at the query's level has all that the query asks for."""
    return satisfies(query.matches, dataset)


def matches_study(query: Query, answer: Mapping[str, Any]) -> bool:
    """Say if a study has all that the query asks of studies."""
    return satisfies((match for match in query.matches if match.attribute.level is Level.STUDY), answer)


def satisfies(wanted: Iterable[Match], dataset: Mapping[str, Any]) -> bool:
    """Say if a data set has all that some match parameters ask for."""
    return all(match.holds(dataset) for match in wanted)


def candidate(query: Query, given: Mapping[Level, Mapping[str, Any]] | None) -> bool:
    """Say if a study may come to match by a transaction that gives it these attributes (None: any).

    True too often costs a read; False wrongly loses a study. A study's answer is put together from the values
    of several transactions, so one value that matches makes a candidate, and so does a transaction none of
    whose values contradicts. Without a value that matches, what matches was there before, and the study is
    found by its search row. What is asked of series and instances excludes no study.
    """
    if given is None:
        return True
    contradicted = False
    for match in query.matches:
        if match.attribute.level is Level.STUDY:
            brings = _brings(match, given)
            if brings:
                return True
            contradicted = contradicted or brings is not None
    return not contradicted


def returned(query: Query) -> tuple[str, ...]:
    """The tags of what an answer holds, ascending (PS3.18 10.6.3.3).

    The default set of the query's level and of each level above it that the path does not name, the UIDs,
    what was matched and what was asked for.
    """
    levels = [level for level in Level if level <= query.level]
    named = query.resource.level or 0
    tags = {_UIDS[level] for level in levels} | query.include
    tags.update(match.attribute.tag for match in query.matches)
    for level in levels:
        if query.include_all:
            tags.update(attributes.TAGS[level])
        elif level > named:
            tags.update(attributes.RETURNED[level])
    return tuple(sorted(tags))


def _brings(match: Match, given: Mapping[Level, Mapping[str, Any]]) -> bool | None:
    """Say if a transaction may bring a study what is asked for; None if it has no value for it."""
    tag, condition = match.attribute.tag, match.condition
    if match.attribute.vr == "SQ":  # not among what is given
        return True
    level, source = _GATHERED_FROM.get(tag, (Level.STUDY, tag))
    present = attributes.values_of(given.get(level, {}), source)
    if not present:
        return True if tag in _GATHERED_FROM or condition.matches(()) else None
    if match.date is not None:  # the date may be another transaction's
        return True
    if tag in _GATHERED_FROM and isinstance(condition, MultipleValues):
        return any(one.matches(present) for one in condition.conditions)
    return condition.matches(present)


def _date_time(dates: Sequence[Any], times: Sequence[Any]) -> list[str]:
    """A date and a time as a date-time; without the time if there is none, nothing without a date."""
    date = values.earliest("DA", dates[0]) if dates else None
    time = values.earliest("TM", times[0]) if times else None
    return [] if date is None else [date + (time or "")]


def _each_group(vr: str, key: str, value: Any, compare: Callable[[str, str], bool]) -> bool:
    """Compare with a value; with any component group of a name, or with each if the key has groups itself."""
    text = values.normal(vr, value)
    if vr != "PN":
        return compare(key, text)
    groups = text.split("=")
    if "=" not in key:
        return any(compare(key, group) for group in groups if group)
    groups += [""] * (key.count("=") + 1 - len(groups))
    return all(not part or compare(part, group) for part, group in zip(key.split("="), groups, strict=False))


def _has_pattern(pattern: str, text: str) -> bool:
    return _compiled(pattern).fullmatch(text, 0, LONGEST_WITH_WILD_CARDS) is not None


def _has_name_pattern(pattern: str, name: str) -> bool:
    """Compare a component group also with its empty components, so that `DOE^*` finds DOE."""
    return _has_pattern(pattern, name) or _has_pattern(pattern, name + "^" * (4 - name.count("^")))


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Compile a wild card pattern; the atomic groups keep the time linear in the number of `*`."""
    parts = ["".join("." if c == "?" else re.escape(c) for c in part) for part in pattern.split("*")]
    if len(parts) == 1:
        return re.compile(parts[0], re.DOTALL)
    inner = "".join(f"(?>.*?{part})" for part in parts[1:-1] if part)
    return re.compile(f"{parts[0]}{inner}.*{parts[-1]}", re.DOTALL)
