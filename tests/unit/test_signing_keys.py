"""The keys of an issuer: which are used, when they are fetched, and what becomes of those that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from dicom_core import signing_keys
from dicom_core.errors import AuthenticationUnavailable
from dicom_core.signing_keys import FRESH, PAUSE, PAUSE_WITHOUT_KEYS, Issuer
from tests.issuer import SigningKey

URL = "https://issuer.example/tenant"
RSA = SigningKey("rsa")
OTHER = SigningKey("other")
CURVE = SigningKey("curve", "ES384")


class Web:
    """What an issuer publishes, and how often it was asked."""

    def __init__(self, *keys: SigningKey) -> None:
        self.configuration = {"issuer": URL, "jwks_uri": f"{URL}/keys"}
        self.keys = keys
        self.away = False
        self.now = 1000.0
        self.asked = 0

    def clock(self) -> float:
        """The time."""
        return self.now

    async def fetch(self, url: str) -> Mapping[str, Any]:
        """Answer as the issuer does."""
        await asyncio.sleep(0)
        if self.away:
            self.asked += 1
            raise aiohttp.ClientConnectionError
        if url == f"{URL}/.well-known/openid-configuration":
            self.asked += 1
            return self.configuration
        assert url == self.configuration["jwks_uri"]
        return {"keys": [key.jwk() for key in self.keys]}

    def issuer(self, url: str = URL) -> Issuer:
        """The issuer as the service sees it."""
        return Issuer(url, self.fetch, self.clock)


async def settled() -> None:
    """Let what was begun in the background end."""
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("key", "members", "algorithms"),
    [
        (RSA, {}, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
        (RSA, {"alg": "RS256"}, ("RS256",)),
        (CURVE, {}, ("ES384",)),
        (CURVE, {"alg": "ES384"}, ("ES384",)),
        (RSA, {"d": "AQAB"}, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ],
)
def test_usable_key(key: SigningKey, members: dict[str, str], algorithms: tuple[str, ...]) -> None:
    """A key is used with the algorithms of its kind, or the one that it names (RFC 8725 3.1)."""
    found = signing_keys.usable({"keys": [key.jwk(**members)]})[key.kid]

    assert found.algorithms == algorithms
    assert found.public == key.private.public_key()


UNUSED = {
    "for encryption": RSA.jwk(use="enc"),
    "for HS256": RSA.jwk(alg="HS256"),
    "for another kind": RSA.jwk(alg="ES256"),
    "for none": RSA.jwk(alg="none"),
    "no number": RSA.jwk(n="!"),
    "no numbers": {"kty": "RSA", "kid": "rsa"},
    "secret": {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
    "not on its curve": CURVE.jwk(crv="P-256"),
    "another curve": CURVE.jwk(crv="secp256k1"),
    "short": SigningKey("short", size=1024).jwk(),
    "nothing": {},
}


@pytest.mark.parametrize("jwk", UNUSED.values(), ids=UNUSED.keys())
def test_key_that_is_not_used(jwk: dict[str, Any]) -> None:
    """Secrets, short keys, keys for encryption, and what is no key at all are passed over."""
    assert signing_keys.usable({"keys": [jwk, OTHER.jwk()]}).keys() == {"other"}


async def test_keys_are_fetched_once() -> None:
    """Many requests at once wait for one fetch, and later ones for none."""
    web = Web(RSA)
    issuer = web.issuer()

    keys = await asyncio.gather(*(issuer.key("rsa") for _ in range(20)))

    assert len({id(key) for key in keys}) == 1
    assert await issuer.key("rsa") is keys[0]
    assert web.asked == 1


async def test_request_that_is_given_up() -> None:
    """Who waits for the same fetch gets the keys, also when the one who began it has gone away."""
    issuer = Web(RSA).issuer()
    first, second = (asyncio.ensure_future(issuer.key("rsa")) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()

    assert await second is not None


async def test_unknown_key_is_looked_for_once_a_minute() -> None:
    """Tokens that name made-up keys make no requests but one a minute."""
    web = Web(RSA)
    issuer = web.issuer()
    await issuer.key("rsa")

    for _ in range(5):
        assert await issuer.key("made up") is None
    web.now += PAUSE - 1
    assert await issuer.key("made up") is None
    assert web.asked == 2
    web.now += 1
    web.keys = (RSA, OTHER)
    assert await issuer.key("other") is not None
    assert web.asked == 3


async def test_stale_keys_are_fetched_beside_the_request() -> None:
    """After an hour nobody waits for the keys, which are fetched all the same; one that is gone counts no more."""
    web = Web(RSA, OTHER)
    issuer = web.issuer()
    before = await issuer.key("rsa")
    web.keys = (RSA,)
    web.now += FRESH

    assert issuer.known("other") is not None
    await settled()

    assert issuer.known("other") is None
    assert issuer.known("rsa") is before
    assert web.asked == 2


async def test_key_that_changes_under_its_name() -> None:
    """What counts is the key, and not its name."""
    web = Web(RSA)
    issuer = web.issuer()
    before = await issuer.key("rsa")
    web.keys = (SigningKey("rsa"),)
    web.now += FRESH

    issuer.known("rsa")
    await settled()

    assert issuer.known("rsa") not in (None, before)


async def test_issuer_that_goes_away() -> None:
    """Its keys count for as long as it does not answer, and it is asked once a minute."""
    web = Web(RSA)
    issuer = web.issuer()
    known = await issuer.key("rsa")
    web.away = True
    web.now += FRESH

    for _ in range(3):
        assert issuer.known("rsa") is known
        await settled()
        web.now += PAUSE

    assert web.asked == 4
    web.away = False
    web.keys = (OTHER,)
    assert await issuer.key("other") is not None


async def test_issuer_that_never_answered() -> None:
    """Without any keys it is 503, and the next attempt follows soon."""
    web = Web(RSA)
    issuer = web.issuer()
    web.away = True

    for _ in range(3):
        with pytest.raises(AuthenticationUnavailable) as refused:
            await issuer.key("rsa")
    assert (web.asked, refused.value.headers) == (1, {"Retry-After": "5"})

    web.away = False
    web.now += PAUSE_WITHOUT_KEYS
    assert await issuer.key("rsa") is not None


@pytest.mark.parametrize(
    ("configuration", "reason"),
    [
        ({"issuer": "https://login.example/{tenantid}/v2.0"}, "names itself otherwise"),
        ({"issuer": f"{URL}/else"}, "names itself otherwise"),
        ({"jwks_uri": "http://issuer.example/keys"}, "not at an https:// address"),
        ({"issuer": None}, "AttributeError"),
    ],
)
async def test_configuration_that_is_not_trusted(
    configuration: dict[str, Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The document is that of the issuer (OpenID Connect Discovery 1.0, 4.3), and keys come by TLS."""
    web = Web(RSA)
    web.configuration |= configuration

    with pytest.raises(AuthenticationUnavailable):
        await web.issuer().key("rsa")

    assert reason in caplog.text


async def test_keys_of_no_use(caplog: pytest.LogCaptureFixture) -> None:
    """An issuer that publishes nothing to verify with has not answered: the keys at hand still count."""
    web = Web(RSA)
    issuer = web.issuer()
    known = await issuer.key("rsa")
    web.keys = ()
    web.now += FRESH

    issuer.known("rsa")
    await settled()

    assert issuer.known("rsa") is known
    assert "no keys for any of the algorithms" in caplog.text


@pytest.mark.parametrize("url", [URL, f"{URL}/"])
@pytest.mark.parametrize("name", [URL, f"{URL}/"])
async def test_issuer_with_a_slash_at_its_end(url: str, name: str) -> None:
    """The setting may have a slash at its end or not; tokens have what the issuer says itself."""
    web = Web(RSA)
    web.configuration["issuer"] = name
    issuer = web.issuer(url)

    assert await issuer.key("rsa") is not None
    assert issuer.name == name
