"""What subscribers of the change feed still have to be told, in Azure Table Storage.

    table deliveries   PartitionKey {subscriber}
        RowKey position                    how far the feed has been taken; until when the subscriber rests, and why
        RowKey study|{partition}|{study}   the task of a study: its changes, when it is due, who has it, how it went

A subscriber's position and tasks share a partition, so that the feed is taken in one transaction: the tasks are there
when the position has moved, and only then. Every row is written by ETag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dicom_core.storage.table_service import MAX_PAGE, Action, Conflict, Entity, Operation, Table, literal
from dicom_core.tasks import Load, Position, Saved, Task

TABLE = "deliveries"

_POSITION = "position"
_TASKS = ("study|", "study}")
_WAITING, _FAILED = "waiting", "failed"
_POSITION_COLUMNS = ("RowKey", "sequence", "rests_until", "pauses", "reason")
_TASK_COLUMNS = ("RowKey", "first", "last", "since", "due", "claim", "attempts", "state", "reason")
_COLUMNS = tuple(dict.fromkeys((*_POSITION_COLUMNS, *_TASK_COLUMNS)))
_READ_AT_ONCE = 16


class TableDeliveries:
    """`Deliveries` over a table."""

    def __init__(self, table: Table, names: Sequence[str] = ()) -> None:
        self._table = table
        self.names = names

    async def position(self, subscriber: str) -> Position | None:
        """One point read."""
        row = await self._table.get(subscriber, _POSITION, _POSITION_COLUMNS, etag=True)
        return None if row is None else _position(row)

    async def due(self, subscriber: str, now: datetime, most: int) -> tuple[Position | None, list[Task]]:
        """One query, where few are due."""
        waiting = f"{_state(_WAITING)} and due le {literal(_text(now))}"
        condition = (
            f"PartitionKey eq {literal(subscriber)} and (RowKey eq {literal(_POSITION)} or ({waiting}))"
        )
        rows = await self._query(condition, _COLUMNS, most + 1)
        position = next((_position(row) for row in rows if row["RowKey"] == _POSITION), None)
        return position, [_task(row) for row in rows if row["RowKey"] != _POSITION][:most]

    async def find(self, subscriber: str, keys: Sequence[tuple[str, str]]) -> list[Task]:
        """Point reads."""
        found: list[Task] = []
        for start in range(0, len(keys), _READ_AT_ONCE):
            reads = (
                self._table.get(subscriber, _row(key), _TASK_COLUMNS, etag=True)
                for key in keys[start : start + _READ_AT_ONCE]
            )
            found += [_task(row) for row in await asyncio.gather(*reads) if row is not None]
        return found

    async def save(
        self, subscriber: str, tasks: Sequence[Task], position: Position | None = None
    ) -> Saved | None:
        """One transaction."""
        operations = [_kept(_row(task.key), task.version, _properties(task)) for task in tasks]
        if position is not None:
            operations.append(_kept(_POSITION, position.version, _position_properties(position)))
        try:
            etags = await self._table.transact(subscriber, operations)
        except Conflict:
            return None
        if position is not None:
            position = replace(position, version=etags[-1])
        saved = [replace(task, version=etag) for task, etag in zip(tasks, etags, strict=False)]
        return Saved(saved, position)

    async def drop(self, subscriber: str, task: Task) -> bool:
        """Delete by ETag; a row that is gone already is one whose reply was lost."""
        try:
            await self._table.delete(
                subscriber, [Operation(Action.DELETE, _row(task.key), etag=task.version)]
            )
        except Conflict:
            return False
        return True

    async def failures(self, subscriber: str, offset: int, most: int) -> list[Task]:
        """One query for each thousand."""
        condition = f"PartitionKey eq {literal(subscriber)} and {_state(_FAILED)}"
        return [_task(row) for row in (await self._query(condition, _TASK_COLUMNS, offset + most))[offset:]]

    async def load(self, subscriber: str) -> Load:
        """Count the rows, a thousand by request."""
        low, high = map(literal, _TASKS)
        condition = f"PartitionKey eq {literal(subscriber)} and RowKey ge {low} and RowKey lt {high}"
        waiting = failed = 0
        async for page in self._table.query(condition, ("state",)):
            failed += sum(row["state"] == _FAILED for row in page)
            waiting += sum(row["state"] == _WAITING for row in page)
        return Load(waiting, failed)

    async def _query(self, condition: str, select: Sequence[str], most: int) -> list[Entity]:
        rows: list[Entity] = []
        async for page in self._table.query(condition, select, etag=True, most=min(most, MAX_PAGE)):
            rows += page
            if len(rows) >= most:
                break
        return rows[:most]


def _state(state: str) -> str:
    low, high = map(literal, _TASKS)
    return f"RowKey ge {low} and RowKey lt {high} and state eq {literal(state)}"


def _row(key: tuple[str, str]) -> str:
    return f"{_TASKS[0]}{key[0]}|{key[1]}"


def _kept(row: str, version: str, properties: dict[str, Any]) -> Operation:
    """What is new must not be there, what was read must be what it was."""
    if not version:
        return Operation(Action.INSERT, row, properties)
    return Operation(Action.UPSERT, row, properties, version)


def _properties(task: Task) -> dict[str, Any]:
    return {
        "first": _number(task.first),
        "last": _number(task.last),
        "since": _text(task.since),
        "due": _text(task.due),
        "claim": task.claim,
        "attempts": task.attempts,
        "state": _FAILED if task.failed else _WAITING,
        "reason": task.reason,
    }


def _task(row: Entity) -> Task:
    _, partition, study = row["RowKey"].split("|")
    return Task(
        partition,
        study,
        first=int(row["first"]),
        last=int(row["last"]),
        since=datetime.fromisoformat(row["since"]),
        due=datetime.fromisoformat(row["due"]),
        claim=row["claim"],
        attempts=row["attempts"],
        failed=row["state"] == _FAILED,
        reason=row["reason"],
        version=row["odata.etag"],
    )


def _position_properties(position: Position) -> dict[str, Any]:
    rests = {} if position.rests_until is None else {"rests_until": _text(position.rests_until)}
    return {
        "sequence": _number(position.sequence),
        "pauses": position.pauses,
        "reason": position.reason,
        **rests,
    }


def _position(row: Entity) -> Position:
    rests = row.get("rests_until")
    return Position(
        int(row["sequence"]),
        datetime.fromisoformat(rests) if rests else None,
        row["pauses"],
        row["reason"],
        row["odata.etag"],
    )


def _number(sequence: int) -> str:
    """A number that JSON has no type of the service for: more than 32 bits."""
    return f"{sequence:016d}"


def _text(time: datetime) -> str:
    """A time whose texts are in the order of the times."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
