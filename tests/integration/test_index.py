"""The search index: the answers of the record, at the price of two requests, whatever has been indexed so far."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Stores, StudyIndex, Transaction
from dicom_core.query import Query
from dicom_core.record import Columns
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage import rows, sweeping
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.memory import MemoryIndex
from dicom_core.storage.rest import Kind
from dicom_core.storage.table_service import Conflict
from dicom_core.storage.tables import TableIndex
from dicom_core.web import search_parameters
from tests.fake_tables import Service
from tests.instances import row, uid
from tests.storage import opened


def dataset(**values: Any) -> dict[str, Any]:
    """Study attributes by tag."""
    return {
        f"00{tag[1:]}": {"vr": vr, "Value": [value]}
        for (tag, vr), value in ((key.split("_"), value) for key, value in values.items())
        if value
    }


def asked(level: Level = Level.STUDY, partition: str = DEFAULT_PARTITION, **parameters: str) -> Query:
    """A search over all studies."""
    return search_parameters.parse(tuple(parameters.items()), level, Resource(partition=partition)).query


async def keep(
    index: StudyIndex, study: str, number: int, attributes: dict[Level, Any], **fields: str
) -> None:
    """Store one instance of a study."""
    of = Transaction(versions.new_transaction(), study, fields.get("partition", DEFAULT_PARTITION))
    await index.begin(of, attributes)
    await index.commit(of, [row(of, 0, instance=f"9.{number}", attributes=attributes)], upsert=True)


async def indexed(index: TableIndex, partition: str, study: str) -> bool:
    """Index one study."""
    return await Indexer(index._studies, index._pending, index._search).index(partition, study)


@pytest.mark.azurite
@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ({}, 100),
        ({"limit": "7", "offset": "90"}, 7),
        ({"PatientID": "P5"}, 1),
        ({"PatientName": "name1*"}, 31),
        ({"StudyDate": "20200101-20200105"}, 20),
        ({"PatientID": "nobody"}, 0),
    ],
)
async def test_search_costs_two_requests(
    stores: Stores, counts: Counter[Kind], parameters: dict[str, str], found: int
) -> None:
    """A page of studies that are all indexed: one request for the journal, one for the rows."""
    index = stores.index
    assert isinstance(index, TableIndex)
    partition = f"price{uid()[-12:]}"
    for number in range(120):
        values = dataset(
            x080020_DA=f"202001{number // 4 + 1:02d}",
            x100020_LO=f"P{number}",
            x100010_PN={"Alphabetic": f"Name{number}"},
        )
        study = f"1.2.{number}"
        await keep(index, study, 0, {Level.STUDY: values}, partition=partition)
        assert await indexed(index, partition, study)
    counts.clear()

    page = await index.search(asked(partition=partition, **parameters))

    assert len(page.datasets) == found
    assert counts == {Kind.TABLE: 2}


@pytest.mark.azurite
async def test_indexing_a_burst_costs_few_requests(stores: Stores, counts: Counter[Kind]) -> None:
    """A study of 60 single posts is indexed by about 20 requests, not by several for each post."""
    index = stores.index
    assert isinstance(index, TableIndex)
    partition = f"burst{uid()[-12:]}"
    values = dataset(
        x080020_DA="20200101",
        x080050_SH="A1",
        x100020_LO="P1",
        x100010_PN={"Alphabetic": "Doe^Jane"},
        x100030_DA="19700101",
        x080090_PN={"Alphabetic": "Smith^John"},
        x081030_LO="CT of the chest",
        x200010_SH="S1",
    )
    levels = {Level.STUDY: values, Level.SERIES: {"00080060": {"vr": "CS", "Value": ["CT"]}}}
    await asyncio.gather(*(keep(index, "1.2", number, levels, partition=partition) for number in range(60)))
    counts.clear()

    assert await indexed(index, partition, "1.2")

    assert counts[Kind.TABLE] <= 20
    counts.clear()
    (answer,) = (await index.search(asked(partition=partition))).datasets
    assert (answer["00201208"]["Value"], counts) == ([60], {Kind.TABLE: 2})


@pytest.mark.azurite
@pytest.mark.parametrize(
    ("level", "parameters", "found", "requests"),
    [
        (Level.STUDY, {"PatientName": "*0000AME*"}, 1, 2),
        (Level.STUDY, {"StudyDescription": "*p 1*"}, 40, 2),
        (Level.STUDY, {"PatientID": "*003*", "StudyDate": "20200101-20200331"}, 11, 2),
        (Level.SERIES, {"SeriesInstanceUID": "7.7"}, 1, 3),
        (Level.INSTANCE, {"SOPInstanceUID": "9.0,9.5", "limit": "1"}, 1, 23),
    ],
)
async def test_search_without_a_study_reads_no_others(
    stores: Stores,
    counts: Counter[Kind],
    level: Level,
    parameters: dict[str, str],
    found: int,
    requests: int,
) -> None:
    """What stands anywhere in a value, and UIDs of series and instances, are found by keys of their own.

    A series is one read of the pointers and one of its study; of the 20 studies that hold an instance of one UID, each
    is read.
    """
    index = stores.index
    assert isinstance(index, TableIndex)
    partition = f"any{uid()[-12:]}"
    for number in range(40):
        values = dataset(
            x080020_DA="20200201",
            x100020_LO=f"{number:05d}",
            x100010_PN={"Alphabetic": f"Some{number:05d}ame"},
            x081030_LO="Step 1",
        )
        series = "7.7" if number == 7 else f"8.{number}"
        of = Transaction(versions.new_transaction(), f"1.2.{number}", partition)
        levels = {Level.STUDY: values}
        await index.begin(of, levels)
        instance = f"9.{number % 2}"
        await index.commit(
            of, [row(of, 0, series=series, instance=instance, attributes=levels)], upsert=False
        )
        assert await indexed(index, partition, of.study)
    counts.clear()

    page = await index.search(asked(level, partition, **parameters))

    assert (len(page.datasets), counts) == (found, {Kind.TABLE: requests})


@pytest.mark.parametrize("offset", [0, 10, 550, 640, 690, 800])
async def test_what_lies_before_the_page_is_counted_by_its_keys(offset: int) -> None:
    """A page far behind is the one that reading everything would give, with studies in the journal before it."""
    service = Service()
    index = service.index()
    for number in range(700):
        values = dataset(x080020_DA=f"20{number % 20 + 1:02d}0101")
        await keep(index, f"1.{number}", 0, {Level.STUDY: values})
        if number % 40:
            await indexed(index, DEFAULT_PARTITION, f"1.{number}")
    everything = (await index.search(asked(limit="1000"))).datasets

    page = await index.search(asked(limit="20", offset=str(offset)))

    assert [one["0020000D"] for one in page.datasets] == [
        one["0020000D"] for one in everything[offset : offset + 20]
    ]
    assert page.more == (offset + 20 < 700)


async def test_a_page_evaluates_few_of_the_studies_in_the_journal() -> None:
    """Studies are read when the answer comes to them: a backlog of 500 is not read for a page of ten."""
    service = Service()
    index = service.index()
    for number in range(500):
        values = dataset(x080020_DA=f"20200{number % 9 + 1}01", x100010_PN={"Alphabetic": f"N{number:03d}"})
        await keep(index, f"1.{number}", 0, {Level.STUDY: values})
    service.requests = 0

    page = await index.search(asked(PatientName="n*", limit="10"))

    assert [one["00100010"]["Value"][0]["Alphabetic"] for one in page.datasets] == [
        f"N{number:03d}" for number in range(10)
    ]
    assert service.requests <= 20


@pytest.mark.azurite
async def test_pages_continue_each_other(stores: Stores) -> None:
    """Pages that the service cuts short are read on: nothing is lost between them, nothing comes twice."""
    index = stores.index
    assert isinstance(index, TableIndex)
    partition = f"pages{uid()[-12:]}"
    for number in range(30):
        values = dataset(x080020_DA=f"202001{number % 3 + 1:02d}")
        await keep(index, f"1.2.{number}", 0, {Level.STUDY: values}, partition=partition)
        if number % 4:
            await indexed(index, partition, f"1.2.{number}")

    found = []
    for offset in range(0, 35, 7):
        page = await index.search(asked(partition=partition, limit="7", offset=str(offset)))
        found += [one["0020000D"]["Value"][0] for one in page.datasets]

    assert len(found) == len(set(found)) == 30


NAMES = ["Doe^Jane", "Doe^John", "Müller^Jörg", "山田^太郎", "O'Neil", ""]
DATES = ["20200101", "20210228", "20250131", ""]
values_of = st.fixed_dictionaries(
    {
        "x080020_DA": st.sampled_from(DATES),
        "x080050_SH": st.sampled_from(["A1", "A/2", ""]),
        "x100010_PN": st.sampled_from(NAMES).map(lambda name: {"Alphabetic": name} if name else None),
        "x100020_LO": st.sampled_from(["P1", "p1", "P10", ""]),
    }
)
steps = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["post", "put"]),
            st.integers(0, 3),
            st.integers(0, 2),
            values_of,
            st.sampled_from(["CT", "MR"]),
        ),
        st.tuples(st.just("delete"), st.integers(0, 3), st.none() | st.integers(0, 2)),
        st.tuples(st.just("index"), st.integers(0, 3)),
        st.tuples(st.just("sweep")),
    ),
    min_size=1,
    max_size=14,
)
QUESTIONS: list[dict[str, str]] = [
    {},
    {"limit": "1"},
    {"limit": "2", "offset": "1"},
    {"PatientID": "P1"},
    {"PatientID": "P1*"},
    {"PatientID": "*1"},
    {"PatientID": "*10*"},
    {"PatientName": "*üLL*"},
    {"PatientName": "*太*"},
    {"PatientName": "*oe*", "limit": "2", "offset": "1"},
    {"PatientName": "doe*", "StudyDate": "20200101-20201231"},
    {"ModalitiesInStudy": "CT", "StudyDate": "20210101-"},
    {"AccessionNumber": "*/*"},
    {"PatientName": "doe*"},
    {"PatientName": "jo", "fuzzymatching": "true"},
    {"StudyDate": "20200601-20250131"},
    {"StudyDate": "20250131", "PatientID": "P10"},
    {"AccessionNumber": "A/2"},
    {"ModalitiesInStudy": "MR"},
    {"ModalitiesInStudy": "CT,MR", "limit": "2"},
    {"PatientBirthDate": '""', "emptyvaluematching": "true"},
    {"SeriesInstanceUID": "1.2.3"},
    {"SOPInstanceUID": "9.1"},
    {"SOPInstanceUID": "9.0,9.2", "PatientID": "P1"},
]


async def _step(
    step: tuple[Any, ...], tables: TableIndex, memory: MemoryIndex, partition: str = DEFAULT_PARTITION
) -> None:
    if step[0] in ("post", "put"):
        _, study, instance, values, modality = step
        levels = {
            Level.STUDY: dataset(**values),
            Level.SERIES: {"00080060": {"vr": "CS", "Value": [modality]}},
        }
        of = Transaction(versions.new_transaction(), f"1.{study}", partition)
        for index in (tables, memory):
            await index.begin(of, None if step[0] == "put" else levels)
            await index.commit(
                of, [row(of, 0, instance=f"9.{instance}", attributes=levels)], upsert=step[0] == "put"
            )
    elif step[0] == "delete":
        _, study, instance = step
        named = ("1.2.3", f"9.{instance}") if instance is not None else (None, None)
        resource = Resource(f"1.{study}", *named, partition=partition)
        of = Transaction(versions.new_transaction(), f"1.{study}", partition)
        for index in (tables, memory):
            await index.begin(of, None)
            await index.remove(of, resource)
    elif step[0] == "index":
        await indexed(tables, partition, f"1.{step[1]}")
    else:
        await tables.sweep()


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps, page=st.sampled_from([1, 2, 1000]))
def test_answers_are_those_of_memory(steps: list[tuple[Any, ...]], page: int) -> None:
    """After any stores, deletions, index runs and sweeps every search answers as the oracle does, page by page."""

    async def compare() -> None:
        service = Service(page=page)
        tables, memory = service.index(), MemoryIndex()
        for step in steps:
            await _step(step, tables, memory)
        for parameters in QUESTIONS:
            for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
                question = asked(level, **parameters)
                assert await tables.search(question) == await memory.search(question), parameters

    asyncio.run(compare())


@pytest.mark.azurite
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=steps)
def test_answers_over_the_emulator_are_those_of_memory(
    connection_string: str, steps: list[tuple[Any, ...]]
) -> None:
    """The same over HTTP: each sequence in a partition of its own."""

    async def compare() -> None:
        partition, memory = f"oracle{uid()[-12:]}", MemoryIndex()
        async with opened(connection_string) as stores:
            assert isinstance(stores.index, TableIndex)
            for step in steps:
                await _step(step, stores.index, memory, partition)
            for parameters in QUESTIONS:
                question = asked(partition=partition, **parameters)
                assert await stores.index.search(question) == await memory.search(question), parameters

    asyncio.run(compare())


@pytest.fixture
def old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that was begun is more than an hour old, and less than two."""
    monkeypatch.setattr(sweeping.versions, "age_of", lambda name: sweeping.ABANDONED + 1)


