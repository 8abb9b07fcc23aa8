"""Every order of the storage requests of some actors, with crashes and lost replies, within a bound.

A state is what storage holds, and where each actor is. From each state each actor may go on by one request; states that
were reached before are not gone on from again. States are taken in the order of how often an actor was interrupted to
reach them (pre-emptions: most faults of concurrency need two), so that a bound on those leaves out what is rare.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from random import Random
from typing import Any, NamedTuple, Protocol

from dicom_core import versions
from tests.model.processes import GIVEN_UP, Position, Process
from tests.model.storage import Content, Reply

Tables = tuple[Content, ...]
"""What each table and container holds."""


class Fault(IntEnum):
    """What may happen to a request beside being carried out and answered."""

    CRASH = 0  # it is carried out; the actor is no more
    REPEAT = 1  # it is carried out, and sent again because the reply is lost
    UNANSWERED = 2  # it is carried out, and no attempt is answered
    UNSENT = 3  # it is not carried out, and no attempt is answered
    LATE = 4  # it is carried out, and an earlier attempt still comes, at any time


class Window(NamedTuple):
    """What was true when an actor began, and all that has been since."""

    first: Any
    seen: frozenset[Any]


class State(NamedTuple):
    """One point of one schedule."""

    tables: Tables
    positions: tuple[Position, ...]
    windows: tuple[Window | None, ...]
    history: Any
    faults: tuple[int, ...]
    late: Position | None
    last: int


class Move(NamedTuple):
    """What leads from one state to the next: who, what with it, and from where."""

    position: Position
    fault: Fault | None
    is_late: bool = False


class Judge(Protocol):
    """Says what is wrong, if anything is."""

    history: Any

    def truth(self, tables: Tables) -> Any:
        """What readers may be told."""

    def change(self, before: Tables, after: Tables, history: Any, process: int) -> tuple[Any, str]:
        """What is to be remembered after a request that changed something, and what it broke."""

    def answer(self, process: int, result: Any, window: Window | None) -> str:
        """What is wrong with what an actor has come to."""

    def end(self, tables: Tables) -> str:
        """What is wrong when all is quiet, after some sweeps."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration has come to: what it has met, and what was wrong, by which requests."""

    states: int
    requests: int
    ends: int
    violation: str = ""
    schedule: tuple[str, ...] = ()

    def __str__(self) -> str:
        counted = f"{self.states} states, {self.requests} requests, {self.ends} ends"
        return "\n  ".join((self.violation or "nothing wrong", counted, *self.schedule))


_NO_ONE = -1
_SELDOM = 0.1
_QUIET = "all is quiet, and sweeps run"

_Way = tuple[State, Move] | None
"""How a state was first reached."""


