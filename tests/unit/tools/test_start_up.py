"""Starting and stopping the service: what a person sees."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest
from azure.storage.blob import BlobServiceClient

from tests.serving import LOCAL_HOST, ROOT, Service, served, storage_settings
from tools.local_host.azurite import DEFAULT_PORTS, Azurite, script

STORAGE_LINE = "Its storage has other ports than usual, as those are taken"
PROBE = str(ROOT / "tests" / "unit" / "tools" / "probe_app")
needs_azurite = pytest.mark.skipif(
    not script(ROOT / ".tools").exists() and os.environ.get("CI") != "true",
    reason="Azurite is not installed: run make setup",
)


def failed(*command: str, **environment: str) -> str:
    """What a command that must fail says on its error output."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    return done.stderr


def descendants(service: Service) -> list[psutil.Process]:
    """The processes that a service has started."""
    return psutil.Process(service.process.pid).children(recursive=True)


def connection_string(service: Service) -> str:
    """That of the service's emulator, with the ports its process was given."""
    azurite = next(one for one in descendants(service) if "azurite" in " ".join(one.cmdline()))
    arguments = azurite.cmdline()
    client = Azurite(tools=ROOT / ".tools")
    client.ports = tuple(
        int(arguments[arguments.index(f"--{s}Port") + 1]) for s in ("blob", "queue", "table")
    )
    return client.connection_string


def upload(service: Service, name: str) -> None:
    """Put a blob into the service's emulator."""
    with BlobServiceClient.from_connection_string(connection_string(service)) as account:
        container = account.get_container_client("drop")
        if not container.exists():
            container.create_container()
        container.upload_blob(name, b"kept", overwrite=True)


def blobs_seen(service: Service) -> list[str]:
    """What the blob trigger of the probe app has seen."""
    with urllib.request.urlopen(f"{service.root}/seen") as response:
        return list(json.load(response)["blobs"])


def wait_for_end(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run after some seconds."""
    return psutil.wait_procs(processes, timeout=10)[1]


@needs_azurite
@pytest.mark.slow
def test_make_run(tmp_path: Path) -> None:
    """`make run` says one line if its ports are free, keeps the data over a restart, and leaves no process behind."""
    command = ("make", "--no-print-directory", "run", f"APP={PROBE}")
    with served(command=command, DATA_DIR=str(tmp_path)) as first:
        assert first.ready_line.startswith("DICOM Functions is ready: http://127.0.0.1:")
        assert first.ready_line.endswith("/v2\n")
        upload(first, "kept.dcm")
        deadline = time.monotonic() + 5
        while not blobs_seen(first) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert blobs_seen(first) == ["drop/kept.dcm:kept"]
        started = descendants(first)
        first.process.send_signal(signal.SIGTERM)
        assert wait_for_end(started) == []
        assert first.process.stdout is not None
        others = first.process.stdout.read().splitlines()
        assert [line for line in others if not line.startswith(STORAGE_LINE)] == []

    clock = time.monotonic()
    with served(PROBE, DATA_DIR=str(tmp_path)) as second:
        assert time.monotonic() - clock < 8
        deadline = time.monotonic() + 5
        while not blobs_seen(second) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert blobs_seen(second) == ["drop/kept.dcm:kept"]


@needs_azurite
@pytest.mark.slow
def test_interrupted(tmp_path: Path) -> None:
    """Ctrl-C ends the service with success and without a word; the emulator ends with it."""
    with served(PROBE, DATA_DIR=str(tmp_path)) as service:
        started = descendants(service)

        service.process.send_signal(signal.SIGINT)

        assert service.process.wait(10) == 0
        assert wait_for_end(started) == []


@needs_azurite
@pytest.mark.slow
def test_interrupted_during_requests(tmp_path: Path) -> None:
    """A stop breaks requests off that do not finish, which is no error."""
    errors = tmp_path / "errors"
    command = ("sh", "-c", 'exec "$@" 2>"$ERRORS"', "sh", *LOCAL_HOST)
    with served(PROBE, command=command, DATA_DIR=str(tmp_path), ERRORS=str(errors)) as service:
        host = urlsplit(service.url)
        with socket.create_connection((str(host.hostname), int(host.port or 0))) as client:
            client.sendall(
                b"POST /digest HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n"
            )
            assert client.recv(12) == b"HTTP/1.1 100"  # the function waits for a body now

            service.process.send_signal(signal.SIGINT)

            assert service.process.wait(20) == 0

    assert errors.read_text() == ""


@needs_azurite
@pytest.mark.slow
def test_storage_elsewhere(tmp_path: Path) -> None:
    """Where a usual port is taken, the second line says how the storage is reached, as a shell takes it."""
    with ExitStack() as others:
        for port in DEFAULT_PORTS:
            with suppress(OSError):  # taken already
                others.enter_context(socket.create_server(("127.0.0.1", port)))
        with served(PROBE, DATA_DIR=str(tmp_path)) as service:
            where = connection_string(service)
            service.process.terminate()
            assert service.process.stdout is not None

            assert service.process.stdout.read() == f"{STORAGE_LINE}: DicomStorage='{where}'\n"


@needs_azurite
@pytest.mark.slow
def test_killed(tmp_path: Path) -> None:
    """A service that is killed leaves no emulator behind, and its data are there for the next one."""
    with served(PROBE, DATA_DIR=str(tmp_path)) as service:
        upload(service, "kept.dcm")
        started = descendants(service)
        service.process.kill()
        with served(PROBE, DATA_DIR=str(tmp_path)) as next_one:
            deadline = time.monotonic() + 5
            while not blobs_seen(next_one) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert blobs_seen(next_one) == ["drop/kept.dcm:kept"]

        assert wait_for_end(started) == []


@needs_azurite
@pytest.mark.slow
def test_emulator_dies(tmp_path: Path) -> None:
    """A service whose emulator ends, ends too, and not with success."""
    with served(PROBE, DATA_DIR=str(tmp_path)) as service:
        for one in descendants(service):
            one.kill()

        assert service.process.wait(10) == 1


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that something else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_port_taken(taken_port: int) -> None:
    """A port in use is one sentence that names it and the remedy."""
    said = failed(*LOCAL_HOST, PROBE, PORT=str(taken_port))

    assert said == (
        f"Cannot listen on 127.0.0.1:{taken_port} (Address already in use): set PORT to a free port.\n"
    )


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "host.json is missing"),
        ({"host.json": "{"}, "host.json is no JSON"),
        ({"host.json": "{}"}, "There is no function_app.py"),
        ({"host.json": "{}", "function_app.py": ""}, "it has 0"),
        (
            {
                "host.json": "{}",
                "function_app.py": "import azure.functions as f\na = f.FunctionApp()\nb = f.FunctionApp()\n",
            },
            "it has 2",
        ),
        (
            {
                "host.json": "{}",
                "function_app.py": "class Wrong(Exception):\n    pass\nraise Wrong('COLOUR is no colour')\n",
            },
            "function_app.py cannot start: COLOUR is no colour",
        ),
    ],
)
def test_app_unusable(tmp_path: Path, files: dict[str, str], said: str) -> None:
    """A folder without an app, or with more than one, is one sentence."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    lines = failed(*LOCAL_HOST, str(tmp_path), PORT="0").splitlines()

    assert len(lines) == 1
    assert said in lines[0]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DicomFhirUrl", "nonsense", "DicomFhirUrl"),
        ("DicomEventTargets", "queue:Bad_Name", "DicomEventTargets"),
        ("DicomStorage", "AccountName=x", "DicomStorage has no AccountKey"),
    ],
)
def test_setting_wrong(name: str, value: str, said: str) -> None:
    """A setting that the product refuses is one sentence."""
    nowhere = "http://127.0.0.1:9/x"
    storage = f"AccountName=x;AccountKey=eA==;BlobEndpoint={nowhere};TableEndpoint={nowhere};QueueEndpoint={nowhere}"

    lines = failed(
        *LOCAL_HOST, str(ROOT), **{"PORT": "0", **storage_settings(storage), name: value}
    ).splitlines()

    assert len(lines) == 1
    assert lines[0].startswith(f"function_app.py cannot start: {said}")


