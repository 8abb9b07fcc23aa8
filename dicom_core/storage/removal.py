"""Removes rows: all at once for every reader, however many batches they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Transaction
from dicom_core.resources import Resource
from dicom_core.storage import rows
from dicom_core.storage.commit import RACES
from dicom_core.storage.rows import Named
from dicom_core.storage.scan import read, scan
from dicom_core.storage.table_service import Action, Conflict, Entity, Operation, Table, literal

MOST_BYTES = 900_000
"""Bytes of the names of a large deletion, of 1 MiB that an entity takes: those of 13,000 to 33,000 instances."""

_VERSION = ("RowKey", "version", "sop_class")


class Removal:
    """One removal on its way."""

    def __init__(self, studies: Table, transaction: Transaction) -> None:
        self._studies = studies
        self._transaction = transaction
        self._partition = rows.partition_key(transaction.partition, transaction.study)
        self._change = rows.change_key(transaction.name)

    async def carry_out(self, resource: Resource) -> int:
        """Remove what is in scope; how many instances that were."""
        for _ in range(RACES):
            seen = await scan(self._studies, self._partition, rows.span(resource), _VERSION)
            live = seen.live()
            try:
                await self._remove(live)
            except Conflict:
                continue
            await self._roll_forward(seen.rows, seen.dead)
            return len(live)
        raise StorageUnavailable("the resource is being changed by too many others")

    async def complete(self, hidden: Sequence[Named], etag: str | None) -> None:
        """Carry out what is left of a deletion whose marker hides these instances: it was broken off.

        Parameters
        ----------
        etag
            That of its decision, which is open; None if there is none.
        """
        seen = await read(self._studies, self._partition, rows.EVERY_INSTANCE, _VERSION)
        versions = {one.version for one in hidden}
        await self._roll_forward(seen.rows, versions)
        await self._until_gone([], versions, self._done(hidden, etag))

    async def _remove(self, live: Sequence[Entity]) -> None:
        """Delete rows and insert the decision; more than one batch hides behind a marker that the first inserts.

        Raises
        ------
        Conflict
            A row has changed since it was read, and nothing was done.
        """
        gone = list(map(rows.named, live))
        batches = list(rows.cut(live, lambda row: rows.named(row).series, leading=2)) or [[]]
        if len(batches) == 1:
            await self._begin([self._done(gone, None)], batches[0])
            return
        versions = {one.version for one in gone}
        gone = fitting(gone)
        marker = Operation(Action.INSERT, rows.deleting_key(self._transaction.name), rows.deleting(gone))
        opened = Operation(Action.INSERT, self._change, rows.Decision().to_entity("open"))
        etag = await self._begin([opened, marker], batches[0])
        for batch in batches[1:-1]:
            await self._until_gone(batch, versions)
        await self._until_gone(batches[-1], versions, self._done(gone, etag))

    def _done(self, gone: Sequence[Named], etag: str | None) -> Operation:
        """Say in the decision that the deletion is complete, and of what."""
        properties = rows.Decision(gone=list(gone)).to_entity("done")
        return Operation(Action.INSERT if etag is None else Action.UPSERT, self._change, properties, etag)

    async def _roll_forward(self, found: Iterable[Entity], hidden: set[str]) -> None:
        """Delete rows that a deletion hides and has not come to, or never will: reads of one row see them."""
        left = [row for row in found if row["version"] in hidden]
        for batch in rows.cut(left, lambda row: rows.named(row).series):
            await self._until_gone(batch, hidden)

    async def _begin(self, leading: Sequence[Operation], batch: Sequence[Entity]) -> str:
        """Insert the decision, first of all, and delete rows; the decision's ETag."""
        try:
            return (await self._studies.transact(self._partition, [*leading, *_deletions(batch)]))[0]
        except Conflict as conflict:
            if conflict.index != 0:
                raise
            return await self._own(str(leading[0].properties["state"]))

    async def _own(self, state: str) -> str:
        """ETag of the decision, which bears this transaction's own name: its reply was lost, or it was aborted."""
        row = await self._studies.get(self._partition, self._change, ["state"], etag=True)
        if row is None or row["state"] != state:
            raise StorageUnavailable("the deletion took too long and was given up")
        etag: str = row["odata.etag"]
        return etag

    async def _until_gone(self, batch: Sequence[Entity], versions: set[str], *leading: Operation) -> None:
        """Delete the rows that still hold a version of the marker; whatever else took their place stays."""
        keys = {row["RowKey"] for row in batch}
        for _ in range(RACES):
            operations = [*leading, *_deletions(batch)]
            if not operations:
                return
            try:
                await self._studies.transact(self._partition, operations)
            except Conflict as conflict:
                if leading and conflict.index == 0:
                    await self._own("done")
                    return
            else:
                return
            seen = await read(self._studies, self._partition, (min(keys), max(keys)), _VERSION)
            batch = [row for row in seen.rows if row["RowKey"] in keys and row["version"] in versions]
        raise StorageUnavailable(
            "the resource is being changed by too many others; its deletion will be completed"
        )


async def is_remembered(studies: Table, partition: str, resource: Resource) -> bool:
    """Say if a decision that is still kept tells of the removal of a resource, or of something in it."""
    condition = (
        f"PartitionKey eq {literal(partition)} and RowKey ge {literal(rows.CHANGE)} and "
        f"RowKey lt {literal(rows.CHANGE + '~')}"
    )
    async for page in studies.query(condition, rows.DECISION_COLUMNS):
        for row in page:
            for one in rows.Decision.from_entity(row).gone:
                if resource.series in (None, one.series) and resource.instance in (None, one.instance):
                    return True
    return False


def fitting(gone: list[Named]) -> list[Named]:
    """What a row can hold: the UIDs of very many do not fit."""
    return gone if len(rows.listed(gone)) <= MOST_BYTES else [Named("", "", one.version) for one in gone]


def _deletions(batch: Iterable[Entity]) -> Iterator[Operation]:
    """Delete rows, and empty the pointers to packed metadata of their series."""
    for uid in dict.fromkeys(rows.named(row).series for row in batch):
        yield Operation(Action.UPSERT, rows.series_key(uid))
    for row in batch:
        yield Operation(Action.DELETE, row["RowKey"], etag=row["odata.etag"])
