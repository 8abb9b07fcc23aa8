"""The app is one that the Python worker in Azure accepts, checked with the worker's own library."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.storage.blob import ContainerClient

from dicom_core.storage import provision
from tests import instances
from tests.ingestion import ingestion
from tests.serving import ROOT, storage_settings
from tests.storage import account
from tools.local_host.azurite import Azurite

WORKER = ROOT / ".tools" / "worker"
DRIVER = ROOT / "tests" / "contract" / "worker.py"
NAME = re.compile(r"[a-z][a-z0-9_]{0,126}")

HEAD = """\
import functools
import azure.functions as func
from azurefunctions.extensions.http.fastapi import Request, Response, StreamingResponse
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""
ROUTED = "@app.route(route='a', methods=['GET'])\n"
SIMPLE = f"{ROUTED}async def a(req: Request) -> Response:\n    return Response('fine')\n"
REJECTED = {
    "union of responses": f"{ROUTED}async def a(req: Request) -> Response | StreamingResponse: ...\n",
    "classic request": f"{ROUTED}async def a(req: func.HttpRequest) -> func.HttpResponse: ...\n",
    "parameter of no binding": f"{ROUTED}async def a(req: Request, other: int) -> Response: ...\n",
    "same name twice": f"{SIMPLE}@app.route(route='b')\nasync def a(req: Request) -> Response: ...\n",
    "two apps": f"{SIMPLE}other = func.FunctionApp()\n",
    "unknown verb": "@app.route(route='a', methods=['SEARCH'])\nasync def a(req: Request) -> Response: ...\n",
    "import that fails": f"import no_such_module\n{SIMPLE}",
}


@pytest.fixture(scope="module", autouse=True)
def _worker() -> None:
    """The worker's library, as the set-up installs it."""
    if not WORKER.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("the worker's library is not installed: run make setup")
        pytest.skip("the worker's library is not installed: run make setup")


