"""Store transaction (PS3.18 10.5), also known as STOW-RS; by POST as the standard has it, by PUT as an upsert.

The body is decoded as it arrives. Each part is written to storage by a task of its own as soon as it is complete;
nothing of the request is visible before all of it has been written, and then the instances of a study become visible,
as many at once as one transaction of the index takes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from dicom_core import attributes, versions
from dicom_core.errors import (
    BadRequest,
    NotAcceptable,
    PayloadTooLarge,
    TransactionError,
    UnsupportedMediaType,
)
from dicom_core.ports import Committed, InstanceStore, Outcome, Stores, Transaction
from dicom_core.record import Dataset, Instance
from dicom_core.representations.instances import IMPLICIT_LITTLE, Header, InvalidInstance, Layout
from dicom_core.resources import Level, Resource, is_uid
from dicom_core.studies import store_response
from dicom_core.studies.receiving import Part
from dicom_core.studies.store_response import FailureReason, Result, WarningReason
from dicom_core.web import media_types, multipart
from dicom_core.web.media_types import Category
from dicom_core.web.messages import Request, Response

PARTS_AT_ONCE = 8
"""Parts of one request that are written to storage at the same time."""


async def store(request: Request, stores: Stores) -> Response:
    """Store instances; what stands under the same UIDs stays."""
    return await _store(request, stores, upsert=False)


async def upsert(request: Request, stores: Stores) -> Response:
    """Store instances; what stands under the same UIDs is replaced."""
    return await _store(request, stores, upsert=True)


async def _store(request: Request, stores: Stores, *, upsert: bool) -> Response:
    arrivals = _Arrivals(request, stores, upsert)
    try:
        async with asyncio.TaskGroup() as tasks:
            async for event in _events(request):
                await arrivals.take(event, tasks)
    except* TransactionError as errors:
        raise errors.exceptions[0] from None
    finally:
        arrivals.release()
    committed: dict[str, Committed] = {}
    studies = arrivals.by_study()
    commits = [_commit(stores, transaction, instances, upsert) for transaction, instances in studies]
    for outcomes in await asyncio.gather(*commits):
        committed |= outcomes
    results = [_result(arrival, committed) for arrival in arrivals.all]
    return store_response.respond(request, results, _content_type(request))


def _content_type(request: Request) -> str:
    """What the answer is given as: JSON even to those that ask for something else, lest they store again and again."""
    try:
        return media_types.negotiate(request, Category.METADATA, single=True).select().content_type
    except NotAcceptable:
        return media_types.DICOM_JSON


async def _events(request: Request) -> AsyncIterator[multipart.Event]:
    """Decode the body; a single part is as a multipart of one."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.strip().lower() != "identity":
        raise UnsupportedMediaType(
            "Content-Encoding: the payload of a Store is taken as it is, not compressed"
        )
    content = media_types.store_content(request.headers.get("content-type"))
    if content.boundary is None:
        number = 0
        async for chunk in request.body:
            if chunk and not number:
                number = 1
                yield multipart.Begin(number, {})
            if chunk:
                yield multipart.Data(chunk)
        if not number:
            raise BadRequest("the body is empty")
        yield multipart.End()
        return
    decoder = multipart.Decoder(content.boundary)
    async for chunk in request.body:
        for event in decoder.feed(chunk):
            yield event
    for event in decoder.finish():
        yield event


@dataclass(slots=True)
class _Arrival:
    """What is kept of one part until the request is answered: little, since there may be thousands."""

    sop_class: str = ""
    instance: str = ""
    failure: FailureReason | None = None
    comments: tuple[str, ...] = ()
    is_implicit: bool = False
    row: Instance | None = None


@dataclass(slots=True)
class _Journalled:
    """The transaction of one study, and the writing of its journal row."""

    transaction: Transaction
    attributes: Mapping[Level, Dataset] | None
    begun: asyncio.Task[None]


