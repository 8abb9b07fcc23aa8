"""Search rows that were lost or are in doubt are written anew, and searches are true meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from dicom_core import versions
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage import reindexing, rows
from dicom_core.storage.table_service import Action, Operation
from dicom_core.web import search_parameters
from tests.instances import file
from tests.rebuilding import Account, files_of

STUDY = "1.2.3"
KEY = rows.partition_key(DEFAULT_PARTITION, STUDY)


@pytest.fixture
async def account() -> Account:
    """An account with an indexed study that was in two places."""
    account = Account()
    await account.post(*files_of(STUDY, 3))
    await indexed(account)
    await account.post(file(STUDY, PatientID="later", SeriesInstanceUID=f"{STUDY}.2"))
    await indexed(account)
    return account


async def indexed(account: Account) -> int:
    """Index everything; how many studies are left."""
    return await reindexing.index_all(
        account.indexer.index, account.service.table("pending"), lambda left: None
    )


async def doubted(account: Account) -> list[tuple[str, str]]:
    """Have every study's search rows written anew; the studies."""
    studies, pending = account.service.table("studies"), account.service.table("pending")
    found = [one async for one in reindexing.studies(studies)]
    for partition, study in found:
        await reindexing.doubt(studies, pending, partition, study)
    return found


async def counts(account: Account, **parameters: str) -> list[int]:
    """How many instances each study has that a search finds."""
    asked = search_parameters.parse(tuple(parameters.items()), Level.STUDY, Resource()).query
    page = await account.index.search(asked)
    return [one["00201208"]["Value"][0] for one in page.datasets]


SEARCHES = [{}, {"PatientID": "later"}, {"PatientID": "P1"}, {"SeriesInstanceUID": f"{STUDY}.2"}]


@pytest.mark.parametrize("lost", [("search",), ("search", "pending"), ("search", "pending", "due")])
async def test_lost_search_rows_are_written_again(account: Account, lost: tuple[str, ...]) -> None:
    """The rows of a study are what they were, though its row `index` tells of rows that are not there."""
    before = [await counts(account, **parameters) for parameters in SEARCHES]
    kept = {key: row for key, row in account.rows("search", "").items() if "moved" not in row}
    account.lose(*lost)

    await doubted(account)
    meanwhile = [await counts(account, **parameters) for parameters in SEARCHES[:3]]
    assert await indexed(account) == 0

    assert meanwhile == before[:3] == [[4], [4], []]
    assert [await counts(account, **parameters) for parameters in SEARCHES] == before
    assert {key: row for key, row in account.rows("search", "").items() if "moved" not in row} == kept
    assert account.rows("pending", "") == {}


async def test_search_rows_that_no_one_knows_are_taken_over(account: Account) -> None:
    """Rows that are where a study's should be, but not in its row `index`, do not keep it from being indexed."""
    kept = {key: row for key, row in account.rows("search", "").items() if "moved" not in row}
    await account.service.table("studies").transact(KEY, [Operation(Action.DELETE, "index", etag="*")])

    await doubted(account)

    assert await indexed(account) == 0
    found = account.rows("search", "")
    assert {key: found[key] for key in kept} == kept


async def test_running_indexer_stops(account: Account) -> None:
    """A run that holds the claim when its rows come into doubt writes nothing afterwards."""
    await account.post(*files_of(STUDY, 5)[4:])
    claimed, go_on = asyncio.Event(), asyncio.Event()

    async def wait_once_claimed() -> None:
        if claimed.is_set() and asyncio.current_task() is running:
            await go_on.wait()

    def note(name: str, partition: str, operations: Sequence[Operation]) -> None:
        if any(one.row == "index" for one in operations):
            claimed.set()

    account.service.turn, account.service.written = wait_once_claimed, note
    running = asyncio.create_task(account.indexer.index(DEFAULT_PARTITION, STUDY))
    await claimed.wait()
    account.lose("search")
    await doubted(account)
    go_on.set()

    assert await running is False
    assert await indexed(account) == 0
    assert await counts(account) == [5]


async def test_studies_are_those_of_a_partition_each_once(account: Account) -> None:
    """Every study is listed once, however many rows it has, in the order of its keys."""
    table = account.service.table("studies")
    for partition in ("P", "P2"):
        for study in ("1.10", "1.9"):
            key = rows.partition_key(partition, study)
            operations = [Operation(Action.INSERT, f"change|{number}", {}) for number in range(3)]
            await table.transact(key, operations)

    found = [one async for one in reindexing.studies(table)]
    of_one = [one async for one in reindexing.studies(table, "P")]

    assert found == [
        (DEFAULT_PARTITION, STUDY),
        ("P2", "1.10"),
        ("P2", "1.9"),
        ("P", "1.10"),
        ("P", "1.9"),
    ]
    assert of_one == [("P", "1.10"), ("P", "1.9")]


async def test_index_all_leaves_what_others_are_at_work_on(account: Account) -> None:
    """A transaction that is not decided yet stays in the journal; that is not waited for."""
    pending = account.service.table("pending")
    name = versions.new_transaction()
    await pending.upsert(f"{DEFAULT_PARTITION}|0", f"{name}|{STUDY}", {})
    told: list[int] = []

    left = await reindexing.index_all(account.indexer.index, pending, told.append)

    assert (left, told[-1]) == (1, 1)
    assert len(account.rows("pending", "")) == 1


async def test_index_all_of_one_partition_leaves_the_others(account: Account) -> None:
    """Only the partition that is asked for is indexed."""
    pending = account.service.table("pending")
    await account.post(*files_of(STUDY, 9)[8:])

    assert await reindexing.index_all(account.indexer.index, pending, lambda left: None, "other") == 0
    assert len(account.rows("pending", "")) == 1
