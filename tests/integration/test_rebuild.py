"""The tables of an account are lost, and come back from its blobs by one command."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.data.tables import TableClient
from azure.data.tables.aio import TableServiceClient

from dicom_core import bootstrap, versions
from dicom_core.ports import Stores
from dicom_core.record import Columns
from dicom_core.resources import DEFAULT_PARTITION, Resource
from dicom_core.settings import Settings
from dicom_core.storage import provision, rebuilding
from dicom_core.storage.blobs import Container, blob_name
from dicom_core.storage.rebuilding import Fate
from dicom_core.storage.rest import Kind, tally
from dicom_core.storage.tables import TABLES
from dicom_core.studies import delete, retrieve, search, store
from dicom_core.web.messages import Request
from tests.instances import file, uid
from tests.serving import ROOT
from tests.storage import BASE, account, answer, opened, request, store_request
from tools.local_host import azurite as emulator
from tools.rebuild.__main__ import Options, Progress, main, rebuild

pytestmark = pytest.mark.azurite

P = DEFAULT_PARTITION


@pytest.fixture(scope="module")
def connection_string(azurite: emulator.Azurite) -> Iterator[str]:
    """An emulator of its own: its tables are lost, and no one else's."""
    with emulator.Azurite(tools=ROOT / emulator.TOOLS) as running:
        asyncio.run(provision.create(account(running.connection_string)))
        yield running.connection_string


@pytest.fixture
async def stores(connection_string: str) -> AsyncIterator[Stores]:
    """Blobs and tables of it, empty at first."""
    clients = bootstrap.clients(account(connection_string))
    for name in ("dicom", "derived"):
        container = Container(clients[0], name)
        for blob in [blob async for blob in container.blobs()]:
            await container.delete(blob.name)
    await asyncio.gather(*(client.close() for client in clients))
    await lose(connection_string, *TABLES)
    async with opened(connection_string) as both:
        yield both


async def lose(connection_string: str, *tables: str) -> None:
    """Delete tables, and create them anew without a row."""
    of = account(connection_string)
    credential = AzureNamedKeyCredential(of.name, of.key)
    async with TableServiceClient(of.tables, credential=credential) as service:
        for name in tables:
            await service.delete_table(name)
    await provision.create(of)


async def rebuilt(connection_string: str, **options: Any) -> tuple[int, Counter[Fate]]:
    """Rebuild; the exit code, and what became of the blobs."""
    progress = Progress()
    settings = Settings.from_environment({"DicomStorage": connection_string})
    code = await rebuild(settings, Options(**{"settled": -60.0, **options}), progress)
    return code, progress.summary.counts


async def post(stores: Stores, *files: bytes, expected: int = 200) -> None:
    """Store files in one request."""
    assert (await answer(store.store, store_request(files, P), stores))[0] == expected


async def put(stores: Stores, *files: bytes) -> None:
    """Store files, replacing others."""
    assert (await answer(store.upsert, store_request(files, P), stores))[0] == 200


async def remove(stores: Stores, *uids: str) -> None:
    """Delete a study, a series or an instance."""
    assert (await answer(delete.delete, Request("DELETE", Resource(*uids), BASE), stores))[0] == 204


SEARCHES = [
    {},
    {"PatientID": "P1"},
    {"PatientID": "put"},
    {"PatientName": "doe*"},
    {"ModalitiesInStudy": "MR"},
]


async def everything(stores: Stores, studies: list[str]) -> dict[str, object]:
    """Whatever the service answers about some studies: bytes, metadata and searches of each level."""
    told: dict[str, object] = {}
    for parameters in SEARCHES:
        asked = Request("GET", Resource(), BASE, parameters=tuple(parameters.items()))
        told[f"studies {parameters}"] = await answer(search.studies, asked, stores)
    for study in studies:
        told[f"series {study}"] = await answer(search.series, request(P, study), stores)
        told[f"instances {study}"] = await answer(search.instances, request(P, study), stores)
        told[f"metadata {study}"] = await answer(retrieve.metadata, request(P, study), stores)
        for row in await stores.index.records(Resource(study), Columns.HEADER | Columns.PIXELS):
            told[f"row {row.version}"] = row
            content = await stores.instances.get(P, row.version)
            told[f"bytes {row.instance}"] = b"".join([chunk async for chunk in content])
    return told


