"""Observations of radiation dose reports (PS3.16 TID 10001, 10011, 10021): a summary of each, and the events in it.

They follow the profiles of HL7's Radiation Dose Summary guide as far as a report tells what these ask for.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from dicom_core.fhir import elements
from dicom_core.fhir.content import Code, Found, child, name, walk
from dicom_core.fhir.datasets import item, text, values
from dicom_core.fhir.elements import Element, compact
from dicom_core.fhir.study import Report, Study
from dicom_core.fhir.terminology import SYSTEMS, Schemes
from dicom_core.record import Dataset
from dicom_core.resources import is_uid

_ROWS = """
    DCM 113725 Dose (RP) Total
    DCM 111637 Accumulated Average Glandular Dose
    DCM 113722 Dose Area Product Total
    DCM 113726 Fluoro Dose Area Product Total
    DCM 113727 Acquisition Dose Area Product Total
    DCM 113730 Total Fluoro Time
    DCM 113731 Total Number of Radiographic Frames
    DCM 113507 Administered activity
    DCM 113813 CT Dose Length Product Total
    DCM 113812 Total Number of Irradiation Events
    DCM 113738 Dose (RP)
    DCM 122130 Dose Area Product
    DCM 111631 Average Glandular Dose
    DCM 113830 Mean CTDIvol
    DCM 113838 DLP
    DCM 113835 CTDIw Phantom Type
    DCM 123005 Radiopharmaceutical Volume
    SCT 349358000 Radiopharmaceutical agent
    SCT 89457008 Radionuclide
    SCT 410675002 Route of administration
