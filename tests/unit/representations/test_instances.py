"""Reading instances as they arrive (PS3.10 7)."""

from __future__ import annotations

import itertools
import struct
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_core.representations import datasets, metadata, source
from dicom_core.representations.instances import InvalidInstance, Problem, Reader
from tests.unit.representations import samples
from tests.unit.representations.samples import UNDEFINED, element, implicit, instance, item

ids = [path.name for path in samples.FILES]
BULK = 200_000


@pytest.mark.parametrize("path", samples.FILES, ids=ids)
def test_reader_fed_in_pieces(path: Path) -> None:
    """The result does not depend on how the bytes are cut into chunks."""
    content = path.read_bytes()
    whole = samples.read(content)

    for size in (61, 1000, 8192):
        assert samples.read(*(content[at : at + size] for at in range(0, len(content), size))) == whole


@pytest.mark.parametrize("path", samples.SMALL, ids=[path.name for path in samples.SMALL])
def test_reader_fed_byte_by_byte(path: Path) -> None:
    """Every boundary can be the end of a chunk."""
    content = path.read_bytes()

    assert samples.read(*(content[at : at + 1] for at in range(len(content)))) == samples.read(content)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_reader_fed_in_random_splits(data: st.DataObject) -> None:
    """Any split into chunks, empty ones included, gives the same."""
    content = data.draw(st.sampled_from(samples.SMALL)).read_bytes()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    bounds = [0, *cuts, len(content)]

    layout = samples.read(*(content[low:high] for low, high in itertools.pairwise(bounds)))

    assert layout == samples.read(content)


@pytest.mark.parametrize(
    "name",
    [
        "rtplan.dcm",
        "MR_small_RLE.dcm",
        "image_dfl.dcm",
        "chrH32.dcm",
        "CT_small.dcm",
        "MR_small_bigendian.dcm",
        "test-SR.dcm",
        "JPEG2000.dcm",
    ],
)
def test_reader_of_truncated_bytes(name: str) -> None:
    """Bytes that end anywhere are an instance or an InvalidInstance, and the same in one chunk as in two."""
    content = samples.named(name)

    for part in range(50):
        cut = content[: len(content) * part // 50]
        assert samples.attempt(cut) == samples.attempt(cut[: len(cut) // 3], cut[len(cut) // 3 :])


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_reader_of_damaged_bytes(data: st.DataObject) -> None:
    """Whatever the bytes are: an instance that can be packed, or InvalidInstance; never a warning."""
    content = bytearray(data.draw(st.sampled_from(samples.SMALL)).read_bytes())
    patches = st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from(
            [b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0", b"SQ\0\0"]
        ),
    )
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 1))
        patch = data.draw(patches)
        content[at : at + data.draw(st.integers(0, 8))] = patch

    outcome = samples.attempt(bytes(content))

    if not isinstance(outcome, str):
        assert metadata.unpack(metadata.pack(outcome.header.dataset)).startswith(b"{")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not a DICOM file: no bytes"),
        (b"%PDF-1.7 " * 40, "not a DICOM file"),
        (b"\x08\x00\x99\x99" + bytes(200), "not a DICOM file"),
        (instance(element(0x00100010, "PN", b"A^B", 10)), r"ends at byte 171 inside \(0010,0010\)"),
        (instance(element(0x00100010, "PN", b""))[:-3], "ends at byte 165 inside an element's tag"),
        (instance(element(0x7FE00010, "OW", bytes(8), 10)), r"ends at byte 180 inside \(7FE0,0010\)"),
        (
            instance(element(0x7FE00010, "OB", item(b"") + item(b"abcd")[:-1], UNDEFINED)),
            r"inside \(7FE0,0010\)",
        ),
        (instance(element(0x00420011, "OB", bytes(99_000), 100_000)), r"inside \(0042,0011\)"),
        (
            instance(element(0x00081140, "SQ", item(element(0x00081150, "UI", b"1.2", 8)), UNDEFINED)),
            r"\(0008,1150\)",
        ),
        (
            instance(element(0x00081140, "SQ", b"x" * 8, UNDEFINED)),
            r"no item at byte 172 of the sequence \(0008,1140\)",
        ),
        (instance(samples.ITEM_END), "an item delimiter outside of a sequence at byte 160"),
        (instance(implicit(0xFFFEE000, b"")), r"\(FFFE,E000\) outside of a sequence at byte 160"),
        (instance(element(0x0040A043, "UT", b"", 1 << 25)), "keeps more than 16777216 bytes"),
        (
            instance(b"\xff" * 99, syntax="1.2.840.10008.1.2.1.99"),
            "deflated data set that cannot be inflated",
        ),
        (instance(syntax="1.2.840.10008.1.2.1.99"), "ends where its deflated data set should begin"),
    ],
)
def test_reader_of_what_is_no_instance(content: bytes, text: str) -> None:
    """The refusal says what is wrong and where."""
    with pytest.raises(InvalidInstance, match=text):
        samples.read(content)


