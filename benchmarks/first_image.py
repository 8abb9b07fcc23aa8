"""How long a reader waits for a CT in OHIF: `python -m benchmarks.first_image [--slices N] [--repeat N]`.

Each run is a browser whose cache is empty. OHIF says itself how long it took from the request for the series to the
first image (`studyToFirstImage`); the other number includes how long it took to load OHIF.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks import load, service
from benchmarks.images import LARGE, image, uid
from tools.viewer import chromium

STUDY = 1
BATCH = 50
"""Images of one Store request."""

_TIME = re.compile(r"studyToFirstImage: ([0-9.]+) ms")


@dataclass(frozen=True, slots=True)
class Run:
    """Seconds from the request for the series, and from the opening of the page, to the first image."""

    study: float
    page: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.first_image", description=__doc__)
    parser.add_argument("--slices", type=int, default=500, help="images of 0.5 MiB in the series (500)")
    parser.add_argument("--repeat", type=int, default=5, help="runs (5)")
    options = parser.parse_args()
    with service.running() as target, _viewer(target.url) as viewer:
        load.drive(target.url, _stores(options.slices), 1)
        service.index(target)
        runs = [
            open_study(f"{viewer}viewer?StudyInstanceUIDs={uid(1, STUDY)}") for _ in range(options.repeat)
        ]
    print(f"First of {options.slices} slices in OHIF, s: median (min-max) of {options.repeat}")
    print(_row("from the request for the series", [run.study for run in runs]))
    print(_row("from the opening of the page", [run.page for run in runs]))


def open_study(url: str) -> Run:
    """Open a study in a new browser, and wait for its first image."""
    with chromium.browser() as browser:
        page = browser.new_page()
        begin = time.perf_counter()
        with page.expect_console_message(lambda message: bool(_TIME.match(message.text))) as message:
            page.goto(url)
        seconds = time.perf_counter() - begin
        found = _TIME.match(message.value.text)
        assert found is not None
        return Run(float(found[1]) / 1000, seconds)


@contextmanager
def _viewer(url: str) -> Iterator[str]:
    """The viewer's URL."""
    with subprocess.Popen(
        [sys.executable, "-m", "tools.viewer", "--service", url, "--port", "0"],
        cwd=service.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError("the viewer did not start")
            yield line.split()[-1]
        finally:
            process.terminate()


def _stores(slices: int) -> list[load.Call]:
    return [
        load.store([image(LARGE, STUDY, number) for number in range(first, min(first + BATCH, slices))])
        for first in range(0, slices, BATCH)
    ]


def _row(name: str, seconds: list[float]) -> str:
    return f"{name:<34}{statistics.median(seconds):6.2f} ({min(seconds):.2f}-{max(seconds):.2f})"


if __name__ == "__main__":
    main()
