"""What an instance can be rendered to (PS3.18 8.7.2, 8.7.4), documents, videos, and what stands for a series."""

from __future__ import annotations

import struct

import pytest

from dicom_core.record import Dataset, Instance
from dicom_core.representations import rendered_types, representative
from dicom_core.representations.source import InvalidInstance
from dicom_core.representations.videos import Joiner
from dicom_core.resources import Level
from tests.unit.representations.rendered import element
from tests.unit.representations.samples import SEQUENCE_END, item

CT, SR, SEG = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.66.4"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
EXPLICIT, MPEG4 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.102"
IMAGES = ("image/jpeg", "image/png", "image/gif")


@pytest.mark.parametrize(
    ("sop_class", "transfer_syntax", "frames", "types"),
    [
        (CT, EXPLICIT, 1, IMAGES),
        (CT, EXPLICIT, 100, IMAGES),
        (CT, EXPLICIT, 0, ()),
        (SR, EXPLICIT, 0, ()),
        (PDF, EXPLICIT, 0, ("application/pdf",)),
        ("1.2.840.10008.5.1.4.1.1.104.2", EXPLICIT, 0, ("text/xml",)),
        ("1.2.840.10008.5.1.4.1.1.104.3", EXPLICIT, 0, ("model/stl",)),
        ("1.2.840.10008.5.1.4.1.1.104.4", EXPLICIT, 0, ("model/obj",)),
        ("1.2.840.10008.5.1.4.1.1.104.5", EXPLICIT, 0, ("model/mtl",)),
        (CT, "1.2.840.10008.1.2.4.100", 0, ("video/mpeg",)),
        (CT, "1.2.840.10008.1.2.4.101.1", 1, ("video/mpeg",)),
        (CT, MPEG4, 0, ("video/mp4",)),
        (CT, "1.2.840.10008.1.2.4.106.1", 0, ("video/mp4",)),
        (CT, "1.2.840.10008.1.2.4.108", 0, ("video/H265", "video/mp4")),
    ],
)
def test_media_types_follow_from_class_and_encoding(
    sop_class: str, transfer_syntax: str, frames: int, types: tuple[str, ...]
) -> None:
    """The Resource Category decides what there is, the default first (PS3.18 Table 8.7.4-1)."""
    assert rendered_types.rendered_media_types(sop_class, transfer_syntax, frames) == types


@pytest.mark.parametrize(
    ("sop_class", "transfer_syntax", "frames", "types"),
    [(CT, EXPLICIT, 1, IMAGES), (PDF, EXPLICIT, 0, ()), (CT, MPEG4, 1, ()), (SR, EXPLICIT, 0, ())],
)
def test_thumbnails_are_images(
    sop_class: str, transfer_syntax: str, frames: int, types: tuple[str, ...]
) -> None:
    """A thumbnail is a single image (PS3.18 10.4.1.1.4), which this service makes of images only."""
    assert rendered_types.thumbnail_media_types(sop_class, transfer_syntax, frames) == types


def test_reason_tells_what_is_not_rendered() -> None:
    """The text of the refusal names the SOP class, or that there are no thumbnails of it."""
    assert SR in rendered_types.reason(SR, EXPLICIT)
    assert SR in rendered_types.reason(SR, EXPLICIT, thumbnail=True)
    assert "images only" in rendered_types.reason(PDF, EXPLICIT, thumbnail=True)
    assert "images only" in rendered_types.reason(CT, MPEG4, thumbnail=True)


def test_document_within_the_header_is_cut_to_its_length() -> None:
    """A document of odd length is padded; Encapsulated Document Length says so (PS3.3 C.24.2)."""
    header = {"00420011": element("OB", b"%PDF-1\0\0"), "00420015": element("UL", 7)}

    assert rendered_types.document(header) == rendered_types.Document(b"%PDF-1\0", 7)
    assert rendered_types.document({"00420011": element("OB", b"%PDF")}).content == b"%PDF"


def test_document_beyond_the_header_is_bulk_data() -> None:
    """A large document lies in the file, at the path of its element."""
    header = {"00420011": {"vr": "OB", "BulkDataURI": "bulkdata/00420011"}, "00420015": element("UL", 7)}

    assert rendered_types.document(header) == rendered_types.Document(None, 7)


VIDEO = item(struct.pack("<L", 0)) + item(b"first ") + item(b"") + item(b"second") + SEQUENCE_END


