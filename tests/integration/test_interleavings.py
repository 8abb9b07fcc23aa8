"""Concurrent transactions of one study, in every order that chance finds: the promises of the record hold in each.

The storage requests of several transactions are carried out one by one, in an order that the test chooses, by a Table
service in memory. What each transaction answered is compared with what the study was between its start and its end.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dicom_core import attributes, record
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Committed, Outcome, Transaction
from dicom_core.query import Match, Query, SingleValue
from dicom_core.record import Columns, Instance
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage import due, finding, indexing, rows, search_table, sweeping, tables
from dicom_core.storage.table_service import Entity, Operation, Table
from tests.fake_tables import Service
from tests.instances import row

STUDY = "1.2"
PARTITION = rows.partition_key(DEFAULT_PARTITION, STUDY)
KEYS = [(series, f"{series}.{number}") for series in ("1", "2") for number in (1, 2, 3)]
PATIENTS = ("A", "B")
DATES = ("20200101", "20210101")

State = frozenset[str]
"""The versions that are live."""


@dataclass(frozen=True, slots=True)
class Store:
    """A Store of some instances; an upsert if it replaces. `name` orders it among the transactions."""

    parts: tuple[tuple[int, int], ...]
    upsert: bool
    patient: int
    name: int


@dataclass(frozen=True, slots=True)
class Delete:
    """A deletion of the study (None), of a series, or of an instance."""

    series: int | None = None
    key: int | None = None
    name: int = 0


@dataclass(frozen=True, slots=True)
class Read:
    """A read of the study's rows (None) or of one."""

    key: int | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A search for studies: for all, by UID, by the patient, or by the date that goes with it."""

    by: str = "StudyInstanceUID"
    patient: int = 0


@dataclass(frozen=True, slots=True)
class Index:
    """A run of the indexer; it may take a claim for one of a run that died, though it did not."""

    impatient: bool = False


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep that takes everything for broken off, as if all others had taken an hour."""


Action = Store | Delete | Read | Search | Index | Sweep


