"""The grayscale pipeline (PS3.3 C.11, PS3.4 N.2), seen through PNG."""

from __future__ import annotations

import struct
from math import exp
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.record import Dataset
from dicom_core.rendition import Function, Rendition, Window
from dicom_core.representations.images import Undecodable
from tests.unit.representations.rendered import BIG_ENDIAN, element, gray, header, lut, pixels

RAMP = pixels("<u2", 0, 1024, 2048, 4095)


def ramp(**options: Any) -> Dataset:
    """The header of four pixels of 12 bits."""
    return header(1, 4, bits=12, **options)


def test_values_of_eight_bits_are_shown_as_they_are() -> None:
    """Unsigned values of up to 8 bits that nothing transforms are what is displayed."""
    assert gray(header(1, 4), bytes((0, 3, 100, 200))) == [0, 3, 100, 200]
    assert gray(header(1, 4, bits=4, allocated=8), bytes((0, 5, 10, 15))) == [0, 85, 170, 255]


def test_values_without_a_window_are_spread_from_least_to_most() -> None:
    """Without VOI the least value of the frame is black and the greatest white."""
    assert gray(ramp(), pixels("<u2", 100, 200, 300, 610)) == [0, 50, 100, 255]
    assert gray(header(1, 3, bits=16, signed=True), pixels("<i2", -32768, 0, 32767)) == [0, 128, 255]


def test_values_that_are_all_the_same_are_black() -> None:
    """A frame without contrast has none to show."""
    assert gray(ramp(), pixels("<u2", 7, 7, 7, 7)) == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("center", "width", "function", "levels"),
    [
        (2048, 4096, "LINEAR", [0, 64, 128, 255]),
        (2048, 4096, None, [0, 64, 128, 255]),
        (2048, 4096, "OTHER", [0, 64, 128, 255]),
        (1024.5, 1, "LINEAR", [0, 0, 255, 255]),
        (1024, 2048, "LINEAR_EXACT", [0, 128, 255, 255]),
        (2048, 1024, "SIGMOID", [0, 5, 128, 255]),
    ],
)
def test_window_of_the_header_is_applied(
    center: float, width: float, function: str | None, levels: list[int]
) -> None:
    """A window selects the values of interest by its function, LINEAR by default (PS3.3 C.11.2.1)."""
    named = {"x00281056": ("CS", function)} if function else {}

    assert gray(ramp(x00281050=("DS", center), x00281051=("DS", width), **named), RAMP) == levels


def test_first_of_several_windows_is_applied() -> None:
    """Of several windows the first one is shown."""
    several = ramp(x00281050=("DS", [2048, 10]), x00281051=("DS", [4096, 20]))

    assert gray(several, RAMP) == [0, 64, 128, 255]


@pytest.mark.parametrize("width", [0, -5, 0.5, "wide", None])
def test_window_without_a_usable_width_counts_as_absent(width: object) -> None:
    """A window that its function is not defined for is no window."""
    assert gray(ramp(x00281050=("DS", 5), x00281051=("DS", width)), RAMP) == gray(ramp(), RAMP)


def test_window_that_is_asked_for_replaces_the_others() -> None:
    """The window parameter wins over window and VOI LUT of the header (PS3.18 8.3.5.1.4)."""
    own = ramp(
        x00281050=("DS", 5),
        x00281051=("DS", 10),
        x00283010=("SQ", [lut(0, 8, range(256))]),
    )
    asked = Rendition(window=Window(1024, 2048, Function.LINEAR_EXACT))

    assert gray(own, RAMP, asked) == [0, 128, 255, 255]


def test_window_counts_in_values_behind_the_rescaling() -> None:
    """Modality comes before VOI (PS3.4 N.2): the window is in Hounsfield units, not in stored values."""
    scaled = ramp(
        x00281052=("DS", -1024), x00281053=("DS", 2), x00281050=("DS", 1024), x00281051=("DS", 4096)
    )

    assert gray(scaled, RAMP) == [0, 128, 255, 255]


