"""The client for the storage account: what it repeats, what it takes up again, what it counts, how it signs."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web
from azure.core.credentials_async import AsyncTokenCredential

from dicom_core.errors import StorageUnavailable
from dicom_core.storage import rest
from dicom_core.storage.rest import Bearer, Client, Kind, SharedKey, tally

CONTENT = bytes(range(256)) * 40

Reply = web.StreamResponse | Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Unsigned:
    """No proof of who asks."""

    async def sign(self, *_: Any) -> None:
        """Add nothing."""


@dataclass(slots=True)
class Server:
    """A service that gives prepared replies, and keeps what it was asked."""

    url: str = ""
    replies: list[Reply] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give the next reply."""
        body = await request.content.read()
        self.asked.append((request.method, request.raw_path, dict(request.headers), body))
        reply = self.replies.pop(0)
        return reply if isinstance(reply, web.StreamResponse) else await reply(request)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server on a free port."""
    made = Server()
    runner = web.ServerRunner(web.Server(made.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/account"
    yield made
    await runner.cleanup()


@pytest.fixture
async def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client that does not wait long."""
    monkeypatch.setattr(rest, "_FIRST_DELAY", 0.001)
    made = Client(server.url, Unsigned())
    yield made
    await made.close()


@pytest.fixture
def counts() -> Counter[Kind]:
    """The requests of the test, by kind."""
    counter: Counter[Kind] = Counter()
    tally.set(counter)
    return counter


