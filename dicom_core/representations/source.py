"""Bytes as they arrive: a buffer that readers written as coroutines wait on.

A reader is a generator that yields whenever it needs bytes that have not arrived. Whoever has the bytes pushes them
and resumes it. Nothing here waits or does I/O, and bytes that were read or skipped are dropped.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Generator, Iterator
from io import BytesIO
from typing import TypeAlias, TypeVar

_T = TypeVar("_T")

Steps: TypeAlias = Generator[None, None, _T]
"""A reader: yields when it wants more bytes, returns what it read."""

MAX_KEPT = 16 << 20
"""The most bytes of a header that are kept in memory; values that are only located do not count."""

MAX_OBJECTS = 64 << 20
"""The most that the elements, items and values of a header may take as Python objects, by the estimates below."""

ELEMENT, TEXT, NUMBER = 200, 64, 32
"""Bytes that an element or item, and each of several values of one, take beside the value itself."""

MAX_INFLATED = 1 << 30
"""The longest data set that is inflated: 1 MiB can be made to inflate to as much."""

_PIECE = 1 << 20
_SLICE = 16 << 10


class InvalidInstance(Exception):
    """The bytes are no instance that can be read; the text says what and where, and holds no attribute values."""


class Source:
    """The bytes between what has been read and what has arrived; offsets count from the first byte pushed."""

    __slots__ = (
        "_chunks",
        "_file",
        "closed",
        "data",
        "end",
        "inside",
        "objects",
        "position",
        "skipped",
        "start",
        "wanted",
    )

    def __init__(self) -> None:
        self.data = b""
        self.start = 0
        self.position = 0
        self.end = 0
        self.wanted = 0
        self.skipped = 0
        self.objects = 0
        self.closed = False
        self.inside = "the preamble"
        self._chunks: list[bytes] = []
        self._file: BytesIO | None = None

    def push(self, chunk: bytes) -> bool:
        """Take bytes; says if the reader can go on."""
        self.end += len(chunk)
        if self.position >= self.end:
            self._drop()
        else:
            self._chunks.append(chunk if type(chunk) is bytes else bytes(chunk))
        return self.end >= self.wanted

    def available(self, count: int) -> Steps[bool]:
        """Wait until `count` bytes from the position are in `data`; False if they never come."""
        self.wanted = self.position + count
        while self.end < self.wanted and not self.closed:
            yield
        self._settle()
        return self.end >= self.wanted

    def more(self, count: int) -> Steps[None]:
        """Wait until `count` bytes from the position are in `data`.

        Raises
        ------
        InvalidInstance
            The bytes end before that.
        """
        if not (yield from self.available(count)):
            raise self.invalid(f"ends at byte {self.end} inside {self.inside}")

    def keep(self, count: int) -> Steps[None]:
        """Wait for bytes of a value that stays in memory; `check` counts them."""
        self.check(count)
        yield from self.more(count)

    def check(self, count: int = 0) -> None:
        """Refuse a header that keeps more in memory than `MAX_KEPT` bytes and `MAX_OBJECTS` of what is made of them."""
        self.count(0)
        if self.position + count - self.skipped > MAX_KEPT:
            raise self.invalid(f"keeps more than {MAX_KEPT} bytes of values in its header at {self.inside}")

    def count(self, objects: int) -> None:
        """Refuse a header whose objects take more bytes than `MAX_OBJECTS`; for large ones, before they are made.

        Raises
        ------
        InvalidInstance
            These are too many.
        """
        self.objects += objects
        if self.objects > MAX_OBJECTS:
            where = f"by byte {self.position}"
            raise self.invalid(f"has more elements, items and values in its header than can be kept, {where}")

    def skip(self, count: int) -> None:
        """Go on behind bytes that are not needed, whether they have arrived or not."""
        self.position += count
        self.skipped += count
        if self.position >= self.end:
            self._drop()

    def drain(self) -> Steps[None]:
        """Let everything flow by until the end."""
        self.position = self.wanted = sys.maxsize
        self._drop()
        while not self.closed:
            yield

    @property
    def file(self) -> BytesIO:
        """What is buffered as a file; its byte 0 is at `start`."""
        if self._file is None:
            self._file = BytesIO(self.data)
        return self._file

    def restart(self) -> bytes:
        """Count offsets from 0 again; what was not read is given back."""
        self._settle()
        rest = self.data[self.position - self.start :]
        self.data, self._chunks, self._file = b"", [], None
        self.start = self.position = self.end = self.wanted = self.skipped = 0
        return rest

    def invalid(self, what: str) -> InvalidInstance:
        """The error of this instance."""
        return InvalidInstance(f"the instance {what}")

    def _drop(self) -> None:
        self.data, self._file = b"", None
        self._chunks.clear()
        self.start = self.end

    def _settle(self) -> None:
        """Make the chunks that arrived part of `data`, without those bytes that are done with."""
        if not self._chunks:
            return
        done = self.position - self.start
        if done < len(self.data):
            self._chunks.insert(0, self.data[done:])
            done = 0
        else:
            done -= len(self.data)
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self.data = data[done:] if done else data
        self.start = self.position
        self._file = None
        self._chunks = []


class Inflate:
    """Inflates a deflated data set (PS3.5 A.5) of up to `MAX_INFLATED` bytes, in pieces of bounded size."""

    __slots__ = ("_inflate", "_length")

    def __init__(self) -> None:
        self._length = 0
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)

    @property
    def complete(self) -> bool:
        """The end of the deflated stream was seen."""
        return self._inflate.eof

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Inflate a chunk; what it holds behind the end of the deflated stream is passed over.

        Raises
        ------
        InvalidInstance
            The bytes are not deflated, or inflate to more than `MAX_INFLATED`.
        """
        for at in range(0, len(chunk), _SLICE):  # zlib copies what it has not consumed for each piece
            rest = chunk[at : at + _SLICE]
            full = True
            while (rest or full) and not self._inflate.eof:
                piece = self._inflated(rest)
                if piece:
                    yield piece
                rest, full = self._inflate.unconsumed_tail, len(piece) == _PIECE

    def _inflated(self, chunk: bytes) -> bytes:
        """The next piece."""
        try:
            piece = self._inflate.decompress(chunk, _PIECE)
        except zlib.error:
            raise InvalidInstance("the instance holds a deflated data set that cannot be inflated") from None
        self._length += len(piece)
        if self._length > MAX_INFLATED:
            raise InvalidInstance(
                f"the instance holds a data set that inflates to more than {MAX_INFLATED} bytes"
            )
        return piece