class _Turn:
    """Gives the turn back to whoever chooses the order."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def _turn() -> None:
    await _Turn()


@dataclass(slots=True)
class World:
    """The service, what was ever in the study, and what rules each write broke."""

    service: Service
    states: list[State] = field(default_factory=lambda: [frozenset()])
    instances: dict[str, Instance] = field(default_factory=dict)
    ever: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    aborted: set[str] = field(default_factory=set)
    lost: int = -1
    batches: int = 0
    names: int = 0
    swept: bool = False
    index: tables.TableIndex = field(init=False)

    def __post_init__(self) -> None:
        self.service.turn = _turn
        self.service.written = self._written
        self.service.repeated = self._is_lost
        self.index = self.service.index()

    def transaction(self, order: int) -> Transaction:
        """A transaction whose name sorts by `order` first: clocks of hosts differ."""
        self.names += 1
        return Transaction(f"{order:013d}{self.names:013d}", STUDY, DEFAULT_PARTITION)

    def _is_lost(self) -> bool:
        self.batches += 1
        return self.batches == self.lost

    def _written(self, name: str, partition: str, operations: Sequence[Operation]) -> None:
        if name != "studies":
            return
        stored = self.service.rows("studies", PARTITION)
        for operation in operations:
            if operation.row.startswith("change|") and "state" in operation.properties:
                self._decided(operation.row.partition("|")[2], stored[operation.row][0])
        before, now = self.states[-1], self._live(stored)
        born = now - before
        assert not born & self.ever, "I4: a version went live twice"
        self.ever |= born
        if now != before:
            self.states.append(now)

    def _decided(self, transaction: str, decision: Entity) -> None:
        final = self.done | self.aborted
        assert transaction not in final, "I3: a decision was changed after it was final"
        if decision["state"] == "aborted":
            self.aborted.add(transaction)
            return
        pending = self.service.rows("pending", f"{DEFAULT_PARTITION}|0")
        assert f"{transaction}|{STUDY}" in pending, "I2: a commit without a pending row"
        dropped = set(rows._list("drop", decision))
        assert not dropped & (self.ever | rows.added(decision)), "I4: a version was dropped and added"
        if decision["state"] == "done":
            self.done.add(transaction)

    def _live(self, stored: dict[str, tuple[Entity, int]]) -> State:
        dead: set[str] = set()
        found: set[str] = set()
        for key, (properties, _) in stored.items():
            if key.startswith(rows.DELETING):
                dead |= rows.dead(properties)
            elif key.startswith("instance|"):
                found.add(properties["version"])
        return frozenset(found - dead)

    def rows_of(self, state: State) -> list[Instance]:
        """The instances of a state."""
        return [self.instances[version] for version in state]


async def _store(world: World, action: Store) -> Callable[[Sequence[State]], None]:
    """Begin and commit; what is answered must be so."""
    transaction = world.transaction(action.name)
    patient = {
        Level.STUDY: {
            "00080020": {"vr": "DA", "Value": [DATES[action.patient]]},
            "00100020": {"vr": "LO", "Value": [PATIENTS[action.patient]]},
        }
    }
    instances = []
    for part, (key, digest) in enumerate(action.parts):
        series, instance = KEYS[key]
        made = row(
            transaction,
            part,
            series=series,
            instance=instance,
            digest=f"{digest}",
            attributes=patient,
            header=b"",
        )
        instances.append(made)
        world.instances[made.version] = made
    await world.index.begin(transaction, patient)
    try:
        outcomes = await world.index.commit(transaction, instances, upsert=action.upsert)
    except StorageUnavailable:
        assert world.swept, "given up, and no one swept"
        return _never
    now = world.states[-1]
    decision = world.service.rows("studies", PARTITION)[rows.change_key(transaction.name)][0]

    def check(seen: Sequence[State]) -> None:
        for instance in instances:
            _check_outcome(world, instance, outcomes[instance.version], seen)
        stored = {version for version, of in outcomes.items() if of.outcome is Outcome.STORED}
        assert stored <= set().union(*seen), "acknowledged, and never visible"
        gone = stored - now
        assert gone <= _removed(world), "acknowledged, and not there without a deletion"
        assert rows.added(decision) == stored, "I3: the decision differs from the answer"
        dropped = set(rows._list("drop", decision))
        assert dropped in (outcomes.keys() - stored, {rows.EVERYTHING}), "refused, and not dropped"
        assert decision["state"] == "done"

    return check


def _check_outcome(world: World, instance: Instance, outcome: Committed, seen: Sequence[State]) -> None:
    if outcome.outcome is Outcome.STORED:
        return
    assert instance.version not in world.ever, "refused, and live all the same"
    assert any(outcome.standing in state for state in seen), "refused for a version that was not there"
    standing = world.instances[outcome.standing or ""]
    assert (standing.series, standing.instance) == (instance.series, instance.instance)
    if outcome.outcome is Outcome.OVERTAKEN:
        assert standing.version > instance.version
    else:
        assert (standing.digest == instance.digest) == (outcome.outcome is Outcome.IDENTICAL)


def _removed(world: World) -> set[str]:
    """Versions that a decision or a deletion says are gone."""
    gone: set[str] = set()
    for key, (properties, _) in world.service.rows("studies", PARTITION).items():
        if key.startswith("change|"):
            gone |= {version for _, _, version in rows._list("gone", properties)}
        elif key.startswith(rows.DELETING):
            gone |= rows.dead(properties)
    return gone


async def _delete(world: World, action: Delete) -> Callable[[Sequence[State]], None]:
    """Begin and remove; nothing that was there at the start is left."""
    series = None if action.series is None else str(action.series + 1)
    instance = None
    if action.key is not None:
        series, instance = KEYS[action.key]
    transaction = world.transaction(action.name)
    await world.index.begin(transaction, None)
    try:
        count = await world.index.remove(transaction, Resource(STUDY, series, instance))
    except StorageUnavailable:
        assert world.swept, "given up, and no one swept"
        return _never

    def in_scope(state: State) -> set[str]:
        return {
            version
            for version in state
            if (series is None or world.instances[version].series == series)
            and (instance is None or world.instances[version].instance == instance)
        }

    now = world.states[-1]

    def check(seen: Sequence[State]) -> None:
        assert not in_scope(seen[0]) & now, "deleted, and still there"
        assert any(len(in_scope(state)) == count for state in seen), "a count that never was"

    return check


async def _read(world: World, action: Read) -> Callable[[Sequence[State]], None]:
    """Read rows; they are of one moment."""
    series, instance = (None, None) if action.key is None else KEYS[action.key]
    found = await world.index.records(Resource(STUDY, series, instance), Columns.ATTRIBUTES)
    got = frozenset(one.version for one in found)
    for one in found:
        assert one.digest == world.instances[one.version].digest

    def check(seen: Sequence[State]) -> None:
        if action.key is None:
            assert len(got) == len(found)
            assert got in seen, f"a read of no moment: {sorted(got)}"
        elif (
            got
        ):  # a point read may still see what a large deletion is about to remove, until it is acknowledged
            assert got <= world.ever
        else:
            at = [{v for v in state if world.instances[v].instance == instance} for state in seen]
            assert set() in at, "a point read missed a row"

    return check


def _attribute(keyword: str) -> attributes.Attribute:
    found = attributes.find(keyword)
    assert found is not None
    return found


async def _search(world: World, action: Search) -> Callable[[Sequence[State]], None]:
    """Search; the answer is the fold of one moment."""
    conditions = {
        "StudyInstanceUID": SingleValue("UI", STUDY),
        "PatientID": SingleValue("LO", PATIENTS[action.patient].lower()),
        "StudyDate": SingleValue("DA", DATES[action.patient]),
    }
    condition = conditions.get(action.by)
    query = Query(Level.STUDY, matches=(Match(_attribute(action.by), condition),) if condition else ())
    answer = (await world.index.search(query)).datasets

    def check(seen: Sequence[State]) -> None:
        assert len(answer) <= 1, "I8: a study twice in an answer"
        expected = [record.matching(world.rows_of(state), query) for state in seen]
        assert answer in expected, "a search answered what never was"

    return check


async def _index(world: World, action: Index) -> Callable[[Sequence[State]], None]:
    """Index the study; whatever comes of it, searches stay true."""
    indexer = indexing.Indexer(*_tables(world), claim_seconds=0 if action.impatient else 900)
    await indexer.index(DEFAULT_PARTITION, STUDY)
    return _never


def _never(seen: Sequence[State]) -> None:
    """There is nothing that could be wrong."""


async def _sweep(world: World, action: Sweep) -> Callable[[Sequence[State]], None]:
    """Sweep; what is still at work is given up or completed, and searches stay true."""
    world.swept = True
    studies, pending, table = _tables(world)
    indexer = indexing.Indexer(studies, pending, table)
    forgetting = due.Due(
        world.service.table("due"),
        studies,
        table,
        instances=world.service.instances,
        derived=world.service.derived,
        index=indexer.index,
        retention=math.inf,
    )
    await sweeping.Sweep(studies, pending, indexer, forgetting, abandoned=0, forgotten=math.inf).run()
    return _never


def _tables(world: World) -> Iterator[Table]:
    return (world.service.table(name) for name in ("studies", "pending", "search"))


_RUN = {Sweep: _sweep, Store: _store, Delete: _delete, Read: _read, Search: _search, Index: _index}


@dataclass(slots=True)
class _Actor:
    """A transaction on its way."""

    running: Coroutine[Any, Any, Callable[[Sequence[State]], None]]
    first: int = -1


def run(world: World, actions: Sequence[Action], order: Sequence[int] = (), seed: int = 0) -> None:
    """Run transactions concurrently; at each step the order says whose storage request is carried out, then chance."""
    actors = [_Actor(_RUN[type(action)](world, action)) for action in actions]  # type: ignore[operator]
    chance = random.Random(seed)
    steps = itertools.chain(order, _bursts(chance) if seed else itertools.repeat(0))
    try:
        while actors:
            actor = actors[next(steps) % len(actors)]
            if actor.first < 0:
                actor.first = len(world.states) - 1
            try:
                actor.running.send(None)
            except StopIteration as end:
                actors.remove(actor)
                end.value(world.states[actor.first :])
    finally:
        for actor in actors:
            actor.running.close()


def _bursts(chance: random.Random) -> Iterator[int]:
    """Some steps of one, then of another: what needs several steps in a row is met more often than by coin tosses."""
    longest = chance.choice((1, 3, 6))
    while True:
        yield from itertools.repeat(chance.getrandbits(8), chance.randint(1, longest))


class _Group:
    """As `asyncio.TaskGroup`: one task after the other, at the end."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []

    async def __aenter__(self) -> _Group:
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.outcome = await task.coroutine

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> _Task:
        self._tasks.append(_Task(coroutine))
        return self._tasks[-1]


