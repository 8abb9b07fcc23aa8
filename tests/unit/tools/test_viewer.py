"""What `python -m tools.viewer` serves beside the service, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.serving import ROOT, served, storage_settings
from tools.local_host.azurite import Azurite
from tools.viewer import configuration, site

SERVICE = "https://dicom.example/v2"
VIEWER = (sys.executable, "-m", "tools.viewer")


@pytest.fixture
async def pages(tmp_path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a site of two files, with one more beside it."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("<html>")
    (tmp_path / "dist" / "decoder.wasm").write_bytes(b"\0asm")
    (tmp_path / "secret.txt").write_text("secret")
    async with (
        site.serve(tmp_path / "dist", SERVICE, "127.0.0.1", 0) as url,
        aiohttp.ClientSession(url) as client,
    ):
        yield client


@pytest.mark.parametrize(
    ("path", "media_type", "content"),
    [
        ("/", "text/html", b"<html>"),
        ("/viewer?StudyInstanceUIDs=1.2.3", "text/html", b"<html>"),
        ("/decoder.wasm", "application/wasm", b"\0asm"),
        ("/app-config.js", "text/javascript", configuration.script(SERVICE).encode()),
    ],
)
async def test_site(pages: aiohttp.ClientSession, path: str, media_type: str, content: bytes) -> None:
    """Files are served, the one page for each of the viewer's own paths; all isolated, for shared memory."""
    async with pages.get(path) as answer:
        assert (answer.status, answer.content_type, await answer.read()) == (200, media_type, content)
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.parametrize("path", ["/missing.js", "/..%2fsecret.txt", "/%2e%2e/secret.txt"])
async def test_site_without_file(pages: aiohttp.ClientSession, path: str) -> None:
    """What is not among the files is not found, wherever else it is."""
    async with pages.get(path) as answer:
        assert answer.status == 404


def test_configuration() -> None:
    """The script gives the viewer an object, whose data source is the service."""
    name, _, value = configuration.script(SERVICE).rstrip(";\n").partition(" = ")

    (source,) = json.loads(value)["dataSources"]

    assert name == "window.config"
    assert source["sourceName"] == json.loads(value)["defaultDataSourceName"]
    assert {source["configuration"][root] for root in ("qidoRoot", "wadoRoot", "wadoUriRoot")} == {SERVICE}


def failed(*arguments: str, folder: Path) -> str:
    """What the command says that must fail."""
    done = subprocess.run(
        [*VIEWER, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    return done.stderr


def installed(folder: Path) -> Path:
    """A folder in which the viewer is, as far as one can see."""
    (folder / site.FILES).mkdir(parents=True)
    (folder / site.FILES / "index.html").touch()
    return folder


def test_without_viewer(tmp_path: Path) -> None:
    """What is missing is said, and how to get it."""
    assert "OHIF is not installed: run `make setup`" in failed(folder=tmp_path)


def test_with_port_taken(tmp_path: Path) -> None:
    """A port that is taken is named."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = failed("--service", SERVICE, "--port", str(port), folder=installed(tmp_path))

    assert f"127.0.0.1:{port}: set --port" in message


def test_without_samples(tmp_path: Path) -> None:
    """A service that cannot be asked gets no samples, which is said."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    folder = installed(tmp_path)

    message = failed("--service", f"http://127.0.0.1:{port}/v2", "--samples", "--port", "0", folder=folder)

    assert "No samples could be stored: " in message


@pytest.mark.azurite
@pytest.mark.skipif(
    os.environ.get("CI") != "true" and not (ROOT / site.FILES / "index.html").exists(),
    reason="OHIF is not installed: run make setup",
)
def test_ends_with_its_service(azurite: Azurite) -> None:
    """When the service is killed, the viewer ends, and its exit code says that this was not asked for."""
    settings = storage_settings(azurite.connection_string)
    with served("--port", "0", command=VIEWER, **settings) as running:
        (service,) = psutil.Process(running.process.pid).children()
        assert running.process.stdout is not None
        assert "OHIF is ready" in running.process.stdout.readline()

        service.kill()

        assert running.process.wait(30) == 1
