"""Every file that pydicom ships: stored as it is, found, and given back as it was."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames

from tests import dicomweb
from tests.dicomweb import ANY_SYNTAX, DICOM_JSON, SINGLE

DATA = Path(pydicom.__file__).parent / "data"

NO_STUDY = (0xA900, "(0020,000D) StudyInstanceUID is missing or empty")
NO_DICOM = (0x0110, "not a DICOM file: no 'DICM' at byte 128, no data set at byte 0")

REFUSED = {
    "charset_files/chrSQEncoding.dcm": NO_STUDY,
    "charset_files/chrSQEncoding1.dcm": NO_STUDY,
    # Color palettes are non-patient objects: they belong to no study (PS3.3 A.86).
    "palettes/fall.dcm": NO_STUDY,
    "palettes/hotiron.dcm": NO_STUDY,
    "palettes/hotmetalblue.dcm": NO_STUDY,
    "palettes/pet.dcm": NO_STUDY,
    "palettes/pet20step.dcm": NO_STUDY,
    "palettes/spring.dcm": NO_STUDY,
    "palettes/summer.dcm": NO_STUDY,
    "palettes/winter.dcm": NO_STUDY,
    "test_files/JPEGLSNearLossless_08.dcm": NO_STUDY,
    "test_files/JPEGLSNearLossless_16.dcm": NO_STUDY,
    "test_files/MR_truncated.dcm": (0x0110, "the instance ends at byte 9630 inside (7FE0,0010)"),
    "test_files/SC_rgb_jls_lossy_line.dcm": NO_STUDY,
    "test_files/SC_rgb_jls_lossy_sample.dcm": NO_STUDY,
    "test_files/UN_sequence.dcm": NO_STUDY,
    # Directories are of media, not of studies (PS3.10 8.6).
    "test_files/dicomdirtests/DICOMDIR": NO_STUDY,
    "test_files/dicomdirtests/DICOMDIR-bigEnd": NO_STUDY,
    "test_files/dicomdirtests/DICOMDIR-empty.dcm": NO_STUDY,
    "test_files/dicomdirtests/DICOMDIR-implicit": NO_STUDY,
    "test_files/dicomdirtests/DICOMDIR-nooffset": NO_STUDY,
    "test_files/dicomdirtests/DICOMDIR-nopatient": NO_STUDY,
    "test_files/dicomdirtests/DICOMDIR-reordered": NO_STUDY,
    "test_files/dicomdirtests/TINY_ALPHA/DICOMDIR": NO_STUDY,
    "test_files/empty_charset_LEI.dcm": NO_STUDY,
    "test_files/meta_missing_tsyntax.dcm": NO_STUDY,
    "test_files/nested_priv_SQ.dcm": NO_STUDY,
    # Its data set begins behind a stray byte.
    "test_files/no_meta.dcm": NO_DICOM,
    "test_files/no_meta_group_length.dcm": NO_STUDY,
    "test_files/priv_SQ.dcm": NO_STUDY,
    "test_files/rtplan_truncated.dcm": (0x0110, "the instance ends at byte 2129 inside (300A,012C)"),
}
"""Files that cannot be stored: the FailureReason and what the comment says."""

GUESSED_SYNTAX = {
    "test_files/ExplVR_BigEndNoMeta.dcm": "1.2.840.10008.1.2.2",
    "test_files/ExplVR_LitEndNoMeta.dcm": "1.2.840.10008.1.2.1",
}
"""Files that do not say their transfer syntax."""

ONE_FRAME = {"test_files/badVR.dcm"}
"""Files whose NumberOfFrames is no number: they have one."""

NOT_ENCODED = {("test_files/badVR.dcm", "00280008")}
"""Elements that pydicom reads but cannot encode as JSON."""


def _is_dicom(path: Path) -> bool:
    return path.is_file() and (
        path.read_bytes()[128:132] == b"DICM" or "NoMeta" in path.name or path.name.startswith("no_meta")
    )


FILES = {str(path.relative_to(DATA)): path for path in sorted(DATA.rglob("*")) if _is_dicom(path)}
STORED = [name for name in FILES if name not in REFUSED]


@dataclass(frozen=True, slots=True)
class Kept:
    """A file in the service."""

    name: str
    content: bytes
    dataset: pydicom.Dataset
    service: str

    @property
    def url(self) -> str:
        """The instance's URL."""
        study, series = self.dataset.StudyInstanceUID, self.dataset.SeriesInstanceUID
        return f"{self.service}/studies/{study}/series/{series}/instances/{self.dataset.SOPInstanceUID}"

    @property
    def transfer_syntax(self) -> str:
        """The transfer syntax the file says, or is known to have."""
        return GUESSED_SYNTAX.get(self.name) or str(self.dataset.file_meta.TransferSyntaxUID)


