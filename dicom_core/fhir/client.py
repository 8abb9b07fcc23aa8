"""Speaks with a FHIR server (R4 3.1): searches in one batch, writes in one transaction, and what went wrong.

| what went wrong | of a search | of a write |
|---|---|---|
| no connection, 401, 403, 3xx, 429, 503 with Retry-After | `Unavailable`: it is so for every study | the same |
| no answer in time, 502, 503, 504 | `Unavailable` | `Failed`: it may be for this study only |
| 404, 410 | `Unavailable`: the base URL is wrong | `Conflict` |
| 409, 412 | `Failed` | `Conflict`: another wrote meanwhile |
| 500 and others | `Failed` | `Failed` |
| 400, 413, 422 | `Refused` | `Refused` |

Searches lie in the body of a batch, not in URLs, which servers and proxies log. The URL of a further page is the
server's, and may repeat what was searched for: of Patients, whom Patient IDs find, there is one page only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson
from yarl import URL

from dicom_core.delivery.subscribing import DeliveryError, Failed, Refused, Unavailable
from dicom_core.fhir.credentials import Bearer
from dicom_core.fhir.elements import Element

LONGEST_ANSWER = 64 << 20
MOST_PAGES = 100
_FHIR_JSON = "application/fhir+json"
_CHUNK = 1 << 18
_PATIENTS = "Patient?"
_SEARCH_SECONDS = 30.0
_WRITE_SECONDS = 60.0
_LONGEST_WAIT = 3600.0
_MOST_ISSUES = 5
_CODE = re.compile(r"[a-z-]{1,40}")
_PLACE = re.compile(r"[A-Za-z]\w*(\[\d+\]|\.ofType\(\w+\)|\.\w+){0,30}", re.ASCII)
_DROPPED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


class Conflict(Failed):
    """What is on the server is not what was read there: to be read again."""


class Client:
    """Sends bundles to one server; `requests` counts what was sent."""

    def __init__(self, base: str, bearer: Bearer | None = None) -> None:
        self.base = base.rstrip("/")
        self.requests = 0
        self._bearer = bearer
        self._session: aiohttp.ClientSession | None = None

    async def search(self, queries: Sequence[str]) -> list[list[Element]]:
        """What each of some queries finds, whatever pages it takes; `ImagingStudy?identifier=…`, percent-encoded.

        Raises
        ------
        Refused
            One finds more than `MOST_PAGES` pages, or one page of Patients.
        """
        entries = [{"request": {"method": "GET", "url": query}} for query in queries]
        answered = await self._send("POST", "", _bundle("batch", entries))
        found: list[list[Element]] = []
        for query, entry in zip(queries, _entries(answered, len(queries)), strict=True):
            if (status := _status(entry)) != 200:
                raise _failure(status, {}, entry.get("response", {}).get("outcome"), write=False)
            found.append(await self._all(entry.get("resource"), is_private=query.startswith(_PATIENTS)))
        return found

    async def transact(self, entries: Sequence[Mapping[str, Any]]) -> list[int]:
        """Carry out writes, all of them or none; the status of each.

        Raises
        ------
        Conflict
            A condition was not met.
        """
        content = _bundle("transaction", entries)
        answered = await self._send("POST", "", content, write=True)
        return [_status(entry) for entry in _entries(answered, len(entries))]

    async def close(self) -> None:
        """Close the connections; the client may be used again."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _all(self, page: Any, *, is_private: bool) -> list[Element]:
        """The resources of a searchset and of the pages that follow."""
        found: list[Element] = []
        for _ in range(MOST_PAGES):
            if not isinstance(page, dict) or page.get("resourceType") != "Bundle":
                raise Failed("the FHIR server answered a search with something else than a Bundle")
            entries = [one["resource"] for one in page.get("entry", ()) if "resource" in one]
            found += [one for one in entries if one.get("resourceType") != "OperationOutcome"]
            following = [link["url"] for link in page.get("link", ()) if link.get("relation") == "next"]
            if not following:
                return found
            if is_private:
                raise Refused("a search found more than one page of Patients")
            page = await self._send("GET", following[0])
        raise Refused(f"a search found more than {MOST_PAGES} pages")

    async def _send(self, method: str, path: str, content: bytes = b"", *, write: bool = False) -> Any:
        """The answer to a request. A connection that was dropped is tried again: whatever is sent may be sent twice."""
        url = URL(self.base).join(URL(path, encoded=True)) if path else URL(self.base)
        if url.origin() != URL(self.base).origin():
            raise Refused("the FHIR server's next page lies on another host")
        token = "" if self._bearer is None else await self._bearer.token()
        attempts = 2
        while True:
            attempts -= 1
            try:
                status, headers, answer = await self._once(method, url, content, token, write)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if (
                    attempts
                    and isinstance(error, _DROPPED)
                    and not isinstance(error, aiohttp.ClientConnectorError)
                ):
                    continue
                raise _broken(error, write=write) from error
            if status == 401 and attempts and self._bearer is not None:
                token = await self._bearer.token(refused=token)
                continue
            if status != 200:
                raise _failure(status, headers, _read(answer), write=write)
            if (read := _read(answer)) is None:
                raise Failed("the FHIR server's answer is no JSON")
            return read

    async def _once(
        self, method: str, url: URL, content: bytes, token: str, write: bool
    ) -> tuple[int, Mapping[str, str], bytes]:
        headers = {"Accept": _FHIR_JSON, "Cache-Control": "no-cache", "Prefer": "return=minimal"}
        if content:
            headers["Content-Type"] = _FHIR_JSON
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self.requests += 1
        async with self._open().request(
            method,
            url,
            data=content or None,
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(
                total=_WRITE_SECONDS if write else _SEARCH_SECONDS, sock_connect=10
            ),
        ) as response:
            answer = bytearray()
            async for chunk in response.content.iter_chunked(_CHUNK):
                answer += chunk
                if len(answer) > LONGEST_ANSWER:
                    raise Refused(f"the FHIR server's answer is longer than {LONGEST_ANSWER} bytes")
            return response.status, response.headers, bytes(answer)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=16, keepalive_timeout=30),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def _bundle(kind: str, entries: Sequence[Mapping[str, Any]]) -> bytes:
    return orjson.dumps({"resourceType": "Bundle", "type": kind, "entry": entries})


