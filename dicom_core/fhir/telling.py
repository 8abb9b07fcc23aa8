"""What the record tells of a patient: their studies need not agree, and the one that was stored last is believed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from dicom_core import attributes, values
from dicom_core.fhir import elements, mapping, merging
from dicom_core.fhir.elements import Element
from dicom_core.fhir.mapping import Options, Unmappable
from dicom_core.ports import StudyIndex
from dicom_core.query import Match, Query, SingleValue
from dicom_core.record import Columns
from dicom_core.resources import Level, Resource

_PAGE = 100
_AT_ONCE = 8
_PATIENT_ID = next(row for row in attributes.TABLE if row.keyword == "PatientID")


@dataclass(frozen=True, slots=True)
class _Teller:
    """What a study says of its patient, the latest version in it, and the identifier that it knows them by."""

    version: str
    token: str
    patient: Element


async def told(index: StudyIndex, partition: str, patient: Element, options: Options) -> Element | None:
    """The Patient that all studies in a partition tell of; None if none does.

    `patient` is the resource whose identifiers they may have. It costs a few requests a study, and is asked only where
    a study and the server disagree.
    """
    for identifier in patient.get("identifier", ()):
        token = elements.token(identifier)
        studies = await _studies(index, partition, str(identifier.get("value", "")))
        limit = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(*(_teller(index, study, options, limit) for study in studies))
        tellers = [one for one in found if one is not None and one.token == token]
        if tellers:
            tellers.sort(key=lambda one: one.version, reverse=True)
            return merging.of_several([one.patient for one in tellers])
    return None


async def _studies(index: StudyIndex, partition: str, patient_id: str) -> list[Resource]:
    match = Match(_PATIENT_ID, SingleValue(_PATIENT_ID.vr, values.normal(_PATIENT_ID.vr, patient_id)))
    found: list[Resource] = []
    more = bool(patient_id)
    while more:
        query = Query(Level.STUDY, Resource(partition=partition), (match,), limit=_PAGE, offset=len(found))
        page = await index.search(query)
        found += [Resource(one["0020000D"]["Value"][0], partition=partition) for one in page.datasets]
        more = page.more
    return found


async def _teller(
    index: StudyIndex, study: Resource, options: Options, limit: asyncio.Semaphore
) -> _Teller | None:
    async with limit:
        rows = await index.records(study, Columns.ATTRIBUTES)
        if not rows:
            return None
        latest = max(rows, key=lambda row: row.version)
        headers = await index.records(latest.resource, Columns.HEADER)
    try:
        desired = mapping.resources(rows, headers, options)
    except Unmappable:
        return None
    return _Teller(latest.version, desired.patient.identifier, desired.patient.resource)
