"""Data sets re-encoded as Explicit VR Little Endian (PS3.5 7.1.2), element by element, values kept as they are.

What is explicit little endian already is copied. Otherwise the VRs are those that the reader found, sequences get
undefined lengths, and numbers of big endian files are turned around. Group lengths are left out: they are retired and
would be wrong.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dicom_core.representations.datasets import (
    ITEM,
    ITEM_END,
    KEYS,
    LONG,
    SEQUENCE_END,
    UNDEFINED,
    is_implicit,
)
from dicom_core.representations.images import Undecodable
from dicom_core.representations.instances import EXPLICIT_BIG, IMPLICIT_LITTLE

Changes = Mapping[int, bytes]
"""Top-level elements, encoded, that take the place of others or come between them; no bytes leave one out."""

_WIDTHS = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes of the numbers that a value of the VR consists of, where it is more than one."""

_CODES = {2: "H", 4: "I", 8: "Q"}
_MAX_SHORT = 0xFFFF
_ENDS = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
_ITEM_END, _SEQUENCE_END = _ENDS[:8], _ENDS[8:]


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element; one too long for the short form of its VR has VR UN (PS3.5 6.2.2)."""
    length = len(value) if length is None else length
    if vr not in LONG and length > _MAX_SHORT:
        vr = "UN"
    form = "<HH2s2xL" if vr in LONG else "<HH2sH"
    return struct.pack(form, tag >> 16, tag & 0xFFFF, vr.encode("latin_1"), length) + value


def swapped(value: bytes, width: int) -> bytes:
    """Numbers of `width` bytes each in the other byte order; what is left over behind them is dropped."""
    if width == 1:
        return value
    numbers = array(_CODES[width], value[: len(value) - len(value) % width])
    numbers.byteswap()
    return numbers.tobytes()


def rewritten(
    data: bytes, dataset: Mapping[str, Any], transfer_syntax: str, until: Container[int] = ()
) -> Iterator[tuple[int, bytes]]:
    """Yield each top-level element of an encoded data set: its tag, and how it is written.

    Parameters
    ----------
    data
        The data set in memory.
    dataset
        The JSON that the reader made of it.
    transfer_syntax
        How it says it is encoded.
    until
        Tags that are not read any more.

    Raises
    ------
    Undecodable
        It is not made of elements.
    """
    rewriter = _Rewriter(data, little=transfer_syntax != EXPLICIT_BIG)
    implicit = is_implicit(data, 0, declared=transfer_syntax == IMPLICIT_LITTLE, nested=False)
    at = 0
    while at < len(data):
        if len(data) - at < 8 and not data[at:].strip(b"\0 \r\n"):
            return
        if until and rewriter.tag(at) in until:
            return
        found = rewriter.header(at, implicit=implicit)
        if found.tag == 0 and found.length == 0:
            at = found.value  # zeros to fill the file
            continue
        written, at = rewriter.element(at, found, dataset, implicit=implicit)
        if found.tag & 0xFFFF:
            yield found.tag, written


def changed(elements: Iterator[tuple[int, bytes]], changes: Changes) -> Iterator[bytes]:
    """Put changed elements in their places."""
    waiting = sorted(changes)
    for tag, written in elements:
        while waiting and waiting[0] < tag:
            yield changes[waiting.pop(0)]
        if tag not in changes:
            yield written
    for tag in waiting:
        yield changes[tag]


@dataclass(frozen=True, slots=True)
class _Found:
    """The header of an element: where its value begins, and the VR it is written with, if it is."""

    tag: int
    vr: str
    value: int
    length: int


class _Rewriter:
    """Walks over an encoded data set that is in memory."""

    def __init__(self, data: bytes, *, little: bool) -> None:
        order = "<" if little else ">"
        self._data = data
        self._little = little
        self._tags = struct.Struct(order + "HH").unpack_from
        self._longs = struct.Struct(order + "L").unpack_from
        self._shorts = struct.Struct(order + "H").unpack_from

    def tag(self, at: int) -> int:
        """The tag at an offset."""
        try:
            group, number = self._tags(self._data, at)
        except struct.error:
            raise _irregular(at) from None
        return int(group << 16 | number)

    def header(self, at: int, *, implicit: bool) -> _Found:
        """The header of the element, item or delimiter at an offset."""
        tag = self.tag(at)
        try:
            if implicit or tag >> 16 == 0xFFFE:
                return self._checked(_Found(tag, "", at + 8, self._longs(self._data, at + 4)[0]))
            vr = self._data[at + 4 : at + 6].decode("latin_1")
            if vr in LONG:
                return self._checked(_Found(tag, vr, at + 12, self._longs(self._data, at + 8)[0]))
            return self._checked(_Found(tag, vr, at + 8, self._shorts(self._data, at + 6)[0]))
        except struct.error:
            raise _irregular(at) from None

    def _checked(self, found: _Found) -> _Found:
        if found.length != UNDEFINED and found.value + found.length > len(self._data):
            raise _irregular(found.value)
        return found

    def element(
        self, at: int, found: _Found, dataset: Mapping[str, Any], *, implicit: bool
    ) -> tuple[bytes, int]:
        """How an element is written, and where the next one begins."""
        if not implicit and self._little:
            end = self._end(found)
            return self._data[at:end], end
        known = dataset.get(KEYS[found.tag])
        if known is None:
            raise _irregular(at)
        vr = known["vr"] if implicit or found.length == UNDEFINED else found.vr
        if vr == "SQ" and (implicit or found.vr == "SQ"):
            return self._sequence(found, known, implicit=implicit)
        end = self._end(found)
        if found.length == UNDEFINED:
            if not self._little:
                raise _irregular(at)
            return element(found.tag, vr, self._data[found.value : end], UNDEFINED), end
        value = self._data[found.value : end]
        return element(found.tag, vr, value if self._little else swapped(value, _WIDTHS.get(vr, 1))), end

    def _sequence(self, found: _Found, known: Mapping[str, Any], *, implicit: bool) -> tuple[bytes, int]:
        written = [element(found.tag, "SQ", b"", UNDEFINED)]
        at = found.value
        end = len(self._data) if found.length == UNDEFINED else at + found.length
        for item in known.get("Value", ()):
            head = self.header(at, implicit=True)
            if head.tag != ITEM:
                raise _irregular(at)
            content, at = self._item(head, item, implicit=implicit)
            written += [struct.pack("<HHL", 0xFFFE, 0xE000, UNDEFINED), *content, _ITEM_END]
        if found.length == UNDEFINED:
            head = self.header(at, implicit=True)
            if head.tag != SEQUENCE_END:
                raise _irregular(at)
            at = end = head.value
        if at != end:
            raise _irregular(at)
        return b"".join([*written, _SEQUENCE_END]), at

    def _item(self, head: _Found, item: Mapping[str, Any], *, implicit: bool) -> tuple[list[bytes], int]:
        written: list[bytes] = []
        at = head.value
        end = len(self._data) if head.length == UNDEFINED else at + head.length
        implicit = is_implicit(self._data[:end], at, declared=implicit, nested=True) if at < end else implicit
        while at < end:
            found = self.header(at, implicit=implicit)
            if found.tag == ITEM_END:
                return written, found.value
            content, at = self.element(at, found, item, implicit=implicit)
            if found.tag & 0xFFFF:
                written.append(content)
        if head.length == UNDEFINED or at != end:
            raise _irregular(at)
        return written, at

    def _end(self, found: _Found) -> int:
        """Where the element ends; the items of a value of undefined length are walked over."""
        if found.length != UNDEFINED:
            return found.value + found.length
        at = found.value
        while True:
            head = self.header(at, implicit=True)
            if head.tag == SEQUENCE_END:
                return head.value
            if head.tag != ITEM:
                raise _irregular(at)
            at = self._end_of_item(head, implicit=found.vr in ("", "UN"))

    def _end_of_item(self, head: _Found, *, implicit: bool) -> int:
        if head.length != UNDEFINED:
            return head.value + head.length
        at = head.value
        implicit = is_implicit(self._data, at, declared=implicit, nested=True)
        while True:
            found = self.header(at, implicit=implicit)
            if found.tag == ITEM_END:
                return found.value
            at = self._end(found)


def _irregular(at: int) -> Undecodable:
    return Undecodable(f"its data set cannot be re-encoded: something is wrong at byte {at} of it")
