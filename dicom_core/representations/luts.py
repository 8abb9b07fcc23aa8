"""The entries of lookup tables (PS3.3 C.11.1.1, C.7.6.3.1.6, C.7.9.2) as numpy arrays.

A table that is shorter than its descriptor says ends where it ends.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicom_core.representations import presentation
from dicom_core.representations.images import Undecodable
from dicom_core.representations.presentation import Element, Lut

_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2


@dataclass(frozen=True, slots=True)
class Bulk:
    """Values that a header only locates, by their path, as they are stored; `big` if in big endian."""

    values: Mapping[str, bytes]
    big: bool = False

    def words(self, element: Element) -> tuple[bytes, bool]:
        """The bytes of an element, and whether their words are big endian; inline words never are (PS3.18 F.2.7).

        Raises
        ------
        Undecodable
            The value was not read.
        """
        if (path := presentation.path(element)) is not None:
            if path not in self.values:
                raise Undecodable(f"the value of {path} is missing")
            return self.values[path], self.big
        if isinstance(inline := element.get("InlineBinary"), str):
            return a2b_base64(inline), False
        values = [value for value in element.get("Value") or [] if isinstance(value, int)]
        return np.array(values, "<i8").astype("<u2").tobytes(), False


def entries(lut: Lut, bulk: Bulk) -> NDArray[np.uint16]:
    """The entries of a table: in words, or in bytes where they are no more than 8 bits and that many words lack."""
    data, big = bulk.words(lut.data)
    narrow = lut.bits <= 8 and len(data) < 2 * lut.entries
    found = _narrow(data, big=big, vr=lut.data.get("vr")) if narrow else _wide(data, big=big)
    if not len(found):
        raise Undecodable("a lookup table of the header has no entries")
    return found[: lut.entries]


def _wide(data: bytes, *, big: bool) -> NDArray[np.uint16]:
    return np.frombuffer(data, ">u2" if big else "<u2", len(data) // 2).astype(np.uint16)


def _narrow(data: bytes, *, big: bool, vr: object) -> NDArray[np.uint16]:
    """Two entries in a word, the first one in its less significant half (PS3.3 C.7.6.3.1.6)."""
    swapped = big and vr != "OB"
    words = np.frombuffer(data, np.uint8, len(data) - len(data) % 2 if swapped else len(data))
    return (words.reshape(-1, 2)[:, ::-1].reshape(-1) if swapped else words).astype(np.uint16)


def expanded(lut: Lut, bulk: Bulk) -> NDArray[np.uint16]:
    """The entries of a segmented table (PS3.3 C.7.9.2).

    Raises
    ------
    Undecodable
        The segments are none of the standard's, or end within one.
    """
    data, big = bulk.words(lut.data)
    narrow = lut.bits <= 8
    values = (_narrow(data, big=big, vr=lut.data.get("vr")) if narrow else _wide(data, big=big)).tolist()
    found: list[int] = []
    try:
        _expand(values, lut.entries, found, narrow=narrow)
    except IndexError:
        raise Undecodable("a segmented lookup table of the header ends within a segment") from None
    if not found:
        raise Undecodable("a lookup table of the header has no entries")
    return np.array(found[: lut.entries], np.uint16)


def _expand(values: list[int], wanted: int, found: list[int], *, narrow: bool) -> None:
    at = 0
    while len(found) < wanted and any(values[at : at + 2]):  # behind the last segment may be padding
        if values[at] != _INDIRECT:
            at = _segment(values, at, found)
            continue
        # The offset counts bytes; it is least significant part first, in as many values as 32 bits take.
        size, parts = (1, 4) if narrow else (2, 2)
        offset = sum(values[at + 2 + n] << 8 * size * n for n in range(parts)) // size
        copies = values[at + 1]
        while copies and len(found) < wanted:
            offset, copies = _segment(values, offset, found), copies - 1
        at += 2 + parts


def _segment(values: list[int], at: int, found: list[int]) -> int:
    """Append a discrete or linear segment, and give where the next one begins."""
    kind, length = values[at], values[at + 1]
    if kind == _DISCRETE and length:
        if at + 2 + length > len(values):
            raise IndexError
        found += values[at + 2 : at + 2 + length]
        return at + 2 + length
    if kind != _LINEAR or not length or not found:
        raise Undecodable("a segmented lookup table of the header has a segment that may not stand there")
    last = found[-1]
    found += [int(last + (values[at + 2] - last) * step / length + 0.5) for step in range(1, length + 1)]
    return at + 3