def test_rescaling_by_intercept_alone_has_a_slope_of_one() -> None:
    """A slope or intercept that is missing changes nothing, and a slope of 0 counts as missing."""
    window = {"x00281050": ("DS", 0.5), "x00281051": ("DS", 2049)}

    alone = gray(ramp(x00281052=("DS", -1024), **window), RAMP)

    assert alone == [0, 128, 255, 255]
    assert gray(ramp(x00281052=("DS", -1024), x00281053=("DS", 0), **window), RAMP) == alone


def test_negative_slope_turns_black_and_white() -> None:
    """The least value behind the rescaling is black, whichever stored value it comes from."""
    assert gray(ramp(x00281052=("DS", 0), x00281053=("DS", -1)), RAMP) == [255, 191, 127, 0]


def test_modality_lut_wins_over_rescaling() -> None:
    """A Modality LUT is applied instead of slope and intercept; values beyond its ends have its ends' entries."""
    table = lut(1, 16, [10, 20, 110])
    looked_up = header(1, 5, bits=12, x00283000=("SQ", [table]), x00281053=("DS", 9), x00281052=("DS", 1))

    assert gray(looked_up, pixels("<u2", 0, 1, 2, 3, 9)) == [0, 0, 26, 255, 255]


@pytest.mark.parametrize(
    ("sop_class", "relationship", "levels"),
    [
        ("1.2.840.10008.5.1.4.1.1.12.1", "LOG", [0, 128, 255]),
        ("1.2.840.10008.5.1.4.1.1.12.2", "DISP", [0, 128, 255]),
        ("1.2.840.10008.5.1.4.1.1.12.1", "LIN", [255, 191, 0]),
        ("1.2.840.10008.5.1.4.1.1.1", "LOG", [255, 191, 0]),
    ],
)
def test_modality_lut_to_x_ray_intensity_is_not_applied(
    sop_class: str, relationship: str, levels: list[int]
) -> None:
    """The LUT of an angiogram gives X-Ray intensities, and not what is shown (PS3.3 C.8.7.1.1.2)."""
    table = lut(0, 16, [40, 30, 0])
    image = header(
        1,
        3,
        bits=12,
        x00080016=("UI", sop_class),
        x00281040=("CS", relationship),
        x00283000=("SQ", [table]),
    )

    assert gray(image, pixels("<u2", 0, 1, 2)) == levels


def test_voi_lut_wins_over_the_window_of_the_header() -> None:
    """A VOI LUT is preferred to a window beside it; its entries spread over as many bits as it says."""
    table = lut(1024, 10, [0, 341, 682, 1023])
    image = header(1, 5, bits=12, x00283010=("SQ", [table]), x00281050=("DS", 1), x00281051=("DS", 2))

    assert gray(image, pixels("<u2", 0, 1024, 1025, 1026, 4095)) == [0, 0, 85, 170, 255]


def test_voi_lut_with_more_bits_than_it_says_is_not_cut() -> None:
    """Entries beyond the bits of the descriptor make the greatest of them white."""
    table = lut(0, 8, [0, 1020])

    assert gray(ramp(x00283010=("SQ", [table])), pixels("<u2", 0, 1, 2, 3)) == [0, 255, 255, 255]


def test_voi_lut_behind_a_rescaling_may_begin_below_zero() -> None:
    """The first value of a LUT is signed where its input is, even if it was written as unsigned (C.11.2.1.1)."""
    table = lut(0x10000 - 1024, 8, [0, 100, 200])
    image = ramp(x00283010=("SQ", [table]), x00281052=("DS", -1024), x00281053=("DS", 1))

    assert gray(image, pixels("<u2", 0, 1, 2, 3)) == [0, 100, 200, 200]


def test_lut_of_numbers_is_that_of_words() -> None:
    """LUT Data may be US instead of OW (PS3.3 C.11.2.1.1)."""
    table = lut(0, 8, [0, 100, 200]) | {"00283006": element("US", 0, 100, 200)}

    assert gray(ramp(x00283010=("SQ", [table])), pixels("<u2", 0, 1, 2, 3)) == [0, 100, 200, 200]


