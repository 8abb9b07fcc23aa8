"""From a Store to its ImagingStudy: `python -m benchmarks.fhir [--images N] [--repeat N]`.

The service, a FHIR server (SEKMET, of the tests) and Azurite are processes of their own; all keep their data in memory.
The timer of the service fires every second, so that a study is delivered as soon as it has rested.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks import load, machine, service
from benchmarks.images import LARGE, image, uid
from benchmarks.service import ROOT, Target

BATCH = 50
"""Images of one Store request."""

_SERVER = (str(ROOT / ".tools/fhir/bin/python"), str(ROOT / "tests/fhir/server/main.py"))
_TIMED = {"DicomSweepSchedule": "* * * * * *", "TRIGGER_SECONDS": "0.1", "DicomFhirAuthentication": "none"}
_LINE = re.compile(r"fhir\.deliver study=(\S+) entries=(\d+) ms=([0-9.]+) fhir=(\d+)(.*)")
_LONGEST = 120.0
_HEAD = ("what", "sent in s", "visible after s", "delivery ms", "requests to FHIR", "storage requests")


@dataclass(frozen=True, slots=True)
class Run:
    """How long requests took, how long after them FHIR showed it, and what the deliveries of the study cost."""

    sent: float
    visible: float
    spent: float
    requests: float
    storage: str


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.fhir", description=__doc__)
    parser.add_argument("--images", type=int, default=500, help="images of 0.5 MiB in the study (500)")
    parser.add_argument("--repeat", type=int, default=3, help="studies (3)")
    options = parser.parse_args()
    with _fhir_server() as url, service.running(**_TIMED, DicomFhirUrl=url) as target:
        found: dict[str, list[Run]] = {}
        for study in range(1, options.repeat + 1):
            for what, run in _measure(target, url, study, options.images):
                found.setdefault(what, []).append(run)
    print(f"{machine.described()}\n")
    print("| " + " | ".join(_HEAD) + " |")
    print("|---|" + "--:|" * (len(_HEAD) - 2) + "---|")
    for what, runs in found.items():
        print(_row(what, runs))


def _measure(target: Target, url: str, study: int, images: int) -> Iterator[tuple[str, Run]]:
    """Store a study, one image more, and delete it."""
    firsts = range(0, images, BATCH)
    stores = [
        load.store([image(LARGE, study, number) for number in range(first, min(first + BATCH, images))])
        for first in firsts
    ]
    path = f"/studies/{uid(1, study)}"

    def counts(wanted: int) -> Callable[[], bool]:
        return lambda: _instances(url, study) == wanted

    yield f"{images} images stored", _run(target, study, stores, counts(images))
    more = [load.store([image(LARGE, study, images)])]
    yield "one image more", _run(target, study, more, counts(images + 1))
    yield "study deleted", _run(target, study, [load.Call(path, method="DELETE")], counts(0))


def _run(target: Target, study: int, calls: Sequence[load.Call], is_visible: Callable[[], bool]) -> Run:
    assert target.log is not None
    logged = target.log.stat().st_size
    sent = load.drive(target.url, calls, 1).seconds
    begin = time.perf_counter()
    while not is_visible():
        if time.perf_counter() - begin > _LONGEST:
            raise TimeoutError(f"FHIR does not show it after {_LONGEST:.0f} s")
        time.sleep(0.05)
    visible = time.perf_counter() - begin
    time.sleep(0.5)  # until the line is in the log
    lines = _LINE.findall(target.log.read_text()[logged:])
    ours = [line for line in lines if line[0] == uid(1, study)]
    return Run(
        sent,
        visible,
        sum(float(line[2]) for line in ours),
        sum(int(line[3]) for line in ours),
        " and ".join(line[4].strip() for line in ours),
    )


def _instances(url: str, study: int) -> int:
    """The number of instances of a study that FHIR shows."""
    query = f"ImagingStudy?identifier=urn:dicom:uid%7Curn:oid:{uid(1, study)}&_elements=numberOfInstances"
    with urllib.request.urlopen(f"{url}/{query}", timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return sum(one["resource"]["numberOfInstances"] for one in found.get("entry", ()))


@contextmanager
def _fhir_server() -> Iterator[str]:
    """The base URL of a FHIR server."""
    with subprocess.Popen(_SERVER, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the FHIR server did not start: run make setup")
            yield line.split()[-1]
        finally:
            process.terminate()


def _row(what: str, runs: Sequence[Run]) -> str:
    cells = (
        what,
        _spread([run.sent for run in runs], 2),
        _spread([run.visible for run in runs], 1),
        _spread([run.spent for run in runs], 0),
        _spread([run.requests for run in runs], 0),
        "; ".join(dict.fromkeys(run.storage for run in runs)),
    )
    return "| " + " | ".join(cells) + " |"


def _spread(numbers: Sequence[float], decimals: int) -> str:
    middle, least, most = (
        f"{one:.{decimals}f}" for one in (statistics.median(numbers), min(numbers), max(numbers))
    )
    return middle if least == most else f"{middle} ({least}-{most})"


if __name__ == "__main__":
    main()
