"""Starts the service as a user does, and measures what it uses: CPU of its process, requests to storage."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Call, drive
from tools.local_host.azurite import TOOLS, Azurite

ROOT = Path(__file__).parent.parent
_LINE = re.compile(r"^INFO dicom: .* ms=[0-9.]+ ?(.*)$", re.MULTILINE)
_QUIET_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Target:
    """A running server; of one that is not ours only URL and process are known."""

    url: str
    pid: int
    storage_pid: int | None = None
    log: Path | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """What some calls took: seconds of time and of CPU, and storage requests by kind.

    `pace` is the CPU time that the machine needed for a fixed piece of work just before.
    """

    wall: float
    cpu: float
    storage_cpu: float
    pace: float
    requests: Counter[str]


@contextmanager
def running() -> Iterator[Target]:
    """The service over an emulator that keeps its data in memory, until the end of the block."""
    with (
        Azurite(tools=ROOT / TOOLS) as storage,
        tempfile.NamedTemporaryFile() as log,
        subprocess.Popen(
            [sys.executable, "-m", "tools.local_host"],
            cwd=ROOT,
            env={
                **os.environ,
                "PORT": "0",
                "LOG_LEVEL": "INFO",
                "AzureWebJobsStorage": storage.connection_string,
                "DicomStorage": storage.connection_string,
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
            yield Target(line.split()[-1], process.pid, storage.pid, Path(log.name))
        finally:
            process.terminate()


def measure(target: Target, calls: Sequence[Call], senders: int) -> Sample:
    """Carry out calls and see what they took."""
    _wait_until_quiet(target.pid)
    pace = fixed_work()
    logged = target.log.stat().st_size if target.log else 0
    storage = cpu_seconds(target.storage_pid) if target.storage_pid else 0.0
    cpu = cpu_seconds(target.pid)
    wall = drive(target.url, calls, senders)
    requests = _storage_requests(target.log, logged, len(calls)) if target.log else Counter[str]()
    return Sample(
        wall,
        cpu_seconds(target.pid) - cpu,
        cpu_seconds(target.storage_pid) - storage if target.storage_pid else 0.0,
        pace,
        requests,
    )


def wait_until_indexed(target: Target) -> None:
    """Wait for a sweep that finds nothing left to index; there is one a minute."""
    assert target.log is not None
    while "sweep: studies=0 " not in target.log.read_text():
        time.sleep(0.5)


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


def _storage_requests(log: Path, start: int, lines: int) -> Counter[str]:
    """Add up what the service logged of its requests since a position in its log."""
    deadline = time.monotonic() + _QUIET_SECONDS
    found: list[str] = []
    while len(found) < lines and time.monotonic() < deadline:
        with log.open() as file:
            file.seek(start)
            found = _LINE.findall(file.read())
    counts: Counter[str] = Counter()
    for line in found:
        for name, _, count in (word.partition("=") for word in line.split()):
            counts[name] += int(count)
    return counts
