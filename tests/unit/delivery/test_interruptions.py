"""Runs that die at any storage request, lose replies, and meet each other anywhere: every change arrives, in order."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta

import pytest

from dicom_core.delivery.running import Run
from dicom_core.delivery.subscribing import Failed, Unavailable
from dicom_core.storage.deliveries import TABLE, TableDeliveries
from dicom_core.tasks import Load, Task
from tests.delivering import Told, World
from tests.fake_tables import Service


class Killed(BaseException):
    """The process is gone: nothing that it would have done is done."""


class Scene:
    """A feed with everything in it that can happen to a study, and tables that deliveries are kept in."""

    def __init__(self) -> None:
        self.service = Service()
        self.world = World(TableDeliveries(self.service.table(TABLE)))
        self.told = Told(answer=self._answer)
        self.delivered: dict[str, list[tuple[int, int]]] = {}
        self._asked: Counter[str] = Counter()
        self.world.change("plain", "fails", "grows", "halves", "halves", "down", "plain")

    async def _answer(self, task: Task) -> int | None:
        self._asked[task.study] += 1
        if self._asked[task.study] == 1:
            if task.study == "fails":
                raise Failed("status 500")
            if task.study == "down":
                raise Unavailable("status 503")
            if task.study == "grows":
                self.world.change("grows")
        reached = task.first if task.study == "halves" and task.first < task.last else None
        self.delivered.setdefault(task.study, []).append((task.first, reached or task.last))
        return reached

    def run(self) -> Run:
        """A run, of a worker that lives."""
        return self.world.run_of(self.told)

    async def go_on(self) -> None:
        """Run now and then until nothing is left to do."""
        for _ in range(30):
            self.told.under_way.clear()
            self.world.clock.move(400)
            await self.run().carry_out(len(self.world.index.changes))

    async def check(self) -> None:
        """Each change was delivered, none before one of its study that is older; nothing is left."""
        for study in {change.resource.study for change in self.world.index.changes}:
            assert study is not None
            expected = [one.sequence for one in self.world.index.changes if one.resource.study == study]
            told: set[int] = set()
            for first, last in self.delivered[study]:
                span = {one for one in expected if first <= one <= last}
                assert {one for one in expected if one < first} <= told
                told |= span
            assert told == set(expected)
        assert await self.world.deliveries.load("told") == Load(0, 0)
        position = await self.world.deliveries.position("told")
        assert position is not None
        assert position.sequence == len(self.world.index.changes)


async def undisturbed() -> int:
    """How many storage requests the first run makes."""
    scene = Scene()
    await scene.run().carry_out(7)
    return scene.service.requests


@pytest.mark.parametrize("carried_out", [False, True], ids=["before", "after"])
async def test_death_at_any_storage_request(carried_out: bool) -> None:
    """A worker that dies, before or after storage has done what it asked for, loses nothing."""
    count = await undisturbed()
    assert count > 15
    for fatal in range(1, count + 1):
        scene = Scene()

        async def turn(scene: Scene = scene, fatal: int = fatal) -> None:
            if scene.service.requests >= fatal + carried_out:
                raise Killed

        scene.service.turn = turn
        if fatal + carried_out <= count:
            with pytest.raises(Killed):
                await scene.run().carry_out(7)
        scene.service.turn = lambda: asyncio.sleep(0)

        await scene.go_on()

        await scene.check()


async def test_lost_replies() -> None:
    """A request that is sent again because its reply was lost does no harm, whichever it is."""
    for lost in range(1, await undisturbed() + 1):
        scene = Scene()
        scene.service.repeated = lambda scene=scene, lost=lost: scene.service.requests == lost  # type: ignore[misc]
        await scene.run().carry_out(7)

        await scene.go_on()

        await scene.check()


async def test_every_reply_is_lost() -> None:
    """Nothing depends on a reply."""
    scene = Scene()
    scene.service.repeated = lambda: True

    await scene.go_on()

    await scene.check()


@pytest.mark.parametrize("seed", range(60))
async def test_workers_meet_anywhere(seed: int) -> None:
    """Three workers whose requests come in any order deliver every change, none twice at once."""
    scene, chance = Scene(), random.Random(seed)

    async def turn() -> None:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)

    scene.service.turn = turn
    for _ in range(3):
        runs = (scene.run().carry_out(len(scene.world.index.changes)) for _ in range(3))
        await asyncio.gather(*runs)
        scene.world.clock.move(20)
        scene.world.change("plain", f"new{chance.randrange(3)}")

    await scene.go_on()

    await scene.check()


async def test_price_of_nothing_to_do() -> None:
    """A run that finds nothing new and nothing due asks for one thing, beside where the feed ends."""
    scene = Scene()
    await scene.go_on()
    scene.service.requests = 0

    await scene.run().carry_out(len(scene.world.index.changes))

    assert scene.service.requests == 1


async def test_price_of_a_study() -> None:
    """A study's changes cost one request to take with up to 98 others, and two of their own."""
    scene = Scene()
    await scene.go_on()
    scene.service.requests = 0
    scene.world.change(*(f"study{number}" for number in range(99)))

    await scene.run().carry_out(len(scene.world.index.changes))

    assert scene.service.requests == 1 + 1 + 2 * 99


async def test_price_of_what_settles() -> None:
    """To take it costs one request for 99 studies, and nothing more until it is due."""
    scene = Scene()
    await scene.go_on()
    scene.told.settle = 60.0
    scene.service.requests = 0
    scene.world.change(*(f"study{number}" for number in range(900)))

    await scene.run().carry_out(len(scene.world.index.changes))

    assert scene.service.requests == 1 + 10


async def test_price_of_a_study_that_is_due_and_changes() -> None:
    """It is looked at once: with what is new."""
    scene = Scene()
    await scene.go_on()
    scene.told.settle = 60.0
    scene.world.change("study")
    await scene.run().carry_out(len(scene.world.index.changes))
    scene.told.settle = 0.0
    scene.world.clock.move(60)
    scene.world.change("study")
    scene.service.requests = 0

    await scene.run().carry_out(len(scene.world.index.changes))

    assert scene.service.requests == 1 + 1 + 2


async def test_price_of_a_target_that_is_down() -> None:
    """While a subscriber rests, a run asks for one thing, however much has changed."""
    scene = Scene()

    async def down(task: Task) -> None:
        raise Unavailable("status 503", 600.0)

    scene.told.answer = down
    await scene.run().carry_out(7)
    scene.service.requests = 0
    scene.world.change(*(f"study{number}" for number in range(99)))
    scene.world.clock.time += timedelta(seconds=599)

    await scene.run().carry_out(len(scene.world.index.changes))

    assert scene.service.requests == 1
