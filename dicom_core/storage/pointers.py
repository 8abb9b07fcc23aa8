"""Which studies may hold a series or an instance: rows of the table `search` for searches that name no study.

    PartitionKey {partition}|SeriesInstanceUID   RowKey {series}|{study}
    PartitionKey {partition}|SOPInstanceUID      RowKey {instance}|{study}

A pointer is written before the transaction that stored what it points to leaves the journal, and stays. It is a hint:
the study is evaluated from its record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from dicom_core.query import Query, SingleValue, UIDList
from dicom_core.storage import search_table as search
from dicom_core.storage.table_service import MAX_OPERATIONS, Action, Operation, Table, literal

POINTED = ("SOPInstanceUID", "SeriesInstanceUID")
"""The attributes that have pointers, the one that narrows most first."""

_AT_ONCE = 16


async def point(table: Table, partition: str, study: str, added: Iterable[tuple[str, str]]) -> None:
    """Write the pointers to series and instances, given by their UIDs, of a study."""
    uids = list(added)
    for keyword, column in zip(POINTED, (1, 0), strict=True):
        keys = sorted({f"{uid[column]}|{study}" for uid in uids})
        for start in range(0, len(keys), MAX_OPERATIONS):
            operations = [Operation(Action.UPSERT, key) for key in keys[start : start + MAX_OPERATIONS]]
            await table.transact(search.partition_key(partition, keyword), operations)


async def studies(table: Table, query: Query) -> set[str] | None:
    """The studies that may hold the series or instances that a query names; None if it names none."""
    given = {match.attribute.keyword: match.condition for match in query.matches}
    for keyword in POINTED:
        match given.get(keyword):
            case SingleValue(_, uid):
                return await _pointed(table, query, keyword, uid)
            case UIDList(uids):
                room = asyncio.Semaphore(_AT_ONCE)

                async def found(keyword: str, uid: str, room: asyncio.Semaphore) -> set[str]:
                    async with room:
                        return await _pointed(table, query, keyword, uid)

                each = await asyncio.gather(*(found(keyword, uid, room) for uid in sorted(uids)))
                return set[str]().union(*each)
    return None


async def _pointed(table: Table, query: Query, keyword: str, uid: str) -> set[str]:
    partition = search.partition_key(query.resource.partition, keyword)
    condition = (
        f"PartitionKey eq {literal(partition)} and RowKey ge {literal(uid + '|')} "
        f"and RowKey lt {literal(uid + '|~')}"
    )
    return {
        row["RowKey"].rpartition("|")[2] async for page in table.query(condition, ["RowKey"]) for row in page
    }
