"""What delivery is tested with: a feed to fill, a subscriber that does as it is told, and a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from dicom_core.changes import Action, Change
from dicom_core.delivery.running import Run
from dicom_core.ports import Deliveries, Stores
from dicom_core.resources import Resource
from dicom_core.storage.memory import MemoryDeliveries, MemoryFeed, MemoryIndex
from dicom_core.tasks import Task

START = datetime(2026, 1, 31, 8, tzinfo=UTC)

Answer = Callable[[Task], Awaitable[int | None]]


@dataclass(slots=True)
class Clock:
    """A time that stands until it is moved."""

    time: datetime = START

    def __call__(self) -> datetime:
        """The time."""
        return self.time

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time += timedelta(seconds=seconds)


@dataclass(slots=True)
class Told:
    """A subscriber that notes what it is told, and answers as `answer` does."""

    name: str = "told"
    settle: float = 0.0
    from_beginning: bool = True
    answer: Answer | None = None
    tasks: list[tuple[str, int, int]] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    under_way: set[str] = field(default_factory=set)

    async def deliver(self, task: Task, stores: Stores) -> int | None:
        """Take note of the task."""
        assert task.study not in self.under_way, "two deliveries of a study at once"
        self.under_way.add(task.study)
        self.most_at_once = max(self.most_at_once, len(self.under_way))
        try:
            await asyncio.sleep(0)
            reached = None if self.answer is None else await self.answer(task)
        finally:
            self.under_way.discard(task.study)
        self.tasks.append((task.study, task.first, task.last if reached is None else reached))
        return reached

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(slots=True)
class World:
    """A feed in memory, and what is kept of deliveries."""

    deliveries: Deliveries = field(default_factory=MemoryDeliveries)
    clock: Clock = field(default_factory=Clock)
    index: MemoryIndex = field(default_factory=MemoryIndex)

    @property
    def stores(self) -> Stores:
        """The ports that delivery looks at."""
        nothing = cast(Any, None)
        feed = MemoryFeed(self.index)
        return Stores(nothing, self.index, nothing, nothing, feed, self.deliveries)

    def change(self, *studies: str, action: Action = Action.CREATE) -> None:
        """Tell a change of each study."""
        for study in studies:
            sequence = len(self.index.changes) + 1
            resource = Resource(study, f"{study}.1", f"{study}.1.{sequence}", "p")
            self.index.changes.append(
                Change(
                    sequence, self.clock.time, action, resource, f"v{sequence}", "1.2.840.10008.5.1.4.1.1.7"
                )
            )

    def run_of(self, subscriber: Told, seconds: float = 120.0) -> Run:
        """A run by another worker."""
        return Run(subscriber, self.stores, self.clock.time + timedelta(seconds=seconds), self.clock)

    async def run(self, subscriber: Told, seconds: float = 120.0) -> Run:
        """Carry out a run."""
        run = self.run_of(subscriber, seconds)
        await run.carry_out(len(self.index.changes))
        return run

    async def task(self, subscriber: Told, study: str) -> Task | None:
        """The task that is kept of a study."""
        return next(iter(await self.deliveries.find(subscriber.name, [("p", study)])), None)
