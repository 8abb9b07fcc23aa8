"""What the decisions of a study have to tell: in which order, as which changes, and each once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from dicom_core.storage import entries, outbox, rows
from dicom_core.storage.entries import MOST
from dicom_core.storage.outbox import Snapshot
from dicom_core.storage.rows import Named
from dicom_core.storage.table_service import Entity


def name(uid: str, version: str) -> Named:
    """A version of an instance of a series."""
    return Named("1", uid, version, "1.2")


def change(
    transaction: str,
    second: int,
    add: Sequence[Named] = (),
    gone: Sequence[Named] = (),
    state: str = "done",
    **properties: Any,
) -> Entity:
    """The row of a decision, written in some second."""
    decision = rows.Decision(list(add), list(gone))
    return {
        "RowKey": rows.change_key(transaction),
        "Timestamp": f"2026-01-01T00:00:{second:02d}Z",
        **decision.to_entity(state),
        **properties,
    }


def deletion(transaction: str, second: int, gone: Sequence[Named], **properties: Any) -> Entity:
    """The row of a large deletion."""
    key = rows.deleting_key(transaction)
    return {
        "RowKey": key,
        "Timestamp": f"2026-01-01T00:00:{second:02d}Z",
        **rows.deleting(gone),
        **properties,
    }


def told(*found: Entity, before: Sequence[str] = ()) -> list[tuple[str, str, str]]:
    """Action, instance and version of what rows have to tell; `before` are keys that were told."""
    pieces = outbox.pieces("p", "9", outbox.decided(Snapshot(list(found))), set(before))
    assert all((piece.partition, piece.study) == ("p", "9") for piece in pieces)
    return [(one.action, one.instance, one.version) for piece in pieces for one in piece.changes]


def test_decisions_are_told_in_the_order_in_which_they_were_written() -> None:
    """By the clock of the service: names are given by hosts, whose clocks differ."""
    found = [
        change("A", 3, [name("1.3", "v3")]),
        change("B", 1, [name("1.1", "v1")]),
        change("C", 2, [name("1.2", "v2")]),
    ]

    assert told(*found) == [("create", "1.1", "v1"), ("create", "1.2", "v2"), ("create", "1.3", "v3")]


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-01-01T00:00:01Z", "2026-01-01T00:00:01.0000001Z"),
        ("2026-01-01T00:00:01.1Z", "2026-01-01T00:00:01.12Z"),
        ("2026-01-01T00:00:01.9999999Z", "2026-01-01T00:00:02Z"),
    ],
)
def test_times_are_compared_to_their_last_digit(earlier: str, later: str) -> None:
    """The service counts in 100 ns, and leaves out zeros at the end."""
    found = [
        change("A", 0, [name("1.1", "later")], Timestamp=later),
        change("B", 0, [name("1.1", "earlier")], Timestamp=earlier),
    ]

    assert [version for _, _, version in told(*found)] == ["earlier", "later"]


def test_replaced_is_an_update_and_removed_a_deletion() -> None:
    """A decision that adds an instance that it also removes has replaced it."""
    found = change("A", 1, [name("1.1", "v2"), name("1.2", "v2")], [name("1.1", "v1"), name("1.3", "v1")])

    assert told(found) == [("update", "1.1", "v2"), ("create", "1.2", "v2"), ("delete", "1.3", "v1")]


def test_what_is_not_final_is_not_told() -> None:
    """An open decision may list more later; an aborted one has nothing to tell."""
    aborted = change("B", 2, state="aborted")

    assert told(change("A", 1, [name("1.1", "v1")], state="open"), aborted) == []


@pytest.mark.parametrize("mark", ["published", "retired"])
def test_what_was_told_is_not_told_again(mark: str) -> None:
    """A row says so in one of two words."""
    assert told(change("A", 1, [name("1.1", "v1")], **{mark: True})) == []


def test_properties_that_a_row_lacks_may_be_null() -> None:
    """Emulators answer so."""
    found = change("A", 1, [name("1.1", "v1")], published=None, retired=None, restores=None)

    assert told(found) == [("create", "1.1", "v1")]


def test_large_deletion_is_told_when_it_begins() -> None:
    """What it names is hidden at once, and stays hidden; its decision says the same when it ends."""
    hidden = [name("1.1", "v1"), name("1.2", "w1")]
    begun = [change("D", 1, state="open"), deletion("D", 1, hidden)]
    ended = [change("D", 9, gone=hidden), deletion("D", 1, hidden)]

    expected = [("delete", "1.1", "v1"), ("delete", "1.2", "w1")]
    assert told(*begun) == told(*ended) == expected
    assert told(change("D", 9, gone=hidden)) == expected


def test_large_deletion_that_was_told_is_not_told_by_its_decision() -> None:
    """Its row says that it was, while it is there; then its decision does, and the ledger before that."""
    hidden = [name("1.1", "v1")]

    assert told(change("D", 9, gone=hidden), deletion("D", 1, hidden, published=True)) == []
    assert told(change("D", 9, gone=hidden), before=[entries.told_key("D", 0)]) == []


def test_store_in_the_place_of_what_a_deletion_hides_is_told_after_it() -> None:
    """The store that meets a row that is hidden replaces it: for readers, it had gone before."""
    hidden = [name("1.1", "v1"), name("1.2", "w1")]
    found = [
        change("D", 9, gone=hidden),
        change("S", 5, [name("1.1", "v2")], [name("1.1", "v1")]),
        deletion("D", 1, hidden),
    ]

    assert told(*found) == [("delete", "1.1", "v1"), ("delete", "1.2", "w1"), ("create", "1.1", "v2")]


def test_version_goes_once() -> None:
    """A deletion that was on its way may remove what another hides by then."""
    hidden = [name("1.1", "v1"), name("1.2", "w1")]
    small = change("E", 3, gone=[name("1.2", "w1")])

    assert told(small, deletion("D", 1, hidden)) == [("delete", "1.1", "v1"), ("delete", "1.2", "w1")]
    assert told(small, deletion("D", 1, hidden, published=True)) == []


def test_what_went_before_it_was_told_of_is_not_told_of_later() -> None:
    """A store of several batches is told at its end; what was removed of it before that stays removed."""
    added = [name("1.1", "v1"), name("1.2", "w1")]
    removed = change("D", 2, gone=[name("1.1", "v1")])
    open_store, whole_store = change("S", 1, added, state="open"), change("S", 3, added)

    assert told(removed, open_store) == [("delete", "1.1", "v1")]
    assert told({**removed, "published": True}, whole_store) == [("create", "1.2", "w1")]
    assert told(removed, whole_store) == [("delete", "1.1", "v1"), ("create", "1.2", "w1")]


def test_replacement_that_went_before_it_was_told_of_tells_nothing() -> None:
    """What it replaced went with it, and another may stand there by now."""
    found = [
        change("D", 1, gone=[name("1.1", "v1")]),
        change("S", 2, [name("1.1", "w1")]),
        change("P", 3, [name("1.1", "v1"), name("1.2", "v2")], [name("1.1", "u1"), name("1.2", "u2")]),
    ]

    assert told(*found) == [("delete", "1.1", "v1"), ("create", "1.1", "w1"), ("update", "1.2", "v2")]


def test_restored_transaction_is_told_by_what_stands_for_it() -> None:
    """A rebuild retires the decision that it writes anew: unlike others that are retired, it has not been told."""
    found = [
        change("A", 1, [name("1.1", "v1")], retired=True),
        change("B", 2, [name("1.1", "v2")], [name("1.1", "v1")], retired=True),
        change("Y", 1, [name("1.1", "v1")], restores="A"),
        change("Z", 2, [name("1.1", "v2")], [name("1.1", "v1")], restores="B"),
    ]

    assert told(*found) == [("create", "1.1", "v1"), ("update", "1.1", "v2")]


def test_restored_transaction_that_was_told_is_not_told_again() -> None:
    """The ledger still says so: the tables were lost, it was not."""
    found = [
        change("A", 1, [name("1.1", "v1")], retired=True),
        change("Z", 2, [name("1.1", "v1")], restores="A"),
    ]

    assert told(*found, before=[entries.told_key("A", 0)]) == []


def test_restored_version_that_was_told_is_not_told_again() -> None:
    """An earlier rebuild has told it, by another name, and perhaps with others."""
    found = [
        change("A", 1, [name("1.1", "v1"), name("1.2", "v2")], retired=True),
        change("Z", 2, [name("1.1", "v1"), name("1.2", "v2")], restores="A"),
    ]
    first, second = outbox.pieces("p", "9", outbox.decided(Snapshot(found)), set())

    assert told(*found, before=[first.key]) == [("create", "1.2", "v2")]
    assert told(*found, before=[first.key, second.key]) == []


@pytest.mark.parametrize(("number", "sizes"), [(1, [1]), (MOST, [MOST]), (2 * MOST + 1, [MOST, MOST, 1])])
def test_transaction_is_cut_into_pieces(number: int, sizes: list[int]) -> None:
    """Each is told once for itself; those that were told leave the others as they are."""
    found = outbox.decided(Snapshot([change("A", 1, [name(f"1.{at}", "v1") for at in range(number)])]))

    pieces = outbox.pieces("p", "9", found, set())

    assert [len(piece.changes) for piece in pieces] == sizes
    assert [(piece.transaction, piece.number) for piece in pieces] == [("A", at) for at in range(len(sizes))]
    for piece in pieces:
        others = outbox.pieces("p", "9", found, {piece.key})
        assert others == [other for other in pieces if other is not piece]


def test_snapshot_of_one_page_is_whole() -> None:
    """Pages are of one moment each: only what waits behind the first may follow from what was not seen."""
    snapshot = Snapshot()
    snapshot.add(change("A", 1, [name("1.1", "v1")]), 1)
    snapshot.add({"RowKey": "index", "claim": ""}, 1)
    snapshot.add({"RowKey": "instance|1|1.1", "version": "v1"}, 2)
    snapshot.add(change("B", 1, [name("1.2", "v1")], retired=True), 2)
    assert not snapshot.is_torn

    snapshot.add(deletion("D", 2, [name("1.1", "v1")]), 2)
    assert snapshot.is_torn


def test_torn_snapshot_is_cut_at_a_moment() -> None:
    """What was written later than all that was seen may follow from something that was not."""
    first = Snapshot([change("B", 4, [name("1.2", "v1")])])
    again = Snapshot([change("A", 3), change("B", 4), change("C", 5), change("D", 9, retired=True)])

    cut = again.before(first.until())

    assert [row["RowKey"] for row in cut.rows] == ["change|A", "change|B", "change|D"]


def test_versions_without_names_are_left_out_unless_they_are_known() -> None:
    """A deletion of very many names versions alone; without its UIDs an instance cannot be told of."""
    (one,) = outbox.decided(Snapshot([deletion("D", 1, [Named("", "", "v1"), Named("", "", "v2")])]))

    known = outbox.named(one, {"v2": Named("1", "1.1", "v2")})

    pieces = outbox.pieces("p", "9", [known], set())
    assert [change for piece in pieces for change in piece.changes] == [
        entries.Told("delete", "1", "1.1", "v2", "")
    ]
