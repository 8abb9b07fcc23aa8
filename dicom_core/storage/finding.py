"""Answers a search from the search rows and the journal together, exactly.

The journal is read to its end first, the search rows then: what has left the journal is in the rows. Studies in the
journal are evaluated live from their records, when the answer comes to where they can be met; those whose rows say that
they moved, too. Both kinds of results are merged by the keys of one path, each study once.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cache

from dicom_core import access_paths, record
from dicom_core import query as queries
from dicom_core.errors import StorageUnavailable
from dicom_core.query import Page, Query
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Resource
from dicom_core.storage import journal, pointers
from dicom_core.storage import search_table as search
from dicom_core.storage.table_service import MAX_PAGE, Entity, Table, literal

Records = Callable[[Resource, Columns], Awaitable[list[Instance]]]
"""Reads rows of the record."""

_AT_ONCE = 16
"""Studies evaluated at once by one search."""

_WORTH_PASSING = 500
"""Results before the page that are counted by their keys: a further request, but they are not decoded."""

_SELECTED = 4
"""How many rows are read for each result of a query that compares more than its path does; then ever more."""


@dataclass(order=True, slots=True)
class _Met:
    """Where a study is met on the path, and its results; None while they are not known, and the key is a bound."""

    key: str
    study: str = field(compare=False)
    datasets: list[Dataset] | None = field(compare=False)


class Finder:
    """Answers one query."""

    def __init__(self, query: Query, pending: Table, table: Table, records: Records) -> None:
        self._query = query
        self._pending = pending
        self._search = table
        self._records = records
        self._path = access_paths.choose(query)
        self._wanted = query.offset + query.limit + 1
        self._returned = queries.returned(query)
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def page(self) -> Page:
        """Find the page that is asked for, without reading further."""
        found: list[Dataset] = []
        async for datasets in self._merged():
            found += datasets
            if len(found) >= self._wanted:
                break
        return record.cut(found, self._query)

    async def _merged(self) -> AsyncIterator[list[Dataset]]:
        """Results in the order of their keys, each study once."""
        named: Collection[str] | None = self._query.studies
        if named is None:
            journalled, waiting = await self._journalled()
            named = await pointers.studies(self._search, self._query)
            if named is not None:
                named = {*named, *journalled}
        if named is not None:
            for met in sorted(await self._evaluate_all(named)):
                yield met.datasets or []
            return
        done = set[str]()
        async for row in self._rows(self._query.offset - len(waiting)):
            key, study = row["RowKey"], access_paths.study_of(row["RowKey"])
            if waiting and waiting[0].key < key:
                async for datasets in self._before(key, waiting, done):
                    yield datasets
            if study in done:
                continue
            done.add(study)
            if study in journalled or search.is_moved(row):
                for met in await self._evaluate(study):
                    heapq.heappush(waiting, met)
            else:
                yield await self._answered(row)
        async for datasets in self._before(None, waiting, done):
            yield datasets

    async def _before(
        self, key: str | None, waiting: list[_Met], done: set[str]
    ) -> AsyncIterator[list[Dataset]]:
        """Results of what waits and is met before a key; studies are evaluated as they come to be the next."""
        while waiting and (key is None or waiting[0].key < key):
            if waiting[0].datasets is not None:
                yield heapq.heappop(waiting).datasets or []
                continue
            studies: list[str] = []
            while waiting and waiting[0].datasets is None and len(studies) < _AT_ONCE:
                study = heapq.heappop(waiting).study
                if study not in done:
                    studies.append(study)
                    done.add(study)
            for met in await self._evaluate_all(studies):
                heapq.heappush(waiting, met)

    async def _journalled(self) -> tuple[set[str], list[_Met]]:
        """All studies of the journal, and where those of them may be met that may match by what it says."""
        said = cache(journal.unhinted)
        may_match = cache(lambda text: queries.candidate(self._query, said(text)))
        studies: set[str] = set()
        bounds: dict[str, str] = {}
        async for _, study, text in journal.read(self._pending, self._query.resource.partition):
            studies.add(study)
            if may_match(text):
                bound = access_paths.bound(self._path, study, said(text))
                if bound is not None:
                    bounds[study] = min(bound, bounds.get(study, bound))
        waiting = [_Met(bound, study, None) for study, bound in bounds.items()]
        heapq.heapify(waiting)
        return studies, waiting

    async def _rows(self, passed_over: int) -> AsyncIterator[Entity]:
        """The search rows of the path; only the keys of the first, which the answer passes over, if it can tell."""
        after = ""
        is_told = record.is_in_study_answer(self._query) and access_paths.suffices(self._query, self._path)
        if passed_over >= _WORTH_PASSING and is_told:
            async with aclosing(self._pages(after, search.KEY_COLUMNS, passed_over)) as pages:
                async for row in _first(pages, passed_over):
                    yield row
                    after = row["RowKey"]
        else:
            passed_over = 0
        ample = 1 if len(self._query.matches) < 2 else _SELECTED
        async for page in self._pages(after, search.COLUMNS, (self._wanted - passed_over) * ample):
            for row in page:
                yield row

    async def _pages(
        self, after: str, columns: Sequence[str], most: int
    ) -> AsyncGenerator[list[Entity], None]:
        """Read the rows behind a key; a page of at most so many first, then ever larger ones."""
        path = self._path
        partition = search.partition_key(self._query.resource.partition, path.keyword)
        while True:
            first = f"gt {literal(after)}" if after else f"ge {literal(path.first)}"
            condition = (
                f"PartitionKey eq {literal(partition)} and RowKey {first} and RowKey lt {literal(path.last)}"
            )
            most = min(most, MAX_PAGE)
            async with aclosing(self._search.query(condition, columns, most=most)) as pages:
                async for page in pages:
                    yield page
                    if page:
                        after = page[-1]["RowKey"]
                    if len(page) == most < MAX_PAGE:
                        break
                else:
                    return
            most *= _SELECTED

    async def _answered(self, row: Entity) -> list[Dataset]:
        """Results of a study by its row, if that is all that they take, else from its record."""
        if "answer" not in row:
            return [{}]
        answer = search.answer_of(row)
        if not queries.matches_study(self._query, answer):
            return []
        if record.is_in_study_answer(self._query):
            return [record.restrict(answer, self._returned)]
        met = await self._evaluate(access_paths.study_of(row["RowKey"]))
        return [dataset for one in met for dataset in one.datasets or ()]

    async def _evaluate_all(self, studies: Collection[str]) -> list[_Met]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._evaluate(study)) for study in studies]
        except* StorageUnavailable as errors:
            raise errors.exceptions[0] from None
        return [one for task in tasks for one in task.result()]

    async def _evaluate(self, study: str) -> list[_Met]:
        """Evaluate a study from its record; nothing if it does not match."""
        async with self._room:
            rows = await self._records(record.scope(self._query, study), record.columns(self._query))
        return [_Met(key, study, datasets) for key, datasets in record.found(rows, self._query, self._path)]


async def _first(pages: AsyncIterator[list[Entity]], number: int) -> AsyncIterator[Entity]:
    async for page in pages:
        for row in page[:number]:
            yield row
        number -= len(page)
        if number <= 0:
            return