def test_reader_after_a_refusal() -> None:
    """A refusal stays one, whatever follows."""
    reader = Reader()
    with pytest.raises(InvalidInstance):
        reader.feed(b"\0" * 4000)

    with pytest.raises(InvalidInstance, match="not a DICOM file"):
        reader.feed(b"more")
    with pytest.raises(InvalidInstance, match="not a DICOM file"):
        reader.finish()


@pytest.mark.parametrize("padding", [b"", b"\0", b"\0\0\0\0\0", bytes(16)])
def test_reader_of_padding_at_the_end(padding: bytes) -> None:
    """A few zeros behind the last element are forgiven."""
    assert samples.read(instance(element(0x00100020, "LO", b"1 "), padding)).header.dataset.keys() == {
        "00100020"
    }


def test_header_before_the_pixel_data_arrived() -> None:
    """The header is there as soon as Pixel Data begins."""
    content = samples.named("CT_small.dcm")
    start, _ = samples.read(content).bulkdata["7FE00010"]
    reader = Reader()

    reader.feed(content[: start - 1])
    before = reader.header
    reader.feed(content[start - 1 : start])

    assert before is None
    assert reader.header is not None
    assert reader.header.sop_class == "1.2.840.10008.5.1.4.1.1.2"


def test_header_names_the_instance() -> None:
    """The UIDs of the header come without padding; those that are missing are empty."""
    header = samples.read(
        instance(
            element(0x00080016, "UI", b"1.2.3\0"),
            element(0x00080018, "UI", b"1.2.4 "),
            element(0x0020000D, "UI", b"1.2.5\\1.2.6\0"),
        )
    ).header

    assert (header.sop_class, header.instance, header.study, header.series) == (
        "1.2.3",
        "1.2.4",
        "1.2.5\\1.2.6",
        "",
    )
    assert header.transfer_syntax == "1.2.840.10008.1.2.1"


@pytest.mark.parametrize(
    ("vr", "length", "expected"),
    [("OW", 8, "OW"), ("OB", 8, "OB"), ("UN", 8, "OW")],
)
def test_header_of_pixel_data(vr: str, length: int, expected: str) -> None:
    """The element of the pixel data closes the data set, as bulk data."""
    layout = samples.read(
        instance(element(0x7FE00010, vr, bytes(length)), element(0xFFFCFFFC, "OB", b"\0\0"))
    )

    assert layout.header.dataset == {"7FE00010": {"vr": expected, "BulkDataURI": "bulkdata/7FE00010"}}
    assert layout.bulkdata == {"7FE00010": (172, 8)}


def test_header_of_empty_pixel_data() -> None:
    """Pixel Data without a value has no bulk data, and no frames."""
    layout = samples.read(instance(element(0x7FE00010, "OW", b"")))

    assert (layout.header.dataset, layout.bulkdata) == ({"7FE00010": {"vr": "OW"}}, {})
    assert layout.frames.count == 0


