"""The index in Azure Table Storage: the record, its journal, and the transactions between them.

Every row written here, and the order in which it is written, is part of a protocol that was explored exhaustively
for small sets of concurrent stores, deletes, searches, crashes and lost replies. The rules that look odd each remove
a trace that lost or doubled something: docs/architecture.md tells them.

    studies  see `rows`; pending  see `journal`; search  see `search_table`; due  see `due`; feed  see `entries`
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial

from dicom_core import record
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import ChangeFeed, Committed, Packed, Transaction
from dicom_core.query import Page, Query
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Level, Resource
from dicom_core.storage import due, journal, packing, removal, rows, series_rows
from dicom_core.storage.blobs import Container, bulky_name
from dicom_core.storage.commit import Commit, chunks
from dicom_core.storage.due import Due
from dicom_core.storage.feed import TableFeed
from dicom_core.storage.finding import Finder
from dicom_core.storage.hints import Hints
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.packing import Packer
from dicom_core.storage.publishing import Publisher
from dicom_core.storage.removal import Removal
from dicom_core.storage.rest import Client
from dicom_core.storage.scan import scan
from dicom_core.storage.sequencing import Sequencer
from dicom_core.storage.sweeping import Sweep
from dicom_core.storage.table_service import Table

TABLES = ("studies", "pending", "search", "due", "feed")


class TableIndex:
    """`StudyIndex` over tables.

    Parameters
    ----------
    instances
        The container of the bytes, from which those that are due are deleted.
    derived
        The container of headers that no row can hold.
    retention
        Seconds that what was deleted or replaced is kept.
    base_url
        What the service's URLs most likely begin with, for metadata that are packed before anyone asks for them.
    """

    def __init__(
        self,
        client: Client,
        instances: Container,
        derived: Container,
        retention: float,
        base_url: str = "",
    ) -> None:
        self._studies = Table(client, "studies")
        self._pending = Table(client, "pending")
        self._search = Table(client, "search")
        self._due = Table(client, "due")
        self._instances = instances
        self._derived = derived
        self._retention = retention
        self._packer = Packer(derived, self.records, base_url)
        self._tell_by(Table(client, "feed"))
        self._hints = Hints(self._studies, self._pending, self.index)

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
            await self._derived.put(bulky_name(instance.partition, instance.version), rows.bulky(instance))
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

    async def remembers(self, resource: Resource) -> bool:
        """Read in the decisions that have not been forgotten if one of them removed it."""
        assert resource.study is not None
        partition = rows.partition_key(resource.partition, resource.study)
        return await removal.is_remembered(self._studies, partition, resource)

    async def packed(self, resource: Resource) -> Sequence[Packed]:
        """Read where a series' metadata are packed, or those of each series of a study."""
        assert resource.study is not None
        partition = rows.partition_key(resource.partition, resource.study)
        if resource.series is not None:
            row = await self._studies.get(partition, rows.series_key(resource.series), series_rows.PACKED)
            found = [] if row is None else [row]
        else:
            found = await series_rows.of_study(self._studies, partition, series_rows.PACKED)
        packed = [series_rows.packed(row, resource.partition) for row in found]
        return () if None in packed else [one for one in packed if one]

    async def read_packed(self, packed: Packed) -> AsyncIterator[bytes]:
        """Read the blob of a series' metadata."""
        missing = StorageUnavailable("packed metadata are missing from storage")
        return await self._derived.get(packing.blob_name(packed.partition, packed.name), 0, None, missing)

    async def search(self, query: Query) -> Page:
        """Answer from the rows of series, or from the search rows; from the record where these do not tell all."""
        if record.is_in_series_answers(query) and (answers := await self._series_answers(query.resource)):
            return record.cut(record.of_series(answers, query), query)
        return await Finder(query, self._pending, self._search, self.records).page()

    async def refresh(self, partition: str, transaction: str) -> None:
        """Index the studies of a transaction soon, if they rest and it has been decided by then."""
        await self._hints.take(partition, transaction)

    async def sweep(self) -> None:
        """Index what the journal holds, decide what was broken off, and forget what is due."""
        indexer = self._indexer()
        forgetting = Due(
            self._due,
            self._studies,
            self._search,
            instances=self._instances,
            derived=self._derived,
            index=indexer.index,
            retention=self._retention,
        )
        await Sweep(self._studies, self._pending, indexer, forgetting).run()

    async def index(self, partition: str, study: str) -> bool:
        """Index a study; False if it is being indexed already, or was changed meanwhile."""
        return await self._indexer().index(partition, study)

    def _indexer(self) -> Indexer:
        schedule = partial(due.schedule, self._due, self._retention)
        return Indexer(
            self._studies,
            self._pending,
            self._search,
            packer=self._packer,
            schedule=schedule,
            publisher=self._publisher,
        )

    async def _series_answers(self, resource: Resource) -> Mapping[str, Dataset]:
        assert resource.study is not None
        return await series_rows.answers(
            self._studies, rows.partition_key(resource.partition, resource.study)
        )

    def _tell_by(self, feed: Table) -> None:
        ledger = Ledger(feed)
        self._publisher = Publisher(self._studies, self._instances, ledger, Sequencer(ledger).append)
        self.feed: ChangeFeed = TableFeed(ledger, self._pending, self._publisher)

    async def _unspilled(self, instance: Instance, lengths: str, columns: Columns) -> Instance:
        start, length = rows.bulky_range(lengths, columns)
        missing = StorageUnavailable("the header of an instance is missing from storage")
        name = bulky_name(instance.partition, instance.version)
        content = await self._derived.get(name, start, length, missing)
        return rows.with_bulky(instance, lengths, columns, b"".join([chunk async for chunk in content]))
