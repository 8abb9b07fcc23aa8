"""Color images (PS3.3 C.7.6.3.1.2): native samples to red, green and blue of 8 bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from dicom_core.representations import grayscale
from dicom_core.representations.images import Image, Undecodable

_HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
_PARTIAL = frozenset({"YBR_PARTIAL_420", "YBR_PARTIAL_422"})
_RGB = frozenset({"RGB", "YBR_ICT", "YBR_RCT"})
_SPACES = _RGB | _HALVED | _PARTIAL | {"YBR_FULL"}

_STUDIO = [
    *(min(255, max(0, round((y - 16) * 255 / 219))) for y in range(256)),
    *(min(255, max(0, round((c - 128) * 255 / 224 + 128))) for c in range(256)),
    *(min(255, max(0, round((c - 128) * 255 / 224 + 128))) for c in range(256)),
]
"""Luminance from 16 to 235 and chrominance from 16 to 240, each spread to 0 to 255 (ITU-R BT.601)."""


def rendered(pixels: bytes, image: Image) -> Pillow.Image:
    """The colors of native pixels.

    YBR_RCT and YBR_ICT are RGB once they are decoded, and pass as such.

    Raises
    ------
    Undecodable
        The photometric interpretation is not one that is known.
    """
    space = image.photometric_interpretation
    if space not in _SPACES or image.samples_per_pixel != 3:
        raise Undecodable("the photometric interpretation of the image is not one that can be rendered")
    samples = _samples(_eight_bits(grayscale.stored(pixels, image), image), image)
    size = (image.columns, image.rows)
    if space in _RGB:
        return Pillow.frombuffer("RGB", size, samples)
    picture = Pillow.frombuffer("YCbCr", size, samples)
    return (picture.point(_STUDIO) if space in _PARTIAL else picture).convert("RGB")


def _eight_bits(values: grayscale.Stored, image: Image) -> NDArray[np.uint8]:
    """Samples of more or fewer bits, spread over 8."""
    if image.bits_stored == 8 and not image.signed and not image.floating:
        return values.astype(np.uint8, copy=False)
    if image.signed or image.floating:
        raise Undecodable("the colors of the image are signed or floating point numbers")
    if image.bits_stored > 8:
        return (values >> image.bits_stored - 8).astype(np.uint8)
    return (values.astype(np.uint16) * 255 // ((1 << image.bits_stored) - 1)).astype(np.uint8)


def _samples(values: NDArray[np.uint8], image: Image) -> NDArray[np.uint8]:
    """Rows of pixels of three samples each."""
    rows, columns = image.rows, image.columns
    if image.photometric_interpretation in _HALVED:
        return _doubled(values, rows, columns)
    if image.planar_configuration == 1:
        return np.ascontiguousarray(values.reshape(3, rows, columns).transpose(1, 2, 0))
    return values.reshape(rows, columns, 3)


def _doubled(values: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Give both pixels of a pair the chrominance that is stored once: Y Y Cb Cr (PS3.3 C.7.6.3.1.2)."""
    if columns % 2:
        raise Undecodable("the image has pairs of pixels, and an odd number of columns")
    pairs = values.reshape(rows, columns // 2, 4)
    samples = np.empty((rows, columns, 3), np.uint8)
    for first in (0, 1):
        samples[:, first::2, 0] = pairs[..., first]
        samples[:, first::2, 1:] = pairs[..., 2:]
    return samples
