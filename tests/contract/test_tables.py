"""What the index relies on in the Table service, of the emulator and of the one in memory that other tests use."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence

import pytest

from dicom_core import bootstrap
from dicom_core.storage import provision
from dicom_core.storage.table_service import Action, Conflict, Operation, Table, changed_at, literal
from tests.fake_tables import Service
from tests.instances import uid
from tests.storage import account


@pytest.fixture(params=["memory", pytest.param("azurite", marks=pytest.mark.azurite)])
async def table(request: pytest.FixtureRequest) -> AsyncIterator[Table]:
    """A table of each service in turn."""
    if request.param == "memory":
        yield Service().table("studies")
        return
    settings = account(request.getfixturevalue("azurite").connection_string)
    await provision.create(settings)
    blobs, tables = bootstrap.clients(settings)
    yield Table(tables, "studies")
    await blobs.close()
    await tables.close()


@pytest.fixture
def partition() -> str:
    """A partition of its own."""
    return f"Contract|{uid()}"


def insert(*keys: str, value: int = 1) -> list[Operation]:
    """Inserts of some rows."""
    return [Operation(Action.INSERT, key, {"n": value}) for key in keys]


async def keys(table: Table, partition: str, condition: str = "") -> list[str]:
    """Keys of the rows that meet a condition."""
    whole = f"PartitionKey eq {literal(partition)}" + (f" and ({condition})" if condition else "")
    return [row["RowKey"] async for page in table.query(whole, ["RowKey"]) for row in page]


async def test_batch_is_all_or_nothing(table: Table, partition: str) -> None:
    """One operation that fails undoes those before it, and is named."""
    await table.transact(partition, insert("b"))

    with pytest.raises(Conflict) as conflict:
        await table.transact(partition, insert("a", "b", "c"))

    assert (conflict.value.index, conflict.value.status) == (1, 409)
    assert await keys(table, partition) == ["b"]


async def test_filter_on_a_property(table: Table, partition: str) -> None:
    """Texts are compared by their characters; a row that lacks the property is not found."""
    rows = {"a": {"at": "2026-01-02", "of": "x"}, "b": {"at": "2026-01-10", "of": "y"}, "c": {"of": "x"}}
    await table.transact(partition, [Operation(Action.INSERT, key, held) for key, held in rows.items()])

    assert await keys(table, partition, "at ge '2026-01-02'") == ["a", "b"]
    assert await keys(table, partition, "at lt '2026-01-10' and at ge '2026'") == ["a"]
    assert await keys(table, partition, "RowKey ge 'b' and of eq 'x'") == ["c"]


async def test_first_failure_is_the_one_named(table: Table, partition: str) -> None:
    """Of several operations that would fail, the first is reported."""
    await table.transact(partition, insert("a", "c"))

    with pytest.raises(Conflict) as conflict:
        await table.transact(partition, insert("a", "b", "c"))

    assert conflict.value.index == 0


async def test_etags_of_a_batch_are_those_of_the_rows(table: Table, partition: str) -> None:
    """What a batch returns is what a read gives."""
    etags = await table.transact(partition, insert("a", "b"))

    read = [await table.get(partition, key, ["n"], etag=True) for key in ("a", "b")]
    assert [row["odata.etag"] for row in read if row] == etags


@pytest.mark.parametrize("action", [Action.UPSERT, Action.MERGE])
async def test_row_tells_when_it_was_written(table: Table, partition: str, action: Action) -> None:
    """`Timestamp` is of the last write, by the clock of the service, wherever it is asked for."""
    await table.transact(partition, insert("a"))
    (first,) = [
        row
        async for page in table.query(f"PartitionKey eq {literal(partition)}", ["Timestamp"], etag=True)
        for row in page
    ]

    await table.transact(partition, [Operation(action, "a", {"n": 2}, etag="*")])

    last = await table.get(partition, "a", ["n", "Timestamp"])
    assert last is not None
    assert time.time() - 60 < changed_at(first) < changed_at(last) < time.time() + 60


@pytest.mark.parametrize("action", [Action.UPSERT, Action.DELETE])
async def test_etag_must_be_that_of_the_row(table: Table, partition: str, action: Action) -> None:
    """A replace or a deletion of another version than the one that is there fails."""
    (old,) = await table.transact(partition, insert("a"))
    (new,) = await table.transact(partition, [Operation(Action.UPSERT, "a", {"n": 2}, old)])

    with pytest.raises(Conflict) as conflict:
        await table.transact(partition, [Operation(action, "a", etag=old)])
    await table.transact(partition, [Operation(action, "a", etag=new)])

    assert conflict.value.status == 412


@pytest.mark.parametrize("action", [Action.UPSERT, Action.DELETE])
async def test_etag_of_a_row_that_is_gone(table: Table, partition: str, action: Action) -> None:
    """There is nothing to replace or delete."""
    (etag,) = await table.transact(partition, insert("a"))
    await table.transact(partition, [Operation(Action.DELETE, "a", etag=etag)])

    with pytest.raises(Conflict) as conflict:
        await table.transact(partition, [*insert("b"), Operation(action, "a", etag=etag)])

    assert (conflict.value.index, conflict.value.status) == (1, 404)


async def test_upsert_replaces_all_properties(table: Table, partition: str) -> None:
    """It does not merge."""
    await table.upsert(partition, "a", {"n": 1, "m": 2})
    await table.upsert(partition, "a", {"n": 3})

    found = await table.get(partition, "a", ["n", "m"])
    assert found is not None
    assert {name: value for name, value in found.items() if value is not None} == {"n": 3}


CONDITIONS: Sequence[tuple[str, list[str]]] = [
    ("RowKey ge 'b' and RowKey le 'c|~'", ["b", "c|1", "c|1.2|3", "c|1|2"]),
    ("RowKey ge 'b' and RowKey lt 'c|1'", ["b"]),
    ("RowKey eq 'b'", ["b"]),
    ("(RowKey ge 'c|1|' and RowKey le 'c|1|~') or RowKey ge '~d|'", ["c|1|2", "~d|1"]),
    ("RowKey eq 'q''s'", ["q's"]),
]


@pytest.mark.parametrize(
    ("condition", "expected"), CONDITIONS, ids=[condition for condition, _ in CONDITIONS]
)
async def test_query_compares_keys_by_code(
    table: Table, partition: str, condition: str, expected: list[str]
) -> None:
    """Keys are compared and ordered character by character; nothing of another partition is found."""
    await table.transact(partition, insert("a", "b", "c|1", "c|1.2|3", "c|1|2", "q's", "~d|1"))
    await table.transact(f"{partition}.1", insert("b"))

    assert await keys(table, partition, condition) == expected


async def test_query_gives_more_than_a_page(table: Table, partition: str) -> None:
    """A page has a thousand rows."""
    for start in range(0, 1050, 100):
        await table.transact(partition, insert(*(f"{start + at:04d}" for at in range(100))))

    pages = [page async for page in table.query(f"PartitionKey eq {literal(partition)}", ["RowKey"])]

    assert [len(page) for page in pages] == [1000, 100]
    assert [row["RowKey"] for page in pages for row in page] == [f"{number:04d}" for number in range(1100)]
