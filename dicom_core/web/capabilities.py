"""Capabilities Description (PS3.18 8.9, Annex H): every resource of the service, and what can be done with it.

Described as WADL (w3.org/submissions/wadl), and the same as JSON; `api_description` makes OpenAPI of the same table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import orjson

from dicom_core import attributes
from dicom_core.resources import Level
from dicom_core.web import changefeed_parameters, subscriber_parameters
from dicom_core.web.media_types import (
    COMPRESSED,
    DICOM,
    DICOM_JSON,
    DICOM_XML,
    DOCUMENTS,
    JSON,
    OCTET_STREAM,
    RELATED,
    ZIP,
)

WADL = "application/vnd.sun.wadl+xml"

_NAMESPACE = "http://wadl.dev.java.net/2009/02"


def _parts(media_type: str) -> str:
    return f'{RELATED}; type="{media_type}"'


_CODECS = tuple(dict.fromkeys(COMPRESSED.values()))
_INSTANCES = (_parts(DICOM), ZIP)
_METADATA = (DICOM_JSON, JSON, _parts(DICOM_XML))
_BULKDATA = tuple(map(_parts, (OCTET_STREAM, *_CODECS)))
_FRAMED = (*_BULKDATA, OCTET_STREAM, *_CODECS)
_SINGLE_IMAGES = ("image/jpeg", "image/png", "image/gif")
_SINGLE_RENDERED = (*_SINGLE_IMAGES, "video/mpeg", "video/mp4", "video/H265", *DOCUMENTS)
_IMAGES = (*_SINGLE_IMAGES, *map(_parts, _SINGLE_IMAGES))
_RENDERED = (*_SINGLE_RENDERED, *map(_parts, _SINGLE_RENDERED))
_RENDERING = ("accept", "annotation", "quality", "viewport", "window", "iccprofile")
_STORED = (_parts(DICOM), DICOM)
_SEARCHING = (
    "includefield",
    "fuzzymatching",
    "emptyvaluematching",
    "multiplevaluematching",
    "limit",
    "offset",
)
_BY_URI = (
    "requestType",
    "studyUID",
    "seriesUID",
    "objectUID",
    "contentType",
    "charset",
    "transferSyntax",
    "frameNumber",
    "imageAnnotation",
    "imageQuality",
    "rows",
    "columns",
    "region",
    "windowCenter",
    "windowWidth",
)


_ALWAYS = (400, 401, 403, 404, 503)
_KNOWN = (200, 304, 406, 410, *_ALWAYS)
_RANGES = (206, 416)


def _searching(level: Level) -> tuple[str, ...]:
    """The query parameters of a search at a level (PS3.18 8.3.4)."""
    matched = (row.keyword for row in attributes.TABLE if row.searchable and row.level <= level)
    return ("accept", *_SEARCHING, *dict.fromkeys(matched))


@dataclass(frozen=True, slots=True)
class Method:
    """What a method does with a resource: its name, the media types of both messages, and query parameters.

    `statuses` are those of its answers.
    """

    name: str
    id: str
    produces: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    consumes: tuple[str, ...] = ()
    statuses: tuple[int, ...] = _ALWAYS


def _retrieve(
    what: str, produces: tuple[str, ...], parameters: tuple[str, ...] = ("accept",), *statuses: int
) -> Method:
    return Method("GET", f"retrieve_{what}", produces, parameters, statuses=(*_KNOWN, *statuses))


def _search(what: str, level: Level) -> Method:
    produces = (DICOM_JSON, JSON, _parts(DICOM_XML))
    return Method("GET", f"search_{what}", produces, _searching(level), statuses=(200, 204, 406, *_ALWAYS))


def _store(method: str, what: str) -> Method:
    return Method(method, what, (DICOM_JSON,), (), _STORED, (200, 202, 204, 409, 413, 415, *_ALWAYS))


def _delete(what: str) -> Method:
    return Method("DELETE", f"delete_{what}", statuses=(204, *_ALWAYS))


def _representations(of: str) -> dict[str, tuple[Method, ...]]:
    """What can be retrieved of a study, a series or an instance beside itself (PS3.18 Table 10.4.1-1 and following)."""
    return {
        "metadata": (
            _retrieve(f"{of}_metadata", _METADATA if of != "instance" else (*_METADATA, DICOM_XML)),
        ),
        "rendered": (_retrieve(f"rendered_{of}", _RENDERED, _RENDERING, 413, *_RANGES),),
        "thumbnail": (_retrieve(f"thumbnail_{of}", _IMAGES, ("accept", "viewport")),),
        "bulkdata": (_retrieve(f"{of}_bulkdata", _BULKDATA),),
        "pixeldata": (_retrieve(f"{of}_pixeldata", _BULKDATA),),
    }


_STUDIES, _STUDY = "studies", "studies/{study}"
_SERIES = f"{_STUDY}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_FRAMES = f"{_INSTANCE}/frames/{{frames}}"
_VALUE = "{bulkdata}"

TABLE: Mapping[str, tuple[Method, ...]] = {
    _STUDIES: (
        _search("studies", Level.STUDY),
        _store("POST", "store_instances"),
        _store("PUT", "upsert_instances"),
    ),
    _STUDY: (
        _retrieve("study", _INSTANCES),
        _store("POST", "store_study_instances"),
        _store("PUT", "upsert_study_instances"),
        _delete("study"),
    ),
    **{f"{_STUDY}/{name}": methods for name, methods in _representations("study").items()},
    f"{_STUDY}/series": (_search("study_series", Level.SERIES),),
    _SERIES: (_retrieve("series", _INSTANCES), _delete("series")),
    **{f"{_SERIES}/{name}": methods for name, methods in _representations("series").items()},
    f"{_SERIES}/instances": (_search("series_instances", Level.INSTANCE),),
    _INSTANCE: (
        _retrieve("instance", (*_INSTANCES, DICOM), ("accept",), *_RANGES),
        _delete("instance"),
    ),
    **{f"{_INSTANCE}/{name}": methods for name, methods in _representations("instance").items()},
    f"{_INSTANCE}/bulkdata/{_VALUE}": (_retrieve("bulkdata", _FRAMED, ("accept",), *_RANGES),),
    _FRAMES: (_retrieve("frames", _FRAMED, ("accept",), *_RANGES),),
    f"{_FRAMES}/rendered": (_retrieve("rendered_frames", _IMAGES, _RENDERING, 413),),
    f"{_FRAMES}/thumbnail": (_retrieve("thumbnail_frame", _IMAGES, ("accept", "viewport")),),
    f"{_STUDY}/instances": (_search("study_instances", Level.INSTANCE),),
    "series": (_search("series", Level.SERIES),),
    "instances": (_search("instances", Level.INSTANCE),),
    "wado": (_retrieve("by_uri", (*_SINGLE_RENDERED, DICOM), _BY_URI, 413, *_RANGES),),
    "changefeed": (
        Method("GET", "read_change_feed", (JSON,), changefeed_parameters.NAMES[2], statuses=(200, *_ALWAYS)),
    ),
    "changefeed/latest": (
        Method(
            "GET",
            "read_latest_change",
            (JSON,),
            changefeed_parameters.OF_LATEST,
            statuses=(200, 204, *_ALWAYS),
        ),
    ),
    "subscribers": (Method("GET", "list_subscribers", (JSON,), statuses=(200, *_ALWAYS)),),
    "subscribers/{subscriber}/failures": (
        Method("GET", "list_failures", (JSON,), subscriber_parameters.LISTING, statuses=(200, *_ALWAYS)),
        Method("POST", "retry_failures", (JSON,), subscriber_parameters.RETRYING, statuses=(202, *_ALWAYS)),
    ),
    "api.json": (Method("GET", "retrieve_api_description", (JSON,), statuses=(200, 404, 503)),),
}
"""The methods of every resource, by its path below the base URL. HEAD is where GET is, OPTIONS everywhere."""


@dataclass(frozen=True, slots=True)
class Described:
    """A resource: its path below the one it lies in, its methods, and what lies in it."""

    path: str
    methods: list[Method] = field(default_factory=list)
    resources: list[Described] = field(default_factory=list)

    @property
    def allowed(self) -> tuple[str, ...]:
        """The methods of requests that are answered."""
        names = [name for method in self.methods for name in _BESIDE.get(method.name, (method.name,))]
        return (*names, "OPTIONS")


_BESIDE = {"GET": ("GET", "HEAD")}


def find(path: str) -> Described | None:
    """Describe the resource at a path below the base URL, and all below it; None if there is none."""
    node, at = _ROOT, list[str]()
    segments = [segment for segment in path.split("/") if segment]
    while segments:
        step = next((each for each in node.resources if each.path == segments[0]), None)
        step = step or next((each for each in node.resources if each.path.startswith("{")), None)
        if step is None:
            return None
        node, segments = step, [] if step.path == _VALUE else segments[1:]
        at.append(node.path)
    return Described("/".join(at), node.methods, node.resources)


def as_json(base_url: str, described: Described) -> bytes:
    """The description of a resource and of all below it as JSON."""
    return orjson.dumps({"base": base_url, "resources": [_object(each) for each in _top(described)]})


def as_wadl(base_url: str, described: Described) -> bytes:
    """The description of a resource and of all below it as WADL."""
    application = ElementTree.Element("application", xmlns=_NAMESPACE)
    resources = ElementTree.SubElement(application, "resources", base=f"{base_url}/")
    for each in _top(described):
        _add(resources, each)
    text: bytes = ElementTree.tostring(application, "utf-8", xml_declaration=True)
    return text


def _tree() -> Described:
    root = Described("")
    for path, methods in TABLE.items():
        node = root
        for segment in path.split("/"):
            known = next((each for each in node.resources if each.path == segment), None)
            if known is None:
                known = Described(segment)
                node.resources.append(known)
            node = known
        node.methods.extend(methods)
    return root


_ROOT = _tree()


def _top(described: Described) -> Sequence[Described]:
    """What stands at the top of a description: of the service its resources."""
    return [described] if described.path else described.resources


def _object(described: Described) -> dict[str, Any]:
    methods = [
        {
            "name": method.name,
            "id": method.id,
            "parameters": method.parameters,
            "consumes": method.consumes,
            "produces": method.produces,
        }
        for method in described.methods
    ]
    return {
        "path": described.path,
        "methods": methods,
        "resources": [_object(each) for each in described.resources],
    }


def _add(parent: ElementTree.Element, described: Described) -> None:
    resource = ElementTree.SubElement(parent, "resource", path=described.path)
    for name in _variables(described.path):
        ElementTree.SubElement(resource, "param", name=name, style="template", required="true")
    for method in described.methods:
        _add_method(resource, method)
    for each in described.resources:
        _add(resource, each)


def _add_method(resource: ElementTree.Element, method: Method) -> None:
    element = ElementTree.SubElement(resource, "method", name=method.name, id=method.id)
    request = ElementTree.SubElement(element, "request")
    if method.produces:
        accept = {"name": "Accept", "style": "header", "default": method.produces[0]}
        options = ElementTree.SubElement(request, "param", accept)
        for media_type in method.produces:
            ElementTree.SubElement(options, "option", value=media_type)
    for name in method.parameters:
        ElementTree.SubElement(request, "param", name=name, style="query")
    for media_type in method.consumes:
        ElementTree.SubElement(request, "representation", mediaType=media_type)
    response = ElementTree.SubElement(element, "response")
    for media_type in method.produces:
        ElementTree.SubElement(response, "representation", mediaType=media_type)


def _variables(path: str) -> Iterator[str]:
    return (segment[1:-1] for segment in path.split("/") if segment.startswith("{"))
