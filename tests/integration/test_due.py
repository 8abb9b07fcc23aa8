"""What is due is forgotten, whole and not before: blobs, decisions, search rows, and all that tells of a study."""

from __future__ import annotations

import asyncio
import copy
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_core import record, versions
from dicom_core.ports import Stores, Transaction
from dicom_core.record import Columns
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage import due, indexing, journal, packing, rows, search_table
from dicom_core.storage.blobs import Blob, blob_name, bulky_name, rendered_name, rendered_version, version_in
from dicom_core.storage.commit import Commit
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.search_table import State
from dicom_core.storage.table_service import Action, Operation
from dicom_core.storage.tables import TableIndex
from dicom_core.web import search_parameters
from tests.fake_tables import FakeContainer, FakeTable, Service
from tests.instances import row, uid
from tests.storage import Fault, Faults, opened

HOUR = 3600.0
RETENTION = 2 * HOUR
STUDY = "1.2"


class Clock:
    """The time of everything."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        """Seconds."""
        return self.now

    def time_ns(self) -> int:
        """Nanoseconds."""
        return int(self.now * 1e9)


class Counted(FakeContainer):
    """A container whose requests are among those of the service."""

    def __init__(self, service: Service) -> None:
        super().__init__()
        self._service = service

    @property
    def names(self) -> set[str]:
        """What there is."""
        return set(self._blobs)

    async def blobs(self, prefix: str = "", after: str = "") -> AsyncIterator[Blob]:
        """List."""
        await self._turn()
        async for blob in super().blobs(prefix, after):
            yield blob

    async def delete(self, name: str) -> None:
        """Delete one."""
        await self._turn()
        await super().delete(name)

    async def _turn(self) -> None:
        self._service.requests += 1
        await self._service.turn()


@dataclass(slots=True)
class Account:
    """An account in memory, and what happened to it."""

    clock: Clock
    service: Service = field(default_factory=Service)
    live: dict[str, set[str]] = field(default_factory=dict)
    gone_at: dict[str, float] = field(default_factory=dict)
    index: TableIndex = field(init=False)
    blobs: Counted = field(init=False)
    derived: Counted = field(init=False)

    def __post_init__(self) -> None:
        self.service.now = self.clock.time
        self.service.instances = self.blobs = Counted(self.service)
        self.service.derived = self.derived = Counted(self.service)
        self.index = self.service.index(RETENTION)

    def begun(self, study: str = STUDY) -> Transaction:
        """A transaction that begins a second later than the last."""
        self.clock.now += 1
        return Transaction(versions.new_transaction(), study, DEFAULT_PARTITION)

    async def store(self, study: str = STUDY, *keys: int, upsert: bool = False, digest: str = "") -> None:
        """Store instances of a study."""
        of = await self.upload(study, *keys)
        made = [row(of, part, instance=f"9.{key}", digest=digest or of.name) for part, key in enumerate(keys)]
        await self.index.commit(of, made, upsert=upsert)

    async def upload(self, study: str = STUDY, *keys: int) -> Transaction:
        """Begin to store, and write blobs."""
        of = self.begun(study)
        await self.index.begin(of, None)
        for part, _ in enumerate(keys):
            name = blob_name(DEFAULT_PARTITION, versions.version_of(of.name, part))
            await self.blobs.put(name, [b"-"])
        return of

    async def leave(self, study: str = STUDY, *keys: int) -> Transaction:
        """Begin to store, write all blobs, and break off."""
        of = await self.upload(study, *keys)
        for part, _ in enumerate(keys):
            name = bulky_name(DEFAULT_PARTITION, versions.version_of(of.name, part))
            await self.derived.put(name, [b"-"])
        return of

    async def delete(self, study: str = STUDY, key: int | None = None) -> None:
        """Delete a study, or an instance."""
        of = self.begun(study)
        await self.index.begin(of, None)
        below = () if key is None else ("1.2.3", f"9.{key}")
        await self.index.remove(of, Resource(study, *below))

    async def sweep(self, after: float = 0) -> None:
        """Sweep, some seconds later."""
        self.clock.now += after
        await self.index.sweep()

    def forget(self) -> due.Due:
        """What forgets."""
        return due.Due(
            self.index._due,
            self.index._studies,
            self.index._search,
            instances=self.blobs,
            derived=self.derived,
            index=self.indexer().index,
            retention=RETENTION,
        )

    def indexer(self) -> Indexer:
        """What indexes."""
        return self.index._indexer()

    def studies(self) -> set[str]:
        """Every study that has a row."""
        studies = self.service.tables.get("studies", {})
        return {key.partition("|")[2] for key, found in studies.items() if found}

    def rows(self, study: str = STUDY, kind: str = "") -> dict[str, Any]:
        """Rows of a study by their keys, of one kind."""
        found = self.service.rows("studies", rows.partition_key(DEFAULT_PARTITION, study))
        return {key: properties for key, (properties, _) in found.items() if key.startswith(kind)}

    async def look(self, study: str = STUDY) -> None:
        """Look at a study: each live version has its blob (I5), and what is gone is kept for the retention."""
        found = await self.index.records(Resource(study), Columns.NONE)
        live, before = {one.version for one in found}, self.live.get(study, set())
        self.gone_at |= dict.fromkeys(before - live, self.clock.now)
        self.live[study] = live
        kept = {version for version, at in self.gone_at.items() if self.clock.now <= at + RETENTION}
        assert live | kept <= set(map(version_in, self.blobs.names))

    def told(self, study: str = STUDY) -> set[str]:
        """Versions of which a row says what became of them, and those of undecided transactions."""
        told: set[str] = set()
        for key, properties in self.rows(study).items():
            if key.startswith(rows.CHANGE):
                decision = rows.Decision.from_entity(properties)
                told |= {one.version for one in (*decision.add, *decision.gone)} | set(decision.drop)
                if rows.EVERYTHING in decision.drop:
                    own = key.removeprefix(rows.CHANGE)
                    told |= {v for v in map(version_in, self.blobs.names) if v.startswith(own)}
            elif key.startswith("instance|"):
                told.add(properties["version"])
        return told

    async def check_forgotten(self) -> None:
        """Nothing is left but what lives (I10)."""
        live: set[str] = set()
        held: dict[tuple[str, str], Any] = {}
        for study in self.studies():
            found = await self.index.records(Resource(study), Columns.ATTRIBUTES)
            live |= {one.version for one in found}
            assert {key.partition("|")[0] for key in self.rows(study)} == {"index", "instance", "series"}
            answer = record.study_answer(found)
            places = search_table.places(answer)
            held |= dict.fromkeys(places, search_table.row_of(answer)["answer"])
        assert set(map(version_in, self.blobs.names)) == live
        assert self.derived.names == {bulky_name(DEFAULT_PARTITION, version) for version in live}
        searched = {
            (partition.partition("|")[2], key): properties["answer"] if properties else None
            for partition, of in self.service.tables.get("search", {}).items()
            for key, (properties, _) in of.items()
        }
        assert {place: answer for place, answer in searched.items() if answer is not None} == held
        for table in ("pending", "due"):
            assert not any(self.service.tables.get(table, {}).values())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the test moves; every header is too large for its row, and a batch takes two instances."""
    return _patch(monkeypatch)


