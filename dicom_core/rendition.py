"""What is asked of a rendered image (PS3.18 8.3.5), as a value: size, contrast, quality and color."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_QUALITY = 90
"""Of JPEG, on its usual scale from 1 to 100."""

MAX_SIDE = 8192
"""The most pixels that a viewport may be wide or high."""


class Function(StrEnum):
    """VOI LUT Function (PS3.3 C.11.2.1.3), as the data element spells it."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"

    @property
    def least_width(self) -> float:
        """The window's width must not be less; but for LINEAR, it must be more."""
        return 1.0 if self is Function.LINEAR else 0.0


@dataclass(frozen=True, slots=True)
class Window:
    """A window on the values behind the modality transformation (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: Function = Function.LINEAR

    @property
    def valid(self) -> bool:
        """The width is one that the function is defined for."""
        least = self.function.least_width
        return self.width >= least if self.function is Function.LINEAR else self.width > least


@dataclass(frozen=True, slots=True)
class Viewport:
    """The size to fit into, and the region of the source image to show in it (PS3.18 8.3.5.1.3).

    A region without width or height reaches to the edge of the image.
    """

    width: int
    height: int
    x: float = 0.0
    y: float = 0.0
    region_width: float | None = None
    region_height: float | None = None
    flip_horizontally: bool = False
    flip_vertically: bool = False

    @property
    def is_whole(self) -> bool:
        """All of the image is shown, the right way round."""
        return self == Viewport(self.width, self.height)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of the source image, its edges as fractions of the width and height (PS3.18 9.5.1.2.5)."""

    left: float
    top: float
    right: float
    bottom: float

    def viewport(self, columns: int, rows: int, into: Viewport | None) -> Viewport:
        """The region in pixels of an image, to be fitted into a viewport; without one, as large as it is."""
        width, height = (self.right - self.left) * columns, (self.bottom - self.top) * rows
        size = (into.width, into.height) if into else (max(1, round(width)), max(1, round(height)))
        return Viewport(*size, self.left * columns, self.top * rows, width, height)


class Profile(StrEnum):
    """What is asked of the ICC profile of a rendered image (PS3.18 8.3.5.1.5)."""

    NO = "no"
    YES = "yes"
    SRGB = "srgb"
    ADOBERGB = "adobergb"
    ROMMRGB = "rommrgb"


@dataclass(frozen=True, slots=True)
class Rendition:
    """How an instance or a frame shall be rendered; what is None is left to the instance and the service."""

    quality: int | None = None
    window: Window | None = None
    viewport: Viewport | None = None
    profile: Profile | None = None
    thumbnail: bool = False
