"""How a frame is shown, as its header says: the attributes of the rendering pipeline (PS3.3 C.11, C.7.6.16.2).

They are read from DICOM JSON: the frame's own functional groups win over those that all frames share, and these over
the data set's own attributes. What is not usable counts as absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, TypeAlias

from dicom_core.record import Dataset
from dicom_core.rendition import Function, Window
from dicom_core.representations import metadata

Element: TypeAlias = Mapping[str, Any]
"""An element of DICOM JSON."""

_SHARED, _PER_FRAME = "52009229", "52009230"
_PIXEL_MEASURES, _FRAME_VOI, _TRANSFORMATION, _OPTICAL_PATH = "00289110", "00289132", "00289145", "00480207"
_RED, _SEGMENTED_RED = 0x00281201, 0x00281221
_PADDINGS = (("00280120", "00280121"), ("00280122", "00280124"), ("00280123", "00280125"))
"""Pixel Padding Value and Range Limit: of integers, of floating point numbers, of double ones."""

_SPACINGS = ("00280030", "00181164", "00182010")

_XRAY_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.12.1", "1.2.840.10008.5.1.4.1.1.12.2"})
"""X-Ray Angiographic and Radiofluoroscopic Image Storage."""


@dataclass(frozen=True, slots=True)
class Lut:
    """A lookup table (PS3.3 C.11.1.1): how many entries, the value of the first, bits of each; and where they are."""

    entries: int
    first: int
    bits: int
    data: Element


@dataclass(frozen=True, slots=True)
class Palette:
    """The red, green and blue lookup table of a palette (PS3.3 C.7.6.3.1.5), which may be segmented (C.7.9)."""

    luts: tuple[Lut, Lut, Lut]
    segmented: bool


@dataclass(frozen=True)
class Presentation:
    """How a frame is shown.

    `padding` is the range of stored values that are no part of the image; `aspect` is a pixel's height by its width;
    `supplemental` says that the palette is for some of the pixel values only (PS3.3 C.8.16.2.1.1.1).
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    voi: Lut | None = None
    window: Window | None = None
    inverse: bool = False
    padding: tuple[float, float] | None = None
    aspect: float = 1.0
    palette: Palette | None = None
    supplemental: bool = False
    profile: Element | None = None

    @cached_property
    def elements(self) -> tuple[Element, ...]:
        """The values of lookup tables that rendering needs."""
        luts = (self.modality, self.voi, *(self.palette.luts if self.palette else ()))
        return tuple(lut.data for lut in luts if lut is not None)

    @classmethod
    def of(cls, dataset: Dataset, frame: int) -> Presentation:
        """Read how a frame, counted from 1, is shown."""
        transformation = _sources(dataset, frame, _TRANSFORMATION)
        voi = _sources(dataset, frame, _FRAME_VOI)
        slope, intercept = _rescale(transformation)
        return cls(
            slope=slope,
            intercept=intercept,
            modality=None if _is_intensity(dataset) else _lut(transformation, "00283000"),
            voi=_lut(voi, "00283010"),
            window=next(filter(None, map(_window, voi)), None),
            inverse=_is_inverse(dataset),
            padding=_padding(dataset),
            aspect=_aspect(_sources(dataset, frame, _PIXEL_MEASURES)),
            palette=_palette(dataset),
            supplemental=metadata.text(dataset, "00089205") in ("COLOR", "MIXED"),
            profile=_profile(dataset, frame),
        )


def path(element: Element) -> str | None:
    """The path of a value that is bulk data, as in a record's `bulkdata`; None if the element holds it itself."""
    uri = element.get("BulkDataURI")
    return uri.removeprefix("bulkdata/") if isinstance(uri, str) else None


def numbers(dataset: Mapping[str, Any], key: str) -> list[float]:
    """The values of an element if all of them are finite numbers; else none."""
    values = dataset.get(key, {}).get("Value") or []
    usable = all(isinstance(value, int | float) and isfinite(value) for value in values)
    return [float(value) for value in values] if usable else []


def items(dataset: Mapping[str, Any], key: str) -> list[Dataset]:
    """The items of a sequence."""
    return [item for item in dataset.get(key, {}).get("Value") or [] if isinstance(item, dict)]


