"""The runs of all subscribers in one worker: never two at once, and never a wish for one forgotten."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
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
        self._is_wanted = False
        self._ended = -SPACING

    async def run(self, stores: Stores, seconds: float) -> None:
        """Run the subscribers, and again while someone asks for it meanwhile; begin no delivery after so many seconds.

        If a run is under way, it is asked to go on, and this returns. Runs keep a distance: each reads the feed.
        """
        self._is_wanted = True
        if self._is_running:
            return
        self._is_running = True
        until = utc_now() + timedelta(seconds=seconds)
        try:
            while self._is_wanted and utc_now() < until:
                await asyncio.sleep(self._ended + SPACING - time.monotonic())
                self._is_wanted = False
                await self._run_all(stores, until)
                self._ended = time.monotonic()
        finally:
            self._is_running = False

    async def _run_all(self, stores: Stores, until: datetime) -> None:
        try:
            latest = await stores.feed.latest()
        except (
            Exception
        ) as error:  # the trigger that asked for this has done its work, and must not do it again
            log.error("delivery: the feed cannot be read: %s", described(error))
            return
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
