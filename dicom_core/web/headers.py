"""Header fields as values: parameters, lists, ranges and validators (RFC 9110), as PS3.18 8.4 uses them."""

from __future__ import annotations

import re

from dicom_core.errors import RangeNotSatisfiable

Parameters = tuple[tuple[str, str], ...]
"""Parameters in their order, duplicates included; names are lower-case, values are unquoted."""

_QUOTED_OR_SEPARATOR = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[,;]', re.DOTALL)
_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_UNQUOTABLE = re.compile(r"[^\t\x20-\x7e]")
_RANGE = re.compile(r"bytes=([0-9]{0,100})-([0-9]{0,100})", re.IGNORECASE)
_ENTITY_TAG = re.compile(r'(?:W/)?("[^"]*")')


def parse_parameters(value: str) -> tuple[str, Parameters]:
    """Split `token; name=value; name="value"` (RFC 9110 5.6.6).

    Takes what clients really send: values with `/` or `*` without quotes, any spacing, no closing quote.
    What has no `=` or no name is left out. The token is lower-case.
    """
    token, *rest = _split(value, ";")
    pairs = (item.partition("=") for item in rest)
    parameters = ((name.strip().lower(), _unquote(text.strip())) for name, equals, text in pairs if equals)
    return token.strip().lower(), tuple((name, text) for name, text in parameters if name)


def first(parameters: Parameters, name: str) -> str | None:
    """The first value of a parameter, None if it is missing."""
    return next((value for key, value in parameters if key == name), None)


def every(parameters: Parameters, name: str) -> tuple[str, ...]:
    """All values of a parameter, in their order."""
    return tuple(value for key, value in parameters if key == name)


def split_list(value: str) -> list[str]:
    """Split a list at the commas outside of quotes; empty members are left out (RFC 9110 5.6.1.2)."""
    return [member for item in _split(value, ",") if (member := item.strip())]


def quote(value: str) -> str:
    """Write a quoted string (RFC 9110 5.6.4); what a field cannot carry, line ends above all, becomes `?`."""
    escaped = _UNQUOTABLE.sub("?", value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def parse_range(value: str | None, length: int) -> tuple[int, int] | None:
    """Read a Range header for a representation of `length` bytes as (start, length) (RFC 9110 14.2).

    None means to answer the whole: there is no Range, or it has several ranges, another unit or wrong syntax.

    Raises
    ------
    RangeNotSatisfiable
        The range begins behind the last byte, or asks for the last 0 bytes.
    """
    match = _RANGE.fullmatch(value.strip()) if value else None
    if match is None or match[0].endswith("=-"):
        return None
    if not match[1]:
        return _suffix(int(match[2]), length)
    start, last = int(match[1]), int(match[2]) if match[2] else length - 1
    if match[2] and last < start:
        return None
    if start >= length:
        raise RangeNotSatisfiable(length)
    return start, min(last, length - 1) - start + 1


def accepts_gzip(value: str | None) -> bool:
    """Say if an Accept-Encoding header takes gzip (RFC 9110 12.5.3)."""
    if not value or "gzip" not in value.lower():
        return False
    for member in split_list(value):
        coding, parameters = parse_parameters(member)
        if coding in ("gzip", "x-gzip"):
            return (first(parameters, "q") or "1").strip("0.") != ""
    return False


def etag(version: str) -> str:
    """The strong entity tag of a version (RFC 9110 8.8.3)."""
    return f'"{version}"'


def none_match(value: str | None, etag: str) -> bool:
    """Say if the condition of an If-None-Match header holds (RFC 9110 13.1.2).

    False is the answer 304: one of the listed tags, compared weakly, is that of the representation.
    """
    if value is None:
        return True
    if value.strip() == "*":
        return False
    return etag not in _ENTITY_TAG.findall(value)


def _split(value: str, separator: str) -> list[str]:
    """Split at separators outside of quotes; a quote that is never closed ends with the value."""
    if '"' not in value:
        return value.split(separator)
    items, start = [], 0
    for match in _QUOTED_OR_SEPARATOR.finditer(value):
        if match[0] == separator:
            items.append(value[start : match.start()])
            start = match.end()
    items.append(value[start:])
    return items


def _unquote(text: str) -> str:
    match = _QUOTED.match(text)
    return _QUOTED_PAIR.sub(r"\1", match[1]) if match else text


def _suffix(last: int, length: int) -> tuple[int, int] | None:
    """The last bytes; of an empty representation there is no range to name, so that it is answered whole."""
    if not last:
        raise RangeNotSatisfiable(length)
    return (max(length - last, 0), min(last, length)) if length else None
