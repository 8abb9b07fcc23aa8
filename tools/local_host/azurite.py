"""Azurite, the emulator of Azure Storage, as a child process."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tools.local_host.errors import StartUpError

DEFAULT_PORTS = (10000, 10001, 10002)
TOOLS = Path(".tools")

# The emulator's account and key are public constants, the same on every machine.
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_SERVICES = ("blob", "queue", "table")
_PRELOAD = Path(__file__).with_name("azurite_preload.js")
_OPTIONS = ("--skipApiVersionCheck", "--disableTelemetry", "--silent")
_START_SECONDS = 30.0
_STOP_SECONDS = 20.0


def script(tools: Path = TOOLS) -> Path:
    """Where the set-up puts Azurite."""
    return tools / "node_modules" / "azurite" / "dist" / "src" / "azurite.js"


class Azurite:
    """One emulator with its three services; it ends with the process that started it.

    Parameters
    ----------
    location
        The folder that keeps the data; None keeps them in memory.
    ports
        Those to try first, for blobs, queues and tables; one that is taken is replaced by a free one.
    tools
        The folder the set-up installed Azurite into.
    """

    def __init__(
        self, location: Path | None = None, *, ports: Sequence[int] = (0, 0, 0), tools: Path = TOOLS
    ) -> None:
        self.location = location
        self.ports: tuple[int, ...] = free_ports(ports)
        self._tools = tools
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lock: IO[str] | None = None
        self._output: IO[bytes] | None = None

    @property
    def connection_string(self) -> str:
        """What a client needs to know."""
        endpoints = "".join(
            f"{service.capitalize()}Endpoint=http://127.0.0.1:{port}/{_ACCOUNT};"
            for service, port in zip(_SERVICES, self.ports, strict=True)
        )
        return f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};{endpoints}"

    @property
    def pid(self) -> int | None:
        """The process id, once started."""
        return self._process.pid if self._process else None

    @property
    def events(self) -> socket.socket:
        """A line of JSON arrives here for each blob created: its container, name and etag."""
        if self._socket is None:
            raise StartUpError("Azurite is not running.")
        return self._socket

    def start(self) -> None:
        """Start the process; it does not answer yet (`wait_until_ready`).

        Raises
        ------
        StartUpError
            Node or Azurite is not installed, or another process uses the data.
        """
        path = f"{self._tools.absolute() / 'node' / 'bin'}:{os.getenv('PATH', os.defpath)}"
        node = shutil.which("node", path=path)
        if node is None:
            raise StartUpError("Node.js was not found: install version 20 or newer and run again.")
        program = script(self._tools).absolute()
        if not program.exists():
            raise StartUpError(f"Azurite is not installed in {self._tools}/: run `make setup`.")
        storage = ["--inMemoryPersistence"]
        if self.location is not None:
            self._lock = _lock(self.location)
            storage = ["--location", str(self.location)]
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    node,
                    "--require",
                    str(_PRELOAD.absolute()),
                    str(program),
                    *storage,
                    *self._listen(),
                    *_OPTIONS,
                ],
                env={**os.environ, "PARENT_SOCKET": str(theirs.fileno())},
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in the terminal is ours to handle: requests finish first
                # The lock goes along: it must live as long as the process that writes the files.
                pass_fds=[theirs.fileno(), *([self._lock.fileno()] if self._lock else [])],
            )

    def _listen(self) -> list[str]:
        return [
            argument
            for service, port in zip(_SERVICES, self.ports, strict=True)
            for argument in (f"--{service}Host", "127.0.0.1", f"--{service}Port", str(port))
        ]

    def wait_until_ready(self) -> None:
        """Return when all three services accept connections.

        Raises
        ------
        StartUpError
            The process ended, or did not answer in time.
        """
        deadline = time.monotonic() + _START_SECONDS
        for port in self.ports:
            while not _answers(port):
                if self.exit_code is not None:
                    raise StartUpError(f"Azurite did not start: {self.last_words}")
                if time.monotonic() > deadline:
                    raise StartUpError(f"Azurite did not answer on port {port} in {_START_SECONDS:.0f} s.")
                time.sleep(0.02)

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    @property
    def last_words(self) -> str:
        """The last line it printed."""
        if self._output is None:
            return ""
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")

    def wait(self) -> int:
        """Block until the process ends; its exit code."""
        return self._process.wait() if self._process else 0

    def stop(self) -> None:
        """Let it write its files and end."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for file in (self._output, self._lock, self._socket):
            if file is not None:
                file.close()
        self._output = self._lock = self._socket = None

    def __enter__(self) -> Azurite:
        try:
            self.start()
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_ports(wanted: Sequence[int]) -> tuple[int, ...]:
    """Each port that is free, and a free one in place of each that is not (or is 0)."""
    held: list[socket.socket] = []
    try:
        for port in wanted:
            held.append(_bound(port) or _bound(0) or _no_port())
        return tuple(int(one.getsockname()[1]) for one in held)
    finally:
        for one in held:
            one.close()


def _bound(port: int) -> socket.socket | None:
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(("127.0.0.1", port))
    except OSError:
        one.close()
        return None
    return one


def _no_port() -> socket.socket:
    raise StartUpError("No free port for Azurite.")


def _answers(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def _lock(location: Path) -> IO[str]:
    """Wait until no other emulator writes to the folder: a killed service's one needs a moment to finish."""
    try:
        location.mkdir(parents=True, exist_ok=True)
        file = (location / ".lock").open("w")
    except OSError as error:
        raise StartUpError(f"Cannot keep data in {location} ({error.strerror}): set DATA_DIR.") from None
    began = time.monotonic()
    deadline, said = began + _STOP_SECONDS, False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() > deadline:
                file.close()
                raise StartUpError(f"{location} is in use by another DICOM Functions.") from None
            if not said and time.monotonic() > began + 1:
                print(f"Waiting for {location}, which another DICOM Functions uses.", file=sys.stderr)
                said = True
            time.sleep(0.1)
        else:
            return file