async def filled(stores: Stores) -> list[str]:
    """Studies with a history; their UIDs."""
    large, single, replaced, deleted, refused = (uid() for _ in range(5))
    series = [f"{large[:60]}.{number}" for number in range(3)]
    modality = ("CT", "MR", "SR")
    await post(
        stores,
        *(
            file(large, series[at % 3], InstanceNumber=str(at), Modality=modality[at % 3])
            for at in range(110)
        ),
    )
    for at in range(5):
        await post(stores, file(single, f"{single[:60]}.1", PatientName=f"Roe^{at}", InstanceNumber=str(at)))
    await post(stores, *(file(replaced, "1.1", f"1.1.{at}") for at in range(3)))
    await put(stores, file(replaced, "1.1", "1.1.1", PatientID="put"))
    await post(stores, *(file(deleted, "1.2", f"1.2.{at}") for at in range(3)))
    await remove(stores, deleted, "1.2", "1.2.1")
    await post(stores, file(refused, "1.3", "1.3.1"))
    await post(stores, file(refused, "1.3", "1.3.1", PatientID="refused"), expected=409)
    return [large, single, replaced, deleted, refused]


async def forget(connection_string: str, stores: Stores, studies: list[str]) -> None:
    """Delete the blobs that no row names, as a sweep does once they are due."""
    rows = [row for study in studies for row in await stores.index.records(Resource(study), Columns.NONE)]
    named = {blob_name(row.partition, row.version) for row in rows}
    blobs, tables = bootstrap.clients(account(connection_string))
    instances = Container(blobs, "dicom")
    for blob in [blob async for blob in instances.blobs()]:
        if blob.name not in named:
            await instances.delete(blob.name)
    await asyncio.gather(blobs.close(), tables.close())


async def test_everything_comes_back(connection_string: str, stores: Stores) -> None:
    """Bytes, rows, metadata and searches are what they were; a second rebuild finds nothing to do."""
    studies = await filled(stores)
    await stores.index.sweep()
    before = await everything(stores, studies)
    await forget(connection_string, stores, studies)
    await lose(connection_string, *TABLES)
    assert (await answer(search.studies, Request("GET", Resource(), BASE), stores))[0] == 204

    first = await rebuilt(connection_string)
    after = await everything(stores, studies)
    second = await rebuilt(connection_string)

    assert first == (0, {Fate.RESTORED: 121})
    assert after == before
    assert second == (0, {Fate.THERE: 121})
    assert await everything(stores, studies) == before


async def test_what_is_not_forgotten_yet_cannot_be_told_from_what_is_stored(
    connection_string: str, stores: Stores
) -> None:
    """With the decisions lost, the highest version of what is still kept wins: deleted and refused come back."""
    _, _, replaced, deleted, refused = await filled(stores)
    await lose(connection_string, *TABLES)

    code, fates = await rebuilt(connection_string)

    async def patients(study: str) -> list[str]:
        body = (await answer(retrieve.metadata, request(P, study), stores))[1]
        return sorted(one["00100020"]["Value"][0] for one in orjson.loads(body))

    assert code == 0
    assert fates[Fate.RESTORED] + fates[Fate.SUPERSEDED] == 124
    assert await patients(replaced) == ["P1", "P1", "put"]
    assert await patients(deleted) == ["P1"] * 3
    assert await patients(refused) == ["refused"]


