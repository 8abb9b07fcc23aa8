"""Reads and writes of one resource, conditional or not (FHIR R4 3.1.0.2 to 3.1.0.9)."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import Any

from tests.fhir.client import Resource, path_of
from tests.fhir.strict import search
from tests.fhir.strict.outcome import Refused
from tests.fhir.strict.parameters import known
from tests.fhir.strict.search import Query
from tests.fhir.strict.store import Store, Version
from tests.fhir.strict.validation import check

_TAG = re.compile(r'W/"([^"]+)"')
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for one interaction, of a request message or of an entry of a bundle."""

    method: str
    steps: tuple[str, ...]
    query: Query = ()
    resource: Any = None
    if_match: str | None = None
    if_none_exist: Query | None = None
    new_id: str | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it: a version of a resource, or a bundle."""

    status: int
    path: str = ""
    version: Version | None = None
    bundle: Resource | None = None

    @property
    def content(self) -> Resource | None:
        """The resource to show."""
        return self.version.content if self.version else self.bundle

    @property
    def location(self) -> str:
        """Where the version is, below the base."""
        return f"{self.path}/_history/{self.version.number}" if self.version else ""


def carry_out(store: Store, base: str, asked: Asked) -> Done:
    """Do what is asked for in a store."""
    known(asked.steps[0])
    match asked.method, asked.steps:
        case "GET", [kind]:
            return Done(200, bundle=search.answer(store, base, kind, asked.query))
        case "GET", [kind, number]:
            return _read(store, f"{kind}/{number}")
        case "GET", [kind, number, "_history"]:
            return _history(store, base, f"{kind}/{number}")
        case "GET", [kind, number, "_history", version]:
            return _read_version(store, f"{kind}/{number}", version)
        case "POST", [kind]:
            return _create(store, kind, asked)
        case "PUT", [kind]:
            return _update_match(store, kind, asked)
        case "PUT", [kind, number]:
            return _update(store, kind, number, asked)
        case "DELETE", [kind]:
            found = search.only(store, kind, asked.query)
            return _delete(store, path_of(found), asked) if found else Done(204)
        case "DELETE", [kind, number]:
            return _delete(store, f"{kind}/{number}", asked)
    raise Refused(405, "not-supported", f"there is no {asked.method} of {'/'.join(asked.steps)}")


def _read(store: Store, path: str) -> Done:
    version = store.latest(path)
    if version is None:
        raise Refused(404, "not-found", f"there is no {path}")
    if version.content is None:
        raise Refused(410, "deleted", f"{path} was deleted")
    return Done(200, path, version)


def _read_version(store: Store, path: str, number: str) -> Done:
    for version in store.histories.get(path, ()):
        if str(version.number) == number:
            if version.content is None:
                raise Refused(410, "deleted", f"{path} was deleted by version {number}")
            return Done(200, path, version)
    raise Refused(404, "not-found", f"there is no version {number} of {path}")


def _history(store: Store, base: str, path: str) -> Done:
    versions = store.histories.get(path)
    if versions is None:
        raise Refused(404, "not-found", f"there is no {path}")
    entries = []
    for version in reversed(versions):
        shown = {"resource": version.content} if version.content else {}
        request = {
            "method": version.method,
            "url": path.partition("/")[0] if version.method == "POST" else path,
        }
        response = {"status": "200", "etag": version.tag, "lastModified": version.moment}
        entries.append({"fullUrl": f"{base}/{path}", **shown, "request": request, "response": response})
    return Done(
        200, bundle={"resourceType": "Bundle", "type": "history", "total": len(entries), "entry": entries}
    )


def _create(store: Store, kind: str, asked: Asked) -> Done:
    check(asked.resource, kind)
    if asked.if_none_exist is not None:
        found = search.only(store, kind, asked.if_none_exist)
        if found:
            path = path_of(found)
            return Done(200, path, store.latest(path))
    return _written(store, kind, asked.new_id or str(uuid.uuid4()), asked, "POST", 201)


def _update(store: Store, kind: str, number: str, asked: Asked) -> Done:
    check(asked.resource, kind)
    if asked.resource.get("id") != number or not _ID.fullmatch(number):
        raise Refused(400, "invalid", f"the resource has not the id of its URL, {kind}/{number}")
    path = f"{kind}/{number}"
    _check_version(store, path, asked)
    return _written(store, kind, number, asked, "PUT", 200 if store.current(path) else 201)


def _update_match(store: Store, kind: str, asked: Asked) -> Done:
    check(asked.resource, kind)
    found = search.only(store, kind, asked.query)
    own = asked.resource.get("id")
    if own is not None and (found is None or found["id"] != own):
        raise Refused(400, "invalid", f"the {kind} that the condition finds has not the id of the resource")
    if found is None:
        if asked.if_match:
            raise Refused(412, "conflict", f"no {kind} meets the condition, so none has the version")
        return _written(store, kind, asked.new_id or str(uuid.uuid4()), asked, "POST", 201)
    _check_version(store, path_of(found), asked)
    return _written(store, kind, found["id"], asked, "PUT", 200)


def _delete(store: Store, path: str, asked: Asked) -> Done:
    _check_version(store, path, asked)
    if store.current(path):
        store.delete(path)
    return Done(204, path)


def _written(store: Store, kind: str, number: str, asked: Asked, method: str, status: int) -> Done:
    version = store.put({**asked.resource, "id": number}, method)
    return Done(status, f"{kind}/{number}", version)


def _check_version(store: Store, path: str, asked: Asked) -> None:
    if asked.if_match is None:
        return
    tag = _TAG.fullmatch(asked.if_match)
    if tag is None:
        raise Refused(400, "invalid", "If-Match is no weak entity tag")
    latest = store.latest(path)
    if latest is None or latest.content is None or str(latest.number) != tag[1]:
        raise Refused(412, "conflict", f"{path} has not the version of If-Match")
