"""Memory of the service while a large instance is stored and fetched: `python -m benchmarks.memory [--size MB]`.

The peak of the resident set above what the idle service has. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks import load, service
from benchmarks.images import LARGE, Image, image
from benchmarks.load import Call
from benchmarks.service import Target

_RESET_PEAK = "5"
_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_ACCEPT_FRAMES = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description=__doc__)
    parser.add_argument("--size", type=int, default=150, help="megabytes of the instance (150)")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions (3)")
    options = parser.parse_args()
    frames = options.size * 1_000_000 // (LARGE * LARGE * 2)
    print("| operation | idle MB | peak above idle MB (min-max) |\n|---|--:|--:|")
    for name, calls in _steps([image(LARGE, number, 0, frames) for number in range(2 * options.repeat)]):
        with service.running() as target:
            print(_row(target, name, calls), flush=True)


def _steps(images: Sequence[Image]) -> list[tuple[str, list[tuple[Call, Call]]]]:
    """Each row with its pairs: what to do first, and what to measure."""
    nothing = Call("/studies?limit=1")
    stored = [load.store([one]) for one in images]
    return [
        ("Store, a single part", [(nothing, load.store_single(one)) for one in images]),
        ("Store, multipart", [(nothing, call) for call in stored]),
        (
            "Retrieve instance",
            [(call, Call(_path(one), _ACCEPT)) for call, one in zip(stored, images, strict=True)],
        ),
        (
            "Retrieve 10 frames",
            [
                (call, Call(f"{_path(one)}/frames/{','.join(map(str, range(1, 11)))}", _ACCEPT_FRAMES))
                for call, one in zip(stored, images, strict=True)
            ],
        ),
    ]


def _path(one: Image) -> str:
    return f"/studies/{one.study}/series/{one.series}/instances/{one.instance}"


def _row(target: Target, name: str, calls: Sequence[tuple[Call, Call]]) -> str:
    load.drive(target.url, [load.store([image(LARGE, 1_000, number)]) for number in range(20)], 4)
    idle = _kilobytes(target.pid, "VmRSS")
    peaks = [_peak(target, before, call) - idle for before, call in calls]
    middle, least, most = statistics.median(peaks), min(peaks), max(peaks)
    return f"| {name} | {idle / 1024:.0f} | {middle / 1024:.0f} ({least / 1024:.0f}-{most / 1024:.0f}) |"


def _peak(target: Target, before: Call, call: Call) -> int:
    """Peak of the resident set during a call."""
    load.drive(target.url, [before], 1)
    Path(f"/proc/{target.pid}/clear_refs").write_text(_RESET_PEAK)
    load.drive(target.url, [call], 1)
    return _kilobytes(target.pid, "VmHWM")


def _kilobytes(pid: int, name: str) -> int:
    """A line of /proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()
