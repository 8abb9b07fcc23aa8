"""Starts the service as a user does, and measures what it uses: CPU of its process, requests to storage."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Call, drive
from dicom_core import bootstrap
from dicom_core.settings import Settings
from dicom_core.storage.blobs import Container
from dicom_core.storage.rest import Kind
from dicom_core.storage.tables import TableIndex
from tools.local_host.azurite import TOOLS, Azurite

ROOT = Path(__file__).parent.parent
_LINE = re.compile(r"^INFO dicom: .* ms=[0-9.]+(.*)$", re.MULTILINE)
_COUNT = re.compile(rf" ({'|'.join(Kind)})=(\d+)\b")
_QUIET_SECONDS = 5.0
_ALONE = {
    "DicomSweepSchedule": "0 0 0 1 1 *",  # on the 1st of January
    "TRIGGER_SECONDS": "100000",  # from one scan for new blobs to the next
}
"""What else the service does of itself it leaves: it would be counted."""

_RETENTION = 3600.0


@dataclass(frozen=True, slots=True)
class Target:
    """A running server; of one that is not ours only URL and process are known."""

    url: str
    pid: int
    storage_pid: int | None = None
    log: Path | None = None
    connection_string: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What some operations took: seconds of time and of CPU, bytes of all bodies, and storage requests by kind.

    `pace` is the CPU time that the machine needed for a fixed piece of work just before.
    """

    count: int
    wall: float
    cpu: float
    storage_cpu: float
    pace: float
    size: float
    requests: Mapping[str, float]

    def each(self, count: int) -> Sample:
        """What each took, of so many operations."""
        requests = {kind: number / count for kind, number in self.requests.items()}
        wall, cpu, storage_cpu = (one / count for one in (self.wall, self.cpu, self.storage_cpu))
        return Sample(count, wall, cpu, storage_cpu, self.pace, self.size / count, requests)


@contextmanager
def running(**settings: str) -> Iterator[Target]:
    """The service over an emulator that keeps its data in memory, until the end of the block; with further settings."""
    with (
        Azurite(tools=ROOT / TOOLS) as storage,
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "tools.local_host"],
            cwd=ROOT,
            env={
                **os.environ,
                **_ALONE,
                "PORT": "0",
                "LOG_LEVEL": "INFO",
                "AzureWebJobsStorage": storage.connection_string,
                "DicomStorage": storage.connection_string,
                **settings,
            },
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the service did not start: {Path(log.name).read_text()[-2000:]}")
            yield Target(
                line.split()[-1], process.pid, storage.pid, Path(log.name), storage.connection_string
            )
        finally:
            process.terminate()


def measure(target: Target, calls: Sequence[Call], senders: int) -> Sample:
    """Carry out calls and see what all of them took."""
    _wait_until_quiet(target.pid)
    pace = fixed_work()
    logged = target.log.stat().st_size if target.log else 0
    storage = cpu_seconds(target.storage_pid) if target.storage_pid else 0.0
    cpu = cpu_seconds(target.pid)
    driven = drive(target.url, calls, senders)
    requests = storage_requests(target.log, logged, len(calls)) if target.log else Counter[str]()
    return Sample(
        len(calls),
        driven.seconds,
        cpu_seconds(target.pid) - cpu,
        cpu_seconds(target.storage_pid) - storage if target.storage_pid else 0.0,
        pace,
        driven.size,
        requests,
    )


def index(target: Target) -> None:
    """Index all that is stored, by the product's own sweep, as another worker of the service would."""
    asyncio.run(_sweep(target.connection_string, target.url))


async def _sweep(connection_string: str, url: str) -> None:
    settings = Settings.from_environment({"DicomStorage": connection_string})
    clients = bootstrap.clients(settings.account)
    blobs, tables = clients
    instances, derived = Container(blobs, "dicom"), Container(blobs, "derived")
    try:
        await TableIndex(tables, instances, derived, _RETENTION, url).sweep()
    finally:
        for client in clients:
            await client.close()


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, exact where `/proc/PID/stat` counts in steps of 10 ms."""
    return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3), as Linux computes it


def fixed_work() -> float:
    """CPU seconds of some fixed work: virtual machines are not always equally fast."""
    begin = time.process_time()
    sum(number * number for number in range(200_000))
    return time.process_time() - begin


def _wait_until_quiet(pid: int) -> None:
    """Let what earlier calls left behind come to its end."""
    deadline = time.monotonic() + _QUIET_SECONDS
    before = cpu_seconds(pid)
    while time.monotonic() < deadline:
        time.sleep(0.1)
        now = cpu_seconds(pid)
        if now - before < 0.002:
            return
        before = now


def storage_requests(log: Path, start: int, lines: int) -> Counter[str]:
    """Add up what the service logged of its requests since a position in its log."""
    deadline = time.monotonic() + _QUIET_SECONDS
    found: list[str] = []
    while len(found) < lines and time.monotonic() < deadline:
        with log.open() as file:
            file.seek(start)
            found = _LINE.findall(file.read())
    counts: Counter[str] = Counter()
    for line in found:
        for name, count in _COUNT.findall(line):
            counts[name] += int(count)
    return counts