@dataclass(slots=True)
class _Task:
    """As `asyncio.Task`."""

    coroutine: Coroutine[Any, Any, Any]
    outcome: Any = None

    def result(self) -> Any:
        return self.outcome


class _Room:
    """As `asyncio.Semaphore`, for one."""

    def __init__(self, _: int) -> None: ...

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


def _raise_again(*_: object) -> None:
    raise


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows, an adapter that runs without an event loop, and no sweep that passes over a broken rule."""
    monkeypatch.setattr(due.log, "error", _raise_again)
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    monkeypatch.setattr(finding, "asyncio", SimpleNamespace(TaskGroup=_Group, Semaphore=_Room))


parts = st.lists(
    st.tuples(st.integers(0, len(KEYS) - 1), st.integers(0, 1)),
    min_size=1,
    max_size=6,
    unique_by=lambda part: part[0],
).map(tuple)
stores = st.builds(
    Store, parts=parts, upsert=st.just(False), patient=st.integers(0, 1), name=st.integers(0, 2)
)
puts = st.builds(Store, parts=parts, upsert=st.just(True), patient=st.integers(0, 1), name=st.integers(0, 2))
deletes = st.one_of(
    st.builds(Delete, name=st.integers(0, 2)),
    st.builds(Delete, series=st.integers(0, 1), name=st.integers(0, 2)),
    st.builds(Delete, key=st.integers(0, len(KEYS) - 1), name=st.integers(0, 2)),
)
searches = st.builds(
    Search,
    by=st.sampled_from(["", "StudyInstanceUID", "PatientID", "StudyDate"]),
    patient=st.integers(0, 1),
)
reads = st.one_of(st.just(Read()), st.builds(Read, key=st.integers(0, len(KEYS) - 1)), searches)
indexers = st.builds(Index, impatient=st.booleans()) | st.just(Sweep())
firsts = st.builds(Store, parts=parts, upsert=st.just(False), patient=st.integers(0, 1), name=st.just(0))
orders = st.lists(st.integers(0, 11), max_size=12)

explored = settings(
    max_examples=2500,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


EVERY_SEARCH = [
    Search(by, patient) for by in ("", "StudyInstanceUID", "PatientID", "StudyDate") for patient in (0, 1)
]


def explore(
    actions: Sequence[Action], first: Store | None, order: Sequence[int], seed: int, page: int, lost: int
) -> World:
    """Run transactions over a study that a first Store may have filled."""
    world = World(Service(page=page, nulls=page % 2 == 0))
    if first is not None:
        run(world, [first])
    world.batches, world.lost = 0, lost
    run(world, actions, order, seed)
    run(world, [Read(), *EVERY_SEARCH])
    return world


@pytest.mark.parametrize("digest", [0, 1], ids=["same bytes", "other bytes"])
def test_store_into_a_deletion_on_its_way(small: None, digest: int) -> None:
    """What a large deletion hides is as gone, though its row is still there: a Store takes its place."""
    world = World(Service())
    everything = tuple((key, 0) for key in range(len(KEYS)))
    run(world, [Store(everything, upsert=False, patient=0, name=0)])
    last = Store(((5, digest),), upsert=False, patient=1, name=0)

    run(world, [Delete(), last], [0] * 4 + [1] * 20)

    assert [world.instances[version].digest for version in world.states[-1]] == [str(digest)]


@explored
@given(
    writers=st.lists(stores | puts | deletes, min_size=1, max_size=4),
    readers=st.lists(reads, min_size=1, max_size=2),
    first=st.none() | firsts,
    order=orders,
    seed=st.integers(0, 1 << 32),
    page=st.sampled_from([1, 2, 3, 1000]),
    lost=st.integers(-1, 4),
)
def test_any_interleaving_of_writes_and_reads(
    small: None,
    writers: list[Action],
    readers: list[Action],
    first: Store | None,
    order: list[int],
    seed: int,
    page: int,
    lost: int,
) -> None:
    """Every answer is true of a moment between its transaction's start and its end (promises 1 and 2)."""
    world = explore(writers + readers, first, order, seed, page, lost)

    event(f"{min(len(world.states), 8)} states")


