"""Rows of series: what they answer is what the rows of the instances tell, at any moment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dicom_core import record
from dicom_core.ports import Stores
from dicom_core.query import Query
from dicom_core.record import Columns, Dataset
from dicom_core.resources import Level, Resource
from dicom_core.storage import rows, series_rows
from dicom_core.storage.tables import TableIndex
from dicom_core.studies import delete, store
from dicom_core.web.messages import Request
from tests import instances
from tests.storage import BASE, store_request

pytestmark = pytest.mark.azurite


class Study:
    """A study of two series with four instances."""

    def __init__(self, stores: Stores) -> None:
        assert isinstance(stores.index, TableIndex)
        self.stores = stores
        self.index = stores.index
        uid = instances.uid()
        self.resource = Resource(uid, partition=f"rows{uid[-12:]}")
        self.series = [f"{uid[:60]}.{number}" for number in (1, 2)]

    async def keep(self, *numbers: int, **elements: object) -> None:
        """Store instances of these numbers, even ones in the first series."""
        assert self.resource.study is not None
        files = [
            instances.file(
                self.resource.study, self.series[number % 2], f"{self.series[0]}.{number}", **elements
            )
            for number in numbers
        ]
        request = replace(store_request(files, self.resource.partition), method="PUT")
        assert (await store.upsert(request, self.stores)).status == 200

    async def delete(self, series: int | None = None, instance: int | None = None) -> None:
        """Delete the study, a series or an instance."""
        target = replace(
            self.resource,
            series=None if series is None else self.series[series],
            instance=None if instance is None else f"{self.series[0]}.{instance}",
        )
        assert (await delete.delete(Request("DELETE", target, BASE), self.stores)).status == 204

    async def indexed(self) -> None:
        """Index it."""
        assert self.resource.study is not None
        assert await self.index.index(self.resource.partition, self.resource.study)

    async def answers(self) -> dict[str, Dataset]:
        """What the rows of the series answer."""
        assert self.resource.study is not None
        key = rows.partition_key(self.resource.partition, self.resource.study)
        return dict(await series_rows.answers(self.index._studies, key))

    async def found(self) -> list[Dataset]:
        """What a search for the series finds."""
        return (await self.index.search(Query(Level.SERIES, self.resource))).datasets

    async def expected(self) -> list[Dataset]:
        """The same, from the rows of the instances."""
        stored = await self.index.records(self.resource, Columns.ATTRIBUTES)
        return record.matching(stored, Query(Level.SERIES, self.resource))


@pytest.fixture
async def study(stores: Stores) -> Study:
    """A study that has been indexed."""
    one = Study(stores)
    await one.keep(0, 1, 2, 3, SeriesDescription="before")
    await one.indexed()
    return one


async def test_indexed_series_answer(study: Study) -> None:
    """Each by its own row, as all of its instances together."""
    assert list(await study.answers()) == study.series
    assert await study.found() == await study.expected() != []


CHANGES = ["add", "add a series", "replace", "delete an instance", "delete a series", "delete the study"]


@pytest.mark.parametrize("change", CHANGES)
async def test_change_is_seen_at_once(study: Study, change: str) -> None:
    """After a change, and again after it was indexed, a search finds what the instances tell."""
    match change:
        case "add":
            await study.keep(4)
        case "add a series":
            study.series.insert(0, f"{study.series[0][:-1]}7")
            await study.keep(0)
        case "replace":
            await study.keep(1, SeriesDescription="after")
        case "delete an instance":
            await study.delete(1, 3)
        case "delete a series":
            await study.delete(1)
        case "delete the study":
            await study.delete()

    assert not await study.answers()
    assert await study.found() == await study.expected()
    await study.indexed()
    assert await study.found() == await study.expected()
    assert len(await study.answers()) == len(await study.expected())


async def test_answer_too_long_for_a_row(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays with the instances, and is found there."""
    monkeypatch.setattr(series_rows, "LONGEST_ANSWER", 100)
    await study.keep(5)
    await study.indexed()

    assert not await study.answers()
    assert await study.found() == await study.expected()
