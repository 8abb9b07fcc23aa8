"""Rendered images of pydicom's files: what its own pipeline makes of them, within one gray level."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import pixels

from dicom_core.representations import rendering
from dicom_core.representations.images import Undecodable
from tests.unit.representations import rendered, samples

_NOT_RENDERED = {
    "JPEG2000-embedded-sequence-delimiter.dcm": "its codestream has another size than its data set",
    "SC_rgb_small_odd_big_endian.dcm": "its bytes lie in words of big endian, and end within one",
}


def _images() -> list[Path]:
    """Every file with frames that can be told apart and whose data set is not deflated as a whole."""
    tables = ((path, samples.read(path.read_bytes())) for path in samples.FILES)
    return [
        path
        for path, layout in tables
        if layout.frames.count and "00280010" in layout.header.dataset and "dfl" not in path.name
    ]


def _oracle(path: Path) -> NDArray[np.float64] | None:
    """The first frame in 8 bits as pydicom's functions make it; None if it has no decoder for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = samples.oracle(path)
        dataset.file_meta.setdefault("TransferSyntaxUID", "1.2.840.10008.1.2")
        if not isinstance(dataset.get("NumberOfFrames", 1), int):
            dataset.NumberOfFrames = 1
        try:
            stored = pixels.pixel_array(dataset, index=0)
        except (RuntimeError, AttributeError, ValueError):
            return None
        return _eight_bits(stored, dataset)


def _eight_bits(stored: NDArray[Any], dataset: pydicom.Dataset) -> NDArray[np.float64]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colors = pixels.apply_color_lut(stored, dataset)
        return np.floor(colors / 2 ** (8 * colors.dtype.itemsize - 8))
    if dataset.SamplesPerPixel > 1:
        return np.floor(stored / 2.0 ** (dataset.BitsStored - 8))
    modality = pixels.apply_modality_lut(stored, dataset)
    if "WindowCenter" in dataset:
        shown = pixels.apply_voi_lut(modality, dataset)
        ends = np.array(_nominal(dataset)) * dataset.get("RescaleSlope", 1) + dataset.get(
            "RescaleIntercept", 0
        )
        shown = (shown - ends[0]) / (ends[1] - ends[0]) * 255
    elif dataset.BitsStored <= 8 and not dataset.PixelRepresentation:
        shown = modality * 255.0 / (2**dataset.BitsStored - 1)
    else:
        counted = modality[stored != dataset.get("PixelPaddingValue")]
        low, high = counted.min(), counted.max()
        shown = (modality - float(low)) / max(1, float(high) - float(low)) * 255
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 255 - shown
    if "PixelPaddingValue" in dataset:
        shown = np.where(stored == dataset.PixelPaddingValue, 0, shown)
    return shown


def _nominal(dataset: pydicom.Dataset) -> tuple[int, int]:
    bits = dataset.BitsStored
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if dataset.PixelRepresentation else (0, (1 << bits) - 1)


_TRUTH = {path: truth for path in _images() if (truth := _oracle(path)) is not None}
_RENDERED = [path for path in _images() if path.name not in _NOT_RENDERED]
_COMPARED = [path for path in _RENDERED if path in _TRUTH]


@pytest.mark.parametrize("path", _COMPARED, ids=[path.name for path in _COMPARED])
def test_frame_of_a_file_is_what_pydicom_makes_of_it(path: Path) -> None:
    """The pixels of a PNG are those of pydicom's pipeline, brought to 8 bits, within one level."""
    source, content = rendered.frame_of(path)

    png = rendered.opened(rendering.render(source, (1, content), rendered.PLAIN, "image/png"))

    assert png.shape == _TRUTH[path].shape
    assert np.abs(png - _TRUTH[path]).max() <= 1


@pytest.mark.parametrize("path", _RENDERED, ids=[path.name for path in _RENDERED])
def test_jpeg_of_a_file_is_near_its_png(path: Path) -> None:
    """A JPEG of the best quality has the same pixels, but for the rounding of its transform."""
    source, content = rendered.frame_of(path)
    png = rendered.opened(rendering.render(source, (1, content), rendered.PLAIN, "image/png"))
    best = rendered.Rendition(quality=100)

    jpeg = rendered.opened(rendering.render(source, (1, content), best, "image/jpeg"))

    assert jpeg.shape == png.shape
    assert np.abs(jpeg.astype(int) - png).mean() < 1
    assert np.abs(jpeg.astype(int) - png).max() <= 8


@pytest.mark.parametrize("name", _NOT_RENDERED)
def test_frame_that_cannot_be_decoded_is_refused(name: str) -> None:
    """Some frames are beyond the codecs."""
    source, content = rendered.frame_of(next(path for path in samples.FILES if path.name == name))

    with pytest.raises(Undecodable):
        rendering.render(source, (1, content), rendered.PLAIN, "image/png")


def test_files_that_are_compared_are_many() -> None:
    """The comparison covers native, RLE, JPEG, JPEG 2000, palette, color and inverted images."""
    names = {path.name for path in _COMPARED}

    assert len(names) > 80
    assert {"MR_small_RLE.dcm", "JPEG2000.dcm", "examples_palette.dcm", "6154", "liver_1frame.dcm"} <= names
    assert {"SC_ybr_full_422_uncompressed.dcm", "examples_ybr_color.dcm", "rtdose_expb.dcm"} <= names
