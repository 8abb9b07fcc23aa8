"""The user agents: requests sent by several senders of a process of its own, so that only the service is measured."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
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


@dataclass(frozen=True, slots=True)
class Call:
    """One request; its path is below the URL of the service."""

    path: str
    accept: str = "application/dicom+json"
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: Sequence[bytes] = ()


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


def drive(url: str, calls: Sequence[Call], senders: int) -> float:
    """Send all calls and read the answers to their ends; the seconds from the first to the last.

    Raises
    ------
    RuntimeError
        An answer was no success.
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
        raise RuntimeError(answer)
    return float(answer)


def _report(pipe: Connection, url: str, calls: Sequence[Call], senders: int) -> None:
    errors: list[str] = []
    threads = [
        threading.Thread(target=_send, args=(url, calls[first::senders], errors)) for first in range(senders)
    ]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pipe.send(errors[0] if errors else time.perf_counter() - begin)


def _send(url: str, calls: Sequence[Call], errors: list[str]) -> None:
    """Send calls one after the other over one connection."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    buffer = bytearray(_READ)
    for call in calls:
        headers = {"Accept": call.accept, **call.headers}
        if call.body:
            headers["Content-Length"] = str(sum(map(len, call.body)))
        connection.request(call.method, parts.path + call.path, _pieces(call.body), headers)
        response = connection.getresponse()
        if not 200 <= response.status < 300:
            errors.append(f"{call.method} {call.path}: {response.status} {response.read()[:500]!r}")
            return
        while response.readinto(buffer):
            pass
    connection.close()


def _pieces(body: Sequence[bytes]) -> Iterator[bytes] | None:
    return iter(body) if body else None
