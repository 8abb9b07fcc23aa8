"""Writes the search rows anew from the record: after a rebuild of it, or when they were lost or are in doubt.

What a study's row `index` says of its search rows is no longer believed: it is given a claim of a run that died long
ago, so that the next run of the indexer takes over, looks which rows there are, and writes every one of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.storage import journal, rows
from dicom_core.storage import search_table as search
from dicom_core.storage.commit import RACES
from dicom_core.storage.search_table import State
from dicom_core.storage.table_service import Action, Conflict, Operation, Table, literal

STUDIES_AT_ONCE = 8


async def studies(table: Table, partition: str = "") -> AsyncIterator[tuple[str, str]]:
    """Partition and UID of each study that the table `studies` knows, in the order of its keys; of deleted ones too."""
    last, end = f"{partition}|" if partition else "", f"{partition}}}" if partition else "~"
    while True:
        condition = f"PartitionKey gt {literal(last)} and PartitionKey lt {literal(end)}"
        async with aclosing(table.query(condition, ["PartitionKey"], most=1)) as pages:
            found = [row["PartitionKey"] async for page in pages for row in page[:1]][:1]
        if not found:
            return
        (last,) = found
        name, _, study = last.rpartition("|")
        yield name, study


async def doubt(studies: Table, pending: Table, partition: str, study: str) -> None:
    """Have a study's search rows written anew; until then, searches look at its record."""
    name = versions.new_transaction()
    await journal.begin(pending, partition, name, study, None)
    key = rows.partition_key(partition, study)
    decision = Operation(Action.INSERT, rows.change_key(name), rows.Decision().to_entity("done"))
    for _ in range(RACES):
        row = await studies.get(key, search.INDEX, search.INDEX_COLUMNS, etag=True)
        state = replace(State.from_entity(row), claim=name, claimed_at=0.0)
        action = Action.INSERT if state.etag is None else Action.UPSERT
        claim = Operation(action, search.INDEX, state.to_entity(), state.etag)
        try:
            await studies.transact(key, [decision, claim])
        except Conflict as conflict:
            if conflict.index == 0:
                return  # the reply was lost: no one else knows the name
        else:
            return
    raise StorageUnavailable("the study is being indexed by too many others")


async def index_all(
    index: Callable[[str, str], Awaitable[object]],
    pending: Table,
    note: Callable[[int], None],
    partition: str = "",
) -> int:
    """Index what the journal holds until it is empty, or holds only what others are at work on; how many studies.

    `index` indexes a study, given by its partition and UID; `note` is told how many are left, time and again.
    """
    room = asyncio.Semaphore(STUDIES_AT_ONCE)
    left = 0

    async def index_one(key: tuple[str, str]) -> None:
        nonlocal left
        async with room:
            await index(*key)
        left -= 1
        note(left)

    before: set[tuple[str, str, str]] | None = None
    while True:
        everything = await journal.everything(pending)
        journalled = {key: names for key, names in everything.items() if partition in ("", key[0])}
        left = len(journalled)
        note(left)
        now = {(*key, name) for key, names in journalled.items() for name in names}
        if not now or (before is not None and before <= now):
            return left
        before = now
        try:
            async with asyncio.TaskGroup() as tasks:
                for key in journalled:
                    tasks.create_task(index_one(key))
        except* StorageUnavailable as errors:
            raise errors.exceptions[0] from None
