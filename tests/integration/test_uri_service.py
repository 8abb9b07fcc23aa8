"""The URI Service over HTTP (PS3.18 9), also known as WADO-URI, rule by rule."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
import requests

from tests import dicomweb
from tests.dicomweb import Stored, get
from tests.integration import images
from tests.integration.images import gray, levels, picture

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG, PNG, GIF, DICOM = "image/jpeg", "image/png", "image/gif", "application/dicom"


@dataclass(frozen=True, slots=True)
class Kept:
    """An image, one of three frames, one of 128 by 128 pixels, a compressed one, a report and a document."""

    image: Stored
    frames: Stored
    ct: Stored
    compressed: Stored
    report: Stored
    document: Stored


@pytest.fixture(scope="module")
def kept(service: str) -> Kept:
    """What the tests of this file only read."""
    ct, compressed = images.shipped("CT_small.dcm"), images.shipped("MR_small_jp2klossless.dcm")
    made = Kept(
        gray(0, 100, 150, 255),
        gray(0, 10, 20, 30, 40, 50, frames=3),
        ct,
        compressed,
        images.report(),
        images.document(),
    )
    dicomweb.keep(service, made.image, made.frames, made.report, made.document)
    assert dicomweb.post(f"{service}/studies", ct.content, compressed.content).status_code in (200, 202)
    return made


def ask(service: str, one: Stored, accept: str | None = None, **parameters: str) -> requests.Response:
    """Ask for an instance by its UIDs."""
    uids = {"studyUID": one.study, "seriesUID": one.series, "objectUID": one.instance}
    return get(f"{service}/wado?{urlencode({'requestType': 'WADO', **uids, **parameters})}", accept)


# Media types


@pytest.mark.parametrize(
    ("accept", "content_type", "given"),
    [
        (None, None, JPEG),
        ("*/*", None, JPEG),
        ("image/png", None, PNG),
        (None, PNG, PNG),
        (DICOM, PNG, PNG),
        (None, "image/jp2, image/gif", GIF),
        (None, DICOM, f"{DICOM}; transfer-syntax={EXPLICIT}"),
        (PNG, DICOM, f"{DICOM}; transfer-syntax={EXPLICIT}"),
        (DICOM, None, f"{DICOM}; transfer-syntax={EXPLICIT}"),
    ],
)
def test_media_type(
    service: str, kept: Kept, accept: str | None, content_type: str | None, given: str
) -> None:
    """The parameter contentType wins over the header; without either it is image/jpeg (9.1.2.2.1, 9.3)."""
    named = {} if content_type is None else {"contentType": content_type}

    answer = ask(service, kept.image, accept, **named)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, given)


@pytest.mark.parametrize("syntax", ["*", EXPLICIT, None])
def test_instance(service: str, kept: Kept, syntax: str | None) -> None:
    """As application/dicom an instance is what was stored, alone (9.4)."""
    named = {} if syntax is None else {"transferSyntax": syntax}

    answer = ask(service, kept.image, contentType=DICOM, **named)

    assert answer.content == kept.image.content


def test_compressed_instance(service: str, kept: Kept) -> None:
    """`transferSyntax=*` is as stored (Weasis and OHIF ask so)."""
    answer = ask(service, kept.compressed, contentType=DICOM, transferSyntax="*")

    assert answer.headers["Content-Type"] == f"{DICOM}; transfer-syntax=1.2.840.10008.1.2.4.90"
    assert answer.content == kept.compressed.content


def test_transcoded_instance(service: str, kept: Kept) -> None:
    """`transferSyntax` names another one than the instance is stored with."""
    answer = ask(service, kept.compressed, contentType=DICOM, transferSyntax=EXPLICIT)

    assert answer.headers["Content-Type"] == f"{DICOM}; transfer-syntax={EXPLICIT}"


def test_document(service: str, kept: Kept) -> None:
    """A document is given as what it is."""
    answer = ask(service, kept.document)

    assert (answer.headers["Content-Type"], answer.content) == ("application/pdf", images.PDF)


def test_report(service: str, kept: Kept) -> None:
    """What cannot be rendered is given as it is stored, where anything will do; else it is 406."""
    assert ask(service, kept.report).content == kept.report.content
    assert ask(service, kept.report, contentType=JPEG).status_code == 406


def test_media_type_that_there_is_not(service: str, kept: Kept) -> None:
    """406 says what there is."""
    assert ask(service, kept.image, contentType="image/jp2").status_code == 406


# Parameters of images


def test_frame(service: str, kept: Kept) -> None:
    """A frame by its number, else the first (9.5.1.2.1)."""
    assert levels(ask(service, kept.frames, contentType=PNG, frameNumber="2")) == [20, 30]
    assert levels(ask(service, kept.frames, contentType=PNG)) == [0, 10]


@pytest.mark.parametrize("which", ["frames", "image"])
def test_frame_that_there_is_not(service: str, kept: Kept, which: str) -> None:
    """A number beyond the last is 400 (9.5.2)."""
    answer = ask(service, getattr(kept, which), contentType=PNG, frameNumber="4")

    assert (answer.status_code, answer.text.startswith("frameNumber: there is no frame 4")) == (400, True)


def test_window(service: str, kept: Kept) -> None:
    """A window by its center and width (9.5.1.2.6)."""
    answer = ask(service, kept.image, contentType=PNG, windowCenter="125.5", windowWidth="51")

    assert levels(answer) == [0, 0, 255, 255]


@pytest.mark.parametrize(
    ("parameters", "size"),
    [
        ({"rows": "64", "columns": "32"}, (32, 32)),
        ({"rows": "64"}, (64, 64)),
        ({"columns": "300"}, (300, 300)),
        ({"region": "0,0.5,1,1"}, (128, 64)),
        ({"region": "0.25,0.25,0.5,0.75"}, (32, 64)),
        ({"region": "0,0,.5,1.0", "rows": "32", "columns": "100"}, (16, 32)),
    ],
)
def test_size(service: str, kept: Kept, parameters: dict[str, str], size: tuple[int, int]) -> None:
    """The image or a region of it, fitted into rows and columns (9.5.1.2.4, 9.5.1.2.5)."""
    assert picture(ask(service, kept.ct, contentType=PNG, **parameters)).size == size


def test_region(service: str, kept: Kept) -> None:
    """A region shows its part of the image."""
    assert levels(ask(service, kept.image, contentType=PNG, region="0.25,0,0.75,1")) == [100, 150]


def test_quality(service: str, kept: Kept) -> None:
    """Less quality takes fewer bytes (9.5.1.2.3)."""
    low, high = (len(ask(service, kept.ct, imageQuality=quality).content) for quality in ("10", "95"))

    assert low * 2 < high


@pytest.mark.parametrize(
    ("parameters", "warning"),
    [
        ({"imageAnnotation": "patient"}, "The following annotation values are not supported: patient"),
        ({"presentationUID": "1.2"}, "presentation states are not applied; presentationUID is ignored"),
        ({"shade": "1"}, "shade is no parameter of the URI Service; it is ignored"),
    ],
)
def test_what_is_ignored(service: str, kept: Kept, parameters: dict[str, str], warning: str) -> None:
    """A warning names what is not supported."""
    answer = ask(service, kept.image, **parameters)

    assert (answer.status_code, answer.headers["Warning"]) == (200, f'299 dicom-functions "{warning}"')


# Errors


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("studyUID=1.2&seriesUID=1.3&objectUID=1.4", "requestType must be WADO"),
        ("requestType=QIDO&studyUID=1.2&seriesUID=1.3&objectUID=1.4", "requestType must be WADO"),
        (
            "requestType=WADO&studyUID=1.2&seriesUID=1.3",
            "objectUID must be given, and be a UID (digits and dots, at most 64 characters)",
        ),
        (
            "requestType=WADO&studyUID=x&seriesUID=1.3&objectUID=1.4",
            "studyUID must be given, and be a UID (digits and dots, at most 64 characters)",
        ),
    ],
)
def test_mandatory_parameters(service: str, query: str, text: str) -> None:
    """400 says which is missing or malformed (9.1.2.1)."""
    answer = get(f"{service}/wado?{query}")

    assert (answer.status_code, answer.text) == (400, text)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"anonymize": "yes"}, "anonymize is not supported: what is retrieved is as it was stored"),
        ({"transferSyntax": "jpeg"}, "transferSyntax must be a UID"),
        ({"frameNumber": "0"}, "frameNumber must be a positive integer"),
        ({"frameNumber": "1,2"}, "frameNumber must be a positive integer"),
        ({"rows": "0"}, "rows must be an integer from 1 to 8192"),
        ({"columns": "1e3"}, "columns must be an integer from 1 to 8192"),
        ({"windowCenter": "1"}, "windowCenter and windowWidth must be given together"),
        ({"windowCenter": "a", "windowWidth": "1"}, "window has a part that is no decimal number"),
        ({"region": "0,0,1"}, "region must be xmin,ymin,xmax,ymax, each from 0.0 to 1.0"),
        ({"region": "0,0,1,2"}, "region must be xmin,ymin,xmax,ymax, each from 0.0 to 1.0"),
        (
            {"region": "0.5,0,0.5,1"},
            "region must have its xmin before its xmax, and its ymin before its ymax",
        ),
        ({"imageQuality": "101"}, "quality must be an integer from 1 to 100"),
        ({"ROWS": "1", "rows": "2"}, "rows is given twice"),
    ],
)
def test_malformed_parameter(service: str, kept: Kept, parameters: dict[str, str], text: str) -> None:
    """400 says which parameter, and what it should be."""
    answer = ask(service, kept.image, **parameters)

    assert (answer.status_code, answer.text) == (400, text)


def test_instance_that_there_is_not(service: str, kept: Kept) -> None:
    """404, whatever is asked for."""
    unknown = Stored(kept.image.study, kept.image.series, "1.2.3.4.5", b"")

    for content_type in (JPEG, DICOM):
        assert ask(service, unknown, contentType=content_type).status_code == 404
