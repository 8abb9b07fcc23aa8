"""Subscribers are there if the settings name them, and cost nothing if they do not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dicom_core import bootstrap
from dicom_core.delivery.targets import EventSubscriber
from dicom_core.ports import Stores
from dicom_core.settings import Settings
from tests.routes import function_app
from tests.serving import ROOT

STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}
TARGETS = {
    "DicomEventTargets": (
        "https://x.westeurope-1.eventgrid.azure.net/api/events,queue:abc,https://hooks.example.org/in"
    )
}


def functions(**settings: str) -> set[str]:
    """The names of the functions with some settings."""
    return {one.get_function_name() for one in function_app(**settings).app.get_functions()}


def test_timer_is_there_for_subscribers() -> None:
    """Without subscribers there is no timer for them: each run of one is billed as a second at least."""
    assert functions(**TARGETS) - functions() == {"deliver_changes"}


def test_nothing_is_imported_for_no_one() -> None:
    """Without subscribers the app starts without what serves them."""
    code = "import function_app, sys; print([name for name in sys.modules if name.startswith('dicom_core.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=STORAGE, capture_output=True, text=True, check=True
    )

    assert "dicom_core.studies" in done.stdout
    assert "dicom_core.delivery" not in done.stdout
    assert "dicom_core.fhir" not in done.stdout


async def test_nothing_is_asked_for_no_one() -> None:
    """Without subscribers a run touches no store."""
    nothing: Stores = None  # type: ignore[assignment]

    await bootstrap.delivering(Settings.from_environment(STORAGE))(nothing, 1.0)


@pytest.mark.parametrize("schema", ["CloudEventSchemaV1_0", "EventGridSchema"])
async def test_subscribers_are_those_of_the_settings(schema: str) -> None:
    """One for each target, and one for the FHIR server, by the names that the settings give them."""
    settings = Settings.from_environment(
        {**STORAGE, **TARGETS, "DicomEventSchema": schema, "DicomFhirUrl": "https://fhir.example.org"}
    )

    made = bootstrap.subscribers(settings)

    assert tuple(one.name for one in made) == settings.subscribers
    assert [isinstance(one, EventSubscriber) for one in made] == [True, True, True, False]
    assert [one.from_beginning for one in made] == [False, False, False, True]
    for one in made:
        await one.close()
