"""Rows of the table `feed`: how what has been told lies in it.

    PartitionKey feed
      head                      the last sequence number, a time after which all that follows is told, the last change
      id|{transaction}|{piece}  this piece of this transaction has been told; kept for good
      id|{version}|0            so has this version, which a rebuild has restored; kept for good
      e|{last sequence}         changes of one study: time of the last, partition, study, number, and a gzipped list
      h|{inverted minute}       a sequence number that was told before all of that minute

An entry is keyed by its last number, so that those from some number on are one range. The changes of a batch have times
a microsecond apart, so that no two changes have the same: who goes on after a time misses none.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import orjson

from dicom_core.changes import Action as Done
from dicom_core.changes import Change
from dicom_core.resources import Resource
from dicom_core.storage import rows
from dicom_core.storage.table_service import (
    MAX_BATCH_BYTES,
    MAX_OPERATIONS,
    Action,
    Entity,
    Operation,
    literal,
)

FEED = "feed"
"""The one partition."""

MOST = 5_000
"""Changes of one piece, and of one entry: with the longest UIDs about 0.4 MB, of 1 MiB that an entity takes."""

HEAD = "head"
HEAD_COLUMNS = ("sequence", "time", "minute", "last")
CHANGES = ("RowKey", "time", "partition", "study", *(f"changes{part}" for part in range(rows.PARTS)))
TICK = timedelta(microseconds=1)
"""From the time of a change to that of the next, at the least."""

_LEADING = 2
"""Operations that come first in each batch: the head, and the minute."""

_HEAVY = MAX_BATCH_BYTES * 3 // 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MINUTE = 10**9


class Told(NamedTuple):
    """A change, of a study that is known."""

    action: str
    series: str
    instance: str
    version: str
    sop_class: str


@dataclass(frozen=True, slots=True)
class Piece:
    """What is told of a transaction at once: all but of those of more than `MOST` changes.

    Of one that a rebuild restores, each version is told for itself, and gives the piece its name.
    """

    transaction: str
    number: int
    partition: str
    study: str
    changes: Sequence[Told]

    @property
    def key(self) -> str:
        """Key of the row that says that it was told."""
        return told_key(self.transaction, self.number)


@dataclass(frozen=True, slots=True)
class Head:
    """Where the ledger ends; what follows is told after `time`.

    `minute` is the key of the last minute that has a row, `last` the change told last.
    """

    sequence: int = 0
    time: datetime = _EPOCH
    minute: str = ""
    last: str = ""
    etag: str | None = None

    @classmethod
    def from_entity(cls, row: Entity) -> Head:
        """The head of a row."""
        told = datetime.fromisoformat(row["time"])
        return cls(int(row["sequence"]), told, row["minute"], row["last"], row["odata.etag"])

    def operation(self) -> Operation:
        """Write it in the place of what was read."""
        told = {"time": text(self.time), "minute": self.minute, "last": self.last}
        properties = {**numbered(self.sequence), **told}
        return Operation(Action.INSERT if self.etag is None else Action.UPSERT, HEAD, properties, self.etag)

    def change(self) -> Change | None:
        """The change told last."""
        if not self.last:
            return None
        told, partition, study, *change = orjson.loads(self.last)
        return _change(self.sequence, datetime.fromisoformat(told), partition, study, Told(*change))


def batches(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Cut pieces into what one batch takes each; the pieces of a transaction stay together as far as they can."""
    batch: list[Piece] = []
    for _, group in groupby(pieces, key=attrgetter("transaction")):
        together = list(group)
        if batch and not fit([*batch, *together]):
            yield batch
            batch = []
        for piece in together:
            if batch and not fit([*batch, piece]):
                yield batch
                batch = []
            batch.append(piece)
    if batch:
        yield batch


def fit(pieces: Sequence[Piece]) -> bool:
    """Say if one batch takes pieces."""
    operations = _LEADING + len(pieces) + sum(1 for _ in _entries(pieces))
    return operations <= MAX_OPERATIONS and sum(map(_weight, pieces)) <= _HEAVY


