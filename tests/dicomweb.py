"""Requests and answers of DICOMweb as a test writes and reads them."""

from __future__ import annotations

import http.client
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

import requests

from tests import instances

BOUNDARY = "b7d4f0e2"
MULTIPART = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
DICOM_JSON = "application/dicom+json"
ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'
SINGLE = "application/dicom; transfer-syntax=*"

_session = requests.Session()
_BOUNDARY = re.compile(r'^multipart/related; type="([^"]+)"; boundary=([0-9a-f]{32})$')


@dataclass(frozen=True, slots=True)
class Stored:
    """An instance that a test stores: its UIDs and its bytes."""

    study: str
    series: str
    instance: str
    content: bytes

    @property
    def path(self) -> str:
        """The path below the service's base URL."""
        return f"studies/{self.study}/series/{self.series}/instances/{self.instance}"


def made(study: str = "", series: str = "", instance: str = "", **elements: Any) -> Stored:
    """A small instance; its UIDs are new where none are given."""
    study, series, instance = study or instances.uid(), series or instances.uid(), instance or instances.uid()
    return Stored(study, series, instance, instances.file(study, series, instance, **elements))


def joined(parts: Iterable[bytes], header: str = "Content-Type: application/dicom\r\n") -> bytes:
    """A multipart payload with `BOUNDARY`."""
    begun = b"".join(f"--{BOUNDARY}\r\n{header}\r\n".encode() + part + b"\r\n" for part in parts)
    return begun + f"--{BOUNDARY}--\r\n".encode()


def post(url: str, *parts: bytes, method: str = "POST", **headers: str) -> requests.Response:
    """Store parts by one multipart request."""
    fields = {"Content-Type": MULTIPART, "Accept": DICOM_JSON, **headers}
    return _session.request(method, url, data=joined(parts), headers=fields, timeout=60)


def send(url: str, content: bytes, accept: str | None, content_type: str) -> requests.Response:
    """Post a payload with an Accept header, or with none at all."""
    fields = {"Content-Type": content_type, "Accept": accept}
    return _session.post(url, content, headers=cast(dict[str, str], fields), timeout=60)


def keep(service: str, *stored: Stored) -> None:
    """Store instances that must be stored without any remark."""
    answer = post(f"{service}/studies", *(one.content for one in stored))
    assert answer.status_code == 200, answer.text


def get(url: str, accept: str | None = None, **headers: str) -> requests.Response:
    """Ask with an Accept header, or with none at all."""
    fields = {"Accept": accept, **headers}
    return _session.get(url, headers=cast(dict[str, str], fields), timeout=60)  # None takes the default away


def delete(url: str) -> requests.Response:
    """Delete a resource."""
    return _session.delete(url, timeout=60)


def search(service: str, path: str) -> list[dict[str, Any]]:
    """The matches of a search; none for the answer 204."""
    answer = get(f"{service}/{path}", DICOM_JSON)
    assert answer.status_code in (200, 204), answer.text
    return answer.json() if answer.status_code == 200 else []


def parts_of(answer: requests.Response) -> list[tuple[str, bytes]]:
    """The header block and the content of each part of a multipart answer, taken apart strictly."""
    match = _BOUNDARY.match(answer.headers["Content-Type"])
    assert match is not None, answer.headers["Content-Type"]
    delimiter = f"--{match[2]}".encode()
    assert answer.content.startswith(delimiter + b"\r\n")
    assert answer.content.endswith(b"\r\n" + delimiter + b"--\r\n")
    inner = answer.content[len(delimiter) + 2 : -len(delimiter) - 6]
    pairs = (part.split(b"\r\n\r\n", 1) for part in inner.split(b"\r\n" + delimiter + b"\r\n"))
    return [(head.decode(), content) for head, content in pairs]


def values(item: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an element of DICOM JSON; none if it is missing or empty."""
    return list(item.get(tag, {}).get("Value", []))


def value(item: Mapping[str, Any], tag: str) -> Any:
    """The one value of an element of DICOM JSON."""
    (single,) = values(item, tag)
    return single


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for bytes that no HTTP client would send."""

    status: int
    headers: Mapping[str, str]
    text: str


def raw(service: str, *messages: bytes) -> Answer:
    """Send bytes as they are, each lot by itself, and read the answer; no more is sent once it has come."""
    address, _, port = urlsplit(service).netloc.partition(":")
    with socket.create_connection((address, int(port)), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for message in messages:
            try:
                connection.sendall(message)
            except (BrokenPipeError, ConnectionResetError):
                break
        answer = http.client.HTTPResponse(
            connection, method=messages[0][:16].split(b" ")[0].decode("latin-1")
        )
        answer.begin()
        body = answer.read().decode()
        return Answer(answer.status, {name.lower(): text for name, text in answer.getheaders()}, body)


def request(line: str, *fields: str, body: bytes = b"") -> bytes:
    """A request message: the request line without its version, and header fields as they are written."""
    head = "".join(f"{field}\r\n" for field in (f"{line} HTTP/1.1", "Host: localhost:1", *fields))
    return head.encode("latin-1") + b"\r\n" + body
