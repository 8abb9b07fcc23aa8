"""Instances in other transfer syntaxes: a new PS3.10 file, made as the bytes of the stored one arrive.

What is stored is handed over in three parts, in their order: the head, up to the value of the pixel data; the pixel
data, in pieces; the tail, what follows them. One piece and what becomes of it are in memory, whatever the number of
frames; head and tail are as a whole, up to `MAX_HEADER` bytes.

The instance stays the same: no pixel changes but those of lossy compression that was there before, and the SOP
Instance UID is kept. Icons stay as they are: a compressed one keeps the encoding that it had.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from dicom_core.representations import explicit, metadata, transcoding
from dicom_core.representations.datasets import KEYS, UNDEFINED
from dicom_core.representations.explicit import element
from dicom_core.representations.frames import FrameTable
from dicom_core.representations.images import Image, Undecodable, Unencodable
from dicom_core.representations.instances import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    PIXEL_DATA,
    Header,
    InvalidInstance,
    Reader,
    file_meta,
    is_deflated,
)
from dicom_core.representations.source import Source

MAX_HEADER = 64 << 20
"""The most bytes before the pixel data, and behind them, that are converted."""

IMPLEMENTATION_CLASS = "2.25.33233072518808605733905026175586044138"
IMPLEMENTATION_VERSION = "DICOM_FUNCTIONS"

_PHOTOMETRIC, _PLANAR = 0x00280004, 0x00280006
_OFFSETS = (0x7FE00001, 0x7FE00002)
_DELIMITER = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the parts of a stored instance lie, as a Layout counts: `head` bytes, the pixel data, the tail to the end.

    `length` is that of the pixel data: with all item headers, if they are encapsulated. Without pixel data all of the
    instance is its head, and `head` is None.
    """

    head: int | None = None
    length: int = 0
    frames: FrameTable = field(default_factory=FrameTable)

    @property
    def tail(self) -> int | None:
        """Where the tail begins."""
        return None if self.head is None else self.head + self.length

    @classmethod
    def of(cls, bulkdata: Mapping[str, tuple[int, int]], frames: FrameTable) -> Parts:
        """The parts of an instance whose bulk data lie where this says."""
        location = next((bulkdata[key] for key in map(KEYS.__getitem__, PIXEL_DATA) if key in bulkdata), None)
        return cls(*location, frames) if location else cls()


