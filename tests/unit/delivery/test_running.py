"""Each change reaches each subscriber at least once, in order of its study, and no study holds up another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta

import pytest

from dicom_core import tasks
from dicom_core.delivery import running, worker
from dicom_core.delivery.running import AT_ONCE, Run
from dicom_core.delivery.subscribing import Failed, Refused, Unavailable
from dicom_core.delivery.worker import Delivery
from dicom_core.errors import StorageUnavailable
from dicom_core.storage.memory import MemoryDeliveries
from dicom_core.tasks import Load, Position, Saved, Task
from tests.delivering import START, Told, World


def failing(*studies: str, error: Exception) -> Told:
    """A subscriber that some studies cannot be delivered to."""

    async def answer(task: Task) -> None:
        if task.study in studies:
            raise error

    return Told(answer=answer)


async def test_changes_are_delivered_once() -> None:
    """What was delivered is forgotten, and not delivered by the next run."""
    world, told = World(), Told()
    world.change("1", "2", "1")

    await world.run(told)
    await world.run(told)

    assert sorted(told.tasks) == [("1", 1, 3), ("2", 2, 2)]
    assert await world.deliveries.load("told") == Load(0, 0)


async def test_later_changes_are_delivered() -> None:
    """A run begins where the one before it ended."""
    world, told = World(), Told()
    world.change("1")
    await world.run(told)
    world.change("1", "2")

    await world.run(told)

    assert sorted(told.tasks) == [("1", 1, 1), ("1", 2, 2), ("2", 3, 3)]


async def test_new_subscriber_begins_where_it_says() -> None:
    """One is told of all there is, another of what follows."""
    world, everything, news = World(), Told("everything"), Told("news", from_beginning=False)
    world.change("1")
    for told in (everything, news):
        await world.run(told)
    world.change("2")

    for told in (everything, news):
        await world.run(told)

    assert [study for study, *_ in everything.tasks] == ["1", "2"]
    assert [study for study, *_ in news.tasks] == ["2"]


async def test_deliveries_at_once() -> None:
    """Several studies are delivered at a time, but no more than a target should bear."""
    world, told = World(), Told()
    world.change(*map(str, range(50)))

    await world.run(told)

    assert told.most_at_once == AT_ONCE
    assert len(told.tasks) == 50


async def test_many_studies_are_taken() -> None:
    """A feed of more studies than are kept at once is taken piece by piece."""
    world, told = World(), Told()
    world.change(*(str(number % 250) for number in range(700)))

    await world.run(told)

    delivered: dict[str, list[int]] = {}
    for study, first, last in told.tasks:
        delivered.setdefault(study, []).extend(range(first, last + 1))
    changes = {change.sequence: change.resource.study for change in world.index.changes}
    for sequence, study in changes.items():
        assert sequence in delivered[study or ""]


async def test_study_settles() -> None:
    """A study is delivered when it has rested for the settling time, with all that came meanwhile."""
    world, told = World(), Told(settle=10)
    world.change("1")
    await world.run(told)
    world.clock.move(6)
    world.change("1")
    await world.run(told)
    world.clock.move(6)
    await world.run(told)
    assert told.tasks == []
    world.clock.move(4)

    await world.run(told)

    assert told.tasks == [("1", 1, 2)]


async def test_study_that_never_rests_is_delivered() -> None:
    """One that keeps changing is delivered all the same, after a while."""
    world, told = World(), Told(settle=10)
    while not told.tasks:
        world.change("1")
        await world.run(told)
        world.clock.move(5)
        assert len(world.index.changes) < 50

    assert world.clock.time - START <= timedelta(seconds=10 * tasks.LONGEST_SETTLING + 10)


async def test_changes_during_a_delivery_make_another() -> None:
    """What comes while its study is being delivered is delivered after that, not lost and not beside it."""
    world = World()

    async def answer(task: Task) -> None:
        if len(world.index.changes) == 1:
            world.change("1")
            other = Told()
            await world.run(other)
            await world.run(other)
            assert other.tasks == []

    told = Told(answer=answer)
    world.change("1")

    await world.run(told)

    assert told.tasks == [("1", 1, 1), ("1", 2, 2)]
    assert await world.deliveries.load("told") == Load(0, 0)


async def test_part_is_delivered() -> None:
    """A subscriber may stop halfway; the rest follows, and is not mixed up with what was delivered."""
    world, told = World(), Told()

    async def answer(task: Task) -> int | None:
        return task.first + 1 if task.last > task.first + 1 else None

    told.answer = answer
    world.change("1", "1", "1", "1", "1")

    await world.run(told)

    assert told.tasks == [("1", 1, 2), ("1", 3, 4), ("1", 5, 5)]


async def test_failure_is_tried_again_ever_more_seldom() -> None:
    """After 10 s, 20 s, 40 s and so on up to an hour; then it has failed, a day later, with its reason."""
    world, told = World(), failing("1", error=Failed("status 500"))
    world.change("1")
    delays = []
    for _ in range(tasks.ATTEMPTS):
        await world.run(told)
        task = await world.task(told, "1")
        assert task is not None
        delays.append((task.due - world.clock.time).total_seconds())
        world.clock.time = task.due

    assert delays[:4] == [10, 20, 40, 80]
    assert max(delays) == 3600
    assert timedelta(hours=20) < world.clock.time - START < timedelta(hours=28)
    assert [
        (one.study, one.attempts, one.reason) for one in await world.deliveries.failures("told", 0, 9)
    ] == [("1", tasks.ATTEMPTS, "status 500")]


async def test_bad_study_blocks_nothing() -> None:
    """Others are delivered, and the feed is taken further, whatever becomes of one."""
    world, told = World(), failing("2", error=Failed("status 500"))
    world.change("1", "2", "3")
    await world.run(told)
    world.change("4", "2")

    await world.run(told)

    assert sorted(study for study, *_ in told.tasks) == ["1", "3", "4"]
    position = await world.deliveries.position("told")
    assert position is not None
    assert position.sequence == 5
    task = await world.task(told, "2")
    assert task is not None
    assert (task.first, task.last) == (2, 5)


async def test_refused_study_fails_at_once(caplog: pytest.LogCaptureFixture) -> None:
    """What will never be taken is not tried again, which the log says in words that an alert looks for."""
    world, told = World(), failing("1", error=Refused("status 400"))
    world.change("1")

    await world.run(told)

    assert "delivery: told gives up study=1" in caplog.text

    assert [(one.attempts, one.reason) for one in await world.deliveries.failures("told", 0, 9)] == [
        (1, "status 400")
    ]
    world.clock.move(10**6)
    assert (await world.deliveries.due("told", world.clock.time, 9))[1] == []


async def test_failed_study_begins_anew_with_a_change() -> None:
    """A further change has a failed study delivered, all of it."""
    world, told = World(), failing("1", error=Refused("status 400"))
    world.change("1", "2")
    await world.run(told)
    told.answer = None
    world.change("1")

    await world.run(told)

    assert ("1", 1, 3) in told.tasks
    assert await world.deliveries.load("told") == Load(0, 0)


@pytest.mark.parametrize(
    "error", [KeyError("DOE^JANE"), StorageUnavailable("x"), ExceptionGroup("g", [OSError()])]
)
async def test_unexpected_error_is_a_failure(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again; its text, which may be anything, is neither kept nor logged."""
    world, told = World(), failing("1", error=error)
    world.change("1", "2")
    caplog.set_level(logging.INFO)

    await world.run(told)

    task = await world.task(told, "1")
    assert task is not None
    assert (task.attempts, task.failed) == (1, False)
    assert task.reason.startswith(type(error).__name__)
    assert "DOE" not in task.reason + caplog.text
    assert [study for study, *_ in told.tasks] == ["2"]


