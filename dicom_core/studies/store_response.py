"""Store Instances Response Module (PS3.18 10.5.3 and Annex I): what became of each instance, and the status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import orjson

from dicom_core.record import Dataset
from dicom_core.representations import native
from dicom_core.resources import Resource
from dicom_core.web import media_types
from dicom_core.web.media_types import DICOM_JSON
from dicom_core.web.messages import Request, Response


class FailureReason(IntEnum):
    """Why an instance was not stored (0008,1197); PS3.18 Table I.2-2, and what the managed service adds."""

    PROCESSING_FAILURE = 0x0110
    INVALID_ATTRIBUTES = 0xA900
    STUDY_MISMATCH = 0xA901
    ALREADY_STORED = 0xB00E


class WarningReason(IntEnum):
    """What is worth knowing of an instance that was stored (0008,1196)."""

    INVALID_ATTRIBUTES = 0x0001
    IMPLICIT_VR = 0xB007
    ALREADY_STORED = 0xB00E


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one part: stored if it has no failure. The comments say which attributes were wrong.

    `resource` is what it holds; of what could not be stored as far as that is known.
    """

    sop_class: str = ""
    instance: str = ""
    resource: Resource | None = None
    failure: FailureReason | None = None
    warning: WarningReason | None = None
    comments: tuple[str, ...] = field(default=())


def respond(request: Request, results: Sequence[Result], content_type: str = DICOM_JSON) -> Response:
    """Build the response of a Store: 200 all stored, 202 some not or with a warning, 409 none, 204 no parts."""
    if not results:
        return Response(204)
    stored = [result for result in results if result.failure is None]
    failed = [result for result in results if result.failure is not None]
    dataset: Dataset = {}
    if stored and request.resource.study is not None:
        dataset["00081190"] = _value("UR", request.url(request.resource))
    if failed:
        dataset["00081198"] = _value("SQ", *map(_failed, failed))
    if stored:
        dataset["00081199"] = _value("SQ", *(_referenced(request, result) for result in stored))
    encode = native.document if content_type == media_types.DICOM_XML else orjson.dumps
    return Response(
        _status(request, stored, failed),
        {"Content-Type": content_type},
        encode(dataset),
        _about(results),
    )


def _about(results: Sequence[Result]) -> tuple[Resource, ...]:
    """What a Store was about: its instance, or the studies of several."""
    named = [result.resource for result in results if result.resource is not None]
    return tuple(named) if len(results) == 1 else tuple(dict.fromkeys(Resource(one.study) for one in named))


def _status(request: Request, stored: Sequence[Result], failed: Sequence[Result]) -> int:
    if not stored:
        return 409
    warned = request.version > 1 and any(result.warning is not None for result in stored)
    return 202 if failed or warned else 200


def _failed(result: Result) -> Dataset:
    item = _reference(result)
    item["00081197"] = _value("US", int(result.failure or 0))
    if result.comments:
        item["00741048"] = _comments(result)
    return item


def _referenced(request: Request, result: Result) -> Dataset:
    assert result.resource is not None
    item = _reference(result)
    item["00081190"] = _value("UR", request.url(result.resource))
    if result.warning is not None:
        item["00081196"] = _value("US", int(result.warning))
    if request.version > 1 or result.comments:
        item["00741048"] = _comments(result)
    return item


def _reference(result: Result) -> Dataset:
    """ReferencedSOPClassUID and ReferencedSOPInstanceUID, as far as they could be read."""
    item: Dataset = {}
    if result.sop_class:
        item["00081150"] = _value("UI", result.sop_class)
    if result.instance:
        item["00081155"] = _value("UI", result.instance)
    return item


def _comments(result: Result) -> Dataset:
    """FailedAttributesSequence, each item with an ErrorComment; the managed service prefixes them so."""
    return _value("SQ", *({"00000902": _value("LO", f"DICOM100: {comment}")} for comment in result.comments))


def _value(vr: str, *values: Any) -> Dataset:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}
