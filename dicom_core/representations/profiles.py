"""ICC profiles of rendered images (PS3.18 8.3.5.1.5): which one is embedded, and colors turned to those it names."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageCms

from dicom_core.rendition import Profile

MAX_PROFILE = 4 << 20
"""The bytes of a source's profile that is still embedded."""

_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
_DATE = slice(24, 36)
_ROMM_PRIMARIES = [0.7347, 0.2653, 1.0, 0.1596, 0.8404, 1.0, 0.0366, 0.0001, 1.0]
_D50 = [0.3457, 0.3585, 1.0]


def applied(picture: Pillow.Image, asked: Profile, source: bytes | None) -> tuple[Pillow.Image, bytes]:
    """A color image in the color space that is asked for, with the profile to embed in it.

    Without a usable profile of its own, the source is taken for sRGB.
    """
    own = source if source is not None and _is_rgb(source) else None
    if asked is Profile.YES:
        return picture, own or standard(Profile.SRGB)
    target = standard(asked)
    if (own or standard(Profile.SRGB)) == target:
        return picture, target
    return _converted(picture, own or standard(Profile.SRGB), target), target


def embedded(frame: bytes, transfer_syntax: str) -> bytes | None:
    """The profile that the stored JPEG of a frame has within it."""
    if transfer_syntax not in _JPEG:
        return None
    try:
        with Pillow.open(BytesIO(frame), formats=("JPEG",)) as picture:
            profile = picture.info.get("icc_profile")
    except (OSError, SyntaxError, ValueError):
        return None
    return profile if isinstance(profile, bytes) else None


@lru_cache(maxsize=8)
def standard(space: Profile) -> bytes:
    """The profile of a well-known color space: the same bytes each time."""
    made = _MADE[space]()
    return made[: _DATE.start] + bytes((0x07, 0xD0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0)) + made[_DATE.stop :]


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _adobe_rgb() -> bytes:
    return bytes(_codecs().cms_profile("adobergb"))


def _romm_rgb() -> bytes:
    """ROMM RGB (ISO 22028-2): a power of 1.8 with a linear part at its foot, as a table of 1,024 entries."""
    level = np.linspace(0, 1, 1024)
    curve = np.where(level < 1 / 32, level / 16, level**1.8)
    table = (curve * 0xFFFF + 0.5).astype(np.uint16)
    return bytes(
        _codecs().cms_profile("rgb", whitepoint=_D50, primaries=_ROMM_PRIMARIES, transferfunction=table)
    )


def _codecs() -> Any:
    import imagecodecs

    return imagecodecs


_MADE = {Profile.SRGB: _srgb, Profile.ADOBERGB: _adobe_rgb, Profile.ROMMRGB: _romm_rgb}


def _is_rgb(profile: bytes) -> bool:
    """Say if the color management can read the profile, and it is one of red, green and blue."""
    if len(profile) > MAX_PROFILE:
        return False
    try:
        return str(ImageCms.ImageCmsProfile(BytesIO(profile)).profile.xcolor_space).strip() == "RGB"
    except (OSError, ImageCms.PyCMSError):
        return False


def _converted(picture: Pillow.Image, source: bytes, target: bytes) -> Pillow.Image:
    before, after = (ImageCms.ImageCmsProfile(BytesIO(one)) for one in (source, target))
    converted = ImageCms.profileToProfile(picture, before, after)
    return picture if converted is None else converted
