"""The change feed over the ledger: a read first publishes what was committed and has not been told.

The journal names the studies of all such commits: it is read to its end before the ledger, as by a search before the
search rows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import takewhile

from dicom_core.changes import Change
from dicom_core.errors import StorageUnavailable
from dicom_core.storage import journal
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.publishing import Publisher
from dicom_core.storage.sharing import Run, Shared
from dicom_core.storage.table_service import Table

STUDIES_AT_ONCE = 16
"""Studies that one read publishes at once."""

_Journalled = tuple[tuple[str, str], list[str]]
"""A study, by its partition and UID, and its transactions in the journal."""


class TableFeed:
    """`ChangeFeed` over tables.

    Parameters
    ----------
    together
        Makes one run of the publication for all who wait for it.
    """

    def __init__(
        self,
        ledger: Ledger,
        pending: Table,
        publisher: Publisher,
        together: Callable[[Run], Run] = Shared,
    ) -> None:
        self._ledger = ledger
        self._pending = pending
        self._publisher = publisher
        self._told: set[str] = set()
        self._catch_up = together(self._publish_journalled)

    async def after(self, sequence: int, most: int) -> list[Change]:
        """One range query."""
        await self._catch_up()
        return await self._ledger.after(sequence, most)

    async def between(
        self, start: datetime | None, end: datetime | None, offset: int, most: int
    ) -> list[Change]:
        """Find the first; from there on, numbers and times both ascend.

        What is told from now on has times from now on: of a window in the past, nothing has to be published.
        """
        if end is not None and end.timestamp() <= time.time():
            await self._ledger.close(await self._ledger.head(), end)
        else:
            await self._catch_up()
        first = 0 if start is None else await self._ledger.before(start)
        found = [] if first is None else await self._ledger.after(first + offset, most)
        return list(takewhile(lambda change: end is None or change.time < end, found))

    async def of_study(self, partition: str, study: str, first: int, last: int, most: int) -> list[Change]:
        """One range query; numbers that have been told already need nothing more to be told."""
        if (await self._ledger.head()).sequence < last:
            await self._catch_up()
        return await self._ledger.of_study(partition, study, first, last, most)

    async def latest(self) -> Change | None:
        """The head names it."""
        await self._catch_up()
        return (await self._ledger.head()).change()

    async def _publish_journalled(self) -> None:
        """Publish what was committed; not again what this worker has seen told."""
        journalled = await journal.everything(self._pending)
        self._told &= {name for names in journalled.values() for name in names}
        left = [(key, names) for key, names in journalled.items() if not self._told.issuperset(names)]
        waiting = iter(left)
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(STUDIES_AT_ONCE, len(left))):
                    tasks.create_task(self._publish_all(waiting))
        except* StorageUnavailable as errors:
            raise errors.exceptions[0] from None

    async def _publish_all(self, waiting: Iterator[_Journalled]) -> None:
        """Publish what no one else has taken yet."""
        for (partition, study), names in waiting:
            told = await self._publisher.publish(partition, study)
            self._told |= told.intersection(names)
