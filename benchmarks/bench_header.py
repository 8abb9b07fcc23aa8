"""What reading a header costs, step by step: `python -m benchmarks.bench_header`.

CPU time in milliseconds, the median of rounds. The files are those that pydicom ships.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pydicom
from pydicom.filereader import data_element_generator

from dicom_core.representations import metadata
from dicom_core.representations.instances import Header, Reader

FILES = Path(pydicom.__file__).parent / "data" / "test_files"
NAMES = ("CT_small.dcm", "examples_overlay.dcm", "MR_small_implicit.dcm", "rtplan.dcm")
ROUNDS, LOOPS = 15, 40


def read(content: bytes) -> Header:
    """Read the header of an instance that arrives in one chunk."""
    reader = Reader()
    reader.feed(content)
    if reader.header is None:
        reader.finish()
    assert reader.header is not None
    return reader.header


def generate(content: bytes, implicit: bool) -> None:
    """Run only pydicom's generator, up to the pixel data."""
    file = BytesIO(content)
    file.seek(132)
    for _ in data_element_generator(file, False, True, lambda tag, vr, length: tag >> 16 != 2):
        pass
    for _ in data_element_generator(file, implicit, True, lambda tag, vr, length: tag >> 16 >= 0x7FE0):
        pass


def median(step: Callable[[], object]) -> float:
    """Milliseconds of CPU time that a step takes."""
    times = []
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        for _ in range(LOOPS):
            step()
        times.append((time.process_time_ns() - begin) / LOOPS / 1e6)
    return statistics.median(times)


def report(name: str) -> str:
    """The medians of one file, as a row."""
    content = (FILES / name).read_bytes()
    header = read(content)
    steps: tuple[Callable[[], object], ...] = (
        lambda: generate(content, "implicit" in name or name == "rtplan.dcm"),
        lambda: read(content),
        lambda: metadata.pack(header.dataset),
        lambda: metadata.pack(read(content).dataset),
    )
    return f"{name:24}{len(header.dataset):9}" + "".join(f"{median(step):12.3f}" for step in steps)


def main() -> None:
    """Print a row for each file."""
    print(f"{'file':24}{'elements':>9}{'generator':>12}{'header':>12}{'pack':>12}{'all':>12}")
    for name in NAMES:
        print(report(name))


if __name__ == "__main__":
    main()