def test_lut_of_eight_bits_may_be_packed() -> None:
    """Entries of 8 bits may lie two in a word, the first in the less significant half (PS3.3 C.11.1.1.1)."""
    table = {"00283002": element("US", 4, 0, 8), "00283006": element("OW", bytes((0, 10, 20, 30)))}

    assert gray(ramp(x00283010=("SQ", [table])), pixels("<u2", 0, 1, 2, 3)) == [0, 10, 20, 30]


@pytest.mark.parametrize("order", "<>")
def test_lut_beyond_the_header_is_read_as_it_is_stored(order: str) -> None:
    """A large LUT is bulk data, whose words have the byte order of the file."""
    table = lut(0, 16, []) | {
        "00283002": element("US", 3, 0, 16),
        "00283006": {"vr": "OW", "BulkDataURI": "bulkdata/00283010/1/00283006"},
    }
    stored = struct.pack(f"{order}3H", 0, 0x8080, 0xFFFF)

    levels = gray(
        ramp(x00283010=("SQ", [table])),
        pixels(f"{order}u2", 0, 1, 2, 3),
        transfer_syntax=BIG_ENDIAN if order == ">" else "1.2.840.10008.1.2.1",
        bulk={"00283010/1/00283006": stored},
    )

    assert levels == [0, 128, 255, 255]


def test_lut_that_was_not_read_is_not_passed_over() -> None:
    """Without its LUT an image is not shown at all: it would look different."""
    table = lut(0, 16, [1]) | {"00283006": {"vr": "OW", "BulkDataURI": "bulkdata/00283010/1/00283006"}}

    with pytest.raises(Undecodable, match="00283010/1/00283006 is missing"):
        gray(ramp(x00283010=("SQ", [table])), RAMP)


def test_lut_without_entries_cannot_be_shown() -> None:
    """A LUT that says that it has entries, and has none, is an error."""
    table = lut(0, 16, [1]) | {"00283006": element("OW", b"")}

    with pytest.raises(Undecodable, match="no entries"):
        gray(ramp(x00283010=("SQ", [table])), RAMP)


def test_lut_with_an_unusable_descriptor_counts_as_absent() -> None:
    """A LUT whose descriptor has not three numbers is none."""
    table = lut(0, 16, [1]) | {"00283002": element("US", 1, 0)}

    assert gray(ramp(x00283010=("SQ", [table])), RAMP) == gray(ramp(), RAMP)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME1", None, True),
        ("MONOCHROME2", None, False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "IDENTITY", False),
    ],
)
def test_inversion_happens_once(photometric: str, shape: str | None, inverted: bool) -> None:
    """MONOCHROME1 and a Presentation LUT Shape of INVERSE say the same: it is said twice, and done once."""
    shaped = {"x20500020": ("CS", shape)} if shape else {}
    levels = gray(header(1, 3, photometric=photometric, **shaped), bytes((0, 100, 255)))

    assert levels == ([255, 155, 0] if inverted else [0, 100, 255])


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ({"x00280120": ("US", 4000)}, pixels("<u2", 4000, 100, 200, 610)),
        ({"x00280120": ("US", 4000), "x00280121": ("US", 4095)}, pixels("<u2", 4050, 100, 200, 610)),
        ({"x00280120": ("US", 4095), "x00280121": ("US", 4000)}, pixels("<u2", 4050, 100, 200, 610)),
    ],
)
def test_padding_is_black_and_does_not_count(options: Any, content: bytes) -> None:
    """Padding, a value or a range of them, is background and no part of the contrast (PS3.3 C.7.5.1.1.2)."""
    assert gray(ramp(**options), content) == [0, 0, 50, 255]
    assert gray(ramp(photometric="MONOCHROME1", **options), content) == [0, 255, 205, 0]


def test_padding_of_signed_values_may_be_written_as_unsigned() -> None:
    """Pixel Padding Value may have the wrong one of its two VRs."""
    image = header(1, 3, bits=16, signed=True, x00280120=("US", 0x10000 - 2000))

    assert gray(image, pixels("<i2", -2000, 0, 255)) == [0, 0, 255]


def test_frame_of_padding_alone_is_black() -> None:
    """A frame outside of the image has nothing to measure."""
    assert gray(ramp(x00280120=("US", 7)), pixels("<u2", 7, 7, 7, 7)) == [0, 0, 0, 0]


