"""Images: how the pixels of a frame are described (Image Pixel Module, PS3.3 C.7.6.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from dicom_core.representations import metadata

Frame: TypeAlias = tuple[int, bytes]
"""A frame's number, counted from 1, and its bytes as they are stored."""

MAX_FRAME = 128 << 20
"""The most bytes that a decoded frame may have; several times as many are in memory while it is transcoded."""


class Undecodable(Exception):
    """A frame cannot be decoded; the text says why and holds no attribute values."""


class Unencodable(Exception):
    """A frame cannot be encoded as it was asked for; the text says why and holds no attribute values."""


@dataclass(frozen=True, slots=True)
class Image:
    """What a frame's bytes mean.

    `vr` is that of the pixel data: OF and OD are floating point; OW swaps pairs of bytes in big endian files.
    """

    rows: int
    columns: int
    samples_per_pixel: int = 1
    bits_allocated: int = 16
    bits_stored: int = 16
    high_bit: int = 15
    pixel_representation: int = 0
    photometric_interpretation: str = "MONOCHROME2"
    planar_configuration: int = 0
    vr: str = "OW"

    @property
    def signed(self) -> bool:
        """Samples are two's complement numbers."""
        return self.pixel_representation == 1

    @property
    def floating(self) -> bool:
        """Samples are floating point numbers (PS3.3 C.7.6.24, C.7.6.25)."""
        return self.vr in ("OF", "OD")

    @property
    def samples(self) -> int:
        """Samples of a frame, as native pixel data hold them: 4:2:2 has one of each colour for two pixels."""
        per_pixel = 2 if self.photometric_interpretation in _HALVED else self.samples_per_pixel
        return self.rows * self.columns * per_pixel

    @property
    def size(self) -> int:
        """Bytes of a native frame; single bits are filled up to whole bytes."""
        return self.samples * self.bits_allocated + 7 >> 3

    @classmethod
    def of(cls, dataset: Mapping[str, Any]) -> Image:
        """The image that the JSON of a header describes.

        Raises
        ------
        Undecodable
            It describes none, or one whose frames are larger than `MAX_FRAME`.
        """
        rows, columns = (_number(dataset, key) for key in ("00280010", "00280011"))
        samples, allocated = _number(dataset, "00280002", 1), _number(dataset, "00280100")
        stored = metadata.integer(dataset, "00280101") or allocated
        high_bit = metadata.integer(dataset, "00280102")
        image = cls(
            rows=rows,
            columns=columns,
            samples_per_pixel=samples,
            bits_allocated=allocated,
            bits_stored=stored,
            high_bit=stored - 1 if high_bit is None else high_bit,
            pixel_representation=metadata.integer(dataset, "00280103") or 0,
            photometric_interpretation=_photometric(dataset, samples),
            planar_configuration=metadata.integer(dataset, "00280006") or 0,
            vr=next((dataset[key]["vr"] for key in _PIXELS if key in dataset), "OW"),
        )
        _check(image)
        return image


_HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
_PIXELS = ("7FE00010", "7FE00008", "7FE00009")


def _number(dataset: Mapping[str, Any], key: str, default: int = 0) -> int:
    value = metadata.integer(dataset, key) or default
    if not value:
        raise Undecodable(f"the header has no usable ({key[:4]},{key[4:]}), which describes the pixels")
    return value


def _photometric(dataset: Mapping[str, Any], samples: int) -> str:
    return metadata.text(dataset, "00280004").strip() or ("MONOCHROME2" if samples == 1 else "RGB")


def _check(image: Image) -> None:
    """Refuse what no codec should be asked to do."""
    if image.bits_allocated not in (1, 8, 16, 32, 64):
        raise Undecodable("(0028,0100) Bits Allocated is none of 1, 8, 16, 32 and 64")
    if not 0 < image.bits_stored <= image.bits_allocated or not 0 <= image.high_bit < image.bits_allocated:
        raise Undecodable("(0028,0101) Bits Stored and (0028,0102) High Bit do not fit into Bits Allocated")
    if image.samples_per_pixel not in (1, 3, 4):
        raise Undecodable("(0028,0002) Samples per Pixel is none of 1, 3 and 4")
    if image.rows * image.columns * image.samples_per_pixel * image.bits_allocated > MAX_FRAME * 8:
        raise Undecodable(f"a frame of the instance has more than {MAX_FRAME} bytes when it is decoded")
