"""Faults to plant: rules of the storage protocol, each broken."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from dicom_core import versions
from dicom_core.record import Instance
from dicom_core.resources import Resource
from dicom_core.storage import commit, indexing, journal, removal, rows, search_table, tables
from dicom_core.storage.due import Due
from dicom_core.storage.finding import Finder
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.rebuilding import Rebuild
from dicom_core.storage.removal import Removal
from dicom_core.storage.restoring import Restoration
from dicom_core.storage.scan import Scan, read
from dicom_core.storage.table_service import Action, Conflict, Entity, Operation, Table
from tests.fake_tables import _compiled
from tests.model.storage import ModelContainer, ModelTable

Fault = Callable[[pytest.MonkeyPatch], None]

_Rewrite = Callable[[str, Operation], Operation | None]
"""What is sent to a table instead of an operation; None for nothing."""


def _rewritten(patch: pytest.MonkeyPatch, rewrite: _Rewrite) -> None:
    transact = ModelTable.transact

    async def faulty(self: ModelTable, partition: str, operations: Sequence[Operation]) -> list[str]:
        sent = [rewrite(self._name, operation) for operation in operations]
        etags = iter(await transact(self, partition, [one for one in sent if one is not None]))
        return ["" if one is None else next(etags) for one in sent]

    patch.setattr(ModelTable, "transact", faulty)


def nothing_is_journalled(patch: pytest.MonkeyPatch) -> None:
    """A transaction commits without a row in the journal."""

    async def begin(*_: Any) -> None: ...

    patch.setattr(journal, "begin", begin)


def decision_is_not_first(patch: pytest.MonkeyPatch) -> None:
    """The decision is the last operation of the batch: if its reply was lost, another's failure is told."""
    transact = ModelTable.transact

    async def faulty(self: ModelTable, partition: str, operations: Sequence[Operation]) -> list[str]:
        if not operations[0].row.startswith(rows.CHANGE):
            return await transact(self, partition, operations)
        *others, decided = await transact(self, partition, [*operations[1:], operations[0]])
        return [decided, *others]

    patch.setattr(ModelTable, "transact", faulty)


def any_decision_is_its_own(patch: pytest.MonkeyPatch) -> None:
    """A commit that meets a decision of its name takes it for its own."""

    async def own(self: commit.Commit, draft: rows.Decision, state: str) -> str:
        return ""

    patch.setattr(commit.Commit, "_own", own)


def abort_ignores_the_decision(patch: pytest.MonkeyPatch) -> None:
    """The sweep aborts what has been decided since it looked."""

    def rewrite(table: str, operation: Operation) -> Operation:
        is_abort = operation.properties.get("state") == "aborted"
        return replace(operation, action=Action.UPSERT) if is_abort else operation

    _rewritten(patch, rewrite)


def large_store_is_decided_at_once(patch: pytest.MonkeyPatch) -> None:
    """The first batch of several says that all is done."""

    def rewrite(table: str, operation: Operation) -> Operation:
        if operation.properties.get("state") != "open":
            return operation
        return replace(operation, properties={**operation.properties, "state": "done"})

    _rewritten(patch, rewrite)


def refused_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """A decision does not tell of the versions that were refused."""

    def rewrite(table: str, operation: Operation) -> Operation:
        told = {name: value for name, value in operation.properties.items() if not name.startswith("drop")}
        return replace(operation, properties=told)

    _rewritten(patch, rewrite)


def rows_are_replaced_blindly(patch: pytest.MonkeyPatch) -> None:
    """A PUT replaces whatever stands there now."""

    def rewrite(table: str, operation: Operation) -> Operation:
        is_row = operation.row.startswith("instance|") and operation.action is Action.UPSERT
        return replace(operation, etag=None) if is_row else operation

    _rewritten(patch, rewrite)


def rows_are_deleted_blindly(patch: pytest.MonkeyPatch) -> None:
    """A deletion deletes whatever stands there now."""

    def rewrite(table: str, operation: Operation) -> Operation:
        is_row = operation.row.startswith("instance|") and operation.action is Action.DELETE
        return replace(operation, etag="*") if is_row else operation

    _rewritten(patch, rewrite)


def large_deletion_has_no_marker(patch: pytest.MonkeyPatch) -> None:
    """A deletion of several batches hides nothing."""
    _rewritten(patch, lambda table, one: None if one.row.startswith(rows.DELETING) else one)


def search_rows_die_with_the_study(patch: pytest.MonkeyPatch) -> None:
    """A deletion of a study takes the list of its search rows with it."""
    carry_out = Removal.carry_out

    async def faulty(self: Removal, resource: Resource) -> int:
        count = await carry_out(self, resource)
        with suppress(Conflict):
            await self._studies.transact(
                self._partition, [Operation(Action.DELETE, search_table.INDEX, etag="*")]
            )
        return count

    patch.setattr(Removal, "carry_out", faulty)


