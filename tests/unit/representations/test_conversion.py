"""Instances in other transfer syntaxes: the file that pydicom reads is the instance that was stored."""

from __future__ import annotations

import io
import struct
import tracemalloc
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicom_core.representations import conversion, transcoding
from dicom_core.representations.bulkdata import Inflater
from dicom_core.representations.conversion import Conversion, Parts
from dicom_core.representations.images import Undecodable, Unencodable
from dicom_core.representations.instances import is_deflated
from tests.unit.representations import samples
from tests.unit.representations.samples import SEQUENCE_END, UNDEFINED, element, instance, item

EXPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
RLE, JPEG_LS, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90"
HTJ2K, DEFLATED_FRAMES = "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.8.1"
PIXEL_DATA = 0x7FE00010
OFFSETS = {"7FE00001", "7FE00002"}

NOT_CONVERTED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "Rows",
}
"""Files that cannot be decoded, and what the refusal says."""


def transcoded(
    head: bytes,
    transfer_syntax: str,
    target: str,
    parts: conversion.Parts,
    pieces: Iterable[bytes] = (),
    tail: bytes = b"",
) -> Iterator[bytes]:
    """Yield the file of an instance in another transfer syntax; see `Conversion`."""
    converting = conversion.Conversion(head, transfer_syntax, target, parts)
    for piece in pieces:
        if converted := converting.pixels(piece):
            yield converted
    yield converting.finish(tail)


def converted(content: bytes, target: str, size: int = 777) -> bytes:
    """A stored file in another transfer syntax; native pixel data are handed over in pieces of a size."""
    layout = samples.read(content)
    transfer_syntax = layout.header.transfer_syntax
    if is_deflated(transfer_syntax):
        inflater = Inflater()
        content = b"".join([*inflater.feed(content), *inflater.feed(b"")])
    parts = Parts.of(layout.bulkdata, layout.frames)
    head, tail = content[: parts.head], b"" if parts.tail is None else content[parts.tail :]
    if parts.frames.encapsulated:
        numbers = range(1, parts.frames.count + 1)
        pieces = [
            b"".join(content[start : start + length] for start, length in parts.frames.locate(number))
            for number in numbers
        ]
    else:
        value = b"" if parts.head is None else content[parts.head : parts.tail]
        pieces = [value[at : at + size] for at in range(0, len(value), size)]
    return b"".join(transcoded(head, transfer_syntax, target, parts, pieces, tail))


def read(content: bytes) -> pydicom.Dataset:
    """A file as pydicom reads it, its file meta information included."""
    return pydicom.dcmread(io.BytesIO(content))


