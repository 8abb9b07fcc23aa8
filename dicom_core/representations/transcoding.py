"""Frames in other transfer syntaxes (PS3.5 8.2, Annex A): decoded to native pixels, encoded without loss.

The codecs are imported when the first compressed frame is transcoded. All functions are synchronous and take
milliseconds for each frame: call them in a thread.
"""

from __future__ import annotations

import zlib
from importlib import import_module
from typing import Any

from dicom_core.representations import explicit
from dicom_core.representations.images import Image, Undecodable, Unencodable
from dicom_core.representations.instances import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

_DEFLATED = "1.2.840.10008.1.2.1.99"
_NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, _DEFLATED})
_JPEG = "1.2.840.10008.1.2.4."
_DECODED = {
    **dict.fromkeys(_NATIVE, "native"),
    EXPLICIT_BIG: "big-endian",
    "1.2.840.10008.1.2.8.1": "deflated",
    "1.2.840.10008.1.2.5": "rle",
    **dict.fromkeys((f"{_JPEG}{process}" for process in (50, 51, 57, 70)), "jpeg"),
    **dict.fromkeys((f"{_JPEG}{process}" for process in (80, 81)), "jpeg-ls"),
    **dict.fromkeys((f"{_JPEG}{process}" for process in (90, 91, 201, 202, 203)), "jpeg-2000"),
}
_ENCODED = {
    EXPLICIT_LITTLE: "native",
    "1.2.840.10008.1.2.5": "rle",
    f"{_JPEG}80": "jpeg-ls",
    f"{_JPEG}90": "jpeg-2000",
    **dict.fromkeys((f"{_JPEG}{process}" for process in (201, 202)), "htj2k"),
}


def decodable(transfer_syntax: str) -> bool:
    """Say if frames of a transfer syntax can be decoded; those of a few images still cannot."""
    return transfer_syntax in _DECODED


def encodable(transfer_syntax: str) -> bool:
    """Say if frames can be encoded to a transfer syntax; those of a few images still cannot."""
    return transfer_syntax in _ENCODED


def targets(transfer_syntax: str) -> tuple[str, ...]:
    """The transfer syntaxes that frames of one can be given in beside it, Explicit VR Little Endian first."""
    if transfer_syntax not in _DECODED:
        return ()
    return tuple(target for target in _ENCODED if target != transfer_syntax)


def is_native(transfer_syntax: str) -> bool:
    """Say if frames of a transfer syntax are not compressed (PS3.5 8.1)."""
    return transfer_syntax in _NATIVE


def decode(frame: bytes, transfer_syntax: str, image: Image) -> tuple[bytes, Image]:
    """Decode a frame to native pixels, little endian, and say what they are now.

    A colour transform that is part of the compression is undone, so that YBR_FULL_422 of JPEG, YBR_RCT and YBR_ICT
    become RGB. Other colours stay as they are, and so do the bits of every sample. The samples of a pixel come
    together if they were compressed.

    Raises
    ------
    Undecodable
        There is no decoder, or it does not take this frame, or the frame is not what the image describes.
    """
    kind = _DECODED.get(transfer_syntax)
    if kind is None:
        raise Undecodable(f"transfer syntax {transfer_syntax} cannot be decoded")
    decoder = _HERE.get(kind) or _codecs().DECODERS[kind]
    pixels, native = decoder(frame, image)
    if len(pixels) != native.size:
        raise Undecodable(f"the frame has {len(pixels)} bytes of pixels, its image {native.size}")
    return pixels, native


def encode(frame: bytes, image: Image, transfer_syntax: str) -> tuple[bytes, Image]:
    """Encode a native frame, little endian, without loss, and say what image it is now.

    RGB becomes YBR_RCT with JPEG 2000, and YBR_FULL_422 becomes YBR_FULL.

    Raises
    ------
    Unencodable
        There is no encoder, or its encoding has no such pixels.
    """
    kind = _ENCODED.get(transfer_syntax)
    if kind is None:
        raise Unencodable(f"transfer syntax {transfer_syntax} cannot be encoded")
    if kind == "native":
        return frame[: image.size], image
    encoded, changed = _codecs().ENCODERS[kind](frame, image)
    return encoded, changed


def word(image: Image) -> int:
    """Bytes of the numbers that big endian pixel data consist of: OW holds bytes in pairs (PS3.5 8.1.1)."""
    width = image.bits_allocated >> 3
    return max(width, 2) if image.vr == "OW" else width or 1


def _codecs() -> Any:
    return import_module("dicom_core.representations.codecs")


def _native(frame: bytes, image: Image) -> tuple[bytes, Image]:
    return frame[: image.size], image


def _big_endian(frame: bytes, image: Image) -> tuple[bytes, Image]:
    width = word(image)
    if image.size % width:
        raise Undecodable("frames that share words in big endian pixel data cannot be decoded alone")
    return explicit.swapped(frame[: image.size], width), image


def _deflated(frame: bytes, image: Image) -> tuple[bytes, Image]:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(frame, image.size), image
    except zlib.error:
        raise Undecodable("the frame is not deflated") from None


_HERE = {"native": _native, "big-endian": _big_endian, "deflated": _deflated}
