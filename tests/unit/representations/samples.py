"""The files that pydicom ships inside its package, and small instances built from bytes."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import pydicom

from dicom_core.representations.instances import InvalidInstance, Layout, Reader
from dicom_core.representations.levels import Element

_DATA = Path(pydicom.__file__).parent / "data"
_NOT_READ = {"MR_truncated.dcm", "rtplan_truncated.dcm", "no_meta.dcm"}
"""Cut files, and one whose data set begins at byte 1."""


def _is_dicom(path: Path) -> bool:
    head = path.read_bytes()[:132]
    return head[128:] == b"DICM" or "NoMeta" in path.name


ALL = sorted(path for path in _DATA.rglob("*") if path.is_file() and _is_dicom(path))
"""pydicom's own search would download the files that are not in the package."""

FILES = [path for path in ALL if path.name not in _NOT_READ and "TINY_ALPHA/PT" not in str(path)]
"""Every file that can be read, but one of 50 that are alike."""

SMALL = [path for path in FILES if path.stat().st_size < 2500]


def path(name: str) -> Path:
    """A shipped file."""
    return next(path for path in ALL if path.name == name)


def named(name: str) -> bytes:
    """The bytes of a shipped file."""
    return path(name).read_bytes()


def oracle(path: Path) -> pydicom.Dataset:
    """The file as pydicom reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(path, force=True)


def read(*chunks: bytes) -> Layout:
    """Push chunks through a reader."""
    reader = Reader()
    for chunk in chunks:
        reader.feed(chunk)
    return reader.finish()


def attempt(*chunks: bytes) -> Layout | str:
    """What becomes of the chunks: a layout, or the text of the refusal."""
    try:
        return read(*chunks)
    except InvalidInstance as error:
        return str(error)


_TABLES = {path: read(path.read_bytes()).frames for path in FILES}
ENCAPSULATED = [path for path, table in _TABLES.items() if table.encapsulated]
NATIVE = [
    path
    for path, table in _TABLES.items()
    if table.count and not table.encapsulated and "dfl" not in path.name
]

_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def element(tag: int, vr: str, value: bytes, length: int | None = None, order: str = "<") -> bytes:
    """An element with explicit VR."""
    head = struct.pack(order + "HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    length = len(value) if length is None else length
    return head + struct.pack(order + ("2xL" if vr in _LONG else "H"), length) + value


def implicit(tag: int, value: bytes, length: int | None = None) -> bytes:
    """An element with implicit VR."""
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value) if length is None else length) + value


def item(content: bytes) -> bytes:
    """An item of a sequence, or a fragment."""
    return implicit(0xFFFEE000, content)


SEQUENCE_END = implicit(0xFFFEE0DD, b"")
ITEM_END = implicit(0xFFFEE00D, b"")
UNDEFINED = 0xFFFFFFFF


def instance(*elements: bytes, syntax: str = "1.2.840.10008.1.2.1") -> bytes:
    """A DICOM file of a data set's elements."""
    uid = syntax.encode()
    meta = element(0x00020010, "UI", uid + b"\0" * (len(uid) % 2))
    return bytes(128) + b"DICM" + meta + b"".join(elements)


def deflated(data: bytes) -> bytes:
    """A DICOM file whose data set is deflated (PS3.5 A.5)."""
    compressor = zlib.compressobj(9, wbits=-15)
    return instance(compressor.compress(data) + compressor.flush(), syntax="1.2.840.10008.1.2.1.99")


def value(vr: str, encoded: bytes, tag: int = 0x00091001, before: bytes = b"") -> Element:
    """The JSON of one element of an explicit little endian data set."""
    encoding: Element = read(instance(before, element(tag, vr, encoded))).header.dataset[f"{tag:08X}"]
    return encoding
