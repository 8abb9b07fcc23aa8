"""The change feed over tables tells what the record was told: each change once, whoever dies and whatever is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_core import versions
from dicom_core.changes import Action, Change
from dicom_core.ports import StudyIndex, Transaction
from dicom_core.record import Columns
from dicom_core.resources import Resource
from dicom_core.storage import entries, removal, rest, rows
from dicom_core.storage.blobs import blob_name
from dicom_core.storage.memory import MemoryFeed, MemoryIndex
from dicom_core.storage.rest import Kind
from dicom_core.storage.sweeping import Sweep
from dicom_core.storage.tables import TableIndex
from dicom_core.studies import store
from tests.fake_tables import Service
from tests.instances import row, uid
from tests.rebuilding import Account, files_of
from tests.storage import Fault, Faults, answer, opened, store_request

SERIES = ("1", "2")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is done to a study; `parts` are its instances, from 0 to 9, spread over two series."""

    what: str
    study: str = "1.2"
    parts: Sequence[int] = ()


def instance_of(part: int) -> dict[str, str]:
    """UIDs of a part."""
    series = SERIES[part % 2]
    return {"series": series, "instance": f"{series}.{part}"}


async def carry_out(step: Step, indexes: Sequence[StudyIndex], partition: str = "p") -> None:
    """Do the same to several indexes, in a transaction of the same name."""
    of = Transaction(versions.new_transaction(), step.study, partition)
    for index in indexes:
        await index.begin(of, None)
        if step.what == "delete":
            await index.remove(of, _resource(step, partition))
        else:
            ordered = sorted(step.parts, key=lambda part: (part % 2, part))
            instances = [row(of, part, **instance_of(part), digest=f"{of.name}{part}") for part in ordered]
            await index.commit(of, instances, upsert=step.what == "put")


def _resource(step: Step, partition: str) -> Resource:
    if not step.parts:
        return Resource(step.study, partition=partition)
    if len(step.parts) > 1:
        return Resource(step.study, SERIES[step.parts[0] % 2], partition=partition)
    return Resource(step.study, **instance_of(step.parts[0]), partition=partition)


def told(changes: Sequence[Change]) -> dict[str | None, list[tuple[Any, ...]]]:
    """Changes by study: action, resource, version and SOP Class."""
    found: dict[str | None, list[tuple[Any, ...]]] = {}
    for change in changes:
        listed = found.setdefault(change.resource.study, [])
        listed.append((change.action, change.resource, change.version, change.sop_class))
    return found


