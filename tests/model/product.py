"""The product as the model drives it: the one place that knows its constructors, its rows and its keys."""

from __future__ import annotations

import gc
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pytest

from dicom_core import access_paths
from dicom_core.ports import InstanceStore, Stores
from dicom_core.record import Instance, study_answer
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage import packing, pointers, rows, search_table
from dicom_core.storage.blobs import BlobStore
from dicom_core.storage.due import Due
from dicom_core.storage.feed import TableFeed
from dicom_core.storage.hints import Hints
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.publishing import Publisher
from dicom_core.storage.rebuilding import SETTLED, Rebuild
from dicom_core.storage.rest import Client
from dicom_core.storage.sweeping import ABANDONED, FORGOTTEN, Sweep
from dicom_core.storage.table_service import Entity
from dicom_core.storage.tables import TableIndex
from tests.model.processes import controlled
from tests.model.storage import ModelContainer, ModelTable

STORES = ("studies", "pending", "search", "due", "feed", "dicom", "derived")
AT_ONCE = 2
"""Instances in one batch, so that few take several."""

PACKED_FROM = 3
"""Instances of a study from which on its series are packed."""

RETENTION = 24 * 3600.0
"""Seconds that what is gone is kept."""


class Product:
    """One worker of the service, over tables and containers that ask; without a change feed unless that is told."""

    def __init__(self, page: int, *, is_told: bool = False) -> None:
        self.studies, self.pending, self.search, self.due, self.feed = (
            ModelTable(name, page) for name in STORES[:5]
        )
        self.dicom, self.derived = ModelContainer("dicom"), ModelContainer("derived")
        self.instances: InstanceStore = BlobStore(self.dicom)
        self.index = TableIndex(cast(Client, None), self.dicom, self.derived, RETENTION)
        self.index._due = self.due
        self.index._studies, self.index._pending, self.index._search = (
            self.studies,
            self.pending,
            self.search,
        )
        ledger = Ledger(self.feed)
        publisher = Publisher(self.studies, self.dicom, ledger, ledger.append)
        self._publisher = publisher if is_told else None
        self.index.feed = TableFeed(ledger, self.pending, publisher, together=lambda run: run)
        self.index._hints = Hints(self.studies, self.pending, self.indexer(impatient=False).index)

    @property
    def stores(self) -> Stores:
        """Both ports."""
        nothing = cast(Any, None)
        return Stores(self.instances, self.index, nothing, nothing, self.index.feed, nothing)

    def indexer(self, *, impatient: bool) -> Indexer:
        """An indexer; an impatient one takes any claim for one of a run that died."""
        indexer = self.index._indexer()
        indexer._publisher = self._publisher
        if impatient:
            indexer._claim_seconds = -1.0
        return indexer

    def sweep(self, *, impatient: bool) -> Sweep:
        """A sweep; an impatient one takes everything for broken off."""
        indexer = self.indexer(impatient=False)
        due = Due(
            self.due,
            self.studies,
            self.search,
            instances=self.dicom,
            derived=self.derived,
            index=indexer.index,
            retention=RETENTION,
        )
        ages = (-1.0, math.inf) if impatient else (ABANDONED, FORGOTTEN)
        return Sweep(self.studies, self.pending, indexer, due, *ages)

    def rebuild(self, *, impatient: bool) -> Rebuild:
        """A rebuild; an impatient one takes every blob for one whose request is over."""
        settled = -1.0 if impatient else SETTLED
        return _Rebuild(self.studies, self.pending, self.dicom, self.derived, lambda seen: None, settled)


class _Rebuild(Rebuild):
    """Knows what the bytes of a blob tell."""

    async def _row(self, one: Any) -> Instance | None:
        return stored[one.version] if await self._blobs.exists(one.blob.name) else None


stored: dict[str, Instance] = {}
"""What each actor has stored, by its version."""


@contextmanager
def explored() -> Iterator[pytest.MonkeyPatch]:
    """The product as the model runs it, with few rows in a batch; to patch it further."""
    gc.disable()  # all that is made is kept to the end
    try:
        with controlled() as patch:
            patch.setattr(rows, "INSTANCES_AT_ONCE", AT_ONCE)
            patch.setattr(packing, "PACKED_FROM", PACKED_FROM)
            yield patch
    finally:
        gc.enable()


def search_rows(study: str, live: tuple[Instance, ...]) -> Mapping[tuple[str, str], Entity]:
    """The search rows of a study of these instances: partition and key, and the properties."""
    answer = study_answer(live)
    entity = search_table.row_of(answer)
    return {
        (search_table.partition_key(DEFAULT_PARTITION, keyword), key): entity
        for keyword, key in search_table.places(answer)
    }


def study_of(partition: str, key: str) -> str | None:
    """The study of a search row; None of a pointer."""
    if partition.rpartition("|")[2] in pointers.POINTED:
        return None
    return access_paths.study_of(key)


def packed_blob(name: str) -> str:
    """Name of the blob of packed metadata."""
    return packing.blob_name(DEFAULT_PARTITION, name)


def is_moved(entity: Mapping[str, Any]) -> bool:
    """Say if a search row says that its study moved."""
    return search_table.is_moved(dict(entity))
