"""Values in the form in which equal values are equal (PS3.4 C.2.2.2), by value representation.

Semantics chosen where PS3.4 leaves them to the conformance statement: person names compare without case and
accents; other text without case; trailing blanks and trailing empty name components say nothing; numbers
compare as numbers; a date-time without an offset from UTC is taken as UTC. Dates, times and date-times sort
by time in this form.
"""

from __future__ import annotations

import re
import unicodedata
from calendar import monthrange
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

TIME_VRS = frozenset({"DA", "DT", "TM"})
NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})

PADDING = " \t\r\n\0"
"""What may stand around a value and says nothing (PS3.5 6.2)."""

OFFSET = r"\+(?:0[0-9]|1[0-4])[0-5][0-9]|-(?:0[0-9]|1[0-2])[0-5][0-9]"
"""The offset from UTC of a date-time."""

_PADDED_BOTH_SIDES = frozenset({"AE", "AS", "CS", "DS", "IS", "LO", "SH", "UI"})

_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_KANA_VOICING = 8
"""The combining class of the marks that tell が from か, which are no accents."""

_ALIKE = str.maketrans("\u2018\u2019\u02bc\u2010\u2013", "'''--")
_WORD_START = re.compile(r"^|(?<=[\^=,\s'-])(?=[^\^=,\s'-])")
_NUMBER = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")
_DATE = re.compile(r"([0-9]{4})(\.?)([0-9]{2})\2([0-9]{2})")
_CLOCK = r"([01][0-9]|2[0-3])(?::?([0-5][0-9])(?::?([0-5][0-9]|60)(?:\.([0-9]{1,6})[0-9]*)?)?)?"
_TIME = re.compile(_CLOCK)
_DATE_TIME = re.compile(rf"([0-9]{{4}})(?:([0-9]{{2}})(?:([0-9]{{2}})(?:{_CLOCK})?)?)?({OFFSET})?")


def normal(vr: str, value: Any) -> str:
    """Bring a value, as text or as in DICOM JSON, to its normal form.

    The component groups of a name are joined by `=`. Malformed dates, times and numbers stay text.
    """
    if vr == "PN":
        return _name(value)
    text = _text(value)
    text = text.strip(PADDING) if vr in _PADDED_BOTH_SIDES else text.rstrip(PADDING)
    if vr == "UI":
        return text
    if vr in TIME_VRS:
        return earliest(vr, text) or text
    if vr in NUMBER_VRS:
        return number(text) or text
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text.casefold())


def words(name: str) -> tuple[str, ...]:
    """The words of a normal person name: what components, groups, blanks and commas separate."""
    found = (word.lstrip("'-") for word in re.split(r"[\^=,\s]+", name))
    return tuple(word for word in found if word)


def word_starts(name: str) -> list[int]:
    """Where a normal person name and its words start; a word goes on being one behind an apostrophe or hyphen."""
    return [found.start() for found in _WORD_START.finditer(name)]


def earliest(vr: str, value: Any) -> str | None:
    """The first instant that a date, time or date-time names, also in part; None if it is malformed."""
    return _EARLIEST[vr](_text(value).strip(PADDING))


def latest(vr: str, value: Any) -> str | None:
    """The last instant that a date, time or date-time names, also in part; None if it is malformed."""
    return _LATEST[vr](_text(value).strip(PADDING))


def number(text: str) -> str | None:
    """The normal form of a number; None if it is none."""
    if not _NUMBER.fullmatch(text):
        return None
    value = Decimal(text)
    if abs(value.adjusted()) <= 27 and value == value.to_integral_value():
        return str(int(value))
    return str(value.normalize())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _name(value: Any) -> str:
    """Normalise a person name: each component group without case, accents and empty ends."""
    groups = [_text(value.get(g)) for g in _GROUPS] if isinstance(value, dict) else _text(value).split("=")
    return "=".join(_group(group) for group in groups).rstrip("=")


def _group(text: str) -> str:
    if text.isascii():
        text = text.lower()
    else:
        parts = unicodedata.normalize("NFKD", text.translate(_ALIKE))
        plain = "".join(c for c in parts if unicodedata.combining(c) in (0, _KANA_VOICING) and c != "=")
        text = unicodedata.normalize("NFC", plain.casefold())
    if " ^" in text or "^ " in text:
        text = "^".join(part.strip(" ") for part in text.split("^"))
    return text.strip(PADDING).rstrip("^" + PADDING)


def _date(text: str) -> str | None:
    """Normalise a date, also in the old form YYYY.MM.DD (PS3.5 6.2)."""
    found = _DATE.fullmatch(text)
    if found is None or not 1 <= int(found[4]) <= _days(int(found[1]), int(found[3])):
        return None
    return found[1] + found[3] + found[4]


def _days(year: int, month: int) -> int:
    return monthrange(year, month)[1] if year and 1 <= month <= 12 else 0


def _time(text: str, missing: str, fraction: str) -> str | None:
    """Normalise a time, also in the old form HH:MM:SS (PS3.5 6.2), to HHMMSS.FFFFFF."""
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hours, minutes, seconds, parts = found.groups()
    return f"{hours}{minutes or missing}{seconds or missing}.{(parts or '').ljust(6, fraction)}"


def _date_time(text: str, *, latest: bool) -> str | None:
    """Normalise a date-time to ISO 8601 in UTC."""
    found = _DATE_TIME.fullmatch(text)
    if found is None:
        return None
    year, month = int(found[1]), int(found[2] or (12 if latest else 1))
    fraction = (found[7] or "").ljust(6, "9" if latest else "0")
    offset = found[8] or "+0000"
    minutes = (int(offset[1:3]) * 60 + int(offset[3:])) * (-1 if offset[0] == "-" else 1)
    try:
        instant = datetime(
            year,
            month,
            int(found[3] or (_days(year, month) if latest else 1)),
            int(found[4] or (23 if latest else 0)),
            int(found[5] or (59 if latest else 0)),
            min(int(found[6] or (59 if latest else 0)), 59),  # a leap second
            int(fraction),
        ) - timedelta(minutes=minutes)
    except (ValueError, OverflowError):
        return None
    return instant.isoformat(timespec="microseconds")


_EARLIEST: dict[str, Callable[[str], str | None]] = {
    "DA": _date,
    "TM": lambda text: _time(text, "00", "0"),
    "DT": lambda text: _date_time(text, latest=False),
}
_LATEST: dict[str, Callable[[str], str | None]] = {
    "DA": _date,
    "TM": lambda text: _time(text, "59", "9"),
    "DT": lambda text: _date_time(text, latest=True),
}
