"""Frames as pictures: decoded, run through the pipeline of their photometric interpretation, and scaled.

This is what `rendering` imports when the first frame is rendered; it needs numpy and Pillow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image as Pillow

from dicom_core.record import Dataset
from dicom_core.rendition import DEFAULT_QUALITY, Profile, Rendition
from dicom_core.representations import (
    color,
    encoding,
    grayscale,
    palette,
    presentation,
    profiles,
    transcoding,
    viewports,
)
from dicom_core.representations.grayscale import Pipeline, Range
from dicom_core.representations.images import Frame, Image, Undecodable
from dicom_core.representations.luts import Bulk
from dicom_core.representations.presentation import Presentation


@dataclass(frozen=True, slots=True)
class Artist:
    """Draws the frames of one instance."""

    dataset: Dataset
    transfer_syntax: str
    bulk: Bulk
    rendition: Rendition

    def drawn(self, frame: Frame, media_type: str) -> bytes:
        """One frame as an encoded image."""
        number, content = frame
        shown = Presentation.of(self.dataset, number)
        picture = self._scaled(self._picture(frame, shown, None), shown)
        if media_type == "image/gif":
            return encoding.gif([encoding.indexed(picture, fast=False)])
        picture, profile = self._profiled(picture, content, shown)
        if media_type == "image/png":
            return encoding.png(picture, profile)
        return encoding.jpeg(picture, self.rendition.quality or DEFAULT_QUALITY, profile)

    def animated(self, frames: Sequence[Frame], durations: Sequence[int]) -> bytes:
        """Frames as an animation, all with the same contrast."""
        bounds = self._bounds(frames)
        pictures = []
        for frame in frames:
            shown = Presentation.of(self.dataset, frame[0])
            picture = self._scaled(self._picture(frame, shown, bounds), shown)
            pictures.append(encoding.indexed(picture, fast=True))
        return encoding.gif(pictures, durations)

    def _bounds(self, frames: Sequence[Frame]) -> Range | None:
        """The range of all frames, where nothing but the pixels tells it."""
        found: Range | None = None
        for number, content in frames:
            image, shown = self._image(content), Presentation.of(self.dataset, number)
            if _is_color(image) or not self._pipeline(image, shown).needs_range:
                return None
            pixels, decoded = transcoding.decode(content, self.transfer_syntax, image)
            own = self._pipeline(decoded, shown).measured(grayscale.stored(pixels, decoded))
            found = own.joined(found) if own is not None else found
        return found

    def _image(self, content: bytes) -> Image:
        """The image of a frame; some native ones say that pairs of pixels share their colors, and have them all."""
        image = Image.of(self.dataset)
        if not transcoding.is_native(self.transfer_syntax) or image.photometric_interpretation not in _HALVED:
            return image
        whole = replace(image, photometric_interpretation="YBR_FULL")
        return whole if len(content) >= whole.size else image

    def _pipeline(self, image: Image, shown: Presentation) -> Pipeline:
        return Pipeline(image, shown, self.bulk, self.rendition.window)

    def _picture(self, frame: Frame, shown: Presentation, bounds: Range | None) -> Pillow.Image:
        pixels, image = transcoding.decode(frame[1], self.transfer_syntax, self._image(frame[1]))
        if image.samples_per_pixel > 1:
            return color.rendered(pixels, image)
        values = grayscale.stored(pixels, image)
        size = (image.columns, image.rows)
        if image.photometric_interpretation == _PALETTE:
            if shown.palette is None:
                raise Undecodable("the header has no usable palette")
            return Pillow.frombuffer("RGB", size, palette.rendered(values, shown.palette, self.bulk))
        gray = self._pipeline(image, shown).rendered(values, bounds)
        if shown.supplemental and shown.palette is not None:
            colors = palette.supplemented(gray, values, shown.palette, self.bulk)
            return Pillow.frombuffer("RGB", size, colors)
        return Pillow.frombuffer("L", size, gray)

    def _scaled(self, picture: Pillow.Image, shown: Presentation) -> Pillow.Image:
        viewport = self.rendition.viewport
        if viewport is not None:
            placement = viewports.place(picture.width, picture.height, shown.aspect, viewport)
        elif self.rendition.thumbnail:
            placement = viewports.place_thumbnail(picture.width, picture.height, shown.aspect)
        else:
            return picture
        if (placement.box, placement.size) != ((0, 0, *picture.size), picture.size):
            picture = picture.resize(placement.size, Pillow.Resampling.BICUBIC, placement.box, reducing_gap=3)
        if viewport is not None and viewport.flip_horizontally:
            picture = picture.transpose(Pillow.Transpose.FLIP_LEFT_RIGHT)
        if viewport is not None and viewport.flip_vertically:
            picture = picture.transpose(Pillow.Transpose.FLIP_TOP_BOTTOM)
        return picture

    def _profiled(
        self, picture: Pillow.Image, content: bytes, shown: Presentation
    ) -> tuple[Pillow.Image, bytes | None]:
        asked = self.rendition.profile
        if asked in (None, Profile.NO) or picture.mode != "RGB":
            return picture, None
        source = None
        if shown.profile is not None and _is_read(shown, self.bulk):
            source, _ = self.bulk.words(shown.profile)
        return profiles.applied(picture, asked, source or profiles.embedded(content, self.transfer_syntax))


_PALETTE = "PALETTE COLOR"
_HALVED = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})


def _is_color(image: Image) -> bool:
    return image.samples_per_pixel > 1 or image.photometric_interpretation == _PALETTE


def _is_read(shown: Presentation, bulk: Bulk) -> bool:
    """Say if the profile is there; one that is too large is not read."""
    path = presentation.path(shown.profile or {})
    return path is None or path in bulk.values
