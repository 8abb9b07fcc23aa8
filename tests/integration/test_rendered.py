"""Rendered resources and thumbnails over HTTP (PS3.18 10.4.1.1.3, 10.4.1.1.4), rule by rule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import requests
from PIL import ImageSequence

from dicom_core.rendition import Rendition
from dicom_core.representations import rendering
from tests import dicomweb, instances
from tests.dicomweb import Stored, get, made, parts_of
from tests.integration import images
from tests.integration.images import SHIPPED, gray, levels, picture, pixels
from tests.unit.representations import rendered as oracle

JPEG, PNG, GIF = "image/jpeg", "image/png", "image/gif"
BROWSER = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"


@dataclass(frozen=True, slots=True)
class Kept:
    """A study of two series: three images and one of three frames; and a report beside them."""

    images: tuple[Stored, Stored, Stored]
    frames: Stored
    report: Stored

    @property
    def study(self) -> str:
        """The path of the study."""
        return f"studies/{self.frames.study}"

    @property
    def series(self) -> str:
        """The path of the series of three images."""
        return f"{self.study}/series/{self.images[0].series}"


@pytest.fixture(scope="module")
def kept(service: str) -> Kept:
    """What the tests of this file only read."""
    study, series = instances.uid(), instances.uid()
    three = tuple(
        gray(10 * number, 200, study=study, series=series, SeriesNumber=1, InstanceNumber=number)
        for number in (1, 2, 3)
    )
    frames = gray(0, 255, 50, 60, 100, 110, frames=3, study=study, SeriesNumber=2, FrameTime="40")
    report = images.report(study)
    dicomweb.keep(service, *three, frames, report)
    return Kept((three[0], three[1], three[2]), frames, report)


# Resources


@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
@pytest.mark.parametrize(
    ("level", "expected"),
    [("study", [20, 200]), ("series", [20, 200]), ("instance", [10, 200])],
)
def test_image_of_each_level(service: str, kept: Kept, level: str, what: str, expected: list[int]) -> None:
    """The middle instance of the first series with images stands for a study or a series."""
    path = {"study": kept.study, "series": kept.series, "instance": kept.images[0].path}[level]

    answer = get(f"{service}/{path}/{what}", PNG)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, PNG)
    assert levels(answer) == expected


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("rendered", [0, 255]),
        ("thumbnail", [50, 60]),
        ("frames/2/rendered", [50, 60]),
        ("frames/3/thumbnail", [100, 110]),
        ("frames/3,1/thumbnail", [100, 110]),
    ],
)
def test_frame_that_is_shown(service: str, kept: Kept, what: str, expected: list[int]) -> None:
    """Of an instance the first frame, as a thumbnail the middle one; of a frame list that, a thumbnail its first."""
    assert levels(get(f"{service}/{kept.frames.path}/{what}", PNG)) == expected


@pytest.mark.parametrize(
    ("accept", "each"),
    [
        (PNG, PNG),
        ('multipart/related; type="image/png"', PNG),
        (None, JPEG),
    ],
)
def test_several_frames_are_parts(service: str, kept: Kept, accept: str | None, each: str) -> None:
    """A list of frames is multipart, in its order, whether or not that was asked for."""
    answer = get(f"{service}/{kept.frames.path}/frames/3,1/rendered", accept)

    parts = parts_of(answer)
    assert [head for head, _ in parts] == [f"Content-Type: {each}"] * 2
    shown = [levels(content) for _, content in parts]
    assert np.abs(np.array(shown) - [[100, 110], [0, 255]]).max() <= 1


@pytest.mark.parametrize(
    ("what", "expected"),
    [("rendered", [[0, 255], [50, 60], [100, 110]]), ("frames/3,1/rendered", [[100, 110], [0, 255]])],
)
def test_gif_is_an_animation(service: str, kept: Kept, what: str, expected: list[list[int]]) -> None:
    """As GIF all frames of an instance, or those of the list, each shown as long as the header says."""
    animation = picture(get(f"{service}/{kept.frames.path}/{what}", GIF))

    shown = [
        (np.asarray(frame.convert("L")).reshape(-1).tolist(), frame.info["duration"])
        for frame in ImageSequence.Iterator(animation)
    ]
    assert shown == [(frame, 40) for frame in expected]


def test_thumbnail_as_gif_is_one_frame(service: str, kept: Kept) -> None:
    """A thumbnail is one image."""
    answer = get(f"{service}/{kept.frames.path}/thumbnail", GIF)

    assert (answer.headers["Content-Type"], getattr(picture(answer), "n_frames", 1)) == (GIF, 1)


# Media types


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, JPEG),
        ("*/*", JPEG),
        ("image/*", JPEG),
        (BROWSER, JPEG),
        (JPEG, JPEG),
        (PNG, PNG),
        (GIF, GIF),
        ("image/jpeg;q=0.5, image/png", PNG),
        ("image/png, */*", PNG),
        ("image/jpeg;q=0, */*", PNG),
        ("text/html, image/gif;q=0.1", GIF),
    ],
)
@pytest.mark.parametrize("what", ["rendered", "thumbnail", "frames/1/rendered", "frames/1/thumbnail"])
def test_media_type(service: str, kept: Kept, what: str, accept: str | None, given: str) -> None:
    """The best by q value, then the one named, then JPEG; as a single part."""
    answer = get(f"{service}/{kept.images[0].path}/{what}", accept)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, given)
    assert picture(answer).format == given.removeprefix("image/").upper()


@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
def test_accept_parameter_wins(service: str, kept: Kept, what: str) -> None:
    """OHIF asks for thumbnails by the parameter, while its header asks for frames."""
    header = 'multipart/related; type="application/octet-stream"'

    answer = get(f"{service}/{kept.images[0].path}/{what}?accept=image/png", header)

    assert answer.headers["Content-Type"] == PNG


def test_multipart_of_one_image(service: str, kept: Kept) -> None:
    """One image is a part too where only that is asked for."""
    ((head, content),) = parts_of(
        get(f"{service}/{kept.images[0].path}/rendered", 'multipart/related; type="image/png"')
    )

    assert (head, levels(content)) == (f"Content-Type: {PNG}", [10, 200])


@pytest.mark.parametrize("accept", ["application/dicom", "image/jp2", "video/mp4", "*/*;q=0"])
@pytest.mark.parametrize("what", ["rendered", "thumbnail", "frames/1,1/rendered"])
def test_media_type_that_there_is_not(service: str, kept: Kept, what: str, accept: str) -> None:
    """406 says what there is."""
    answer = get(f"{service}/{kept.images[0].path}/{what}", accept)

    text = "Accept: none of the media types asked for can be given; there is image/jpeg, image/png, image/gif"
    assert (answer.status_code, answer.text) == (406, text)


# Parameters


def test_window(service: str, kept: Kept) -> None:
    """The window that is asked for (8.3.5.1.4)."""
    answer = get(f"{service}/{kept.images[0].path}/rendered?window=105.5,191,linear", PNG)

    assert levels(answer) == [0, 255]


@pytest.mark.parametrize(
    ("what", "query", "size"),
    [
        ("rendered", "", (128, 128)),
        ("rendered", "viewport=64,32", (32, 32)),
        ("rendered", "viewport=100,100,0,0,64,32", (100, 50)),
        ("thumbnail", "viewport=16,16", (16, 16)),
        ("frames/1/thumbnail", "viewport=256%2C256", (256, 256)),
    ],
)
def test_viewport(service: str, ct: Stored, what: str, query: str, size: tuple[int, int]) -> None:
    """The image, or a region of it, fits into the viewport (8.3.5.1.3)."""
    assert picture(get(f"{service}/{ct.path}/{what}?{query}", PNG)).size == size


def test_quality(service: str, ct: Stored) -> None:
    """Less quality takes fewer bytes (8.3.5.1.2)."""
    low, high = (
        len(get(f"{service}/{ct.path}/rendered?quality={quality}", JPEG).content) for quality in (10, 95)
    )

    assert low * 2 < high


def test_quality_of_png(service: str, kept: Kept) -> None:
    """What has no meaning for the media type is passed over with a warning."""
    answer = get(f"{service}/{kept.images[0].path}/rendered?quality=10", PNG)

    assert answer.headers["Warning"] == (
        '299 dicom-functions "quality has no meaning for image/png; it is ignored"'
    )


@pytest.mark.parametrize(
    ("what", "query", "warning"),
    [
        ("rendered", "annotation=patient", "The following annotation values are not supported: patient"),
        ("rendered", "shade=1", "shade is no parameter of a rendered resource; it is ignored"),
        ("thumbnail", "quality=1", "quality is no parameter of a thumbnail; it is ignored"),
    ],
)
def test_what_is_ignored(service: str, kept: Kept, what: str, query: str, warning: str) -> None:
    """A warning names it (8.3.5.1.1, 8.3)."""
    answer = get(f"{service}/{kept.images[0].path}/{what}?{query}")

    assert (answer.status_code, answer.headers["Warning"]) == (200, f'299 dicom-functions "{warning}"')


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("quality=0", "quality must be an integer from 1 to 100"),
        ("quality=high", "quality must be an integer from 1 to 100"),
        ("window=1,2", "window must be center,width,function: all three, with commas between them"),
        ("viewport=0,5", "viewport: width and height must be integers from 1 to 8192"),
        (
            "viewport=5,5,100,100,1,1",
            "viewport: the region lies outside of the image of 2 columns and 1 rows",
        ),
        ("iccprofile=yes&accept=image/gif", "iccprofile: image/gif holds no ICC profile"),
    ],
)
def test_malformed_parameter(service: str, kept: Kept, query: str, text: str) -> None:
    """400 says which parameter, and what it should be."""
    answer = get(f"{service}/{kept.images[0].path}/rendered?{query}")

    assert (answer.status_code, answer.text) == (400, text)


# Errors


def test_resource_that_there_is_not(service: str, kept: Kept) -> None:
    """404 at every level, 410 where one was deleted."""
    gone = gray(1, 2)
    dicomweb.keep(service, gone)
    assert dicomweb.delete(f"{service}/studies/{gone.study}").status_code == 204

    for what in ("rendered", "thumbnail"):
        assert get(f"{service}/studies/1.2.3.4.5/{what}").status_code == 404
        assert get(f"{service}/{kept.series}/instances/1.2.3.4.5/{what}").status_code == 404
        assert get(f"{service}/{gone.path}/{what}").status_code == 410


@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
@pytest.mark.parametrize(
    ("numbers", "status", "text"),
    [
        ("4", 404, "there is no frame 4; of the instance's frames 3 can be rendered"),
        ("0", 400, "{frames} in the path: entry 1 is not a positive number"),
        ("x", 400, "{frames} in the path: entry 1 is not a positive number"),
    ],
)
def test_frame_that_there_is_not(
    service: str, kept: Kept, what: str, numbers: str, status: int, text: str
) -> None:
    """A number beyond the last is 404, and what is no number is 400."""
    answer = get(f"{service}/{kept.frames.path}/frames/{numbers}/{what}")

    assert (answer.status_code, answer.text) == (status, text)


@pytest.mark.parametrize("what", ["rendered", "thumbnail"])
def test_report(service: str, kept: Kept, what: str) -> None:
    """What is no image cannot be rendered: 406 says so, for the instance and for a series of such."""
    instance = get(f"{service}/{kept.report.path}/{what}")
    series = get(f"{service}/{kept.study}/series/{kept.report.series}/{what}")

    assert (instance.status_code, series.status_code) == (406, 406)
    assert instance.text.startswith("instances of SOP class 1.2.840.10008.5.1.4.1.1.88.11 are not rendered")
    assert series.text == f"nothing of {kept.study}/series/{kept.report.series} can be rendered"


def test_image_that_cannot_be_decoded(service: str) -> None:
    """406 says why."""
    one = images.shipped("JPEG2000-embedded-sequence-delimiter.dcm")
    assert dicomweb.post(f"{service}/studies", one.content).status_code in (200, 202)

    answer = get(f"{service}/{one.path}/rendered")

    assert answer.status_code == 406
    assert answer.text.startswith("the frame's codestream has not the (0028,0010) Rows")


def test_animation_that_is_too_large(service: str) -> None:
    """413 says what may be asked for instead."""
    one = made(
        Rows=1, Columns=2, BitsAllocated=8, BitsStored=8, HighBit=7, NumberOfFrames=600, PixelData=bytes(1200)
    )
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/rendered", GIF)

    assert (answer.status_code, "512 frames" in answer.text) == (413, True)


# Validators


@pytest.mark.parametrize("path", ["rendered", "thumbnail", "frames/1/rendered"])
def test_not_modified(service: str, kept: Kept, path: str) -> None:
    """What the user agent has already is not sent again."""
    url = f"{service}/{kept.images[0].path}/{path}"
    etag = get(url).headers["ETag"]

    answer = get(url, **{"If-None-Match": etag})

    assert (answer.status_code, answer.content, answer.headers["ETag"]) == (304, b"", etag)


def test_etags_differ(service: str, kept: Kept) -> None:
    """Another media type, size, window, frame or form is another representation."""
    base = f"{service}/{kept.frames.path}"
    asked = [
        ("rendered", JPEG),
        ("rendered", PNG),
        ("rendered", GIF),
        ("rendered", 'multipart/related; type="image/jpeg"'),
        ("rendered?viewport=10,10", JPEG),
        ("rendered?window=1,2,linear", JPEG),
        ("rendered?quality=10", JPEG),
        ("frames/2/rendered", JPEG),
        ("frames/1,2/rendered", JPEG),
        ("thumbnail", JPEG),
    ]

    tags = [get(f"{base}/{path}", accept).headers["ETag"] for path, accept in asked]

    assert len(set(tags)) == len(asked)


def test_replaced_instance(service: str) -> None:
    """After a PUT its new pixels are shown, and the old validator does not hold."""
    first = gray(1, 2)
    dicomweb.keep(service, first)
    before = get(f"{service}/{first.path}/rendered", PNG)
    second = gray(3, 4, study=first.study, series=first.series, SOPInstanceUID=first.instance)
    dicomweb.post(f"{service}/studies", second.content, method="PUT")

    answer = get(f"{service}/{first.path}/rendered", PNG, **{"If-None-Match": before.headers["ETag"]})

    assert (levels(before), answer.status_code, levels(answer)) == ([1, 2], 200, [3, 4])


def test_head(service: str, kept: Kept) -> None:
    """HEAD is answered with the header fields of GET."""
    url = f"{service}/{kept.images[0].path}/rendered"
    full = get(url)

    answer = requests.head(url, timeout=30)

    for name in ("Content-Type", "Content-Length", "ETag"):
        assert answer.headers[name] == full.headers[name]


# Pixels


@pytest.fixture(scope="module")
def ct(service: str) -> Stored:
    """An image of 128 by 128 pixels of 16 bits."""
    one = images.shipped("CT_small.dcm")
    assert dicomweb.post(f"{service}/studies", one.content).status_code in (200, 202)
    return one


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "ExplVR_BigEnd.dcm",
        "examples_palette.dcm",
        "examples_jpeg2k.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
        "liver_1frame.dcm",
        "examples_overlay.dcm",
    ],
)
def test_pixels(service: str, name: str) -> None:
    """What is sent is what is rendered of the frame's bytes: unit tests say what that must be."""
    one = images.shipped(name)
    assert dicomweb.post(f"{service}/studies", one.content).status_code in (200, 202)
    source, content = oracle.frame_of(SHIPPED / name)

    answer = get(f"{service}/{one.path}/rendered", PNG)

    assert answer.content == rendering.render(source, (1, content), Rendition(), PNG)


