"""The ledger: what was told of all studies, in one order (`entries`).

Whatever is told replaces the head, by its ETag, in the same batch. So sequence numbers have no gaps, times never go
back, and nothing appears below a number that was read. A row of its own for each piece of a transaction, inserted by
that batch, keeps it from being told twice, whoever tells it and whichever replies were lost.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Collection, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

from dicom_core.changes import Change
from dicom_core.errors import StorageUnavailable
from dicom_core.storage import entries
from dicom_core.storage.entries import FEED, HEAD, MOST, TICK, Head, Piece
from dicom_core.storage.table_service import MAX_PAGE, Conflict, Table, literal

RACES = 30
"""How often a batch is tried again because another worker has told something."""

_AT_ONCE = 16


class Ledger:
    """The ledger of one account."""

    def __init__(self, feed: Table) -> None:
        self._feed = feed

    async def append(self, pieces: Sequence[Piece]) -> int | None:
        """Tell what fits into one batch, all or, if one piece was told before, nothing; the place of that piece.

        Raises
        ------
        StorageUnavailable
            Others tell without end; or the outcome is unknown.
        """
        for attempt in range(RACES):
            head = await self.head()
            now = datetime.fromtimestamp(time.time(), UTC)
            operations = entries.telling(head, pieces, entries.ending(head, pieces, now))
            try:
                await self._feed.transact(FEED, operations)
            except Conflict as conflict:
                if 0 < conflict.index <= len(pieces):
                    return conflict.index - 1
                await _give_way(attempt)
            else:
                return None
        raise StorageUnavailable("too many others write to the change feed")

    async def head(self) -> Head:
        """Read where it ends."""
        row = await self._feed.get(FEED, HEAD, entries.HEAD_COLUMNS, etag=True)
        return Head() if row is None else Head.from_entity(row)

    async def close(self, head: Head, end: datetime) -> None:
        """Let nothing be told before a time any more."""
        for attempt in range(RACES):
            if head.time + TICK >= end:
                return
            try:
                await self._feed.transact(FEED, [replace(head, time=end - TICK).operation()])
            except Conflict:
                await _give_way(attempt)
                head = await self.head()
            else:
                return
        raise StorageUnavailable("too many others write to the change feed")

    async def told(self, keys: Collection[str]) -> set[str]:
        """Those of some keys whose pieces were told."""
        found: set[str] = set()
        listed = sorted(keys)
        for start in range(0, len(listed), _AT_ONCE):
            asked = listed[start : start + _AT_ONCE]
            read = await asyncio.gather(*(self._feed.get(FEED, key, ["RowKey"]) for key in asked))
            found |= {key for key, row in zip(asked, read, strict=True) if row is not None}
        return found

    async def after(self, sequence: int, most: int) -> list[Change]:
        """The changes that follow a sequence number; at most so many."""
        found: list[Change] = []
        if most <= 0:
            return found
        condition = (
            f"{entries.from_sequence(sequence + 1)} and "
            f"RowKey lt {literal(entries.entry_key(sequence + most + MOST))}"
        )
        async with aclosing(self._read(condition, min(most, MAX_PAGE))) as told:
            async for change in told:
                if change.sequence > sequence:
                    found.append(change)
                if len(found) == most:
                    break
        return found

    async def of_study(self, partition: str, study: str, first: int, last: int, most: int) -> list[Change]:
        """The changes of a study from one sequence number to another; at most so many."""
        found: list[Change] = []
        condition = (
            f"{entries.from_sequence(first)} and RowKey lt {literal(entries.entry_key(last + MOST))} and "
            f"partition eq {literal(partition)} and study eq {literal(study)}"
        )
        async with aclosing(self._read(condition, min(most, MAX_PAGE))) as told:
            async for change in told:
                if first <= change.sequence <= last:
                    found.append(change)
                if len(found) == most:
                    break
        return found

    async def before(self, start: datetime) -> int | None:
        """The last sequence number that was told before a time; None if all were."""
        earlier = await self._minute(start)
        condition = f"{entries.from_sequence(earlier + 1)} and time ge {literal(entries.text(start))}"
        async for page in self._feed.query(condition, ["RowKey", "time", "count"], most=1):
            for row in page:
                return entries.told_before(row, start)
        return None

    async def _minute(self, at: datetime) -> int:
        """A sequence number that was told before a time, and not long before."""
        first, last = literal(entries.minute_key(at)), literal("h|~")
        condition = f"PartitionKey eq {literal(FEED)} and RowKey ge {first} and RowKey lt {last}"
        async for page in self._feed.query(condition, ["sequence"], most=1):
            for row in page:
                return int(row["sequence"])
        return 0

    async def _read(self, condition: str, most: int | None = None) -> AsyncGenerator[Change, None]:
        async with aclosing(self._feed.query(condition, entries.CHANGES, most=most)) as pages:
            async for page in pages:
                for row in page:
                    for change in entries.changes(row):
                        yield change


async def _give_way(attempt: int) -> None:
    """Wait a while, so that those who met do not meet again."""
    await asyncio.sleep(random.uniform(0, min(0.005 * 2**attempt, 0.25)))
