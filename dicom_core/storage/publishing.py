"""Publishes a study: tells in the ledger what its decisions have decided, and notes in them that it was told.

An index run does, before it retires what it has seen; and every reader of the change feed, for all studies in the
journal, before it reads. They may do so at once, and be broken off anywhere: the ledger takes nothing twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

from dicom_core.storage import entries, outbox, rows
from dicom_core.storage.blobs import Container, blob_name
from dicom_core.storage.entries import Piece
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.outbox import Decided, Snapshot
from dicom_core.storage.rows import Named
from dicom_core.storage.table_service import MAX_OPERATIONS, Action, Conflict, Operation, Table, literal

Append = Callable[[Sequence[Piece]], Awaitable[int | None]]
"""Tells pieces that fit into one batch, as `Ledger.append`."""

_BLOBS_AT_ONCE = 16

log = logging.getLogger("dicom")


class Publisher:
    """Publishes studies of one account."""

    def __init__(self, studies: Table, instances: Container, ledger: Ledger, append: Append) -> None:
        self._studies = studies
        self._instances = instances
        self._ledger = ledger
        self._append = append

    async def publish(self, partition: str, study: str) -> set[str]:
        """Publish a study; the transactions that have been told of by now."""
        snapshot = await self._read(rows.partition_key(partition, study))
        return await self.publish_seen(partition, study, snapshot)

    async def publish_seen(
        self, partition: str, study: str, snapshot: Snapshot, retiring: Collection[str] = ()
    ) -> set[str]:
        """Publish what a scan of a study has seen; the transactions that have been told of by now.

        Parameters
        ----------
        retiring
            Transactions that are about to be retired, which tells as well that they were told.
        """
        if snapshot.is_torn:
            # What was written before the last of what was seen is there by now.
            again = await self._read(rows.partition_key(partition, study))
            snapshot = again.before(snapshot.until())
        found = outbox.decided(snapshot)
        if any(one.keys for one in found):
            found = [await self._named(partition, one) for one in found]
            await self._tell(partition, study, found)
            keys = [key for one in found if one.name not in retiring for key in one.keys]
            await self._note(rows.partition_key(partition, study), keys)
        return {one.name for one in found}

    async def _read(self, key: str) -> Snapshot:
        """Read the decisions and the large deletions of a study."""
        condition = (
            f"PartitionKey eq {literal(key)} and ((RowKey ge {literal(rows.CHANGE)} and "
            f"RowKey lt {literal(rows.CHANGE + '~')}) or RowKey ge {literal(rows.DELETING)})"
        )
        snapshot, page = Snapshot(), 0
        async for found in self._studies.query(condition, outbox.COLUMNS):
            page += 1
            for row in found:
                snapshot.add(row, page)
        return snapshot

    async def _tell(self, partition: str, study: str, found: Sequence[Decided]) -> None:
        """Tell what has not been told; what someone else tells meanwhile changes what is left."""
        restored = {entries.told_key(one.restores, 0) for one in found if one.restores and not one.is_told}
        told = await self._ledger.told(restored)
        while left := outbox.pieces(partition, study, found, told):
            for batch in entries.batches(left):
                if await self._append(batch) is not None:
                    told |= await self._ledger.told([piece.key for piece in left])
                    break
            else:
                return

    async def _named(self, partition: str, one: Decided) -> Decided:
        """Learn from their blobs which instances a deletion has removed, if they are too many for a row to name."""
        unknown = [version.version for version in one.gone if not version.instance]
        if one.is_told or not unknown:
            return one
        names: dict[str, Named] = {}
        for start in range(0, len(unknown), _BLOBS_AT_ONCE):
            listed = unknown[start : start + _BLOBS_AT_ONCE]
            read = (self._instances.metadata(blob_name(partition, version)) for version in listed)
            for version, metadata in zip(listed, await asyncio.gather(*read), strict=True):
                if metadata and "instance" in metadata:
                    names[version] = Named(metadata["series"], metadata["instance"], version)
        if len(names) < len(unknown):
            log.warning("feed: %d deleted versions cannot be named", len(unknown) - len(names))
        return outbox.named(one, names)

    async def _note(self, key: str, told: Sequence[str]) -> None:
        """Note in rows that they were told; rows that are gone meanwhile leave it to the next."""
        for start in range(0, len(told), MAX_OPERATIONS):
            merged = [
                Operation(Action.MERGE, row, {"published": True}, etag="*")
                for row in told[start : start + MAX_OPERATIONS]
            ]
            with suppress(Conflict):
                await self._studies.transact(key, merged)
