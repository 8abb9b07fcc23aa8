"""The adapters of the ports, each under the same tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from dicom_core import bootstrap
from dicom_core.ports import Stores
from dicom_core.settings import Settings
from dicom_core.storage import deliveries, provision
from dicom_core.storage.blobs import BlobRenditions, BlobStore, Container
from dicom_core.storage.deliveries import TableDeliveries
from dicom_core.storage.drop_zone import BlobDropZone
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.storage.rest import Kind, tally
from dicom_core.storage.table_service import Table
from dicom_core.storage.tables import TableIndex
from tests.fake_tables import Service


@pytest.fixture
async def azure_stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Blobs and tables over Azurite."""
    azurite = request.getfixturevalue("azurite")
    account = Settings.from_environment({"DicomStorage": azurite.connection_string}).account
    await provision.create(account)
    blobs, tables = bootstrap.clients(account)
    dicom, derived = Container(blobs, "dicom"), Container(blobs, "derived")
    index = TableIndex(tables, dicom, derived, retention=3600.0)
    yield Stores(
        BlobStore(dicom),
        index,
        BlobDropZone(blobs),
        BlobRenditions(derived),
        index.feed,
        TableDeliveries(Table(tables, deliveries.TABLE)),
    )
    await blobs.close()
    await tables.close()


@pytest.fixture(params=["memory", "tables", pytest.param("azurite", marks=pytest.mark.azurite)])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Both ports, of each adapter in turn."""
    if request.param == "memory":
        index = MemoryIndex()
        return Stores(
            MemoryStore(), index, MemoryDropZone(), MemoryRenditions(), MemoryFeed(index), MemoryDeliveries()
        )
    if request.param == "tables":
        service = Service()
        tables = service.index()
        return Stores(
            MemoryStore(),
            tables,
            MemoryDropZone(),
            MemoryRenditions(),
            tables.feed,
            TableDeliveries(service.table(deliveries.TABLE)),
        )
    return request.getfixturevalue("azure_stores")


@pytest.fixture
def counts() -> Counter[Kind]:
    """The storage requests of the test, by kind."""
    counter: Counter[Kind] = Counter()
    tally.set(counter)
    return counter