def _read(path: Path) -> pydicom.Dataset:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path, force=True)
        dataset.decode()
        return dataset


@pytest.fixture(scope="module", params=STORED)
def kept(request: pytest.FixtureRequest, service: str) -> Iterator[Kept]:
    """Each file in turn; some have the same UIDs, so none stays."""
    path = FILES[request.param]
    kept = Kept(request.param, path.read_bytes(), _read(path), service)
    dicomweb.delete(kept.url)
    answer = dicomweb.post(f"{service}/studies", kept.content)
    assert answer.status_code in (200, 202), answer.text
    yield kept
    assert dicomweb.delete(kept.url).status_code == 204


@pytest.mark.parametrize("name", REFUSED)
def test_file_that_cannot_be_stored(service: str, name: str) -> None:
    """What is refused is refused for a reason, which names what is missing and where."""
    answer = dicomweb.post(f"{service}/studies", FILES[name].read_bytes())

    assert answer.status_code == 409
    failed = dicomweb.value(answer.json(), "00081198")
    comment = dicomweb.value(dicomweb.value(failed, "00741048"), "00000902")
    assert (dicomweb.value(failed, "00081197"), comment) == (
        REFUSED[name][0],
        f"DICOM100: {REFUSED[name][1]}",
    )


def test_file_is_found_by_study(kept: Kept) -> None:
    """A search for its StudyInstanceUID finds the study."""
    (found,) = dicomweb.search(kept.service, f"studies?StudyInstanceUID={kept.dataset.StudyInstanceUID}")

    assert dicomweb.value(found, "0020000D") == kept.dataset.StudyInstanceUID


def test_file_is_found_by_its_values(kept: Kept) -> None:
    """A search for values as they stand in the file, in any character set, finds the study."""
    keywords = ("PatientID", "PatientName", "StudyDate", "AccessionNumber", "StudyInstanceUID")
    sought = {keyword: str(kept.dataset[keyword].value) for keyword in keywords if kept.dataset.get(keyword)}

    answer = dicomweb.get(f"{kept.service}/studies?{urlencode(sought)}")

    assert (answer.status_code, len(answer.json())) == (200, 1)


def test_file_single_part(kept: Kept) -> None:
    """It is given back byte for byte, and its transfer syntax is named."""
    answer = dicomweb.get(kept.url, SINGLE)

    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={kept.transfer_syntax}"
    assert answer.content == kept.content


def test_file_multipart(kept: Kept) -> None:
    """It is the one part of its study, byte for byte."""
    answer = dicomweb.get(kept.url.partition("/series/")[0], ANY_SYNTAX)

    content_type = f"Content-Type: application/dicom; transfer-syntax={kept.transfer_syntax}"
    assert dicomweb.parts_of(answer) == [(content_type, kept.content)]


