"""Instances made in memory: rows of the record, and PS3.10 files."""

from __future__ import annotations

import gzip
import io
from typing import Any

import orjson
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_core import versions
from dicom_core.ports import Transaction
from dicom_core.record import Instance
from dicom_core.resources import DEFAULT_PARTITION, Level


def uid() -> str:
    """A UID that nothing else has."""
    return str(generate_uid(prefix="2.25."))


def transaction(study: str) -> Transaction:
    """A transaction that starts now."""
    return Transaction(versions.new_transaction(), study, DEFAULT_PARTITION)


def row(of: Transaction, part: int = 0, **fields: Any) -> Instance:
    """A row of the record, as a part of a transaction would become."""
    header = gzip.compress(orjson.dumps({"00080018": {"vr": "UI", "Value": [str(part)]}}), 1)
    values: dict[str, Any] = {
        "series": "1.2.3",
        "instance": f"1.2.3.{part}",
        "version": versions.version_of(of.name, part),
        "sop_class": str(CTImageStorage),
        "transfer_syntax": str(ExplicitVRLittleEndian),
        "length": 1000 + part,
        "digest": f"{part:064x}",
        "attributes": {
            Level.STUDY: {"00100020": {"vr": "LO", "Value": ["P1"]}},
            Level.SERIES: {"00080060": {"vr": "CS", "Value": ["CT"]}},
            Level.INSTANCE: {"00200013": {"vr": "IS", "Value": [part]}},
        },
        "header": header,
    }
    return Instance(study=of.study, partition=of.partition, **(values | fields))


def file(study: str = "", series: str = "", instance: str = "", **elements: Any) -> bytes:
    """A small CT image as a PS3.10 file; keyword arguments are elements by keyword, None leaves one out."""
    dataset = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": CTImageStorage,
        "StudyInstanceUID": study or uid(),
        "SeriesInstanceUID": series or uid(),
        "SOPInstanceUID": instance or uid(),
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "StudyDate": "20260131",
        "Modality": "CT",
        "Rows": 4,
        "Columns": 4,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PixelData": bytes(range(32)),
    }
    for keyword, value in (values | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OW"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()
