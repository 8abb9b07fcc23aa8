"""The query parameters of rendered resources and thumbnails (PS3.18 8.3.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.errors import BadRequest
from dicom_core.rendition import Function, Profile, Rendition, Viewport, Window
from dicom_core.web import rendered_parameters


def parse(*parameters: tuple[str, str], thumbnail: bool = False) -> Rendition:
    """What is read without a warning."""
    parsed = rendered_parameters.parse(parameters, thumbnail=thumbnail)
    assert parsed.warnings == ()
    return parsed.rendition


def refusal(name: str, value: str, *, thumbnail: bool = False) -> str:
    """The text that a value is refused with."""
    with pytest.raises(BadRequest) as refused:
        rendered_parameters.parse([(name, value)], thumbnail=thumbnail)
    return str(refused.value)


def test_no_parameters_leave_everything_open() -> None:
    """Without parameters the instance and the service decide (PS3.18 8.3.5.1)."""
    assert parse() == Rendition()


def test_all_parameters_are_read_together() -> None:
    """Each parameter sets its own part."""
    asked = parse(
        ("quality", "50"), ("window", "40,400,linear"), ("viewport", "512,256"), ("iccprofile", "yes")
    )

    assert asked == Rendition(50, Window(40, 400), Viewport(512, 256), Profile.YES)


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_quality_within_its_range_is_read(quality: int) -> None:
    """Quality is an integer from 1 to 100 (PS3.18 8.3.5.1.2)."""
    assert parse(("quality", str(quality))).quality == quality


@pytest.mark.parametrize("value", ["", "0", "101", "-1", "1.5", "best", "+5", "٣", "1" * 10])
def test_quality_that_is_no_such_integer_is_refused(value: str) -> None:
    """Anything else than an integer from 1 to 100 is 400 (PS3.18 8.3.5.1.2)."""
    assert refusal("quality", value) == "quality must be an integer from 1 to 100"


@pytest.mark.parametrize(
    ("value", "window"),
    [
        ("40,400,linear", Window(40, 400, Function.LINEAR)),
        ("-600,1,LINEAR", Window(-600, 1, Function.LINEAR)),
        ("0.5,.25,linear-exact", Window(0.5, 0.25, Function.LINEAR_EXACT)),
        ("1e2, 2E+1 ,LINEAR_EXACT", Window(100, 20, Function.LINEAR_EXACT)),
        ("+5,10,sigmoid", Window(5, 10, Function.SIGMOID)),
    ],
)
def test_window_is_center_width_and_function(value: str, window: Window) -> None:
    """A window has three parts; its function may be spelled as in the data element (PS3.18 8.3.5.1.4)."""
    assert parse(("window", value)).window == window


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("40,400", "all three"),
        ("40,400,linear,1", "all three"),
        ("", "all three"),
        ("40,,linear", "no decimal number"),
        ("a,400,linear", "no decimal number"),
        ("nan,400,linear", "no decimal number"),
        ("1e999,400,linear", "no decimal number"),
        ("40,400,gamma", "linear, linear-exact or sigmoid"),
        ("40,400,", "linear, linear-exact or sigmoid"),
        ("40,0.5,linear", "at least 1"),
        ("40,0,sigmoid", "more than 0"),
        ("40,-1,linear-exact", "more than 0"),
    ],
)
def test_window_that_is_malformed_is_refused(value: str, told: str) -> None:
    """A part that is missing or ill-formed is 400, and so is a width that the function is not defined for."""
    assert told in refusal("window", value)


@pytest.mark.parametrize(
    ("value", "viewport"),
    [
        ("512,256", Viewport(512, 256)),
        (" 512 , 256 ", Viewport(512, 256)),
        ("512,512,,,256,128", Viewport(512, 512, 0, 0, 256, 128)),
        ("9,9,1.5,2", Viewport(9, 9, 1.5, 2)),
        ("9,9,-1,-2,3,4", Viewport(9, 9, 1, 2, 3, 4)),
        ("9,9,,,-3,4", Viewport(9, 9, 0, 0, 3, 4, flip_horizontally=True)),
        ("9,9,,,,-4", Viewport(9, 9, 0, 0, None, 4, flip_vertically=True)),
        ("9,9,,", Viewport(9, 9)),
    ],
)
def test_viewport_is_a_size_and_a_region(value: str, viewport: Viewport) -> None:
    """Parts of the region may be left out; negative sizes of it flip the image (PS3.18 8.3.5.1.3)."""
    assert parse(("viewport", value)).viewport == viewport


@pytest.mark.parametrize(
    "value",
    [
        "",
        "512",
        "0,1",
        "1,0",
        "-1,1",
        "1.5,1",
        "8193,1",
        "1,",
        "1,1,a",
        "1,1,,,0,",
        "1,1,,,,0",
        "1,1,1,1,1,1,1",
    ],
)
def test_viewport_that_is_malformed_is_refused(value: str) -> None:
    """Viewport dimensions that are ill-formed or not supported are 400 (PS3.18 8.3.5.1.3)."""
    assert refusal("viewport", value).startswith("viewport")


def test_viewport_of_a_thumbnail_is_a_size() -> None:
    """A thumbnail has only the size of a viewport (PS3.18 8.3.5.2)."""
    assert parse(("viewport", "256,256"), thumbnail=True) == Rendition(
        viewport=Viewport(256, 256), thumbnail=True
    )
    assert refusal("viewport", "256,256,0,0", thumbnail=True) == "viewport of a thumbnail must be vw,vh"


@pytest.mark.parametrize("profile", list(Profile))
def test_iccprofile_is_one_of_five(profile: Profile) -> None:
    """The values of iccprofile are keywords (PS3.18 8.3.5.1.5)."""
    assert parse(("iccprofile", profile.value)).profile is profile


def test_iccprofile_that_is_no_keyword_is_refused() -> None:
    """Another value is 400, and the values there are, are named."""
    assert refusal("iccprofile", "cmyk") == "iccprofile must be one of no, yes, srgb, adobergb, rommrgb"


@pytest.mark.parametrize(
    ("value", "named"), [("patient", "patient"), ("technique,patient", "technique,patient")]
)
def test_annotation_is_told_not_to_be_supported(value: str, named: str) -> None:
    """An annotation that is not supported is ignored with the warning of PS3.18 8.3.5.1.1."""
    parsed = rendered_parameters.parse([("annotation", value)])

    assert parsed.rendition == Rendition()
    assert parsed.warnings == (f"The following annotation values are not supported: {named}",)


@pytest.mark.parametrize("value", ["", "name", "patient,", "patient,name"])
def test_annotation_that_is_no_keyword_is_refused(value: str) -> None:
    """Values that are not keywords, or none, are 400 (PS3.18 8.3.5.1.1)."""
    assert refusal("annotation", value).startswith("annotation must be")


def test_parameter_given_twice_is_refused() -> None:
    """No parameter may be given twice, whatever the case of its name."""
    with pytest.raises(BadRequest, match="quality is given twice"):
        rendered_parameters.parse([("quality", "1"), ("Quality", "1")])


def test_unknown_parameter_is_warned_of_by_its_name() -> None:
    """What is not understood is ignored with a warning, which does not repeat the value."""
    parsed = rendered_parameters.parse([("presentationUID", "1.2.3"), ("<script>", "x")])

    assert parsed.warnings == (
        "presentationUID is no parameter of a rendered resource; it is ignored",
        "a parameter is no parameter of a rendered resource; it is ignored",
    )


def test_parameter_of_rendered_resources_is_warned_of_with_thumbnails() -> None:
    """A thumbnail has no other parameter than viewport (PS3.18 Table 8.3.5-2)."""
    parsed = rendered_parameters.parse([("quality", "1")], thumbnail=True)

    assert parsed.rendition == Rendition(thumbnail=True)
    assert parsed.warnings == ("quality is no parameter of a thumbnail; it is ignored",)


def test_accept_and_charset_are_read_elsewhere() -> None:
    """The parameters of content negotiation belong to another reader (PS3.18 8.3.3)."""
    assert parse(("accept", "image/png"), ("charset", "utf-8"), ("Accept-Charset", "*")) == Rendition()


@given(st.sampled_from(["quality", "window", "viewport", "iccprofile", "annotation"]), st.text(max_size=40))
def test_any_value_is_read_or_refused(name: str, value: str) -> None:
    """No value leads to another error than 400, whose text names the parameter."""
    told = name
    try:
        rendered_parameters.parse([(name, value)])
    except BadRequest as error:
        told = str(error)

    assert told.startswith(name)
