"""The searches that are measured, what checks them, and the tables in memory that they read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import web

from benchmarks import archive, search, studies, tables
from benchmarks.searches import Oracle, Search, searches
from benchmarks.tables import Tables
from dicom_core.ports import Stores
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.storage.rest import Client, SharedKey
from dicom_core.storage.table_service import Action, Operation, Table
from dicom_core.web.messages import Response

SIZE, WAITING = 150, 10
SOME = studies.generate(SIZE + WAITING, newest=range(SIZE, SIZE + WAITING))
SEARCHES = searches(SOME, SIZE)
KEYS = ["a", "b'c", "d e", "z%7c", "山田^太郎", "山田^花子"]


def indexer(service: Tables) -> Indexer:
    """The indexer over some tables."""
    return Indexer(service.table("studies"), service.table("pending"), service.table("search"))


@pytest.fixture(scope="module")
def stores() -> Stores:
    """An archive, some of it not indexed."""
    service = Tables()
    index = service.index()

    async def fill() -> None:
        await archive.store(index, SOME)
        await archive.index(indexer(service), SOME[:SIZE])

    asyncio.run(fill())
    return Stores(
        MemoryStore(), index, MemoryDropZone(), MemoryRenditions(), MemoryFeed(), MemoryDeliveries()
    )


@pytest.fixture
async def table() -> AsyncIterator[Table]:
    """A table with a few rows, as the product sees it over HTTP."""
    service = Tables()
    rows = [Operation(Action.INSERT, key, {"name": key, "other": 1}) for key in KEYS]
    for partition in ("p|o'neill", "q"):
        await service.table("rows").transact(partition, rows)
    runner = web.AppRunner(tables.application(service), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = Client(f"http://127.0.0.1:{runner.addresses[0][1]}/a", SharedKey("a", "", table=True))
    yield Table(client, "rows")
    await client.close()
    await runner.cleanup()


@pytest.mark.parametrize("asked", SEARCHES, ids=lambda asked: asked.name)
async def test_search_answers_as_plain_evaluation(asked: Search, stores: Stores) -> None:
    """Every search that is measured is answered as by comparing all studies, and finds what it is named for."""
    found = Oracle(SOME).check(asked, await search.answered(asked, stores))

    assert (found > 0) == ("nobody" not in asked.name)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("result", lambda results: results[:-1]),
        ("twice", lambda results: [*results[:-1], results[0]]),
        ("as expected", lambda results: [*results[:-1], results[-1] | {"00080020": {"vr": "DA"}}]),
        ("order", lambda results: results[::-1]),
    ],
)
async def test_oracle_wrong_answer_raises(what: str, change, stores: Stores) -> None:
    """An answer that lacks a result, has one twice, another one, or has them in another order is refused."""
    asked = SEARCHES[0]
    response = await search.answered(asked, stores)
    changed = Response(200, response.headers, orjson.dumps(change(orjson.loads(response.body))))

    with pytest.raises(RuntimeError, match=what):
        Oracle(SOME).check(asked, changed)


async def test_oracle_lost_warning_raises(stores: Stores) -> None:
    """An answer that does not say that there are more results is refused."""
    response = await search.answered(SEARCHES[0], stores)

    with pytest.raises(RuntimeError, match="more results"):
        Oracle(SOME).check(SEARCHES[0], Response(200, {}, response.body))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("PartitionKey eq 'p|o''neill'", KEYS),
        ("PartitionKey eq 'p|o''neill' and RowKey ge 'b''c' and RowKey lt '山田^花'", KEYS[1:5]),
        ("PartitionKey eq 'p|o''neill' and RowKey gt 'b''c'", KEYS[2:]),
        ("PartitionKey eq 'q' and (RowKey lt 'b' or RowKey ge 'z')", ["a", *KEYS[3:]]),
        ("PartitionKey ge 'p' and PartitionKey le 'r'", KEYS * 2),
        ("PartitionKey eq 'nobody'", []),
    ],
)
@pytest.mark.parametrize("most", [None, 1, 2])
async def test_query_over_http_gives_every_row(
    condition: str, expected: list[str], most: int | None, table: Table
) -> None:
    """A query is answered page by page with the rows that meet its condition, each with what was selected."""
    pages = [page async for page in table.query(condition, ["RowKey", "name"], most=most)]

    keys = [row["RowKey"] for page in pages for row in page]
    assert sorted(keys) == sorted(expected)
    assert all(row == {"RowKey": row["RowKey"], "name": row["RowKey"]} for page in pages for row in page)
    assert most is None or all(len(page) <= most for page in pages)


async def test_get_over_http_gives_the_row(table: Table) -> None:
    """A point read gives a row with its ETag, or nothing if there is none."""
    row = await table.get("p|o'neill", "山田^太郎", ["name"], etag=True)

    assert row is not None
    assert row["name"] == "山田^太郎"
    assert row["odata.etag"].startswith('W/"')
    assert await table.get("q", "nobody", ["name"]) is None


async def test_written_rows_are_in_later_queries() -> None:
    """A row that is written or deleted between two queries of a partition is in the second as it is then."""
    rows = Tables().table("rows")
    await rows.transact("p", [Operation(Action.INSERT, "b"), Operation(Action.INSERT, "c")])

    async def keys() -> list[str]:
        return [row["RowKey"] async for page in rows.query("PartitionKey eq 'p'", ["RowKey"]) for row in page]

    assert await keys() == ["b", "c"]
    await rows.transact("p", [Operation(Action.INSERT, "a"), Operation(Action.DELETE, "c", etag="*")])
    assert await keys() == ["a", "b"]


@pytest.mark.parametrize(("share", "expected"), [(50, 5), (95, 10), (99, 10), (10, 1)])
def test_percentile_is_the_least_that_so_many_do_not_exceed(share: int, expected: int) -> None:
    """By nearest rank: of ten times, the 95th percentile is the longest."""
    assert search.percentile([10, 1, 9, 2, 8, 3, 7, 4, 6, 5], share) == expected


def test_newest_are_those_behind_each_size() -> None:
    """The studies that wait in an archive of a size are the next ones."""
    assert archive.newest([2, 100]) == {*range(2, 2 + archive.WAITING), *range(100, 100 + archive.WAITING)}


async def test_index_study_claimed_by_another_raises() -> None:
    """A study that could not be indexed is no quiet success: its searches would be measured live."""
    service = Tables()
    (study,) = SOME[:1]
    await archive.store(service.index(), [study])
    claim = Operation(Action.INSERT, "index", {"claim": "another", "claimed_at": 9e9})
    await service.table("studies").transact(f"{study.transaction.partition}|{study.uid}", [claim])

    with pytest.raises(RuntimeError, match="not indexed"):
        await archive.index(indexer(service), [study])