class Conversion:
    """One instance on its way into another transfer syntax.

    `pixels` takes the pixel data: encapsulated ones as frames, each alone and all of them in their order; native ones
    in pieces of any size. `finish` takes the tail. What they give, joined, is the file.

    Raises
    ------
    Undecodable
        The header, or the pixels, cannot be read.
    Unencodable
        The transfer syntax cannot hold the instance.
    """

    __slots__ = ("_begun", "_coder", "_data", "_encoding", "_header", "_key", "_parts", "_target", "_written")

    def __init__(self, head: bytes, transfer_syntax: str, target: str, parts: Parts) -> None:
        if not transcoding.decodable(transfer_syntax):
            raise Undecodable(f"transfer syntax {transfer_syntax} cannot be decoded")
        if not transcoding.encodable(target):
            raise Unencodable(f"transfer syntax {target} cannot be encoded")
        self._encoding = EXPLICIT_LITTLE if is_deflated(transfer_syntax) else transfer_syntax
        if is_deflated(transfer_syntax):
            head = _file(EXPLICIT_LITTLE, head)
        self._header, self._data = _read(head, complete=parts.head is None)
        self._key = next((tag for tag in PIXEL_DATA if KEYS[tag] in self._header.dataset), 0)
        self._target, self._parts = target, parts
        self._coder = self._chosen(transfer_syntax)
        self._begun = False
        self._written = 0

    @property
    def frame_size(self) -> int:
        """Bytes of a decoded frame; 0 if nothing is decoded."""
        return 0 if isinstance(self._coder, _Copier) else self._image().size

    def pixels(self, piece: bytes) -> bytes:
        """What the file goes on with after a piece of pixel data; the first frame brings all that is before it.

        Raises
        ------
        Undecodable
            The piece is no frame of the image that the header describes.
        Unencodable
            The transfer syntax cannot hold its pixels.
        """
        return self._sent(self._coder.feed(piece))

    def finish(self, tail: bytes = b"") -> bytes:
        """The end of the file.

        Raises
        ------
        Undecodable
            There were fewer pixels than the header describes, or the tail cannot be read.
        """
        if self._parts.head is None:
            return self._begin()
        last = self._sent(self._coder.finish())
        if not self._begun:
            raise Undecodable("the instance has not all of its pixel data")
        end = b"\0" * (self._written % 2) if transcoding.is_native(self._target) else _DELIMITER
        return b"".join([last, end, *_rewritten_tail(tail, self._encoding)])

    def _chosen(self, transfer_syntax: str) -> _Copier | _Coder:
        """What converts the pixel data."""
        parts, native = self._parts, transcoding.is_native(self._target)
        if not native and (parts.head is None or KEYS[self._key] != "7FE00010"):
            raise Unencodable("the instance has no (7FE0,0010) Pixel Data that could be compressed")
        if parts.head is None:
            return _Copier(0, 1)
        if transcoding.is_native(transfer_syntax) and native:
            if transfer_syntax != EXPLICIT_BIG:
                return _Copier(parts.length, 1)
            return _copier(transfer_syntax, parts, self._image())
        if not parts.frames.count:
            raise Undecodable("the frames of the instance cannot be told apart")
        return _Coder(transfer_syntax, self._target, self._image(), parts)

    def _image(self) -> Image:
        return Image.of(self._header.dataset)

    def _sent(self, coded: Iterable[bytes]) -> bytes:
        sent = [self._framed(frame) for frame in coded]
        if sent and not self._begun:
            sent.insert(0, self._begin())
            self._begun = True
        return b"".join(sent)

    def _framed(self, frame: bytes) -> bytes:
        """A frame as it stands in the value: compressed ones are one fragment each (PS3.5 A.4)."""
        self._written += len(frame)
        if transcoding.is_native(self._target):
            return frame
        frame += b"\0" * (len(frame) % 2)
        return struct.pack("<HHL", 0xFFFE, 0xE000, len(frame)) + frame

    def _begin(self) -> bytes:
        """File meta information, and the data set up to the value of the pixel data."""
        header, image = self._header, self._coder.image
        elements = explicit.rewritten(
            self._data, header.dataset, self._encoding, PIXEL_DATA if self._parts.head is not None else ()
        )
        changes = {} if image is None else _changes(header.dataset, image)
        written = b"".join(explicit.changed(elements, changes))
        self._data = b""
        start = b"" if self._parts.head is None else self._pixel_header(image)
        return _file(self._target, written + start, header)

    def _pixel_header(self, image: Image | None) -> bytes:
        """The pixel data's element up to its value, or up to its first frame if they are encapsulated."""
        if not transcoding.is_native(self._target):
            return element(self._key, "OB", struct.pack("<HHL", 0xFFFE, 0xE000, 0), UNDEFINED)
        length = self._coder.length + self._coder.length % 2
        if length >= UNDEFINED:
            raise Unencodable("the pixel data are too long for a transfer syntax without compression")
        vr = self._header.dataset[KEYS[self._key]]["vr"]
        if image is not None:
            vr = "OB" if image.bits_allocated <= 8 else "OW"
        return element(self._key, vr, b"", length)


