"""The Retrieve transaction over HTTP (PS3.18 10.4), rule by rule."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pydicom
import pytest
import requests

from dicom_core.representations import transcoding
from dicom_core.representations.images import Image
from tests import dicomweb, instances
from tests.dicomweb import ANY_SYNTAX, DICOM_JSON, SINGLE, Stored, get, made, parts_of, value

EXPLICIT, JPEG_2000 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"
JPEG_XL = "1.2.840.10008.1.2.4.110"
OCTETS = "application/octet-stream"
MPEG4 = "1.2.840.10008.1.2.4.102"
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"

AS_STORED = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'

SIZE = 32
FRAMES = [bytes([number]) * SIZE for number in range(1, 11)]


@dataclass(frozen=True, slots=True)
class Kept:
    """A study of two series: two images in one, a multi-frame image in the other; and a compressed image."""

    images: tuple[Stored, Stored]
    frames: Stored
    compressed: Stored
    private: bytes


@pytest.fixture(scope="module")
def kept(service: str) -> Kept:
    """What the tests of this file only read."""
    study, series, private = instances.uid(), instances.uid(), bytes(range(256)) * 20
    images = made(study, series, PixelData=bytes(SIZE)), made(study, series, PixelData=b"\1" * SIZE)
    frames = made(study, NumberOfFrames=10, PixelData=b"".join(FRAMES), ICCProfile=private)
    compressed = jpeg_2000()
    dicomweb.keep(service, *images, frames, compressed)
    return Kept(images, frames, compressed, private)


def jpeg_2000() -> Stored:
    """A shipped image with UIDs of its own, in place of its own of the same length."""
    path = SHIPPED / "MR_small_jp2klossless.dcm"
    dataset, content = pydicom.dcmread(path), path.read_bytes()
    own = [
        str(dataset[keyword].value) for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    ]
    new = [f"2.25.{instances.uid()[5:]:0<64}"[: len(uid)] for uid in own]
    for old, uid in zip(own, new, strict=True):
        content = content.replace(old.encode(), uid.encode())
    return Stored(new[0], new[1], new[2], content)


def mpeg4(study: str) -> Stored:
    """A video, which can be had as it is stored only."""
    series, instance = instances.uid(), instances.uid()
    dataset = pydicom.dcmread(BytesIO(instances.file(study, series, instance)))
    dataset.file_meta.TransferSyntaxUID = MPEG4
    items = (b"\xfe\xff\x00\xe0" + len(item).to_bytes(4, "little") + item for item in (b"", bytes(10)))
    dataset.PixelData = b"".join(items)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    content = BytesIO()
    dataset.save_as(content)
    return Stored(study, series, instance, content.getvalue())


def dicom_part(syntax: str) -> str:
    """The header of a part that is an instance."""
    return f"Content-Type: application/dicom; transfer-syntax={syntax}"


def octet_part(syntax: str) -> str:
    """The header of a part that is a frame or bulk data."""
    return f"Content-Type: application/octet-stream; transfer-syntax={syntax}"


# Media types


MULTIPART_OF_INSTANCES = [
    None,
    "*/*",
    "multipart/*",
    "multipart/related",
    'multipart/related; type="application/dicom"',
    "multipart/related;type=application/dicom;transfer-syntax=*",
    'multipart/related; type="application/dicom"; transfer-syntax="*"',
    f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}',
    f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_2000}, '
    f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}',
    f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_2000}; q=0.5, '
    f'multipart/related; type="application/dicom"; transfer-syntax={EXPLICIT}',
    "text/html, garbage, multipart/related; type=application/octet-stream, "
    'multipart/related; type="application/dicom"',
    'multipart/related; type="*/*"',
]
"""What a study of Explicit VR Little Endian fits, in the ways clients write it."""


@pytest.mark.parametrize("accept", MULTIPART_OF_INSTANCES)
@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_instances_multipart(service: str, kept: Kept, level: str, accept: str | None) -> None:
    """A study, a series and an instance are multipart, each instance a part with its transfer syntax."""
    study, series = kept.images[0].study, kept.images[0].series
    path, expected = {
        "study": (f"studies/{study}", [*kept.images, kept.frames]),
        "series": (f"studies/{study}/series/{series}", kept.images),
        "instance": (kept.images[0].path, kept.images[:1]),
    }[level]

    answer = get(f"{service}/{path}", accept)

    assert answer.headers["Content-Type"].startswith('multipart/related; type="application/dicom"; boundary=')
    assert sorted(parts_of(answer)) == sorted((dicom_part(EXPLICIT), one.content) for one in expected)


@pytest.mark.parametrize(
    "accept",
    [
        "application/dicom",
        SINGLE,
        'application/dicom; transfer-syntax="*"',
        f"application/dicom;transfer-syntax={EXPLICIT}",
        "application/dicom, application/json;q=0.1",
        "application/*",
    ],
)
def test_instance_single_part(service: str, kept: Kept, accept: str) -> None:
    """An instance alone where application/dicom is asked for by itself."""
    answer = get(f"{service}/{kept.images[0].path}", accept)

    assert answer.headers["Content-Type"] == f"application/dicom; transfer-syntax={EXPLICIT}"
    assert answer.headers["Content-Length"] == str(len(kept.images[0].content))
    assert answer.content == kept.images[0].content


@pytest.mark.parametrize("level", [1, 3], ids=["study", "series"])
@pytest.mark.parametrize("accept", ["application/dicom", SINGLE])
def test_several_instances_are_no_single_part(service: str, kept: Kept, level: int, accept: str) -> None:
    """A study or a series is never one part."""
    path = "/".join(kept.images[0].path.split("/")[: level + 1])

    assert get(f"{service}/{path}", accept).status_code == 406


@pytest.mark.parametrize(
    "accept",
    [
        f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_XL}',
        f"application/dicom; transfer-syntax={JPEG_XL}",
        'multipart/related; type="application/octet-stream"',
        "application/dicom+json",
        'multipart/related; type="application/dicom"; q=0',
    ],
)
def test_instance_not_acceptable(service: str, kept: Kept, accept: str) -> None:
    """A transfer syntax that nothing is encoded to, or another type, is 406."""
    assert get(f"{service}/{kept.images[0].path}", accept).status_code == 406


@pytest.mark.parametrize(
    "accept",
    [
        SINGLE,
        ANY_SYNTAX,
        f"application/dicom; transfer-syntax={JPEG_2000}",
        f"application/dicom; transfer-syntax={EXPLICIT}, application/dicom; transfer-syntax={JPEG_2000}",
    ],
)
def test_compressed_instance_as_it_is_stored(service: str, kept: Kept, accept: str) -> None:
    """Its bytes, where its own transfer syntax is as good as another."""
    answer = get(f"{service}/{kept.compressed.path}", accept)

    assert kept.compressed.content in answer.content


@pytest.mark.parametrize(
    ("accept", "syntax"),
    [
        (None, EXPLICIT),
        ("*/*", EXPLICIT),
        ("application/dicom", EXPLICIT),
        ('multipart/related; type="application/dicom"', EXPLICIT),
        (f"application/dicom; transfer-syntax={EXPLICIT}", EXPLICIT),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.5", "1.2.840.10008.1.2.5"),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.80"),
        ("application/dicom; transfer-syntax=1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.201"),
    ],
)
def test_compressed_instance_transcoded(service: str, kept: Kept, accept: str | None, syntax: str) -> None:
    """Explicit VR Little Endian where no transfer syntax is named, else the one that is; no pixel changes."""
    answer = get(f"{service}/{kept.compressed.path}", accept)

    content = answer.content if (accept or "").startswith("application") else parts_of(answer)[0][1]
    found, stored = (pydicom.dcmread(BytesIO(one)) for one in (content, kept.compressed.content))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert syntax in (answer.headers["Content-Type"] + parts_of(answer)[0][0] if accept is None else syntax)
    pixels, uid, _ = pixels_of(kept.compressed.content)
    assert pixels_of(content)[:2] == (pixels, uid)
    assert [found[tag] for tag in (0x00100020, 0x0020000D)] == [
        stored[tag] for tag in (0x00100020, 0x0020000D)
    ]
    again = get(f"{service}/{kept.compressed.path}", accept, **{"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304


def test_etag_differs_by_transfer_syntax(service: str, kept: Kept) -> None:
    """Other bytes have another strong validator (RFC 9110 8.8.3)."""
    url = f"{service}/{kept.compressed.path}"
    accepted = ("application/dicom", SINGLE, "application/dicom; transfer-syntax=1.2.840.10008.1.2.5")

    assert len({get(url, accept).headers["ETag"] for accept in accepted}) == 3


def test_study_of_several_syntaxes_in_one(service: str, kept: Kept) -> None:
    """Each instance is given in the transfer syntax that is asked for; one without pixels is not compressed."""
    study = instances.uid()
    image, report = made(study, PixelData=bytes(SIZE)), made(study, Modality="SR", PixelData=None)
    dicomweb.keep(service, image, report)

    accept = f'multipart/related; type="application/dicom"; transfer-syntax={JPEG_2000}'
    parts = parts_of(get(f"{service}/studies/{study}", accept))

    found = {pydicom.dcmread(BytesIO(content)).SOPInstanceUID: header for header, content in parts}
    assert JPEG_2000 in found[image.instance]
    assert EXPLICIT in found[report.instance]


def pixels_of(content: bytes) -> tuple[bytes, str, int]:
    """The first frame as native pixels, by this service's codecs; the UID, the number of frames."""
    dataset = pydicom.dcmread(BytesIO(content))
    described = Image.of(dataset.to_json_dict(bulk_data_threshold=1 << 30))
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    frames = int(dataset.get("NumberOfFrames", 1))
    encapsulated = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    data = dataset.PixelData
    frame = pydicom.encaps.get_frame(data, 0, number_of_frames=frames) if encapsulated else data
    return transcoding.decode(frame, syntax, described)[0], str(dataset.SOPInstanceUID), frames


