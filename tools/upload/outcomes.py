"""What became of the files: one by one, and all together."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class Fate(StrEnum):
    """What may become of a file; the text is its line of the summary."""

    STORED = "stored"
    WARNED = "stored with a warning"
    IDENTICAL = "already there, identical"
    SKIPPED = "skipped, not DICOM"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file; `code` is the Failure Reason or Warning Reason in hex, if the service gave one."""

    path: str
    size: int
    fate: Fate
    reason: str = ""
    code: str = ""
    comments: tuple[str, ...] = ()

    def __str__(self) -> str:
        code = f" ({self.code})" if self.code else ""
        reason = f": {self.reason}{code}" if self.reason else ""
        return ": ".join((f"{self.fate} {shown(self.path)}{reason}", *self.comments))

    def json(self) -> str:
        """One line of the file of failures; paths that are no text are escaped as Python does."""
        values = {"file": self.path, "code": self.code, "reason": self.reason, "comments": self.comments}
        return json.dumps(values)


@dataclass(slots=True)
class Summary:
    """What became of all files so far; the totals are 0 until they are known."""

    counts: Counter[Fate] = field(default_factory=Counter)
    failures: list[Outcome] = field(default_factory=list)
    bytes_done: int = 0
    total_files: int = 0
    total_bytes: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a file, and remember it if it failed."""
        self.counts[outcome.fate] += 1
        self.bytes_done += outcome.size
        if outcome.fate is Fate.FAILED:
            self.failures.append(outcome)

    @property
    def files_done(self) -> int:
        """How many files there is an outcome of."""
        return self.counts.total()

    def __str__(self) -> str:
        numbers = [
            f"{fate:<26}{self.counts[fate]:>10,}" for fate in Fate if self.counts[fate] or fate is Fate.STORED
        ]
        return "\n".join([*map(str, self.failures), *numbers])


def failed(path: str, size: int, reason: str, *comments: str) -> Outcome:
    """The outcome of a file for which the service gave no Failure Reason."""
    return Outcome(path, size, Fate.FAILED, reason, comments=comments)


def shown(path: str) -> str:
    """A path as it can be printed, whatever its bytes are."""
    return os.fsencode(path).decode(errors="backslashreplace")
