"""Codecs of compressed frames (PS3.5 8.2), from imagecodecs. Importing this imports it and numpy.

They release the interpreter's lock while they work. Each decoder gives the samples as the data set describes them, in
native little endian order; each encoder takes them so, and loses nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import imagecodecs
import numpy as np

from dicom_core.representations import codestreams
from dicom_core.representations.codestreams import Codestream
from dicom_core.representations.images import Image, Undecodable, Unencodable

Coder: TypeAlias = Callable[[bytes, Image], tuple[bytes, Image]]
"""A frame in one encoding and its image → the frame in another, and what its image is there."""

Samples: TypeAlias = np.ndarray[Any, Any]

_YCBCR = frozenset({"YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_PARTIAL_422"})
_TRANSFORMED = frozenset({"YBR_RCT", "YBR_ICT"})
_ENCODED = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422"})
_END_OF_IMAGE, _PADDING = b"\xff\xd9", 64
_MAX_SEGMENTS = 15
_RLE_HEADER = struct.Struct("<16L")
_BASE_RESOLUTION = 64


def _decode_jpeg(frame: bytes, image: Image) -> tuple[bytes, Image]:
    header = codestreams.jpeg(frame)
    _agree(header, image)
    ycbcr = image.photometric_interpretation in _YCBCR if header.ycbcr is None else header.ycbcr
    colours = {}
    photometric = image.photometric_interpretation
    if header.components == 3 and not header.lossless:
        colours = {"colorspace": "YCBCR" if ycbcr else "RGB", "outcolorspace": "RGB"}
        photometric = "RGB"
    pixels = _decoded(imagecodecs.jpeg8_decode, frame, **colours)
    return _contained(pixels, header, image), _by_pixel(image, photometric)


def _decode_jpeg_ls(frame: bytes, image: Image) -> tuple[bytes, Image]:
    header = codestreams.jpeg(frame)
    _agree(header, image)
    if _END_OF_IMAGE not in frame[-_PADDING:]:
        raise Undecodable("the frame's JPEG-LS codestream is cut")  # CharLS would count to 2**32 to find out
    pixels = _decoded(imagecodecs.jpegls_decode, frame)
    return _contained(pixels, header, image), _by_pixel(image, image.photometric_interpretation)


def _decode_jpeg_2000(frame: bytes, image: Image) -> tuple[bytes, Image]:
    """Decode JPEG 2000, its high throughput kind too: OpenJPH would be faster, but is silent about damage."""
    frame = codestreams.unwrapped(frame)
    header = codestreams.jpeg2000(frame)
    _agree(header, image)
    photometric = image.photometric_interpretation
    if header.components == 3 and (header.ycbcr or photometric in _TRANSFORMED):
        photometric = "RGB"
    pixels = _decoded(imagecodecs.jpeg2k_decode, frame, planar=False)
    return _contained(pixels, header, image), _by_pixel(image, photometric)


def _decode_rle(frame: bytes, image: Image) -> tuple[bytes, Image]:
    """Decode RLE segments, the most significant bytes of each sample first (PS3.5 Annex G)."""
    width, samples, area = image.bits_allocated >> 3, image.samples_per_pixel, image.rows * image.columns
    count = width * samples
    if not width:
        raise Undecodable("compressed single bits cannot be decoded")
    if len(frame) < _RLE_HEADER.size or count > _MAX_SEGMENTS:
        raise Undecodable(
            "the frame has no RLE header, or one for fewer segments than its samples have bytes"
        )
    number, *offsets = _RLE_HEADER.unpack_from(frame)
    bounds = [*offsets[:count], len(frame)]
    if number != count or bounds[0] < _RLE_HEADER.size or bounds != sorted(bounds):
        raise Undecodable("the frame has other RLE segments than its samples have bytes")
    pixels = np.empty((area, samples, width), "u1")
    for segment in range(count):
        packed = frame[bounds[segment] : bounds[segment + 1]]
        plane = _decoded(imagecodecs.packbits_decode, packed, out=area)
        if len(plane) != area:
            raise Undecodable("an RLE segment of the frame ends before its image")
        pixels[:, segment // width, width - 1 - segment % width] = np.frombuffer(plane, "u1")
    return pixels.tobytes(), _by_pixel(image, image.photometric_interpretation)


def _by_pixel(image: Image, photometric: str) -> Image:
    """The image of decoded samples: those of a pixel are together, and each pixel has all of its own."""
    if photometric == "YBR_FULL_422":
        photometric = "YBR_FULL"
    return replace(image, photometric_interpretation=photometric, planar_configuration=0)


def _agree(header: Codestream, image: Image) -> None:
    """Refuse a codestream of another image than the data set describes."""
    if image.bits_allocated == 1:
        raise Undecodable("compressed single bits cannot be decoded")
    found = header.rows, header.columns, header.components
    if found != (image.rows, image.columns, image.samples_per_pixel) or image.samples_per_pixel > 3:
        raise Undecodable(
            "the frame's codestream has not the (0028,0010) Rows, (0028,0011) Columns and "
            "(0028,0002) Samples per Pixel of its data set"
        )
    if header.precision > image.bits_allocated:
        raise Undecodable("the frame's codestream has more bits than (0028,0100) Bits Allocated")


def _decoded(codec: Callable[..., Any], frame: bytes, **options: object) -> Any:
    try:
        return codec(frame, **options)
    except Exception as error:  # each codec has its own, and its text may quote the frame
        raise Undecodable(f"the frame cannot be decoded: {type(error).__name__}") from None


def _contained(pixels: Samples, header: Codestream, image: Image) -> bytes:
    """Decoded samples as the numbers that the data set says they are, in as many bits as it allocates.

    Codestreams may say less than data sets: JPEG and JPEG-LS know no sign, and some encoders of JPEG 2000 forgot it.
    """
    samples = pixels.astype(_type(image), copy=False)
    if header.signed != image.signed and (unused := image.bits_allocated - header.precision):
        samples = samples << unused >> unused
    return samples.tobytes()


def _type(image: Image) -> str:
    return f"<{'i' if image.signed else 'u'}{image.bits_allocated >> 3}"


def _encode_jpeg_2000(frame: bytes, image: Image) -> tuple[bytes, Image]:
    samples, native = _samples(frame, image, 16)
    colours = native.photometric_interpretation == "RGB"
    precision = _precision(samples, native)
    encoded = _encoded(
        imagecodecs.jpeg2k_encode,
        samples if precision > 8 else samples.astype(f"{samples.dtype.kind}1"),
        codecformat="J2K",
        reversible=True,
        planar=False,
        mct=colours,
        bitspersample=precision,
    )
    return encoded, replace(native, photometric_interpretation="YBR_RCT") if colours else native


def _encode_htj2k(frame: bytes, image: Image) -> tuple[bytes, Image]:
    """Encode as both lossless HTJ2K transfer syntaxes allow it.

    That of the progression RPCL wants the length of each tile part, and a base resolution of at most 64 rows or
    columns (PS3.5 10.18).
    """
    samples, native = _samples(frame, image, 16)
    colours = native.photometric_interpretation == "RGB"
    smaller = min(native.rows, native.columns)
    encoded = _encoded(
        imagecodecs.htj2k_encode,
        samples,
        reversible=True,
        planar=False,
        rgb=colours,
        tlm=True,
        resolutions=max(5, (-(-smaller // _BASE_RESOLUTION) - 1).bit_length()),
    )
    return encoded, replace(native, photometric_interpretation="YBR_RCT") if colours else native


def _encode_jpeg_ls(frame: bytes, image: Image) -> tuple[bytes, Image]:
    """Encode the bits of the samples: JPEG-LS knows no sign."""
    samples, native = _samples(frame, image, 16)
    bits = samples.view(f"<u{samples.itemsize}")
    encoded = _encoded(imagecodecs.jpegls_encode, bits, level=0, out=samples.nbytes * 2 + 4096)
    return codestreams.without_spiff(encoded), native


def _encode_rle(frame: bytes, image: Image) -> tuple[bytes, Image]:
    """Encode each byte of the samples as a segment, the most significant first, row by row (PS3.5 Annex G)."""
    samples, native = _samples(frame, image, 32)
    width = samples.itemsize
    if native.samples_per_pixel * width > _MAX_SEGMENTS:
        raise Unencodable("samples of so many bytes have no RLE encoding")
    planes = samples.reshape(*samples.shape[:2], -1)[..., None].view("u1")
    segments = []
    for sample in range(native.samples_per_pixel):
        for byte in reversed(range(width)):
            plane = planes[:, :, sample, byte].copy()
            packed = bytes(imagecodecs.packbits_encode(plane, axis=-1))
            segments.append(packed + b"\0" * (len(packed) % 2))
    offsets, at = [0] * _MAX_SEGMENTS, _RLE_HEADER.size
    for number, segment in enumerate(segments):
        offsets[number], at = at, at + len(segment)
    return b"".join([_RLE_HEADER.pack(len(segments), *offsets), *segments]), native


def _samples(frame: bytes, image: Image, most: int) -> tuple[Samples, Image]:
    """The samples of a native frame, those of a pixel together, and what image they are.

    Raises
    ------
    Unencodable
        They have no compressed form, or one of more than `most` bits each.
    """
    if image.floating or image.bits_allocated == 1:
        raise Unencodable("floating point numbers and single bits are not compressed")
    if image.bits_allocated > most:
        raise Unencodable(
            f"samples of {image.bits_allocated} bits are not compressed so, those of {most} are"
        )
    if image.photometric_interpretation not in _ENCODED or image.samples_per_pixel > 3:
        raise Unencodable("the (0028,0004) Photometric Interpretation has no compressed form")
    halved = image.photometric_interpretation == "YBR_FULL_422"
    if len(frame) < image.size or (halved and image.columns % 2):
        raise Unencodable("the frame is shorter than its image")
    samples = np.frombuffer(frame, _type(image), image.samples)
    if halved:
        return _full(samples, image), _by_pixel(image, "YBR_FULL")
    if image.samples_per_pixel == 1:
        return samples.reshape(image.rows, image.columns), image
    if image.planar_configuration == 1:
        planes = samples.reshape(image.samples_per_pixel, image.rows, image.columns)
        samples = planes.transpose(1, 2, 0).copy()
    return (
        samples.reshape(image.rows, image.columns, image.samples_per_pixel),
        _by_pixel(image, image.photometric_interpretation),
    )


def _full(samples: Samples, image: Image) -> Samples:
    """Give each pixel its own colour samples: native 4:2:2 is Y Y Cb Cr for two (PS3.3 C.7.6.3.1.2)."""
    pairs = samples.reshape(-1, 4)
    return pairs[:, [0, 2, 3, 1, 2, 3]].reshape(image.rows, image.columns, 3)


def _precision(samples: Samples, image: Image) -> int:
    """Bits Stored, if no sample needs more; some files keep other things in the bits above."""
    stored = image.bits_stored
    if image.high_bit != stored - 1:
        return image.bits_allocated
    low, high = (-1 << stored - 1, (1 << stored - 1) - 1) if image.signed else (0, (1 << stored) - 1)
    return stored if low <= samples.min() and samples.max() <= high else image.bits_allocated


def _encoded(codec: Callable[..., Any], samples: Samples, **options: object) -> bytes:
    try:
        return bytes(codec(samples, **options))
    except Exception as error:  # each codec has its own
        raise Unencodable(f"the frame cannot be encoded: {type(error).__name__}") from None


DECODERS: dict[str, Coder] = {
    "jpeg": _decode_jpeg,
    "jpeg-ls": _decode_jpeg_ls,
    "jpeg-2000": _decode_jpeg_2000,
    "rle": _decode_rle,
}
"""Decoders to native frames."""

ENCODERS: dict[str, Coder] = {
    "jpeg-ls": _encode_jpeg_ls,
    "jpeg-2000": _encode_jpeg_2000,
    "htj2k": _encode_htj2k,
    "rle": _encode_rle,
}
"""Encoders of native frames, all of them lossless."""
