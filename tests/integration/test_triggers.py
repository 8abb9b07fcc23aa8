"""The blob triggers, fired by a host: what is dropped is imported, and what is stored is indexed before any sweep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

import orjson
import psutil
import pytest
from azure.data.tables import TableClient
from azure.storage.blob import ContainerClient

from dicom_core.ports import Stores
from dicom_core.record import Columns
from dicom_core.resources import Resource
from tests import dicomweb, instances
from tests.integration.test_large_objects import IMAGE, MIB, image
from tests.serving import ROOT, Service, served, storage_settings
from tests.storage import opened
from tools.local_host import azurite as emulator

pytestmark = pytest.mark.azurite

NEVER = "0 0 0 1 1 *"


@pytest.fixture(scope="module")
def connection_string(azurite: emulator.Azurite) -> Iterator[str]:
    """An emulator that no other test uses; the shared one says if there can be any."""
    with emulator.Azurite(tools=ROOT / emulator.TOOLS) as running:
        yield running.connection_string


@pytest.fixture(scope="module")
def host(connection_string: str) -> Iterator[Service]:
    """The service with its triggers, but without its timer."""
    settings = storage_settings(connection_string)
    with served(TRIGGER_SECONDS="0.1", DicomSweepSchedule=NEVER, **settings) as running:
        dicomweb.search(running.url, "studies")  # creates what is missing
        yield running


@pytest.fixture
def drop_zone(host: Service, connection_string: str) -> Iterator[ContainerClient]:
    """The drop zone, as users see it."""
    with ContainerClient.from_connection_string(connection_string, "import") as container:
        yield container


@pytest.fixture
async def stores(host: Service, connection_string: str) -> AsyncIterator[Stores]:
    """What the service has stored."""
    async with opened(connection_string) as each:
        yield each


async def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether something comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
    return held


def names(drop_zone: ContainerClient, prefix: str = "") -> list[str]:
    """What lies in the drop zone."""
    return [blob.name for blob in drop_zone.list_blobs(prefix)]


async def test_dropped_file_is_stored(host: Service, drop_zone: ContainerClient) -> None:
    """A file that is put into the container is found by Search, given back byte for byte, and gone from there."""
    one = dicomweb.made()

    drop_zone.upload_blob("Microsoft.Default/CT 1/IM0001", one.content)
    drop_zone.upload_blob("IM0001", one.content)

    assert await eventually(lambda: names(drop_zone) == [])
    assert len(dicomweb.search(host.url, f"instances?SOPInstanceUID={one.instance}")) == 1
    assert dicomweb.get(f"{host.url}/{one.path}", dicomweb.SINGLE).content == one.content


async def test_dropped_file_for_a_partition_that_no_one_can_ask(drop_zone: ContainerClient) -> None:
    """No route names a partition: what went there would be lost to sight, so it is rejected."""
    drop_zone.upload_blob("Ward-7/IM0001.dcm", dicomweb.made().content)

    assert await eventually(lambda: names(drop_zone, "Ward-7/") == [])
    reason = orjson.loads(drop_zone.download_blob("rejected/Ward-7/IM0001.dcm.json").readall())
    assert "Microsoft.Default" in str(reason)
    drop_zone.delete_blob("rejected/Ward-7/IM0001.dcm")
    drop_zone.delete_blob("rejected/Ward-7/IM0001.dcm.json")


async def test_dropped_file_that_cannot_be_stored(drop_zone: ContainerClient) -> None:
    """It is moved, with a reason beside it, and left alone there."""
    drop_zone.upload_blob("notes.txt", b"no DICOM")

    moved = ["rejected/notes.txt", "rejected/notes.txt.json"]
    assert await eventually(lambda: names(drop_zone) == moved)
    assert drop_zone.download_blob(moved[0]).readall() == b"no DICOM"
    assert orjson.loads(drop_zone.download_blob(moved[1]).readall())["FailureReason"] == "0110"


async def test_stored_instance_is_indexed(host: Service, connection_string: str) -> None:
    """The blob of an instance is a hint: its study leaves the journal before any sweep."""
    dicomweb.keep(host.url, *(dicomweb.made("1.2.3") for _ in range(5)))

    with TableClient.from_connection_string(connection_string, "pending") as journal:
        assert await eventually(lambda: list(journal.list_entities()) == [])

    assert dicomweb.search(host.url, "studies?StudyInstanceUID=1.2.3")[0]["00201208"]["Value"] == [5]


@pytest.mark.slow
async def test_large_file(host: Service, drop_zone: ContainerClient, stores: Stores) -> None:
    """A file larger than what is kept of it in memory is stored as it flows."""
    uids = (instances.uid(), instances.uid(), instances.uid())
    large = image(uids)
    process = psutil.Process(host.process.pid)
    before = most = process.memory_info().rss

    drop_zone.upload_blob("large.dcm", iter(large))

    def is_stored() -> bool:
        nonlocal most
        most = max(most, process.memory_info().rss)
        return "large.dcm" not in names(drop_zone)

    assert await eventually(is_stored, 60)
    (row,) = await stores.index.records(Resource(*uids), Columns.NONE)
    assert (row.digest, row.length > IMAGE) == (large.digest, True)
    assert most - before < 110 * MIB