class _Arrivals:
    """The parts of one request as they arrive."""

    def __init__(self, request: Request, stores: Stores, upsert: bool) -> None:
        self.all: list[_Arrival] = []
        self._request = request
        self._stores = stores
        self._upsert = upsert
        self._studies: dict[str, _Journalled] = {}
        self._parts: set[Part] = set()
        self._part: Part | None = None
        self._identified: Header | None = None
        self._room = asyncio.Semaphore(PARTS_AT_ONCE)

    async def take(self, event: multipart.Event, tasks: asyncio.TaskGroup) -> None:
        """Take the next event of the body."""
        match event:
            case multipart.Begin(number, headers):
                self._begin(number, headers)
            case multipart.Data(content):
                await self._data(content, tasks)
            case multipart.End():
                await self._end(tasks)

    def release(self) -> None:
        """Let go of every byte that is still kept."""
        for part in self._parts:
            part.release()

    def by_study(self) -> list[tuple[Transaction, list[Instance]]]:
        """What was written, by transaction."""
        written: dict[str, list[Instance]] = {}
        for arrival in self.all:
            if arrival.row is not None:
                written.setdefault(arrival.row.study, []).append(arrival.row)
        return [(self._studies[study].transaction, instances) for study, instances in written.items()]

    def _begin(self, number: int, headers: Mapping[str, str]) -> None:
        if not media_types.part_is_dicom(headers):
            raise UnsupportedMediaType(f"part {number}: its Content-Type is not application/dicom")
        if number > versions.MAX_PARTS:
            raise PayloadTooLarge(
                f"the payload has more than {versions.MAX_PARTS} parts, the most of one request"
            )
        self.all.append(_Arrival())
        self._part = Part(number - 1, self._stores.instances)
        self._identified = None
        self._parts.add(self._part)

    async def _data(self, content: bytes, tasks: asyncio.TaskGroup) -> None:
        part = self._part
        if part is None:
            return
        try:
            part.feed(content)
            if not part.version and part.header is not None:
                self._identify(part, part.header, tasks)
            await part.relieve()
        except InvalidInstance as error:
            self._fail(FailureReason.PROCESSING_FAILURE, str(error))

    async def _end(self, tasks: asyncio.TaskGroup) -> None:
        part = self._part
        if part is None:
            return
        try:
            layout = part.finish()
            if self._identified is not layout.header:
                self._identify(part, layout.header, tasks)
        except InvalidInstance as error:
            self._fail(FailureReason.PROCESSING_FAILURE, str(error))
        if self._part is not None:
            self._part = None
            await self._room.acquire()
            tasks.create_task(self._write(part, layout, self.all[part.number]))

    def _identify(self, part: Part, header: Header, tasks: asyncio.TaskGroup) -> None:
        """Check a header as soon as it is known, name the version, and journal the transaction of its study.

        A part that is too large to be kept is named by the beginning of its header, and looked at again at its end.
        """
        self._identified = header
        arrival = self.all[part.number]
        arrival.sop_class, arrival.instance = header.sop_class, header.instance
        resource = Resource(header.study, header.series, header.instance, self._request.resource.partition)
        refusal = _refusal(self._request, header)
        if refusal is None and part.version and part.resource != resource:
            refusal = FailureReason.INVALID_ATTRIBUTES, "its UIDs come twice, and differ"
        if refusal is not None:
            self._fail(*refusal)
            return
        transaction = self._journal(header, tasks)
        if not part.version:
            part.store_as(resource, versions.version_of(transaction.name, part.number))

    def _journal(self, header: Header, tasks: asyncio.TaskGroup) -> Transaction:
        """The transaction of a study; its journal row must cover what each part may make the study match."""
        # What a PUT replaces may have given the study any value, which then reverts.
        hint = None if self._upsert else attributes.hint(header.dataset)
        known = self._studies.get(header.study)
        if known is None:
            name = versions.new_transaction()
            transaction = Transaction(name, header.study, self._request.resource.partition)
            begun = tasks.create_task(self._stores.index.begin(transaction, hint))
            self._studies[header.study] = _Journalled(transaction, hint, begun)
            return transaction
        if known.attributes is not None and known.attributes != hint:
            known.attributes = None
            known.begun = tasks.create_task(self._widen(known.begun, known.transaction))
        return known.transaction

    async def _widen(self, before: asyncio.Task[None], transaction: Transaction) -> None:
        await before
        await self._stores.index.begin(transaction, None)

    async def _write(self, part: Part, layout: Layout, arrival: _Arrival) -> None:
        """Write a complete part; not before its transaction is journalled, lest its blob be an orphan unseen."""
        try:
            await self._studies[layout.header.study].begun
            await part.write()
            arrival.row = part.instance(layout)
            arrival.comments = _comments(self._request, layout.header)
            arrival.is_implicit = layout.header.transfer_syntax == IMPLICIT_LITTLE
        finally:
            self._parts.discard(part)
            part.release()
            self._room.release()

    def _fail(self, reason: FailureReason, *comments: str) -> None:
        """Note that the current part cannot be stored; the rest of its bytes are passed over."""
        assert self._part is not None
        arrival = self.all[self._part.number]
        arrival.failure, arrival.comments = reason, comments
        self._parts.discard(self._part)
        self._part.release()
        self._part = None


def _refusal(request: Request, header: Header) -> tuple[FailureReason, str] | None:
    """Why an instance cannot be stored, by its header."""
    identity = {
        "(0020,000D) StudyInstanceUID": header.study,
        "(0020,000E) SeriesInstanceUID": header.series,
        "(0008,0018) SOPInstanceUID": header.instance,
        "(0008,0016) SOPClassUID": header.sop_class,
    }
    for name, value in identity.items():
        if not value:
            return FailureReason.INVALID_ATTRIBUTES, f"{name} is missing or empty"
        if not is_uid(value):
            return FailureReason.INVALID_ATTRIBUTES, f"{name} is not a UID"
    if header.transfer_syntax and not is_uid(header.transfer_syntax):
        return FailureReason.INVALID_ATTRIBUTES, "(0002,0010) TransferSyntaxUID is not a UID"
    if request.resource.study not in (None, header.study):
        return FailureReason.STUDY_MISMATCH, "(0020,000D) StudyInstanceUID differs from the study in the path"
    if request.version == 1:
        return _refusal_of_version_1(header)
    return None


