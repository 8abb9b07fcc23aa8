"""Forgets: deletes, once it is due, what no one needs any more.

    table due   PartitionKey due   RowKey {time}|{partition}|{study}   from then on the study has something to forget

Due is what was retired longer ago than the retention, and so longer than any transaction, read or run of the indexer
lives: none that may still rely on it is at work. A version goes live at most once, in a batch of its own transaction's
decision, so one that a final decision removed or did not take is never named by a row again, whatever commits between
the look at the rows and the deletion of its blob. Blobs go before the decision that tells of them: a rebuild looks at
the decisions first and for the blob last, and never takes what was deleted for what was lost.

All of it may run twice, beside itself and everything else, and be broken off anywhere: the due row goes last.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.storage import packing, rows
from dicom_core.storage import search_table as search
from dicom_core.storage.blobs import (
    Container,
    blob_name,
    blob_prefix,
    bulky_name,
    rendered_prefix,
    rendered_version,
    version_in,
)
from dicom_core.storage.search_table import MOVED, Place, State
from dicom_core.storage.table_service import (
    MAX_OPERATIONS,
    Action,
    Conflict,
    Entity,
    Operation,
    Table,
    changed_at,
    literal,
)

DUE = "due"

_SLOT = 600.0
"""Seconds that due times are rounded up to: many index runs of a study make one due row."""

_BLOBS_AT_ONCE = 16

log = logging.getLogger("dicom")


async def schedule(due: Table, retention: float, partition: str, study: str) -> None:
    """Note that a study has something to forget when so many seconds have passed."""
    await due.upsert(DUE, _due_key(time.time() + retention, partition, study), {})


@contextmanager
def left_to_the_next(study: str) -> Iterator[None]:
    """Keep a study that fails from stopping a sweep; the text of an unexpected error may hold patient data."""
    try:
        yield
    except (StorageUnavailable, Conflict) as error:
        log.warning("sweep: study %s is left to the next sweep: %s", study, error)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        log.error(
            "sweep: study %s fails: %s at %s:%s", study, type(error).__name__, place.filename, place.lineno
        )


@dataclass(slots=True)
class _Seen:
    """The decisions of a study, which search rows it has, and when that was written."""

    decisions: list[Entity] = field(default_factory=list)
    state: State = field(default_factory=State)
    indexed_at: float = 0.0


class Due:
    """What is due of one account.

    Parameters
    ----------
    index
        Indexes a study, given by its partition and UID: it completes what a run that died has left.
    retention
        Seconds that what is gone is kept.
    """

    def __init__(
        self,
        due: Table,
        studies: Table,
        table: Table,
        *,
        instances: Container,
        derived: Container,
        index: Callable[[str, str], Awaitable[object]],
        retention: float,
    ) -> None:
        self._due = due
        self._studies = studies
        self._search = table
        self._instances = instances
        self._derived = derived
        self._index = index
        self._retention = retention

    async def run(self) -> None:
        """Forget what is due, study by study; one that fails is left to the next run."""
        found = await self._due_rows()
        for (partition, study), due_rows in found.items():
            with left_to_the_next(study):
                left = await self.forget(partition, study)
                operations = [_deletion(row) for row in due_rows[: MAX_OPERATIONS - 1]]
                if left is not None:
                    key = _due_key(max(left + self._retention, time.time()), partition, study)
                    operations.append(Operation(Action.UPSERT, key))
                await self._due.transact(DUE, operations)
        if found:
            log.info("due: studies=%d", len(found))

    async def forget(self, partition: str, study: str) -> float | None:
        """Forget what is due of a study; when the youngest of what is left was written, None if nothing is.

        Raises
        ------
        Conflict
            Something has changed meanwhile; what is left stays due.
        """
        key = rows.partition_key(partition, study)
        until = time.time() - self._retention
        seen = await self._scan(key)
        old = [decision for decision in seen.decisions if changed_at(decision) <= until]
        settled = [decision for decision in old if _is_settled(decision)]
        await self._forget_blobs(partition, study, settled)
        await self._forget_decisions(key, settled)
        forgotten = {decision["RowKey"] for decision in settled}
        left = [changed_at(row) for row in seen.decisions if row["RowKey"] not in forgotten]
        if seen.state.claim or len(settled) < len(old):
            await self._index(partition, study)
            return max(left, default=seen.state.claimed_at)
        state = seen.state
        moved = [place for place, written in state.rows.items() if written.digest == MOVED]
        if moved and seen.indexed_at > until:
            left.append(seen.indexed_at)
            moved = []
        packed = [] if left else await self._unpointed(key, state, until)
        if moved or packed:
            state = await self._forget_derived(partition, key, state, moved, packed)
        if not left and state.etag is not None and not state.rows and not state.packed:
            await self._forget_study(key, state.etag)
        return max(left, default=None)

    async def _due_rows(self) -> Mapping[tuple[str, str], list[Entity]]:
        """The rows that are due, by partition and study."""
        found: dict[tuple[str, str], list[Entity]] = {}
        condition = f"PartitionKey eq {literal(DUE)} and RowKey lt {literal(_stamp(time.time()) + '~')}"
        async for page in self._due.query(condition, ["RowKey"], etag=True):
            for row in page:
                _, partition, study = row["RowKey"].split("|")
                found.setdefault((partition, study), []).append(row)
        return found

    async def _scan(self, key: str) -> _Seen:
        columns = ["RowKey", "Timestamp", *rows.DECISION_COLUMNS, "retired", *search.INDEX_COLUMNS]
        condition = f"PartitionKey eq {literal(key)} and RowKey lt {literal(rows.EVERY_INSTANCE[0])}"
        seen = _Seen()
        async for page in self._studies.query(condition, columns, etag=True):
            for row in page:
                if row["RowKey"] == search.INDEX:
                    seen.state, seen.indexed_at = State.from_entity(row), changed_at(row)
                else:
                    seen.decisions.append(row)
        return seen

    async def _forget_blobs(self, partition: str, study: str, decisions: Sequence[Entity]) -> None:
        """Delete the blobs that decisions say are gone, less those that rows name all the same.

        A row can name one if its transaction was forgotten, and then aborted for a journal row that came back.
        """
        gone: set[str] = set()
        for row in decisions:
            decision = rows.Decision.from_entity(row)
            gone |= {one.version for one in decision.gone}
            if rows.EVERYTHING in decision.drop:
                stored = await self._stored(partition, row["RowKey"].removeprefix(rows.CHANGE))
                gone |= stored - {one.version for one in decision.add}
            else:
                gone |= set(decision.drop)
        if not gone:
            return
        gone -= await self._named(rows.partition_key(partition, study))
        listed = sorted(gone)
        # What can be listed goes last: it is how the rest is found again.
        await _delete_all(self._derived, [bulky_name(partition, version) for version in listed])
        renditions = self._derived.blobs(rendered_prefix(partition, study))
        names = [blob.name async for blob in renditions if rendered_version(blob.name) in gone]
        await _delete_all(self._derived, names)
        await _delete_all(self._instances, [blob_name(partition, version) for version in listed])

    async def _stored(self, partition: str, transaction: str) -> set[str]:
        """Versions of a transaction that have a blob."""
        return {
            version_in(blob.name) async for blob in self._instances.blobs(blob_prefix(partition, transaction))
        }

    async def _named(self, key: str) -> set[str]:
        """Versions that the rows of a study name."""
        first, last = map(literal, rows.EVERY_INSTANCE)
        condition = f"PartitionKey eq {literal(key)} and RowKey ge {first} and RowKey le {last}"
        return {row["version"] async for page in self._studies.query(condition, ["version"]) for row in page}

    async def _forget_decisions(self, key: str, decisions: Sequence[Entity]) -> None:
        for start in range(0, len(decisions), MAX_OPERATIONS):
            batch = decisions[start : start + MAX_OPERATIONS]
            await self._studies.transact(key, [_deletion(row) for row in batch])

    async def _unpointed(self, key: str, state: State, until: float) -> list[str]:
        """The blobs of packed metadata that no row has pointed to for long, if the study has no later decisions."""
        if not state.packed:
            return []
        first, last = literal(rows.series_key("")), literal(rows.series_key("~"))
        condition = f"PartitionKey eq {literal(key)} and RowKey ge {first} and RowKey le {last}"
        pages = self._studies.query(condition, ["packed", "Timestamp"])
        found = [row async for page in pages for row in page]
        if any(changed_at(row) > until for row in found):
            return []  # a commit since the decisions were read may have emptied it
        pointed = {row.get("packed") for row in found}
        return [name for name in state.packed if name not in pointed]

    async def _forget_derived(
        self, partition: str, key: str, state: State, places: Sequence[Place], packed: Sequence[str]
    ) -> State:
        """Delete search rows and packed metadata under the claim of the study, as an index run writes them."""
        claimed = replace(state, claim=versions.new_transaction(), claimed_at=time.time())
        claimed = await search.put_state(self._studies, key, claimed)
        by_keyword: dict[str, list[Operation]] = {}
        for place in places:
            deletion = Operation(Action.DELETE, place[1], etag=state.rows[place].etag)
            by_keyword.setdefault(place[0], []).append(deletion)
        for keyword, deletions in by_keyword.items():
            for start in range(0, len(deletions), MAX_OPERATIONS):
                batch = deletions[start : start + MAX_OPERATIONS]
                await self._search.delete(search.partition_key(partition, keyword), batch)
        await _delete_all(self._derived, [packing.blob_name(partition, name) for name in packed])
        gone = {*places, *packed}
        left = replace(
            claimed,
            rows={place: written for place, written in state.rows.items() if place not in gone},
            packed=tuple(name for name in state.packed if name not in gone),
            claim="",
        )
        return await search.put_state(self._studies, key, left)

    async def _forget_study(self, key: str, etag: str) -> None:
        """Delete what is left of a study without instances: the pointers of its series, then the row `index`."""
        condition = f"PartitionKey eq {literal(key)} and RowKey ge {literal(rows.EVERY_INSTANCE[0])}"
        async for page in self._studies.query(condition, ["RowKey"], etag=True, most=MAX_OPERATIONS):
            if not all(row["RowKey"].startswith(rows.series_key("")) for row in page):
                return
            if page:
                await self._studies.transact(key, [_deletion(row) for row in page])
        await self._studies.transact(key, [Operation(Action.DELETE, search.INDEX, etag=etag)])


def _is_settled(decision: Entity) -> bool:
    """Say if no one waits for a decision any more: the indexer has seen it."""
    return bool(decision.get("retired"))


async def _delete_all(container: Container, names: Sequence[str]) -> None:
    for start in range(0, len(names), _BLOBS_AT_ONCE):
        await asyncio.gather(*map(container.delete, names[start : start + _BLOBS_AT_ONCE]))


def _deletion(row: Entity) -> Operation:
    return Operation(Action.DELETE, row["RowKey"], etag=row["odata.etag"])


def _due_key(at: float, partition: str, study: str) -> str:
    """Key of the due row of a study; its time is later than the given one."""
    return f"{_stamp((at // _SLOT + 1) * _SLOT)}|{partition}|{study}"


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%MZ")
