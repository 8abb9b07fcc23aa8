"""What the transactions need of a storage: its ports, and the values that cross them.

Adapters: `storage.blobs` and `storage.tables` over an Azure Storage account, `storage.memory` as the oracle.
The promises behind the ports (nothing lost, read your writes, atomic per study) are in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol

from dicom_core.changes import Change
from dicom_core.query import Page, Query
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Level, Resource
from dicom_core.tasks import Load, Position, Saved, Task


@dataclass(frozen=True, slots=True)
class Transaction:
    """One (request, study) transaction: what becomes visible, or does not, at once."""

    name: str
    study: str
    partition: str


class Outcome(Enum):
    """What became of one version in a commit."""

    STORED = "stored"
    IDENTICAL = "identical"  # the same bytes are stored under the same UIDs already
    DIFFERENT = "different"  # other bytes are stored under the same UIDs
    OVERTAKEN = "overtaken"  # an upsert met a version of a later name: store again under a later one


@dataclass(frozen=True, slots=True)
class Committed:
    """The outcome for one version, and the version that stood in its way, if one did."""

    outcome: Outcome
    standing: str | None = None


@dataclass(frozen=True, slots=True)
class Packed:
    """The metadata of a series in one piece: a gzipped JSON array, a line for each instance.

    `version` is that of `record.version`, `base_url` what its URLs begin with.
    """

    partition: str
    name: str
    version: str
    base_url: str


class InstanceStore(Protocol):
    """Keeps the bytes of instances as they were received, by partition and version."""

    async def put(self, resource: Resource, version: str, content: Sequence[bytes]) -> None:
        """Store the bytes of an instance in one write; the pieces are joined in order."""

    async def stage(self, resource: Resource, version: str, number: int, content: Sequence[bytes]) -> None:
        """Store one block (from 0) of an instance too large for one write; invisible until assembled."""

    async def assemble(self, resource: Resource, version: str, blocks: int) -> None:
        """Make the staged blocks, in their order, the bytes of the instance."""

    async def copy(self, resource: Resource, version: str, to: str) -> None:
        """Store the bytes of a version under another version's name as well."""

    async def get(
        self, partition: str, version: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Begin to read bytes; returns when they begin to come, so that a failure can still be answered."""


class Renditions(Protocol):
    """Keeps what took long to render of a version, under a name of the rendition, as long as the version is kept."""

    async def put(self, resource: Resource, version: str, name: str, content: bytes) -> None:
        """Keep a rendition; one of this name that is there already stays."""

    async def get(self, resource: Resource, version: str, name: str) -> AsyncIterator[bytes] | None:
        """Begin to read a rendition; None if it is not kept."""


class StudyIndex(Protocol):
    """Keeps the record, and finds studies in it."""

    async def begin(self, transaction: Transaction, attributes: Mapping[Level, Dataset] | None) -> None:
        """Journal a transaction before it may leave anything behind.

        Parameters
        ----------
        attributes
            What searches the study may come to match by this transaction; None if by anything. A second call for
            the same transaction replaces the first.
        """

    async def commit(
        self,
        transaction: Transaction,
        instances: Sequence[Instance],
        *,
        upsert: bool,
        dropped: Sequence[str] = (),
    ) -> Mapping[str, Committed]:
        """Make instances visible, all that can be at once; the outcome by version.

        Parameters
        ----------
        upsert
            Replace what stands under the same UIDs (PUT) instead of refusing it (POST).
        dropped
            Versions of this transaction that must never become visible.
        """

    async def remove(self, transaction: Transaction, resource: Resource) -> int:
        """Remove a study, series or instance from the record, at once for every reader; how many instances."""

    async def records(self, resource: Resource, columns: Columns) -> list[Instance]:
        """Read the rows of a study, a series or one instance, in the order of their UIDs."""

    async def remembers(self, resource: Resource) -> bool:
        """Say if what is not there was, until it was deleted not long ago."""

    async def packed(self, resource: Resource) -> Sequence[Packed]:
        """The packed metadata of a series, or of all of a study in their order; nothing if some are not packed."""

    async def read_packed(self, packed: Packed) -> AsyncIterator[bytes]:
        """Begin to read packed metadata."""

    async def search(self, query: Query) -> Page:
        """Find what matches; exact at the moment of the call, counts included."""

    async def refresh(self, partition: str, transaction: str) -> None:
        """Take a hint that blobs of a transaction have come; never commits anything, and may do nothing."""

    async def sweep(self) -> None:
        """Finish what others left: index what was stored, decide what was broken off; run by a timer."""


class ChangeFeed(Protocol):
    """Tells every change once, in one order for all; each read tells what was committed before it was called."""

    async def after(self, sequence: int, most: int) -> list[Change]:
        """The changes that follow a sequence number, in their order; at most so many."""

    async def between(
        self, start: datetime | None, end: datetime | None, offset: int, most: int
    ) -> list[Change]:
        """The changes of the times from `start`, and before `end`, less the first `offset`; at most so many.

        No later change will have a time before `end`, if that is not in the future.
        """

    async def of_study(self, partition: str, study: str, first: int, last: int, most: int) -> list[Change]:
        """The changes of a study from one sequence number to another, both included; at most so many."""

    async def latest(self) -> Change | None:
        """The change told last; None if none ever was."""


class Deliveries(Protocol):
    """Keeps how far each subscriber of the change feed has got, and its tasks.

    `names` are those of the subscribers that there are.
    """

    @property
    def names(self) -> Sequence[str]:
        """Names of the subscribers."""

    async def position(self, subscriber: str) -> Position | None:
        """The position; None of a subscriber that is new."""

    async def due(self, subscriber: str, now: datetime, most: int) -> tuple[Position | None, list[Task]]:
        """The position, and tasks that are due, in no order; at most so many."""

    async def find(self, subscriber: str, keys: Sequence[tuple[str, str]]) -> list[Task]:
        """Those tasks that there are, by partition and study."""

    async def save(
        self, subscriber: str, tasks: Sequence[Task], position: Position | None = None
    ) -> Saved | None:
        """Keep up to `tasks.AT_ONCE` tasks and a position, each in the place of what was read; all, or None."""

    async def drop(self, subscriber: str, task: Task) -> bool:
        """Forget a task; False if it is another by now."""

    async def failures(self, subscriber: str, offset: int, most: int) -> list[Task]:
        """The tasks that failed, in the order of their keys, less the first `offset`; at most so many."""

    async def load(self, subscriber: str) -> Load:
        """How many tasks there are."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file in the drop zone; `state` tells it from another that takes its place under the same name."""

    name: str
    length: int
    state: str


class DropZone(Protocol):
    """Where files are put that shall be stored; others write to it, and what was rejected stays beside it."""

    async def find(self, name: str) -> Dropped | None:
        """Look at a file; None if it is gone, or was rejected."""

    async def get(self, file: Dropped) -> AsyncIterator[bytes]:
        """Begin to read a file.

        Raises
        ------
        ResourceNotFound
            It is gone, or another took its place.
        """

    async def remove(self, file: Dropped) -> None:
        """Remove a file, unless it is gone or another took its place."""

    async def reject(self, file: Dropped, reason: bytes) -> None:
        """Move a file out of the way, with a JSON text beside it that says why; raises as `get`."""

    def waiting(self, age: float) -> AsyncIterator[str]:
        """Names of the files that were put there so many seconds ago, or earlier."""


@dataclass(frozen=True, slots=True)
class Stores:
    """The ports that a transaction is given."""

    instances: InstanceStore
    index: StudyIndex
    drop_zone: DropZone
    renditions: Renditions
    feed: ChangeFeed
    deliveries: Deliveries