@pytest.mark.parametrize("size", [1, 3, 7, 8, 9, 1000])
def test_video_is_what_its_fragments_hold(size: int) -> None:
    """The fragments are joined; the offset table, item headers and the delimiter are left out (PS3.5 A.4)."""
    joiner = Joiner()

    joined = b"".join(joiner.feed(VIDEO[at : at + size]) for at in range(0, len(VIDEO), size))

    assert joined == b"first second"


def test_video_ends_with_its_delimiter() -> None:
    """What follows the delimiter is nothing of the video; one that is missing is not missed."""
    joiner = Joiner()
    assert joiner.feed(VIDEO + b"\xfc\xff\xfc\xffmore") == b"first second"
    assert joiner.feed(b"and more than that") == b""
    assert Joiner().feed(VIDEO[:-8]) == b"first second"


def test_video_with_something_else_between_its_fragments_is_refused() -> None:
    """Bytes that are no item are no video."""
    with pytest.raises(InvalidInstance, match="something else than an item"):
        Joiner().feed(item(b"") + b"\0" * 8)


def row(
    uid: str,
    number: int | None = None,
    *,
    series: tuple[int | None, str] = (1, "1"),
    sop_class: str = CT,
    syntax: str = EXPLICIT,
    image: bool = True,
) -> Instance:
    """A row of the record, as far as it tells what it is."""
    attributes: Dataset = {"00200013": element("IS", number)} if number is not None else {}
    attributes |= {"00280010": element("US", 512)} if image else {}
    of_series: Dataset = {"00200011": element("IS", series[0])} if series[0] is not None else {}
    return Instance(
        study="1",
        series=series[1],
        instance=uid,
        version="v",
        sop_class=sop_class,
        transfer_syntax=syntax,
        length=1,
        digest="",
        partition="1",
        attributes={Level.SERIES: of_series, Level.INSTANCE: attributes},
    )


def chosen(*rows: Instance, thumbnail: bool = False) -> str | None:
    """The UID of the instance that stands for all."""
    found = representative.instance(rows, thumbnail=thumbnail)
    return found and found.instance


def test_middle_instance_stands_for_a_series() -> None:
    """Of a series it is the middle one by Instance Number, not by the order of its rows."""
    assert chosen(row("a", 5), row("b", 1), row("c", 3), row("d", 2), row("e", 4)) == "c"
    assert chosen(row("a", 10), row("b", 9)) == "a"


def test_instances_without_a_number_come_last() -> None:
    """Without Instance Number the UIDs decide."""
    assert chosen(row("a"), row("b"), row("c", 1)) == "a"


def test_first_series_stands_for_a_study() -> None:
    """The first series is that of the lowest Series Number; without one it comes last."""
    assert chosen(row("a", series=(2, "1")), row("b", series=(1, "2")), row("c", series=(None, "0"))) == "b"
    assert chosen(row("a", series=(1, "2")), row("b", series=(1, "1"))) == "b"


def test_images_stand_for_a_study_rather_than_what_was_made_of_them() -> None:
    """Segmentations come after images, then videos, then documents; reports cannot be shown."""
    report = row("sr", series=(0, "0"), sop_class=SR, image=False)
    document = row("pdf", series=(0, "4"), sop_class=PDF, image=False)
    video = row("mp4", series=(1, "3"), syntax=MPEG4)
    segmentation = row("seg", series=(2, "2"), sop_class=SEG)
    image = row("ct", series=(3, "1"))

    assert chosen(report, document, video, segmentation, image) == "ct"
    assert chosen(report, document, video, segmentation) == "seg"
    assert chosen(report, document, video) == "mp4"
    assert chosen(report, document) == "pdf"
    assert chosen(report) is None


def test_nothing_but_images_stands_for_a_thumbnail() -> None:
    """A video or document has no thumbnail, so that it cannot stand for one."""
    video = row("mp4", syntax=MPEG4)

    assert chosen(video, row("ct"), thumbnail=True) == "ct"
    assert chosen(video, row("pdf", sop_class=PDF), thumbnail=True) is None


@pytest.mark.parametrize(
    ("header", "thumbnail", "frame"),
    [
        ({}, False, 1),
        ({}, True, 5),
        ({"00286010": element("US", 7)}, False, 7),
        ({"00286010": element("US", 7)}, True, 7),
        ({"00286010": element("US", 11)}, False, 1),
        ({"00286010": element("US", 0)}, True, 5),
    ],
)
def test_frame_stands_for_an_instance(header: Dataset, thumbnail: bool, frame: int) -> None:
    """Its Representative Frame Number (PS3.3 C.7.6.6), else the first frame, or the middle one of a thumbnail."""
    assert representative.frame(header, 10, thumbnail=thumbnail) == frame
