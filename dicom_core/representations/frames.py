"""Frames of Pixel Data (PS3.5 8, A.4): where the bytes of each lie, and how to read them in few reads.

Frames are counted from 1, as in a frame list (PS3.18 10.1).
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeAlias

from dicom_core.representations import metadata
from dicom_core.representations.source import Source, Steps

Range: TypeAlias = tuple[int, int]
"""Offset and length."""

ITEM_HEADER = 8
"""Bytes between two fragments: the item's tag and length."""

ELEMENTS = frozenset({"7FE00008", "7FE00009", "7FE00010"})
"""Paths of the bulk data that frames are made of."""

MAX_FRAGMENTS = 1 << 22
"""Of more fragments than this the table is not kept, and frames cannot be told apart."""

_ITEM, _SEQUENCE_END, _UNDEFINED = 0xFFFEE000, 0xFFFEE0DD, 0xFFFFFFFF
_END_OF_IMAGE = b"\xff\xd9"
_TAIL = 10
_NATIVE, _ENCAPSULATED = 1, 2
_HEAD = struct.Struct("<BIQQ")
_HAS_COUNTS, _HAS_TRIMS = 16, 32


def _array() -> array[int]:
    return array("I")


@dataclass(frozen=True)
class FrameTable:
    """Where each frame's bytes lie in the file (or in the inflated data set of a deflated one).

    A `count` of 0 means: no pixel data, or, if `encapsulated`, that its frames cannot be told apart.

    `offset` is that of the first frame, or of the first fragment's item tag. Native frames are `bits` long each, one
    behind the other. Encapsulated ones have the fragments of `lengths`: one each, or as many as `counts` says.
    `trims` is what to leave off at the end of each frame, where its true length is known to be shorter.
    """

    count: int = 0
    encapsulated: bool = False
    offset: int = 0
    bits: int = 0
    lengths: array[int] = field(default_factory=_array)
    counts: array[int] = field(default_factory=_array)
    trims: bytes = b""

    def locate(self, frame: int) -> tuple[Range, ...]:
        """The byte ranges of a frame, in their order.

        Native frames of single bits that are no whole number of bytes share bytes with their neighbours: the range
        covers them, `shift` says at which bit of it the frame begins, `cut_bits` cuts it out.

        Raises
        ------
        IndexError
            There is no such frame.
        """
        if not 1 <= frame <= self.count:
            raise IndexError(f"frame {frame} of {self.count}")
        if not self.encapsulated:
            first = (frame - 1) * self.bits
            start = first >> 3
            return ((self.offset + start, (first + self.bits + 7 >> 3) - start),)
        low, high = self._firsts[frame - 1 : frame + 1] if self.counts else (frame - 1, frame)
        starts, lengths = self._starts, self.lengths
        ranges = [(starts[number] + number * ITEM_HEADER, lengths[number]) for number in range(low, high)]
        if self.trims and ranges:
            start, length = ranges[-1]
            ranges[-1] = (start, length - self.trims[frame - 1])
        return tuple(ranges)

    def shift(self, frame: int) -> int:
        """At which bit of its first byte a native frame begins, counted from the least significant (PS3.5 8.1.1)."""
        return 0 if self.encapsulated else (frame - 1) * self.bits & 7

    @property
    def aligned(self) -> bool:
        """Each frame begins and ends with a whole byte."""
        return self.encapsulated or self.bits % 8 == 0

    @cached_property
    def _starts(self) -> array[int]:
        """Offset of each fragment's payload, without the item headers of the fragments before it."""
        return array("Q", accumulate(self.lengths, initial=self.offset + ITEM_HEADER))

    @cached_property
    def _firsts(self) -> array[int]:
        """Number of each frame's first fragment."""
        return array("I", accumulate(self.counts, initial=0))

    def to_bytes(self) -> bytes:
        """A compact form; empty where there is no pixel data."""
        if not self.encapsulated:
            return _HEAD.pack(_NATIVE, self.count, self.offset, self.bits) if self.count else b""
        kind = _ENCAPSULATED | (_HAS_COUNTS if self.counts else 0) | (_HAS_TRIMS if self.trims else 0)
        head = _HEAD.pack(kind, self.count, self.offset, len(self.lengths))
        return head + zlib.compress(_little(self.lengths) + _little(self.counts) + self.trims, 1)

    @classmethod
    def from_bytes(cls, stored: bytes) -> FrameTable:
        """The table of its compact form."""
        if not stored:
            return cls()
        kind, count, offset, number = _HEAD.unpack_from(stored)
        if kind == _NATIVE:
            return cls(count, offset=offset, bits=number)
        data = zlib.decompress(stored[_HEAD.size :])
        middle = number * 4
        end = middle + (count * 4 if kind & _HAS_COUNTS else 0)
        lengths, counts = _integers(data[:middle]), _integers(data[middle:end])
        return cls(count, True, offset, 0, lengths, counts, data[end:])


def _little(values: array[int]) -> bytes:
    if sys.byteorder == "big":  # pragma: no cover
        values = values[:]
        values.byteswap()
    return values.tobytes()


