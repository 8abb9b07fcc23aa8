"""The user agents: requests sent by several senders of a process of its own, so that only the service is measured."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from urllib.parse import urlsplit

from benchmarks.images import Image

BOUNDARY = "benchmark-boundary"
_RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
_HEAD = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
_TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()
_READ = 1 << 20


class Refused(Exception):
    """An answer was no success, or of another media type than the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Driven:
    """Seconds from the first call to the last, and bytes of all bodies, sent and received."""

    seconds: float
    size: int


@dataclass(frozen=True, slots=True)
class Call:
    """One request; its path is below the URL of the service. `gives` is in the Content-Type of the answer."""

    path: str
    accept: str = "application/dicom+json"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = ()
    gives: str = ""


def store(images: Sequence[Image]) -> Call:
    """A Store request of several images (PS3.18 10.5.1)."""
    pieces = [piece for one in images for piece in (b"\r\n", _HEAD, one.head, one.pixels)]
    return Call("/studies", method="POST", headers={"Content-Type": _RELATED}, body=(*pieces[1:], _TAIL))


def store_single(image: Image) -> Call:
    """A Store request of one image without multipart, as the managed service has it."""
    return Call(
        "/studies",
        method="POST",
        headers={"Content-Type": "application/dicom"},
        body=(image.head, image.pixels),
    )


def drive(url: str, calls: Sequence[Call], senders: int) -> Driven:
    """Send all calls and read the answers to their ends.

    Raises
    ------
    Refused
        An answer was not what a call asked for.
    """
    # A fork has the calls already: nothing of them has to be copied.
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_report, args=(theirs, url, calls, senders))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        answer = "the clients died"
    process.join()
    if isinstance(answer, str):
        raise Refused(answer)
    assert isinstance(answer, Driven)
    return answer


def _report(pipe: Connection, url: str, calls: Sequence[Call], senders: int) -> None:
    errors: list[str] = []
    sizes: list[int] = []
    threads = [
        threading.Thread(target=send, args=(url, calls[first::senders], sizes, errors))
        for first in range(senders)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    pipe.send(errors[0] if errors else Driven(seconds, sum(sizes)))


def send(url: str, calls: Sequence[Call], sizes: list[int], errors: list[str]) -> None:
    """Send calls one after the other over one connection; note what each moved, or what went wrong."""
    parts = urlsplit(url)
    buffer = bytearray(_READ)
    with closing(HTTPConnection(parts.hostname or "", parts.port, timeout=120)) as connection:
        for call in calls:
            headers = {"Accept": call.accept, **call.headers}
            size = sum(map(len, call.body))
            if call.body:
                headers["Content-Length"] = str(size)
            connection.request(call.method, parts.path + call.path, _pieces(call.body), headers)
            response = connection.getresponse()
            media_type = response.getheader("Content-Type", "")
            if not 200 <= response.status < 300 or call.gives not in media_type:
                what = f"{response.status} {media_type} {response.read()[:500]!r}"
                errors.append(f"{call.method} {call.path}: {what}")
                return
            while count := response.readinto(buffer):
                size += count
            sizes.append(size)


def _pieces(body: Sequence[bytes]) -> Iterator[bytes] | None:
    return iter(body) if body else None
