"""Rendered and thumbnail images (PS3.18 10.4.1.1.3, 10.4.1.1.4): a frame, or several of them, as JPEG, PNG or GIF.

All of it is computing: `check` and `values` take microseconds, `render` and `animate` milliseconds for each frame:
call these in a thread. numpy, Pillow and the codecs are imported when the first frame is rendered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dicom_core.errors import BadRequest, PayloadTooLarge
from dicom_core.record import Dataset
from dicom_core.rendition import Profile, Rendition
from dicom_core.representations import metadata, presentation, rendered_types
from dicom_core.representations.images import Frame, Image
from dicom_core.representations.presentation import Presentation

MAX_VALUE = 4 << 20
"""The most bytes of a lookup table or of an ICC profile that are worth reading."""

MAX_ANIMATED_FRAMES = 512
MAX_DECODED = 256 << 20
"""The most bytes of pixels that are decoded for one animation."""

MAX_ANIMATED_PIXELS = 32 << 20
"""The most pixels of all images of an animation."""

_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFAULT_DURATION, _LEAST_DURATION, _MOST_DURATION = 100, 20, 10_000


@dataclass(frozen=True, slots=True)
class Source:
    """What an instance's frames are rendered from beside their bytes.

    `dataset` is its header as DICOM JSON, `values` holds the bulk data that `values` named, by path, as stored.
    """

    dataset: Dataset
    transfer_syntax: str
    values: Mapping[str, bytes] = field(default_factory=dict)


def check(dataset: Dataset, numbers: Sequence[int], rendition: Rendition, media_type: str) -> tuple[str, ...]:
    """Refuse what cannot be rendered, before its frames are read; give texts for `Warning: 299`.

    Parameters
    ----------
    numbers
        The frames of one image: several make an animation.

    Raises
    ------
    BadRequest
        An ICC profile is asked for that the media type cannot hold (PS3.18 8.3.5.1.5).
    PayloadTooLarge
        The animation would have too many frames or pixels.
    Undecodable
        The header describes no image, or one that is too large.
    """
    image = Image.of(dataset)
    asked = rendition.profile not in (None, Profile.NO)
    if asked and media_type == rendered_types.GIF:
        raise BadRequest(f"iccprofile: {media_type} holds no ICC profile")
    if len(numbers) > 1:
        _check_animation(image, len(numbers), rendition)
    colored = image.samples_per_pixel > 1 or image.photometric_interpretation == "PALETTE COLOR"
    warnings = (
        (rendition.window is not None and colored, "window has no meaning for a color image; it is ignored"),
        (
            rendition.quality is not None and media_type != rendered_types.JPEG,
            f"quality has no meaning for {media_type}; it is ignored",
        ),
        (asked and not _may_have_colors(dataset, image), "a grayscale image is given without an ICC profile"),
    )
    return tuple(text for applies, text in warnings if applies)


def values(dataset: Dataset, numbers: Sequence[int], rendition: Rendition) -> tuple[str, ...]:
    """The paths of the bulk data that rendering needs: lookup tables too large for the header, an ICC profile.

    Those of more than `MAX_VALUE` bytes need not be read.
    """
    wants_profile = rendition.profile not in (None, Profile.NO)
    paths: dict[str, None] = {}
    for number in numbers:
        shown = Presentation.of(dataset, number)
        wanted = (*shown.elements, *([shown.profile] if wants_profile and shown.profile else []))
        paths |= dict.fromkeys(filter(None, map(presentation.path, wanted)))
    return tuple(paths)


def render(source: Source, frame: Frame, rendition: Rendition, media_type: str) -> bytes:
    """Render one frame to image/jpeg, image/png or image/gif.

    Raises
    ------
    BadRequest
        The region of the viewport lies outside of the image.
    Undecodable
        There is no decoder for the frame, or its pixels are none that can be shown.
    Unencodable
        The media type has no images of this size.
    """
    from dicom_core.representations.luts import Bulk
    from dicom_core.representations.pictures import Artist

    bulk = Bulk(source.values, source.transfer_syntax == _BIG_ENDIAN)
    return Artist(source.dataset, source.transfer_syntax, bulk, rendition).drawn(frame, media_type)


def animate(source: Source, frames: Sequence[Frame], rendition: Rendition) -> bytes:
    """Render frames to one animated image/gif, each shown as long as the header says.

    Raises
    ------
    BadRequest, PayloadTooLarge, Undecodable
        As `render` and `check`.
    """
    from dicom_core.representations.luts import Bulk
    from dicom_core.representations.pictures import Artist

    numbers = [number for number, _ in frames]
    check(source.dataset, numbers, rendition, rendered_types.GIF)
    bulk = Bulk(source.values, source.transfer_syntax == _BIG_ENDIAN)
    artist = Artist(source.dataset, source.transfer_syntax, bulk, rendition)
    return artist.animated(frames, durations(source.dataset, numbers))


def durations(dataset: Dataset, numbers: Sequence[int]) -> list[int]:
    """How many milliseconds each frame is shown: by a rate, or the times between frames (PS3.3 C.7.6.5)."""
    rate = presentation.numbers(dataset, "00082144")[:1]
    vector = presentation.numbers(dataset, "00181065")
    time = presentation.numbers(dataset, "00181063")[:1]
    cine = presentation.numbers(dataset, "00180040")[:1]
    if rate and rate[0] > 0:
        return [_duration(1000 / rate[0])] * len(numbers)
    if len(vector) > 1:  # the time of a frame is that from the frame before it
        return [_duration(vector[min(number, len(vector) - 1)]) for number in numbers]
    if time and time[0] > 0:
        return [_duration(time[0])] * len(numbers)
    return [_duration(1000 / cine[0] if cine and cine[0] > 0 else _DEFAULT_DURATION)] * len(numbers)


def _duration(milliseconds: float) -> int:
    """What a GIF can say; browsers show what is shorter than 20 ms for 100 ms."""
    return round(min(_MOST_DURATION, max(_LEAST_DURATION, milliseconds)) / 10) * 10


def _check_animation(image: Image, count: int, rendition: Rendition) -> None:
    if count > MAX_ANIMATED_FRAMES or count * image.size > MAX_DECODED:
        raise PayloadTooLarge(
            f"an animation may have {MAX_ANIMATED_FRAMES} frames of {MAX_DECODED} bytes of pixels in all"
        )
    viewport = rendition.viewport
    pixels = viewport.width * viewport.height if viewport else image.rows * image.columns
    if count * pixels > MAX_ANIMATED_PIXELS:
        raise PayloadTooLarge(
            f"an animation may have {MAX_ANIMATED_PIXELS} pixels in all: ask for fewer frames or a smaller viewport"
        )


def _may_have_colors(dataset: Dataset, image: Image) -> bool:
    return image.samples_per_pixel > 1 or metadata.integer(dataset, "00281101") is not None
