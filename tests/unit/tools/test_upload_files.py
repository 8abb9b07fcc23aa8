"""Finding and grouping the files of an upload, and the payload they become."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests import instances
from tools.upload import files
from tools.upload.files import Batch, File
from tools.upload.outcomes import Fate, Outcome
from tools.upload.sending import Body

UID = "1.2.3.4"
CONTENT = instances.file(instance=UID)


def grouped(entries: Sequence[File | Outcome], limit: int = 100) -> list[str | Outcome]:
    """The names of each batch's files, joined."""
    return [
        "".join(file.path for file in entry.files) if isinstance(entry, Batch) else entry
        for entry in files.grouped(entries, limit)
    ]


def test_walk_goes_below_folders_by_name(tmp_path: Path) -> None:
    """Every file below a folder is found, in the order of the names, and files that are named themselves."""
    for name in ("b/2", "b/1", "a", "c/d/e"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12")

    found = list(files.walk([str(tmp_path), str(tmp_path / "b" / "2")]))

    assert [os.path.relpath(path, tmp_path) for path in found] == ["a", "b/1", "b/2", "c/d/e", "b/2"]
    assert files.measure([str(tmp_path)]) == (4, 8)


@pytest.mark.parametrize(
    ("name", "content", "instance"),
    [
        ("with preamble", CONTENT, UID),
        ("without preamble", CONTENT[132:], UID),
        ("ends early", CONTENT[:200], ""),
        ("garbage after the prefix", bytes(128) + b"DICM" + b"\xff" * 50, ""),
        ("without UID", CONTENT.replace(b"\x08\0\x18\0UI", b"\x08\0\x19\0UI"), ""),
        ("text", b"patients of the ward\n" * 20, None),
        ("empty", b"", None),
        ("short", b"DICM", None),
        ("zeros", bytes(4096), None),
        ("DICOMDIR", CONTENT, None),
        ("dicomdir", CONTENT, None),
    ],
)
def test_look_recognizes_dicom(tmp_path: Path, name: str, content: bytes, instance: str | None) -> None:
    """A DICOM file is known by its prefix or its data set (PS3.10 7.1), a DICOMDIR by its name (PS3.10 8.6)."""
    path = tmp_path / name
    path.write_bytes(content)

    skipped = Outcome(str(path), len(content), Fate.SKIPPED)
    expected = skipped if instance is None else File(str(path), len(content), instance)
    assert files.look(str(path)) == expected
    assert files.look(str(path), everything=True) == File(str(path), len(content), instance or _uid(content))


def _uid(content: bytes) -> str:
    return UID if content == CONTENT else ""


def test_look_at_what_cannot_be_read(tmp_path: Path) -> None:
    """A file that cannot be opened has failed, and says why; what is no file is skipped."""
    gone = files.look(str(tmp_path / "gone"))
    os.mkfifo(tmp_path / "pipe")

    assert isinstance(gone, Outcome)
    assert (gone.fate, gone.reason) == (Fate.FAILED, "cannot be read: No such file or directory")
    assert files.look(str(tmp_path / "pipe")) == Outcome(str(tmp_path / "pipe"), 0, Fate.SKIPPED)


def test_grouped_by_size() -> None:
    """A batch has at most so many bytes; a file of that size goes alone and does not end the batch."""
    sizes = {"a": 40, "b": 50, "c": 100, "d": 10, "e": 1, "f": 500}
    entries = [File(name, size, name) for name, size in sizes.items()]

    assert grouped(entries) == ["c", "abd", "f", "e"]


def test_grouped_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has at most so many files, however small."""
    monkeypatch.setattr(files, "MAX_FILES", 2)

    assert grouped([File(name, 0, name) for name in "abcde"]) == ["ab", "cd", "e"]


def test_grouped_by_instance() -> None:
    """No two files of a batch have the same UID, and one without goes alone."""
    uids = [("a", "1"), ("b", ""), ("c", "2"), ("d", "1"), ("e", "3")]

    assert grouped([File(name, 1, uid) for name, uid in uids]) == ["b", "ac", "de"]


def test_grouped_passes_outcomes_on() -> None:
    """What is not to be sent keeps its outcome."""
    skipped = Outcome("x", 1, Fate.SKIPPED)

    assert grouped([File("a", 1, "1"), skipped, File("b", 1, "2")]) == [skipped, "ab"]


class Writer:
    """Takes what a payload writes."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    async def write(self, piece: bytes) -> None:
        """Keep a piece."""
        self.pieces.append(piece)


def looked(path: Path, content: bytes) -> File:
    """A file of this content."""
    path.write_bytes(content)
    return File(str(path), len(content), "")


async def test_body_is_multipart_of_the_announced_length(tmp_path: Path) -> None:
    """The payload has a part for each file (PS3.18 8.6.1.2.1), its length is known before, and it can be repeated."""
    body = Body((looked(tmp_path / "a", b"one"), looked(tmp_path / "b", b"")))
    boundary = body.content_type.rpartition("=")[2].encode()
    head = b"--" + boundary + b"\r\nContent-Type: application/dicom\r\n\r\n"
    expected = head + b"one\r\n" + head + b"\r\n--" + boundary + b"--\r\n"

    for _ in range(2):
        writer = Writer()
        await body.write(writer)
        assert b"".join(writer.pieces) == expected
    assert body.size == body.sent == len(expected)


async def test_body_of_a_large_file_is_never_in_memory(tmp_path: Path) -> None:
    """A file is read as it is sent, in pieces of less than a mebibyte."""
    writer = Writer()
    body = Body((looked(tmp_path / "large", bytes(5_000_000)),))

    await body.write(writer)

    assert max(map(len, writer.pieces)) < 1 << 20
    assert sum(map(len, writer.pieces)) == body.size


@pytest.mark.parametrize("content", [b"longer than before", b"less", None])
async def test_body_of_a_changed_file_breaks(tmp_path: Path, content: bytes | None) -> None:
    """A file that is not as it was cannot be sent under the announced length; it is told which one it is."""
    file = looked(tmp_path / "a", b"as it was")
    body = Body((looked(tmp_path / "b", b"other"), file))
    if content is None:
        (tmp_path / "a").unlink()
    else:
        (tmp_path / "a").write_bytes(content)

    with pytest.raises(OSError):  # noqa: PT011 (of the system, in one case)
        await body.write(Writer())
    assert body.fault is not None
    assert body.fault.path == file.path
