"""Every transaction has a price in storage requests (the table in docs/architecture.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from dicom_core.ports import Stores
from dicom_core.resources import Resource
from dicom_core.storage.rest import Kind
from dicom_core.storage.tables import TableIndex
from dicom_core.studies import bulkdata, delete, rendered, retrieve, search, store
from dicom_core.web.messages import Request
from tests import instances
from tests.storage import BASE, Transaction, answer, request, store_request

pytestmark = pytest.mark.azurite

SERIES = "1.2.3"

Price = dict[Kind, int]


def price(*, table: int = 0, blob_read: int = 0, blob_write: int = 0) -> Price:
    """Storage requests by kind."""
    every = {Kind.TABLE: table, Kind.BLOB_READ: blob_read, Kind.BLOB_WRITE: blob_write}
    return {kind: number for kind, number in every.items() if number}


async def cost(
    transaction: Transaction, asked: Request, stores: Stores, counts: Counter[Kind], *, status: int = 200
) -> Price:
    """What a transaction costs."""
    counts.clear()
    answered, _ = await answer(transaction, asked, stores)
    assert answered == status
    return dict(counts)


def files(study: str, number: int, *, first: int = 0) -> list[bytes]:
    """Instances of one series."""
    return [instances.file(study, SERIES, f"{SERIES}.{first + at}") for at in range(number)]


async def stored(stores: Stores, number: int) -> str:
    """A study of one series with some instances, stored row by row as the index is given them."""
    of = instances.transaction(instances.uid())
    await stores.index.begin(of, None)
    await stores.index.commit(
        of, [instances.row(of, part, series=SERIES) for part in range(number)], upsert=False
    )
    return of.study


@pytest.mark.parametrize(("number", "tables"), [(1, 2), (3, 2), (97, 2), (98, 3), (195, 4)])
async def test_store(stores: Stores, counts: Counter[Kind], number: int, tables: int) -> None:
    """A Store of n instances of one study: n blobs, and 1 + ⌈n/97⌉ requests to tables."""
    study = instances.uid()
    asked = store_request(files(study, number), "Microsoft.Default")

    assert await cost(store.store, asked, stores, counts) == price(blob_write=number, table=tables)


async def test_store_of_two_studies(stores: Stores, counts: Counter[Kind]) -> None:
    """Each study is a transaction of its own."""
    sent = [*files(instances.uid(), 2), *files(instances.uid(), 2)]

    asked = store_request(sent, "Microsoft.Default")
    assert await cost(store.store, asked, stores, counts) == price(blob_write=4, table=4)


async def test_store_of_what_differs_in_what_it_matches(stores: Stores, counts: Counter[Kind]) -> None:
    """Instances that would be found by different searches widen the journal's row once."""
    study = instances.uid()
    sent = [instances.file(study, SERIES, f"{SERIES}.{at}", PatientID=f"P{at}") for at in range(5)]

    asked = store_request(sent, "Microsoft.Default")
    assert await cost(store.store, asked, stores, counts) == price(blob_write=5, table=3)


@pytest.mark.parametrize(("other", "status"), [(False, 202), (True, 409)], ids=["identical", "refused"])
async def test_store_again(stores: Stores, counts: Counter[Kind], other: bool, status: int) -> None:
    """What stands in the way is asked for once, and the decision is written all the same."""
    (file,) = files(instances.uid(), 1)
    await answer(store.store, store_request([file], "Microsoft.Default"), stores)

    asked = store_request([file[:-1] + b"\xee" if other else file], "Microsoft.Default")
    assert await cost(store.store, asked, stores, counts, status=status) == price(blob_write=1, table=4)


async def test_store_of_no_instance(stores: Stores, counts: Counter[Kind]) -> None:
    """What cannot be stored costs nothing."""
    asked = store_request([b"no instance"], "Microsoft.Default")

    assert await cost(store.store, asked, stores, counts, status=409) == {}


@pytest.mark.parametrize("number", [1, 5])
async def test_put_over_instances(stores: Stores, counts: Counter[Kind], number: int) -> None:
    """A PUT finds what it replaces once for each batch."""
    sent = files(instances.uid(), number)
    await answer(store.store, store_request(sent, "Microsoft.Default"), stores)

    asked = store_request(sent, "Microsoft.Default")
    assert await cost(store.upsert, asked, stores, counts) == price(blob_write=number, table=4)


async def test_put_of_a_new_instance(stores: Stores, counts: Counter[Kind]) -> None:
    """A PUT that replaces nothing is as a Store."""
    asked = store_request(files(instances.uid(), 1), "Microsoft.Default")

    assert await cost(store.upsert, asked, stores, counts) == price(blob_write=1, table=2)


@pytest.mark.parametrize(
    ("number", "tables"), [(0, 3), (1, 3), (97, 3), (98, 4), (250, 5), (1001, 1 + 6 + 11)]
)
async def test_delete(stores: Stores, counts: Counter[Kind], number: int, tables: int) -> None:
    """The journal, ⌈n/1000⌉ pages, ⌈n/97⌉ batches; several pages as of one moment cost 4 more."""
    study = await stored(stores, number) if number else instances.uid()
    status = 204 if number else 404

    asked = request("Microsoft.Default", study)
    assert await cost(delete.delete, asked, stores, counts, status=status) == price(table=tables)


