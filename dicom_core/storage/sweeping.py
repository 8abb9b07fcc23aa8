"""Sweeps the journal: indexes what is in it, and decides what was broken off; then forgets what is due.

A timer calls it. All of it may run twice, late, or beside the transactions that it takes for broken off: what is
decided is decided by inserting the decision's row, which only one can do.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence

from dicom_core import versions
from dicom_core.ports import Transaction
from dicom_core.storage import journal, rows
from dicom_core.storage.due import Due, left_to_the_next
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.removal import Removal
from dicom_core.storage.table_service import Action, Conflict, Operation, Table, changed_at, literal

ABANDONED = 3600.0
"""Seconds after which no request can still be at work: HTTP ends at 230 s, functions at 10 minutes (host.json)."""

FORGOTTEN = ABANDONED
"""Seconds from the completion of a deletion after which its marker bears on no read that is still at work."""

AT_ONCE = 8
"""Studies that are indexed at once: each waits for storage most of the time."""

log = logging.getLogger("dicom")


class Sweep:
    """One sweep over all partitions of an account."""

    def __init__(
        self,
        studies: Table,
        pending: Table,
        indexer: Indexer,
        due: Due,
        abandoned: float = ABANDONED,
        forgotten: float = FORGOTTEN,
        at_once: int = AT_ONCE,
    ) -> None:
        self._studies = studies
        self._pending = pending
        self._indexer = indexer
        self._due = due
        self._abandoned = abandoned
        self._forgotten = forgotten
        self._at_once = at_once

    async def run(self) -> None:
        """Sweep study by study, several at once; one that fails is left to the next sweep."""
        journalled = await journal.everything(self._pending)
        waiting = iter(journalled.items())
        at_once = min(self._at_once, len(journalled))
        indexed = sum(await asyncio.gather(*(self._index_all(waiting) for _ in range(at_once))))
        log.info("sweep: studies=%d indexed=%d", len(journalled), indexed)
        await self._due.run()

    async def _index_all(self, waiting: Iterator[tuple[tuple[str, str], list[str]]]) -> int:
        """Index what no one else has taken yet; how many studies that were."""
        indexed = 0
        for (partition, study), transactions in waiting:
            with left_to_the_next(study):
                await self._decide_all(partition, study, transactions)
                indexed += await self._indexer.index(partition, study)
        return indexed

    async def _decide_all(self, partition: str, study: str, transactions: Sequence[str]) -> None:
        old = [name for name in transactions if versions.age_of(name) > self._abandoned]
        if not old:
            return
        await self._complete_deletions(partition, study)
        for name in old:
            await self._decide(partition, study, name)

    async def _complete_deletions(self, partition: str, study: str) -> None:
        """Roll deletions that were broken off forward; forget the markers of those that are complete.

        A marker goes here and not when it is due: the journal's row of its transaction waits for that.
        """
        key = rows.partition_key(partition, study)
        condition = f"PartitionKey eq {literal(key)} and RowKey ge {literal(rows.DELETING)}"
        async for page in self._studies.query(condition, ["RowKey", *rows.DEAD_COLUMNS]):
            for row in page:
                name = row["RowKey"].removeprefix(rows.DELETING)
                if versions.age_of(name) <= self._abandoned:
                    continue
                decision = await self._studies.get(
                    key, rows.change_key(name), ["state", "Timestamp"], etag=True
                )
                if decision is None or decision["state"] == "open":
                    removal = Removal(self._studies, Transaction(name, study, partition))
                    await removal.complete(
                        rows.hidden(row), None if decision is None else decision["odata.etag"]
                    )
                elif time.time() - changed_at(decision) > self._forgotten:
                    # While it is there it says when the deletion began, and so what it comes before.
                    await self._indexer.publish(partition, study)
                    await self._studies.transact(key, [Operation(Action.DELETE, row["RowKey"], etag="*")])

    async def _decide(self, partition: str, study: str, name: str) -> None:
        """Abort a transaction without a decision, close one that is open; forget one that was retired."""
        key, change = rows.partition_key(partition, study), rows.change_key(name)
        row = await self._studies.get(key, change, ["state", "retired"], etag=True)
        dropped = rows.Decision(drop=[rows.EVERYTHING])
        try:
            if row is None:
                await self._studies.transact(
                    key, [Operation(Action.INSERT, change, dropped.to_entity("aborted"))]
                )
            elif row["state"] == "open":
                if await self._studies.get(key, rows.deleting_key(name), ["RowKey"]) is not None:
                    return  # a large deletion that began behind our back: the next sweep completes it
                closed = Operation(Action.MERGE, change, dropped.to_entity("done"), row["odata.etag"])
                await self._studies.transact(key, [closed])
            elif row.get("retired"):
                await journal.forget(self._pending, partition, study, name)
        except Conflict:
            return  # it was decided meanwhile
