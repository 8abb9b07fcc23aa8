"""Metadata: DICOM JSON (PS3.18 F.2) straight from encoded values, and its stored and sent forms."""

from __future__ import annotations

import re
import struct
import zlib
from array import array
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson

from dicom_core.record import Dataset
from dicom_core.representations import charsets, validation
from dicom_core.representations.levels import Ambiguous, Element, Level
from dicom_core.representations.source import ELEMENT, NUMBER, TEXT

BULK = b'"BulkDataURI":"'
"""What stands before the URI of bulk data, and nowhere else, in JSON that orjson wrote."""

BETWEEN = b",\n"
"""What stands between the data sets of an array: no line break is in JSON that orjson wrote."""

INLINE = 1024
"""The most bytes of a binary value that are sent within the metadata."""

Encoder = Callable[[bytes, Level, str, int], Element]
"""Encodes a value; the element's level, its tag in hex and the value's offset come with it."""

_LUT_DESCRIPTORS = frozenset({"00281101", "00281102", "00281103", "00283002"})
_WORDS = {"OW": ("H", 2), "OF": ("I", 4), "OL": ("I", 4), "OD": ("Q", 8), "OV": ("Q", 8)}
_NUMBERS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_BLANKS = b" \0"


def pack(dataset: Dataset) -> bytes:
    """The stored form: gzipped JSON, its time stamp 0.

    Level 4 of a header of 257 elements: 0.04 ms and 2.3 kB; level 1: 0.03 and 2.6, level 6: 0.07 and 2.1.
    """
    return zlib.compress(orjson.dumps(dataset), 4, wbits=31)


def unpack(packed: bytes) -> bytes:
    """The JSON text of the stored form."""
    return zlib.decompress(packed, wbits=31)


def absolute(json_text: bytes, instance_url: str) -> bytes:
    """Make each BulkDataURI absolute."""
    # The quotation marks within a string value are escaped (\"BulkDataURI\":\"), and a whole string value is never
    # followed by a colon: the pattern is only ever the member itself, which orjson writes without blanks.
    return json_text.replace(BULK, BULK + orjson.dumps(instance_url)[1:-1] + b"/")


def join(json_texts: Iterable[bytes]) -> Iterator[bytes]:
    """A JSON array of the texts, in chunks; a line for each."""
    before = b"["
    for text in json_texts:
        yield before + text
        before = BETWEEN
    yield b"]" if before is BETWEEN else b"[]"


class Lines:
    """Unpacks a gzipped array in whole lines, without the brackets around it."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=31)
        self._rest = b""
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        """The lines that are complete by the next bytes."""
        text = self._rest + self._inflater.decompress(chunk)
        if not self._begun and text:
            self._begun, text = True, text[1:]
        end = text.rfind(b"\n") + 1
        self._rest = text[end:]
        return text[:end]

    def finish(self) -> bytes:
        """The last line."""
        return self._rest[:-1]


def rebased(chunk: bytes, base_url: str, to: str) -> bytes:
    """Whole lines of a JSON array whose URLs begin with another base."""
    old, new = (BULK + orjson.dumps(url)[1:-1] + b"/" for url in (base_url, to))
    return chunk.replace(old, new)


def settle(pending: Iterable[Ambiguous], *, little: bool) -> None:
    """Give the elements of ambiguous VR their VR, now that all elements are known (PS3.5 Annex A, PS3.6)."""
    for element in pending:
        vr = _unambiguous(element)
        if element.value is None:
            encoded = element.level.locate(element.key, vr, element.offset, element.length)
        else:
            encoded = ENCODERS[little][vr](element.value, element.level, element.key, element.offset)
        element.element.clear()
        element.element.update(encoded)


def integer(dataset: Mapping[str, Any], key: str) -> int | None:
    """The first value of an element, where it is a whole number that can be counted with."""
    value = (dataset.get(key, {}).get("Value") or (None,))[0]
    return value if type(value) is int and 0 <= value < 1 << 32 else None


def text(dataset: Mapping[str, Any], key: str) -> str:
    """The value of an element where it is a text; several are joined as they were."""
    values = [value for value in dataset.get(key, {}).get("Value", ()) if isinstance(value, str)]
    return "\\".join(values).strip(" \0")


def _unambiguous(element: Ambiguous) -> str:
    """The VR of an element as PS3.5 Annex A and pydicom's `correct_ambiguous_vr` choose it."""
    level, key = element.level, element.key
    if element.vr == "US or SS":
        return "SS" if _pixel_representation(level) else "US"
    if key == "00283006" and element.value is not None and integer(level.dataset, "00283002") == 1:
        return "US"
    if element.vr not in ("OB or OW", "OB_OW") or level.implicit or key[:2] == "60":
        return "OW"
    bits = integer(level.dataset, "00280100" if key == "7FE00010" else "54001004")
    return "OB" if bits is not None and bits <= 8 else "OW"


