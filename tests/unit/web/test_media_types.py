"""Acceptable Media Types, and the one selected for each object (PS3.18 8.7)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.errors import BadRequest, NotAcceptable, UnsupportedMediaType
from dicom_core.resources import Resource
from dicom_core.web import media_types
from dicom_core.web.media_types import Category, MediaRange, Offer, StoreContent
from dicom_core.web.messages import Request

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
J2K = "1.2.840.10008.1.2.4.91"
JPEG_XL = "1.2.840.10008.1.2.4.110"
MPEG4 = "1.2.840.10008.1.2.4.102"
RLE = "1.2.840.10008.1.2.5"
PRIVATE = "1.3.6.1.4.1.9590.1"

INSTANCES, FRAMES, BULKDATA, METADATA = Category

OCTETS = "application/octet-stream"
RELATED_OCTETS = 'multipart/related; type="application/octet-stream"'
RELATED_DICOM = 'multipart/related; type="application/dicom"'
BROWSER = "image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"
NAVIGATION = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8"
)
MICROSCOPY = ", ".join(
    f'multipart/related; type="{media_type}"; transfer-syntax={transfer_syntax}'
    for media_type, transfer_syntax in (
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


def request(accept: str | None = None, *parameters: str) -> Request:
    """A request with an Accept header and `accept` query parameters."""
    return Request(
        method="GET",
        resource=Resource("1.2"),
        base_url="https://example.org/v2",
        headers={} if accept is None else {"accept": accept},
        parameters=tuple(("accept", value) for value in parameters),
    )


def select(accept: str | None, category: Category, stored: str, *, single: bool = True) -> tuple[str, bool]:
    """The media type selected for an object, and if it is multipart."""
    offer = media_types.negotiate(request(accept), category, single=single).select(stored)
    assert offer.transfer_syntax == (None if category is METADATA else stored)
    return offer.media_type, offer.multipart


MULTIPART, SINGLE = True, False


@pytest.mark.parametrize(
    ("accept", "stored", "expected"),
    [
        pytest.param(None, JPEG_LS, MULTIPART, id="missing"),
        pytest.param("", EXPLICIT, MULTIPART, id="empty"),
        pytest.param(" , ", EXPLICIT, MULTIPART, id="empty-list"),
        pytest.param("*/*", EXPLICIT, MULTIPART, id="any"),
        pytest.param("*/*", JPEG_LS, MULTIPART, id="any-is-as-stored"),
        pytest.param("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", RLE, MULTIPART, id="java"),
        pytest.param("*", RLE, MULTIPART, id="a-star-alone"),
        pytest.param(RELATED_DICOM, EXPLICIT, MULTIPART, id="multipart"),
        pytest.param("multipart/related; type=application/dicom", EXPLICIT, MULTIPART, id="unquoted"),
        pytest.param("multipart/related;type=application/dicom", EXPLICIT, MULTIPART, id="no-spaces"),
        pytest.param('Multipart/Related ; TYPE = "Application/DICOM"', EXPLICIT, MULTIPART, id="any-case"),
        pytest.param("multipart/related", EXPLICIT, MULTIPART, id="no-type-is-the-default"),
        pytest.param("multipart/*", EXPLICIT, MULTIPART, id="any-multipart"),
        pytest.param('multipart/related; type="*/*"', JPEG, MULTIPART, id="any-type-in-parts"),
        pytest.param('multipart/related; type="application/*"', JPEG, MULTIPART, id="a-wild-card-in-parts"),
        pytest.param("application/dicom", EXPLICIT, SINGLE, id="single"),
        pytest.param("application/dicom, */*", EXPLICIT, SINGLE, id="single-before-any"),
        pytest.param("application/*", EXPLICIT, SINGLE, id="single-by-wild-card"),
        pytest.param(f"application/dicom, {RELATED_DICOM}", EXPLICIT, MULTIPART, id="multipart-among-equals"),
        pytest.param(f"{RELATED_DICOM};q=0.5, application/dicom", EXPLICIT, SINGLE, id="higher-q"),
        pytest.param("application/dicom;q=0.2, */*;q=0.9", EXPLICIT, MULTIPART, id="any-with-higher-q"),
        pytest.param("application/dicom;q=0, */*", EXPLICIT, MULTIPART, id="q-0-excludes"),
        pytest.param(f"{RELATED_DICOM};q=0, */*", EXPLICIT, SINGLE, id="q-0-excludes-multipart"),
        pytest.param("application/dicom, */*;q=0", EXPLICIT, SINGLE, id="q-0-of-the-less-specific"),
        pytest.param("application/dicom, application/*;q=0", EXPLICIT, SINGLE, id="q-0-of-a-wild-card"),
        pytest.param("multipart/related;q=0, */*", EXPLICIT, SINGLE, id="q-0-of-the-more-specific"),
        pytest.param("application/dicom;q=high", EXPLICIT, SINGLE, id="bad-q-is-1"),
        pytest.param(f"{RELATED_DICOM};q=0.9, application/dicom;q=7", EXPLICIT, SINGLE, id="q-above-1-is-1"),
        pytest.param("image/png, gibberish, ;;, application/dicom", EXPLICIT, SINGLE, id="unknown-members"),
        pytest.param("a b/c d, application/dicom", EXPLICIT, SINGLE, id="malformed-member"),
        pytest.param(f'multipart/related; type="x", {RELATED_DICOM}', EXPLICIT, MULTIPART, id="malformed-type"),
        pytest.param(f"{RELATED_DICOM}; transfer-syntax=*", JPEG_LS, MULTIPART, id="as-stored"),
        pytest.param(f'{RELATED_DICOM}; transfer-syntax="*"', JPEG_LS, MULTIPART, id="as-stored-quoted"),
        pytest.param("application/dicom; transfer-syntax=*", PRIVATE, SINGLE, id="private-as-stored"),
        pytest.param(RELATED_DICOM, JPEG_LS, MULTIPART, id="no-transfer-syntax-is-as-stored"),
        pytest.param(f"{RELATED_DICOM}; transfer-syntax=", RLE, MULTIPART, id="empty-transfer-syntax"),
        pytest.param(f"{RELATED_DICOM}; transfer-syntax={J2K}", J2K, MULTIPART, id="named"),
        pytest.param(f'{RELATED_DICOM}; transfer-syntax="{J2K}"', J2K, MULTIPART, id="named-quoted"),
        pytest.param(f"application/dicom; transfer-syntax={PRIVATE}", PRIVATE, SINGLE, id="private-named"),
        pytest.param(
            f"{RELATED_DICOM}; transfer-syntax={J2K}; transfer-syntax={RLE}", RLE, MULTIPART, id="second-named"
        ),
        pytest.param(
            f"{RELATED_DICOM}; transfer-syntax={J2K}; transfer-syntax=*", RLE, MULTIPART, id="named-or-as-stored"
        ),
        pytest.param(
            f"{RELATED_DICOM}; transfer-syntax={J2K}, application/dicom; transfer-syntax={RLE}",
            RLE,
            SINGLE,
            id="the-member-that-fits",
        ),
        pytest.param(
            f"{RELATED_DICOM}, application/dicom; transfer-syntax={RLE}", RLE, SINGLE, id="no-transcoding-wins"
        ),
        pytest.param(
            f"application/dicom; transfer-syntax={RLE}; q=0, application/dicom, {RELATED_DICOM};q=0.1",
            RLE,
            MULTIPART,
            id="q-0-of-a-transfer-syntax",
        ),
        pytest.param('multipart/related; type="application/dicom"; transfer-syntax=*', J2K, MULTIPART, id="python"),
        pytest.param('multipart/related;type="application/dicom";transfer-syntax=*', J2K, MULTIPART, id="weasis"),
        pytest.param('multipart/related; type="application/dicom"', J2K, MULTIPART, id="slicer-and-dcmjs"),
        pytest.param(BROWSER, EXPLICIT, MULTIPART, id="browser-image"),
        pytest.param(NAVIGATION, EXPLICIT, MULTIPART, id="browser-navigation"),
    ],
)  # fmt: skip
def test_select_of_an_instance(accept: str | None, stored: str, expected: bool) -> None:
    """An instance is application/dicom as it is stored; single only if that is asked for (PS3.18 8.7.8.1)."""
    assert select(accept, INSTANCES, stored) == ("application/dicom", expected)


@pytest.mark.parametrize(
    ("accept", "stored", "expected"),
    [
        pytest.param(None, JPEG_LS, (OCTETS, MULTIPART), id="missing"),
        pytest.param("*/*", JPEG_LS, (OCTETS, MULTIPART), id="any"),
        pytest.param("*/*", EXPLICIT, (OCTETS, MULTIPART), id="any-native"),
        pytest.param("multipart/related", JPEG, (OCTETS, MULTIPART), id="no-type-is-the-default"),
        pytest.param('multipart/related; type="*/*"', JPEG, (OCTETS, MULTIPART), id="python"),
        pytest.param(
            "multipart/related; type=application/octet-stream; transfer-syntax=*",
            JPEG_LS,
            (OCTETS, MULTIPART),
            id="ohif-and-cornerstone-unquoted",
        ),
        pytest.param(
            'multipart/related; type="application/octet-stream"; transfer-syntax="*"',
            JPEG_LS,
            (OCTETS, MULTIPART),
            id="ohif-quoted",
        ),
        pytest.param(
            f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}; transfer-syntax=*",
            JPEG_LS,
            ("image/jls", MULTIPART),
            id="ohif-one-codec-stored",
        ),
        pytest.param(
            f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}; transfer-syntax=*",
            EXPLICIT,
            (OCTETS, MULTIPART),
            id="ohif-one-codec-not-stored",
        ),
        pytest.param(
            f"image/jls; transfer-syntax={JPEG_LS}; transfer-syntax=*, {RELATED_OCTETS};q=1",
            RLE,
            (OCTETS, MULTIPART),
            id="instead-comes-last",
        ),
        pytest.param(
            f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}; transfer-syntax=*; q=0, */*",
            EXPLICIT,
            (OCTETS, MULTIPART),
            id="instead-does-not-exclude",
        ),
        pytest.param(MICROSCOPY, EXPLICIT, (OCTETS, MULTIPART), id="microscopy-native"),
        pytest.param(MICROSCOPY, JPEG, (OCTETS, MULTIPART), id="microscopy-jpeg"),
        pytest.param(MICROSCOPY, J2K, (OCTETS, MULTIPART), id="microscopy-jpeg-2000"),
        pytest.param(MICROSCOPY, PRIVATE, (OCTETS, MULTIPART), id="microscopy-private"),
        pytest.param(f"{OCTETS}; transfer-syntax=*", J2K, (OCTETS, SINGLE), id="slim"),
        pytest.param(f"{RELATED_OCTETS}; transfer-syntax={EXPLICIT}", EXPLICIT, (OCTETS, MULTIPART), id="ez-wsi"),
        pytest.param(OCTETS, EXPLICIT, (OCTETS, SINGLE), id="single"),
        pytest.param(f"{OCTETS}, */*", EXPLICIT, (OCTETS, SINGLE), id="single-before-any"),
        pytest.param("application/*", RLE, (OCTETS, SINGLE), id="single-by-wild-card"),
        pytest.param(RELATED_OCTETS, RLE, (OCTETS, MULTIPART), id="no-transfer-syntax-is-as-stored"),
        pytest.param("image/jls", JPEG_LS, ("image/jls", SINGLE), id="codec"),
        pytest.param(
            f"image/jls; transfer-syntax={JPEG_LS}", JPEG_LS, ("image/jls", SINGLE), id="codec-and-syntax"
        ),
        pytest.param("multipart/related; type=image/jls", JPEG_LS, ("image/jls", MULTIPART), id="codec-in-parts"),
        pytest.param("multipart/related; type=image/*", JPEG, ("image/jpeg", MULTIPART), id="wild-card-in-parts"),
        pytest.param("image/*", JPEG, ("image/jpeg", SINGLE), id="wild-card"),
        pytest.param("video/h265", "1.2.840.10008.1.2.4.107", ("video/H265", SINGLE), id="case-of-H265"),
        pytest.param("image/jp2, image/jls", JPEG_LS, ("image/jls", SINGLE), id="the-codec-that-fits"),
        pytest.param(
            f"{RELATED_OCTETS}, multipart/related; type=image/jls",
            JPEG_LS,
            ("image/jls", MULTIPART),
            id="no-transcoding-wins",
        ),
        pytest.param(
            f"{RELATED_OCTETS}; transfer-syntax=*, multipart/related; type=image/jls",
            JPEG_LS,
            (OCTETS, MULTIPART),
            id="as-stored-among-equals",
        ),
        pytest.param(
            f"{RELATED_OCTETS};q=0.5; transfer-syntax=*, multipart/related; type=image/jls;q=0.8",
            JPEG_LS,
            ("image/jls", MULTIPART),
            id="higher-q",
        ),
        pytest.param(
            f"{RELATED_OCTETS}; q=0, multipart/related", JPEG_LS, ("image/jls", MULTIPART), id="q-0-excludes"
        ),
        pytest.param(f"image/jp2, {RELATED_OCTETS};q=.1", JPEG, (OCTETS, MULTIPART), id="what-is-left"),
        pytest.param(BROWSER, EXPLICIT, (OCTETS, MULTIPART), id="browser-native"),
        pytest.param(BROWSER, JPEG, ("image/jpeg", SINGLE), id="browser-jpeg"),
        pytest.param(BROWSER, JPEG_XL, ("image/jxl", SINGLE), id="browser-jpeg-xl"),
        pytest.param(NAVIGATION, JPEG, (OCTETS, MULTIPART), id="browser-navigation"),
    ],
)  # fmt: skip
def test_select_of_a_frame(accept: str | None, stored: str, expected: tuple[str, bool]) -> None:
    """A frame is multipart octets as stored unless a codec or a single part is asked for (8.7.3.5, 8.7.8.1)."""
    assert select(accept, FRAMES, stored) == expected


@pytest.mark.parametrize("stored", [IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED, PRIVATE])
def test_select_of_a_native_frame(stored: str) -> None:
    """Without a codec that has a media type, a frame is application/octet-stream and no image."""
    accept = "multipart/related; type=image/*, multipart/related; type=application/octet-stream; q=0.1"

    assert select(accept, FRAMES, stored) == (OCTETS, MULTIPART)


@pytest.mark.parametrize("category", [FRAMES, BULKDATA])
@pytest.mark.parametrize(
    ("media_type", "last_components"),
    [
        ("image/jpeg", ("4.50", "4.51", "4.57", "4.70")),
        ("image/dicom-rle", ("5",)),
        ("image/jls", ("4.80", "4.81")),
        ("image/jp2", ("4.90", "4.91")),
        ("image/jpx", ("4.92", "4.93")),
        ("image/jphc", ("4.201", "4.202", "4.203")),
        ("image/jxl", ("4.110", "4.111", "4.112")),
        ("video/mpeg", ("4.100", "4.101", "4.100.1", "4.101.1")),
        ("video/mp4", ("4.102", "4.103", "4.104", "4.105", "4.106", "4.102.1", "4.106.1")),
        ("video/H265", ("4.107", "4.108")),
    ],
)
def test_select_of_a_codec(category: Category, media_type: str, last_components: tuple[str, ...]) -> None:
    """Compressed pixel data have the media type of their codec (PS3.18 Table 8.7.3-4, 8.7.3-5)."""
    for component in last_components:
        stored = f"1.2.840.10008.1.2.{component}"
        assert select(media_type, category, stored) == (media_type, SINGLE)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(None, (OCTETS, MULTIPART), id="missing"),
        pytest.param("*/*", (OCTETS, MULTIPART), id="any"),
        pytest.param('multipart/related; type="*/*"', (OCTETS, MULTIPART), id="python"),
        pytest.param(
            f'multipart/related; type="application/pdf", {RELATED_OCTETS}',
            (OCTETS, MULTIPART),
            id="ohif-document",
        ),
        pytest.param(RELATED_OCTETS, (OCTETS, MULTIPART), id="ohif"),
        pytest.param(OCTETS, (OCTETS, SINGLE), id="single"),
    ],
)
def test_select_of_bulkdata(accept: str | None, expected: tuple[str, bool]) -> None:
    """Bulk data are application/octet-stream, whatever they are (PS3.18 8.7.3.4)."""
    assert select(accept, BULKDATA, EXPLICIT) == expected


@pytest.mark.parametrize(
    ("accept", "document", "expected"),
    [
        pytest.param(
            "application/pdf", "application/pdf", Offer("application/pdf", None, SINGLE), id="single"
        ),
        pytest.param("text/xml", "text/XML", Offer("text/XML", None, SINGLE), id="any-case"),
        pytest.param(
            "multipart/related; type=application/pdf",
            "application/pdf",
            Offer("application/pdf", None, MULTIPART),
            id="multipart",
        ),
        pytest.param("*/*", "application/pdf", Offer(OCTETS, EXPLICIT, MULTIPART), id="any"),
        pytest.param(
            f"{OCTETS}, application/pdf", "a/b\r\nX: y", Offer(OCTETS, EXPLICIT, SINGLE), id="no-media-type"
        ),
    ],
)
def test_select_of_a_document(accept: str, document: str, expected: Offer) -> None:
    """An encapsulated document is given as what it says it is, if that is asked for (PS3.3 C.24.2)."""
    assert media_types.negotiate(request(accept), BULKDATA, single=True).select(document=document) == expected


def test_select_of_no_document() -> None:
    """What is no document of the type asked for is 406, once it has been looked up."""
    acceptable = media_types.negotiate(request("application/pdf"), BULKDATA, single=True)

    with pytest.raises(NotAcceptable):
        acceptable.select(EXPLICIT)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(None, "application/dicom+json", id="missing"),
        pytest.param("*/*", "application/dicom+json", id="any"),
        pytest.param("application/*", "application/dicom+json", id="wild-card"),
        pytest.param("application/dicom+json", "application/dicom+json", id="ohif"),
        pytest.param("application/dicom+json, application/json", "application/dicom+json", id="python"),
        pytest.param("application/json, application/dicom+json", "application/dicom+json", id="any-order"),
        pytest.param("application/json", "application/json", id="json"),
        pytest.param("application/json, text/plain, */*", "application/json", id="axios"),
        pytest.param("application/dicom+json; charset=utf-8", "application/dicom+json", id="charset"),
        pytest.param("application/dicom+json; transfer-syntax=1.2", "application/dicom+json", id="no-syntax"),
        pytest.param("application/dicom+json;q=0.1, application/json", "application/json", id="higher-q"),
        pytest.param("application/dicom+json;q=0, */*", "application/json", id="q-0-excludes"),
        pytest.param("application/dicom+xml, application/dicom+json", "application/dicom+json", id="xml"),
        pytest.param(NAVIGATION, "application/dicom+json", id="browser-navigation"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("single", [True, False])
def test_select_of_metadata(accept: str | None, expected: str, single: bool) -> None:
    """Metadata are one part of JSON, of however many instances; the Content-Type has no parameter."""
    offer = media_types.negotiate(request(accept), METADATA, single=single).select()

    assert offer.content_type == expected
    assert not offer.multipart


@pytest.mark.parametrize(
    ("accept", "multipart"),
    [
        ("application/dicom+xml", False),
        ('multipart/related; type="application/dicom+xml"', True),
        ("multipart/related", True),
        ('multipart/related; type="application/dicom+xml", */*;q=.1', True),
        ("application/dicom+json;q=0.1, application/dicom+xml", False),
    ],
)
def test_select_of_metadata_as_xml(accept: str, multipart: bool) -> None:
    """XML for those who prefer it: a part for each instance, or one document (PS3.18 8.7.3.2)."""
    offer = media_types.negotiate(request(accept), METADATA, single=True).select()

    assert (offer.content_type, offer.multipart) == ("application/dicom+xml", multipart)


@pytest.mark.parametrize(
    ("accept", "category", "media_type"),
    [
        pytest.param("*/*", INSTANCES, "application/dicom", id="any"),
        pytest.param(
            f"application/dicom, {RELATED_DICOM};q=0.1", INSTANCES, "application/dicom", id="lower-q"
        ),
        pytest.param(BROWSER, FRAMES, OCTETS, id="browser"),
        pytest.param(f"image/*, {RELATED_OCTETS}", FRAMES, OCTETS, id="single-image"),
    ],
)
def test_select_of_several(accept: str, category: Category, media_type: str) -> None:
    """Several instances or frames are multipart; members for a single part are passed over."""
    assert select(accept, category, JPEG, single=False) == (media_type, MULTIPART)


@pytest.mark.parametrize(
    ("category", "accept"),
    [
        pytest.param(INSTANCES, "text/html", id="instances-html"),
        pytest.param(INSTANCES, RELATED_OCTETS, id="instances-octets"),
        pytest.param(INSTANCES, OCTETS, id="instances-single-octets"),
        pytest.param(INSTANCES, "image/*", id="instances-image"),
        pytest.param(INSTANCES, "application/dicom+json", id="instances-json"),
        pytest.param(INSTANCES, "application/dicomx", id="instances-longer-type"),
        pytest.param(INSTANCES, "gibberish", id="instances-gibberish"),
        pytest.param(INSTANCES, "application/dicom;q=0", id="instances-q-0"),
        pytest.param(
            INSTANCES, "application/dicom, */*;q=0, application/dicom;q=0.0", id="instances-q-0-same"
        ),
        pytest.param(INSTANCES, f"{RELATED_DICOM}; transfer-syntax=Explicit", id="instances-no-UID"),
        pytest.param(FRAMES, RELATED_DICOM, id="frames-dicom"),
        pytest.param(FRAMES, "application/dicom", id="frames-single-dicom"),
        pytest.param(FRAMES, "image/png", id="frames-png"),
        pytest.param(FRAMES, f"image/jp2; transfer-syntax={JPEG}", id="frames-codec-of-another-syntax"),
        pytest.param(FRAMES, f"image/jp2; transfer-syntax={EXPLICIT}", id="frames-codec-of-no-codec"),
        pytest.param(FRAMES, "multipart/mixed; type=application/octet-stream", id="frames-mixed"),
        pytest.param(FRAMES, "application/pdf", id="frames-pdf"),
        pytest.param(
            FRAMES,
            f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}; transfer-syntax=*; q=0",
            id="frames-q-0-of-a-codec",
        ),
        pytest.param(BULKDATA, "text/html", id="bulkdata-html"),
        pytest.param(
            METADATA, 'multipart/related; type="application/dicom+json"', id="metadata-related-json"
        ),
        pytest.param(METADATA, "application/dicom", id="metadata-dicom"),
    ],
)
def test_negotiate_refuses(category: Category, accept: str) -> None:
    """What can be given of no resource is 406 before the resource is looked up (PS3.18 8.7.8.1)."""
    with pytest.raises(NotAcceptable, match="none of the media types"):
        media_types.negotiate(request(accept), category, single=True)


@pytest.mark.parametrize(
    ("category", "accept"),
    [
        (INSTANCES, "application/dicom"),
        (INSTANCES, "application/*"),
        (FRAMES, OCTETS),
        (FRAMES, f"{OCTETS}; transfer-syntax=*"),
        (FRAMES, "image/jls, image/jp2"),
    ],
)
def test_negotiate_refuses_one_part_of_several(category: Category, accept: str) -> None:
    """Several instances or frames are no single part: 406."""
    with pytest.raises(NotAcceptable):
        media_types.negotiate(request(accept), category, single=False)


@pytest.mark.parametrize(
    ("category", "single", "text"),
    [
        (INSTANCES, True, 'for instances; there is .* type="application/dicom", or application/dicom alone$'),
        (INSTANCES, False, 'for instances; there is multipart/related; type="application/dicom"$'),
        (FRAMES, True, 'type="application/octet-stream", or application/octet-stream alone'),
        (BULKDATA, False, 'for bulk data; there is multipart/related; type="application/octet-stream"$'),
        (METADATA, True, r"for metadata; there is application/dicom\+json$"),
    ],
)  # fmt: skip
def test_negotiate_says_what_there_is(category: Category, single: bool, text: str) -> None:
    """The text of 406 lists what can be had."""
    with pytest.raises(NotAcceptable, match=text):
        media_types.negotiate(request("text/html"), category, single=single)


@pytest.mark.parametrize(
    ("category", "accept", "stored"),
    [
        pytest.param(INSTANCES, f"{RELATED_DICOM}; transfer-syntax={EXPLICIT}", JPEG_LS, id="named"),
        pytest.param(INSTANCES, f"{RELATED_DICOM}; transfer-syntax={EXPLICIT}", IMPLICIT, id="native"),
        pytest.param(INSTANCES, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.100", RLE, id="video"),
        pytest.param(INSTANCES, f"application/dicom; transfer-syntax={PRIVATE}", RLE, id="private"),
        pytest.param(INSTANCES, f"application/dicom; transfer-syntax=x; transfer-syntax={PRIVATE}", RLE, id="x"),
        pytest.param(FRAMES, "image/jls", J2K, id="codec"),
        pytest.param(FRAMES, "multipart/related; type=image/jp2; transfer-syntax=*", EXPLICIT, id="codec-native"),
        pytest.param(FRAMES, f"image/jp2; transfer-syntax={J2K_LOSSLESS}", J2K, id="syntax-of-one-codec"),
        pytest.param(FRAMES, "image/*", MPEG4, id="video-is-no-image"),
        pytest.param(FRAMES, f"multipart/related; type=image/jls; transfer-syntax={JPEG_LS}", EXPLICIT, id="ohif"),
        pytest.param(
            FRAMES, f"multipart/related; transfer-syntax={JPEG}; transfer-syntax={JPEG_LS}", RLE, id="two-others"
        ),
        pytest.param(
            FRAMES, f"text/html; transfer-syntax={JPEG}; transfer-syntax=*, image/jls", RLE, id="no-codec-instead"
        ),
    ],
)  # fmt: skip
def test_select_refuses(category: Category, accept: str, stored: str) -> None:
    """Nothing is transcoded: what is stored otherwise is 406; the text names the syntax and a way out."""
    acceptable = media_types.negotiate(request(accept), category, single=True)

    with pytest.raises(NotAcceptable) as caught:
        acceptable.select(stored)

    assert f"transfer syntax {stored} " in str(caught.value)
    assert "transfer-syntax=*" in str(caught.value)


def test_select_of_mixed_objects() -> None:
    """Each object of a study is selected by its own transfer syntax."""
    acceptable = media_types.negotiate(
        request(f"{RELATED_DICOM}; transfer-syntax=*"), INSTANCES, single=False
    )

    offers = [acceptable.select(stored) for stored in (EXPLICIT, JPEG_LS, EXPLICIT)]

    assert [offer.transfer_syntax for offer in offers] == [EXPLICIT, JPEG_LS, EXPLICIT]


def test_acceptable_of_a_header() -> None:
    """Each member is a media range with its quality, type of parts and transfer syntaxes (PS3.18 8.7.4)."""
    accept = (
        'multipart/related; type="image/JLS"; transfer-syntax=1.2; transfer-syntax="*", '
        "Application/Dicom; q=0.5, image/*;q=0, text/plain;type=a/b"
    )

    assert media_types.acceptable(request(accept)) == (
        MediaRange("multipart/related", related="image/jls", transfer_syntaxes=("1.2", "*")),
        MediaRange("application/dicom", q=0.5),
        MediaRange("image/*", q=0.0),
        MediaRange("text/plain"),
    )


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("0", 0.0), ("0.0", 0.0), ("0.000", 0.0), ("0.", 0.0), (".5", 0.5), ("0.25", 0.25), ("1", 1.0), ("1.0", 1.0),
        ('"0.5"', 0.5), ("2", 1.0), ("1.5", 1.0), ("-1", 1.0), ("", 1.0), ("x", 1.0), ("nan", 1.0), ("inf", 1.0),
        ("1e-3", 1.0), ("0_1", 1.0), (".", 1.0), ("٠", 1.0), ("0.5 ", 0.5), ("9" * 5000, 1.0),
    ],
)  # fmt: skip
def test_acceptable_quality(q: str, expected: float) -> None:
    """A quality is a number from 0 to 1; what is none counts as 1 (RFC 9110 12.4.2)."""
    (media_range,) = media_types.acceptable(request(f"a/b;q={q}"))

    assert media_range.q == expected


@pytest.mark.parametrize(
    ("header", "parameters", "types"),
    [
        pytest.param("text/html", (), ["text/html"], id="header"),
        pytest.param(None, ("image/jpeg",), ["image/jpeg"], id="parameter"),
        pytest.param(RELATED_OCTETS, ("image/jpeg",), ["image/jpeg"], id="parameter-wins"),
        pytest.param(
            BROWSER, ("image/jpeg, image/png",), ["image/jpeg", "image/png"], id="parameter-is-a-list"
        ),
        pytest.param(BROWSER, ("image/jpeg", "image/png"), ["image/jpeg", "image/png"], id="parameter-twice"),
        pytest.param("text/html", ("",), ["text/html"], id="empty-parameter"),
        pytest.param(
            "text/html", ("application/dicom json",), ["application/dicom+json"], id="plus-as-a-space"
        ),
        pytest.param(None, (), ["*/*"], id="neither"),
        pytest.param("gibberish, /, a/b/c, a/b c=d", (), [], id="malformed"),
    ],
)
def test_acceptable_sources(header: str | None, parameters: tuple[str, ...], types: list[str]) -> None:
    """The accept query parameter wins over the Accept header; without both all is acceptable (8.3.3.1, 8.7.4)."""
    ranges = media_types.acceptable(request(header, *parameters))

    assert [media_range.type for media_range in ranges] == types


def test_acceptable_ignores_other_parameters() -> None:
    """Only the query parameter named accept counts."""
    message = Request("GET", Resource(), "", headers={"accept": "a/b"}, parameters=(("limit", "c/d"),))

    assert media_types.acceptable(message) == (MediaRange("a/b"),)


def test_acceptable_ignores_members_without_end() -> None:
    """A list that no client sends is not read to its end."""
    accept = ",".join(f"a/b{number}" for number in range(1000))

    assert len(media_types.acceptable(request(accept))) == media_types.MAX_MEMBERS


@pytest.mark.parametrize(
    ("offer", "expected"),
    [
        (Offer(OCTETS, EXPLICIT, SINGLE), f"application/octet-stream; transfer-syntax={EXPLICIT}"),
        (Offer("application/dicom", RLE, MULTIPART), f"application/dicom; transfer-syntax={RLE}"),
        (Offer("application/pdf", None, SINGLE), "application/pdf"),
    ],
)
def test_content_type(offer: Offer, expected: str) -> None:
    """The transfer syntax stands in the Content-Type without quotes."""
    assert offer.content_type == expected


def test_related() -> None:
    """The Content-Type of a multipart answer names the type of its parts and the boundary (RFC 2387)."""
    expected = 'multipart/related; type="application/dicom"; boundary=0a1b'

    assert media_types.related("application/dicom", "0a1b") == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        pytest.param("application/dicom", StoreContent(False, None), id="single"),
        pytest.param("application/dicom; transfer-syntax=1.2", StoreContent(False, None), id="single-parameters"),
        pytest.param(
            'multipart/related; type="application/dicom"; boundary="0f3cf5c0-70e0"',
            StoreContent(True, "0f3cf5c0-70e0"),
            id="python",
        ),
        pytest.param(
            "multipart/related; type=application/dicom; boundary=abc", StoreContent(True, "abc"), id="osirix"
        ),
        pytest.param(
            "Multipart/Related;boundary=aBc;TYPE=Application/Dicom", StoreContent(True, "aBc"), id="any-case-and-order"
        ),
        pytest.param(
            'multipart/related; type="application/dicom"; boundary="a;b, c=d"',
            StoreContent(True, "a;b, c=d"),
            id="separators-in-the-boundary",
        ),
        pytest.param(
            f'{RELATED_DICOM}; boundary="----=_Part_0"; charset=utf-8', StoreContent(True, "----=_Part_0"), id="charset"
        ),
    ],
)  # fmt: skip
def test_store_content(content_type: str, expected: StoreContent) -> None:
    """A Store request is multipart/related of application/dicom, or one instance (PS3.18 10.5.1)."""
    assert media_types.store_content(content_type) == expected


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "gibberish",
        "application/json",
        "application/octet-stream",
        "application/dicom+json",
        'multipart/form-data; type="application/dicom"; boundary=b',
        'multipart/related; type="application/dicom+json"; boundary=b',
        'multipart/related; type="application/dicom+json"; boundary=b; start=x',
        "multipart/related; boundary=b",
    ],
)
def test_store_content_unsupported(content_type: str | None) -> None:
    """Another Content-Type is 415, and the text names those that are taken."""
    text = 'application/dicom and multipart/related; type="application/dicom"'

    with pytest.raises(UnsupportedMediaType, match=text):
        media_types.store_content(content_type)


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        pytest.param(RELATED_DICOM, "without the parameter boundary", id="no-boundary"),
        pytest.param(f'{RELATED_DICOM}; boundary=""', "without the parameter boundary", id="empty-boundary"),
        pytest.param(f"{RELATED_DICOM}; boundary=b; start=<1>", "parameter start", id="start"),
        pytest.param(f"{RELATED_DICOM}; boundary=b; start=", "parameter start", id="empty-start"),
    ],
)
def test_store_content_refused(content_type: str, text: str) -> None:
    """Multipart without a boundary, or with a root part, is 400."""
    with pytest.raises(BadRequest, match=text):
        media_types.store_content(content_type)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"content-type": ""}, True),
        ({"content-type": "application/dicom"}, True),
        ({"content-type": "Application/DICOM;transfer-syntax=1.2"}, True),
        ({"content-type": "application/dicom+json"}, False),
        ({"content-type": "text/plain; x=application/dicom"}, False),
    ],
)
def test_part_is_dicom(fields: dict[str, str], expected: bool) -> None:
    """A part is an instance if it says so, or says nothing and inherits the type (PS3.18 8.6.1.2)."""
    assert media_types.part_is_dicom(fields) is expected


MEMBERS = st.lists(
    st.sampled_from(
        ["*/*", "multipart/related", "application/dicom", OCTETS, "image/*", "image/jls", "*", "a", ",", ";", " ",
         "type=", "type=*/*", 'type="image/jls"', "transfer-syntax=", "transfer-syntax=*", f"transfer-syntax={RLE}",
         "q=", "q=0", "q=0.5", "q=x", '"', "\\", "application/dicom+json", "application/pdf"]
    ),
    max_size=14,
).map(";".join)  # fmt: skip
ANY = st.one_of(MEMBERS, MEMBERS.map(lambda text: text.replace(";,;", ",")), st.text(max_size=60))


@given(ANY, st.sampled_from(Category), st.sampled_from([EXPLICIT, JPEG_LS, RLE, PRIVATE]), st.booleans())
def test_any_accept_is_an_offer_or_406(accept: str, category: Category, stored: str, single: bool) -> None:
    """No Accept header fails but with 406, and what is given is never transcoded nor one part of several."""
    try:
        offer = media_types.negotiate(request(accept), category, single=single).select(stored)
    except NotAcceptable:
        return
    assert offer.transfer_syntax in (stored, None)
    assert offer.multipart or single or category is METADATA


@given(ANY, st.sampled_from([INSTANCES, FRAMES, BULKDATA]), st.sampled_from([EXPLICIT, JPEG_LS, PRIVATE]))
def test_any_accept_refused_at_once_is_refused_later(accept: str, category: Category, stored: str) -> None:
    """Where the request is refused before the look-up, no member fits any object by itself."""
    try:
        media_types.negotiate(request(accept), category, single=True)
    except NotAcceptable:
        acceptable = media_types.Acceptable(media_types.acceptable(request(accept)), category, single=True)
        with pytest.raises(NotAcceptable):
            acceptable.select(stored)


@given(ANY)
def test_any_content_type_is_store_content_or_refused(content_type: str) -> None:
    """No Content-Type fails but with 400 or 415."""
    try:
        content = media_types.store_content(content_type)
    except (BadRequest, UnsupportedMediaType):
        return
    assert content.multipart is bool(content.boundary)
