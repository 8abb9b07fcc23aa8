"""Data sets re-encoded as Explicit VR Little Endian (PS3.5 7.1.2)."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.representations import explicit
from dicom_core.representations.explicit import element
from dicom_core.representations.images import Undecodable
from tests.unit.representations import samples
from tests.unit.representations.samples import ITEM_END, SEQUENCE_END, UNDEFINED, implicit, item

IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
UID = 0x00080018


def rewritten(data: bytes, transfer_syntax: str) -> bytes:
    """A data set as it is written."""
    dataset = samples.read(samples.instance(data, syntax=transfer_syntax)).header.dataset
    return b"".join(written for _, written in explicit.rewritten(data, dataset, transfer_syntax))


def undefined(content: bytes) -> bytes:
    """An item of undefined length."""
    return implicit(0xFFFEE000, content, UNDEFINED) + ITEM_END


@pytest.mark.parametrize(
    ("tag", "vr", "value"),
    [
        (UID, "UI", b"1.2\0"),
        (0x00100010, "PN", b"a^b "),
        (0x00280010, "US", b"\1\2"),
        (0x00280106, "SS", b"\1\2"),
        (0x00091001, "UN", b"\1\2\3\4"),
        (0x00080001, "UL", b"\1\2\3\4"),
        (0x00420011, "OB", b"\1\2"),
    ],
    ids=["UI", "PN", "US", "US or SS", "private", "UL", "OB"],
)
def test_implicit_element(tag: int, vr: str, value: bytes) -> None:
    """It gets its VR: that of the data dictionary, settled by other elements where they decide it."""
    signed = implicit(0x00280103, b"\1\0")

    data = rewritten(b"".join(sorted([implicit(tag, value), signed], key=lambda one: one[:4])), IMPLICIT)

    assert element(tag, vr, value) in data


def test_implicit_value_too_long_for_its_vr() -> None:
    """VR UN has room for it (PS3.5 6.2.2)."""
    value = b"1\\" * 40_000

    assert rewritten(implicit(0x00181063, value), IMPLICIT) == element(0x00181063, "UN", value)


@pytest.mark.parametrize("ends", [True, False], ids=["undefined", "defined"])
def test_implicit_sequence(ends: bool) -> None:
    """Its items, and theirs, become explicit; lengths are undefined."""
    inner, outer = 0x00081199, 0x00081115
    uid = implicit(UID, b"1.2\0")

    def sequence(tag: int, content: bytes) -> bytes:
        if ends:
            return implicit(tag, undefined(content) + SEQUENCE_END, UNDEFINED)
        return implicit(tag, item(content))

    data = sequence(outer, sequence(inner, uid) + uid)

    nested = element(inner, "SQ", undefined(element(UID, "UI", b"1.2\0")) + SEQUENCE_END, UNDEFINED)
    content = b"".join(sorted([nested, element(UID, "UI", b"1.2\0")], reverse=True))
    assert rewritten(data, IMPLICIT) == element(outer, "SQ", undefined(content) + SEQUENCE_END, UNDEFINED)


@pytest.mark.parametrize("length", [0, UNDEFINED])
def test_implicit_sequence_without_items(length: int) -> None:
    """It stays empty."""
    data = implicit(0x00081115, SEQUENCE_END if length else b"", length)

    assert rewritten(data, IMPLICIT) == element(0x00081115, "SQ", SEQUENCE_END, UNDEFINED)


def test_implicit_group_lengths_are_left_out() -> None:
    """They are retired, and are wrong as soon as a header grows (PS3.5 7.2)."""
    length, uid = implicit(0x00080000, struct.pack("<L", 12)), implicit(UID, b"1.2\0")
    data = length + uid + implicit(0x00081115, item(length + uid))

    got = rewritten(data, IMPLICIT)

    assert got.count(element(UID, "UI", b"1.2\0")) == 2
    assert b"\x08\0\0\0" not in got


@pytest.mark.parametrize(
    ("vr", "big", "little"),
    [
        ("US", b"\1\2\3\4", b"\2\1\4\3"),
        ("OW", b"\1\2", b"\2\1"),
        ("AT", b"\0\x10\0\x20", b"\x10\0\x20\0"),
        ("FL", b"\1\2\3\4", b"\4\3\2\1"),
        ("FD", bytes(range(8)), bytes(reversed(range(8)))),
        ("OB", b"\1\2", b"\1\2"),
        ("LO", b"ab", b"ab"),
        ("UN", b"\1\2", b"\1\2"),
    ],
)
def test_big_endian_element(vr: str, big: bytes, little: bytes) -> None:
    """Numbers are turned around, bytes and texts stay."""
    tag = 0x00091001

    assert rewritten(samples.element(tag, vr, big, order=">"), BIG) == element(tag, vr, little)


def test_big_endian_sequence() -> None:
    """Its items are turned around too."""
    tag = 0x00081115
    head = struct.pack(">HHL", 0xFFFE, 0xE000, 10)
    value = head + samples.element(0x00280010, "US", b"\1\2", order=">")

    got = rewritten(samples.element(tag, "SQ", value, order=">"), BIG)

    content = undefined(element(0x00280010, "US", b"\2\1")) + SEQUENCE_END
    assert got == element(tag, "SQ", content, UNDEFINED)


def test_explicit_data_set_is_copied() -> None:
    """Byte by byte: sequences, values with VR UN and fragments of undefined length are walked over."""
    private = implicit(0x00090010, b"ab") + implicit(
        0x00081115, undefined(implicit(UID, b"1.2\0")) + SEQUENCE_END, UNDEFINED
    )
    icon = element(0x7FE00010, "OB", item(b"") + item(b"\1\2") + SEQUENCE_END, UNDEFINED)
    data = b"".join(
        [
            element(UID, "UI", b"1.2\0"),
            element(0x00081115, "SQ", item(element(UID, "UI", b"1.3\0"))),
            element(0x00091001, "UN", undefined(private) + SEQUENCE_END, UNDEFINED),
            element(0x00880200, "SQ", undefined(icon) + SEQUENCE_END, UNDEFINED),
        ]
    )

    assert rewritten(data, EXPLICIT) == data


def test_reading_stops_at_pixel_data() -> None:
    """What comes from one of the tags on is not looked at."""
    data = element(UID, "UI", b"1.2\0")

    elements = explicit.rewritten(data + element(0x7FE00010, "OW", b"", 1000), {}, EXPLICIT, {0x7FE00010})

    assert list(elements) == [(UID, data)]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, b"1357"),
        ({3: b"x"}, b"1x57"),
        ({3: b""}, b"157"),
        ({2: b"x", 4: b"y"}, b"1x3y57"),
        ({0: b"x", 9: b"y"}, b"x1357y"),
    ],
)
def test_changes(changes: dict[int, bytes], wanted: bytes) -> None:
    """Changed elements stand in the order of their tags (PS3.5 7.1)."""
    elements = iter([(tag, str(tag).encode()) for tag in (1, 3, 5, 7)])

    assert b"".join(explicit.changed(elements, changes)) == wanted


DAMAGED = {
    "an unknown element": (implicit(UID, b"1.2\0"), {}),
    "an element that is cut": (implicit(UID, b"1.2\0", 5), {"00080018": {"vr": "UI"}}),
    "a header that is cut": (implicit(UID, b"")[:7] + b"", {"00080018": {"vr": "UI"}}),
    "no item": (implicit(0x00081115, b"12345678"), {"00081115": {"vr": "SQ", "Value": [{}]}}),
    "a missing item": (implicit(0x00081115, b""), {"00081115": {"vr": "SQ", "Value": [{}]}}),
    "an item too many": (implicit(0x00081115, item(b"") * 2), {"00081115": {"vr": "SQ", "Value": [{}]}}),
    "a sequence without an end": (
        implicit(0x00081115, item(b"") * 2, UNDEFINED),
        {"00081115": {"vr": "SQ", "Value": [{}]}},
    ),
}


@pytest.mark.parametrize(("data", "dataset"), DAMAGED.values(), ids=DAMAGED)
def test_damaged_data_set_is_refused(data: bytes, dataset: dict[str, Any]) -> None:
    """Rather than guessed at."""
    with pytest.raises(Undecodable, match="byte"):
        list(explicit.rewritten(data, dataset, IMPLICIT))


def test_vr_that_is_none_is_kept() -> None:
    """Two bytes that name no VR stay what they are, whatever characters they would be."""
    data = b"\x00\x08\x00\x60CS\x00\x02CT" + b"\x00\x09\x10\x01\xffI\x00\x02ab"
    dataset = {"00080060": {"vr": "CS"}, "00091001": {"vr": "UN"}}

    written = list(explicit.rewritten(data, dataset, BIG))

    assert written[1:] == [(0x00091001, b"\x09\x00\x01\x10\xffI\x02\x00ab")]


@given(st.binary(max_size=60), st.sampled_from([IMPLICIT, EXPLICIT, BIG]))
def test_any_bytes_are_rewritten_or_refused(data: bytes, transfer_syntax: str) -> None:
    """And the walk ends."""
    try:
        written = b"".join(one for _, one in explicit.rewritten(data, {}, transfer_syntax))
    except Undecodable:
        return

    assert len(written) <= len(data)
