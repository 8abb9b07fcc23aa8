"""Forgetting beside everything else, in every order that chance finds: nothing that may still be needed goes.

Time is what the protocol takes it for, at its worst: what was written before the oldest transaction still at work began
is older than the retention, and nothing else is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage import due, indexing, pointers, rows, sweeping
from dicom_core.storage.blobs import Blob, blob_name, version_in
from dicom_core.storage.due import Due
from dicom_core.storage.indexing import CLAIM_SECONDS, Indexer
from dicom_core.storage.table_service import Operation
from dicom_core.versions import transaction_of
from tests.fake_tables import FakeContainer, Service
from tests.integration import test_interleavings as interleavings
from tests.integration.test_interleavings import (
    EVERY_SEARCH,
    PARTITION,
    STUDY,
    Action,
    Index,
    Read,
    Store,
    Sweep,
    World,
    deletes,
    explored,
    firsts,
    orders,
    puts,
    run,
    searches,
    small,
    stores,
)

__all__ = ["small"]

_STEP = 60.0
"""Seconds between two storage requests: a due time of its own for each."""


class Watched(FakeContainer):
    """A container whose requests take their turns, and are looked at."""

    def __init__(self, world: Aging) -> None:
        super().__init__()
        self._world = world

    @property
    def versions(self) -> set[str]:
        """Versions that have a blob."""
        return set(map(version_in, self._blobs))

    async def blobs(self, prefix: str = "", after: str = "") -> AsyncIterator[Blob]:
        """List."""
        await self._world.service.turn()
        async for blob in super().blobs(prefix, after):
            yield blob

    async def delete(self, name: str) -> None:
        """Delete one blob, which no row may name, of a transaction that has been decided."""
        await self._world.service.turn()
        version = version_in(name)
        named = {
            properties["version"]
            for key, (properties, _) in self._world.service.rows("studies", PARTITION).items()
            if key.startswith("instance|")
        }
        decided = self._world.done | self._world.aborted
        assert version not in named, "I6: a blob was deleted that a row names"
        assert transaction_of(version) in decided, "I6: a blob was deleted of what is not decided"
        await super().delete(name)


@dataclass(slots=True)
class Aging(World):
    """A world with blobs, and with a clock that ticks at each request."""

    steps: int = 0
    began: dict[object, int] = field(default_factory=dict)
    blobs: Watched = field(init=False)

    def __post_init__(self) -> None:
        self.blobs = Watched(self)
        self.service.instances = self.blobs
        self.service.now = lambda: self.steps * _STEP
        World.__post_init__(self)
        self.service.turn = self._tick

    async def _tick(self) -> None:
        await interleavings._turn()
        self.steps += 1

    def horizon(self) -> float:
        """When the oldest of what is at work began."""
        return min(self.began.values()) * _STEP

    def _written(self, name: str, partition: str, operations: Sequence[Operation]) -> None:
        World._written(self, name, partition, operations)
        if name == "pending":
            begun = {operation.row.partition("|")[0] for operation in operations}
            for version in self.instances:
                if transaction_of(version) in begun and version not in self.ever:
                    self.blobs._blobs[blob_name(DEFAULT_PARTITION, version)] = b""
        if name == "search" and partition.partition("|")[2] not in pointers.POINTED:
            (index, _) = self.service.rows("studies", PARTITION)["index"]
            assert index["claim"], "I9: a search row was changed without the claim"
        assert self.states[-1] <= self.blobs.versions, "I5: a live version without its blob"
        orphans = self.blobs.versions - self.states[-1] - self._told()
        assert not {one for one in orphans if transaction_of(one) in self.done | self.aborted}, (
            "a rebuild would bring back what was deleted"
        )

    def _told(self) -> set[str]:
        """Versions of which a decision or a deletion says what became of them."""
        told: set[str] = set()
        for key, (properties, _) in self.service.rows("studies", PARTITION).items():
            if key.startswith(rows.CHANGE):
                decision = rows.Decision.from_entity(properties)
                told |= {version for _, _, version in (*decision.add, *decision.gone)} | set(decision.drop)
                if rows.EVERYTHING in decision.drop:
                    own = key.removeprefix(rows.CHANGE)
                    told |= {version for version in self.instances if transaction_of(version) == own}
            elif key.startswith(rows.DELETING):
                told |= rows.dead(properties)
        return told


def _indexer(world: Aging, claim_seconds: float = CLAIM_SECONDS) -> Indexer:
    schedule = partial(due.schedule, world.service.table("due"), 0)
    return Indexer(*interleavings._tables(world), claim_seconds=claim_seconds, schedule=schedule)


async def _index(world: Aging, action: Index) -> Callable[[Sequence[Any]], None]:
    """Index the study, and note that it has something to forget."""
    await _indexer(world, 0 if action.impatient else CLAIM_SECONDS).index(DEFAULT_PARTITION, STUDY)
    return interleavings._never


async def _sweep(world: Aging, action: Sweep) -> Callable[[Sequence[Any]], None]:
    """Sweep: what is at work is taken for broken off; what was done before anything at work is due."""
    world.swept = True
    studies, pending, table = interleavings._tables(world)
    indexer = _indexer(world)
    forgetting = Due(
        world.service.table("due"),
        studies,
        table,
        instances=world.service.instances,
        derived=world.service.derived,
        index=indexer.index,
        retention=0,
    )
    await sweeping.Sweep(studies, pending, indexer, forgetting, abandoned=0, forgotten=0).run()
    return interleavings._never


def _alive(
    carry_out: Callable[[Any, Any], Awaitable[Any]],
) -> Callable[[Aging, Action], Awaitable[Any]]:
    """An action that is at work from its first request to its last."""

    async def carried_out(world: Aging, action: Action) -> Any:
        this = object()
        world.began[this] = world.steps
        try:
            return await carry_out(world, action)
        finally:
            del world.began[this]

    return carried_out


async def _one_by_one(*tasks: Awaitable[Any]) -> list[Any]:
    return [await task for task in tasks]


def aging(monkeypatch: pytest.MonkeyPatch, service: Service) -> Aging:
    """A world whose clock all that forgets goes by."""
    world = Aging(service)
    monkeypatch.setattr(due, "_SLOT", _STEP)
    monkeypatch.setattr(due, "asyncio", SimpleNamespace(gather=_one_by_one))
    for module in (due, sweeping):
        monkeypatch.setattr(module, "time", SimpleNamespace(time=world.horizon))
    monkeypatch.setattr(indexing, "time", SimpleNamespace(time=service.now))
    monkeypatch.setattr(
        interleavings,
        "_RUN",
        {kind: _alive(carry_out) for kind, carry_out in _RUN.items()},
    )
    return world


_RUN = {**interleavings._RUN, Sweep: _sweep, Index: _index}


@settings(explored, max_examples=500)
@given(
    writers=st.lists(stores | puts | deletes, min_size=1, max_size=3),
    readers=st.lists(searches | st.just(Read()), max_size=1),
    others=st.lists(st.builds(Index, impatient=st.booleans()), max_size=1),
    before=st.lists(puts | deletes | st.just(Index()) | st.just(Sweep()), max_size=4),
    first=st.none() | firsts,
    sweeps=st.integers(1, 2),
    order=orders,
    seed=st.integers(0, 1 << 32),
    page=st.sampled_from([1, 2, 3, 1000]),
    lost=st.integers(-1, 12),
)
def test_any_interleaving_with_what_forgets(
    small: None,
    writers: list[Action],
    readers: list[Action],
    others: list[Action],
    before: list[Action],
    first: Store | None,
    sweeps: int,
    order: list[int],
    seed: int,
    page: int,
    lost: int,
) -> None:
    """Nothing that lives or may still be read goes, and in the end nothing is left but what lives."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = aging(monkeypatch, Service(page=page, nulls=page % 2 == 0))
        for action in [first, *before] if first else before:
            run(world, [action])
        world.batches, world.lost = 0, lost
        run(world, [*writers, *readers, *others, *[Sweep()] * sweeps], order, seed)
        world.lost = -1
        run(world, EVERY_SEARCH)
        run(world, [Index(impatient=True)])
        for _ in range(4):
            run(world, [Sweep()])

        run(world, EVERY_SEARCH)
        _check_forgotten(world)


def _check_forgotten(world: Aging) -> None:
    """I10: nothing is left but what lives."""
    interleavings._check_settled(world)
    assert world.blobs.versions == world.states[-1]
    kinds = {key.partition("|")[0] for key in world.service.rows("studies", PARTITION)}
    assert kinds == ({"instance", "series", "index"} if world.states[-1] else set())
    held = [found for rows in world.service.tables.get("search", {}).values() for found, _ in rows.values()]
    assert not any("moved" in properties for properties in held)
    assert not world.service.rows("due", due.DUE)
