"""Tokens are verified once each, and forgotten when their key is."""

from __future__ import annotations

import asyncio
import json
import time

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_core import tokens
from dicom_core.authorization import Role
from dicom_core.errors import AuthenticationUnavailable, Unauthorized
from dicom_core.signing_keys import FRESH
from dicom_core.tokens import Verifier
from tests.issuer import AUDIENCE, SUBJECT, SigningKey, claims, signed
from tests.unit.test_signing_keys import RSA, URL, Web, settled


class Counting:
    """Counts what is verified, and verifies it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._decode = jwt.decode
        monkeypatch.setattr(jwt, "decode", self)

    def __call__(self, *arguments: object, **named: object) -> object:
        """Verify a token."""
        self.count += 1
        return self._decode(*arguments, **named)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """How many signatures have been verified."""
    return Counting(monkeypatch)


def token(key: SigningKey = RSA, **changed: object) -> str:
    """A token of the issuer."""
    return signed(key, claims(URL, **{"roles": ["Dicom.Read"], **changed}))


async def test_token_is_verified_once(verified: Counting) -> None:
    """The same token is not verified again, and who has sent it is known."""
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE])
    one = token()

    callers = [await verify(one) for _ in range(5)]

    assert (callers[0].subject, callers[0].roles) == (SUBJECT, {Role.READ})
    assert all(caller is callers[0] for caller in callers)
    assert verified.count == 1


async def test_token_that_is_remembered_expires(verified: Counting) -> None:
    """What is remembered of a token is forgotten when it expires."""
    now = time.time()
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE], lambda: now)
    one = token(exp=int(now) - 60)
    await verify(one)

    now += 61

    await verify(one)  # the verification itself has the real time, by which the token still counts
    assert verified.count == 2


async def test_token_of_a_key_that_is_withdrawn() -> None:
    """A token counts no more once the issuer has withdrawn its key, verified before or not."""
    web = Web(RSA)
    verify = Verifier([web.issuer()], [AUDIENCE])
    one = token()
    await verify(one)
    web.keys = (SigningKey("next"),)
    web.now += FRESH

    await verify(one)
    await settled()

    with pytest.raises(Unauthorized, match="its key is none of its issuer's"):
        await verify(one)


async def test_number_of_tokens_that_are_remembered(
    verified: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The latest tokens are remembered, and no more than a number of them."""
    monkeypatch.setattr(tokens, "CACHED", 2)
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE])
    first, second, third = (token(jti=str(number)) for number in range(3))
    for one in (first, second, third, third, second):
        await verify(one)
    assert verified.count == 3

    await verify(first)

    assert verified.count == 4


async def test_token_that_does_not_count_is_not_remembered(verified: Counting) -> None:
    """Nobody can fill the memory with tokens of their own."""
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE])
    forged = token(SigningKey("rsa"))

    for _ in range(2):
        with pytest.raises(Unauthorized, match="its signature is not"):
            await verify(forged)

    assert verified.count == 2
    assert not verify._verified


async def test_issuers_with_the_same_key() -> None:
    """Each token is held against the issuer that it names, also where issuers share keys."""
    web, other = Web(RSA), Web(RSA)
    other.configuration = {"issuer": f"{URL}/v2.0", "jwks_uri": f"{URL}/keys"}

    async def fetch(url: str) -> object:
        return other.configuration if "/v2.0/" in url else {"keys": [RSA.jwk()]}

    second = web.issuer(f"{URL}/v2.0")
    second._fetch = fetch
    verify = Verifier([web.issuer(), second], [AUDIENCE])

    for name in (URL, f"{URL}/v2.0"):
        assert (await verify(token(iss=name))).roles == {Role.READ}
    with pytest.raises(Unauthorized, match="its issuer is none"):
        await verify(token(iss=f"{URL}/v1.0"))


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": "soon"},
        {"exp": 1e400},
        {"iat": [1]},
        {"nbf": {}},
        {"sub": 7},
        {"jti": 7},
        {"aud": {"a": 1}},
        {"aud": [AUDIENCE, 7]},
        {"exp": True},
    ],
    ids=str,
)
async def test_claim_of_another_type(changed: dict[str, object]) -> None:
    """A token whose claims cannot be read does not count, whoever has signed it."""
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE])

    with pytest.raises(Unauthorized):
        await verify(token(**changed))


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"], "exp": 1}, {"b64": False}, {"kid": None}, {"kid": ""}], ids=str
)
async def test_header_that_is_not_understood(header: dict[str, object]) -> None:
    """What must be understood and is not, and a key without a name, do not count (RFC 7515 4.1.11)."""
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE])
    head = jwt.utils.base64url_encode(json.dumps({"alg": "RS256", "kid": "rsa", **header}).encode())
    body = signed(RSA, claims(URL)).split(".")[1].encode()
    code = jwt.get_algorithm_by_name("RS256").sign(head + b"." + body, RSA.private)

    with pytest.raises(Unauthorized):
        await verify(b".".join([head, body, jwt.utils.base64url_encode(code)]).decode())


PARTS = st.one_of(
    st.text("abcXYZ019-_", max_size=40),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: jwt.utils.base64url_encode(json.dumps(value).encode()).decode()),
    st.sampled_from(token().split(".")),
    st.sampled_from([jwt.utils.base64url_encode(b"[" * 9000).decode()]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PARTS, max_size=5).map(".".join))
def test_any_token(one: str) -> None:
    """Whatever is sent, it counts or it does not: there is no other end."""
    verify = Verifier([Web(RSA).issuer()], [AUDIENCE])

    async def ask() -> None:
        try:
            caller = await verify(one)
        except (Unauthorized, AuthenticationUnavailable):
            return
        assert caller.subject == SUBJECT

    asyncio.run(ask())
