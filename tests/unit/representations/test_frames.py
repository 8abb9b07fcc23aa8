"""Where frames lie (PS3.5 8, A.4)."""

from __future__ import annotations

import struct
import sys
import tracemalloc
from array import array
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import generate_frames
from pydicom.pixels.utils import pack_bits, unpack_bits

from dicom_core.representations import frames
from dicom_core.representations.frames import Cutter, Fragments, FrameTable
from tests.unit.representations import samples
from tests.unit.representations.samples import UNDEFINED, element, instance, item

BIG = 0x7FE00010


def pixels(
    *fragments: bytes, offsets: bytes = b"", count: int = 1, before: bytes = b"", end: bytes = b""
) -> bytes:
    """An instance of encapsulated pixel data."""
    value = item(offsets) + b"".join(map(item, fragments)) + (end or samples.SEQUENCE_END)
    number = str(count).encode()
    frames_element = element(0x00280008, "IS", number + b" " * (len(number) % 2))
    return instance(
        frames_element, before, element(BIG, "OB", value, UNDEFINED), syntax="1.2.840.10008.1.2.4.50"
    )


def cut(content: bytes, table: FrameTable) -> list[bytes]:
    """All frames of an instance."""
    ranges = [table.locate(frame) for frame in range(1, table.count + 1)]
    return [b"".join(content[start : start + length] for start, length in frame) for frame in ranges]


@pytest.mark.parametrize("path", samples.ENCAPSULATED, ids=[path.name for path in samples.ENCAPSULATED])
def test_frames_of_encapsulated_files(path: Path) -> None:
    """The frames are those that pydicom finds."""
    dataset = samples.oracle(path)
    expected = (
        list(generate_frames(dataset.PixelData, number_of_frames=int(dataset.get("NumberOfFrames", 1))))
        if "PixelData" in dataset
        else []
    )

    assert cut(path.read_bytes(), samples.read(path.read_bytes()).frames) == expected


JPEG = (b"\xff\xd8 one \xff\xd9", b"\xff\xd8 two ", b"of two\xff\xd9\0\0", b"\xff\xd8 three\xff\xd9")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (pixels(b"ab", b"cd", count=2), [b"ab", b"cd"]),
        (pixels(b"ab", b"cd", count=1), [b"abcd"]),
        (pixels(b"ab", b"cd", b"ef", offsets=struct.pack("<2I", 0, 20), count=2), [b"abcd", b"ef"]),
        (pixels(*JPEG, count=3), [JPEG[0], JPEG[1] + JPEG[2], JPEG[3]]),
        (pixels(*JPEG[:3], b"no marker", count=3), [JPEG[0], JPEG[1] + JPEG[2], b"no marker"]),
        (pixels(*JPEG, offsets=struct.pack("<3I", 0, 5, 9), count=3), [JPEG[0], JPEG[1] + JPEG[2], JPEG[3]]),
    ],
    ids=[
        "one fragment each",
        "one frame",
        "offset table",
        "markers",
        "last without marker",
        "wrong offset table",
    ],
)
def test_frames_of_fragments(content: bytes, expected: list[bytes]) -> None:
    """The first source that is consistent tells the frames apart (PS3.5 A.4)."""
    assert cut(content, samples.read(content).frames) == expected


@pytest.mark.parametrize("offsets", [(4, 20), (0, 0), (0, 11), (0, 30), (20, 0)])
def test_frames_of_a_wrong_offset_table(offsets: tuple[int, int]) -> None:
    """A Basic Offset Table that does not name fragments in their order tells nothing (PS3.5 A.4)."""
    content = pixels(b"ab", b"cd", b"ef", offsets=struct.pack("<2I", *offsets), count=2)

    assert samples.read(content).frames.count == 0


def test_frames_of_an_offset_table_in_big_endian() -> None:
    """The table is written in the byte order of its data set."""
    fragments = Fragments(0, lengths=array("I", [2, 2, 2]), basic_offsets=struct.pack(">2I", 0, 20))
    dataset = {"00280008": {"vr": "IS", "Value": [2]}}

    assert list(frames.encapsulated(fragments, dataset, None, little=False).counts) == [2, 1]