def _patch(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.time)
    monkeypatch.setattr(time, "time_ns", clock.time_ns)
    monkeypatch.setattr(versions, "_last", 0)
    monkeypatch.setattr(rows, "MAX_BULKY_BYTES", 10)
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    monkeypatch.setattr(due.log, "error", _raise_again)
    return clock


def _raise_again(*_: object) -> None:
    raise


numbers = st.integers(0, 3)
keys = st.lists(numbers, min_size=1, max_size=4, unique=True).map(tuple)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(0, 1), keys, st.booleans(), st.sampled_from(["", "same"])),
        st.tuples(st.just("leave"), st.integers(0, 1), keys),
        st.tuples(st.just("delete"), st.integers(0, 1), st.none() | numbers),
        st.tuples(st.just("index"), st.integers(0, 1)),
        st.tuples(st.just("sweep"), st.sampled_from([0.0, 60.0, HOUR, RETENTION, 5 * HOUR])),
        st.tuples(st.just("wait"), st.sampled_from([600.0, HOUR, RETENTION])),
    ),
    max_size=16,
)


async def _step(account: Account, step: tuple[Any, ...]) -> None:
    kind, *how = step
    if kind == "store":
        study, stored, upsert, digest = how
        await account.store(f"1.{study}", *stored, upsert=upsert, digest=digest)
    elif kind == "leave":
        await account.leave(f"1.{how[0]}", *how[1])
    elif kind == "delete":
        await account.delete(f"1.{how[0]}", how[1])
    elif kind == "index":
        await account.indexer().index(DEFAULT_PARTITION, f"1.{how[0]}")
    elif kind == "sweep":
        await account.sweep(how[0])
    else:
        account.clock.now += how[0]


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, page=st.sampled_from([1, 2, 1000]), nulls=st.booleans())
def test_only_what_lives_is_left(steps: list[tuple[Any, ...]], page: int, nulls: bool) -> None:
    """After any stores, deletions and sweeps: what is gone is kept for the retention, and then all of it goes."""

    async def live() -> None:
        for step in steps:
            await _step(account, step)
            for study in ("1.0", "1.1"):
                await account.look(study)
        for _ in range(4):
            await account.sweep(RETENTION + 1200)
            for study in ("1.0", "1.1"):
                await account.look(study)
        await account.check_forgotten()

    with pytest.MonkeyPatch.context() as monkeypatch:
        account = Account(_patch(monkeypatch), Service(page=page, nulls=nulls))
        asyncio.run(live())


