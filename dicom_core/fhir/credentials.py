"""Who the service is to a FHIR server: bearer tokens of a managed identity, or of OAuth 2.0 client credentials."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Protocol

import aiohttp
import orjson
from azure.core.credentials_async import AsyncTokenCredential
from azure.core.exceptions import AzureError

from dicom_core.delivery.subscribing import Unavailable

_MARGIN = 300.0
"""Seconds before its end in which a token is not used any more, or half of a life that is shorter than twice that."""

_TIMEOUT = aiohttp.ClientTimeout(total=20, sock_connect=10)
_LONGEST_ANSWER = 1 << 16
_ERROR = re.compile(r"[a-z_]{1,40}")


class Issuer(Protocol):
    """Gives tokens."""

    async def issue(self) -> tuple[str, float]:
        """A new token, and when it ends in seconds since 1970.

        Raises
        ------
        Unavailable
            There is none; says why.
        """


class Identity:
    """Tokens of Microsoft Entra ID for the identity of the app."""

    def __init__(self, credential: AsyncTokenCredential, scope: str) -> None:
        self._credential = credential
        self._scope = scope

    async def issue(self) -> tuple[str, float]:
        """Ask the platform."""
        try:
            token = await self._credential.get_token(self._scope)
        except AzureError as error:
            raise Unavailable(f"no token for the FHIR server ({type(error).__name__})") from error
        return token.token, float(token.expires_on)


class ClientCredentials:
    """Tokens by client ID and secret (RFC 6749 4.4)."""

    def __init__(self, token_url: str, client_id: str, secret: str, scope: str = "") -> None:
        self._url = token_url
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": secret,
            **({"scope": scope} if scope else {}),
        }

    async def issue(self) -> tuple[str, float]:
        """Ask the token endpoint."""
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.post(self._url, data=self._form, allow_redirects=False) as response,
            ):
                content = await response.content.read(_LONGEST_ANSWER)
                while more := await response.content.read(_LONGEST_ANSWER - len(content)):
                    content += more
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the token endpoint did not answer ({type(error).__name__})") from error
        try:
            answer = orjson.loads(content)
            if response.status == 200:
                return str(answer["access_token"]), time.time() + float(answer.get("expires_in", 3600))
            code = str(answer.get("error", ""))
        except (ValueError, KeyError, TypeError, AttributeError):
            code = ""
        reason = f" {code}" if _ERROR.fullmatch(code) else ""
        raise Unavailable(f"the token endpoint gave no token: status {response.status}{reason}")


class Bearer:
    """The current token, fetched again before it ends; by one at a time."""

    def __init__(self, issuer: Issuer) -> None:
        self._issuer = issuer
        self._token = ""
        self._renewed = 0.0
        self._lock = asyncio.Lock()

    async def token(self, refused: str = "") -> str:
        """The token; a new one if the current one is that which was refused."""
        async with self._lock:
            if self._token == refused or time.time() >= self._renewed:
                token, end = await self._issuer.issue()
                life = end - time.time()
                self._token, self._renewed = token, end - min(_MARGIN, life / 2)
            return self._token
