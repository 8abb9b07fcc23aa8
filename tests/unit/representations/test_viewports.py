"""Viewport Scaling (PS3.18 8.3.5.1.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.errors import BadRequest
from dicom_core.rendition import Rendition, Viewport
from dicom_core.representations import viewports
from tests.unit.representations.rendered import element, gray, header, rendered

RAMP = bytes(range(0, 240, 10))
"""Four rows of six columns."""


@pytest.mark.parametrize(
    ("columns", "rows", "viewport", "size"),
    [
        (512, 512, Viewport(128, 128), (128, 128)),
        (512, 256, Viewport(128, 128), (128, 64)),
        (256, 512, Viewport(128, 128), (64, 128)),
        (64, 64, Viewport(128, 256), (128, 128)),
        (1000, 1, Viewport(10, 10), (10, 1)),
        (512, 512, Viewport(100, 100, 0, 0, 512, 256), (100, 50)),
        (512, 512, Viewport(100, 100, 256, 384), (100, 50)),
        (512, 512, Viewport(100, 100, 256, 384, 9999, 9999), (100, 50)),
    ],
)
def test_region_is_fitted_into_the_viewport(
    columns: int, rows: int, viewport: Viewport, size: tuple[int, int]
) -> None:
    """The region is as large as the viewport allows, without distortion; its size ends with the image."""
    assert viewports.place(columns, rows, 1.0, viewport).size == size


@pytest.mark.parametrize(("aspect", "size"), [(2.0, (50, 100)), (0.5, (100, 50))])
def test_pixels_that_are_not_square_are_made_so(aspect: float, size: tuple[int, int]) -> None:
    """What fits into a viewport has square pixels: the image is not distorted."""
    assert viewports.place(512, 512, aspect, Viewport(100, 100)).size == size


@pytest.mark.parametrize(
    "viewport", [Viewport(1, 1, 512), Viewport(1, 1, 0, 512), Viewport(1, 1, 600, 0, 5, 5)]
)
def test_region_outside_of_the_image_is_refused(viewport: Viewport) -> None:
    """There is nothing to show: 400."""
    with pytest.raises(BadRequest, match="512 columns and 512 rows"):
        viewports.place(512, 512, 1.0, viewport)


@pytest.mark.parametrize(
    ("columns", "rows", "aspect", "size"),
    [
        (512, 512, 1.0, (128, 128)),
        (512, 256, 1.0, (128, 64)),
        (64, 32, 1.0, (64, 32)),
        (64, 32, 4.0, (64, 128)),
        (200, 400, 0.5, (128, 128)),
    ],
)
def test_thumbnail_is_no_larger_than_its_image(
    columns: int, rows: int, aspect: float, size: tuple[int, int]
) -> None:
    """Without a size that is asked for, a thumbnail is of 128 pixels, and a small image stays small."""
    assert viewports.place_thumbnail(columns, rows, aspect).size == size


@given(
    st.integers(1, 5000),
    st.integers(1, 5000),
    st.floats(1 / 64, 64),
    st.integers(1, 500),
    st.integers(1, 500),
)
def test_fitted_region_never_overflows(
    columns: int, rows: int, aspect: float, width: int, height: int
) -> None:
    """Neither side is longer than the viewport's, and one is as long (PS3.18 8.3.5.1.3)."""
    across, down = viewports.place(columns, rows, aspect, Viewport(width, height)).size

    assert 1 <= across <= width
    assert 1 <= down <= height
    assert across == width or down == height


def test_viewport_of_the_size_of_the_image_changes_nothing() -> None:
    """An image that fits as it is, is not scaled."""
    assert gray(header(4, 6), RAMP, Rendition(viewport=Viewport(6, 4))) == list(RAMP)


def test_image_without_a_viewport_keeps_its_matrix() -> None:
    """Without a viewport the pixel matrix is that of the source, whatever its aspect ratio (PS3.18 8.3.5.1.3)."""
    assert rendered(header(4, 6, x00280034=("IS", [2, 1])), RAMP).shape == (4, 6)


@pytest.mark.parametrize(
    ("elements", "shape"),
    [
        ({}, (40, 60)),
        ({"x00280034": ("IS", [2, 1])}, (60, 45)),
        ({"x00280030": ("DS", [1.0, 0.5])}, (60, 45)),
        ({"x00181164": ("DS", [0.5, 1.0])}, (20, 60)),
        ({"x00280034": ("IS", [1, 1]), "x00280030": ("DS", [2.0, 1.0])}, (40, 60)),
        ({"x00280030": ("DS", [0.0, 1.0])}, (40, 60)),
        ({"x00280030": ("DS", [1.0])}, (40, 60)),
        ({"x00280030": ("DS", [1e9, 1.0])}, (40, 60)),
    ],
)
def test_aspect_is_that_of_the_header(
    elements: dict[str, tuple[str, object]], shape: tuple[int, int]
) -> None:
    """Pixel Aspect Ratio, or a spacing, says how much higher than wide a pixel is (PS3.3 C.7.6.3.1.7)."""
    asked = Rendition(viewport=Viewport(60, 60))

    assert rendered(header(4, 6, **elements), RAMP, asked).shape == shape


def test_aspect_of_a_frame_is_that_of_its_measures() -> None:
    """Pixel Spacing may be in the Pixel Measures of a functional group (PS3.3 C.7.6.16.2.1)."""
    measures = {"00289110": element("SQ", {"00280030": element("DS", 2.0, 1.0)})}
    image = header(4, 6, x52009229=("SQ", [measures]))

    assert rendered(image, RAMP, Rendition(viewport=Viewport(60, 60))).shape == (60, 45)


def test_region_is_cut_out() -> None:
    """sx, sy, sw and sh name a region of the source image, counted from 0 (PS3.18 8.3.5.1.3)."""
    region = Rendition(viewport=Viewport(2, 2, 1, 2, 2, 2))

    assert gray(header(4, 6), RAMP, region) == [130, 140, 190, 200]


@pytest.mark.parametrize(
    ("horizontally", "vertically", "levels"),
    [
        (True, False, [140, 130, 200, 190]),
        (False, True, [190, 200, 130, 140]),
        (True, True, [200, 190, 140, 130]),
    ],
)
def test_region_is_flipped(horizontally: bool, vertically: bool, levels: list[int]) -> None:
    """Negative sizes flip the image (PS3.18 8.3.5.1.3)."""
    region = Viewport(2, 2, 1, 2, 2, 2, flip_horizontally=horizontally, flip_vertically=vertically)

    assert gray(header(4, 6), RAMP, Rendition(viewport=region)) == levels


def test_image_is_averaged_when_it_is_scaled_down() -> None:
    """Every source pixel counts: fine detail does not vanish between samples."""
    checkered = bytes(255 * ((row + column) % 2) for row in range(64) for column in range(64))

    scaled = rendered(header(64, 64), checkered, Rendition(viewport=Viewport(8, 8)))

    assert scaled.min() > 120
    assert scaled.max() < 136


@pytest.mark.parametrize(
    ("asked", "shape"), [(None, (128, 128)), (Viewport(50, 60), (50, 50)), (Viewport(300, 300), (300, 300))]
)
def test_thumbnail_has_the_size_that_is_asked_for(asked: Viewport | None, shape: tuple[int, int]) -> None:
    """A thumbnail's viewport is its size; without one it is of 128 pixels (PS3.18 8.3.5.2)."""
    thumbnail = Rendition(viewport=asked, thumbnail=True)

    assert rendered(header(200, 200), bytes(40_000), thumbnail).shape == shape
