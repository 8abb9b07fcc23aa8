"""Actors as functions of what storage answered them: any point of one can be gone back to, and another way taken.

A coroutine cannot be copied. But it is deterministic: what it asks next depends on the replies it was given, so a
`Position` is its replies so far. To go on from a position by a reply it has not been given before, the coroutine is run
again from its start; where it has gone before is remembered.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from tests.model.storage import Call, Content, Contents, Reply, stamp_of

NOW = 1_800_000_000.0
"""About the clock of every host, in seconds; no two are the same."""

EARLIER = NOW - 48 * 3600
"""When all that was written is due by now."""

LATER = NOW + 2 * 3600
"""When no request of before can still be on its way."""

GIVEN_UP = StorageUnavailable("no answer")
"""What a request ends with whose reply does not come; the message is never shown."""


class Step(NamedTuple):
    """A request carried out: what was answered, where the actor is then, and what is left."""

    reply: Reply
    position: Position
    content: Content


@dataclass(slots=True, eq=False, repr=False)
class Position:
    """Where an actor is: what it was answered so far, and so what it asks next; None at its end."""

    process: Process
    replies: tuple[Reply, ...]
    call: Call | None
    result: Any = None
    repeats: int = 0
    running: _Run | None = None
    steps: dict[Content, Step] = field(default_factory=dict)
    following: dict[str, Position] = field(default_factory=dict)
    again: Position | None = None

    def step(self, content: Content) -> Step:
        """Carry out what it asks."""
        step = self.steps.get(content)
        if step is None:
            assert self.call is not None
            stamp = stamp_of(self.process.number, len(self.replies), self.repeats)
            reply, left = self.process.contents.carry_out(content, self.call, stamp)
            step = self.steps[content] = Step(reply, self.after(reply), left)
        return step

    def after(self, reply: Reply) -> Position:
        """Where the actor is after a reply."""
        key = reply.key()
        if key not in self.following:
            self.following[key] = self.process.resume(self, reply)
        return self.following[key]

    def repeated(self) -> Position:
        """The same position, of a request that is sent again: what it writes has other ETags."""
        if self.again is None:
            self.again = Position(self.process, self.replies, self.call, repeats=self.repeats + 1)
            self.again.following = self.following
        return self.again


@dataclass(slots=True, eq=False, repr=False)
class _Run:
    """One run of an actor's coroutine; the names that it gives are its own."""

    coroutine: Coroutine[Any, Any, Any]
    number: int
    now: float
    drawn: int = 0

    def chance(self) -> int:
        """A number that no other draws."""
        self.drawn += 1
        return drawn(self.number, self.drawn)


_current: _Run


def drawn(process: int, number: int) -> int:
    """What a process draws instead of random bits, time after time."""
    return process << 20 | number


def transaction_name(order: int, chance: int) -> str:
    """A name of a transaction that sorts by `order`: clocks of hosts differ."""
    return versions._encode((int(NOW * 1000) + order) << 80 | chance)


class _Abandoned(BaseException):
    """Ends a coroutine that nobody will let go on."""


class Process:
    """One actor: its coroutine from the start, and the positions it was seen at.

    Parameters
    ----------
    number
        Its place among the actors of a scenario; what it names and writes bears it.
    """

    def __init__(
        self,
        name: str,
        number: int,
        start: Callable[[], Coroutine[Any, Any, Any]],
        contents: Contents,
        now: float = NOW,
    ) -> None:
        self.name = name
        self.number = number
        self.contents = contents
        self.dead = Position(self, (), None)
        self._start = start
        self._now = contents.clocks[number] = now + number / 1000
        self._running: set[_Run] = set()
        self.first = self._reached((), self._begin(), None)

    def resume(self, position: Position, reply: Reply) -> Position:
        """Let the actor go on from a position."""
        run, position.running = position.running, None
        if run is None:
            run = self._begin()
            _send(run, None)
            for given in position.replies:
                _send(run, given)
        return self._reached((*position.replies, reply), run, reply)

    def close(self) -> None:
        """End the coroutines that wait; closing one does not end the generators that it waits for, an error does."""
        for run in self._running:
            with suppress(_Abandoned):
                run.coroutine.throw(_Abandoned)
        self._running.clear()

    def _begin(self) -> _Run:
        run = _Run(self._start(), self.number, self._now)
        self._running.add(run)
        return run

    def _reached(self, replies: tuple[Reply, ...], run: _Run, reply: Reply | None) -> Position:
        try:
            return Position(self, replies, _send(run, reply), running=run)
        except StopIteration as end:
            self._running.discard(run)
            return Position(self, replies, None, result=end.value)
        except BaseException:
            self._running.discard(run)
            raise


def _send(run: _Run, reply: Reply | None) -> Call:
    global _current
    _current = run
    if reply is None:
        call: Call = run.coroutine.send(None)
    elif reply.error is None:
        call = run.coroutine.send(reply.value)
    else:
        call = run.coroutine.throw(reply.error)
    return call


@contextmanager
def controlled() -> Iterator[pytest.MonkeyPatch]:
    """Names and times that depend on the actor alone, and tasks that run one after the other, without a loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(versions, "new_transaction", lambda: transaction_name(0, _current.chance()))
        patch.setattr(secrets, "randbits", lambda bits: _current.chance())
        patch.setattr(time, "time", lambda: _current.now)
        patch.setattr(asyncio, "TaskGroup", _Tasks)
        patch.setattr(asyncio, "Semaphore", _Room)
        patch.setattr(asyncio, "gather", _gathered)
        patch.setattr(asyncio, "sleep", _at_once)
        yield patch


class _Task:
    """As `asyncio.Task`."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self.outcome: Any = None

    def result(self) -> Any:
        return self.outcome


class _Tasks:
    """As `asyncio.TaskGroup`: one task after the other, at the end."""

    def __init__(self) -> None:
        self._tasks: list[_Task] = []

    async def __aenter__(self) -> _Tasks:
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        tasks = iter(self._tasks)
        try:
            for task in tasks if kind is None else ():
                task.outcome = await task.coroutine
        except StorageUnavailable as error:
            raise ExceptionGroup("a task failed", [error]) from None
        finally:
            for task in itertools.chain(tasks, self._tasks if kind else ()):
                task.coroutine.close()

    def create_task(self, coroutine: Coroutine[Any, Any, Any]) -> _Task:
        self._tasks.append(_Task(coroutine))
        return self._tasks[-1]


class _Room:
    """As `asyncio.Semaphore`, for one."""

    def __init__(self, _: int) -> None: ...

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


async def _at_once(_: float) -> None:
    """As `asyncio.sleep`: who waits is not asked when to go on."""


async def _gathered(*coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    """As `asyncio.gather`: one after the other."""
    async with _Tasks() as tasks:
        made = [tasks.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in made]
