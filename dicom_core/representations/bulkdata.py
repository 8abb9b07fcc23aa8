"""Bulk data (PS3.18 8.7.3.5): parts of an instance, cut out of its bytes as they flow by."""

from __future__ import annotations

from collections.abc import Iterator

from dicom_core.representations.instances import file_meta
from dicom_core.representations.source import Inflate, Source


class Window:
    """Cuts a range out of a stream that begins at offset 0."""

    __slots__ = ("_at", "_end", "_start")

    def __init__(self, start: int, length: int) -> None:
        self._start, self._end, self._at = start, start + length, 0

    @property
    def complete(self) -> bool:
        """All of the range has passed: the rest of the stream need not be read."""
        return self._at >= self._end

    def feed(self, chunk: bytes) -> bytes:
        """What a chunk holds of the range."""
        at, self._at = self._at, self._at + len(chunk)
        if at >= self._start and self._at <= self._end:
            return chunk
        return chunk[max(0, self._start - at) : max(0, self._end - at)]


class Inflater:
    """Inflates the data set of a deflated instance, whose bytes are pushed from the first on (PS3.5 A.5).

    The offsets of a Layout count in what comes out: the data set without preamble and file meta information.
    """

    __slots__ = ("_inflate", "_source", "_steps")

    def __init__(self) -> None:
        self._source = Source()
        self._inflate: Inflate | None = None
        self._steps = file_meta(self._source)
        next(self._steps)

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield what a chunk adds to the data set, in pieces of bounded size.

        Raises
        ------
        InvalidInstance
            The bytes are no DICOM file, or their data set is not deflated.
        """
        if self._inflate is None:
            if not self._source.push(chunk):
                return
            try:
                next(self._steps)
                return
            except StopIteration:
                self._inflate = Inflate()
                chunk = self._source.restart()
        yield from self._inflate.feed(chunk)
