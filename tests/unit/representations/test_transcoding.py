"""Frames decoded and encoded (PS3.5 8.2): pydicom's own pipeline is the oracle."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels import get_decoder

from dicom_core.representations import codestreams, transcoding
from dicom_core.representations.bulkdata import Inflater
from dicom_core.representations.frames import FrameTable, cut_bits
from dicom_core.representations.images import Image, Undecodable, Unencodable
from tests.unit.representations import samples

EXPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
RLE, DEFLATED_FRAMES = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
JPEG, JPEG_EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
HTJ2K, HTJ2K_RPCL = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.202"
COMPRESSED = (RLE, JPEG_LS, JPEG_2000, HTJ2K, HTJ2K_RPCL)

OF_OTHER_DECODERS = {
    "JPEGLSNearLossless_08.dcm": "0b5a5402665e10bb",
    "JPEGLSNearLossless_16.dcm": "b8090dca8578ccd0",
    "SC_rgb_jls_lossy_line.dcm": "0db62f6ba2edaca9",
    "SC_rgb_jls_lossy_sample.dcm": "0db62f6ba2edaca9",
    "SC_rgb_jpeg_gdcm.dcm": "0ab1cc8f93560952",
    "GDCMJ2K_TextGBR.dcm": "0d9505a2d19f463f",
    "MR_small_jpeg_ls_lossless.dcm": "4c20e1d84eaa4579",
}
"""Digests of the pixels that pydicom gets from CharLS, libjpeg, OpenJPEG and GDCM, which all agree."""

NOT_DECODED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "Rows",  # a delimiter was written over the codestream's size
    "SC_rgb_small_odd_big_endian.dcm": "big endian",
}
"""Frames that cannot be decoded alone, and what the refusal says."""

NO_ORACLE = {
    "JPEG-lossy.dcm",  # its scan begins with another coefficient than it should: other decoders refuse it
    "JPGExtended.dcm",  # 12 bits: see below
    "SC_ybr_full_422_uncompressed.dcm",  # stays 4:2:2, which pydicom does not
    "badVR.dcm",  # pydicom does not read its NumberOfFrames
    "meta_missing_tsyntax.dcm",  # their pixel data are described by nothing
    "nested_priv_SQ.dcm",
    *NOT_DECODED,
    *OF_OTHER_DECODERS,
}


def stored(path: Path) -> tuple[list[bytes], str, Image]:
    """The frames of a file, their transfer syntax, and what image they are."""
    content = path.read_bytes()
    layout = samples.read(content)
    if layout.header.transfer_syntax == "1.2.840.10008.1.2.1.99":
        inflater = Inflater()
        content = b"".join([*inflater.feed(content), *inflater.feed(b"")])
    image = Image.of(layout.header.dataset)
    numbers = range(1, min(layout.frames.count, 3) + 1)
    return (
        [one_of(content, layout.frames, number) for number in numbers],
        layout.header.transfer_syntax,
        image,
    )


def one_of(content: bytes, table: FrameTable, number: int) -> bytes:
    """A frame of a file."""
    frame = b"".join(content[start : start + length] for start, length in table.locate(number))
    return frame if table.aligned else cut_bits(frame, table.shift(number), table.bits)


def has_frames(path: Path) -> bool:
    """Say if the file has pixel data."""
    return samples.read(path.read_bytes()).frames.count > 0


WITH_FRAMES = [path for path in samples.FILES if has_frames(path)]


@pytest.mark.parametrize(
    "path", [path for path in WITH_FRAMES if path.name not in NO_ORACLE], ids=lambda path: path.name
)
def test_file_is_decoded_as_pydicom_does(path: Path) -> None:
    """The same bytes in the same colours, with every decoder that pydicom has here."""
    frames, transfer_syntax, image = stored(path)

    for index, frame in enumerate(frames):
        pixels, native = transcoding.decode(frame, transfer_syntax, image)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = samples.oracle(path)
            decoder = get_decoder(transfer_syntax)
            wanted, properties = decoder.as_array(dataset, index=index, raw=decoder.is_native)
        if native.bits_allocated == 1:
            got = np.unpackbits(np.frombuffer(pixels, "u1"), count=wanted.size, bitorder="little")
        else:
            got = np.frombuffer(pixels, wanted.dtype.newbyteorder("<"))
        if native.planar_configuration:
            wanted = wanted.transpose(2, 0, 1)
        assert np.array_equal(got, wanted.ravel())
        assert native.photometric_interpretation == properties["photometric_interpretation"]


@pytest.mark.parametrize(("name", "digest"), OF_OTHER_DECODERS.items())
def test_file_is_decoded_as_other_decoders_do(name: str, digest: str) -> None:
    """Where pydicom has no decoder here."""
    (frame,), transfer_syntax, image = stored(samples.path(name))

    pixels, native = transcoding.decode(frame, transfer_syntax, image)

    assert hashlib.blake2b(pixels, digest_size=8).hexdigest() == digest
    assert native.photometric_interpretation == ("RGB" if image.samples_per_pixel == 3 else "MONOCHROME2")


def test_extended_jpeg_of_twelve_bits() -> None:
    """Within the one step that the standard leaves decoders: some pixels as libjpeg has them."""
    (frame,), transfer_syntax, image = stored(samples.path("JPGExtended.dcm"))

    pixels, native = transcoding.decode(frame, transfer_syntax, image)

    got = np.frombuffer(pixels, "<u2").reshape(native.rows, native.columns).astype(int)
    assert [
        abs(got[at] - value) <= 1 for at, value in {(420, 140): 244, (230, 120): 95, (512, 128): 14}.items()
    ]
    assert abs(got[420, 140] - 244) + abs(got[230, 120] - 95) + abs(got[512, 128] - 14) <= 3


@pytest.mark.parametrize(("name", "reason"), NOT_DECODED.items())
def test_file_that_is_not_decoded(name: str, reason: str) -> None:
    """The refusal says why."""
    frames, transfer_syntax, image = stored(samples.path(name))

    with pytest.raises(Undecodable, match=reason):
        transcoding.decode(frames[0], transfer_syntax, image)


def test_native_colours_stay() -> None:
    """A native frame has the bytes that it had, 4:2:2 included."""
    (frame,), transfer_syntax, image = stored(samples.path("SC_ybr_full_422_uncompressed.dcm"))

    assert transcoding.decode(frame, transfer_syntax, image) == (frame, image)


@pytest.mark.parametrize(
    "transfer_syntax",
    ["1.2.840.10008.1.2.4.92", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.110", "1.2.3"],
)
def test_transfer_syntax_without_codec(transfer_syntax: str) -> None:
    """Neither decoded nor encoded; the refusal names it."""
    assert not transcoding.decodable(transfer_syntax)
    assert not transcoding.encodable(transfer_syntax)
    with pytest.raises(Undecodable, match=transfer_syntax):
        transcoding.decode(b"", transfer_syntax, Image(1, 1))
    with pytest.raises(Unencodable, match=transfer_syntax):
        transcoding.encode(b"", Image(1, 1), transfer_syntax)


def test_codecs_are_not_imported_to_ask() -> None:
    """What can be done is known without them: a worker that transcodes nothing does not pay for them."""
    code = (
        "import sys; from dicom_core.representations import conversion, transcoding;"
        f"assert transcoding.decodable('{JPEG}') and transcoding.encodable('{HTJ2K}');"
        "print('imagecodecs' in sys.modules)"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert answer.stdout == "False\n"


@st.composite
def pictures(draw: st.DrawFn) -> tuple[bytes, Image]:
    """Native frames of random shape, depth and sign; some have other things in the unused bits."""
    rows, columns = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    samples_per_pixel = draw(st.sampled_from([1, 3]))
    allocated = draw(st.sampled_from([8, 16]))
    bits, signed = draw(st.integers(1, allocated)), draw(st.booleans())
    photometric = draw(
        st.sampled_from(
            ["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"] if samples_per_pixel == 1 else ["RGB", "YBR_FULL"]
        )
    )
    image = Image(
        rows,
        columns,
        samples_per_pixel,
        allocated,
        bits,
        draw(st.sampled_from([bits - 1, allocated - 1])),
        int(signed),
        photometric,
        draw(st.integers(0, 1)) if samples_per_pixel == 3 else 0,
    )
    random = np.random.default_rng(draw(st.integers(0, 1 << 32)))
    used = draw(st.sampled_from([bits, allocated]))
    low, high = (-1 << used - 1, 1 << used - 1) if signed else (0, 1 << used)
    smooth = draw(st.booleans())
    values = random.integers(low, high, image.samples if not smooth else 1, dtype="i8")
    kind = f"<{'i' if signed else 'u'}{allocated // 8}"
    return np.resize(values, image.samples).astype(kind).tobytes(), image


def by_pixel(frame: bytes, image: Image) -> bytes:
    """The frame with the samples of each pixel together."""
    if not image.planar_configuration:
        return frame
    kind = f"<u{image.bits_allocated // 8}"
    return np.frombuffer(frame, kind).reshape(image.samples_per_pixel, -1).T.tobytes()


@pytest.mark.parametrize("transfer_syntax", COMPRESSED)
@settings(deadline=None)
@given(picture=pictures())
def test_frame_comes_back_bit_by_bit(transfer_syntax: str, picture: tuple[bytes, Image]) -> None:
    """Whatever the image, every bit of every sample does, those above Bits Stored included."""
    frame, image = picture

    encoded, compressed = transcoding.encode(frame, image, transfer_syntax)
    decoded, native = transcoding.decode(encoded, transfer_syntax, compressed)

    assert decoded == by_pixel(frame, image)
    assert native == replace(image, planar_configuration=0)


COLOURS = Image(40, 30, 3, 8, 8, 7, 0, "RGB")
NOISE = np.random.default_rng(7).integers(0, 256, COLOURS.samples, dtype="u1").tobytes()


@pytest.mark.parametrize(
    ("transfer_syntax", "photometric"),
    [(RLE, "RGB"), (JPEG_LS, "RGB"), (JPEG_2000, "YBR_RCT"), (HTJ2K, "YBR_RCT")],
)
def test_colours_of_an_encoded_frame(transfer_syntax: str, photometric: str) -> None:
    """JPEG 2000 transforms RGB and says so (PS3.5 8.2.4); what is decoded is RGB again."""
    encoded, compressed = transcoding.encode(NOISE, COLOURS, transfer_syntax)

    assert compressed.photometric_interpretation == photometric
    assert transcoding.decode(encoded, transfer_syntax, compressed) == (NOISE, COLOURS)


@pytest.mark.parametrize("transfer_syntax", COMPRESSED)
def test_halved_colours_are_made_whole(transfer_syntax: str) -> None:
    """Each pixel of native 4:2:2 gets the colours it shared: Y1 Y2 Cb Cr are two pixels (PS3.3 C.7.6.3.1.2)."""
    image = Image(1, 4, 3, 8, 8, 7, 0, "YBR_FULL_422")
    frame = bytes([1, 2, 101, 201, 3, 4, 102, 202])

    encoded, compressed = transcoding.encode(frame, image, transfer_syntax)
    decoded, native = transcoding.decode(encoded, transfer_syntax, compressed)

    assert native.photometric_interpretation == compressed.photometric_interpretation == "YBR_FULL"
    assert decoded == bytes([1, 101, 201, 2, 101, 201, 3, 102, 202, 4, 102, 202])


def test_samples_of_32_bits_in_rle() -> None:
    """RLE knows nothing of numbers but their bytes."""
    image = Image(5, 7, 1, 32, 32, 31)
    frame = np.random.default_rng(1).bytes(image.size)

    encoded, compressed = transcoding.encode(frame, image, RLE)

    assert compressed == image
    assert transcoding.decode(encoded, RLE, image) == (frame, image)


def test_rle_is_read_by_pydicom() -> None:
    """Its decoder is written from the standard alone, and checks the segments."""
    encoded, _ = transcoding.encode(NOISE, COLOURS, RLE)

    assert _pydicom(encoded, RLE, COLOURS) == NOISE


@pytest.mark.parametrize("stored_bits", [5, 12, 16])
def test_jpeg_2000_has_the_precision_of_bits_stored(stored_bits: int) -> None:
    """The codestream and the data set say the same (PS3.5 8.2.4)."""
    image = Image(3, 4, 1, 16, stored_bits, stored_bits - 1)

    encoded, _ = transcoding.encode(bytes(image.size), image, JPEG_2000)

    assert codestreams.jpeg2000(encoded).precision == stored_bits


@pytest.mark.parametrize(("side", "resolutions"), [(100, 5), (64 << 5, 5), ((64 << 5) + 1, 6)])
def test_htj2k_has_a_small_base_resolution(side: int, resolutions: int) -> None:
    """The progression is RPCL, tile parts have their lengths, and the base has at most 64 rows (PS3.5 10.18)."""
    image = Image(side, side, 1, 8, 8, 7)

    encoded, _ = transcoding.encode(bytes(image.size), image, HTJ2K_RPCL)

    coding = encoded.index(b"\xff\x52")
    assert (encoded[coding + 5], encoded[coding + 9]) == (2, resolutions)
    assert -(-side >> resolutions) <= 64
    assert b"\xff\x55" in encoded[: encoded.index(b"\xff\x90")]


@pytest.mark.parametrize("transfer_syntax", COMPRESSED)
@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"bits_allocated": 1, "bits_stored": 1, "high_bit": 0}, "single bits"),
        ({"bits_allocated": 32, "vr": "OF"}, "floating point"),
        ({"bits_allocated": 64, "bits_stored": 64}, "bits"),
        ({"photometric_interpretation": "HSV"}, "0028,0004"),
        ({"samples_per_pixel": 4, "photometric_interpretation": "RGB"}, "0028,0004"),
        ({"rows": 5}, "shorter"),
        ({"columns": 3, "samples_per_pixel": 3, "photometric_interpretation": "YBR_FULL_422"}, "shorter"),
    ],
)
def test_image_that_is_not_encoded(transfer_syntax: str, changed: dict[str, Any], reason: str) -> None:
    """The refusal says why."""
    image = replace(Image(4, 4), **changed)

    with pytest.raises(Unencodable, match=reason):
        transcoding.encode(bytes(32), image, transfer_syntax)


def test_jpeg_lossless_keeps_ycbcr() -> None:
    """Nothing that is reversible changes colours: only their transform within the compression is undone."""
    picture = np.frombuffer(NOISE, "u1").reshape(40, 30, 3)
    frame = bytes(imagecodecs.jpeg8_encode(picture, lossless=True, predictor=1, colorspace="RGB"))
    image = replace(COLOURS, photometric_interpretation="YBR_FULL_422")

    pixels, native = transcoding.decode(frame, "1.2.840.10008.1.2.4.70", image)

    assert pixels == NOISE
    assert native == replace(COLOURS, photometric_interpretation="YBR_FULL")


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
def test_jfif_marker_wins_over_photometric_interpretation(photometric: str) -> None:
    """A JFIF file holds YCbCr, whatever its data set says."""
    gray = np.full((16, 16, 3), (200, 100, 50), "u1")
    frame = bytes(imagecodecs.jpeg8_encode(gray, level=95, outcolorspace="YCBCR"))
    image = Image(16, 16, 3, 8, 8, 7, 0, photometric)

    pixels, native = transcoding.decode(frame, JPEG, image)

    assert b"JFIF" in frame
    assert native.photometric_interpretation == "RGB"
    assert np.abs(np.frombuffer(pixels, "u1").reshape(16, 16, 3).astype(int) - gray).max() <= 3


def test_eight_bits_in_sixteen() -> None:
    """A codestream of 8 bits fills the samples that the data set allocates."""
    encoded, _ = transcoding.encode(bytes(range(12)), Image(3, 4, 1, 8, 8, 7), JPEG_2000)

    pixels, native = transcoding.decode(encoded, JPEG_2000, Image(3, 4, 1, 16, 8, 7))

    assert np.frombuffer(pixels, "<u2").tolist() == list(range(12))
    assert native.bits_allocated == 16


@pytest.mark.parametrize("transfer_syntax", [JPEG_LS, JPEG_2000])
def test_sign_that_the_codestream_does_not_say(transfer_syntax: str) -> None:
    """The highest bit of its precision is the sign, if the data set says there is one."""
    unsigned = Image(1, 4, 1, 8, 8, 7)
    encoded, _ = transcoding.encode(bytes([0, 1, 128, 255]), unsigned, transfer_syntax)

    pixels, _ = transcoding.decode(encoded, transfer_syntax, Image(1, 4, 1, 16, 8, 7, 1))

    assert np.frombuffer(pixels, "<i2").tolist() == [0, 1, -128, -1]


def test_sign_that_the_data_set_does_not_say() -> None:
    """Numbers that were encoded as negative have their bits, and no more."""
    signed = Image(1, 4, 1, 16, 12, 11, 1)
    encoded, _ = transcoding.encode(np.array([0, 1, -1, -2048], "<i2").tobytes(), signed, JPEG_2000)

    pixels, _ = transcoding.decode(encoded, JPEG_2000, replace(signed, pixel_representation=0))

    assert np.frombuffer(pixels, "<u2").tolist() == [0, 1, 0xFFF, 0x800]


@pytest.mark.parametrize(
    ("image", "frame", "wanted"),
    [
        (Image(1, 2, 1, 16), b"\1\2\3\4", b"\2\1\4\3"),
        (Image(1, 2, 1, 32, 32, 31), b"\1\2\3\4\5\6\7\x08", b"\4\3\2\1\x08\7\6\5"),
        (Image(1, 1, 1, 64, 64, 63, vr="OD"), bytes(range(8)), bytes(reversed(range(8)))),
        (Image(1, 4, 1, 8, 8, 7, vr="OB"), b"\1\2\3\4", b"\1\2\3\4"),
        (Image(1, 4, 1, 8, 8, 7, vr="OW"), b"\2\1\4\3", b"\1\2\3\4"),
    ],
    ids=["16", "32", "double", "bytes", "bytes in words"],
)
def test_big_endian(image: Image, frame: bytes, wanted: bytes) -> None:
    """Numbers are turned around, and words where bytes were written as such (PS3.5 8.1.1)."""
    assert transcoding.decode(frame, BIG, image) == (wanted, image)


def test_deflated_frame() -> None:
    """Deflated Image Frame Compression: each frame is a deflated stream (PS3.5 8.2.15)."""
    image = Image(3, 7, 1, 1, 1, 0)
    compressor = zlib.compressobj(9, wbits=-15)
    frame = compressor.compress(b"\1\2\3") + compressor.flush()

    assert transcoding.decode(frame, DEFLATED_FRAMES, image) == (b"\1\2\3", image)


@pytest.mark.parametrize(
    "transfer_syntax", [*COMPRESSED, JPEG, JPEG_EXTENDED, DEFLATED_FRAMES, EXPLICIT, BIG]
)
@pytest.mark.parametrize(
    "frame", [b"", b"\0" * 70, b"\xff\xd8\xff\xd9", b"\xff" * 500], ids=["", "0", "JPEG", "1"]
)
def test_frame_that_is_something_else_is_refused(transfer_syntax: str, frame: bytes) -> None:
    """Whatever it is, it is refused."""
    with pytest.raises(Undecodable):
        transcoding.decode(frame, transfer_syntax, Image(30, 30))


@pytest.mark.parametrize("transfer_syntax", COMPRESSED)
@settings(deadline=None)
@given(data=st.data())
def test_damaged_frame_is_decoded_or_refused(transfer_syntax: str, data: st.DataObject) -> None:
    """What was cut or changed within a frame gives pixels of the right size, or a refusal, and nothing else."""
    image = Image(9, 11)
    frame = bytearray(transcoding.encode(bytes(range(198)), image, transfer_syntax)[0])
    frame[data.draw(st.integers(0, len(frame) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(len(frame) // 2, len(frame)))

    try:
        pixels, _ = transcoding.decode(bytes(frame[:cut]), transfer_syntax, image)
    except Undecodable:
        return

    assert len(pixels) == image.size


@pytest.mark.parametrize("filler", [b"", b"\0", b"\xff"])
def test_jpeg_ls_may_be_filled_up(filler: bytes) -> None:
    """What follows the end of the image does not matter; that it ends is asked before it is decoded."""
    encoded, compressed = transcoding.encode(NOISE, COLOURS, JPEG_LS)

    assert transcoding.decode(encoded + filler, JPEG_LS, compressed)[0] == NOISE
    with pytest.raises(Undecodable, match="cut"):
        transcoding.decode(encoded[:-2] + filler, JPEG_LS, compressed)


@pytest.mark.parametrize(
    ("offset", "value"), [(0, 3), (4, 65), (8, 1 << 20)], ids=["number", "first", "beyond the end"]
)
def test_rle_header_that_is_wrong_is_refused(offset: int, value: int) -> None:
    """Segments lie one behind the other within the frame (PS3.5 G.5)."""
    image = Image(3, 4)
    encoded = bytearray(transcoding.encode(bytes(range(24)), image, RLE)[0])
    encoded[offset : offset + 4] = value.to_bytes(4, "little")

    with pytest.raises(Undecodable, match=r"RLE|ImcdError"):
        transcoding.decode(bytes(encoded), RLE, image)


@pytest.mark.parametrize("transfer_syntax", [RLE, JPEG_LS, JPEG_2000, HTJ2K])
@pytest.mark.parametrize(
    "changed",
    [{"rows": 31}, {"columns": 20}, {"samples_per_pixel": 1}, {"bits_allocated": 1, "bits_stored": 1}],
)
def test_frame_of_another_image_is_refused(transfer_syntax: str, changed: dict[str, int]) -> None:
    """Before its pixels are decoded, where its codestream says what it is."""
    encoded, compressed = transcoding.encode(NOISE, COLOURS, transfer_syntax)

    with pytest.raises(Undecodable):
        transcoding.decode(encoded, transfer_syntax, replace(compressed, **changed))


def _pydicom(frame: bytes, transfer_syntax: str, image: Image) -> bytes:
    """What pydicom decodes a frame to."""
    pixels, _ = get_decoder(transfer_syntax).as_array(
        pydicom.encaps.encapsulate([frame]),
        raw=True,
        rows=image.rows,
        columns=image.columns,
        samples_per_pixel=image.samples_per_pixel,
        bits_allocated=image.bits_allocated,
        bits_stored=image.bits_stored,
        number_of_frames=1,
        photometric_interpretation=image.photometric_interpretation,
        pixel_representation=image.pixel_representation,
        planar_configuration=image.planar_configuration,
        pixel_keyword="PixelData",
    )
    return bytes(pixels.tobytes())
