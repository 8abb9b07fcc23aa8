"""The JavaScript client that OHIF and Slim use, in Node.js; nothing of it is changed. Every method of it is called."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydicom
import pytest
from PIL import Image
from pydicom.uid import EncapsulatedPDFStorage

from tests import dicomweb, instances
from tests.dicomweb import Stored, made, value
from tests.serving import ROOT

MODULES = ROOT / ".tools" / "clients"
DRIVER = Path(__file__).with_name("dicomweb_client.mjs")
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
FRAME = 32
FITTED = {"viewport": "2,2"}
OCTETS, JP2 = "application/octet-stream", "image/jp2"
EXPLICIT, JPEG_2000 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"


class Failed(Exception):
    """A method's promise was rejected; the status is that of the answer, if there was one."""

    def __init__(self, status: int | None, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Client:
    """A DICOMwebClient in a process of its own."""

    process: subprocess.Popen[str]

    def __call__(self, method: str, **options: Any) -> Any:
        """Call a method with its options; bytes go and come as ArrayBuffer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps({"method": method, "options": options}, default=_given), file=self.process.stdin)
        self.process.stdin.flush()
        outcome = json.loads(self.process.stdout.readline(), object_hook=_taken)
        if "message" in outcome:
            raise Failed(outcome["status"], outcome["message"])
        return outcome["value"]


def _given(content: bytes) -> dict[str, str]:
    return {"base64": base64.b64encode(content).decode()}


def _taken(item: dict[str, Any]) -> Any:
    return base64.b64decode(item["base64"]) if "base64" in item else item


@pytest.fixture(scope="module")
def client(service: str) -> Iterator[Client]:
    """The client with its defaults."""
    if not (MODULES / "node_modules" / "dicomweb-client").exists():
        if os.environ.get("CI") == "true":
            pytest.fail("dicomweb-client is not installed: run make setup")
        pytest.skip("dicomweb-client is not installed: run make setup")
    node = shutil.which("node", path=f"{ROOT / '.tools/node/bin'}:{os.environ['PATH']}")
    assert node is not None
    command = [node, str(DRIVER), str(MODULES), service]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Client(process)


@pytest.fixture(scope="module")
def study(service: str) -> list[Stored]:
    """A study of two series; the first has an image of three frames, and another one; the second a report."""
    uid, series, patient = instances.uid(), instances.uid(), instances.uid()[-16:]
    frames = b"".join(bytes([number]) * FRAME for number in (1, 2, 3))
    stored = [
        made(uid, series, PatientID=patient, InstanceNumber=1, NumberOfFrames=3, PixelData=frames),
        made(uid, series, PatientID=patient, InstanceNumber=2),
        made(uid, PatientID=patient, InstanceNumber=1, Modality="SR"),
    ]
    dicomweb.keep(service, *stored)
    return stored


@pytest.fixture(scope="module")
def packed(service: str) -> tuple[dict[str, str], bytes]:
    """The UIDs of an image in JPEG 2000, and its one frame as it is encoded."""
    image = pydicom.dcmread(SHIPPED / "MR_small_jp2klossless.dcm")
    assert dicomweb.post(f"{service}/studies", (SHIPPED / "MR_small_jp2klossless.dcm").read_bytes()).ok
    uids = uids_of(
        Stored(str(image.StudyInstanceUID), str(image.SeriesInstanceUID), str(image.SOPInstanceUID), b"")
    )
    return uids, pydicom.encaps.get_frame(image.PixelData, 0, number_of_frames=1)


def uids_of(stored: Stored, level: str = "instance") -> dict[str, str]:
    """The options that name a study, a series or an instance."""
    named = {
        "studyInstanceUID": stored.study,
        "seriesInstanceUID": stored.series,
        "sopInstanceUID": stored.instance,
    }
    return dict(list(named.items())[: ("study", "series", "instance").index(level) + 1])


def media_types(*pairs: tuple[str, str | None]) -> dict[str, Any]:
    """The option that lists acceptable media types."""
    return {
        "mediaTypes": [
            {"mediaType": name} | ({"transferSyntaxUID": syntax} if syntax else {}) for name, syntax in pairs
        ]
    }


@pytest.mark.parametrize(
    ("method", "level", "tag", "expected"),
    [
        ("searchForStudies", None, "0020000D", {0}),
        ("searchForSeries", None, "0020000E", {0, 2}),
        ("searchForSeries", "study", "0020000E", {0, 2}),
        ("searchForInstances", None, "00080018", {0, 1, 2}),
        ("searchForInstances", "study", "00080018", {0, 1, 2}),
        ("searchForInstances", "series", "00080018", {0, 1}),
    ],
)
def test_search(
    client: Client, study: list[Stored], method: str, level: str | None, tag: str, expected: set[int]
) -> None:
    """Studies, series and instances, of all, of a study, of a series."""
    below = uids_of(study[0], level) if level else {}
    query = {"PatientID": value(metadata_of(client, study[0]), "00100020"), "limit": 10, "offset": 0}

    found = client(method, **below, queryParams=query)

    names = {"0020000D": "study", "0020000E": "series", "00080018": "instance"}
    assert {value(item, tag) for item in found} == {getattr(study[at], names[tag]) for at in expected}


def metadata_of(client: Client, stored: Stored) -> Any:
    """The metadata of an instance."""
    return client("retrieveInstanceMetadata", **uids_of(stored))[0]


@pytest.mark.parametrize(
    "query",
    [
        {"PatientName": "*dOE*", "fuzzymatching": True},
        {"ModalitiesInStudy": ["MR", "SR"]},
        {"StudyDate": "20260101-20260201"},
        {"includefield": ["00081030", "PatientSex"], "offset": 0, "limit": 101},
        {"NoSuchAttribute": "x"},
    ],
    ids=lambda query: "&".join(query),
)
def test_search_parameters(client: Client, study: list[Stored], query: dict[str, Any]) -> None:
    """Lists come as values separated by commas; what is unknown is passed over."""
    found = client("searchForStudies", queryParams={"StudyInstanceUID": study[0].study, **query})

    assert [value(item, "0020000D") for item in found] == [study[0].study]


def test_search_without_match(client: Client) -> None:
    """No match is an empty list."""
    assert client("searchForStudies", queryParams={"StudyInstanceUID": "1.2.3.4.5"}) == []


@pytest.mark.parametrize(
    ("method", "level", "count"),
    [("retrieveStudyMetadata", "study", 3), ("retrieveSeriesMetadata", "series", 2)],
)
def test_metadata(client: Client, study: list[Stored], method: str, level: str, count: int) -> None:
    """Metadata of many instances holds that of each one."""
    found = client(method, **uids_of(study[0], level))

    assert len(found) == count
    assert all(metadata_of(client, one) in found for one in study[:count])


@pytest.mark.parametrize(
    ("method", "level", "count"),
    [("retrieveStudy", "study", 3), ("retrieveSeries", "series", 2), ("retrieveInstance", "instance", 1)],
)
def test_retrieve(client: Client, study: list[Stored], method: str, level: str, count: int) -> None:
    """Instances come back byte for byte; the client cannot name a transfer syntax (it knows of none here)."""
    found = client(method, **uids_of(study[0], level))

    files = [found] if level == "instance" else found
    assert sorted(files) == sorted(one.content for one in study[:count])


@pytest.mark.parametrize(
    "accepted", [{}, media_types((OCTETS, None)), media_types((OCTETS, "*")), media_types((OCTETS, EXPLICIT))]
)
@pytest.mark.parametrize("numbers", [[1], [2, 3], [3, 1]])
def test_frames(client: Client, study: list[Stored], numbers: list[int], accepted: dict[str, Any]) -> None:
    """Frames come one by one, in the order asked for."""
    found = client("retrieveInstanceFrames", **uids_of(study[0]), frameNumbers=numbers, **accepted)

    assert found == [bytes([number]) * FRAME for number in numbers]


@pytest.mark.parametrize(
    "accepted",
    [
        media_types((OCTETS, "*")),
        media_types((JP2, None)),
        media_types((JP2, JPEG_2000)),
        media_types((JP2, JPEG_2000), (OCTETS, "*")),
        media_types(("image/jls", "1.2.840.10008.1.2.4.80"), (JP2, JPEG_2000)),
    ],
    ids=["octets", "jp2", "jp2 lossless", "either", "one of two images"],
)
def test_frames_of_compressed_image(
    client: Client, packed: tuple[dict[str, str], bytes], accepted: dict[str, Any]
) -> None:
    """A compressed frame is given as it is, under its media type or as any bytes."""
    uids, frame = packed

    assert client("retrieveInstanceFrames", **uids, frameNumbers=[1], **accepted) == [frame]


@pytest.mark.parametrize(
    "accepted", [{}, media_types((OCTETS, None)), media_types(("application/pdf", None), (OCTETS, None))]
)
def test_bulkdata(client: Client, study: list[Stored], accepted: dict[str, Any]) -> None:
    """A BulkDataURI of the metadata leads to the value, whatever else would be acceptable."""
    address = metadata_of(client, study[0])["7FE00010"]["BulkDataURI"]

    found = client("retrieveBulkData", BulkDataURI=address, **accepted)

    assert found == [b"".join(bytes([number]) * FRAME for number in (1, 2, 3))]


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        ({}, "JPEG"),
        (media_types(("image/jpeg", None)), "JPEG"),
        (media_types(("image/png", None)), "PNG"),
        (media_types(("image/png", None), ("image/jpeg", None)), "JPEG"),
    ],
    ids=["default", "jpeg", "png", "either"],
)
@pytest.mark.parametrize(
    ("method", "frames"),
    [
        ("retrieveInstanceRendered", {}),
        ("retrieveInstanceThumbnail", {}),
        ("retrieveInstanceFramesRendered", {"frameNumbers": [2]}),
        ("retrieveInstanceFramesThumbnail", {"frameNumbers": [2]}),
    ],
)
def test_picture(
    client: Client,
    study: list[Stored],
    method: str,
    frames: dict[str, Any],
    accepted: dict[str, Any],
    form: str,
) -> None:
    """An instance or a frame, rendered or as thumbnail, is one picture (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""
    (picture,) = client(method, **uids_of(study[0]), **frames, **accepted, queryParams=FITTED)

    shown = Image.open(io.BytesIO(picture))
    assert (shown.format, shown.size) == (form, (2, 2))


@pytest.mark.parametrize(
    "method", ["retrieveInstanceRendered", "retrieveInstanceThumbnail", "retrieveInstanceFramesThumbnail"]
)
def test_picture_without_parameters(client: Client, study: list[Stored], method: str) -> None:
    """It has the size of the image; rendered frames the client reads as text then, which is its own mistake."""
    (picture,) = client(method, **uids_of(study[0]), frameNumbers=[2])

    assert Image.open(io.BytesIO(picture)).size == (4, 4)


def test_pictures_of_frames(client: Client, study: list[Stored]) -> None:
    """Several frames are as many pictures, in the order asked for."""
    middle = 0x0202  # the value of the second frame; the first has half of it, the third one and a half

    pictures = client(
        "retrieveInstanceFramesRendered",
        **uids_of(study[0]),
        frameNumbers=[3, 1],
        queryParams={"window": f"{middle},{2 * middle},linear-exact"},
        **media_types(("image/png", None)),
    )

    assert [Image.open(io.BytesIO(picture)).getextrema() for picture in pictures] == [(191, 191), (64, 64)]


def test_rendered_document(client: Client, service: str) -> None:
    """A document is given as it was encapsulated, without what pads it; the client cannot ask for it by name."""
    document = b"%PDF-1.7 of an odd length"
    one = made(
        SOPClassUID=EncapsulatedPDFStorage,
        Modality="DOC",
        MIMETypeOfEncapsulatedDocument="application/pdf",
        EncapsulatedDocument=document + b"\0",
        EncapsulatedDocumentLength=len(document),
        Rows=None,
        Columns=None,
        PixelData=None,
    )
    dicomweb.keep(service, one)

    assert client("retrieveInstanceRendered", **uids_of(one)) == [document]


@pytest.mark.parametrize("level", [None, "study"])
def test_store(client: Client, level: str | None) -> None:
    """Several instances are one request; its body begins with CRLF, and ends without one."""
    study = instances.uid()
    stored = [made(study), made(study)]

    client(
        "storeInstances",
        datasets=[one.content for one in stored],
        **(uids_of(stored[0], level) if level else {}),
    )

    back = client("retrieveStudy", studyInstanceUID=study)
    assert sorted(back) == sorted(one.content for one in stored)


def test_store_conflict(client: Client, study: list[Stored]) -> None:
    """What belongs to another study is refused."""
    with pytest.raises(Failed) as refusal:
        client("storeInstances", datasets=[made().content], studyInstanceUID=study[0].study)

    assert refusal.value.status == 409


@pytest.mark.parametrize(
    ("status", "method", "options"),
    [
        (400, "searchForStudies", {"queryParams": {"limit": -1}}),
        (404, "retrieveInstance", uids_of(Stored("1.2.3", "1.2.4", "1.2.5", b""))),
        (404, "retrieveStudyMetadata", {"studyInstanceUID": "1.2.3"}),
    ],
)
def test_failure(client: Client, status: int, method: str, options: dict[str, Any]) -> None:
    """A refusal rejects the promise, with the status of the answer."""
    with pytest.raises(Failed) as failure:
        client(method, **options)

    assert failure.value.status == status
