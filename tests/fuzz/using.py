"""A process that makes of damaged files all that the service does: a codec that crashes takes it along, not the test.

It takes files from its standard input, and answers each with what became of it. The stores are in memory.
"""

from __future__ import annotations

import asyncio
import pickle
import resource
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Timer
from typing import BinaryIO

import orjson

from dicom_core.errors import TransactionError
from dicom_core.ports import Stores
from dicom_core.resources import Resource
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import bulkdata, rendered, retrieve, search, store
from dicom_core.web.messages import Request, Response
from tests.serving import ROOT

BASE = "http://localhost/v2"
CHUNK = 1000
PARTS = "multipart/related; type="
RETRIEVALS: list[tuple[Callable[[Request, Stores], Awaitable[Response]], str]] = [
    (retrieve.instances, f"{PARTS}application/dicom; transfer-syntax=*"),
    (retrieve.instances, "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"),
    (retrieve.instances, "application/dicom; transfer-syntax=1.2.840.10008.1.2.5"),
    (retrieve.instances, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80"),
    (retrieve.instances, "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.201"),
    (retrieve.metadata, "application/dicom+json"),
    (retrieve.metadata, "application/dicom+xml"),
    (bulkdata.frames, "application/octet-stream"),
    (bulkdata.frames, f"{PARTS}application/octet-stream; transfer-syntax=*"),
    (bulkdata.all_bulkdata, "*/*"),
    (rendered.rendered, "image/jpeg"),
    (rendered.rendered, "image/gif"),
    (rendered.thumbnail, "image/png"),
]
"""What is asked of each instance that was stored."""

_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file: statuses, a fault if there was one, the time, and the process's most memory so far."""

    statuses: tuple[int, ...] = ()
    fault: str = ""
    seconds: float = 0
    memory: int = 0


class Process:
    """The process, seen from the test."""

    def __init__(self) -> None:
        self._process = self._started()

    def __call__(self, content: bytes, patience: float) -> Outcome:
        """Have a file used; a process that dies, or takes too long, is a fault, and another one follows."""
        timer = Timer(patience, self._process.kill)
        timer.start()
        try:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            _send(self._process.stdin, content)
            outcome: Outcome = pickle.loads(_receive(self._process.stdout))
            return outcome
        except (EOFError, BrokenPipeError):
            self._process.communicate()
            fault = f"the process ended with {self._process.returncode}"
            self._process = self._started()
            return Outcome(fault=fault)
        finally:
            timer.cancel()

    def end(self) -> None:
        """End the process."""
        self._process.communicate()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.fuzz.using"]
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


@contextmanager
def process() -> Iterator[Process]:
    """A process that uses files."""
    running = Process()
    try:
        yield running
    finally:
        running.end()


async def used(content: bytes) -> tuple[int, ...]:
    """Store a file and ask for all that can be made of it; the statuses of the answers."""
    index = MemoryIndex()
    stores = Stores(
        MemoryStore(), index, MemoryDropZone(), MemoryRenditions(), MemoryFeed(index), MemoryDeliveries()
    )
    asked = Request(
        "POST", Resource(), BASE, headers={"content-type": "application/dicom"}, body=_pieces(content)
    )
    statuses = [await _status(store.store(asked, stores))]
    found = await search.instances(Request("GET", Resource(), BASE), stores)
    for each in orjson.loads(found.body) if isinstance(found.body, bytes) and found.body else ():
        uids = Resource(*(each[tag]["Value"][0] for tag in ("0020000D", "0020000E", "00080018")))
        for transaction, accept in RETRIEVALS:
            request = Request(
                "GET", uids, BASE, headers={"accept": accept}, variables=_VARIABLES.get(transaction, {})
            )
            statuses.append(await _status(transaction(request, stores)))
    return tuple(statuses)


_VARIABLES = {bulkdata.frames: {"frames": "1"}}


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(content), CHUNK):
        yield content[at : at + CHUNK]


async def _status(answer: Awaitable[Response]) -> int:
    """The status of an answer, once all of its body has come."""
    try:
        response = await answer
        if not isinstance(response.body, bytes):
            async for _ in response.body:
                pass
    except TransactionError as error:
        return error.status
    return response.status


def _send(stream: BinaryIO, message: bytes) -> None:
    stream.write(_LENGTH.pack(len(message)) + message)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    content = stream.read(count)
    if len(content) < count:
        raise EOFError
    return content


def _outcome(content: bytes) -> Outcome:
    started = time.perf_counter()
    statuses, fault = (), ""
    try:
        statuses = asyncio.run(used(content))
    except Exception as error:
        fault = repr(error)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return Outcome(statuses, fault, time.perf_counter() - started, memory)


def main() -> None:
    """Use files until there are no more."""
    answers = sys.stdout.buffer
    while True:
        try:
            content = _receive(sys.stdin.buffer)
        except EOFError:
            return
        _send(answers, pickle.dumps(_outcome(content)))


if __name__ == "__main__":
    from tests.fuzz import using

    using.main()
