"""Coding systems and the codes that have a fixed place in FHIR, by what DICOM calls them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from dicom_core.fhir.body_sites import BY_BODY_PART, FROM_SNOMED_RT

Schemes = Mapping[str, str]
"""Coding systems by designator, beside those that everybody knows: those that a study identifies itself."""

SYSTEMS: Mapping[str, str] = MappingProxyType(
    {
        "SCT": "http://snomed.info/sct",
        "SRT": "http://snomed.info/srt",
        "SNM3": "http://snomed.info/srt",
        "99SDM": "http://snomed.info/srt",
        "DCM": "http://dicom.nema.org/resources/ontology/DCM",
        "LN": "http://loinc.org",
        "UCUM": "http://unitsofmeasure.org",
        "RADLEX": "http://radlex.org",
        "C4": "http://www.ama-assn.org/go/cpt",
        "CPT": "http://www.ama-assn.org/go/cpt",
        "I10": "http://hl7.org/fhir/sid/icd-10",
        "I9C": "http://hl7.org/fhir/sid/icd-9-cm",
        "UMLS": "http://www.nlm.nih.gov/research/umls",
    }
)
"""Coding systems by Coding Scheme Designator (PS3.16 Table 8-1, R4 4.3.0)."""

GENDERS: Mapping[str, str] = MappingProxyType({"M": "male", "F": "female", "O": "other"})
"""Patient's Sex (0010,0040)."""

LATERALITIES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "L": ("419161000", "Unilateral left"),
        "R": ("419465000", "Unilateral right"),
        "B": ("51440002", "Bilateral"),
    }
)
"""Laterality (0020,0060): code of SNOMED CT and its meaning (value set bodysite-laterality)."""

_CONCEPTS = {
    "P5-08000": ("77477000", "Computed tomography"),
    "P5-40010": ("71651007", "Mammography"),
    "G-C0E3": ("363698007", "Finding Site"),
    "F-61FDB": ("349358000", "Radiopharmaceutical agent"),
    "C-10072": ("89457008", "Radionuclide"),
    "G-C340": ("410675002", "Route of administration"),
}
_RETIRED = frozenset({"SRT", "SNM3", "99SDM"})


def translated(designator: str, value: str) -> tuple[str, str] | None:
    """The code of SNOMED CT and its meaning for one of SNOMED-RT, where a table of ours has it (PS3.16 8.1)."""
    if designator not in _RETIRED:
        return None
    return FROM_SNOMED_RT.get(value) or _CONCEPTS.get(value)


def body_part(value: str) -> tuple[str, str] | None:
    """The code of SNOMED CT and its meaning for a value of Body Part Examined, whatever its case."""
    return BY_BODY_PART.get(value.upper().replace(" ", "").replace("_", ""))