def test_file_metadata(kept: Kept) -> None:
    """Its metadata are what pydicom makes of it; bulk data have the bytes that pydicom reads."""
    answer = dicomweb.get(f"{kept.url}/metadata", DICOM_JSON)

    (got,) = answer.json()
    for tag in ("7FE00008", "7FE00009", "7FE00010"):
        got.pop(tag, None)
    want = _encoded(kept)
    assert got.keys() == want.keys()
    unknown = {key for name, key in NOT_ENCODED if name == kept.name}
    assert {key: _inlined(got[key]) for key in want if key not in unknown} == {
        key: _plain(value) for key, value in want.items() if key not in unknown
    }


def test_file_frames(kept: Kept) -> None:
    """All of its frames at once are those that pydicom finds; without pixel data there are none."""
    frames = _frames(kept)
    if not frames:
        assert dicomweb.get(f"{kept.url}/frames/1").status_code == 404
        return

    numbers = ",".join(str(number) for number in range(1, len(frames) + 1))
    answer = dicomweb.get(
        f"{kept.url}/frames/{numbers}",
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
    )

    assert answer.status_code == 200, answer.text
    assert [content for _, content in dicomweb.parts_of(answer)] == frames
    assert dicomweb.get(f"{kept.url}/frames/{len(frames) + 1}").status_code == 404


def test_file_last_frame(kept: Kept) -> None:
    """Its last frame alone, as a single part, is the one that pydicom finds."""
    frames = _frames(kept)
    if frames:
        answer = dicomweb.get(
            f"{kept.url}/frames/{len(frames)}", "application/octet-stream; transfer-syntax=*"
        )

        assert answer.content == frames[-1]


def _encoded(kept: Kept) -> dict[str, Any]:
    """The data set up to the pixel data as pydicom encodes it, element by element."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(FILES[kept.name], force=True, stop_before_pixels=True)
        return {
            key: {} if (kept.name, key) in NOT_ENCODED else dataset[tag].to_json_dict(None, 0)
            for tag in list(dataset.keys())
            for key in [f"{tag:08X}"]
        }


def _plain(element: dict[str, Any]) -> dict[str, Any]:
    """An element with nothing in place of what is empty (PS3.18 F.2.5)."""
    vr, values = element["vr"], element.get("Value", [])
    if vr == "SQ":
        values = [{key: _plain(nested) for key, nested in item.items()} for item in values]
    elif vr == "PN":
        values = [{group: text for group, text in name.items() if text} or None for name in values]
    else:
        values = [None if value == "" else value for value in values]
    members = {"Value": values, "InlineBinary": element.get("InlineBinary")}
    return {"vr": vr, **{name: content for name, content in members.items() if content}}


def _inlined(element: dict[str, Any]) -> dict[str, Any]:
    """An element with its bulk data fetched from where it says they are."""
    if "BulkDataURI" in element:
        answer = dicomweb.get(element["BulkDataURI"], "application/octet-stream; transfer-syntax=*")
        assert answer.status_code == 200, answer.text
        return {"vr": element["vr"], "InlineBinary": base64.b64encode(answer.content).decode()}
    if element["vr"] == "SQ":
        items = [{key: _inlined(nested) for key, nested in item.items()} for item in element.get("Value", [])]
        return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
    return element


def _frames(kept: Kept) -> list[bytes]:
    """The encoded frames by pydicom's reckoning; native ones by that of PS3.5 8.1."""
    dataset = kept.dataset
    if "PixelData" not in dataset or not dataset.PixelData:
        return []
    count = 1 if kept.name in ONE_FRAME else int(dataset.get("NumberOfFrames") or 1)
    if dataset["PixelData"].is_undefined_length:
        extended = dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths")
        offsets = extended if all(extended) else None
        return list(generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=offsets))
    samples = dataset.SamplesPerPixel
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        samples = 2
    bits = dataset.Rows * dataset.Columns * samples * dataset.BitsAllocated
    if bits % 8:
        single = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8), bitorder="little")
        return [
            np.packbits(single[at * bits : (at + 1) * bits], bitorder="little").tobytes()
            for at in range(count)
        ]
    return [dataset.PixelData[at * bits // 8 : (at + 1) * bits // 8] for at in range(count)]