async def test_delivery_that_hangs_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a time it counts as failed, and the others go on."""
    monkeypatch.setattr(running, "PATIENCE", 0.01)

    async def answer(task: Task) -> None:
        if task.study == "1":
            await asyncio.Event().wait()

    world, told = World(), Told(answer=answer)
    world.change("1", "2")

    await world.run(told)

    task = await world.task(told, "1")
    assert task is not None
    assert (task.attempts, task.claim) == (1, "")
    assert [study for study, *_ in told.tasks] == ["2"]


async def test_target_that_is_down_pauses_the_subscriber() -> None:
    """Nothing is delivered until it is time; no task is the worse for it. Pauses grow up to ten minutes."""
    world, told = World(), Told()
    asked: list[str] = []

    async def down(task: Task) -> None:
        asked.append(task.study)
        raise Unavailable("status 503")

    told.answer = down
    world.change(*map(str, range(100)))
    pauses = []
    for _ in range(12):
        await world.run(told)
        asked_before = len(asked)
        await world.run(told)
        assert len(asked) == asked_before
        position = await world.deliveries.position("told")
        assert position is not None
        assert position.rests_until is not None
        assert position.reason == "status 503"
        pauses.append((position.rests_until - world.clock.time).total_seconds())
        world.clock.time = position.rests_until

    assert pauses == [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600]
    assert len(asked) <= AT_ONCE + 11
    _, due = await world.deliveries.due("told", world.clock.time, 1000)
    assert len(due) == 100
    assert {(task.attempts, task.claim) for task in due} == {(0, "")}


async def test_target_that_is_up_again_gets_everything() -> None:
    """One task asks; then the others follow, and the next pause is a short one again."""
    world, told = World(), Told()

    async def down(task: Task) -> None:
        raise Unavailable("status 503")

    told.answer = down
    world.change(*map(str, range(30)))
    for _ in range(3):
        await world.run(told)
        world.clock.move(600)
    told.answer = None

    await world.run(told)

    assert len(told.tasks) == 30
    position = await world.deliveries.position("told")
    assert position is not None
    assert (position.pauses, position.rests_until, position.reason) == (0, None, "")


@pytest.mark.parametrize(("asked", "waited"), [(37.0, 37.0), (0.0, 1.0), (10.0**9, 3600.0)])
async def test_target_says_how_long(asked: float, waited: float) -> None:
    """Retry-After counts, within reason."""
    world, told = World(), failing("1", error=Unavailable("status 429", asked))
    world.change("1")

    await world.run(told)

    position = await world.deliveries.position("told")
    assert position is not None
    assert position.rests_until == START + timedelta(seconds=waited)


async def test_throttled_tasks_do_not_age() -> None:
    """A target that takes some and asks for patience with the others costs these no attempts."""
    world = World()
    left = 20

    async def answer(task: Task) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Unavailable("status 429", 10.0)

    told = Told(answer=answer)
    world.change(*map(str, range(100)))
    for _ in range(5):
        left = 20
        await world.run(told)
        world.clock.move(11)

    assert len(told.tasks) == 100


async def test_study_that_breaks_the_target_blocks_no_other() -> None:
    """One at which the target goes down each time goes out of the way of the others, and fails in the end."""
    world, told = World(), failing("bad", error=Unavailable("no answer (ServerDisconnectedError)"))
    world.change("bad", *map(str, range(20)))
    for _ in range(200):
        await world.run(told)
        position = await world.deliveries.position("told")
        assert position is not None
        world.clock.time = max(position.rests_until or START, world.clock.time + timedelta(seconds=60))
        world.change(f"new{len(world.index.changes)}")
    await world.run(told)

    delivered = {study for study, *_ in told.tasks}
    assert {str(number) for number in range(20)} <= delivered
    assert len([study for study in delivered if study.startswith("new")]) >= 195
    task = await world.task(told, "bad")
    assert task is not None
    assert task.attempts > 5


async def test_claim_of_a_worker_that_died_is_taken_over() -> None:
    """Not while it may live, but when its claim has ended."""

    class Killed(BaseException): ...

    world, told = World(), Told()

    async def die(task: Task) -> None:
        raise Killed

    told.answer = die
    world.change("1")
    with pytest.raises(Killed):
        await world.run(told)
    told.answer = None
    world.clock.move(tasks.CLAIM.total_seconds() - 1)
    await world.run(told)
    assert told.tasks == []
    world.clock.move(1)

    await world.run(told)

    assert told.tasks == [("1", 1, 1)]


async def test_worker_that_is_stopped_leaves_no_claim() -> None:
    """What it was delivering is the next one's at once: a stop is no failure of the study."""
    begun = asyncio.Event()

    async def hang(task: Task) -> None:
        begun.set()
        await asyncio.Event().wait()

    world, told = World(), Told(answer=hang)
    world.change("1")
    stopped = asyncio.create_task(world.run(told))
    await begun.wait()
    stopped.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopped
    told.answer = None

    await world.run(told)

    assert told.tasks == [("1", 1, 1)]