def test_overlay_bits_above_the_stored_ones_are_masked() -> None:
    """Bits beyond Bits Stored are no part of the value (PS3.5 8.1.1)."""
    window = {"x00281050": ("DS", 2048), "x00281051": ("DS", 4096)}
    overlaid = pixels("<u2", 0xF000, 0x8000 | 1024, 2048, 0x1FFF)

    assert gray(header(1, 4, bits=12, allocated=16, **window), overlaid) == [0, 64, 128, 255]


def test_values_need_not_begin_at_the_least_significant_bit() -> None:
    """High Bit says where the stored bits are; retired, and still met (PS3.5 8.1.1)."""
    high = header(1, 2, bits=8, allocated=16, high_bit=15)
    signed = header(1, 2, bits=8, allocated=16, high_bit=15, signed=True)

    assert gray(high, pixels("<u2", 0x10FF, 0x2000)) == [0x10, 0x20]
    assert gray(signed, pixels("<u2", 0x80FF, 0x7F00)) == [0, 255]


def test_signed_values_of_fewer_bits_are_extended() -> None:
    """The sign is in the highest stored bit, not in the highest allocated one."""
    assert gray(header(1, 3, bits=12, allocated=16, signed=True), pixels("<u2", 0x800, 0, 0x7FF)) == [
        0,
        128,
        255,
    ]


def test_single_bits_are_black_and_white() -> None:
    """The first pixel is the least significant bit (PS3.5 8.1.1); a frame of one color keeps it."""
    image = header(2, 5, bits=1)

    assert gray(image, bytes((0b01010101, 0b10))) == [255, 0, 255, 0, 255, 0, 255, 0, 0, 255]
    assert gray(image, bytes((0xFF, 0x03))) == [255] * 10
    assert gray(header(2, 5, bits=1, signed=True), bytes((0xFF, 0x03))) == [255] * 10


@pytest.mark.parametrize(
    ("dtype", "bits", "signed", "numbers"),
    [
        ("<u4", 32, False, (0, 1 << 31, 0xFFFFFFFF)),
        ("<i4", 32, True, (-(1 << 31), 0, (1 << 31) - 1)),
        ("<u4", 20, False, (0, 1 << 19, (1 << 20) - 1)),
        ("<u8", 64, False, (0, 1 << 63, (1 << 64) - 1)),
    ],
)
def test_values_of_many_bits_are_spread(
    dtype: str, bits: int, signed: bool, numbers: tuple[int, ...]
) -> None:
    """Values of more than 16 bits go through the same pipeline."""
    allocated = int(dtype[2]) * 8

    assert gray(header(1, 3, bits=bits, allocated=allocated, signed=signed), pixels(dtype, *numbers)) == [
        0,
        128,
        255,
    ]


@pytest.mark.parametrize(("dtype", "tag"), [("<f4", "7FE00008"), ("<f8", "7FE00009")])
def test_floating_point_values_are_spread(dtype: str, tag: str) -> None:
    """What is no number is black, and does not count (PS3.3 C.7.6.24, C.7.6.25)."""
    size = int(dtype[2]) * 8
    image = header(1, 5, bits=size, photometric="MONOCHROME1") | {
        tag: {"vr": "OF" if size == 32 else "OD", "BulkDataURI": f"bulkdata/{tag}"}
    }

    assert gray(image, pixels(dtype, np.nan, np.inf, -1.5, 0.5, 2.5)) == [0, 0, 255, 127, 0]


def test_padding_of_floating_point_values_is_black() -> None:
    """Float Pixel Padding Value has a tag of its own (PS3.3 C.7.6.24)."""
    image = header(1, 3, bits=32, x00280122=("FL", -5)) | {"7FE00008": {"vr": "OF", "BulkDataURI": "x"}}

    assert gray(image, pixels("<f4", -5, 1, 2)) == [0, 0, 255]


def group(**elements: tuple[str, Any]) -> dict[str, Any]:
    """The item of a functional group macro."""
    return {tag[1:]: element(vr, value) for tag, (vr, value) in elements.items()}


def macro(tag: str, **elements: tuple[str, Any]) -> dict[str, Any]:
    """Functional groups with one macro."""
    return {tag: element("SQ", group(**elements))}


