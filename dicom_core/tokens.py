"""Access tokens: JSON Web Tokens of OpenID Connect issuers, verified (RFC 7519, RFC 8725, RFC 9068)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import jwt
from jwt import PyJWTError

from dicom_core import authorization
from dicom_core.authorization import Caller
from dicom_core.signing_keys import Issuer, Key
from dicom_core.web import bearer

LEEWAY = 120
"""Seconds that the clocks of issuer and service may differ."""

CACHED = 4096
"""Verified tokens that are remembered, the latest ones; each is some 500 bytes."""

_REQUIRED = ["aud", "exp", "iat", "iss", "sub"]
_REASONS: Sequence[tuple[type[PyJWTError], str]] = (
    (jwt.ExpiredSignatureError, "it has expired"),
    (jwt.ImmatureSignatureError, "it is not valid yet"),
    (jwt.InvalidAudienceError, "it is for another audience than DicomAudience names"),
    (jwt.InvalidIssuerError, "its issuer is none of DicomIssuer"),
    (jwt.InvalidAlgorithmError, "its algorithm is none that goes with the issuer's key"),
    (jwt.InvalidKeyError, "its key is none of its issuer's"),
    (jwt.InvalidSignatureError, "its signature is not that of the issuer's key"),
    (jwt.MissingRequiredClaimError, f"it lacks one of the claims {', '.join(_REQUIRED)}"),
)
_MALFORMED = "it is no signed JSON Web Token, or has claims that cannot be read"


@dataclass(frozen=True, slots=True)
class _Verified:
    """What is remembered of a token: its caller, until when, and the key that must still be the issuer's."""

    caller: Caller
    until: float
    issuer: Issuer
    kid: str
    key: Key


class Verifier:
    """Verifies the tokens of some issuers for some audiences, each token once."""

    def __init__(
        self, issuers: Sequence[Issuer], audiences: Sequence[str], clock: Callable[[], float] = time.time
    ) -> None:
        self._issuers = {issuer.url: issuer for issuer in issuers}
        self._audiences = tuple(audiences)
        self._clock = clock
        self._verified: dict[bytes, _Verified] = {}

    async def __call__(self, token: str) -> Caller:
        """Say whose token this is.

        Raises
        ------
        Unauthorized
            It does not count; the text says why.
        AuthenticationUnavailable
            The keys of its issuer are not known, and cannot be fetched.
        """
        digest = sha256(token.encode()).digest()  # tokens are not kept: who reads the memory could use them
        known = self._verified.get(digest)
        if known is not None:
            if known.until > self._clock() and known.issuer.known(known.kid) is known.key:
                return known.caller
            self._verified.pop(digest, None)
        try:
            verified = await self._verify(token)
        except PyJWTError as error:
            raise bearer.refused(_reason(error)) from None
        if len(self._verified) >= CACHED:
            del self._verified[next(iter(self._verified))]
        self._verified[digest] = verified
        return verified.caller

    async def _verify(self, token: str) -> _Verified:
        unverified = jwt.decode_complete(token, options={"verify_signature": False})
        issuer = self._issuer(unverified["payload"])
        kid = str(unverified["header"].get("kid", ""))
        key = await issuer.key(kid)
        if key is None:
            raise jwt.InvalidKeyError
        claims = jwt.decode(
            token,
            key.public,
            key.algorithms,
            {"require": _REQUIRED},
            audience=self._audiences,
            issuer=issuer.name,
            leeway=LEEWAY,
        )
        return _Verified(authorization.caller(claims), int(claims["exp"]) + LEEWAY, issuer, kid, key)

    def _issuer(self, claims: Mapping[str, Any]) -> Issuer:
        """The issuer that a token names; that it says so truly is verified with the issuer's key."""
        name = claims.get("iss")
        issuer = self._issuers.get(name.rstrip("/")) if isinstance(name, str) else None
        if issuer is None:
            raise jwt.InvalidIssuerError
        return issuer


def _reason(error: PyJWTError) -> str:
    """Why a token does not count, without any of its values."""
    return next((reason for kind, reason in _REASONS if isinstance(error, kind)), _MALFORMED)
