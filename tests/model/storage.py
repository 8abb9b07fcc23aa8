"""Storage as values: what a request answers, and what it leaves, without changing what was there before.

Actors ask for requests (`Call`) instead of sending them; whoever runs them decides when each is carried out, and on
what. The rules of the Table service are those of `tests.fake_tables`, which the contract tests hold to Azurite.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dicom_core.storage import rows
from dicom_core.storage.blobs import Blob, Container
from dicom_core.storage.table_service import Action, Conflict, Entity, Operation, Table
from tests.fake_tables import FakeTable, Partition, Service

Result = TypeVar("Result")

_ALL = 1 << 30


@dataclass(frozen=True, slots=True)
class Call:
    """One storage request: of which table or container, what, and with what arguments."""

    store: str
    method: str
    arguments: tuple[Any, ...]

    def __await__(self) -> Generator[Call, Any, Any]:
        """Ask whoever runs the actor; what it sends is the answer."""
        return (yield self)

    @property
    def writes(self) -> bool:
        """Say if the request may change something."""
        return self.method in _WRITES

    def __str__(self) -> str:
        if self.method == "transact":
            partition, operations = self.arguments
            done = ", ".join(f"{one.action.name.lower()} {one.row}{_condition(one)}" for one in operations)
            return f"{self.store}[{partition}]: {done}"
        return f"{self.store}: {self.method} {' '.join(map(str, self.arguments[:2]))}"


def _condition(operation: Operation) -> str:
    return "" if operation.etag is None else f" if {operation.etag}"


@dataclass(frozen=True, slots=True)
class Reply:
    """What a request answered: a value, or an error."""

    value: Any = None
    error: Exception | None = None

    def key(self) -> str:
        """Equal for replies that no actor can tell apart."""
        return repr(self.value) if self.error is None else str(self)

    def __str__(self) -> str:
        return _brief(self.value) if self.error is None else f"{type(self.error).__name__}: {self.error}"


def _brief(value: Any) -> str:
    """A reply as a schedule tells it: of entities what can be read."""
    if isinstance(value, tuple):
        return _brief(value[0]) + (" and more" if value[1] else "")
    if isinstance(value, list):
        return f"[{', '.join(map(_brief, value))}]"
    if isinstance(value, dict):
        return " ".join(str(value[name]) for name in _TOLD if name in value) or "{}"
    return str(value)


_TOLD = ("RowKey", "state", "retired", "version", "claim", "moved", "odata.etag")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Content:
    """What a table or a container holds; two of the same content are the same object (`Contents`)."""

    partitions: Mapping[str, Partition]


class Contents:
    """All contents that were ever seen."""

    def __init__(self, *, nulls: bool, ordered: bool = False) -> None:
        self.nulls = nulls
        """Say if properties that a row lacks are answered as null."""
        self.ordered = ordered
        """Say if times tell in which order the decisions of a study were written, as those of the service do."""
        self.clocks: dict[int, float] = {}
        """The time at which each process writes, by its number."""
        self._known: dict[Any, Content] = {}
        self.empty = self.of({})

    def of(self, partitions: Mapping[str, Partition]) -> Content:
        """The one object of this content."""
        key = tuple(
            (partition, tuple((row, rows[row][1], repr(rows[row][0])) for row in sorted(rows)))
            for partition, rows in sorted(partitions.items())
            if rows
        )
        return self._known.setdefault(key, Content(partitions))

    def carry_out(self, content: Content, call: Call, stamp: int) -> tuple[Reply, Content]:
        """The answer of a request and what it leaves; what it writes gets ETags from the stamp on."""
        changed = dict(content.partitions)
        if call.method == "transact":
            changed[call.arguments[0]] = dict(changed.get(call.arguments[0], {}))
        elif call.writes:
            changed[""] = dict(changed.get("", {}))
        try:
            held = _Held(changed, stamp, self.clocks, self.nulls, self.ordered)
            reply = Reply(_METHODS[call.method](held, *call.arguments))
        except Conflict as conflict:
            return Reply(error=conflict), content
        return reply, self.of(changed) if call.writes else content


@dataclass(frozen=True, slots=True)
class _Held:
    """What a request is carried out on, and the stamp and the times of what is written."""

    partitions: dict[str, Partition]
    stamp: int
    clocks: Mapping[int, float]
    nulls: bool
    ordered: bool

    @property
    def blobs(self) -> Partition:
        """Those of a container."""
        return self.partitions.setdefault("", {})

    def table(self, select: Sequence[str] = ()) -> FakeTable:
        """The rules of the Table service over it."""
        times = {
            ("", partition, row): self._time(properties, stamp)
            for partition, held in (self.partitions.items() if "Timestamp" in select else ())
            for row, (properties, stamp) in held.items()
        }
        tables = {"": self.partitions}
        service = Service(_ALL, self.nulls, _at_once, tables=tables, clock=self.stamp, times=times)
        return service.table("")

    def _time(self, properties: Mapping[str, Any], stamp: int) -> float:
        """When a row was written: by the clock of its writer, or, about then, in the order of the service."""
        clock = self.clocks[writer_of(stamp)]
        return clock // 100 * 100 + properties[_PLACE] / 10_000 if _PLACE in properties else clock

    def order(self, partition: str, operations: Sequence[Operation]) -> None:
        """Note the place of decisions and deletions among those of their study."""
        held = self.partitions[partition]
        place = 1 + max((properties.get(_PLACE, 0) for properties, _ in held.values()), default=0)
        for operation in operations:
            if operation.row.startswith(_ORDERED) and operation.row in held:
                properties, stamp = held[operation.row]
                held[operation.row] = ({**properties, _PLACE: place}, stamp)


_ORDERED = (rows.CHANGE, rows.DELETING)
_PLACE = "~place"
"""A property that no one selects."""


def _get(held: _Held, partition: str, row: str, select: Sequence[str], etag: bool) -> Entity | None:
    return _result(held.table(select).get(partition, row, select, etag=etag))


def _page(
    held: _Held, condition: str, after: tuple[str, str], size: int, select: Sequence[str], etag: bool
) -> tuple[list[Entity], tuple[str, str] | None]:
    query = held.table(select).query(condition, ["PartitionKey", "RowKey", *select], etag=etag)
    rows = [row for row in _result(anext(query)) if (row["PartitionKey"], row["RowKey"]) > after]
    page = rows[:size]
    asked = {*select, "odata.etag"}
    return (
        [{name: value for name, value in row.items() if name in asked} for row in page],
        (page[-1]["PartitionKey"], page[-1]["RowKey"]) if len(rows) > size else None,
    )


def _transact(held: _Held, partition: str, operations: Sequence[Operation]) -> list[str]:
    etags = _result(held.table().transact(partition, operations))
    if held.ordered:
        held.order(partition, operations)
    return etags


def _put(held: _Held, name: str, metadata: Mapping[str, str]) -> None:
    held.blobs.setdefault(name, (dict(metadata), held.stamp))


def _copy(held: _Held, name: str, to: str) -> None:
    held.blobs.setdefault(to, (held.blobs[name][0], held.stamp))


def _delete(held: _Held, name: str) -> None:
    held.blobs.pop(name, None)


def _exists(held: _Held, name: str) -> bool:
    return name in held.blobs


def _list(held: _Held, prefix: str, after: str) -> list[Blob]:
    return [
        Blob(name, 0, held.clocks[writer_of(stamp)], metadata)
        for name, (metadata, stamp) in sorted(held.blobs.items())
        if name.startswith(prefix) and name > after
    ]


_METHODS: Mapping[str, Callable[..., Any]] = {
    "get": _get,
    "page": _page,
    "transact": _transact,
    "put": _put,
    "copy": _copy,
    "delete": _delete,
    "exists": _exists,
    "list": _list,
}
_WRITES = frozenset({"transact", "put", "copy", "delete"})

_OPERATIONS = 128
_REPEATS = 4
_LONGEST = 4096


def stamp_of(process: int, requests: int, repeats: int) -> int:
    """What the ETags of a request begin with: no other request writes the same, whatever the order."""
    assert requests < _LONGEST
    assert repeats < _REPEATS
    return ((process * _LONGEST + requests) * _REPEATS + repeats) * _OPERATIONS


def writer_of(stamp: int) -> int:
    """The process that wrote what has this ETag."""
    return stamp // (_OPERATIONS * _REPEATS * _LONGEST)


async def _at_once() -> None:
    """No one else has a turn."""


def _result(awaitable: Awaitable[Result]) -> Result:
    """The result of what never waits."""
    try:
        next(awaitable.__await__())
    except StopIteration as end:
        result: Result = end.value
        return result
    raise AssertionError("it waits")


class ModelTable(Table):
    """A table that asks."""

    def __init__(self, name: str, page: int) -> None:
        self._name = name
        self._page = page

    async def upsert(self, partition: str, row: str, properties: Mapping[str, Any]) -> None:
        """Insert or replace."""
        await self.transact(partition, [Operation(Action.UPSERT, row, properties)])

    async def get(
        self, partition: str, row: str, select: Sequence[str], *, etag: bool = False
    ) -> Entity | None:
        """Read one entity."""
        found: Entity | None = await Call(self._name, "get", (partition, row, tuple(select), etag))
        return found

    async def query(
        self, condition: str, select: Sequence[str], *, etag: bool = False, most: int | None = None
    ) -> AsyncGenerator[list[Entity], None]:
        """Read what meets a condition; each page is of the moment it is read."""
        size = min(self._page, most or self._page)
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            page, after = await Call(self._name, "page", (condition, after, size, tuple(select), etag))
            yield page

    async def transact(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Carry out a batch, all or nothing."""
        etags: list[str] = await Call(self._name, "transact", (partition, tuple(operations)))
        return etags


class ModelContainer(Container):
    """A container that asks; of its blobs it keeps the names and the metadata."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def put(
        self,
        name: str,
        content: Sequence[bytes],
        metadata: Mapping[str, str] | None = None,
        content_type: str = "",
    ) -> None:
        """Write a blob, unless it is there."""
        await Call(self._name, "put", (name, metadata or {}))

    async def copy(self, name: str, to: str) -> None:
        """Write a blob as another is."""
        await Call(self._name, "copy", (name, to))

    async def exists(self, name: str) -> bool:
        """Say if there is a blob of this name."""
        return bool(await Call(self._name, "exists", (name,)))

    async def delete(self, name: str) -> None:
        """Delete a blob, if it is there."""
        await Call(self._name, "delete", (name,))

    async def blobs(self, prefix: str = "", after: str = "") -> AsyncIterator[Blob]:
        """List blobs."""
        for blob in await Call(self._name, "list", (prefix, after)):
            yield blob
