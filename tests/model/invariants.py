"""The invariants of the storage protocol, each as a predicate: what is wrong, or nothing.

Of a moment: what storage holds. Of a change: what it held before and after one request, by which process, and what had
been before that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from dicom_core import record
from dicom_core.changes import Action
from dicom_core.record import Dataset
from dicom_core.resources import Resource
from dicom_core.versions import transaction_of
from tests.model import product
from tests.model.moments import Moment, Of


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
    decisions = after.record.decisions
    journalled = {version for of in after.journal & decisions.keys() for version in decisions[of].touched}
    for of, decision in decisions.items():
        was = before.record.decisions.get(of)
        if not decision.touched <= (journalled if was is None else journalled | was.touched):
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
        if later is None and not decision.is_retired:
            return f"the decision of {of} was forgotten before an indexer had seen it"
        if later is not None and decision.is_final and later != decision:
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


def i7_study_exists_by_its_instances(now: Moment) -> str:
    """A study exists if and only if it has a live instance: if it is not journalled, its search rows say so."""
    for study in now.studies():
        if not now.journalled(study) and bool(now.settled(study)) != (study in now.truth.studies):
            return f"study {study} is told of, or lives, but not both"
    return ""


def i8_study_comes_once(answers: Sequence[Dataset]) -> str:
    """One study appears once in an answer."""
    uids = Counter(answer["0020000D"]["Value"][0] for answer in answers)
    return "; ".join(f"study {uid} comes {times} times" for uid, times in uids.items() if times > 1)


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
    for place in set(change.before.search) - set(change.after.search):
        study = product.study_of(*place)
        if study is None or not product.is_moved(change.before.search[place].properties):
            return "a search row was deleted that still told of its study"
        if (study, change.process) not in order:
            return f"a search row of {study} was deleted by a run that has not claimed it"
    return ""


def packed_metadata_are_those_of_the_record(now: Moment) -> str:
    """What a series' row points to is there, and of what is live; a large deletion hides the rows of a study."""
    for (study, series), packed in now.record.packed.items():
        if product.packed_blob(packed.name) not in now.derived:
            return f"the packed metadata of series {series} are not there"
        live = [one for one in now.truth.studies.get(study, ()) if one.series == series]
        if any(of.study == study for of in now.record.deletions):
            continue
        if not live or record.version(live) != packed.version:
            return f"the packed metadata of series {series} are of another version"
    return ""


def series_answer_is_that_of_the_record(now: Moment) -> str:
    """What a series' row answers is the fold of what is live; a large deletion hides the rows of a study."""
    for (study, series), answer in now.record.answers.items():
        hidden = any(of.study == study for of in now.record.deletions)
        live = now.truth.studies.get(study, ())
        if not hidden and record.series_answers(live).get(series) != answer:
            return f"series {series} answers what its instances do not"
    return ""


def i11_sequence_is_dense(now: Moment) -> str:
    """Numbers have no gap, up to the head's, times go on, and a version comes once and goes once."""
    changes = now.feed.changes
    if [change.sequence for change in changes] != list(range(1, now.feed.head + 1)):
        return f"the feed has the numbers {[change.sequence for change in changes]} up to {now.feed.head}"
    if any(later.time <= earlier.time for earlier, later in pairwise(changes)):
        return "a change was told with a time that is not after that of the change before it"
    times = Counter((change.version, change.action is Action.DELETE) for change in changes)
    return "; ".join(
        f"{version} was told {number} times" for (version, _), number in times.items() if number > 1
    )


def i11_history_is_possible(now: Moment) -> str:
    """An instance is created where none stands, and not updated where it was deleted."""
    last: dict[Resource, Action] = {}
    for change in now.feed.changes:
        before = last.get(change.resource)
        if change.action is Action.CREATE and before not in (None, Action.DELETE):
            return f"{change.version} was created, and another stood there"
        if change.action is Action.UPDATE and before is Action.DELETE:
            return f"{change.version} was updated, and none stood there"
        last[change.resource] = change.action
    return ""


def i11_retired_is_told(now: Moment) -> str:
    """What was retired was told: by itself, version by version, or, of what went twice, by another."""
    told = {key.split("|")[1] for key in now.feed.pieces}
    decisions = now.record.decisions
    covers = {of for of, one in decisions.items() if one.add & told}
    gone = now.record.hidden.union(
        *(one.gone for of, one in decisions.items() if of.transaction in told or of in covers)
    )
    for of, decision in decisions.items():
        is_known = of.transaction in told or of.transaction in now.record.restored
        is_gone = decision.touched <= gone or (of in covers and decision.add <= gone | told)
        if decision.is_retired and not (is_known or is_gone or _is_cover(of, now)):
            return f"{of} was retired, and not told"
    return ""


def _is_cover(of: Of, now: Moment) -> bool:
    """Say if a decision stands for a transaction that was told before."""
    return any(
        transaction_of(version) != of.transaction and f"id|{transaction_of(version)}|0" in now.feed.pieces
        for version in now.record.decisions[of].add
    )


def i11_told_stays(change: Change) -> str:
    """Nothing appears among, or goes from, what could be read."""
    before, after = change.before.feed.changes, change.after.feed.changes
    return "" if after[: len(before)] == before else "what was told before has changed"


def i11_quiet_is_told(now: Moment) -> str:
    """After everything stopped: what was told last of each instance is what stands now."""
    last = {change.resource: change for change in now.feed.changes}
    told = {one.version for one in last.values() if one.action is not Action.DELETE}
    return (
        ""
        if told == now.truth.versions
        else f"{sorted(told)} were told, and {sorted(now.truth.versions)} live"
    )


OF_A_TOLD_MOMENT: tuple[Callable[[Moment], str], ...] = (
    i11_sequence_is_dense,
    i11_history_is_possible,
    i11_retired_is_told,
)
OF_A_TOLD_CHANGE: tuple[Callable[[Change], str], ...] = (i11_told_stays,)
OF_A_MOMENT: tuple[Callable[[Moment], str], ...] = (
    i1_settled_study_is_indexed,
    i5_live_version_has_its_blob,
    i7_study_exists_by_its_instances,
    packed_metadata_are_those_of_the_record,
    series_answer_is_that_of_the_record,
)
OF_A_CHANGE: tuple[Callable[[Change], str], ...] = (
    i2_commit_is_journalled,
    i3_one_final_decision,
    i4_version_goes_live_once,
    i6_only_unnamed_blobs_go,
    i9_holder_writes_search_rows,
)


def i10_quiet_is_indexed(now: Moment) -> str:
    """After everything stopped, and a sweep: nothing is pending but large deletions, which hide rows for a while."""
    left = now.journal - now.record.deletions
    return f"{sorted(left)} stay in the journal" if left else ""


def i10_nothing_is_left(now: Moment) -> str:
    """After the retention: nothing is pending, due or left over, and the blobs are the live versions."""
    left = {
        "in the journal": now.journal,
        "half deleted": now.record.deletions,
        "decided": now.record.decisions.keys(),
        "moved": {place for place, row in now.search.items() if product.is_moved(row.properties)},
        "due": now.due,
        "as blobs": now.blobs - now.truth.versions,
        "packed": now.derived - {product.packed_blob(packed.name) for packed in now.record.packed.values()},
    }
    return "; ".join(f"{sorted(map(str, what))} stay {how}" for how, what in left.items() if what)
