"""Indexes a study: brings its search rows up to its record, and retires its journal rows.

One run at a time may write the search rows of a study: it claims them in the study's row `index`, which lists them with
their ETags. A run that takes over from one that died rewrites every listed row first, so that a write of the former
that is still on its way fails. What a run has not seen decided stays in the journal, and so the study is looked at by
every search until a later run has seen it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from dicom_core import record, versions
from dicom_core.record import Columns, Instance
from dicom_core.resources import Resource
from dicom_core.storage import journal, outbox, packing, pointers, rows, series_rows
from dicom_core.storage import search_table as search
from dicom_core.storage.outbox import Snapshot
from dicom_core.storage.packing import Packer
from dicom_core.storage.publishing import Publisher
from dicom_core.storage.scan import scan
from dicom_core.storage.search_table import MOVED, Place, State, Written
from dicom_core.storage.table_service import (
    MAX_BATCH_BYTES,
    MAX_OPERATIONS,
    Action,
    Conflict,
    Entity,
    Operation,
    Table,
    literal,
)

_OTHERS = MAX_OPERATIONS - 1

CLAIM_SECONDS = 15 * 60
"""A claim older than this is of a run that died: no function runs as long (host.json, functionTimeout)."""


@dataclass(slots=True)
class _Seen:
    """What one scan of a study has seen: decisions before rows, deletions last.

    `snapshot` holds what the change feed is to be told; `decided` names the transactions that can be retired, `added`
    the UIDs of series and instances that have no pointers yet; `live` are the instances, `series` the rows of series.
    """

    state: State = field(default_factory=State)
    snapshot: Snapshot = field(default_factory=Snapshot)
    decided: list[str] = field(default_factory=list)
    added: list[tuple[str, str]] = field(default_factory=list)
    live: list[Instance] = field(default_factory=list)
    series: dict[str, Entity] = field(default_factory=dict)


class Indexer:
    """Indexes studies of one account.

    Parameters
    ----------
    packer
        Packs the metadata of series, if they are to be packed.
    schedule
        Notes that a study, given by its partition and UID, has something to forget later.
    publisher
        Tells the change feed what was decided, if it is to be told.
    """

    def __init__(
        self,
        studies: Table,
        pending: Table,
        table: Table,
        claim_seconds: float = CLAIM_SECONDS,
        packer: Packer | None = None,
        schedule: Callable[[str, str], Awaitable[None]] | None = None,
        publisher: Publisher | None = None,
    ) -> None:
        self._studies = studies
        self._pending = pending
        self._search = table
        self._packer = packer
        self._schedule = schedule
        self._publisher = publisher
        self._claim_seconds = claim_seconds

    async def index(self, partition: str, study: str) -> bool:
        """Index a study; False if another run does, or came between: the study stays in the journal."""
        try:
            seen = await self._scan(partition, study)
            if seen.state.claim and time.time() - seen.state.claimed_at < self._claim_seconds:
                return False
            answer = record.study_answer(seen.live)
            places = search.places(answer)
            unpacked = self._unpacked(seen)
            state = await self._claim(partition, study, seen.state, places, len(unpacked))
            if seen.state.claim:
                state = await self._take_over(partition, study, state)
            state = await self._write(partition, state, places, search.row_of(answer))
            await pointers.point(self._search, partition, study, seen.added)
            if self._schedule is not None and (seen.decided or seen.state.etag is None):
                await self._schedule(partition, study)
            packed = await self._pack(Resource(study, partition=partition), state.claim, unpacked)
            await self._release(partition, study, replace(state, claim=""), _filling(seen, packed))
        except Conflict:
            return False
        if self._publisher is not None:
            await self._publisher.publish_seen(partition, study, seen.snapshot, seen.decided)
        await journal.retire(self._pending, self._studies, partition, study, seen.decided)
        return True

    async def publish(self, partition: str, study: str) -> None:
        """Tell the change feed what was decided of a study, if it is to be told."""
        if self._publisher is not None:
            await self._publisher.publish(partition, study)

    async def _scan(self, partition: str, study: str) -> _Seen:
        """Read the decisions, then the state, then the rows: a decision that is seen has its rows seen."""
        key = rows.partition_key(partition, study)
        columns = [
            *rows.selected(Columns.ATTRIBUTES),
            *outbox.COLUMNS[1:],
            *search.INDEX_COLUMNS,
            *series_rows.COLUMNS,
        ]
        condition = f"PartitionKey eq {literal(key)}"
        seen, found = _Seen(), list[Entity]()
        dead: set[str] = set()
        deleting: set[str] = set()
        pages = 0
        async for page in self._studies.query(condition, columns, etag=True):
            pages += 1
            for row in page:
                seen.snapshot.add(row, pages)
                kind, _, name = row["RowKey"].partition("|")
                if kind == "change":
                    if row["state"] != "open" and not row.get("retired"):
                        seen.decided.append(name)
                        seen.added += rows.added_uids(row)
                elif kind == search.INDEX:
                    seen.state = State.from_entity(row)
                elif kind == "instance":
                    found.append(row)
                elif kind == "series":
                    seen.series[name] = row
                else:
                    dead |= rows.dead(row)
                    deleting.add(name)
        live = [row for row in found if row["version"] not in dead]
        if pages > 1:  # each is of its own moment
            select = rows.selected(Columns.ATTRIBUTES)
            live = (await scan(self._studies, key, rows.EVERY_INSTANCE, select)).live()
        if seen.state.etag is None or seen.state.claim:
            seen.added = [(row.series, row.instance) for row in map(rows.named, live)]
        seen.live = rows.to_instances(live, partition, study)
        seen.decided = [name for name in seen.decided if name not in deleting]
        return seen

    def _unpacked(self, seen: _Seen) -> list[str]:
        """The series that are to be packed."""
        sizes = Counter(instance.series for instance in seen.live)
        if self._packer is None or not packing.is_worthwhile(sizes, len(seen.state.packed)):
            return []
        return [uid for uid in sorted(sizes) if uid in seen.series and not seen.series[uid].get("packed")]

    async def _pack(self, study: Resource, run: str, unpacked: Sequence[str]) -> dict[str, Entity]:
        """Pack series; what their rows are to say of it."""
        pointers: dict[str, Entity] = {}
        for number, uid in enumerate(unpacked):
            assert self._packer is not None
            name = packing.name_of(run, number)
            pointers[uid] = await self._packer.pack(replace(study, series=uid), name)
        return pointers

    async def _claim(
        self, partition: str, study: str, state: State, places: Sequence[Place], packed: int
    ) -> State:
        planned = dict.fromkeys(places, Written()) | dict(state.rows)
        run = versions.new_transaction()
        blobs = (*state.packed, *(packing.name_of(run, number) for number in range(packed)))
        claimed = replace(state, rows=planned, packed=blobs, claim=run, claimed_at=time.time())
        return await search.put_state(self._studies, rows.partition_key(partition, study), claimed)

    async def _release(self, partition: str, study: str, state: State, filling: Sequence[Operation]) -> None:
        """Give the claim up, and fill the rows of series; not if one has changed meanwhile."""
        key = rows.partition_key(partition, study)
        for start in range(_OTHERS, len(filling), _OTHERS):
            with suppress(Conflict):
                await self._studies.transact(key, filling[start : start + _OTHERS])
        try:
            await search.put_state(self._studies, key, state, filling[:_OTHERS])
        except Conflict as conflict:
            if conflict.index == 0:
                raise
            await search.put_state(self._studies, key, state)

    async def _take_over(self, partition: str, study: str, state: State) -> State:
        """Learn the ETags of the rows that a dead run may have written, then fence it off by writing each anew."""
        found: dict[Place, Written] = {}
        for place in state.rows:
            row = await self._search.get(
                search.partition_key(partition, place[0]), place[1], ["RowKey"], etag=True
            )
            found[place] = Written(row["odata.etag"] if row else "", "")
        state = state.writing(found)
        row = await self._studies.get(
            rows.partition_key(partition, study), search.INDEX, ["claim"], etag=True
        )
        if row is None or row["claim"] != state.claim:
            raise Conflict(0, 412)
        return state

    async def _write(self, partition: str, state: State, places: Sequence[Place], row: Entity) -> State:
        """Write what is new or has changed, and mark what is no longer true as moved; new places first."""
        digest = search.digest(row)
        moved = {"moved": f"{time.time():.0f}"}
        wanted = set(places)
        changes = [(place, row, digest) for place in places if state.rows[place].digest != digest]
        changes += [
            (place, moved, MOVED)
            for place, written in state.rows.items()
            if place not in wanted and written.digest != MOVED
        ]
        for keyword, batch in _batches(changes):
            operations = [_operation(place, entity, state.rows[place].etag) for place, entity, _ in batch]
            etags = await self._search.transact(search.partition_key(partition, keyword), operations)
            state = state.writing(
                {place: Written(etag, of) for (place, _, of), etag in zip(batch, etags, strict=True)}
            )
        return state


def _filling(seen: _Seen, pointers: Mapping[str, Entity]) -> list[Operation]:
    """Fill the rows of series with what they do not say yet, and remove those of series that are gone."""
    answers = record.series_answers(seen.live)
    operations: list[Operation] = []
    for uid, row in seen.series.items():
        key, etag = rows.series_key(uid), row["odata.etag"]
        filled = series_rows.filled(row, answers.get(uid), pointers.get(uid))
        if uid not in answers:
            operations.append(Operation(Action.DELETE, key, etag=etag))
        elif filled is not None:
            operations.append(Operation(Action.UPSERT, key, filled, etag))
    return operations


_Change = tuple[Place, Entity, str]
"""A search row that is to be written: where, what, and a digest of it."""


def _batches(changes: Sequence[_Change]) -> Iterator[tuple[str, list[_Change]]]:
    """Cut changes into batches of one attribute each, in their order."""
    by_keyword: dict[str, list[_Change]] = {}
    for change in changes:
        by_keyword.setdefault(change[0][0], []).append(change)
    for keyword, listed in by_keyword.items():
        most = _at_once(listed)
        for start in range(0, len(listed), most):
            yield keyword, listed[start : start + most]


def _at_once(changes: Sequence[_Change]) -> int:
    """How many of some changes one batch takes."""
    largest = max(len(text) for _, entity, _ in changes for text in entity.values())
    return min(MAX_OPERATIONS, MAX_BATCH_BYTES // 2 // (4 * largest + 1024))


def _operation(place: Place, entity: Entity, etag: str) -> Operation:
    if etag:
        return Operation(Action.UPSERT, place[1], entity, etag)
    return Operation(Action.INSERT, place[1], entity)