def _sources(dataset: Dataset, frame: int, macro: str) -> tuple[Dataset, ...]:
    """Where the attributes of a functional group are looked for, in this order."""
    own, shared = items(dataset, _PER_FRAME)[frame - 1 : frame], items(dataset, _SHARED)[:1]
    return (*(item for groups in (*own, *shared) for item in items(groups, macro)[:1]), dataset)


def _rescale(sources: tuple[Dataset, ...]) -> tuple[float, float]:
    """Rescale Slope and Intercept (PS3.3 C.11.1.1.2); a slope of 0 would leave nothing to see."""
    for source in sources:
        slope, intercept = numbers(source, "00281053"), numbers(source, "00281052")
        if slope or intercept:
            return (slope or [1.0])[0] or 1.0, (intercept or [0.0])[0]
    return 1.0, 0.0


def _is_intensity(dataset: Dataset) -> bool:
    """Say if the modality LUT turns pixels to X-Ray intensity, which is not for display (PS3.3 C.8.7.1.1.2)."""
    return metadata.text(dataset, "00080016") in _XRAY_CLASSES and metadata.text(dataset, "00281040") in (
        "LOG",
        "DISP",
    )


def _lut(sources: tuple[Dataset, ...], sequence: str) -> Lut | None:
    """The first lookup table of the first source that has any."""
    for source in sources:
        for item in items(source, sequence)[:1]:
            return _table(item, "00283002", "00283006")
    return None


def _table(item: Dataset, descriptor: str, data: str) -> Lut | None:
    values = numbers(item, descriptor)
    if len(values) != 3 or data not in item:
        return None
    entries, first, bits = map(int, values)
    return Lut(entries % 0x10000 or 0x10000, first, bits, item[data]) if 0 < bits <= 16 else None


def _window(source: Dataset) -> Window | None:
    """The first window (PS3.3 C.11.2.1.2), if its width is allowed."""
    center, width = numbers(source, "00281050"), numbers(source, "00281051")
    if not center or not width:
        return None
    function = metadata.text(source, "00281056").strip().upper()
    window = Window(center[0], width[0], Function(function) if function in set(Function) else Function.LINEAR)
    return window if window.valid else None


def _is_inverse(dataset: Dataset) -> bool:
    """Say if small values are bright: Presentation LUT Shape says it anew, it does not add (PS3.3 C.11.6.1)."""
    shape = metadata.text(dataset, "20500020")
    return shape == "INVERSE" if shape else metadata.text(dataset, "00280004").strip() == "MONOCHROME1"


def _padding(dataset: Dataset) -> tuple[float, float] | None:
    """Pixel Padding Value, and Range Limit if there is one (PS3.3 C.7.5.1.1.2, C.7.6.24, C.7.6.25)."""
    for value, limit in _PADDINGS:
        if found := numbers(dataset, value)[:1]:
            found += numbers(dataset, limit)[:1]
            return min(found), max(found)
    return None


def _aspect(sources: tuple[Dataset, ...]) -> float:
    """A pixel's height by its width: Pixel Aspect Ratio (PS3.3 C.7.6.3.1.7), or a spacing."""
    for source in sources:
        for key in ("00280034", *_SPACINGS):
            pair = numbers(source, key)
            if len(pair) == 2 and min(pair) > 0 and 1 / 64 <= pair[0] / pair[1] <= 64:
                return pair[0] / pair[1]
    return 1.0


def _palette(dataset: Dataset) -> Palette | None:
    for red, segmented in ((_RED, False), (_SEGMENTED_RED, True)):
        luts = [_table(dataset, f"{0x00281101 + n:08X}", f"{red + n:08X}") for n in range(3)]
        if luts[0] and luts[1] and luts[2]:
            return Palette((luts[0], luts[1], luts[2]), segmented)
    return None


def _profile(dataset: Dataset, frame: int) -> Element | None:
    """The ICC Profile that applies to the frame: the data set's, or that of its optical path (PS3.3 C.8.12.5)."""
    found: Element | None = dataset.get("00282000")
    if found is not None:
        return found
    wanted = next(
        (metadata.text(source, "00480106") for source in _sources(dataset, frame, _OPTICAL_PATH)[:-1]), ""
    )
    paths = list(_optical_paths(dataset))
    for identifier, element in paths:
        if identifier == wanted:
            return element
    return paths[0][1] if paths else None


def _optical_paths(dataset: Dataset) -> Iterator[tuple[str, Element]]:
    for item in items(dataset, "00480105"):
        if "00282000" in item:
            yield metadata.text(item, "00480106"), item["00282000"]
