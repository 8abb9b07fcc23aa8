"""Rendered and thumbnail images (PS3.18 10.4.1.1.3, 10.4.1.1.4): media types, profiles, animations, limits."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageCms

from dicom_core.errors import BadRequest, PayloadTooLarge
from dicom_core.record import Dataset
from dicom_core.rendition import Profile, Rendition, Viewport, Window
from dicom_core.representations import profiles, rendering
from dicom_core.representations.images import Undecodable, Unencodable
from dicom_core.representations.rendering import Source
from tests.serving import ROOT
from tests.unit.representations import samples
from tests.unit.representations.rendered import (
    EXPLICIT,
    PLAIN,
    colors,
    element,
    frame_of,
    header,
    lut,
    pixels,
)

COLOR = header(1, 2, photometric="RGB", samples_per_pixel=3)
TWO = bytes((255, 0, 0, 0, 255, 0))
CRAYONS = (samples._DATA / "test_files" / "crayons.icc").read_bytes()


def picture(
    dataset: Dataset, content: bytes, rendition: Rendition, media_type: str = "image/png"
) -> Pillow.Image:
    """The image that comes of a frame, with what it says of itself."""
    source = Source(dataset, EXPLICIT)
    return Pillow.open(BytesIO(rendering.render(source, (1, content), rendition, media_type)))


@pytest.mark.parametrize(
    ("media_type", "name"), [("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/gif", "GIF")]
)
@pytest.mark.parametrize(
    ("dataset", "content"), [(header(16, 16), bytes(256)), (COLOR, TWO)], ids=["gray", "color"]
)
def test_image_is_of_the_media_type(dataset: Dataset, content: bytes, media_type: str, name: str) -> None:
    """A single frame may be JPEG, PNG or GIF (PS3.18 Table 8.7.4-1)."""
    result = picture(dataset, content, PLAIN, media_type)

    assert result.format == name
    assert result.size == (dataset["00280011"]["Value"][0], dataset["00280010"]["Value"][0])


def test_grayscale_jpeg_is_baseline_with_one_component() -> None:
    """JPEG is baseline (PS3.18 8.7.4); grayscale has no chrominance."""
    content = rendering.render(Source(header(16, 16), EXPLICIT), (1, bytes(256)), PLAIN, "image/jpeg")

    marker = content.index(b"\xff\xc0")  # start of frame, baseline
    assert content[marker + 9] == 1


@pytest.mark.parametrize(("quality", "sampling"), [(None, 0x11), (90, 0x11), (89, 0x22)])
def test_color_jpeg_keeps_its_chrominance_if_it_is_good(quality: int | None, sampling: int) -> None:
    """From quality 90 on, which is the default, no chrominance is left out."""
    content = rendering.render(Source(COLOR, EXPLICIT), (1, TWO), Rendition(quality), "image/jpeg")

    marker = content.index(b"\xff\xc0")
    assert content[marker + 11] == sampling


def test_quality_decides_the_size_of_a_jpeg() -> None:
    """The better the quality, the larger is the image (PS3.18 8.3.5.1.2)."""
    source, content = frame_of(next(path for path in samples.FILES if path.name == "CT_small.dcm"))
    sizes = [
        len(rendering.render(source, (1, content), Rendition(quality), "image/jpeg"))
        for quality in (1, 50, None, 100)
    ]

    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 4


def test_same_request_gives_the_same_bytes() -> None:
    """A rendered image has an entity tag: its bytes depend on nothing else."""
    source = Source(COLOR, EXPLICIT)
    for media_type in ("image/jpeg", "image/png"):
        asked = Rendition(profile=Profile.ADOBERGB)
        assert rendering.render(source, (1, TWO), asked, media_type) == rendering.render(
            source, (1, TWO), asked, media_type
        )


def description(found: Pillow.Image) -> str:
    """The name of an image's profile."""
    profile = ImageCms.ImageCmsProfile(BytesIO(found.info["icc_profile"]))
    return ImageCms.getProfileDescription(profile).strip()


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
@pytest.mark.parametrize("asked", [None, Profile.NO])
def test_profile_is_left_out_unless_asked_for(asked: Profile | None, media_type: str) -> None:
    """No profile is embedded that nobody asked for (PS3.18 8.3.5.1.5)."""
    dataset = COLOR | {"00282000": element("OB", CRAYONS)}

    assert "icc_profile" not in picture(dataset, TWO, Rendition(profile=asked), media_type).info


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png"])
def test_profile_of_the_header_is_embedded(media_type: str) -> None:
    """The source's ICC Profile is passed on, and the pixels stay as they are (PS3.18 8.3.5.1.5)."""
    dataset = COLOR | {"00282000": element("OB", CRAYONS)}

    found = picture(dataset, TWO, Rendition(profile=Profile.YES), media_type)

    assert found.info["icc_profile"] == CRAYONS
    if media_type == "image/png":
        assert found.tobytes() == TWO


