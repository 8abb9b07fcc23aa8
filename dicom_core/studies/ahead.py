"""Does the next thing while the one before is used: hides the latency of storage in answers of many reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def ahead(coroutines: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Yield the results in their order; the next is begun when one is given out, and no more than that."""
    upcoming = iter(coroutines)
    running = _begin(upcoming)
    try:
        while running is not None:
            result = await running
            running = _begin(upcoming)
            yield result
    finally:
        if running is not None:
            running.cancel()


def _begin(upcoming: Iterable[Coroutine[Any, Any, T]]) -> asyncio.Task[T] | None:
    coroutine = next(iter(upcoming), None)
    return None if coroutine is None else asyncio.create_task(coroutine)
