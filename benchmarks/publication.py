"""What it costs to tell changes when several workers do so at once: `python -m benchmarks.publication`.

Each writer is a worker of its own: connections, a ledger and its one writer. All are in this process, so that CPU time
is that of all together; each has as many studies to tell at once as a reader of the feed publishes.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks import machine
from benchmarks.__main__ import spread
from benchmarks.images import uid
from benchmarks.service import ROOT
from dicom_core import bootstrap
from dicom_core.changes import Action
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.settings import Settings, SharedKeyAccount
from dicom_core.storage import provision
from dicom_core.storage.entries import Piece, Told
from dicom_core.storage.feed import STUDIES_AT_ONCE
from dicom_core.storage.ledger import Ledger
from dicom_core.storage.rest import Kind, tally
from dicom_core.storage.sequencing import Sequencer
from dicom_core.storage.table_service import Table
from tools.local_host.azurite import TOOLS, Azurite

WRITERS = (1, 8)
IMAGES = (1, 100)
STUDIES = 400

_CT = "1.2.840.10008.5.1.4.1.1.2"
_HEAD = (
    "images a study",
    "writers",
    "changes per s",
    "a study: ms (min-max)",
    "CPU ms (min-max)",
    "storage requests",
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What telling took: seconds, CPU seconds and requests to tables, of each study."""

    wall: float
    cpu: float
    requests: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.publication", description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="repetitions (3)")
    options = parser.parse_args()
    print(f"{machine.described()}\n\n| {' | '.join(_HEAD)} |")
    print("|--:" * len(_HEAD) + "|")
    for images in IMAGES:
        for writers in WRITERS:
            costs = [measured(writers, images, STUDIES) for _ in range(options.repeat)]
            print(row(images, writers, costs), flush=True)


def measured(writers: int, images: int, studies: int) -> Cost:
    """What it takes several writers to tell new studies of some images each, in a feed of their own."""
    with Azurite(tools=ROOT / TOOLS) as storage:
        account = Settings.from_environment({"DicomStorage": storage.connection_string}).account
        assert isinstance(account, SharedKeyAccount)
        return asyncio.run(_told(account, writers, [new_study(number, images) for number in range(studies)]))


async def _told(account: SharedKeyAccount, writers: int, pieces: Sequence[Piece]) -> Cost:
    await provision.create(account)
    clients = [bootstrap.clients(account) for _ in range(writers)]
    ledgers = [Ledger(Table(tables, "feed")) for _, tables in clients]
    for ledger in ledgers:
        await ledger.head()  # connects
    counts: Counter[Kind] = Counter()
    tally.set(counts)
    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(
        *(tell(Sequencer(ledger), pieces[first::writers]) for first, ledger in enumerate(ledgers))
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    requests = counts[Kind.TABLE]
    assert (await ledgers[0].head()).sequence == sum(len(piece.changes) for piece in pieces)
    for client in (one for pair in clients for one in pair):
        await client.close()
    return Cost(wall / len(pieces), cpu / len(pieces), requests / len(pieces))


async def tell(sequencer: Sequencer, pieces: Sequence[Piece]) -> None:
    """Tell pieces, as many at once as a reader of the feed publishes studies."""
    waiting = iter(pieces)
    await asyncio.gather(*(_tell_each(sequencer, waiting) for _ in range(STUDIES_AT_ONCE)))


async def _tell_each(sequencer: Sequencer, waiting: Iterator[Piece]) -> None:
    for piece in waiting:
        await sequencer.append([piece])


def new_study(study: int, images: int) -> Piece:
    """A Store of a new study."""
    name = f"{study:026d}"
    changes = [
        Told(Action.CREATE, uid(2, study), uid(3, study * 1000 + number), f"{name}-{number}", _CT)
        for number in range(images)
    ]
    return Piece(name, 0, DEFAULT_PARTITION, uid(1, study), changes)


def row(images: int, writers: int, costs: Sequence[Cost]) -> str:
    """A row of the table: medians, and how far times spread."""
    wall = statistics.median(one.wall for one in costs)
    cells = (
        str(images),
        str(writers),
        f"{images / wall:,.0f}",
        spread([one.wall for one in costs]),
        spread([one.cpu for one in costs]),
        f"table={statistics.median(one.requests for one in costs):.3g}",
    )
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
