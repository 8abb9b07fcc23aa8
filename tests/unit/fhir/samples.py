"""Studies as DICOM JSON, what they are mapped to, and the check that FHIR allows it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydicom import datadict

from dicom_core import attributes
from dicom_core.fhir import mapping
from dicom_core.fhir.mapping import Desired, Options
from dicom_core.record import Dataset, Instance
from dicom_core.representations import metadata
from dicom_core.resources import DEFAULT_PARTITION

OPTIONS = Options("https://dicom.example.org/v2", "urn:example:patients")

STUDY = "1.2.3"
SERIES = "1.2.3.4"
CT = "1.2.840.10008.5.1.4.1.1.2"

_DATE = r"[0-9]{4}(-[0-9]{2}(-[0-9]{2}"
_FORMATS = {
    "birthDate": re.compile(rf"{_DATE})?)?"),
    "started": re.compile(rf"{_DATE}(T[0-9:]{{8}}(\.[0-9]+)?(Z|[+-][0-9]{{2}}:[0-9]{{2}}))?)?)?"),
    "uid": re.compile(r"[A-Za-z0-9\-.]{1,64}"),
    "code": re.compile(r"\S+( \S+)*"),
    "system": re.compile(r"\S+"),
}
_FORMATS["effectiveDateTime"] = _FORMATS["started"]
_TEXT = re.compile(r"[ \r\n\t\S]+")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


def data(**elements: Any) -> Dataset:
    """A data set by keywords: lists are several values, dictionaries items, names are written with = and ^."""
    return {
        f"{datadict.tag_for_keyword(keyword):08X}": _element(keyword, value)
        for keyword, value in elements.items()
    }


def _element(keyword: str, value: Any) -> dict[str, Any]:
    vr = datadict.dictionary_VR(keyword)
    values = value if isinstance(value, list) else [value]
    if vr == "SQ":
        values = [data(**item) for item in values]
    if vr == "PN":
        groups = ("Alphabetic", "Ideographic", "Phonetic")
        values = [
            {group: part for group, part in zip(groups, name.split("="), strict=False) if part}
            for name in values
        ]
    return {"vr": vr, "Value": values}


def code(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    """The elements of an item with a code."""
    return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}


def row(dataset: Dataset, version: int = 0, **fields: Any) -> Instance:
    """The row of an instance with this data set."""
    values: dict[str, Any] = {
        "study": STUDY,
        "series": SERIES,
        "instance": f"{SERIES}.{version}",
        "version": f"{version:08}",
        "sop_class": CT,
        "transfer_syntax": "1.2.840.10008.1.2.1",
        "length": 1000,
        "digest": "",
        "partition": DEFAULT_PARTITION,
        "attributes": attributes.extract(dataset),
        "header": metadata.pack(dataset),
    }
    return Instance(**(values | fields))


def mapped(rows: Sequence[Instance], options: Options = OPTIONS) -> Desired:
    """What rows are mapped to, when the headers are read that are wanted, and no more."""
    wanted = set(mapping.wanted(rows))
    desired = mapping.resources(rows, [one for one in rows if one.resource in wanted], options)
    for entry in desired.entries:
        check(entry.resource)
    return desired


def of(**elements: Any) -> Desired:
    """What a study of one instance is mapped to; a patient is added if there is none."""
    return mapped([row(data(**({"PatientID": "P1"} | elements)))])


def check(resource: dict[str, Any]) -> None:
    """Hold a resource to FHIR: its model, and the rules for every text that the models leave out."""
    get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    _check_element(resource, "")


def _check_element(value: Any, name: str) -> None:
    assert value not in ("", None, [], {}), name
    if isinstance(value, dict):
        for key, nested in value.items():
            _check_element(nested, key)
    elif isinstance(value, list):
        for nested in value:
            _check_element(nested, name)
    elif isinstance(value, str):
        assert _TEXT.fullmatch(value), name
        assert not _CONTROL.search(value), name
        assert value == value.strip(), name
        if name in _FORMATS:
            assert _FORMATS[name].fullmatch(value), name


def at(desired: Desired, path: str) -> Any:
    """What stands at a path such as `Patient.name[0].family`; None if nothing does."""
    kind, *steps = re.findall(r"[A-Za-z]+|[0-9]+", path)
    found: Any = next((entry.resource for entry in desired.entries if entry.type == kind), None)
    for step in steps:
        try:
            found = found[int(step)] if step.isdecimal() else found[step]
        except (IndexError, KeyError, TypeError):
            return None
    return found
