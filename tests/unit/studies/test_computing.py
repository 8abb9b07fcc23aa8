"""Computing with pixels: what may be in memory at once, and in whose turn."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dicom_core.studies.computing import Room, compute


class Guest:
    """A task that is in a room until it is told to leave."""

    def __init__(self, room: Room, size: int) -> None:
        self.inside = asyncio.Event()
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._stay(room, size))

    async def _stay(self, room: Room, size: int) -> None:
        async with room.taken(size):
            self.inside.set()
            await self.leave.wait()


async def settle() -> None:
    """Let every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_those_that_fit_are_in_at_once() -> None:
    """No one waits while there is room."""
    room = Room(10)
    guests = [Guest(room, 5), Guest(room, 5)]

    await settle()

    assert all(guest.inside.is_set() for guest in guests)


async def test_who_does_not_fit_waits() -> None:
    """The next is let in when one leaves, and as many behind it as fit."""
    room = Room(10)
    first, second, third = Guest(room, 8), Guest(room, 4), Guest(room, 4)
    await settle()
    assert not second.inside.is_set()

    first.leave.set()
    await settle()

    assert second.inside.is_set()
    assert third.inside.is_set()


async def test_small_ones_do_not_overtake() -> None:
    """A large one that waits is not starved by small ones that come after it."""
    room = Room(10)
    first, large, small = Guest(room, 5), Guest(room, 10), Guest(room, 1)
    await settle()
    assert not small.inside.is_set()

    first.leave.set()
    await settle()

    assert (large.inside.is_set(), small.inside.is_set()) == (True, False)


async def test_what_is_larger_than_the_room_takes_all_of_it() -> None:
    """It is let in alone."""
    room = Room(10)
    huge, small = Guest(room, 1000), Guest(room, 1)

    await settle()

    assert (huge.inside.is_set(), small.inside.is_set()) == (True, False)


@pytest.mark.parametrize("let_in", [False, True], ids=["waiting", "let in the same moment"])
async def test_who_is_cancelled_leaves_room(let_in: bool) -> None:
    """One that goes away, waiting or just let in, keeps nothing for itself."""
    room = Room(10)
    first, second, third = Guest(room, 10), Guest(room, 10), Guest(room, 10)
    await settle()
    if let_in:
        room._leave(10)
    second.task.cancel()
    await settle()

    if not let_in:
        first.leave.set()
    await settle()

    assert second.task.cancelled()
    assert third.inside.is_set()


async def test_compute_is_beside_the_event_loop() -> None:
    """A function runs in another thread, with its arguments, and its result comes back."""

    def where(*arguments: int) -> tuple[str, int]:
        return threading.current_thread().name, sum(arguments)

    name, total = await compute(where, 1, 2)

    assert (name.startswith("pixels"), total) == (True, 3)
