"""Instances of more than what a worker keeps in memory: stored and given back as they flow."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator

import pydicom
import pytest
import requests
from pydicom.uid import EncapsulatedPDFStorage

from tests import dicomweb, instances
from tests.dicomweb import SINGLE, Stored

pytestmark = pytest.mark.slow

MIB = 1 << 20
IMAGE = 150 * MIB
DOCUMENT = 80 * MIB
BLOCK = os.urandom(MIB)


class Large:
    """A file that is made while it is sent: a small one whose last value is exchanged for a large one."""

    def __init__(self, small: bytes, value: bytes, size: int) -> None:
        length = len(value).to_bytes(4, "little")
        before, found, after = small.rpartition(length + value)
        assert found
        self._before, self._after = before + size.to_bytes(4, "little"), after
        self._size = size

    def __iter__(self) -> Iterator[bytes]:
        yield self._before
        for number in range(self._size // MIB):
            yield number.to_bytes(4, "little") + BLOCK[4:]
        if self._after:
            yield self._after

    @property
    def digest(self) -> str:
        """The digest of all bytes."""
        return _digest(self)


def _digest(chunks: Iterator[bytes] | Large) -> str:
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
    return digest.hexdigest()


def image(uids: tuple[str, str, str]) -> Large:
    """An image with 150 frames of 1 MiB, in Pixel Data of 150 MiB."""
    marker = b"\7" * 32
    small = instances.file(
        *uids,
        Rows=1024,
        Columns=1024,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        NumberOfFrames=150,
        PixelData=marker,
    )
    return Large(small, marker, IMAGE)


def document(uids: tuple[str, str, str]) -> Large:
    """An encapsulated PDF of 80 MiB: a large value in the header, with elements behind it."""
    marker = b"%PDF-1.7" * 4
    small = instances.file(
        *uids,
        SOPClassUID=EncapsulatedPDFStorage,
        Modality="DOC",
        EncapsulatedDocument=marker,
        MIMETypeOfEncapsulatedDocument="application/pdf",
        PixelData=None,
        DocumentTitle="Report",
    )
    return Large(small, marker, DOCUMENT)


@pytest.mark.parametrize("multipart", [False, True], ids=["single part", "multipart"])
@pytest.mark.parametrize("make", [image, document])
def test_large_instance(service: str, make: object, multipart: bool) -> None:
    """It is stored from a stream and given back byte for byte, its large value alone too."""
    assert callable(make)
    uids = (instances.uid(), instances.uid(), instances.uid())
    large = make(uids)
    stored = Stored(*uids, b"")

    answer = requests.post(
        f"{service}/studies",
        data=_parts(large) if multipart else iter(large),
        headers={"Content-Type": dicomweb.MULTIPART if multipart else "application/dicom"},
        timeout=60,
    )

    assert answer.status_code == 200, answer.text
    with requests.get(
        f"{service}/{stored.path}", headers={"Accept": SINGLE}, stream=True, timeout=60
    ) as given:
        assert _digest(given.iter_content(MIB)) == large.digest
    _check_value(service, stored)
    assert dicomweb.delete(f"{service}/{stored.path}").status_code == 204


def _parts(large: Large) -> Iterator[bytes]:
    head, tail = dicomweb.joined([b"\0"]).split(b"\0")
    yield head
    yield from large
    yield tail


def _check_value(service: str, stored: Stored) -> None:
    """The large value can be had by its BulkDataURI, whole and in ranges; a frame is a part of it."""
    (metadata,) = dicomweb.get(f"{service}/{stored.path}/metadata").json()
    tag = "7FE00010" if "7FE00010" in metadata else "00420011"
    uri = metadata[tag]["BulkDataURI"]

    answer = dicomweb.get(uri, "application/octet-stream", Range=f"bytes={5 * MIB}-{6 * MIB - 1}")

    block = (5).to_bytes(4, "little") + BLOCK[4:]
    assert (answer.status_code, answer.content) == (206, block)
    if tag == "7FE00010":
        assert dicomweb.get(f"{service}/{stored.path}/frames/6", "application/octet-stream").content == block
    else:
        assert metadata["00420010"]["Value"] == ["Report"]


def test_large_file_is_a_dicom_file() -> None:
    """What these tests send is what pydicom reads."""
    uids = (instances.uid(), instances.uid(), instances.uid())

    read = pydicom.dcmread(io.BytesIO(b"".join(document(uids))))

    assert len(read.EncapsulatedDocument) == DOCUMENT
    assert read.MIMETypeOfEncapsulatedDocument == "application/pdf"