def test_profile(service: str) -> None:
    """Slim asks for slides with their ICC profile, or with sRGB if they have none (8.3.5.1.5)."""
    one = images.shipped("SC_rgb_jpeg_dcmtk.dcm")
    assert dicomweb.post(f"{service}/studies", one.content).status_code in (200, 202)
    url = f"{service}/{one.path}/rendered"

    asked, otherwise = get(f"{url}?viewport=50,50&iccprofile=yes", PNG), get(url, PNG)

    assert picture(asked).info["icc_profile"]
    assert "icc_profile" not in picture(otherwise).info


def test_deflated_instance(service: str) -> None:
    """Offsets within a deflated data set count in what is inflated."""
    stored = dicomweb.post(f"{service}/studies", (SHIPPED / "image_dfl.dcm").read_bytes())
    reference = dicomweb.value(stored.json(), "00081199")

    shown = pixels(get(f"{dicomweb.value(reference, '00081190')}/rendered", PNG))

    assert shown.shape == (512, 512)
    assert shown.std() > 10


def test_monochrome1(service: str) -> None:
    """Small values are bright."""
    one = gray(0, 55, 255, 200, PhotometricInterpretation="MONOCHROME1")
    dicomweb.keep(service, one)

    assert levels(get(f"{service}/{one.path}/rendered", PNG)) == [255, 200, 0, 55]


