"""A rebuild beside everything else, in every order that chance finds, and one that is killed anywhere.

The requests of all that run are carried out one by one, in an order that the test chooses, by tables and containers in
memory. Each change of the record is looked at: what was removed or refused never comes back, what stands is never lost.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from dicom_core import record
from dicom_core.query import Query
from dicom_core.record import Columns
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage import rebuilding, reindexing, rows
from dicom_core.storage.due import Due
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.sweeping import Sweep
from dicom_core.storage.table_service import Operation
from tests.fake_blobs import Kept
from tests.fake_tables import Service
from tests.instances import file
from tests.rebuilding import Account, files_of

STUDY = "1.2.3"
SERIES = f"{STUDY}.1"
KEY = rows.partition_key(DEFAULT_PARTITION, STUDY)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows, and slices of three blobs."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    monkeypatch.setattr(rebuilding, "_SLICE", 3)


class Turns:
    """Lets the requests of all tasks through one by one."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    async def take(self) -> None:
        """Wait for the turn; a task that no one waits for takes it at once."""
        task = asyncio.current_task()
        assert task is not None
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((task.get_name(), turn))
        await turn

    async def run(self, running: dict[str, Coroutine[Any, Any, None]]) -> None:
        """Run all, in some order; bursts of one meet more than tosses of a coin."""
        tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in running.items()]
        burst, left = "", 0
        while True:
            for _ in range(6):
                await asyncio.sleep(0)
            if not self._waiting:
                if all(task.done() for task in tasks):
                    break
                continue
            if not left:
                burst, left = self._chance.choice(self._waiting)[0], self._chance.choice((1, 3, 12, 40))
            left -= 1
            of_it = [one for one in self._waiting if one[0] == burst]
            if not of_it:
                left = 0
            one = self._chance.choice(of_it or self._waiting)
            self._waiting.remove(one)
            if not one[1].cancelled():
                one[1].set_result(None)
        for task in tasks:
            task.result()


@dataclass(slots=True)
class Watch:
    """Looks at each change of the study's record."""

    account: Account
    states: list[frozenset[str]] = field(default_factory=lambda: [frozenset()])
    ever: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.account.service.written = self._written
        self.states = [self._live()]
        self.ever = set(self.states[0])

    def _written(self, name: str, partition: str, operations: Sequence[Operation]) -> None:
        if name != "studies" or partition != KEY:
            return
        before, now = self.states[-1], self._live()
        assert not (now - before) & self.ever, "a version went live twice"
        assert before - now <= self._removed(), "a version was lost without a decision"
        self.ever |= now
        if now != before:
            self.states.append(now)

    def _live(self) -> frozenset[str]:
        stored = self.account.service.rows("studies", KEY)
        dead = {
            version
            for key, (row, _) in stored.items()
            if key.startswith(rows.DELETING)
            for version in rows.dead(row)
        }
        return frozenset(
            row["version"]
            for key, (row, _) in stored.items()
            if key.startswith("instance|") and row["version"] not in dead
        )

    def _removed(self) -> set[str]:
        stored = self.account.service.rows("studies", KEY)
        gone: set[str] = set()
        for key, (row, _) in stored.items():
            if key.startswith(rows.CHANGE):
                gone |= {one.version for one in rows.Decision.from_entity(row).gone}
            elif key.startswith(rows.DELETING):
                gone |= rows.dead(row)
        return gone

    def counts(self, since: int) -> set[int]:
        """How many instances the study has had since one of its states."""
        return {len(state) for state in self.states[since:]}


Actor = Callable[[Account, Watch, int], Awaitable[None]]


async def _rebuild(account: Account, watch: Watch, number: int) -> None:
    await account.rebuild(settled=-60.0)


async def _post(account: Account, watch: Watch, number: int) -> None:
    content = files_of(STUDY, 2 + number % 5)[number % 5 :]
    status = await account.post(*content)
    assert status in (200, 202, 409, 503)


