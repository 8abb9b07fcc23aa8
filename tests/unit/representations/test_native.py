"""The Native DICOM Model (PS3.19 A.1): XML that says what the DICOM JSON says."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from dicom_core.record import Dataset
from dicom_core.representations import native
from dicom_core.representations.instances import InvalidInstance, Reader
from tests.unit.representations import samples

MODEL = f"{{{native.NAMESPACE}}}"
COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def read(parent: ElementTree.Element) -> dict[str, Any]:
    """The attributes below an element, as DICOM JSON with all values as text."""
    return {one.attrib["tag"]: content(one) for one in parent.iterfind(f"{MODEL}DicomAttribute")}


def content(attribute: ElementTree.Element) -> dict[str, Any]:
    """One attribute."""
    found: dict[str, Any] = {"vr": attribute.attrib["vr"]}
    values: dict[int, Any] = {}
    for child in attribute:
        kind = child.tag.removeprefix(MODEL)
        if kind == "BulkData":
            found["BulkDataURI"] = child.attrib["uri"]
        elif kind == "InlineBinary":
            found["InlineBinary"] = child.text
        else:
            readers = {"Value": lambda one: one.text or "", "Item": read, "PersonName": name}
            values[int(child.attrib["number"])] = readers[kind](child)
    if values:
        found["Value"] = [values.get(number) for number in range(1, max(values) + 1)]
    return found


def name(person: ElementTree.Element) -> dict[str, str]:
    """The groups of a name."""
    return {
        group.tag.removeprefix(MODEL): "^".join(
            group.findtext(f"{MODEL}{component}") or "" for component in COMPONENTS
        ).rstrip("^")
        for group in person
    }


def as_text(element: dict[str, Any]) -> dict[str, Any]:
    """An element of DICOM JSON as XML can tell it: values as text, no empty ones at the end."""
    found = dict(element)
    values = [
        {tag: as_text(one) for tag, one in value.items()}
        if element["vr"] == "SQ"
        else {group: part.rstrip("^") for group, part in value.items()}
        if isinstance(value, dict)
        else native._text(value)
        if value is not None
        else None
        for value in element.get("Value", ())
    ]
    while values and values[-1] is None:
        values.pop()
    found.pop("Value", None)
    return {**found, "Value": values} if values else found


def datasets() -> list[Any]:
    """The header of every file that pydicom ships and that can be stored."""
    found = []
    for path in samples.FILES:
        reader = Reader()
        try:
            reader.feed(Path(path).read_bytes())
            found.append(pytest.param(reader.finish().header.dataset, id=Path(path).name))
        except InvalidInstance:
            continue
    return found


@pytest.mark.parametrize("dataset", datasets())
def test_document_says_what_the_json_says(dataset: Dataset) -> None:
    """Every attribute with its VR and values, items and bulk data, in the order of their tags."""
    root = ElementTree.fromstring(native.document(dataset))

    assert root.tag == f"{MODEL}NativeDicomModel"
    assert read(root) == {tag: as_text(element) for tag, element in dataset.items()}
    assert [one.attrib["tag"] for one in root] == sorted(dataset)


def test_document_names_attributes() -> None:
    """Standard attributes by their keyword, private ones by their creator (PS3.19 Table A.1.5-2)."""
    text = native.document(
        {
            "00100020": {"vr": "LO", "Value": ["P<1>"]},
            "00091001": {"vr": "LO", "Value": ["x"]},
            "00090010": {"vr": "LO", "Value": ['MAKER "1"']},
        }
    ).decode()

    assert (
        '<DicomAttribute tag="00100020" vr="LO" keyword="PatientID"><Value number="1">P&lt;1&gt;</Value>'
        in text
    )
    assert """<DicomAttribute tag="00091001" vr="LO" privateCreator='MAKER "1"'>""" in text


def test_document_replaces_what_xml_cannot_have() -> None:
    """A control character within a value does not make the document unreadable."""
    root = ElementTree.fromstring(native.document({"00100020": {"vr": "LO", "Value": ["a\x00\x1bb\ud800"]}}))

    assert root.findtext(f".//{MODEL}Value") == "a\ufffd\ufffdb\ufffd"
