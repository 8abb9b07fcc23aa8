"""Instances to be rendered: files that pydicom ships, and small ones made here."""

from __future__ import annotations

import io
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import requests
from numpy.typing import NDArray
from PIL import Image as Pillow
from pydicom.uid import EncapsulatedPDFStorage, VideoEndoscopicImageStorage

from tests import instances
from tests.dicomweb import Stored, made

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
MPEG4 = "1.2.840.10008.1.2.4.102"
PDF = b"%PDF-1.7 made for a test\n"


def shipped(name: str) -> Stored:
    """A file of pydicom's with UIDs of its own, in place of its own of the same length."""
    path = SHIPPED / name
    dataset, content = pydicom.dcmread(path), path.read_bytes()
    own = [
        str(dataset[keyword].value) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    ]
    new = [f"2.25.{instances.uid()[5:]:0<64}"[: len(uid)] for uid in own]
    for old, uid in zip(own, new, strict=True):
        content = content.replace(old.encode(), uid.encode())
    return Stored(new[0], new[1], new[2], content)


def gray(*levels: int, study: str = "", series: str = "", frames: int = 1, **elements: Any) -> Stored:
    """An image of one row of 8 bits, which are shown as they are; several frames are of equal length."""
    return made(
        study,
        series,
        Rows=1,
        Columns=len(levels) // frames,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        NumberOfFrames=frames if frames > 1 else None,
        PixelData=bytes(levels) + bytes(len(levels) % 2),
        **elements,
    )


def document(content: bytes = PDF, **elements: Any) -> Stored:
    """An encapsulated PDF."""
    values = {
        "SOPClassUID": EncapsulatedPDFStorage,
        "Modality": "DOC",
        "EncapsulatedDocument": content + bytes(len(content) % 2),
        "EncapsulatedDocumentLength": len(content),
        "MIMETypeOfEncapsulatedDocument": "application/pdf",
        **dict.fromkeys(("PixelData", "Rows", "Columns", "BitsAllocated", "PhotometricInterpretation")),
    }
    return made(**(values | elements))


def video(*fragments: bytes) -> Stored:
    """A video of some fragments in one instance."""
    study, series, instance = instances.uid(), instances.uid(), instances.uid()
    dataset = pydicom.dcmread(BytesIO(instances.file(study, series, instance, NumberOfFrames=30)))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = VideoEndoscopicImageStorage
    dataset.file_meta.TransferSyntaxUID = MPEG4
    items = [b"", *fragments]
    value = b"".join(b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in items)
    dataset.PixelData = value
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    content = io.BytesIO()
    dataset.save_as(content)
    return Stored(study, series, instance, content.getvalue())


def report(study: str = "") -> Stored:
    """A structured report, as far as a header says it."""
    return made(study, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Modality="SR", PixelData=None, Rows=None)


def picture(answer: requests.Response | bytes) -> Pillow.Image:
    """The image of an answer."""
    return Pillow.open(BytesIO(answer if isinstance(answer, bytes) else answer.content))


def levels(answer: requests.Response | bytes) -> list[int]:
    """The gray levels of an answer, in one row."""
    return [int(level) for level in pixels(answer).reshape(-1)]


def pixels(answer: requests.Response | bytes) -> NDArray[np.uint8]:
    """The pixels of an answer."""
    opened = picture(answer)
    return np.asarray(opened.convert("L") if opened.mode == "P" else opened)
