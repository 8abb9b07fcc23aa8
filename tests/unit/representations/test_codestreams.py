"""Headers of compressed frames."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from dicom_core.representations import codestreams
from dicom_core.representations.codestreams import Codestream
from dicom_core.representations.images import Undecodable


def segment(marker: int, content: bytes) -> bytes:
    """A marker segment."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def frame_header(marker: int = 0xC0, ids: bytes = b"\1\2\3", precision: int = 8) -> bytes:
    """A frame header of 4 rows and 6 columns."""
    components = b"".join(bytes((one, 0x11, 0)) for one in ids)
    return segment(marker, struct.pack(">BHHB", precision, 4, 6, len(ids)) + components)


def adobe(transform: int) -> bytes:
    """The segment in which Adobe's encoders name their colour transform."""
    return segment(0xEE, b"Adobe" + bytes(6) + bytes([transform]))


JFIF = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
SCAN = segment(0xDA, bytes(6))


@pytest.mark.parametrize(
    ("segments", "ycbcr"),
    [
        ([frame_header()], None),
        ([JFIF, frame_header()], True),
        ([frame_header(ids=b"RGB")], False),
        ([JFIF, frame_header(ids=b"rgb")], False),
        ([adobe(0), frame_header()], False),
        ([adobe(1), frame_header()], True),
        ([frame_header(), adobe(1)], True),
        ([segment(0xEE, b"Adobe"), frame_header()], None),
        ([frame_header(ids=b"\1"), JFIF], None),
    ],
    ids=["nothing", "JFIF", "RGB", "rgb in JFIF", "Adobe 0", "Adobe 1", "behind", "cut", "gray"],
)
def test_colours_of_jpeg(segments: list[bytes], ycbcr: bool | None) -> None:
    """What the codestream says of its colours wins over the data set; where it says nothing that decides."""
    assert codestreams.jpeg(b"\xff\xd8" + b"".join(segments) + SCAN).ycbcr is ycbcr


def test_size_of_jpeg() -> None:
    """Fill bytes, parameterless markers and unknown segments before the frame header are passed over."""
    frame = (
        b"\xff\xd8" + b"\xff\xff\xff\x01" + segment(0xE5, b"\xff\xc0") + frame_header(0xC3, b"\1", 12) + SCAN
    )

    assert codestreams.jpeg(frame) == Codestream(4, 6, 1, 12, lossless=True)


def test_huffman_tables_are_no_frame_header() -> None:
    """DHT lies between the markers of frame headers."""
    frame = b"\xff\xd8" + segment(0xC4, bytes(20)) + frame_header() + SCAN

    assert codestreams.jpeg(frame).rows == 4


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\xd8", b"\xff\xd8" + SCAN, b"\xff\xd8" + frame_header()[:9], b"\0" * 40]
)
def test_frame_without_a_jpeg_header_is_refused(frame: bytes) -> None:
    """Whatever is cut or is something else."""
    with pytest.raises(Undecodable):
        codestreams.jpeg(frame)


def jpeg2000(shape: tuple[int, ...], kind: str, **options: object) -> bytes:
    """An encoded image of zeros."""
    zeros = np.zeros(shape, kind)
    return bytes(imagecodecs.jpeg2k_encode(zeros, codecformat="J2K", **options))


@pytest.mark.parametrize(
    ("frame", "wanted"),
    [
        (jpeg2000((4, 6), "u1"), Codestream(4, 6, 1, 8, False, True, False)),
        (jpeg2000((4, 6), "i2", bitspersample=12), Codestream(4, 6, 1, 12, True, True, False)),
        (jpeg2000((4, 6, 3), "u1", level=30, reversible=False), Codestream(4, 6, 3, 8, False, False, True)),
        (jpeg2000((4, 6, 3), "u1", mct=False), Codestream(4, 6, 3, 8, False, True, False)),
    ],
    ids=["gray", "signed", "lossy colours", "colours apart"],
)
def test_header_of_jpeg_2000(frame: bytes, wanted: Codestream) -> None:
    """Size, depth, sign, and whether wavelet and colours can be undone exactly."""
    assert codestreams.jpeg2000(frame) == wanted


def test_jpeg_2000_of_unlike_components_is_refused() -> None:
    """Subsampled components have no place in pixel data."""
    frame = bytearray(jpeg2000((4, 6, 3), "u1"))
    frame[46] = 2

    with pytest.raises(Undecodable, match="differ"):
        codestreams.jpeg2000(bytes(frame))


@pytest.mark.parametrize("length", [0, 4, 40, 44, 50])
def test_frame_without_a_jpeg_2000_header_is_refused(length: int) -> None:
    """Wherever it is cut."""
    with pytest.raises(Undecodable):
        codestreams.jpeg2000(jpeg2000((4, 6), "u1")[:length])


def test_jp2_file_is_unwrapped() -> None:
    """Some encoders put whole files into frames; the codestream is what counts."""
    zeros = np.zeros((4, 6), "u1")
    frame = bytes(imagecodecs.jpeg2k_encode(zeros, codecformat="JP2"))

    assert frame[4:8] == b"jP  "
    assert codestreams.jpeg2000(codestreams.unwrapped(frame)).rows == 4


@pytest.mark.parametrize("rest", [b"", b"\0\0\0\x08abcd", b"\0\0\0\x00abcd", b"\0\0\0\x01jp2"])
def test_jp2_file_without_a_codestream_is_refused(rest: bytes) -> None:
    """Boxes that end, or have no length."""
    with pytest.raises(Undecodable):
        codestreams.unwrapped(b"\0\0\0\x0cjP  \r\n\x87\n" + rest)


def test_spiff_header_is_removed() -> None:
    """What is left is the codestream that the encoder would have made without it."""
    encoded = bytes(imagecodecs.jpegls_encode(np.zeros((4, 6), "u1")))

    stripped = codestreams.without_spiff(encoded)

    assert b"SPIFF" in encoded
    assert stripped[:4] == b"\xff\xd8\xff\xf7"
    assert codestreams.without_spiff(stripped) == stripped
