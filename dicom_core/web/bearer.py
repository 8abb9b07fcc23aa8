"""Bearer tokens in header fields: Authorization and WWW-Authenticate (RFC 6750)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from dicom_core.errors import Forbidden, Unauthorized
from dicom_core.web import headers

REALM = "dicom"
"""What a token is for, in the challenge (RFC 9110 11.5)."""

LONGEST = 16384
"""Characters of the longest token that is looked at."""

_CREDENTIALS = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*) *", re.IGNORECASE)


def token(fields: Sequence[str]) -> str | None:
    """The token of the Authorization fields of a request; None where there is none, or another scheme.

    Raises
    ------
    Unauthorized
        There are several fields, or what stands there cannot be a token (RFC 6750 2.1).
    """
    if not fields:
        return None
    if len(fields) > 1:
        raise refused("there are several Authorization fields")
    if fields[0][:7].lower().strip() != "bearer":
        return None
    match = _CREDENTIALS.fullmatch(fields[0].strip()) if len(fields[0]) <= LONGEST else None
    if match is None:
        raise refused("Authorization has no token of at most 16 KiB behind Bearer")
    return match[1]


def missing(scopes: Collection[str]) -> Unauthorized:
    """The answer to who sent no token (RFC 6750 3.1: it has no error code)."""
    return Unauthorized("this needs a bearer token in the Authorization header", _challenge(scope=scopes))


def refused(reason: str) -> Unauthorized:
    """The answer to who sent a token that does not count."""
    return Unauthorized(
        f"the token is refused: {reason}", _challenge(error="invalid_token", error_description=reason)
    )


def forbidden(scopes: Collection[str]) -> Forbidden:
    """The answer to who sent a token that counts, but grants none of some scopes; without any, none would help."""
    named = " or ".join(scopes)
    reason = (
        f"this needs the role {named}, which the token does not grant" if scopes else "no role grants this"
    )
    return Forbidden(reason, _challenge(error="insufficient_scope", error_description=reason, scope=scopes))


def _challenge(error: str = "", error_description: str = "", scope: Collection[str] = ()) -> str:
    """A WWW-Authenticate field; a scope only where it is one, since all that are listed would be needed."""
    parameters = {
        "realm": REALM,
        "error": error,
        "error_description": error_description,
        "scope": next(iter(scope)) if len(scope) == 1 else "",
    }
    return "Bearer " + ", ".join(f"{name}={headers.quote(text)}" for name, text in parameters.items() if text)