def attributes(dataset: pydicom.Dataset) -> dict[str, Any]:
    """All of a data set but its pixels, offset tables and group lengths."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoded = dataset.to_json_dict(bulk_data_threshold=1 << 40, suppress_invalid_tags=True)
    left_out = OFFSETS | {"7FE00010"}
    return {key: value for key, value in encoded.items() if key not in left_out and key[4:] != "0000"}


@pytest.mark.parametrize(
    "path", [path for path in samples.FILES if path.name not in NOT_CONVERTED], ids=lambda path: path.name
)
def test_file_as_explicit_vr_little_endian(path: Path) -> None:
    """Every attribute has the value that it had, but for the colours of what is decoded."""
    content = path.read_bytes()

    got = read(converted(content, EXPLICIT))

    wanted = samples.oracle(path)
    changed = {"00280004", "00280006"} if samples.read(content).frames.encapsulated else set()
    assert got.file_meta.TransferSyntaxUID == EXPLICIT
    assert got.file_meta.MediaStorageSOPInstanceUID == wanted.get("SOPInstanceUID", "")
    have, want = attributes(got), attributes(wanted)
    assert {key: have[key] for key in have if key not in changed} == {
        key: want[key] for key in want if key not in changed
    }


PIXELS = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_padded.dcm",
    "693_J2KI.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_palette.dcm",
    "examples_overlay.dcm",
    "examples_ybr_color.dcm",
    "examples_jpeg2k.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "liver_expb_1frame.dcm",
    "rtdose.dcm",
    "rtdose_expb.dcm",
    "rtdose_rle.dcm",
]
"""A file of each kind, that pydicom decodes."""


NOT_ENCODED = {
    *(
        (name, target)
        for name in ("liver_1frame.dcm", "liver_expb_1frame.dcm")
        for target in (RLE, JPEG_2000)
    ),
    *((name, JPEG_2000) for name in ("rtdose.dcm", "rtdose_expb.dcm", "rtdose_rle.dcm")),
}
"""Single bits, and samples of 32 bits."""

NOT_READ = {("SC_rgb_rle_16bit_2frame.dcm", JPEG_2000)}
"""What pydicom has no decoder for here: colours of 16 bits."""


@pytest.mark.parametrize(
    ("name", "target"),
    [
        (name, target)
        for name in PIXELS
        for target in (EXPLICIT, RLE, JPEG_2000)
        if (name, target) not in NOT_ENCODED | NOT_READ
    ],
)
def test_file_has_the_same_pixels(name: str, target: str) -> None:
    """As pydicom sees them: what it decodes of the result is what it decodes of the file."""
    path = samples.path(name)

    got = read(converted(path.read_bytes(), target))

    assert got.file_meta.TransferSyntaxUID == target
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(got.pixel_array, samples.oracle(path).pixel_array)


@pytest.mark.parametrize(("name", "target"), sorted(NOT_ENCODED))
def test_file_that_cannot_be_encoded(name: str, target: str) -> None:
    """It fails before anything of it has been given out."""
    with pytest.raises(Unencodable, match="bits"):
        converted(samples.named(name), target)


@pytest.mark.parametrize(("name", "reason"), NOT_CONVERTED.items())
def test_file_that_cannot_be_decoded(name: str, reason: str) -> None:
    """It fails before anything of it has been given out."""
    with pytest.raises(Undecodable, match=reason):
        converted(samples.named(name), EXPLICIT)


def number(tag: int, *values: int) -> bytes:
    """An element of VR US."""
    return element(tag, "US", struct.pack(f"<{len(values)}H", *values))


def image(
    pixels: bytes,
    *behind: bytes,
    rows: int = 3,
    columns: int = 4,
    bits: int = 16,
    count: int | None = None,
    samples_per_pixel: int = 1,
    photometric: bytes = b"MONOCHROME2 ",
    planar: int | None = None,
) -> list[bytes]:
    """The elements of an image."""
    return [
        element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.7\0"),
        element(0x00080018, "UI", b"1.2.3\0"),
        element(0x0020000D, "UI", b"1.2\0"),
        element(0x0020000E, "UI", b"1.4\0"),
        number(0x00280002, samples_per_pixel),
        element(0x00280004, "CS", photometric),
        b"" if planar is None else number(0x00280006, planar),
        b"" if count is None else element(0x00280008, "IS", b"%d " % count),
        number(0x00280010, rows),
        number(0x00280011, columns),
        number(0x00280100, bits),
        number(0x00280101, bits),
        number(0x00280102, bits - 1),
        number(0x00280103, 0),
        pixels,
        *behind,
    ]


def native(value: bytes, *behind: bytes, vr: str = "OW", **described: Any) -> bytes:
    """A file of native pixel data."""
    return instance(*image(element(PIXEL_DATA, vr, value), *behind, **described))


def encapsulated(
    fragments: list[bytes],
    syntax: str,
    *behind: bytes,
    offsets: bytes = b"",
    before: bytes = b"",
    **described: Any,
) -> bytes:
    """A file of fragments."""
    value = b"".join([item(offsets), *map(item, fragments), SEQUENCE_END])
    pixels = before + element(PIXEL_DATA, "OB", value, UNDEFINED)
    return instance(*image(pixels, *behind, **described), syntax=syntax)


def encoded(frames: list[bytes], syntax: str, content: bytes) -> list[bytes]:
    """Frames in a transfer syntax, as the image of a file describes them."""
    described = conversion.Image.of(samples.read(content).header.dataset)
    return [transcoding.encode(frame, described, syntax)[0] for frame in frames]


FRAMES = [np.random.default_rng(seed).bytes(24) for seed in range(3)]
NATIVE = native(b"".join(FRAMES), count=3)


@pytest.mark.parametrize("target", [RLE, JPEG_LS, JPEG_2000, HTJ2K])
@pytest.mark.parametrize("size", [1, 5, 24, 25, 1000])
def test_pieces_of_any_size(target: str, size: int) -> None:
    """However native pixel data are cut, each frame becomes one fragment of even length behind an empty table."""
    layout = samples.read(got := converted(NATIVE, target, size))

    assert (layout.frames.count, len(layout.frames.lengths)) == (3, 3)
    assert all(length % 2 == 0 for length in layout.frames.lengths)
    assert got[layout.bulkdata["7FE00010"][0] :][:8] == item(b"")
    assert got.endswith(SEQUENCE_END)
    assert converted(got, EXPLICIT).endswith(b"".join(FRAMES))


def test_first_frame_brings_the_head() -> None:
    """Nothing is given out before a frame could be converted; what comes then is the file up to it."""
    layout = samples.read(NATIVE)
    parts = Parts.of(layout.bulkdata, layout.frames)
    made = Conversion(NATIVE[: parts.head], EXPLICIT, RLE, parts)

    given = [made.pixels(FRAMES[0][:10]), made.pixels(FRAMES[0][10:]), made.pixels(FRAMES[1])]

    assert given[0] == b""
    assert given[1][128:132] == b"DICM"
    assert given[2].startswith(b"\xfe\xff\x00\xe0")


def test_several_fragments_of_a_frame_become_one() -> None:
    """By the Basic Offset Table of the stored file."""
    first, second = encoded(FRAMES[:2], RLE, native(b"".join(FRAMES[:2]), count=2))
    offsets = struct.pack("<2L", 0, len(first) + 16)
    content = encapsulated([first[:66], first[66:], second], RLE, offsets=offsets, count=2)

    got = converted(content, JPEG_LS)

    assert len(samples.read(got).frames.lengths) == 2
    assert converted(got, EXPLICIT).endswith(FRAMES[0] + FRAMES[1])


def test_extended_offset_table_is_left_out() -> None:
    """It would be wrong: it says where the fragments were (PS3.3 C.7.6.3.1.8)."""
    fragments = encoded(FRAMES, JPEG_LS, NATIVE)
    even = [one + b"\0" * (len(one) % 2) for one in fragments]
    starts = [sum(len(one) + 8 for one in even[:at]) for at in range(3)]
    tables = element(0x7FE00001, "OV", struct.pack("<3Q", *starts)) + element(
        0x7FE00002, "OV", struct.pack("<3Q", *map(len, fragments))
    )
    content = encapsulated(even, JPEG_LS, before=tables, count=3)

    for target in (EXPLICIT, RLE):
        got = converted(content, target)
        assert not OFFSETS & samples.read(got).header.dataset.keys()
    assert converted(content, EXPLICIT).endswith(b"".join(FRAMES))


def test_number_of_frames_may_be_absent() -> None:
    """Then there is one."""
    got = converted(native(FRAMES[0]), RLE)

    assert converted(got, EXPLICIT).endswith(FRAMES[0])
    assert "00280008" not in samples.read(got).header.dataset


def test_planes_become_pixels() -> None:
    """Compression puts the samples of a pixel together, and Planar Configuration says so."""
    planes = bytes(range(36))
    content = native(
        planes, rows=3, columns=4, bits=8, samples_per_pixel=3, photometric=b"RGB ", planar=1, vr="OB"
    )

    got = read(converted(content, RLE))

    assert got.PlanarConfiguration == 0
    assert np.array_equal(got.pixel_array.ravel(), np.frombuffer(planes, "u1").reshape(3, -1).T.ravel())


def test_planar_configuration_that_is_missing_is_added() -> None:
    """In its place: images of several samples must have it (PS3.3 C.7.6.3.1.3)."""
    content = native(bytes(36), bits=8, samples_per_pixel=3, photometric=b"RGB ", vr="OB")

    assert read(converted(content, JPEG_LS)).PlanarConfiguration == 0


def test_photometric_interpretation_follows_the_codec() -> None:
    """RGB is YBR_RCT in JPEG 2000, and RGB again when it is decoded."""
    content = native(bytes(36), bits=8, samples_per_pixel=3, photometric=b"RGB ", planar=0, vr="OB")

    compressed = converted(content, JPEG_2000)

    assert read(compressed).PhotometricInterpretation == "YBR_RCT"
    assert read(converted(compressed, EXPLICIT)).PhotometricInterpretation == "RGB"


@pytest.mark.parametrize(("bits", "vr"), [(8, "OB"), (16, "OW")])
def test_vr_of_decoded_pixel_data(bits: int, vr: str) -> None:
    """OB for up to 8 bits, OW beyond (PS3.5 A.2); an odd length is filled up (PS3.5 7.1.1)."""
    value = bytes(range(15 * bits // 8))
    stored = native(value + b"\0" * (len(value) % 2), rows=3, columns=5, bits=bits, vr=vr)

    got = converted(converted(stored, RLE), EXPLICIT)

    assert got.endswith(element(PIXEL_DATA, vr, value + b"\0" * (len(value) % 2)))


def test_native_pixel_data_of_odd_length_are_filled_up() -> None:
    """Some files have them."""
    content = native(bytes(range(15)), rows=3, columns=5, bits=8, vr="OB")

    assert converted(content, EXPLICIT).endswith(element(PIXEL_DATA, "OB", bytes(range(15)) + b"\0"))


def test_native_pixel_data_need_no_description() -> None:
    """What is copied is not understood: floating point numbers, or bits that no codec knows."""
    floats = element(0x7FE00008, "OF", struct.pack("<3f", 1, 2, 3))
    content = samples.implicit(0x0020000E, b"1.4\0") + samples.implicit(0x7FE00008, floats[12:])

    got = converted(instance(content, syntax="1.2.840.10008.1.2"), EXPLICIT)

    assert got.endswith(floats)


def test_floating_point_of_big_endian_is_turned() -> None:
    """Double Float Pixel Data have 64 bits."""
    described = b"".join(
        samples.element(tag, "US", struct.pack(">H", value), order=">")
        for tag, value in ((0x00280010, 1), (0x00280011, 2), (0x00280100, 64))
    )
    pixels = samples.element(0x7FE00009, "OD", struct.pack(">2d", 1.5, -2), order=">")

    got = converted(instance(described + pixels, syntax=BIG), EXPLICIT, 5)

    assert got.endswith(element(0x7FE00009, "OD", struct.pack("<2d", 1.5, -2)))


@pytest.mark.parametrize("target", [EXPLICIT, RLE])
@pytest.mark.parametrize("source", [EXPLICIT, JPEG_LS])
def test_elements_behind_pixel_data_are_kept(source: str, target: str) -> None:
    """Whatever stands on either side of them."""
    behind = element(0xFFFCFFFC, "OB", b"\1\2")
    content = (
        native(FRAMES[0], behind)
        if source == EXPLICIT
        else encapsulated(encoded(FRAMES[:1], JPEG_LS, native(FRAMES[0])), JPEG_LS, behind)
    )

    assert converted(content, target).endswith(behind)


def test_implicit_elements_behind_pixel_data_get_their_vr() -> None:
    """Like those before."""
    content = samples.implicit(PIXEL_DATA, b"\1\2") + samples.implicit(0xFFFCFFFC, b"\3\4") + bytes(6)

    got = converted(
        instance(samples.implicit(0x00280100, b"\x10\0") + content, syntax="1.2.840.10008.1.2"), EXPLICIT
    )

    assert got.endswith(element(PIXEL_DATA, "OW", b"\1\2") + element(0xFFFCFFFC, "OB", b"\3\4"))


def test_icon_stays_as_it_is() -> None:
    """Its pixels are not those of the instance (PS3.3 C.7.6.1.1.6)."""
    icon = element(PIXEL_DATA, "OB", item(b"") + item(b"\1\2") + SEQUENCE_END, UNDEFINED)
    sequence = element(0x00880200, "SQ", item(icon))
    fragments = encoded(FRAMES[:1], JPEG_LS, native(FRAMES[0]))
    content = encapsulated(fragments, JPEG_LS, before=sequence)

    assert sequence in converted(content, EXPLICIT)


def test_instance_without_pixel_data() -> None:
    """Its data set is re-encoded; there is nothing that could be compressed."""
    content = samples.named("rtplan.dcm")

    assert attributes(read(converted(content, EXPLICIT))) == attributes(
        samples.oracle(samples.path("rtplan.dcm"))
    )
    with pytest.raises(Unencodable, match="7FE0,0010"):
        converted(content, RLE)


def test_empty_pixel_data_stay_empty() -> None:
    """An element without a value is one like any other."""
    assert converted(native(b""), EXPLICIT).endswith(element(PIXEL_DATA, "OW", b""))


def test_file_meta_information() -> None:
    """It is this service's: nothing of what was there before says anything of these bytes (PS3.10 7.1)."""
    meta = read(converted(b"II*\0" + NATIVE[4:], EXPLICIT)).file_meta

    assert meta.MediaStorageSOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.ImplementationClassUID == conversion.IMPLEMENTATION_CLASS
    assert meta.ImplementationVersionName == conversion.IMPLEMENTATION_VERSION
    assert converted(b"II*\0" + NATIVE[4:], EXPLICIT)[:128] == bytes(128)


