"""What a study should have in a FHIR server (R4, 4.0.1), made of its record; the table is docs/fhir-mapping.md.

The same record makes the same resources, whichever changes led to it. Nothing here reads or sends.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_core.fhir import dose, elements, study
from dicom_core.fhir.elements import Element
from dicom_core.fhir.imaging_study import imaging_study
from dicom_core.fhir.patient import identifier, patient
from dicom_core.record import Instance
from dicom_core.resources import Resource

__all__ = [
    "Desired",
    "Entry",
    "Options",
    "Unmappable",
    "endpoint_identifier",
    "resources",
    "study_identifier",
    "wanted",
]

_NAMESPACE = uuid.UUID("0b9c27a8-6a6e-5b0f-8d0e-2d1c53c5b7f1")
_CONNECTION_TYPES = "http://terminology.hl7.org/CodeSystem/endpoint-connection-type"


class Unmappable(Exception):
    """The record lacks what its resources cannot do without; the text names tags, never values."""


@dataclass(frozen=True, slots=True)
class Options:
    """How this service maps.

    `base_url` is the DICOMweb root of the study's partition as clients reach it, without a slash at its end;
    `patient_system` the identifier system of a Patient ID whose issuer is not told, "" for none.
    """

    base_url: str
    patient_system: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource, as FHIR JSON without `id`, and how it is found again.

    `full_url` is a `urn:uuid:` that is the same each time the resource is made; other resources refer to it by that.
    `identifier` is what to look for in the search parameter `identifier` to find this resource, not encoded for a URL.
    """

    full_url: str
    identifier: str
    resource: Element

    @property
    def type(self) -> str:
        """The type of the resource."""
        return str(self.resource["resourceType"])


@dataclass(frozen=True, slots=True)
class Desired:
    """All resources of a study."""

    patient: Entry
    endpoint: Entry
    imaging_study: Entry
    observations: tuple[Entry, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All of them; what is referred to comes first."""
        return (self.patient, self.endpoint, self.imaging_study, *self.observations)


def wanted(rows: Sequence[Instance]) -> list[Resource]:
    """The instances whose headers are needed beside the rows of a study: one of each series, and dose reports.

    The rows are all of a study, read with `Columns.ATTRIBUTES`; these are to be read with `Columns.HEADER`.
    """
    return study.wanted(rows)


def resources(rows: Sequence[Instance], headers: Iterable[Instance], options: Options) -> Desired:
    """Map a study: all its rows, at least one, and those of `wanted`; of these some may have gone meanwhile.

    Raises
    ------
    Unmappable
        The study has no Patient ID.
    """
    whole = study.assemble(rows, headers)
    of_patient = identifier(whole.dataset, options.patient_system)
    if not of_patient:
        raise Unmappable("(0010,0020) PatientID is missing or empty")
    meta = {"source": options.base_url}
    subject = _entry(patient(whole.dataset, options.patient_system), of_patient, meta)
    at = _entry(_endpoint(options), _address(options), meta)
    images = _entry(
        imaging_study(whole, _reference(subject), _reference(at)),
        elements.uid_identifier(whole.uid),
        meta,
    )
    found = dose.observations(whole, _reference(subject), _reference(images))
    return Desired(
        subject,
        at,
        images,
        tuple(Entry(urn, elements.token(_uri(urn)), {**one, "meta": meta}) for urn, one in found),
    )


def study_identifier(uid: str) -> str:
    """What to look for in the search parameter `identifier` to find the ImagingStudy of a study."""
    return elements.token(elements.uid_identifier(uid))


def endpoint_identifier(options: Options) -> str:
    """What to look for in the search parameter `identifier` to find the Endpoint of this service."""
    return elements.token(_address(options))


def _entry(resource: Element, found_by: Element, meta: Element) -> Entry:
    token = elements.token(found_by)
    urn = uuid.uuid5(_NAMESPACE, f"{resource['resourceType']}|{token}").urn
    return Entry(urn, token, {**resource, "meta": meta})


def _reference(entry: Entry) -> Element:
    return {"reference": entry.full_url}


def _uri(value: str) -> Element:
    return {"system": elements.URI, "value": value}


def _address(options: Options) -> Element:
    return _uri(options.base_url)


def _endpoint(options: Options) -> Element:
    """The Endpoint: a client puts `/studies/{study}` behind its address (R4 ImagingStudy 8.17.6)."""
    return {
        "resourceType": "Endpoint",
        "identifier": [_address(options)],
        "status": "active",
        "connectionType": {"system": _CONNECTION_TYPES, "code": "dicom-wado-rs", "display": "DICOM WADO-RS"},
        "name": "DICOMweb",
        "payloadType": [{"text": "DICOM WADO-RS"}],
        "payloadMimeType": ["application/dicom"],
        "address": options.base_url,
    }
