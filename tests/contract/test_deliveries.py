"""What delivery relies on: tasks and positions change by the version that was read, all of one save or none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dicom_core import tasks
from dicom_core.ports import Deliveries, Stores
from dicom_core.tasks import Load, Position, Task
from tests.instances import uid

NOW = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(seconds=1)


@pytest.fixture
def deliveries(stores: Stores) -> Deliveries:
    """The port of each adapter in turn."""
    return stores.deliveries


@pytest.fixture
def name() -> str:
    """A subscriber of its own for each test."""
    return f"s-{uid().rpartition('.')[2]}"


def task(study: str = "1.2", first: int = 1, last: int = 1, **fields: object) -> Task:
    """A task that is not stored."""
    return replace(Task("p", study, first=first, last=last, since=NOW, due=NOW), **fields)  # type: ignore[arg-type]


async def test_new_subscriber_has_nothing(deliveries: Deliveries, name: str) -> None:
    """There is neither a position nor a task."""
    assert await deliveries.position(name) is None
    assert await deliveries.due(name, NOW, 10) == (None, [])
    assert await deliveries.load(name) == Load(0, 0)


async def test_what_is_saved_is_read(deliveries: Deliveries, name: str) -> None:
    """All that a task and a position hold comes back."""
    saved = await deliveries.save(
        name,
        [task("1.2", 3, 2**40, claim="w", attempts=7, reason="status 500 ü", failed=True)],
        Position(2**40, LATER, 3, "status 503"),
    )

    assert saved is not None
    assert await deliveries.find(name, [("p", "1.2"), ("p", "1.3")]) == list(saved.tasks)
    assert await deliveries.position(name) == saved.position
    assert saved.tasks[0] == task(
        "1.2",
        3,
        2**40,
        claim="w",
        attempts=7,
        reason="status 500 ü",
        failed=True,
        version=saved.tasks[0].version,
    )
    assert saved.position == Position(2**40, LATER, 3, "status 503", saved.position.version)
    assert saved.tasks[0].version


async def test_rest_ends(deliveries: Deliveries, name: str) -> None:
    """A position that is saved without a rest has none."""
    first = await deliveries.save(name, [], Position(1, LATER, 1, "r"))
    assert first is not None
    assert first.position is not None

    await deliveries.save(name, [], replace(first.position, rests_until=None, pauses=0, reason=""))

    kept = await deliveries.position(name)
    assert kept is not None
    assert (kept.rests_until, kept.pauses, kept.reason) == (None, 0, "")


async def test_due_tasks_are_found(deliveries: Deliveries, name: str) -> None:
    """Those whose time has come, with the position; not those that failed, and none of another subscriber."""
    await deliveries.save(
        name,
        [task("1"), task("2", due=LATER), task("3", failed=True), task("4", due=NOW - timedelta(days=1))],
        Position(5),
    )
    await deliveries.save(f"{name}-b", [task("9")], Position(1))

    position, due = await deliveries.due(name, NOW, 10)

    assert position is not None
    assert position.sequence == 5
    assert {one.study for one in due} == {"1", "4"}
    assert {one.study for one in (await deliveries.due(name, LATER, 10))[1]} == {"1", "2", "4"}
    assert len((await deliveries.due(name, LATER, 2))[1]) == 2


@pytest.mark.parametrize("stale", ["task", "position", "new task", "new position", "dropped task"])
async def test_save_of_what_has_changed_keeps_nothing(deliveries: Deliveries, name: str, stale: str) -> None:
    """One that another has changed, or that is there already, or gone, keeps all of a save from being kept."""
    first = await deliveries.save(name, [task("1"), task("2")], Position(1))
    assert first is not None
    assert first.position is not None
    one, two = first.tasks
    other = await deliveries.save(name, [replace(two, last=9)], replace(first.position, sequence=2))
    assert other is not None
    given = {
        "task": ([replace(one, last=7), replace(two, last=7)], other.position),
        "position": ([replace(one, last=7)], first.position),
        "new task": ([replace(one, last=7), task("2")], other.position),
        "new position": ([replace(one, last=7)], Position(3)),
        "dropped task": ([replace(one, last=7), replace(task("3"), version=two.version)], other.position),
    }[stale]

    assert await deliveries.save(name, *given) is None

    assert [kept.last for kept in await deliveries.find(name, [one.key, two.key])] == [1, 9]
    assert await deliveries.position(name) == other.position


async def test_drop_is_of_one_version(deliveries: Deliveries, name: str) -> None:
    """A task that was changed stays; one that is gone is no error."""
    first = await deliveries.save(name, [task()])
    assert first is not None
    second = await deliveries.save(name, [replace(first.tasks[0], last=2)])
    assert second is not None

    assert not await deliveries.drop(name, first.tasks[0])
    assert await deliveries.find(name, [("p", "1.2")]) == list(second.tasks)
    assert await deliveries.drop(name, second.tasks[0])
    assert await deliveries.drop(name, second.tasks[0])
    assert await deliveries.find(name, [("p", "1.2")]) == []


async def test_failures_are_listed_in_pages(deliveries: Deliveries, name: str) -> None:
    """In the order of their keys; those that wait are not among them, but counted."""
    studies = ["1.1", "1.2", "1.3", "1.4"]
    await deliveries.save(name, [*(task(study, failed=True) for study in studies), task("1.5")], Position(1))

    assert [one.study for one in await deliveries.failures(name, 0, 10)] == studies
    assert [one.study for one in await deliveries.failures(name, 1, 2)] == studies[1:3]
    assert await deliveries.failures(name, 4, 2) == []
    assert await deliveries.load(name) == Load(1, 4)


async def test_full_save(deliveries: Deliveries, name: str) -> None:
    """As many tasks as are said, with the longest reasons, and a position are kept at once."""
    many = [task(f"1.{number}", reason="ü" * tasks.MAX_REASON) for number in range(tasks.AT_ONCE)]

    assert await deliveries.save(name, many, Position(1)) is not None

    assert len((await deliveries.due(name, NOW, 1000))[1]) == tasks.AT_ONCE