@pytest.mark.parametrize(
    ("content", "target", "error", "reason"),
    [
        (
            encapsulated([b"\1\2"] * 2, "1.2.840.10008.1.2.4.102"),
            EXPLICIT,
            Undecodable,
            "1.2.840.10008.1.2.4.102",
        ),
        (NATIVE, "1.2.840.10008.1.2.4.50", Unencodable, "1.2.840.10008.1.2.4.50"),
        (encapsulated([b"\1\2"] * 5, RLE, count=3), EXPLICIT, Undecodable, "told apart"),
        (native(bytes(20), count=3), RLE, Undecodable, "length"),
        (
            instance(samples.implicit(0, bytes(4)), *image(element(PIXEL_DATA, "OW", FRAMES[0]))),
            EXPLICIT,
            Undecodable,
            "0000",
        ),
        (
            encapsulated([b"\1\2"] * 2, DEFLATED_FRAMES, rows=3, columns=5, bits=1, count=2),
            EXPLICIT,
            Undecodable,
            "single bits",
        ),
    ],
    ids=["no decoder", "no encoder", "no frames", "too short", "command set", "single bits"],
)
def test_instance_that_cannot_be_converted(
    content: bytes, target: str, error: type[Exception], reason: str
) -> None:
    """The refusal says why."""
    with pytest.raises(error, match=reason):
        converted(content, target)


