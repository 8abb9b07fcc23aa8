"""Does the next things while the one before is used: hides the latency of storage in answers of many reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable
from itertools import islice
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 8
"""Things begun and not yet given out; what each may hold in memory until then is up to it (256 KiB for a blob)."""


async def ahead(coroutines: Iterable[Coroutine[Any, Any, T]]) -> AsyncGenerator[T, None]:
    """Yield the results in their order; a further one is begun for each that is given out.

    Close the generator when it is left early: what was begun and is not wanted is given up, and closed if it can be.
    """
    upcoming = iter(coroutines)
    running = deque(map(asyncio.ensure_future, islice(upcoming, AT_ONCE)))
    try:
        while running:
            result = await running[0]
            running.popleft()
            running.extend(map(asyncio.ensure_future, islice(upcoming, 1)))
            yield result
    finally:
        for task in running:
            if not task.done():
                task.cancel()
            elif not task.cancelled() and task.exception() is None:
                await _close(task.result())


async def _close(result: object) -> None:
    close = getattr(result, "aclose", None)
    if close is not None:
        await close()
