"""`python -m tools.rebuild`: recreate the record and the index of an account from its blobs, while the service serves.

It is safe to repeat: what is there is left as it is. A rebuild that was interrupted goes on when it is started again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dicom_core import bootstrap
from dicom_core.errors import StorageUnavailable
from dicom_core.settings import IdentityAccount, Settings, SettingsError, SharedKeyAccount
from dicom_core.storage import rebuilding, reindexing
from dicom_core.storage.blobs import Container
from dicom_core.storage.rebuilding import Fate, Rebuild
from dicom_core.storage.rest import Client
from dicom_core.storage.table_service import Table
from tools.local_host import settings as local
from tools.local_host.errors import StartUpError
from tools.progress import Display, State
from tools.rebuild.summary import Checkpoint, CheckpointError, Summary

_CODES = """\
exit code: 0 all is restored and indexed; 1 something could not be read, was too young, or is not indexed yet;
2 wrong usage, or storage does not answer
"""
_STUDIES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says; `settled` is the age in seconds from which blobs are looked at."""

    partition: str = ""
    index_only: bool = False
    no_index: bool = False
    resume: str = ""
    settled: float = rebuilding.SETTLED

    @property
    def prefix(self) -> str:
        """What the names of the blobs begin with."""
        return f"{self.partition}/" if self.partition else ""


@dataclass(slots=True)
class Progress:
    """How far the command is; `phase` is what it is at, `studies` how many are to have their search rows anew."""

    summary: Summary = field(default_factory=Summary)
    phase: str = "blobs"
    done: int = 0
    left: int = 0
    studies: int = 0

    @property
    def index_summary(self) -> str:
        """What became of the studies, where they are all there is to it."""
        seen = f"{'studies seen':<40}{self.studies:>12,}"
        return f"{seen}\n{'not indexed yet':<40}{self.left:>12,}" if self.left else seen

    def note_left(self, left: int) -> None:
        """Take note of how many studies are to be indexed."""
        self.done += max(self.left - left, 0)
        self.left = left

    def state(self, seconds: float) -> State:
        """What is shown."""
        if self.phase == "blobs":
            of = self.summary
            failed = of.counts[Fate.UNREADABLE]
            return State(of.blobs, of.length, failed, seconds, of.total, of.total_length, "blobs")
        total = self.done + self.left if self.left else 0
        return State(self.done, None, 0, seconds, total, 0, self.phase)


