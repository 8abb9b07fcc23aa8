"""What a Value Representation allows (PS3.5 6.2): a table of lengths and patterns.

A value that is not allowed is reported and kept as it is. Lengths are in characters of one value, without padding.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import NamedTuple

_HOUR = r"(?:[01][0-9]|2[0-3])"
_MINUTES = r"[0-5][0-9]"
_SECONDS = r"(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?"
_MONTH = r"(?:0[1-9]|1[0-2])"
_DAY = r"(?:0[1-9]|[12][0-9]|3[01])"
_LINE = r"[^\x00-\x1f\x7f\\]*"
_PARAGRAPHS = r"[^\x00-\x08\x0b\x0e-\x1f\x7f]*"


class Rule(NamedTuple):
    """The most characters of a value, and the pattern that it matches."""

    length: int | None
    pattern: str


TABLE: dict[str, Rule] = {
    "AE": Rule(16, r"[ -\[\]-~]*"),
    "AS": Rule(4, r"[0-9]{3}[DWMY]"),
    "CS": Rule(16, r"[A-Z0-9 _]*"),
    "DA": Rule(8, rf"[0-9]{{4}}{_MONTH}{_DAY}"),
    "DS": Rule(16, r" *[+-]?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]+)? *"),
    "DT": Rule(
        26,
        rf"[0-9]{{4}}(?:{_MONTH}(?:{_DAY}(?:{_HOUR}(?:{_MINUTES}(?:{_SECONDS})?)?)?)?)?(?:[+-][01][0-9]{_MINUTES})? ?",
    ),
    "IS": Rule(12, r" *[+-]?[0-9]+ *"),
    "LO": Rule(64, _LINE),
    "LT": Rule(10240, _PARAGRAPHS),
    "PN": Rule(64, r"[^\x00-\x1f\x7f\\^=]*(?:\^[^\x00-\x1f\x7f\\^=]*){0,4}"),
    "SH": Rule(16, _LINE),
    "ST": Rule(1024, _PARAGRAPHS),
    "TM": Rule(16, rf"{_HOUR}(?:{_MINUTES}(?:{_SECONDS})?)? *"),
    "UC": Rule(None, _LINE),
    "UI": Rule(64, r"[0-9]+(?:\.[0-9]+)*"),
    "UR": Rule(None, r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*"),
    "UT": Rule(None, _PARAGRAPHS),
}
"""No pattern matches a text in two ways, so that the time is linear in its length.

Leading zeros of a UID's components are let through: real files have them.
"""

Check = Callable[[bytes], object]

_SURE = {
    "DA": rf"[0-9]{{4}}{_MONTH}(?:0[1-9]|1[0-9]|2[0-8])",
    "IS": r" *[+-]?[0-9]{1,9} *",
}
"""Patterns of values that need no second look, where `reason` knows more than the pattern of the table."""


def matcher(vr: str) -> Check:
    """A check of all values of an element at once; what does not pass is for `reason` to judge.

    A value that matched is not tried in another way: the groups are atomic, the repetition possessive.
    """
    length, pattern = TABLE[vr][0], _SURE.get(vr, TABLE[vr][1])
    limit = rf"(?![^\\]{{{length + 1}}})" if length else ""
    value = rf"(?>(?:{limit}(?:{pattern}))?)"
    return re.compile(rf"{value}(?>\\{value})*+".encode("ascii")).fullmatch


_ONE = {vr: re.compile(rule.pattern) for vr, rule in TABLE.items()}


def reason(vr: str, value: str) -> str:
    """Say why one value is not allowed; empty if it is."""
    length = TABLE[vr].length
    if length is not None and len(value) > length:
        return f"{vr} with more than {length} characters"
    if value and _ONE[vr].fullmatch(value) is None:
        return f"{vr} with characters or a form that are not allowed"
    if vr == "DA" and value and not _is_date(value):
        return "DA that is no date of the calendar"
    if vr == "IS" and value and not -(1 << 31) <= int(value) < 1 << 31:
        return "IS outside of 32 bits"
    return ""


def reason_of_name(value: str) -> str:
    """Say why a person's name is not allowed (PS3.5 6.2.1); empty if it is."""
    groups = value.split("=", 3)
    if len(groups) > 3:
        return "PN with more than 3 component groups"
    return next(filter(None, (reason("PN", group) for group in groups)), "")


def _is_date(value: str) -> bool:
    try:
        datetime.date(int(value[:4]), int(value[4:6]), int(value[6:]))
    except ValueError:
        return False
    return True
