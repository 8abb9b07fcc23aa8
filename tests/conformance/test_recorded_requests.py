"""Requests as viewers send them, header by header: what each of them gets, and that it can read it.

They were taken from the clients' sources and from the wire. What a client does with its own code is tested with that
code where it runs here: OHIF, dicomweb-client for Python and for JavaScript.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import imagecodecs
import pydicom
import pytest
import requests
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless

from tests import dicomweb, instances
from tests.dicomweb import Stored, made, parts_of, value

OCTETS, DICOM, JSON = "application/octet-stream", "application/dicom", "application/dicom+json"
RELATED = "multipart/related"
FRAMES = [bytes([number]) * 32 for number in (1, 2, 3)]
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files" / "MR_small_jp2klossless.dcm"

BROWSER = {"Origin": "https://viewer.example", "Accept-Encoding": "gzip, deflate, br, zstd"}
JAVA = {"Accept": "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"}
"""What Java's HTTP client sends when it is told nothing; the first asterisk is no media range."""
PYTHON = {"Accept": "application/dicom+json, application/json"}
STUDY_FIELDS = (
    "00080020,00080030,00080050,00080061,00080090,00081030,"
    "00100010,00100020,00100021,00100030,00100040,0020000D,00200010"
)
MICROSCOPY = ", ".join(
    f'{RELATED}; type="{name}"; transfer-syntax={syntax}'
    for name, syntax in (
        ("image/jls", "1.2.840.10008.1.2.4.80"),
        ("image/jls", "1.2.840.10008.1.2.4.81"),
        ("image/jp2", "1.2.840.10008.1.2.4.90"),
        ("image/jp2", "1.2.840.10008.1.2.4.91"),
        ("image/jpx", "1.2.840.10008.1.2.4.92"),
        ("image/jpx", "1.2.840.10008.1.2.4.93"),
        (OCTETS, "*"),
        ("image/jpeg", "1.2.840.10008.1.2.4.50"),
    )
)
BROWSER_IMAGE = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
"""What Chromium accepts for an image of a page."""
OCTET_PARTS = f'{RELATED}; type="{OCTETS}"'


@dataclass(frozen=True, slots=True)
class Kept:
    """What is stored: an image of three frames, a report in the same study, and an image in JPEG 2000."""

    service: str
    image: Stored
    report: Stored
    packed: Stored
    patient: str

    def filled(self, text: str) -> str:
        """A path with its UIDs; those of the packed image begin with a p."""
        return text.format(
            study=self.image.study,
            series=self.image.series,
            instance=self.image.instance,
            report=self.report.series,
            pstudy=self.packed.study,
            pseries=self.packed.series,
            pinstance=self.packed.instance,
            patient=self.patient,
        )


@pytest.fixture(scope="module")
def kept(service: str) -> Kept:
    """Store what the requests ask for."""
    study, patient = instances.uid(), instances.uid()[-16:]
    image = made(study, PatientID=patient, NumberOfFrames=3, PixelData=b"".join(FRAMES))
    report = made(study, PatientID=patient, Modality="SR")
    compressed = pydicom.dcmread(SHIPPED)
    compressed.StudyInstanceUID, compressed.SeriesInstanceUID = instances.uid(), instances.uid()
    compressed.SOPInstanceUID = compressed.file_meta.MediaStorageSOPInstanceUID = instances.uid()
    content = io.BytesIO()
    compressed.save_as(content)
    packed = Stored(
        str(compressed.StudyInstanceUID),
        str(compressed.SeriesInstanceUID),
        str(compressed.SOPInstanceUID),
        content.getvalue(),
    )
    dicomweb.keep(service, image, report, packed)
    return Kept(service, image, report, packed, patient)


Check = Callable[[requests.Response, Kept], bool]


def parts(media_type: str, syntax: str, *expected: bytes) -> Check:
    """The parts of the payload; of their headers the first, which clients compare as it is spelled."""
    header = f"Content-Type: {media_type}; transfer-syntax={syntax}"

    def check(answer: requests.Response, _: Kept) -> bool:
        found = parts_of(answer)
        return [content for _, content in found] == list(expected) and all(
            head.split("\r\n")[0] == header and len(head) < 500 for head, _ in found
        )

    return check


def instance_part(answer: requests.Response, kept: Kept) -> bool:
    """The image, as it was stored."""
    return [content for _, content in parts_of(answer)] == [kept.image.content]


def packed_frame(media_type: str) -> Check:
    """The one frame in JPEG 2000, under this media type."""
    image = pydicom.dcmread(SHIPPED)
    frame = pydicom.encaps.get_frame(image.PixelData, 0, number_of_frames=1)
    return parts(media_type, JPEG2000Lossless, frame)


