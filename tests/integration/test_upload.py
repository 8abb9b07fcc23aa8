"""Uploads of folders, to the service and to small servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydicom.data import get_testdata_file

from tests import dicomweb, instances
from tests.serving import ROOT, served, storage_settings
from tools.local_host.azurite import Azurite
from tools.upload import answers, sending
from tools.upload.__main__ import Options, main, upload
from tools.upload.answers import Stop
from tools.upload.outcomes import Fate, Summary

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
MIB = 1 << 20


def filled(folder: Path, count: int, size: int = 32) -> list[dicomweb.Stored]:
    """Files of one series in a folder."""
    study, series = instances.uid(), instances.uid()
    made = [dicomweb.made(study, series, PixelData=bytes(size)) for _ in range(count)]
    for number, one in enumerate(made):
        (folder / f"{number:04}.dcm").write_bytes(one.content)
    return made


@dataclass(slots=True)
class Server:
    """A server that gives some answers and then stores everything."""

    first: list[Answer] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0
    delay: float = 0.0
    continues: bool = True

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request."""
        self.requests.append(request)
        if self.first:
            return await self.first.pop(0)(request)
        return await self.store(request)

    async def store(self, request: web.Request) -> web.Response:
        """Count the parts, and say that all is well."""
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.parts.append((await request.read()).count(b"Content-Type: application/dicom"))
        await asyncio.sleep(self.delay)
        self.at_once -= 1
        return web.Response(status=200)

    async def expect(self, request: web.Request) -> None:
        """Answer Expect: 100-continue, or do not."""
        if self.continues and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        """The base URL, while it runs."""
        application = web.Application(client_max_size=1 << 30)
        application.router.add_route("*", "/v2/studies", self.answer, expect_handler=self.expect)
        async with TestServer(application) as server:
            yield str(server.make_url("/v2"))


def answering(status: int, **headers: str) -> Answer:
    """An answer that has read the request."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await request.read()
        return web.Response(
            status=status, headers={name.replace("_", "-"): text for name, text in headers.items()}
        )

    return answer


async def breaking(request: web.Request) -> web.StreamResponse:
    """No answer: the connection ends."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def uploaded(server: Server, *paths: Path, **options: object) -> Summary:
    """Upload a file at a time, unless told otherwise."""
    summary = Summary()
    async with server.url() as url:
        values = {"batch_bytes": 1, **options}
        await upload(Options([str(path) for path in paths], url, **values), summary)
    return summary


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten every wait."""
    monkeypatch.setattr(answers, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(answers, "_LONGEST_WAIT", 0.01)


@pytest.mark.slow
def test_folder_of_good_and_bad_files(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each file has the outcome it would have alone, and a repetition changes nothing."""
    folder = Path(str(get_testdata_file("CT_small.dcm"))).parent
    failures = tmp_path / "failures"
    arguments = [str(folder), "--url", service, "--failures", str(failures), "--verbose"]

    codes, told, failed = [], [], []
    for _ in range(2):
        codes.append(main(arguments))
        told.append(capsys.readouterr())
        failed.append([json.loads(line) for line in failures.read_text().splitlines()])

    fates = {path: line.split(" /")[0] for line in told[0].err.splitlines() if (path := _path(line))}
    assert codes == [1, 1]
    assert fates[f"{folder}/CT_small.dcm"] in (Fate.STORED, Fate.IDENTICAL, Fate.WARNED)
    assert fates[f"{folder}/README.txt"] == Fate.SKIPPED
    assert fates[f"{folder}/dicomdirtests/DICOMDIR"] == Fate.SKIPPED
    truncated = next(one for one in failed[0] if one["file"].endswith("/MR_truncated.dcm"))
    assert (truncated["code"], truncated["reason"]) == ("0110", "could not be processed")
    assert "ends at byte 9630" in truncated["comments"][0]
    assert {one["file"] for one in failed[0]} == {path for path, fate in fates.items() if fate == "failed"}
    assert sorted(failed[0], key=str) == sorted(failed[1], key=str)
    assert "\nstored                             0\nalready there" in told[1].out


def _path(line: str) -> str:
    return "/" + line.split(" /", 1)[1].split(": ")[0] if " /" in line else ""