STEPS = st.builds(
    Step,
    st.sampled_from(["store", "store", "put", "delete", "index", "sweep", "read", "other read"]),
    st.sampled_from(["1.1", "1.2"]),
    st.lists(st.integers(0, 9), min_size=0, max_size=7, unique=True),
)


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(STEPS, max_size=14), page=st.sampled_from([1, 3, 1000]), at_once=st.sampled_from([2, 97])
)
def test_feed_of_tables_is_the_feed_of_memory(steps: Sequence[Step], page: int, at_once: int) -> None:
    """Whatever was stored, replaced and deleted, indexed and read: each study's changes are those of the oracle."""

    async def run() -> None:
        service, memory = Service(page=page), MemoryIndex()
        tables, other = service.index(), service.index()
        for step in steps:
            if step.what == "index":
                await tables.index("p", step.study)
            elif step.what == "sweep":
                await other.sweep()
            elif step.what == "read":
                await tables.feed.latest()
            elif step.what == "other read":
                await other.feed.latest()
            elif step.parts or step.what == "delete":
                await carry_out(step, [tables, memory])
        found, expected = (
            await tables.feed.after(0, 1 << 20),
            await MemoryFeed(memory).after(0, 1 << 20),
        )
        assert told(found) == told(expected)
        assert [change.sequence for change in found] == list(range(1, len(found) + 1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "INSTANCES_AT_ONCE", at_once)
        asyncio.run(run())


class Killed(Exception):
    """The process does not send anything any more."""


STORY = (
    Step("store", parts=(0, 1, 2, 3, 4)),
    Step("index"),
    Step("put", parts=(2, 3, 5)),
    Step("read"),
    Step("delete", parts=(4,)),
    Step("index"),
    Step("delete"),
    Step("read"),
    Step("store", parts=(0, 1)),
    Step("index"),
    Step("read"),
)


SHORT_STORY = (Step("store", parts=(0, 1, 2)), Step("read"), Step("delete"), Step("index"), Step("read"))


@dataclass(slots=True)
class Told:
    """What one process has done, and was told, until it died."""

    done: int = 0
    read: list[Change] = field(default_factory=list)


async def live(
    index: TableIndex, partition: str, begin: int, known: Told, story: Sequence[Step] = STORY
) -> None:
    """One process: does what a story tells, and reads the feed from some number on."""
    for step in story:
        if step.what == "index":
            await index.index(partition, step.study)
        elif step.what == "read":
            known.read += await index.feed.after(begin + len(known.read), 1 << 20)
        else:
            await carry_out(step, [index], partition)
        known.done += 1


async def recover(index: TableIndex) -> None:
    """Two sweeps of a time when nothing of before can still be at work."""
    indexer = index._indexer()
    indexer._claim_seconds = -1.0
    for _ in range(2):
        sweep = Sweep(index._studies, index._pending, indexer, _Nothing(), -1.0, -1.0)  # type: ignore[arg-type]
        await sweep.run()


class _Nothing:
    """Forgets nothing."""

    async def run(self) -> None: ...


async def check(index: TableIndex, partition: str, begin: int, known: Told) -> None:
    """Numbers have no gaps, nothing was told below what was read; each instance has the history of its own."""
    changes = await index.feed.after(begin, 1 << 20)
    assert [change.sequence for change in changes] == list(range(begin + 1, begin + len(changes) + 1))
    assert changes[: len(known.read)] == known.read
    standing: dict[str | None, str] = {}
    for change in changes:
        assert change.resource.partition == partition
        key = change.resource.instance
        if change.action is Action.CREATE:
            assert key not in standing
        else:
            assert key in standing
        if change.action is Action.DELETE:
            assert standing.pop(key) == change.version
        else:
            standing[key] = change.version
    found = await index.records(Resource("1.2", partition=partition), Columns.NONE)
    assert standing == {one.instance: one.version for one in found}
    assert max(Counter((one.action, one.version) for one in changes).values(), default=1) == 1


@pytest.mark.parametrize("page", [2, 1000])
async def test_process_that_dies_at_any_request(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Store, replace, delete, index and read: what was told stays, the rest is told once by those who follow."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    for step in itertools.count(1):
        service = Service(page=page)
        known = Told()

        async def dying(service: Service = service, step: int = step) -> None:
            if service.requests >= step:
                raise Killed

        service.turn = dying
        with suppress(Killed, ExceptionGroup):
            await live(service.index(), "p", 0, known)
        service.turn = lambda: asyncio.sleep(0)
        again = service.index()
        known.read = await again.feed.after(0, 1 << 20)
        await recover(again)
        await check(again, "p", 0, known)
        for more in (Step("put", parts=(0, 9)), Step("delete")):
            await carry_out(more, [again])
        await check(service.index(), "p", 0, known)
        if known.done == len(STORY):
            assert step > 40
            return


@pytest.mark.parametrize("seed", range(3))
async def test_replies_that_are_lost_change_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third batch is carried out twice: the feed is as without it."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    service, memory = Service(), MemoryIndex()
    batches = itertools.count(seed)
    service.repeated = lambda: next(batches) % 3 == 0
    index = service.index()
    for step in STORY:
        if step.what not in ("index", "read"):
            await carry_out(step, [index, memory])
            await index.feed.latest()
            await index.index("p", "1.2")

    assert told(await index.feed.after(0, 1 << 20)) == told(memory.changes)


async def test_many_readers_and_indexers_at_once() -> None:
    """They publish the same decisions: each is told once, in one order, and every reader is told what was there."""
    service, memory = Service(), MemoryIndex()
    index = service.index()
    for number in range(12):
        parts = (number % 5, 5 + number % 3)
        await carry_out(Step("put", study=f"1.{number % 4}", parts=parts), [index, memory])
    workers = [service.index() for _ in range(4)]

    read = await asyncio.gather(
        *(worker.feed.after(0, 100) for worker in workers for _ in range(3)),
        *(worker.index("p", f"1.{number}") for number, worker in enumerate(workers)),
    )

    expected = told(memory.changes)
    for changes in read[:12]:
        assert isinstance(changes, list)
        assert told(changes) == expected


async def test_store_and_deletion_of_what_it_has_not_finished() -> None:
    """What is removed of a store of several batches before it ends is not told as created when it does."""
    service = Service()
    index = service.index()
    of = Transaction(versions.new_transaction(), "1.2", "p")
    instances = [row(of, part) for part in range(200)]
    await index.begin(of, None)
    turns = itertools.count()

    async def deleting() -> None:
        if next(turns) == 1:
            await carry_out(Step("delete"), [service.index()])
            assert {one.action for one in await index.feed.after(0, 1000)} == {Action.DELETE}

    service.turn = deleting
    await index.commit(of, instances, upsert=False)

    changes = await index.feed.after(0, 1000)
    last = {change.resource.instance: change.action for change in changes}
    found = await index.records(Resource("1.2", partition="p"), Columns.NONE)
    assert {one.instance for one in found} == {
        instance for instance, action in last.items() if action is Action.CREATE
    }
    assert max(Counter(change.resource.instance for change in changes).values()) == 1


async def test_decision_of_the_most_instances() -> None:
    """10,000 instances of one store are told in two pieces, at once, and read on from anywhere."""
    service = Service()
    index = service.index()
    parts = range(versions.MAX_PARTS)
    of = Transaction(versions.new_transaction(), "1.2", "p")
    await index.begin(of, None)
    await index.commit(of, [row(of, part) for part in parts], upsert=False)

    changes = await index.feed.after(0, 20_000)

    assert [change.sequence for change in changes] == list(range(1, versions.MAX_PARTS + 1))
    assert {change.version for change in changes} == {versions.version_of(of.name, part) for part in parts}
    assert len([key for key in service.rows("feed", entries.FEED) if key.startswith("e|")]) == 2
    assert await index.feed.after(4_998, 4) == changes[4_998:5_002]
    assert await index.feed.of_study("p", "1.2", 4_999, 5_002, 10) == changes[4_998:5_002]
    assert await index.feed.of_study("p", "1.2", 4_999, 10_000, 4) == changes[4_998:5_002]


@pytest.mark.parametrize("indexes", [True, False], ids=["index", "read"])
async def test_deletion_of_more_than_a_row_names(indexes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whose UIDs do not fit into a row are named by their blobs, which are there until they are due."""
    monkeypatch.setattr(removal, "MOST_BYTES", 0)
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 3)
    account = Account()
    await account.post(*files_of("1.2", 7, series=("1", "2")))
    stored = await account.index.feed.after(0, 100)
    await account.delete("1.2")
    if indexes:
        await account.index.index(stored[0].resource.partition, "1.2")

    changes = await account.index.feed.after(7, 100)

    assert {change.action for change in changes} == {Action.DELETE}
    assert {(change.resource, change.version) for change in changes} == {
        (change.resource, change.version) for change in stored
    }
    assert {change.sop_class for change in changes} == {None}


@pytest.mark.azurite
async def test_blobs_name_what_was_deleted(connection_string: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over the account in memory: the UIDs come from the metadata of the blobs."""
    monkeypatch.setattr(removal, "MOST_BYTES", 0)
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    partition, study = f"Feed{uid()[-20:]}", uid()[:50]
    async with opened(connection_string) as stores:
        latest = await stores.feed.latest()
        begin = latest.sequence if latest else 0
        await answer(store.store, store_request(files_of(study, 3), partition), stores)
        stored = await stores.feed.after(begin, 10)
        await carry_out(Step("delete", study=study), [stores.index], partition)

        changes = await stores.feed.after(begin + 3, 10)

    assert sorted((one.action.value, one.version, one.resource.path) for one in changes) == sorted(
        ("delete", one.version, one.resource.path) for one in stored
    )


async def history(account: Account) -> list[tuple[str, str | None]]:
    """Actions and instances of all that is told."""
    changes = await account.index.feed.after(0, 1000)
    return [(change.action.value, change.resource.instance) for change in changes]


EVERY = ("studies", "pending", "search", "due", "feed")
BEFORE = [("create", "1.2.9.0"), ("create", "1.2.9.1"), ("update", "1.2.9.1")]


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        (EVERY, [("create", "1.2.9.0"), ("create", "1.2.9.1")]),
        (("studies",), BEFORE),
        (("studies", "pending", "search", "due"), BEFORE),
        (("feed",), []),
    ],
    ids=["all tables", "studies", "all but the feed", "the feed"],
)
async def test_feed_after_a_loss_and_a_rebuild(
    lost: Sequence[str], expected: Sequence[tuple[str, str]]
) -> None:
    """What the feed still tells is not told again; a feed that was lost begins anew with what was restored."""
    account = Account()
    await account.post(*files_of("1.2", 2))
    await account.put(files_of("1.2", 2)[1])
    assert await history(account) == BEFORE
    await account.index.index("Microsoft.Default", "1.2")

    account.lose(*lost)
    await account.rebuild()
    await account.index.sweep()

    assert sorted(await history(account)) == sorted(expected)
    await account.delete("1.2")
    assert sorted((await history(account))[len(expected) :]) == [("delete", "1.2.9.0"), ("delete", "1.2.9.1")]


async def test_feed_after_two_losses() -> None:
    """What a rebuild has told is not told by the next, whatever was removed or forgotten since."""
    account = Account()
    await account.post(*files_of("1.2", 4))
    account.lose(*EVERY)
    await account.rebuild()
    assert sorted(await history(account)) == [("create", f"1.2.9.{at}") for at in range(4)]
    removed = (await account.index.feed.after(0, 1))[0]
    await account.delete("1.2", removed.resource.series or "", removed.resource.instance or "")
    await account.instances.delete(blob_name(removed.resource.partition, removed.version))
    expected = await history(account)

    for _ in range(2):
        account.lose("studies", "pending", "search", "due")
        await account.rebuild()
        await account.index.sweep()

    assert await history(account) == expected
    assert len(expected) == 5


async def test_rebuild_that_ends_a_store_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the store had added, and what the rebuild adds, is told once, wherever the rebuild dies as well."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    for step in itertools.count(1):
        account = Account()
        left = step

        async def dying_store(account: Account = account) -> None:
            if "studies" in account.service.tables:
                raise Killed

        async def dying_rebuild() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                raise Killed

        account.service.turn = dying_store
        with suppress(Killed, ExceptionGroup):
            await account.post(*files_of("1.2", 7))
        (decision,) = account.rows(kind="change|").values()
        assert (decision["state"], len(account.rows())) == ("open", 2)
        account.service.turn = dying_rebuild
        with suppress(Killed, ExceptionGroup):
            await account.rebuild(settled=-1.0)
        account.service.turn = lambda: asyncio.sleep(0)
        await account.rebuild(settled=-1.0)
        await recover(account.index)

        assert sorted(await history(account)) == [("create", f"1.2.9.{at}") for at in range(7)], step
        if left > 0:
            assert step > 15
            return


CarryOut = Callable[[], Awaitable[aiohttp.ClientResponse]]


async def killed_before(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """The process dies before it sends the request."""
    raise Killed


async def killed_after(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """The process dies when the request was carried out."""
    await (await carry_out()).read()
    raise Killed


async def lost(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Carried out; the connection breaks before the reply."""
    await (await carry_out()).read()
    raise aiohttp.ServerDisconnectedError


@pytest.mark.azurite
@pytest.mark.parametrize("fault", [killed_before, killed_after, lost], ids=lambda fault: fault.__name__)
async def test_fault_at_any_request(
    fault: Fault, connection_string: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As over the service in memory: death before or after any request, or the loss of any reply."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    monkeypatch.setattr(rest, "_FIRST_DELAY", 0.0005)
    for step in itertools.count(1):
        partition, known = f"Feed{uid()[-20:]}", Told()

        def plan(number: int, step: int = step) -> Fault | None:
            if number == step:
                return fault
            return killed_before if number > step and fault is not lost else None

        async with opened(connection_string) as stores:
            latest = await stores.feed.latest()
            begin = latest.sequence if latest else 0
        faults = Faults(plan)
        async with opened(connection_string, faults) as stores:
            assert isinstance(stores.index, TableIndex)
            with suppress(Killed, ExceptionGroup):
                await live(stores.index, partition, begin, known, SHORT_STORY)
        async with opened(connection_string) as stores:
            assert isinstance(stores.index, TableIndex)
            known.read = await stores.feed.after(begin, 1 << 20)
            await recover(stores.index)
            await check(stores.index, partition, begin, known)
        if known.done == len(SHORT_STORY) and (fault is not lost or faults.sent < step):
            assert step > 25
            return


@pytest.mark.azurite
async def test_writers_of_several_workers(connection_string: str) -> None:
    """Three workers store and read at once: every change is told once, and each reader meets the same order."""
    partition, study = f"Feed{uid()[-20:]}", uid()
    async with (
        opened(connection_string) as first,
        opened(connection_string) as second,
        opened(connection_string) as third,
    ):
        latest = await first.feed.latest()
        begin = latest.sequence if latest else 0

        async def work(index: StudyIndex, number: int) -> None:
            for at in range(4):
                step = Step("put", study=f"{study[:40]}.{at}", parts=(number, 9))
                await carry_out(step, [index], partition)

        async def follow(stores: Any, read: list[Change]) -> None:
            while len(read) < 24:
                read += await stores.feed.after(begin + len(read), 7)

        workers = (first, second, third)
        read: list[list[Change]] = [[], [], []]
        await asyncio.gather(
            *(work(stores.index, number) for number, stores in enumerate(workers)),
            *(follow(stores, into) for stores, into in zip(workers, read, strict=True)),
        )

    assert read[0][:24] == read[1][:24] == read[2][:24]
    assert [change.sequence for change in read[0]] == list(range(begin + 1, begin + 25))
    assert len({change.version for change in read[0]}) == 24


@pytest.mark.azurite
async def test_price_of_a_read(connection_string: str, counts: Counter[Kind]) -> None:
    """Two requests when nothing is pending; what publishes a study first is four more, for each worker once."""
    partition = f"Feed{uid()[-20:]}"
    async with opened(connection_string) as stores:
        index = stores.index
        assert isinstance(index, TableIndex)
        await index.sweep()
        latest = await stores.feed.latest()
        begin = latest.sequence if latest else 0
        await carry_out(Step("store", parts=(0, 1)), [index], partition)

        costs = []
        for read in (
            lambda: stores.feed.after(begin, 10),
            lambda: stores.feed.after(begin, 10),
            lambda: stores.feed.latest(),
            lambda: stores.feed.of_study(partition, "1.2", begin + 1, begin + 2, 10),
        ):
            counts.clear()
            assert await read()
            costs.append(dict(counts))

    assert costs == [{Kind.TABLE: 6}, {Kind.TABLE: 2}, {Kind.TABLE: 2}, {Kind.TABLE: 2}]