def ending(head: Head, pieces: Sequence[Piece], now: datetime) -> datetime:
    """The time of the last change of some pieces: now, or later if the first would not be later than what was told."""
    return max(now, head.time + sum(len(piece.changes) for piece in pieces) * TICK)


def telling(head: Head, pieces: Sequence[Piece], at: datetime) -> list[Operation]:
    """The batch that tells pieces, the last change at a time; first the head: its failure is the one reported."""
    sequence, told = head.sequence, at - sum(len(piece.changes) for piece in pieces) * TICK
    operations = [Operation(Action.INSERT, piece.key) for piece in pieces]
    minute = minute_key(at)
    if minute != head.minute:
        operations.append(Operation(Action.UPSERT, minute, numbered(sequence)))
    for entry in _entries(pieces):
        changes = [change for piece in entry for change in piece.changes]
        sequence += len(changes)
        told += len(changes) * TICK
        properties = {
            "time": text(told),
            "partition": entry[0].partition,
            "study": entry[0].study,
            "count": len(changes),
            **rows.packed("changes", gzip.compress(orjson.dumps(changes, default=tuple), 6, mtime=0)),
        }
        operations.append(Operation(Action.INSERT, entry_key(sequence), properties))
    final = pieces[-1]
    last = orjson.dumps([text(at), final.partition, final.study, *final.changes[-1]]).decode()
    return [Head(sequence, at, minute, last, head.etag).operation(), *operations]


def _entries(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Join pieces of one study that follow each other."""
    entry: list[Piece] = []
    size = 0
    for piece in pieces:
        size += len(piece.changes)
        if entry and ((piece.partition, piece.study) != (entry[0].partition, entry[0].study) or size > MOST):
            yield entry
            entry, size = [], len(piece.changes)
        entry.append(piece)
    if entry:
        yield entry


def changes(row: Entity) -> Iterator[Change]:
    """The changes of an entry."""
    listed = orjson.loads(gzip.decompress(rows.unpacked("changes", row)))
    last, told = sequence_of(row), datetime.fromisoformat(row["time"])
    for later, change in zip(reversed(range(len(listed))), listed, strict=True):
        yield _change(last - later, told - later * TICK, row["partition"], row["study"], Told(*change))


def told_before(row: Entity, start: datetime) -> int:
    """The last sequence number that was told before a time, by the entry that holds the first told since."""
    since = (datetime.fromisoformat(row["time"]) - start) // TICK + 1
    return sequence_of(row) - min(since, int(row["count"]))


def _change(sequence: int, told: datetime, partition: str, study: str, change: Told) -> Change:
    resource = Resource(study, change.series, change.instance, partition)
    return Change(sequence, told, Done(change.action), resource, change.version, change.sop_class or None)


def _weight(piece: Piece) -> int:
    """About how many bytes a piece takes in a batch, at the most."""
    return 1024 + 110 * len(piece.changes)


def from_sequence(sequence: int) -> str:
    """Condition for the entries from the one that holds a sequence number on."""
    first, last = literal(entry_key(sequence)), literal("e|~")
    return f"PartitionKey eq {literal(FEED)} and RowKey ge {first} and RowKey lt {last}"


def sequence_of(row: Entity) -> int:
    """The last sequence number of an entry."""
    return int(row["RowKey"].removeprefix("e|"))


def entry_key(sequence: int) -> str:
    """Key of an entry by its last sequence number."""
    return f"e|{sequence:016d}"


def told_key(transaction: str, number: int) -> str:
    """Key of the row that says that a piece of a transaction was told."""
    return f"id|{transaction}|{number}"


def minute_key(at: datetime) -> str:
    """Key of a minute; later ones sort first."""
    return f"h|{_LAST_MINUTE - int(at.timestamp()) // 60:010d}"


def numbered(sequence: int) -> Entity:
    """A sequence number as a property."""
    return {"sequence": str(sequence), "sequence@odata.type": "Edm.Int64"}


def text(at: datetime) -> str:
    """A time as text that sorts as times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
