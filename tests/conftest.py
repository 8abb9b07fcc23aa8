"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.serving import ROOT, served, storage_settings
from tools.local_host import azurite as emulator


@pytest.fixture(scope="session")
def azurite() -> Iterator[emulator.Azurite]:
    """An emulator of Azure Storage that keeps its data in memory, one for each test process."""
    tools = ROOT / emulator.TOOLS
    if not emulator.script(tools).exists():
        if os.environ.get("CI") == "true":
            pytest.fail("Azurite is not installed: run make setup")
        pytest.skip("Azurite is not installed: run make setup")
    with emulator.Azurite(tools=tools) as running:
        yield running


@pytest.fixture(scope="session")
def service(azurite: emulator.Azurite) -> Iterator[str]:
    """The URL of the whole service with its version, served by the local host in a process of its own."""
    if not (ROOT / "function_app.py").exists():
        pytest.skip("there is no function_app.py")
    # Tests of storage share the emulator: triggers that look for blobs all the time would take part in them.
    with served(TRIGGER_SECONDS="3600", **storage_settings(azurite.connection_string)) as running:
        yield running.url
