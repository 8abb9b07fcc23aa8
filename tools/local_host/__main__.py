"""`python -m tools.local_host [FOLDER]`: serve the function app of a folder until told to stop.

The environment says where: HOST (127.0.0.1), PORT (7071; 0 takes a free one) and DATA_DIR (.data), the folder
of the storage emulator. LOG_LEVEL (WARNING) says how much is told on the error output; the standard output has
the ready line, and a second one if the emulator could not have its usual ports.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tools.local_host import application, server, settings, triggers
from tools.local_host.azurite import DEFAULT_PORTS, Azurite
from tools.local_host.errors import StartUpError
from tools.local_host.host import HttpHost
from tools.local_host.server import Server

_STORAGE = "DicomStorage"
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the service; the exit code."""
    level = os.environ.get("LOG_LEVEL", "WARNING").upper()
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("azure").setLevel(logging.WARNING)
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    try:
        listener = _listen(os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "7071"))
        return asyncio.run(_serve(folder, listener))
    except StartUpError as error:
        print(error, file=sys.stderr)
        return 1


def _listen(host: str, port: str) -> socket.socket:
    """Take the port before anything is started: the usual reason to fail."""
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise StartUpError(f"PORT is {port!r}, which is no port number.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns off Nagle's delay, worth 40 ms a response, only where it is told that this is TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        raise StartUpError(
            f"Cannot listen on {host}:{port} ({error.strerror}): set PORT to a free port."
        ) from error
    return listener


async def _serve(folder: Path, listener: socket.socket) -> int:
    stop = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    configuration = settings.host_configuration(folder)
    values = settings.application_settings(folder)
    emulator = None
    if settings.uses_emulator(values):
        emulator = Azurite(Path(os.environ.get("DATA_DIR", ".data")) / "azurite", ports=DEFAULT_PORTS)
    try:
        if emulator:
            emulator.start()
        settings.apply(values, emulator.connection_string if emulator else None)
        os.environ.setdefault("WEBSITE_HOSTNAME", _site(listener))
        functions = application.load(folder)
        prefix = settings.extension(configuration, "http").get("routePrefix", "api")
        http = server.make(HttpHost(functions, prefix))
        fired = triggers.make(functions, configuration, has_events=emulator is not None)
        if emulator:
            await asyncio.to_thread(emulator.wait_until_ready)
        await _run(http, listener, stop, fired, emulator)
    finally:
        # The app's own clients end with the process, as in the worker: no news.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        if emulator:
            emulator.stop()
    return 0


async def _run(
    http: Server,
    listener: socket.socket,
    stop: asyncio.Event,
    fired: Sequence[triggers.Trigger],
    emulator: Azurite | None,
) -> None:
    """Answer requests and fire triggers until asked to stop or until the emulator ends."""
    ends = [asyncio.create_task(stop.wait()), asyncio.create_task(http.serve(sockets=[listener]))]
    if emulator:
        ends.append(asyncio.create_task(triggers.deliver(emulator.events, fired)))
    while not (http.started or ends[1].done()):
        await asyncio.sleep(0.005)
    background = [asyncio.create_task(triggers.keep_running(one)) for one in fired]
    if http.started:
        print(f"DICOM Functions is ready: {_url(listener)}/v2", flush=True)
        if emulator:
            _print_storage(emulator)
    await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    http.should_exit = True
    await ends[1]
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)
    if emulator and not stop.is_set():
        raise StartUpError(f"Azurite ended (exit code {emulator.exit_code}), so the service did too.")


def _site(listener: socket.socket) -> str:
    """The app's own name, which the platform puts into WEBSITE_HOSTNAME, as Core Tools do."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):
        return f"localhost:{port}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _print_storage(emulator: Azurite) -> None:
    """Say where the storage is, as a setting that a shell takes, if it is not where others look for it."""
    where = emulator.connection_string
    if emulator.ports != DEFAULT_PORTS and os.environ.get(_STORAGE) == where:
        print(f"Its storage has other ports than usual, as those are taken: {_STORAGE}='{where}'", flush=True)


def _url(listener: socket.socket) -> str:
    return f"http://{_site(listener)}"


if __name__ == "__main__":
    sys.exit(main())