async def test_renditions_go_with_their_versions(clock: Clock) -> None:
    """What was rendered of an instance is deleted with it, and that of the others of its study stays."""
    account = Account(clock)
    await account.store(STUDY, 0, 1)
    found = await account.index.records(Resource(STUDY), Columns.NONE)
    for one in found:
        await account.derived.put(rendered_name(one.resource, one.version, "0123"), [b"-"])
    await account.delete(STUDY, 0)

    await account.sweep()
    before = {rendered_version(name) for name in account.derived.names if name.endswith(".rendered")}
    for _ in range(3):
        await account.sweep(RETENTION + 1200)
    after = {rendered_version(name) for name in account.derived.names if name.endswith(".rendered")}

    assert before == {one.version for one in found}
    assert after == {one.version for one in found if one.instance == "9.1"}


async def everything_to_forget(account: Account) -> None:
    """A study that has been replaced, refused, broken off, moved, and deleted in part; all of it is due."""
    await account.store(STUDY, 0, 1, 2, digest="first")
    await account.indexer().index(DEFAULT_PARTITION, STUDY)
    await account.store(STUDY, 0, 3, digest="other")
    await account.store(STUDY, 1, upsert=True)
    await account.leave(STUDY, 0, 1)
    await account.delete(STUDY, 2)
    await account.sweep(HOUR + 1)
    await account.delete(STUDY)
    await account.store(STUDY, 0)
    await account.leave("1.3", 0)
    await account.sweep()
    await account.sweep(HOUR + 1)
    await account.sweep(60)


class Killed(BaseException):
    """The process ends."""


@pytest.mark.parametrize("study", ["lives", "is gone"])
async def test_crash_at_any_request(clock: Clock, study: str) -> None:
    """Wherever forgetting ends, what lives has its blob, what is gone is told of, and the next run completes it."""
    for step in itertools.count():
        account = Account(clock)
        await everything_to_forget(account)
        if study == "is gone":
            await account.delete(STUDY)
            await account.sweep()
            await account.sweep(HOUR + 1)
        clock.now += 2 * RETENTION
        left = account.service.requests + step

        async def dying(account: Account = account, left: int = left) -> None:
            if account.service.requests > left:
                raise Killed

        account.service.turn = dying
        try:
            await account.index.sweep()
            done = True
        except Killed:
            done = False
        account.service.turn = _at_once
        for seen in account.studies():
            await account.look(seen)
        told = set[str]().union(*(account.told(seen) for seen in account.studies()))
        assert set(map(version_in, account.blobs.names)) <= told, step
        clock.now += indexing.CLAIM_SECONDS + 600
        for _ in range(3):
            await account.sweep(RETENTION + 1200)
        await account.check_forgotten()
        if done:
            assert step > 10
            return


