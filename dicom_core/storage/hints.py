"""Hints that bytes of transactions have come: their studies are indexed soon, and seldom.

A hint never decides anything, and may be lost: what it did not come to, the sweep does. Hints come by the hundred,
one for each blob. So the first of a partition waits for those that follow, and one read of the journal serves them all;
a study is not indexed again before it has rested.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection

from dicom_core.errors import StorageUnavailable
from dicom_core.storage import journal, rows
from dicom_core.storage import search_table as search
from dicom_core.storage.table_service import Table, literal

SETTLE = 2.0
"""Seconds from the first hint to the look at the journal: commits, and more hints, come meanwhile."""

REST = 5.0
"""Seconds between two index runs of a study that hints may cause: each costs about 20 requests."""

Index = Callable[[str, str], Awaitable[bool]]
"""Indexes a study of a partition."""

_STUDIES_AT_ONCE = 8

log = logging.getLogger("dicom")


class Hints:
    """The hints that one worker is given."""

    def __init__(
        self, studies: Table, pending: Table, index: Index, settle: float = SETTLE, rest: float = REST
    ) -> None:
        self._studies = studies
        self._pending = pending
        self._index = index
        self._settle = settle
        self._rest = rest
        self._noted: dict[str, set[str]] = {}
        self._waiting: dict[tuple[str, str], set[str]] = {}
        self._running: dict[tuple[str, str], asyncio.Event] = {}
        self._room = asyncio.Semaphore(_STUDIES_AT_ONCE)

    async def take(self, partition: str, transaction: str) -> None:
        """Note a transaction whose blob has come; the first that is noted is handled with those that follow it."""
        if (noted := self._noted.get(partition)) is not None:
            noted.add(transaction)
            return
        noted = self._noted[partition] = {transaction}
        try:
            await asyncio.sleep(self._settle)
        finally:
            del self._noted[partition]
        try:
            journalled = await journal.among(self._pending, partition, noted)
        except StorageUnavailable as error:
            log.warning("hint: %d transactions are left to the sweep: %s", len(noted), error)
            return
        await asyncio.gather(*(self._refresh(partition, study, names) for study, names in journalled.items()))

    async def _refresh(self, partition: str, study: str, transactions: Collection[str]) -> None:
        """Index a study, unless an earlier hint is about to."""
        key = (partition, study)
        if (waiting := self._waiting.get(key)) is not None:
            waiting.update(transactions)
            return
        waiting = self._waiting[key] = set(transactions)
        try:
            try:
                if (running := self._running.get(key)) is not None:
                    await running.wait()
                is_due = await self._is_due(partition, study, waiting)
            finally:
                del self._waiting[key]
            if is_due:
                await self._run(key)
        except StorageUnavailable as error:
            log.warning("hint: study %s is left to the sweep: %s", study, error)

    async def _run(self, key: tuple[str, str]) -> None:
        """Index a study; hints of it that come from now on wait until this run has ended."""
        ended = self._running[key] = asyncio.Event()
        try:
            async with self._room:
                await self._index(*key)
        finally:
            del self._running[key]
            ended.set()

    async def _is_due(self, partition: str, study: str, transactions: Collection[str]) -> bool:
        """Say if one of the transactions has been decided and not been indexed, once the study has rested."""
        claimed_at, is_due = await self._look(partition, study, transactions)
        rest = self._rest - (time.time() - claimed_at)
        if rest > 0:
            await asyncio.sleep(min(rest, self._rest))
            _, is_due = await self._look(partition, study, transactions)
        return is_due

    async def _look(self, partition: str, study: str, transactions: Collection[str]) -> tuple[float, bool]:
        """When the study was last claimed, and if a decision is there that no index run has seen."""
        keys = {rows.change_key(name) for name in transactions}
        condition = (
            f"PartitionKey eq {literal(rows.partition_key(partition, study))} and (RowKey eq {literal(search.INDEX)} "
            f"or (RowKey ge {literal(min(keys))} and RowKey le {literal(max(keys))}))"
        )
        claimed_at, is_due = 0.0, False
        async for page in self._studies.query(condition, ["RowKey", "state", "retired", "claimed_at"]):
            for row in page:
                if row["RowKey"] == search.INDEX:
                    claimed_at = float(row["claimed_at"])
                elif row["RowKey"] in keys and row["state"] != "open" and not row.get("retired"):
                    is_due = True
        return claimed_at, is_due