async def _post_new(account: Account, watch: Watch, number: int) -> None:
    uids = [f"{STUDY}.77.{number}.{part}" for part in range(3)]
    status = await account.post(*(file(STUDY, SERIES, uid) for uid in uids))
    if status == 200:
        found = await account.index.records(Resource(STUDY), Columns.NONE)
        gone = watch._removed()
        there = {row.instance for row in found}
        assert set(uids) <= there or gone, "acknowledged, and not there"


async def _put(account: Account, watch: Watch, number: int) -> None:
    assert await account.put(file(STUDY, SERIES, f"{STUDY}.9.{number % 5}", PatientID="put")) in (
        200,
        202,
        503,
    )


async def _delete(account: Account, watch: Watch, number: int) -> None:
    before = watch.states[-1]
    uids = [(STUDY,), (STUDY, SERIES), (STUDY, SERIES, f"{STUDY}.9.{number % 5}")][number % 3]
    stored = account.service.rows("studies", KEY)
    keys = rows.span(Resource(*uids))
    in_scope = {row["version"] for key, (row, _) in stored.items() if keys[0] <= key <= keys[1]} & before
    assert await account.delete(*uids) in (204, 404)
    assert not in_scope & watch.states[-1], "deleted, and still there"


async def _index(account: Account, watch: Watch, number: int) -> None:
    tables = (account.service.table(name) for name in ("studies", "pending", "search"))
    await Indexer(*tables, claim_seconds=900 * (number % 2)).index(DEFAULT_PARTITION, STUDY)


async def _doubt(account: Account, watch: Watch, number: int) -> None:
    studies, pending = account.service.table("studies"), account.service.table("pending")
    await reindexing.doubt(studies, pending, DEFAULT_PARTITION, STUDY)


async def _sweep(account: Account, watch: Watch, number: int) -> None:
    await swept(account, abandoned=3600.0)


async def _search(account: Account, watch: Watch, number: int) -> None:
    since = len(watch.states) - 1
    page = await account.index.search(Query(Level.STUDY))
    found = {one["00201208"]["Value"][0] for one in page.datasets} or {0}
    assert found <= watch.counts(since), "a search answered what never was"


ACTORS: dict[str, Actor] = {
    "rebuild": _rebuild,
    "post": _post,
    "post new": _post_new,
    "put": _put,
    "delete": _delete,
    "index": _index,
    "doubt": _doubt,
    "sweep": _sweep,
    "search": _search,
}


async def swept(account: Account, abandoned: float) -> None:
    """Sweep; what is younger than so many seconds is left alone."""
    studies, pending, search, due = (
        account.service.table(name) for name in ("studies", "pending", "search", "due")
    )
    indexer = Indexer(studies, pending, search)
    forgetting = Due(
        due,
        studies,
        search,
        instances=account.instances,
        derived=account.derived,
        index=indexer.index,
        retention=3600.0,
    )
    await Sweep(studies, pending, indexer, forgetting, abandoned=abandoned, forgotten=1e9).run()


async def explore(
    before: Sequence[str], lost: bool, actors: Sequence[tuple[str, int]], seed: int, page: int
) -> Watch:
    """Fill the study, lose the tables or not, and run the actors; then all must settle."""
    account = Account(Service(page=page, nulls=page % 2 == 0))
    histories: dict[str, Callable[[], Awaitable[object]]] = {
        "post": lambda: account.post(*files_of(STUDY, 5)),
        "put": lambda: account.put(file(STUDY, SERIES, f"{STUDY}.9.1", PatientID="first put")),
        "refused": lambda: account.post(file(STUDY, SERIES, f"{STUDY}.9.2", PatientID="refused")),
        "delete": lambda: account.delete(STUDY, SERIES, f"{STUDY}.9.3"),
        "index": lambda: account.indexer.index(DEFAULT_PARTITION, STUDY),
    }
    for name in before:
        await histories[name]()
    if lost:
        account.lose()
    watch = Watch(account)
    turns = Turns(seed)
    account.service.turn = turns.take
    running = {
        f"{name} {at}": ACTORS[name](account, watch, number) for at, (name, number) in enumerate(actors)
    }
    await turns.run(running)
    account.service.turn = lambda: asyncio.sleep(0)
    await _settle(account, watch)
    return watch


