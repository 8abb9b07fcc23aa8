"""The model check finds what it is there to find: each rule of the protocol, broken, breaks an invariant."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.model import faults, feed_faults
from tests.model.table import SCENARIOS

FOUND_BY: Mapping[faults.Fault, str] = {
    faults.nothing_is_journalled: "two stores, index, search",
    faults.decision_is_not_first: "same UIDs, same bytes, lost replies, a crash",
    faults.any_decision_is_its_own: "a slow store is given up, and its replies are lost",
    faults.abort_ignores_the_decision: "a slow store is given up, and its replies are lost",
    faults.large_store_is_decided_at_once: "a large store is closed by a sweep at any time",
    faults.rows_are_replaced_blindly: "two PUTs, in the order of their ends",
    faults.rows_are_deleted_blindly: "PUT and delete",
    faults.large_deletion_has_no_marker: "a large deletion, store of one that is deleted, read in pages",
    faults.search_rows_die_with_the_study: "delete of an indexed study, sweep, search",
    faults.reads_are_of_several_moments: "reads in pages, store before and behind",
    faults.index_is_of_several_moments: "index in pages, of a study that is replaced",
    faults.refused_is_not_told: "same UIDs, other bytes, delete",
    faults.retired_before_it_is_scanned: "two stores, index, search",
    faults.instances_are_scanned_before_decisions: "two stores, index, search",
    faults.undecided_is_retired: "two stores, index, search",
    faults.nobody_claims: "two stores, two indexers, search",
    faults.take_over_does_not_fence: "claims are always taken over, of what is indexed",
    faults.moved_rows_are_deleted: "a row moves back, search in pages",
    faults.rows_are_read_before_the_journal: "store, index, sweep, search, one crashes",
    faults.late_rows_stay_in_the_journal: "a store whose first attempt comes late is given up",
    faults.names_after_the_same_are_the_same: "two PUTs over a version of a later name",
    faults.deletion_is_closed_as_a_store: "a large deletion is completed by a sweep at any time",
    faults.blobs_are_written_late: "two stores, index, search",
    faults.packed_though_it_has_changed: "a study is packed and stored to",
    faults.series_rows_are_filled_blindly: "series of a study that is indexed, stored to and replaced",
    faults.packed_is_deleted_in_use: "what was packed before is forgotten",
    faults.blobs_are_not_forgotten: "same UIDs, other bytes, delete",
    faults.rebuild_does_not_journal: "rebuild of what was lost, store, index, search",
    faults.rebuild_decides_under_another_name: "rebuild beside a store on its way",
    faults.rebuild_reads_decisions_first: "rebuild of what is there, delete, sweep, search",
    faults.decisions_are_forgotten_first: "a study that is gone is forgotten by two sweeps, a crash",
    feed_faults.told_after_it_is_retired: "the feed is told of two stores, index, read",
    feed_faults.nothing_says_what_was_told: "the feed is told by an indexer and a reader, a crash, a lost reply",
    feed_faults.head_is_replaced_blindly: "the feed is told by two readers of two studies, a crash",
    feed_faults.feed_is_read_without_a_look_at_the_journal: "the feed is told of two stores, index, read",
    feed_faults.feed_is_read_before_the_journal: "the feed is told of two stores, index, read",
    feed_faults.noted_before_it_is_told: "the feed is told by an indexer and a reader, a crash, a lost reply",
    feed_faults.times_are_those_of_the_hosts: "the feed is told by two readers of two studies, a crash",
    feed_faults.pages_are_told_as_they_were_met: "the feed is told of what is written around a page that was read",
    feed_faults.large_deletion_is_told_at_its_end: "the feed is told of a large deletion, and a store in it",
    feed_faults.restored_is_told_again: "the feed is told nothing of what a rebuild restores that it told before",
    feed_faults.what_went_is_told_of_again: "the feed is told of a large deletion, and a store in it",
}
"""The scenario, by its name, in which each fault must be found."""

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize("fault", FOUND_BY, ids=lambda fault: fault.__name__)
def test_planted_fault_is_found(model: pytest.MonkeyPatch, fault: faults.Fault) -> None:
    """The scenario that passes without the fault fails with it, within the same pre-emptions."""
    scenario = _BY_NAME[FOUND_BY[fault]]
    fault(model)

    found = scenario.explore(scenario.bound)

    assert found.violation
