"""The local host, over a small app with one function of each kind."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import ContainerClient

from tests.serving import ROOT, Service, served, storage_settings
from tools.local_host.azurite import Azurite
from tools.local_host.storage import Storage

PROBE = str(ROOT / "tests" / "unit" / "tools" / "probe_app")
MIB = 1 << 20

pytestmark = pytest.mark.azurite


@pytest.fixture(scope="module")
def probe(azurite: Azurite) -> Iterator[Service]:
    """The probe app, its triggers scanning."""
    settings = storage_settings(azurite.connection_string)
    with served(PROBE, TRIGGER_SECONDS="0.1", **settings) as running:
        yield running


@pytest.fixture(scope="module")
def drop(azurite: Azurite) -> Iterator[ContainerClient]:
    """The container that the probe app watches."""
    container = ContainerClient.from_connection_string(azurite.connection_string, "drop")
    with container:
        container.create_container()
        yield container


def ask(
    service: Service, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """One request: status, body and headers of the answer."""
    connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named, encode_chunked=True)
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def seen(service: Service) -> dict[str, Any]:
    """What the triggers of the probe app have seen."""
    return dict(json.loads(ask(service, "GET", "/seen")[1]))


def eventually(holds: Callable[[], bool], seconds: float = 10) -> bool:
    """Whether something comes to hold in time."""
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return held


def test_request_body_with_length(probe: Service) -> None:
    """A body of known length reaches the function byte for byte, as a stream."""
    body = bytes(range(256)) * (32 * MIB // 256)

    _, answer, _ = ask(probe, "POST", "/digest", body)

    assert json.loads(answer) == {"length": len(body), "digest": hashlib.sha256(body).hexdigest()}


def test_request_body_chunked(probe: Service) -> None:
    """A body of unknown length does too."""
    chunks = [bytes([n]) * n for n in range(1, 200)]

    _, answer, _ = ask(probe, "POST", "/digest", iter(chunks), transfer_encoding="chunked")

    assert json.loads(answer)["digest"] == hashlib.sha256(b"".join(chunks)).hexdigest()


def test_response_streamed(probe: Service) -> None:
    """An answer may be a stream of unknown length."""
    _, answer, headers = ask(probe, "GET", f"/zeros/{5 * MIB}")

    assert answer == bytes(5 * MIB)
    assert headers["transfer-encoding"] == "chunked"


def test_body_streamed_both_ways(probe: Service) -> None:
    """What is read as a stream can be answered as a stream."""
    body = b"0123456789abcdef" * (2 * MIB // 16)

    assert ask(probe, "POST", "/echo", body)[1] == body


def test_route_values(probe: Service) -> None:
    """The function gets the route's values as strings, decoded."""
    _, answer, _ = ask(probe, "GET", "/V2/Studies/1.2%2C3")

    assert json.loads(answer) == {"version": "2", "study": "1.2,3"}