async def test_rebuild_beside_a_service_that_serves(connection_string: str, stores: Stores) -> None:
    """What is stored, replaced and deleted while the record comes back is as it would be without."""
    study, other = uid(), uid()
    old = {f"1.5.{at}": file(study, "1.5", f"1.5.{at}") for at in range(20)}
    await post(stores, *old.values())
    await lose(connection_string, *TABLES)
    new = {f"1.6.{at}": file(other, "1.6", f"1.6.{at}") for at in range(20)}
    changed = file(study, "1.5", "1.5.3", PatientID="put")

    async def serve() -> None:
        for at, content in enumerate(new.values()):
            await post(stores, content)
            if at % 5 == 0:
                await stores.index.sweep()
        await put(stores, changed)
        await remove(stores, other, "1.6", "1.6.7")

    await asyncio.gather(serve(), rebuilt(connection_string, settled=0.5))
    await asyncio.sleep(0.6)
    await rebuilt(connection_string, settled=0.5)

    told = await everything(stores, [study, other])
    assert {uid: told[f"bytes {uid}"] for uid in old} == {**old, "1.5.3": changed}
    assert "bytes 1.6.7" not in told
    del new["1.6.7"]
    assert {uid: told[f"bytes {uid}"] for uid in new} == new


async def test_lost_index_comes_back(connection_string: str, stores: Stores) -> None:
    """Of the search rows alone, and of the journal with them."""
    studies = await filled(stores)
    await stores.index.sweep()
    before = await everything(stores, studies)
    await lose(connection_string, "search", "pending")

    assert (await rebuilt(connection_string, index_only=True))[0] == 0

    assert await everything(stores, studies) == before


async def test_what_was_restored_is_forgotten_when_it_is_due(connection_string: str, stores: Stores) -> None:
    """The command indexes as the service does: each study is noted as one that has something to forget later."""
    studies = await filled(stores)
    await lose(connection_string, *TABLES)

    await rebuilt(connection_string)

    with TableClient.from_connection_string(connection_string, "due") as due:
        noted = {row["RowKey"].rpartition("|")[2] for row in due.list_entities()}
    assert noted >= set(studies)


async def test_prices(connection_string: str, stores: Stores) -> None:
    """One instance: a list, a look at its blob and its bytes, 4 table requests; of what is there, 2 of these."""
    await post(stores, file())
    await lose(connection_string, *TABLES)
    counts: Counter[Kind] = Counter()
    tally.set(counts)

    await rebuilt(connection_string, no_index=True)
    restored = counts.copy()
    counts.clear()
    await rebuilt(connection_string, no_index=True)

    measured = {Kind.BLOB_LIST: 1}  # how much there is to do
    assert restored - Counter(measured) <= Counter({Kind.BLOB_LIST: 1, Kind.BLOB_READ: 2, Kind.TABLE: 4})
    assert counts - Counter(measured) <= Counter({Kind.BLOB_LIST: 1, Kind.TABLE: 2})


