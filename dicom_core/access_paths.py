"""How a search narrows the studies it looks at, and so in which order it answers.

A study has search rows under several attributes, one for each value that can be looked for. A query is answered
from the attribute that narrows it most, in the order of that attribute's keys; the rest of the query is compared
row by row. The choice and the order depend on the query alone, so that its pages agree.

A key is `{value}|{inverted StudyDate}|{StudyInstanceUID}`: equal values are ordered by date, the newest first. The
keys of StudyDate have no value before the date; every study has one. What may stand anywhere in a value (`*CHEST*`) is
looked for among keys that begin with `*` and hold it from each character on (docs/decisions/0008-wild-cards.md).
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import log10
from typing import Any

from dicom_core import attributes, values
from dicom_core.attributes import Dataset
from dicom_core.query import (
    LONGEST_WITH_WILD_CARDS,
    AnyOf,
    Condition,
    FuzzyName,
    Query,
    Range,
    SingleValue,
    WildCard,
)
from dicom_core.resources import Level

BY_DATE = "StudyDate"

NARROWS = {
    "AccessionNumber": 6.0,
    "PatientID": 5.0,
    "StudyID": 4.0,
    "PatientName": 5.0,
    "PatientBirthDate": 4.0,
    "ReferringPhysicianName": 2.5,
    "ModalitiesInStudy": 0.6,
}
"""The attributes that have search rows beside StudyDate; by how many powers of ten one value is taken to narrow."""

ANYWHERE = frozenset(
    {"AccessionNumber", "PatientID", "PatientName", "ReferringPhysicianName", "StudyDescription"}
)
"""The attributes that viewers look for with `*` on both sides."""

ANYWHERE_MARK = "*"
"""How the keys of what stands anywhere in a value begin; no value's own key does."""

_PER_CHARACTER = 0.8
_PER_DAY = log10(3650)  # an archive of ten years is narrowed so much by one day
_NARROWS_LITTLE = 0.1
_DESCRIPTION = 2.0

_LONGEST = 100
_NO_DATE = "99999999"
_KEYED = {
    keyword: attribute
    for keyword in dict.fromkeys((*NARROWS, *sorted(ANYWHERE)))
    if (attribute := attributes.find(keyword))
}
_UNKEYABLE = re.compile(r"[/\\#?|~%*\x00-\x1f\x7f-\x9f]")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_SILENT = "^ "
_LAST = "\U0010ffff"
_BEHIND_SURROGATES = 0xE000


@dataclass(frozen=True, slots=True)
class Path:
    """Keys from `first` up to, but not including, `last`, of the rows of one attribute.

    `narrows` is an estimate of how few studies lie on it, in powers of ten.
    """

    keyword: str
    first: str = ""
    last: str = "~"
    narrows: float = field(default=0.0, compare=False)

    def position(self, study: Mapping[str, Any]) -> str | None:
        """Where a study is met first on the path, by its answer; None if it is not on it."""
        within = (key for key in keys(study).get(self.keyword, ()) if self.first <= key < self.last)
        return min(within, default=None)


def choose(query: Query) -> Path:
    """The path that narrows a query most; all studies by date if nothing narrows it."""
    if query.studies is not None:
        return Path(BY_DATE)
    given = {match.attribute.keyword: match.condition for match in query.matches}
    dates = _by_date(given.get(BY_DATE))
    paths = [dates]
    for keyword in _KEYED:
        if keyword in given:
            paths += _paths(keyword, given[keyword], dates)
    return max(paths, key=lambda path: path.narrows)


def keys(study: Mapping[str, Any]) -> dict[str, list[str]]:
    """The keys of a study's search rows, by what they lie under."""
    uid = study["0020000D"]["Value"][0]
    date = _inverted(attributes.values_of(study, "00080020"))
    found = {BY_DATE: [f"{date}|{uid}"]}
    for keyword, attribute in _KEYED.items():
        present = attributes.values_of(study, attribute.tag)
        if not present:
            continue
        texts = [text for value in present for text in _texts(attribute.vr, value) if text]
        begins: set[str] = set()
        if keyword in NARROWS:
            begins.update(map(_keyable, _by_words(texts) if attribute.vr == "PN" else texts))
        if keyword in ANYWHERE:
            begins.update(map(_anywhere, _by_characters(texts)))
        if begins:
            found[keyword] = sorted(f"{text}|{date}|{uid}" for text in begins)
    return found


def study_of(key: str) -> str:
    """The study that a key is of."""
    return key.rpartition("|")[2]


def suffices(query: Query, path: Path) -> bool:
    """Say if every study on the path is a result: the query asks for a date, or for nothing."""
    named = [match.attribute.keyword for match in query.matches]
    return path.keyword == BY_DATE and (not named or (named == [BY_DATE] and path.narrows > 0))


def bound(path: Path, study: str, given: Mapping[Level, Dataset] | None) -> str | None:
    """A key that a study is not met before on a path, as far as it is met by values that it may come to have.

    Parameters
    ----------
    given
        Attributes that a transaction gives the study, by level; None if it may come to have any.

    Returns
    -------
    None if the values do not lie on the path at all.
    """
    of_study = {} if given is None else given.get(Level.STUDY, {})
    if given is None or not attributes.values_of(of_study, "00080020"):
        return path.first
    modalities = attributes.values_of(given.get(Level.SERIES, {}), "00080060")
    answer = {
        **of_study,
        "00080061": {"vr": "CS", "Value": modalities},
        "0020000D": {"vr": "UI", "Value": [study]},
    }
    listed = keys(answer).get(path.keyword)
    if listed is None:
        return path.first
    value = min((key for key in listed if path.first <= key < path.last), default=None)
    return None if value is None else value.partition("|")[0]