def main(arguments: Sequence[str] | None = None) -> int:
    """Rebuild; the exit code."""
    options = Options(**vars(_parser().parse_args(arguments)))
    if options.index_only and (options.no_index or options.resume):
        print("--index-only goes with neither --no-index nor --resume.", file=sys.stderr)
        return 2
    progress = Progress()
    try:
        settings = Settings.from_environment(_environment())
        code = asyncio.run(rebuild(settings, options, progress))
    except SettingsError as error:
        print(f"{error} (settings come from the environment, or local.settings.json)", file=sys.stderr)
        return 2
    except (StartUpError, CheckpointError) as error:
        print(error, file=sys.stderr)
        return 2
    except StorageUnavailable as error:
        print(f"Stopped: {error}. Start it again to go on.", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print("Interrupted: start it again to go on.", file=sys.stderr)
        code = 130
    print(progress.index_summary if options.index_only else progress.summary)
    return code


async def rebuild(settings: Settings, options: Options, progress: Progress) -> int:
    """Rebuild, and count what became of the blobs; the exit code.

    Raises
    ------
    StorageUnavailable
        Storage does not answer.
    CheckpointError
        The file to go on from cannot be used.
    """
    print(f"Rebuilding {settings.account.blobs} and {settings.account.tables}", file=sys.stderr)
    async with _opened(settings.account) as (blobs, tables):
        studies, pending = Table(tables, "studies"), Table(tables, "pending")
        left = 0
        async with _shown(progress):
            if options.index_only:
                await _doubt_all(studies, pending, options, progress)
            else:
                await _restore(blobs, studies, pending, options, progress)
            if not options.no_index:
                progress.phase, progress.done = "studies indexed", 0
                index = bootstrap.index(settings, blobs, tables).index
                left = await reindexing.index_all(index, pending, progress.note_left, options.partition)
    return _told(progress.summary, left)


def _told(summary: Summary, left: int) -> int:
    """Say what is left to do; the exit code."""
    if left:
        print(
            f"{left:,} studies have transactions that are not decided yet: requests at work, or broken off. "
            "The service's sweep decides them an hour after they began; repeat the command then."
        )
    if young := summary.counts[Fate.YOUNG]:
        print(f"{young:,} blobs were too young to be looked at: run it once more in an hour.")
    return 1 if left or young or summary.counts[Fate.UNREADABLE] else 0


async def _restore(
    blobs: Client, studies: Table, pending: Table, options: Options, progress: Progress
) -> None:
    """Restore every blob, from where an earlier run has come to."""
    instances, derived = Container(blobs, "dicom"), Container(blobs, "derived")
    checkpoint = Checkpoint(Path(options.resume), blobs.endpoint, options.prefix) if options.resume else None
    summary = progress.summary = checkpoint.load() if checkpoint else Summary()
    if checkpoint:
        checkpoint.save(summary)  # a file that cannot be written is told now, not after the first window
    measuring = asyncio.create_task(_measure(instances, options.prefix, summary))
    run = Rebuild(studies, pending, instances, derived, summary.add, options.settled)
    try:
        async for name in run.run(options.prefix, summary.after):
            summary.after = name
            if checkpoint:
                checkpoint.save(summary)
    finally:
        measuring.cancel()
    if checkpoint:
        checkpoint.remove()


async def _measure(instances: Container, prefix: str, summary: Summary) -> None:
    """Find out how much there is to do, while it is being done."""
    total = length = 0
    try:
        async for blob in instances.blobs(prefix):
            total, length = total + 1, length + blob.length
    except StorageUnavailable:
        return  # the rebuild says so itself, or does without
    summary.total, summary.total_length = total, length


async def _doubt_all(studies: Table, pending: Table, options: Options, progress: Progress) -> None:
    """Have the search rows of every study written anew."""
    progress.phase = "studies journalled"
    running: set[asyncio.Task[None]] = set()
    async for partition, study in reindexing.studies(studies, options.partition):
        if len(running) >= _STUDIES_AT_ONCE:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        running.add(asyncio.create_task(reindexing.doubt(studies, pending, partition, study)))
        progress.done += 1
        progress.studies += 1
    await asyncio.gather(*running)


@asynccontextmanager
async def _opened(account: SharedKeyAccount | IdentityAccount) -> AsyncIterator[tuple[Client, Client]]:
    """Clients of the account; an emulated one is given what is missing, which a template creates in Azure."""
    if isinstance(account, SharedKeyAccount):
        from dicom_core.storage import provision

        await provision.create(account)
    blobs, tables = bootstrap.clients(account)
    try:
        yield blobs, tables
    finally:
        await asyncio.gather(blobs.close(), tables.close())


@asynccontextmanager
async def _shown(progress: Progress) -> AsyncIterator[None]:
    """Show how far it is, until it is over."""
    started = time.monotonic()
    display = Display(sys.stderr, lambda: progress.state(time.monotonic() - started))
    showing = asyncio.create_task(display.run())
    try:
        yield
    finally:
        showing.cancel()
        display.end()


def _environment() -> Mapping[str, str]:
    """The environment, over the app's local settings; not over a sample of them, which names no one's storage."""
    return {**local.application_settings(Path.cwd(), or_sample=False), **os.environ}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.rebuild",
        description=__doc__.partition("\n\n")[2].replace("\n", " "),
        epilog=_CODES,
    )
    add = parser.add_argument
    add("--partition", default="", metavar="P", help="only this partition; else all")
    add("--index-only", action="store_true", help="leave the record as it is, write the search rows anew")
    add("--no-index", action="store_true", help="leave the search rows to the service's sweep")
    add("--resume", default="", metavar="FILE", help="keep in a file how far it is, and go on from there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