"""

COMPONENTS: Mapping[Code, str] = MappingProxyType(
    {
        (scheme, code): meaning
        for scheme, code, meaning in (row.split(None, 2) for row in _ROWS.strip().splitlines())
    }
)
"""Content items that become components of an Observation: coding scheme and code, and what it means."""

EVENTS = frozenset({("DCM", "113706"), ("DCM", "113819"), ("DCM", "113502")})
"""Containers of irradiation events: of X-rays, of CT, and the administration of a radiopharmaceutical."""

_RADIOPHARMACEUTICAL_REPORT = ("DCM", "113500")
_PROCEDURE_REPORTED = ("DCM", "121058")
_PLANE = ("DCM", "113764")
_ONLY_PLANE = "113622"
_DEVICE_UID, _DEVICE_NAME = ("DCM", "121012"), ("DCM", "121013")
_REGIONS = (("DCM", "123014"), ("SCT", "363698007"))
_EVENT_UIDS = (("DCM", "113769"), ("DCM", "113503"))
_REPORT_STARTS = (("DCM", "113809"), ("DCM", "123003"))
_EVENT_STARTS = (("DCM", "111526"), ("DCM", "123003"))

_IDENTIFIER_TYPES = "http://hl7.org/fhir/uv/radiation-dose-summary/CodeSystem/dicom-identifier-type"
_SUMMARY = {
    "system": SYSTEMS["LN"],
    "code": "73569-6",
    "display": "Radiation exposure and protection information [Description] Document Diagnostic imaging",
}
_EVENT = {"system": SYSTEMS["DCM"], "code": "113852", "display": "Irradiation Event"}

_NAMESPACE = uuid.UUID("5e4f6a0c-3d0b-5a53-9a53-0f6f4c1f6d3e")


@dataclass(frozen=True, slots=True)
class Event:
    """An irradiation event: what names it, its containers (one, but for events that are told in parts), its UID."""

    urn: str
    uid: str
    nodes: list[Dataset]


def observations(study: Study, subject: Element, imaging_study: Element) -> list[tuple[str, Element]]:
    """The Observations of all dose reports, each with the URN that names it: events before what refers to them.

    An event that several reports tell of is that of the latest; it belongs to its study, as another study may tell of
    the same event too.
    """
    common = {"resourceType": "Observation", "subject": subject, "partOf": [imaging_study]}
    made: dict[str, Element] = {}
    for report in study.reports:
        events = _events(study.uid, report)
        for event in events:
            if event.urn not in made:
                made[event.urn] = _event(event, report, study.schemes, common)
        made[_urn(study.uid, report.uid)] = _summary(study, report, events, common)
    return list(made.items())


def _summary(study: Study, report: Report, events: Iterable[Event], common: Element) -> Element:
    dataset, schemes = report.dataset, study.schemes
    # What was administered is told nowhere but in its events, and is what the summary is asked for.
    beyond = frozenset() if name(dataset) == _RADIOPHARMACEUTICAL_REPORT else EVENTS
    found = list(walk(dataset, beyond=beyond))
    return compact(
        {
            **common,
            "identifier": _identifiers(_urn(study.uid, report.uid), report.uid, "sop-instance-uid"),
            "status": _status(dataset),
            "code": {"coding": [_SUMMARY]},
            "effectiveDateTime": _start(found, _REPORT_STARTS, dataset),
            "device": _device(found),
            "hasMember": [{"reference": event.urn} for event in events],
            "component": elements.distinct(
                [*_procedures(found, schemes), *(_component(one, schemes) for one in found)]
            ),
        }
    )


def _event(event: Event, report: Report, schemes: Schemes, common: Element) -> Element:
    found = [one for node in event.nodes for one in walk(node, beyond=EVENTS)]
    regions = [item(one.item, "0040A168") for one in found if one.code in _REGIONS]
    return compact(
        {
            **common,
            "identifier": _identifiers(event.urn, event.uid, "irradiation-event-uid"),
            "status": _status(report.dataset),
            "code": {"coding": [_EVENT]},
            "effectiveDateTime": _start(found, _EVENT_STARTS, report.dataset),
            "bodySite": elements.concept(regions[0], schemes) if regions else {},
            "component": elements.distinct(_component(one, schemes) for one in found),
        }
    )


def _events(study: str, report: Report) -> list[Event]:
    """The events of a report; one that has no UID is named by its place in the report."""
    found: dict[str, Event] = {}
    for position, one in enumerate(walk(report.dataset)):
        if one.code in EVENTS:
            uids = (text(child(one.item, code), "0040A124") for code in _EVENT_UIDS)
            uid = next(filter(is_uid, uids), "")
            urn = _urn(study, uid or f"{report.uid}/{position}")
            found.setdefault(urn, Event(urn, uid, [])).nodes.append(one.item)
    return list(found.values())


def _urn(*names: str) -> str:
    """What names an Observation, the same each time it is made."""
    return uuid.uuid5(_NAMESPACE, "|".join(names)).urn


def _identifiers(urn: str, uid: str, kind: str) -> list[Element]:
    """The one that identifies the Observation, and the UID of what it tells of."""
    known = {
        "type": {"coding": [{"system": _IDENTIFIER_TYPES, "code": kind}]},
        **elements.uid_identifier(uid),
    }
    return [{"system": elements.URI, "value": urn}, *([known] if uid else [])]


def _status(dataset: Dataset) -> str:
    """Final is what a person has verified (PS3.3 C.17.2)."""
    return "final" if text(dataset, "0040A493") == "VERIFIED" else "preliminary"


def _start(found: Iterable[Found], codes: tuple[Code, ...], dataset: Dataset) -> str | None:
    """When irradiation began; when the report was made, if it does not say."""
    offset = text(dataset, "00080201")
    for one in found:
        if one.code in codes:
            start = elements.combined(text(one.item, "0040A120"), offset)
            if start is not None:
                return start
    return elements.date_time(text(dataset, "00080023"), text(dataset, "00080033"), offset)


def _device(found: Iterable[Found]) -> Element:
    """A reference to the device that observed (PS3.16 TID 1004), by its UID and name, as no resource is known."""
    uid = shown = ""
    for one in found:
        if one.code == _DEVICE_UID:
            uid = uid or text(one.item, "0040A124")
        elif one.code == _DEVICE_NAME:
            shown = shown or text(one.item, "0040A160")
    identified = elements.uid_identifier(uid) if is_uid(uid) else {}
    return compact({"type": "Device", "identifier": identified, "display": shown}) if uid or shown else {}


def _procedures(found: Iterable[Found], schemes: Schemes) -> list[Element]:
    code = {"system": SYSTEMS["DCM"], "code": _PROCEDURE_REPORTED[1], "display": "Procedure reported"}
    return [
        {"code": {"coding": [code]}, "valueCodeableConcept": value}
        for one in found
        if one.code == _PROCEDURE_REPORTED
        and (value := elements.concept(item(one.item, "0040A168"), schemes))
    ]


def _component(one: Found, schemes: Schemes) -> Element:
    """The component of a content item; {} if it is none of `COMPONENTS`, or has no value."""
    meaning = COMPONENTS.get(one.code)
    if meaning is None:
        return {}
    value = _value(one.item, schemes)
    if not value:
        return {}
    code: dict[str, Any] = {
        "coding": [{"system": SYSTEMS[one.code[0]], "code": one.code[1], "display": meaning}]
    }
    plane = _plane(one)
    if plane:
        code["text"] = f"{meaning} ({plane})"
    return {"code": code, **value}


def _value(node: Dataset, schemes: Schemes) -> Element:
    """The value of a content item by its type: NUM, CODE or TEXT (PS3.3 Table C.17.3.2.1)."""
    measured = item(node, "0040A300")
    if measured:
        numbers = values(measured, "0040A30A")
        unit = item(measured, "004008EA")
        return compact({"valueQuantity": elements.quantity(numbers[0] if numbers else None, unit)})
    coded = elements.concept(item(node, "0040A168"), schemes)
    return compact({"valueCodeableConcept": coded} if coded else {"valueString": text(node, "0040A160")})


def _plane(one: Found) -> str:
    """Which of two planes an item tells of (PS3.16 TID 10002): the acquisition plane of a container around it."""
    for container in reversed(one.within):
        plane = item(child(container, _PLANE), "0040A168")
        if plane:
            return "" if text(plane, "00080100") == _ONLY_PLANE else text(plane, "00080104")
    return ""
