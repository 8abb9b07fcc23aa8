"""The files of folders: found, recognized as DICOM files (PS3.10 7), and grouped into requests."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from dicom_core.representations.instances import InvalidInstance, Reader
from tools.upload.outcomes import Fate, Outcome, failed

MAX_FILES = 500
"""Files of one request at most: a service may limit its parts, and what fails as a whole should be small."""

_CHUNK = 16 << 10
_DIRECTORY = "DICOMDIR"


@dataclass(frozen=True, slots=True)
class File:
    """A file to be sent; `instance` is its SOPInstanceUID, '' if it cannot be read."""

    path: str
    size: int
    instance: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The files of one request, all of different instances, and how many times it will have been tried."""

    files: tuple[File, ...]
    attempt: int = 1


def walk(paths: Iterable[str]) -> Iterator[str]:
    """The files below folders, by name; a folder that cannot be listed is given as if it were a file."""
    for path in paths:
        if os.path.isdir(path):
            yield from _below(path)
        else:
            yield path


def _below(top: str) -> Iterator[str]:
    unlisted: list[str] = []
    for folder, folders, names in os.walk(top, onerror=lambda error: unlisted.append(error.filename)):
        folders.sort()
        for name in sorted(names):
            yield os.path.join(folder, name)
    yield from unlisted


def measure(paths: Sequence[str]) -> tuple[int, int]:
    """How many files there are, and how many bytes."""
    count = total = 0
    for path in walk(paths):
        count += 1
        try:
            total += os.stat(path).st_size
        except OSError:
            continue
    return count, total


def look(path: str, *, everything: bool = False) -> File | Outcome:
    """Read the beginning of a file: what is to be sent, or why it is not.

    A file is sent if it has 'DICM' at byte 128 or begins with a data set that can be read, but a DICOMDIR is not
    (PS3.10 8.6: its name is reserved). With `everything`, all are.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            return Outcome(path, 0, Fate.SKIPPED)
        with open(path, "rb") as stream:
            likely, instance = _identify(stream)
    except OSError as error:
        return failed(path, 0, f"cannot be read: {error.strerror}")
    if everything or (likely and os.path.basename(path).upper() != _DIRECTORY):
        return File(path, status.st_size, instance)
    return Outcome(path, status.st_size, Fate.SKIPPED)


def _identify(stream: BinaryIO) -> tuple[bool, str]:
    """Say if this can be a DICOM file, and its SOPInstanceUID, read as the service reads it."""
    reader = Reader()
    chunk = stream.read(_CHUNK)
    marked = chunk[128:132] == b"DICM"
    try:
        while chunk:
            reader.feed(chunk)
            header = reader.header or reader.beginning
            if header is not None:
                return True, header.instance
            chunk = stream.read(_CHUNK)
        return True, reader.finish().header.instance
    except InvalidInstance:
        return marked, ""


def grouped(entries: Iterable[File | Outcome], limit: int) -> Iterator[Batch | Outcome]:
    """Group files into batches of at most `limit` bytes; pass the rest through.

    An answer names instances, not files: so no two files of a batch have the same SOPInstanceUID, and one whose UID
    cannot be read goes alone, as does one that fills a request by itself.
    """
    files: dict[str, File] = {}
    size = 0
    for entry in entries:
        if isinstance(entry, Outcome):
            yield entry
        elif not entry.instance or entry.size >= limit:
            yield Batch((entry,))
        else:
            if size + entry.size > limit or len(files) == MAX_FILES or entry.instance in files:
                yield Batch(tuple(files.values()))
                files, size = {}, 0
            files[entry.instance] = entry
            size += entry.size
    if files:
        yield Batch(tuple(files.values()))
