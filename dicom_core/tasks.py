"""The values of delivery: what of the change feed a subscriber still has to be told, study by study.

All changes of a study that were not delivered yet are one task, so that they are delivered in their order, and a study
that cannot be delivered holds up no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

AT_ONCE = 99
"""Tasks that are kept at once: with the position, as many rows as a transaction of the Table service takes."""

MAX_REASON = 1000
"""Characters that are kept of why a delivery failed."""

CLAIM = timedelta(minutes=5)
"""How long a worker holds a task: longer than a delivery may take. Another takes over when it has ended."""

LONGEST_SETTLING = 10
"""How many times a subscriber's settling time a study waits at most while more of it keeps coming."""

FIRST_DELAY = timedelta(seconds=10)
LONGEST_DELAY = timedelta(hours=1)
ATTEMPTS = 32
"""Attempts follow after 10 s, 20 s, 40 s and so on up to an hour: a task has failed after a day."""

FIRST_PAUSE = timedelta(seconds=5)
LONGEST_PAUSE = timedelta(minutes=10)
"""A target that is down is asked again after 5 s, 10 s, 20 s and so on up to ten minutes."""


@dataclass(frozen=True, slots=True)
class Task:
    """The changes of a study from one sequence number to another, which a subscriber has to be told.

    `since` is when the first of them was taken from the feed. It is not delivered before `due`; while a worker has it,
    `claim` names that worker, and `due` is when the claim ends. `version` tells what is stored from what replaced it;
    empty of what is not stored. The reason of a failure holds no attribute values.
    """

    partition: str
    study: str
    first: int
    last: int
    since: datetime
    due: datetime
    claim: str = ""
    attempts: int = 0
    failed: bool = False
    reason: str = ""
    version: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other tasks of its subscriber."""
        return self.partition, self.study


@dataclass(frozen=True, slots=True)
class Position:
    """How far a subscriber has taken the feed, and until when it rests because its target is down.

    `pauses` counts the rests since something was delivered last, `reason` is that of the latest.
    """

    sequence: int
    rests_until: datetime | None = None
    pauses: int = 0
    reason: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Saved:
    """What was kept, as it is stored now."""

    tasks: Sequence[Task]
    position: Position | None


@dataclass(frozen=True, slots=True)
class Load:
    """How many tasks a subscriber has."""

    waiting: int
    failed: int


def taken(former: Task | None, new: Task, settle: float) -> Task:
    """Add further changes of a study to the task that it has, if any.

    One that failed begins anew with them. One that waits for a further attempt, or is being delivered, stays as it is
    but for the changes; it is looked at again when that is done.
    """
    settling = timedelta(seconds=settle)
    if former is None:
        return replace(new, due=new.since + settling)
    if former.failed:
        return replace(
            former,
            last=max(former.last, new.last),
            since=new.since,
            due=new.since + settling,
            attempts=0,
            failed=False,
        )
    due = former.due
    if not former.claim and not former.attempts:
        due = min(new.since + settling, former.since + LONGEST_SETTLING * settling)
    return replace(former, last=max(former.last, new.last), due=due)


def claimed(task: Task, worker: str, now: datetime) -> Task:
    """A task that a worker delivers from now on."""
    return replace(task, claim=worker, due=now + CLAIM)


def released(task: Task, due: datetime) -> Task:
    """A task that was not delivered for no fault of its own."""
    return replace(task, claim="", due=due)


def put_off(task: Task, reason: str, now: datetime) -> Task:
    """A task whose delivery failed: it is tried again later, unless it was often enough."""
    attempts = task.attempts + 1
    return replace(
        task,
        claim="",
        attempts=attempts,
        reason=reason[:MAX_REASON],
        due=now + min(FIRST_DELAY * 2.0 ** (attempts - 1), LONGEST_DELAY),
        failed=attempts >= ATTEMPTS,
    )


def given_up(task: Task, reason: str, now: datetime) -> Task:
    """A task that will not be tried again by itself."""
    return replace(
        task, claim="", attempts=task.attempts + 1, reason=reason[:MAX_REASON], due=now, failed=True
    )


def rest_of(task: Task, delivered: int, now: datetime, settle: float = 0.0) -> Task:
    """What is left of a task of which the changes up to a sequence number were delivered."""
    due = now + timedelta(seconds=settle)
    return replace(task, first=delivered + 1, since=now, due=due, claim="", attempts=0, reason="")


def retried(task: Task, now: datetime) -> Task:
    """A failed task that is tried again on request."""
    return replace(task, since=now, due=now, attempts=0, failed=False)


def pause(pauses: int) -> timedelta:
    """How long a subscriber rests whose target has been down so many times running."""
    return min(FIRST_PAUSE * 2.0 ** min(pauses, 20), LONGEST_PAUSE)
