"""A container of blobs in memory that shares the turns of a Table service in memory, and knows what a list tells."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from dicom_core.storage.blobs import Blob, Container
from tests.fake_tables import Service


@dataclass(slots=True)
class Kept:
    """One blob; `modified` in seconds since 1970."""

    content: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)
    modified: float = 0.0


class FakeBlobs(Container):
    """A container; blobs are older than anything unless a test says otherwise."""

    def __init__(self, service: Service, chunk: int = 1 << 16) -> None:
        self.kept: dict[str, Kept] = {}
        self._service = service
        self._chunk = chunk
        self._staged: dict[str, dict[int, bytes]] = {}

    async def put(
        self,
        name: str,
        content: Sequence[bytes],
        metadata: Mapping[str, str] | None = None,
        content_type: str = "application/dicom",
    ) -> None:
        """Keep a blob; one of this name stays."""
        await self._service.turn()
        self.kept.setdefault(name, Kept(b"".join(content), metadata or {}))

    async def stage(self, name: str, number: int, content: Sequence[bytes]) -> None:
        """Keep a block."""
        await self._service.turn()
        self._staged.setdefault(name, {})[number] = b"".join(content)

    async def assemble(self, name: str, blocks: int, metadata: Mapping[str, str]) -> None:
        """Make blocks a blob."""
        await self._service.turn()
        staged = self._staged.pop(name)
        self.kept[name] = Kept(b"".join(staged[number] for number in range(blocks)), metadata)

    async def copy(self, name: str, to: str) -> None:
        """Keep a blob twice."""
        await self._service.turn()
        self.kept[to] = self.kept[name]

    async def get(
        self, name: str, start: int, length: int | None, missing: Exception
    ) -> AsyncIterator[bytes]:
        """Begin to read a blob."""
        await self._service.turn()
        if name not in self.kept:
            raise missing
        content = self.kept[name].content[start : None if length is None else start + length]
        return self._chunks(content)

    async def blobs(self, prefix: str = "", after: str = "") -> AsyncIterator[Blob]:
        """List blobs; the list is of one moment."""
        await self._service.turn()
        for name, kept in sorted(self.kept.items()):
            if name.startswith(prefix) and name > after:
                yield Blob(name, len(kept.content), kept.modified, kept.metadata)

    async def exists(self, name: str) -> bool:
        """Say if there is a blob."""
        await self._service.turn()
        return name in self.kept

    async def metadata(self, name: str) -> Mapping[str, str] | None:
        """What is known of a blob."""
        await self._service.turn()
        return self.kept[name].metadata if name in self.kept else None

    async def delete(self, name: str) -> None:
        """Forget a blob."""
        await self._service.turn()
        self.kept.pop(name, None)

    async def _chunks(self, content: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(content), self._chunk):
            yield content[start : start + self._chunk]
