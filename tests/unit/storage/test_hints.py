"""Hints that blobs have come: studies are indexed soon, seldom, and never decided."""

from __future__ import annotations

import asyncio
import itertools
import logging
import selectors
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Transaction
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage import rows
from dicom_core.storage.hints import REST, SETTLE, Hints
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.tables import TableIndex
from tests.fake_tables import Service
from tests.instances import row, transaction

STUDY = "1.2.840.1"


class _Skipping(selectors.SelectSelector):
    """Waits for nothing: time is what the loop would have waited."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[Any]:
        """No events; the time passes at once."""
        assert timeout is not None, "nothing will ever happen"
        self.now += timeout
        return super().select(0)


class World:
    """A table service, the hints of a worker, and a clock that does not let anyone wait."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.service = Service()
        self.index = self.service.index()
        self.hints = self.worker()
        self.runs: list[tuple[str, float]] = []
        self._selector = _Skipping()
        patch.setattr(time, "time", lambda: self._selector.now)
        indexing = Indexer.index

        async def counted(indexer: Indexer, partition: str, study: str) -> bool:
            self.runs.append((study, self.now))
            return await indexing(indexer, partition, study)

        patch.setattr(Indexer, "index", counted)

    @property
    def now(self) -> float:
        """Seconds since the beginning."""
        return self._selector.now - 1000.0

    def worker(self) -> Hints:
        """What another worker has."""
        return Hints(self.index._studies, self.index._pending, self.index.index)

    def run(self, body: Awaitable[None]) -> None:
        """Run to the end, in no time."""

        def loop() -> asyncio.AbstractEventLoop:
            made = asyncio.SelectorEventLoop(self._selector)
            made.time = lambda: self._selector.now  # type: ignore[method-assign]
            return made

        async def whole() -> None:
            await body

        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(whole())

    @property
    def journal(self) -> list[str]:
        """Transactions in the journal."""
        return [key.partition("|")[0] for key in self.service.rows("pending", f"{DEFAULT_PARTITION}|0")]

    @property
    def study(self) -> Mapping[str, Any]:
        """All rows of the study."""
        return self.service.rows("studies", rows.partition_key(DEFAULT_PARTITION, STUDY))

    async def hint(self, of: Transaction, hints: Hints | None = None) -> None:
        """Tell that a blob of a transaction has come."""
        await (hints or self.hints).take(of.partition, of.name)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """An empty account."""
    return World(monkeypatch)


async def store(index: TableIndex, study: str = STUDY, number: int = 0) -> Transaction:
    """Store one instance."""
    of = transaction(study)
    await index.begin(of, {})
    await index.commit(of, [row(of, number)], upsert=False)
    return of


def test_hint_indexes_a_study_that_was_stored(world: World) -> None:
    """A study is indexed when its transactions have had time to commit, and its journal rows are gone."""

    async def story() -> None:
        await world.hint(await store(world.index))

    world.run(story())

    assert world.runs == [(STUDY, pytest.approx(SETTLE))]
    assert world.journal == []


def test_hint_of_what_commits_meanwhile(world: World) -> None:
    """A blob comes before its transaction commits: the hint waits for it a little."""

    async def story() -> None:
        of = transaction(STUDY)
        await world.index.begin(of, {})
        hint = asyncio.create_task(world.hint(of))
        await asyncio.sleep(SETTLE * 0.9)
        await world.index.commit(of, [row(of)], upsert=False)
        await hint

    world.run(story())

    assert [study for study, _ in world.runs] == [STUDY]
    assert world.journal == []


def test_hint_decides_nothing(world: World) -> None:
    """What has no decision is left to the sweep, and can still be committed."""

    async def story() -> None:
        of = transaction(STUDY)
        await world.index.begin(of, {})
        await world.hint(of)
        assert world.study == {}
        assert world.journal == [of.name]
        outcomes = await world.index.commit(of, [row(of)], upsert=False)
        assert len(outcomes) == 1

    world.run(story())

    assert world.runs == []


def test_hint_of_a_store_that_goes_on(world: World) -> None:
    """A transaction whose decision is open is not indexed: more of its batches follow."""

    async def story() -> None:
        of = transaction(STUDY)
        await world.index.begin(of, {})
        world.service.rows("studies", rows.partition_key(DEFAULT_PARTITION, STUDY))[
            rows.change_key(of.name)
        ] = ({"state": "open"}, 1)
        await world.hint(of)

    world.run(story())

    assert world.runs == []


