"""Removes rows: all at once for every reader, however many batches they take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Transaction
from dicom_core.resources import Resource
from dicom_core.storage import rows
from dicom_core.storage.commit import RACES
from dicom_core.storage.scan import Scan, read, scan
from dicom_core.storage.table_service import Action, Conflict, Entity, Operation, Table

_VERSION = ("RowKey", "version")


class Removal:
    """One removal on its way."""

    def __init__(self, studies: Table, transaction: Transaction) -> None:
        self._studies = studies
        self._transaction = transaction
        self._partition = rows.partition_key(transaction.partition, transaction.study)

    async def carry_out(self, resource: Resource) -> int:
        """Remove what is in scope; how many instances that were."""
        for _ in range(RACES):
            seen = await scan(self._studies, self._partition, rows.span(resource), _VERSION)
            live = seen.live()
            try:
                await self._remove(live)
            except Conflict:
                continue
            await self._roll_forward(seen)
            return len(live)
        raise StorageUnavailable("the resource is being changed by too many others")

    async def _remove(self, live: Sequence[Entity]) -> None:
        """Delete rows and insert the decision; more than one batch hides behind a marker that the first inserts.

        Raises
        ------
        Conflict
            A row has changed since it was read, and nothing was done.
        """
        gone = [rows.named(row) for row in live]
        change = rows.change_key(self._transaction.name)
        decision = Operation(Action.INSERT, change, rows.Decision(gone=gone).to_entity("done"))
        batches = list(rows.cut(live, lambda row: rows.named(row)[0])) or [[]]
        if len(batches) == 1:
            await self._once(decision, batches[0])
            return
        versions = {version for _, _, version in gone}
        marker = Operation(Action.INSERT, rows.deleting_key(self._transaction.name), rows.deleting(versions))
        await self._once(marker, batches[0])
        for batch in batches[1:-1]:
            await self._until_gone([], batch, versions)
        await self._until_gone([decision], batches[-1], versions)

    async def _roll_forward(self, seen: Scan) -> None:
        """Delete rows that another deletion hides and has not come to, or never will: reads of one row see them."""
        left = [row for row in seen.rows if row["version"] in seen.dead]
        for batch in rows.cut(left, lambda row: rows.named(row)[0]):
            await self._until_gone([], batch, seen.dead)

    async def _once(self, leading: Operation, batch: Sequence[Entity]) -> None:
        try:
            await self._studies.transact(self._partition, [leading, *_deletions(batch)])
        except Conflict as conflict:
            if conflict.index != 0:
                raise
            # The leading row bears this transaction's own name: the batch was carried out and its reply was lost, or
            # the sweep has decided that the transaction is none.
            row = await self._studies.get(self._partition, leading.row, ["state"])
            if row is not None and row.get("state") == "aborted":
                raise StorageUnavailable("the deletion took too long and was given up") from None

    async def _until_gone(
        self, leading: Sequence[Operation], batch: Sequence[Entity], versions: set[str]
    ) -> None:
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
                    return
            else:
                return
            seen = await read(self._studies, self._partition, (min(keys), max(keys)), _VERSION)
            batch = [row for row in seen.rows if row["RowKey"] in keys and row["version"] in versions]
        raise StorageUnavailable(
            "the resource is being changed by too many others; its deletion will be completed"
        )


def _deletions(batch: Iterable[Entity]) -> Iterator[Operation]:
    """Delete rows, and empty the pointers to packed metadata of their series."""
    for uid in dict.fromkeys(rows.named(row)[0] for row in batch):
        yield Operation(Action.UPSERT, rows.series_key(uid))
    for row in batch:
        yield Operation(Action.DELETE, row["RowKey"], etag=row["odata.etag"])