async def _settle(account: Account, watch: Watch) -> None:
    """Everything stopped: a rebuild and sweeps end with search rows that are what the record says."""
    await account.rebuild(settled=-60.0)
    for _ in range(3):
        await swept(account, abandoned=-60.0)
        tables = (account.service.table(name) for name in ("studies", "pending", "search"))
        await Indexer(*tables, claim_seconds=-60.0).index(DEFAULT_PARTITION, STUDY)
    found = await account.index.records(Resource(STUDY), Columns.ATTRIBUTES)
    assert {row.version for row in found} == watch.states[-1]
    left = {key.partition("|")[0] for _, key in account.rows("pending", "")}
    assert left <= {key.partition("|")[2] for _, key in account.rows(kind=rows.DELETING)}
    held = {row["answer"] for row in account.rows("search", "").values() if row.get("answer")}
    answer = record.study_answer(found)
    assert held == ({rows.fitting(answer)} if found else set())
    blobs = {name.rpartition("/")[2].removesuffix(".dcm") for name in account.instances.kept}
    assert watch.states[-1] <= blobs, "a row without its bytes"


histories = st.lists(st.sampled_from(["put", "refused", "delete", "index"]), max_size=3).map(
    lambda more: ["post", *more]
)
actors = st.lists(st.tuples(st.sampled_from(sorted(ACTORS)), st.integers(0, 29)), min_size=1, max_size=5)


@settings(
    max_examples=200,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    before=histories,
    lost=st.booleans(),
    others=actors,
    seed=st.integers(0, 1 << 32),
    page=st.sampled_from([1, 3, 1000, 1000]),
)
def test_any_interleaving_with_a_rebuild(
    small: None, before: list[str], lost: bool, others: list[tuple[str, int]], seed: int, page: int
) -> None:
    """Nothing removed comes back, nothing is lost, searches are true, and in the end the index is the record's."""
    watch = asyncio.run(explore(before, lost, [("rebuild", 0), *others], seed, page))

    event(f"{min(len(watch.states), 8)} states")


class Killed(BaseException):
    """The process died."""


def _killing(account: Account, at: int) -> Callable[[], Awaitable[None]]:
    """Turns that end with one request; nothing comes after it."""
    count = itertools.count(1)

    async def turn() -> None:
        if next(count) >= at:
            raise Killed
        await asyncio.sleep(0)

    return turn


async def _until_killed(account: Account, at: int) -> bool:
    """Rebuild until the process dies before a request; False if it ends before."""
    account.service.turn = _killing(account, at)
    try:
        await account.rebuild()
    except Killed:
        return True
    except BaseExceptionGroup as group:
        if group.split(Killed)[1] is not None:
            raise
        return True
    finally:
        account.service.turn = lambda: asyncio.sleep(0)
    return False


def _steps(blobs: dict[str, Kept]) -> Iterator[Account]:
    """Accounts that have lost their tables."""
    while True:
        account = Account()
        account.instances.kept.update(blobs)
        yield account


async def test_killed_at_any_request(small: None) -> None:
    """A rebuild that dies anywhere, twice, and is run again ends as one that did not; sweeps change nothing."""
    account = Account()
    await account.post(*files_of(STUDY, 7, ("1", "2")), *files_of("1.2.4", 1))
    await account.put(file(STUDY, SERIES, f"{STUDY}.9.2", PatientID="put"))
    await account.post(file(STUDY, SERIES, f"{STUDY}.9.4", PatientID="refused"))
    accounts = _steps(account.instances.kept)
    whole = next(accounts)
    await whole.rebuild()
    expected = whole.rows()
    assert len(expected) == 8

    for at in itertools.count(1):
        account = next(accounts)
        if not await _until_killed(account, at):
            break
        if at % 2:
            await swept(account, abandoned=3600.0)
        await _until_killed(account, at // 2 + 1)
        await swept(account, abandoned=-60.0)
        await account.rebuild()
        assert account.rows() == expected, at
        await swept(account, abandoned=-60.0)
        assert account.rows() == expected, at
        assert account.rows("pending", "") == {}, at
    assert at > 30
