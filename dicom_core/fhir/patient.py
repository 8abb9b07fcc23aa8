"""The Patient of a study (R4 Patient), of the modules of PS3.3 C.7.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dicom_core.fhir import elements
from dicom_core.fhir.datasets import item, items, text, values
from dicom_core.fhir.elements import Element, compact
from dicom_core.fhir.terminology import GENDERS
from dicom_core.record import Dataset


def identifier(dataset: Mapping[str, Any], default_system: str) -> Element:
    """The Identifier of a Patient ID with its issuer; {} if there is none."""
    value = text(dataset, "00100020")
    if not value:
        return {}
    system, name = elements.issuer(item(dataset, "00100024"), text(dataset, "00100021"))
    return elements.identifier(value, system or default_system, name)


def patient(dataset: Dataset, default_system: str) -> Element:
    """The Patient; their first identifier is the one of the Patient ID, which must be there."""
    main = {"use": "usual", "type": elements.identifier_type("MR"), **identifier(dataset, default_system)}
    others = [identifier(other, "") for other in items(dataset, "00101002")]
    names = values(dataset, "00100010")
    return compact(
        {
            "resourceType": "Patient",
            "identifier": [main, *elements.distinct(_secondary(other, main) for other in others)],
            "name": elements.human_names(names[0]) if names else [],
            "gender": GENDERS.get(text(dataset, "00100040")),
            "birthDate": elements.date(text(dataset, "00100030")),
        }
    )


def _secondary(other: Element, main: Element) -> Element:
    """Another identifier; {} without its issuer: it might be found as that of somebody else."""
    same = elements.token(other) == elements.token(main)
    return {} if same or "system" not in other else {"use": "secondary", **other}
