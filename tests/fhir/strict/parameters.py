"""The search parameters of the types that the service writes (FHIR R4, the tables of each resource)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from tests.fhir.strict.outcome import Refused

Kind = Literal["token", "reference", "date", "string"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a parameter compares, where it finds it, and which types its references lead to."""

    kind: Kind
    paths: tuple[str, ...]
    targets: tuple[str, ...] = ()


def _token(*paths: str) -> Parameter:
    return Parameter("token", paths)


def _date(*paths: str) -> Parameter:
    return Parameter("date", paths)


def _string(*paths: str) -> Parameter:
    return Parameter("string", paths)


def _to(path: str, *targets: str) -> Parameter:
    return Parameter("reference", (path,), targets)


_COMMON = {
    "_id": _token("id"),
    "_lastUpdated": _date("meta.lastUpdated"),
    "_tag": _token("meta.tag"),
    "identifier": _token("identifier"),
}
_NAME = tuple(f"name.{part}" for part in ("family", "given", "text", "prefix", "suffix"))
_SUBJECTS = ("Patient", "Group", "Device", "Location")

PARAMETERS: Mapping[str, Mapping[str, Parameter]] = {
    "Patient": {
        **_COMMON,
        "active": _token("active"),
        "birthdate": _date("birthDate"),
        "family": _string("name.family"),
        "gender": _token("gender"),
        "given": _string("name.given"),
        "link": _to("link.other", "Patient", "RelatedPerson"),
        "name": _string(*_NAME),
        "organization": _to("managingOrganization", "Organization"),
    },
    "Endpoint": {
        **_COMMON,
        "connection-type": _token("connectionType"),
        "name": _string("name"),
        "organization": _to("managingOrganization", "Organization"),
        "payload-type": _token("payloadType"),
        "status": _token("status"),
    },
    "ImagingStudy": {
        **_COMMON,
        "bodysite": _token("series.bodySite"),
        "dicom-class": _token("series.instance.sopClass"),
        "endpoint": Parameter("reference", ("endpoint", "series.endpoint"), ("Endpoint",)),
        "instance": _token("series.instance.uid"),
        "interpreter": _to("interpreter", "Practitioner", "PractitionerRole"),
        "modality": _token("series.modality"),
        "patient": _to("subject", "Patient"),
        "reason": _token("reasonCode"),
        "series": _token("series.uid"),
        "started": _date("started"),
        "status": _token("status"),
        "subject": _to("subject", "Patient", "Device", "Group"),
    },
    "Observation": {
        **_COMMON,
        "category": _token("category"),
        "code": _token("code"),
        "date": _date("effectiveDateTime", "effectivePeriod", "effectiveInstant"),
        "derived-from": _to("derivedFrom", "ImagingStudy", "Observation", "DocumentReference", "Media"),
        "focus": _to("focus", *_SUBJECTS, "ImagingStudy"),
        "has-member": _to("hasMember", "Observation", "QuestionnaireResponse", "MolecularSequence"),
        "part-of": _to("partOf", "ImagingStudy", "Procedure"),
        "patient": _to("subject", "Patient"),
        "status": _token("status"),
        "subject": _to("subject", *_SUBJECTS),
        "value-concept": _token("valueCodeableConcept"),
    },
}


def known(kind: str) -> None:
    """Refuse a type that is not kept here."""
    if kind not in PARAMETERS:
        raise Refused(404, "not-supported", f"there are no resources of the type {kind}")


def parameter(kind: str, name: str) -> Parameter:
    """A parameter of a type; there are no others, and none is ignored."""
    known(kind)
    found = PARAMETERS[kind].get(name)
    if found is None:
        raise Refused(400, "not-supported", f"{kind} has no search parameter {name}")
    return found
