"""What a header says of its pixels (PS3.3 C.7.6.3)."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_core.representations import images
from dicom_core.representations.images import Image, Undecodable


def header(**changed: Any) -> dict[str, Any]:
    """The JSON of a header with 3 rows of 5 pixels of 16 bits; None leaves an element out."""
    values = {
        "00280002": 1,
        "00280004": "MONOCHROME2",
        "00280010": 3,
        "00280011": 5,
        "00280100": 16,
        "00280101": 12,
        "00280102": 11,
        "00280103": 1,
        **{key.removeprefix("_"): value for key, value in changed.items()},
    }
    return {key: {"vr": "US", "Value": [value]} for key, value in values.items() if value is not None}


def test_header_is_read() -> None:
    """Every attribute that describes the pixels is taken."""
    image = Image.of({**header(), "7FE00010": {"vr": "OB"}})

    assert image == Image(3, 5, 1, 16, 12, 11, 1, "MONOCHROME2", 0, "OB")
    assert (image.signed, image.floating, image.samples, image.size) == (True, False, 15, 30)


def test_header_without_what_may_be_missing() -> None:
    """Float Pixel Data have no Bits Stored and no Pixel Representation (PS3.3 C.7.6.24)."""
    optional = {f"_{key}": None for key in ("00280002", "00280101", "00280102", "00280103")}

    image = Image.of({**header(_00280100=32, **optional), "7FE00008": {"vr": "OF"}})

    assert image == Image(3, 5, 1, 32, 32, 31, 0, "MONOCHROME2", 0, "OF")
    assert image.floating


@pytest.mark.parametrize(
    ("changed", "size"),
    [
        ({"_00280002": 3, "_00280004": "RGB", "_00280100": 8, "_00280101": 8, "_00280102": 7}, 45),
        ({"_00280002": 3, "_00280004": "YBR_FULL_422", "_00280100": 8, "_00280101": 8, "_00280102": 7}, 30),
        ({"_00280100": 1, "_00280101": 1, "_00280102": 0}, 2),
    ],
    ids=["RGB", "4:2:2", "single bits"],
)
def test_size_of_a_native_frame(changed: dict[str, Any], size: int) -> None:
    """Two pixels of 4:2:2 share their colours (PS3.3 C.7.6.3.1.2); single bits fill whole bytes."""
    assert Image.of(header(**changed)).size == size


@pytest.mark.parametrize(
    ("changed", "tag"),
    [
        ({"_00280010": None}, "0028,0010"),
        ({"_00280011": 0}, "0028,0011"),
        ({"_00280100": None}, "0028,0100"),
        ({"_00280100": 12}, "0028,0100"),
        ({"_00280101": 17}, "0028,0101"),
        ({"_00280102": 16}, "0028,0102"),
        ({"_00280002": 2}, "0028,0002"),
    ],
)
def test_header_of_no_image_is_refused(changed: dict[str, Any], tag: str) -> None:
    """The refusal names the attribute."""
    with pytest.raises(Undecodable, match=tag):
        Image.of(header(**changed))


def test_frame_that_is_too_large_is_refused() -> None:
    """Before anything of its size is allocated."""
    side = 1 << 14

    with pytest.raises(Undecodable, match=str(images.MAX_FRAME)):
        Image.of(header(_00280010=side, _00280011=side))