def reads_are_of_several_moments(patch: pytest.MonkeyPatch) -> None:
    """A read of several pages takes each as it is."""

    async def torn(studies: Table, partition: str, keys: rows.Span, select: Sequence[str]) -> Scan:
        return await read(studies, partition, keys, select)

    for module in (tables, removal):
        patch.setattr(module, "scan", torn)


def index_is_of_several_moments(patch: pytest.MonkeyPatch) -> None:
    """The indexer takes each of several pages as it is."""

    async def torn(studies: Table, partition: str, keys: rows.Span, select: Sequence[str]) -> Scan:
        return await read(studies, partition, keys, select)

    patch.setattr(indexing, "scan", torn)


def retired_before_it_is_scanned(patch: pytest.MonkeyPatch) -> None:
    """The indexer removes the rows of the journal first."""
    index = Indexer.index

    async def faulty(self: Indexer, partition: str, study: str) -> bool:
        seen = await self._scan(partition, study)
        await journal.retire(self._pending, self._studies, partition, study, seen.decided)
        return await index(self, partition, study)

    patch.setattr(Indexer, "index", faulty)


def instances_are_scanned_before_decisions(patch: pytest.MonkeyPatch) -> None:
    """The indexer retires decisions whose rows it has not seen."""
    scan = Indexer._scan

    async def faulty(self: Indexer, partition: str, study: str) -> Any:
        seen = await scan(self, partition, study)
        seen.decided = (await scan(self, partition, study)).decided
        return seen

    patch.setattr(Indexer, "_scan", faulty)


def undecided_is_retired(patch: pytest.MonkeyPatch) -> None:
    """The indexer retires what is in the journal, decided or not."""
    scan = Indexer._scan

    async def faulty(self: Indexer, partition: str, study: str) -> Any:
        journalled = await journal.everything(self._pending)
        seen = await scan(self, partition, study)
        seen.decided = journalled.get((partition, study), [])
        return seen

    patch.setattr(Indexer, "_scan", faulty)


def nobody_claims(patch: pytest.MonkeyPatch) -> None:
    """Runs of the indexer write search rows whoever else does."""

    def rewrite(table: str, operation: Operation) -> Operation:
        if operation.row == search_table.INDEX:
            unclaimed = {**operation.properties, "claim": ""}
            return replace(operation, action=Action.UPSERT, properties=unclaimed, etag=None)
        return replace(operation, action=Action.UPSERT, etag=None) if table == "search" else operation

    _rewritten(patch, rewrite)


def take_over_does_not_fence(patch: pytest.MonkeyPatch) -> None:
    """Who takes a claim over writes only what has changed, and whatever stands there."""

    async def take_over(self: Indexer, partition: str, study: str, state: Any) -> Any:
        return state

    def rewrite(table: str, operation: Operation) -> Operation:
        return replace(operation, action=Action.UPSERT, etag=None) if table == "search" else operation

    patch.setattr(Indexer, "_take_over", take_over)
    _rewritten(patch, rewrite)


def moved_rows_are_deleted(patch: pytest.MonkeyPatch) -> None:
    """A search row that is no longer true is deleted."""

    def rewrite(table: str, operation: Operation) -> Operation:
        if table == "search" and search_table.is_moved(dict(operation.properties)):
            return Operation(Action.DELETE, operation.row, etag=operation.etag)
        return operation

    _rewritten(patch, rewrite)


def rows_are_read_before_the_journal(patch: pytest.MonkeyPatch) -> None:
    """A search reads the search rows first."""
    begin = Finder.__init__

    def faulty(self: Finder, *arguments: Any) -> None:
        begin(self, *arguments)
        early = _Early(self._search)
        self._search = early
        self._pending = _After(self._pending, early)

    patch.setattr(Finder, "__init__", faulty)