async def test_resumes_where_it_was(
    connection_string: str, stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild that was broken off looks at no blob again that it had done; its numbers are those of both."""
    monkeypatch.setattr(rebuilding, "WINDOW", 3)
    for _ in range(10):
        await post(stores, file())
    await lose(connection_string, *TABLES)
    kept = tmp_path / "checkpoint.json"
    of = Settings.from_environment({"DicomStorage": connection_string})
    options = Options(settled=-60.0, resume=str(kept), no_index=True)
    running = asyncio.create_task(rebuild(of, options, Progress()))
    while not (kept.exists() and orjson.loads(kept.read_bytes())["counts"]):
        await asyncio.sleep(0.005)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    done = sum(orjson.loads(kept.read_bytes())["counts"].values())
    tally.set(counts := Counter[Kind]())

    progress = Progress()
    assert await rebuild(of, options, progress) == 0

    assert 3 <= done < 10
    assert counts[Kind.BLOB_READ] <= 2 * (10 - done)
    assert progress.summary.blobs == 10
    assert not kept.exists()
    studies = orjson.loads((await answer(search.studies, Request("GET", Resource(), BASE), stores))[1])
    assert len(studies) == 10


def command(connection_string: str, *arguments: str) -> tuple[list[str], dict[str, Any]]:
    """The command as a person starts it."""
    environment = {"DicomStorage": connection_string, "PATH": ""}
    return [sys.executable, "-m", "tools.rebuild", *arguments], {
        "cwd": ROOT,
        "env": environment,
        "text": True,
    }


async def test_command_leaves_the_young_for_later(connection_string: str, stores: Stores) -> None:
    """The summary counts, and says when there is more to do."""
    await post(stores, file())
    await lose(connection_string, *TABLES)
    asked, how = command(connection_string)

    done = await asyncio.to_thread(subprocess.run, asked, capture_output=True, **how)

    assert done.returncode == 1
    assert done.stdout.split("\n")[:-1] == [
        "1 blobs were too young to be looked at: run it once more in an hour.",
        f"{'blobs seen':<40}{1:>12}",
        f"{'too young to be looked at':<40}{1:>12}",
    ]
    assert done.stderr.startswith(f"Rebuilding {account(connection_string).blobs}")


async def test_command_says_what_is_not_decided(connection_string: str, stores: Stores) -> None:
    """A study of a request that was broken off is not indexed to the end, and that is why; the index has a summary."""
    await post(stores, file())
    async with TableServiceClient.from_connection_string(connection_string) as service:
        pending = service.get_table_client("pending")
        await pending.upsert_entity(
            {"PartitionKey": f"{P}|0", "RowKey": f"{versions.new_transaction()}|{uid()}"}
        )
    asked, how = command(connection_string, "--index-only")

    done = await asyncio.to_thread(subprocess.run, asked, capture_output=True, **how)

    assert done.returncode == 1
    assert done.stdout.split("\n")[:-1] == [
        "1 studies have transactions that are not decided yet: requests at work, or broken off. "
        "The service's sweep decides them an hour after they began; repeat the command then.",
        f"{'studies seen':<40}{1:>12}",
        f"{'not indexed yet':<40}{1:>12}",
    ]


async def test_command_that_is_interrupted_says_what_to_do() -> None:
    """Ctrl-C ends it at once."""
    storage = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)  # it never answers
    url = f"http://127.0.0.1:{storage.sockets[0].getsockname()[1]}/x"
    asked, how = command(f"AccountName=x;AccountKey=eA==;BlobEndpoint={url};TableEndpoint={url}")
    with subprocess.Popen(asked, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as process:
        assert process.stderr is not None
        assert (await asyncio.to_thread(process.stderr.readline)).startswith("Rebuilding ")
        process.send_signal(signal.SIGINT)
        _, errors = await asyncio.to_thread(process.communicate)
    storage.close()

    assert process.returncode == 130
    assert errors.strip() == "Interrupted: start it again to go on."


@pytest.mark.parametrize(
    ("arguments", "setting", "text"),
    [
        (("--index-only", "--no-index"), "UseDevelopmentStorage=true", "--index-only goes with neither"),
        (("--index-only", "--resume", "x"), "UseDevelopmentStorage=true", "--index-only goes with neither"),
        ((), "AccountName=x", "DicomStorage has no AccountKey"),
    ],
)
def test_command_refuses_what_makes_no_sense(
    arguments: tuple[str, ...],
    setting: str,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Wrong usage is told in a line, with the exit code 2."""
    monkeypatch.setenv("DicomStorage", setting)

    assert main(arguments) == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("local.settings.json", "DicomStorage has no AccountKey"),
        ("local.settings.sample.json", "set DicomStorage__blobServiceUri"),
    ],
)
def test_command_takes_no_storage_from_a_sample(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Storage is what the environment or the local settings say; without either the command refuses."""
    monkeypatch.delenv("DicomStorage", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text('{"Values": {"DicomStorage": "AccountName=x"}}')

    assert main([]) == 2
    assert text in capsys.readouterr().err
