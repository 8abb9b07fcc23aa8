"""The HTTP client of the FHIR server: tokens, pages, bounds."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import ClientAuthenticationError

from dicom_core.delivery.subscribing import DeliveryError, Refused, Unavailable
from dicom_core.fhir import client as client_module
from dicom_core.fhir import synchronizing
from dicom_core.fhir.client import Client
from dicom_core.fhir.credentials import Bearer, ClientCredentials, Identity
from dicom_core.subscriptions import FhirServer
from tests.fhir.client import FHIR_JSON, Fhir, endpoint, patient
from tests.fhir.strict import faults
from tests.fhir.strict.endpoint import Endpoint
from tests.fhir.strict.faults import CarryOut, Fault, Message, Reply
from tests.fhir.strict.store import Store

SECRET = "s3cret"
ANY = ["Patient?identifier=1"]


@dataclass
class Tokens:
    """A token endpoint, and what it was asked for."""

    url: str = ""
    life: float = 3600
    status: int = 200
    error: str = "invalid_client"
    asked: list[dict[str, str]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        """Give a new token."""
        self.asked.append({name: str(value) for name, value in (await request.post()).items()})
        if self.status != 200:
            answer = {"error": self.error, "error_description": f"wrong: {SECRET}"}
            return web.json_response(answer, status=self.status)
        return web.json_response(
            {"access_token": f"token-{len(self.asked)}", "expires_in": self.life, "token_type": "Bearer"}
        )


@pytest.fixture
async def tokens() -> AsyncIterator[Tokens]:
    """A running token endpoint."""
    endpoint, application = Tokens(), web.Application()
    application.router.add_post("/token", endpoint.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/token"
    yield endpoint
    await runner.cleanup()


@pytest.fixture
async def client(strict: Endpoint, tokens: Tokens) -> AsyncIterator[Client]:
    """A client with client credentials."""
    issuer = ClientCredentials(tokens.url, "me", SECRET, "scope/.default")
    made = Client(strict.url, Bearer(issuer))
    yield made
    await made.close()


class Credential:
    """An identity whose tokens live for an hour."""

    def __init__(self, error: Exception | None = None) -> None:
        self.scopes: list[str] = []
        self._error = error

    async def get_token(self, scope: str) -> AccessToken:
        """A token, or none."""
        self.scopes.append(scope)
        if self._error:
            raise self._error
        return AccessToken(f"identity-{len(self.scopes)}", int(time.time()) + 3600)


def sent(strict: Endpoint) -> list[str | None]:
    """The tokens that came with the requests."""
    return [message.headers.get("Authorization") for message in strict.faults.requests]


def only(*accepted: str) -> Any:
    """A plan that refuses other tokens."""

    def plan(number: int, message: Message) -> Fault | None:
        ok = message.headers.get("Authorization") in [f"Bearer {one}" for one in accepted]
        return None if ok else faults.answering(401)

    return plan


def answered(reply: Reply) -> Fault:
    """A fault that answers so."""

    async def fault(carry_out: CarryOut, store: Store) -> Reply:
        return reply

    return fault


async def test_token_is_kept(strict: Endpoint, tokens: Tokens, client: Client) -> None:
    """One token serves until shortly before its end."""
    for _ in range(3):
        await client.search(ANY)

    assert sent(strict) == ["Bearer token-1"] * 3
    form = {
        "grant_type": "client_credentials",
        "client_id": "me",
        "client_secret": SECRET,
        "scope": "scope/.default",
    }
    assert tokens.asked == [form]


async def test_token_that_ends(strict: Endpoint, tokens: Tokens, client: Client) -> None:
    """A token is not used any more when its time is over."""
    tokens.life = 0

    for _ in range(2):
        await client.search(ANY)

    assert sent(strict) == ["Bearer token-1", "Bearer token-2"]


async def test_token_that_is_refused(strict: Endpoint, tokens: Tokens, client: Client) -> None:
    """401: once more with a new token, which then serves."""
    strict.faults.plan = only("token-2")

    await client.search(ANY)
    await client.search(ANY)

    assert sent(strict) == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]


async def test_tokens_that_are_all_refused(strict: Endpoint, tokens: Tokens, client: Client) -> None:
    """401 again: nothing can be delivered."""
    strict.faults.plan = only()

    with pytest.raises(Unavailable, match="status 401"):
        await client.search(ANY)

    assert len(sent(strict)) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [("invalid_client", "status 400 invalid_client"), (f"no such {SECRET}", "status 400")],
)
async def test_token_that_is_not_given(tokens: Tokens, client: Client, error: str, reason: str) -> None:
    """The reason has the code of the token endpoint's answer, and nothing else of it."""
    tokens.status, tokens.error = 400, error

    with pytest.raises(Unavailable) as caught:
        await client.search(ANY)

    assert str(caught.value).endswith(reason)


async def test_token_endpoint_that_is_not_there(strict: Endpoint) -> None:
    """Without a token nothing is sent."""
    client = Client(strict.url, Bearer(ClientCredentials("http://127.0.0.1:9/token", "me", SECRET)))

    with pytest.raises(Unavailable, match="token endpoint did not answer"):
        await client.search(ANY)

    await client.close()
    assert sent(strict) == []


