"""What requests name and ask for, of any form and length: read, or refused as it is said, and soon."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_core import resources
from dicom_core.errors import BadRequest, TransactionError, Unauthorized
from dicom_core.resources import Level, Resource
from dicom_core.web import (
    bearer,
    capabilities,
    compression,
    headers,
    media_types,
    multipart,
    rendered_parameters,
    search_parameters,
    uri_parameters,
)
from dicom_core.web.media_types import Category
from dicom_core.web.messages import Request

LONG = 1 << 16
"""Characters: as many as a host passes on."""

SOON = 2.0
"""Seconds; the slowest takes a twentieth of one, and what takes the square of the length takes minutes."""

BOUNDED = settings(max_examples=200, derandomize=True, database=None, deadline=None)
BY_URI = {"requestType": "WADO", "studyUID": "1.2", "seriesUID": "1.3", "objectUID": "1.4"}

names = st.sampled_from(
    [
        *BY_URI,
        *(
            "contentType",
            "transferSyntax",
            "frameNumber",
            "rows",
            "columns",
            "region",
            "windowCenter",
            "anonymize",
        ),
        *("windowWidth", "imageQuality", "annotation", "presentationUID", "charset"),
    ]
)
pieces = st.sampled_from(
    ["0", "1", "1.2", "-", ".", ",", "1e9", "e", "*", "99999999999", "nan", "inf", " ", "\0", "no"]
)
values = st.one_of(st.text(max_size=30), st.lists(pieces, max_size=9).map("".join))


@BOUNDED
@given(st.dictionaries(names | st.text(max_size=9), values, max_size=5), st.booleans())
def test_any_parameters_of_the_uri_service(given: dict[str, str], complete: bool) -> None:
    """They are read or refused; what is read can be read on as parameters of a rendered resource, or is refused."""
    pairs = {**BY_URI, **given} if complete else given
    try:
        parsed = uri_parameters.parse(pairs.items())
        rendered_parameters.parse(parsed.rendered)
    except BadRequest:
        return

    assert parsed.resource.level is Level.INSTANCE
    assert parsed.region is None or parsed.region.left < parsed.region.right
    for warning in parsed.warnings:
        assert warning.isascii()
        assert warning.isprintable()


@BOUNDED
@given(st.lists(st.one_of(st.text(max_size=20), st.text("Bearer abc.=", max_size=30)), max_size=2))
def test_any_authorization(fields: list[str]) -> None:
    """A token is one word; the challenge of a refusal is safe in a header."""
    challenge, token = "", None
    try:
        token = bearer.token(fields)
    except Unauthorized as error:
        challenge = error.challenge

    assert challenge.isascii()
    assert challenge.isprintable()
    assert token is None or (token in fields[0] and " " not in token)


@BOUNDED
@given(st.one_of(st.text(max_size=40), st.text('gzip;q=0.1,* "', max_size=40)))
def test_any_conditions_and_codings(value: str) -> None:
    """They hold or do not: nothing is raised."""
    assert headers.accepts_gzip(value) in (True, False)
    assert headers.none_match(compression.uncompressed_condition(value), '"v"') in (True, False)


@BOUNDED
@given(st.one_of(st.text(max_size=30), st.text("0123456789,.", max_size=70)))
def test_any_variables_of_a_path(value: str) -> None:
    """UIDs and frame numbers, or 400; and any path is a resource or none."""
    with suppress(BadRequest):
        assert resources.is_uid(resources.parse({"study": value}).study or "")
    with suppress(BadRequest):
        assert all(number > 0 for number in resources.parse_frames(value))
    found = capabilities.find(f"studies/{value}")
    assert found is None or found.path.startswith("studies")


def accepting(text: str) -> object:
    """Negotiate with an Accept header."""
    request = Request("GET", Resource(), "", headers={"accept": text})
    return media_types.negotiate(request, Category.FRAMES, single=True).select()


def searching(name: str, *options: tuple[str, str]) -> Callable[[str], object]:
    """Search by an attribute, for instances."""
    return lambda text: search_parameters.parse([*options, (name, text)], Level.INSTANCE, Resource())


def part(text: str) -> object:
    """The header of a part of a payload."""
    return multipart.Decoder("b").feed(b"--b\r\n" + text.encode("latin-1", "replace") + b"\r\n\r\n")


READERS: dict[str, Callable[[str], object]] = {
    "parameters": headers.parse_parameters,
    "list": headers.split_list,
    "range": lambda text: headers.parse_range(f"bytes={text}", 100),
    "gzip": lambda text: headers.accepts_gzip(f"gzip{text}"),
    "condition": lambda text: headers.none_match(compression.uncompressed_condition(text), '"v"'),
    "authorization": lambda text: bearer.token([f"Bearer {text}"]),
    "accept": accepting,
    "content type": lambda text: media_types.store_content(f"multipart/related; type={text}"),
    "part": part,
    "frames": resources.parse_frames,
    "uid": lambda text: resources.parse({"study": text}),
    "path": capabilities.find,
    "includefield": searching("includefield"),
    "name of a parameter": lambda text: searching(text)("x"),
    "name": searching("PatientName"),
    "names": searching("PatientName", ("multiplevaluematching", "true")),
    "words": searching("PatientName", ("fuzzymatching", "true")),
    "date": searching("StudyDate"),
    "time": searching("StudyTime"),
    "date-time": searching("AcquisitionDateTime"),
    "number": searching("PatientSize"),
    "UIDs": searching("StudyInstanceUID"),
    "modalities": searching("ModalitiesInStudy"),
    "window": lambda text: rendered_parameters.parse([("window", text)]),
    "viewport": lambda text: rendered_parameters.parse([("viewport", text)]),
    "region": lambda text: uri_parameters.parse([*BY_URI.items(), ("region", text)]),
}
UNITS = [
    *(
        '"',
        "\\",
        '"\\',
        '\\"',
        '"a,',
        ",",
        ";",
        "a=",
        ";q=0,",
        "gzip,",
        "*/*,",
        'a/b;q="',
        "\r\n",
        "\r\n ",
        ":",
    ),
    *(
        " ",
        "0",
        ".",
        "0.",
        "0-",
        "1,",
        "-",
        "+0100",
        "*",
        "a*",
        "?",
        "%",
        "=",
        "^",
        "/",
        "a/",
        'W/"',
        "é",
        "\0",
    ),
]


@pytest.mark.parametrize("name", READERS)
def test_long_text_is_read_soon(name: str) -> None:
    """Time grows with the length of a text, whatever it repeats."""
    for unit in UNITS:
        text = unit * (LONG // len(unit))
        for each in (text, f"{text}x", f"x{text}"):
            started = time.perf_counter()
            with suppress(TransactionError):
                READERS[name](each)
            assert time.perf_counter() - started < SOON, unit


def test_payload_in_single_bytes_is_read_soon() -> None:
    """Nothing is looked at again with every byte, and little is kept."""
    decoder = multipart.Decoder("b")
    content = b"--b\r\nA: 1\r\n\r\n" + b"\r\n--\r" * 4000 + b"\r\n--b--"
    started = time.perf_counter()

    size = sum(
        len(event.content)
        for at in range(len(content))
        for event in decoder.feed(content[at : at + 1])
        if isinstance(event, multipart.Data)
    )

    assert time.perf_counter() - started < SOON
    assert size == 4000 * 5