@explored
@given(
    writers=st.lists(stores | puts | deletes, min_size=1, max_size=3),
    runs=st.lists(indexers, min_size=1, max_size=2),
    readers=st.lists(searches, min_size=1, max_size=2),
    first=st.none() | firsts,
    indexed=st.booleans(),
    order=orders,
    seed=st.integers(0, 1 << 32),
    page=st.sampled_from([1, 2, 3, 1000]),
    lost=st.integers(-1, 8),
)
def test_any_interleaving_with_the_index(
    small: None,
    writers: list[Action],
    runs: list[Action],
    readers: list[Action],
    first: Store | None,
    indexed: bool,
    order: list[int],
    seed: int,
    page: int,
    lost: int,
) -> None:
    """Indexing changes no answer at any moment, and in the end the search rows are what the record says."""
    world = World(Service(page=page, nulls=page % 2 == 0))
    if first is not None:
        run(world, [first])
    if indexed:
        run(world, [Index()])
    world.batches, world.lost = 0, lost
    run(world, writers + runs + readers, order, seed)
    world.lost = -1
    run(world, EVERY_SEARCH)
    run(world, [Index(impatient=True)])
    run(world, [Index(impatient=True)])

    run(world, EVERY_SEARCH)
    _check_settled(world)


def _check_settled(world: World) -> None:
    """I1, I10: nothing is journalled but for large deletions, and the search rows equal the fold."""
    stored = world.service.rows("studies", PARTITION)
    deletions = {key.removeprefix(rows.DELETING) for key in stored if key.startswith(rows.DELETING)}
    journalled = world.service.rows("pending", f"{DEFAULT_PARTITION}|0")
    assert {key.partition("|")[0] for key in journalled} <= deletions
    answer = record.study_answer(world.rows_of(world.states[-1]))
    held = {
        (partition.partition("|")[2], key): properties["answer"]
        for partition, found in world.service.tables.get("search", {}).items()
        for key, (properties, _) in found.items()
        if "answer" in properties
    }
    expected = search_table.row_of(answer)["answer"]
    assert held == dict.fromkeys(search_table.places(answer), expected)
