"""Rendered Media Types of images (PS3.18 8.7.4): JPEG, PNG and GIF, 8 bits per channel."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

from PIL import Image as Pillow

from dicom_core.representations.images import Unencodable

_FINE = 90
"""From this quality on, JPEG keeps the chrominance of every pixel."""

_JPEG_SIDE = 65_500

_PNG_LEVEL = 2
"""Level 2 of a CT image: 6 ms and 79 kB; level 6: 25 ms and 68 kB."""


def jpeg(picture: Pillow.Image, quality: int, profile: bytes | None) -> bytes:
    """Baseline JPEG; its profile is in APP2 segments.

    Raises
    ------
    Unencodable
        The image is longer than a JPEG can be.
    """
    if max(picture.size) > _JPEG_SIDE:
        raise Unencodable(f"image/jpeg has no more than {_JPEG_SIDE} rows or columns")
    into = BytesIO()
    subsampling = 0 if quality >= _FINE else 2
    options = {"icc_profile": profile} if profile else {}
    picture.save(into, "JPEG", quality=quality, subsampling=subsampling, **options)
    return into.getvalue()


def png(picture: Pillow.Image, profile: bytes | None) -> bytes:
    """PNG; its profile is an iCCP chunk."""
    into = BytesIO()
    options = {"icc_profile": profile} if profile else {}
    picture.save(into, "PNG", compress_level=_PNG_LEVEL, **options)
    return into.getvalue()


def gif(pictures: Sequence[Pillow.Image], durations: Sequence[int] = ()) -> bytes:
    """GIF of one indexed image, or of several: an animation without end; durations are in milliseconds.

    Images that equal the one before them are not repeated: that one is shown longer.
    """
    into = BytesIO()
    first, *others = pictures
    if others:
        first.save(into, "GIF", save_all=True, append_images=others, duration=list(durations), loop=0)
    else:
        first.save(into, "GIF")
    return into.getvalue()


def indexed(picture: Pillow.Image, *, fast: bool) -> Pillow.Image:
    """An image of at most 256 colors; the fast way takes 2 ms for 640 by 480 pixels, the better one 16."""
    if picture.mode == "L":
        return picture
    return picture.quantize(256, Pillow.Quantize.FASTOCTREE if fast else Pillow.Quantize.MEDIANCUT)
