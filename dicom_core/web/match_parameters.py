"""Match parameters of the Search transaction (PS3.18 8.3.4.1): attributes and values, read to what must match.

Semantics beside those of `query`: a range of dates and a range of times of the same form are one range of
date-times, as PS3.18 8.3.4.1.1 asks for; parameters of the same sequence must hold in the same item.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dicom_core import attributes, values
from dicom_core.attributes import Attribute
from dicom_core.errors import BadRequest
from dicom_core.query import (
    MODALITIES_IN_STUDY,
    AnyOf,
    Condition,
    EmptyValue,
    FuzzyName,
    Match,
    MultipleValues,
    Range,
    SequenceItem,
    SingleValue,
    UIDList,
    WildCard,
)
from dicom_core.resources import Level, is_uid

WILD_CARD_VRS = frozenset({"AE", "AS", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""Where `*` and `?` are wild cards (PS3.4 C.2.2.2.4), and age strings."""

_MULTIPLE_VRS = frozenset({"AE", "AS", "CS", "LO", "PN", "SH", "UC"})
"""Where a backslash separates values that must all be present (PS3.4 C.2.2.2.8)."""

_MATCHABLE_VRS = WILD_CARD_VRS | values.TIME_VRS | values.NUMBER_VRS | {"UI"}
_EMPTY = '""'
_DEEPEST = 8  # sequences in sequences
_NAME = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PLURAL = {Level.STUDY: "studies", Level.SERIES: "series", Level.INSTANCE: "instances"}
_MODALITY = next(row for row in attributes.TABLE if row.keyword == "Modality")
_RANGE = {
    "DA": re.compile(r"([^-]*)-([^-]*)"),
    "TM": re.compile(r"([^-]*)-([^-]*)"),
    "DT": re.compile(rf"([0-9.]*(?:{values.OFFSET})?)-([0-9.]*(?:{values.OFFSET})?)"),
}
_FORMS = {
    "DA": "a date YYYYMMDD or a range of dates, the earlier first",
    "TM": "a time HHMMSS.FFFFFF, also in part, or a range of times, the earlier first",
    "DT": "a date-time YYYYMMDDHHMMSS.FFFFFF&ZZXX, also in part, or a range of them, the earlier first",
}

Path = tuple[Attribute, ...]
"""An attribute, after the sequences that it is in, the outermost first."""


@dataclass(frozen=True, slots=True)
class Matching:
    """The kinds of matching that a request has to ask for (PS3.18 8.3.4.2, 8.3.4.5, 8.3.4.6)."""

    fuzzy: bool = False
    empty: bool = False
    multiple: bool = False


BASIC = Matching()


def read(
    sought: Iterable[tuple[str, str]], level: Level, matching: Matching, warnings: list[str]
) -> tuple[tuple[Match, ...], frozenset[str]]:
    """Read the match parameters of a search at a level: what must match, and the tags that are only returned.

    The latter are those of Universal Matching (PS3.4 C.2.2.2.3). What is passed over is added to the warnings.
    """
    given: dict[Path, list[str]] = {}
    for name, text in sought:
        path = path_of(name)
        problem = _problem(path, text, level)
        if problem:
            warnings.append(f"{shown(name)} {problem}; it is ignored")
        elif path in given and not _may_be_list(path[-1]):
            raise BadRequest(f"{_name(path)} is given twice")
        else:
            given.setdefault(path, []).append(text)
    matches = _matches({path: ",".join(texts) for path, texts in given.items()}, (), matching)
    matched = {match.attribute for match in matches}
    return matches, frozenset(path[0].tag for path in given if path[0] not in matched)


def path_of(name: str) -> Path:
    """The attribute that keywords or tags separated by dots name; nothing if one of them is not known."""
    names = name.split(".", _DEEPEST)
    path = tuple(attribute for part in names if (attribute := attributes.find(part)) is not None)
    return path if len(path) == len(names) and all(each.vr == "SQ" for each in path[:-1]) else ()


def shown(name: str) -> str:
    """A parameter's name as a warning may show it: what may be anything is not shown."""
    return name if _NAME.fullmatch(name) else "a parameter"


def condition_of(attribute: Attribute, text: str, matching: Matching = BASIC) -> Condition | None:
    """Read the value of a match parameter; None restricts nothing (Universal Matching, PS3.4 C.2.2.2.3).

    UIDs and ModalitiesInStudy may be lists of alternatives, separated by commas or backslashes.

    Raises
    ------
    ValueError
        It has not the form that the VR asks for; the text says which, and does not repeat the value.
    """
    text = text.strip(values.PADDING)
    if not text.strip("*"):
        return None
    if matching.empty and text == _EMPTY:
        return EmptyValue(attribute.vr)
    if matching.multiple and "\\" in text and attribute.vr in _MULTIPLE_VRS:
        return _multiple([condition_of(attribute, value, matching) for value in text.split("\\")])
    if attribute.vr == "UI":
        return _uids(_listed(text))
    if attribute.tag == MODALITIES_IN_STUDY:
        return _any_of([condition_of(_MODALITY, item) for item in _listed(text)])
    if attribute.vr in values.TIME_VRS:
        return _instants(attribute.vr, text)
    if attribute.vr in values.NUMBER_VRS:
        if values.number(text) is None:
            raise ValueError("a number")
        return SingleValue(attribute.vr, values.normal(attribute.vr, text))
    return _textual(attribute.vr, text, fuzzy=matching.fuzzy)


