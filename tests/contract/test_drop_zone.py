"""What importing relies on: a file is told from another that takes its place, and moves without getting lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from dicom_core.errors import ResourceNotFound
from dicom_core.ports import Dropped, DropZone, Stores
from dicom_core.storage.memory import MemoryDropZone
from tests.instances import uid

Drop = Callable[[str, bytes], None]
Moved = Callable[[str], Any]


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
def zone(request: pytest.FixtureRequest) -> DropZone:
    """The drop zone of each adapter in turn."""
    if request.param == "memory":
        return MemoryDropZone()
    stores: Stores = request.getfixturevalue("azure_stores")
    return stores.drop_zone


@pytest.fixture
def drop(zone: DropZone, request: pytest.FixtureRequest) -> Drop:
    """Puts a file there, as users do."""
    if isinstance(zone, MemoryDropZone):
        return zone.files.__setitem__
    container = _container(request)
    return lambda name, content: container.upload_blob(name, content, overwrite=True)


@pytest.fixture
def moved(zone: DropZone, request: pytest.FixtureRequest) -> Moved:
    """Content of the files that were rejected under names that end so, with the reasons beside them."""
    if isinstance(zone, MemoryDropZone):
        return lambda name: [pair for key, pair in sorted(zone.rejected.items()) if key.endswith(name)]
    container = _container(request)

    def pairs(name: str) -> list[tuple[bytes, bytes]]:
        listed = sorted(blob.name for blob in container.list_blobs("rejected/"))
        read = {one: container.download_blob(one).readall() for one in listed}
        files = [one for one in listed if one.endswith(name)]
        return [(read[one], read.get(f"{one}.json", b"")) for one in reversed(files)]

    return pairs


def _container(request: pytest.FixtureRequest) -> ContainerClient:
    azurite = request.getfixturevalue("azurite")
    container = ContainerClient.from_connection_string(azurite.connection_string, "import")
    request.addfinalizer(container.close)
    return container


async def found(zone: DropZone, name: str) -> Dropped:
    """A file that is there."""
    file = await zone.find(name)
    assert file is not None
    return file


async def content(zone: DropZone, file: Dropped) -> bytes:
    """The whole of a file."""
    return b"".join([chunk async for chunk in await zone.get(file)])


@pytest.mark.parametrize("path", ["", "Part/", "Part/a b&c/ü%/"])
async def test_file_is_read(zone: DropZone, drop: Drop, path: str) -> None:
    """Any name can be found and read."""
    name = f"{path}{uid()}.dcm"
    drop(name, b"1234")

    file = await found(zone, name)

    assert (file.name, file.length) == (name, 4)
    assert await content(zone, file) == b"1234"


async def test_file_that_is_not_there(zone: DropZone) -> None:
    """A name without a file is none."""
    assert await zone.find(uid()) is None


async def test_file_is_removed_once(zone: DropZone, drop: Drop) -> None:
    """To remove it again is no error."""
    name = uid()
    drop(name, b"1")
    file = await found(zone, name)

    await zone.remove(file)
    await zone.remove(file)

    assert await zone.find(name) is None
    with pytest.raises(ResourceNotFound):
        await content(zone, file)
    with pytest.raises(ResourceNotFound):
        await zone.reject(file, b"{}")


async def test_file_that_was_replaced_stays(zone: DropZone, drop: Drop) -> None:
    """What takes a file's place is another file: not read, removed or moved as the former."""
    name = uid()
    drop(name, b"1")
    former = await found(zone, name)
    drop(name, b"22")

    with pytest.raises(ResourceNotFound):
        await content(zone, former)
    with pytest.raises(ResourceNotFound):
        await zone.reject(former, b"{}")
    await zone.remove(former)

    assert await content(zone, await found(zone, name)) == b"22"


async def test_file_is_rejected(zone: DropZone, drop: Drop, moved: Moved) -> None:
    """A rejected file lies elsewhere byte for byte, with the reason beside it, and is not found any more."""
    name = f"Part/{uid()}.dcm"
    drop(name, b"1234")

    await zone.reject(await found(zone, name), b'{"status":1}')

    assert await zone.find(name) is None
    assert await zone.find(f"rejected/{name}") is None
    assert moved(name) == [(b"1234", b'{"status":1}')]
    assert name not in [one async for one in zone.waiting(-60)]


async def test_rejected_files_of_one_name_stay(zone: DropZone, drop: Drop, moved: Moved) -> None:
    """A later file that is rejected under the same name does not take the place of the former."""
    name = uid()
    for content in (b"1", b"2", b"3"):
        drop(name, content)
        await zone.reject(await found(zone, name), b"{}")

    assert sorted(pair[0] for pair in moved(name)) == [b"1", b"2", b"3"]
    assert {pair[1] for pair in moved(name)} == {b"{}"}


async def test_rejected_file_named_as_a_reason_stays(zone: DropZone, drop: Drop, moved: Moved) -> None:
    """A file whose name is that of another's reason is kept."""
    name = uid()
    for one, content in ((f"{name}.json", b"1"), (name, b"2")):
        drop(one, content)
        await zone.reject(await found(zone, one), b"{}")

    assert moved(f"{name}.json")[0][0] == b"1"
    assert moved(name)[0][0] == b"2"


async def test_waiting_files_are_listed(zone: DropZone, drop: Drop) -> None:
    """Those in folders, too; not those that came a moment ago."""
    folder = f"Part{uid()[-12:]}"
    names = [uid(), f"{folder}/{uid()}", f"{folder}/below/{uid()}"]
    for name in names:
        drop(name, b"1")

    assert set(names) <= {name async for name in zone.waiting(-60)}
    if not isinstance(zone, MemoryDropZone):
        assert set(names) & {name async for name in zone.waiting(60)} == set()