def _entries(answered: Any, count: int) -> list[dict[str, Any]]:
    """The entries of a bundle of answers: one for each request."""
    entries = answered.get("entry") if isinstance(answered, dict) else None
    if not isinstance(entries, list) or len(entries) != count:
        raise Failed(f"the FHIR server did not answer each of {count} requests of a Bundle")
    return entries


def _status(entry: Mapping[str, Any]) -> int:
    text = str(entry.get("response", {}).get("status", ""))[:3]
    if not (text.isascii() and text.isdigit()):
        raise Failed("an entry of the FHIR server's answer has no status")
    return int(text)


def _read(answer: bytes) -> Any:
    try:
        return orjson.loads(answer)
    except orjson.JSONDecodeError:
        return None


def _broken(error: Exception, *, write: bool) -> DeliveryError:
    """Why there is no answer; a write that has none may be too much for the server, while others are not."""
    if write and not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Failed(f"the FHIR server did not answer a transaction ({type(error).__name__})")
    return Unavailable(f"the FHIR server does not answer ({type(error).__name__})")


def _failure(status: int, headers: Mapping[str, str], outcome: Any, *, write: bool) -> DeliveryError:
    """What a status means, as the table above says."""
    reason = f"the FHIR server answered a {'transaction' if write else 'search'} with status {status}"
    if issues := _issues(outcome):
        reason += f": {', '.join(issues)}"
    if status in (401, 403):
        return Unavailable(f"{reason}; check what the identity or the client may do there")
    if 300 <= status < 400:
        return Unavailable(f"{reason}; check DicomFhirUrl")
    after = headers.get("Retry-After", "")
    if status == 429 or (status == 503 and after):
        seconds = min(float(after), _LONGEST_WAIT) if re.fullmatch(r"\d{1,9}", after, re.ASCII) else None
        return Unavailable(reason, seconds)
    if write and status in (404, 409, 410, 412):
        return Conflict(reason)
    if status in (400, 413, 422):
        return Refused(reason)
    if status in (404, 410):
        return Unavailable(f"{reason}; check DicomFhirUrl")
    return Failed(reason) if write or status not in (502, 503, 504) else Unavailable(reason)


def _issues(outcome: Any) -> list[str]:
    """Codes and places of an OperationOutcome's issues; its texts may repeat what was sent."""
    found: list[str] = []
    issues = outcome.get("issue") if isinstance(outcome, dict) else None
    for issue in issues[:_MOST_ISSUES] if isinstance(issues, list) else ():
        if not isinstance(issue, dict) or not _CODE.fullmatch(str(issue.get("code", ""))):
            continue
        places = issue.get("expression") or issue.get("location") or ()
        named = (
            [str(place) for place in places if _PLACE.fullmatch(str(place))]
            if isinstance(places, list)
            else []
        )
        found.append(" at ".join([str(issue["code"]), *named[:1]]))
    return found
