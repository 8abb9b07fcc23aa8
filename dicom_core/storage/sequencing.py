"""One writer for all who wait: what the publishers of a worker have to tell goes into the ledger in common batches.

Without it, each would read the head and race the others for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dicom_core.storage import entries
from dicom_core.storage.entries import Piece
from dicom_core.storage.ledger import Ledger


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """What one caller has to tell, and where it waits for the outcome."""

    pieces: Sequence[Piece]
    outcome: asyncio.Future[int | None]


class Sequencer:
    """The one who writes in a worker; a task while there is something to write."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, pieces: Sequence[Piece]) -> int | None:
        """As `Ledger.append`; a caller that is cancelled has told, or has not."""
        waiting = _Waiting(pieces, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
            self._writer.add_done_callback(self._ended)
        return await waiting.outcome

    async def _write(self) -> None:
        """Write until no one waits."""
        while batch := self._taken():
            try:
                place = await self._ledger.append([piece for one in batch for piece in one.pieces])
            except Exception as error:
                _fail(batch, error)
            except BaseException as error:
                _fail(batch, error)
                raise
            else:
                self._settle(batch, place)

    def _ended(self, writer: asyncio.Task[None]) -> None:
        """Leave no one waiting, if the writer was cancelled: even before it began."""
        if writer is self._writer:
            _fail(self._waiting, asyncio.CancelledError())
            self._waiting = []

    def _taken(self) -> list[_Waiting]:
        """Those who have waited longest, as many as one batch takes; without those who gave up.

        Who has to tell the same as another waits for the next batch, and learns from it that it was told.
        """
        batch: list[_Waiting] = []
        left: list[_Waiting] = []
        pieces: list[Piece] = []
        keys: set[str] = set()
        for one in self._waiting:
            own = {piece.key for piece in one.pieces}
            if one.outcome.done():
                continue
            if batch and (keys & own or not entries.fit([*pieces, *one.pieces])):
                left.append(one)
                continue
            batch.append(one)
            pieces += one.pieces
            keys |= own
        self._waiting = left
        return batch

    def _settle(self, batch: Sequence[_Waiting], place: int | None) -> None:
        """Tell the outcome: all was told; or nothing, because of one piece, and only who brought it has to know."""
        for number, one in enumerate(batch):
            if place is None:
                _succeed(one, None)
            elif place < len(one.pieces):
                _succeed(one, place)
                self._waiting = [*batch[:number], *batch[number + 1 :], *self._waiting]
                return
            else:
                place -= len(one.pieces)


def _succeed(one: _Waiting, place: int | None) -> None:
    if not one.outcome.done():
        one.outcome.set_result(place)


def _fail(batch: Sequence[_Waiting], error: BaseException) -> None:
    for one in batch:
        if one.outcome.done():
            continue
        if isinstance(error, asyncio.CancelledError):
            one.outcome.cancel()
        else:
            one.outcome.set_exception(error)