def _refusal_of_version_1(header: Header) -> tuple[FailureReason, str] | None:
    """The first version of the service refuses what it could not index."""
    if not header.dataset.get("00100020", {}).get("Value"):
        return FailureReason.INVALID_ATTRIBUTES, "(0010,0020) PatientID is missing or empty"
    for problem in header.problems:
        if problem.tag in attributes.INDEXED_BY_VERSION_1:
            return FailureReason.INVALID_ATTRIBUTES, str(problem)
    return None


async def _commit(
    stores: Stores, transaction: Transaction, instances: Sequence[Instance], upsert: bool
) -> Mapping[str, Committed]:
    """Make a study's instances visible, each UID once; the outcome by version."""
    chosen, repeated = _unrepeated(instances, upsert)
    outcomes = dict(await stores.index.commit(transaction, chosen, upsert=upsert, dropped=tuple(repeated)))
    again = [instance for instance in chosen if outcomes[instance.version].outcome is Outcome.OVERTAKEN]
    if again:
        standing = max(outcomes[instance.version].standing or "" for instance in again)
        outcomes |= await _overtake(stores, transaction, again, versions.transaction_of(standing))
    return outcomes | {version: _as_the_first(outcomes, of) for version, of in repeated.items()}


def _as_the_first(outcomes: Mapping[str, Committed], repeated: Committed) -> Committed:
    """A repeated instance whose bytes are those of a refused one is not stored either."""
    first = outcomes[repeated.standing or ""]
    return first if (repeated.outcome, first.outcome) == (Outcome.IDENTICAL, Outcome.DIFFERENT) else repeated


def _unrepeated(instances: Iterable[Instance], upsert: bool) -> tuple[list[Instance], dict[str, Committed]]:
    """Of several instances with the same UIDs in one request: a POST takes the first, a PUT the last."""
    chosen: dict[tuple[str, str], Instance] = {}
    repeated: dict[str, Committed] = {}
    for instance in instances:
        key = (instance.series, instance.instance)
        first = chosen.get(key)
        if first is None:
            chosen[key] = instance
        elif upsert:
            repeated[first.version] = Committed(Outcome.STORED, instance.version)
            chosen[key] = instance
        else:
            same = first.digest == instance.digest
            outcome = Outcome.IDENTICAL if same else Outcome.DIFFERENT
            repeated[instance.version] = Committed(outcome, first.version)
    return list(chosen.values()), repeated


async def _overtake(
    stores: Stores, transaction: Transaction, instances: Sequence[Instance], standing: str
) -> dict[str, Committed]:
    """Store again, under names later than those that stand: the latest version must be the latest store."""
    later = replace(transaction, name=versions.transaction_after(standing))
    await stores.index.begin(later, None)
    named = {instance.version: versions.version_of(later.name, at) for at, instance in enumerate(instances)}
    await asyncio.gather(
        *(_copy(stores.instances, instance, named[instance.version]) for instance in instances)
    )
    again = [replace(instance, version=named[instance.version]) for instance in instances]
    outcomes = await _commit(stores, later, again, upsert=True)
    return {version: outcomes[name] for version, name in named.items()}


async def _copy(store: InstanceStore, instance: Instance, version: str) -> None:
    await store.copy(instance.resource, instance.version, version)


def _result(arrival: _Arrival, committed: Mapping[str, Committed]) -> Result:
    """The answer for one part."""
    uids = arrival.sop_class, arrival.instance
    if arrival.row is None:
        return Result(*uids, failure=arrival.failure, comments=arrival.comments)
    outcome = committed[arrival.row.version].outcome
    if outcome is Outcome.DIFFERENT:
        comment = "other bytes are stored under the same UIDs"
        return Result(*uids, arrival.row.resource, FailureReason.ALREADY_STORED, comments=(comment,))
    if outcome is Outcome.IDENTICAL:
        warning: WarningReason | None = WarningReason.ALREADY_STORED
    elif arrival.comments:
        warning = WarningReason.INVALID_ATTRIBUTES
    else:
        warning = WarningReason.IMPLICIT_VR if arrival.is_implicit else None
    return Result(*uids, arrival.row.resource, None, warning, arrival.comments)


def _comments(request: Request, header: Header) -> tuple[str, ...]:
    """What is wrong with the attributes of an instance that was stored all the same; version 1 does not look."""
    if request.version == 1:
        return ()
    comments = tuple(map(str, header.problems))
    if not header.dataset.get("00100020", {}).get("Value"):
        comments += ("(0010,0020) - PatientID is missing or empty",)
    return comments
