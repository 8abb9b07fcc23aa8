"""What was found out of the instances of a series, until a commit that touches one of them empties the row.

    PartitionKey {partition}|{study}   RowKey series|{series}   packed, packed_version, packed_url   answer

The indexer fills the row only over the state that it has seen before it read the instances. So what it says is what the
instances' rows would tell: where the metadata of the series are packed, if they are, and what the series answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing

import orjson

from dicom_core.ports import Packed
from dicom_core.record import Dataset
from dicom_core.storage import rows
from dicom_core.storage.table_service import Entity, Table, literal, text_size

PACKED = ("packed", "packed_version", "packed_url")
ANSWER = ("answer",)
COLUMNS = (*PACKED, *ANSWER)

LONGEST_ANSWER = 16 << 10
"""Bytes of an answer, as tables count them, that a row takes: a batch has room for as many as it has operations."""


def filled(row: Entity, answer: Dataset | None, pointer: Entity | None) -> Entity | None:
    """What a row is to say with what is new of it; None if nothing is.

    An answer that is too long is left out, and the rows of the instances are asked for it.
    """
    news = dict(pointer or {})
    if answer is not None and row.get("answer") is None:
        text = orjson.dumps(answer).decode()
        if text_size(text) <= LONGEST_ANSWER:
            news["answer"] = text
    if not news:
        return None
    return {name: row[name] for name in COLUMNS if row.get(name) is not None} | news


def packed(row: Entity, partition: str) -> Packed | None:
    """Where the metadata of a series are packed."""
    name = row.get("packed")
    return Packed(partition, name, row["packed_version"], row["packed_url"]) if name else None


async def answers(studies: Table, study: str) -> Mapping[str, Dataset]:
    """What each series of a study, by its UID, answers of itself; nothing if one of them does not say."""
    found = await of_study(studies, study, ANSWER)
    if not all(row.get("answer") for row in found):
        return {}
    return {row["RowKey"].partition("|")[2]: orjson.loads(row["answer"]) for row in found}


async def of_study(studies: Table, study: str, columns: Sequence[str]) -> list[Entity]:
    """The rows of all series of a study as they were at one moment.

    Nothing if a large deletion hides instances, or if it takes several pages: each is of a moment of its own.
    """
    condition = f"PartitionKey eq {literal(study)} and RowKey ge {literal(rows.series_key(''))}"
    found: list[Entity] = []
    async with aclosing(studies.query(condition, ("RowKey", *columns))) as pages:
        async for page in pages:
            if found or any(row["RowKey"].startswith(rows.DELETING) for row in page):
                return []
            found = page
    return found