@pytest.mark.parametrize(("number", "tables"), [(1, 1), (1000, 1), (1001, 6), (2001, 7)])
async def test_search_below_a_study(stores: Stores, counts: Counter[Kind], number: int, tables: int) -> None:
    """One request; from 1001 rows on ⌈n/1000⌉ + 4: so that all pages are of one moment; one more for series."""
    study = await stored(stores, number)

    asked = request("Microsoft.Default", study)
    assert await cost(search.instances, asked, stores, counts) == price(table=tables)
    assert await cost(search.series, asked, stores, counts) == price(table=1 + tables)


@pytest.mark.parametrize("number", [1, 1001])
async def test_search_series_of_an_indexed_study(stores: Stores, counts: Counter[Kind], number: int) -> None:
    """One request, however many instances they have."""
    study = await stored(stores, number)
    assert isinstance(stores.index, TableIndex)
    assert await stores.index.index("Microsoft.Default", study)

    asked = request("Microsoft.Default", study)
    assert await cost(search.series, asked, stores, counts) == price(table=1)


async def test_search_of_one_study(stores: Stores, counts: Counter[Kind]) -> None:
    """A study that is named is not looked for."""
    study = await stored(stores, 2)
    asked = Request("GET", Resource(), BASE, parameters=(("StudyInstanceUID", study),))

    assert await cost(search.studies, asked, stores, counts) == price(table=1)


RESOURCES: Sequence[tuple[str | None, str | None]] = [(None, None), (SERIES, None), (SERIES, f"{SERIES}.0")]


@pytest.mark.parametrize(("series", "instance"), RESOURCES, ids=["study", "series", "instance"])
async def test_metadata(
    stores: Stores, counts: Counter[Kind], series: str | None, instance: str | None
) -> None:
    """Metadata are in the rows: no blob is read; of a series or a study it is looked first if they are packed."""
    study = instances.uid()
    await answer(store.store, store_request(files(study, 3), "Microsoft.Default"), stores)

    asked = request("Microsoft.Default", study, series, instance)
    assert await cost(retrieve.metadata, asked, stores, counts) == price(table=1 if instance else 2)


@pytest.mark.parametrize(("instance", "blobs"), [(None, 3), (f"{SERIES}.0", 1)], ids=["series", "instance"])
async def test_instances(stores: Stores, counts: Counter[Kind], instance: str | None, blobs: int) -> None:
    """One request for the rows, one for each blob."""
    study = instances.uid()
    await answer(store.store, store_request(files(study, 3), "Microsoft.Default"), stores)

    asked = request("Microsoft.Default", study, SERIES, instance)
    assert await cost(retrieve.instances, asked, stores, counts) == price(table=1, blob_read=blobs)


@pytest.mark.parametrize(
    ("listed", "blobs"), [("1", 1), ("2,3,4", 1), ("1,2,3,4,5,6,7,8,9,10", 1)], ids=["one", "some", "all"]
)
async def test_frames(stores: Stores, counts: Counter[Kind], listed: str, blobs: int) -> None:
    """Frames that lie together are one ranged read."""
    study = instances.uid()
    file = instances.file(study, SERIES, f"{SERIES}.0", NumberOfFrames=10, PixelData=bytes(320))
    await answer(store.store, store_request([file], "Microsoft.Default"), stores)

    resource = Resource(study, SERIES, f"{SERIES}.0")
    asked = Request("GET", resource, BASE, variables={"frames": listed})
    assert await cost(bulkdata.frames, asked, stores, counts) == price(table=1, blob_read=blobs)


@pytest.mark.parametrize(
    ("series", "instance", "tables"),
    [(None, None, 2), (SERIES, None, 2), (SERIES, f"{SERIES}.0", 1)],
    ids=["study", "series", "instance"],
)
@pytest.mark.parametrize("transaction", [rendered.rendered, rendered.thumbnail])
async def test_rendered(
    stores: Stores,
    counts: Counter[Kind],
    transaction: Transaction,
    series: str | None,
    instance: str | None,
    tables: int,
) -> None:
    """The row, and the frame's bytes; of a series or a study the rows first, to choose among them."""
    study = instances.uid()
    await answer(store.store, store_request(files(study, 3), "Microsoft.Default"), stores)

    asked = request("Microsoft.Default", study, series, instance)
    assert await cost(transaction, asked, stores, counts) == price(table=tables, blob_read=1)


async def test_thumbnail_that_takes_long(stores: Stores, counts: Counter[Kind]) -> None:
    """The first time it is looked for and kept; from then on it is one read, and the pixels are not read."""
    study, side = instances.uid(), 2048
    file = instances.file(
        study, SERIES, f"{SERIES}.0", Rows=side, Columns=side, PixelData=bytes(side * side * 2)
    )
    await answer(store.store, store_request([file], "Microsoft.Default"), stores)

    asked = request("Microsoft.Default", study, SERIES, f"{SERIES}.0")
    first = await cost(rendered.thumbnail, asked, stores, counts)
    assert first == price(table=1, blob_read=2, blob_write=1)
    assert await cost(rendered.thumbnail, asked, stores, counts) == price(table=1, blob_read=1)