def test_accept_parameter(service: str, kept: Kept) -> None:
    """The query parameter wins over the header (PS3.18 8.3.3.1)."""
    url = f"{service}/{kept.images[0].path}"

    assert get(f"{url}?accept=application/dicom", "text/html").content == kept.images[0].content
    assert get(f"{url}?accept=text/html", SINGLE).status_code == 406
    assert get(f"{url}/metadata?accept=application/dicom%2Bjson", "text/html").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["", "/metadata", "/frames/1", "/bulkdata/7FE00010"],
    ids=["instance", "metadata", "frames", "bulkdata"],
)
@pytest.mark.parametrize("version", [1, 2])
def test_not_found(service: str, path: str, version: int) -> None:
    """404 names the resource by its path."""
    resource = f"studies/{instances.uid()}/series/1.2/instances/1.3"

    answer = get(f"{service.replace('/v2', f'/v{version}')}/{resource}{path}")

    assert (answer.status_code, answer.text) == (404, f"there is no {resource}")


# Metadata


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, DICOM_JSON),
        ("*/*", DICOM_JSON),
        ("application/*", DICOM_JSON),
        (DICOM_JSON, DICOM_JSON),
        ("application/json", "application/json"),
        ("application/dicom+json, application/json", DICOM_JSON),
        ("application/dicom+json, multipart/related; type=application/octet-stream", DICOM_JSON),
    ],
)
def test_metadata_type(service: str, kept: Kept, accept: str | None, content_type: str) -> None:
    """Metadata are DICOM JSON, without a charset parameter."""
    answer = get(f"{service}/{kept.images[0].path}/metadata", accept)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize(("length", "count"), [(2, 3), (4, 2), (6, 1)], ids=["study", "series", "instance"])
