"""The same load on this service and on another DICOMweb server: `python -m benchmarks.peer [URL PID]`.

URL is the root of the other server's DICOMweb service, PID its process; without them it is Orthanc as Debian packages
it (`orthanc`, `orthanc-dicomweb`). Both are measured in turns, so that what else the machine does falls on both. Ratios
below 1 say that this service takes less.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import orjson

from benchmarks import machine, service
from benchmarks.__main__ import begin, check, sample, spread, warm_up
from benchmarks.load import Refused
from benchmarks.scenarios import GROUPS, SCENARIOS, Fresh, Scenario
from benchmarks.service import Sample, Target
from tools.local_host.azurite import free_ports

_HEAD = (
    "operation",
    "service CPU ms (min-max)",
    "peer CPU ms (min-max)",
    "service / peer",
    "service wall ms (min-max)",
    "peer wall ms (min-max)",
    "service / peer",
)
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_PATH = "/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"
_START_SECONDS = 30.0


def main() -> int:
    """Measure both and print the ratios; the exit code."""
    parser = argparse.ArgumentParser(prog="benchmarks.peer", description=__doc__)
    parser.add_argument("url", nargs="?", help="root of the other server's DICOMweb service")
    parser.add_argument("pid", nargs="?", type=int, help="its process")
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=GROUPS, help="groups of scenarios")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions of each scenario (3)")
    parser.add_argument("--quick", action="store_true", help="one repetition")
    options = parser.parse_args()
    if options.url is not None and options.pid is None:
        parser.error("the process of the other server is missing")
    program = shutil.which("Orthanc", path=_PATH)
    peer: Callable[[], AbstractContextManager[Target]]
    if options.url is None and (program is None or not _PLUGIN.exists()):
        print("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
        return 1
    if options.url is None:
        peer, name = partial(_orthanc, program or ""), f"Orthanc {_version(program or '')}"
    else:
        peer, name = partial(_started, Target(options.url.rstrip("/"), options.pid)), options.url
    print(f"{machine.described()}; the peer is {name}\n")
    print("| " + " | ".join(_HEAD) + " |\n|---|" + "--:|" * (len(_HEAD) - 1), flush=True)
    fresh = Fresh()  # another server may keep what it was given for all groups
    paces: list[float] = []
    for group in options.only:
        with service.running() as ours, peer() as theirs:
            paces += _run(ours, theirs, group, fresh, 1 if options.quick else options.repeat)
    print(f"\nFixed work beside it took {1000 * min(paces):.1f} to {1000 * max(paces):.1f} ms of CPU.")
    return 0


def _run(ours: Target, theirs: Target, group: str, fresh: Fresh, repeat: int) -> list[float]:
    """Measure a group; the pace of the machine meanwhile."""
    paces: list[float] = []
    for target in (ours, theirs):
        begin(target, group, fresh)
    for scenario in SCENARIOS:
        if scenario.group == group:
            here, there = _samples(scenario, ours, theirs, fresh, repeat)
            paces += [one.pace for one in here]
            check(scenario, here)
            print(row(scenario, here, there), flush=True)
    return paces


def _samples(
    scenario: Scenario, ours: Target, theirs: Target, fresh: Fresh, repeat: int
) -> tuple[list[Sample], list[Sample]]:
    """Samples of both in turns; none of the other one where it does not do what is asked."""
    warm_up(ours, scenario, fresh)
    try:
        warm_up(theirs, scenario, fresh)
    except Refused:
        return [sample(ours, scenario, fresh) for _ in range(repeat)], []
    both = [(sample(ours, scenario, fresh), sample(theirs, scenario, fresh)) for _ in range(repeat)]
    return [one for one, _ in both], [other for _, other in both]


def row(scenario: Scenario, ours: Sequence[Sample], theirs: Sequence[Sample]) -> str:
    """The row of a scenario."""
    cpu = _compared([one.cpu for one in ours], [one.cpu for one in theirs])
    wall = _compared([one.wall for one in ours], [one.wall for one in theirs])
    return "| " + " | ".join((scenario.name, *cpu, *wall)) + " |"


def _compared(ours: Sequence[float], theirs: Sequence[float]) -> tuple[str, str, str]:
    """Both, and the ratio of their medians."""
    if not theirs:
        return spread(ours), "refused", ""
    return spread(ours), spread(theirs), f"{statistics.median(ours) / statistics.median(theirs):.2g}"


@contextmanager
def _started(target: Target) -> Iterator[Target]:
    """A server that others start and stop."""
    yield target


@contextmanager
def _orthanc(program: str) -> Iterator[Target]:
    """Orthanc, empty, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        (port,) = free_ports((0,))
        configuration = {
            "StorageDirectory": folder,
            "IndexDirectory": folder,
            "HttpPort": port,
            "DicomServerEnabled": False,
            "AuthenticationEnabled": False,
            "RemoteAccessAllowed": False,
            "Plugins": [str(_PLUGIN)],
        }
        file = Path(folder, "orthanc.json")
        file.write_bytes(orjson.dumps(configuration))
        with subprocess.Popen(
            [program, file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            try:
                url = f"http://127.0.0.1:{port}/dicom-web"
                _wait_until_ready(process, url)
                yield Target(url, process.pid)
            finally:
                process.terminate()
                process.wait()  # before its folder goes


def _wait_until_ready(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/studies?limit=1"):
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("Orthanc did not start")
        time.sleep(0.1)


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.split()[1]


if __name__ == "__main__":
    raise SystemExit(main())