def test_frames_of_many_fragments() -> None:
    """What is kept of a fragment while frames are told apart is a few bytes."""
    number = 200_000
    lengths, offsets = array("I", [2]) * number, array("I", range(0, number * 10, 10))
    fragments = Fragments(0, lengths=lengths + array("I", [2]), basic_offsets=offsets.tobytes())
    dataset = {"00280008": {"vr": "IS", "Value": [number]}}
    tracemalloc.start()

    table = frames.encapsulated(fragments, dataset, None, little=sys.byteorder == "little")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (table.count, table.counts[-1], peak < number * 12) == (number, 2, True)


def test_frames_of_an_extended_offset_table() -> None:
    """Its lengths leave off the padding of a fragment (PS3.3 C.7.6.3.1.8)."""
    tables = element(0x7FE00001, "OV", struct.pack("<2Q", 0, 12)) + element(
        0x7FE00002, "OV", struct.pack("<2Q", 3, 4)
    )
    content = pixels(b"abc\0", b"defg", count=2, before=tables)

    table = samples.read(content).frames

    assert cut(content, table) == [b"abc", b"defg"]
    assert FrameTable.from_bytes(table.to_bytes()) == table


@pytest.mark.parametrize(
    "lengths", [(3, 5), (300, 4), (3,)], ids=["longer than the fragment", "absurd", "too few"]
)
def test_frames_of_an_inconsistent_extended_offset_table(lengths: tuple[int, ...]) -> None:
    """A table that does not fit the fragments is ignored."""
    tables = element(0x7FE00001, "OV", struct.pack("<2Q", 0, 12))
    tables += element(0x7FE00002, "OV", struct.pack(f"<{len(lengths)}Q", *lengths))
    content = pixels(b"abc\0", b"defg", count=2, before=tables)

    assert cut(content, samples.read(content).frames) == [b"abc\0", b"defg"]


@pytest.mark.parametrize(
    "content",
    [
        pixels(b"video", count=300),
        pixels(b"ab", b"cd", b"ef", count=2),
        pixels(b"ab", b"cd", count=2, end=b"\x09\0\x01\0\0\0\0\0"),
        pixels(count=1),
    ],
    ids=["video", "no markers", "no item behind a fragment", "no fragments"],
)
def test_frames_that_cannot_be_told_apart(content: bytes) -> None:
    """The count is 0, and the table survives its compact form."""
    table = samples.read(content).frames

    assert (table.count, table.encapsulated) == (0, True)
    assert FrameTable.from_bytes(table.to_bytes()) == table


@pytest.mark.parametrize("cut_off", [8, 7, 1])
def test_frames_without_a_final_delimiter(cut_off: int) -> None:
    """A delimiter missing, or cut, behind a complete fragment is forgiven."""
    content = pixels(b"ab", b"cd", count=2)[:-cut_off]

    layout = samples.read(content)

    assert cut(content, layout.frames) == [b"ab", b"cd"]
    assert sum(layout.bulkdata["7FE00010"]) == len(content) - (8 - cut_off)


def native(length: int, **attributes: object) -> FrameTable:
    """The table of native pixel data at offset 1000."""
    keys = {
        "rows": "00280010",
        "columns": "00280011",
        "samples": "00280002",
        "bits": "00280100",
        "count": "00280008",
        "photometric": "00280004",
    }
    return frames.native(
        1000, length, {keys[name]: {"vr": "US", "Value": [value]} for name, value in attributes.items()}
    )


