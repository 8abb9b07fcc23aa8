"""`Shared`: one run for all who wait, which begins after they asked."""

from __future__ import annotations

import asyncio

import pytest

from dicom_core.storage.sharing import Shared


class Runs:
    """Runs that are ended one by one."""

    def __init__(self) -> None:
        self.begun = 0
        self.ends: list[asyncio.Future[None]] = []

    async def __call__(self) -> None:
        """Begin a run, and wait for its end."""
        self.begun += 1
        self.ends.append(asyncio.get_running_loop().create_future())
        await self.ends[-1]


async def turns() -> None:
    """Let all others go on as far as they can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_run_under_way_is_not_shared() -> None:
    """It may have looked already: who comes later shares the next, and no one gets a third."""
    runs = Runs()
    shared = Shared(runs)
    first = asyncio.create_task(shared())
    await turns()
    later = [asyncio.create_task(shared()) for _ in range(5)]
    await turns()
    assert runs.begun == 1

    runs.ends[0].set_result(None)
    await turns()
    assert first.done()
    assert runs.begun == 2
    assert not any(one.done() for one in later)

    runs.ends[1].set_result(None)
    await asyncio.gather(*later)
    assert runs.begun == 2


async def test_caller_who_goes_does_not_end_the_run() -> None:
    """The others get what they wait for."""
    runs = Runs()
    shared = Shared(runs)
    gone, left = asyncio.create_task(shared()), asyncio.create_task(shared())
    await turns()
    gone.cancel()
    await turns()

    runs.ends[0].set_result(None)
    await left

    assert gone.cancelled()


async def test_run_that_fails_is_followed_by_another() -> None:
    """All who waited for it are told; the next run is a new one."""
    runs = Runs()
    shared = Shared(runs)
    waiting = [asyncio.create_task(shared()) for _ in range(2)]
    await turns()
    runs.ends[0].set_exception(ValueError("x"))

    assert [str(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == ["x", "x"]

    again = asyncio.create_task(shared())
    await turns()
    runs.ends[1].set_result(None)
    await again


async def test_run_that_was_cancelled_is_followed_by_another() -> None:
    """Also if it was before it had begun."""
    runs = Runs()
    shared = Shared(runs)
    asked = asyncio.create_task(shared())
    await asyncio.sleep(0)
    assert shared._next is not None
    shared._next.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked

    again = asyncio.create_task(shared())
    await turns()
    runs.ends[0].set_result(None)
    await again
