"""Metadata as DICOM JSON (PS3.18 F.2)."""

from __future__ import annotations

import base64
import json
import struct
import warnings
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.record import Dataset
from dicom_core.representations import metadata
from dicom_core.representations.bulkdata import Inflater
from dicom_core.representations.instances import Problem
from tests.unit.representations import samples
from tests.unit.representations.samples import UNDEFINED, element, implicit, instance, item, value


def standard(encoded: dict[str, Any]) -> dict[str, Any]:
    """What pydicom encodes, with nothing for what is empty, as PS3.18 F.2.5 has it."""
    vr, values = encoded["vr"], encoded.get("Value", [])
    if vr == "SQ":
        values = [{key: standard(nested) for key, nested in entry.items()} for entry in values]
    elif vr == "PN":
        values = [{group: part for group, part in name.items() if part} or None for name in values]
    else:
        values = [None if one == "" else one for one in values]
    inline = {"InlineBinary": encoded["InlineBinary"]} if encoded.get("InlineBinary") else {}
    return {"vr": vr, **inline, **({"Value": values} if values else {})}


def inlined(dataset: Dataset, content: bytes, places: dict[str, tuple[int, int]]) -> Dataset:
    """The data set with the bytes of its bulk data in place of their paths."""
    result: Dataset = {}
    for key, encoded in dataset.items():
        if "BulkDataURI" in encoded:
            start, length = places[encoded["BulkDataURI"].removeprefix("bulkdata/")]
            inline = base64.b64encode(content[start : start + length]).decode()
            encoded = {"vr": encoded["vr"], "InlineBinary": inline}
        elif encoded["vr"] == "SQ" and "Value" in encoded:
            encoded = {"vr": "SQ", "Value": [inlined(entry, content, places) for entry in encoded["Value"]]}
        result[key] = encoded
    return result


