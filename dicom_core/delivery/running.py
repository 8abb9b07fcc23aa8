"""Runs the subscribers of the change feed: takes what is new from the feed as tasks, and delivers those that are due.

A run may be broken off anywhere, and run beside others: what was taken is kept together with the position in the feed,
who delivers a task has a claim on it, and a task is forgotten only when it has been delivered as it was last read.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from dicom_core import tasks
from dicom_core.changes import Change
from dicom_core.delivery.subscribing import Failed, Refused, Subscriber, Unavailable
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Stores
from dicom_core.tasks import Position, Task

PATIENCE = 90.0
"""Seconds that a delivery may take; with a margin, less than a claim lasts."""

AT_ONCE = 8
"""Deliveries to a target at a time."""

_CHANGES = 5000
_TASKS = 1000
_TRIES = 5
_LONGEST_WAIT = 3600.0

log = logging.getLogger("dicom")


def utc_now() -> datetime:
    """The time, unless a test has another."""
    return datetime.now(UTC)


@dataclass(slots=True)
class Tally:
    """What a run has done."""

    taken: int = 0
    delivered: int = 0
    failed: int = 0


class Run:
    """One run of one subscriber, until a time at which it begins no further delivery.

    `settling` is when the studies that were taken may be delivered, of those that may not yet. When they are many, the
    next run takes what follows.
    """

    def __init__(
        self, subscriber: Subscriber, stores: Stores, until: datetime, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._subscriber = subscriber
        self._stores = stores
        self._deliveries = stores.deliveries
        self._until = until
        self._now = now
        self._worker = uuid4().hex
        self._queue: deque[Task] = deque()
        self._resting: dict[tuple[str, str], datetime] = {}
        self._changes: deque[Change] = deque()
        self._position = Position(0)
        self._is_down = False
        self.tally = Tally()
        self.settling: set[datetime] = set()

    @property
    def name(self) -> str:
        """The subscriber's name."""
        return self._subscriber.name

    async def carry_out(self, latest: int) -> None:
        """Take what the feed holds up to a sequence number, and deliver what is due."""
        position, due = await self._deliveries.due(self.name, self._now(), _TASKS)
        self._position = position or await self._begin(latest)
        if self._position.sequence > latest:
            latest = await self._caught_up()
        if self._position.rests_until is not None and self._now() < self._position.rests_until:
            return
        while True:
            self._queue.extend(sorted(due, key=lambda task: task.due))
            while self._position.sequence < latest and self._has_room() and self._may_go_on():
                if not await self._take():
                    break
            await self._work()
            is_all_taken = self._position.sequence >= latest or not self._has_room()
            if not self._may_go_on() or (is_all_taken and len(due) < _TASKS):
                return
            _, due = await self._deliveries.due(self.name, self._now(), _TASKS)

    def _has_room(self) -> bool:
        """Whether more may be taken: what is taken, and neither delivered nor tried, is kept in bounds."""
        now = self._now()
        self._resting = {key: due for key, due in self._resting.items() if due > now}
        return len(self._queue) + len(self._resting) < _TASKS

    def _may_go_on(self) -> bool:
        return not self._is_down and self._now() < self._until

    async def _begin(self, latest: int) -> Position:
        """The position of a new subscriber."""
        first = Position(0 if self._subscriber.from_beginning else latest)
        saved = await self._deliveries.save(self.name, (), first)
        position = saved.position if saved else await self._deliveries.position(self.name)
        assert position is not None
        return position

    async def _caught_up(self) -> int:
        """The end of the feed, which is not behind a position; if it is, the feed was lost, and begun anew."""
        last = await self._stores.feed.latest()
        latest = 0 if last is None else last.sequence
        if self._position.sequence > latest:
            log.warning("delivery: %s begins anew, as the feed does", self.name)
            first = 0 if self._subscriber.from_beginning else latest
            await self._move(replace(self._position, sequence=first))
        return latest

    async def _take(self) -> bool:
        """Make tasks of the changes that follow the position, of as many studies as are kept at once."""
        if not self._changes:
            self._changes.extend(await self._stores.feed.after(self._position.sequence, _CHANGES))
        found = _first_studies(self._changes, self._now())
        if not found:
            return False
        keys, queued = list(found), {task.key: task for task in self._queue}
        position = replace(self._position, sequence=max(task.last for task in found.values()))
        for _ in range(_TRIES):
            merged = [tasks.taken(queued.get(key), found[key], self._subscriber.settle) for key in keys]
            if saved := await self._deliveries.save(self.name, merged, position):
                assert saved.position is not None
                self._position = saved.position
                self.tally.taken += len(keys)
                self._enqueue(saved.tasks)
                return True
            stored = await self._deliveries.position(self.name)
            assert stored is not None
            if stored.sequence != self._position.sequence:
                self._position = stored  # another worker has taken them
                self._changes.clear()
                return True
            position = replace(stored, sequence=position.sequence)
            queued = {task.key: task for task in await self._deliveries.find(self.name, keys)}
        self._changes.clear()
        return False

    def _enqueue(self, kept: Sequence[Task]) -> None:
        """Deliver, too, what has just been taken and is due; each task once, as it is now."""
        changed = {task.key for task in kept}
        now = self._now()
        due = [task for task in kept if not task.claim and task.due <= now]
        later = [task for task in kept if not task.claim and task.due > now]
        self.settling.update(task.due for task in later)
        # The time of a further attempt may be an hour away: such tasks hold up no taking.
        self._resting.update((task.key, task.due) for task in later if not task.attempts)
        self._queue = deque([*(task for task in self._queue if task.key not in changed), *due])

    async def _work(self) -> None:
        if self._position.pauses and self._queue and self._may_go_on():
            await self._deliver(self._queue.popleft())  # one asks if the target is up again
        workers = (self._deliver_all() for _ in range(min(AT_ONCE, len(self._queue))))
        for result in await asyncio.gather(*workers, return_exceptions=True):
            if result is not None:
                raise result
        self._queue.clear()

    async def _deliver_all(self) -> None:
        try:
            while self._queue and self._may_go_on():
                await self._deliver(self._queue.popleft())
        except StorageUnavailable:
            self._is_down = True  # the others end what they have begun
            raise

    async def _deliver(self, task: Task) -> None:
        mine = await self._claim(task)
        if mine is None:
            return
        try:
            async with asyncio.timeout(PATIENCE):
                reached = await self._subscriber.deliver(mine, self._stores)
        except Unavailable as error:
            await self._pause(mine, error)
        except Refused as error:
            await self._fail(mine, str(error), tasks.given_up)
        except Failed as error:
            await self._fail(mine, str(error), tasks.put_off)
        except asyncio.CancelledError:
            with suppress(StorageUnavailable):  # the claim ends by itself
                await self._update(mine, lambda task: tasks.released(task, self._now()))
            raise
        except TimeoutError:
            await self._fail(mine, f"it took longer than {PATIENCE:.0f} s", tasks.put_off)
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            reason = f"{type(error).__name__} at {place.name}:{place.lineno}"
            await self._fail(mine, reason, tasks.put_off)
        else:
            await self._done(mine, mine.last if reached is None else reached)

    async def _claim(self, task: Task) -> Task | None:
        """Claim a task, as it is by now; None if another worker has it, or has delivered it."""
        current: Task | None = task
        for _ in range(_TRIES):
            if current is None or current.failed or current.due > self._now():
                return None
            saved = await self._deliveries.save(
                self.name, [tasks.claimed(current, self._worker, self._now())]
            )
            if saved:
                return saved.tasks[0]
            current = next(iter(await self._deliveries.find(self.name, [task.key])), None)
            if current is not None and current.claim == self._worker:
                return current  # the reply to the claim was lost
        return None

    async def _done(self, mine: Task, reached: int) -> None:
        """Forget what was delivered; what came meanwhile, or is left, is delivered next."""
        self.tally.delivered += 1
        if self._position.pauses and not self._is_down:
            await self._move(replace(self._position, rests_until=None, pauses=0, reason=""))
        if reached >= mine.last and await self._deliveries.drop(self.name, mine):
            return
        settle = self._subscriber.settle if reached >= mine.last else 0.0
        left = await self._update(mine, lambda task: tasks.rest_of(task, reached, self._now(), settle))
        if left is not None and left.due <= self._now():
            self._queue.append(left)

    async def _fail(self, mine: Task, reason: str, how: Callable[[Task, str, datetime], Task]) -> None:
        self.tally.failed += 1
        log.warning("delivery: %s study=%s attempt=%d: %s", self.name, mine.study, mine.attempts + 1, reason)

        def failed(task: Task) -> Task:
            # What came meanwhile may change the outcome: it is tried again with that.
            return (how if task.last == mine.last else tasks.put_off)(task, reason, self._now())

        saved = await self._update(mine, failed)
        if saved is not None and saved.failed:
            log.error("delivery: %s gives up study=%s", self.name, mine.study)

    async def _pause(self, mine: Task, error: Unavailable) -> None:
        """Have the subscriber rest.

        A task that meets this while others are delivered may be its reason: unless the target says how long to wait,
        it counts as failed, so that others go before it.
        """
        wait = error.retry_after
        delay = tasks.pause(self._position.pauses) if wait is None else timedelta(seconds=_bounded(wait))
        until = self._now() + delay
        if self.tally.delivered and wait is None:
            await self._fail(mine, str(error), tasks.put_off)
        else:
            await self._update(mine, lambda task: tasks.released(task, until))
        if self._is_down:
            return
        self._is_down = True
        log.warning("delivery: %s rests for %.0f s: %s", self.name, delay.total_seconds(), error)
        reason = str(error)[: tasks.MAX_REASON]
        await self._move(
            replace(self._position, rests_until=until, pauses=self._position.pauses + 1, reason=reason)
        )

    async def _move(self, position: Position) -> None:
        """Keep a rest, or its end, but not where in the feed: that is the business of those who take."""
        for _ in range(_TRIES):
            if saved := await self._deliveries.save(self.name, (), position):
                assert saved.position is not None
                self._position = saved.position
                return
            stored = await self._deliveries.position(self.name)
            assert stored is not None
            position = replace(position, sequence=stored.sequence, version=stored.version)

    async def _update(self, mine: Task, change: Callable[[Task], Task]) -> Task | None:
        """Change a task that this worker has a claim on, with what was added to it; None if it is another's by now."""
        task: Task | None = mine
        for _ in range(_TRIES):
            assert task is not None
            if saved := await self._deliveries.save(self.name, [change(task)]):
                return saved.tasks[0]
            task = next(iter(await self._deliveries.find(self.name, [mine.key])), None)
            if task is None or task.claim != self._worker:
                return None
        return None


def _first_studies(changes: deque[Change], now: datetime) -> dict[tuple[str, str], Task]:
    """Take from the changes the first of as many studies as are kept at once, as tasks."""
    found: dict[tuple[str, str], Task] = {}
    while changes:
        resource, sequence = changes[0].resource, changes[0].sequence
        assert resource.study is not None
        key = (resource.partition, resource.study)
        if key not in found and len(found) == tasks.AT_ONCE:
            break
        first = found[key].first if key in found else sequence
        found[key] = Task(*key, first=first, last=sequence, since=now, due=now)
        changes.popleft()
    return found


def _bounded(seconds: float) -> float:
    """What a target may ask for."""
    return min(max(seconds, 1.0), _LONGEST_WAIT)
