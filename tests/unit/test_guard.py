"""What stands before every transaction, in each mode."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from azurefunctions.extensions.http.fastapi import Request as HttpRequest

from dicom_core import authorization, bootstrap
from dicom_core.authorization import Caller, Role
from dicom_core.errors import AuthenticationUnavailable, Forbidden, Unauthorized
from dicom_core.functions_http import Responder
from dicom_core.guard import Guard
from dicom_core.ports import Stores
from dicom_core.settings import Settings
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import search
from dicom_core.web.messages import Request, Response
from tests.serving import ROOT

STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}
READER = Caller("reader", "viewer", frozenset({Role.READ}))


async def readers(token: str) -> Caller:
    """Everybody may read."""
    return READER


async def stores() -> Stores:
    """Stores with nothing in them."""
    return Stores(
        MemoryStore(), MemoryIndex(), MemoryDropZone(), MemoryRenditions(), MemoryFeed(), MemoryDeliveries()
    )


async def test_caller_with_the_role() -> None:
    """Who has the role is let through, and known."""
    assert await Guard("", readers).admit("search.studies", ["Bearer a"]) is READER


@pytest.mark.parametrize(
    ("transaction", "fields", "error"),
    [
        ("search.studies", [], Unauthorized),
        ("store.store", ["Bearer a"], Forbidden),
        ("delete.delete", ["Bearer a"], Forbidden),
        ("search.all_that_is_new", ["Bearer a"], Forbidden),
        ("search.all_that_is_new", [], Forbidden),
    ],
)
async def test_caller_without_the_role(transaction: str, fields: list[str], error: type[Exception]) -> None:
    """Who lacks it is not, and nobody is let through to a transaction without a rule."""
    with pytest.raises(error):
        await Guard("", readers).admit(transaction, fields)


async def test_mode_without_tokens() -> None:
    """Where no tokens are asked for, a transaction without a rule is refused all the same."""
    guard = Guard("", None)

    assert await guard.admit("delete.delete", ["Bearer a"]) is authorization.UNKNOWN
    with pytest.raises(Forbidden):
        await guard.admit("delete.all", [])


@pytest.mark.parametrize("transaction", ["health.check", "search.studies"])
async def test_settings_that_are_wrong(transaction: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody is let through anywhere; the answer and the log say why."""
    with pytest.raises(AuthenticationUnavailable, match="set DicomIssuer") as refused:
        await Guard("set DicomIssuer", readers).admit(transaction, ["Bearer a"])

    assert refused.value.headers == {}
    assert "set DicomIssuer" in caplog.text


def asked(method: str = "GET", **headers: str) -> HttpRequest:
    """A request of the host."""
    fields = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": method,
        "scheme": "http",
        "path": "/v2/studies",
        "query_string": b"",
        "headers": fields,
        "path_params": {"version": "2"},
    }
    return HttpRequest(scope, receive)


async def test_who_asked_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The line of a request says who made it, by the subject and the application of the token."""
    caplog.set_level(logging.INFO, "dicom")
    respond = Responder(Settings.from_environment(STORAGE), stores, Guard("", readers))

    answers = [
        await respond(asked(authorization="Bearer a"), search.studies),
        await respond(asked(), search.studies),
    ]

    assert [answer.status_code for answer in answers] == [204, 401]
    first, second = (record.getMessage() for record in caplog.records)
    assert "status=204 bytes=0 who=reader app=viewer ms=" in first
    assert "status=401" in second
    assert "who=- app=-" in second


async def test_transaction_that_nobody_has_thought_of() -> None:
    """A route that is added without a rule is answered 403."""

    async def new(request: Request, stores: Stores) -> Response:
        return Response(200)

    respond = Responder(Settings.from_environment(STORAGE), stores, Guard("", None))

    assert (await respond(asked(), new)).status_code == 403


def test_tokens_are_not_loaded_where_nobody_asks_for_them() -> None:
    """A mode without tokens does not load what verifies them: every start would be slower."""
    code = "import function_app, sys; print({'dicom_core.tokens', 'dicom_core.signing_keys'} & sys.modules.keys())"

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**STORAGE, "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "set()"


def test_guard_of_holders_of_tokens() -> None:
    """The settings make a guard that asks for tokens."""
    entra = {
        "DicomAuthentication": "entra",
        "DicomIssuer": "https://a.example,https://b.example/",
        "DicomAudience": "x",
    }

    guard = bootstrap.guard(Settings.from_environment({**STORAGE, **entra}))

    assert guard._verify is not None
    assert guard._verify._issuers.keys() == {"https://a.example", "https://b.example"}