def test_stored_is_what_was_sent(service: str, tmp_path: Path) -> None:
    """What is uploaded in many requests at once is there, byte for byte."""
    made = filled(tmp_path, 40, size=20_000)

    assert main([str(tmp_path), "--url", f"{service}/", "--batch-bytes", "100K", "--parallel", "5"]) == 0
    for one in made:
        assert dicomweb.get(f"{service}/{one.path}", dicomweb.SINGLE).content == one.content


def test_bad_part_does_not_fail_the_others(
    service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a request with a file that ends before its UIDs, and one that is refused, the others are stored."""
    filled(tmp_path, 3)
    (tmp_path / "early").write_bytes((tmp_path / "0000.dcm").read_bytes()[:200])
    (tmp_path / "refused").write_bytes(dicomweb.made(StudyInstanceUID=None).content)

    assert main([str(tmp_path), "--url", service]) == 1
    assert [line.split() for line in capsys.readouterr().out.splitlines()[2:]] == [
        ["stored", "3"],
        ["failed", "2"],
    ]


def test_replace(service: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other bytes under the same UIDs fail, unless they are to replace what is stored."""
    (first,) = filled(tmp_path, 1)
    assert main([str(tmp_path), "--url", service]) == 0
    other = instances.file(first.study, first.series, first.instance, PatientID="P2")
    (tmp_path / "0000.dcm").write_bytes(other)

    assert main([str(tmp_path), "--url", service]) == 1
    assert "other bytes are stored under the same UIDs (B00E)\n" in capsys.readouterr().out
    assert main([str(tmp_path), "--url", service, "--replace"]) == 0
    assert dicomweb.get(f"{service}/{first.path}", dicomweb.SINGLE).content == other


def test_large_file(service: str, tmp_path: Path) -> None:
    """A file that is larger than a batch is sent by itself."""
    (large,) = filled(tmp_path, 1, size=30 * MIB)

    assert main([str(tmp_path), "--url", service, "--batch-bytes", "1M"]) == 0
    assert dicomweb.get(f"{service}/{large.path}", dicomweb.SINGLE).content == large.content


def test_limit_of_the_service(azurite: Azurite, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is too large at once goes in smaller requests; a file that is too large by itself has failed."""
    filled(tmp_path, 8, size=300_000)
    (tmp_path / "large.dcm").write_bytes(dicomweb.made(PixelData=bytes(2 * MIB)).content)
    settings = storage_settings(azurite.connection_string)

    with served(**settings, FUNCTIONS_REQUEST_BODY_SIZE_LIMIT=str(MIB)) as running:
        assert main([str(tmp_path), "--url", running.url]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert "large.dcm: the service answered 413: the payload is larger than 1048576 bytes" in lines[0]
    assert [line.split() for line in lines[1:]] == [["stored", "8"], ["failed", "1"]]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "answer",
    [answering(408), answering(429, Retry_After="0"), answering(500), answering(503), breaking],
    ids=["408", "429", "500", "503", "broken"],
)
async def test_failure_that_passes(answer: Answer, tmp_path: Path) -> None:
    """What fails for a while is sent again until it is stored."""
    filled(tmp_path, 3)
    server = Server([answer] * 5)

    summary = await uploaded(server, tmp_path)

    assert (summary.counts, len(server.requests)) == ({Fate.STORED: 3}, 8)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("answer", [answering(500), breaking], ids=["500", "broken"])
async def test_failure_that_stays(answer: Answer, tmp_path: Path) -> None:
    """A file that the service breaks down over fails after its attempts, and no other."""
    filled(tmp_path, 3)
    (tmp_path / "0001.dcm").write_bytes(dicomweb.made(PatientID="POISON").content)
    server = Server()

    async def store(request: web.Request) -> web.StreamResponse:
        return await (answer(request) if b"POISON" in await request.read() else server.store(request))

    server.first = [store] * 100
    summary = await uploaded(server, tmp_path)

    assert summary.counts == {Fate.STORED: 2, Fate.FAILED: 1}
    assert summary.failures[0].path.endswith("0001.dcm")
    assert len(server.requests) == 2 + answers.ATTEMPTS


async def test_retry_after_is_waited_for(tmp_path: Path) -> None:
    """A service that says when to come again is not asked before."""
    filled(tmp_path, 1)
    started = time.monotonic()

    await uploaded(Server([answering(503, Retry_After="1")]), tmp_path)

    assert time.monotonic() - started >= 1


@pytest.mark.parametrize("status", [302, 401, 403, 404])
async def test_refusal_of_everything(status: int, tmp_path: Path) -> None:
    """A wrong URL or token ends the upload at the first answer."""
    filled(tmp_path, 20)
    server = Server([answering(status, Location="/v2/studies")] * 20)

    with pytest.raises(Stop, match=str(status)):
        await uploaded(server, tmp_path, parallel=1)
    assert len(server.requests) == 1


@pytest.mark.usefixtures("impatient")
def test_unreachable_service(
    tmp_path: Path, unused_tcp_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """A service that does not answer is told so, with the exit code 2."""
    filled(tmp_path, 20)

    assert main([str(tmp_path), "--url", f"http://127.0.0.1:{unused_tcp_port}/v2"]) == 2
    assert f"http://127.0.0.1:{unused_tcp_port}/v2 cannot be reached" in capsys.readouterr().err


async def test_parallel(tmp_path: Path) -> None:
    """As many requests are under way as was asked for, and no more."""
    filled(tmp_path, 20)
    server = Server(delay=0.05)

    summary = await uploaded(server, tmp_path, parallel=3)

    assert (server.most_at_once, summary.counts) == (3, {Fate.STORED: 20})


async def test_token(tmp_path: Path) -> None:
    """The token goes with every request."""
    filled(tmp_path, 2)
    server = Server()

    await uploaded(server, tmp_path, token="abc")

    assert [request.headers["Authorization"] for request in server.requests] == ["Bearer abc"] * 2


async def test_answer_that_names_nothing(tmp_path: Path) -> None:
    """Files of which nothing is said are sent again, each alone."""
    filled(tmp_path, 3)
    server = Server()

    summary = await uploaded(server, tmp_path, batch_bytes=MIB)

    assert (server.parts, summary.counts) == ([3, 1, 1, 1], {Fate.STORED: 3})


@pytest.mark.parametrize("continues", [True, False])
async def test_large_body_is_announced(
    continues: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large body waits for 100 Continue (RFC 9110 10.1.1), but not for ever, and not again and again."""
    monkeypatch.setattr(sending, "_EXPECT_SECONDS", 0.3)
    filled(tmp_path, 3, size=2 * MIB)
    server = Server(continues=continues)

    summary = await uploaded(server, tmp_path, parallel=1)

    announced = Counter("Expect" in request.headers for request in server.requests)
    assert summary.counts == {Fate.STORED: 3}
    assert announced == ({True: 3} if continues else {True: 1, False: 3})


async def test_refused_body_is_not_sent(tmp_path: Path) -> None:
    """A large body that is refused by its length is not sent."""
    filled(tmp_path, 1, size=8 * MIB)
    server = Server(continues=False)

    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=413, text=f"{request.content.total_bytes} bytes were sent")

    server.first = [refuse]
    summary = await uploaded(server, tmp_path)

    assert [one.comments for one in summary.failures] == [("0 bytes were sent",)]


async def test_file_that_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is not any more as it was found has failed; the others of its request are stored."""
    filled(tmp_path, 3)
    request = sending.Sender._request
    changed = tmp_path / "0001.dcm"

    async def late(sender: sending.Sender, body: sending.Body) -> answers.Reply:
        changed.unlink(missing_ok=True)
        return await request(sender, body)

    monkeypatch.setattr(sending.Sender, "_request", late)
    summary = await uploaded(Server(), tmp_path, batch_bytes=MIB)

    assert summary.counts == {Fate.STORED: 2, Fate.FAILED: 1}
    assert [(one.path, one.reason) for one in summary.failures] == [
        (str(changed), "cannot be read: No such file or directory")
    ]


async def test_interruption(tmp_path: Path) -> None:
    """An upload that is interrupted says what was done, and that it can be started again."""
    filled(tmp_path, 1)
    server = Server([answering(503, Retry_After="60")])

    async with server.url() as url:
        command = (sys.executable, "-m", "tools.upload", str(tmp_path), "--url", url)
        pipes = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=os.environ, **pipes)
        while server.first:
            await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, errors = await process.communicate()

    assert (process.returncode, output.split()) == (130, [b"stored", b"0"])
    assert errors.decode() == "Interrupted, not everything was sent: start it again to go on.\n"