def test_metadata_of(service: str, kept: Kept, length: int, count: int) -> None:
    """An array with the data set of each instance, without group 2."""
    path = "/".join(kept.images[0].path.split("/")[:length])

    datasets = get(f"{service}/{path}/metadata", DICOM_JSON).json()

    assert len(datasets) == count
    assert not any(key.startswith("0002") for dataset in datasets for key in dataset)


def test_bulkdata_uri_is_absolute(service: str, kept: Kept) -> None:
    """A BulkDataURI begins with the instance's URL in the version that was asked, or as the proxy says."""
    url = f"{service.replace('/v2', '/v1')}/{kept.images[0].path}"

    (direct,) = get(f"{url}/metadata").json()
    (proxied,) = get(f"{url}/metadata", None, **{"X-Forwarded-Host": "a.example"}).json()

    assert direct["7FE00010"]["BulkDataURI"].startswith(f"{url}/")
    assert proxied["7FE00010"]["BulkDataURI"].startswith(f"http://a.example/v1/{kept.images[0].path}/")


# Frames


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        'multipart/related; type="*/*"',
        'multipart/related; type="application/octet-stream"',
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
        f'multipart/related; type="application/octet-stream"; transfer-syntax={EXPLICIT}',
    ],
)
@pytest.mark.parametrize("numbers", ["1", "1,2,3", "10", "3,1,2", "5,5,5", "1%2C10", "10,9,8,7,6,5,4,3,2,1"])
def test_frames(service: str, kept: Kept, accept: str | None, numbers: str) -> None:
    """Frames are multipart in the order they were asked for, repeated if they were repeated."""
    answer = get(f"{service}/{kept.frames.path}/frames/{numbers}", accept)

    wanted = [FRAMES[int(number) - 1] for number in numbers.replace("%2C", ",").split(",")]
    assert parts_of(answer) == [(octet_part(EXPLICIT), frame) for frame in wanted]


