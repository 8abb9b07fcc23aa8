"""What stands between the host and the transactions: limits of a request, time, and what every answer has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest
from aiohttp import web
from azurefunctions.extensions.http.fastapi import Request as HttpRequest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_core import functions_http
from dicom_core.errors import BadRequest
from dicom_core.functions_http import Responder
from dicom_core.guard import Guard
from dicom_core.ports import Stores
from dicom_core.settings import Settings
from dicom_core.storage import rest
from dicom_core.studies import delete, retrieve, search, store
from dicom_core.web.messages import Request, Response
from tests import instances
from tests.storage import opened

STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}
Fields = Sequence[tuple[bytes, bytes]]
Transaction = Callable[[Request, Stores], Awaitable[Response]]


async def nowhere() -> Stores:
    """No stores: what is tested comes before them."""
    return None


def responder(stores: Callable[[], Awaitable[Stores]] = nowhere, fault: str = "") -> Responder:
    """What answers, with a limit of ten bytes for payloads unless there are stores."""
    limit = {"FUNCTIONS_REQUEST_BODY_SIZE_LIMIT": "10"} if stores is nowhere else {}
    return Responder(Settings.from_environment({**STORAGE, **limit}), stores, Guard(fault, None))


def asked(
    method: str = "GET",
    query: bytes = b"",
    fields: Fields = (),
    uids: dict[str, str] | None = None,
    chunks: Sequence[bytes] = (),
) -> HttpRequest:
    """A request of the host."""
    waiting = [*chunks, b""]

    async def receive() -> dict[str, object]:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": "/v2/studies",
        "query_string": query,
        "headers": fields,
        "path_params": {"version": "2", **(uids or {})},
    }
    return HttpRequest(scope, receive)


def named(transaction: Transaction) -> Transaction:
    """A transaction under the name of one that has a rule."""
    transaction.__module__, transaction.__name__ = search.__name__, "studies"
    return transaction


async def nothing(request: Request, stores: Stores) -> Response:
    """What no rule lets anyone do."""
    return Response(200)


@named
async def counted(request: Request, stores: Stores) -> Response:
    """The number of parameters and of header fields."""
    return Response(200, body=f"{len(request.parameters)} {len(request.headers)}".encode())


@named
async def read(request: Request, stores: Stores) -> Response:
    """The length of the payload."""
    return Response(200, body=str(sum([len(chunk) async for chunk in request.body])).encode())


@named
async def broken(request: Request, stores: Stores) -> Response:
    """A fault."""
    raise ValueError("Unspeakable")


@named
async def refused(request: Request, stores: Stores) -> Response:
    """What cannot be read."""
    raise BadRequest("it cannot be read")


@named
async def streamed(request: Request, stores: Stores) -> Response:
    """A long body."""

    async def content() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(functions_http.AT_ONCE)

    return Response(200, body=content())


def fields(count: int, size: int = 0) -> Fields:
    """So many header fields of so many bytes."""
    names = [b"x-%d" % number for number in range(count)]
    first = size - sum(map(len, names))
    return [(name, b"a" * (0 if number else max(first, 0))) for number, name in enumerate(names)]


@pytest.mark.parametrize(
    ("query", "sent", "status", "said"),
    [
        (b"", fields(functions_http.MAX_FIELDS), 200, "0 100"),
        (b"", fields(functions_http.MAX_FIELDS + 1), 400, "more than 100 fields"),
        (b"", fields(2, functions_http.MAX_FIELD_BYTES), 200, "0 2"),
        (b"", fields(2, functions_http.MAX_FIELD_BYTES + 1), 400, "than 65536 bytes"),
        (b"a=" + b"b" * (functions_http.MAX_QUERY - 2), (), 200, "1 0"),
        (b"a=" + b"b" * (functions_http.MAX_QUERY - 1), (), 400, "more than 65536 bytes"),
        (b"&".join([b"a=b"] * functions_http.MAX_PARAMETERS), (), 200, "4000 0"),
        (b"&".join([b"a=b"] * (functions_http.MAX_PARAMETERS + 1)), (), 400, "more than 4000 parameters"),
    ],
    ids=lambda value: f"{len(value)}" if isinstance(value, bytes | list) else str(value),
)
async def test_size_of_query_and_header(query: bytes, sent: Fields, status: int, said: str) -> None:
    """At its limit a request is answered; above, it is refused before anything is done with it."""
    answer = await responder()(asked(query=query, fields=sent), counted)

    assert (answer.status_code, said in answer.body.decode()) == (status, True), answer.body[:200]


RAW = st.binary(max_size=30)
KNOWN = st.sampled_from(
    [
        *(b"host", b"origin", b"content-length", b"x-forwarded-host", b"x-forwarded-proto", b"authorization"),
        *(b"x-forwarded-prefix", b"accept", b"accept-encoding", b"if-none-match", b"range", b"traceparent"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.lists(st.tuples(st.one_of(KNOWN, RAW), RAW), max_size=6))
def test_any_query_and_header(query: bytes, sent: Fields) -> None:
    """Whatever bytes stand there, the answer is one of the transaction, or that they cannot be read."""
    answer = asyncio.run(responder()(asked(query=query, fields=sent), counted))

    assert answer.status_code in (200, 400)
    assert all(value.isprintable() for value in answer.headers.values())


ANSWERS: dict[str, tuple[HttpRequest, Transaction, int]] = {
    "whole": (asked(), counted, 200),
    "streamed": (asked(), streamed, 200),
    "HEAD": (asked("HEAD"), streamed, 200),
    "refused": (asked(), refused, 400),
    "no such version": (asked(uids={"version": "9"}), counted, 404),
    "no rule": (asked(), nothing, 403),
    "nowhere": (asked(), functions_http.unknown, 404),
    "too large": (asked("POST", chunks=[b"a" * 11]), read, 413),
    "broken": (asked(), broken, 500),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_media_type_is_not_guessed(name: str) -> None:
    """Whatever is answered, browsers are told not to take it for something else (fetch.spec.whatwg.org, nosniff)."""
    http, transaction, status = ANSWERS[name]

    answer = await responder()(http, transaction)

    assert (answer.status_code, answer.headers["x-content-type-options"]) == (status, "nosniff")


async def test_media_type_of_a_preflight_is_not_guessed() -> None:
    """The same goes for what browsers ask by themselves, and for a service that serves no one."""
    preflight = asked("OPTIONS", fields=[(b"access-control-request-method", b"GET")])

    answers = [
        await responder().options(preflight, counted),
        await responder(fault="set DicomIssuer")(asked(), counted),
    ]

    assert [answer.status_code for answer in answers] == [204, 503]
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}


async def test_answer_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request is given up before the platform gives it up: what it holds is free again, and the text says so."""
    monkeypatch.setattr(functions_http, "PATIENCE", 0.05)
    ended = asyncio.Event()

    @named
    async def waiting(request: Request, stores: Stores) -> Response:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    answer = await responder()(asked(), waiting)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert answer.body.startswith(b"there is no answer after 0 seconds")
    assert ended.is_set()


