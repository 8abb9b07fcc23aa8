"""What a rebuild has come to so far: counted, told, and kept in a file to go on from."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dicom_core.storage.rebuilding import Fate, Seen

_TOLD = {Fate.UNREADABLE, Fate.SUPERSEDED, Fate.FOREIGN}
"""Fates of blobs that a person may want to look at: they are named one by one."""


class CheckpointError(Exception):
    """The file to go on from is of something else, or cannot be used; the message is one sentence."""


@dataclass(slots=True)
class Summary:
    """What became of the blobs; `after` is the name up to which all are done, the total 0 until it is known."""

    counts: Counter[Fate] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    after: str = ""
    length: int = 0
    total: int = 0
    total_length: int = 0

    def add(self, seen: Seen) -> None:
        """Count a blob, and remember it if someone may want to look at it."""
        self.counts[seen.fate] += 1
        self.length += seen.blob.length
        if seen.fate in _TOLD:
            self.told.append(": ".join(filter(None, (seen.fate, seen.blob.name, seen.reason))))

    @property
    def blobs(self) -> int:
        """How many blobs have been seen."""
        return self.counts.total()

    def __str__(self) -> str:
        numbers = [f"{'blobs seen':<40}{self.blobs:>12,}"]
        numbers += [f"{fate:<40}{self.counts[fate]:>12,}" for fate in Fate if self.counts[fate]]
        return "\n".join([*self.told, *numbers])


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A file that says how far a rebuild is, and of what.

    A file and no blob: it only saves time, since what is restored already is passed over, and blobs of the service
    are written once.
    """

    path: Path
    account: str
    prefix: str

    def load(self) -> Summary:
        """What an earlier run has come to; nothing if there is no file.

        Raises
        ------
        CheckpointError
            The file is of another account or partition, or is no checkpoint.
        """
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
            if (kept["account"], kept["prefix"]) != (self.account, self.prefix):
                raise CheckpointError(
                    f"{self.path} is of {kept['account']}, partition {kept['prefix'] or 'any'}."
                )
            counts = Counter({Fate(name): number for name, number in kept["counts"].items()})
            return Summary(counts, kept["told"], kept["after"], kept["length"])
        except FileNotFoundError:
            return Summary()
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be read: {error.strerror}.") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{self.path} is no file that a rebuild wrote.") from error

    def save(self, summary: Summary) -> None:
        """Keep how far it is; a crash leaves the file as it was or as it will be.

        Raises
        ------
        CheckpointError
            The file cannot be written.
        """
        kept = {
            "account": self.account,
            "prefix": self.prefix,
            "after": summary.after,
            "counts": summary.counts,
            "told": summary.told,
            "length": summary.length,
        }
        fresh = self.path.with_name(f"{self.path.name}.new")
        try:
            fresh.write_text(json.dumps(kept), encoding="utf-8")
            os.replace(fresh, self.path)
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written: {error.strerror}.") from error

    def remove(self) -> None:
        """All is done."""
        self.path.unlink(missing_ok=True)