def test_profile_beyond_the_header_is_embedded() -> None:
    """A profile is bulk data if it is large: its path is named, and its bytes are taken."""
    dataset = COLOR | {"00282000": {"vr": "OB", "BulkDataURI": "bulkdata/00282000"}}
    asked = Rendition(profile=Profile.YES)
    assert rendering.values(dataset, [1], asked) == ("00282000",)
    assert rendering.values(dataset, [1], PLAIN) == ()

    source = Source(dataset, EXPLICIT, {"00282000": CRAYONS})
    content = rendering.render(source, (1, TWO), asked, "image/png")

    assert Pillow.open(BytesIO(content)).info["icc_profile"] == CRAYONS


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"00282000": {"vr": "OB", "BulkDataURI": "bulkdata/00282000"}},
        {"00282000": element("OB", b"none")},
    ],
    ids=["missing", "not read", "malformed"],
)
def test_image_without_a_usable_profile_gets_that_of_srgb(elements: Dataset) -> None:
    """Without a profile of its own, an image gets that of a well-known color space (PS3.18 8.3.5.1.5)."""
    found = picture(COLOR | elements, TWO, Rendition(profile=Profile.YES))

    assert description(found).startswith("sRGB")
    assert found.tobytes() == TWO


def test_profile_of_the_stored_jpeg_is_passed_on() -> None:
    """Without a profile in the header, that within the stored JPEG is embedded (PS3.18 8.3.5.1.5)."""
    into = BytesIO()
    Pillow.frombytes("RGB", (2, 1), TWO).save(into, "JPEG", icc_profile=CRAYONS)
    source = Source(COLOR | {"00280004": element("CS", "YBR_FULL_422")}, "1.2.840.10008.1.2.4.50")

    content = rendering.render(source, (1, into.getvalue()), Rendition(profile=Profile.YES), "image/png")

    assert Pillow.open(BytesIO(content)).info["icc_profile"] == CRAYONS


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xe0", b"GIF89a"])
def test_profile_of_what_is_no_jpeg_is_none(content: bytes) -> None:
    """What cannot be opened has no profile; a frame that is not JPEG is not opened."""
    assert profiles.embedded(content, "1.2.840.10008.1.2.4.50") is None
    assert profiles.embedded(content, EXPLICIT) is None


def test_profile_that_is_too_large_is_not_embedded() -> None:
    """Beyond a few megabytes nothing is looked at; the image gets the profile of sRGB."""
    large = CRAYONS + bytes(profiles.MAX_PROFILE)

    _, embedded = profiles.applied(Pillow.new("RGB", (1, 1)), Profile.YES, large)

    assert embedded == profiles.standard(Profile.SRGB)


def test_profile_of_the_optical_path_of_the_frame_is_embedded() -> None:
    """A slide has a profile for each optical path, which its frames name (PS3.3 C.8.12.5)."""
    other = b"another"
    paths = [
        {"00480106": element("SH", name), "00282000": element("OB", profile)}
        for name, profile in (("1", other), ("2", CRAYONS))
    ]
    paths.insert(0, {"00480106": element("SH", "0")})
    named = {"00480207": element("SQ", {"00480106": element("SH", "2")})}
    dataset = COLOR | {"00480105": element("SQ", *paths), "52009230": element("SQ", named)}

    found = picture(dataset, TWO, Rendition(profile=Profile.YES))

    assert found.info["icc_profile"] == CRAYONS


