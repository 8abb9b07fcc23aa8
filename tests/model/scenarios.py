"""Scenarios: what was there, what goes on, what may befall it; and their judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

from dicom_core.errors import StorageUnavailable
from tests.model import invariants, product
from tests.model.actors import Actor, Read, Rebuild, Search, Sweep
from tests.model.explorer import Explorer, Fault, Found, Tables, Window
from tests.model.invariants import Change, History
from tests.model.moments import Reader, Truth
from tests.model.processes import EARLIER, LATER, NOW, Process
from tests.model.product import Product
from tests.model.storage import Contents

_SOON = (LATER, LATER + 60)
_IN_TIME = tuple(LATER + 2 * product.RETENTION * number for number in range(1, 5))
"""When sweeps bring all to rest that stopped: what is journalled soon, what is due in time."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Actors at once, over what others have left, with faults.

    `page` is how many rows a page has; if it is one, properties that a row lacks are answered as null: emulators do so.
    `bound` is how many pre-emptions a quick check tries, `deep` a slow one; None is every order. `is_told` says if the
    change feed is told of what happens: what goes on then takes more requests.
    """

    name: str
    actors: tuple[Actor, ...]
    given: tuple[Actor, ...] = ()
    page: int = 1000
    faults: Mapping[Fault, int] = field(default_factory=dict)
    bound: int | None = None
    deep: int | None = None
    is_told: bool = False

    def explore(self, bound: int | None, *, shortest: bool = False) -> Found:
        """Try every order within a bound of pre-emptions."""
        with _explorer(self) as explorer:
            return explorer.explore(bound, shortest=shortest)

    def walk(self, chance: Random, times: int) -> Iterator[Found]:
        """Try some orders by chance."""
        with _explorer(self) as explorer:
            for _ in range(times):
                yield explorer.walk(chance)


@contextmanager
def _explorer(scenario: Scenario) -> Iterator[Explorer]:
    contents = Contents(nulls=scenario.page == 1, ordered=scenario.is_told)
    judge = _Judge(scenario, contents)
    try:
        start: Tables = (contents.empty,) * len(product.STORES)
        for number, actor in enumerate(scenario.given):
            earlier = replace(actor, order=number - _GIVEN) if actor.order is None else actor
            start, _ = judge.alone(start, judge.process(earlier, _GIVEN + number, EARLIER + number))
        judge.history = History(ever=judge.truth(start).versions)
        actors = scenario.actors
        yield Explorer(
            product.STORES,
            start,
            [judge.process(actor, number) for number, actor in enumerate(actors)],
            judge,
            faults=scenario.faults,
            waits={number: actor.after for number, actor in enumerate(actors) if actor.after is not None},
            watching=frozenset(number for number, actor in enumerate(actors) if actor.watches),
        )
    finally:
        judge.close()


_GAVE_UP = object()
"""What an actor comes to that found storage unavailable."""

_GIVEN = 100
_LAST = 200
"""Numbers of processes that run alone, before and after the others."""


class _Judge:
    """Holds what happens in a scenario to the invariants; each thing once."""

    def __init__(self, scenario: Scenario, contents: Contents) -> None:
        self.history = History()
        self._actors = scenario.actors
        self._page = scenario.page
        self._is_told = scenario.is_told
        told = scenario.is_told
        self._of_a_moment = invariants.OF_A_MOMENT + (invariants.OF_A_TOLD_MOMENT if told else ())
        self._of_a_change = invariants.OF_A_CHANGE + (invariants.OF_A_TOLD_CHANGE if told else ())
        self._contents = contents
        self._processes: list[Process] = []
        self._reader = Reader(told)
        self._may_give_up = any(actor.gives_up for actor in scenario.actors) or any(
            scenario.faults.get(fault) for fault in (Fault.UNANSWERED, Fault.UNSENT)
        )
        self._changes: dict[Any, tuple[History, str]] = {}
        self._moments: dict[Tables, str] = {}
        self._answers: dict[Any, str] = {}
        self._ends: dict[Tables, str] = {}
        sweeps = [self.process(Sweep(), _LAST + at, now) for at, now in enumerate(_SOON + _IN_TIME)]
        rebuilds = [actor for actor in scenario.actors if isinstance(actor, Rebuild)]
        self._again = [self.process(Rebuild(), _LAST + len(sweeps), LATER) for _ in rebuilds[:1]]
        self._soon, self._in_time = sweeps[: len(_SOON)], sweeps[len(_SOON) :]
        studies = sorted({actor.study for actor in (*scenario.given, *scenario.actors)})
        dates = sorted({getattr(actor, "date", "") for actor in (*scenario.given, *scenario.actors)} | {""})
        self._last: list[tuple[Actor, Process]] = [
            (actor, self.process(actor, _LAST + len(sweeps) + 1 + number))
            for number, actor in enumerate(
                [*(Read(study=study) for study in studies), *(Search(date=date) for date in dates)]
            )
        ]

    def process(self, actor: Actor, number: int, now: float = NOW) -> Process:
        """A process of an actor."""
        name = type(actor).__name__.lower()
        made = Process(
            name, number, partial(_run, actor, self._page, number, self._is_told), self._contents, now
        )
        self._processes.append(made)
        return made

    def close(self) -> None:
        """End what no one will let go on."""
        for process in self._processes:
            process.close()

    def alone(self, tables: Tables, process: Process) -> tuple[Tables, Any]:
        """Let a process run to its end; what it leaves, and what it came to."""
        position = process.first
        while position.call is not None:
            at = product.STORES.index(position.call.store)
            _, position, content = position.step(tables[at])
            tables = (*tables[:at], content, *tables[at + 1 :])
        return tables, position.result

    def truth(self, tables: Tables) -> Truth:
        """What is live."""
        return self._reader.truth(tables)

    def change(self, before: Tables, after: Tables, history: History, process: int) -> tuple[History, str]:
        """What is to be remembered after a request that changed something, and what it broke."""
        key = (before, after, history, process)
        if key not in self._changes:
            was, now = self._reader.moment(before), self._reader.moment(after)
            following = history.followed_by(was, now, process)
            change = Change(was, now, history, process, self._actors[process].removes)
            violation = _first(self._of_a_change, change) or self._moment(after)
            self._changes[key] = following, violation
        return self._changes[key]

    def answer(self, process: int, result: Any, window: Window | None) -> str:
        """What is wrong with what an actor has come to."""
        key = (process, id(result), window)
        if key not in self._answers:
            if result is _GAVE_UP:
                self._answers[key] = "" if self._may_give_up else "given up, though nobody aborted it"
            else:
                self._answers[key] = self._actors[process].wrong(result, window)
        return self._answers[key]

    def end(self, tables: Tables) -> str:
        """What is wrong when all is quiet, after some sweeps (I7, I10)."""
        if tables not in self._ends:
            self._ends[tables] = self._end(tables)
        return self._ends[tables]

    def _end(self, tables: Tables) -> str:
        for process in self._again:
            tables, _ = self.alone(tables, process)
        truth = self.truth(tables)
        for sweeps, is_at_rest in (
            (self._soon, invariants.i10_quiet_is_indexed),
            (self._in_time, invariants.i10_nothing_is_left),
        ):
            for process in sweeps:
                tables, _ = self.alone(tables, process)
                if violation := self._moment(tables):
                    return violation
            at_rest = [is_at_rest, invariants.i11_quiet_is_told] if self._is_told else [is_at_rest]
            if violation := _first(at_rest, self._reader.moment(tables)):
                return violation
        if self.truth(tables).versions != truth.versions:
            return "a sweep changed what is live"
        window = Window(truth, frozenset((truth,)))
        for actor, process in self._last:
            _, result = self.alone(tables, process)
            if violation := actor.wrong(result, window):
                return violation
        return ""

    def _moment(self, tables: Tables) -> str:
        if tables not in self._moments:
            self._moments[tables] = _first(self._of_a_moment, self._reader.moment(tables))
        return self._moments[tables]


def _first(predicates: Sequence[Callable[[Any], str]], value: Any) -> str:
    """What the first predicate says that says something, with its name."""
    for predicate in predicates:
        if violation := predicate(value):
            return f"{predicate.__name__}: {violation}"
    return ""


async def _run(actor: Actor, page: int, number: int, is_told: bool) -> Any:
    try:
        return await actor.run(Product(page, is_told=is_told), number)
    except StorageUnavailable:
        return _GAVE_UP
