"""How a search narrows the studies it looks at, and so in which order it answers.

A study has search rows under several attributes, one for each value that can be looked for. A query is answered
from the attribute that narrows it most, in the order of that attribute's keys; the rest of the query is compared
row by row. The choice and the order depend on the query alone, so that its pages agree.

A key is `{value}|{inverted StudyDate}|{StudyInstanceUID}`: equal values are ordered by date, the newest first. The keys
of StudyDate have no value before the date; every study has one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dicom_core import attributes, values
from dicom_core.query import AnyOf, Condition, FuzzyName, Query, Range, SingleValue, WildCard

KEYED = (
    "AccessionNumber",
    "PatientID",
    "StudyID",
    "PatientName",
    "PatientBirthDate",
    "ReferringPhysicianName",
    "ModalitiesInStudy",
)
"""The attributes that have search rows beside StudyDate, those that narrow most first."""

BY_DATE = "StudyDate"

_LONGEST = 100
_NO_DATE = "99999999"
_TAGS = {keyword: attribute.tag for keyword in KEYED if (attribute := attributes.find(keyword))}
_UNKEYABLE = re.compile(r"[/\\#?|~%\x00-\x1f\x7f-\x9f]")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


@dataclass(frozen=True, slots=True)
class Path:
    """Keys from `first` up to, but not including, `last`, of the rows of one attribute."""

    keyword: str
    first: str = ""
    last: str = "~"

    def position(self, study: Mapping[str, Any]) -> str | None:
        """Where a study is met first on the path, by its answer; None if it is not on it."""
        within = (key for key in keys(study).get(self.keyword, ()) if self.first <= key < self.last)
        return min(within, default=None)


def choose(query: Query) -> Path:
    """The path that narrows a query most; all studies by date if nothing narrows it."""
    if query.studies is not None:
        return Path(BY_DATE)
    given = {match.attribute.keyword: match.condition for match in query.matches}
    for keyword in KEYED:
        if keyword in given and (path := _path(keyword, given[keyword])):
            return path
    return _by_date(given.get(BY_DATE))


def suffices(query: Query, path: Path) -> bool:
    """Say if the path alone is all that the query asks for."""
    return all(match.attribute.keyword == path.keyword for match in query.matches) and len(query.matches) <= 1


def keys(study: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys of a study's search rows, by attribute."""
    uid = study["0020000D"]["Value"][0]
    date = _inverted(attributes.values_of(study, "00080020"))
    found = {BY_DATE: [f"{date}|{uid}"]}
    for keyword, tag in _TAGS.items():
        texts = {
            text for value in attributes.values_of(study, tag) for text in _texts(keyword, value) if text
        }
        if texts:
            found[keyword] = sorted(f"{_keyable(text)}|{date}|{uid}" for text in texts)
    return found


def study_of(key: str) -> str:
    """The study that a key is of."""
    return key.rpartition("|")[2]


def _path(keyword: str, condition: Condition) -> Path | None:
    """The keys that can meet a condition; None if they are no range."""
    match condition:
        case AnyOf((single,)):
            return _path(keyword, single)
        case SingleValue(_, value) if value.strip("="):
            return _beginning(keyword, _keyable(value.strip("=").partition("=")[0]) + "|")
        case WildCard(_, pattern):
            literal = re.split(r"[*?=]", pattern, maxsplit=1)[0].rstrip("^ ")
            return _beginning(keyword, _keyable(literal)) if literal else None
        case FuzzyName(words):
            return _beginning(keyword, _keyable(max(words, key=len)))
        case Range("DA", first, last) if keyword != BY_DATE:
            return Path(keyword, first, f"{last}~" if last else "~")
    return None


def _by_date(condition: Condition | None) -> Path:
    match condition:
        case SingleValue(_, value) if value.isdigit():
            return _beginning(BY_DATE, _invert(value))
        case Range(_, first, last):
            return Path(BY_DATE, _invert(last) if last else "", f"{_invert(first)}~" if first else _NO_DATE)
    return Path(BY_DATE)


def _beginning(keyword: str, prefix: str) -> Path:
    prefix = prefix[: _LONGEST + 1]
    return Path(keyword, prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _texts(keyword: str, value: Any) -> Iterator[str]:
    """What a value can be looked for by: itself; a name by each of its groups, from each of its words on."""
    if not isinstance(value, dict):
        vr = "DA" if keyword == "PatientBirthDate" else "LO"
        yield values.normal(vr, value)
        return
    for group in _GROUPS:
        text = values.normal("PN", value.get(group, ""))
        yield from (text[start:] for start in values.word_starts(text))


def _keyable(text: str) -> str:
    """A value as part of a key, which some characters cannot be; long ones are cut."""
    return _UNKEYABLE.sub(lambda found: f"%{ord(found[0]):02x}", text)[:_LONGEST]


def _inverted(dates: list[Any]) -> str:
    date = values.normal("DA", dates[0]) if dates else ""
    return _invert(date) if len(date) == 8 and date.isdigit() else _NO_DATE


def _invert(date: str) -> str:
    return f"{99999999 - int(date):08d}"
