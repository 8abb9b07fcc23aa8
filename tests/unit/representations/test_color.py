"""Color images (PS3.3 C.7.6.3.1.2) and palettes (C.7.6.3.1.5, C.7.9), seen through PNG."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from dicom_core.record import Dataset
from dicom_core.representations.images import Undecodable
from tests.unit.representations.rendered import BIG_ENDIAN, colors, element, gray, header, pixels

RED, GREEN, BLUE, GRAY = [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]


def colored(columns: int, photometric: str = "RGB", **options: Any) -> Dataset:
    """The header of one row of three samples a pixel."""
    return header(1, columns, photometric=photometric, samples_per_pixel=3, **options)


def test_rgb_by_pixel_is_shown_as_it_is() -> None:
    """Planar Configuration 0: the samples of a pixel lie together (PS3.3 C.7.6.3.1.3)."""
    assert colors(colored(2), bytes((1, 2, 3, 4, 5, 6))) == [[1, 2, 3], [4, 5, 6]]


def test_rgb_by_plane_is_brought_together() -> None:
    """Planar Configuration 1: all red samples come first (PS3.3 C.7.6.3.1.3)."""
    planes = colored(2, x00280006=("US", 1))

    assert colors(planes, bytes((1, 4, 2, 5, 3, 6))) == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("bits", "allocated", "dtype", "sample", "level"),
    [
        (16, 16, "<u2", 0x80FF, 0x80),
        (12, 16, "<u2", 0xF80F, 0x80),
        (32, 32, "<u4", 0x80000000, 0x80),
        (4, 8, "u1", 8, 136),
    ],
)
def test_samples_of_other_sizes_are_brought_to_eight_bits(
    bits: int, allocated: int, dtype: str, sample: int, level: int
) -> None:
    """A rendered image has no more than 8 bits per channel (PS3.18 8.7.4)."""
    image = colored(1, bits=bits, allocated=allocated)

    assert colors(image, pixels(dtype, sample, 0, 0)) == [[level, 0, 0]]


def test_signed_colors_cannot_be_shown() -> None:
    """Colors below zero have no meaning."""
    with pytest.raises(Undecodable, match="signed"):
        colors(colored(1, signed=True), b"\1\2\3")


def near(found: list[list[int]], expected: list[list[int]]) -> bool:
    """The same colors, but for rounding."""
    pairs = zip(found, expected, strict=True)
    return all(abs(a - b) <= 1 for one, other in pairs for a, b in zip(one, other, strict=True))


YBR = bytes((76, 85, 255, 150, 44, 21, 29, 255, 107, 128, 128, 128))


def test_ybr_full_is_turned_to_rgb() -> None:
    """YBR_FULL has luminance and two color differences, 128 being none (PS3.3 C.7.6.3.1.2)."""
    assert near(colors(colored(4, "YBR_FULL"), YBR), [[254, 0, 0], [0, 255, 1], [0, 0, 254], GRAY])


def test_ybr_full_422_shares_colors_in_pairs() -> None:
    """YBR_FULL_422 has Y Y Cb Cr for two pixels (PS3.3 C.7.6.3.1.2)."""
    halved = colored(4, "YBR_FULL_422")

    assert near(
        colors(halved, bytes((76, 226, 85, 255, 128, 0, 128, 128))),
        [[254, 0, 0], [255, 149, 150], GRAY, [0, 0, 0]],
    )


def test_ybr_full_422_that_is_not_halved_is_ybr_full() -> None:
    """Some files say that pairs share their colors, and have those of every pixel."""
    assert colors(colored(4, "YBR_FULL_422"), YBR) == colors(colored(4, "YBR_FULL"), YBR)


def test_ybr_full_422_of_odd_width_cannot_be_shown() -> None:
    """Pairs of pixels do not fill an odd number of columns."""
    with pytest.raises(Undecodable):
        colors(colored(3, "YBR_FULL_422"), bytes(6))


def test_ybr_partial_422_is_spread_to_the_full_range() -> None:
    """YBR_PARTIAL_422, retired: black is 16 and white 235 (PS3.3 C.7.6.3.1.2)."""
    assert near(
        colors(colored(2, "YBR_PARTIAL_422"), bytes((16, 235, 128, 128))), [[0, 0, 0], [255, 255, 255]]
    )
    assert near(colors(colored(2, "YBR_PARTIAL_422"), bytes((81, 81, 90, 240))), [[254, 0, 0], [254, 0, 0]])


@pytest.mark.parametrize("photometric", ["HSV", "CMYK", "ARGB", "MONOCHROME2"])
def test_unknown_color_space_cannot_be_shown(photometric: str) -> None:
    """Retired color spaces are not guessed."""
    with pytest.raises(Undecodable, match="photometric interpretation"):
        colors(colored(1, photometric), bytes(3))


def test_four_samples_cannot_be_shown() -> None:
    """Images of four samples (CMYK, ARGB) are retired."""
    with pytest.raises(Undecodable, match="photometric interpretation"):
        colors(header(1, 1, photometric="RGB", samples_per_pixel=4), bytes(4))


def palette(
    columns: int,
    *channels: bytes,
    entries: int,
    first: int = 0,
    depth: int = 8,
    data: int = 0x00281201,
    **options: Any,
) -> Dataset:
    """The header of one row of palette color."""
    dataset = header(1, columns, photometric="PALETTE COLOR", **options)
    for number, channel in enumerate(channels):
        dataset[f"{0x00281101 + number:08X}"] = element("US", entries, first, depth)
        dataset[f"{data + number:08X}"] = element("OW", channel)
    return dataset


RGB8 = (bytes((10, 20, 30, 40)), bytes((11, 21, 31, 41)), bytes((12, 22, 32, 42)))
ENDS = [[10, 11, 12], [10, 11, 12], [20, 21, 22], [40, 41, 42], [40, 41, 42]]


def words(*numbers: int) -> bytes:
    """Entries of 16 bits."""
    return struct.pack(f"<{len(numbers)}H", *numbers)


def test_palette_gives_each_value_its_color() -> None:
    """Values beyond the ends of the palette have its first or last color (PS3.3 C.7.6.3.1.5)."""
    image = palette(5, *RGB8, entries=4, first=5)

    assert colors(image, bytes((0, 5, 6, 8, 255))) == ENDS


def test_palette_of_signed_values_may_begin_below_zero() -> None:
    """The first value of the palette is signed as the pixels are."""
    image = palette(5, *RGB8, entries=4, first=-2, signed=True)

    assert colors(image, pixels("i1", -128, -2, -1, 1, 127)) == ENDS


def test_palette_of_sixteen_bits_gives_the_upper_eight() -> None:
    """Entries of 16 bits are brought to 8."""
    image = palette(2, words(0, 0x80FF), words(0, 0xFFFF), words(0, 0x0100), entries=2, depth=16)

    assert colors(image, bytes((0, 1))) == [[0, 0, 0], [128, 255, 1]]


def test_palette_of_sixteen_bits_may_use_eight_of_them() -> None:
    """Some palettes say 16 bits, and none of their entries has more than 8."""
    image = palette(2, words(0, 255), words(0, 128), words(0, 1), entries=2, depth=16)

    assert colors(image, bytes((0, 1))) == [[0, 0, 0], [255, 128, 1]]


def test_palette_of_eight_bits_may_lie_in_words() -> None:
    """Entries of 8 bits may have a word each."""
    image = palette(2, words(0, 255), words(0, 128), words(0, 1), entries=2)

    assert colors(image, bytes((0, 1))) == [[0, 0, 0], [255, 128, 1]]


def test_palette_in_big_endian_is_read_as_it_is_stored() -> None:
    """Entries of 8 bits lie two in a word, which big endian files swap; those in JSON never are."""
    image = palette(4, *RGB8, entries=4)
    for number in range(3):
        image[f"{0x00281201 + number:08X}"] = {
            "vr": "OW",
            "BulkDataURI": f"bulkdata/{0x00281201 + number:08X}",
        }
    stored = {f"{0x00281201 + n:08X}": bytes((c[1], c[0], c[3], c[2])) for n, c in enumerate(RGB8)}

    # single bytes in words of big endian come in swapped pairs
    shown = colors(image, bytes((1, 0, 3, 2)), transfer_syntax=BIG_ENDIAN, bulk=stored)

    assert shown == [[10, 11, 12], [20, 21, 22], [30, 31, 32], [40, 41, 42]]


def test_palette_that_is_missing_is_told() -> None:
    """Palette color without a palette cannot be shown."""
    with pytest.raises(Undecodable, match="no usable palette"):
        colors(header(1, 1, photometric="PALETTE COLOR"), b"\0")


def test_palette_of_unequal_tables_is_told() -> None:
    """The three tables have the same number of entries (PS3.3 C.7.6.3.1.5)."""
    with pytest.raises(Undecodable, match="differ in length"):
        colors(palette(1, b"\1\2\3\4", b"\1\2\3\4", b"\1\2", entries=4), b"\0")


def segmented(*segments: int, entries: int, depth: int = 16) -> list[int]:
    """The red levels of all entries of a segmented palette."""
    channel = words(*segments) if depth == 16 else bytes(segments)
    image = palette(entries, channel, channel, channel, entries=entries, depth=depth, data=0x00281221)
    return [red for red, _, _ in colors(image, bytes(range(entries)))]


def test_segmented_palette_has_discrete_and_linear_segments() -> None:
    """Discrete segments list entries, linear ones lead from the last one to a value (PS3.3 C.7.9.2.1, C.7.9.2.2)."""
    assert segmented(0, 2, 0, 0x1000, 1, 3, 0x4000, entries=5) == [0, 16, 32, 48, 64]
    assert segmented(0, 1, 90, 1, 4, 50, entries=5, depth=8) == [90, 80, 70, 60, 50]
    assert segmented(0, 1, 9, 1, 2, 9, entries=3, depth=8) == [9, 9, 9]


def test_segmented_palette_repeats_segments_indirectly() -> None:
    """An indirect segment names the offset in bytes of segments to expand once more (PS3.3 C.7.9.2.3)."""
    wide = (0, 2, 0x100, 0x200, 1, 2, 0x400, 2, 2, 0, 0)
    narrow = (0, 2, 1, 2, 1, 2, 4, 2, 2, 0, 0, 0, 0)

    assert segmented(*wide, entries=8) == [1, 2, 3, 4, 1, 2, 3, 4]
    assert segmented(*narrow, entries=8, depth=8) == [1, 2, 3, 4, 1, 2, 3, 4]
    assert segmented(0, 1, 0x700, 0, 1, 0x900, 2, 1, 6, 0, entries=3) == [7, 9, 9]


def test_segmented_palette_ends_with_its_entries() -> None:
    """Segments beyond the number of entries are not expanded, however often they are repeated."""
    assert segmented(0, 1, 0x500, 1, 0xFFFF, 0x500, 2, 0xFFFF, 6, 0, entries=4) == [5, 5, 5, 5]
    assert segmented(0, 2, 7, 8, 0, 1, 9, 2, 255, 0, 0, 0, 0, entries=5, depth=8) == [7, 8, 9, 7, 8]
    assert segmented(0, 1, 7, 0, 0, 0, entries=1, depth=8) == [7]


@pytest.mark.parametrize(
    "segments",
    [
        (0, 5, 1),
        (1, 2, 3),
        (3, 1, 1),
        (0, 1, 1, 1, 4),
        (0, 1, 1, 2, 1, 0x1000, 0),
        (0, 1, 1, 2, 1, 6, 0),
        (2, 1, 0, 0),
        (0, 1, 1, 1, 0, 5),
        (0, 1, 1, 2, 1, 14, 0, 0, 0),
    ],
    ids=[
        "cut",
        "linear first",
        "unknown",
        "cut linear",
        "beyond",
        "of an indirect one",
        "indirect first",
        "empty linear",
        "empty indirectly",
    ],
)
def test_segmented_palette_that_is_malformed_is_told(segments: tuple[int, ...]) -> None:
    """What is no segment, or ends within one, is an error."""
    with pytest.raises(Undecodable, match="segment"):
        segmented(*segments, entries=9)


def test_segmented_palette_without_segments_is_told() -> None:
    """A palette has entries."""
    with pytest.raises(Undecodable, match="no entries"):
        segmented(0, entries=4)


def test_supplemental_palette_colors_the_values_from_its_first() -> None:
    """Values below the supplemental palette go through the grayscale pipeline (PS3.3 C.8.16.2.1.1.1)."""
    image = palette(4, *RGB8, entries=4, first=200, x00089205=("CS", "COLOR"))
    image["00280004"] = element("CS", "MONOCHROME2")

    assert colors(image, bytes((0, 199, 200, 203))) == [[0, 0, 0], [199] * 3, [10, 11, 12], [40, 41, 42]]


def test_palette_beside_a_grayscale_image_is_not_applied() -> None:
    """A palette is supplemental only where Pixel Presentation says so."""
    image = palette(2, *RGB8, entries=4, first=0)
    image["00280004"] = element("CS", "MONOCHROME2")

    assert gray(image, bytes((0, 3))) == [0, 3]