def test_claim_outlives_a_delivery() -> None:
    """A worker that lives is never taken for dead: a delivery ends before its claim does."""
    assert tasks.CLAIM.total_seconds() > running.PATIENCE * 2


async def test_two_workers_share_the_work() -> None:
    """Each study is delivered by one of them."""
    world, told = World(), Told()
    world.change(*map(str, range(150)))

    await asyncio.gather(*(world.run_of(told).carry_out(150) for _ in range(3)))

    assert sorted(study for study, *_ in told.tasks) == sorted(map(str, range(150)))
    assert await world.deliveries.load("told") == Load(0, 0)


async def test_backlog_ends_with_the_time() -> None:
    """A run begins nothing after its time; the next goes on. No more is taken from the feed than is needed."""
    world, told = World(), Told()

    async def slow(task: Task) -> None:
        world.clock.move(1)

    told.answer = slow
    world.change(*map(str, range(10_000)))

    await world.run(told, 120.0)

    assert 120 <= len(told.tasks) <= 120 + AT_ONCE
    load = await world.deliveries.load("told")
    assert load.waiting < 1200
    await world.run(told, 120.0)
    assert len({study for study, *_ in told.tasks}) >= 240


async def test_lost_feed_is_followed_anew() -> None:
    """Where the feed was lost and begins at 1 again, a subscriber does not wait for it to reach where it was."""
    world, told, news = World(), Told(), Told("news", from_beginning=False)
    world.change("1", "2", "3")
    for one in (told, news):
        await world.run(one)
    told.tasks.clear()
    world.index.changes.clear()
    world.change("1")

    for one in (told, news):
        await world.run(one)

    world.change("2")
    for one in (told, news):
        await world.run(one)
    assert told.tasks == [("1", 1, 1), ("2", 2, 2)]
    assert news.tasks == [("2", 2, 2)]


