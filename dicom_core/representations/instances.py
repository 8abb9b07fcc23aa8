"""Instances (PS3.10 7): the header of a DICOM file, and where its frames and bulk data lie, as the bytes arrive."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from dicom_core.record import Dataset
from dicom_core.representations import datasets, frames, metadata
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.levels import Context, Level
from dicom_core.representations.source import Inflate, InvalidInstance, Source, Steps

__all__ = ["Header", "InvalidInstance", "Layout", "Problem", "Reader", "file_meta", "is_deflated"]

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
"""Transfer syntaxes whose whole data set is deflated (PS3.5 A.5, A.6, A.9)."""

PIXEL_DATA = {0x7FE00008: "OF", 0x7FE00009: "OD", 0x7FE00010: "OW"}
"""Float, Double Float and plain Pixel Data, with the VR of each where the file names none."""


_LAST_UID = "0020000E"


@dataclass(frozen=True, slots=True)
class Problem:
    """An element (by its top-level tag in hex) that is not as its VR wants it, or could not be decoded."""

    tag: str
    reason: str

    def __str__(self) -> str:
        return f"({self.tag[:4]},{self.tag[4:]}) - {self.reason}"


@dataclass(frozen=True, slots=True)
class Header:
    """The data set of an instance up to its pixel data, with the UIDs that name it ('' where missing).

    `dataset` has no group 0002 and ends with the element of the pixel data, as a BulkDataURI, if there is any. Values
    that are not allowed by their VR are in it as they were read; `problems` names them.
    """

    study: str
    series: str
    instance: str
    sop_class: str
    transfer_syntax: str
    dataset: Dataset
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """What is known when all bytes were seen.

    Offsets count from the first byte of the file; if the data set is deflated, from its first inflated byte. Bulk data
    lie there as they are stored: in big endian files their words are big endian.
    """

    header: Header
    frames: FrameTable
    bulkdata: dict[str, tuple[int, int]]


class Reader:
    """Reads an instance that is pushed into it, chunk by chunk.

    Its memory does not grow with the pixel data, and is bounded whatever the bytes are: by `source.MAX_KEPT` bytes of
    values, by `source.MAX_OBJECTS` for what is made of them, and by `frames.MAX_FRAGMENTS` lengths of fragments. A
    call of `feed` reads what it is given: one of a deflated instance inflates at most 1032 times as much, and all of
    them `source.MAX_INFLATED` bytes.
    """

    __slots__ = ("_begun", "_error", "_inflate", "_layout", "_source", "_steps", "header")

    header: Header | None

    def __init__(self) -> None:
        self.header = None
        self._source = Source()
        self._inflate: Inflate | None = None
        self._layout: Layout | None = None
        self._error: InvalidInstance | None = None
        self._begun: tuple[Level, str] | None = None
        self._steps = self._read()
        next(self._steps)

    @property
    def beginning(self) -> Header | None:
        """The header as far as it has been read, once it has all UIDs; a large document is long in coming."""
        if self._begun is None or _LAST_UID not in self._begun[0].dataset:
            return None
        level, transfer_syntax = self._begun
        return _header(level.dataset, transfer_syntax, level.context.problems)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises
        ------
        InvalidInstance
            What arrived so far is no instance.
        """
        if self._inflate is None:
            self._push(chunk)
            if self._inflate is None:
                return
            chunk = self._source.restart()
        try:
            for piece in self._inflate.feed(chunk):
                self._push(piece)
        except InvalidInstance as error:
            self._error = error
            raise

    def finish(self) -> Layout:
        """Take note that no bytes follow.

        Raises
        ------
        InvalidInstance
            The bytes are no instance, or not all of one.
        """
        if self._inflate is not None and self._error is None and not self._inflate.complete:
            self._error = self._source.invalid("ends before its deflated data set does")
        self._source.closed = True
        self._push(b"")
        if self._layout is None:
            raise self._source.invalid("ends where its deflated data set should begin")
        return self._layout

    def _push(self, chunk: bytes) -> None:
        if self._error is not None:
            raise self._error
        if not self._source.push(chunk) and not self._source.closed:
            return
        try:
            next(self._steps)
        except StopIteration as end:
            self._layout = self._layout or end.value
        except InvalidInstance as error:
            self._error = error
            raise

    def _read(self) -> Steps[Layout]:
        """Read everything, from the preamble on."""
        source = self._source
        yield
        transfer_syntax = yield from file_meta(source)
        if transfer_syntax in DEFLATED:
            self._inflate = Inflate()
            yield
        context = Context(source)
        level = Level(context, implicit=transfer_syntax == IMPLICIT_LITTLE, until=PIXEL_DATA.__contains__)
        transfer_syntax = yield from _encoding(level, transfer_syntax)
        self._begun = level, transfer_syntax
        yield from datasets.read(
            level, sys.maxsize, datasets.stop_at(context, datasets.TOP_STOPS | PIXEL_DATA.keys())
        )
        metadata.settle(context.ambiguous, little=context.little)
        pixel_data = context.stopped
        length = 0
        if pixel_data is not None:
            length = yield from _begin_pixel_data(level, *pixel_data)
        self.header = _header(level.dataset, transfer_syntax, context.problems)
        table = FrameTable()
        if pixel_data is not None:
            table = yield from _pixel_data(level, pixel_data[0], length)
            yield from source.drain()
        return Layout(self.header, table, context.bulkdata)


def is_deflated(transfer_syntax: str) -> bool:
    """Say if offsets of a Layout count in the inflated data set."""
    return transfer_syntax in DEFLATED


