"""What a rebuild tells, and keeps to go on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dicom_core.storage.blobs import Blob
from dicom_core.storage.rebuilding import Fate, Seen
from tools.progress import State
from tools.rebuild.__main__ import Progress
from tools.rebuild.summary import Checkpoint, CheckpointError, Summary


def summary() -> Summary:
    """A rebuild that has come somewhere."""
    made = Summary(after="b")
    made.add(Seen(Blob("a", 5, 0.0, {}), Fate.RESTORED))
    made.add(Seen(Blob("b", 7, 0.0, {}), Fate.UNREADABLE, "no bytes"))
    return made


def test_summary_counts_and_names() -> None:
    """What a person may want to look at has its name and the reason; the rest is counted."""
    assert str(summary()).splitlines() == [
        "unreadable: b: no bytes",
        f"{'blobs seen':<40}{2:>12}",
        f"{'restored':<40}{1:>12}",
        f"{'unreadable':<40}{1:>12}",
    ]


@pytest.mark.parametrize(
    ("left", "lines"),
    [
        (0, [f"{'studies seen':<40}{'1,000':>12}"]),
        (3, [f"{'studies seen':<40}{'1,000':>12}", f"{'not indexed yet':<40}{3:>12}"]),
    ],
)
def test_index_summary_counts_studies(left: int, lines: list[str]) -> None:
    """The index alone is told in studies, and what is left only if something is."""
    assert Progress(studies=1000, left=left).index_summary.splitlines() == lines


def test_checkpoint_keeps_everything(tmp_path: Path) -> None:
    """Who goes on from a file tells what one run would have told."""
    checkpoint = Checkpoint(tmp_path / "kept", "http://account", "P/")
    checkpoint.save(Summary())
    checkpoint.save(summary())

    assert checkpoint.load() == summary()
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_checkpoint_that_is_not_there_is_the_beginning(tmp_path: Path) -> None:
    """The first run finds no file."""
    assert Checkpoint(tmp_path / "kept", "http://account", "").load() == Summary()


@pytest.mark.parametrize(("account", "prefix"), [("http://other", "P/"), ("http://account", "")])
def test_checkpoint_of_something_else_is_refused(tmp_path: Path, account: str, prefix: str) -> None:
    """What was done to another account or partition says nothing of this one."""
    Checkpoint(tmp_path / "kept", "http://account", "P/").save(summary())

    with pytest.raises(CheckpointError, match="is of http://account, partition P/"):
        Checkpoint(tmp_path / "kept", account, prefix).load()


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", json.dumps({"account": "x", "prefix": "", "counts": {"eaten": 1}})],
)
def test_checkpoint_that_no_rebuild_wrote_is_refused(tmp_path: Path, content: str) -> None:
    """Another file is not mistaken for a checkpoint."""
    path = tmp_path / "kept"
    path.write_text(content)

    with pytest.raises(CheckpointError, match="is no file that a rebuild wrote"):
        Checkpoint(path, "x", "").load()


def test_checkpoint_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A folder that is not there is said before hours have passed."""
    with pytest.raises(CheckpointError, match="cannot be written: No such file or directory"):
        Checkpoint(tmp_path / "no" / "kept", "x", "").save(Summary())


def test_progress_of_things_without_bytes() -> None:
    """Studies are counted, and their number says how long it will take."""
    state = State(25, None, 0, 5.0, 100, 0, "studies indexed")

    assert str(state) == "25 of 100 studies indexed, 0:00:15 left"
    assert state.bar == f"[{'#' * 6}{'-' * 18}]"


def test_progress_counts_the_studies_that_are_done() -> None:
    """Studies that come into the journal meanwhile add to what is to be done, not to what is done."""
    progress = Progress(phase="studies indexed")
    for left in (10, 9, 8, 12, 11):
        progress.note_left(left)

    assert str(progress.state(1.0)) == "3 of 14 studies indexed, 0:00:04 left"