def matches(*tags: str, count: int = 1) -> Check:
    """The number of matches, each of which has a value of these attributes."""
    return lambda answer, _: (
        len(answer.json()) == count
        and all(item.get(tag, {}).get("Value") for item in answer.json() for tag in tags)
    )


def followable(answer: requests.Response, _: Kept) -> bool:
    """RetrieveURL is absolute, and leads to what it is the URL of."""
    found = requests.get(
        f"{value(answer.json()[0], '00081190')}/instances?includefield=00080018,00200013,00081190",
        headers=JAVA,
        timeout=30,
    )
    return found.status_code == 200 and requests.get(value(found.json()[0], "00081190"), timeout=30).ok


def readable(answer: requests.Response, _: Kept) -> bool:
    """A page of any origin may read the answer and these headers of it."""
    exposed = answer.headers["Access-Control-Expose-Headers"]
    return answer.headers["Access-Control-Allow-Origin"] == "*" and "Content-Range" in exposed


def empty(answer: requests.Response, _: Kept) -> bool:
    """There is no payload."""
    return not answer.content


def whole(*pieces: bytes) -> Check:
    """The payload is these bytes."""
    return lambda answer, _: answer.content == b"".join(pieces)


def picture(form: str, side: int) -> Check:
    """The payload is a picture in this format, of so many pixels in a row and in a column."""

    def check(answer: requests.Response, _: Kept) -> bool:
        shown = Image.open(io.BytesIO(answer.content))
        return (shown.format, shown.size) == (form, (side, side))

    return check


def jpeg_ls_frame(answer: requests.Response, kept: Kept) -> bool:
    """The first frame in JPEG-LS, without loss, and so called."""
    ((head, content),) = parts_of(answer)
    pixels = imagecodecs.jpegls_decode(content).tobytes()
    header = f"Content-Type: image/jls; transfer-syntax={JPEGLSLossless}"
    return head.split("\r\n")[0] == header and pixels == FRAMES[0]


