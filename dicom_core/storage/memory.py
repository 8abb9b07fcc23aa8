"""The ports in memory: the shortest thing that keeps their promises, and so the oracle of the other adapters."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from dicom_core import access_paths, record
from dicom_core.changes import Action, Change
from dicom_core.errors import ResourceNotFound, StorageUnavailable
from dicom_core.ports import Committed, Dropped, Outcome, Packed, Transaction
from dicom_core.query import Page, Query
from dicom_core.record import Columns, Dataset, Instance
from dicom_core.resources import Level, Resource
from dicom_core.tasks import Load, Position, Saved, Task

_CHUNK = 1 << 16


class MemoryStore:
    """`InstanceStore` over a dict."""

    def __init__(self) -> None:
        self.blobs: dict[tuple[str, str], bytes] = {}
        self._blocks: dict[tuple[str, str], dict[int, bytes]] = {}

    async def put(self, resource: Resource, version: str, content: Sequence[bytes]) -> None:
        """Keep the bytes."""
        self.blobs.setdefault((resource.partition, version), b"".join(content))

    async def stage(self, resource: Resource, version: str, number: int, content: Sequence[bytes]) -> None:
        """Keep a block where `get` does not look."""
        self._blocks.setdefault((resource.partition, version), {})[number] = b"".join(content)

    async def assemble(self, resource: Resource, version: str, blocks: int) -> None:
        """Join the blocks."""
        staged = self._blocks.pop((resource.partition, version))
        await self.put(resource, version, [staged[number] for number in range(blocks)])

    async def copy(self, resource: Resource, version: str, to: str) -> None:
        """Keep the bytes under another version as well."""
        self.blobs[resource.partition, to] = self.blobs[resource.partition, version]

    async def get(
        self, partition: str, version: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Read bytes in chunks."""
        if (partition, version) not in self.blobs:
            raise StorageUnavailable("the bytes of an instance are missing from storage")
        content = self.blobs[partition, version]
        return _chunks(content[start : None if length is None else start + length])


class MemoryRenditions:
    """`Renditions` over a dict."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], bytes] = {}

    async def put(self, resource: Resource, version: str, name: str, content: bytes) -> None:
        """Keep the bytes."""
        self.kept.setdefault((resource.partition, version, name), content)

    async def get(self, resource: Resource, version: str, name: str) -> AsyncIterator[bytes] | None:
        """Read bytes in chunks."""
        content = self.kept.get((resource.partition, version, name))
        return None if content is None else _chunks(content)


class MemoryIndex:
    """`StudyIndex` over a dict; every call is atomic because none of them waits."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], dict[tuple[str, str], Instance]] = {}
        self.changes: list[Change] = []

    async def begin(self, transaction: Transaction, attributes: Mapping[Level, Dataset] | None) -> None:
        """Nothing to journal: a search looks at every study."""

    async def commit(
        self,
        transaction: Transaction,
        instances: Sequence[Instance],
        *,
        upsert: bool,
        dropped: Sequence[str] = (),
    ) -> Mapping[str, Committed]:
        """Keep the rows that nothing stands in the way of."""
        rows = self.rows.setdefault((transaction.partition, transaction.study), {})
        outcomes: dict[str, Committed] = {}
        for instance in instances:
            key = (instance.series, instance.instance)
            standing = rows.get(key)
            outcome = _outcome(instance, standing, upsert)
            if outcome is Outcome.STORED:
                rows[key] = instance
                self._tell(Action.CREATE if standing is None else Action.UPDATE, instance)
            outcomes[instance.version] = Committed(outcome, standing.version if standing else None)
        return outcomes

    async def remove(self, transaction: Transaction, resource: Resource) -> int:
        """Forget the rows in scope."""
        rows = self.rows.get((transaction.partition, transaction.study), {})
        gone = [key for key in rows if _in_scope(key, resource)]
        for key in sorted(gone):
            self._tell(Action.DELETE, rows.pop(key))
        return len(gone)

    async def records(self, resource: Resource, columns: Columns) -> list[Instance]:
        """Rows in scope, in the order of their keys, with all their columns."""
        assert resource.study is not None
        rows = self.rows.get((resource.partition, resource.study), {})
        return [rows[key] for key in sorted(rows, key="|".join) if _in_scope(key, resource)]

    async def remembers(self, resource: Resource) -> bool:
        """Nothing is remembered."""
        return False

    async def packed(self, resource: Resource) -> Sequence[Packed]:
        """Nothing is packed."""
        return ()

    async def read_packed(self, packed: Packed) -> AsyncIterator[bytes]:
        """Nothing is packed."""
        raise StorageUnavailable("packed metadata are missing from storage")

    async def search(self, query: Query) -> Page:
        """Evaluate every study."""
        path = access_paths.choose(query)
        found: list[tuple[str, list[Dataset]]] = []
        for partition, study in self.rows:
            if partition == query.resource.partition and (query.studies is None or study in query.studies):
                rows = await self.records(record.scope(query, study), record.columns(query))
                found += record.found(rows, query, path)
        return record.cut([dataset for _, datasets in sorted(found) for dataset in datasets], query)

    async def refresh(self, partition: str, transaction: str) -> None:
        """Nothing has to be indexed."""

    async def sweep(self) -> None:
        """Nothing is left to finish."""

    def _tell(self, action: Action, instance: Instance) -> None:
        now = datetime.now(UTC)
        time = max(now, self.changes[-1].time + timedelta(microseconds=1)) if self.changes else now
        sequence = len(self.changes) + 1
        self.changes.append(
            Change(sequence, time, action, instance.resource, instance.version, instance.sop_class)
        )


