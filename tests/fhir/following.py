"""A service in memory that a FHIR server follows, and what the server should have then."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydicom.dataset import Dataset

from dicom_core.delivery import running
from dicom_core.fhir import elements, mapping, telling
from dicom_core.fhir.client import Client
from dicom_core.fhir.mapping import Options
from dicom_core.fhir.synchronizing import Synchronizer
from dicom_core.ports import Stores
from dicom_core.record import Columns
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.resources import Resource as Target
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import delete, store
from dicom_core.tasks import Load, Task
from tests import instances, storage
from tests.dicomweb import Stored
from tests.fhir.client import Fhir, Resource, body_of, number, path_of

KINDS = ("Patient", "Endpoint", "ImagingStudy", "Observation")
DOSE_REPORT = "1.2.840.10008.5.1.4.1.1.88.67"
NAME = "fhir"
_RUNS = 60


def _stores() -> Stores:
    index = MemoryIndex()
    return Stores(
        MemoryStore(),
        index,
        MemoryDropZone(),
        MemoryRenditions(),
        MemoryFeed(index),
        MemoryDeliveries((NAME,)),
    )


@dataclass
class Following:
    """The service, its subscriber, and a clock that tests put forward."""

    client: Client
    base_url: str
    stores: Stores = field(default_factory=_stores)
    ahead: timedelta = timedelta()

    def __post_init__(self) -> None:
        """Make the subscriber."""
        self.subscriber = Synchronizer(self.client, self.base_url)
        self.options = Options(self.base_url)

    def now(self) -> datetime:
        """The time by the clock of the test."""
        return datetime.now(UTC) + self.ahead

    async def store(self, *stored: Stored, replace: bool = False) -> None:
        """Store instances; PUT replaces."""
        asked = storage.store_request([one.content for one in stored], DEFAULT_PARTITION)
        status, body = await storage.answer(store.upsert if replace else store.store, asked, self.stores)
        assert status in (200, 202, 409), body

    async def delete(self, study: str, series: str | None = None, instance: str | None = None) -> None:
        """Delete what is there."""
        await storage.answer(
            delete.delete, storage.request(DEFAULT_PARTITION, study, series, instance), self.stores
        )

    async def run(self) -> None:
        """One run of the delivery, after every settling time and delay."""
        self.ahead += timedelta(hours=2)
        latest = await self.stores.feed.latest()
        run = running.Run(self.subscriber, self.stores, self.now() + timedelta(hours=1), self.now)
        await run.carry_out(latest.sequence if latest else 0)

    async def settle(self) -> Load:
        """Runs until nothing waits any more; what is left has failed."""
        for _ in range(_RUNS):
            await self.run()
            load = await self.stores.deliveries.load(NAME)
            if not load.waiting:
                return load
        raise AssertionError("the delivery does not come to an end")

    async def deliver(self, study: str) -> None:
        """One delivery of a study, as if the feed had told of it."""
        await self.subscriber.deliver(self.task(study), self.stores)

    def task(self, study: str) -> Task:
        """A task of a study."""
        return Task(DEFAULT_PARTITION, study, 1, 1, self.now(), self.now())

    async def studies(self) -> list[str]:
        """Every study that the feed tells of, in its order, once for each change."""
        changes = await self.stores.feed.after(0, 1_000_000)
        return [change.resource.study or "" for change in changes]

    async def expected(self) -> dict[str, Resource]:
        """What the mapping makes of the record, by the types and identifiers of the resources."""
        found: dict[str, Resource] = {}
        for study in dict.fromkeys(await self.studies()):
            target = Target(study, partition=DEFAULT_PARTITION)
            rows = await self.stores.index.records(target, Columns.ATTRIBUTES | Columns.HEADER)
            if not rows:
                continue
            desired = mapping.resources(rows, rows, self.options)
            names = {entry.full_url: f"{entry.type}|{entry.identifier}" for entry in desired.entries}
            for entry in desired.entries:
                found[names[entry.full_url]] = _named(entry.resource, names)
            patient = desired.patient.resource
            told = await telling.told(self.stores.index, DEFAULT_PARTITION, patient, self.options)
            assert told is not None
            found[names[desired.patient.full_url]] = told
        return found


@asynccontextmanager
async def following(url: str, base_url: str = "") -> AsyncIterator[Following]:
    """A service that the server at a URL follows, with a base URL of its own unless one is given."""
    client = Client(url)
    try:
        yield Following(client, base_url or f"https://{number()}.example.org/v2")
    finally:
        await client.close()


def kept(fhir: Fhir, source: str) -> dict[str, Resource]:
    """What a server has from a source, by types and identifiers; references are by them, too."""
    resources = [one for kind in KINDS for one in _all(fhir, kind)]
    ours = [one for one in resources if one.get("meta", {}).get("source") == source]
    names = {
        path_of(one): f"{one['resourceType']}|{elements.token(one['identifier'][0])}"
        for one in resources
        if "identifier" in one
    }
    assert len({names[path_of(one)] for one in ours}) == len(ours), "two resources have one identifier"
    return {names[path_of(one)]: _named(_plain(one), names) for one in ours}


def of_kind(resources: dict[str, Resource], kind: str) -> list[Resource]:
    """The resources of a type."""
    return [one for one in resources.values() if one["resourceType"] == kind]


def without_patients(resources: dict[str, Resource]) -> dict[str, Resource]:
    """The resources but for Patients and Endpoints, which stay when nothing refers to them any more."""
    return {
        name: one for name, one in resources.items() if one["resourceType"] not in ("Patient", "Endpoint")
    }


def versions(fhir: Fhir, source: str) -> dict[str, str]:
    """The version of each resource that a server has from a source."""
    found = (one for kind in KINDS for one in _all(fhir, kind))
    return {path_of(one): one["meta"]["versionId"] for one in found if one["meta"].get("source") == source}


def dose_report(study: str, series: str = "", instance: str = "", events: int = 2, **changed: Any) -> Stored:
    """A CT dose report with a summary and irradiation events."""
    study, series, instance = study or instances.uid(), series or instances.uid(), instance or instances.uid()
    total = _container(
        "113811", "CT Accumulated Dose Data", [_number("113813", "CT Dose Length Product Total", 512)]
    )
    acquisitions = [
        _container(
            "113819",
            "CT Acquisition",
            [
                _uid("113769", "Irradiation Event UID", f"1.2.{place}.9{instance[-20:].replace('.', '')}"),
                _number("113838", "DLP", 250 + place),
            ],
        )
        for place in range(1, events + 1)
    ]
    content = instances.file(
        study,
        series,
        instance,
        **{
            "SOPClassUID": DOSE_REPORT,
            "Modality": "SR",
            "ValueType": "CONTAINER",
            "ConceptNameCodeSequence": [_code("113701", "X-Ray Radiation Dose Report")],
            "ContentSequence": [total, *acquisitions],
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "UNVERIFIED",
            **dict.fromkeys(
                ("PixelData", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation"), None
            ),
            **dict.fromkeys(("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"), None),
            **changed,
        },
    )
    return Stored(study, series, instance, content)


def _all(fhir: Fhir, kind: str) -> Iterator[Resource]:
    page = fhir.search(f"{kind}?_count=500")
    while True:
        yield from (one["resource"] for one in page.get("entry", ()))
        following_page = [one["url"] for one in page["link"] if one["relation"] == "next"]
        if not following_page:
            return
        page = body_of(fhir.session.get(following_page[0], timeout=60))


def _plain(resource: Resource) -> Resource:
    """A resource without what the server adds."""
    meta = {key: value for key, value in resource["meta"].items() if key not in ("versionId", "lastUpdated")}
    return {key: value for key, value in resource.items() if key != "id"} | {"meta": meta}


def _named(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(one, one) if key == "reference" else _named(one, names)
            for key, one in value.items()
        }
    return [_named(one, names) for one in value] if isinstance(value, list) else value


def _code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _content(kind: str, value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.RelationshipType, item.ValueType = "CONTAINS", kind
    item.ConceptNameCodeSequence = [_code(value, meaning)]
    return item


def _container(value: str, meaning: str, items: Sequence[Dataset]) -> Dataset:
    item = _content("CONTAINER", value, meaning)
    item.ContinuityOfContent, item.ContentSequence = "SEPARATE", list(items)
    return item


def _number(value: str, meaning: str, number: int) -> Dataset:
    item, measured = _content("NUM", value, meaning), Dataset()
    measured.NumericValue = str(number)
    measured.MeasurementUnitsCodeSequence = [_code("mGy.cm", "mGy.cm", "UCUM")]
    item.MeasuredValueSequence = [measured]
    return item


def _uid(value: str, meaning: str, uid: str) -> Dataset:
    item = _content("UIDREF", value, meaning)
    item.UID = uid
    return item
