"""What every `Renditions` promises: what was kept is found again, under its own name only."""

from __future__ import annotations

from dataclasses import replace

from dicom_core import versions
from dicom_core.ports import Stores
from dicom_core.resources import Resource

RESOURCE = Resource("1.2", "1.2.3", "1.2.3.4")


def new_version() -> str:
    """A version that nothing else has."""
    return versions.version_of(versions.new_transaction(), 0)


async def read(stores: Stores, resource: Resource, version: str, name: str) -> bytes | None:
    """All bytes of a rendition."""
    content = await stores.renditions.get(resource, version, name)
    return None if content is None else b"".join([chunk async for chunk in content])


async def test_put_is_read_back(stores: Stores) -> None:
    """The bytes come back as they were put."""
    version, content = new_version(), bytes(range(256)) * 1000

    await stores.renditions.put(RESOURCE, version, "a", content)

    assert await read(stores, RESOURCE, version, "a") == content


async def test_what_was_not_put_is_not_there(stores: Stores) -> None:
    """Another name, another version and another partition are other renditions."""
    version = new_version()
    await stores.renditions.put(RESOURCE, version, "a", b"content")

    assert await read(stores, RESOURCE, version, "b") is None
    assert await read(stores, RESOURCE, new_version(), "a") is None
    assert await read(stores, replace(RESOURCE, partition="other"), version, "a") is None


async def test_put_again_keeps_the_first(stores: Stores) -> None:
    """Who rendered the same at the same time is not disturbed."""
    version = new_version()
    await stores.renditions.put(RESOURCE, version, "a", b"first")

    await stores.renditions.put(RESOURCE, version, "a", b"second")

    assert await read(stores, RESOURCE, version, "a") == b"first"