def test_profile_of_the_first_optical_path_is_embedded_where_none_is_named() -> None:
    """Frames that name no optical path have the first one that has a profile."""
    paths = [{"00480106": element("SH", "0")}, {"00282000": element("OB", CRAYONS)}]

    found = picture(COLOR | {"00480105": element("SQ", *paths)}, TWO, Rendition(profile=Profile.YES))

    assert found.info["icc_profile"] == CRAYONS


@pytest.mark.parametrize(
    ("profile", "name", "shown"),
    [
        (Profile.SRGB, "sRGB", [[255, 0, 0], [0, 255, 0]]),
        (Profile.ADOBERGB, "Adobe RGB", [[219, 0, 0], [144, 255, 60]]),
        (Profile.ROMMRGB, "RGB", [[179, 70, 26], [138, 237, 78]]),
    ],
)
def test_colors_are_turned_to_the_space_that_is_asked_for(
    profile: Profile, name: str, shown: list[list[int]]
) -> None:
    """The pixels are in the color space whose profile is embedded (PS3.18 8.3.5.1.5)."""
    found = picture(COLOR, TWO, Rendition(profile=profile))

    assert description(found).startswith(name)
    assert colors(COLOR, TWO, Rendition(profile=profile)) == shown


def test_colors_are_turned_from_the_space_of_the_source() -> None:
    """The ICC Profile of the header says what the stored colors are."""
    dataset = COLOR | {"00282000": element("OB", CRAYONS)}
    before, after = ImageCms.ImageCmsProfile(BytesIO(CRAYONS)), ImageCms.createProfile("sRGB")
    converted = ImageCms.profileToProfile(Pillow.frombytes("RGB", (2, 1), TWO), before, after)
    assert converted is not None

    found = picture(dataset, TWO, Rendition(profile=Profile.SRGB))

    assert found.tobytes() == converted.tobytes()


def test_gif_cannot_have_a_profile() -> None:
    """Where the media type holds no profile, asking for one is 400 (PS3.18 8.3.5.1.5)."""
    for profile in (Profile.YES, Profile.SRGB):
        with pytest.raises(BadRequest, match="iccprofile: image/gif"):
            rendering.check(COLOR, [1], Rendition(profile=profile), "image/gif")
    assert rendering.check(COLOR, [1], Rendition(profile=Profile.NO), "image/gif") == ()


PALETTE = header(1, 1, photometric="PALETTE COLOR", x00281101=("US", [1, 0, 8]))


@pytest.mark.parametrize(
    ("dataset", "asked", "media_type", "told"),
    [
        (COLOR, Rendition(window=Window(1, 2)), "image/jpeg", "window has no meaning for a color image"),
        (PALETTE, Rendition(window=Window(1, 2)), "image/jpeg", "window has no meaning for a color image"),
        (COLOR, Rendition(quality=5), "image/png", "quality has no meaning for image/png"),
        (header(1, 1), Rendition(profile=Profile.YES), "image/png", "a grayscale image is given without"),
    ],
)
def test_what_has_no_meaning_is_warned_of(
    dataset: Dataset, asked: Rendition, media_type: str, told: str
) -> None:
    """What was asked for and is ignored is told."""
    (warning,) = rendering.check(dataset, [1], asked, media_type)

    assert warning.startswith(told)


@pytest.mark.parametrize(
    ("dataset", "asked", "media_type"),
    [
        (header(1, 1), Rendition(5, Window(1, 2), Viewport(1, 1), Profile.NO), "image/jpeg"),
        (COLOR, Rendition(5, None, Viewport(1, 1), Profile.YES), "image/jpeg"),
        (PALETTE, Rendition(profile=Profile.SRGB), "image/png"),
    ],
)
def test_what_has_a_meaning_is_not_warned_of(dataset: Dataset, asked: Rendition, media_type: str) -> None:
    """There is nothing to tell about what is done as it was asked for."""
    assert rendering.check(dataset, [1], asked, media_type) == ()


@pytest.mark.parametrize(
    "dataset", [{}, header(1, 1) | {"00280010": element("US", 60_000), "00280011": element("US", 60_000)}]
)
def test_image_that_is_none_or_too_large_is_refused_before_it_is_read(dataset: Dataset) -> None:
    """The header tells that there is no image, or that its frames are larger than the service decodes."""
    with pytest.raises(Undecodable):
        rendering.check(dataset, [1], PLAIN, "image/jpeg")


