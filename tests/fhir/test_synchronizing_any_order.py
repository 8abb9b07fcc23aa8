"""The subscriber that keeps a FHIR server as the record is: any changes in any order, crashes, two workers at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dicom_core.delivery.subscribing import DeliveryError
from dicom_core.fhir import synchronizing
from dicom_core.fhir.client import Client
from dicom_core.fhir.elements import Element
from dicom_core.fhir.synchronizing import Synchronizer
from dicom_core.ports import Stores
from tests.dicomweb import Stored, made
from tests.fhir.client import Fhir
from tests.fhir.following import Following, dose_report, following, kept, versions, without_patients
from tests.fhir.strict import faults
from tests.fhir.strict.endpoint import Endpoint

STUDIES = [f"1.2.{number}" for number in range(1, 4)]
BASE_URL = "https://dicom.example.org/v2"
OFTEN = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subscriber looks again at once."""
    monkeypatch.setattr(synchronizing, "_PAUSE", 0.0)


def image(study: int, series: int, instance: int, patient: str, name: str) -> Stored:
    """An instance, one in three of them a dose report."""
    uid = STUDIES[study]
    place = (uid, f"{uid}.{series}", f"{uid}.{series}.{instance}")
    elements = {"PatientID": patient, "PatientName": name}
    return dose_report(*place, **elements) if series == 2 else made(*place, **elements)


images = st.builds(
    image,
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["A", "B"]),
    st.sampled_from(["One", "Two"]),
)
FAULTS = [faults.answering(503), faults.answering(412), faults.refused, faults.lost_reply]
changes = st.one_of(
    st.tuples(st.just("post"), images),
    st.tuples(st.just("put"), images),
    st.tuples(st.sampled_from(["study", "series", "instance"]), images),
)
steps = st.lists(
    st.one_of(
        changes,
        changes,
        st.tuples(st.just("deliver"), st.none()),
        st.tuples(st.just("fault"), st.tuples(st.integers(1, 4), st.sampled_from(FAULTS))),
        st.tuples(st.just("crash"), st.integers(1, 4)),
    ),
    max_size=14,
)


async def change(service: Following, action: str, stored: Stored) -> None:
    """Store, replace or delete."""
    if action in ("post", "put"):
        await service.store(stored, replace=action == "put")
    else:
        series = None if action == "study" else stored.series
        await service.delete(stored.study, series, stored.instance if action == "instance" else None)


async def crash(service: Following, strict: Endpoint, number: int) -> None:
    """A run that ends for good while a request is answered, or without it."""
    reached, loop = asyncio.Event(), asyncio.get_running_loop()

    async def fault(carry_out: faults.CarryOut, store: Any) -> faults.Reply:
        reply = carry_out()
        loop.call_soon_threadsafe(reached.set)
        await asyncio.sleep(0.01)
        return reply

    strict.faults.at({number: fault})
    run, waiting = asyncio.ensure_future(service.run()), asyncio.ensure_future(reached.wait())
    await asyncio.wait([run, waiting], return_when=asyncio.FIRST_COMPLETED)
    for task in (run, waiting):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@OFTEN
@given(steps=steps, seed=st.integers(0, 1000))
def test_any_sequence(strict: Endpoint, steps: Sequence[tuple[str, Any]], seed: int) -> None:
    """Whatever was stored, replaced and deleted, and went wrong meanwhile: in the end FHIR is as the record.

    And a replay of all changes, in any order, writes nothing.
    """
    strict.clear()
    asyncio.run(_any_sequence(strict, steps, seed))


async def _any_sequence(strict: Endpoint, steps: Sequence[tuple[str, Any]], seed: int) -> None:
    async with following(strict.url, BASE_URL) as service:
        await _carry_out(service, strict, steps)
        with Fhir(strict.url).session as session:
            await _check(service, Fhir(strict.url, session=session), seed)


async def _carry_out(service: Following, strict: Endpoint, steps: Sequence[tuple[str, Any]]) -> None:
    for action, value in steps:
        if action == "deliver":
            await service.run()
        elif action == "fault":
            strict.faults.at({value[0]: value[1]})
            await service.run()
        elif action == "crash":
            await crash(service, strict, value)
        else:
            await change(service, action, value)
    strict.faults.clear()


async def _check(service: Following, fhir: Fhir, seed: int) -> None:
    load = await service.settle()
    expected, found = await service.expected(), kept(fhir, BASE_URL)
    assert load.failed == 0
    assert without_patients(found) == without_patients(expected)
    assert {name: found[name] for name in expected} == expected
    before, again = versions(fhir, BASE_URL), await service.studies()
    random.Random(seed).shuffle(again)
    for study in again:
        await service.deliver(study)
    assert versions(fhir, BASE_URL) == before


