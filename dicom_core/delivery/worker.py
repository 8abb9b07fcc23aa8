"""The runs of all subscribers in one worker: never two at once, and never a wish for one forgotten.

Where studies settle, what was taken is waited for as long as the run may last: the next might be minutes away.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence, Set
from contextlib import suppress
from datetime import datetime, timedelta

from dicom_core.delivery.running import Run, utc_now
from dicom_core.delivery.subscribing import Subscriber
from dicom_core.errors import described
from dicom_core.ports import Stores

SPACING = 2.0
"""Seconds between the runs of a worker: while a study is stored, each of its blobs asks for one."""

log = logging.getLogger("dicom")


class Delivery:
    """Runs the subscribers."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = subscribers
        self._is_running = False
        self._wanted = asyncio.Event()
        self._ended = -SPACING

    async def run(self, stores: Stores, seconds: float) -> None:
        """Run the subscribers, and again while someone asks for it or a study settles; no longer than so many seconds.

        If a run is under way, it is asked to go on, and this returns. Runs keep a distance: each reads the feed. A
        delivery that was begun in time is not broken off.
        """
        self._wanted.set()
        if self._is_running:
            return
        self._is_running = True
        until = utc_now() + timedelta(seconds=seconds)
        settling: set[datetime] = set()
        try:
            while await self._is_time(settling, until):
                await asyncio.sleep(self._ended + SPACING - time.monotonic())
                self._wanted.clear()
                begun = utc_now()
                settling |= await self._run_all(stores, until)
                settling = {due for due in settling if due > begun}
                self._ended = time.monotonic()
        finally:
            self._is_running = False

    async def _is_time(self, settling: Set[datetime], until: datetime) -> bool:
        """Wait until someone asks for a run, or a study has settled; False if neither comes in time."""
        if settling and min(settling) < until:
            with suppress(TimeoutError):
                async with asyncio.timeout((min(settling) - utc_now()).total_seconds()):
                    await self._wanted.wait()
            self._wanted.set()
        return self._wanted.is_set() and utc_now() < until

    async def _run_all(self, stores: Stores, until: datetime) -> set[datetime]:
        """Run the subscribers; when the studies that they have taken settle."""
        try:
            latest = await stores.feed.latest()
        except (
            Exception
        ) as error:  # the trigger that asked for this has done its work, and must not do it again
            log.error("delivery: the feed cannot be read: %s", described(error))
            return set()
        sequence = 0 if latest is None else latest.sequence
        runs = [Run(subscriber, stores, until) for subscriber in self._subscribers]
        results = await asyncio.gather(*(run.carry_out(sequence) for run in runs), return_exceptions=True)
        for run, result in zip(runs, results, strict=True):
            tally = run.tally
            if isinstance(result, BaseException):
                log.error("delivery: %s is broken off: %s", run.name, described(result))
            if tally.taken or tally.delivered or tally.failed:
                log.info(
                    "delivery: %s taken=%d delivered=%d failed=%d",
                    run.name,
                    tally.taken,
                    tally.delivered,
                    tally.failed,
                )
        return set().union(*(run.settling for run in runs))