def _pixel_representation(level: Level | None) -> int:
    """Pixel Representation of the nearest data set that has it."""
    while level is not None:
        representation = integer(level.dataset, "00280103")
        if representation is not None:
            return representation
        level = level.parent
    return 0


def opaque(value: bytes, level: Level, key: str, offset: int) -> Element:
    """A value that does not follow its VR, as VR UN."""
    return _binary("UN", little=True)(value, level, key, offset)


def _unreadable(reason: str) -> Encoder:
    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        level.problem(key, reason)
        return opaque(value, level, key, offset)

    return encode


def _binary(vr: str, *, little: bool) -> Encoder:
    """Bulk data, inline where it is short. Inline words are little endian (PS3.18 F.2.7), located ones as stored."""
    code, size = ("B", 1) if little else _WORDS.get(vr, ("B", 1))

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        if not value:
            return {"vr": vr}
        if len(value) > INLINE:
            return level.locate(key, vr, offset, len(value))
        if size > 1 and len(value) % size == 0:
            words = array(code, value)
            words.byteswap()
            value = words.tobytes()
        return {"vr": vr, "InlineBinary": b2a_base64(value, newline=False).decode("ascii")}

    return encode


def _number(vr: str, order: str) -> Encoder:
    code = _NUMBERS[vr]
    one = struct.Struct(order + code)
    single, size, floating = one.unpack, one.size, code in "df"
    unreadable = _unreadable(f"{vr} whose length is not a multiple of {size}")

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        if len(value) == size:
            values: list[Any] = [*single(value)]
        elif not value:
            return {"vr": vr}
        elif len(value) % size:
            return unreadable(value, level, key, offset)
        else:
            level.count(len(value) // size, NUMBER)
            values = [*struct.unpack(f"{order}{len(value) // size}{code}", value)]
            if vr == "SS" and key in _LUT_DESCRIPTORS and values[0] < 0:
                values[0] += 0x10000  # the first value is unsigned whatever the others are (PS3.3 C.11.1.1)
        if floating and not all(map(isfinite, values)):
            values = [value if isfinite(value) else _name_of(value) for value in values]
        return {"vr": vr, "Value": values}

    return encode


def _name_of(value: float) -> str:
    """JSON has no such numbers; these are the names of PS3.19's Native DICOM Model and of JavaScript."""
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def _attribute_tag(order: str) -> Encoder:
    unreadable = _unreadable("AT whose length is not a multiple of 4")

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        if not value:
            return {"vr": "AT"}
        if len(value) % 4:
            return unreadable(value, level, key, offset)
        level.count(len(value) // 4, TEXT)
        pairs = struct.iter_unpack(order + "HH", value)
        return {"vr": "AT", "Value": [f"{group:04X}{element:04X}" for group, element in pairs]}

    return encode


def _string(vr: str, *, strip_each: bool = False) -> Encoder:
    """Texts of the default repertoire, several in an element (AE, AS, CS, DA, DT, TM, UI)."""
    valid = validation.matcher(vr)
    blanks = _BLANKS if vr != "AE" else b" \0\t\r\n"

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        value = value.rstrip(blanks)
        if not value:
            return {"vr": vr}
        string = value.decode("latin_1")
        if b"\\" not in value:
            if strip_each:
                string = string.strip()
            if valid(value) is None:
                _report(vr, [string], level, key)
            return {"vr": vr, "Value": [string]} if string else {"vr": vr}
        level.count(value.count(b"\\"), TEXT)
        strings = string.split("\\")
        if strip_each:
            strings = [one.strip() for one in strings]
        if valid(value) is None:
            _report(vr, strings, level, key)
        return {"vr": vr, "Value": [one or None for one in strings]}

    return encode


def _report(vr: str, strings: Iterable[str], level: Level, key: str) -> None:
    """Note the first value that its VR does not allow, if there is one."""
    for string in strings:
        if reason := validation.reason(vr, string.rstrip(" \0")):
            level.problem(key, reason)
            return


def _numeric_string(vr: str, fast: Callable[[bytes], Any], slow: Callable[[str], Any]) -> Encoder:
    """DS and IS: numbers where they can be, the text where not."""
    valid = validation.matcher(vr)

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        value = value.strip(b" \0\t\r\n")
        if not value:
            return {"vr": vr}
        if b"\\" in value:
            level.count(value.count(b"\\"), NUMBER)
        if valid(value) is not None and b"e" not in value and b"E" not in value:
            return {"vr": vr, "Value": [fast(one) if one else None for one in value.split(b"\\")]}
        strings = value.decode("latin_1").split("\\")
        _report(vr, strings, level, key)
        return {"vr": vr, "Value": [slow(one) for one in strings]}

    return encode


_DECIMAL = re.compile(validation.TABLE["DS"].pattern).fullmatch


def _decimal(string: str) -> float | str | None:
    string = string.strip(" \0")
    if _DECIMAL(string) is None:
        return string or None
    number = float(string)
    return number if isfinite(number) else string


def _whole(string: str) -> int | str | None:
    string = string.strip(" \0")
    if len(string) > 32 or _DECIMAL(string) is None:
        return string or None
    number = Decimal(string)
    if number.adjusted() > 15 or number != number.to_integral_value():
        return string  # beyond what JSON numbers are sure to keep, or no whole number
    return int(number)


def _decoded(value: bytes, level: Level, key: str) -> str:
    """Text in the character sets of its data set."""
    if value.isascii() and b"\x1b" not in value:
        return value.decode("ascii")
    level.count(value.count(b"\x1b"))
    string, good = charsets.decode(value, level.encodings)
    if not good:
        level.problem(key, "bytes that its Specific Character Set does not have")
    return string


def _texts(vr: str) -> Encoder:
    """Texts of the data set's character sets, several in an element (LO, SH, UC)."""
    longest = validation.TABLE[vr].length or 1 << 32

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        string = _decoded(value, level, key)
        if "\\" not in string:
            string = string.rstrip("\0 ")
            if not string:
                return {"vr": vr}
            if len(string) > longest or not string.isprintable():
                _report(vr, [string], level, key)
            return {"vr": vr, "Value": [string]}
        level.count(string.count("\\"), TEXT)
        strings = [one.rstrip("\0 ") for one in string.split("\\")]
        _report(vr, strings, level, key)
        return {"vr": vr, "Value": [one or None for one in strings]}

    return encode


def _paragraphs(vr: str) -> Encoder:
    """One text, in which a backslash is a character (LT, ST, UT)."""
    longest = validation.TABLE[vr].length or 1 << 32

    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        string = _decoded(value, level, key).rstrip("\0 ")
        if not string:
            return {"vr": vr}
        if len(string) > longest or not string.isprintable():
            _report(vr, [string], level, key)
        return {"vr": vr, "Value": [string]}

    return encode


def _identifier(value: bytes, level: Level, key: str, offset: int) -> Element:
    """UR: one URI or URL in the default repertoire."""
    string = value.decode("latin_1").rstrip(" \0\t\r\n")
    if not string:
        return {"vr": "UR"}
    _report("UR", [string], level, key)
    return {"vr": "UR", "Value": [string]}


_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def _person_name(value: bytes, level: Level, key: str, offset: int) -> Element:
    """PN: an object of component groups, those without characters left out (PS3.18 F.2.2)."""
    string = _decoded(value.rstrip(_BLANKS), level, key)
    if not string:
        return {"vr": "PN"}
    if "\\" in string:
        level.count(string.count("\\"))
    names: list[dict[str, str] | None] = []
    for name in string.split("\\"):
        if "=" in name:
            groups = zip(_GROUPS, name.split("=", 3), strict=False)
            names.append({group: part for group, part in groups if part} or None)
        else:
            names.append({"Alphabetic": name} if name else None)
        if (len(name) > 64 or not name.isprintable() or "=" in name or name.count("^") > 4) and (
            reason := validation.reason_of_name(name)
        ):
            level.problem(key, reason)
    return {"vr": "PN", "Value": names} if names != [None] else {"vr": "PN"}


def _ambiguous(vr: str) -> Encoder:
    def encode(value: bytes, level: Level, key: str, offset: int) -> Element:
        element: Element = {"vr": vr}
        level.count(1, ELEMENT + len(level.prefix))
        level.context.ambiguous.append(Ambiguous(element, level, key, vr, offset, len(value), value))
        return element

    return encode


AMBIGUOUS = ("US or SS", "OB or OW", "US or OW", "US or SS or OW", "OB_OW")
BINARY = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})


def _table(*, little: bool) -> dict[str, Encoder]:
    """The encoder of each VR, for one byte order."""
    order = "<" if little else ">"
    return {
        **{vr: _string(vr) for vr in ("AS", "CS", "DA", "DT", "TM")},
        **{vr: _string(vr, strip_each=True) for vr in ("AE", "UI")},
        **{vr: _texts(vr) for vr in ("LO", "SH", "UC")},
        **{vr: _paragraphs(vr) for vr in ("LT", "ST", "UT")},
        **{vr: _number(vr, order) for vr in _NUMBERS},
        **{vr: _binary(vr, little=little) for vr in BINARY},
        **{vr: _ambiguous(vr) for vr in AMBIGUOUS},
        "AT": _attribute_tag(order),
        "DS": _numeric_string("DS", float, _decimal),
        "IS": _numeric_string("IS", int, _whole),
        "PN": _person_name,
        "UR": _identifier,
    }


ENCODERS: dict[bool, dict[str, Encoder]] = {little: _table(little=little) for little in (True, False)}
"""VR → encoder, for little endian and for big endian data sets."""

unknown_vr = _unreadable("a VR that does not exist")