def test_frame_that_is_too_short_is_refused() -> None:
    """Pixels that are missing are not made up."""
    with pytest.raises(Undecodable, match="bytes of pixels"):
        rendering.render(Source(header(2, 2), EXPLICIT), (1, b"\0"), PLAIN, "image/png")


def test_image_that_is_too_long_for_jpeg_is_refused() -> None:
    """A JPEG has 65,500 rows or columns at most; a PNG has more."""
    source, content = Source(header(1, 65_535), EXPLICIT), bytes(65_535)

    with pytest.raises(Unencodable, match="65500"):
        rendering.render(source, (1, content), PLAIN, "image/jpeg")
    assert rendering.render(source, (1, content), PLAIN, "image/png")


def test_values_that_rendering_needs_are_named_once() -> None:
    """Large lookup tables are bulk data; each frame may have its own."""
    item = lut(0, 16, [1])
    shared = item | {"00283006": {"vr": "OW", "BulkDataURI": "bulkdata/00283000/1/00283006"}}
    own = item | {"00283006": {"vr": "OW", "BulkDataURI": "bulkdata/52009230/2/x"}}
    frame = {"00289132": element("SQ", {"00283010": element("SQ", own)})}
    dataset = header(1, 1) | {"00283000": element("SQ", shared), "52009230": element("SQ", {}, frame)}

    assert rendering.values(dataset, [1], PLAIN) == ("00283000/1/00283006",)
    assert rendering.values(dataset, [1, 2, 2], PLAIN) == ("00283000/1/00283006", "52009230/2/x")


_NUMBERS = st.one_of(st.integers(-70_000, 70_000), st.floats(allow_nan=False), st.text(max_size=3), st.none())
_LISTS = st.lists(_NUMBERS, max_size=4).map(lambda values: {"vr": "DS", "Value": values})
_ITEMS = st.dictionaries(
    st.sampled_from(["00283002", "00283006", "00281050", "00281051", "00281052", "00281053", "00280030"]),
    _LISTS,
)
_SEQUENCES = st.lists(_ITEMS | st.none(), max_size=2).map(lambda items: {"vr": "SQ", "Value": items})
_GROUPS = st.dictionaries(st.sampled_from(["00289110", "00289132", "00289145"]), _SEQUENCES)
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("00280034", "00280120", "00280121", "00281050", "00281051", "00281052"), _LISTS),
        **dict.fromkeys(("00281053", "00281101", "00281102", "00281103", "00281201", "00281202"), _LISTS),
        **dict.fromkeys(("00281203", "00281221", "00281222", "00281223", "00282000"), _LISTS),
        **dict.fromkeys(("00283000", "00283010"), _SEQUENCES),
        "52009230": st.lists(_GROUPS, max_size=1).map(lambda items: {"vr": "SQ", "Value": items}),
        "00280004": st.sampled_from(["MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"]).map(
            lambda name: {"vr": "CS", "Value": [name]}
        ),
    },
)


