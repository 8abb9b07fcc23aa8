"""Sends bodies to the targets of events over HTTP, and says what became of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import aiohttp

from dicom_core.delivery.subscribing import DeliveryError, Failed, Refused, Unavailable

TIMEOUT = 20.0
"""Seconds that a target may take to answer."""

TOO_LARGE = 413

OUTCOMES: Mapping[int, type[DeliveryError]] = MappingProxyType(
    dict.fromkeys((400, 406, 409, 415, 422), Refused) | dict.fromkeys((500, 501, 505, 507, 508), Failed)
)
"""What an answer that is no success says of what was sent; any other that the target cannot take anything now."""


class TooLarge(Refused):
    """The target takes nothing of this size."""


class Poster:
    """Posts to one URL, which no error names: its query may be a secret."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a body; redirections are not followed, because what is sent is meant for this host.

        Raises
        ------
        DeliveryError
            There was no answer, or none that says that the body was taken.
        """
        try:
            async with self._open().post(
                self._url, data=body, headers=headers, allow_redirects=False
            ) as response:
                status, after = response.status, response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"no answer ({type(error).__name__})") from None
        if 200 <= status < 300:
            return
        reason = f"status {status}"
        if status == TOO_LARGE:
            raise TooLarge(reason)
        if outcome := OUTCOMES.get(status):
            raise outcome(reason)
        raise Unavailable(reason, seconds(after))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TIMEOUT),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("User-Agent",),
            )
        return self._session


def seconds(retry_after: str) -> float | None:
    """What Retry-After asks for, as a number of seconds or as a date; None if nothing (RFC 9110 10.2.3)."""
    if retry_after.isdecimal():
        return float(retry_after)
    try:
        return max(parsedate_to_datetime(retry_after).timestamp() - time.time(), 0.0)
    except ValueError:
        return None
