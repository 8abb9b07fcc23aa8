"""Requests of the Store transaction, several at a time (PS3.18 10.5.1)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import aiohttp
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from tools.upload import answers
from tools.upload.answers import Reply, Stop, Verdict
from tools.upload.files import Batch, File
from tools.upload.outcomes import Outcome, failed

_CHUNK = 512 << 10
_PART = b"Content-Type: application/dicom\r\n\r\n"
_ASK_FIRST = 1 << 20
"""A larger body is announced (Expect: 100-continue), so that one which is refused is not sent in vain."""

_EXPECT_SECONDS = 5.0
_CONNECT_SECONDS = 30.0
_ANSWER_SECONDS = 300.0
_SLOWEST = 20_000
"""Bytes a second; what is slower has got stuck."""

_FIRST_CONTACT = 4
"""How often a service is called that has never answered: the URL may be wrong."""


class Body(payload.Payload):
    """A multipart payload that is read from its files while it is sent, and can be sent again."""

    def __init__(self, files: tuple[File, ...]) -> None:
        boundary = uuid.uuid4().hex
        super().__init__(
            files, content_type=f'multipart/related; type="application/dicom"; boundary={boundary}'
        )
        self.sent = 0
        self.begun = asyncio.Event()
        self.fault: Outcome | None = None
        self._files = files
        self._begin = f"--{boundary}\r\n".encode() + _PART
        self._end = f"--{boundary}--\r\n".encode()
        self._size = sum(len(self._begin) + file.size + 2 for file in files) + len(self._end)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """There is no text of it."""
        raise TypeError("DICOM files are not text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send everything."""
        self.begun.set()
        self.sent = 0
        pieces = self._pieces()
        while piece := await asyncio.to_thread(next, pieces, b""):
            await writer.write(piece)
            self.sent += len(piece)

    def _pieces(self) -> Iterator[bytes]:
        """The payload in pieces that are worth a write each."""
        buffer = bytearray()
        for file in self._files:
            buffer += self._begin
            for chunk in self._content(file):
                buffer += chunk
                if len(buffer) >= _CHUNK:
                    yield bytes(buffer)
                    buffer.clear()
            buffer += b"\r\n"
        yield bytes(buffer + self._end)

    def _content(self, file: File) -> Iterator[bytes]:
        left = file.size
        try:
            with open(file.path, "rb") as stream:
                while left and (chunk := stream.read(min(left, _CHUNK))):
                    left -= len(chunk)
                    yield chunk
                if left or stream.read(1):
                    raise OSError("its size has changed meanwhile")
        except OSError as error:
            self.fault = failed(file.path, file.size, f"cannot be read: {error.strerror or error}")
            raise


@dataclass(slots=True)
class Sender:
    """Sends batches to a service and reports what became of each file.

    `note` is told what is tried again, and why.
    """

    session: aiohttp.ClientSession
    url: str
    method: str
    parallel: int
    report: Callable[[Outcome], None]
    note: Callable[[str], None]
    headers: Mapping[str, str] = field(default_factory=dict)
    _bodies: set[Body] = field(default_factory=set)
    _answered: bool = False
    _expects: bool = True

    @property
    def bytes_in_flight(self) -> int:
        """What has been sent of the requests that are not answered yet."""
        return sum(body.sent for body in self._bodies)

    async def send(self, entries: Iterator[Batch | Outcome]) -> None:
        """Send all; the entries are drawn in a thread, as there is room for them.

        Raises
        ------
        Stop
            The service cannot be reached, or refuses everything.
        """
        room = asyncio.Semaphore(self.parallel)
        try:
            async with asyncio.TaskGroup() as tasks:
                while (entry := await asyncio.to_thread(next, entries, None)) is not None:
                    if isinstance(entry, Outcome):
                        self.report(entry)
                        continue
                    await room.acquire()
                    tasks.create_task(self._deliver(entry)).add_done_callback(lambda _: room.release())
        except* Stop as stops:
            raise stops.exceptions[0] from None

    async def _deliver(self, batch: Batch) -> None:
        """Send a batch and whatever is to be sent again of it, until there is an outcome of each file."""
        waiting = [batch]
        while waiting:
            verdict = await self._try(waiting.pop())
            for outcome in verdict.outcomes:
                self.report(outcome)
            if verdict.again:
                when = f" in {verdict.wait:.1f} s" if verdict.wait else ""
                self.note(f"{verdict.why}: sending again{when}")
                waiting += verdict.again
                await asyncio.sleep(verdict.wait)

    async def _try(self, batch: Batch) -> Verdict:
        body = Body(batch.files)
        self._bodies.add(body)
        try:
            reply = await self._request(body)
        except aiohttp.InvalidURL as error:
            raise Stop(f"{self.url} is no URL") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return self._unanswered(batch, body, error)
        finally:
            self._bodies.discard(body)
        self._answered = True
        return answers.judge(batch, reply)

    def _unanswered(self, batch: Batch, body: Body, error: Exception) -> Verdict:
        """What to do without an answer: a file may be to blame, or the service, or the network."""
        if body.fault is not None:
            rest = tuple(file for file in batch.files if file.path != body.fault.path)
            again = (Batch(rest, batch.attempt),) if rest else ()
            return Verdict((body.fault,), again, why=body.fault.reason)
        if not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
            return answers.broken(batch, "the connection broke", str(error) or type(error).__name__)
        if batch.attempt >= (answers.ATTEMPTS if self._answered else _FIRST_CONTACT):
            raise Stop(f"{self.url} cannot be reached: {_cause(error)}")
        again = (Batch(batch.files, batch.attempt + 1),)
        why = f"cannot connect: {_cause(error)}"
        return Verdict(again=again, wait=answers.back_off(batch.attempt), why=why)

    async def _request(self, body: Body) -> Reply:
        """Send a body once; a service that does not say whether to go on is not asked again."""
        if not self._expects or (body.size or 0) <= _ASK_FIRST:
            return await self._exchange(body, expect=False)
        asked = asyncio.ensure_future(self._exchange(body, expect=True))
        begun = asyncio.ensure_future(body.begun.wait())
        try:
            await asyncio.wait((asked, begun), timeout=_EXPECT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if asked.done() or body.begun.is_set():
                return await asked
        finally:
            asked.cancel()
            begun.cancel()
        self._expects = False
        return await self._exchange(body, expect=False)

    async def _exchange(self, body: Body, *, expect: bool) -> Reply:
        headers = {**self.headers, "Accept": "application/dicom+json", "Content-Type": body.content_type}
        timeout = aiohttp.ClientTimeout(
            total=_ANSWER_SECONDS + (body.size or 0) / _SLOWEST, sock_connect=_CONNECT_SECONDS
        )
        async with self.session.request(
            self.method,
            f"{self.url}/studies",
            data=body,
            headers=headers,
            expect100=expect,
            timeout=timeout,
            allow_redirects=False,
        ) as response:
            content = await response.read()
            named = {name.lower(): value for name, value in response.headers.items()}
            return Reply(response.status, content, named)


def _cause(error: Exception) -> str:
    """What the system said, without the client's ornaments."""
    return str(getattr(error, "strerror", None) or error)
