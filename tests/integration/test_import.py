"""Files of the drop zone, imported again and again, at once, and by processes that die: stored once, never lost."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
import pytest
from azure.storage.blob import ContainerClient

from dicom_core.errors import StorageUnavailable
from dicom_core.ingest import importing
from dicom_core.ports import Stores
from dicom_core.storage.rest import Kind
from tests import dicomweb, instances
from tests.storage import Faults, contents, opened

pytestmark = pytest.mark.azurite

CarryOut = Callable[[], Awaitable[aiohttp.ClientResponse]]

_partitions = itertools.count()


class Killed(BaseException):
    """The process is no more."""


@dataclass(frozen=True, slots=True)
class Case:
    """A file in the drop zone, what is stored before, and what must be in the end."""

    name: str
    file: bytes
    study: str
    before: tuple[bytes, ...]
    after: dict[str, bytes]
    rejected: bool = False


def cases() -> list[Case]:
    """One of each end."""
    new, known, taken, bad = (dicomweb.made() for _ in range(4))
    other = dicomweb.made(taken.study, taken.series, taken.instance, Rows=5)
    return [
        Case("new", new.content, new.study, (), {new.instance: new.content}),
        Case("known", known.content, known.study, (known.content,), {known.instance: known.content}),
        Case("taken", other.content, taken.study, (taken.content,), {taken.instance: taken.content}, True),
        Case("bad", b"no DICOM", bad.study, (), {}, True),
    ]


CASES = {case.name: case for case in cases()}


@pytest.fixture
def partition() -> str:
    """A partition of its own."""
    return f"Import{next(_partitions)}"


@pytest.fixture
def drop_zone(connection_string: str) -> Iterator[ContainerClient]:
    """The drop zone, as users see it."""
    with ContainerClient.from_connection_string(connection_string, "import") as container:
        yield container


async def seed(case: Case, partition: str, drop_zone: ContainerClient, stores: Stores) -> str:
    """Store what is there before, and drop the file; its name."""
    for number, file in enumerate(case.before):
        drop_zone.upload_blob(f"{partition}/before{number}", file)
        await importing.take(f"{partition}/before{number}", stores)
    name = f"{partition}/{case.name}.dcm"
    drop_zone.upload_blob(name, case.file)
    return name


def left(drop_zone: ContainerClient, partition: str) -> dict[str, bytes]:
    """Everything in the drop zone that is of a partition, rejected files too."""
    names = [blob.name for blob in drop_zone.list_blobs() if f"{partition}/" in blob.name]
    return {name: drop_zone.download_blob(name).readall() for name in names}


async def check(case: Case, partition: str, name: str, drop_zone: ContainerClient, stores: Stores) -> None:
    """It has ended as it must."""
    assert await contents(stores, partition, case.study) == case.after
    found = left(drop_zone, partition)
    if case.rejected:
        assert found.pop(f"rejected/{name}") == case.file
        assert orjson.loads(found.pop(f"rejected/{name}.json"))["status"] == 409
    assert found == {}


def dying(step: int, *, after: bool) -> Faults:
    """A process that dies at its n-th storage request, before or after the service has carried it out."""

    async def die(carry_out: CarryOut) -> Any:
        raise Killed

    async def carry_out_and_die(carry_out: CarryOut) -> Any:
        await (await carry_out()).read()
        raise Killed

    def plan(number: int) -> Any:
        if number < step:
            return None
        return carry_out_and_die if after and number == step else die

    return Faults(plan)


async def dies(name: str, connection_string: str, step: int, *, after: bool) -> bool:
    """Import a file in a process that dies on the way; False if it has ended before."""
    async with opened(connection_string, dying(step, after=after)) as stores:
        try:
            await importing.take(name, stores)
        except (Killed, BaseExceptionGroup):
            return True
    return False


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_process_dies_at_any_storage_request(
    case: Case, after: bool, drop_zone: ContainerClient, stores: Stores, connection_string: str
) -> None:
    """Wherever an import ends, the file is there or has been stored; the next one ends as if there was none."""
    for step in itertools.count(1):
        partition = f"Import{next(_partitions)}"
        name = await seed(case, partition, drop_zone, stores)

        killed = await dies(name, connection_string, step, after=after)

        found = left(drop_zone, partition)
        assert case.file in found.values() or await contents(stores, partition, case.study) == case.after
        await importing.take(name, stores)
        await check(case, partition, name, drop_zone, stores)
        if not killed:
            break
    assert step > 4


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_import_runs_many_times_at_once(
    case: Case, partition: str, drop_zone: ContainerClient, stores: Stores, connection_string: str
) -> None:
    """Events come twice and more, and to several workers: the file is stored, or rejected, once."""
    name = await seed(case, partition, drop_zone, stores)

    async with opened(connection_string) as others:
        await asyncio.gather(*(importing.take(name, each) for each in (stores, others) * 3))
    await importing.take(name, stores)

    await check(case, partition, name, drop_zone, stores)


async def test_storage_is_away(
    partition: str,
    drop_zone: ContainerClient,
    stores: Stores,
    connection_string: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Storage that does not answer is raised, and the file is imported when it does again."""
    monkeypatch.setattr("dicom_core.storage.rest._FIRST_DELAY", 0.0)
    case = CASES["new"]
    name = await seed(case, partition, drop_zone, stores)

    async def away(carry_out: CarryOut) -> Any:
        raise aiohttp.ClientConnectionError

    for step in range(1, 6):
        faults = Faults(lambda number, step=step: away if number >= step else None)
        async with opened(connection_string, faults) as failing:
            with pytest.raises(StorageUnavailable):
                await importing.take(name, failing)
        assert left(drop_zone, partition) == {name: case.file}

    await importing.take(name, stores)

    await check(case, partition, name, drop_zone, stores)


async def test_price(
    partition: str, drop_zone: ContainerClient, stores: Stores, counts: Counter[Kind]
) -> None:
    """What a Store costs, two reads of the file, and a delete, which is free."""
    name = await seed(CASES["new"], partition, drop_zone, stores)
    counts.clear()

    await importing.take(name, stores)

    assert counts == {Kind.BLOB_READ: 2, Kind.BLOB_WRITE: 1, Kind.TABLE: 2, Kind.BLOB_DELETE: 1}


async def test_overdue_price(drop_zone: ContainerClient, stores: Stores, counts: Counter[Kind]) -> None:
    """A look for what no event told of is one list, and one a folder; rejected files are passed over."""
    for blob in drop_zone.list_blobs():
        drop_zone.delete_blob(blob.name)
    for name in ("x", "Part/x", "rejected/x", "rejected/Part/x"):
        drop_zone.upload_blob(name, instances.file())
    counts.clear()

    assert [name async for name in stores.drop_zone.waiting(-60)] == ["x", "Part/x"]

    assert counts == {Kind.BLOB_LIST: 2}


async def test_file_that_no_event_told_of(partition: str, drop_zone: ContainerClient, stores: Stores) -> None:
    """It is imported by the sweep when it is overdue, not before."""
    case = CASES["new"]
    name = await seed(case, partition, drop_zone, stores)

    await importing.Overdue(age=60).take(stores)
    assert left(drop_zone, partition) == {name: case.file}
    await importing.Overdue(age=-60).take(stores)

    await check(case, partition, name, drop_zone, stores)