async def _at_once() -> None: ...


async def test_due_rows_of_many_runs_are_one(clock: Clock) -> None:
    """A due time is rounded up to ten minutes: it is never early, and runs that follow each other share it."""
    table = Service().table("due")

    for _ in range(5):
        await due.schedule(table, HOUR, DEFAULT_PARTITION, STUDY)
        clock.now += 60

    (key,) = table._service.rows("due", due.DUE)
    at = datetime.fromisoformat(key.partition("|")[0]).timestamp()
    assert clock.now + HOUR - 300 < at <= clock.now + HOUR + 600
    assert at % 600 == 0
    assert key.partition("|")[2] == f"{DEFAULT_PARTITION}|{STUDY}"


async def test_forgetting_what_was_only_added_costs_three_requests(clock: Clock) -> None:
    """Most studies have nothing but decisions: one read, one batch of deletions, and the due row."""
    account = Account(clock)
    await account.store(STUDY, 0, 1)
    await account.sweep()
    clock.now += RETENTION + 1200
    account.service.requests = 0

    await account.forget().run()

    assert account.service.requests - 1 == 3  # one for all that is due
    await account.check_forgotten()


async def test_journal_row_that_comes_back_takes_no_blob(clock: Clock) -> None:
    """What lives keeps its blob, though its transaction was forgotten and is then taken for broken off."""
    account = Account(clock)
    await account.store(STUDY, 0)
    await account.sweep()
    await account.sweep(RETENTION + 1200)
    (name,) = account.blobs.names
    transaction = versions.transaction_of(version_in(name))
    assert not account.rows(STUDY, rows.CHANGE)
    await journal.begin(account.index._pending, DEFAULT_PARTITION, transaction, STUDY, None)

    await account.sweep()
    assert account.rows(STUDY, rows.CHANGE)[rows.change_key(transaction)]["state"] == "aborted"
    await account.sweep(RETENTION + 1200)

    assert account.blobs.names == {name}
    await account.check_forgotten()