@pytest.mark.parametrize(
    ("table", "count", "last"),
    [
        (native(24, rows=2, columns=3, samples=1, bits=16, count=2), 2, (1012, 12)),
        (native(10, rows=3, columns=3, samples=1, bits=8), 1, (1000, 9)),
        (native(36, rows=2, columns=3, samples=3, bits=8, count=2), 2, (1018, 18)),
        (
            native(24, rows=2, columns=3, samples=3, bits=8, count=2, photometric="YBR_FULL_422"),
            2,
            (1012, 12),
        ),
        (
            native(36, rows=2, columns=3, samples=3, bits=8, count=2, photometric="YBR_FULL_422"),
            2,
            (1018, 18),
        ),
        (native(30, rows=2, columns=2, samples=1, bits=8, count=3), 3, (1008, 4)),
        (native(9, rows=2, columns=2, samples=1, bits=8, count=3), 3, (1006, 3)),
        (native(10, rows=2, columns=2, samples=1, bits=8, count=3), 1, (1000, 10)),
        (native(31), 1, (1000, 31)),
        (native(48, rows=2, columns=3, samples=1, bits=64, count=1), 1, (1000, 48)),
    ],
    ids=[
        "16 bit",
        "padded",
        "colour",
        "4:2:2",
        "4:2:2 that is not",
        "longer",
        "shorter, divisible",
        "shorter, indivisible",
        "nothing known",
        "float",
    ],
)
def test_frames_of_native_pixel_data(table: FrameTable, count: int, last: tuple[int, int]) -> None:
    """Attributes and length tell where a frame lies; where they disagree, the length does (PS3.5 8.2)."""
    assert table.count == count
    assert table.locate(count) == (last,)
    assert FrameTable.from_bytes(table.to_bytes()) == table


@pytest.mark.parametrize("path", samples.NATIVE, ids=[path.name for path in samples.NATIVE])
def test_frames_of_native_files(path: Path) -> None:
    """All frames together are Pixel Data, but for its padding."""
    pixel_data, content = samples.oracle(path).PixelData, path.read_bytes()

    table = samples.read(content).frames

    frames = b"".join(cut(content, table))
    padding = {"MR_small_padded.dcm": 128, "badVR.dcm": 5600}.get(path.name, 1)
    assert pixel_data.startswith(frames)
    assert len(pixel_data) - len(frames) in (0, padding)
    assert table.count == (15 if path.name in ("rtdose.dcm", "rtdose_expb.dcm") else 1)


@given(
    st.integers(1, 5).flatmap(
        lambda count: st.integers(1, 30).flatmap(
            lambda size: st.lists(
                st.lists(st.integers(0, 1), min_size=size, max_size=size), min_size=count, max_size=count
            )
        )
    )
)
def test_frames_of_single_bits(expected: list[list[int]]) -> None:
    """Frames of bits that share bytes are cut out bit by bit (PS3.5 8.1.1)."""
    import numpy as np

    data = pack_bits(np.array(expected, dtype="u1"))
    table = frames.native(
        0,
        len(data),
        {
            "00280010": {"Value": [1]},
            "00280011": {"Value": [len(expected[0])]},
            "00280002": {"Value": [1]},
            "00280100": {"Value": [1]},
            "00280008": {"Value": [len(expected)]},
        },
    )
    got = []
    for frame in range(1, table.count + 1):
        ((start, length),) = table.locate(frame)
        bits = frames.cut_bits(data[start : start + length], table.shift(frame), table.bits)
        got.append(unpack_bits(bits)[: table.bits].tolist())

    assert got == expected


def test_frames_without_pixel_data() -> None:
    """Nothing is stored for nothing."""
    assert FrameTable().to_bytes() == b""
    assert FrameTable.from_bytes(b"") == FrameTable()


@pytest.mark.parametrize("frame", [0, 3, -1])
def test_frame_that_does_not_exist(frame: int) -> None:
    """Frames are counted from 1."""
    table = native(24, rows=2, columns=3, samples=1, bits=16, count=2)

    with pytest.raises(IndexError, match=f"frame {frame} of 2"):
        table.locate(frame)