def test_palette_in_bulk_data(service: str) -> None:
    """A lookup table that is too large for the metadata is read from the instance."""
    table = b"".join(level.to_bytes(2, "little") for level in range(0, 1024 * 64, 64))
    elements = {
        f"{color}PaletteColorLookupTable{part}": value
        for color in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [1024, 0, 16]), ("Data", table))
    }
    stored = b"".join(value.to_bytes(2, "little") for value in (0, 512, 1023, 256))
    one = made(Rows=1, Columns=4, PhotometricInterpretation="PALETTE COLOR", PixelData=stored, **elements)
    dicomweb.keep(service, one)

    shown = pixels(get(f"{service}/{one.path}/rendered", PNG))

    assert shown[0].tolist() == [[0] * 3, [128] * 3, [255] * 3, [64] * 3]


def test_frames_of_single_bits(service: str) -> None:
    """A frame that begins within a byte is cut out of it."""
    one = made(
        Rows=1, Columns=4, BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=2, PixelData=b"\x3a\0"
    )
    dicomweb.keep(service, one)

    parts = parts_of(get(f"{service}/{one.path}/frames/1,2/rendered", PNG))

    assert [levels(content) for _, content in parts] == [[0, 255, 0, 255], [255, 255, 0, 0]]


# Documents and videos


