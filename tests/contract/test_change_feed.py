"""What every `ChangeFeed` promises: each change once, in one order without gaps, as soon as it was committed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dicom_core.changes import Action, Change, State
from dicom_core.ports import Outcome, Stores, Transaction
from dicom_core.record import Instance
from dicom_core.resources import DEFAULT_PARTITION, Resource
from tests.instances import row, transaction, uid

ENHANCED = "1.2.840.10008.5.1.4.1.1.2.1"


async def stored(
    stores: Stores, study: str, *parts: int, upsert: bool = False, **fields: str
) -> list[Instance]:
    """Store instances of a series, in one transaction; their rows."""
    of = transaction(study)
    instances = [row(of, part, **fields) for part in parts]
    await stores.index.begin(of, None)
    await stores.index.commit(of, instances, upsert=upsert)
    return instances


async def removed(stores: Stores, resource: Resource) -> int:
    """Remove a resource; how many instances."""
    of = Transaction(transaction("").name, resource.study or "", resource.partition)
    await stores.index.begin(of, None)
    return await stores.index.remove(of, resource)


async def end(stores: Stores) -> int:
    """The last sequence number so far: other tests may share the account."""
    latest = await stores.feed.latest()
    return latest.sequence if latest else 0


def told(changes: Sequence[Change]) -> list[tuple[str, str | None, str]]:
    """Action, instance and version of changes."""
    return [(change.action.value, change.resource.instance, change.version) for change in changes]


async def test_feed_of_nothing_is_empty(stores: Stores) -> None:
    """After the last change there is none."""
    last = await end(stores)

    assert await stores.feed.after(last, 10) == []
    assert await stores.feed.of_study(DEFAULT_PARTITION, uid(), 1, last + 10, 100) == []


async def test_store_is_told_at_once(stores: Stores) -> None:
    """What was committed before a read is in what it tells, with all that it knows of each instance."""
    last = await end(stores)
    instances = await stored(stores, uid(), 0, 1)

    changes = await stores.feed.after(last, 10)

    assert [change.sequence for change in changes] == [last + 1, last + 2]
    assert [change.resource for change in changes] == [instance.resource for instance in instances]
    assert told(changes) == [("create", one.instance, one.version) for one in instances]
    assert {change.sop_class for change in changes} == {instances[0].sop_class}


async def test_what_replaces_is_an_update(stores: Stores) -> None:
    """An instance that takes the place of another is told as an update, one that does not as created."""
    study, last = uid(), await end(stores)
    await stored(stores, study, 0)
    instances = await stored(stores, study, 0, 1, upsert=True, sop_class=ENHANCED)

    changes = await stores.feed.after(last + 1, 10)

    assert told(changes) == [
        ("update", instances[0].instance, instances[0].version),
        ("create", instances[1].instance, instances[1].version),
    ]
    assert {change.sop_class for change in changes} == {ENHANCED}


async def test_what_is_removed_is_told_with_its_version(stores: Stores) -> None:
    """A deletion tells every instance that it removed: which version, and its SOP Class."""
    study, last = uid(), await end(stores)
    instances = await stored(stores, study, 0, 1, sop_class=ENHANCED)
    assert await removed(stores, Resource(study)) == 2

    changes = await stores.feed.after(last + 2, 10)

    assert told(changes) == [("delete", one.instance, one.version) for one in instances]
    assert {change.sop_class for change in changes} == {ENHANCED}


@pytest.mark.parametrize("same", [True, False], ids=["identical", "different"])
async def test_what_was_refused_is_not_told(stores: Stores, same: bool) -> None:
    """A store that changes nothing tells nothing, and so does a deletion of nothing."""
    study, last = uid(), await end(stores)
    (standing,) = await stored(stores, study, 0)
    of = transaction(study)
    other = replace(row(of, 0), digest=standing.digest if same else "e" * 64)
    await stores.index.begin(of, None)
    outcomes = await stores.index.commit(of, [other], upsert=False)
    await removed(stores, Resource(study, "9.9"))

    assert outcomes[other.version].outcome is (Outcome.IDENTICAL if same else Outcome.DIFFERENT)
    assert told(await stores.feed.after(last, 10)) == [("create", standing.instance, standing.version)]


async def test_changes_of_an_instance_are_told_in_their_order(stores: Stores) -> None:
    """Whatever was read in between, and whichever were read together."""
    study, last = uid(), await end(stores)
    expected: list[tuple[str, str, str]] = []
    for number in range(4):
        (first,) = await stored(stores, study, 0)
        (second,) = await stored(stores, study, 0, upsert=True)
        await removed(stores, first.resource)
        expected += [
            ("create", first.instance, first.version),
            ("update", second.instance, second.version),
            ("delete", second.instance, second.version),
        ]
        if number % 2:
            await stores.feed.latest()

    assert told(await stores.feed.after(last, 100)) == expected


async def test_pages_join_without_gaps(stores: Stores) -> None:
    """Whoever goes on after the last that was read meets each change once, whatever the size of pages."""
    last = await end(stores)
    for parts in ((0, 1, 2), (3,), (4, 5)):
        await stored(stores, uid(), *parts)

    for most in (1, 2, 4, 6):
        read: list[Change] = []
        while page := await stores.feed.after(last + len(read), most):
            assert len(page) == min(most, 6 - len(read))
            read += page
        assert [change.sequence for change in read] == list(range(last + 1, last + 7))
    assert await stores.feed.after(last, 0) == []


async def test_times_never_go_back(stores: Stores) -> None:
    """Of two changes, that with the higher number has the later time, told together or not; none is to come."""
    last = await end(stores)
    for _ in range(3):
        await stored(stores, uid(), 0, 1)
        await stored(stores, uid(), 0)
        await stores.feed.latest()

    times = [change.time for change in await stores.feed.after(last, 10)]

    assert times == sorted(set(times))
    assert len(times) == 9
    assert times[-1] <= datetime.now(UTC)


async def test_latest_is_the_last(stores: Stores) -> None:
    """The latest change is the last of those that are told."""
    last = await end(stores)
    await stored(stores, uid(), 0, 1)

    assert [await stores.feed.latest()] == (await stores.feed.after(last, 10))[-1:]


async def test_study_is_told_alone(stores: Stores) -> None:
    """Changes of one study of one partition, from a number to another, both included; at most so many."""
    study, last = uid(), await end(stores)
    for number in range(3):
        await stored(stores, study, 2 * number, 2 * number + 1)
        await stored(stores, uid(), number)

    every = await stores.feed.of_study(DEFAULT_PARTITION, study, last + 1, last + 100, 100)
    first, second = every[1].sequence, every[4].sequence

    assert [change.resource.instance for change in every] == [f"1.2.3.{part}" for part in range(6)]
    assert await stores.feed.of_study(DEFAULT_PARTITION, study, first, second, 100) == every[1:5]
    assert await stores.feed.of_study(DEFAULT_PARTITION, study, first, second, 3) == every[1:4]
    assert await stores.feed.of_study(DEFAULT_PARTITION, study, second + 1, second, 100) == []
    assert await stores.feed.of_study("Other", study, last + 1, last + 100, 100) == []


async def test_partitions_share_the_feed(stores: Stores) -> None:
    """Changes of every partition are in the one order, each with its partition."""
    study, last = uid(), await end(stores)
    for partition in ("A", "B"):
        of = replace(transaction(study), partition=partition)
        await stores.index.begin(of, None)
        await stores.index.commit(of, [row(of)], upsert=False)
    await removed(stores, Resource(study, partition="A"))

    changes = await stores.feed.after(last, 10)

    assert sorted((change.resource.partition, change.action.value) for change in changes) == [
        ("A", "create"),
        ("A", "delete"),
        ("B", "create"),
    ]


async def test_window_holds_what_was_told_in_it(stores: Stores) -> None:
    """From `start` on, before `end`; either may be left out."""
    last = await end(stores)
    for _ in range(3):
        await stored(stores, uid(), 0, 1)
        await stores.feed.latest()
    changes = await stores.feed.after(last, 10)
    start, stop = changes[2].time, changes[4].time

    within = [change for change in changes if start <= change.time < stop]
    assert await stores.feed.between(start, stop, 0, 10) == within
    assert (await stores.feed.between(start, None, 0, 10)) == [one for one in changes if one.time >= start]
    assert await stores.feed.between(None, changes[0].time, last, 10) == []
    assert await stores.feed.between(None, stop, last, 10) == [one for one in changes if one.time < stop]


async def test_window_is_read_in_pages(stores: Stores) -> None:
    """The first so many are left out, and no more are told than are asked for."""
    last = await end(stores)
    await stored(stores, uid(), *range(5))
    changes = await stores.feed.after(last, 10)
    start, stop = changes[0].time, datetime.now(UTC)
    every = await stores.feed.between(start, stop, 0, 100)

    for offset in range(7):
        assert await stores.feed.between(start, stop, offset, 2) == every[offset : offset + 2]


async def test_window_of_the_past_is_closed(stores: Stores) -> None:
    """Once a window that has passed was read, nothing appears in it: not even what was committed before it ended."""
    study = uid()
    start = datetime.now(UTC)
    await stored(stores, study, 0)
    await asyncio.sleep(0.002)
    stop = datetime.now(UTC)

    before = await stores.feed.between(start, stop, 0, 10)
    await stored(stores, study, 1)
    await stores.feed.latest()

    assert await stores.feed.between(start, stop, 0, 10) == before
    after = await stores.feed.between(stop, None, 0, 10)
    assert told([*before, *after])[-2:] == [
        ("create", f"1.2.3.{part}", change.version) for part, change in enumerate([*before, *after][-2:])
    ]


async def test_window_that_has_not_passed_tells_what_was_committed(stores: Stores) -> None:
    """A window that ends later than now is read as one that does not end."""
    last = await end(stores)
    start = datetime.now(UTC) - timedelta(minutes=10)
    (instance,) = await stored(stores, uid(), 0)

    changes = await stores.feed.between(start, datetime.now(UTC) + timedelta(minutes=10), 0, 1 << 20)

    assert [change for change in changes if change.sequence > last] == await stores.feed.after(last, 10)
    assert changes[-1].version == instance.version


async def test_concurrent_readers_are_told_the_same(stores: Stores) -> None:
    """All of them tell what was committed before, and none of it twice."""
    last = await end(stores)
    for _ in range(5):
        await stored(stores, uid(), 0, 1)

    read = await asyncio.gather(*(stores.feed.after(last, 100) for _ in range(8)))

    assert all(changes == read[0] for changes in read)
    assert [change.sequence for change in read[0]] == list(range(last + 1, last + 11))


async def test_many_instances_are_told_of(stores: Stores) -> None:
    """A store of several batches, and its deletion, which hides them at once."""
    study, last = uid(), await end(stores)
    instances = await stored(stores, study, *range(250))
    await removed(stores, Resource(study, "1.2.3"))

    changes = await stores.feed.after(last, 1000)

    assert [change.sequence for change in changes] == list(range(last + 1, last + 501))
    assert {change.action for change in changes[:250]} == {Action.CREATE}
    assert {change.action for change in changes[250:]} == {Action.DELETE}
    for half in (changes[:250], changes[250:]):
        assert {change.version for change in half} == {instance.version for instance in instances}
        assert {change.resource for change in half} == {instance.resource for instance in instances}


@pytest.mark.parametrize(
    ("standing", "state"),
    [("v1", State.CURRENT), ("v2", State.REPLACED), (None, State.DELETED)],
    ids=["it", "another", "none"],
)
def test_state_is_that_of_now(standing: str | None, state: State) -> None:
    """What became of a version since is told by what stands now."""
    change = Change(1, datetime.now(UTC), Action.CREATE, Resource("1", "2", "3"), "v1", None)

    assert change.state(standing) is state
