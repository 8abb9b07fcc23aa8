"""Pictures of an instance's frames: what they are rendered from is read, and what took long is kept."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from dicom_core.errors import NotAcceptable, StorageUnavailable
from dicom_core.ports import Stores
from dicom_core.record import Dataset, Instance
from dicom_core.rendition import Rendition
from dicom_core.representations import rendering
from dicom_core.representations.frames import FrameTable, Range
from dicom_core.representations.images import MAX_FRAME, Frame, Image, Undecodable, Unencodable
from dicom_core.representations.rendering import Source
from dicom_core.studies import computing, payloads

WORTH_KEEPING = 8 << 20
"""Bytes of decoded pixels from which on a picture is kept.

They take about 20 ms to render, and 80 ms to read at 100 MB/s: together as much as a blob write costs, $5 a million, as
does 0.1 s of an instance of 2 GB. What is kept is one read of a few KB. Windows and regions that a reader drags about
are never kept: hardly anyone asks for one again.
"""

SLOW = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})
"""JPEG 2000 takes 100 ms for a quarter of that."""

_REVISION = 1
"""Changes whenever the same pixels would be rendered to other bytes."""

_MAX_VALUES = 64 << 20
"""The most bytes of lookup tables and profiles that are read for one picture."""

log = logging.getLogger("dicom")


@dataclass(slots=True)
class Painter:
    """Renders frames of one instance to one media type.

    `values` holds the bulk data that the last picture needed, by path: the next one mostly needs the same.
    """

    stores: Stores
    row: Instance
    dataset: Dataset
    table: FrameTable
    rendition: Rendition
    media_type: str
    values: Mapping[str, bytes] = field(default_factory=dict)

    def name(self, numbers: Sequence[int]) -> str:
        """What a picture of these frames is kept under, and part of its validator."""
        told = repr((_REVISION, self.rendition, tuple(numbers), self.media_type))
        return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()

    async def picture(self, numbers: Sequence[int]) -> bytes:
        """One picture: of one frame, or several as an animation; as it is kept, or rendered now.

        Raises
        ------
        NotAcceptable
            There is no decoder for a frame, or no image of the media type can show it.
        """
        if not self._is_worth_keeping(numbers):
            return await self._rendered(numbers)
        key = (self.row.resource, self.row.version, self.name(numbers))
        kept = await self.stores.renditions.get(*key)
        if kept is not None:
            return b"".join([chunk async for chunk in kept])
        content = await self._rendered(numbers)
        try:
            await self.stores.renditions.put(*key, content)
        except StorageUnavailable as error:
            log.warning("a rendition was not kept: %s", error)
        return content

    async def pictures(self, groups: Sequence[Sequence[int]]) -> AsyncIterator[tuple[int, bytes]]:
        """A picture of each group of frames, with its index."""
        for index, numbers in enumerate(groups):
            yield index, await self.picture(numbers)

    @property
    def _reader(self) -> payloads.Read:
        return payloads.reader(self.stores.instances, self.row)

    def _is_worth_keeping(self, numbers: Sequence[int]) -> bool:
        asked = self.rendition
        is_usual = asked.window is None and (asked.viewport is None or asked.viewport.is_whole)
        size = Image.of(self.dataset).size * len(numbers)
        return is_usual and size * (4 if self.row.transfer_syntax in SLOW else 1) >= WORTH_KEEPING

    async def _rendered(self, numbers: Sequence[int]) -> bytes:
        encoded = sum(length for number in numbers for _, length in self.table.locate(number))
        image = Image.of(self.dataset)
        decoded = max(image.size, image.rows * image.columns)  # single bits become bytes
        if encoded > (rendering.MAX_DECODED if len(numbers) > 1 else MAX_FRAME) or decoded > MAX_FRAME:
            raise NotAcceptable("the frames have more bytes or pixels than are rendered at once")
        async with computing.room.taken(encoded + decoded * computing.TIMES_DECODED):
            self.values = await self._read_values(numbers)
            contents = payloads.whole(payloads.frames(self._reader, self.table, numbers))
            frames = [(numbers[index], content) async for index, content in contents]
            try:
                return await computing.compute(self._drawn, frames)
            except (Undecodable, Unencodable) as error:
                raise NotAcceptable(str(error)) from None

    def _drawn(self, frames: Sequence[Frame]) -> bytes:
        source = Source(self.dataset, self.row.transfer_syntax, self.values)
        if len(frames) > 1:
            return rendering.animate(source, frames, self.rendition)
        return rendering.render(source, frames[0], self.rendition, self.media_type)

    async def _read_values(self, numbers: Sequence[int]) -> Mapping[str, bytes]:
        read, left = dict[str, bytes](), _MAX_VALUES
        for path in rendering.values(self.dataset, numbers, self.rendition):
            location = self.row.bulkdata.get(path)
            if path in self.values:
                read[path] = self.values[path]
            elif location is not None and location[1] <= min(rendering.MAX_VALUE, left):
                read[path] = await self._read(location)
                left -= location[1]
        return read

    async def _read(self, location: Range) -> bytes:
        content = await self._reader(*location)
        return b"".join([chunk async for chunk in content])
