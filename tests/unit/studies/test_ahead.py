"""Doing the next things ahead: in order, not too many, and given up when they are not wanted any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from dicom_core.studies import ahead
from dicom_core.studies.ahead import AT_ONCE


class Content(AsyncIterator[bytes]):
    """Something that has to be closed."""

    def __init__(self) -> None:
        self.closed = False

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Note it."""
        self.closed = True


async def test_results_come_in_their_order() -> None:
    """Also if a later one is done first."""

    async def after(seconds: float) -> float:
        await asyncio.sleep(seconds)
        return seconds

    delays = [0.02, 0.0, 0.01, 0.0]

    assert [one async for one in ahead.ahead(map(after, delays))] == delays


async def test_no_more_than_so_many_are_begun() -> None:
    """Each that is given out makes room for one more."""
    begun: list[int] = []

    async def note(number: int) -> int:
        begun.append(number)
        return number

    def every() -> Iterator[Coroutine[Any, Any, int]]:
        return (note(number) for number in range(100))

    seen = []
    async with aclosing(ahead.ahead(every())) as results:
        async for number in results:
            await asyncio.sleep(0)
            seen.append((number, len(begun)))
            if number == 20:
                break

    assert seen == [(number, number + AT_ONCE + 1) for number in range(21)]


async def test_what_is_left_early_is_closed_and_cancelled() -> None:
    """A connection that was opened ahead is not left to the garbage collector."""
    contents = [Content() for _ in range(5)]
    never = asyncio.Event()
    cancelled: list[int] = []

    async def open_one(number: int) -> Content:
        if number == 5:
            try:
                await never.wait()
            except asyncio.CancelledError:
                cancelled.append(number)
                raise
        return contents[number]

    async with aclosing(ahead.ahead(map(open_one, range(6)))) as results:
        first = await anext(results)
        await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert first is contents[0]
    assert [one.closed for one in contents] == [False, True, True, True, True]
    assert cancelled == [5]


async def test_failure_is_raised_in_its_turn() -> None:
    """What came before it is given out."""

    async def fail(number: int) -> int:
        if number == 2:
            raise ValueError(number)
        return number

    results = ahead.ahead(map(fail, range(5)))

    assert [await anext(results), await anext(results)] == [0, 1]
    with pytest.raises(ValueError, match="2"):
        await anext(results)
