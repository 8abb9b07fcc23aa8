"""The description of the API is valid OpenAPI, and tells of every route, its roles and its statuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from dicom_core import authorization, functions_http
from dicom_core.web import api_description, capabilities
from tests.routes import Recorder, function_app, routes
from tests.serving import ROOT

BASE = "https://dicom.example/v2"
DOCUMENT: dict[str, Any] = orjson.loads(api_description.as_json(BASE))
METHODS = ("get", "head", "post", "put", "delete", "options")
BY_HOST = {"/{path}": "/"}
"""Where the host has a path that stands for any, and the description the base URL."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The method, the path and the description of each operation."""
    for path, item in DOCUMENT["paths"].items():
        for method in METHODS:
            if method in item:
                yield method.upper(), path, item[method]


def described_path(template: str) -> str:
    """The path that a route has in the description."""
    path = template.replace("{*", "{").removeprefix("v{version:int}/")
    return BY_HOST.get(f"/{path}", f"/{path}")


def test_document_is_valid() -> None:
    """It is a document of OpenAPI 3.1."""
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_every_route_is_described() -> None:
    """Operations = routes of function_app.py; what is told of no path is not told of."""
    routed = {
        (route.method, described_path(route.template))
        for route in routes(function_app())
        if route.name != "answer_unknown"
    }

    assert {(method, path) for method, path, _ in operations()} == routed


def test_names_are_those_of_functions() -> None:
    """Each operation is named for its function; HEAD, which needs a name of its own, for that of GET."""
    named = {
        (route.method, described_path(route.template)): route.name + "_head" * (route.method == "HEAD")
        for route in routes(function_app())
        if route.name != "answer_unknown"
    }

    assert {(method, path): each["operationId"] for method, path, each in operations()} == named


async def test_roles_are_those_of_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The role that a token must grant = the rule of the transaction that the route leads to."""
    module, recorder = function_app(), Recorder()
    monkeypatch.setattr(module, "respond", recorder)
    every = [route for route in routes(module) if route.name != "answer_unknown"]
    for route in every:
        await route.call(req=None)

    rules = {
        (route.method, described_path(route.template)): authorization.RULES[functions_http.name_of(one)]
        for route, one in zip(every, recorder.asked, strict=True)
    }

    for method, path, each in operations():
        rule = rules[method, path]
        roles = [] if rule == authorization.ANY_ROLE else sorted(rule or ())
        assert each["security"] == ([{"token": roles}, {"key": []}] if rule else []), path


def test_where_the_service_is() -> None:
    """Paths are below the base URL; the health check lies outside of it."""
    assert DOCUMENT["servers"] == [{"url": BASE}]
    assert DOCUMENT["paths"]["/health/check"]["servers"] == [{"url": "https://dicom.example"}]


def test_media_types_are_those_of_the_table() -> None:
    """Payloads and answers have the media types of the capabilities."""
    for path, methods in capabilities.TABLE.items():
        for method in methods:
            each = DOCUMENT["paths"][f"/{path}"][method.name.lower()]
            success = next((answer for answer in each["responses"].values() if "content" in answer), {})
            assert tuple(success.get("content", ())) == method.produces
            assert tuple(each.get("requestBody", {}).get("content", ())) == method.consumes


def test_variables_are_described() -> None:
    """Each template variable of a path is a parameter of it."""
    for path, item in DOCUMENT["paths"].items():
        named = [each["$ref"].rpartition("/")[2] for each in item.get("parameters", ())]
        assert named == re.findall(r"\{(\w+)\}", path)


@pytest.mark.parametrize(
    ("section", "belongs"),
    [
        ("## Retrieve (10.4)", lambda name: re.match("retrieve_(?!rendered|thumbnail|by_uri|api|cap)", name)),
        ("## Rendered resources and thumbnails (10.4)", lambda name: re.match("retrieve_rendered", name)),
        ("## Store (10.5)", lambda name: re.match("store|upsert", name)),
        ("## Change feed", lambda name: re.match("read_", name)),
        ("## Subscribers", lambda name: re.match("list_|retry_", name)),
    ],
    ids=["retrieve", "rendered", "store", "change feed", "subscribers"],
)
def test_statuses_are_those_of_the_conformance_statement(section: str, belongs: Any) -> None:
    """Statuses of a transaction = its table, what a path or a caller may get everywhere, and 503."""
    text = (ROOT / "docs" / "conformance.md").read_text().partition(f"{section}\n")[2].partition("\n## ")[0]
    rows = text.partition("| status | when |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    listed = {status for row in rows for status in re.findall(r"[0-9]{3}", row.split("|")[1])}

    told = {
        status for _, _, each in operations() if belongs(each["operationId"]) for status in each["responses"]
    }

    assert told == listed | {"401", "403", "404", "503"}
