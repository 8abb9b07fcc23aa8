"""The index in Azure Table Storage: the record, its journal, and the transactions between them.

Every row written here, and the order in which it is written, is part of a protocol that was explored exhaustively
for small sets of concurrent stores, deletes, searches, crashes and lost replies. The rules that look odd each remove
a trace that lost or doubled something: docs/architecture.md tells them.

    studies  see `rows`; pending  see `journal`; search  see `search_table`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Committed, Transaction
from dicom_core.query import Page, Query
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Level, Resource
from dicom_core.storage import journal, rows
from dicom_core.storage.blobs import Container, blob_name
from dicom_core.storage.commit import Commit, chunks
from dicom_core.storage.finding import Finder
from dicom_core.storage.removal import Removal
from dicom_core.storage.rest import Client
from dicom_core.storage.scan import scan
from dicom_core.storage.sweeping import Sweep
from dicom_core.storage.table_service import Table

TABLES = ("studies", "pending", "search")


class TableIndex:
    """`StudyIndex` over two tables, and a container for headers that no row can hold."""

    def __init__(self, client: Client, derived: Container) -> None:
        self._studies = Table(client, "studies")
        self._pending = Table(client, "pending")
        self._search = Table(client, "search")
        self._derived = derived

    async def begin(self, transaction: Transaction, attributes: Mapping[Level, Dataset] | None) -> None:
        """Insert the journal's row of a transaction; a search from now on looks at its study."""
        await journal.begin(
            self._pending, transaction.partition, transaction.name, transaction.study, attributes
        )

    async def commit(
        self,
        transaction: Transaction,
        instances: Sequence[Instance],
        *,
        upsert: bool,
        dropped: Sequence[str] = (),
    ) -> Mapping[str, Committed]:
        """Insert instance rows together with the transaction's decision, in as few batches as they fit."""
        for instance in filter(rows.is_spilled, instances):
            await self._derived.put(_spill_name(instance), rows.bulky(instance))
        commit = Commit(self._studies, transaction, upsert, dropped)
        batches = list(chunks(instances)) or [[]]
        for number, batch in enumerate(batches, 1):
            await commit.write(batch, "done" if number == len(batches) else "open")
        return commit.outcomes

    async def remove(self, transaction: Transaction, resource: Resource) -> int:
        """Delete the instance rows in scope: in one batch, or behind a marker that hides them all at once."""
        return await Removal(self._studies, transaction).carry_out(resource)

    async def records(self, resource: Resource, columns: Columns) -> list[Instance]:
        """Read rows: one point read for an instance, one range query for a series or a study."""
        assert resource.study is not None
        select = rows.selected(columns)
        partition = rows.partition_key(resource.partition, resource.study)
        if resource.instance is not None:
            row = await self._studies.get(partition, rows.span(resource)[0], select)
            found = [] if row is None else [row]
        else:
            found = (await scan(self._studies, partition, rows.span(resource), select)).live()
        instances = rows.to_instances(found, resource.partition, resource.study)
        for at, row in enumerate(found):
            if lengths := row.get("spilled"):
                instances[at] = await self._unspilled(instances[at], lengths, columns)
        return instances

    async def search(self, query: Query) -> Page:
        """Answer from the search rows, and from the records of the studies that they do not tell all of yet."""
        return await Finder(query, self._pending, self._search, self.records).page()

    async def sweep(self) -> None:
        """Index what the journal holds, and decide what was broken off."""
        await Sweep(self._studies, self._pending, self._search).run()

    async def _unspilled(self, instance: Instance, lengths: str, columns: Columns) -> Instance:
        start, length = rows.bulky_range(lengths, columns)
        missing = StorageUnavailable("the header of an instance is missing from storage")
        content = await self._derived.get(_spill_name(instance), start, length, missing)
        return rows.with_bulky(instance, lengths, columns, b"".join([chunk async for chunk in content]))


def _spill_name(instance: Instance) -> str:
    return f"{blob_name(instance.partition, instance.version).removesuffix('.dcm')}.bulky"
