"""What the parameters of requests may be, as JSON Schema: for the API description.

The names are those of `capabilities.TABLE`; the values are read by `resources`, `headers`, `search_parameters`,
`rendered_parameters`, `uri_parameters` and `changefeed_parameters`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from dicom_core import attributes
from dicom_core.attributes import Attribute
from dicom_core.rendition import DEFAULT_QUALITY, MAX_SIDE, Profile
from dicom_core.resources import MAX_FRAMES, MAX_REPEATS
from dicom_core.web import subscriber_parameters
from dicom_core.web.changefeed_parameters import LIMITS, MAX_OFFSET, OF_LATEST
from dicom_core.web.search_parameters import DEFAULT_LIMIT, MAX_LIMIT

Object = dict[str, Any]
"""An object of JSON."""

UID: Object = {"type": "string", "maxLength": 64, "pattern": r"^[0-9]+(\.[0-9]+)*$"}
"""A UID (PS3.5 9.1)."""

_TEXT: Object = {"type": "string"}
_BOOLEAN: Object = {"type": "boolean", "default": False}
_SIDE: Object = {"type": "integer", "minimum": 1, "maximum": MAX_SIDE}
_QUALITY: Object = {"type": "integer", "minimum": 1, "maximum": 100, "default": DEFAULT_QUALITY}
_ANNOTATION: Object = {"type": "string", "enum": ["patient", "technique", "patient,technique"]}
_UNSUPPORTED = "Not supported: it is ignored, and a warning says so."


def _numbers(pattern: str) -> Object:
    """Some text of numbers, with commas between them."""
    number, side = r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?", "[1-9][0-9]{0,3}"
    fraction = r"(0(\.[0-9]{1,9})?|1(\.0{1,9})?)"
    filled = pattern.replace("NUMBER", number).replace("SIDE", side).replace("FRACTION", fraction)
    return {"type": "string", "pattern": f"^{filled}$"}


IN_PATH: Mapping[str, tuple[Object, str]] = {
    "study": (UID, "Study Instance UID."),
    "series": (UID, "Series Instance UID."),
    "instance": (UID, "SOP Instance UID."),
    "subscriber": (_TEXT, "Name of a subscriber of the change feed."),
    "frames": (
        {"type": "string", "pattern": "^[1-9][0-9]{0,9}(,[1-9][0-9]{0,9})*$"},
        f"Numbers of frames, from 1, at most {MAX_FRAMES} with commas between them, each at most {MAX_REPEATS} times.",
    ),
    "bulkdata": (
        {"type": "string", "pattern": "^[0-9A-F]{8}(/[0-9]+/[0-9A-F]{8})*$"},
        "The end of a BulkDataURI of the metadata. Its slashes are not encoded.",
    ),
}
"""Template variables of paths (PS3.18 8.2), each with its description."""

IN_HEADER: Mapping[str, tuple[Object, str]] = {
    "If-None-Match": (_TEXT, "Entity tags: 304 if one of them is that of the representation."),
    "If-Range": (_TEXT, "An entity tag: the range is given only if it is that of the representation."),
    "Range": (_TEXT, "One range of bytes. It counts where the answer is a single part."),
}
"""Header fields; Accept and Content-Type are said by the media types."""

_IN_QUERY: Mapping[str, tuple[Object, str]] = {
    "accept": (_TEXT, "Acceptable media types, instead of those of the header."),
    "includefield": (
        {"type": "array", "items": _TEXT},
        "Attributes to return beside the usual: keywords, tags, or all. Commas may stand between them.",
    ),
    "fuzzymatching": (_BOOLEAN, "Match the beginnings of words in names."),
    "emptyvaluematching": (_BOOLEAN, 'Match, by "", what is absent or empty.'),
    "multiplevaluematching": (_BOOLEAN, "Match several values, separated by backslashes."),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": 10**18 - 1, "default": DEFAULT_LIMIT},
        f"The most results to return; there are never more than {MAX_LIMIT} at once.",
    ),
    "offset": (
        {"type": "integer", "minimum": 0, "maximum": 10**18 - 1, "default": 0},
        "Results to pass over.",
    ),
    "annotation": (_ANNOTATION, _UNSUPPORTED),
    "quality": (_QUALITY, "Of the compression."),
    "viewport": (
        _numbers("SIDE,SIDE(,(NUMBER)?){0,4}"),
        "The size to fit into: width,height; then, but for thumbnails, the region to show: x,y,width,height.",
    ),
    "window": (
        _numbers(r"NUMBER,[1-9][0-9]{0,8}(\.[0-9]{1,9})?,(linear|linear-exact|sigmoid)"),
        "center,width,function.",
    ),
    "iccprofile": ({"type": "string", "enum": [profile.value for profile in Profile]}, "The color profile."),
    "requestType": ({"type": "string", "enum": ["WADO"]}, "The URI Service."),
    "studyUID": IN_PATH["study"],
    "seriesUID": IN_PATH["series"],
    "objectUID": IN_PATH["instance"],
    "contentType": (_TEXT, "Acceptable media types, instead of those of the header."),
    "charset": (_TEXT, "It has no effect."),
    "transferSyntax": (
        {"type": "string", "maxLength": 64, "pattern": rf"^(\*|{UID['pattern'][1:-1]})$"},
        "Of application/dicom: a UID, or * for as stored.",
    ),
    "frameNumber": ({"type": "integer", "minimum": 1, "maximum": 10**9 - 1}, "A frame, from 1."),
    "imageAnnotation": (_ANNOTATION, _UNSUPPORTED),
    "imageQuality": (_QUALITY, "Of the compression."),
    "rows": (_SIDE, "The height to fit into."),
    "columns": (_SIDE, "The width to fit into."),
    "region": (
        _numbers("FRACTION,FRACTION,FRACTION,FRACTION"),
        "Left, top, right and bottom edge of the region to show, as fractions of the image.",
    ),
    "windowCenter": ({"type": "number"}, "The center of a linear window; the width must be given as well."),
    "windowWidth": ({"type": "number", "minimum": 1}, "Its width; the center must be given as well."),
}
_TIME: Object = {"type": "string", "format": "date-time"}
_IN_FEED: Mapping[str, tuple[Object, str]] = {
    "startTime": (_TIME, "The first time of the entries, with its zone. Of v2."),
    "endTime": (_TIME, "The time that all entries are before, with its zone. Of v2."),
    "offset": (
        {"type": "integer", "minimum": 0, "maximum": MAX_OFFSET, "default": 0},
        "Entries to pass over; in v1 the sequence number before the first.",
    ),
    "limit": (
        {"type": "integer", "minimum": 1, "maximum": LIMITS[2].most, "default": LIMITS[2].default},
        f"The most entries to return; in v1 1 to {LIMITS[1].most}, {LIMITS[1].default} unless given.",
    ),
    "includeMetadata": (
        {"type": "boolean", "default": True},
        "Return the metadata of what stands now of each instance.",
    ),
}
_IN_FAILURES: Mapping[str, tuple[Object, str]] = {
    "limit": (
        {
            "type": "integer",
            "minimum": 1,
            "maximum": subscriber_parameters.MAX_LIMIT,
            "default": subscriber_parameters.DEFAULT_LIMIT,
        },
        "The most failures to return.",
    ),
    "offset": (
        {"type": "integer", "minimum": 0, "maximum": subscriber_parameters.MAX_OFFSET, "default": 0},
        "Failures to pass over.",
    ),
    "study": (UID, "The study to try again; all unless given."),
}
_REQUIRED = frozenset({"requestType", "studyUID", "seriesUID", "objectUID"})


def _parameter(name: str, schema: Object, text: str) -> Object:
    required = {"required": True} if name in _REQUIRED else {}
    return {"name": name, "in": "query", "description": text, **required, "schema": schema}


OF_OPERATION: Mapping[str, Mapping[str, Object]] = {
    "read_change_feed": {name: _parameter(name, *told) for name, told in _IN_FEED.items()},
    "read_latest_change": {name: _parameter(name, *_IN_FEED[name]) for name in OF_LATEST},
    "list_failures": {name: _parameter(name, *_IN_FAILURES[name]) for name in subscriber_parameters.LISTING},
    "retry_failures": {
        name: _parameter(name, *_IN_FAILURES[name]) for name in subscriber_parameters.RETRYING
    },
}
"""The Parameter Objects of operations that mean something of their own by a name."""


def described(names: Iterable[str]) -> dict[str, Object]:
    """The Parameter Objects of header fields, template variables and query parameters, by their names there."""
    fields = {
        name: {"name": name, "in": "header", "description": text, "schema": schema}
        for name, (schema, text) in IN_HEADER.items()
    }
    variables = {
        name: {"name": name, "in": "path", "required": True, "description": text, "schema": schema}
        for name, (schema, text) in IN_PATH.items()
    }
    return fields | variables | {name: _query(name) for name in names}


def _query(name: str) -> Object:
    return _parameter(name, *(_IN_QUERY.get(name) or _match(name)))


def _match(keyword: str) -> tuple[Object, str]:
    """What an attribute is to be matched by (PS3.18 8.3.4.1)."""
    attribute = attributes.find(keyword)
    assert attribute is not None, keyword
    return _TEXT, f"{_tag(attribute)} {attribute.vr}{_INSIDE if attribute.vr == 'SQ' else ''}"


_INSIDE = ": empty, to return it; its attributes are matched by SEQUENCE.ATTRIBUTE."


def _tag(attribute: Attribute) -> str:
    return f"({attribute.tag[:4]},{attribute.tag[4:]})"
