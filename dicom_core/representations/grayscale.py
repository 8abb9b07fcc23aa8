"""The grayscale pipeline (PS3.3 C.11, PS3.4 N.2): stored values to 8 bits, through modality, VOI and presentation.

Up to 16 bits, the pipeline is run once over every value that there can be, and the pixels are looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dicom_core.rendition import Function, Window
from dicom_core.representations import luts
from dicom_core.representations.images import Image
from dicom_core.representations.luts import Bulk
from dicom_core.representations.presentation import Lut, Presentation

Gray: TypeAlias = NDArray[np.uint8]
Numbers: TypeAlias = NDArray[np.float64]
Stored: TypeAlias = NDArray[Any]

_TABLE_BITS = 16
_DISPLAY_BITS = 8
"""Unsigned values of so few bits that nothing transforms are what is displayed."""

_BLACK, _WHITE = 0, 255


@dataclass(frozen=True, slots=True)
class Range:
    """The smallest and the largest value that an image shows, behind the modality transformation."""

    low: float
    high: float

    def joined(self, other: Range | None) -> Range:
        """The range of two frames."""
        return self if other is None else Range(min(self.low, other.low), max(self.high, other.high))


def stored(pixels: bytes, image: Image) -> Stored:
    """The stored values of native pixels, one dimension: overlay bits masked off, signs extended (PS3.5 8.1.1)."""
    if image.bits_allocated == 1:
        return np.unpackbits(np.frombuffer(pixels, np.uint8), count=image.samples, bitorder="little")
    if image.floating:
        return np.frombuffer(pixels, f"<f{image.bits_allocated >> 3}")
    allocated, unused = image.bits_allocated, image.bits_allocated - image.bits_stored
    values: Stored = np.frombuffer(pixels, f"<{'i' if image.signed else 'u'}{allocated >> 3}")
    if not unused:
        return values
    shift = max(0, image.high_bit + 1 - image.bits_stored)
    if image.signed:
        values = values << unused - shift >> unused
    else:
        values = values >> shift & values.dtype.type((1 << image.bits_stored) - 1)
    return values


@dataclass(frozen=True, slots=True)
class Pipeline:
    """What stored values of an image go through; a `window` that is asked for replaces the header's own."""

    image: Image
    shown: Presentation
    bulk: Bulk
    window: Window | None = None

    @property
    def needs_range(self) -> bool:
        """Nothing but the pixels tells which values are black and white."""
        return not (self.window or self.shown.voi or self.shown.window or self._is_display)

    def measured(self, values: Stored) -> Range | None:
        """The range of the values of a frame that are no padding; None if there are none."""
        if (padding := self._padding(values)) is not None:
            values = values[~padding]
        if not len(values):
            return None
        if self.shown.modality is None:
            values = np.array([values.min(), values.max()])
        with np.errstate(all="ignore"):  # of numbers that are too large
            output = self._modality(values.astype(np.float64))
        return Range(float(output.min()), float(output.max()))

    def rendered(self, values: Stored, bounds: Range | None = None) -> Gray:
        """The gray levels of stored values: 0 is black.

        Parameters
        ----------
        bounds
            The values that are black and white where nothing else says it; without them, those of the frame.
        """
        if bounds is None and self.needs_range:
            bounds = self.measured(values)
        bits, image = self.image.bits_stored, self.image
        if image.floating or bits > _TABLE_BITS:
            return self._gray(values, bounds)
        domain = np.arange(1 << bits)
        if not self._is_signed:
            return np.take(self._gray(domain, bounds), values)
        domain[1 << bits - 1 :] -= 1 << bits
        if bits < image.bits_allocated:
            values = values & values.dtype.type((1 << bits) - 1)
        return np.take(self._gray(domain, bounds), values.view(f"u{values.dtype.itemsize}"))

    @property
    def _is_signed(self) -> bool:
        return self.image.signed and self.image.bits_allocated > 1

    @property
    def _is_display(self) -> bool:
        shown, image = self.shown, self.image
        plain = shown.modality is None and (shown.slope, shown.intercept) == (1.0, 0.0)
        return plain and image.bits_stored <= _DISPLAY_BITS and not self._is_signed and not image.floating

    def _gray(self, values: Stored, bounds: Range | None) -> Gray:
        """The whole pipeline; padding is background whatever it makes of it (PS3.3 C.7.5.1.1.2)."""
        with np.errstate(all="ignore"):
            output = self._voi(self._modality(values.astype(np.float64)), bounds)
        np.nan_to_num(output, copy=False)
        np.clip(output, _BLACK, _WHITE, out=output)
        levels = (output + 0.5).astype(np.uint8)
        if self.shown.inverse:
            np.subtract(_WHITE, levels, out=levels)
        if (padding := self._padding(values)) is not None:
            levels[padding] = _BLACK
        return levels

    def _padding(self, values: Stored) -> NDArray[np.bool_] | None:
        """Which values are no part of the image: padding, and what is no number; None if all are."""
        outside: NDArray[np.bool_] | None = ~np.isfinite(values) if self.image.floating else None
        if self.shown.padding is None:
            return outside
        low, high = self.shown.padding
        if self._is_signed and low >= 1 << self.image.bits_allocated - 1:
            # two's complement that was written as unsigned numbers
            low, high = low - (1 << self.image.bits_allocated), high - (1 << self.image.bits_allocated)
        padding = (values >= low) & (values <= high)
        return padding if outside is None else padding | outside

    def _modality(self, values: Numbers) -> Numbers:
        """Apply the modality LUT, or else slope and intercept (PS3.3 C.11.1)."""
        shown = self.shown
        if shown.modality is not None:
            return _looked_up(values, shown.modality, luts.entries(shown.modality, self.bulk))
        if (shown.slope, shown.intercept) == (1.0, 0.0):
            return values
        return np.asarray(values * shown.slope + shown.intercept)

    def _voi(self, values: Numbers, bounds: Range | None) -> Numbers:
        """Select the values of interest (PS3.3 C.11.2): gray levels from 0 to 255, which may lie beyond."""
        shown, window = self.shown, self.window
        if window is None and shown.voi is not None:
            table = luts.entries(shown.voi, self.bulk)
            white = max((1 << shown.voi.bits) - 1, int(table.max()))
            return _looked_up(values, shown.voi, table) * (_WHITE / white)
        window = window or shown.window
        if window is not None:
            return _windowed(values, window)
        if self._is_display:
            return values * (_WHITE / ((1 << self.image.bits_stored) - 1))
        if bounds is None or bounds.low >= bounds.high:
            return np.zeros_like(values)
        return (values - bounds.low) * (_WHITE / (bounds.high - bounds.low))


def _looked_up(values: Numbers, lut: Lut, table: NDArray[np.uint16]) -> Numbers:
    """Values through a table: those beyond its ends have the first or the last entry (PS3.3 C.11.1.1.1)."""
    first = lut.first
    if first >= 0x8000 and values.min() < 0:
        first -= 0x10000  # a signed number that was written as an unsigned one
    places = np.floor(np.nan_to_num(values) + 0.5) - first
    index: NDArray[np.intp] = np.clip(places, 0, len(table) - 1).astype(np.intp)
    return table[index].astype(np.float64)


def _windowed(values: Numbers, window: Window) -> Numbers:
    """Apply a window (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    center, width = window.center, window.width
    if window.function is Function.SIGMOID:
        exponent = np.clip(-4 * (values - center) / width, -700, 700)
        return np.asarray(_WHITE / (1 + np.exp(exponent)))
    if window.function is Function.LINEAR:
        center, width = center - 0.5, width - 1
    if not width:
        threshold: Numbers = np.where(values > center, _WHITE * 1.0, _BLACK * 1.0)
        return threshold
    return np.asarray(((values - center) / width + 0.5) * _WHITE)