def _problem(path: Path, text: str, level: Level) -> str:
    """Why a path cannot be a match parameter with a value; empty if it can."""
    if not path:
        return "is no parameter or attribute that is known"
    if not path[0].searchable:
        return "is no attribute that can be searched by"
    if path[0].level > level:
        return f"is no attribute by which {_PLURAL[level]} can be searched"
    if path[-1].vr == "SQ":
        return (
            "is a sequence, which is searched by its attributes" if text.strip(values.PADDING + "*") else ""
        )
    return "" if path[-1].vr in _MATCHABLE_VRS else "is no attribute that can be searched by"


def _matches(given: Mapping[Path, str], within: Path, matching: Matching) -> tuple[Match, ...]:
    """What must match in a data set, or in an item of the sequence that a path leads to."""
    found: dict[Attribute, Match | None] = {}
    for path, text in given.items():
        attribute = path[0]
        if len(path) == 1:
            found[attribute] = _match(attribute, text, given, within, matching)
        elif attribute not in found:
            item = {other[1:]: value for other, value in given.items() if other[0] == attribute and other[1:]}
            inner = _matches(item, (*within, attribute), matching)
            found[attribute] = Match(attribute, SequenceItem(inner)) if inner else None
    return tuple(match for match in found.values() if match is not None)


def _match(
    attribute: Attribute, text: str, given: Mapping[Path, str], within: Path, matching: Matching
) -> Match | None:
    """One attribute; a range of times with the range of its dates, which must hold by itself as well."""
    try:
        if attribute.vr == "TM" and (combined := _combined(attribute, text, given)):
            return combined
        condition = condition_of(attribute, text, matching)
    except ValueError as error:
        raise BadRequest(f"{_name((*within, attribute))} must be {error}") from None
    return None if condition is None else Match(attribute, condition)


def _combined(time: Attribute, text: str, given: Mapping[Path, str]) -> Match | None:
    """Match a time together with its date, if both are ranges of the same form (PS3.4 C.2.2.2.5.4)."""
    date = attributes.find(time.keyword.removesuffix("Time") + "Date")
    if date is None or (date,) not in given:
        return None
    days = _ends("DA", given[(date,)])
    hours = _ends("TM", text)
    if days is None or hours is None or [*map(bool, days)] != [*map(bool, hours)] or _reversed(days):
        return None
    first, last = (values.earliest("DT", day + hour) or "" for day, hour in zip(days, hours, strict=True))
    if _reversed((first, last)):
        raise ValueError("a range of times that with the range of its dates has the earlier first")
    return Match(time, Range("DT", first, last), date)


def _ends(vr: str, text: str) -> tuple[str, str] | None:
    """The ends of a range, normalised, an open one empty; None if it is none or malformed."""
    ends = _RANGE[vr].fullmatch(text.strip(values.PADDING))
    if ends is None or not (ends[1] or ends[2]):
        return None
    first = values.earliest(vr, ends[1]) if ends[1] else ""
    last = values.latest(vr, ends[2]) if ends[2] else ""
    return None if first is None or last is None else (first, last)


def _reversed(ends: tuple[str, str]) -> bool:
    return all(ends) and ends[0] > ends[1]


def _multiple(conditions: Sequence[Condition | None]) -> Condition | None:
    """All of the values; those that restrict nothing apart."""
    given = tuple(condition for condition in conditions if condition is not None)
    return MultipleValues(given) if len(given) > 1 else next(iter(given), None)


def _any_of(conditions: Sequence[Condition | None]) -> Condition | None:
    given = tuple(condition for condition in conditions if condition is not None)
    return AnyOf(given) if given and len(given) == len(conditions) else None


def _uids(uids: Sequence[str]) -> Condition | None:
    if not all(is_uid(uid) for uid in uids):
        raise ValueError("a UID or a list of UIDs (digits and dots, at most 64 characters each)")
    if not uids:
        return None
    return SingleValue("UI", uids[0]) if len(uids) == 1 else UIDList(frozenset(uids))


def _textual(vr: str, text: str, *, fuzzy: bool) -> Condition | None:
    normal = values.normal(vr, text)
    if vr in WILD_CARD_VRS and ("*" in normal or "?" in normal):
        return WildCard(vr, normal)
    if vr == "PN" and fuzzy:
        words = values.words(normal)
        return FuzzyName(words) if words else None
    return SingleValue(vr, normal) if normal else None


def _instants(vr: str, text: str) -> Condition:
    """Read a date, time or date-time, or a range of them (PS3.4 C.2.2.2.5)."""
    first, last = values.earliest(vr, text), values.latest(vr, text)
    if first is not None and last is not None:
        return SingleValue(vr, first) if first == last else Range(vr, first, last)
    ends = _ends(vr, text)
    if ends is None or _reversed(ends):
        raise ValueError(_FORMS[vr])
    return Range(vr, *ends)


def _may_be_list(attribute: Attribute) -> bool:
    """Say if the value of a match parameter may be a list, whose members are alternatives."""
    return attribute.vr == "UI" or attribute.tag == MODALITIES_IN_STUDY


def _listed(text: str) -> list[str]:
    items = (item.strip(values.PADDING) for item in re.split(r"[,\\]", text))
    return [item for item in items if item]


def _name(path: Path) -> str:
    return ".".join(attribute.keyword or attribute.tag for attribute in path)