async def test_position_ahead_of_an_old_look_is_no_loss() -> None:
    """A worker that looked at the feed before another took from it takes nothing twice."""
    world, told = World(), Told()
    world.change("1", "2")
    await world.run(told)

    await world.run_of(told).carry_out(1)

    assert len(told.tasks) == 2


async def test_slow_subscriber_holds_up_no_other() -> None:
    """Subscribers run beside each other, and one that breaks does so alone."""
    world = World()
    done = asyncio.Event()

    async def wait(task: Task) -> None:
        await done.wait()

    async def release(task: Task) -> None:
        done.set()

    world.change("1")
    slow, quick = Told("slow", answer=wait), Told("quick", answer=release)

    await Delivery([slow, quick]).run(world.stores, 120.0)

    assert len(slow.tasks) == len(quick.tasks) == 1


async def test_wish_for_a_run_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is asked for while another is under way returns at once, and follows it."""
    monkeypatch.setattr(worker, "SPACING", 0.0)
    world = World()
    delivery: Delivery

    async def answer(task: Task) -> None:
        if task.study == "1":
            world.change("2")
            await delivery.run(world.stores, 120.0)
            assert [study for study, *_ in told.tasks] == []

    told = Told(answer=answer)
    delivery = Delivery([told])
    world.change("1")

    await delivery.run(world.stores, 120.0)

    assert [study for study, *_ in told.tasks] == ["1", "2"]


async def test_study_that_settles_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is delivered when it has settled, though no one asks; what has come meanwhile is told with it."""
    monkeypatch.setattr(worker, "SPACING", 0.0)
    world, told = World(), Told(settle=0.2)
    delivery = Delivery([told])
    world.change("1")

    running = asyncio.create_task(delivery.run(world.stores, 120.0))
    await asyncio.sleep(0.05)
    world.change("1", "2")
    await delivery.run(world.stores, 120.0)
    assert told.tasks == []
    await running

    assert sorted(told.tasks) == [("1", 1, 2), ("2", 3, 3)]


async def test_study_that_settles_too_late_is_left_to_the_next() -> None:
    """A run lasts no longer than it may."""
    world, told = World(), Told(settle=60.0)
    world.change("1")

    async with asyncio.timeout(10):
        await Delivery([told]).run(world.stores, 30.0)

    assert told.tasks == []
    assert (await world.deliveries.load("told")).waiting == 1