async def test_payload_that_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time counts from the last bytes of the payload: a slow sender is not given up while something comes."""
    begun: list[asyncio.Timeout] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        begun.append(asyncio.Timeout(asyncio.get_running_loop().time() + seconds))
        return begun[-1]

    monkeypatch.setattr(functions_http.asyncio, "timeout", timeout)
    ends: list[float] = []

    @named
    async def noted(request: Request, stores: Stores) -> Response:
        async for _ in request.body:
            ends.append(begun[0].when() or 0)
        return Response(200)

    answer = await responder()(asked("POST", chunks=[b"a", b"b", b"c"]), noted)

    assert answer.status_code == 200
    assert len(ends) == 3
    assert ends == sorted(set(ends))


TELLING = "Unspeakable: account secretaccount, key c2VjcmV0, container dicom, path /var/lib"


@pytest.fixture
async def failing(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Callable[[int], Awaitable[str]]]:
    """A storage service that answers everything by a status and a telling text."""
    monkeypatch.setattr(rest, "_FIRST_DELAY", 0.001)
    answers: list[int] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(
            status=answers[0], text=TELLING, headers={"x-ms-error-code": "AuthorizationFailure"}
        )

    runner = web.ServerRunner(web.Server(handle))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/secretaccount"

    async def begun(status: int) -> str:
        answers[:] = [status]
        return f"AccountName=secretaccount;AccountKey=c2VjcmV0;BlobEndpoint={url};TableEndpoint={url}"

    yield begun
    await runner.cleanup()


UIDS = {"study": "1.2.3", "series": "1.2.4", "instance": "1.2.5"}
TRANSACTIONS: dict[str, tuple[str, Transaction, dict[str, str]]] = {
    "search": ("GET", search.studies, {}),
    "metadata": ("GET", retrieve.metadata, UIDS),
    "instance": ("GET", retrieve.instances, UIDS),
    "study": ("GET", retrieve.instances, {"study": "1.2.3"}),
    "store": ("POST", store.store, {}),
    "delete": ("DELETE", delete.delete, UIDS),
}


@pytest.mark.parametrize("status", [403, 400, 500])
@pytest.mark.parametrize("name", TRANSACTIONS)
async def test_storage_that_tells_too_much(
    failing: Callable[[int], Awaitable[str]], name: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What storage says of itself is passed on to no one: no account, path, container or key, nor where it is."""
    method, transaction, uids = TRANSACTIONS[name]
    content = [instances.file()] if method == "POST" else []
    sent = [(b"content-type", b"application/dicom")]
    async with opened(await failing(status)) as stores:

        async def ready() -> Stores:
            return stores

        answer = await responder(ready)(asked(method, fields=sent, uids=uids, chunks=content), transaction)

    told = f"{answer.body.decode()} {answer.headers} {caplog.text}"
    assert answer.status_code == 503, answer.body
    for part in ("Unspeakable", "secretaccount", "c2VjcmV0", "container", "/var", "127.0.0.1", "http:"):
        assert part not in told
