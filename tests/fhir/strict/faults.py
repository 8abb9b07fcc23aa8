"""What can go wrong on the way to a server and back, for a test to plan."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fhir.client import FHIR_JSON
from tests.fhir.strict.outcome import outcome
from tests.fhir.strict.store import Store


@dataclass(frozen=True, slots=True)
class Message:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it goes; without a status the connection is broken instead."""

    status: int | None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


CarryOut = Callable[[], Reply]
Fault = Callable[[CarryOut, Store], Awaitable[Reply]]
"""What happens to a request instead: it is given what carries the request out, and the store."""


@dataclass(slots=True)
class Faults:
    """The requests so far, and what is planned for the next: the plan is asked with their number, from 1."""

    plan: Callable[[int, Message], Fault | None] = lambda number, message: None
    requests: list[Message] = field(default_factory=list)

    def clear(self) -> None:
        """Forget the requests, and plan nothing."""
        self.plan = lambda number, message: None
        self.requests = []

    def at(self, planned: Mapping[int, Fault]) -> None:
        """Plan faults of requests by their number, the next one being 1."""
        self.requests = []
        self.plan = lambda number, message: planned.get(number)

    def every(self, fault: Fault, method: str | None = None) -> None:
        """Plan a fault of every request, or of all with one method."""
        self.plan = lambda number, message: fault if method in (None, message.method) else None


def answering(status: int, retry_after: int | None = None) -> Fault:
    """The request is not carried out, and this status is the answer."""

    async def fault(carry_out: CarryOut, store: Store) -> Reply:
        headers = {"Content-Type": FHIR_JSON}
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        return Reply(status, outcome("transient", f"planned: {status}"), headers)

    return fault


async def refused(carry_out: CarryOut, store: Store) -> Reply:
    """The request is not carried out, and the connection breaks."""
    return Reply(None)


async def lost_reply(carry_out: CarryOut, store: Store) -> Reply:
    """The request is carried out, and the connection breaks before the answer."""
    carry_out()
    return Reply(None)


async def silent(carry_out: CarryOut, store: Store) -> Reply:
    """The request is not carried out, and nothing is ever answered."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def late(carry_out: CarryOut, store: Store) -> Reply:
    """The request is carried out, and nothing is ever answered."""
    carry_out()
    return await silent(carry_out, store)


def preceded(change: Callable[[Store], object]) -> Fault:
    """Another client changes something just before the request is carried out."""

    async def fault(carry_out: CarryOut, store: Store) -> Reply:
        change(store)
        return carry_out()

    return fault
