"""The product as the model drives it: the one place that knows its constructors, its rows and its keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

from dicom_core import access_paths
from dicom_core.ports import InstanceStore, Stores
from dicom_core.record import Instance, study_answer
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage import pointers, rows, search_table, tables
from dicom_core.storage.blobs import BlobStore
from dicom_core.storage.due import Due
from dicom_core.storage.hints import Hints
from dicom_core.storage.indexing import CLAIM_SECONDS, Indexer
from dicom_core.storage.rest import Client
from dicom_core.storage.sweeping import ABANDONED, FORGOTTEN, Sweep
from dicom_core.storage.table_service import Entity
from dicom_core.storage.tables import TableIndex
from tests.model.storage import ModelContainer, ModelTable

STORES = (*tables.TABLES, "dicom", "derived")
AT_ONCE = 2
"""Instances in one batch, so that few take several."""

ROW = "answer"
"""The property of a search row that holds the study's answer."""

_RETENTION = 3600.0


class Product:
    """One worker of the service, over tables and containers that ask."""

    def __init__(self, page: int) -> None:
        self.studies, self.pending, self.search, self.due = (ModelTable(name, page) for name in tables.TABLES)
        self.dicom, self.derived = ModelContainer("dicom"), ModelContainer("derived")
        self.instances: InstanceStore = BlobStore(self.dicom)
        self.index = TableIndex(cast(Client, None), self.dicom, self.derived, _RETENTION)
        self.index._due = self.due
        self.index._studies, self.index._pending, self.index._search = (
            self.studies,
            self.pending,
            self.search,
        )
        self.index._hints = Hints(self.studies, self.pending, self.indexer(impatient=False).index)

    @property
    def stores(self) -> Stores:
        """Both ports."""
        return Stores(self.instances, self.index, cast(Any, None))

    def indexer(self, *, impatient: bool) -> Indexer:
        """An indexer; an impatient one takes any claim for one of a run that died."""
        seconds = -1.0 if impatient else CLAIM_SECONDS
        return Indexer(self.studies, self.pending, self.search, seconds)

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
            retention=_RETENTION,
        )
        ages = (-1.0, math.inf) if impatient else (ABANDONED, FORGOTTEN)
        return Sweep(self.studies, self.pending, indexer, due, *ages)


def studies_key(study: str) -> str:
    """Key of the partition of a study."""
    return rows.partition_key(DEFAULT_PARTITION, study)


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


def is_moved(entity: Mapping[str, Any]) -> bool:
    """Say if a search row says that its study moved."""
    return search_table.is_moved(dict(entity))