@pytest.mark.parametrize(
    "name", ["", "nothing", "O'Neil/ü", pytest.param(versions.new_transaction(), id="a transaction")]
)
def test_hint_of_nothing_costs_one_request(world: World, name: str) -> None:
    """A hint of a transaction that is not in the journal, whatever its name, is one query."""

    async def story() -> None:
        await store(world.index)
        world.service.requests = 0
        await world.hints.take(DEFAULT_PARTITION, name)

    world.run(story())

    assert world.service.requests == 1
    assert world.runs == []


def test_late_hint_finds_nothing_to_do(world: World) -> None:
    """A hint that comes again after the study was indexed costs one query."""

    async def story() -> None:
        of = await store(world.index)
        await world.hint(of)
        world.service.requests = 0
        await world.hint(of)

    world.run(story())

    assert world.service.requests == 1
    assert len(world.runs) == 1


def test_burst_is_indexed_a_handful_of_times(world: World) -> None:
    """500 stores of one study within 20 s, a hint each: an index run at most every 5 s, and few requests."""
    spent = []

    async def story() -> None:
        hints = []
        for number in range(500):
            of = await store(world.index, number=number)
            before = world.service.requests
            hints.append(asyncio.create_task(world.hint(of)))
            await asyncio.sleep(20 / 500)
            spent.append(world.service.requests - before)
        before = world.service.requests
        await asyncio.gather(*hints)
        spent.append(world.service.requests - before)

    world.run(story())

    moments = [moment for _, moment in world.runs]
    assert world.journal == []
    assert len(world.runs) <= 6
    assert all(later - earlier > REST * 0.99 for earlier, later in itertools.pairwise(moments))
    assert sum(spent) <= 6 * 25 + 20


def test_burst_over_two_workers(world: World) -> None:
    """Workers do not know of each other's hints, but see when the study was claimed."""

    async def story() -> None:
        hints = []
        other = world.worker()
        for number in range(100):
            of = await store(world.index, number=number)
            hints.append(asyncio.create_task(world.hint(of, other if number % 2 else None)))
            await asyncio.sleep(0.1)
        await asyncio.gather(*hints)

    world.run(story())

    assert len(world.runs) <= 8
    assert world.journal == []


def test_many_studies_do_not_wait_for_each_other(world: World) -> None:
    """Hints of many studies are handled by one read of the journal, and together."""
    studies = [f"1.2.{number}" for number in range(100)]

    async def story() -> None:
        told = [await store(world.index, study) for study in studies]
        await asyncio.gather(*map(world.hint, told))

    world.run(story())

    assert sorted(study for study, _ in world.runs) == sorted(studies)
    assert max(moment for _, moment in world.runs) == pytest.approx(SETTLE)
    assert world.journal == []


def test_hint_of_a_study_that_waits_is_kept(world: World) -> None:
    """A hint that comes while its study rests is covered by the one that waits, though that one never commits."""

    async def story() -> None:
        await world.hint(await store(world.index))
        abandoned = transaction(STUDY)
        await world.index.begin(abandoned, {})
        waiting = asyncio.create_task(world.hint(abandoned))
        await asyncio.sleep(SETTLE + 0.1)
        of = await store(world.index, number=1)
        await asyncio.gather(waiting, world.hint(of))
        assert world.journal == [abandoned.name]

    world.run(story())

    assert len(world.runs) == 2


@pytest.mark.parametrize("failing", range(1, 8))
def test_hint_survives_storage(world: World, failing: int, caplog: pytest.LogCaptureFixture) -> None:
    """Storage that fails at any request is a line of the log, which names the study at most; the sweep comes later."""
    caplog.set_level(logging.WARNING, "dicom")

    async def story() -> None:
        of = await store(world.index)
        world.service.requests = 0
        world.service.turn = _failing(world.service, failing)
        await world.hint(of)
        world.service.turn = lambda: asyncio.sleep(0)
        await world.index.sweep()

    world.run(story())

    (line,) = caplog.messages
    assert line.endswith("left to the sweep: away")
    assert world.journal in ([], [key.partition("|")[2] for key in world.study if key.startswith("change|")])


def _failing(service: Service, request: int) -> Callable[[], Awaitable[None]]:
    async def turn() -> None:
        if service.requests == request:
            raise StorageUnavailable("away")

    return turn