@given(_HEADERS, st.sampled_from([4, 8, 12, 16, 20]), st.booleans(), st.booleans())
def test_any_header_is_rendered_or_refused(found: Dataset, bits: int, signed: bool, thumbnail: bool) -> None:
    """Whatever stands in a header, there is an image of the asked size, or a reason why not."""
    allocated = 8 if bits <= 8 else 16 if bits <= 16 else 32
    dataset = header(2, 2, bits=bits, allocated=allocated, signed=signed) | found
    asked = Rendition(profile=Profile.YES, thumbnail=thumbnail)
    told = ""

    try:
        result = picture(dataset, bytes(range(allocated // 2)), asked)
        told = f"{result.width}x{result.height}"
    except Undecodable as error:
        told = str(error)

    assert told


FRAMES = [(1, bytes((0, 10, 20, 51))), (2, bytes((51, 30, 20, 10))), (3, bytes((0, 0, 0, 0)))]


def animation(dataset: Dataset, frames: list[tuple[int, bytes]], asked: Rendition = PLAIN) -> list[Any]:
    """The images of an animation with their durations."""
    content = rendering.animate(Source(dataset, EXPLICIT), frames, asked)
    shown = []
    with Pillow.open(BytesIO(content)) as found:
        assert found.info["loop"] == 0
        for number in range(found.n_frames):  # type: ignore[attr-defined]
            found.seek(number)
            shown.append((found.info["duration"], found.convert("RGB").tobytes()[::3]))
    return shown


def test_animation_shows_each_frame_in_its_turn() -> None:
    """Several frames become an animated GIF (PS3.18 Table 8.7.4-1)."""
    shown = animation(header(2, 2, x00181063=("DS", 40)), FRAMES)

    assert shown == [(40, content) for _, content in FRAMES]


def test_animation_has_the_same_contrast_throughout() -> None:
    """Black and white are those of all frames, so that it does not flicker."""
    wide = [(number, pixels("<u2", *(value * 10 for value in content))) for number, content in FRAMES]

    shown = animation(header(2, 2, bits=12), wide)

    assert [list(content) for _, content in shown] == [
        [0, 50, 100, 255],
        [255, 150, 100, 50],
        [0, 0, 0, 0],
    ]


def test_animation_of_colors_has_a_palette_for_each_frame() -> None:
    """GIF has 256 colors in an image: few colors stay what they are."""
    shown = animation(COLOR, [(1, TWO), (2, TWO[::-1])])

    assert [list(red) for _, red in shown] == [[255, 0], [0, 0]]


def test_animation_is_scaled_to_its_viewport() -> None:
    """A viewport applies to each image."""
    content = rendering.animate(Source(header(2, 2), EXPLICIT), FRAMES, Rendition(viewport=Viewport(8, 8)))

    assert Pillow.open(BytesIO(content)).size == (8, 8)


@pytest.mark.parametrize(
    ("elements", "durations"),
    [
        ({}, [100, 100, 100]),
        ({"x00181063": ("DS", 33.3)}, [30, 30, 30]),
        ({"x00082144": ("IS", 25), "x00181063": ("DS", 33.3)}, [40, 40, 40]),
        ({"x00181065": ("DS", [0, 50, 70, 90])}, [50, 70, 90]),
        ({"x00181065": ("DS", [0, 50])}, [50, 50, 50]),
        ({"x00180040": ("IS", 20)}, [50, 50, 50]),
        ({"x00181063": ("DS", 1)}, [20, 20, 20]),
        ({"x00181063": ("DS", 1e9)}, [10_000, 10_000, 10_000]),
        ({"x00082144": ("IS", 0), "x00180040": ("IS", 0), "x00181063": ("DS", 0)}, [100, 100, 100]),
        ({"x00181063": ("DS", "fast")}, [100, 100, 100]),
    ],
)
def test_frames_are_shown_as_long_as_the_header_says(
    elements: dict[str, tuple[str, Any]], durations: list[int]
) -> None:
    """A recommended rate, the times between frames, a frame time or a cine rate; else ten frames a second."""
    assert rendering.durations(header(1, 1, **elements), [1, 2, 3]) == durations


@pytest.mark.parametrize(
    ("rows", "count", "viewport"),
    [(1, 513, None), (8192, 2, None), (8192, 5, Viewport(9, 9)), (10, 3, Viewport(8192, 8192))],
    ids=["frames", "pixels", "decoded", "viewport"],
)
def test_animation_that_is_too_large_is_refused(rows: int, count: int, viewport: Viewport | None) -> None:
    """What an animation may take is bounded: 413 says so before a frame is read."""
    image = header(rows, rows)

    with pytest.raises(PayloadTooLarge, match="an animation may have"):
        rendering.check(image, range(1, count + 1), Rendition(viewport=viewport), "image/gif")


def test_pixel_libraries_are_imported_with_the_first_frame() -> None:
    """Starting the service needs neither Pillow nor the codecs, nor the modules that do."""
    code = (
        "import sys\n"
        "sys.modules['numpy'] = sys.modules['PIL'] = sys.modules['imagecodecs'] = None\n"
        "from dicom_core.representations import rendering, representative, videos\n"
        "from dicom_core.web import rendered_parameters\n"
        "rendering.check({}, [1], rendered_parameters.parse([]).rendition, 'image/gif')\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert "Undecodable: the header has no usable (0028,0010)" in done.stderr