def _integers(data: bytes) -> array[int]:
    values = array("I", data)
    if sys.byteorder == "big":  # pragma: no cover
        values.byteswap()
    return values


@dataclass(slots=True)
class Fragments:
    """What a value of undefined length is made of; `lost` where something else than an item stood in it."""

    start: int
    end: int = 0
    first: int = 0
    basic_offsets: bytes | None = None
    lengths: array[int] = field(default_factory=_array)
    ends_image: bytearray = field(default_factory=bytearray)
    lost: bool = False


def scan(source: Source, *, little: bool) -> Steps[Fragments]:
    """Read the item headers of encapsulated pixel data (PS3.5 A.4) while its fragments flow by.

    A delimiter that is missing behind a complete fragment is forgiven. Where no item follows, the scan ends there.

    Raises
    ------
    InvalidInstance
        A fragment is cut.
    """
    unpack = struct.Struct("<HHL" if little else ">HHL").unpack_from
    found = Fragments(source.position)
    while True:
        found.end = source.position
        if source.end - source.position < ITEM_HEADER and not (yield from source.available(ITEM_HEADER)):
            return found
        group, element, length = unpack(source.data, source.position - source.start)
        tag = group << 16 | element
        if tag == _SEQUENCE_END:
            source.skip(ITEM_HEADER)
            return found
        if tag != _ITEM or length == _UNDEFINED:
            found.lost = True
            return found
        source.skip(ITEM_HEADER)
        if found.basic_offsets is None:
            found.basic_offsets = yield from _payload(
                source, length, length if length <= MAX_FRAGMENTS * 4 else 0
            )
            found.first = source.position
        else:
            tail = yield from _payload(source, length, min(length, _TAIL))
            if len(found.lengths) < MAX_FRAGMENTS:
                found.lengths.append(length)
                found.ends_image.append(_END_OF_IMAGE in tail)
            else:
                found.lost = True  # and go on: where the value ends is still wanted


def _payload(source: Source, length: int, tail: int) -> Steps[bytes]:
    """Skip an item's value, all but its tail."""
    source.skip(length - tail)
    if source.end - source.position < tail:
        yield from source.more(tail)
    at = source.position - source.start
    kept = source.data[at : at + tail]
    source.skip(tail)
    return kept


def native(offset: int, length: int, dataset: Mapping[str, Any]) -> FrameTable:
    """The frames of native pixel data, from the attributes that describe them (PS3.3 C.7.6.3, PS3.5 8.2).

    What is left over behind the last frame is padding. Where the value is too short for the attributes, it is divided
    by the number of frames if that leaves nothing over; else all of it is one frame.
    """
    if not length:
        return FrameTable()
    count = max(1, metadata.integer(dataset, "00280008") or 1)
    bits = _bits_per_pixel(dataset, length, count) * _area(dataset)
    if not bits or length < count * bits + 7 >> 3:
        if length % count:
            count = 1
        bits = length // count * 8
    return FrameTable(count, offset=offset, bits=bits)


def _area(dataset: Mapping[str, Any]) -> int:
    """Pixels of a frame."""
    return (metadata.integer(dataset, "00280010") or 0) * (metadata.integer(dataset, "00280011") or 0)


def _bits_per_pixel(dataset: Mapping[str, Any], length: int, count: int) -> int:
    samples, allocated = (metadata.integer(dataset, key) or 0 for key in ("00280002", "00280100"))
    photometric = (dataset.get("00280004", {}).get("Value") or [""])[0]
    whole = count * _area(dataset) * samples * allocated >> 3
    if photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") and samples == 3 and length < whole:
        samples = 2  # two pixels share their colour samples (PS3.3 C.7.6.3.1.2); some files only say so
    return samples * allocated


def encapsulated(
    fragments: Fragments, dataset: Mapping[str, Any], extended: tuple[bytes, bytes] | None, *, little: bool
) -> FrameTable:
    """The frames of encapsulated pixel data: the first source of knowledge that is consistent (PS3.5 A.4).

    In order: the Extended Offset Table; as many fragments as frames; a single frame; the Basic Offset Table; the
    markers at the end of JPEG images. If none is, the frames cannot be told apart and the table's count is 0 (also
    for video, whose frames lie in one fragment).
    """
    lengths = fragments.lengths
    count = max(1, metadata.integer(dataset, "00280008") or 1)
    if fragments.lost or not lengths:
        return FrameTable(0, encapsulated=True, offset=fragments.first)
    if len(lengths) == count:
        trims = _trims(lengths, extended, "<" if little else ">")
        return FrameTable(count, True, fragments.first, 0, lengths, _array(), trims)
    counts = (
        array("I", [len(lengths)])
        if count == 1
        else _counts_by_offsets(fragments, count, little=little) or _counts_by_markers(fragments, count)
    )
    if counts is None:
        return FrameTable(0, encapsulated=True, offset=fragments.first)
    return FrameTable(count, True, fragments.first, 0, lengths, counts)