def test_frame_single_part(service: str, kept: Kept) -> None:
    """One frame alone where application/octet-stream is asked for by itself."""
    answer = get(f"{service}/{kept.frames.path}/frames/7", f"{OCTETS}; transfer-syntax=*")

    assert answer.headers["Content-Type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    assert answer.headers["Content-Length"] == str(SIZE)
    assert answer.content == FRAMES[6]


def test_frames_are_no_single_part(service: str, kept: Kept) -> None:
    """Several frames are never one part."""
    assert get(f"{service}/{kept.frames.path}/frames/1,2", OCTETS).status_code == 406


@pytest.mark.parametrize(("numbers", "first"), [("11", 11), ("1,11", 11), ("1000000000", 1000000000)])
def test_frame_beyond_the_last(service: str, kept: Kept, numbers: str, first: int) -> None:
    """404 names the frame that there is not."""
    answer = get(f"{service}/{kept.frames.path}/frames/{numbers}")

    text = f"there is no frame {first}; of the instance's frames 10 can be had"
    assert (answer.status_code, answer.text) == (404, text)


def test_frame_listed_too_often(service: str, kept: Kept) -> None:
    """Each frame may be listed ten times; each time costs what the first one does."""
    url = f"{service}/{kept.frames.path}/frames"

    assert len(parts_of(get(f"{url}/1,{','.join('2' * 10)}"))) == 11
    answer = get(f"{url}/1,{','.join('2' * 11)}")
    assert (answer.status_code, "frame 2" in answer.text) == (400, True)


def test_frames_of_no_image(service: str) -> None:
    """An instance without pixel data has no frames."""
    one = made(PixelData=None)
    dicomweb.keep(service, one)

    assert get(f"{service}/{one.path}/frames/1").status_code == 404


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ('multipart/related; type="application/octet-stream"; transfer-syntax=*', OCTETS),
        ('multipart/related; type="image/jp2"', "image/jp2"),
        (f'multipart/related; type="image/jp2"; transfer-syntax={JPEG_2000}', "image/jp2"),
    ],
)
def test_compressed_frame(service: str, kept: Kept, accept: str | None, media_type: str) -> None:
    """A compressed frame is its code stream, without the headers of its items."""
    answer = get(f"{service}/{kept.compressed.path}/frames/1", accept)

    ((header, content),) = parts_of(answer)
    assert header == f"Content-Type: {media_type}; transfer-syntax={JPEG_2000}"
    assert content[:4] == b"\xff\x4f\xff\x51"
    assert content.rstrip(b"\0")[-2:] == b"\xff\xd9"


@pytest.mark.parametrize(
    ("accept", "media_type", "syntax"),
    [
        (None, OCTETS, EXPLICIT),
        ("*/*", OCTETS, EXPLICIT),
        ('multipart/related; type="application/octet-stream"', OCTETS, EXPLICIT),
        (f"multipart/related; type={OCTETS}; transfer-syntax={EXPLICIT}", OCTETS, EXPLICIT),
        ("multipart/related; type=image/jls", "image/jls", "1.2.840.10008.1.2.4.80"),
        ("multipart/related; type=image/dicom-rle", "image/dicom-rle", "1.2.840.10008.1.2.5"),
    ],
)
def test_compressed_frame_transcoded(
    service: str, kept: Kept, accept: str | None, media_type: str, syntax: str
) -> None:
    """A frame is made from its own bytes in the transfer syntax that is asked for, without loss."""
    answer = get(f"{service}/{kept.compressed.path}/frames/1", accept)

    ((header, content),) = parts_of(answer)
    assert header == f"Content-Type: {media_type}; transfer-syntax={syntax}"
    described = Image.of(pydicom.dcmread(BytesIO(kept.compressed.content)).to_json_dict())
    pixels, _, _ = pixels_of(kept.compressed.content)
    assert transcoding.decode(content, syntax, described)[0] == pixels


@pytest.mark.parametrize(
    "accept", [f"{OCTETS}; transfer-syntax={JPEG_XL}", "image/jpeg", "image/png", "image/jxl"]
)
def test_compressed_frame_not_acceptable(service: str, kept: Kept, accept: str) -> None:
    """What nothing is encoded to is 406."""
    assert get(f"{service}/{kept.compressed.path}/frames/1", accept).status_code == 406


def test_frames_of_single_bits(service: str) -> None:
    """Frames of bits that begin within a byte are cut out, and filled up with zeros (PS3.5 8.1.1)."""
    one = made(
        Rows=3, Columns=3, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=3,
        PixelData=bytes([0b11111111, 0b00000001, 0b11111100, 0b00000111]),
    )  # fmt: skip
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/frames/1,2,3,1")

    first, second, third = b"\xff\x01", b"\x00\x00", b"\xff\x01"
    assert [content for _, content in parts_of(answer)] == [first, second, third, first]
    assert get(f"{service}/{one.path}/frames/3", OCTETS).content == third


# Bulk data


@pytest.mark.parametrize(
    "accept", [None, "*/*", 'multipart/related; type="*/*"', f'multipart/related; type="{OCTETS}"']
)
def test_bulkdata(service: str, kept: Kept, accept: str | None) -> None:
    """A value of the header is one part, unless a single part is asked for."""
    (metadata,) = get(f"{service}/{kept.frames.path}/metadata").json()
    uri = metadata["00282000"]["BulkDataURI"]

    assert [content for _, content in parts_of(get(uri, accept))] == [kept.private]
    assert get(uri, OCTETS).content == kept.private