@pytest.mark.parametrize(
    ("ranges", "gap", "expected"),
    [
        ([(0, 10), (10, 5)], 0, [(0, 15)]),
        ([(0, 10), (18, 5)], 0, [(0, 10), (18, 5)]),
        ([(0, 10), (18, 5)], 8, [(0, 23)]),
        ([(0, 10), (9, 5)], 8, [(0, 10), (9, 5)]),
        ([], 0, []),
    ],
)
def test_contiguous_ranges(ranges: list[tuple[int, int]], gap: int, expected: list[tuple[int, int]]) -> None:
    """Ranges that follow each other are one."""
    assert frames.contiguous(ranges, gap) == expected


@pytest.mark.parametrize(
    ("asked", "reads"), [([1, 2, 3], 1), ([2], 1), ([1, 3], 2), ([3, 1, 2], 2), ([2, 2], 2), ([], 0)]
)
def test_plan_of_reads(asked: list[int], reads: int) -> None:
    """Neighbours are one read, item headers between them skipped; the frames come as they were asked for."""
    content = pixels(b"ab", b"cdef", b"gh", b"ij", offsets=struct.pack("<3I", 0, 22, 32), count=3)
    table = samples.read(content).frames
    expected = [[b"abcdef", b"gh", b"ij"][frame - 1] for frame in asked]

    plan = frames.plan(table, asked)

    assert len(plan) == reads
    assert [
        frame for read in plan for frame in read.cut(content[read.start : read.start + read.length])
    ] == expected


@given(st.lists(st.integers(1, 3), max_size=6), st.integers(1, 40))
def test_cutter_of_chunks(asked: list[int], size: int) -> None:
    """Frames are cut out of a read as its bytes arrive, in whatever chunks."""
    content = pixels(b"ab", b"cdef", b"gh", b"ij", offsets=struct.pack("<3I", 0, 22, 32), count=3)

    for read in frames.plan(samples.read(content).frames, asked):
        data = content[read.start : read.start + read.length]
        cutter, got = Cutter(read), [b""] * len(read.frames)
        for at in range(0, len(data), size):
            for number, piece in cutter.feed(data[at : at + size]):
                got[number] += piece
        assert got == read.cut(data)


@pytest.mark.parametrize("size", [1, 5, 100])
@pytest.mark.parametrize(
    ("fragments", "offsets", "asked", "expected"),
    [
        ((b"abcd", b"", b"efgh"), (), [1, 2, 3], [[b"abcd", b"", b"efgh"]]),
        ((b"abcd", b"", b"efgh"), (), [1, 2], [[b"abcd", b""]]),
        ((b"abcd", b"", b"efgh"), (), [2, 3], [[b"", b"efgh"]]),
        ((b"abcd", b"", b"efgh"), (), [2], [[b""]]),
        ((b"", b"", b""), (), [1, 2, 3], [[b"", b"", b""]]),
        ((b"", b"", b""), (), [3, 3], [[b"", b""]]),
        ((b"", b"", b"ab"), (0, 16), [1, 2], [[b"", b"ab"]]),
        ((b"ab", b"", b"cd", b""), (0, 18), [1, 2], [[b"ab", b"cd"]]),
    ],
)
def test_cutter_of_empty_frames(
    fragments: tuple[bytes, ...],
    offsets: tuple[int, ...],
    asked: list[int],
    expected: list[list[bytes]],
    size: int,
) -> None:
    """A frame without bytes comes once, as no bytes, so that it has its part; no other frame does so."""
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    content = pixels(*fragments, offsets=table, count=len(offsets) or len(fragments))
    plan = frames.plan(samples.read(content).frames, asked)

    for read, contents in zip(plan, expected, strict=True):
        data = content[read.start : read.start + read.length]
        cutter = Cutter(read)
        pieces = [piece for at in range(0, len(data), size) for piece in cutter.feed(data[at : at + size])]
        joined = [b"".join(piece for at, piece in pieces if at == number) for number in range(len(contents))]
        assert (joined, read.cut(data)) == (contents, contents)
        assert [number for number, piece in pieces if not piece] == [
            number for number, frame in enumerate(contents) if not frame
        ]
