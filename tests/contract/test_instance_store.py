"""What every `InstanceStore` promises: the bytes as they were given, under the name they were given."""

from __future__ import annotations

import os

import pytest

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Stores
from dicom_core.resources import DEFAULT_PARTITION, Resource

RESOURCE = Resource("1.2", "1.2.3", "1.2.3.4")


def new_version() -> str:
    """A version that nothing else has."""
    return versions.version_of(versions.new_transaction(), 0)


async def read(stores: Stores, version: str, start: int = 0, length: int | None = None) -> bytes:
    """All bytes of a read."""
    content = await stores.instances.get(DEFAULT_PARTITION, version, start, length)
    return b"".join([chunk async for chunk in content])


@pytest.mark.parametrize("size", [1, 1000, 3 << 20])
async def test_put_is_read_back(stores: Stores, size: int) -> None:
    """The pieces come back joined, byte for byte."""
    version, content = new_version(), os.urandom(size)

    await stores.instances.put(RESOURCE, version, [content[: size // 3], content[size // 3 :]])

    assert await read(stores, version) == content


async def test_put_again_keeps_the_first(stores: Stores) -> None:
    """A repeated write is one whose reply was lost: names are used once, bytes never change."""
    version = new_version()

    await stores.instances.put(RESOURCE, version, [b"first"])
    await stores.instances.put(RESOURCE, version, [b"first"])

    assert await read(stores, version) == b"first"


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (5, 10), (90, 10), (99, 1), (7, None), (5, 0), (0, 0), (100, 0)]
)
async def test_get_reads_a_range(stores: Stores, start: int, length: int | None) -> None:
    """A range is part of `get`; an open one reads to the end, one of no bytes nothing."""
    version, content = new_version(), os.urandom(100)
    await stores.instances.put(RESOURCE, version, [content])

    assert (
        await read(stores, version, start, length)
        == content[start : None if length is None else start + length]
    )


async def test_staged_blocks_are_assembled_in_their_order(stores: Stores) -> None:
    """Blocks may arrive in any order; nothing is there before they are assembled."""
    version = new_version()
    for number in (2, 0, 1):
        await stores.instances.stage(RESOURCE, version, number, [b"%d" % number * 10, b"-"])
    with pytest.raises(StorageUnavailable):
        await read(stores, version)

    await stores.instances.assemble(RESOURCE, version, 3)

    assert await read(stores, version) == b"0" * 10 + b"-" + b"1" * 10 + b"-" + b"2" * 10 + b"-"


async def test_copy_leaves_both(stores: Stores) -> None:
    """A copy is another blob with the same bytes."""
    version, other = new_version(), new_version()
    await stores.instances.put(RESOURCE, version, [b"content"])

    await stores.instances.copy(RESOURCE, version, other)

    assert await read(stores, version) == await read(stores, other) == b"content"


async def test_missing_bytes_are_said_before_reading(stores: Stores) -> None:
    """What is missing is known when `get` returns, so that it can still be answered."""
    with pytest.raises(StorageUnavailable):
        await stores.instances.get(DEFAULT_PARTITION, new_version())
