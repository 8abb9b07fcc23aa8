"""Radiation dose reports as PS3.10 files (PS3.16 TID 10001, 10011, 10021), and rows of any file."""

from __future__ import annotations

import io
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from dicom_core.record import Instance
from dicom_core.representations import recording
from dicom_core.resources import DEFAULT_PARTITION
from tests.unit.fhir.samples import STUDY
from tests.unit.representations import samples

XRAY_DOSE = "1.2.840.10008.5.1.4.1.1.88.67"
RADIOPHARMACEUTICAL_DOSE = "1.2.840.10008.5.1.4.1.1.88.68"

Code = tuple[str, str, str]
"""Code Value, Coding Scheme Designator, Code Meaning."""


def row_of(content: bytes, version: int = 0) -> Instance:
    """The row that a file becomes."""
    layout = samples.read(content)
    return recording.row(
        layout, partition=DEFAULT_PARTITION, version=f"{version:08}", length=len(content), digest=""
    )


def coded(code: Code) -> Dataset:
    """An item with a code."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return item


def _item(kind: str, name: Code, below: tuple[Dataset, ...]) -> Dataset:
    item = Dataset()
    item.RelationshipType = "CONTAINS"
    item.ValueType = kind
    item.ConceptNameCodeSequence = [coded(name)]
    if below:
        item.ContentSequence = list(below)
    return item


def container(name: Code, *below: Dataset) -> Dataset:
    """A container of content items."""
    item = _item("CONTAINER", name, below)
    item.ContinuityOfContent = "SEPARATE"
    return item


def number(name: Code, value: str, unit: Code) -> Dataset:
    """A measurement."""
    item, measured = _item("NUM", name, ()), Dataset()
    measured.NumericValue = value
    measured.MeasurementUnitsCodeSequence = [coded(unit)]
    item.MeasuredValueSequence = [measured]
    return item


def concept(name: Code, value: Code, *below: Dataset) -> Dataset:
    """A coded value."""
    item = _item("CODE", name, below)
    item.ConceptCodeSequence = [coded(value)]
    return item


def text(name: Code, value: str) -> Dataset:
    """A text."""
    item = _item("TEXT", name, ())
    item.TextValue = value
    return item


def uid(name: Code, value: str) -> Dataset:
    """A UID."""
    item = _item("UIDREF", name, ())
    item.UID = value
    return item


def moment(name: Code, value: str) -> Dataset:
    """A date and time."""
    item = _item("DATETIME", name, ())
    item.DateTime = value
    return item


def report(title: Code, *below: Dataset, instance: str = "1.2.3.9.1", **elements: Any) -> bytes:
    """The file of a report; keyword arguments are elements by keyword."""
    dataset = container(title, *below)
    del dataset.RelationshipType
    values: dict[str, Any] = {
        "SOPClassUID": XRAY_DOSE,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": "1.2.3.9",
        "SOPInstanceUID": instance,
        "PatientID": "P1",
        "Modality": "SR",
        "ContentDate": "20260131",
        "ContentTime": "120000",
        "CompletionFlag": "COMPLETE",
        "VerificationFlag": "UNVERIFIED",
    }
    for keyword, value in (values | elements).items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


XRAY_REPORT: Code = ("113701", "DCM", "X-Ray Radiation Dose Report")
PROCEDURE: Code = ("121058", "DCM", "Procedure reported")
MGY_CM: Code = ("mGy.cm", "UCUM", "mGy.cm")
MGY: Code = ("mGy", "UCUM", "mGy")
EVENT_UID: Code = ("113769", "DCM", "Irradiation Event UID")


def ct_event(event: str, dlp: str, *more: Dataset) -> Dataset:
    """An irradiation event of CT (PS3.16 TID 10013)."""
    return container(
        ("113819", "DCM", "CT Acquisition"),
        concept(("123014", "DCM", "Target Region"), ("T-D3000", "SRT", "Chest")),
        *([uid(EVENT_UID, event)] if event else []),
        container(
            ("113829", "DCM", "CT Dose"),
            number(("113830", "DCM", "Mean CTDIvol"), "2.41", MGY),
            concept(("113835", "DCM", "CTDIw Phantom Type"), ("113691", "DCM", "IEC Body Dosimetry Phantom")),
            number(("113838", "DCM", "DLP"), dlp, MGY_CM),
        ),
        *more,
    )


def ct_report(*events: Dataset, **elements: Any) -> bytes:
    """A report of CT (PS3.16 TID 10011)."""
    return report(
        XRAY_REPORT,
        concept(PROCEDURE, ("P5-08000", "SRT", "Computed Tomography X-Ray")),
        uid(("121012", "DCM", "Device Observer UID"), "1.2.55"),
        text(("121013", "DCM", "Device Observer Name"), "CT01"),
        moment(("113809", "DCM", "Start of X-Ray Irradiation"), "20260131101500.5"),
        container(
            ("113811", "DCM", "CT Accumulated Dose Data"),
            number(
                ("113812", "DCM", "Total Number of Irradiation Events"), "2", ("{events}", "UCUM", "events")
            ),
            number(("113813", "DCM", "CT Dose Length Product Total"), "203.12", MGY_CM),
        ),
        *events,
        **elements,
    )


def projection_report() -> bytes:
    """A report of a biplane projection X-ray (PS3.16 TID 10001)."""
    plane: Code = ("113764", "DCM", "Acquisition Plane")
    planes: tuple[tuple[Code, str], ...] = (
        (("113620", "DCM", "Plane A"), "0.1"),
        (("113621", "DCM", "Plane B"), "0.2"),
    )
    return report(
        XRAY_REPORT,
        concept(PROCEDURE, ("113704", "DCM", "Projection X-Ray")),
        *(
            container(
                ("113702", "DCM", "Accumulated X-Ray Dose Data"),
                concept(plane, name),
                number(("113725", "DCM", "Dose (RP) Total"), dose, ("Gy", "UCUM", "Gy")),
            )
            for name, dose in planes
        ),
        container(
            ("113706", "DCM", "Irradiation Event X-Ray Data"),
            concept(plane, ("113622", "DCM", "Single Plane")),
            moment(("111526", "DCM", "DateTime Started"), "20260131101500+0100"),
            uid(EVENT_UID, "1.2.77"),
            number(("113738", "DCM", "Dose (RP)"), "0.01", ("Gy", "UCUM", "Gy")),
        ),
        VerificationFlag="VERIFIED",
    )


def radiopharmaceutical_report() -> bytes:
    """A report of a radiopharmaceutical (PS3.16 TID 10021)."""
    return report(
        ("113500", "DCM", "Radiopharmaceutical Radiation Dose Report"),
        container(
            ("113502", "DCM", "Radiopharmaceutical Administration"),
            concept(
                ("F-61FDB", "SRT", "Radiopharmaceutical agent"),
                ("35321007", "SCT", "Fluorodeoxyglucose F^18^"),
                concept(("89457008", "SCT", "Radionuclide"), ("77004003", "SCT", "^18^Fluorine")),
            ),
            uid(("113503", "DCM", "Radiopharmaceutical Administration Event UID"), "1.2.88"),
            moment(("123003", "DCM", "Radiopharmaceutical Start DateTime"), "20260131"),
            number(("113507", "DCM", "Administered activity"), "370", ("MBq", "UCUM", "MBq")),
            text(("410675002", "SCT", "Route of administration"), "by hand"),
        ),
        SOPClassUID=RADIOPHARMACEUTICAL_DOSE,
    )
