"""Rebuilds the record from the blobs alone, while the service serves.

Each blob that no row names is restored with its transaction, unless a decision says that it was removed, replaced or
refused. What is asked, and in which order, matters: the instance's row first, then the decisions of its study, then the
blob. A deletion in between is seen by one of them. Requests still on their way are left alone: their blobs are young.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from operator import attrgetter
from typing import TypeVar, cast

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.ports import Outcome, Transaction
from dicom_core.record import Instance
from dicom_core.representations import recording
from dicom_core.representations.instances import Header, InvalidInstance, Reader
from dicom_core.resources import Resource, is_uid
from dicom_core.storage import rows
from dicom_core.storage.blobs import Blob, Container, blob_name, bulky_name
from dicom_core.storage.restoring import DecidedMeanwhile, Restoration, batches
from dicom_core.storage.scan import read
from dicom_core.storage.table_service import Entity, Table, literal

SETTLED = 3600.0
"""Seconds after which no request that wrote a blob can still be at work."""

WINDOW = 5000
"""Blobs that are looked at together: a page of the list. Those of a study in it share the reads of its rows."""

TRANSACTIONS_AT_ONCE = 16
BLOBS_AT_ONCE = 16

_SLICE = rows.INSTANCES_AT_ONCE
T = TypeVar("T")

_NAME = re.compile(r"([^/\\#?]+)/[0-9a-f]{2}/([0-9A-HJKMNP-TV-Z]{26}-[0-9a-f]{4})\.dcm")


class Fate(StrEnum):
    """What may become of a blob; the text is its line of the summary."""

    RESTORED = "restored"
    THERE = "there already"
    SUPERSEDED = "superseded by a later version"
    DECIDED = "removed or refused before"
    YOUNG = "too young to be looked at"
    GONE = "deleted meanwhile"
    FOREIGN = "not named as this service names blobs"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one blob, and why if it cannot be read; a reason has tags, never values."""

    blob: Blob
    fate: Fate
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A blob, and what its name and its metadata tell."""

    blob: Blob
    version: str
    resource: Resource

    @property
    def key(self) -> str:
        """Row key of the instance."""
        return rows.span(self.resource)[0]


@dataclass(slots=True)
class _Study:
    """What the tables tell of a study: versions that stand, by row key; decided ones; decisions by transaction."""

    standing: Mapping[str, str]
    decided: set[str]
    decisions: Mapping[str, Entity]

    def is_decided(self, version: str) -> bool:
        """Say if a version was added, removed or refused before, or if all that its transaction has not added was."""
        own = self.decisions.get(versions.transaction_of(version))
        return version in self.decided or (own is not None and own["state"] != "open")


class Rebuild:
    """A rebuild of one account; `report` is told of every blob."""

    def __init__(
        self,
        studies: Table,
        pending: Table,
        blobs: Container,
        derived: Container,
        report: Callable[[Seen], None],
        settled: float = SETTLED,
    ) -> None:
        self._studies = studies
        self._pending = pending
        self._blobs = blobs
        self._derived = derived
        self._report = report
        self._settled = settled
        self._room = asyncio.Semaphore(TRANSACTIONS_AT_ONCE)
        self._blobs_room = asyncio.Semaphore(BLOBS_AT_ONCE)

    async def run(self, prefix: str = "", after: str = "") -> AsyncIterator[str]:
        """Restore blobs whose names begin so; yields, now and then, the name up to which everything is done.

        Raises
        ------
        StorageUnavailable
            Storage does not answer. What was done stays; another run goes on.
        """
        async for window in _windows(self._blobs.blobs(prefix, after)):
            await self._window(window)
            yield window[-1].name

    async def _window(self, window: Sequence[Blob]) -> None:
        young = time.time() - self._settled
        stored: list[_Stored] = []
        for _, group in groupby(window, key=_transaction_prefix):
            blobs = list(group)
            if any(blob.modified > young for blob in blobs):
                self._say(blobs, Fate.YOUNG)
            else:
                identified = await asyncio.gather(*map(self._identify, blobs))
                stored += [one for one in identified if one is not None]
        by_study: dict[tuple[str, str], list[_Stored]] = defaultdict(list)
        for one in stored:
            by_study[one.resource.partition, one.resource.study or ""].append(one)
        async with _together() as tasks:
            for (partition, study), of_study in by_study.items():
                tasks.create_task(self._restore_study(partition, study, of_study))

    async def _identify(self, blob: Blob) -> _Stored | None:
        """What a blob is of, by its metadata; by its bytes, if a copy has lost them."""
        name = _NAME.fullmatch(blob.name)
        if name is None or blob_name(name[1], name[2]) != blob.name:
            self._say([blob], Fate.FOREIGN)
            return None
        uids = [blob.metadata.get(level, "") for level in ("study", "series", "instance")]
        if not all(map(is_uid, uids)):
            header = await self._header(blob)
            if header is None:
                return None
            uids = [header.study, header.series, header.instance]
        study, series, instance = uids
        return _Stored(blob, name[2], Resource(study, series, instance, name[1]))

    async def _restore_study(self, partition: str, study: str, stored: Sequence[_Stored]) -> None:
        async with self._room:
            known = await self._known(partition, study, stored)
        async with _together() as tasks:
            for name, group in groupby(stored, key=lambda one: versions.transaction_of(one.version)):
                transaction = Transaction(name, study, partition)
                tasks.create_task(self._restore_transaction(transaction, list(group), known))

    async def _restore_transaction(
        self, transaction: Transaction, stored: Sequence[_Stored], known: _Study
    ) -> None:
        async with self._room:
            missing = [one for one in stored if await self._is_missing(one, known)]
            begun = known.decisions.get(transaction.name)
            if begun is None or begun["state"] == "open":
                restoration = Restoration(self._studies, self._pending, transaction, begun)
                await self._restore(restoration, missing, known)

    async def _known(self, partition: str, study: str, stored: Sequence[_Stored]) -> _Study:
        """Read the rows of some instances, then the decisions of their study."""
        key = rows.partition_key(partition, study)
        keys = sorted(one.key for one in stored)
        seen = await read(self._studies, key, (keys[0], keys[-1]), ("RowKey", "version"))
        decided: set[str] = set()
        decisions: dict[str, Entity] = {}
        condition = (
            f"PartitionKey eq {literal(key)} and ((RowKey ge {literal(rows.CHANGE)} and "
            f"RowKey lt {literal(rows.CHANGE + '~')}) or RowKey ge {literal(rows.DELETING)})"
        )
        columns = ("RowKey", "covered", *rows.DECISION_COLUMNS, *rows.DEAD_COLUMNS)
        async for page in self._studies.query(condition, columns, etag=True):
            for row in page:
                kind, _, name = row["RowKey"].partition("|")
                if kind == "change":
                    decided |= rows.decided(row)
                    decisions[name] = row
                else:
                    decided |= rows.dead(row)
        return _Study({row["RowKey"]: row["version"] for row in seen.rows}, decided, decisions)

    async def _is_missing(self, one: _Stored, known: _Study) -> bool:
        """Say if a blob has to be restored, or dropped for a later version; if not, report why."""
        if known.standing.get(one.key) == one.version:
            fate = Fate.THERE
        elif known.is_decided(one.version):
            fate = Fate.DECIDED
        elif not await self._blobs.exists(one.blob.name):
            fate = Fate.GONE
        else:
            return True
        self._say([one.blob], fate)
        return False

    async def _restore(self, restoration: Restoration, missing: Sequence[_Stored], known: _Study) -> None:
        """Restore what is missing of one transaction, and report it."""
        blobs = {one.version: one.blob for one in missing}
        try:
            await self._write(restoration, missing, known)
        except DecidedMeanwhile:
            decided = [blob for version, blob in blobs.items() if version not in restoration.outcomes]
            self._say(decided, Fate.DECIDED)
        for version, committed in restoration.outcomes.items():
            fate = Fate.RESTORED if committed.outcome is Outcome.STORED else Fate.SUPERSEDED
            self._say([blobs[version]], fate)

    async def _write(self, restoration: Restoration, missing: Sequence[_Stored], known: _Study) -> None:
        """Write batches, the latest versions first; where one cannot be read, an earlier one takes its place."""
        wanted: list[_Stored] = []
        for one in sorted(missing, key=attrgetter("version"), reverse=True):
            if known.standing.get(one.key, "") > one.version:
                restoration.drop(one.version)
            else:
                wanted.append(one)
        met: set[str] = set()
        held: list[Instance] = []
        for start in range(0, len(wanted), _SLICE):
            found = await asyncio.gather(*map(self._row, wanted[start : start + _SLICE]))
            for batch in batches(_unrepeated(filter(None, found), met, restoration)):
                if held:
                    await self._write_batch(restoration, held, "open")
                held = batch
        if held or restoration.is_due:
            await self._write_batch(restoration, held, "done")

    async def _write_batch(self, restoration: Restoration, batch: Sequence[Instance], state: str) -> None:
        for instance in filter(rows.is_spilled, batch):
            name = bulky_name(instance.partition, instance.version)
            # One that is there was written by another release, perhaps, and has other lengths than the row will say.
            await self._derived.delete(name)
            await self._derived.put(name, rows.bulky(instance))
        await restoration.write(batch, state)

    async def _row(self, one: _Stored) -> Instance | None:
        """Read the bytes of an instance as a Store does; None if they are gone or no instance."""

        async def read_all(content: AsyncIterator[bytes]) -> Instance:
            reader, digest, length = Reader(), hashlib.sha256(), 0
            async for chunk in content:
                length += len(chunk)
                digest.update(chunk)
                reader.feed(chunk)
            layout = reader.finish()
            _check(layout.header)
            row = recording.row(
                layout,
                partition=one.resource.partition,
                version=one.version,
                length=length,
                digest=digest.hexdigest(),
            )
            if row.resource != one.resource:
                raise InvalidInstance("its UIDs differ from those of its metadata")
            return row

        return await self._opened(one.blob, read_all)

    async def _header(self, blob: Blob) -> Header | None:
        """Read the beginning of an instance; None if it is gone or no instance."""

        async def read_header(content: AsyncIterator[bytes]) -> Header:
            reader = Reader()
            async for chunk in content:
                reader.feed(chunk)
                if reader.header is not None:
                    break
            header = reader.header or reader.finish().header
            _check(header)
            return header

        return await self._opened(blob, read_header)

    async def _opened(self, blob: Blob, read: Callable[[AsyncIterator[bytes]], Awaitable[T]]) -> T | None:
        """Read the bytes of a blob; None, once that is reported, if it is gone or no instance."""
        try:
            async with self._blobs_room:
                stream = await self._blobs.get(blob.name, 0, None, _Gone())
                async with aclosing(cast(AsyncGenerator[bytes, None], stream)) as content:
                    return await read(content)
        except _Gone:
            self._say([blob], Fate.GONE)
        except InvalidInstance as error:
            self._say([blob], Fate.UNREADABLE, str(error))
        return None

    def _say(self, blobs: Iterable[Blob], fate: Fate, reason: str = "") -> None:
        for blob in blobs:
            self._report(Seen(blob, fate, reason))


class _Gone(Exception):
    """There is no such blob any more."""


@asynccontextmanager
async def _together() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks of which the first failure of storage is raised as it is."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except* StorageUnavailable as errors:
        raise errors.exceptions[0] from None


async def _windows(blobs: AsyncIterator[Blob]) -> AsyncIterator[list[Blob]]:
    """Cut a list into windows; the blobs of a transaction stay together."""
    window: list[Blob] = []
    async for blob in blobs:
        if len(window) >= WINDOW and _transaction_prefix(blob) != _transaction_prefix(window[-1]):
            yield window
            window = []
        window.append(blob)
    if window:
        yield window


def _transaction_prefix(blob: Blob) -> str:
    """What the names of a transaction's blobs begin with."""
    return blob.name.rpartition("-")[0]


def _unrepeated(latest_first: Iterable[Instance], met: set[str], restoration: Restoration) -> list[Instance]:
    """Of several versions of an instance in one transaction, the latest; the others are dropped."""
    taken: list[Instance] = []
    for instance in latest_first:
        key = rows.instance_key(instance)
        if key in met:
            restoration.drop(instance.version)
        else:
            met.add(key)
            taken.append(instance)
    return taken


def _check(header: Header) -> None:
    """Refuse what a Store refuses.

    Raises
    ------
    InvalidInstance
        An identifier is missing, or is no UID.
    """
    identity = {
        "(0020,000D) StudyInstanceUID": header.study,
        "(0020,000E) SeriesInstanceUID": header.series,
        "(0008,0018) SOPInstanceUID": header.instance,
        "(0008,0016) SOPClassUID": header.sop_class,
    }
    if header.transfer_syntax:
        identity["(0002,0010) TransferSyntaxUID"] = header.transfer_syntax
    for name, value in identity.items():
        if not is_uid(value):
            raise InvalidInstance(f"{name} is missing or is not a UID")