def reply(status: int, body: bytes = b"", **headers: str) -> web.Response:
    """A whole reply; `_` in the name of a header stands for `-`."""
    return web.Response(
        status=status, body=body, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


async def dropped(request: web.BaseRequest) -> web.StreamResponse:
    """The connection is closed without a reply."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cut(content: bytes, at: int, status: int = 200) -> Reply:
    """A reply whose connection breaks within the body."""

    async def broken(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=status, headers={"Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[:at])
        await asyncio.sleep(0.01)
        assert request.transport is not None
        request.transport.close()
        return response

    return broken


async def read(content: AsyncIterator[bytes]) -> bytes:
    """All of a stream."""
    return b"".join([chunk async for chunk in content])


@pytest.mark.parametrize("first", [reply(500), reply(503), reply(429), reply(408), dropped, cut(b"abc", 1)])
async def test_send_repeats_what_may_pass(server: Server, client: Client, first: Reply) -> None:
    """A failure of the service or of the connection is followed by another attempt with the same body."""
    server.replies = [first, reply(201, b"done")]

    answer = await client.send(Kind.TABLE, "PUT", "/path", body=(b"a", b"b"))

    assert (answer.status, answer.body) == (201, b"done")
    assert [body for *_, body in server.asked] == [b"ab", b"ab"]


@pytest.mark.parametrize("status", [200, 304, 400, 403, 404, 409, 412, 416, 501])
async def test_send_does_not_repeat_an_answer(server: Server, client: Client, status: int) -> None:
    """What another attempt would not change is given as it is."""
    server.replies = [reply(status)]

    assert (await client.send(Kind.TABLE, "POST", "/path", body=(b"a",))).status == status
    assert len(server.asked) == 1


async def test_send_waits_as_long_as_it_is_told(server: Server, client: Client) -> None:
    """Retry-After is kept to."""
    server.replies = [reply(503, Retry_After="1"), reply(200)]
    begin = time.monotonic()

    await client.send(Kind.TABLE, "GET", "/path")

    assert time.monotonic() - begin >= 1


async def test_send_waits_no_longer_than_it_may(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction cannot wait for an hour."""
    monkeypatch.setattr(rest, "_LONGEST_DELAY", 0.05)
    server.replies = [reply(503, Retry_After="3600"), reply(200)]

    answer = await asyncio.wait_for(client.send(Kind.TABLE, "GET", "/path"), 5)

    assert answer.status == 200


@pytest.mark.parametrize("failure", [reply(503), dropped, cut(b"abc", 1)], ids=["busy", "dropped", "cut"])
async def test_send_gives_up(server: Server, client: Client, failure: Reply) -> None:
    """After the last attempt the transaction is answered 503; its text names no path."""
    server.replies = [
        reply(503) if isinstance(failure, web.StreamResponse) else failure for _ in range(2 * rest.ATTEMPTS)
    ]

    with pytest.raises(StorageUnavailable) as raised:
        await client.send(Kind.TABLE, "GET", "/secret")

    assert rest.ATTEMPTS <= len(server.asked) <= 2 * rest.ATTEMPTS  # aiohttp repeats at once, without a reply
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("pieces", [(b"ab",), (b"a" * (1 << 20), b"b")], ids=["small", "large"])
async def test_send_repeats_a_body_whole(server: Server, client: Client, pieces: tuple[bytes, ...]) -> None:
    """A connection that was kept and turns out to be closed costs one attempt, and none of the bytes."""
    server.replies = [reply(200), dropped, reply(201)]
    await client.send(Kind.TABLE, "GET", "/path")

    answer = await asyncio.wait_for(client.send(Kind.BLOB_WRITE, "PUT", "/path", body=pieces), 5)

    assert answer.status == 201
    assert [body for *_, body in server.asked[1:]] == [b"".join(pieces)] * 2


async def test_send_escapes_the_query_once(server: Server, client: Client) -> None:
    """The path is sent as it is given, the values of the query percent-encoded."""
    server.replies = [reply(200)]

    await client.send(Kind.TABLE, "GET", "/t(Key='a%27')", query={"$filter": "a eq 'b+c & d'"})

    assert server.asked[0][1] == "/account/t(Key='a%27')?$filter=a%20eq%20%27b%2Bc%20%26%20d%27"


@pytest.mark.parametrize("pieces", [[b"a" * 10], [b"a" * (1 << 20), b"b" * 10]], ids=["small", "large"])
async def test_send_says_the_length(server: Server, client: Client, pieces: list[bytes]) -> None:
    """The service does not take chunked bodies."""
    server.replies = [reply(201)]

    await client.send(Kind.BLOB_WRITE, "PUT", "/path", body=pieces)

    _, _, headers, body = server.asked[0]
    assert headers["Content-Length"] == str(len(body))
    assert "Transfer-Encoding" not in headers
    assert body == b"".join(pieces)


async def test_error_is_the_code(server: Server, client: Client) -> None:
    """Of a refusal only the service's code is told: its message may name keys."""
    server.replies = [reply(409, b"message with a key", x_ms_error_code="EntityAlreadyExists"), reply(404)]

    assert (await client.send(Kind.TABLE, "POST", "/path")).error == "EntityAlreadyExists"
    assert (await client.send(Kind.TABLE, "GET", "/path")).error == "status 404"


async def test_requests_are_counted_by_kind(server: Server, client: Client, counts: Counter[Kind]) -> None:
    """Every attempt costs, so every attempt counts."""
    server.replies = [reply(500), reply(200), reply(201), reply(200, CONTENT)]

    await client.send(Kind.TABLE, "GET", "/path")
    await client.send(Kind.BLOB_WRITE, "PUT", "/path")
    await read(await client.stream(Kind.BLOB_READ, "/path", 0, None, KeyError()))

    assert counts == {Kind.TABLE: 2, Kind.BLOB_WRITE: 1, Kind.BLOB_READ: 1}


@pytest.mark.parametrize(
    ("start", "end", "asked"),
    [(0, None, None), (0, 10, "bytes=0-9"), (5, None, "bytes=5-"), (5, 10, "bytes=5-9")],
)
async def test_stream_asks_for_a_range(
    server: Server, client: Client, start: int, end: int | None, asked: str | None
) -> None:
    """Only what is wanted is read."""
    server.replies = [reply(206 if asked else 200, CONTENT[start:end])]

    content = await read(await client.stream(Kind.BLOB_READ, "/path", start, end, KeyError()))

    assert content == CONTENT[start:end]
    assert server.asked[0][2].get("x-ms-range") == asked


@pytest.mark.parametrize(("start", "end"), [(0, None), (100, None), (100, 5000)])
async def test_stream_is_taken_up_where_it_broke(
    server: Server, client: Client, start: int, end: int | None
) -> None:
    """A connection that breaks within a read is made again from the next byte on."""
    whole = CONTENT[start:end]
    server.replies = [cut(whole, 1000), cut(whole[1000:], 500, 206), reply(206, whole[1500:])]

    content = await read(await client.stream(Kind.BLOB_READ, "/path", start, end, KeyError()))

    last = "" if end is None else end - 1
    assert content == whole
    assert [headers.get("x-ms-range") for _, _, headers, _ in server.asked[1:]] == [
        f"bytes={start + 1000}-{last}",
        f"bytes={start + 1500}-{last}",
    ]


async def test_stream_that_may_change(server: Server, client: Client) -> None:
    """A condition goes with each request of a read; if it does not hold any more, the rest is missing."""
    condition = {"If-Match": '"1"'}
    server.replies = [cut(CONTENT, 1000), reply(412)]

    content = await client.stream(Kind.BLOB_READ, "/path", 0, None, KeyError(), headers=condition)
    with pytest.raises(KeyError):
        await read(content)

    assert [headers["If-Match"] for _, _, headers, _ in server.asked] == ['"1"', '"1"']


async def test_stream_gives_up(server: Server, client: Client) -> None:
    """A read that breaks every time ends in an error, not in fewer bytes."""
    server.replies = [cut(CONTENT[at:], 1, 206) for at in range(rest.ATTEMPTS)]

    with pytest.raises(StorageUnavailable):
        await read(await client.stream(Kind.BLOB_READ, "/path", 0, None, KeyError()))


@pytest.mark.parametrize(("status", "error"), [(404, KeyError), (403, StorageUnavailable)])
async def test_stream_fails_before_the_first_byte(
    server: Server, client: Client, status: int, error: type[Exception]
) -> None:
    """What cannot be read is known when the call returns; what is missing is what the caller says."""
    server.replies = [reply(status)]

    with pytest.raises(error):
        await client.stream(Kind.BLOB_READ, "/path", 0, None, KeyError())


@dataclass(slots=True)
class Credential:
    """Gives tokens that live so many seconds each."""

    lives: list[float]
    given: int = 0

    async def get_token(self, *scopes: str) -> Any:
        """Give the next one."""
        assert scopes == ("https://storage.azure.com/.default",)
        await asyncio.sleep(0.001)
        self.given += 1
        return type("Token", (), {"token": f"t{self.given}", "expires_on": time.time() + self.lives.pop(0)})


async def signed(bearer: Bearer) -> str:
    """What a request is signed with."""
    headers: dict[str, str] = {}
    await bearer.sign("GET", "/", {}, headers)
    return headers["Authorization"]


async def test_token_is_fetched_once() -> None:
    """However many requests begin at once, one token is asked for."""
    credential = Credential([3600.0])
    bearer = Bearer(cast(AsyncTokenCredential, credential))

    assert set(await asyncio.gather(*(signed(bearer) for _ in range(20)))) == {"Bearer t1"}
    assert await signed(bearer) == "Bearer t1"
    assert credential.given == 1


async def test_token_is_fetched_again_before_it_expires() -> None:
    """A token that is about to expire is not used: the request takes time."""
    credential = Credential([200.0, 3600.0])
    bearer = Bearer(cast(AsyncTokenCredential, credential))

    assert [await signed(bearer) for _ in range(3)] == ["Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize(
    ("table", "headers", "query", "expected"),
    [
        (True, {"x-ms-date": "D"}, {"$filter": "f"}, "D\n/acc/account/path"),
        (
            False,
            {"x-ms-date": "D", "x-ms-version": "V", "Content-Length": "0", "Range": "bytes=0-1"},
            {"comp": "block", "blockid": "b"},
            "PUT\n\n\n\n\n\n\n\n\n\n\nbytes=0-1\nx-ms-date:D\nx-ms-version:V\n/acc/account/path\nblockid:b\ncomp:block",
        ),
    ],
    ids=["table", "blob"],
)
def test_shared_key_text(table: bool, headers: dict[str, str], query: dict[str, str], expected: str) -> None:
    """What is signed, as the service describes it (Authorize with Shared Key)."""
    signer = SharedKey("acc", "a2V5", table=table)

    _, text = signer._sign("PUT", "/acc/account/path", query, headers)

    assert text == expected