def test_bulkdata_of_pixel_data(service: str, kept: Kept) -> None:
    """Native Pixel Data are one part; encapsulated ones a part for each frame (PS3.18 8.7.3.3)."""
    native = get(f"{service}/{kept.frames.path}/bulkdata/7FE00010")
    compressed = get(f"{service}/{kept.compressed.path}/bulkdata/7FE00010")

    assert parts_of(native) == [(octet_part(EXPLICIT), b"".join(FRAMES))]
    assert parts_of(compressed) == parts_of(get(f"{service}/{kept.compressed.path}/frames/1", AS_STORED))


@pytest.mark.parametrize("path", ["00100010", "7fe00010", "x/y/z", "..%2F..", "00282000/1", "%00"])
def test_bulkdata_that_does_not_exist(service: str, kept: Kept, path: str) -> None:
    """Only what the metadata name is bulk data."""
    answer = get(f"{service}/{kept.frames.path}/bulkdata/{path}")

    assert (answer.status_code, answer.text) == (404, "there is no such bulk data in the instance")


# Ranges and conditions


RANGES = [
    ("bytes=0-9", slice(0, 10)),
    ("bytes=5-", slice(5, None)),
    ("bytes=-7", slice(-7, None)),
    ("bytes=0-99999", slice(None)),
    ("bytes=31-31", slice(31, 32)),
]


@pytest.mark.parametrize(("asked", "part"), RANGES, ids=[asked for asked, _ in RANGES])
@pytest.mark.parametrize("resource", ["instance", "frame", "bulk data", "pixel data"])
def test_range(service: str, kept: Kept, resource: str, asked: str, part: slice) -> None:
    """A single part can be had in ranges (PS3.18 8.4.1.2.1, RFC 9110 14)."""
    path, accept, content = {
        "instance": ("", SINGLE, kept.frames.content),
        "frame": ("/frames/3", OCTETS, FRAMES[2]),
        "bulk data": ("/bulkdata/00282000", OCTETS, kept.private),
        "pixel data": ("/bulkdata/7FE00010", OCTETS, b"".join(FRAMES)),
    }[resource]

    answer = get(f"{service}/{kept.frames.path}{path}", accept, Range=asked)

    start, stop, _ = part.indices(len(content))
    assert (answer.status_code, answer.content) == (206, content[part])
    assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{len(content)}"
    assert answer.headers["Content-Length"] == str(stop - start)


@pytest.mark.parametrize("asked", ["bytes=32-", "bytes=99999-100000", "bytes=-0"])
def test_range_outside(service: str, kept: Kept, asked: str) -> None:
    """A range behind the end is 416, and the length is told."""
    answer = get(f"{service}/{kept.frames.path}/frames/3", OCTETS, Range=asked)

    assert (answer.status_code, answer.headers["Content-Range"]) == (416, "bytes */32")


def test_range_of_head_is_not_looked_at(service: str, kept: Kept) -> None:
    """Range is defined for GET alone (RFC 9110 14.2)."""
    url = f"{service}/{kept.frames.path}/frames/3"

    answer = requests.head(url, headers={"Accept": OCTETS, "Range": "bytes=0-1"}, timeout=30)

    assert (answer.status_code, answer.headers.get("Content-Range")) == (200, None)