@dataclass
class Worker:
    """One of several workers: it waits for its turn before each step that others may come between."""

    service: Following
    url: str
    wants: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def wait(self) -> None:
        """Wait for the turn."""
        self.wants.set()
        await self.turn.wait()
        self.turn.clear()

    def begin(self, study: str) -> None:
        """Begin a delivery."""
        self.task = asyncio.ensure_future(self._deliver(study))

    async def step(self) -> bool:
        """Let it take its next step; False when it has come to its end."""
        assert self.task is not None
        if self.task.done():
            return False
        self.wants.clear()
        self.turn.set()
        wants = asyncio.ensure_future(self.wants.wait())
        await asyncio.wait([self.task, wants], return_when=asyncio.FIRST_COMPLETED)
        wants.cancel()
        return True

    async def _deliver(self, study: str) -> None:
        await self.wait()
        client = _Waiting(self.url, self.wait)
        stores = replace(self.service.stores, index=_WaitingIndex(self.service.stores, self.wait))
        try:
            subscriber = Synchronizer(client, BASE_URL)
            for _ in range(3):
                with suppress(DeliveryError):
                    await subscriber.deliver(self.service.task(study), stores)
                    return
        finally:
            await client.close()


class _Waiting(Client):
    """A client that waits before each request."""

    def __init__(self, base: str, wait: Callable[[], Awaitable[None]]) -> None:
        super().__init__(base)
        self._wait = wait

    async def search(self, queries: Sequence[str]) -> list[list[Element]]:
        await self._wait()
        return await super().search(queries)

    async def transact(self, entries: Sequence[Any]) -> list[int]:
        await self._wait()
        return await super().transact(entries)


class _WaitingIndex:
    """An index that waits before each read of a record."""

    def __init__(self, stores: Stores, wait: Callable[[], Awaitable[None]]) -> None:
        self._index = stores.index
        self._wait = wait

    async def records(self, *asked: Any) -> Any:
        await self._wait()
        return await self._index.records(*asked)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._index, name)


same = st.builds(
    image,
    st.just(0),
    st.integers(0, 2),
    st.integers(0, 1),
    st.sampled_from(["A", "B"]),
    st.sampled_from(["One", "Two"]),
)
changes_of_one = st.tuples(st.sampled_from(["post", "put", "study", "series", "instance"]), same)


FIRST, SECOND, THIRD = (image(0, *place, "A", "One") for place in ((0, 0), (0, 1), (1, 0)))


@example(before=[("post", FIRST)], more=[], delivered=False, early=5, last=("study", FIRST), turns=[])
@example(
    before=[("post", FIRST)],
    more=[("post", SECOND)],
    delivered=True,
    early=5,
    last=("post", THIRD),
    turns=[],
)
@OFTEN
@given(
    before=st.lists(changes_of_one, max_size=3),
    more=st.lists(changes_of_one, max_size=2),
    delivered=st.booleans(),
    early=st.integers(0, 8),
    last=changes_of_one,
    turns=st.lists(st.booleans(), max_size=24),
)
def test_two_workers(
    strict: Endpoint,
    before: list[tuple[str, Stored]],
    more: list[tuple[str, Stored]],
    delivered: bool,
    early: int,
    last: tuple[str, Stored],
    turns: list[bool],
) -> None:
    """Two workers deliver one study, one of them with an old record: when both have ended, FHIR is as the record.

    The one has taken some steps when the study changes; the other begins after that. Then they take turns.
    """
    strict.clear()
    asyncio.run(_two_workers(strict, before, more, delivered, early, last, turns))


async def _two_workers(
    strict: Endpoint,
    before: list[tuple[str, Stored]],
    more: list[tuple[str, Stored]],
    delivered: bool,
    early: int,
    last: tuple[str, Stored],
    turns: list[bool],
) -> None:
    async with following(strict.url, BASE_URL) as service:
        for action, stored in before:
            await change(service, action, stored)
        if delivered:
            await service.settle()
        for action, stored in more:
            await change(service, action, stored)
        old, new = Worker(service, strict.url), Worker(service, strict.url)
        old.begin(STUDIES[0])
        for _ in range(early):
            await old.step()
        await change(service, *last)
        new.begin(STUDIES[0])
        for turn in turns:
            await (old if turn else new).step()
        while await new.step() or await old.step():
            pass
        expected = await service.expected()
        with Fhir(strict.url).session as session:
            found = kept(Fhir(strict.url, session=session), BASE_URL)
        assert without_patients(found) == without_patients(expected)
        assert {name: found[name] for name in expected} == expected