def _paths(keyword: str, condition: Condition, dates: Path) -> Iterator[Path]:
    """The paths on which a condition is met; none if it is met by no range of keys."""
    narrows = NARROWS.get(keyword, _DESCRIPTION)
    keyable = _keyable if keyword in NARROWS else _anywhere
    match condition:
        case AnyOf((single,)):
            yield from _paths(keyword, single, dates)
        case SingleValue(vr, value):
            text = value.strip("=").partition("=")[0] if vr == "PN" else value
            if text and (keyword in NARROWS or _begins_a_key(text)):
                exact = f"{keyable(text)}|"
                yield Path(keyword, exact + dates.first, exact + dates.last, narrows + dates.narrows)
        case WildCard(_, pattern):
            yield from _wild(keyword, pattern, narrows)
        case FuzzyName(words):
            word = max(words, key=len)
            yield _beginning(keyword, _keyable(word), min(narrows, _PER_CHARACTER * len(word)))
        case Range("DA", first, last):
            yield Path(
                keyword, first, f"{last}~" if last else "~", 1.0 if first and last else _NARROWS_LITTLE
            )


def _wild(keyword: str, pattern: str, narrows: float) -> Iterator[Path]:
    """The paths of a pattern: by how it begins, and by the longest text that stands anywhere in it."""
    literals = re.split(r"[*?=]", pattern)
    begins = literals[0].rstrip(_SILENT)
    if keyword in NARROWS and begins:
        yield _beginning(keyword, _keyable(begins), min(narrows, _PER_CHARACTER * len(begins)))
    longest = max((literal.strip(_SILENT) for literal in literals), key=len)
    if keyword in ANYWHERE and _begins_a_key(longest):
        estimate = min(narrows, _PER_CHARACTER * len(longest)) - _NARROWS_LITTLE
        yield _beginning(keyword, _anywhere(longest), estimate)


def _by_date(condition: Condition | None) -> Path:
    match condition:
        case SingleValue(_, value) if value.isdigit():
            return _beginning(BY_DATE, _invert(value), _PER_DAY)
        case Range(_, first, last):
            return Path(
                BY_DATE,
                _invert(last) if last else "",
                f"{_invert(first)}~" if first else _NO_DATE,
                _narrowed_by(first, last),
            )
    return Path(BY_DATE)


def _narrowed_by(first: str, last: str) -> float:
    if not (first and last):
        return _NARROWS_LITTLE
    days = (datetime.date.fromisoformat(last) - datetime.date.fromisoformat(first)).days + 1
    return max(_PER_DAY - log10(max(days, 1)), _NARROWS_LITTLE)


def _beginning(keyword: str, prefix: str, narrows: float) -> Path:
    prefix = prefix[: _LONGEST + 2]
    return Path(keyword, prefix, _behind(prefix), narrows)


def _behind(prefix: str) -> str:
    """The first text behind all that begin with another; there are no characters among the surrogates of UTF-16."""
    rest = prefix.rstrip(_LAST)
    if not rest:
        return _LAST * (_LONGEST + 3)
    following = ord(rest[-1]) + 1
    return rest[:-1] + chr(_BEHIND_SURROGATES if 0xD800 <= following < _BEHIND_SURROGATES else following)


def _texts(vr: str, value: Any) -> Iterator[str]:
    """What a value is compared as: a name by each of its groups."""
    if isinstance(value, dict):
        for group in _GROUPS:
            yield values.normal(vr, value.get(group, ""))
    else:
        yield values.normal(vr, value)


def _by_words(texts: Iterable[str]) -> Iterator[str]:
    """Texts from each of their words on that a name is looked for by."""
    for text in texts:
        starts = values.word_starts(text[:LONGEST_WITH_WILD_CARDS])
        yield from (text[start:] for start in starts)


def _by_characters(texts: Iterable[str]) -> Iterator[str]:
    """Texts from each of their characters on that a pattern is looked for by."""
    for text in texts:
        compared = text[:LONGEST_WITH_WILD_CARDS]
        for start in range(len(compared)):
            if _begins_a_key(compared[start : start + 2]):
                yield compared[start:]


def _begins_a_key(text: str) -> bool:
    """Say if there are keys that begin so: not with one letter, which nearly every value has; with one ideograph."""
    return (len(text) > 1 or not text.isascii()) and text[:1] not in _SILENT


def _keyable(text: str) -> str:
    """A value as part of a key, which some characters cannot be; long ones are cut."""
    return _UNKEYABLE.sub(lambda found: f"%{ord(found[0]):02x}", text[:_LONGEST])[:_LONGEST]


def _anywhere(text: str) -> str:
    return ANYWHERE_MARK + _keyable(text)


def _inverted(dates: list[Any]) -> str:
    date = values.normal("DA", dates[0]) if dates else ""
    return _invert(date) if len(date) == 8 and date.isdigit() else _NO_DATE


def _invert(date: str) -> str:
    return f"{99999999 - int(date):08d}"
