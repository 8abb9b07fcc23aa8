"""What searches cost in archives of several sizes: `python -m benchmarks.search [--sizes N …] [--service azurite]`.

Prints one row for each search: what it found and read, CPU of the service, and time. Every answer is first compared
with a plain evaluation of all studies. The service is this process, without its HTTP; its storage is another
(`archive`).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import orjson

from benchmarks import archive, service, studies
from benchmarks.archive import WAITING, Archive
from benchmarks.searches import Oracle, Search, searches
from benchmarks.studies import Study
from dicom_core import bootstrap
from dicom_core.ports import Stores
from dicom_core.resources import Level
from dicom_core.storage.rest import Client, Kind, Reply, tally
from dicom_core.studies import search as transactions
from dicom_core.web.messages import Response
from tests.storage import opened

SIZES = (100, 1_000, 10_000)

_HEAD = ("search", "found", "rows", "requests", "CPU ms", "wall ms p50", "p95", "p99", "n")
_LEAST, _MOST = 10, 100
_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a search took: what it found and read, and seconds of each repetition."""

    found: int
    rows: int
    requests: int
    cpu: tuple[float, ...]
    wall: tuple[float, ...]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.search", description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="studies (100 1000 10000)")
    parser.add_argument(
        "--service", choices=archive.SERVICES, default="memory", help="keeps the tables (memory)"
    )
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="for each search, at most about (2)")
    options = parser.parse_args()
    sizes = sorted(options.sizes)
    everything = studies.generate(sizes[-1] + WAITING, newest=archive.newest(sizes))
    smallest: dict[str, Cost] = {}
    paces = [service.fixed_work()]
    with archive.running(options.service, sizes) as held:
        for size in sizes:
            asyncio.run(measure(held, everything[: size + WAITING], options.seconds, smallest))
            paces.append(service.fixed_work())
    print("\n\\* It reads more than where the archive is smallest, and not because it finds more.")
    print(f"Fixed work beside it took {1000 * min(paces):.1f} to {1000 * max(paces):.1f} ms of CPU.")


async def measure(held: Archive, some: Sequence[Study], seconds: float, smallest: dict[str, Cost]) -> None:
    """Measure the searches in an archive of one size, then some of them while studies wait to be indexed."""
    size = len(some) - WAITING
    print(f"\n{size:,} studies: the last ones stored and indexed in {held.hold(size, size)}.\n")
    print("| " + " | ".join(_HEAD) + " |\n|---|" + "--:|" * (len(_HEAD) - 1))
    asked = searches(some, size)
    async with opened(held.connection_string) as stores:
        bootstrap._tune_collector()  # as a worker does: it leaves alone what is there already
        oracle = Oracle(some[:size])
        for search in asked:
            _print(search.name, await _cost(search, stores, oracle, seconds), smallest)
        held.hold(len(some), size)
        oracle = Oracle(some)
        for search in asked:
            if search.waits:
                spent = await _cost(search, stores, oracle, seconds)
                _print(f"{search.name}, {WAITING} not indexed", spent, smallest)


async def answered(search: Search, stores: Stores) -> Response:
    """Carry out a search as the service does, from the query's text to the payload."""
    transaction = transactions.studies if search.level is Level.STUDY else transactions.series
    return await transaction(search.request, stores)


async def _cost(search: Search, stores: Stores, oracle: Oracle, seconds: float) -> Cost:
    """Check a search and count what it reads, then measure it."""
    requests = Counter[Kind]()
    tally.set(requests)
    with _counting() as rows:
        response = await answered(search, stores)
    sent = requests.total()
    found = oracle.check(search, response)
    cpu: list[float] = []
    wall: list[float] = []
    end = time.perf_counter() + seconds
    while len(wall) < _LEAST or (len(wall) < _MOST and time.perf_counter() < end):
        begin, used = time.perf_counter(), time.process_time()
        await answered(search, stores)
        wall.append(time.perf_counter() - begin)
        cpu.append(time.process_time() - used)
    return Cost(found, sum(rows), sent, tuple(cpu), tuple(wall))


@contextmanager
def _counting() -> Iterator[list[int]]:
    """Count the rows of every answer of the storage."""
    rows: list[int] = []
    send = Client.send

    async def counted(self: Client, *args: Any, **how: Any) -> Reply:
        reply = await send(self, *args, **how)
        if reply.status == 200:
            rows.append(len(orjson.loads(reply.body).get("value", [None])))
        return reply

    with mock.patch.object(Client, "send", counted):
        yield rows


def _print(name: str, spent: Cost, smallest: dict[str, Cost]) -> None:
    """Print a row, and mark a search that reads more in a larger archive without finding more."""
    least = smallest.setdefault(name, spent)
    found = max(spent.found - least.found, 0)
    cells = (
        f"{name} \\*" if spent.rows - least.rows > 5 * found + 50 else name,
        str(spent.found),
        str(spent.rows),
        str(spent.requests),
        _number(1000 * statistics.median(spent.cpu)),
        *(_number(1000 * percentile(spent.wall, share)) for share in (50, 95, 99)),
        str(len(spent.wall)),
    )
    print("| " + " | ".join(cells) + " |", flush=True)


def percentile(times: Sequence[float], share: int) -> float:
    """The least of some times that so many of a hundred do not exceed."""
    return sorted(times)[-(-len(times) * share // 100) - 1]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


if __name__ == "__main__":
    main()