@pytest.mark.parametrize("target", [EXPLICIT, RLE])
def test_pixel_data_that_are_missing_are_noticed(target: str) -> None:
    """A file that is too short is never ended as if it were whole."""
    layout = samples.read(NATIVE)
    parts = Parts.of(layout.bulkdata, layout.frames)
    made = Conversion(NATIVE[: parts.head], EXPLICIT, target, parts)
    made.pixels(FRAMES[0] + FRAMES[1])

    with pytest.raises(Undecodable, match="not all"):
        made.finish()


def test_header_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in memory as a whole."""
    monkeypatch.setattr(conversion, "MAX_HEADER", 300)

    with pytest.raises(Undecodable, match="300"):
        converted(NATIVE, EXPLICIT)


@pytest.mark.parametrize("target", [EXPLICIT, RLE])
def test_memory_does_not_grow_with_the_number_of_frames(target: str) -> None:
    """One frame and what becomes of it are held."""
    count, size = 200, 1 << 16
    head = native(b"", rows=256, columns=256, bits=8, count=count, vr="OB")[:-12]
    head += element(PIXEL_DATA, "OB", b"", count * size)
    table = conversion.FrameTable(count, offset=len(head), bits=size * 8)
    parts = Parts(len(head), count * size, table)

    def pieces() -> Iterator[bytes]:
        for _ in range(count):
            yield bytes(size)

    converted(NATIVE, target)
    tracemalloc.start()
    length = sum(map(len, transcoded(head, EXPLICIT, target, parts, pieces())))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert length > count * 500
    assert peak < 10 * size
