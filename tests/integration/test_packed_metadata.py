"""Packed metadata: what the indexer puts together of a series is what its instances' rows tell, at any moment."""

from __future__ import annotations

import asyncio
import gzip
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from dicom_core.errors import ResourceGone
from dicom_core.ports import Stores
from dicom_core.record import Columns, Instance
from dicom_core.resources import Resource
from dicom_core.storage import packing
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.packing import Packer
from dicom_core.storage.rest import Kind
from dicom_core.storage.tables import TableIndex
from dicom_core.studies import delete, retrieve, store
from dicom_core.web.messages import Request, Response
from tests import instances
from tests.storage import BASE, store_request

pytestmark = pytest.mark.azurite
NUMBER = packing.PACKED_FROM


class Study:
    """A study of two series, kept and indexed."""

    def __init__(self, stores: Stores) -> None:
        assert isinstance(stores.index, TableIndex)
        self.stores = stores
        self.index = stores.index
        self.uid = instances.uid()
        self.partition = f"pack{self.uid[-12:]}"
        self.series = [f"{self.uid[:60]}.{number}" for number in (1, 2)]

    async def keep(self, *numbers: int, **elements: object) -> None:
        """Store instances of these numbers, even ones in the first series."""
        files = [
            instances.file(
                self.uid,
                self.series[number % 2],
                f"{self.uid[:56]}.9.{number}",
                InstanceNumber=number,
                ICCProfile=b"\0" * 2000,
                **elements,
            )
            for number in numbers
        ]
        request = replace(store_request(files, self.partition), method="PUT")
        assert (await store.upsert(request, self.stores)).status == 200

    async def indexed(self, base_url: str = BASE) -> None:
        """Index it."""
        packer = Packer(self.index._derived, self.index.records, base_url)
        tables = (self.index._studies, self.index._pending, self.index._search)
        assert await Indexer(*tables, packer=packer).index(self.partition, self.uid)

    def request(self, series: int | None = None, base_url: str = BASE, **headers: str) -> Request:
        """What asks for metadata."""
        uid = None if series is None else self.series[series]
        resource = Resource(self.uid, uid, partition=self.partition)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return Request("GET", resource, base_url, headers=fields)

    async def metadata(self, series: int | None = None, **how: str) -> tuple[Response, bytes]:
        """The answer, and its body."""
        response = await retrieve.metadata(self.request(series, **how), self.stores)
        body = response.body
        return response, body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])


@pytest.fixture
async def study(stores: Stores) -> Study:
    """A study that is large enough to be packed; it has not been indexed yet."""
    one = Study(stores)
    await one.keep(*range(NUMBER))
    return one


@pytest.mark.parametrize("series", [None, 0, 1])
@pytest.mark.parametrize("base_url", [BASE, "https://another.example/v1"])
async def test_packed_metadata_are_those_of_the_rows(study: Study, series: int | None, base_url: str) -> None:
    """Byte for byte, with the same entity tag, under whatever URL the service is asked."""
    before, expected = await study.metadata(series, base_url=base_url)
    await study.indexed()
    assert await study.index.packed(study.request(series).resource)

    after, found = await study.metadata(series, base_url=base_url)

    assert found == expected
    assert after.headers == before.headers
    assert len(orjson.loads(found)) == (NUMBER if series is None else NUMBER // 2)
    assert base_url.encode() in found


async def test_packed_series_is_sent_as_it_lies(study: Study, counts: Counter[Kind]) -> None:
    """Two storage requests, and nothing is decoded."""
    _, expected = await study.metadata(0)
    await study.indexed()
    counts.clear()

    response, body = await study.metadata(0, accept_encoding="gzip")

    assert response.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == expected
    assert counts == {Kind.TABLE: 1, Kind.BLOB_READ: 1}


@pytest.mark.parametrize("change", ["add", "replace", "delete an instance", "delete the series"])
async def test_change_is_seen_at_once(study: Study, change: str) -> None:
    """What was packed before a change is never an answer after it; a series that did not change stays packed."""
    await study.indexed()
    resource = Resource(study.uid, study.series[0], partition=study.partition)
    instance = f"{study.uid[:56]}.9.0"
    if change == "add":
        await study.keep(NUMBER)
    elif change == "replace":
        await study.keep(0, PatientID="Another")
    else:
        target = replace(resource, instance=instance) if change == "delete an instance" else resource
        await delete.delete(Request("DELETE", target, BASE), study.stores)

    left = [one.instance for one in await study.index.records(resource, Columns.NONE)]
    if left:
        _, body = await study.metadata(0)
        found = orjson.loads(body)
        assert [one["00080018"]["Value"][0] for one in found] == left
        if change == "replace":
            assert found[0]["00100020"]["Value"] == ["Another"]
    else:
        with pytest.raises(ResourceGone):
            await study.metadata(0)
    assert await study.index.packed(replace(resource, series=study.series[1]))
    assert not await study.index.packed(replace(resource, series=None))


async def test_series_is_packed_again_after_a_change(study: Study) -> None:
    """Only what has changed; a series that is gone leaves no row behind that keeps the study from being packed."""
    await study.indexed()
    resource = Resource(study.uid, partition=study.partition)
    first = await study.index.packed(resource)
    await study.keep(*range(NUMBER, 2 * NUMBER, 2))
    await study.indexed()
    second = await study.index.packed(resource)
    await delete.delete(Request("DELETE", replace(resource, series=study.series[1]), BASE), study.stores)
    await study.indexed()
    third = await study.index.packed(resource)

    assert (first[0].name != second[0].name, first[1].name == second[1].name) == (True, True)
    assert [one.name for one in third] == [second[0].name]


async def test_small_study_is_not_packed(stores: Stores) -> None:
    """It is not worth a blob: the rows are as fast to read."""
    study = Study(stores)
    await study.keep(*range(NUMBER - 1))
    await study.indexed()

    assert not await study.index.packed(Resource(study.uid, partition=study.partition))


async def test_change_while_packing_is_not_pointed_over(study: Study) -> None:
    """A commit between the reading of the instances and the pointing wins; the study is packed by the next run."""
    index = study.index
    reading = asyncio.Event()

    async def records(resource: Resource, columns: Columns) -> list[Instance]:
        found = await index.records(resource, columns)
        if not reading.is_set():
            reading.set()
            await study.keep(0, PatientID="Meanwhile")
        return found

    tables = (index._studies, index._pending, index._search)
    await Indexer(*tables, packer=Packer(index._derived, records, BASE)).index(study.partition, study.uid)

    _, body = await study.metadata(0)
    assert orjson.loads(body)[0]["00100020"]["Value"] == ["Meanwhile"]
    await study.indexed()
    assert await index.packed(Resource(study.uid, partition=study.partition))