def load(folder: Path, *asked: str, **environment: str) -> dict[str, Any]:
    """What the worker says of the app of a folder; asked for a path, and then a blob.

    Raises
    ------
    subprocess.CalledProcessError
        It rejects the app.
    """
    variables = {"PYTHON_ENABLE_INIT_INDEXING": "1", "PYTHONPATH": str(WORKER), **environment}
    done = subprocess.run(
        [sys.executable, str(DRIVER), str(folder), *asked],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


def app_in(folder: Path, body: str) -> Path:
    """A folder with an app in it."""
    (folder / "function_app.py").write_text(HEAD + body)
    (folder / "host.json").write_text((ROOT / "host.json").read_text())
    return folder


def test_worker_accepts_simple_app(tmp_path: Path) -> None:
    """The check's own foundation: a simple app is accepted and answers."""
    said = load(app_in(tmp_path, SIMPLE), "a")

    assert list(said["functions"]) == ["a"]
    assert said["answer"] == {"status": 200, "body": "fine"}


@pytest.mark.parametrize("body", REJECTED.values(), ids=REJECTED.keys())
def test_worker_rejects(tmp_path: Path, body: str) -> None:
    """What the worker refuses fails this check: one such function would take the whole app down."""
    with pytest.raises(subprocess.CalledProcessError) as refused:
        load(app_in(tmp_path, body))

    assert "rejected: " in refused.value.stderr


DROPPED = "Dropped/by a user.dcm"


@pytest.fixture(scope="module")
def drop_zone(azurite: Azurite) -> Iterator[ContainerClient]:
    """The drop zone, as users see it, with a file in it."""
    asyncio.run(provision.create(account(azurite.connection_string)))
    with ContainerClient.from_connection_string(azurite.connection_string, "import") as container:
        container.upload_blob(DROPPED, instances.file())
        yield container


@pytest.fixture(scope="module")
def loaded(azurite: Azurite, drop_zone: ContainerClient) -> dict[str, Any]:
    """What the worker says of the service."""
    settings = storage_settings(azurite.connection_string)
    return load(ROOT, "health/check", f"import/{DROPPED}", **settings)


def listed(connection_string: str) -> list[str]:
    """The functions of the service, as azure-functions lists them."""
    code = "import function_app as f; print(*[one.get_function_name() for one in f.app.get_functions()])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **storage_settings(connection_string)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.azurite
def test_worker_accepts_every_function(loaded: dict[str, Any], azurite: Azurite) -> None:
    """The worker accepts every function that the app has, and finds no other."""
    assert sorted(loaded["functions"]) == sorted(listed(azurite.connection_string))


@pytest.mark.azurite
def test_worker_answers_health_check(loaded: dict[str, Any]) -> None:
    """A request through the worker's own server reaches the function and comes back."""
    assert loaded["answer"]["status"] == 200


@pytest.mark.azurite
def test_worker_hands_on_the_trace_of_the_host(azurite: Azurite) -> None:
    """Where telemetry is on, the span of a request is a child of the host's, of which the worker has told.

    There is no other: the server that the worker runs would make spans with whole URLs, if it found where to send them.
    """
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with ingestion() as component:
        settings = {**storage_settings(azurite.connection_string), **component.settings}

        load(ROOT, "health/check", TRACE_PARENT=f"00-{trace}-{parent}-01", **settings)

        sent = [(one["data"]["baseType"], one["tags"]) for one in component.items]
    (span,) = [tags for kind, tags in sent if kind != "MessageData"]
    assert (span["ai.operation.id"], span["ai.operation.parentId"]) == (trace, parent)
    assert [tags["ai.operation.id"] for kind, tags in sent if kind == "MessageData"] == [trace]


@pytest.mark.azurite
def test_worker_fires_blob_trigger(loaded: dict[str, Any], drop_zone: ContainerClient) -> None:
    """What the worker makes of the host's message is what the function takes: the file has been imported."""
    assert loaded["fired"] == ["import_stored_file"]
    assert not drop_zone.get_blob_client(DROPPED).exists()


@pytest.mark.azurite
def test_blob_triggers_do_not_load_the_blob(loaded: dict[str, Any]) -> None:
    """The host is told to pass on where a blob is, and by what it learns of one: by Event Grid, if nothing is set."""
    triggers = [b for bs in loaded["functions"].values() for b in bs if b["type"] == "blobTrigger"]

    assert [(one["path"], one["source"], one["properties"]) for one in triggers] == [
        (path, "EventGrid", {"SupportsDeferredBinding": True})
        for path in ("dicom/{name}.dcm", "import/{name}")
    ]


@pytest.mark.azurite
def test_function_and_binding_names(loaded: dict[str, Any]) -> None:
    """Names are snake case without a double underscore, which the host demands of bindings."""
    names = [*loaded["functions"], *(b["name"] for bs in loaded["functions"].values() for b in bs)]

    assert [name for name in names if name != "$return" and (not NAME.fullmatch(name) or "__" in name)] == []


@pytest.mark.azurite
def test_one_trigger_each(loaded: dict[str, Any]) -> None:
    """Every function has exactly one trigger."""
    triggers = {
        name: sum(binding["type"].endswith("Trigger") for binding in bindings)
        for name, bindings in loaded["functions"].items()
    }

    assert set(triggers.values()) == {1}


@pytest.mark.azurite
def test_connections_are_in_sample_settings(loaded: dict[str, Any]) -> None:
    """Every connection that a binding names is in the sample of local settings."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    named = {
        b["connection"] for bindings in loaded["functions"].values() for b in bindings if "connection" in b
    }

    assert named - sample.keys() == set()


def test_sample_settings() -> None:
    """The sample holds what `func start` needs on every Python, and storage by the emulator."""
    sample = json.loads((ROOT / "local.settings.sample.json").read_text())
    of_subscribers = {
        name: sample["Values"].pop(name)
        for name in list(sample["Values"])
        if name.startswith(("DicomEvent", "DicomFhir"))
    }

    assert sample == {
        "IsEncrypted": False,
        "Values": {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "PYTHON_ENABLE_INIT_INDEXING": "1",
            "PYTHON_ISOLATE_WORKER_DEPENDENCIES": "1",
            "AzureWebJobsStorage": "UseDevelopmentStorage=true",
            "DicomStorage": "UseDevelopmentStorage=true",
            "DicomBlobSource": "LogsAndContainerScan",
            "DicomSweepSchedule": "0 * * * * *",
        },
    }
    assert {name for name, value in of_subscribers.items() if value} == {
        "DicomEventSchema",
        "DicomFhirAuthentication",
    }


def test_host_configuration() -> None:
    """Routes have no prefix, and the extensions are those that know the Event Grid source of blob triggers."""
    host = json.loads((ROOT / "host.json").read_text())

    assert host["version"] == "2.0"
    assert host["extensions"]["http"]["routePrefix"] == ""
    assert host["extensionBundle"] == {
        "id": "Microsoft.Azure.Functions.ExtensionBundle",
        "version": "[4.*, 5.0.0)",
    }


@pytest.mark.azurite
def test_function_keys(azurite: Azurite, loaded: dict[str, Any]) -> None:
    """The host asks for a function key where the setting says so, but for the health check, api.json and preflights."""
    keyed = load(ROOT, DicomAuthentication="function-key", **storage_settings(azurite.connection_string))

    def levels(said: dict[str, Any]) -> dict[str, str]:
        bindings = {name: each[0] for name, each in said["functions"].items()}
        return {name: str(one["authLevel"]).lower() for name, one in bindings.items() if "authLevel" in one}

    assert set(levels(loaded).values()) == {"anonymous"}
    asking = {name: level for name, level in levels(keyed).items() if level != "anonymous"}
    open_to_all = {"check_health", "retrieve_api_description", "retrieve_capabilities"}
    assert levels(keyed).keys() - asking.keys() == open_to_all
    assert set(asking.values()) == {"function"}
