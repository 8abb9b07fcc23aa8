"""Keeps a FHIR server (R4) as the record is: a subscriber of the change feed that delivers states, not changes.

A delivery reads the study's record, asks the server what it has, sees that the record is still the same, and writes
what differs in one transaction. So whoever writes knows the record from after its look at the server, and what it
replaces has not been replaced since: of two workers the one with the older record cannot win, and to deliver again
writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from azure.core.credentials_async import AsyncTokenCredential

from dicom_core import record
from dicom_core.delivery.subscribing import Failed, Refused
from dicom_core.fhir import bundles, mapping, merging
from dicom_core.fhir.bundles import BundleEntry, Found
from dicom_core.fhir.client import Client, Conflict
from dicom_core.fhir.credentials import Bearer, ClientCredentials, Identity
from dicom_core.fhir.elements import Element
from dicom_core.fhir.mapping import Desired, Options, Unmappable
from dicom_core.fhir.telling import told
from dicom_core.ports import Stores, StudyIndex
from dicom_core.record import Columns, Instance
from dicom_core.resources import DEFAULT_PARTITION, Resource
from dicom_core.storage.rest import Kind, tally
from dicom_core.subscriptions import FHIR, FhirServer
from dicom_core.tasks import Task

ATTEMPTS = 6
"""How often a delivery begins anew because something was changed meanwhile."""

_AT_ONCE = 8
_SETTLE = 5.0
_PAUSE = 0.05
_LOOKS = 3
_DONE = frozenset({200, 201, 202, 204})

log = logging.getLogger("dicom")


def subscriber(
    server: FhirServer, credential: Callable[[], AsyncTokenCredential], base_url: str
) -> Synchronizer:
    """Make the subscriber that the settings ask for; `base_url` is what URLs of the default partition begin with."""
    bearer = None
    if server.authentication == "identity":
        bearer = Bearer(Identity(credential(), server.scope or f"{server.url}/.default"))
    elif server.authentication == "client-credentials":
        issuer = ClientCredentials(server.token_url, server.client_id, server.client_secret, server.scope)
        bearer = Bearer(issuer)
    return Synchronizer(Client(server.url, bearer), base_url, server.patient_system)


class Synchronizer:
    """The subscriber."""

    name = FHIR
    settle = _SETTLE
    from_beginning = True

    def __init__(self, client: Client, base_url: str, patient_system: str = "") -> None:
        self._client = client
        self._base_url = base_url
        self._patient_system = patient_system

    async def deliver(self, task: Task, stores: Stores) -> None:
        """Have the server know of a study what the record knows.

        Raises
        ------
        Unavailable, Failed, Refused
            As they say.
        """
        begun = time.perf_counter()
        counts: Counter[Kind] = Counter()
        tally.set(counts)
        study = Resource(task.study, partition=task.partition)
        delivery = _Delivery(self._client, stores.index, study, self._options(task.partition))
        try:
            await delivery.carry_out()
        except Unmappable as error:
            raise Refused(str(error)) from None
        finally:
            log.info(
                "fhir.deliver study=%s entries=%d ms=%.1f fhir=%d%s",
                task.study,
                delivery.written,
                (time.perf_counter() - begun) * 1000,
                delivery.requests,
                "".join(f" {kind}={count}" for kind, count in sorted(counts.items())),
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    def _options(self, partition: str) -> Options:
        root = self._base_url
        if partition != DEFAULT_PARTITION:
            root += f"/partitions/{partition}"
        return Options(root, self._patient_system)


@dataclass(frozen=True, slots=True)
class _State:
    """What the record knows of a study; nothing is desired of one that is not there any more."""

    version: str
    desired: Desired | None

    @property
    def patient(self) -> str | None:
        """What the Patient is looked for by."""
        return None if self.desired is None else self.desired.patient.identifier


class _Delivery:
    """One delivery of one study."""

    def __init__(self, client: Client, index: StudyIndex, study: Resource, options: Options) -> None:
        self._client = client
        self._index = index
        self._study = study
        self._options = options
        self._source = options.base_url
        self._in_the_way: Element | None = None
        self._passed_over: list[BundleEntry] = []
        self._looks = 0
        self.written = 0
        self.requests = 0

    async def carry_out(self) -> None:
        """Look and write until nothing is left to write."""
        attempts = 0
        while True:
            try:
                if await self._is_done():
                    return
            except Conflict:
                attempts += 1
                if attempts == ATTEMPTS:
                    raise
                await asyncio.sleep(_PAUSE * 2**attempts * random.uniform(0.5, 1.0))

    async def _is_done(self) -> bool:
        """Look, and write what differs, as much as one transaction takes."""
        state = await self._read()
        found = await self._find(state)
        if await self._version() != state.version:
            former, state = state, await self._read()
            if state.patient != former.patient:
                raise Conflict("the patient of the study is changed again and again")
        entries = await self._entries(state.desired, found)
        if not entries:
            return True
        now, later = entries[: bundles.MOST_ENTRIES], entries[bundles.MOST_ENTRIES :]
        try:
            await self._write(now)
        except Conflict:
            self._in_the_way = found.study
            raise
        # A Patient is made of several studies, of which another may have changed meanwhile.
        if later or any(_is_update_of(entry, "Patient") for entry in now):
            self._looks = self._looks or len(entries) // bundles.MOST_ENTRIES + _LOOKS
            self._looks -= 1  # a server that keeps something else than what was written is not asked for ever
            return self._looks == 0
        # What was created or deleted had no version that another could have replaced.
        return all(map(_is_guarded, now)) or await self._version() == state.version

    async def _version(self) -> str:
        rows = await self._index.records(self._study, Columns.NONE)
        return record.version(rows) if rows else ""

    async def _read(self) -> _State:
        """The state of the study now."""
        rows = await self._index.records(self._study, Columns.ATTRIBUTES)
        return _State(record.version(rows), await self._map(rows)) if rows else _State("", None)

    async def _map(self, rows: Sequence[Instance]) -> Desired:
        limit = asyncio.Semaphore(_AT_ONCE)

        async def header(resource: Resource) -> list[Instance]:
            async with limit:
                return await self._index.records(resource, Columns.HEADER)

        read = await asyncio.gather(*map(header, mapping.wanted(rows)))
        return mapping.resources(rows, (row for one in read for row in one), self._options)

    async def _find(self, state: _State) -> Found:
        assert self._study.study is not None
        queries = bundles.queries(
            mapping.study_identifier(self._study.study),
            mapping.endpoint_identifier(self._options),
            state.patient,
        )
        self.requests += 1
        return bundles.found(await self._client.search(queries), self._source, self._client.base)

    async def _entries(self, desired: Desired | None, found: Found) -> list[BundleEntry]:
        if desired is None:
            is_kept = self._in_the_way is not None and found.study == self._in_the_way
            entries = (bundles.withdraw if is_kept else bundles.remove)(found, self._source)
        else:
            entries = bundles.write(await self._believed(desired, found), found, self._source)
        if (former := bundles.former(found, desired, self._source)) is not None:
            entries += await self._corrected(former)
        return entries

    async def _believed(self, desired: Desired, found: Found) -> Desired:
        """The same with the Patient that all studies tell of, where this one and the server disagree."""
        patient, there = desired.patient, found.patient
        if there is None or not merging.differs(
            merging.patient(patient.resource, there, self._source), there
        ):
            return desired
        known = await told(self._index, self._study.partition, patient.resource, self._options)
        return desired if known is None else replace(desired, patient=replace(patient, resource=known))

    async def _corrected(self, former: Element) -> list[BundleEntry]:
        """A Patient who has lost the study, as their other studies tell of them."""
        known = await told(self._index, self._study.partition, former, self._options)
        if known is None:
            return []
        merged = merging.patient(known, former, self._source)
        return [bundles.replaced(merged)] if merging.differs(merged, former) else []

    async def _write(self, entries: Sequence[BundleEntry]) -> None:
        """Carry out the entries.

        Raises
        ------
        Conflict
            Another was faster.
        """
        self.requests += 1
        statuses = await self._client.transact(entries)
        if not _DONE.issuperset(statuses):
            raise Failed(f"a transaction succeeded with the statuses {sorted({*statuses} - _DONE)}")
        self.written += len(entries)
        others = [
            entry
            for entry, status in zip(entries, statuses, strict=True)
            if entry["request"]["method"] == "POST" and status == 200
        ]
        # An Observation that was not found among those of the study, twice, is another service's.
        if others and not (others == self._passed_over and all(_is_observation(one) for one in others)):
            self._passed_over = others
            raise Conflict("what is not found on the FHIR server is said to be there")


def _is_update_of(entry: BundleEntry, kind: str) -> bool:
    request = entry["request"]
    return bool(request["method"] == "PUT" and request["url"].startswith(f"{kind}/"))


def _is_guarded(entry: BundleEntry) -> bool:
    return bool(entry["request"]["method"] == "PUT") or "ImagingStudy" not in entry["request"]["url"]


def _is_observation(entry: BundleEntry) -> bool:
    return bool(entry["request"]["url"] == "Observation")