def _trims(lengths: array[int], extended: tuple[bytes, bytes] | None, order: str) -> bytes:
    """What the Extended Offset Table (PS3.3 C.7.6.3.1.8) says of padding; nothing if it is not consistent."""
    count = len(lengths)
    if extended is None or any(len(table) != count * 8 for table in extended):
        return b""
    offsets, true_lengths = (struct.unpack(f"{order}{count}Q", table) for table in extended)
    items = accumulate((length + ITEM_HEADER for length in lengths), initial=0)
    trims = [length - true for length, true in zip(lengths, true_lengths, strict=True)]
    consistent = all(item == offset for item, offset in zip(items, offsets, strict=False))
    return bytes(trims) if consistent and any(trims) and all(0 <= trim < 256 for trim in trims) else b""


def _counts_by_offsets(fragments: Fragments, count: int, *, little: bool) -> array[int] | None:
    """Fragments per frame by the Basic Offset Table, if it names `count` fragments in their order."""
    table = fragments.basic_offsets or b""
    if len(table) != count * 4:
        return None
    offsets = _integers(table)
    if not little:
        offsets.byteswap()
    if offsets[0]:
        return None
    counts, current, at = _array(), 0, 0
    for length in fragments.lengths:
        if current and len(counts) + 1 < count and at == offsets[len(counts) + 1]:
            counts.append(current)
            current = 0
        current += 1
        at += length + ITEM_HEADER
    counts.append(current)
    return counts if len(counts) == count else None


def _counts_by_markers(fragments: Fragments, count: int) -> array[int] | None:
    """Fragments per frame by the end-of-image markers, if that makes `count` frames."""
    counts, current = _array(), 0
    for ends in fragments.ends_image:
        current += 1
        if ends:
            counts.append(current)
            current = 0
    if current:
        counts.append(current)
    return counts if len(counts) == count else None


def cut_bits(covering: bytes, shift: int, bits: int) -> bytes:
    """Cut a frame of single bits out of the bytes that cover it, and align it (PS3.5 8.1.1).

    The first pixel becomes the least significant bit of the first byte; what is left over of the last byte is zero.
    """
    number = int.from_bytes(covering, "little") >> shift & (1 << bits) - 1
    return number.to_bytes(bits + 7 >> 3, "little")


def contiguous(ranges: Iterable[Range], gap: int = 0) -> list[Range]:
    """Join ranges, given in ascending order, that follow each other with at most `gap` bytes between them."""
    joined: list[Range] = []
    for start, length in ranges:
        if joined and 0 <= start - sum(joined[-1]) <= gap:
            joined[-1] = (joined[-1][0], start + length - joined[-1][0])
        else:
            joined.append((start, length))
    return joined


@dataclass(frozen=True, slots=True)
class Read:
    """One ranged read that holds whole frames, in the order they were asked for; ranges count from its start."""

    start: int
    length: int
    frames: tuple[tuple[Range, ...], ...]

    def cut(self, content: bytes) -> list[bytes]:
        """The bytes of each frame, out of what was read."""
        return [b"".join(content[start : start + length] for start, length in frame) for frame in self.frames]


def plan(table: FrameTable, frames: Sequence[int], gap: int = ITEM_HEADER) -> list[Read]:
    """The fewest ranged reads for a list of frames, without reading anything between that was not asked for.

    A frame is always whole in one read, and no read is empty: that of an empty frame holds its item's header. Frames
    that are not asked for in their order, or twice, begin a new read.
    """
    reads: list[Read] = []
    run: list[tuple[Range, ...]] = []
    for frame in frames:
        ranges = table.locate(frame)
        if run and len(contiguous((run[-1][-1], ranges[0]), gap)) > 1:
            reads.append(_read(run))
            run = []
        run.append(ranges)
    return [*reads, _read(run)] if run else reads


def _read(run: Sequence[tuple[Range, ...]]) -> Read:
    start, length = run[0][0][0], sum(run[-1][-1]) - run[0][0][0]
    if not length:
        start, length = start - ITEM_HEADER, ITEM_HEADER
    return Read(start, length, tuple(tuple((at - start, size) for at, size in ranges) for ranges in run))


class Cutter:
    """Cuts the frames of a `Read` out of its bytes as they arrive."""

    __slots__ = ("_at", "_next", "_pieces")

    def __init__(self, read: Read) -> None:
        self._pieces = [
            (number, *piece)
            for number, frame in enumerate(read.frames)
            for piece in [piece for piece in frame if piece[1]] or frame[:1]
        ]
        self._at = 0
        self._next = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield what a chunk holds of frames: (index within the read's frames, bytes).

        No bytes come only once, for a frame that is empty.
        """
        base, self._at = self._at, self._at + len(chunk)
        while self._next < len(self._pieces):
            number, start, length = self._pieces[self._next]
            piece = chunk[max(0, start - base) : max(0, start + length - base)]
            if piece or not length:
                yield number, piece
            if length and start + length > self._at:
                return
            self._next += 1
