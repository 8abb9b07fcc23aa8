"""Pages of other origins (fetch.spec.whatwg.org): every answer may be read, preflights are answered."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from azure.storage.blob import ContainerClient

from tests import dicomweb, instances
from tests.dicomweb import MULTIPART, made
from tests.serving import served, storage_settings
from tools.local_host.azurite import Azurite

ORIGIN = "https://viewer.example"
EXPOSED = {"Content-Range", "Content-Length", "Content-Type", "ETag", "Warning", "Location", "Retry-After"}
ASKED = {"Accept", "Authorization", "Content-Type", "Range", "If-None-Match", "Cache-Control"}


def listed(answer: requests.Response, name: str) -> set[str]:
    """The members of a header."""
    return {member.strip() for member in answer.headers.get(name, "").split(",")}


@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [
        (204, "GET", "studies?StudyInstanceUID=1.2.3.4.5", {}),
        (400, "GET", "studies?limit=0", {}),
        (400, "GET", "studies/x", {}),
        (404, "GET", "studies/1.2.3.4.5", {}),
        (404, "DELETE", "studies/1.2.3.4.5", {}),
        (406, "GET", "studies", {"Accept": "text/html"}),
        (413, "POST", "studies", {"Content-Type": "application/dicom", "Content-Length": str(1 << 40)}),
        (415, "POST", "studies", {"Content-Type": "text/plain"}),
        (204, "POST", "studies", {"Content-Type": MULTIPART}),
        (200, "OPTIONS", "studies", {}),
    ],
)
def test_answers(service: str, status: int, method: str, path: str, headers: dict[str, str]) -> None:
    """Whatever the status, any page may read the answer with all of its headers."""
    data = dicomweb.joined([]) if headers.get("Content-Type") == MULTIPART else b""

    answer = requests.request(
        method, f"{service}/{path}", data=data, headers={"Origin": ORIGIN, **headers}, timeout=30
    )

    assert answer.status_code == status, answer.text
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert listed(answer, "Access-Control-Expose-Headers") >= EXPOSED
    assert answer.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert answer.headers["api-supported-versions"] == "v1, v2"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (200, "", {"Accept": "application/dicom"}),
        (200, "/metadata", {}),
        (200, "/frames/1", {}),
        (206, "/frames/1", {"Accept": "application/octet-stream", "Range": "bytes=0-3"}),
        (416, "/frames/1", {"Accept": "application/octet-stream", "Range": "bytes=999-"}),
        (304, "/frames/1", {"If-None-Match": "*"}),
    ],
)
def test_answers_with_content(service: str, status: int, path: str, headers: dict[str, str]) -> None:
    """Bytes, ranges of them, and what is known already."""
    one = made()
    dicomweb.keep(service, one)

    answer = requests.get(f"{service}/{one.path}{path}", headers={"Origin": ORIGIN, **headers}, timeout=30)

    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert listed(answer, "Access-Control-Expose-Headers") >= EXPOSED
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "studies",
        "studies/1.2",
        "studies/1.2/metadata",
        "studies/1.2/series/1.3/instances/1.4/frames/1,2",
        "series",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_preflight(service: str, path: str, method: str) -> None:
    """A preflight asks without credentials, for any resource, and may be remembered for a day."""
    headers = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "accept,authorization",
    }

    answer = requests.options(f"{service}/{path}", headers=headers, timeout=30)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert method in listed(answer, "Access-Control-Allow-Methods")
    assert listed(answer, "Access-Control-Allow-Headers") >= ASKED
    assert answer.headers["Access-Control-Max-Age"] == "86400"


def test_answer_of_a_fault(service: str, azurite: Azurite) -> None:
    """Where the storage has lost a blob the answer is 503, and a page may read that too."""
    one = made()
    dicomweb.keep(service, one)
    version = dicomweb.get(f"{service}/{one.path}/metadata", **{"Accept-Encoding": "identity"}).headers[
        "ETag"
    ][1:-1]
    with ContainerClient.from_connection_string(azurite.connection_string, "dicom") as container:
        (blob,) = [name for name in container.list_blob_names() if version in name]
        container.delete_blob(blob)

    answer = requests.get(f"{service}/{one.path}/frames/1", headers={"Origin": ORIGIN}, timeout=30)

    assert (answer.status_code, answer.text) == (503, "the bytes of an instance are missing from storage")
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


@pytest.fixture(scope="module")
def restricted(azurite: Azurite) -> Iterator[str]:
    """A service that pages of two origins may call."""
    settings = storage_settings(azurite.connection_string)
    with served(**settings, DicomCorsOrigins=f"{ORIGIN}, https://other.example") as running:
        yield running.url


@pytest.mark.parametrize("origin", [ORIGIN, "https://other.example"])
def test_origin_that_may_call(restricted: str, origin: str) -> None:
    """An origin of the list is answered by its name, and caches know that it matters."""
    url = f"{restricted}/studies/{instances.uid()}"

    for answer in (
        requests.get(url, headers={"Origin": origin}, timeout=30),
        requests.options(url, headers={"Origin": origin}, timeout=30),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert listed(answer, "Vary") >= {"Origin"}


@pytest.mark.parametrize("origin", [None, "https://viewer.example.evil", "http://viewer.example", "null"])
def test_origin_that_may_not_call(restricted: str, origin: str | None) -> None:
    """Any other origin gets no leave."""
    url = f"{restricted}/studies/{instances.uid()}"

    answer = requests.get(url, headers={"Origin": origin} if origin else None, timeout=30)

    assert "Access-Control-Allow-Origin" not in answer.headers
    assert listed(answer, "Vary") >= {"Origin"}