async def test_run_that_breaks_is_followed_by_another(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A feed that cannot be read is logged, and keeps no later run from running."""
    world, told = World(), Told()
    world.change("1")
    delivery = Delivery([told])
    monkeypatch.setattr(worker, "SPACING", 0.0)
    stores = world.stores

    async def latest() -> None:
        raise StorageUnavailable("x")

    with monkeypatch.context() as broken:
        broken.setattr(stores.feed, "latest", latest)
        await delivery.run(stores, 120.0)
    assert "the feed cannot be read: StorageUnavailable" in caplog.text

    await delivery.run(stores, 120.0)

    assert len(told.tasks) == 1


class Contended(MemoryDeliveries):
    """Others win so many races for the tasks of a study, one after the other."""

    def __init__(self, races: int) -> None:
        super().__init__()
        self._races = races

    async def save(
        self, subscriber: str, tasks: Sequence[Task], position: Position | None = None
    ) -> Saved | None:
        """Lose, or keep."""
        if tasks and position is not None and self._races:
            self._races -= 1
            return None
        return await super().save(subscriber, tasks, position)


@pytest.mark.parametrize("races", [1, 4, 5, 6, 12])
async def test_take_that_loses_races(races: int) -> None:
    """Changes that could not be taken are taken later: the position does not pass them."""
    world, told = World(Contended(races)), Told()
    world.change(*map(str, range(250)))

    for _ in range(3):
        await world.run(told)

    assert sorted(int(study) for study, *_ in told.tasks) == list(range(250))


async def test_settling_studies_are_not_taken_without_bound() -> None:
    """A run takes about a thousand that rest; the next goes on, and delivers those that have settled."""
    world, told = World(), Told(settle=5)
    world.change(*map(str, range(2500)))

    run = await world.run(told)
    taken = (await world.deliveries.load("told")).waiting
    assert 1000 <= taken < 1000 + tasks.AT_ONCE
    assert run.settling == {START + timedelta(seconds=5)}
    world.clock.move(5)
    await world.run(told)

    assert len(told.tasks) == taken
    assert 1000 <= (await world.deliveries.load("told")).waiting < 1000 + tasks.AT_ONCE


async def test_run_goes_on_taking_as_studies_settle() -> None:
    """What settled while others were delivered makes room for more, without another run."""
    world = World()

    async def answer(task: Task) -> None:
        world.clock.move(0.1)

    told = Told(settle=5, answer=answer)
    world.change(*map(str, range(2500)))
    await world.run(told)
    world.clock.move(5)

    await world.run(told, 600.0)

    assert len(told.tasks) >= 2000


async def test_backlog_that_settles_is_delivered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that has time takes all of it, thousand after thousand."""
    monkeypatch.setattr(worker, "SPACING", 0.0)
    world, told = World(), Told(settle=0.05)
    world.change(*map(str, range(2500)))

    await Delivery([told]).run(world.stores, 120.0)

    assert len(told.tasks) == 2500


async def test_studies_that_are_put_off_hold_up_no_taking() -> None:
    """Those of a further attempt do not count, however many have further changes: it may be an hour away."""
    world, told = World(), Told(settle=5)
    studies = [str(number) for number in range(1200)]

    async def fail(task: Task) -> None:
        raise Failed("status 500")

    world.change(*studies)
    await world.run(told)
    world.clock.move(5)
    told.answer = fail
    await world.run(told)
    world.clock.move(5)
    await world.run(told)
    world.change(*studies)

    await world.run(told)

    position = await world.deliveries.position("told")
    assert position is not None
    assert position.sequence == 2400


async def test_rest_settles_too() -> None:
    """What comes while its study is being delivered rests as long as what came before."""
    world = World()

    async def answer(task: Task) -> None:
        if len(world.index.changes) == 1:
            world.change("1")
            await world.run(Told(settle=10))

    told = Told(settle=10, answer=answer)
    world.change("1")
    await world.run(told)
    world.clock.move(10)
    await world.run(told)
    world.clock.move(9)
    await world.run(told)
    assert told.tasks == [("1", 1, 1)]
    world.clock.move(1)

    await world.run(told)

    assert told.tasks == [("1", 1, 1), ("1", 2, 2)]


async def test_many_tasks_that_are_due_again() -> None:
    """All that are due are delivered in one run, also more than are looked at at once."""
    world, told = World(), Told()

    async def fail(task: Task) -> None:
        raise Failed("status 500")

    told.answer = fail
    world.change(*map(str, range(1500)))
    await world.run(told)
    told.answer = None
    world.clock.move(60)

    await world.run(told)

    assert len(told.tasks) == 1500


async def test_pause_does_not_move_the_position() -> None:
    """A worker whose target is down puts the position not back to where it knew it."""
    world = World()

    async def answer(task: Task) -> None:
        if len(world.index.changes) == 1:
            world.change("2", "3")
            await world.run(Told())
        raise Unavailable("status 503")

    told = Told(answer=answer)
    world.change("1")

    await world.run(told)

    position = await world.deliveries.position("told")
    assert position is not None
    assert (position.sequence, position.pauses) == (3, 1)


async def test_refused_study_that_changed_meanwhile_is_tried_again() -> None:
    """What came during the delivery may make it one that is taken."""
    world = World()

    async def answer(task: Task) -> None:
        if len(world.index.changes) == 1:
            world.change("1")
            await world.run(Told())
            raise Refused("status 400")

    told = Told(answer=answer)
    world.change("1")
    await world.run(told)
    world.clock.move(60)

    await world.run(told)

    assert told.tasks == [("1", 1, 2)]


async def test_change_does_not_hurry_a_repetition() -> None:
    """A study that waits for a further attempt waits on, with what has come."""
    world, told = World(), failing("1", error=Failed("status 500"))
    world.change("1")
    await world.run(told)
    told.answer = None
    world.change("1")
    await world.run(told)
    assert told.tasks == []
    world.clock.move(10)

    await world.run(told)

    assert told.tasks == [("1", 1, 2)]


async def test_study_that_begins_anew_has_all_its_attempts() -> None:
    """A failed study that changes is not given up again at the first failure."""
    world, told = World(), failing("1", error=Failed("status 500"))
    world.change("1")
    for _ in range(tasks.ATTEMPTS):
        await world.run(told)
        world.clock.move(3600)
    assert await world.deliveries.load("told") == Load(0, 1)
    world.change("1")

    await world.run(told)

    assert await world.deliveries.load("told") == Load(1, 0)


async def test_worker_that_was_taken_for_dead_changes_nothing() -> None:
    """When it fails after all, its task is left to the worker that has it now."""
    world, end = World(), asyncio.Event()
    begun = asyncio.Event()

    async def wait(task: Task) -> None:
        begun.set()
        await end.wait()

    other = Told(answer=wait)
    taking_over: list[asyncio.Task[Run]] = []

    async def be_late(task: Task) -> None:
        world.clock.move(tasks.CLAIM.total_seconds())
        taking_over.append(asyncio.ensure_future(world.run(other)))
        await begun.wait()
        raise Failed("status 500")

    world.change("1")
    await world.run(Told(answer=be_late))

    task = await world.task(other, "1")
    assert task is not None
    assert (bool(task.claim), task.attempts) == (True, 0)
    end.set()
    await taking_over[0]
    assert other.tasks == [("1", 1, 1)]
    assert await world.deliveries.load("told") == Load(0, 0)


async def test_taken_by_another_worker() -> None:
    """A worker that another has overtaken goes on where that one is, and takes nothing twice."""
    world, told = World(), Told()

    class Overtaken(MemoryDeliveries):
        races = 1

        async def save(
            self, subscriber: str, tasks: Sequence[Task], position: Position | None = None
        ) -> Saved | None:
            if tasks and position is not None and self.races:
                self.races -= 1
                await world.run_of(told).carry_out(150)
            return await super().save(subscriber, tasks, position)

    world.deliveries = Overtaken()
    world.change(*map(str, range(250)))

    await world.run(told)

    assert sorted(int(study) for study, *_ in told.tasks) == list(range(250))


async def test_storage_that_fails_ends_the_run() -> None:
    """What is under way ends; nothing is begun that could not be noted."""

    class Broken(MemoryDeliveries):
        failures_left = 1

        async def drop(self, subscriber: str, task: Task) -> bool:
            if self.failures_left:
                self.failures_left -= 1
                raise StorageUnavailable("x")
            return await super().drop(subscriber, task)

    world, told = World(Broken()), Told()
    world.change(*map(str, range(50)))

    with pytest.raises(StorageUnavailable):
        await world.run(told)

    assert len(told.tasks) <= 2 * AT_ONCE
