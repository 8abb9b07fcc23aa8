"""Requests of any kind for an operation of the API description: as it says, otherwise, and of what is stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode

from tests import dicomweb
from tests.dicomweb import Stored
from tests.fuzz import damage
from tests.fuzz.damage import Draw

Operation = Any
"""An operation, as schemathesis has it."""

_ACCEPT = st.lists(
    st.sampled_from(
        [
            "*/*",
            "application/dicom",
            "application/dicom+json",
            "application/dicom+xml;q=0.5",
            "application/octet-stream; transfer-syntax=*",
            "application/zip",
            'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90',
            'multipart/related; type="application/octet-stream"',
            'multipart/related; type="image/jp2"; transfer-syntax="1.2.840.10008.1.2.4.90',
            "image/jpeg",
            "image/gif;q=.7",
            "text/html",
            "*/*;q=0",
            ",;=",
        ]
    ),
    max_size=3,
).map(", ".join)
_RANGE = st.one_of(
    st.text("0123456789-,", max_size=9).map("bytes={}".format),
    st.sampled_from(["bytes", "x=0-1", "bytes=-0"]),
)
_TAGS = st.one_of(st.text('"W/*,abc-0 ', max_size=20).map(str.strip), st.just("*"))
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "Accept": _ACCEPT,
        "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0", "*", ";;q=", "identity, gzip;q=1.0000"]),
        "Range": _RANGE,
        "If-Range": _TAGS,
        "If-None-Match": _TAGS,
        "Origin": st.sampled_from(["null", "https://viewer.example"]),
    },
)
_QUERY = st.dictionaries(
    st.one_of(
        st.sampled_from(["accept", "limit", "viewport", "quality", "00100010", "PatientName"]), st.text()
    ),
    st.one_of(
        _ACCEPT, st.text(max_size=40), st.sampled_from(["0", "-1", "*", "a\\b", "%", "9" * 30, "1,1,,,,"])
    ),
    max_size=3,
)
_BY_URI = {"study": "studyUID", "series": "seriesUID", "instance": "objectUID"}
_CONTENT_TYPES = [
    dicomweb.MULTIPART,
    dicomweb.MULTIPART,
    "application/dicom",
    'multipart/related; type="application/dicom"',
    "multipart/related; boundary=b; type=application/dicom; start=1",
    "application/json",
    "a" * 300,
]


@schemathesis.serializer("application/dicom", "multipart/related")
def _as_it_is(context: object, value: object) -> bytes:
    """Payloads are bytes already; what schemathesis makes of no schema at all is of no use."""
    return value if isinstance(value, bytes) else repr(value).encode()


def request(draw: Draw, operation: Operation, stored: Sequence[Stored]) -> Case:
    """A request for an operation, now of one of the stored instances, now of whatever comes."""
    case: Case = draw(operation.as_strategy(draw(st.sampled_from(_modes(operation)))))
    if draw(st.booleans()):
        case.query = {**case.query, **draw(_QUERY)}
    if draw(st.integers(0, 2)):
        one = _one_of(draw, stored)
        known = {"study": one.study, "series": one.series, "instance": one.instance}
        in_path = {name: uid for name, uid in known.items() if name in case.path_parameters}
        case.path_parameters = {**case.path_parameters, **in_path}
        if "requestType" in case.query:
            case.query = {**case.query, **{_BY_URI[name]: uid for name, uid in known.items()}}
        if draw(st.booleans()):
            case.query.pop("accept", None)
    case.headers.update(draw(_HEADERS))
    if operation.body:
        content = _one_of(draw, stored).content
        whole = dicomweb.joined([content, _one_of(draw, stored).content]) if draw(st.booleans()) else content
        case.body = damage.damaged(draw, whole)
        case.media_type = "application/dicom"
        case.headers["Content-Type"] = draw(st.sampled_from(_CONTENT_TYPES))
    return case


def _one_of(draw: Draw, stored: Sequence[Stored]) -> Stored:
    """One of them, by its number: hypothesis would write all their bytes down."""
    return stored[draw(st.integers(0, len(stored) - 1))]


def _modes(operation: Operation) -> list[GenerationMode]:
    """What is against the description can be made only where it asks for something."""
    return list(GenerationMode) if any(operation.iter_parameters()) else [GenerationMode.POSITIVE]