async def test_sweep_aborts_what_was_broken_off(old: None) -> None:
    """A transaction without a decision after an hour is decided: if it comes back, it is given up."""
    index = Service().index()
    of = Transaction(versions.new_transaction(), "1.2", DEFAULT_PARTITION)
    await index.begin(of, None)

    await index.sweep()

    with pytest.raises(StorageUnavailable, match="given up"):
        await index.commit(of, [row(of)], upsert=False)
    assert not await index.records(Resource("1.2"), Columns.NONE)
    assert not (await index.search(asked())).datasets


async def test_sweep_completes_a_deletion(old: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A deletion that was broken off behind its marker is carried out, and its marker forgotten an hour later."""
    service = Service()
    index = service.index()
    first = Transaction(versions.new_transaction(), "1.2", DEFAULT_PARTITION)
    await index.begin(first, None)
    await index.commit(first, [row(first, part) for part in range(250)], upsert=False)
    of = Transaction(versions.new_transaction(), "1.2", DEFAULT_PARTITION)
    await index.begin(of, None)
    left, service.requests = 2, 0

    async def breaking() -> None:
        if service.requests > left:
            raise StorageUnavailable("the process was killed")

    service.turn = breaking
    with pytest.raises(StorageUnavailable):
        await index.remove(of, Resource("1.2"))
    service.turn = lambda: asyncio.sleep(0)
    stored = service.rows("studies", rows.partition_key(DEFAULT_PARTITION, "1.2"))
    assert any(key.startswith(rows.DELETING) for key in stored)
    assert any(key.startswith("instance|") for key in stored)

    await index.sweep()

    assert not any(key.startswith("instance|") for key in stored)
    await index.sweep()
    assert any(key.startswith(rows.DELETING) for key in stored)
    later = time.time() + sweeping.FORGOTTEN + 1
    monkeypatch.setattr(sweeping.time, "time", lambda: later)
    await index.sweep()
    assert not any(key.startswith(rows.DELETING) for key in stored)
    assert not service.rows("pending", f"{DEFAULT_PARTITION}|0")


async def test_sweep_closes_a_store_that_was_broken_off(old: None) -> None:
    """Of a Store of several batches what was committed stays, and the rest can never come."""
    service = Service()
    index = service.index()
    of = Transaction(versions.new_transaction(), "1.2", DEFAULT_PARTITION)
    await index.begin(of, None)
    service.requests = 0

    async def breaking() -> None:
        if service.requests > 1:
            raise StorageUnavailable("the process was killed")

    service.turn = breaking
    with pytest.raises(StorageUnavailable):
        await index.commit(of, [row(of, part) for part in range(150)], upsert=False)
    service.turn = lambda: asyncio.sleep(0)

    await index.sweep()

    (answer,) = (await index.search(asked())).datasets
    assert answer["00201208"]["Value"] == [97]
    decision = service.rows("studies", rows.partition_key(DEFAULT_PARTITION, "1.2"))[
        rows.change_key(of.name)
    ][0]
    assert decision["state"] == "done"


@pytest.mark.parametrize(
    "error",
    [StorageUnavailable("a passing fault"), Conflict(0, 404), ValueError("an error of this program")],
    ids=["storage", "others", "unexpected"],
)
async def test_sweep_leaves_what_fails_to_the_next(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """One study that fails does not keep the others from being indexed."""
    service = Service()
    index = service.index()
    for number in range(3):
        await keep(index, f"1.{number}", 0, {Level.STUDY: {}})
    indexing = Indexer.index

    async def failing(self: Indexer, partition: str, study: str) -> bool:
        if study == "1.1":
            raise error
        return await indexing(self, partition, study)

    monkeypatch.setattr(Indexer, "index", failing)
    await index.sweep()

    left = service.rows("pending", f"{DEFAULT_PARTITION}|0")
    assert [key.partition("|")[2] for key in left] == ["1.1"]
