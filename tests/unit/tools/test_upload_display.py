"""What a person sees of an upload, and says to it."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from tools import progress
from tools.progress import Display, State
from tools.upload.__main__ import main
from tools.upload.outcomes import Fate, Outcome, Summary


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "the following arguments are required: FOLDER"),
        (("nowhere",), "There is no nowhere."),
        ((".", "--url", "127.0.0.1:7071"), "is no http or https URL"),
        ((".", "--url", "ftp://host"), "is no http or https URL"),
        ((".", "--parallel", "0"), "'0' is no positive number"),
        ((".", "--batch-bytes", "20X"), "'20X' is no number of bytes"),
        ((".", "--batch-bytes", "0M"), "'0M' is no number of bytes"),
        ((".", "--failures", "no/such/folder"), "no/such/folder cannot be written: No such file"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong usage is told in a line, with the exit code 2."""
    try:
        code: object = main(arguments)
    except SystemExit as exit:
        code = exit.code

    assert code == 2
    assert text in capsys.readouterr().err


def test_help_says_that_it_can_be_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """The help says what a person must know who has been interrupted."""
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "It is safe to repeat" in capsys.readouterr().out


def test_nothing_to_send(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of an empty folder everything is stored, and no service is needed for that."""
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == ["stored", "0"]


def test_summary_names_what_failed() -> None:
    """Each failure has its file, the reason in words and the comments; all else is counted."""
    summary = Summary()
    for outcome in (
        Outcome("a", 5, Fate.STORED),
        Outcome("b", 6, Fate.SKIPPED),
        Outcome("\udcff", 7, Fate.FAILED, "not stored", "4711", ("one", "two")),
    ):
        summary.add(outcome)

    assert str(summary).splitlines() == [
        "failed \\xff: not stored (4711): one: two",
        "stored                             1",
        "skipped, not DICOM                 1",
        "failed                             1",
    ]
    assert (summary.files_done, summary.bytes_done) == (3, 18)


def test_failure_as_json() -> None:
    """A failure is one line of JSON, whatever its path is."""
    line = Outcome("a\n\udcff", 7, Fate.FAILED, "not stored", "4711", ("one",)).json()

    assert "\n" not in line
    assert json.loads(line) == {
        "file": "a\n\udcff",
        "code": "4711",
        "reason": "not stored",
        "comments": ["one"],
    }


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (State(0, 0, 0, 0.0), "0 files, 0 B, 0 B/s"),
        (State(2, 1500, 0, 1.0), "2 files, 1.5 KB, 1.5 KB/s"),
        (
            State(1000, 10**9, 3, 10.0, 4000, 4 * 10**12),
            "1,000 of 4,000 files, 1.0 GB, 100.0 MB/s, 11:06:30 left, 3 failed",
        ),
        (State(5, 70, 0, 1.0, 5, 60), "5 of 5 files, 70 B, 70 B/s, 0:00:00 left"),
    ],
)
def test_state_as_text(state: State, text: str) -> None:
    """Files, bytes, speed, the time that is left once the total is known, and failures if there are any."""
    assert str(state) == text


@pytest.mark.parametrize(
    ("state", "filled"),
    [
        (State(0, 0, 0, 0.0), 0),
        (State(1, 50, 0, 0.0, 9, 100), 12),
        (State(1, 500, 0, 0.0, 9, 100), 24),
        (State(1, 0, 0, 0.0, 2, 0), 12),
    ],
)
def test_bar(state: State, filled: int) -> None:
    """The bar is filled by bytes, and never beyond its end."""
    assert state.bar == f"[{'#' * filled}{'-' * (24 - filled)}]"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (Terminal(), "\r\x1b[K[------------------------] 1 files, 2 B, 1 B/s\r\x1b[Kdone\n\r\x1b[K"),
        (io.StringIO(), "1 files, 2 B, 1 B/s\ndone\n"),
    ],
    ids=["terminal", "file"],
)
async def test_display(stream: io.StringIO, lines: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal one line is drawn over and over; elsewhere there are plain lines."""
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_REPORT_SECONDS", 0.0)
    shown = asyncio.Event()

    def state() -> State:
        if shown.is_set():
            raise asyncio.CancelledError
        shown.set()
        return State(1, 2, 0, 2.0)

    display = Display(stream, state)
    running = asyncio.create_task(display.run())
    await asyncio.wait([running])
    display.note("done")
    display.end()

    assert stream.getvalue() == lines
