"""Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 6.1.2): decode text without ever failing or warning.

The tables are those of pydicom.charset. Its functions are not used: they warn and log for each value that cannot be
decoded, and these are other people's bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

from pydicom.charset import (
    CODES_TO_ENCODINGS,
    STAND_ALONE_ENCODINGS,
    default_encoding,
    handled_encodings,
    python_encoding,
)

Encodings: TypeAlias = tuple[str, ...]
"""Python's names of the character sets in effect; the first is used where no escape sequence says otherwise."""

DEFAULT: Encodings = (default_encoding,)

_PYTHON_NAMES = {name.lower().replace("-", "_"): name for name in (*python_encoding.values(), "utf_8")}
_MISSPELT = ((re.compile(r"ISO.2022.IR.(?=\d)"), "ISO 2022 IR "), (re.compile(r"ISO.IR.?(?=\d)"), "ISO_IR "))
_PARTS = re.compile(rb"[^\x1b]+|\x1b[^\x1b]*")
_RESETS = re.compile(rb"[\t\n\f\r]")
_LONGEST = 256
_CODES = tuple(sorted(CODES_TO_ENCODINGS.items(), key=lambda code: -len(code[0])))


def encodings(value: bytes) -> tuple[Encodings, bool]:
    """Read a value of Specific Character Set (0008,0005); also says if every term was understood."""
    return _encodings(value[:_LONGEST])


@lru_cache(maxsize=1024)
def _encodings(value: bytes) -> tuple[Encodings, bool]:
    terms = value.rstrip(b" \0").decode(default_encoding).split("\\")
    if terms[0] in STAND_ALONE_ENCODINGS:
        del terms[1:]
    found = [_encoding(term) for term in terms[:1]]
    found += [_encoding(term) for term in terms[1:] if term not in STAND_ALONE_ENCODINGS]
    return tuple(name or default_encoding for name in found), None not in found


def _encoding(term: str) -> str | None:
    """Python's name of a Defined Term, frequent misspellings and Python's own names included."""
    if term in python_encoding:
        return str(python_encoding[term])
    corrected = term.strip()
    for pattern, spelling in _MISSPELT:
        corrected = pattern.sub(spelling, corrected)
    if corrected in python_encoding:
        return str(python_encoding[corrected])
    return _PYTHON_NAMES.get(corrected.lower().replace("-", "_"))


def decode(value: bytes, encodings: Encodings) -> tuple[str, bool]:
    """Decode text that is not plain ASCII; also says if every byte could be decoded."""
    if b"\x1b" not in value:
        return _decode(value, encodings[0])
    parts = [_decode_part(part, encodings) for part in _PARTS.findall(value)]
    return "".join(text for text, _ in parts), all(good for _, good in parts)


def _decode(value: bytes, encoding: str) -> tuple[str, bool]:
    try:
        return value.decode(encoding), True
    except UnicodeError:
        return value.decode(encoding, "replace"), False


def _decode_part(part: bytes, encodings: Encodings) -> tuple[str, bool]:
    """Decode one run of bytes behind an escape sequence (PS3.5 6.1.2.5)."""
    if not part.startswith(b"\x1b"):
        return _decode(part, encodings[0])
    code, encoding = next(((code, name) for code, name in _CODES if part.startswith(code)), (b"", ""))
    if encoding not in encodings and encoding != default_encoding:
        return _decode(part, encodings[0])[0], False
    if encoding in handled_encodings:
        return _decode(part, encoding)
    text = part[len(code) :]
    reset = _RESETS.search(text)
    if reset is None:
        return _decode(text, encoding)
    escaped, good = _decode(text[: reset.start()], encoding)
    rest, rest_good = _decode(text[reset.start() :], encodings[0])
    return escaped + rest, good and rest_good
