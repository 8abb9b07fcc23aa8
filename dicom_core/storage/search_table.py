"""Rows of the table `search`: a full copy of each study's answer under every key it can be looked for by.

    PartitionKey {partition}|{attribute}   RowKey {value}|{inverted StudyDate}|{study}

A search is one range query over them. A row that a study no longer has is not deleted but says that it moved, so that a
search that has passed the study's new place, or not come to it yet, looks at the study itself.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import orjson

from dicom_core import access_paths
from dicom_core.record import Dataset
from dicom_core.storage import rows
from dicom_core.storage.table_service import Entity

COLUMNS = ("RowKey", "moved", "answer")
INDEX = "index"
INDEX_COLUMNS = ("claim", "claimed_at", *rows.numbered("rows"))

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
    """The row `index` of a study: which search rows exist, and which run may write them."""

    rows: Mapping[Place, Written] = field(default_factory=dict)
    claim: str = ""
    claimed_at: float = 0.0
    etag: str | None = None

    def to_entity(self) -> Entity:
        """Properties of the row."""
        listed = [[*place, written.etag, written.digest] for place, written in self.rows.items()]
        packed = rows.packed("rows", gzip.compress(orjson.dumps(listed), 6, mtime=0)) if listed else {}
        return {"claim": self.claim, "claimed_at": self.claimed_at, **packed}

    @classmethod
    def from_entity(cls, entity: Entity | None) -> State:
        """State of a row; that of a study without one is empty."""
        if entity is None:
            return cls()
        content = rows.unpacked("rows", entity)
        listed = orjson.loads(gzip.decompress(content)) if content else []
        held = {(keyword, key): Written(etag, digest) for keyword, key, etag, digest in listed}
        return cls(held, entity["claim"], float(entity["claimed_at"]), entity["odata.etag"])

    def writing(self, place: Place, written: Written) -> State:
        """The state after a search row has been written."""
        return replace(self, rows={**self.rows, place: written})


def desired(answer: Dataset) -> dict[Place, Entity]:
    """The search rows of a study with an answer, by their places; none if the study is gone."""
    if not answer:
        return {}
    entity = {"answer": rows.fitting(answer)}
    return {(keyword, key): entity for keyword, keys in access_paths.keys(answer).items() for key in keys}


def digest(entity: Mapping[str, Any]) -> str:
    """A digest of a search row's properties."""
    return blake2b(orjson.dumps(entity), digest_size=9).hexdigest()


def answer_of(entity: Entity) -> Dataset | None:
    """The answer that a search row holds; None if the study has moved away from there."""
    if entity.get("moved"):
        return None
    answer: Dataset = orjson.loads(entity["answer"])
    return answer