async def test_identity(strict: Endpoint) -> None:
    """The tokens of the app's identity are kept, too."""
    credential = Credential()
    client = Client(strict.url, Bearer(Identity(cast(AsyncTokenCredential, credential), "scope")))

    for _ in range(2):
        await client.search(ANY)

    await client.close()
    assert sent(strict) == ["Bearer identity-1"] * 2
    assert credential.scopes == ["scope"]


async def test_identity_without_token(strict: Endpoint) -> None:
    """The reason does not repeat what the platform says."""
    credential = Credential(ClientAuthenticationError(SECRET))
    client = Client(strict.url, Bearer(Identity(cast(AsyncTokenCredential, credential), "scope")))

    with pytest.raises(Unavailable) as caught:
        await client.search(ANY)

    await client.close()
    assert str(caught.value) == "no token for the FHIR server (ClientAuthenticationError)"


@pytest.mark.parametrize(
    ("authentication", "scope", "scopes", "expected"),
    [
        ("none", "", [], None),
        ("identity", "", ["{url}/.default"], "Bearer identity-1"),
        ("identity", "api://fhir/.default", ["api://fhir/.default"], "Bearer identity-1"),
        ("client-credentials", "", [], "Bearer token-1"),
    ],
)
async def test_authentication_that_the_settings_ask_for(
    strict: Endpoint,
    tokens: Tokens,
    authentication: str,
    scope: str,
    scopes: list[str],
    expected: str | None,
) -> None:
    """None, the identity with the scope of the server, or client credentials."""
    credential = Credential()
    server = FhirServer(strict.url, authentication, scope, tokens.url, "me", SECRET, "")
    made = synchronizing.subscriber(
        server, lambda: cast(AsyncTokenCredential, credential), "https://dicom.example.org/v2"
    )

    await made._client.search(ANY)

    await made.close()
    assert sent(strict) == [expected]
    assert credential.scopes == [one.format(url=strict.url) for one in scopes]


async def test_pages(strict: Endpoint, client: Client) -> None:
    """A search has all its pages."""
    fhir = Fhir(strict.url)
    made = [fhir.created(endpoint("many")) for _ in range(25)]

    (found,) = await client.search(["Endpoint?_count=10"])

    assert [one["id"] for one in found] == [one["id"] for one in made]


async def test_patients_on_several_pages(strict: Endpoint, client: Client) -> None:
    """They are not asked for: the URL of the next page may have the Patient ID, and would be logged."""
    fhir = Fhir(strict.url)
    for _ in range(3):
        fhir.created(patient("secret"))
    strict.faults.requests.clear()

    with pytest.raises(Refused, match="more than one page of Patients"):
        await client.search(["Patient?identifier=secret&_count=2"])

    assert [message.path for message in strict.faults.requests] == ["/fhir"]


async def test_page_on_another_host(strict: Endpoint, client: Client) -> None:
    """The token is not carried to another host."""
    link = {"relation": "next", "url": "https://example.org/fhir?page=2"}
    page = {"resourceType": "Bundle", "type": "searchset", "link": [link]}
    entry = {"response": {"status": "200"}, "resource": page}
    content = {"resourceType": "Bundle", "type": "batch-response", "entry": [entry]}
    strict.faults.every(answered(Reply(200, content, {"Content-Type": FHIR_JSON})))

    with pytest.raises(Refused, match="another host"):
        await client.search(["Endpoint?identifier=1"])


async def test_redirection(strict: Endpoint, client: Client) -> None:
    """Redirections are not followed."""
    strict.faults.every(answered(Reply(307, None, {"Location": f"{strict.url}/other"})))

    with pytest.raises(Unavailable, match="status 307"):
        await client.search(ANY)

    assert len(sent(strict)) == 1


async def test_answer_that_is_too_long(
    strict: Endpoint, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer is read up to a bound."""
    monkeypatch.setattr(client_module, "LONGEST_ANSWER", 100)

    with pytest.raises(Refused, match="longer than 100 bytes"):
        await client.search(ANY)


@pytest.mark.parametrize(
    ("status", "error"), [(400, "Refused"), (404, "Unavailable"), (429, "Unavailable"), (500, "Failed")]
)
async def test_search_that_fails_within_the_batch(
    strict: Endpoint, client: Client, status: int, error: str
) -> None:
    """An entry of a batch fails as a request of its own would."""
    issue = {"severity": "error", "code": "not-supported"}
    outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
    entry = {"response": {"status": f"{status} Something", "outcome": outcome}}
    content = {"resourceType": "Bundle", "type": "batch-response", "entry": [entry]}
    strict.faults.every(answered(Reply(200, content, {"Content-Type": FHIR_JSON})))

    with pytest.raises(DeliveryError, match=f"status {status}: not-supported") as caught:
        await client.search(ANY)

    assert type(caught.value).__name__ == error


async def test_connection_that_was_dropped(strict: Endpoint, client: Client) -> None:
    """A connection that breaks is tried again at once, and only once."""
    strict.faults.at({1: faults.refused})
    await client.search(ANY)
    strict.faults.at({1: faults.refused, 2: faults.refused})

    with pytest.raises(Unavailable, match="does not answer"):
        await client.search(ANY)

    assert len(sent(strict)) == 2


async def test_identifiers_in_searches(strict: Endpoint, client: Client) -> None:
    """What is searched for is in the body, not in the URL, which would be logged."""
    await client.search(["Patient?identifier=secret"])

    (message,) = strict.faults.requests
    assert "secret" not in message.path
    assert orjson.loads(message.body)["type"] == "batch"
