"""The query parameters of rendered images and of thumbnails (PS3.18 8.3.5), read to a `Rendition`.

What is not understood is ignored with a warning that names it; what is malformed is refused. Neither text
repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

from dicom_core.errors import BadRequest
from dicom_core.rendition import MAX_SIDE, Function, Profile, Rendition, Viewport, Window
from dicom_core.web.match_parameters import shown

_MAX_WARNINGS = 16  # what a response header has room for
_ANNOTATIONS = ("patient", "technique")
_ELSEWHERE = frozenset({"accept", "accept-charset", "charset"})
_FUNCTIONS = {function.value.replace("_", "-").lower(): function for function in Function}
_INTEGER = re.compile(r"[0-9]{1,9}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,32}(?:\.[0-9]{0,32})?|\.[0-9]{1,32})(?:[eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Parsed:
    """What was asked, and what of it is passed over: texts for `Warning: 299`."""

    rendition: Rendition
    warnings: tuple[str, ...]


def parse(parameters: Iterable[tuple[str, str]], *, thumbnail: bool = False) -> Parsed:
    """Read the query parameters of a rendered resource (PS3.18 Table 8.3.5-1) or of a thumbnail (8.3.5-2).

    Raises
    ------
    BadRequest
        A value has not the form that its parameter asks for, or a parameter is given twice.
    """
    readers = _THUMBNAIL if thumbnail else _RENDERED
    read: dict[str, Any] = {}
    seen: set[str] = set()
    warnings: list[str] = []
    for given, value in parameters:
        name = given.strip().lower()
        if name in _ELSEWHERE:
            continue
        if name not in readers:
            resource = "a thumbnail" if thumbnail else "a rendered resource"
            warnings.append(f"{shown(given.strip())} is no parameter of {resource}; it is ignored")
            continue
        if name in seen:
            raise BadRequest(f"{name} is given twice")
        seen.add(name)
        if name == "annotation":
            warnings.append(_annotation(value))
        else:
            read[_FIELDS.get(name, name)] = readers[name](value.strip())
    return Parsed(Rendition(**read, thumbnail=thumbnail), tuple(dict.fromkeys(warnings))[:_MAX_WARNINGS])


def _annotation(value: str) -> str:
    """Nothing is burned into the pixels: say so, as PS3.18 8.3.5.1.1 words it."""
    keywords = [keyword.strip().lower() for keyword in value.split(",")]
    if not all(keyword in _ANNOTATIONS for keyword in keywords):
        raise BadRequest("annotation must be patient, technique, or both with a comma between them")
    unsupported = ",".join(dict.fromkeys(keywords))
    return f"The following annotation values are not supported: {unsupported}"


def _quality(value: str) -> int:
    """Read the quality of the compression (PS3.18 8.3.5.1.2)."""
    if not _INTEGER.fullmatch(value) or not 1 <= int(value) <= 100:
        raise BadRequest("quality must be an integer from 1 to 100")
    return int(value)


def _window(value: str) -> Window:
    """Read center, width and function of a window (PS3.18 8.3.5.1.4)."""
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 3:
        raise BadRequest("window must be center,width,function: all three, with commas between them")
    center, width = (_decimal("window", part) for part in parts[:2])
    function = _FUNCTIONS.get(parts[2].lower().replace("_", "-"))
    if function is None:
        raise BadRequest("window: the function must be linear, linear-exact or sigmoid")
    window = Window(center, width, function)
    if not window.valid:
        rule = "at least 1" if function is Function.LINEAR else "more than 0"
        raise BadRequest(f"window: the width of this function must be {rule}")
    return window


def _size(value: str) -> Viewport:
    """Read the viewport of a thumbnail, which is a size alone (PS3.18 8.3.5.1.3)."""
    parts = value.split(",")
    if len(parts) != 2:
        raise BadRequest("viewport of a thumbnail must be vw,vh")
    return Viewport(_side(parts[0]), _side(parts[1]))


def _viewport(value: str) -> Viewport:
    """Read a viewport: its size, and the region of the source image to show in it (PS3.18 8.3.5.1.3)."""
    parts = [part.strip() for part in value.split(",")]
    if not 2 <= len(parts) <= 6:
        raise BadRequest("viewport must be vw,vh or vw,vh,sx,sy,sw,sh, of which the last four may be empty")
    sx, sy, sw, sh = [_decimal("viewport", part) if part else None for part in parts[2:] + [""] * 4][:4]
    if sw == 0 or sh == 0:
        raise BadRequest("viewport: the width and height of the region must not be 0")
    return Viewport(
        _side(parts[0]),
        _side(parts[1]),
        abs(sx or 0.0),
        abs(sy or 0.0),
        None if sw is None else abs(sw),
        None if sh is None else abs(sh),
        sw is not None and sw < 0,
        sh is not None and sh < 0,
    )


def _side(value: str) -> int:
    if not _INTEGER.fullmatch(value.strip()) or not 1 <= int(value) <= MAX_SIDE:
        raise BadRequest(f"viewport: width and height must be integers from 1 to {MAX_SIDE}")
    return int(value)


def _decimal(name: str, value: str) -> float:
    if not _DECIMAL.fullmatch(value) or not isfinite(float(value)):
        raise BadRequest(f"{name} has a part that is no decimal number")
    return float(value)


def _profile(value: str) -> Profile:
    """Read what is asked of the ICC profile (PS3.18 8.3.5.1.5)."""
    try:
        return Profile(value.lower())
    except ValueError:
        raise BadRequest(f"iccprofile must be one of {', '.join(Profile)}") from None


_RENDERED: dict[str, Callable[[str], Any]] = {
    "annotation": _annotation,
    "iccprofile": _profile,
    "quality": _quality,
    "viewport": _viewport,
    "window": _window,
}
_THUMBNAIL: dict[str, Callable[[str], Any]] = {"viewport": _size}
_FIELDS = {"iccprofile": "profile"}