@pytest.mark.parametrize("content", [images.PDF, images.PDF * 100], ids=["in the header", "in bulk data"])
def test_document(service: str, content: bytes) -> None:
    """A document is given as it is, without what pads it, and ranges of it."""
    one = images.document(content)
    dicomweb.keep(service, one)
    url = f"{service}/{one.path}/rendered"

    answer, part = get(url), get(url, Range="bytes=1-3")

    assert (answer.headers["Content-Type"], answer.content) == ("application/pdf", content)
    assert (part.status_code, part.content) == (206, content[1:4])
    assert get(url, **{"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_document_as_a_part(service: str) -> None:
    """A document is a part where only that is asked for."""
    one = images.document()
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/rendered", 'multipart/related; type="application/pdf"')

    assert parts_of(answer) == [("Content-Type: application/pdf", images.PDF)]


def test_document_as_another_media_type(service: str) -> None:
    """A document is neither an image nor what it calls itself, and has no thumbnail."""
    one = images.document(MIMETypeOfEncapsulatedDocument="text/html")
    dicomweb.keep(service, one)
    url = f"{service}/{one.path}"

    assert get(f"{url}/rendered").headers["Content-Type"] == "application/pdf"
    assert get(f"{url}/rendered", "image/jpeg").status_code == 406
    assert get(f"{url}/rendered", "text/html").status_code == 406
    assert get(f"{url}/thumbnail").status_code == 406


def test_document_that_a_browser_would_run(service: str) -> None:
    """A document of XML is shown without its scripts."""
    one = images.document(b"<a/>", SOPClassUID="1.2.840.10008.5.1.4.1.1.104.2")
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/rendered")

    assert (answer.headers["Content-Type"], answer.content) == ("text/xml", b"<a/>")
    assert answer.headers["Content-Security-Policy"] == "sandbox"


def test_parameters_of_a_document(service: str) -> None:
    """Nothing is scaled: a warning says so."""
    one = images.document()
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/rendered?viewport=10,10")

    assert answer.headers["Warning"] == '299 dicom-functions "application/pdf is given as it is stored"'


STREAM = bytes(range(200)) * 2


@pytest.mark.parametrize("accept", [None, "video/mp4", "video/*"])
@pytest.mark.parametrize("cut", [len(STREAM), 150], ids=["one fragment", "several"])
def test_video(service: str, accept: str | None, cut: int) -> None:
    """A video is its bit stream, whatever fragments it is stored in."""
    one = images.video(*filter(None, (STREAM[:cut], STREAM[cut:])))
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/rendered", accept)

    assert (answer.headers["Content-Type"], answer.content) == ("video/mp4", STREAM)


def test_range_of_a_video(service: str) -> None:
    """Players ask for ranges."""
    one = images.video(STREAM)
    dicomweb.keep(service, one)

    answer = get(f"{service}/{one.path}/rendered", Range="bytes=100-109")

    assert (answer.status_code, answer.content) == (206, STREAM[100:110])
    assert answer.headers["Content-Range"] == f"bytes 100-109/{len(STREAM)}"


def test_video_stands_for_its_study(service: str) -> None:
    """Where there is nothing else, a study is a video, but has no thumbnail."""
    one = images.video(STREAM)
    dicomweb.keep(service, one)

    assert get(f"{service}/studies/{one.study}/rendered").content == STREAM
    assert get(f"{service}/studies/{one.study}/thumbnail").status_code == 406


# What takes long


@pytest.fixture(scope="module")
def large(service: str) -> Stored:
    """An image of 4096 by 3000 pixels of 16 bits: 24 MB."""
    ramp = np.linspace(0, 4095, 4096 * 3000, dtype="<u2").tobytes()
    one = made(Rows=3000, Columns=4096, BitsStored=12, HighBit=11, PixelData=ramp)
    dicomweb.keep(service, one)
    return one


def test_thumbnail_of_a_large_image(service: str, large: Stored) -> None:
    """It is the same each time: rendered, and as it was kept."""
    first, second = (get(f"{service}/{large.path}/thumbnail", PNG) for _ in range(2))

    assert picture(first).size == (128, 94)
    assert (first.content, first.headers["ETag"]) == (second.content, second.headers["ETag"])


def test_kept_rendition_of_what_is_deleted(service: str) -> None:
    """What was kept is not given once its instance is deleted."""
    one = made(Rows=2048, Columns=2048, PixelData=bytes(2048 * 2048 * 2))
    dicomweb.keep(service, one)
    assert get(f"{service}/{one.path}/thumbnail").status_code == 200

    dicomweb.delete(f"{service}/{one.path}")

    assert get(f"{service}/{one.path}/thumbnail").status_code == 410