def file_meta(source: Source) -> Steps[str]:
    """Read up to the data set; the Transfer Syntax UID of the file meta information, or '' if there is none.

    Raises
    ------
    InvalidInstance
        This is no DICOM file, or it ends here.
    """
    if (yield from source.available(132)) and source.data[128:132] == b"DICM":
        source.position = 132
    elif not _plausible(source.data[:8]):
        reason = "no 'DICM' at byte 128, no data set at byte 0" if source.end else "no bytes"
        raise InvalidInstance(f"not a DICOM file: {reason}")
    context = Context(source)
    level = Level(context, implicit=False, until=lambda tag: tag >> 16 != 2)
    if not (yield from source.available(6)):
        return ""
    at = source.position - source.start
    if source.data[at : at + 2] != b"\x02\x00":
        return ""
    level.implicit = datasets.is_implicit(source.data, at, declared=False, nested=False)
    yield from datasets.read(level, sys.maxsize, datasets.stop_outside(context, 2))
    return metadata.text(level.dataset, "00020010")


def _plausible(head: bytes) -> bool:
    """Say if bytes without a preamble can be the beginning of file meta information or of a data set."""
    if len(head) < 8:
        return False
    group, element = struct.unpack("<HH", head[:4])
    explicit = head[4:6].isalpha() and head[4:6].decode("latin_1") in metadata.ENCODERS[True]
    if explicit and head[:2] == b"\0\x08":
        group, element = struct.unpack(">HH", head[:4])
    known = group in (2, 8) and (element == 0 or datasets.DICTIONARY[group << 16 | element] != "")
    return known and (explicit or int.from_bytes(head[4:8], "little") <= datasets.LARGE)


def _encoding(level: Level, declared: str) -> Steps[str]:
    """Find out how the data set is encoded; where no transfer syntax is declared, as pydicom guesses it."""
    context, source = level.context, level.context.source
    if not (yield from source.available(6)):
        return declared or IMPLICIT_LITTLE
    at = source.position - source.start
    if source.data[at : at + 2] == b"\0\0":
        yield from _command_set(level)
        at = source.position - source.start
    head = source.data[at : at + 6]
    if not declared:
        declared = IMPLICIT_LITTLE
        if head[4:6].decode("latin_1") in metadata.ENCODERS[True] or head[4:6] == b"SQ":
            declared = EXPLICIT_LITTLE if head[0] | head[1] << 8 < 0x400 else EXPLICIT_BIG
    context.little = declared != EXPLICIT_BIG
    level.implicit = datasets.is_implicit(head, 0, declared=declared == IMPLICIT_LITTLE, nested=False)
    return declared


def _command_set(level: Level) -> Steps[None]:
    """Read past elements of group 0000, which are no part of a file but are found in some (PS3.7 6.3)."""
    commands = Level(level.context, implicit=True, until=lambda tag: tag >> 16 != 0)
    yield from datasets.read(commands, sys.maxsize, datasets.stop_outside(level.context, 0))
    level.context.problems.clear()
    level.context.bulkdata.clear()
    yield from level.context.source.available(6)


def _header(dataset: Dataset, transfer_syntax: str, problems: Mapping[str, str]) -> Header:
    return Header(
        study=metadata.text(dataset, "0020000D"),
        series=metadata.text(dataset, "0020000E"),
        instance=metadata.text(dataset, "00080018"),
        sop_class=metadata.text(dataset, "00080016"),
        transfer_syntax=transfer_syntax,
        dataset=dataset,
        problems=tuple(Problem(tag, reason) for tag, reason in problems.items()),
    )


def _begin_pixel_data(level: Level, tag: int, vr: str | None, length: int) -> Steps[int]:
    """Put the element of the pixel data into the data set, and go on to its value, whose length is given back."""
    source, key = level.context.source, datasets.KEYS[tag]
    source.inside = datasets.name(key)
    explicit = vr is not None and not level.implicit
    header = 12 if explicit and vr in datasets.LONG else 8
    yield from source.more(header)
    source.skip(header)
    if vr not in metadata.BINARY or vr == "UN":
        bits = metadata.integer(level.dataset, "00280100")
        vr = PIXEL_DATA[tag]
        if length == datasets.UNDEFINED or (explicit and vr == "OW" and bits is not None and bits <= 8):
            vr = "OB"
    level.dataset[key] = level.locate(key, vr, source.position, length) if length else {"vr": vr}
    if not length:
        level.context.bulkdata.pop(key, None)
    return length


def _pixel_data(level: Level, tag: int, length: int) -> Steps[FrameTable]:
    """Let the pixel data flow by, and find its frames."""
    context, source, key = level.context, level.context.source, datasets.KEYS[tag]
    start = source.position
    if length != datasets.UNDEFINED:
        source.skip(length)
        yield from source.more(0)
        return frames.native(start, length, level.dataset)
    fragments = yield from frames.scan(source, little=context.little)
    if fragments.lost and len(fragments.lengths) < frames.MAX_FRAGMENTS:
        yield from source.drain()
        fragments.end = source.end
    context.bulkdata[key] = (start, fragments.end - start)
    raw = [context.raw.get(tag) for tag in (datasets.EXTENDED_OFFSETS, datasets.EXTENDED_LENGTHS)]
    extended = (raw[0], raw[1]) if raw[0] is not None and raw[1] is not None else None
    return frames.encapsulated(fragments, level.dataset, extended, little=context.little)
