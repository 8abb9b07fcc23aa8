"""A small Table service in memory: atomic batches, ETags, queries in pages, and a point of pre-emption at each request.

It stands in for `table_service.Table`, so that the order in which concurrent transactions reach the service can be
chosen, and thousands of orders be tried in the time of a few real requests. The contract tests hold it to Azurite.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from dicom_core.storage.blobs import Blob, Container
from dicom_core.storage.hints import Hints
from dicom_core.storage.rest import Client
from dicom_core.storage.table_service import (
    MAX_OPERATIONS,
    Action,
    Conflict,
    Entity,
    Operation,
    Table,
    check,
)
from dicom_core.storage.tables import TableIndex

Partition = dict[str, tuple[dict[str, Any], int]]
"""Rows by key, each with its properties and its version."""

_TOKEN = re.compile(r"'(?:[^']|'')*'|\w+|[()]")
_WORDS = {
    "and": "and",
    "or": "or",
    "not": "not",
    "(": "(",
    ")": ")",
    "PartitionKey": "partition",
    "RowKey": "row",
    "eq": "==",
    "ge": ">=",
    "gt": ">",
    "le": "<=",
    "lt": "<",
}


@dataclass(slots=True)
class Service:
    """The service: its tables, how many rows a page has, and what happens around each request.

    `turn` is awaited before a request is carried out. `written` is called after each that changed something, with the
    table's name, the partition and the operations. `repeated` says if the reply of a batch is lost, so that the
    client sends it again. `nulls` answers for a property that an entity lacks with null. By `now` it notes when an
    entity was written.
    """

    page: int = 1000
    nulls: bool = False
    turn: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)
    written: Callable[[str, str, Sequence[Operation]], None] = lambda name, partition, operations: None
    repeated: Callable[[], bool] = lambda: False
    now: Callable[[], float] = time.time
    tables: dict[str, dict[str, Partition]] = field(default_factory=dict)
    clock: int = 0
    requests: int = 0
    times: dict[tuple[str, str, str], float] = field(default_factory=dict)
    instances: FakeContainer = field(default_factory=lambda: FakeContainer())
    derived: FakeContainer = field(default_factory=lambda: FakeContainer())

    def table(self, name: str) -> FakeTable:
        """One table."""
        return FakeTable(self, name)

    def index(self, retention: float = 3600.0) -> TableIndex:
        """The adapter under test, over this service."""
        index = TableIndex(cast(Client, None), self.instances, self.derived, retention)
        index._studies, index._pending = self.table("studies"), self.table("pending")
        index._search, index._due = self.table("search"), self.table("due")
        index._tell_by(self.table("feed"))
        index._hints = Hints(index._studies, index._pending, index.index)
        return index

    def rows(self, name: str, partition: str) -> Partition:
        """The rows of a partition."""
        return self.tables.setdefault(name, {}).setdefault(partition, {})


class FakeTable(Table):
    """A table of the service."""

    def __init__(self, service: Service, name: str) -> None:
        self._service = service
        self._name = name

    async def upsert(self, partition: str, row: str, properties: Mapping[str, Any]) -> None:
        """Insert or replace."""
        await self._turn()
        self._carry_out(partition, [Operation(Action.UPSERT, row, properties)])

    async def get(
        self, partition: str, row: str, select: Sequence[str], *, etag: bool = False
    ) -> Entity | None:
        """Read one entity."""
        await self._turn()
        found = self._service.rows(self._name, partition).get(row)
        return None if found is None else self._selected(partition, row, found, select, etag)

    async def query(
        self, condition: str, select: Sequence[str], *, etag: bool = False, most: int | None = None
    ) -> AsyncGenerator[list[Entity], None]:
        """Read what meets a condition; each page is of the moment it is read."""
        meets = _compiled(condition)
        size = min(self._service.page, most or self._service.page)
        last = ("", "")
        while True:
            await self._turn()
            partitions = self._service.tables.get(self._name, {})
            following = (
                (partition, row)
                for partition in sorted(partitions)
                if partition >= last[0]
                for row in sorted(partitions[partition])
                if (partition, row) > last and meets(partition, row, partitions[partition][row][0])
            )
            keys = list(islice(following, size + 1))
            more, keys = len(keys) > size, keys[:size]
            yield [
                self._selected(partition, row, partitions[partition][row], select, etag)
                for partition, row in keys
            ]
            if not more:
                return
            last = keys[-1]

    async def transact(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Carry out a batch, all or nothing; twice, if the reply is lost."""
        if len(operations) > MAX_OPERATIONS or len({operation.row for operation in operations}) < len(
            operations
        ):
            raise ValueError("a batch has too many operations, or two on one entity")
        if self._service.repeated():
            await self._turn()
            with suppress(Conflict):
                self._carry_out(partition, operations)
        await self._turn()
        return self._carry_out(partition, operations)

    async def _turn(self) -> None:
        self._service.requests += 1
        await self._service.turn()

    def _carry_out(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        rows = self._service.rows(self._name, partition)
        for index, operation in enumerate(operations):
            check(partition, operation.row, operation.properties)
            if status := _refused(rows.get(operation.row), operation):
                raise Conflict(index, status)
        etags = []
        for operation in operations:
            self._service.clock += 1
            self._service.times[self._name, partition, operation.row] = self._service.now()
            if operation.action is Action.DELETE:
                del rows[operation.row]
                etags.append("")
            elif operation.action is Action.MERGE:
                merged = rows[operation.row][0] | dict(operation.properties)
                rows[operation.row] = (merged, self._service.clock)
                etags.append(_etag(self._service.clock))
            else:
                rows[operation.row] = (dict(operation.properties), self._service.clock)
                etags.append(_etag(self._service.clock))
        self._service.written(self._name, partition, operations)
        return etags

    def _selected(
        self, partition: str, row: str, found: tuple[dict[str, Any], int], select: Sequence[str], etag: bool
    ) -> Entity:
        entity = {"PartitionKey": partition, "RowKey": row, **found[0]}
        chosen = {name: entity[name] for name in select if name in entity}
        if "Timestamp" in select:
            written = datetime.fromtimestamp(self._service.times.get((self._name, partition, row), 0), UTC)
            chosen["Timestamp"] = f"{written:%Y-%m-%dT%H:%M:%S.%f}0Z"
        if self._service.nulls:
            chosen = dict.fromkeys(select) | chosen
        return {**chosen, "odata.etag": _etag(found[1])} if etag else chosen


class FakeContainer(Container):
    """A container in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    async def put(
        self,
        name: str,
        content: Sequence[bytes],
        metadata: Mapping[str, str] | None = None,
        content_type: str = "",
    ) -> None:
        """Keep the bytes."""
        self._blobs.setdefault(name, b"".join(content))

    async def blobs(self, prefix: str = "", after: str = "") -> AsyncIterator[Blob]:
        """List the blobs."""
        for name in sorted(self._blobs):
            if name.startswith(prefix) and name > after:
                yield Blob(name, len(self._blobs[name]), 0.0, {})

    async def delete(self, name: str) -> None:
        """Forget the bytes."""
        self._blobs.pop(name, None)

    async def get(
        self, name: str, start: int, length: int | None, missing: Exception
    ) -> AsyncIterator[bytes]:
        """Read bytes."""
        if name not in self._blobs:
            raise missing
        return _once(self._blobs[name][start : None if length is None else start + length])


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _etag(version: int) -> str:
    return f'W/"{version}"'


def _refused(row: tuple[dict[str, Any], int] | None, operation: Operation) -> int:
    """The status that an operation fails with; 0 if it does not."""
    if operation.action is Action.INSERT:
        return 409 if row is not None else 0
    if operation.etag is None:
        return 0
    if row is None:
        return 404
    return 412 if operation.etag not in ("*", _etag(row[1])) else 0


@lru_cache(1000)
def _compiled(condition: str) -> Callable[[str, str, Mapping[str, Any]], bool]:
    """A filter of the Table service as a function of the keys and the properties, which are texts."""
    assert condition.count(" eq ") + condition.count(" ge ") + condition.count(" lt ") <= 15
    words = [
        repr(token[1:-1].replace("''", "'"))
        if token[0] == "'"
        else _WORDS.get(token, f"properties.get('{token}', '')")
        for token in _TOKEN.findall(condition)
    ]
    code = f"lambda partition, row, properties: {' '.join(words)}"
    return cast(Callable[[str, str, Mapping[str, Any]], bool], eval(code))
