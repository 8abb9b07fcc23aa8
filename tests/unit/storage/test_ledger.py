"""The ledger has one order for all: no gap, nothing twice, nothing below what was read, whoever writes and dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from dicom_core import versions
from dicom_core.changes import Change
from dicom_core.errors import StorageUnavailable
from dicom_core.storage import ledger as ledgers
from dicom_core.storage.entries import FEED, TICK, Piece, Told
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.sequencing import Sequencer
from dicom_core.storage.table_service import Entity
from tests.fake_tables import Service


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(attempt: int) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(ledgers, "_give_way", at_once)


def piece(number: int = 1, transaction: str = "", study: str = "1.2", at: int = 0) -> Piece:
    """A piece of so many changes."""
    name = transaction or versions.new_transaction()
    listed = [Told("create", "1", f"1.{one}", f"{name}-{one:04x}", "") for one in range(number)]
    return Piece(name, at, "p", study, listed)


async def versions_told(ledger: Ledger) -> list[str]:
    """The versions of all changes, after their numbers were looked at."""
    changes = await ledger.after(0, 1 << 20)
    assert [change.sequence for change in changes] == list(range(1, len(changes) + 1))
    assert [change.time for change in changes] == sorted({change.time for change in changes})
    return [change.version for change in changes]


async def test_piece_that_was_told_is_named() -> None:
    """Nothing of a batch is told if a piece of it was; its place is told."""
    ledger = Ledger(Service().table("feed"))
    old, new = piece(2), piece(3)
    assert await ledger.append([old]) is None

    assert await ledger.append([new, old]) == 1
    assert len(await versions_told(ledger)) == 2
    assert await ledger.told([old.key, new.key]) == {old.key}


async def test_lost_reply_is_recognised() -> None:
    """A batch that is repeated because its reply was lost meets itself, and is told once."""
    service = Service()
    ledger = Ledger(service.table("feed"))
    lost = iter([True])
    service.repeated = lambda: next(lost, False)
    told = piece(2)

    assert await ledger.append([told]) == 0
    assert await ledger.told([told.key]) == {told.key}
    assert len(await versions_told(ledger)) == 2


async def test_head_that_never_rests_is_unavailable() -> None:
    """Races are not lost for ever."""
    service = Service()
    ledger, other = Ledger(service.table("feed")), Ledger(service.table("feed"))
    is_mine = True

    async def race() -> None:
        nonlocal is_mine
        if is_mine:
            is_mine = False
            await other.append([piece()])
            is_mine = True

    service.turn = race

    with pytest.raises(StorageUnavailable, match="change feed"):
        await ledger.append([piece()])


async def test_clock_that_goes_back_does_not_turn_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is later than the last, by a microsecond if the clock of its host is not."""
    ledger = Ledger(Service().table("feed"))
    seconds = iter([2_000_000_000.0, 1_999_999_000.0, 2_000_000_001.0])
    monkeypatch.setattr(ledgers, "time", SimpleNamespace(time=lambda: next(seconds)))
    for _ in range(3):
        await ledger.append([piece()])

    times = [change.time for change in await ledger.after(0, 10)]

    first = datetime.fromtimestamp(2_000_000_000, UTC)
    assert times == [first, first + TICK, first + timedelta(seconds=1)]


async def test_closed_time_is_not_told_in() -> None:
    """After a time was closed, a host whose clock has not come to it tells at that time or later."""
    ledger = Ledger(Service().table("feed"))
    end = datetime.now(UTC) + timedelta(hours=1)
    await ledger.close(await ledger.head(), end)
    await ledger.append([piece()])
    await ledger.close(await ledger.head(), end - timedelta(minutes=1))
    await ledger.append([piece()])

    assert [change.time for change in await ledger.after(0, 10)] == [end, end + TICK]
    assert await ledger.before(end) == 0
    assert await ledger.before(end + TICK) == 1


async def test_time_is_found_within_its_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests find the first change of a time, whatever was told before it."""
    service = Service()
    ledger = Ledger(service.table("feed"))
    begin = 2_000_000_000.0
    now = begin
    monkeypatch.setattr(ledgers, "time", SimpleNamespace(time=lambda: now))
    for step in range(200):
        now = begin + 17 * step
        await ledger.append([piece(1 + step % 3, study=f"1.{at}") for at in range(1 + step % 2)])
        if step % 5 == 0:
            await ledger.close(await ledger.head(), datetime.fromtimestamp(now + 9, UTC))
    changes = await ledger.after(0, 1 << 20)

    for seconds in (-100, 0, 16, 17, 18, 59, 60, 61, 1700, 17 * 199, 17 * 199 + 1):
        start = datetime.fromtimestamp(begin + seconds, UTC)
        service.requests = 0
        earlier = sum(change.time < start for change in changes)
        expected = earlier if earlier < len(changes) else None
        assert await ledger.before(start) == expected, seconds
        assert service.requests <= 2
    minutes = [key for key in service.rows("feed", FEED) if key.startswith("h|")]
    assert len(minutes) == len({int(change.time.timestamp()) // 60 for change in changes})


async def test_page_reads_no_rows_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row may hold as many changes as `MOST`: so many more are read, not as many rows as changes are asked for."""
    monkeypatch.setattr(ledgers, "MOST", 10)
    table = Service().table("feed")
    ledger, query, read = Ledger(table), table.query, 0
    for _ in range(100):
        await ledger.append([piece(10)])

    async def counted(*asked: Any, **how: Any) -> AsyncGenerator[list[Entity], None]:
        nonlocal read
        async for page in query(*asked, **how):
            read += len(page)
            yield page

    monkeypatch.setattr(table, "query", counted)

    for sequence, most in [(0, 50), (5, 50), (9, 1), (10, 50), (995, 50)]:
        read = 0
        found = await ledger.after(sequence, most)
        assert [change.sequence for change in found] == list(
            range(sequence + 1, min(sequence + most, 1000) + 1)
        )
        assert read <= most // 10 + 2