def expected(path: Path) -> Dataset:
    """The data set as pydicom encodes it, without what follows the pixel data; {} for what it cannot encode."""
    dataset, result = samples.oracle(path), {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag in dataset.keys():  # noqa: SIM118 - iterating a pydicom data set converts it
            try:
                result[f"{tag:08X}"] = standard(dataset[tag].to_json_dict(None, 0))
            except ValueError:
                result[f"{tag:08X}"] = {}
            if tag >> 16 == 0x7FE0 and tag & 0xFFFF >= 8:
                break
    return result


@pytest.mark.parametrize("path", samples.FILES, ids=[path.name for path in samples.FILES])
def test_metadata_of_shipped_files(path: Path) -> None:
    """The data set is what pydicom makes of it, and bulk data lie where they are said to."""
    content = path.read_bytes()
    layout = samples.read(content)
    if path.name == "image_dfl.dcm":
        content = b"".join(Inflater().feed(content))

    got = inlined(layout.header.dataset, content, layout.bulkdata)

    want = expected(path)
    refused = {key for key, encoded in want.items() if not encoded}
    assert {key: got[key] for key in want if key not in refused} == {
        key: encoded for key, encoded in want.items() if key not in refused
    }
    assert got.keys() == want.keys()
    assert refused == ({"00280008"} if path.name == "badVR.dcm" else set())


@pytest.mark.parametrize("path", samples.FILES, ids=[path.name for path in samples.FILES])
def test_metadata_of_large_values(path: Path) -> None:
    """No binary value over 1024 bytes is inline, none under it is bulk data, but for pixel data and fragments."""
    layout = samples.read(path.read_bytes())
    text = orjson.dumps(layout.header.dataset).decode()

    inline = [len(base64.b64decode(part.split('"')[0])) for part in text.split('"InlineBinary":"')[1:]]
    located = [length for place, (_, length) in layout.bulkdata.items() if not place.endswith("7FE00010")]

    assert all(length <= 1024 for length in inline)
    assert all(length > 1024 for length in located)


@pytest.mark.parametrize(
    ("vr", "encoded", "values"),
    [
        ("AE", b" ONE \\TWO ", ["ONE", "TWO"]),
        ("AS", b"034Y", ["034Y"]),
        ("AT", struct.pack("<4H", 0x0010, 0x0020, 0x7FE0, 0x0010), ["00100020", "7FE00010"]),
        ("CS", b"A\\\\B ", ["A", None, "B"]),
        ("DA", b"20260131", ["20260131"]),
        ("DS", b" 1.5\\-2e3 \\\\.5", [1.5, -2000.0, None, 0.5]),
        ("DS", b"1.5\\abc", [1.5, "abc"]),
        ("DS", b"1e999 ", ["1e999"]),
        ("DS", b"nan ", ["nan"]),
        ("DS", b"1_0 ", ["1_0"]),
        ("DT", b"20260131120000.5+0100", ["20260131120000.5+0100"]),
        ("FD", struct.pack("<2d", 0.1, float("nan")), [0.1, "NaN"]),
        ("FL", struct.pack("<3f", 0.5, float("inf"), float("-inf")), [0.5, "Infinity", "-Infinity"]),
        ("IS", b"12\\-3 \\\\+4", [12, -3, None, 4]),
        ("IS", b"1.0 ", [1]),
        ("IS", b"1.5\\1A", ["1.5", "1A"]),
        ("IS", b"99999999999999999999", ["99999999999999999999"]),
        ("LO", b"A \\ B ", ["A", " B"]),
        ("LT", b" one\\two\r\n ", [" one\\two\r\n"]),
        ("PN", b"Doe^Jane=J=Y", [{"Alphabetic": "Doe^Jane", "Ideographic": "J", "Phonetic": "Y"}]),
        ("PN", b"=J\\\\B^C ", [{"Ideographic": "J"}, None, {"Alphabetic": "B^C"}]),
        ("SH", b"A\\B ", ["A", "B"]),
        ("SL", struct.pack("<i", -5), [-5]),
        ("SS", struct.pack("<2h", -5, 6), [-5, 6]),
        ("ST", b"A\\B ", ["A\\B"]),
        ("SV", struct.pack("<q", -(1 << 63)), [-(1 << 63)]),
        ("TM", b"1200\\235960.123456 ", ["1200", "235960.123456"]),
        ("UC", b"A\\B ", ["A", "B"]),
        ("UI", b"1.2\\1.3\0", ["1.2", "1.3"]),
        ("UL", struct.pack("<I", 1 << 31), [1 << 31]),
        ("UR", b"http://a/b ", ["http://a/b"]),
        ("US", struct.pack("<2H", 1, 65535), [1, 65535]),
        ("UT", b"A\\B ", ["A\\B"]),
        ("UV", struct.pack("<Q", (1 << 64) - 1), [(1 << 64) - 1]),
    ],
)
def test_metadata_of_values(vr: str, encoded: bytes, values: list[Any]) -> None:
    """Each VR has its JSON form; what JSON cannot say, or is no number, is a string; nothing among others null."""
    got = value(vr, encoded)

    assert got == {"vr": vr, "Value": values}
    assert json.loads(orjson.dumps(got)) == got


@pytest.mark.parametrize("vr", [*sorted(set(metadata.ENCODERS[True]) - set(metadata.AMBIGUOUS)), "SQ"])
@pytest.mark.parametrize("encoded", [b"", b"    ", b"\0\0\0\0"])
def test_metadata_of_nothing(vr: str, encoded: bytes) -> None:
    """An element without a value has its VR only (PS3.18 F.2.5); of texts, padding is none."""
    texts = {
        "AE",
        "AS",
        "CS",
        "DA",
        "DS",
        "DT",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "ST",
        "TM",
        "UC",
        "UI",
        "UR",
        "UT",
    }
    if encoded and vr not in texts:
        encoded = b""

    assert value(vr, encoded) == {"vr": vr}


@pytest.mark.parametrize(("vr", "length"), [("US", 3), ("FD", 12), ("AT", 6), ("SL", 2), ("XX", 4)])
def test_metadata_of_what_does_not_follow_its_vr(vr: str, length: int) -> None:
    """Bytes that are no value of their VR are kept as UN, and noted."""
    header = samples.read(instance(element(0x00091001, vr, b"\1" * length))).header

    assert header.dataset["00091001"] == {
        "vr": "UN",
        "InlineBinary": base64.b64encode(b"\1" * length).decode(),
    }
    assert [problem.tag for problem in header.problems] == ["00091001"]


@pytest.mark.parametrize("vr", ["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
def test_metadata_of_binary_values(vr: str) -> None:
    """Up to 1024 bytes are inline, more are bulk data (PS3.18 F.2.6)."""
    short, long = bytes(range(256)) * 4, bytes(1026)
    content = instance(element(0x00091001, vr, short), element(0x00091002, vr, long))

    layout = samples.read(content)

    assert layout.header.dataset == {
        "00091001": {"vr": vr, "InlineBinary": base64.b64encode(short).decode()},
        "00091002": {"vr": vr, "BulkDataURI": "bulkdata/00091002"},
    }
    assert layout.bulkdata == {"00091002": (len(content) - 1026, 1026)}


@pytest.mark.parametrize(
    ("vr", "swapped"),
    [
        ("OB", "01234567"),
        ("OW", "10325476"),
        ("OF", "32107654"),
        ("OL", "32107654"),
        ("OD", "76543210"),
        ("OV", "76543210"),
        ("UN", "01234567"),
    ],
)
def test_metadata_of_big_endian_words(vr: str, swapped: str) -> None:
    """Inline words are little endian whatever the file is (PS3.18 F.2.7)."""
    content = instance(element(0x00091001, vr, b"01234567", order=">"), syntax="1.2.840.10008.1.2.2")

    got = samples.read(content).header.dataset["00091001"]

    assert base64.b64decode(got["InlineBinary"]) == swapped.encode()


def test_metadata_of_nested_bulk_data() -> None:
    """The path of nested bulk data is that of its element, items counted from 1."""
    nested = item(b"") + item(element(0x00091002, "OB", bytes(2000)))
    content = instance(element(0x00091010, "SQ", item(element(0x00091011, "SQ", nested))))

    layout = samples.read(content)

    assert layout.bulkdata == {"00091010/1/00091011/2/00091002": (len(content) - 2000, 2000)}


@pytest.mark.parametrize(
    ("elements", "tag", "expected"),
    [
        (
            implicit(0x00280103, b"\0\0") + implicit(0x00280106, b"\xff\xff"),
            "00280106",
            {"vr": "US", "Value": [65535]},
        ),
        (
            implicit(0x00280103, b"\1\0") + implicit(0x00280106, b"\xff\xff"),
            "00280106",
            {"vr": "SS", "Value": [-1]},
        ),
        (implicit(0x00280106, b"\xff\xff"), "00280106", {"vr": "US", "Value": [65535]}),
        (
            implicit(0x00283002, struct.pack("<3H", 1, 0, 16)) + implicit(0x00283006, b"\1\0"),
            "00283006",
            {"vr": "US", "Value": [1]},
        ),
        (
            implicit(0x00283002, struct.pack("<3H", 2, 0, 16)) + implicit(0x00283006, b"\1\0\2\0"),
            "00283006",
            {"vr": "OW", "InlineBinary": "AQACAA=="},
        ),
        (
            implicit(0x54001004, b"\x08\0") + implicit(0x54001010, b"\1\2"),
            "54001010",
            {"vr": "OW", "InlineBinary": "AQI="},
        ),
        (implicit(0x60003000, b"\1\2"), "60003000", {"vr": "OW", "InlineBinary": "AQI="}),
        (implicit(0x60003000, bytes(70_000)), "60003000", {"vr": "OW", "BulkDataURI": "bulkdata/60003000"}),
    ],
)
def test_metadata_of_ambiguous_vrs(elements: bytes, tag: str, expected: dict[str, Any]) -> None:
    """In implicit VR some elements take their VR from others (PS3.5 Annex A, PS3.6)."""
    header = samples.read(instance(elements, syntax="1.2.840.10008.1.2")).header

    assert header.dataset[tag] == expected


def test_metadata_of_ambiguous_vrs_before_what_decides() -> None:
    """Pixel Representation counts for sequences before it too."""
    nested = implicit(0x00081140, item(implicit(0x00280106, b"\xff\xff")))

    dataset = samples.read(
        instance(nested, implicit(0x00280103, b"\1\0"), syntax="1.2.840.10008.1.2")
    ).header.dataset

    assert dataset["00081140"]["Value"] == [{"00280106": {"vr": "SS", "Value": [-1]}}]


def test_metadata_of_a_signed_lut_descriptor() -> None:
    """Its first value is unsigned, whatever its VR (PS3.3 C.11.1.1)."""
    assert value("SS", struct.pack("<3h", -1, -5, 16), 0x00281101) == {"vr": "SS", "Value": [65535, -5, 16]}


@pytest.mark.parametrize("vr", ["UN", None])
def test_metadata_of_known_private_elements(vr: str | None) -> None:
    """The private dictionary tells the VR of private elements written without one (PS3.5 7.8)."""
    creator, number = b"GEMS_IDEN_01", b"12"
    if vr is None:
        content = instance(
            implicit(0x00090010, creator), implicit(0x00091002, number), syntax="1.2.840.10008.1.2"
        )
    else:
        content = instance(element(0x00090010, "LO", creator), element(0x00091002, vr, number))

    dataset = samples.read(content).header.dataset

    assert dataset["00090010"] == {"vr": "LO", "Value": ["GEMS_IDEN_01"]}
    assert dataset["00091002"] == {"vr": "SH", "Value": ["12"]}


@pytest.mark.parametrize("creator", [b"NOBODY ", b""])
def test_metadata_of_unknown_private_elements(creator: bytes) -> None:
    """What no dictionary knows is UN."""
    content = instance(implicit(0x00090010, creator), implicit(0x00091002, b"12"), syntax="1.2.840.10008.1.2")

    assert samples.read(content).header.dataset["00091002"] == {"vr": "UN", "InlineBinary": "MTI="}


@pytest.mark.parametrize(
    ("charset", "encoded", "text", "problem"),
    [
        (b"ISO_IR 100", "Jérôme".encode("latin_1"), "Jérôme", None),
        (b"ISO_IR 192", "日本".encode(), "日本", None),
        (b"GB18030 ", "中文".encode("gb18030"), "中文", None),
        (b"\\ISO 2022 IR 87 ", b"\x1b$B;3ED\x1b(B", "山田", None),
        (b"ISO 2022 IR 6\\ISO 2022 IR 149 ", b"\x1b$)C\xb1\xe8", "김", None),
        (b"ISO_IR_192", "日本".encode(), "日本", None),
        (b"ISO-IR 100", b"\xe9", "é", "00080005"),
        (b"latin-1 ", b"\xe9", "é", "00080005"),
        (b"", b"\xe9", "é", None),
        (b"ISO_IR 192", b"A\xff", "A\ufffd", "00100020"),
        (b"KLINGON ", b"\xe9", "é", "00080005"),
        (b"rot13 ", b"A", "A", "00080005"),
        (b"ISO_IR 100", b"\x1b$B;3ED", "\x1b$B;3ED", "00100020"),
    ],
)
def test_metadata_in_character_sets(charset: bytes, encoded: bytes, text: str, problem: str | None) -> None:
    """Text is decoded by Specific Character Set; what cannot be is replaced and noted (PS3.3 C.12.1.1.2)."""
    header = samples.read(
        instance(element(0x00080005, "CS", charset), element(0x00100020, "LO", encoded))
    ).header

    assert header.dataset["00100020"]["Value"] == [text]
    assert [found.tag for found in header.problems][:1] == ([problem] if problem else [])


def test_metadata_of_items_in_their_own_character_set() -> None:
    """An item may have a character set of its own; else that of the data set counts (PS3.5 7.5.3)."""
    own = item(element(0x00080005, "CS", b"ISO_IR 192") + element(0x00100020, "LO", "é".encode()))
    inherited = item(element(0x00100020, "LO", b"\xe9"))

    dataset = samples.read(
        instance(element(0x00080005, "CS", b"ISO_IR 100"), element(0x00081140, "SQ", own + inherited))
    ).header.dataset

    assert [entry["00100020"]["Value"] for entry in dataset["00081140"]["Value"]] == [["é"], ["é"]]


@given(
    st.binary(max_size=60), st.sampled_from(sorted(set(metadata.ENCODERS[True]) - set(metadata.AMBIGUOUS)))
)
def test_metadata_of_any_bytes(encoded: bytes, vr: str) -> None:
    """Whatever the bytes of a value are, they become JSON."""
    assert json.loads(orjson.dumps(value(vr, encoded)))["vr"] in (vr, "UN")


def test_metadata_of_an_undefined_length_without_items() -> None:
    """An empty sequence of undefined length has no value."""
    content = instance(element(0x00081140, "SQ", samples.SEQUENCE_END, UNDEFINED))

    assert samples.read(content).header.dataset == {"00081140": {"vr": "SQ"}}


def test_packed_metadata() -> None:
    """The stored form is the JSON text, gzipped the same each time."""
    dataset = {"00100020": {"vr": "LO", "Value": ["ä"]}}

    assert metadata.unpack(metadata.pack(dataset)) == orjson.dumps(dataset)
    assert metadata.pack(dataset)[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_absolute_bulk_data_uris() -> None:
    """Each BulkDataURI gets the instance's URL before it, and text that looks like one does not."""
    trap = '"BulkDataURI":"bulkdata/x"'
    dataset = {
        "00081140": {
            "vr": "SQ",
            "Value": [{"00091002": {"vr": "OB", "BulkDataURI": "bulkdata/00081140/1/00091002"}}],
        },
        "00100020": {"vr": "LO", "Value": [trap, "BulkDataURI", ":"]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "bulkdata/7FE00010"},
    }
    url = 'https://host/v2/studies/1/series/2/instances/3?"'

    got = json.loads(metadata.absolute(orjson.dumps(dataset), url))

    nested = got["00081140"]["Value"][0]["00091002"]
    assert nested["BulkDataURI"] == f"{url}/bulkdata/00081140/1/00091002"
    assert got["7FE00010"]["BulkDataURI"] == f"{url}/bulkdata/7FE00010"
    assert got["00100020"] == dataset["00100020"]


@pytest.mark.parametrize("texts", [[], [b"{}"], [b'{"a":1}', b'{"b":2}', b"{}"]])
def test_joined_metadata(texts: list[bytes]) -> None:
    """Several data sets are one JSON array."""
    assert json.loads(b"".join(metadata.join(texts))) == [json.loads(text) for text in texts]


def test_problems_hold_no_values() -> None:
    """The reasons never repeat a value (patient data)."""
    header = samples.read(
        instance(element(0x00100030, "DA", b"SECRET"), element(0x00100020, "SH", b"SECRET" * 9))
    ).header

    assert header.problems == (
        Problem("00100030", "DA with characters or a form that are not allowed"),
        Problem("00100020", "SH with more than 16 characters"),
    )
