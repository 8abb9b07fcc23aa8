"""Faults to plant: rules of the change feed, each broken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from dicom_core.storage import entries, journal, outbox, rows
from dicom_core.storage.entries import Head, Piece
from dicom_core.storage.feed import TableFeed
from dicom_core.storage.outbox import Decided, Snapshot
from dicom_core.storage.publishing import Publisher
from dicom_core.storage.table_service import Action, Operation
from tests.model.faults import _rewritten


def told_after_it_is_retired(patch: pytest.MonkeyPatch) -> None:
    """An index run retires what it has seen, and then tells it."""
    publish, retire = Publisher.publish_seen, journal.retire
    late: list[Any] = []

    async def first(self: Publisher, *arguments: Any) -> set[str]:
        if len(arguments) == 4:
            late.append((self, arguments))
            return set()
        return await publish(self, *arguments)

    async def then(*arguments: Any) -> None:
        await retire(*arguments)
        while late:
            publisher, seen = late.pop()
            await publish(publisher, *seen)

    patch.setattr(Publisher, "publish_seen", first)
    patch.setattr(journal, "retire", then)


def nothing_says_what_was_told(patch: pytest.MonkeyPatch) -> None:
    """Pieces are told without a row of their own."""

    def rewrite(table: str, operation: Operation) -> Operation | None:
        return None if operation.row.startswith("id|") else operation

    _rewritten(patch, rewrite)


def head_is_replaced_blindly(patch: pytest.MonkeyPatch) -> None:
    """Whoever tells something replaces the head that is there now; what is keyed as its own gives way."""

    def rewrite(table: str, operation: Operation) -> Operation:
        is_feed = table == "feed" and not operation.row.startswith("id|")
        return replace(operation, action=Action.UPSERT, etag=None) if is_feed else operation

    _rewritten(patch, rewrite)


def feed_is_read_without_a_look_at_the_journal(patch: pytest.MonkeyPatch) -> None:
    """A reader publishes nothing first."""

    async def publish(self: TableFeed) -> None: ...

    patch.setattr(TableFeed, "_publish_journalled", publish)


def feed_is_read_before_the_journal(patch: pytest.MonkeyPatch) -> None:
    """A reader reads the feed, and publishes then."""

    async def after(self: TableFeed, sequence: int, most: int) -> Any:
        read = await self._ledger.after(sequence, most)
        await self._catch_up()
        return read

    patch.setattr(TableFeed, "after", after)


def noted_before_it_is_told(patch: pytest.MonkeyPatch) -> None:
    """Decisions say that they were told before the ledger tells them."""
    tell = Publisher._tell

    async def faulty(self: Publisher, partition: str, study: str, found: Sequence[Decided]) -> None:
        keys = [key for one in found for key in one.keys]
        await self._note(rows.partition_key(partition, study), keys)
        await tell(self, partition, study, found)

    patch.setattr(Publisher, "_tell", faulty)


def times_are_those_of_the_hosts(patch: pytest.MonkeyPatch) -> None:
    """What is told has the time of the clock of who tells it."""
    telling = entries.telling

    def faulty(head: Head, pieces: Sequence[Piece], at: datetime) -> list[Operation]:
        return telling(head, pieces, datetime.fromtimestamp(time.time(), UTC))

    patch.setattr(entries, "telling", faulty)


def pages_are_told_as_they_were_met(patch: pytest.MonkeyPatch) -> None:
    """Decisions of several pages are told, though one that they follow from was not seen."""
    add = Snapshot.add

    def faulty(self: Snapshot, row: Any, page: int) -> None:
        add(self, row, 1)

    patch.setattr(Snapshot, "add", faulty)


def large_deletion_is_told_at_its_end(patch: pytest.MonkeyPatch) -> None:
    """Not when it hides what it names, but when all of that is gone."""
    decided = outbox.decided

    def faulty(snapshot: Snapshot) -> list[Decided]:
        return decided(Snapshot([row for row in snapshot.rows if not row["RowKey"].startswith("~")]))

    patch.setattr(outbox, "decided", faulty)


def what_went_is_told_of_again(patch: pytest.MonkeyPatch) -> None:
    """Every decision tells all that it names, whatever was told before."""
    changes = outbox._changes

    def faulty(one: Decided, gone: Any) -> Any:
        return changes(one, ())

    patch.setattr(outbox, "_changes", faulty)


def restored_is_told_again(patch: pytest.MonkeyPatch) -> None:
    """What stands for a restored transaction is told, whether that was told or not."""
    decided = outbox.decided

    def faulty(snapshot: Snapshot) -> list[Decided]:
        return [replace(one, restores="") for one in decided(snapshot)]

    patch.setattr(outbox, "decided", faulty)
