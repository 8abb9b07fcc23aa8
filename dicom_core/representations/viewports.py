"""Viewport Scaling (PS3.18 8.3.5.1.3): which region of an image is shown, and how large."""

from __future__ import annotations

from dataclasses import dataclass

from dicom_core.errors import BadRequest
from dicom_core.rendition import Viewport

THUMBNAIL = 128
"""How wide or high a thumbnail is whose size is not asked for, if the image has so many pixels."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A region of the source image (left, top, right, bottom), and the size in pixels to scale it to."""

    box: tuple[float, float, float, float]
    size: tuple[int, int]


def place(columns: int, rows: int, aspect: float, viewport: Viewport) -> Placement:
    """Fit the region of a viewport into it: as large as it gets without distortion.

    Parameters
    ----------
    aspect
        The height of a pixel by its width. The result has square pixels.

    Raises
    ------
    BadRequest
        The region lies outside of the image.
    """
    left, top = viewport.x, viewport.y
    right = columns if viewport.region_width is None else min(columns, left + viewport.region_width)
    bottom = rows if viewport.region_height is None else min(rows, top + viewport.region_height)
    if left >= right or top >= bottom:
        raise BadRequest(
            f"viewport: the region lies outside of the image of {columns} columns and {rows} rows"
        )
    box = (left, top, float(right), float(bottom))
    return Placement(box, _fitted(right - left, (bottom - top) * aspect, viewport.width, viewport.height))


def place_thumbnail(columns: int, rows: int, aspect: float) -> Placement:
    """Fit an image into the size of a thumbnail; a smaller one is only made square in its pixels."""
    width, height = float(columns), rows * aspect
    side = min(float(THUMBNAIL), max(width, height))
    return Placement((0.0, 0.0, width, float(rows)), _fitted(width, height, side, side))


def _fitted(width: float, height: float, into_width: float, into_height: float) -> tuple[int, int]:
    scale = min(into_width / width, into_height / height)
    return max(1, round(width * scale)), max(1, round(height * scale))