async def test_writers_of_a_worker_share_batches() -> None:
    """What waits while a batch is written goes into the next together: three requests for forty callers, not eighty."""
    service = Service()
    sequencer = Sequencer(Ledger(service.table("feed")))

    await asyncio.gather(*(sequencer.append([piece(study=f"1.{at}")]) for at in range(40)))

    assert service.requests <= 4
    assert len(await versions_told(Ledger(service.table("feed")))) == 40


async def test_caller_that_was_told_before_fails_alone() -> None:
    """The others of its batch are told; two that tell the same do not meet in one batch."""
    service = Service()
    ledger = Ledger(service.table("feed"))
    sequencer = Sequencer(ledger)
    old, twice = piece(), piece()
    await ledger.append([old])
    callers = [[piece()], [piece(), old], [twice], [twice], [piece()]]

    places = await asyncio.gather(*map(sequencer.append, callers))

    assert places == [None, 1, None, 0, None]
    assert len(await versions_told(ledger)) == 4


async def test_cancelled_caller_takes_no_other_with_it() -> None:
    """Whoever is cancelled while the batch is written, its own pieces are told or not, those of others are."""
    for cancelled in range(4):
        for steps in range(8):
            service = Service()
            sequencer = Sequencer(Ledger(service.table("feed")))
            pieces = [piece() for _ in range(4)]
            tasks = [asyncio.create_task(sequencer.append([one])) for one in pieces]
            for _ in range(steps):
                await asyncio.sleep(0)
            tasks[cancelled].cancel()

            outcomes = await asyncio.gather(*tasks, return_exceptions=True)

            told = set(await versions_told(Ledger(service.table("feed"))))
            for at, (one, outcome) in enumerate(zip(pieces, outcomes, strict=True)):
                assert at == cancelled or outcome is None
                assert (one.changes[0].version in told) or at == cancelled


async def test_failure_of_a_batch_is_that_of_its_callers() -> None:
    """All of them are told that storage does not answer; whoever comes later is served."""
    service = Service()
    sequencer = Sequencer(Ledger(service.table("feed")))

    async def away() -> None:
        raise StorageUnavailable("no answer")

    service.turn = away
    outcomes = await asyncio.gather(*(sequencer.append([piece()]) for _ in range(3)), return_exceptions=True)
    service.turn = lambda: asyncio.sleep(0)

    assert all(isinstance(one, StorageUnavailable) for one in outcomes)
    assert await sequencer.append([piece()]) is None


class Killed(Exception):
    """A worker ends."""


def _chances(chance: Random) -> Iterator[Callable[[], Awaitable[None]]]:
    """Turns at which now and then others go first, or the worker dies."""

    async def turn() -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
        if chance.random() < 0.03:
            raise Killed

    while True:
        yield turn


@pytest.mark.parametrize("seed", range(20))
async def test_writers_that_die_leave_one_order(seed: int) -> None:
    """Eight workers tell the same pieces until each is told; a reader goes on from what it has read, and misses none.

    Their processes die at any request, and replies are lost.
    """
    chance = Random(seed)
    service = Service()
    wanted = [piece(chance.randint(1, 3), study=f"1.{at % 5}") for at in range(60)]
    read: list[Change] = []
    writing = 0

    async def write() -> None:
        nonlocal writing
        writing += 1
        left = chance.sample(wanted, len(wanted))
        while left:
            sequencer = Sequencer(Ledger(service.table("feed")))
            some = left[: chance.randint(1, 8)]
            outcomes = await asyncio.gather(
                *(sequencer.append([one]) for one in some), return_exceptions=True
            )
            settled = {one.key for one, outcome in zip(some, outcomes, strict=True) if outcome in (None, 0)}
            left = [one for one in left if one.key not in settled]
        writing -= 1

    async def follow() -> None:
        ledger = Ledger(service.table("feed"))
        is_last = False
        while not is_last:
            is_last = not writing
            with suppress(Killed):
                page = await ledger.after(len(read), chance.randint(1, 9))
                read.extend(page)
                is_last = is_last and not page
            await asyncio.sleep(0)

    service.turn = next(_chances(chance))
    service.repeated = lambda: chance.random() < 0.05
    writers = [asyncio.create_task(write()) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.gather(follow(), *writers)

    assert [change.sequence for change in read] == list(range(1, len(read) + 1))
    assert [change.time for change in read] == sorted({change.time for change in read})
    assert sorted(change.version for change in read) == sorted(
        change.version for one in wanted for change in one.changes
    )


async def test_writer_that_is_cancelled_leaves_no_one_waiting() -> None:
    """When a worker ends, its callers do; who comes afterwards is served."""
    sequencer = Sequencer(Ledger(Service().table("feed")))
    callers = [asyncio.create_task(sequencer.append([piece()])) for _ in range(3)]
    await asyncio.sleep(0)
    assert sequencer._writer is not None
    sequencer._writer.cancel()

    outcomes = await asyncio.gather(*callers, return_exceptions=True)

    assert all(isinstance(one, asyncio.CancelledError) for one in outcomes)
    assert await sequencer.append([piece()]) is None