SHARED = {
    **macro("00289145", x00281052=("DS", -1024), x00281053=("DS", 2)),
    **macro("00289132", x00281050=("DS", 1024), x00281051=("DS", 4096)),
}
OWN = macro("00289132", x00281050=("DS", 7166), x00281051=("DS", 2))


def test_functional_groups_of_all_frames_are_applied() -> None:
    """Pixel Value Transformation and Frame VOI LUT may be shared (PS3.3 C.7.6.16.2.9, C.7.6.16.2.10)."""
    image = ramp(x52009229=("SQ", [SHARED]), x00281050=("DS", 1), x00281051=("DS", 1))

    assert gray(image, RAMP) == [0, 128, 255, 255]


def test_functional_groups_of_a_frame_win_over_shared_ones() -> None:
    """Each frame has its own; what it has not is shared."""
    image = ramp(x52009229=("SQ", [SHARED]), x52009230=("SQ", [{}, OWN]))

    assert gray(image, RAMP, number=1) == [0, 128, 255, 255]
    assert gray(image, RAMP, number=2) == [0, 0, 0, 255]


def test_voi_lut_of_a_frame_is_applied() -> None:
    """A Frame VOI LUT item may hold a LUT instead of a window."""
    own = {"00289132": element("SQ", {"00283010": element("SQ", lut(0, 8, [7, 8]))})}

    assert gray(ramp(x52009230=("SQ", [own])), RAMP) == [7, 8, 8, 8]


@st.composite
def images(draw: st.DrawFn) -> tuple[Dataset, list[int], float, float, Window | None]:
    """An image of few pixels with some encoding, rescaling and window."""
    bits = draw(st.integers(2, 16))
    signed = draw(st.booleans())
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    numbers = draw(st.lists(st.integers(low, high), min_size=2, max_size=8))
    slope = draw(st.sampled_from([1.0, 0.5, 2.0, -1.0, 3.7]))
    intercept = draw(st.sampled_from([0.0, -1024.0, 5.5]))
    center, width = draw(st.integers(-3000, 3000)), draw(st.integers(1, 5000))
    window = draw(st.sampled_from([None, *(Window(center, width, function) for function in Function)]))
    dataset = header(
        1,
        len(numbers),
        bits=bits,
        allocated=16,
        signed=signed,
        x00281052=("DS", intercept),
        x00281053=("DS", slope),
    )
    if window is not None:
        dataset |= {
            "00281050": element("DS", window.center),
            "00281051": element("DS", window.width),
            "00281056": element("CS", window.function.value),
        }
    return dataset, numbers, slope, intercept, window


def _level(value: float, window: Window) -> float:
    """The gray level of one value, by the pseudo-code of PS3.3 C.11.2.1.2 and the formula of C.11.2.1.3."""
    if window.function is Function.SIGMOID:
        return 255 / (1 + exp(min(700, -4 * (value - window.center) / window.width)))
    center, width = window.center, window.width
    if window.function is Function.LINEAR:
        center, width = center - 0.5, width - 1
    if value <= center - width / 2:
        return 0
    if value > center + width / 2:
        return 255
    return ((value - center) / width + 0.5) * 255


@given(images())
def test_pipeline_is_that_of_the_standard(
    image: tuple[Dataset, list[int], float, float, Window | None],
) -> None:
    """Whatever bits, sign, slope and window: each level is what the standard's formulas give, rounded."""
    dataset, numbers, slope, intercept, window = image
    values = [number * slope + intercept for number in numbers]
    if window is not None:
        expected = [_level(value, window) for value in values]
    elif (slope, intercept) == (1.0, 0.0) and dataset["00280101"]["Value"][0] <= 8 and min(numbers) >= 0:
        return  # shown as they are: a test of its own
    else:
        spread = (max(values) - min(values)) or 1
        expected = [(value - min(values)) / spread * 255 for value in values]

    levels = gray(dataset, pixels("<i2", *(((n + 0x8000) & 0xFFFF) - 0x8000 for n in numbers)))

    assert np.abs(np.array(levels) - expected).max() <= 0.5 + 1e-9
