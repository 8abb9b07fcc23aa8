"""One run for all who wait: who asks for what is under way shares the next run, which begins after they asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

Run = Callable[[], Awaitable[None]]
"""Brings something up to the moment of the call."""


class Shared:
    """A run that is shared; a caller who is cancelled does not end it for the others."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._under_way: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Wait for a run that begins after this call; raises what it raises."""
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._after(self._under_way))
        await asyncio.shield(self._next)

    async def _after(self, former: asyncio.Task[None] | None) -> None:
        if former is not None:
            await asyncio.wait([former])
        self._under_way, self._next = self._next, None
        await self._run()