def bulk_data(answer: requests.Response, kept: Kept) -> bool:
    """The BulkDataURI of Pixel Data leads to it for a client that accepts everything."""
    address = answer.json()[0]["7FE00010"]["BulkDataURI"]
    accept = {"Accept": f'{RELATED}; type="*/*"'}
    found = requests.get(address, headers=accept, timeout=30)
    return urlsplit(address).netloc == urlsplit(kept.service).netloc and (
        [content for _, content in parts_of(found)] == [b"".join(FRAMES)]
    )


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request of a client, and what it needs of the answer."""

    client: str
    path: str
    headers: Mapping[str, str]
    status: int
    media_type: str | None
    check: Check
    method: str = field(default="GET")


SERIES = "studies/{study}/series/{series}"
IMAGE = f"{SERIES}/instances/{{instance}}"
PACKED = "studies/{pstudy}/series/{pseries}/instances/{pinstance}"
EXPLICIT = str(ExplicitVRLittleEndian)


def accepting(text: str, **others: str) -> dict[str, str]:
    """The headers of a browser that accepts this."""
    return {**BROWSER, "Accept": text, **others}


RECORDED = (
    Recorded(
        "Cornerstone3D",
        f"{IMAGE}/frames/1",
        accepting(f"{RELATED}; type={OCTETS}; transfer-syntax=*"),
        200,
        RELATED,
        parts(OCTETS, EXPLICIT, FRAMES[0]),
    ),
    Recorded(
        "Cornerstone3D, quoted",
        f"{IMAGE}/frames/3",
        accepting(f'{RELATED}; type="{OCTETS}"; transfer-syntax="*"'),
        200,
        RELATED,
        parts(OCTETS, EXPLICIT, FRAMES[2]),
    ),
    Recorded(
        "Cornerstone3D, asking for a syntax and for any",
        f"{PACKED}/frames/1",
        accepting(f'{RELATED}; type="image/jp2"; transfer-syntax={JPEG2000Lossless}; transfer-syntax=*'),
        200,
        RELATED,
        packed_frame("image/jp2"),
    ),
    Recorded(
        "Cornerstone3D, a compressed frame",
        f"{PACKED}/frames/1",
        accepting(f"{RELATED}; type={OCTETS}; transfer-syntax=*"),
        200,
        RELATED,
        packed_frame(OCTETS),
    ),
    Recorded(
        "Cornerstone3D, single part by a range",
        f"{IMAGE}/frames/2",
        accepting(f"{OCTETS}; transfer-syntax=*", Range="bytes=0-9"),
        206,
        OCTETS,
        whole(FRAMES[1][:10]),
    ),
    Recorded(
        "Cornerstone3D, multipart by a range",
        f"{IMAGE}/frames/2",
        accepting(f"{RELATED}; type={OCTETS}; transfer-syntax=*", Range="bytes=0-65535"),
        200,
        RELATED,
        parts(OCTETS, EXPLICIT, FRAMES[1]),
    ),
    Recorded(
        "Cornerstone3D, of another origin with a token",
        f"{IMAGE}/frames/1",
        {
            **BROWSER,
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "accept,authorization,range",
        },
        204,
        None,
        readable,
        method="OPTIONS",
    ),
    Recorded(
        "OHIF, thumbnail of a series",
        f"{SERIES}/thumbnail?viewport=256%2C256",
        accepting("image/jpeg"),
        200,
        "image/jpeg",
        picture("JPEG", 256),
    ),
    Recorded(
        "OHIF, thumbnail of an instance",
        f"{IMAGE}/thumbnail?viewport=256%2C256",
        accepting("image/jpeg"),
        200,
        "image/jpeg",
        picture("JPEG", 256),
    ),
    Recorded(
        "OHIF, thumbnail where the parameter contradicts the header",
        f"{IMAGE}/thumbnail?accept=image%2Fjpeg",
        accepting(OCTET_PARTS),
        200,
        "image/jpeg",
        picture("JPEG", 4),
    ),
    Recorded(
        "OHIF, thumbnail as an image of the page",
        f"{IMAGE}/thumbnail?accept=image/jpeg",
        accepting(BROWSER_IMAGE),
        200,
        "image/jpeg",
        picture("JPEG", 4),
    ),
    Recorded(
        "OHIF, rendered where the parameter contradicts the header",
        f"{IMAGE}/rendered?accept=image%2Fjpeg",
        accepting(OCTET_PARTS),
        200,
        "image/jpeg",
        picture("JPEG", 4),
    ),
    Recorded(
        "OHIF, rendered series as thumbnail",
        f"{SERIES}/rendered?accept=image%2Fjpeg",
        accepting(OCTET_PARTS),
        200,
        "image/jpeg",
        picture("JPEG", 4),
    ),
    Recorded(
        "OHIF, frames in JPEG-LS",
        f"{IMAGE}/frames/1",
        accepting(f"{RELATED}; type=image/jls; transfer-syntax={JPEGLSLossless}"),
        200,
        RELATED,
        jpeg_ls_frame,
    ),
    Recorded(
        "OHIF, frames in JPEG-LS, quoted",
        f"{IMAGE}/frames/1",
        accepting(f'{RELATED}; type="image/jls"; transfer-syntax="{JPEGLSLossless}"'),
        200,
        RELATED,
        jpeg_ls_frame,
    ),
    Recorded(
        "Slim",
        "studies?ModalitiesInStudy=SM&limit=10&offset=0&fuzzymatching=true&PatientID={patient}",
        accepting(JSON),
        204,
        None,
        empty,
    ),
    Recorded(
        "Slim, series of a study",
        "studies/{study}/series?Modality=SR",
        accepting(JSON),
        200,
        JSON,
        matches("0020000D", "0020000E", "00080060"),
    ),
    Recorded(
        "Slim, series of all",
        "series?Modality=SR&StudyInstanceUID={study}",
        accepting(JSON),
        200,
        JSON,
        matches("0020000D", "0020000E", "00080060"),
    ),
    Recorded(
        "Slim, instances by an attribute of their series",
        "studies/{study}/instances?Modality=SR",
        accepting(JSON),
        200,
        JSON,
        matches("00080016", "00080018", "0020000E"),
    ),
    Recorded(
        "Slim, frames",
        f"{IMAGE}/frames/1,2",
        accepting(MICROSCOPY),
        200,
        RELATED,
        parts(OCTETS, EXPLICIT, *FRAMES[:2]),
    ),
    Recorded(
        "Slim, compressed frames",
        f"{PACKED}/frames/1",
        accepting(MICROSCOPY),
        200,
        RELATED,
        packed_frame(OCTETS),
    ),
    Recorded(
        "Slim, one frame",
        f"{IMAGE}/frames/1",
        accepting(f"{OCTETS}; transfer-syntax=*"),
        200,
        OCTETS,
        whole(FRAMES[0]),
    ),
    Recorded(
        "Slim, rendered",
        f"{IMAGE}/frames/1/rendered?viewport=64,64&iccprofile=yes",
        accepting("image/png"),
        200,
        "image/png",
        picture("PNG", 64),
    ),
    Recorded(
        "Weasis, studies of a patient",
        "studies?00100020={patient}&includefield=" + STUDY_FIELDS,
        JAVA,
        200,
        JSON,
        matches("00080020", "00080061", "00100010", "00100020", "0020000D"),
    ),
    Recorded(
        "Weasis, series",
        "studies/{study}/series?includefield=0008103E,00080060,0020000E,00200011,00081190",
        JAVA,
        200,
        JSON,
        followable,
    ),
    Recorded(
        "Weasis, a series with its study",
        "series?0020000E={series}&includefield=" + STUDY_FIELDS + ",0008103E,00080060,00081190,00200011",
        JAVA,
        200,
        JSON,
        matches("0020000D", "00100020", "00080060", "00081190"),
    ),
    Recorded(
        "Weasis, an instance with its study",
        "instances?00080018={instance}&includefield=" + STUDY_FIELDS + ",00080060,0020000E,00200013,00081190",
        JAVA,
        200,
        JSON,
        matches("0020000D", "00100020", "00080060", "0020000E", "00081190"),
    ),
    Recorded(
        "Weasis, how many instances",
        "studies/{study}/series?0020000E={series}&includefield=00201209",
        JAVA,
        200,
        JSON,
        matches("00201209"),
    ),
    Recorded(
        "Weasis, thumbnail",
        f"{SERIES}/thumbnail?viewport=256%2C256",
        JAVA,
        200,
        "image/jpeg",
        picture("JPEG", 256),
    ),
    Recorded(
        "Weasis, an instance",
        IMAGE,
        {"Accept": f'{RELATED};type="{DICOM}";transfer-syntax=*'},
        200,
        RELATED,
        instance_part,
    ),
    Recorded(
        "3D Slicer, a page beyond the last",
        "studies?PatientID={patient}&limit=100&offset=100",
        PYTHON,
        204,
        None,
        empty,
    ),
    Recorded(
        "3D Slicer, fields one by one",
        "studies?PatientID={patient}&includefield=StudyDescription&includefield=00080061",
        PYTHON,
        200,
        JSON,
        matches("00080061", "0020000D"),
    ),
    Recorded(
        "3D Slicer, metadata to a Host without port",
        "studies/{study}/series/{series}/metadata",
        {**PYTHON, "Host": "127.0.0.1"},
        200,
        JSON,
        matches("00080016", "00280010"),
    ),
    Recorded(
        "3D Slicer, an instance",
        IMAGE,
        {"Accept": f'{RELATED}; type="{DICOM}"; transfer-syntax=*'},
        200,
        RELATED,
        instance_part,
    ),
    Recorded(
        "3D Slicer, a series",
        "studies/{study}/series/{series}",
        {"Accept": f'{RELATED}; type="{DICOM}"'},
        200,
        RELATED,
        instance_part,
    ),
    Recorded(
        "3D Slicer, frames of any type",
        f"{IMAGE}/frames/2",
        {"Accept": f'{RELATED}; type="*/*"'},
        200,
        RELATED,
        parts(OCTETS, EXPLICIT, FRAMES[1]),
    ),
    Recorded(
        "MONAI Label, images",
        "series?Modality=SR&PatientID={patient}",
        PYTHON,
        200,
        JSON,
        matches("0020000D", "0020000E", "00081190"),
    ),
    Recorded(
        "MONAI Label, labels",
        "series?Modality=SEG&PatientID={patient}",
        PYTHON,
        204,
        None,
        empty,
    ),
    Recorded(
        "MONAI Label, what it shows of a series",
        "series?SeriesInstanceUID={series}",
        PYTHON,
        200,
        JSON,
        matches("00080020", "00080060", "00081190", "00100020", "0020000D"),
    ),
    Recorded(
        "MONAI Label, metadata of a series",
        "studies/{study}/series/{series}/metadata",
        PYTHON,
        200,
        JSON,
        bulk_data,
    ),
)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.client)
def test_recorded_request(kept: Kept, recorded: Recorded) -> None:
    """The answer has the status and the media type that the client expects, and a payload that it reads."""
    address = f"{kept.service}/{kept.filled(recorded.path)}"

    answer = requests.request(recorded.method, address, headers=recorded.headers, timeout=30)

    assert answer.status_code == recorded.status, answer.text[:500]
    assert answer.headers.get("Content-Type", "").partition(";")[0] == (recorded.media_type or "")
    assert recorded.check(answer, kept)
