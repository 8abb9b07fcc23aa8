"""Rows of the change feed: their limits are those of the service, whatever is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from dicom_core import versions
from dicom_core.changes import Action
from dicom_core.storage import entries, rows
from dicom_core.storage.entries import FEED, MOST, TICK, Head, Piece, Told
from dicom_core.storage.removal import fitting
from dicom_core.storage.rows import Named
from dicom_core.storage.table_service import MAX_BATCH_BYTES, MAX_OPERATIONS, Operation, check

NOW = datetime(2026, 1, 31, 12, 30, 15, 123456, tzinfo=UTC)


def uids(number: int, seed: int = 0) -> list[str]:
    """UIDs that are as long as they may be, and have nothing in common."""
    chance = Random(seed)
    return [f"2.25.{chance.randrange(10**58, 10**59)}" for _ in range(number)]


def piece(transaction: str, number: int, study: str = "1.2", at: int = 0) -> Piece:
    """A piece of so many changes."""
    changes = [Told("create", "1", f"1.{one}", f"{transaction}-{one:04x}", "1.2") for one in range(number)]
    return Piece(transaction, at, "p", study, changes)


def size(operations: Sequence[Operation]) -> int:
    """About how long a batch is, its binary properties in base 64."""
    return sum(500 + sum(len(str(value)) for value in one.properties.values()) for one in operations)


def test_largest_entry_fits() -> None:
    """The most changes, of UIDs and versions that have nothing in common, in an entity of 1 MiB."""
    listed = [
        Told("delete", series, instance, versions.version_of(versions.new_transaction(), 0), sop_class)
        for series, instance, sop_class in zip(uids(MOST, 1), uids(MOST, 2), uids(MOST, 3), strict=True)
    ]

    operations = entries.telling(Head(), [Piece("T", 0, "p", uids(1)[0], listed)], NOW)

    for operation in operations:
        check(FEED, operation.row, operation.properties)


def test_largest_decision_of_a_store_fits() -> None:
    """As many as one request may have, each in the place of another, with the longest UIDs."""
    number = versions.MAX_PARTS
    series, instances, was = uids(1)[0], uids(number, 1), versions.new_transaction()
    add = [Named(series, uid, versions.version_of(was, at), "1.2") for at, uid in enumerate(instances)]

    check("p", "change|T", rows.Decision(add, add).to_entity("done"))


@pytest.mark.parametrize(("number", "is_named"), [(10_000, True), (17_000, False), (30_000, False)])
def test_large_deletion_fits(number: int, is_named: bool) -> None:
    """Without UIDs if they are too long for a row: random ones, each in a series and of a store of its own."""
    gone = [
        Named(series, uid, versions.version_of(versions.new_transaction(), 0), "1.2.840.10008.5.1.4.1.1.2")
        for series, uid in zip(uids(number, 1), uids(number, 2), strict=True)
    ]

    kept = fitting(gone)

    check("p", "~deleting|T", rows.deleting(kept))
    check("p", "change|T", rows.Decision(gone=kept).to_entity("done"))
    assert [one.version for one in kept] == [one.version for one in gone]
    assert (kept == gone) == is_named


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(f"T{at:03d}", 1) for at in range(300)],
        [piece(f"T{at:03d}", 1, study=f"1.{at}") for at in range(300)],
        [piece(f"T{at:03d}", MOST if at % 7 == 0 else 3, study=f"1.{at // 5}") for at in range(60)],
        [piece("T", MOST, at=at) for at in range(12)],
    ],
    ids=["one study", "studies", "large and small", "one transaction"],
)
def test_pieces_are_cut_into_batches(pieces: list[Piece]) -> None:
    """No more operations and bytes than the service takes; all of them in their order, each in an entry."""
    cut = list(entries.batches(pieces))

    assert [one for batch in cut for one in batch] == pieces
    head = Head(7, NOW - timedelta(hours=1), "h|0", "", 'W/"1"')
    for batch in cut:
        operations = entries.telling(head, batch, NOW)
        assert len(operations) <= MAX_OPERATIONS
        assert len({one.row for one in operations}) == len(operations)
        assert size(operations) < MAX_BATCH_BYTES
        assert entries.fit(batch) or len(batch) == 1


def test_transactions_of_a_study_share_an_entry() -> None:
    """97 transactions of one study go into one batch, 49 of as many studies."""
    same = [piece(f"T{at:03d}", 1) for at in range(100)]
    other = [piece(f"T{at:03d}", 1, study=f"1.{at}") for at in range(100)]

    assert [len(batch) for batch in entries.batches(same)] == [97, 3]
    assert [len(batch) for batch in entries.batches(other)] == [49, 49, 2]


def test_pieces_of_a_transaction_are_told_together() -> None:
    """They begin a batch of their own if they do not fit behind others: one that is broken off tells all or nothing."""
    pieces = [piece("A", MOST), piece("B", MOST), *(piece("C", MOST, at=at) for at in range(4))]

    assert [[one.transaction for one in batch] for batch in entries.batches(pieces)] == [
        ["A", "B"],
        ["C", "C", "C", "C"],
    ]


def test_entry_is_read_as_it_was_told() -> None:
    """Sequence numbers end at the key; a SOP Class that is not known is none."""
    told = Piece(
        "T", 0, "p", "1.2", [Told("create", "1", "1.1", "v1", "1.9"), Told("delete", "1", "1.2", "v0", "")]
    )

    operations = entries.telling(Head(41), [told], NOW)

    (entry,) = [one for one in operations if one.row.startswith("e|")]
    first, second = entries.changes({"RowKey": entry.row, **entry.properties})
    assert (first.sequence, second.sequence) == (42, 43)
    assert (first.action, first.version, first.sop_class) == (Action.CREATE, "v1", "1.9")
    assert (second.action, second.version, second.sop_class) == (Action.DELETE, "v0", None)
    assert (first.time, second.time) == (NOW - TICK, NOW)
    assert second.resource.path == "studies/1.2/series/1/instances/1.2"
    assert second.resource.partition == "p"


@pytest.mark.parametrize(("minute", "writes"), [("", True), (entries.minute_key(NOW), False)])
def test_minute_is_noted_when_it_begins(minute: str, writes: bool) -> None:
    """The first change of a minute tells after which number it was."""
    operations = entries.telling(Head(41, minute=minute), [piece("T", 1)], NOW)

    noted = {one.row: one.properties["sequence"] for one in operations if one.row.startswith("h|")}
    assert noted == ({entries.minute_key(NOW): "41"} if writes else {})


def test_later_minutes_sort_first() -> None:
    """The first key from that of a minute on is of this minute or the last before."""
    keys = [entries.minute_key(NOW + timedelta(minutes=at)) for at in (-(10**6), -1, 0, 1, 10**6)]

    assert keys == sorted(keys, reverse=True)


def test_times_sort_as_text() -> None:
    """Filters compare them so."""
    times = [NOW + timedelta(microseconds=at) for at in (-1_000_000, -123456, 0, 1)]

    times.insert(0, NOW.replace(year=9))
    assert list(map(entries.text, times)) == sorted(map(entries.text, times))
    assert [datetime.fromisoformat(entries.text(at)) for at in times] == times
