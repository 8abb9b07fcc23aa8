"""The invariants of the storage protocol, each as a predicate: what is wrong, or nothing.

Of a moment: what storage holds. Of a change: what it held before and after one request, by which process, and what had
been before that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dicom_core.storage import rows
from dicom_core.versions import transaction_of
from tests.model import product
from tests.model.moments import Moment


class History(NamedTuple):
    """What must be remembered to judge a change: versions that were live, and the runs of indexers, in their order."""

    ever: frozenset[str] = frozenset()
    claimed: tuple[tuple[str, int], ...] = ()

    def followed_by(self, before: Moment, after: Moment, process: int) -> History:
        """The history after a change."""
        claimed = tuple(
            (study, process)
            for study, claim in after.record.claims.items()
            if claim and claim != before.record.claims.get(study)
        )
        ever = self.ever | after.truth.versions
        return History(ever, self.claimed + claimed) if claimed or ever != self.ever else self


class Change(NamedTuple):
    """One request that changed something."""

    before: Moment
    after: Moment
    history: History
    process: int
    removes: bool


def i1_settled_study_is_indexed(now: Moment) -> str:
    """No pending row for a study: its search rows equal the fold of its record."""
    for study in now.studies():
        if not now.journalled(study):
            expected = product.search_rows(study, now.truth.studies.get(study, ()))
            if now.settled(study) != expected:
                return f"study {study} is not journalled, and its search rows are not what it answers"
    return ""


def i2_commit_is_journalled(change: Change) -> str:
    """Every commit is preceded by a pending row, which outlives it until an indexer has seen the decision."""
    before, after = change.before, change.after
    for of, decision in after.record.decisions.items():
        is_new = decision != before.record.decisions.get(of)
        if is_new and (decision.add or decision.gone) and of not in after.journal:
            return f"{of} was committed without a pending row"
    for of in before.journal - after.journal:
        decided = before.record.decisions.get(of)
        if decided is None or not decided.is_final:
            return f"the pending row of {of} was removed before its decision"
    return ""


def i3_one_final_decision(change: Change) -> str:
    """A transaction has at most one final decision; one that was aborted commits nothing later."""
    for of, decision in change.before.record.decisions.items():
        later = change.after.record.decisions.get(of)
        if later is None or (decision.is_final and later != decision):
            return f"the final decision of {of} was changed"
    return ""


def i4_version_goes_live_once(change: Change) -> str:
    """A version goes live at most once, by its own transaction's decision, if not dropped; it goes by a removal."""
    before, after = change.before.truth, change.after.truth
    for version in after.versions - before.versions:
        if version in change.history.ever:
            return f"{version} went live twice"
        decisions = change.after.record.decisions.items()
        own = [decision for of, decision in decisions if of.transaction == transaction_of(version)]
        if not any(version in decision.add for decision in own):
            return f"{version} went live without a decision"
        if any(version in decision.drop for decision in own):
            return f"{version} went live, and was dropped"
    gone = before.versions - after.versions
    if gone and not change.removes:
        return f"{sorted(gone)} are gone, and nobody removed them"
    named = [decision.gone for decision in change.after.record.decisions.values()]
    if gone and not change.after.record.deletions and not gone <= frozenset().union(*named):
        return f"{sorted(gone)} are gone, and no decision says so"
    return ""


def i5_live_version_has_its_blob(now: Moment) -> str:
    """Every live version has its blob."""
    missing = now.truth.versions - now.blobs
    return f"{sorted(missing)} live without their blobs" if missing else ""


def i6_only_unnamed_blobs_go(change: Change) -> str:
    """A blob is deleted only if no instance row names it and its transaction is decided."""
    decided = {of.transaction for of, decision in change.before.record.decisions.items() if decision.is_final}
    for version in change.before.blobs - change.after.blobs:
        if version in change.before.record.named:
            return f"the blob of {version} was deleted, and a row names it"
        if transaction_of(version) not in decided:
            return f"the blob of {version} was deleted before it was decided"
    return ""


def i9_holder_writes_search_rows(change: Change) -> str:
    """Search rows are changed only by a run that claimed them, not by one that was taken over and fenced off."""
    order = {run: at for at, run in enumerate(change.history.claimed)}
    for place, row in change.after.search.items():
        study = product.study_of(*place)
        held = change.before.search.get(place)
        if study is None or (held is not None and held.stamp == row.stamp):
            continue
        mine = order.get((study, change.process))
        if mine is None:
            return f"a search row of {study} was written by a run that has not claimed it"
        if held is not None and order.get((study, held.writer), -1) > mine:
            return f"a search row of {study} was written by a run that was taken over"
    if set(change.before.search) - set(change.after.search):
        return "a search row was deleted"
    return ""


OF_A_MOMENT: tuple[Callable[[Moment], str], ...] = (i1_settled_study_is_indexed, i5_live_version_has_its_blob)
OF_A_CHANGE: tuple[Callable[[Change], str], ...] = (
    i2_commit_is_journalled,
    i3_one_final_decision,
    i4_version_goes_live_once,
    i6_only_unnamed_blobs_go,
    i9_holder_writes_search_rows,
)


def i10_quiet_is_settled(now: Moment) -> str:
    """After everything stopped, and sweeps: nothing is pending or half done, other blobs are known to go."""
    if now.journal:
        return f"{sorted(now.journal)} stay in the journal"
    if now.record.deletions:
        return f"{sorted(now.record.deletions)} stay half deleted"
    decisions = now.record.decisions.items()
    if open_still := [of for of, decision in decisions if not decision.is_final]:
        return f"{open_still} stay open"
    told = {version for _, decision in decisions for version in decision.gone | decision.drop}
    given_up = {of.transaction for of, decision in decisions if rows.EVERYTHING in decision.drop}
    orphans = now.blobs - now.truth.versions - told
    if orphans := {version for version in orphans if transaction_of(version) not in given_up}:
        return f"nobody will delete the blobs of {sorted(orphans)}"
    return ""
