"""The ImagingStudy of a study (R4 ImagingStudy and its DICOM Tag Mapping)."""

from __future__ import annotations

from operator import attrgetter

from dicom_core.fhir import elements
from dicom_core.fhir.datasets import item, items, text, texts, unsigned
from dicom_core.fhir.elements import Element, compact
from dicom_core.fhir.study import Series, Study
from dicom_core.fhir.terminology import LATERALITIES, SYSTEMS, Schemes, body_part
from dicom_core.record import Dataset, Instance
from dicom_core.resources import Level

_ROLES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_TITLES = (("00700080", ""), ("0040A043", "00080104"), ("00420010", ""))
"""What an instance is called: Content Label, the title of a report, that of a document; else its Image Type."""


def imaging_study(study: Study, subject: Element, endpoint: Element) -> Element:
    """The ImagingStudy, with all its series and instances in the order of their UIDs."""
    dataset, schemes = study.dataset, study.schemes
    description = text(dataset, "00081030")
    referrers = elements.people(dataset, "00080090", "00080096", schemes)
    return compact(
        {
            "resourceType": "ImagingStudy",
            "identifier": [
                elements.uid_identifier(study.uid),
                *([_accession(dataset)] if text(dataset, "00080050") else []),
            ],
            "status": "available",
            "modality": [_modality(value) for value in texts(dataset, "00080061")],
            "subject": subject,
            "encounter": _encounter(dataset),
            "started": elements.date_time(
                text(dataset, "00080020"), text(dataset, "00080030"), text(dataset, "00080201")
            ),
            "basedOn": _orders(study),
            "referrer": referrers[0] if referrers else {},
            "interpreter": elements.people(dataset, "00081060", "00081062", schemes),
            "endpoint": [endpoint],
            "numberOfSeries": len(study.series),
            "numberOfInstances": sum(len(series.rows) for series in study.series),
            "procedureCode": elements.concepts(dataset, "00081032", schemes),
            "location": _location(study),
            "reasonCode": elements.concepts(dataset, "00401012", schemes) or _reasons(study),
            "note": [{"text": description}] if description else [],
            "description": description,
            "series": [_series(series, endpoint, schemes) for series in study.series],
        }
    )


def _modality(value: str) -> Element:
    return {"system": SYSTEMS["DCM"], "code": " ".join(value.split())}


def _accession(dataset: Dataset) -> Element:
    """The Identifier of an Accession Number with its issuer (PS3.3 10.14)."""
    system, name = elements.issuer(item(dataset, "00080051"))
    number = text(dataset, "00080050")
    return elements.identifier(number, system, name, type=elements.identifier_type("ACSN"))


def _encounter(dataset: Dataset) -> Element:
    admission = text(dataset, "00380010")
    if not admission:
        return {}
    system, name = elements.issuer(item(dataset, "00380014"))
    visit = elements.identifier(admission, system, name, type=elements.identifier_type("VN"))
    return {"type": "Encounter", "identifier": visit}


def _requests(study: Study) -> list[Dataset]:
    return [request for series in study.series for request in items(series.dataset, "00400275")]


def _orders(study: Study) -> list[Element]:
    """The orders, by their accession numbers: those of the requests of all series, and that of the study."""
    found: dict[str, Element] = {}
    for order in (*_requests(study), study.dataset):
        if text(order, "00080050"):
            identifier = _accession(order)
            requested = "" if order is study.dataset else text(order, "00321060")
            reference = {"type": "ServiceRequest", "identifier": identifier, "display": requested}
            found.setdefault(elements.token(identifier), compact(reference))
    return list(found.values())


def _reasons(study: Study) -> list[Element]:
    """Why the procedures were requested: coded, or as text."""
    return elements.distinct(
        reason
        for request in _requests(study)
        for reason in (
            elements.concepts(request, "0040100A", study.schemes)
            or [compact({"text": text(request, "00401002")})]
        )
    )


def _location(study: Study) -> Element:
    """Where it was performed: the institution and department that the latest series names."""
    latest = max(study.series, key=lambda series: series.rows[0].version)
    places = [text(latest.dataset, tag) for tag in ("00080080", "00081040")]
    return compact({"display": ", ".join(filter(None, places))})


def _series(series: Series, endpoint: Element, schemes: Schemes) -> Element:
    dataset = series.dataset
    return compact(
        {
            "uid": series.uid,
            "number": unsigned(dataset, "00200011"),
            "modality": _modality(text(dataset, "00080060") or "OT"),
            "description": text(dataset, "0008103E"),
            "numberOfInstances": len(series.rows),
            "endpoint": [endpoint],
            "bodySite": _body_site(dataset, schemes),
            "laterality": _laterality(dataset),
            "started": _started(dataset),
            "performer": [
                *_performers(dataset, "00081050", "00081052", "PRF", schemes),
                *_performers(dataset, "00081070", "00081072", "SPRF", schemes),
            ],
            "instance": [_instance(row) for row in sorted(series.rows, key=attrgetter("instance"))],
        }
    )


def _started(dataset: Dataset) -> str | None:
    """When the series was started; that of its procedure step, if it does not say so itself."""
    offset = text(dataset, "00080201")
    return elements.date_time(
        text(dataset, "00080021"), text(dataset, "00080031"), offset
    ) or elements.date_time(text(dataset, "00400244"), text(dataset, "00400245"), offset)


def _body_site(dataset: Dataset, schemes: Schemes) -> Element:
    coded = elements.coding(item(dataset, "00082218"), schemes)
    examined = text(dataset, "00180015")
    known = body_part(examined)
    if coded or known is None:
        return coded or compact({"display": examined})
    return {"system": SYSTEMS["SCT"], "code": known[0], "display": known[1]}


def _laterality(dataset: Dataset) -> Element:
    known = LATERALITIES.get(text(dataset, "00200060") or text(dataset, "00200062"))
    return {} if known is None else {"system": SYSTEMS["SCT"], "code": known[0], "display": known[1]}


def _performers(
    dataset: Dataset, tag: str, identifications: str, role: str, schemes: Schemes
) -> list[Element]:
    function = {"coding": [{"system": _ROLES, "code": role}]}
    return [
        {"function": function, "actor": actor}
        for actor in elements.people(dataset, tag, identifications, schemes)
    ]


def _instance(row: Instance) -> Element:
    own = row.attributes.get(Level.INSTANCE, {})
    element: Element = {
        "uid": row.instance,
        "sopClass": {"system": elements.URI, "code": f"urn:oid:{row.sop_class}"},
    }
    number = unsigned(own, "00200013")
    if number is not None:
        element["number"] = number
    title = _title(own)
    if title:
        element["title"] = title
    return element


def _title(own: Dataset) -> str:
    for tag, within in _TITLES:
        if tag in own:
            title = text(item(own, tag), within) if within else text(own, tag)
            if title:
                return title
    return "\\".join(texts(own, "00080008"))
