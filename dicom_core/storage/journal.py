"""The journal: one row per transaction and study of what the study may have come to match.

    PartitionKey {partition}|{shard}   RowKey {transaction}|{study}

A row is written before its transaction leaves anything behind, and removed only after an indexer has seen the
transaction's decision. So whoever reads the journal to its end, and then what is indexed, misses nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

import orjson

from dicom_core.record import Dataset
from dicom_core.resources import Level
from dicom_core.storage import rows
from dicom_core.storage.table_service import (
    MAX_OPERATIONS,
    MAX_PROPERTY_BYTES,
    Action,
    Entity,
    Operation,
    Table,
    literal,
    text_size,
)

_SHARD = "0"
_LAST_SHARD = "3"


async def begin(
    pending: Table, partition: str, transaction: str, study: str, attributes: Mapping[Level, Dataset] | None
) -> None:
    """Insert the row of a transaction, or replace it by one that says more."""
    await pending.upsert(f"{partition}|{_SHARD}", f"{transaction}|{study}", _hinted(attributes))


async def read(pending: Table, partition: str) -> AsyncIterator[tuple[str, str, str | None]]:
    """All rows of a partition to its end: transaction, study, and the text for `unhinted`."""
    first, last = (literal(f"{partition}|{shard}") for shard in (_SHARD, _LAST_SHARD))
    condition = f"PartitionKey ge {first} and PartitionKey le {last}"
    async for page in pending.query(condition, ["RowKey", "attributes"]):
        for row in page:
            transaction, _, study = row["RowKey"].partition("|")
            yield transaction, study, row.get("attributes")


async def everything(pending: Table) -> dict[tuple[str, str], list[str]]:
    """The transactions of every row, by partition and study."""
    found: dict[tuple[str, str], list[str]] = {}
    async for page in pending.query(f"RowKey ge {literal('0')}", ["PartitionKey", "RowKey"]):
        for row in page:
            transaction, _, study = row["RowKey"].partition("|")
            found.setdefault((row["PartitionKey"].rpartition("|")[0], study), []).append(transaction)
    return found


async def among(pending: Table, partition: str, transactions: Collection[str]) -> dict[str, list[str]]:
    """Those of some transactions that are in the journal, by study; they should be of about the same time."""
    found: dict[str, list[str]] = {}
    condition = (
        f"PartitionKey eq {literal(f'{partition}|{_SHARD}')} and RowKey ge {literal(min(transactions) + '|')} "
        f"and RowKey lt {literal(max(transactions) + '|~')}"
    )
    async for page in pending.query(condition, ["RowKey"]):
        for row in page:
            transaction, _, study = row["RowKey"].partition("|")
            if transaction in transactions:
                found.setdefault(study, []).append(transaction)
    return found


async def forget(pending: Table, partition: str, study: str, transaction: str) -> None:
    """Remove a row that came back after its transaction had been retired."""
    await _remove(pending, partition, [f"{transaction}|{study}"])


async def retire(
    pending: Table, studies: Table, partition: str, study: str, transactions: Sequence[str]
) -> None:
    """Remove the rows of transactions whose decisions have been seen, then say so in the decisions; in this order."""
    for start in range(0, len(transactions), MAX_OPERATIONS):
        names = transactions[start : start + MAX_OPERATIONS]
        await _remove(pending, partition, [f"{name}|{study}" for name in names])
        merged = [
            Operation(Action.MERGE, rows.change_key(name), {"retired": True}, etag="*") for name in names
        ]
        await studies.transact(rows.partition_key(partition, study), merged)


async def _remove(pending: Table, partition: str, keys: Sequence[str]) -> None:
    deletions = [Operation(Action.DELETE, key, etag="*") for key in keys]
    await pending.delete(f"{partition}|{_SHARD}", deletions)


def unhinted(text: str | None) -> dict[Level, Dataset] | None:
    """What a study may have come to match; None for anything."""
    if text is None:
        return None
    return {Level(int(level)): dataset for level, dataset in orjson.loads(text).items()}


def _hinted(attributes: Mapping[Level, Dataset] | None) -> Entity:
    if attributes is None:
        return {}
    text = orjson.dumps({str(int(level)): dataset for level, dataset in attributes.items()}).decode()
    return {"attributes": text} if text_size(text) <= MAX_PROPERTY_BYTES else {}
