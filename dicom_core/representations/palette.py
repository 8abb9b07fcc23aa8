"""Palette color (PS3.3 C.7.6.3.1.5, C.7.9): stored values to red, green and blue of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicom_core.representations import luts
from dicom_core.representations.images import Undecodable
from dicom_core.representations.luts import Bulk
from dicom_core.representations.presentation import Lut, Palette


def rendered(values: NDArray[Any], palette: Palette, bulk: Bulk) -> NDArray[np.uint8]:
    """The colors of stored values, in a last dimension of three; beyond the table's ends, its first and last."""
    table = colors(palette, bulk)
    return np.take(table, _index(values, palette.luts[0], len(table)), axis=0)


def supplemented(
    gray: NDArray[np.uint8], values: NDArray[Any], palette: Palette, bulk: Bulk
) -> NDArray[np.uint8]:
    """Gray levels as colors, but where the supplemental palette begins, its own (PS3.3 C.8.16.2.1.1.1)."""
    result = np.repeat(gray[:, None], 3, axis=1)
    colored = values >= palette.luts[0].first
    result[colored] = rendered(values[colored], palette, bulk)
    return result


def colors(palette: Palette, bulk: Bulk) -> NDArray[np.uint8]:
    """The palette: red, green and blue of each entry.

    Raises
    ------
    Undecodable
        The three tables have not the same number of entries.
    """
    read = luts.expanded if palette.segmented else luts.entries
    channels = [read(lut, bulk) for lut in palette.luts]
    if len({len(channel) for channel in channels}) != 1:
        raise Undecodable("the lookup tables of the palette differ in length")
    table = np.stack(channels, axis=1)
    # Some say 16 bits and fill 8 of them; then the low ones count (as in other viewers).
    if palette.luts[0].bits > 8 and table.max() > 0xFF:
        table >>= max(palette.luts[0].bits, int(table.max()).bit_length()) - 8
    return table.astype(np.uint8)


def _index(values: NDArray[Any], lut: Lut, length: int) -> NDArray[np.intp]:
    return np.clip(values.astype(np.intp) - lut.first, 0, length - 1)
