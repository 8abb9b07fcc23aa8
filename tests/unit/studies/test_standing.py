"""What stands of the instances of a page: the same in whichever way it is read, in few reads and bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.changes import Action, Change
from dicom_core.record import Columns, Instance
from dicom_core.resources import Level, Resource
from dicom_core.storage.memory import MemoryIndex
from dicom_core.studies import standing
from dicom_core.studies.ahead import AT_ONCE
from dicom_core.studies.standing import MANY, MUCH_LARGER, ROOM
from tests import instances

SERIES = "1.2.3"


class Index(MemoryIndex):
    """Notes what it is asked for, and reads no more columns than that."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Level | None, Columns]] = []

    async def records(self, resource: Resource, columns: Columns) -> list[Instance]:
        """Rows, without headers where they are not asked for."""
        self.asked.append((resource.level, columns))
        rows = await super().records(resource, columns)
        return rows if Columns.HEADER in columns else [replace(row, header=b"") for row in rows]


async def filled(number: int, header: bytes = b"1", series: str = SERIES) -> Index:
    """An index with a study of one series of so many instances."""
    index, of = Index(), instances.transaction("1.2")
    rows = [instances.row(of, part, series=series, header=header) for part in range(number)]
    await index.commit(of, rows, upsert=False)
    index.asked.clear()
    return index


def changes(index: MemoryIndex, numbers: Sequence[int]) -> list[Change]:
    """Some of the changes that an index has told, in this order."""
    return [index.changes[number] for number in numbers]


async def read(
    index: Index, page: Sequence[Change], *, headers: bool
) -> list[tuple[Change, Instance | None]]:
    """What stands, by both steps."""
    known = await standing.known(index, page, headers=headers)
    return [pair async for pair in standing.each(index, page, known, headers=headers)]


@pytest.mark.parametrize("headers", [False, True])
async def test_few_instances_are_read_one_by_one(headers: bool) -> None:
    """Each once."""
    index = await filled(MANY)
    columns = Columns.HEADER if headers else Columns.NONE

    await read(index, changes(index, range(MANY - 1)), headers=headers)

    assert index.asked == [(Level.INSTANCE, columns)] * (MANY - 1)


async def test_many_instances_are_one_read() -> None:
    """Of their series."""
    index = await filled(10 * MANY)

    found = await read(index, changes(index, range(MANY)), headers=False)

    assert index.asked == [(Level.SERIES, Columns.NONE)]
    assert [row.version for _, row in found if row] == [change.version for change, _ in found]


async def test_headers_of_many_instances_are_three_reads() -> None:
    """How many there are in the series, how large the headers are, and all of them."""
    index = await filled(MUCH_LARGER * MANY)

    found = await read(index, changes(index, range(MANY)), headers=True)

    assert index.asked == [
        (Level.SERIES, Columns.NONE),
        (Level.INSTANCE, Columns.HEADER),
        (Level.SERIES, Columns.HEADER),
    ]
    assert all(row and row.header for _, row in found)


@pytest.mark.parametrize(
    ("number", "size"),
    [(MUCH_LARGER * MANY + 1, 1), (MANY, ROOM // MANY + 1)],
    ids=["of a much larger series", "that are large"],
)
async def test_headers_are_read_one_by_one(number: int, size: int) -> None:
    """So that neither time nor memory is spent on what is not asked for, or not yet."""
    index = await filled(number, bytes(size))

    found = await read(index, changes(index, range(MANY)), headers=True)

    assert (Level.SERIES, Columns.HEADER) not in index.asked
    assert all(row and row.header for _, row in found)


async def test_many_series_share_the_room() -> None:
    """What the headers of the first take is not there for those of the next."""
    index = Index()
    for series in ("1.1", "1.2"):
        of = instances.transaction("1.2")
        rows = [
            instances.row(
                of, part, series=series, instance=f"{series}.{part}", header=bytes(ROOM // MANY // 2 + 1)
            )
            for part in range(MANY)
        ]
        await index.commit(of, rows, upsert=False)

    known = await standing.known(index, index.changes, headers=True)

    assert {resource.series for resource in known} == {"1.1"}


async def test_instance_of_many_changes_is_read_once() -> None:
    """However many entries are about it."""
    index = await filled(2)

    found = await read(index, changes(index, [0, 1, 0, 0, 1]), headers=True)

    assert len(index.asked) == 2
    assert [row.instance for _, row in found if row] == [f"{SERIES}.{part}" for part in (0, 1, 0, 0, 1)]


async def test_instance_is_not_kept_where_there_is_no_room() -> None:
    """It is read again instead."""
    index = await filled(1, bytes(ROOM + 1))

    found = await read(index, changes(index, [0, 0]), headers=True)

    assert len(index.asked) == 2
    assert all(row for _, row in found)


async def test_no_more_is_read_ahead_than_is_held() -> None:
    """Who reads the first entry has not caused all others to be read."""
    index = await filled(MANY - 1)
    pairs = standing.each(index, index.changes, {}, headers=True)

    await anext(pairs)

    assert len(index.asked) <= AT_ONCE + 1
    await pairs.aclose()


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, MANY + 4)), min_size=1, max_size=4 * MANY),
    st.sets(st.tuples(st.integers(0, 2), st.integers(0, MANY + 4))),
    st.sampled_from([1, ROOM // MANY]),
    st.booleans(),
)
async def test_every_way_finds_what_stands(
    named: list[tuple[int, int]], gone: set[tuple[int, int]], size: int, headers: bool
) -> None:
    """Each change in its order, with the row of its instance; none for one that is gone."""
    index, of = Index(), instances.transaction("1.2")
    places = {
        (series, part): Resource("1.2", f"1.{series}", f"1.{series}.{part}")
        for series, part in {*named, *gone}
    }
    await index.commit(
        of,
        [
            instances.row(of, number, series=place.series, instance=place.instance, header=bytes(size))
            for number, (at, place) in enumerate(sorted(places.items()))
            if at not in gone
        ],
        upsert=False,
    )
    now = datetime.now(UTC)
    page = [Change(number, now, Action.CREATE, places[at], "v", None) for number, at in enumerate(named, 1)]

    found = await read(index, page, headers=headers)

    assert [change for change, _ in found] == page
    assert [row and row.resource for _, row in found] == [None if at in gone else places[at] for at in named]
    assert all(len(row.header) == size for _, row in found if row and headers)
