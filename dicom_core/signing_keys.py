"""The keys that an issuer of tokens signs with, as OpenID Connect Discovery names them (RFC 7517, RFC 7518)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from dicom_core.errors import AuthenticationUnavailable

FRESH = 3600.0
"""Seconds after which keys are fetched again, while those at hand still count."""

PAUSE = 60.0
"""Seconds between two fetches, whatever keys tokens name; the first one does not count."""

PAUSE_WITHOUT_KEYS = 5.0
"""Seconds between two fetches as long as none has succeeded."""

WEAKEST_RSA = 2048

log = logging.getLogger("dicom")

_TIMEOUT = aiohttp.ClientTimeout(total=5)
_DISCOVERY = "/.well-known/openid-configuration"
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
}
_PUBLIC = ("kty", "n", "e", "crv", "x", "y")

Fetch = Callable[[str], Awaitable[Mapping[str, Any]]]
"""Reads a JSON object from a URL."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key, and the algorithms that it may be used with (RFC 8725 3.1)."""

    public: RSAPublicKey | EllipticCurvePublicKey
    algorithms: tuple[str, ...]


class Issuer:
    """An issuer and its keys: fetched when they are needed, kept when they cannot be fetched again."""

    def __init__(
        self, url: str, fetch: Fetch | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.url = url.rstrip("/")
        self.name = url
        self._fetch = fetch or fetched
        self._clock = clock
        self._keys: Mapping[str, Key] = {}
        self._stale = clock()
        self._next = clock()
        self._renewal: asyncio.Task[None] | None = None

    def known(self, kid: str) -> Key | None:
        """The key of an ID among those at hand; if they are stale they are fetched again, without waiting."""
        if self._keys and self._clock() >= self._stale:
            self._renew()
        return self._keys.get(kid)

    async def key(self, kid: str) -> Key | None:
        """The key of an ID; one that is not at hand may be new, so that keys are fetched unless that was just done.

        Raises
        ------
        AuthenticationUnavailable
            There are no keys yet, since the issuer does not answer.
        """
        if (found := self.known(kid)) is not None:
            return found
        if (renewal := self._renew()) is not None:
            await asyncio.shield(renewal)
        if not self._keys:
            raise AuthenticationUnavailable("no keys could be fetched from DicomIssuer", retry_after=5)
        return self._keys.get(kid)

    def _renew(self) -> asyncio.Task[None] | None:
        """The fetch that is under way, a new one, or None where the last one began too short a time ago."""
        if self._renewal is None or self._renewal.done():
            if self._clock() < self._next:
                return None
            self._next = self._clock() + PAUSE
            self._renewal = asyncio.ensure_future(self._take())
        return self._renewal

    async def _take(self) -> None:
        try:
            self.name, found = await self._discovered()
        except Exception as error:  # there is no end to what may come as an answer
            log.warning("the keys of %s could not be fetched: %s", self.url, _reason(error))
            if not self._keys:
                self._next = self._clock() + PAUSE_WITHOUT_KEYS
            return
        before = self._keys
        if not before:
            self._next = self._clock()
        # A key that is still the same stays the same object, by which a verified token knows that it still counts.
        self._keys = {kid: before[kid] if before.get(kid) == key else key for kid, key in found.items()}
        self._stale = self._clock() + FRESH

    async def _discovered(self) -> tuple[str, dict[str, Key]]:
        """The issuer's own name, and its keys (OpenID Connect Discovery 1.0, 4.3)."""
        configuration = await self._fetch(self.url + _DISCOVERY)
        name, location = configuration["issuer"], configuration["jwks_uri"]
        if name.rstrip("/") != self.url:
            raise ValueError("it names itself otherwise than DicomIssuer does")
        if self.url.startswith("https:") and not location.startswith("https:"):
            raise ValueError("its keys are not at an https:// address")
        keys = usable(await self._fetch(location))
        if not keys:
            raise ValueError("it has no keys for any of the algorithms")
        return name, keys


def usable(key_set: Mapping[str, Any]) -> dict[str, Key]:
    """The keys of a JWK Set that signatures can be verified with, by their IDs (RFC 7517 5)."""
    return {str(jwk.get("kid", "")): key for jwk in key_set["keys"] if (key := _key(jwk)) is not None}


def _key(jwk: Mapping[str, Any]) -> Key | None:
    algorithms = _ALGORITHMS.get((jwk.get("kty"), jwk.get("crv")), ())
    if jwk.get("use", "sig") != "sig":
        return None
    if "alg" in jwk:
        algorithms = tuple(name for name in algorithms if name == jwk["alg"])
    if not algorithms:
        return None
    try:
        public = PyJWK({name: jwk[name] for name in _PUBLIC if name in jwk}, algorithms[0]).key
    except PyJWTError:
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < WEAKEST_RSA:
        return None
    return Key(public, algorithms)


async def fetched(url: str) -> Mapping[str, Any]:
    """Read a JSON object from a URL; redirections are not followed.

    Raises
    ------
    aiohttp.ClientError, TimeoutError
        There is no answer, or no such answer.
    """
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, raise_for_status=True) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        content = await response.json(content_type=None)
        if not isinstance(content, dict):
            raise ValueError(f"{url} is no JSON object")
        return content


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientResponseError):
        return f"status {error.status}"
    return str(error) if isinstance(error, ValueError) else type(error).__name__
