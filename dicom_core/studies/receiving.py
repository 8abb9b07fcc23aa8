"""One part of a Store request on its way: read, digest and send to storage while its bytes arrive.

A part of up to 64 MiB is kept until it is complete and written at once, because a block costs as much as a blob. What
all requests of a worker keep beyond a few MiB each is bounded; a part that would go beyond is staged in blocks.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Sequence

from dicom_core.ports import InstanceStore
from dicom_core.record import Instance
from dicom_core.representations import recording
from dicom_core.representations.instances import Header, InvalidInstance, Layout, Reader
from dicom_core.resources import Resource

SINGLE_WRITE = 64 << 20
"""Largest part that is written at once."""

BLOCK = 4 << 20
"""Bytes of a staged block, and what each part may keep without asking."""

MAX_HEADER = 16 << 20
"""A part whose UIDs have not come by then cannot be stored: its blob cannot be named before."""

_STAGING_AT_ONCE = 3


class Allowance:
    """Bytes that the requests of a worker may keep in memory together, beyond `BLOCK` for each part."""

    def __init__(self, limit: int) -> None:
        self._left = limit

    def take(self, size: int) -> bool:
        """Take some, if there are enough left."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """Return what was taken."""
        self._left += size


allowance = Allowance(128 << 20)


class Part:
    """One part: `feed` its bytes, look at `header`, then `finish` and `write` it.

    Raises
    ------
    InvalidInstance
        From `feed` and `finish`: the bytes are no instance that can be stored.
    """

    def __init__(self, number: int, store: InstanceStore) -> None:
        self.number = number
        self.resource = Resource()
        self.version = ""
        self.length = 0
        self._store = store
        self._reader = Reader()
        self._digest = hashlib.sha256()
        self._pieces: deque[bytes] = deque()
        self._kept = 0
        self._taken = 0
        self._staged = 0
        self._staging: set[asyncio.Task[None]] = set()

    @property
    def header(self) -> Header | None:
        """The header, as soon as enough bytes have arrived; of a part too large to be kept, its beginning will do."""
        if self._reader.header is None and self._kept > BLOCK:
            return self._reader.beginning
        return self._reader.header

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.length += len(chunk)
        self._kept += len(chunk)
        self._digest.update(chunk)
        self._pieces.append(chunk)
        self._reader.feed(chunk)

    def finish(self) -> Layout:
        """There are no more bytes."""
        return self._reader.finish()

    def store_as(self, resource: Resource, version: str) -> None:
        """Name what is to be stored; before the first call of `relieve` that has to write."""
        self.resource = resource
        self.version = version

    async def relieve(self) -> None:
        """Write blocks if more bytes are kept than may be."""
        if self._kept <= BLOCK + self._taken:
            return
        if not self.version and self._kept > MAX_HEADER:
            raise InvalidInstance(f"its UIDs do not come within the first {MAX_HEADER} bytes")
        if not self._staged and self._kept <= SINGLE_WRITE and allowance.take(BLOCK):
            self._taken += BLOCK
            return
        if not self.version:
            return
        while self._kept >= BLOCK:
            await self._stage(BLOCK)

    async def write(self) -> None:
        """Write what is kept, as a whole or as the last block."""
        if not self._staged:
            await self._store.put(self.resource, self.version, tuple(self._pieces))
        else:
            if self._kept:
                await self._stage(self._kept)
            await asyncio.gather(*self._staging)
            await self._store.assemble(self.resource, self.version, self._staged)

    def release(self) -> None:
        """Let go of what is kept, written or not."""
        for task in self._staging:
            task.cancel()
            task.add_done_callback(_forget)
        self._pieces.clear()
        allowance.give_back(self._taken)
        self._taken = 0

    def instance(self, layout: Layout) -> Instance:
        """The row of the record."""
        return recording.row(
            layout,
            partition=self.resource.partition,
            version=self.version,
            length=self.length,
            digest=self._digest.hexdigest(),
        )

    async def _stage(self, size: int) -> None:
        """Begin to write the first bytes that are kept as a block; wait if several are being written."""
        while len(self._staging) >= _STAGING_AT_ONCE:
            done, self._staging = await asyncio.wait(self._staging, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        block = self._cut(size)
        number, self._staged = self._staged, self._staged + 1
        self._staging.add(asyncio.create_task(self._store.stage(self.resource, self.version, number, block)))

    def _cut(self, size: int) -> Sequence[bytes]:
        """Take the first bytes off what is kept."""
        block: list[bytes] = []
        while size:
            piece = self._pieces.popleft()
            if len(piece) > size:
                self._pieces.appendleft(piece[size:])
                piece = piece[:size]
            block.append(piece)
            size -= len(piece)
            self._kept -= len(piece)
        return block


def _forget(task: asyncio.Task[None]) -> None:
    """Take note of how a task ended that no one waits for any more."""
    if not task.cancelled():
        task.exception()