@pytest.mark.parametrize(
    ("content", "syntax"),
    [
        (implicit(0x00080005, b"ISO_IR 100"), "1.2.840.10008.1.2"),
        (element(0x00080005, "CS", b"ISO_IR 100"), "1.2.840.10008.1.2.1"),
        (element(0x00080005, "CS", b"ISO_IR 100", order=">"), "1.2.840.10008.1.2.2"),
        (
            element(0x00020010, "UI", b"1.2.840.10008.1.2.1\0") + element(0x00080005, "CS", b"ISO_IR 100"),
            "1.2.840.10008.1.2.1",
        ),
        (bytes(128) + b"DICM" + implicit(0x00080005, b"ISO_IR 100"), "1.2.840.10008.1.2"),
    ],
    ids=["implicit", "explicit", "big endian", "file meta without preamble", "preamble without file meta"],
)
def test_reader_without_file_meta(content: bytes, syntax: str) -> None:
    """A data set that begins the file is taken, its encoding guessed as pydicom guesses it."""
    header = samples.read(content).header

    assert header.transfer_syntax == syntax
    assert header.dataset == {"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}


@pytest.mark.parametrize(
    ("syntax", "content"),
    [
        ("1.2.840.10008.1.2", element(0x00100020, "LO", b"12")),
        ("1.2.840.10008.1.2.1", implicit(0x00100020, b"12")),
    ],
)
def test_reader_of_another_encoding_than_declared(syntax: str, content: bytes) -> None:
    """Explicit data declared implicit, and the reverse, are read as what they are."""
    header = samples.read(instance(content, syntax=syntax)).header

    assert header.dataset == {"00100020": {"vr": "LO", "Value": ["12"]}}
    assert header.transfer_syntax == syntax


def test_reader_of_a_command_set() -> None:
    """Elements of group 0000 before the data set are passed over (PS3.7 6.3)."""
    command = implicit(0x00000000, b"\x04\0\0\0") + implicit(0x00000100, b"\1\0")

    assert samples.read(instance(command, element(0x00100020, "LO", b"12"))).header.dataset.keys() == {
        "00100020"
    }


def test_reader_of_large_values() -> None:
    """Large binary values, nested ones too, are located; large texts are kept."""
    nested = item(element(0x5400100A, "OW", b"") + element(0x54001010, "OW", b"w" * BULK))
    content = instance(
        element(0x0040A160, "UT", b"t" * BULK),
        element(0x00420011, "OB", b"p" * BULK),
        element(0x54000100, "SQ", nested, UNDEFINED) + samples.SEQUENCE_END,
        element(0x56000020, "OF", b"f" * BULK),
    )

    layout = samples.read(*(content[at : at + 1000] for at in range(0, len(content), 1000)))

    assert layout.header.dataset["0040A160"]["Value"] == ["t" * BULK]
    assert layout.header.dataset["00420011"] == {"vr": "OB", "BulkDataURI": "bulkdata/00420011"}
    assert {
        path: content[at : at + size][:1] * size == content[at : at + size] and content[at]
        for path, (at, size) in layout.bulkdata.items()
    } == {"00420011": ord("p"), "54000100/1/54001010": ord("w"), "56000020": ord("f")}


@pytest.mark.parametrize("defined", [True, False])
def test_reader_of_sequences(defined: bool) -> None:
    """Sequences and items of defined and of undefined length are the same to metadata (PS3.5 7.5)."""
    inner = element(0x00081150, "UI", b"1.2\0") + element(0x00081155, "UI", b"1.2.3\0")
    if defined:
        items = item(inner) + item(b"")
        sequence = element(0x00081140, "SQ", items)
    else:
        items = (
            implicit(0xFFFEE000, inner, UNDEFINED) + samples.ITEM_END + implicit(0xFFFEE000, b"", UNDEFINED)
        )
        sequence = element(0x00081140, "SQ", items + samples.ITEM_END, UNDEFINED) + samples.SEQUENCE_END

    dataset = samples.read(instance(sequence, element(0x00100020, "LO", b"12"))).header.dataset

    assert list(dataset) == ["00081140", "00100020"]
    assert dataset["00081140"]["Value"] == [
        {"00081150": {"vr": "UI", "Value": ["1.2"]}, "00081155": {"vr": "UI", "Value": ["1.2.3"]}},
        {},
    ]


def test_reader_of_a_private_sequence_as_un() -> None:
    """UN of undefined length is a sequence with implicit VR (PS3.5 6.2.2)."""
    items = item(implicit(0x00100020, b"12"))

    dataset = samples.read(
        instance(element(0x00091001, "UN", items, UNDEFINED) + samples.SEQUENCE_END)
    ).header.dataset

    assert dataset["00091001"] == {"vr": "SQ", "Value": [{"00100020": {"vr": "LO", "Value": ["12"]}}]}


def test_reader_of_a_sequence_that_is_none() -> None:
    """A sequence of defined length without items is kept as UN, and noted."""
    header = samples.read(
        instance(element(0x00081140, "SQ", b"no items"), element(0x00100020, "LO", b"12"))
    ).header

    assert header.dataset["00081140"] == {"vr": "UN", "InlineBinary": "bm8gaXRlbXM="}
    assert header.problems == (Problem("00081140", "a sequence with something else than items"),)
    assert "00100020" in header.dataset


def test_reader_of_an_element_longer_than_its_sequence() -> None:
    """The length of the sequence counts: what follows it is read."""
    sequence = element(0x00081140, "SQ", item(element(0x00081150, "UI", b"1.2\0", 40)))

    dataset = samples.read(instance(sequence, element(0x00100020, "LO", b"12"))).header.dataset

    assert dataset["00081140"]["Value"] == [{"00081150": {"vr": "UI", "Value": ["1.2"]}}]
    assert dataset["00100020"]["Value"] == ["12"]


def test_reader_of_deep_nesting() -> None:
    """Sequences nested without end are refused, not recursed into."""
    nested = (element(0x00081140, "SQ", b"", UNDEFINED) + implicit(0xFFFEE000, b"", UNDEFINED)) * 5000

    with pytest.raises(InvalidInstance, match="nests sequences deeper than 64 at byte"):
        samples.read(instance(nested))


def test_reader_of_an_icon_with_fragments() -> None:
    """Encapsulated pixel data of an item are located whole, delimiter excluded."""
    fragments = item(b"") + item(b"\xff\xd8\xff\xd9")
    icon = item(element(0x7FE00010, "OB", fragments, UNDEFINED) + samples.SEQUENCE_END)
    content = instance(element(0x00880200, "SQ", icon), element(0x00100020, "LO", b"12"))

    layout = samples.read(content)

    start, length = layout.bulkdata["00880200/1/7FE00010"]
    assert content[start : start + length] == fragments
    assert "00100020" in layout.header.dataset


def test_reader_memory_does_not_grow_with_the_object() -> None:
    """Pixel data and large values flow by."""
    chunk = bytes(1 << 16)
    head = instance(element(0x00420011, "OB", b"", 64 << 20))
    reader = Reader()
    tracemalloc.start()

    reader.feed(head)
    for _ in range(1024):
        reader.feed(chunk)
    reader.feed(element(0x7FE00010, "OW", b"", 64 << 20))
    for _ in range(1024):
        reader.feed(chunk)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert reader.finish().bulkdata == {
        "00420011": (len(head), 64 << 20),
        "7FE00010": (len(head) + (64 << 20) + 12, 64 << 20),
    }
    assert peak < 1 << 20


def test_reader_of_a_deflated_bomb() -> None:
    """Inflating is done in pieces of bounded size."""
    compressor = zlib.compressobj(9, wbits=-15)
    data = compressor.compress(element(0x7FE00010, "OW", b"", 128 << 20))
    for _ in range(128):
        data += compressor.compress(bytes(1 << 20))
    content = instance(data + compressor.flush(), syntax="1.2.840.10008.1.2.1.99")
    tracemalloc.start()

    layout = samples.read(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert layout.bulkdata == {"7FE00010": (12, 128 << 20)}
    assert peak < 6 << 20


def test_reader_of_a_deflated_bomb_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A data set may be as long as the bound, and is refused beyond it."""
    data = element(0x7FE00010, "OW", bytes(4 << 20))
    monkeypatch.setattr(source, "MAX_INFLATED", len(data))

    assert samples.read(samples.deflated(data)).bulkdata == {"7FE00010": (12, 4 << 20)}
    with pytest.raises(InvalidInstance, match="inflates to more than 4194316 bytes"):
        samples.read(samples.deflated(data + b"\0"))


def _elements(vr: str, number: int, content: bytes = b"") -> bytes:
    return b"".join(element(0x00090000 + at, vr, content) for at in range(0x1000, 0x1000 + number))


def _sequence(content: bytes, number: int) -> bytes:
    return element(0x00081140, "SQ", item(content) * number)


@pytest.mark.parametrize(
    "content",
    [
        _sequence(b"", 10_000),
        _sequence(element(0x00080060, "CS", b"MR"), 8_000),
        _sequence(_elements("LO", 20), 600),
        _sequence(_elements("SQ", 20), 600),
        _sequence(element(0x00280106, "US", b"ab"), 8_000),
        _sequence(implicit(0x00280106, b"ab"), 8_000),
        _sequence(element(0x00880200, "OB", item(b""), UNDEFINED) + samples.SEQUENCE_END, 4_000),
        _elements("LO", 12_000),
        _elements("SQ", 12_000),
        *(_elements(vr, 4, bytes(64_000)) for vr in ("US", "UL", "FL", "AT")),
        *(_elements(vr, 4, b"1\\" * 32_000) for vr in ("PN", "LO", "CS", "UI", "DS", "IS")),
        _elements("SH", 1, b"\x1b(B" * 20_000),
    ],
)
def test_reader_of_a_header_of_many_objects(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """Elements, items and values are counted, not only bytes: what they take in memory is bounded."""
    monkeypatch.setattr(source, "MAX_OBJECTS", 1 << 20)
    monkeypatch.setattr(datasets, "KEYS", datasets._Keys())
    content = instance(content)
    chunks = [content[at : at + 4096] for at in range(0, len(content), 4096)]
    tracemalloc.start()

    outcome = samples.attempt(*chunks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert "has more elements, items and values in its header than can be kept" in str(outcome)
    assert peak < 4 << 20


def test_reader_of_a_long_contour() -> None:
    """A header may hold a million numbers, as those of radiotherapy do (PS3.3 C.8.8.6)."""
    contour = implicit(0x30060050, b"-123.45\\" * 1_000_000 + b"1 ")

    dataset = samples.read(instance(contour, syntax="1.2.840.10008.1.2")).header.dataset

    assert len(dataset["30060050"]["Value"]) == 1_000_001


def test_reader_of_many_items() -> None:
    """A header may describe some thousand frames in items of their own (PS3.3 C.7.6.16)."""
    frame = item(_elements("LO", 4) + element(0x00209113, "SQ", item(element(0x00200032, "DS", b"1\\2\\3 "))))

    dataset = samples.read(instance(element(0x52009230, "SQ", frame * 20_000))).header.dataset

    assert len(dataset["52009230"]["Value"]) == 20_000


def test_reader_of_a_cut_deflated_data_set() -> None:
    """A deflated stream must come to its end."""
    content = samples.named("image_dfl.dcm")

    with pytest.raises(InvalidInstance, match="ends"):
        samples.read(content[:-200])


def test_reader_cost_is_linear() -> None:
    """A header of many items is read in time that grows with its length, in small chunks too."""
    items = item(element(0x00081150, "UI", b"1.2\0")) * 20_000
    content = instance(element(0x00081140, "SQ", items, UNDEFINED) + samples.SEQUENCE_END)
    chunks = [content[at : at + 512] for at in range(0, len(content), 512)]

    assert len(samples.read(*chunks).header.dataset["00081140"]["Value"]) == 20_000


def test_problems_name_the_top_level_element_once() -> None:
    """One problem for each top-level element, the first wins; the values stay (nothing is lost)."""
    nested = item(element(0x00081150, "UI", b"1.a\0") + element(0x00080060, "CS", b"lower "))

    header = samples.read(
        instance(element(0x00081140, "SQ", nested), element(0x00100030, "DA", b"20230231"))
    ).header

    assert header.problems == (
        Problem("00081140", "UI with characters or a form that are not allowed"),
        Problem("00100030", "DA that is no date of the calendar"),
    )
    assert header.dataset["00100030"]["Value"] == ["20230231"]


def test_reader_of_extended_offsets_in_big_numbers() -> None:
    """The offset tables before Pixel Data are metadata as well (PS3.3 C.7.6.3.1.8)."""
    offsets = struct.pack("<2Q", 0, 12)

    layout = samples.read(
        instance(
            element(0x00280008, "IS", b"2 "),
            element(0x7FE00001, "OV", offsets),
            element(0x7FE00002, "OV", struct.pack("<2Q", 3, 4)),
            element(
                0x7FE00010, "OB", item(b"") + item(b"abc\0") + item(b"defg") + samples.SEQUENCE_END, UNDEFINED
            ),
        )
    )

    assert layout.header.dataset["7FE00001"]["vr"] == "OV"
    assert [length for frame in (1, 2) for _, length in layout.frames.locate(frame)] == [3, 4]
