"""Retrieve Capabilities over HTTP (PS3.18 8.9, Annex H)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pytest
import requests

WADL = "application/vnd.sun.wadl+xml"
NAMESPACE = "{http://wadl.dev.java.net/2009/02}"
IMAGES = ["image/jpeg", "image/png", "image/gif"]
FRAMES = "studies/1.2/series/1.3/instances/1.4/frames/1,2"


def ask(url: str, accept: str | None = None) -> requests.Response:
    """Ask for a description."""
    return requests.options(url, headers={"Accept": accept} if accept else {}, timeout=30)


def resources(element: ElementTree.Element, below: str = "") -> Iterator[tuple[str, set[str]]]:
    """The path of each resource and the names of its methods."""
    for resource in element.findall(f"{NAMESPACE}resource"):
        path = f"{below}/{resource.get('path')}".lstrip("/")
        yield path, {method.get("name", "") for method in resource.findall(f"{NAMESPACE}method")}
        yield from resources(resource, path)


def described(answer: requests.Response) -> tuple[str | None, dict[str, set[str]]]:
    """The base URL of a WADL document, and its resources."""
    application = ElementTree.fromstring(answer.content)
    assert application.tag == f"{NAMESPACE}application"
    (of_service,) = application
    assert of_service.tag == f"{NAMESPACE}resources"
    return of_service.get("base"), dict(resources(of_service))


@pytest.mark.parametrize("path", ["", "/"])
def test_whole_service(service: str, path: str) -> None:
    """The base URL tells of every resource."""
    answer = ask(f"{service}{path}")

    base, found = described(answer)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, WADL)
    assert base == f"{service}/"
    assert found["studies"] == {"GET", "POST", "PUT"}
    assert found["studies/{study}/series/{series}/instances/{instance}/thumbnail"] == {"GET"}
    assert found["wado"] == {"GET"}


def test_one_resource(service: str) -> None:
    """A resource tells of itself and of what lies below it."""
    _, found = described(ask(f"{service}/{FRAMES}"))

    path = "studies/{study}/series/{series}/instances/{instance}/frames/{frames}"
    assert found == {path: {"GET"}, f"{path}/rendered": {"GET"}, f"{path}/thumbnail": {"GET"}}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("", "OPTIONS"),
        ("/studies", "GET, HEAD, POST, PUT, OPTIONS"),
        ("/studies/1.2", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),
        ("/studies/1.2/series/1.3/instances/1.4/bulkdata/00091001/0/00091002", "GET, HEAD, OPTIONS"),
    ],
)
def test_allowed_methods(service: str, path: str, allowed: str) -> None:
    """The methods of a resource are in the header as well (RFC 9110 10.2.1)."""
    assert ask(f"{service}{path}").headers["Allow"] == allowed


@pytest.mark.parametrize(
    ("accept", "given"),
    [
        (None, WADL),
        ("*/*", WADL),
        (WADL, WADL),
        ("application/json", "application/json"),
        (f"application/json, {WADL};q=0.5", "application/json"),
    ],
)
def test_media_type(service: str, accept: str | None, given: str) -> None:
    """WADL unless JSON is preferred."""
    assert ask(service, accept).headers["Content-Type"] == given


def test_json(service: str) -> None:
    """JSON tells the same: media types and query parameters of each method."""
    description = ask(f"{service}/{FRAMES}/thumbnail", "application/json").json()

    assert description == {
        "base": service,
        "resources": [
            {
                "path": "studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
                "methods": [
                    {
                        "name": "GET",
                        "id": "retrieve_thumbnail_frame",
                        "parameters": ["accept", "viewport"],
                        "consumes": [],
                        "produces": [
                            *IMAGES,
                            *(f'multipart/related; type="{media_type}"' for media_type in IMAGES),
                        ],
                    }
                ],
                "resources": [],
            }
        ],
    }


def test_media_type_that_there_is_not(service: str) -> None:
    """406 says what there is."""
    answer = ask(service, "text/html")

    assert (answer.status_code, WADL in answer.text) == (406, True)


@pytest.mark.parametrize("path", ["nothing", "studies/1.2/nothing", "studies/1.2/metadata/more"])
def test_path_that_there_is_not(service: str, path: str) -> None:
    """404 where there is no resource."""
    assert ask(f"{service}/{path}").status_code == 404


def test_version_that_there_is_not(service: str) -> None:
    """404 where there is no such version of the service."""
    assert ask(f"{service.rpartition('/')[0]}/v9").status_code == 404