def test_head_routed(probe: Service) -> None:
    """HEAD is answered where it is routed: the headers of GET and no body."""
    status, answer, headers = ask(probe, "HEAD", "/v2/studies/1")

    assert (status, answer, headers["content-length"]) == (200, b"", "27")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("DELETE", "/empty", {}, 404),
        ("OPTIONS", "/empty", {}, 404),
        ("GET", "/secret", {}, 401),
        ("GET", "/secret", {"x_functions_key": "wrong"}, 401),
        ("GET", "/secret?code=wrong", {}, 401),
    ],
)
def test_refused_by_host(
    probe: Service, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """No route or no such verb there is 404, no key is 401; both without a body."""
    assert ask(probe, method, path, **headers)[:2] == (status, b"")


@pytest.mark.parametrize(
    ("path", "headers"), [("/secret?code=local", {}), ("/secret", {"x_functions_key": "local"})]
)
def test_key_accepted(probe: Service, path: str, headers: dict[str, str]) -> None:
    """The key opens a function, as a header or a parameter."""
    assert ask(probe, "GET", path, **headers)[:2] == (200, b"open")


@pytest.mark.parametrize("path", ["/fails", "/forgets"])
def test_function_fails(probe: Service, path: str) -> None:
    """A function that raises or returns no response is a 500 that says nothing of the inside."""
    assert ask(probe, "GET", path)[:2] == (500, b"Internal Server Error")


def test_synchronous_function(probe: Service) -> None:
    """A synchronous function is called too."""
    assert ask(probe, "GET", "/sync")[1] == b"sync"


def test_small_responses_are_not_delayed(probe: Service) -> None:
    """Answers on one connection do not wait for the client's delayed acknowledgement."""
    connection = http.client.HTTPConnection(urlsplit(probe.url).netloc)
    started = time.monotonic()
    for _ in range(50):
        connection.request("GET", "/v2/studies/1")
        connection.getresponse().read()
    connection.close()

    assert time.monotonic() - started < 1


def test_blob_trigger(probe: Service, drop: ContainerClient) -> None:
    """A blob whose name fits fires once, and again when it changes; another one does not."""
    drop.upload_blob("no.txt", b"no")
    drop.upload_blob("a.dcm", b"one")
    assert eventually(lambda: "drop/a.dcm:one" in seen(probe)["blobs"])
    drop.upload_blob("a.dcm", b"two", overwrite=True)
    assert eventually(lambda: "drop/a.dcm:two" in seen(probe)["blobs"])

    time.sleep(0.5)

    assert [one for one in seen(probe)["blobs"] if "poison" not in one] == [
        "drop/a.dcm:one",
        "drop/a.dcm:two",
    ]


def test_blob_trigger_by_client(probe: Service, drop: ContainerClient) -> None:
    """A function may ask for the SDK's client of the blob; names may have folders."""
    drop.upload_blob("a/b/c d.txt", b"three")

    assert eventually(lambda: seen(probe)["clients"] != [])

    assert seen(probe)["clients"] == ["azure.storage.blob._blob_client.BlobClient drop a/b/c d.txt: three"]


async def test_blob_trigger_poison(probe: Service, drop: ContainerClient, azurite: Azurite) -> None:
    """A blob whose function keeps failing is tried as often as host.json says, then told to the poison queue."""
    drop.upload_blob("poison.dcm", b"x")
    async with Storage(azurite.connection_string) as storage:
        told: list[str] = []
        deadline = time.monotonic() + 10
        while "poison.dcm" not in told and time.monotonic() < deadline:
            messages = await storage.receive("webjobs-blobtrigger-poison", 60)
            told += [json.loads(message.body)["BlobName"] for message in messages]

    assert told.count("poison.dcm") == 1
    assert seen(probe)["blobs"].count("drop/poison.dcm:x") == 5


async def test_queue_trigger(probe: Service, azurite: Azurite) -> None:
    """A message fires once; one whose function keeps failing moves to the poison queue after five times."""
    async with Storage(azurite.connection_string) as storage:
        await storage.send("work", '{"n":1}')
        await storage.send("work", '{"poison":1}')
        messages = []
        deadline = time.monotonic() + 10
        while not messages and time.monotonic() < deadline:
            messages = await storage.receive("work-poison", 60)
        left = await storage.receive("work", 1)

    assert [one.text for one in messages] == ['{"poison":1}']
    assert left == []
    assert sorted(seen(probe)["messages"]) == ['{"n":1}', *['{"poison":1}'] * 5]


def test_timer_trigger(probe: Service) -> None:
    """A timer fires at the start if asked to, and at each moment of its schedule."""
    first = seen(probe)["timer"]
    assert eventually(lambda: len(seen(probe)["timer"]) >= len(first) + 2, seconds=4)

    times = [float(one) for one in seen(probe)["timer"]]

    assert all(one % 1 < 0.5 for one in times[1:])
