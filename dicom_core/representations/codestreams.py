"""What compressed frames say of themselves: the headers of JPEG, JPEG-LS and JPEG 2000 codestreams.

They are read before a codec sees the frame, so that no codec is asked for an image of another size than the data set
describes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dicom_core.representations.images import Undecodable

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}
_LOSSLESS = frozenset({0xC3, 0xC7, 0xCB, 0xCF, 0xF7})
_START_OF_SCAN, _END_OF_IMAGE, _APP0, _APP14 = 0xDA, 0xD9, 0xE0, 0xEE
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})
_RGB_IDS = (b"RGB", b"rgb")

_SOC, _SIZ, _COD, _SOT = 0xFF4F, 0xFF51, 0xFF52, 0xFF90
_JP2_SIGNATURE = b"\0\0\0\x0cjP  "


@dataclass(frozen=True, slots=True)
class Codestream:
    """The header of a compressed frame.

    `ycbcr` says if its colours are luminance and chrominance: None where the codestream leaves it to the data set.
    """

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool = False
    lossless: bool = False
    ycbcr: bool | None = None


def jpeg(frame: bytes) -> Codestream:
    """Read the header of a JPEG (ISO/IEC 10918-1 B) or JPEG-LS codestream (ISO/IEC 14495-1 C).

    Raises
    ------
    Undecodable
        There is none.
    """
    at, found, ids, jfif, adobe = 0, None, b"", False, None
    try:
        if frame[:2] != b"\xff\xd8":
            raise Undecodable("the frame holds no JPEG codestream")
        at = 2
        while True:
            while frame[at] == frame[at + 1] == 0xFF:
                at += 1
            marker, at = frame[at + 1], at + 2
            if marker in _ALONE:
                continue
            if marker in (_START_OF_SCAN, _END_OF_IMAGE):
                break
            (length,) = struct.unpack_from(">H", frame, at)
            if marker in _SOF:
                precision, rows, columns, components = struct.unpack_from(">BHHB", frame, at + 2)
                found = Codestream(rows, columns, components, precision, lossless=marker in _LOSSLESS)
                ids = frame[at + 8 : at + 8 + 3 * components : 3]
            elif marker == _APP0:
                jfif = jfif or frame[at + 2 : at + 6] == b"JFIF"
            elif marker == _APP14 and length >= 14 and frame[at + 2 : at + 7] == b"Adobe":
                adobe = frame[at + 13]
            at += max(length, 2)
    except (struct.error, IndexError):
        raise Undecodable("the frame ends within the header of its JPEG codestream") from None
    if found is None:
        raise Undecodable("the frame's JPEG codestream describes no image")
    if found.components != 3:
        return found
    return Codestream(
        found.rows,
        found.columns,
        found.components,
        found.precision,
        lossless=found.lossless,
        ycbcr=_is_ycbcr(ids, jfif=jfif, adobe=adobe),
    )


def _is_ycbcr(ids: bytes, *, jfif: bool, adobe: int | None) -> bool | None:
    if ids in _RGB_IDS:
        return False
    if adobe is not None:
        return adobe != 0
    return True if jfif else None


def jpeg2000(frame: bytes) -> Codestream:
    """Read the main header of a JPEG 2000 codestream (ISO/IEC 15444-1 A).

    Raises
    ------
    Undecodable
        There is none, or its components differ from each other.
    """
    try:
        (soc, siz, _, _, x1, y1, x0, y0) = struct.unpack_from(">4H4L", frame)
        if (soc, siz) != (_SOC, _SIZ):
            raise Undecodable("the frame holds no JPEG 2000 codestream")
        (components,) = struct.unpack_from(">H", frame, 40)
        kinds = {frame[at : at + 3] for at in range(42, 42 + 3 * components, 3)}
        if len(kinds) != 1 or (kind := kinds.pop())[1:] != b"\1\1":
            raise Undecodable("the components of the frame's JPEG 2000 codestream differ in size or depth")
        lossless, transformed = _coding(frame)
    except (struct.error, IndexError):
        raise Undecodable("the frame ends within the header of its JPEG 2000 codestream") from None
    return Codestream(
        y1 - y0, x1 - x0, components, (kind[0] & 0x7F) + 1, bool(kind[0] & 0x80), lossless, transformed
    )


def _coding(frame: bytes) -> tuple[bool, bool]:
    """From the main header's COD: the wavelet is reversible; the colours are transformed."""
    at = 2
    while True:
        marker, length = struct.unpack_from(">HH", frame, at)
        if marker == _COD:
            return frame[at + 13] == 1, frame[at + 8] == 1
        if marker == _SOT:
            raise Undecodable("the frame's JPEG 2000 codestream does not say how it is coded")
        at += 2 + max(length, 2)


def unwrapped(frame: bytes) -> bytes:
    """The codestream of a frame that is a JP2 file: some encoders write those (ISO/IEC 15444-1 I)."""
    if frame[:8] != _JP2_SIGNATURE:
        return frame
    at = 0
    while at + 8 <= len(frame):
        length, kind = struct.unpack_from(">L4s", frame, at)
        header = 8
        if length == 1 and at + 16 <= len(frame):
            (length,) = struct.unpack_from(">Q", frame, at + 8)
            header = 16
        if kind == b"jp2c":
            return frame[at + header : at + length if length else None]
        if length < header:
            break
        at += length
    raise Undecodable("the frame is a JP2 file without a codestream")


def without_spiff(codestream: bytes) -> bytes:
    """A JPEG-LS codestream without the SPIFF header (ISO/IEC 10918-3 F) that its encoder puts before it.

    The header ends with the start of the codestream proper, which DICOM wants alone.
    """
    at = 2
    while codestream[at : at + 2] == b"\xff\xe8":
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return codestream[:2] + codestream[at:]
