"""An account in memory that loses its tables, and what a rebuild makes of its blobs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from dicom_core.ports import DropZone, Stores
from dicom_core.resources import DEFAULT_PARTITION, Resource
from dicom_core.storage.blobs import BlobStore
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.memory import MemoryDeliveries, MemoryRenditions
from dicom_core.storage.rebuilding import Fate, Rebuild, Seen
from dicom_core.storage.table_service import Entity
from dicom_core.storage.tables import TableIndex
from dicom_core.studies import delete, store
from dicom_core.web.messages import Request
from tests.fake_blobs import FakeBlobs
from tests.fake_tables import Service
from tests.storage import BASE, answer, store_request

TABLES = ("studies", "pending", "search", "due", "feed")


@dataclass(slots=True)
class Account:
    """Tables and containers of one account in memory."""

    service: Service = field(default_factory=Service)
    index: TableIndex = field(init=False)
    instances: FakeBlobs = field(init=False)
    derived: FakeBlobs = field(init=False)

    def __post_init__(self) -> None:
        self.instances, self.derived = FakeBlobs(self.service), FakeBlobs(self.service)
        self.index = self.service.index()
        self.index._derived, self.index._instances = self.derived, self.instances
        self.index._tell_by(self.service.table("feed"))

    @property
    def stores(self) -> Stores:
        """The ports; nothing here takes files from the drop zone."""
        return Stores(
            BlobStore(self.instances),
            self.index,
            cast(DropZone, None),
            MemoryRenditions(),
            self.index.feed,
            MemoryDeliveries(),
        )

    async def post(self, *files: bytes) -> int:
        """Store files; the status."""
        return (await answer(store.store, store_request(files, DEFAULT_PARTITION), self.stores))[0]

    async def put(self, *files: bytes) -> int:
        """Store files, replacing what is there; the status."""
        request = replace(store_request(files, DEFAULT_PARTITION), method="PUT")
        return (await answer(store.upsert, request, self.stores))[0]

    async def delete(self, *uids: str) -> int:
        """Delete a study, a series or an instance; the status."""
        request = Request("DELETE", Resource(*uids), BASE)
        return (await answer(delete.delete, request, self.stores))[0]

    async def rebuild(self, settled: float = 3600.0, after: str = "") -> dict[str, Fate]:
        """Rebuild; what became of each blob by its name."""
        return {one.blob.name: one.fate for one in await self.seen(settled, after)}

    async def seen(self, settled: float = 3600.0, after: str = "") -> list[Seen]:
        """Rebuild; what became of each blob."""
        found: list[Seen] = []
        studies, pending = self.service.table("studies"), self.service.table("pending")
        run = Rebuild(studies, pending, self.instances, self.derived, found.append, settled)
        async for _ in run.run(after=after):
            pass
        return found

    def lose(self, *tables: str) -> None:
        """Lose tables; all, if none is named."""
        for name in tables or TABLES:
            self.service.tables.pop(name, None)

    def rows(self, table: str = "studies", kind: str = "instance|") -> dict[tuple[str, str], Entity]:
        """The rows of a table whose keys begin so, with their properties, by their keys."""
        return {
            (partition, key): properties
            for partition, found in self.service.tables.get(table, {}).items()
            for key, (properties, _) in found.items()
            if key.startswith(kind)
        }

    def versions(self) -> set[str]:
        """The versions that rows name."""
        return {row["version"] for row in self.rows().values()}

    @property
    def indexer(self) -> Indexer:
        """An indexer over the account."""
        return Indexer(*(self.service.table(name) for name in ("studies", "pending", "search")))


def names(fates: dict[str, Fate], fate: Fate) -> set[str]:
    """Names of the blobs of which this became."""
    return {name for name, of in fates.items() if of is fate}


def files_of(study: str, number: int, series: Sequence[str] = ("1",)) -> list[bytes]:
    """Small files of a study, their instances spread over some series."""
    from tests.instances import file

    return [
        file(study, f"{study}.{series[at % len(series)]}", f"{study}.9.{at}", InstanceNumber=str(at))
        for at in range(number)
    ]
