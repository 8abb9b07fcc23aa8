"""Damaged files, stored and asked for in every form: in a process of their own, so that a crash is seen."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path

import pydicom
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import damage, using
from tests.fuzz.using import Process

PATIENCE = 20.0
"""Seconds for all that is made of one file, on a machine that does much else."""

MEMORY = 1 << 30
"""Bytes that the process may ever take: the largest frame that is decoded, several times."""

DATA = Path(pydicom.__file__).parent / "data" / "test_files"
PIXELS = b"\xe0\x7f\x10\x00"
FILES = [
    "693_J2KI.dcm",
    "ExplVR_BigEndNoMeta.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
    "reportsi.dcm",
    "rtdose_rle.dcm",
    "rtplan.dcm",
    "test-SR.dcm",
]


@pytest.fixture(scope="module")
def process() -> Iterator[Process]:
    """What uses the files."""
    with using.process() as running:
        yield running


@cache
def file(name: str) -> bytes:
    """One of the files that pydicom ships."""
    return (DATA / name).read_bytes()


def use(process: Process, name: str, examples: int) -> None:
    """Damage a file in many ways, half of them in its pixel data only, and use what comes of it."""
    content = file(name)
    pixels = max(content.rfind(PIXELS), 0)

    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=timedelta(seconds=2 * PATIENCE),
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def used(data: st.DataObject) -> None:
        start = data.draw(st.sampled_from([0, pixels]))
        outcome = process(content[:start] + damage.damaged(data.draw, content[start:]), PATIENCE)

        assert outcome.fault == ""
        assert outcome.memory < MEMORY

    used()


def test_process_uses_what_is_not_damaged(process: Process) -> None:
    """All that is tried with a file succeeds if there is nothing wrong with it."""
    outcome = process(file("MR_small_RLE.dcm"), PATIENCE)

    assert outcome.statuses == (200,) * (1 + len(using.RETRIEVALS))


def test_process_that_dies_is_a_fault() -> None:
    """A process that does not answer in time is seen, and another one goes on."""
    with using.process() as process:
        assert "ended" in process(file("MR_small_RLE.dcm"), 0.0).fault
        assert process(file("MR_small_RLE.dcm"), PATIENCE).fault == ""


@pytest.mark.parametrize("name", FILES)
def test_damaged_file(process: Process, name: str) -> None:
    """Whatever it is: an answer, and no crash, no hang, and memory within its bounds."""
    use(process, name, 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damaged_file_at_length(process: Process, name: str) -> None:
    """The same, in many more ways."""
    use(process, name, 1500)
