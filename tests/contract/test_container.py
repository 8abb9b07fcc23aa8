"""What the upkeep of an account relies on in the Blob service: lists, deletes, and what they do not see."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from dicom_core import bootstrap
from dicom_core.storage import provision
from dicom_core.storage.blobs import Container
from tests.instances import uid
from tests.storage import account

pytestmark = pytest.mark.azurite


@pytest.fixture
async def container(azurite: object) -> AsyncIterator[Container]:
    """The container of instances."""
    settings = account(azurite.connection_string)  # type: ignore[attr-defined]
    await provision.create(settings)
    blobs, tables = bootstrap.clients(settings)
    yield Container(blobs, "dicom")
    await blobs.close()
    await tables.close()


@pytest.fixture
def folder() -> str:
    """The beginning of names that no one else uses."""
    return f"{uid()}/a b&c"


async def names(container: Container, prefix: str, after: str = "") -> list[str]:
    """Names of the blobs that a list finds."""
    return [blob.name async for blob in container.blobs(prefix, after)]


async def test_list_tells_name_length_time_and_metadata(container: Container, folder: str) -> None:
    """Nothing has to be opened to know what a blob is."""
    await container.put(f"{folder}/x.dcm", [b"123", b"45"], {"study": "1.2.3", "series": ""})

    (blob,) = [blob async for blob in container.blobs(folder)]

    assert (blob.name, blob.length) == (f"{folder}/x.dcm", 5)
    assert blob.metadata["study"] == "1.2.3"
    assert abs(blob.modified - time.time()) < 60


async def test_list_is_in_order_and_begins_behind_a_name(container: Container, folder: str) -> None:
    """A list that was broken off goes on where it was."""
    for name in "cab":
        await container.put(f"{folder}/{name}", [b"-"])

    assert await names(container, folder) == [f"{folder}/{name}" for name in "abc"]
    assert await names(container, folder, f"{folder}/a") == [f"{folder}/b", f"{folder}/c"]


async def test_list_does_not_see_staged_blocks(container: Container, folder: str) -> None:
    """What was not assembled is no blob yet."""
    await container.stage(f"{folder}/x", 0, [b"-"])

    assert await names(container, folder) == []


async def test_delete_removes_one_blob_once(container: Container, folder: str) -> None:
    """The second delete finds nothing, and that is no error."""
    await container.put(f"{folder}/x", [b"-"])
    await container.put(f"{folder}/xx", [b"-"])

    await container.delete(f"{folder}/x")
    await container.delete(f"{folder}/x")

    assert await names(container, folder) == [f"{folder}/xx"]
    assert [await container.exists(f"{folder}/{name}") for name in ("x", "xx")] == [False, True]
