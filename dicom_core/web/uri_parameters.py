"""The query parameters of the URI Service (PS3.18 9.1.2, 9.4.1.2, 9.5.1.2), also known as WADO-URI.

They are read to those of the Retrieve transaction (PS3.18 10.4), which answers them. The case of their names does not
count. Neither errors nor warnings repeat a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from dicom_core.errors import BadRequest
from dicom_core.rendition import MAX_SIDE, Region
from dicom_core.resources import Resource, is_uid
from dicom_core.web.match_parameters import shown

Parameters = tuple[tuple[str, str], ...]

_UIDS = {"studyuid": "study", "seriesuid": "series", "objectuid": "instance"}
_OF_IMAGES = {"imagequality": "quality", "annotation": "annotation", "imageannotation": "annotation"}
_OTHERS = (
    "requesttype",
    "contenttype",
    "charset",
    "transfersyntax",
    "anonymize",
    "framenumber",
    "rows",
    "columns",
    "region",
    "windowcenter",
    "windowwidth",
)
_UNSUPPORTED = ("presentationseriesuid", "presentationuid")
_KNOWN = frozenset({*_UIDS, *_OF_IMAGES, *_OTHERS, *_UNSUPPORTED})
_FRACTION = re.compile(r"0*1(?:\.0{0,32})?|0*(?:\.[0-9]{1,32})?|0+\.")
_INTEGER = re.compile(r"[0-9]{1,9}")
_MAX_WARNINGS = 16


@dataclass(frozen=True, slots=True)
class Parsed:
    """What is asked for, in terms of the Retrieve transaction.

    `accept` are the Acceptable Media Types, empty if no parameter says them; `rendered` the parameters of a rendered
    resource; `frame` is None unless one is named. `warnings` are texts for `Warning: 299`.
    """

    resource: Resource
    accept: str = ""
    transfer_syntax: str = ""
    rendered: Parameters = ()
    frame: int | None = None
    region: Region | None = None
    warnings: tuple[str, ...] = ()


def parse(parameters: Iterable[tuple[str, str]]) -> Parsed:
    """Read the query parameters of a request to the URI Service.

    Raises
    ------
    BadRequest
        One that is mandatory is missing, one is given twice or malformed, or anonymization is asked for.
    """
    given: dict[str, str] = {}
    warnings: dict[str, None] = {}
    for name, value in parameters:
        key = name.strip().lower()
        if key not in _KNOWN:
            warnings[f"{shown(name.strip())} is no parameter of the URI Service; it is ignored"] = None
        elif key in given:
            raise BadRequest(f"{shown(name.strip())} is given twice")
        else:
            given[key] = value.strip()
    if given.get("requesttype", "").upper() != "WADO":
        raise BadRequest("requestType must be WADO")
    if given.get("anonymize", "no").lower() != "no":
        raise BadRequest("anonymize is not supported: what is retrieved is as it was stored")
    if any(name in given for name in _UNSUPPORTED):
        warnings["presentation states are not applied; presentationUID is ignored"] = None
    return Parsed(
        resource=Resource(**{level: _uid(given, name) for name, level in _UIDS.items()}),
        accept=given.get("contenttype", ""),
        transfer_syntax=_transfer_syntax(given.get("transfersyntax", "")),
        rendered=tuple(_of_images(given)),
        frame=_frame(given.get("framenumber")),
        region=_region(given.get("region")),
        warnings=tuple(warnings)[:_MAX_WARNINGS],
    )


def _uid(given: dict[str, str], name: str) -> str:
    value = given.get(name, "").strip("\0")
    if not is_uid(value):
        written = name.replace("uid", "UID")
        raise BadRequest(f"{written} must be given, and be a UID (digits and dots, at most 64 characters)")
    return value


def _transfer_syntax(value: str) -> str:
    if value and value != "*" and not is_uid(value):
        raise BadRequest("transferSyntax must be a UID")
    return value


def _of_images(given: dict[str, str]) -> Iterable[tuple[str, str]]:
    """The parameters that rendered resources have as well, by their names there."""
    yield from ((_OF_IMAGES[name], value) for name, value in given.items() if name in _OF_IMAGES)
    window = [given.get(name) for name in ("windowcenter", "windowwidth")]
    if any(part is not None for part in window):
        if not all(window):
            raise BadRequest("windowCenter and windowWidth must be given together")
        yield "window", f"{window[0]},{window[1]},linear"
    if "columns" in given or "rows" in given:
        sides = [_side(given, name) for name in ("columns", "rows")]
        yield "viewport", ",".join(sides)


def _side(given: dict[str, str], name: str) -> str:
    """The size of one side; without it the other decides (in editions before 2019 either may be given alone)."""
    value = given.get(name, str(MAX_SIDE))
    if not _INTEGER.fullmatch(value) or not 1 <= int(value) <= MAX_SIDE:
        raise BadRequest(f"{name} must be an integer from 1 to {MAX_SIDE}")
    return value


def _frame(value: str | None) -> int | None:
    if value is None:
        return None
    if not _INTEGER.fullmatch(value) or not int(value):
        raise BadRequest("frameNumber must be a positive integer")
    return int(value)


def _region(value: str | None) -> Region | None:
    """Read the region: its left, top, right and bottom edge, of which the image's are at 0 and 1 (9.5.1.2.5)."""
    if value is None:
        return None
    parts = [part.strip() for part in value.split(",")]
    if len(parts) != 4 or not all(part and _FRACTION.fullmatch(part) for part in parts):
        raise BadRequest("region must be xmin,ymin,xmax,ymax, each from 0.0 to 1.0")
    region = Region(*(float(part) for part in parts))
    if region.left >= region.right or region.top >= region.bottom:
        raise BadRequest("region must have its xmin before its xmax, and its ymin before its ymax")
    return region