class Explorer:
    """Explores some actors from what storage holds at the beginning.

    Parameters
    ----------
    stores
        Names of the tables and containers, in their order.
    waits
        Which actor waits for the end of which.
    watching
        Actors whose answers depend on what was true meanwhile.
    """

    def __init__(
        self,
        stores: Sequence[str],
        tables: Tables,
        processes: Sequence[Process],
        judge: Judge,
        *,
        faults: Mapping[Fault, int],
        waits: Mapping[int, int],
        watching: frozenset[int],
    ) -> None:
        self._at = {name: at for at, name in enumerate(stores)}
        self._processes = processes
        self._judge = judge
        self._waits = waits
        self._watching = watching
        self._bounded = True
        positions = tuple(process.first for process in processes)
        left = tuple(faults.get(fault, 0) for fault in Fault)
        nothing = (None,) * len(processes)
        self.first = State(tables, positions, nothing, judge.history, left, None, _NO_ONE)

    def explore(self, bound: int | None, *, shortest: bool = False) -> Found:
        """Try every order with at most so many pre-emptions, or every order, until one breaks something.

        Parameters
        ----------
        shortest
            Try short orders first; what is wrong in the end is found sooner by whole ones.
        """
        self._bounded = bound is not None
        reached: dict[State, _Way] = {}
        todo: deque[tuple[State, _Way]] = deque([(self.first, None)])
        take = todo.popleft if shortest else todo.pop
        level = moves = ends = 0
        while todo:
            following: list[tuple[State, _Way]] = []
            while todo:
                state, way = take()
                if state in reached:
                    continue
                reached[state] = way
                is_end = True
                for move, cost, after, violation in self.moves(state):
                    moves += 1
                    is_end = is_end and move.is_late
                    if violation:
                        schedule = (*self._schedule(reached, state), self._told(state, move))
                        return Found(len(reached), moves, ends, violation, schedule)
                    if after not in reached:
                        (following if cost else todo).append((after, (state, move)))
                if is_end:
                    ends += 1
                    if violation := self._judge.end(state.tables):
                        schedule = (*self._schedule(reached, state), _QUIET)
                        return Found(len(reached), moves, ends, violation, schedule)
            if bound is not None and level == bound:
                break
            todo.extend(following)
            level += 1
        return Found(len(reached), moves, ends)

    def walk(self, chance: Random) -> Found:
        """Take one way to an end, by chance: some steps of one actor, then of another, and seldom a fault."""
        self._bounded = True
        state, way, moves = self.first, dict[State, _Way]({self.first: None}), 0
        steady = chance.choice((0.0, 0.6, 0.85))
        while True:
            ways = list(self.moves(state))
            if all(move.is_late for move, *_ in ways):
                violation = self._judge.end(state.tables)
                told = (*self._schedule(way, state), _QUIET) if violation else ()
                return Found(moves, moves, 1, violation, told)
            usual = [one for one in ways if one[0].fault is None and not one[0].is_late]
            same = [one for one in usual if not one[1]]
            among = same if same and chance.random() < steady else usual
            move, _, after, violation = chance.choice(ways if chance.random() < _SELDOM else among)
            moves += 1
            if violation:
                told = (*self._schedule(way, state), self._told(state, move))
                return Found(moves, moves, 0, violation, told)
            way.setdefault(after, (state, move))
            state = after

    def moves(self, state: State) -> Iterator[tuple[Move, int, State, str]]:
        """What may happen next: what it costs of pre-emptions, where it leads, and what it breaks."""
        interrupts = 1 if self._bounded and state.last != _NO_ONE else 0
        for number, position in enumerate(state.positions):
            if position.call is None:
                continue
            if number in self._waits and state.positions[self._waits[number]].call is not None:
                continue
            cost = 0 if state.last == number else interrupts
            for fault, after, content in self._ways(state, position):
                move = Move(position, fault)
                yield move, cost, *self._reached(state, number, position, fault, after, content)
        if state.late is not None:
            call = state.late.call
            assert call is not None
            at = self._at[call.store]
            _, _, content = state.late.step(state.tables[at])
            tables, history, windows, violation = self._left(state, at, content, state.late.process.number)
            after_it = state._replace(tables=tables, history=history, windows=windows, late=None)
            yield Move(state.late, None, is_late=True), interrupts, after_it, violation

    def _ways(self, state: State, position: Position) -> Iterator[tuple[Fault | None, Position, Content]]:
        """What may become of an actor's request: with which fault, where it is then, and what is left."""
        call = position.call
        assert call is not None
        before = state.tables[self._at[call.store]]
        _, following, content = position.step(before)
        yield None, following, content
        crash, repeat, unanswered, unsent, late = state.faults
        if crash and following.call is not None:
            yield Fault.CRASH, position.process.dead, content
        if call.writes:
            if repeat:
                yield Fault.REPEAT, position.repeated(), content
            if unanswered:
                yield Fault.UNANSWERED, position.after(Reply(error=GIVEN_UP)), content
            if late and state.late is None:
                yield Fault.LATE, following, content
        if unsent:
            yield Fault.UNSENT, position.after(Reply(error=GIVEN_UP)), before

    def _reached(
        self,
        state: State,
        number: int,
        position: Position,
        fault: Fault | None,
        after: Position,
        content: Content,
    ) -> tuple[State, str]:
        assert position.call is not None
        at = self._at[position.call.store]
        tables, history, seen, violation = self._left(state, at, content, number)
        windows = list(seen)
        if number in self._watching and windows[number] is None:
            first = self._judge.truth(state.tables)
            windows[number] = Window(first, frozenset((first, self._judge.truth(tables))))
        if after.call is None:
            if fault is not Fault.CRASH:
                violation = violation or self._judge.answer(number, after.result, windows[number])
            windows[number] = None
        faults, late = state.faults, state.late
        if fault is not None:
            faults = tuple(left - (one == fault) for one, left in zip(Fault, faults, strict=True))
            if fault is Fault.LATE:
                late = position.repeated()
        positions = (*state.positions[:number], after, *state.positions[number + 1 :])
        last = _NO_ONE if after.call is None or not self._bounded else number
        return State(tables, positions, tuple(windows), history, faults, late, last), violation

    def _left(
        self, state: State, at: int, content: Content, number: int
    ) -> tuple[Tables, Any, tuple[Window | None, ...], str]:
        """What a request leaves behind: storage, what is remembered, what watchers have seen; what it broke."""
        if content is state.tables[at]:
            return state.tables, state.history, state.windows, ""
        tables = (*state.tables[:at], content, *state.tables[at + 1 :])
        history, violation = self._judge.change(state.tables, tables, state.history, number)
        windows = state.windows
        if any(windows):
            truth = self._judge.truth(tables)
            windows = tuple(
                one if one is None or truth in one.seen else Window(one.first, one.seen | {truth})
                for one in windows
            )
        return tables, history, windows, violation

    def _schedule(self, reached: Mapping[State, _Way], state: State) -> tuple[str, ...]:
        told: list[str] = []
        while (way := reached[state]) is not None:
            state, move = way
            told.append(self._told(state, move))
        return tuple(reversed(told))

    def _told(self, state: State, move: Move) -> str:
        call = move.position.call
        assert call is not None
        reply = move.position.step(state.tables[self._at[call.store]]).reply
        name = f"{move.position.process.number} {move.position.process.name}"
        what = (
            " (an earlier attempt)"
            if move.is_late
            else f" ({move.fault.name})"
            if move.fault is not None
            else ""
        )
        return _NAME.sub(_named, f"{name}: {call} -> {reply}{what}")


_NAME = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def _named(name: re.Match[str]) -> str:
    """A transaction's name in short: what it was drawn with, by whom."""
    process, number = divmod(versions._value(name[0]) & (1 << 80) - 1, 1 << 20)
    return f"t{process}.{number}" if number else f"t{process}"