class _Early(Table):
    """A table whose rows were all read at some time."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: list[Entity] = []

    async def fetch(self) -> None:
        """Read all rows."""
        columns = ("PartitionKey", "RowKey", *search_table.COLUMNS)
        self._rows = [row async for page in self._table.query("PartitionKey ge ''", columns) for row in page]

    async def query(self, condition: str, *_: Any, **__: Any) -> AsyncGenerator[list[Entity], None]:
        """Those that meet a condition."""
        meets = _compiled(condition)
        yield [row for row in self._rows if meets(row["PartitionKey"], row["RowKey"], row)]


class _After(Table):
    """A table that is read after another."""

    def __init__(self, table: Table, first: _Early) -> None:
        self._table = table
        self._first = first

    async def query(self, *asked: Any, **how: Any) -> AsyncGenerator[list[Entity], None]:
        """Read the other, then this."""
        await self._first.fetch()
        async for page in self._table.query(*asked, **how):
            yield page


def late_rows_stay_in_the_journal(patch: pytest.MonkeyPatch) -> None:
    """A row of the journal that comes back after its transaction was retired is left there."""

    async def forget(*_: Any) -> None: ...

    patch.setattr(journal, "forget", forget)


def names_after_the_same_are_the_same(patch: pytest.MonkeyPatch) -> None:
    """Two PUTs that are overtaken by the same version go on under the same name."""

    def following(transaction: str) -> str:
        return versions._encode((versions._value(transaction) >> 80) + 1 << 80)

    patch.setattr(versions, "transaction_after", following)


def deletion_is_closed_as_a_store(patch: pytest.MonkeyPatch) -> None:
    """The sweep closes an open decision without a look for the marker."""
    get = ModelTable.get

    async def faulty(
        self: ModelTable, partition: str, row: str, select: Sequence[str], *, etag: bool = False
    ) -> Entity | None:
        if row.startswith(rows.DELETING):
            return None
        return await get(self, partition, row, select, etag=etag)

    patch.setattr(ModelTable, "get", faulty)


def blobs_are_written_late(patch: pytest.MonkeyPatch) -> None:
    """What is committed has no bytes yet."""

    async def put(*_: Any, **__: Any) -> None: ...

    patch.setattr(ModelContainer, "put", put)


def packed_though_it_has_changed(patch: pytest.MonkeyPatch) -> None:
    """The indexer points a series' row to what it packed, whatever was committed since."""

    def rewrite(table: str, operation: Operation) -> Operation:
        return replace(operation, etag=None) if "packed" in operation.properties else operation

    _rewritten(patch, rewrite)


def series_rows_are_filled_blindly(patch: pytest.MonkeyPatch) -> None:
    """The indexer says in a series' row what it answers, whatever was committed since."""

    def rewrite(table: str, operation: Operation) -> Operation:
        return replace(operation, etag=None) if "answer" in operation.properties else operation

    _rewritten(patch, rewrite)


def packed_is_deleted_in_use(patch: pytest.MonkeyPatch) -> None:
    """What is forgotten of packed metadata is all that is older than the retention."""

    async def unpointed(self: Due, key: str, state: Any, until: float) -> list[str]:
        return list(state.packed)

    patch.setattr(Due, "_unpointed", unpointed)


def blobs_are_not_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A decision is forgotten, the blobs that it tells of are not."""

    async def forget(*_: Any) -> None: ...

    patch.setattr(Due, "_forget_blobs", forget)


def decisions_are_forgotten_first(patch: pytest.MonkeyPatch) -> None:
    """A crash between leaves blobs of which no decision tells."""
    forget_blobs, forget_decisions = Due._forget_blobs, Due._forget_decisions

    async def first(self: Due, partition: str, study: str, decisions: Sequence[Entity]) -> None:
        await forget_decisions(self, rows.partition_key(partition, study), decisions)
        await forget_blobs(self, partition, study, decisions)

    async def then(*_: Any) -> None: ...

    patch.setattr(Due, "_forget_blobs", first)
    patch.setattr(Due, "_forget_decisions", then)


def rebuild_does_not_journal(patch: pytest.MonkeyPatch) -> None:
    """A rebuild restores without a row in the journal of its own."""

    async def write(self: Restoration, chunk: Sequence[Instance], state: str) -> None:
        self._cover = versions.new_transaction()
        await commit.Commit.write(self, chunk, state)

    patch.setattr(Restoration, "write", write)


def rebuild_decides_under_another_name(patch: pytest.MonkeyPatch) -> None:
    """A rebuild does not exclude the store whose blob it restores."""
    operations = Restoration._operations

    def faulty(self: Restoration, *arguments: Any) -> list[Operation]:
        change, *others = operations(self, *arguments)
        return [replace(change, row=f"{change.row}R"), *others]

    patch.setattr(Restoration, "_operations", faulty)


def rebuild_reads_decisions_first(patch: pytest.MonkeyPatch) -> None:
    """A rebuild asks for the decisions of a study before its rows, and does not ask for the blob again."""
    known = Rebuild._known

    async def faulty(self: Rebuild, *arguments: Any) -> Any:
        early = await known(self, *arguments)
        late = await known(self, *arguments)
        late.decided, late.decisions = early.decided, early.decisions
        return late

    patch.setattr(Rebuild, "_known", faulty)