class _Copier:
    """Native pixel data that stay native."""

    __slots__ = ("_left", "_rest", "_width", "length")

    image = None

    def __init__(self, length: int, width: int) -> None:
        self.length = self._left = length
        self._width = width
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The piece, in little endian."""
        self._left -= len(piece)
        if self._width == 1:
            return [piece]
        piece = self._rest + piece
        whole = len(piece) - len(piece) % self._width
        self._rest = piece[whole:]
        return [explicit.swapped(piece[:whole], self._width)]

    def finish(self) -> list[bytes]:
        """What is left over."""
        if self._left:
            raise Undecodable("the instance has not all of its pixel data")
        return [self._rest]


class _Coder:
    """Pixel data of which at least one side is compressed."""

    __slots__ = ("_buffer", "_copier", "_count", "_done", "_source", "_stored", "_target", "image")

    def __init__(self, transfer_syntax: str, target: str, stored: Image, parts: Parts) -> None:
        self._source, self._target, self._stored = transfer_syntax, target, stored
        self._count, self._done = parts.frames.count, 0
        self._copier: _Copier | None = None
        self._buffer = bytearray()
        self.image: Image | None = None
        bits = stored.samples * stored.bits_allocated
        if transcoding.is_native(transfer_syntax):
            if parts.frames.bits != bits:
                raise Undecodable("the pixel data have another length than the header describes")
            self._copier = _copier(transfer_syntax, parts, stored)
            self._source = EXPLICIT_LITTLE
        elif bits % 8 and self._count > 1:
            raise Undecodable("several frames of compressed single bits cannot be joined")

    @property
    def length(self) -> int:
        """Bytes of all decoded frames, when the first has been decoded."""
        return self.image.size * self._count if self.image is not None else 0

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """The frames that the piece completes."""
        if self._copier is None:
            yield self._coded(piece)
            return
        for copied in self._copier.feed(piece):
            self._buffer += copied
        size = self._stored.size
        at = 0
        while len(self._buffer) - at >= size and self._done < self._count:
            yield self._coded(bytes(self._buffer[at : at + size]))
            at += size
        del self._buffer[:at]

    def finish(self) -> list[bytes]:
        """Nothing, if all frames were there."""
        if self._done != self._count:
            raise Undecodable("the instance has not all of its pixel data")
        return []

    def _coded(self, frame: bytes) -> bytes:
        pixels, image = transcoding.decode(frame, self._source, self._stored)
        coded, image = transcoding.encode(pixels, image, self._target)
        if image != (self.image or image):
            raise Undecodable(f"frame {self._done + 1} of the instance has other colours than the first")
        self.image = image
        self._done += 1
        return coded


def _copier(transfer_syntax: str, parts: Parts, image: Image) -> _Copier:
    return _Copier(parts.length, transcoding.word(image) if transfer_syntax == EXPLICIT_BIG else 1)


def _changes(dataset: Mapping[str, Any], image: Image) -> dict[int, bytes]:
    """The elements that describe the pixels otherwise than before (PS3.5 8.2); offset tables are of the past."""
    changes = dict.fromkeys(_OFFSETS, b"")
    photometric = image.photometric_interpretation
    if photometric != metadata.text(dataset, KEYS[_PHOTOMETRIC]):
        changes[_PHOTOMETRIC] = element(_PHOTOMETRIC, "CS", _even(photometric, b" "))
    if image.samples_per_pixel > 1 and image.planar_configuration != metadata.integer(dataset, KEYS[_PLANAR]):
        changes[_PLANAR] = element(_PLANAR, "US", struct.pack("<H", image.planar_configuration))
    return changes


def _file(transfer_syntax: str, dataset: bytes, header: Header | None = None) -> bytes:
    """A PS3.10 file of an encoded data set; without a header its meta information only says how it is encoded."""
    elements = [
        element(0x00020001, "OB", b"\0\1"),
        element(0x00020002, "UI", _even(header.sop_class if header else "")),
        element(0x00020003, "UI", _even(header.instance if header else "")),
        element(0x00020010, "UI", _even(transfer_syntax)),
        element(0x00020012, "UI", _even(IMPLEMENTATION_CLASS)),
        element(0x00020013, "SH", _even(IMPLEMENTATION_VERSION, b" ")),
    ]
    meta = b"".join(elements)
    length = element(0x00020000, "UL", struct.pack("<L", len(meta)))
    return b"".join([bytes(128), b"DICM", length, meta, dataset])


def _even(text: str, filler: bytes = b"\0") -> bytes:
    return text.encode("latin_1") + filler * (len(text) % 2)


def _read(head: bytes, *, complete: bool) -> tuple[Header, bytes]:
    """The header of a file that ends where its pixel data begin, and its data set."""
    if len(head) > MAX_HEADER:
        raise Undecodable(f"the instance has more than {MAX_HEADER} bytes besides its pixel data")
    reader, source = Reader(), Source()
    try:
        reader.feed(head)
        header = reader.finish().header if complete else reader.header
    except InvalidInstance as error:
        raise Undecodable(str(error)) from None
    if header is None:
        raise Undecodable("the instance has no pixel data where they were")
    steps = file_meta(source)
    next(steps, None)
    source.push(head)
    source.closed = True
    for _ in steps:
        pass
    data = head[source.position :]
    if data[:2] == b"\0\0":
        raise Undecodable("the instance has elements of group 0000, which belong to messages")
    return header, data


def _rewritten_tail(tail: bytes, encoding: str) -> Iterator[bytes]:
    """The elements behind the pixel data."""
    if tail[:4] == _DELIMITER[:4]:
        tail = tail[len(_DELIMITER) :]
    if not tail.strip(b"\0"):
        return
    header, data = _read(_file(encoding, tail), complete=True)
    for _, written in explicit.rewritten(data, header.dataset, encoding):
        yield written
