"""Rows of the table `search`: a full copy of each study's answer under every key it can be looked for by.

    PartitionKey {partition}|{attribute}   RowKey {value}|{inverted StudyDate}|{study}

A search is one range query over them. A row that a study no longer has is not deleted but says that it moved, so that a
search that has passed the study's new place, or not come to it yet, looks at the study itself.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import orjson

from dicom_core import access_paths
from dicom_core.record import Dataset
from dicom_core.storage import rows
from dicom_core.storage.table_service import Action, Conflict, Entity, Operation, Table

KEY_COLUMNS = ("RowKey", "moved")
COLUMNS = (*KEY_COLUMNS, "answer")
INDEX = "index"
INDEX_COLUMNS = ("claim", "claimed_at", "packed_blobs", *(f"rows{part}" for part in range(rows.PARTS)))

MOVED = "moved"

Place = tuple[str, str]
"""Attribute and key of a search row."""


def partition_key(partition: str, keyword: str) -> str:
    """Key of the partition that holds the rows of one attribute."""
    return f"{partition}|{keyword}"


@dataclass(frozen=True, slots=True)
class Written:
    """What a search row holds: its ETag (empty if not known), and a digest of the answer, or `MOVED`."""

    etag: str = ""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """The row `index` of a study: which search rows exist, and which run may write them.

    `packed` names the blobs of packed metadata that were written, or were going to be, and have not been deleted.
    """

    rows: Mapping[Place, Written] = field(default_factory=dict)
    packed: tuple[str, ...] = ()
    claim: str = ""
    claimed_at: float = 0.0
    etag: str | None = None

    def to_entity(self) -> Entity:
        """Properties of the row."""
        listed = [[*place, written.etag, written.digest] for place, written in self.rows.items()]
        entity: Entity = {"claim": self.claim, "claimed_at": self.claimed_at}
        if listed:
            entity |= rows.packed("rows", gzip.compress(orjson.dumps(listed), 6, mtime=0))
        if self.packed:
            entity["packed_blobs"] = " ".join(self.packed)
        return entity

    @classmethod
    def from_entity(cls, entity: Entity | None) -> State:
        """State of a row; that of a study without one is empty."""
        if entity is None:
            return cls()
        content = rows.unpacked("rows", entity)
        listed = orjson.loads(gzip.decompress(content)) if content else []
        held = {(keyword, key): Written(etag, digest) for keyword, key, etag, digest in listed}
        return cls(
            held,
            tuple((entity.get("packed_blobs") or "").split()),
            entity["claim"],
            float(entity["claimed_at"]),
            entity["odata.etag"],
        )

    def writing(self, written: Mapping[Place, Written]) -> State:
        """The state after search rows have been written."""
        return replace(self, rows={**self.rows, **written})


async def put_state(studies: Table, study: str, state: State, others: Sequence[Operation] = ()) -> State:
    """Replace the row `index` of a study by its ETag, or insert it, with others, all or none; the state and its ETag.

    Raises
    ------
    Conflict
        Another run has; or one of the others cannot be.
    """
    action = Action.INSERT if state.etag is None else Action.UPSERT
    operation = Operation(action, INDEX, state.to_entity(), state.etag)
    try:
        etag = (await studies.transact(study, [operation, *others]))[0]
    except Conflict as conflict:
        if conflict.index != 0:
            raise
        row = await studies.get(study, INDEX, ["claim", "claimed_at"], etag=True)
        if row is None or (row["claim"], row["claimed_at"]) != (state.claim, state.claimed_at):
            raise
        etag = row["odata.etag"]  # it is as this run has written it: the reply was lost
    return replace(state, etag=etag)


def places(answer: Dataset) -> list[Place]:
    """Where the search rows of a study with an answer lie; nowhere if the study is gone."""
    found = access_paths.keys(answer) if answer else {}
    return [(keyword, key) for keyword, keys in found.items() for key in keys]


def row_of(answer: Dataset) -> Entity:
    """Properties of each of these rows."""
    return {"answer": rows.fitting(answer)}


def digest(entity: Mapping[str, Any]) -> str:
    """A digest of a search row's properties."""
    return blake2b(orjson.dumps(entity), digest_size=9).hexdigest()


def is_moved(entity: Entity) -> bool:
    """Say if a search row says that its study has moved away from there."""
    return bool(entity.get("moved"))


def answer_of(entity: Entity) -> Dataset:
    """The answer that a search row holds."""
    answer: Dataset = orjson.loads(entity["answer"])
    return answer
