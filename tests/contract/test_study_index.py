"""What every `StudyIndex` promises: atomic per study, exact at once, nothing refused or removed comes back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dicom_core import attributes, versions
from dicom_core.ports import Outcome, Stores, StudyIndex, Transaction
from dicom_core.query import Match, Query, SingleValue
from dicom_core.record import Columns, Instance
from dicom_core.resources import Level, Resource
from tests.instances import row, transaction, uid


async def stored(
    index: StudyIndex, instances: Sequence[Instance], of: Transaction, **how: bool
) -> list[Outcome]:
    """Begin and commit; the outcomes in order."""
    await index.begin(of, instances[0].attributes if instances else None)
    outcomes = await index.commit(of, instances, upsert=how.get("upsert", False))
    return [outcomes[instance.version].outcome for instance in instances]


async def removed(index: StudyIndex, resource: Resource) -> int:
    """Begin and remove; how many."""
    of = transaction(resource.study or "")
    await index.begin(of, None)
    return await index.remove(of, resource)


async def versions_of(index: StudyIndex, study: str) -> set[str]:
    """The versions that a reader of the study sees."""
    return {instance.version for instance in await index.records(Resource(study), Columns.NONE)}


def study_query(study: str) -> Query:
    """A search for one study by its UID."""
    match = Match(attributes.find("StudyInstanceUID"), SingleValue("UI", study))
    return Query(Level.STUDY, matches=(match,))


async def test_commit_is_read_back_whole(stores: Stores) -> None:
    """What was committed is what is read, in every column."""
    of = transaction(uid())
    instance = row(of, frames=b"f" * 100_000, bulkdata={"00420011": (5, 7)}, header=b"h" * 70_000)

    assert await stored(stores.index, [instance], of) == [Outcome.STORED]

    every = Columns.ATTRIBUTES | Columns.HEADER | Columns.PIXELS
    assert await stores.index.records(instance.resource, every) == [instance]
    assert await stores.index.records(Resource(of.study), every) == [instance]


@pytest.mark.parametrize("columns", [Columns.HEADER, Columns.PIXELS, Columns.HEADER | Columns.PIXELS])
async def test_what_is_too_large_for_a_row_is_read_back(stores: Stores, columns: Columns) -> None:
    """Header, frames and bulk data may have any size; an entity of the Table service takes 1 MiB."""
    of = transaction(uid())
    large = bytes(range(256)) * 4096
    instance = row(of, header=large, frames=large[1:], bulkdata={"00420011": (5, 7)})

    await stored(stores.index, [instance], of)

    (found,) = await stores.index.records(Resource(of.study), columns)
    if Columns.HEADER in columns:
        assert found.header == instance.header
    if Columns.PIXELS in columns:
        assert (found.frames, found.bulkdata) == (instance.frames, instance.bulkdata)


async def test_records_are_ordered_by_their_uids(stores: Stores) -> None:
    """Rows come in the order of series and instance UID, whatever the order they were stored in."""
    of = transaction(uid())
    rows = [row(of, part, series=series) for part, series in enumerate(["1.9", "1.2", "1.9", "1.2"])]

    await stored(stores.index, rows, of)

    found = await stores.index.records(Resource(of.study), Columns.NONE)
    assert [(one.series, one.instance) for one in found] == sorted((one.series, one.instance) for one in rows)


@pytest.mark.parametrize("count", [1, 97, 98, 250])
async def test_commit_takes_any_number_of_instances(stores: Stores, count: int) -> None:
    """More instances than one batch holds become visible as well (batches of 97)."""
    of = transaction(uid())
    rows = [row(of, part, series=f"1.{part % 3}") for part in range(count)]

    assert await stored(stores.index, rows, of) == [Outcome.STORED] * count

    assert await versions_of(stores.index, of.study) == {one.version for one in rows}


async def test_commit_takes_more_series_than_fit_a_batch(stores: Stores) -> None:
    """Every instance may be in a series of its own, which costs a batch two operations each."""
    of = transaction(uid())
    rows = [row(of, part, series=f"1.{part}") for part in range(120)]

    assert await stored(stores.index, rows, of) == [Outcome.STORED] * 120
    assert len(await versions_of(stores.index, of.study)) == 120


async def test_same_bytes_again_are_identical(stores: Stores) -> None:
    """A sender may repeat a Store: the first version stands, the second is known to be the same."""
    first, second = transaction(study := uid()), transaction(study)
    await stored(stores.index, [row(first)], first)

    assert await stored(stores.index, [row(second)], second) == [Outcome.IDENTICAL]
    assert await versions_of(stores.index, study) == {row(first).version}


async def test_other_bytes_under_the_same_uids_are_refused(stores: Stores) -> None:
    """A POST never replaces; what else it brought is stored."""
    first, second = transaction(study := uid()), transaction(study)
    await stored(stores.index, [row(first)], first)

    outcomes = await stored(stores.index, [row(second, 0, digest="f" * 64), row(second, 1)], second)

    assert outcomes == [Outcome.DIFFERENT, Outcome.STORED]
    assert await versions_of(stores.index, study) == {row(first).version, row(second, 1).version}


async def test_upsert_replaces(stores: Stores) -> None:
    """A PUT takes the place of what stands under its UIDs."""
    first, second = transaction(study := uid()), transaction(study)
    await stored(stores.index, [row(first)], first)

    assert await stored(stores.index, [row(second, digest="f" * 64)], second, upsert=True) == [Outcome.STORED]
    assert await versions_of(stores.index, study) == {row(second).version}


async def test_upsert_by_an_earlier_name_is_overtaken(stores: Stores) -> None:
    """The latest name must be the latest store: a PUT whose name is earlier than what stands does not replace it."""
    late = transaction(study := uid())
    future = Transaction(versions.transaction_after(late.name), study, late.partition)
    await stored(stores.index, [row(future)], future)

    await stores.index.begin(late, None)
    outcomes = await stores.index.commit(late, [row(late, digest="f" * 64)], upsert=True)

    assert outcomes[row(late).version].outcome is Outcome.OVERTAKEN
    assert outcomes[row(late).version].standing == row(future).version
    assert await versions_of(stores.index, study) == {row(future).version}


@pytest.mark.parametrize("count", [1, 97, 98, 300])
async def test_removed_study_is_gone(stores: Stores, count: int) -> None:
    """A deleted study has no instances for any reader, however many batches that took."""
    of = transaction(uid())
    await stored(stores.index, [row(of, part, series=f"1.{part % 2}") for part in range(count)], of)

    assert await removed(stores.index, Resource(of.study)) == count

    assert await versions_of(stores.index, of.study) == set()
    assert not await stores.index.records(row(of).resource, Columns.NONE)
    assert not (await stores.index.search(study_query(of.study))).datasets
    assert await removed(stores.index, Resource(of.study)) == 0


async def test_removing_a_series_leaves_the_others(stores: Stores) -> None:
    """Deletion reaches what is at or below its resource, and UIDs that begin alike are others."""
    of = transaction(uid())
    rows = [row(of, 0, series="1.2"), row(of, 1, series="1.20"), row(of, 2, series="1.2.1")]
    await stored(stores.index, rows, of)

    assert await removed(stores.index, Resource(of.study, "1.2")) == 1
    assert await versions_of(stores.index, of.study) == {rows[1].version, rows[2].version}


async def test_removing_an_instance_leaves_the_others(stores: Stores) -> None:
    """As for a series."""
    of = transaction(uid())
    rows = [row(of, part) for part in range(3)]
    await stored(stores.index, rows, of)

    assert await removed(stores.index, rows[1].resource) == 1
    assert await versions_of(stores.index, of.study) == {rows[0].version, rows[2].version}


@pytest.mark.parametrize("count", [1, 300])
async def test_what_was_removed_can_be_stored_again(stores: Stores, count: int) -> None:
    """After a deletion its UIDs are free, other bytes included."""
    first, second = transaction(study := uid()), transaction(study)
    await stored(stores.index, [row(first, part) for part in range(count)], first)
    await removed(stores.index, Resource(study))

    again = [row(second, part, digest="f" * 64) for part in range(count)]
    assert await stored(stores.index, again, second) == [Outcome.STORED] * count
    assert await versions_of(stores.index, study) == {one.version for one in again}


async def test_parallel_senders_of_one_study_are_counted_exactly(stores: Stores) -> None:
    """32 senders of one study neither lose nor double an instance (promise 2 and 3)."""
    study = uid()
    transactions = [transaction(study) for _ in range(32)]

    async def send(number: int) -> list[Outcome]:
        one = transactions[number]
        return await stored(stores.index, [row(one, 0, instance=f"1.2.3.{number}")], one)

    assert await asyncio.gather(*map(send, range(32))) == [[Outcome.STORED]] * 32
    (answer,) = (await stores.index.search(study_query(study))).datasets
    assert answer["00201208"]["Value"] == [32]


async def test_parallel_senders_of_one_instance_store_it_once(stores: Stores) -> None:
    """Of 8 that send the same UIDs one is stored; the same bytes are identical, others refused."""
    study = uid()
    transactions = [transaction(study) for _ in range(8)]

    async def send(number: int) -> Outcome:
        one = transactions[number]
        return (await stored(stores.index, [row(one, 0, digest=f"{number % 2}")], one))[0]

    outcomes = await asyncio.gather(*map(send, range(8)))

    assert outcomes.count(Outcome.STORED) == 1
    assert outcomes.count(Outcome.IDENTICAL) == 3
    assert outcomes.count(Outcome.DIFFERENT) == 4
    assert len(await versions_of(stores.index, study)) == 1


async def test_parallel_removals_and_stores_end_in_one_of_the_orders(stores: Stores) -> None:
    """A deletion beside stores removes some of them: what is left is exactly what a search counts."""
    study = uid()
    seed = transaction(study)
    await stored(stores.index, [row(seed, part) for part in range(120)], seed)

    async def send(number: int) -> None:
        one = transaction(study)
        await stored(stores.index, [row(one, 0, instance=f"9.{number}")], one)

    await asyncio.gather(
        *map(send, range(6)), removed(stores.index, Resource(study)), *map(send, range(6, 12))
    )

    left = await versions_of(stores.index, study)
    assert not left & {row(seed, part).version for part in range(120)}
    answers = (await stores.index.search(study_query(study))).datasets
    assert [answer["00201208"]["Value"] for answer in answers] == ([[len(left)]] if left else [])


async def test_search_sees_a_store_at_once(stores: Stores) -> None:
    """After the commit a search by any attribute finds the study (promise 2)."""
    of = transaction(uid())
    name = {"vr": "PN", "Value": [{"Alphabetic": f"Only^{of.study}"}]}
    await stored(stores.index, [row(of, attributes={Level.STUDY: {"00100010": name}})], of)

    match = Match(attributes.find("PatientName"), SingleValue("PN", f"only^{of.study}"))
    page = await stores.index.search(Query(Level.STUDY, matches=(match,)))

    assert [dataset["0020000D"]["Value"] for dataset in page.datasets] == [[of.study]]


async def test_search_follows_the_latest_value(stores: Stores) -> None:
    """A study answers with the value of its latest instance, and is not found by the one before."""
    first, second = transaction(study := uid()), transaction(study)
    for number, (of, value) in enumerate(((first, f"A{study}"), (second, f"B{study}"))):
        patient = {Level.STUDY: {"00100020": {"vr": "LO", "Value": [value]}}}
        await stored(stores.index, [row(of, number, attributes=patient)], of)

    async def found(value: str) -> int:
        match = Match(attributes.find("PatientID"), SingleValue("LO", value.lower()))
        return len((await stores.index.search(Query(Level.STUDY, matches=(match,)))).datasets)

    assert [await found(f"A{study}"), await found(f"B{study}")] == [0, 1]


async def test_partitions_do_not_see_each_other(stores: Stores) -> None:
    """The same UIDs may be stored in two partitions."""
    here = transaction(study := uid())
    there = Transaction(versions.new_transaction(), study, "Other")

    assert await stored(stores.index, [row(here)], here) == [Outcome.STORED]
    assert await stored(stores.index, [row(there)], there) == [Outcome.STORED]
    assert await removed(stores.index, Resource(study)) == 1

    assert len(await stores.index.records(Resource(study, partition="Other"), Columns.NONE)) == 1