async def test_decision_that_was_not_retired_is(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that died between the journal's row and its note in the decision: what is due completes it."""
    account = Account(clock)
    await account.store(STUDY, 0)
    with monkeypatch.context() as patch:
        patch.setattr(FakeTable, "transact", _dying_on_merge(FakeTable.transact))
        with pytest.raises(Killed):
            await account.sweep()
    assert not account.service.rows("pending", f"{DEFAULT_PARTITION}|0")

    for _ in range(3):
        await account.sweep(RETENTION + 1200)

    await account.check_forgotten()


def _dying_on_merge(transact: Callable[..., Awaitable[list[str]]]) -> Callable[..., Awaitable[list[str]]]:
    async def dying(self: FakeTable, partition: str, operations: Sequence[Operation]) -> list[str]:
        if operations[0].action is Action.MERGE:
            raise Killed
        return await transact(self, partition, operations)

    return dying


async def moved(clock: Clock) -> Account:
    """An account with a deleted study whose decisions have been forgotten, but for its search rows."""
    account = Account(clock)
    await account.store(STUDY, 0)
    await account.sweep()
    await account.delete(STUDY)
    await account.sweep()
    clock.now += RETENTION + 1200
    return account


async def test_what_is_young_stays(clock: Clock) -> None:
    """A study that has something old to forget keeps what is younger: a search may be on its way past its old place."""
    account = Account(clock)
    await account.store(STUDY, 0)
    await account.sweep()
    await account.sweep(RETENTION - 600)
    await account.delete(STUDY)
    await account.sweep()
    clock.now += 1200
    due_rows = account.service.rows("due", due.DUE)
    del due_rows[max(due_rows)]
    search_rows = copy.deepcopy(account.service.tables["search"])

    await account.forget().run()

    (deletion,) = account.rows(STUDY, rows.CHANGE).values()
    assert rows.Decision.from_entity(deletion).gone
    assert len(account.blobs.names) == 1
    assert account.service.tables["search"] == search_rows
    for _ in range(2):
        await account.sweep(RETENTION)
    await account.check_forgotten()


async def test_store_that_was_closed_loses_only_what_it_did_not_add(clock: Clock) -> None:
    """Of a store that was broken off between batches, what was added is kept as long as any other instance."""
    account = Account(clock)
    of = await account.leave(STUDY, 0, 1)
    added, other = (versions.version_of(of.name, part) for part in (0, 1))
    await Commit(account.index._studies, of, False, ()).write([row(of, 0)], "open")
    await account.sweep(HOUR + 1)
    await account.sweep(RETENTION - 600)
    await account.delete(STUDY)
    await account.sweep()

    await account.sweep(1200)

    stored = set(map(version_in, account.blobs.names))
    assert added in stored
    assert other not in stored


async def test_study_with_instances_keeps_its_index_row(clock: Clock) -> None:
    """The row `index` goes with the last instance, not before, though it may list nothing."""
    account = Account(clock)
    await account.store(STUDY, 0)
    key = rows.partition_key(DEFAULT_PARTITION, STUDY)
    stored = account.service.rows("studies", key)
    (change,) = account.rows(STUDY, rows.CHANGE)
    del stored[change]
    await account.index._studies.upsert(key, "index", State().to_entity())
    clock.now += RETENTION + 1

    assert await account.forget().forget(DEFAULT_PARTITION, STUDY) is None

    assert {name.partition("|")[0] for name in stored} == {"index", "instance", "series"}


@pytest.mark.parametrize(("age", "left"), [(60.0, True), (indexing.CLAIM_SECONDS + 1.0, False)])
async def test_claimed_study_keeps_its_search_rows(clock: Clock, age: float, left: bool) -> None:
    """Search rows are the claim holder's; those of one that died are forgotten in the end."""
    account = await moved(clock)
    key = rows.partition_key(DEFAULT_PARTITION, STUDY)
    entity = await account.index._studies.get(key, "index", search_table.INDEX_COLUMNS, etag=True)
    claimed = replace(State.from_entity(entity), claim="other", claimed_at=clock.now - age)
    await account.index._studies.upsert(key, "index", claimed.to_entity())
    search_rows = copy.deepcopy(account.service.tables["search"])

    await account.forget().run()

    assert (account.service.tables["search"] == search_rows) is left
    assert not account.blobs.names
    assert account.service.rows("due", due.DUE)
    for _ in range(3):
        await account.sweep(RETENTION + 1200)
    await account.check_forgotten()


async def test_packed_metadata_that_nothing_points_to_go(clock: Clock) -> None:
    """Of what index runs have packed, what the rows of series still point to stays."""
    account = Account(clock)
    await account.store(STUDY, 0)
    await account.sweep()
    key = rows.partition_key(DEFAULT_PARTITION, STUDY)
    names = [packing.name_of(versions.new_transaction(), number) for number in range(3)]
    for name in names[:2]:
        await account.derived.put(packing.blob_name(DEFAULT_PARTITION, name), [b"-"])
    await account.index._studies.upsert(key, rows.series_key("1.2.3"), {"packed": names[0]})
    entity = await account.index._studies.get(key, "index", search_table.INDEX_COLUMNS, etag=True)
    state = replace(State.from_entity(entity), packed=tuple(names))
    await account.index._studies.upsert(key, "index", state.to_entity())

    await account.sweep(RETENTION + 1200)

    packed = {name for name in account.derived.names if name.endswith(".metadata")}
    assert packed == {packing.blob_name(DEFAULT_PARTITION, names[0])}
    assert account.rows(STUDY, "index")["index"]["packed_blobs"] == names[0]


async def test_packed_metadata_that_were_just_left_stay(clock: Clock) -> None:
    """Who has just been told where metadata are packed still finds them, though a store has emptied the pointer."""
    account = Account(clock)
    await account.store(STUDY, 0)
    await account.sweep()
    key = rows.partition_key(DEFAULT_PARTITION, STUDY)
    name = packing.name_of(versions.new_transaction(), 0)
    await account.derived.put(packing.blob_name(DEFAULT_PARTITION, name), [b"-"])
    await account.index._studies.upsert(key, rows.series_key("1.2.3"), {"packed": name})
    entity = await account.index._studies.get(key, "index", search_table.INDEX_COLUMNS, etag=True)
    state = replace(State.from_entity(entity), packed=(name,))
    await account.index._studies.upsert(key, "index", state.to_entity())
    clock.now += RETENTION + 1200
    scan = account.forget()
    looked = scan._unpointed

    async def after_a_store(*how: Any) -> list[str]:
        await account.store(STUDY, 1)
        return await looked(*how)

    scan._unpointed = after_a_store  # type: ignore[method-assign]

    await scan.run()

    assert packing.blob_name(DEFAULT_PARTITION, name) in account.derived.names


def _forgetting(index: TableIndex) -> due.Due:
    """What takes all that is there for long retired."""
    indexer = Indexer(index._studies, index._pending, index._search, claim_seconds=0)
    return due.Due(
        index._due,
        index._studies,
        index._search,
        instances=index._instances,
        derived=index._derived,
        index=indexer.index,
        retention=-60,
    )


async def _replaced(stores: Stores, partition: str) -> str:
    """A study with all there is to forget; the version that lives."""
    index = stores.index
    assert isinstance(index, TableIndex)

    async def put(number: int, **fields: str) -> str:
        of = Transaction(versions.new_transaction(), STUDY, partition)
        await index.begin(of, None)
        made = [row(of, part, instance=f"9.{part}", **fields) for part in range(number)]
        for one in made:
            await stores.instances.put(one.resource, one.version, [b"-"])
        await index.commit(of, made, upsert=True)
        return made[0].version

    indexer = index._indexer()
    await put(2)
    await indexer.index(partition, STUDY)
    of = Transaction(versions.new_transaction(), STUDY, partition)
    await index.begin(of, None)
    await index.remove(of, Resource(STUDY))
    aborted = Transaction(versions.new_transaction(), STUDY, partition)
    await stores.instances.put(
        Resource(STUDY, "1", "2", partition), versions.version_of(aborted.name, 0), [b"-"]
    )
    decision = rows.Decision(drop=[rows.EVERYTHING]).to_entity("aborted")
    await index._studies.upsert(f"{partition}|{STUDY}", rows.change_key(aborted.name), decision)
    await indexer.index(partition, STUDY)
    kept = await put(1, attributes={})
    await indexer.index(partition, STUDY)
    return kept


async def _stored(index: TableIndex, partition: str) -> set[str]:
    return {version_in(blob.name) async for blob in index._instances.blobs(f"{partition}/")}


async def _kinds(index: TableIndex, partition: str) -> list[str]:
    pages = index._studies.query(f"PartitionKey eq '{partition}|{STUDY}'", ["RowKey"])
    return [row["RowKey"].partition("|")[0] async for page in pages for row in page]


async def _die_before(carry_out: Any) -> aiohttp.ClientResponse:
    raise Killed


async def _die_after(carry_out: Any) -> aiohttp.ClientResponse:
    await (await carry_out()).read()
    raise Killed


@pytest.mark.azurite
@pytest.mark.parametrize("die", [_die_before, _die_after], ids=["before", "after"])
async def test_crash_at_any_request_to_storage(connection_string: str, die: Fault) -> None:
    """The same over the emulator, whether the last request was carried out or not."""
    for step in itertools.count(1):
        partition, faults = f"Due{uid()[-12:]}", Faults()
        async with opened(connection_string, faults) as stores:
            index = stores.index
            assert isinstance(index, TableIndex)
            kept = await _replaced(stores, partition)
            last = faults.sent + step
            faults.plan = lambda sent, last=last: die if sent == last else None  # type: ignore[misc]
            try:
                await _forgetting(index).forget(partition, STUDY)
            except Killed:
                assert kept in await _stored(index, partition)
            else:
                assert step > 10
                return
            for _ in range(3):
                left = await _forgetting(index).forget(partition, STUDY)
            assert left is None
            assert await _stored(index, partition) == {kept}
            assert await _kinds(index, partition) == ["index", "instance", "series"]
            asked = search_parameters.parse((), Level.STUDY, Resource(partition=partition)).query
            assert len((await index.search(asked)).datasets) == 1
