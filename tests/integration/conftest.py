"""Stores over the emulator."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from dicom_core.ports import Stores
from dicom_core.storage import provision
from dicom_core.storage.rest import Kind, tally
from tests.storage import account, opened
from tools.local_host.azurite import Azurite


@pytest.fixture(scope="session")
def connection_string(azurite: Azurite) -> str:
    """The emulator, with its containers and tables."""
    asyncio.run(provision.create(account(azurite.connection_string)))
    return azurite.connection_string


@pytest.fixture
async def stores(connection_string: str) -> AsyncIterator[Stores]:
    """Blobs and tables over the emulator."""
    async with opened(connection_string) as both:
        yield both


@pytest.fixture
def counts() -> Counter[Kind]:
    """The storage requests of the test, by kind."""
    counter: Counter[Kind] = Counter()
    tally.set(counter)
    return counter
