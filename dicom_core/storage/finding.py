"""Answers a search from the search rows and the journal together, exactly.

The journal is read to its end first, the search rows then: what has left the journal is in the rows. Studies in the
journal are evaluated live from their records; those whose rows say that they moved, too. Both kinds of results are
merged by the keys of one path, each study once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from functools import cache

from dicom_core import access_paths, record
from dicom_core import query as queries
from dicom_core.errors import StorageUnavailable
from dicom_core.query import Page, Query
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Resource
from dicom_core.storage import journal
from dicom_core.storage import search_table as search
from dicom_core.storage.table_service import Entity, Table, literal

Records = Callable[[Resource, Columns], Awaitable[list[Instance]]]
"""Reads rows of the record."""

Found = tuple[str, list[Dataset]]
"""Where a study is met on the path, and its results."""

_AT_ONCE = 16
"""Studies evaluated at once by one search."""


class Finder:
    """Answers one query."""

    def __init__(self, query: Query, pending: Table, table: Table, records: Records) -> None:
        self._query = query
        self._pending = pending
        self._search = table
        self._records = records
        self._path = access_paths.choose(query)
        self._wanted = query.offset + query.limit + 1
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def page(self) -> Page:
        """Find the page that is asked for, without reading further."""
        found: list[Dataset] = []
        async for _, datasets in self._merged():
            found += datasets
            if len(found) >= self._wanted:
                break
        return record.cut(found, self._query)

    async def _merged(self) -> AsyncIterator[Found]:
        """Results in the order of their keys, each study once."""
        named = self._query.studies
        if named is not None:
            for one in sorted(await self._evaluate_all(named)):
                yield one
            return
        journalled, candidates = await self._journalled()
        waiting = await self._evaluate_all(candidates)
        heapq.heapify(waiting)
        met = set(candidates)
        async for row in self._rows():
            key, study = row["RowKey"], access_paths.study_of(row["RowKey"])
            while waiting and waiting[0][0] < key:
                yield heapq.heappop(waiting)
            if study in met:
                continue
            met.add(study)
            answer = None if study in journalled else search.answer_of(row)
            for one in await self._answered(key, study, answer):
                if one[0] <= key:
                    yield one
                else:
                    heapq.heappush(waiting, one)
        while waiting:
            yield heapq.heappop(waiting)

    async def _journalled(self) -> tuple[set[str], list[str]]:
        """All studies of the journal, and those of them that may match by what it says."""
        may_match = cache(lambda text: queries.candidate(self._query, journal.unhinted(text)))
        studies: set[str] = set()
        candidates: set[str] = set()
        async for _, study, text in journal.read(self._pending, self._query.resource.partition):
            studies.add(study)
            if study not in candidates and may_match(text):
                candidates.add(study)
        return studies, sorted(candidates)

    async def _rows(self) -> AsyncIterator[Entity]:
        """The search rows of the path."""
        path = self._path
        partition = search.partition_key(self._query.resource.partition, path.keyword)
        condition = (
            f"PartitionKey eq {literal(partition)} and RowKey ge {literal(path.first)} "
            f"and RowKey lt {literal(path.last)}"
        )
        most = min(1000, self._wanted) if access_paths.suffices(self._query, path) else None
        async for page in self._search.query(condition, search.COLUMNS, most=most):
            for row in page:
                yield row

    async def _answered(self, key: str, study: str, answer: Dataset | None) -> list[Found]:
        """Results of a study that was met at a key: from its row where that is all, else live."""
        if answer is None:
            return await self._evaluate(study)
        if not queries.matches_study(self._query, answer):
            return []
        if record.is_in_study_answer(self._query):
            return [(key, [record.restrict(answer, queries.returned(self._query))])]
        datasets = [dataset for _, found in await self._evaluate(study) for dataset in found]
        return [(key, datasets)] if datasets else []

    async def _evaluate_all(self, studies: Collection[str]) -> list[Found]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._evaluate(study)) for study in studies]
        except* StorageUnavailable as errors:
            raise errors.exceptions[0] from None
        return [one for task in tasks for one in task.result()]

    async def _evaluate(self, study: str) -> list[Found]:
        """Evaluate a study from its record; nothing if it does not match."""
        async with self._room:
            rows = await self._records(record.scope(self._query, study), record.columns(self._query))
        return record.found(rows, self._query, self._path)