@pytest.mark.parametrize(
    ("raised", "level"),
    [("undefined", "WARNING"), ("import nothing_of_the_kind", "WARNING"), ("raise Wrong", "DEBUG")],
)
def test_app_mistaken(tmp_path: Path, raised: str, level: str) -> None:
    """What Python finds wrong with an app is told with its place; so is the app's own finding to who debugs it."""
    (tmp_path / "host.json").write_text("{}")
    (tmp_path / "function_app.py").write_text(f"class Wrong(Exception):\n    pass\n{raised}\n")

    done = subprocess.run(
        [*LOCAL_HOST, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PORT": "0", "LOG_LEVEL": level},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert 'function_app.py", line 3' in done.stderr


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A folder for PATH with the few tools of every machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sed", "touch", "rm"):
        (folder / name).symlink_to(str(shutil.which(name)))
    return folder


def program(folder: Path, name: str, prints: str) -> None:
    """A program that prints one line."""
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {prints}\n")
    path.chmod(0o755)


def set_up(what: str, folder: Path, path: Path, **environment: str) -> str:
    """What the set-up says, run in an empty folder."""
    shell = str(shutil.which("sh"))
    done = subprocess.run(
        [shell, str(ROOT / "tools" / "setup.sh"), *what.split()],
        cwd=folder,
        env={"PATH": str(path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    return done.stderr


def test_setup_without_node(tmp_path: Path, bare_path: Path) -> None:
    """No Node.js is one sentence."""
    assert set_up("azurite", tmp_path, bare_path) == ("Node.js was not found: install version 20 or newer.\n")


def test_setup_with_old_node(tmp_path: Path, bare_path: Path) -> None:
    """A Node.js that is too old is one sentence that says so."""
    program(bare_path, "node", "v18.20.4")

    assert set_up("azurite", tmp_path, bare_path) == (
        "Node.js 20 or newer is needed; 'node --version' says v18.20.4.\n"
    )


def test_setup_without_npm(tmp_path: Path, bare_path: Path) -> None:
    """No npm is one sentence."""
    program(bare_path, "node", "v20.1.0")

    assert "npm was not found" in set_up("azurite", tmp_path, bare_path)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "Python 3.11 or newer was not found"),
        ({"PYTHON": "python3"}, "PYTHON is 'python3', which is no Python 3.11 or newer."),
    ],
)
def test_setup_without_python(
    tmp_path: Path, bare_path: Path, environment: dict[str, str], said: str
) -> None:
    """No Python, or one that is too old, is one sentence."""
    (bare_path / "python3").write_text("#!/bin/sh\nexit 1\n")
    (bare_path / "python3").chmod(0o755)

    lines = set_up("python requirements.txt", tmp_path, bare_path, **environment).splitlines()

    assert len(lines) == 1
    assert said in lines[0]
