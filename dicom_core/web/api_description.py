"""The description of the API as OpenAPI 3.1 (spec.openapis.org/oas/v3.1.1), made of `capabilities.TABLE`.

PS3.18 has descriptions of its own (8.9); this one is for the tools that know OpenAPI.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

import orjson

from dicom_core.authorization import Role
from dicom_core.changes import Action, State
from dicom_core.web import api_parameters, capabilities
from dicom_core.web.api_parameters import Object
from dicom_core.web.capabilities import Method
from dicom_core.web.media_types import DICOM_JSON, JSON

_HEALTH = Method("GET", "check_health", (JSON,), statuses=(200, 503))
_OPTIONS = Method(
    "OPTIONS",
    "retrieve_capabilities",
    (capabilities.WADL, JSON),
    ("accept",),
    statuses=(200, 204, 401, 403, 404, 406, 503),
)

_ANSWERS: Mapping[int, str] = {
    200: "It is done, or found.",
    202: "Some instances were not stored, or some with a warning; or what was asked for will be done soon.",
    204: "It is done, or nothing was found; there is no content.",
    206: "The range that was asked for.",
    304: "The representation is the one that the user agent has.",
    400: "The path, a header field, a parameter or the payload cannot be read.",
    401: "There is no token, or it does not count.",
    403: "The token does not grant the role.",
    404: "There is no such resource.",
    406: "Nothing that is acceptable can be given.",
    409: "No instance was stored.",
    410: "The resource was deleted.",
    413: "The payload, or what is to be rendered, is too large.",
    415: "The payload has a media type that is not stored.",
    416: "The range lies outside.",
    503: "The storage or the issuer of tokens cannot be reached, or a setting is wrong.",
}
"""What a status of `capabilities` means."""

_WITH_CONTENT = frozenset({200, 202, 206, 409})
_FIELDS = {304: ("If-None-Match",), 206: ("Range", "If-Range")}
_TAGS = {
    "retrieve": "Retrieve (PS3.18 10.4), rendered and by the URI Service (PS3.18 9) as well; capabilities (8.9).",
    "store": "Store (PS3.18 10.5).",
    "upsert": "Store, in the place of what stands there.",
    "search": "Search (PS3.18 10.6).",
    "delete": "Delete.",
    "read": "The change feed: what became of which instance.",
    "list": "The subscribers of the change feed.",
    "retry": "What could not be delivered to them.",
    "check": "The state of the service.",
}
_ROLES = {
    "GET": [Role.READ],
    "POST": [Role.WRITE],
    "PUT": [Role.WRITE],
    "DELETE": [Role.DELETE],
    "OPTIONS": list[Role](),
}
"""The roles that a token must grant, by method (`authorization.RULES`); of none any will do."""

_OF_ADMINISTRATORS = frozenset({"list_subscribers", "list_failures", "retry_failures"})
_OPEN = frozenset({"retrieve_api_description", "check_health"})
_VARIABLE = re.compile(r"\{(\w+)\}")
_DATA_SET: Object = {
    "type": "object",
    "description": "A data set of the DICOM JSON Model (PS3.18 F.2).",
    "patternProperties": {
        "^[0-9A-F]{8}$": {
            "type": "object",
            "required": ["vr"],
            "properties": {
                "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
                "Value": {"type": "array"},
                "BulkDataURI": {"type": "string"},
                "InlineBinary": {"type": "string"},
            },
            "additionalProperties": False,
        }
    },
    "additionalProperties": False,
}
_CHANGE: Object = {
    "type": "object",
    "description": "What became of an instance.",
    "required": [
        "sequence",
        "partitionName",
        "studyInstanceUid",
        "seriesInstanceUid",
        "sopInstanceUid",
        "action",
        "timestamp",
        "state",
    ],
    "properties": {
        "sequence": {"type": "integer", "minimum": 1},
        "partitionName": {"type": "string"},
        "studyInstanceUid": api_parameters.UID,
        "seriesInstanceUid": api_parameters.UID,
        "sopInstanceUid": api_parameters.UID,
        "sopClassUid": api_parameters.UID,
        "action": {"enum": [action.capitalize() for action in Action]},
        "timestamp": {"type": "string", "format": "date-time"},
        "state": {"enum": [state.capitalize() for state in State]},
        "metadata": {"$ref": "#/components/schemas/DataSet"},
    },
    "additionalProperties": False,
}
_TIME: Object = {"type": "string", "format": "date-time"}
_COUNT: Object = {"type": "integer", "minimum": 0}
_SUBSCRIBER: Object = {
    "type": "object",
    "description": "Who is told of changes; restsUntil and reason only while its target is down.",
    "required": ["name", "latest", "waiting", "failed"],
    "properties": {
        "name": {"type": "string"},
        "sequence": _COUNT,
        "latest": _COUNT,
        "waiting": _COUNT,
        "failed": _COUNT,
        "restsUntil": _TIME,
        "reason": {"type": "string"},
    },
    "additionalProperties": False,
}
_FAILURE_MEMBERS: Object = {
    "partitionName": {"type": "string"},
    "studyInstanceUid": api_parameters.UID,
    "first": _COUNT,
    "last": _COUNT,
    "attempts": _COUNT,
    "since": _TIME,
    "reason": {"type": "string"},
}
_FAILURE: Object = {
    "type": "object",
    "description": "Changes of a study that could not be delivered.",
    "required": list(_FAILURE_MEMBERS),
    "properties": _FAILURE_MEMBERS,
    "additionalProperties": False,
}
_SCHEMAS: Mapping[str, Object] = {
    "Subscribers": {"type": "array", "items": _SUBSCRIBER},
    "Failures": {"type": "array", "items": _FAILURE},
    "Retried": {"type": "object", "required": ["retried"], "properties": {"retried": _COUNT}},
    "Change": _CHANGE,
    "Changes": {"type": "array", "items": {"$ref": "#/components/schemas/Change"}},
    "DataSet": _DATA_SET,
    "DataSets": {"type": "array", "items": {"$ref": "#/components/schemas/DataSet"}},
}


_SCHEMA_OF = {
    "read_change_feed": "Changes",
    "read_latest_change": "Change",
    "list_subscribers": "Subscribers",
    "list_failures": "Failures",
    "retry_failures": "Retried",
}
"""The schemas of what is JSON, but no data set; of any other it is not said."""


def as_json(base_url: str) -> bytes:
    """The description of the service that answers at a base URL."""
    root = base_url.rpartition("/")[0]
    paths = {**_paths(), "/health/check": {"servers": [{"url": root}], **_path("", (_HEALTH,))}}
    return orjson.dumps({**_whole(), "servers": [{"url": base_url}], "paths": paths})


@cache
def _whole() -> Object:
    """What does not change with the base URL."""
    methods = [method for each in capabilities.TABLE.values() for method in each]
    names = dict.fromkeys(
        name
        for method in methods
        for name in method.parameters
        if name not in api_parameters.OF_OPERATION.get(method.id, ())
    )
    return {
        "openapi": "3.1.1",
        "info": {
            "title": "DICOM Functions",
            "summary": "A DICOMweb service (DICOM PS3.18).",
            "description": "OPTIONS of any resource describes it and what lies below it (PS3.18 8.9).",
            "version": "2",
        },
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "components": {
            "parameters": api_parameters.described(names),
            "schemas": _SCHEMAS,
            "responses": {str(status): _answer(status) for status in _ANSWERS if status not in _WITH_CONTENT},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": f"An access token with a role: {', '.join(Role)}, which implies all.",
                },
                "key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-functions-key",
                    "description": "A key of the function app, where the service is set up for keys.",
                },
            },
        },
    }


@cache
def _paths() -> Object:
    """Every path below the base URL."""
    return {"/": _path("", (_OPTIONS,))} | {
        f"/{path}": _path(path, methods) for path, methods in capabilities.TABLE.items()
    }


def _path(path: str, methods: Iterable[Method]) -> Object:
    """A Path Item Object; HEAD is where GET is."""
    operations = {name: operation for method in methods for name, operation in _operations(method)}
    variables = [_reference("parameters", name) for name in _VARIABLE.findall(path)]
    return {"parameters": variables, **operations} if variables else operations


def _operations(method: Method) -> Iterator[tuple[str, Object]]:
    yield method.name.lower(), _operation(method, method.id)
    if method.name == "GET":
        answers = {str(status): {"description": _ANSWERS[status]} for status in method.statuses}
        yield "head", _operation(method, f"{method.id}_head") | {"responses": answers}


def _operation(method: Method, name: str) -> Object:
    fields = (field for status, fields in _FIELDS.items() if status in method.statuses for field in fields)
    own = api_parameters.OF_OPERATION.get(method.id, {})
    asked = [own.get(each) or _reference("parameters", each) for each in (*fields, *method.parameters)]
    payload = {"required": True, "content": {media_type: {} for media_type in method.consumes}}
    return {
        "operationId": name,
        "summary": method.id.replace("_", " ").capitalize(),
        "tags": [method.id.partition("_")[0]],
        **({"parameters": asked} if asked else {}),
        **({"requestBody": payload} if method.consumes else {}),
        "responses": {str(status): _response(status, method) for status in sorted(method.statuses)},
        "security": [] if method.id in _OPEN else [{"token": _roles(method)}, {"key": []}],
    }


def _roles(method: Method) -> list[Role]:
    return [Role.ADMIN] if method.id in _OF_ADMINISTRATORS else _ROLES[method.name]


def _response(status: int, method: Method) -> Object:
    if status not in _WITH_CONTENT:
        return _reference("responses", str(status))
    content = {media_type: _content(media_type, method) for media_type in method.produces}
    return {"description": _ANSWERS[status], "content": content}


def _content(media_type: str, method: Method) -> Object:
    """A Media Type Object; what is not JSON has no schema."""
    if method.id in _SCHEMA_OF:
        return {"schema": _reference("schemas", _SCHEMA_OF[method.id])}
    if DICOM_JSON not in method.produces or media_type not in (DICOM_JSON, JSON):
        return {"schema": {"type": "object"}} if media_type == JSON else {}
    return {"schema": _reference("schemas", "DataSet" if method.consumes else "DataSets")}


def _answer(status: int) -> Object:
    """A response that is the same everywhere; errors say in words what was wrong."""
    content = {"text/plain": {"schema": {"type": "string"}}} if status >= 400 else {}
    fields = {"WWW-Authenticate": {"schema": {"type": "string"}}} if status in (401, 403) else {}
    return {
        "description": _ANSWERS[status],
        **({"headers": fields} if fields else {}),
        **({"content": content} if content else {}),
    }


def _reference(kind: str, name: str) -> Object:
    return {"$ref": f"#/components/{kind}/{name}"}