def test_range_of_what_was_replaced(service: str, kept: Kept) -> None:
    """A range is given of the version that the rest is of, else the whole (RFC 9110 13.1.5)."""
    url = f"{service}/{kept.frames.path}/frames/3"
    etag = get(url, OCTETS).headers["ETag"]

    assert get(url, OCTETS, Range="bytes=0-1", **{"If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Sun, 22 Nov 2026 16:00:00 GMT"):
        answer = get(url, OCTETS, Range="bytes=0-1", **{"If-Range": other})
        assert (answer.status_code, answer.content) == (200, FRAMES[2])


def test_range_of_many(service: str, kept: Kept) -> None:
    """Several ranges, and ranges of a multipart payload, are answered as a whole."""
    url = f"{service}/{kept.frames.path}/frames/3"

    assert get(url, OCTETS, Range="bytes=0-1,4-5").status_code == 200
    assert parts_of(get(url, None, Range="bytes=0-1")) == [(octet_part(EXPLICIT), FRAMES[2])]


RESOURCES = ["", "/metadata", "/frames/1", "/frames/1,2", "/bulkdata/7FE00010"]


@pytest.mark.parametrize("path", RESOURCES)
def test_etag(service: str, kept: Kept, path: str) -> None:
    """A strong entity tag, quoted; what is known already is 304 without a body, with its tag (RFC 9110 15.4.5)."""
    url = f"{service}/{kept.frames.path}{path}"
    etag = get(url).headers["ETag"]

    assert (etag[0], etag[-1], len(etag) > 2) == ('"', '"', True)
    assert get(url, None, **{"If-None-Match": "*"}).status_code == 304
    for known in (etag, f"W/{etag}", f'"other", {etag}'):
        answer = get(url, None, **{"If-None-Match": known})
        assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)
    assert get(url, None, **{"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize("path", ["", "/metadata"])
def test_etag_changes(service: str, path: str) -> None:
    """A study's tag changes when an instance is added, replaced or removed; a series' beside it does not."""
    first = made()
    dicomweb.keep(service, first)
    study = f"{service}/studies/{first.study}"
    series = f"{study}/series/{first.series}{path}"
    seen, of_series = [get(study + path).headers["ETag"]], get(series).headers["ETag"]

    second = made(first.study)
    dicomweb.keep(service, second)
    seen.append(get(study + path).headers["ETag"])
    replacing = made(second.study, second.series, second.instance, PatientID="P2")
    dicomweb.post(f"{service}/studies", replacing.content, method="PUT")
    seen.append(get(study + path).headers["ETag"])
    dicomweb.delete(f"{service}/{second.path}")
    seen.append(get(study + path).headers["ETag"])

    assert len(set(seen[:3])) == 3
    assert seen[3] not in seen[1:3]
    assert get(series).headers["ETag"] == of_series


# Requests as viewers send them


@pytest.mark.parametrize("version", [1, 2])
def test_ohif_frame(service: str, kept: Kept, version: int) -> None:
    """OHIF asks for each frame by itself, in the form that needs no preflight or in the one that does."""
    url = f"{service.replace('/v2', f'/v{version}')}/{kept.images[0].path}/frames/1"
    headers = {"Accept-Encoding": "gzip, deflate, br, zstd", "Origin": "https://viewer.example"}

    for accept in (
        "multipart/related; type=application/octet-stream; transfer-syntax=*",
        'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
        f"multipart/related; type=image/jls; transfer-syntax={JPEG_2000}; transfer-syntax=*",
    ):
        assert parts_of(get(url, accept, **headers)) == [(octet_part(EXPLICIT), bytes(SIZE))]


@pytest.mark.parametrize("kind", ["images", "compressed"])
def test_slim_frame(service: str, kept: Kept, kind: str) -> None:
    """Slim names eight media types without weights; what needs no transcoding is given."""
    one, syntax = (kept.images[0], EXPLICIT) if kind == "images" else (kept.compressed, JPEG_2000)
    accept = ", ".join(
        f'multipart/related; type="{media_type}"; transfer-syntax={uid}'
        for media_type, uid in (
            ("image/jls", "1.2.840.10008.1.2.4.80"),
            ("image/jls", "1.2.840.10008.1.2.4.81"),
            ("image/jp2", "1.2.840.10008.1.2.4.90"),
            ("image/jp2", "1.2.840.10008.1.2.4.91"),
            ("image/jpx", "1.2.840.10008.1.2.4.92"),
            ("image/jpx", "1.2.840.10008.1.2.4.93"),
            ("application/octet-stream", "*"),
            ("image/jpeg", "1.2.840.10008.1.2.4.50"),
        )
    )

    ((header, _),) = parts_of(get(f"{service}/{one.path}/frames/1", accept))

    assert header.endswith(f"; transfer-syntax={syntax}")


def test_ohif_bulkdata(service: str, kept: Kept) -> None:
    """OHIF asks for a document as PDF or, failing that, as bytes."""
    accept = 'multipart/related; type="application/pdf", multipart/related; type="application/octet-stream"'

    answer = get(f"{service}/{kept.frames.path}/bulkdata/00282000", accept)

    assert [content for _, content in parts_of(answer)] == [kept.private]


def test_weasis_instance(service: str, kept: Kept) -> None:
    """Weasis writes no blanks."""
    accept = 'multipart/related;type="application/dicom";transfer-syntax=*'

    assert [content for _, content in parts_of(get(f"{service}/{kept.images[0].path}", accept))] == [
        kept.images[0].content
    ]


def test_multipart_that_viewers_parse(service: str, kept: Kept) -> None:
    """The boundary stands at byte 0, the header ends within 1000 bytes, and is written `Content-Type:`."""
    answer = get(f"{service}/{kept.frames.path}/frames/1")

    boundary = answer.headers["Content-Type"].rpartition("boundary=")[2]
    head = f"--{boundary}\r\nContent-Type: application/octet-stream; transfer-syntax={EXPLICIT}\r\n\r\n"
    assert answer.content == head.encode() + FRAMES[0] + f"\r\n--{boundary}--\r\n".encode()
    assert len(head) < 500


def test_monai_metadata(service: str) -> None:
    """MONAI Label finds what a segmentation refers to in its metadata."""
    sequence = pydicom.Sequence([pydicom.Dataset()])
    sequence[0].SeriesInstanceUID = "1.2.3"
    one = made(Modality="SEG", ReferencedSeriesSequence=sequence)
    dicomweb.keep(service, one)

    (metadata,) = get(f"{service}/{one.path}/metadata", f"{DICOM_JSON}, application/json").json()

    assert value(value(metadata, "00081115"), "0020000E") == "1.2.3"


def test_etag_of_single_part_and_multipart_differ(service: str, kept: Kept) -> None:
    """A strong validator names one sequence of bytes (RFC 9110 8.8.1): the same again each time."""
    url = f"{service}/{kept.frames.path}"
    single, several = get(url, "application/dicom"), get(url, None)

    assert single.headers["ETag"] != several.headers["ETag"]
    assert get(url, None).content == several.content


@pytest.mark.parametrize("path", ["/bulkdata/zz", "/bulkdata/zz/1"])
def test_bulkdata_that_is_not_there(service: str, kept: Kept, path: str) -> None:
    """Bulk data is what a BulkDataURI of the metadata names."""
    assert get(f"{service}/{kept.frames.path}{path}", None).status_code == 404


@pytest.mark.parametrize("path", RESOURCES)
def test_head_answers_as_get_without_a_body(service: str, kept: Kept, path: str) -> None:
    """The same status and header fields, but for a length that only the whole body would tell (RFC 9110 9.3.2)."""
    url = f"{service}/{kept.frames.path}{path}"
    got, head = get(url), requests.head(url, timeout=30)

    assert (head.status_code, head.content) == (200, b"")
    fields = ("Content-Type", "ETag", "Content-Encoding", "Accept-Ranges")
    assert [head.headers.get(name) for name in fields] == [got.headers.get(name) for name in fields]


def test_metadata_is_compressed_for_those_who_accept_it(service: str, kept: Kept) -> None:
    """JSON shrinks, pixels do not; the compressed representation has an entity tag of its own (RFC 9110 8.8.3)."""
    url = f"{service}/{kept.frames.path}/metadata"
    plain = get(url, None, **{"Accept-Encoding": "identity"})
    small = get(url, None, **{"Accept-Encoding": "br, gzip;q=0.5"})
    frame = get(f"{service}/{kept.frames.path}/frames/1", SINGLE, **{"Accept-Encoding": "gzip"})

    assert small.json() == plain.json()
    assert (small.headers.get("Content-Encoding"), plain.headers.get("Content-Encoding")) == ("gzip", None)
    assert small.headers["ETag"] == plain.headers["ETag"][:-1] + '-gzip"'
    assert "Content-Encoding" not in frame.headers
    assert "Accept-Encoding" in small.headers["Vary"]
    for tag in (small.headers["ETag"], plain.headers["ETag"]):
        assert get(url, None, **{"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("accepted", "expected"), [("gzip;q=0", None), ("", None), ("GZIP", "gzip"), ("x-gzip", "gzip")]
)
def test_accept_encoding(service: str, kept: Kept, accepted: str, expected: str | None) -> None:
    """What is not accepted is not used (RFC 9110 12.5.3)."""
    answer = get(f"{service}/{kept.frames.path}/metadata", None, **{"Accept-Encoding": accepted})

    assert answer.headers.get("Content-Encoding") == expected


XML = "application/dicom+xml"


@pytest.mark.parametrize("accept", [XML, f'multipart/related; type="{XML}"'])
def test_metadata_as_xml(service: str, kept: Kept, accept: str) -> None:
    """A document for each instance, in parts; alone for one instance whose document alone is asked for (PS3.18 F.3)."""
    study = get(f"{service}/studies/{kept.frames.study}/metadata", accept)
    instance = get(f"{service}/{kept.frames.path}/metadata", accept)

    documents = [content for header, content in parts_of(study) if f"Content-Type: {XML}" in header]
    alone = instance.content if accept == XML else parts_of(instance)[0][1]
    assert len(documents) == len(get(f"{service}/studies/{kept.frames.study}/metadata").json())
    assert alone in documents
    assert f'<Value number="1">{kept.frames.instance}</Value>'.encode() in alone
    assert f'<BulkData uri="{service}/{kept.frames.path}/bulkdata/7FE00010"/>'.encode() in alone
    assert instance.headers["ETag"] != get(f"{service}/{kept.frames.path}/metadata").headers["ETag"]


def test_all_bulkdata(service: str, kept: Kept) -> None:
    """Each value is a part that says where it can be had alone (PS3.18 10.4.1.1.5)."""
    answer = get(f"{service}/{kept.frames.path}/bulkdata")

    parts = parts_of(answer)
    assert [content for _, content in parts] == [kept.private, b"".join(FRAMES)]
    for header, content in parts:
        location = header.partition("Content-Location: ")[2].partition("\r\n")[0]
        assert get(location, OCTETS).content == content


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_pixeldata(service: str, kept: Kept, level: str) -> None:
    """The pixel data of all instances, without other bulk data (PS3.18 10.4.1.1.7)."""
    one = kept.frames
    path = {"study": 2, "series": 4, "instance": 6}[level]

    answer = get(f"{service}/{'/'.join(one.path.split('/')[:path])}/pixeldata")

    contents = [content for _, content in parts_of(answer)]
    assert b"".join(FRAMES) in contents
    assert kept.private not in contents
    assert len(contents) == len(get(f"{service}/{'/'.join(one.path.split('/')[:path])}/metadata").json())


def test_pixeldata_of_compressed_frames(service: str, kept: Kept) -> None:
    """Encapsulated frames are parts of their own, and their location is the frame."""
    ((header, content),) = parts_of(get(f"{service}/{kept.compressed.path}/pixeldata"))

    assert f"Content-Location: {service}/{kept.compressed.path}/frames/1" in header
    assert content == parts_of(get(f"{service}/{kept.compressed.path}/frames/1", AS_STORED))[0][1]


def test_pixeldata_that_is_not_there(service: str) -> None:
    """An instance without pixels has none."""
    one = made(Modality="SR", PixelData=None)
    dicomweb.keep(service, one)

    assert get(f"{service}/{one.path}/pixeldata").status_code == 404


@pytest.mark.parametrize("ask", ["header", "parameter"])
def test_zip(service: str, kept: Kept, ask: str) -> None:
    """A study as one file, for people: each instance as it was stored, in a folder for each series."""
    first, second = kept.images
    url = f"{service}/studies/{first.study}"

    answer = (
        get(url, "application/zip") if ask == "header" else get(f"{url}?accept=application/zip", "text/html")
    )

    assert answer.headers["Content-Type"] == "application/zip"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{first.study}.zip"'
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        for one in (first, second):
            assert archive.read(f"{one.series}/{one.instance}.dcm") == one.content
        assert len(archive.namelist()) == len(get(f"{url}/metadata").json())
    assert get(url, "application/zip", **{"If-None-Match": answer.headers["ETag"]}).status_code == 304


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.80", MPEG4])
def test_zip_where_one_instance_is_acceptable_no_other_way(service: str, syntax: str) -> None:
    """An answer has one media type: if an instance can be had in a zip only, all are, as they were stored."""
    image = made()
    video = mpeg4(image.study)
    dicomweb.keep(service, image, video)
    accept = f'multipart/related; type="application/dicom"; transfer-syntax={syntax}, application/zip;q=0.5'

    answer = get(f"{service}/studies/{image.study}", accept)

    assert answer.headers["Content-Type"] == "application/zip"
    with ZipFile(BytesIO(answer.content)) as archive:
        for one in (image, video):
            assert archive.read(f"{one.series}/{one.instance}.dcm") == one.content


@pytest.mark.parametrize("path", RESOURCES)
def test_answers_are_kept_by_the_client_only_and_asked_for_again(service: str, kept: Kept, path: str) -> None:
    """No proxy keeps patients' data, and no browser shows what was replaced (RFC 9111 5.2.2)."""
    assert get(f"{service}/{kept.frames.path}{path}").headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("path", RESOURCES)
def test_head_says_no_length_of_what_is_known(service: str, kept: Kept, path: str) -> None:
    """A 304 may only have the length that the 200 would have (RFC 9110 8.6)."""
    head = requests.head(f"{service}/{kept.frames.path}{path}", headers={"If-None-Match": "*"}, timeout=30)

    assert (head.status_code, head.headers.get("Content-Length")) == (304, None)


@pytest.mark.parametrize(
    ("said", "accept", "media_type"),
    [
        ("application/pdf", "application/pdf", "application/pdf"),
        ("application/pdf", 'multipart/related; type="application/pdf"', "application/pdf"),
        ("application/pdf", OCTETS, f"{OCTETS}; transfer-syntax={EXPLICIT}"),
        ("text/html", "text/html", None),
    ],
)
def test_encapsulated_document(service: str, said: str, accept: str, media_type: str | None) -> None:
    """It is given as what it says it is, to who asks for that; as a page of this origin never (PS3.3 C.24.2)."""
    content = b"%PDF-1.7" + bytes(2000)
    one = made(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1",
        PixelData=None,
        MIMETypeOfEncapsulatedDocument=said,
        EncapsulatedDocument=content,
    )
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/bulkdata/00420011", accept)

    if media_type is None:
        assert answer.status_code == 406
    elif accept.startswith("multipart"):
        assert parts_of(answer) == [(f"Content-Type: {media_type}", content)]
    else:
        assert (answer.headers["Content-Type"], answer.content) == (media_type, content)
