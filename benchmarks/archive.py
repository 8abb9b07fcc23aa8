"""A storage account with an archive of studies in it, kept by a process of its own.

`running` starts the process. For each line of two numbers on its standard input it stores so many studies in all,
through the product's own port, indexes so many of them, and answers with a line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from benchmarks import studies, tables
from benchmarks.studies import Study
from dicom_core import bootstrap
from dicom_core.ports import StudyIndex
from dicom_core.settings import AZURITE
from dicom_core.storage import provision
from dicom_core.storage.indexing import Indexer
from dicom_core.storage.table_service import Table
from tests import storage
from tools.local_host.azurite import TOOLS, Azurite

SERVICES = ("memory", "azurite")

WAITING = 50
"""Studies behind those of each size, which wait to be indexed for a while; they are the newest, as such studies are."""

_ROOT = Path(__file__).parent.parent
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Account:
    """Where rows are written: through the port, and by the indexer; `pid` is of the process that keeps them."""

    connection_string: str
    index: StudyIndex
    indexer: Indexer
    pid: int


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive as the process that searches it sees it."""

    process: subprocess.Popen[str]
    connection_string: str

    def hold(self, stored: int, indexed: int) -> str:
        """Let it hold so many studies, and so many of them be indexed; what that took."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{stored} {indexed}\n")
        self.process.stdin.flush()
        return _line(self.process)


def newest(sizes: Iterable[int]) -> frozenset[int]:
    """The numbers of the studies that wait in archives of some sizes."""
    return frozenset(number for size in sizes for number in range(size, size + WAITING))


@contextmanager
def running(service: str, sizes: Sequence[int]) -> Iterator[Archive]:
    """An empty archive that is to have some sizes, until the end of the block."""
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "benchmarks.archive", "--service", service),
            *("--sizes", *map(str, sizes)),
        ],
        cwd=_ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Archive(process, _line(process))
        finally:
            process.terminate()


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError("the archive's process ended")
    return line


async def store(index: StudyIndex, some: Iterable[Study]) -> None:
    """Journal and commit studies, several at once."""

    async def one(study: Study) -> None:
        await index.begin(study.transaction, study.hint)
        await index.commit(study.transaction, study.instances, upsert=False)

    await _each(one, some)


async def index(indexer: Indexer, some: Iterable[Study]) -> None:
    """Index studies, several at once."""

    async def one(study: Study) -> None:
        if not await indexer.index(study.transaction.partition, study.uid):
            raise RuntimeError(f"study {study.uid} was not indexed")

    await _each(one, some)


async def _each(work: Callable[[Study], Coroutine[Any, Any, None]], some: Iterable[Study]) -> None:
    """Do something for each study, `_AT_ONCE` at a time, in their order."""
    waiting = iter(some)

    async def worker() -> None:
        for study in waiting:
            await work(study)

    await asyncio.gather(*(worker() for _ in range(_AT_ONCE)))


@asynccontextmanager
async def _memory() -> AsyncIterator[Account]:
    """An account in this process, which answers reads on a port of its own."""
    service = tables.Tables()
    runner = web.AppRunner(tables.application(service), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/{AZURITE['AccountName']}"
    fields = AZURITE | {"BlobEndpoint": url, "TableEndpoint": url}
    try:
        yield Account(
            ";".join(f"{name}={value}" for name, value in fields.items()),
            service.index(),
            Indexer(service.table("studies"), service.table("pending"), service.table("search")),
            os.getpid(),
        )
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _azurite() -> AsyncIterator[Account]:
    """The emulator, its data in memory."""
    with Azurite(tools=_ROOT / TOOLS) as emulator:
        account = storage.account(emulator.connection_string)
        await provision.create(account)
        blobs, client = bootstrap.clients(account)
        indexer = Indexer(Table(client, "studies"), Table(client, "pending"), Table(client, "search"))
        try:
            async with storage.opened(emulator.connection_string) as stores:
                yield Account(emulator.connection_string, stores.index, indexer, emulator.pid or 0)
        finally:
            await asyncio.gather(blobs.close(), client.close())


async def _serve(account: Account, made: Iterator[Study]) -> None:
    """Carry out what is asked for until the input ends."""
    waiting: list[Study] = []
    stored = indexed = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        to_store, to_index = map(int, line.split())
        begin = time.perf_counter()
        fresh = list(itertools.islice(made, to_store - stored))
        await store(account.index, fresh)
        waiting += fresh
        due = max(to_index - indexed, 0)
        await index(account.indexer, waiting[:due])
        del waiting[:due]
        stored, indexed = stored + len(fresh), indexed + due
        taken = time.perf_counter() - begin
        del fresh
        gc.collect()
        gc.freeze()  # no search has to wait while the collector looks through the tables
        print(f"{taken:.0f} s; the tables take {_megabytes(account.pid)} MB", flush=True)


def _megabytes(pid: int) -> int:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmRSS:"))


async def _main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.archive", description=__doc__)
    parser.add_argument("--service", choices=SERVICES, default=SERVICES[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=())
    options = parser.parse_args()
    service = _memory if options.service == "memory" else _azurite
    async with service() as account:
        print(account.connection_string, flush=True)
        await _serve(account, studies.archive(newest=newest(options.sizes)))


if __name__ == "__main__":
    asyncio.run(_main())