class MemoryFeed:
    """`ChangeFeed` over the changes that an index lists."""

    def __init__(self, index: MemoryIndex | None = None) -> None:
        self._changes: list[Change] = [] if index is None else index.changes

    async def after(self, sequence: int, most: int) -> list[Change]:
        """Cut them out of the list."""
        return self._changes[sequence : sequence + most]

    async def between(
        self, start: datetime | None, end: datetime | None, offset: int, most: int
    ) -> list[Change]:
        """Look at all of them; a clock never goes back here."""
        found = [
            change
            for change in self._changes
            if (start is None or start <= change.time) and (end is None or change.time < end)
        ]
        return found[offset : offset + most]

    async def of_study(self, partition: str, study: str, first: int, last: int, most: int) -> list[Change]:
        """Look at all of them."""
        found = [
            change
            for change in self._changes[max(first - 1, 0) : last]
            if (change.resource.partition, change.resource.study) == (partition, study)
        ]
        return found[:most]

    async def latest(self) -> Change | None:
        """The last of the list."""
        return self._changes[-1] if self._changes else None


class MemoryDeliveries:
    """`Deliveries` over dicts; what is stored has a number for a version."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.names = names
        self._positions: dict[str, Position] = {}
        self._tasks: dict[str, dict[tuple[str, str], Task]] = {}
        self._writes = 0

    async def position(self, subscriber: str) -> Position | None:
        """Look it up."""
        return self._positions.get(subscriber)

    async def due(self, subscriber: str, now: datetime, most: int) -> tuple[Position | None, list[Task]]:
        """Look at every task."""
        due = [task for task in self._of(subscriber).values() if not task.failed and task.due <= now]
        return self._positions.get(subscriber), due[:most]

    async def find(self, subscriber: str, keys: Sequence[tuple[str, str]]) -> list[Task]:
        """Look the keys up."""
        tasks = self._of(subscriber)
        return [tasks[key] for key in keys if key in tasks]

    async def save(
        self, subscriber: str, tasks: Sequence[Task], position: Position | None = None
    ) -> Saved | None:
        """Compare the versions first."""
        kept, at = self._of(subscriber), self._positions.get(subscriber)
        stale = position is not None and position.version != (at.version if at else "")
        if stale or any(task.version != self._version(subscriber, task) for task in tasks):
            return None
        if position is not None:
            position = self._positions[subscriber] = replace(position, version=self._next())
        saved = [replace(task, version=self._next()) for task in tasks]
        kept.update((task.key, task) for task in saved)
        return Saved(saved, position)

    async def drop(self, subscriber: str, task: Task) -> bool:
        """Forget one of this version."""
        if self._version(subscriber, task) not in ("", task.version):
            return False
        self._of(subscriber).pop(task.key, None)
        return True

    async def failures(self, subscriber: str, offset: int, most: int) -> list[Task]:
        """Look at every task."""
        tasks = self._of(subscriber)
        return [tasks[key] for key in sorted(tasks) if tasks[key].failed][offset : offset + most]

    async def load(self, subscriber: str) -> Load:
        """Count."""
        failed = sum(task.failed for task in self._of(subscriber).values())
        return Load(len(self._of(subscriber)) - failed, failed)

    def _of(self, subscriber: str) -> dict[tuple[str, str], Task]:
        return self._tasks.setdefault(subscriber, {})

    def _version(self, subscriber: str, task: Task) -> str:
        kept = self._of(subscriber).get(task.key)
        return kept.version if kept else ""

    def _next(self) -> str:
        self._writes += 1
        return str(self._writes)


class MemoryDropZone:
    """`DropZone` over a dict."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.rejected: dict[str, tuple[bytes, bytes]] = {}

    async def find(self, name: str) -> Dropped | None:
        """Look at a file; its digest is its state."""
        content = self.files.get(name)
        return None if content is None else Dropped(name, len(content), sha256(content).hexdigest())

    async def get(self, file: Dropped) -> AsyncIterator[bytes]:
        """Read a file in chunks."""
        if await self.find(file.name) != file:
            raise ResourceNotFound("the file is gone, or another took its place")
        return _chunks(self.files[file.name])

    async def remove(self, file: Dropped) -> None:
        """Forget a file."""
        if await self.find(file.name) == file:
            del self.files[file.name]

    async def reject(self, file: Dropped, reason: bytes) -> None:
        """Keep a file, and why, where `find` does not look."""
        await self.get(file)
        content = self.files[file.name]
        name = f"{file.state}/{file.name}" if file.name in self.rejected else file.name
        self.rejected[name] = (content, reason)
        await self.remove(file)

    async def waiting(self, age: float) -> AsyncIterator[str]:
        """All of them, whatever their age."""
        for name in sorted(self.files):
            yield name


def _outcome(instance: Instance, standing: Instance | None, upsert: bool) -> Outcome:
    if standing is None:
        return Outcome.STORED
    if upsert:
        return Outcome.OVERTAKEN if standing.version > instance.version else Outcome.STORED
    return Outcome.IDENTICAL if standing.digest == instance.digest else Outcome.DIFFERENT


def _in_scope(key: tuple[str, str], resource: Resource) -> bool:
    series, instance = key
    return resource.series in (None, series) and resource.instance in (None, instance)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), _CHUNK):
        yield content[start : start + _CHUNK]
