"""Bundles of requests: all or nothing, or each by itself (FHIR R4 3.1.0.11)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from tests.fhir.client import Resource, path_of
from tests.fhir.strict import references, search
from tests.fhir.strict.interactions import Asked, Done, carry_out
from tests.fhir.strict.outcome import Refused
from tests.fhir.strict.parameters import known
from tests.fhir.strict.store import Store

ORDER = ("DELETE", "POST", "PUT", "GET")
_REASONS = {200: "OK", 201: "Created", 204: "No Content"}


def process(store: Store, base: str, bundle: Any, whole: bool) -> Resource:
    """Carry out a bundle; `whole` is whether the answer shows what was written."""
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise Refused(400, "structure", "the payload is no Bundle")
    entries, kind = bundle.get("entry", []), bundle.get("type")
    if kind == "batch":
        return _response(kind, [_alone(store, base, one, whole) for one in entries])
    if kind != "transaction":
        raise Refused(400, "invalid", "the Bundle is neither a transaction nor a batch")
    return _response(kind, _together(store, base, entries, whole))


def _response(kind: str, entries: list[Resource]) -> Resource:
    return {"resourceType": "Bundle", "type": f"{kind}-response", "entry": entries}


def _alone(store: Store, base: str, entry: Resource, whole: bool) -> Resource:
    trial = store.trial()
    try:
        asked = _asked(entry)
        if list(_unresolved(asked.resource)):
            raise Refused(400, "invalid", "in a batch nothing refers to other entries")
        done = carry_out(trial, base, asked)
        references.check(trial, [done])
    except Refused as error:
        return {"response": {"status": str(error.status), "outcome": error.outcome}}
    store.adopt(trial)
    return _entry(base, asked, done, whole)


def _together(store: Store, base: str, entries: list[Resource], whole: bool) -> list[Resource]:
    trial, done = store.trial(), dict[int, Done]()
    requests = [_placed(store, _asked(one)) for one in entries]
    names = _names(entries, requests)
    for place in sorted(range(len(entries)), key=lambda place: ORDER.index(requests[place][0].method)):
        asked = requests[place][0]
        for reference in _unresolved(asked.resource):
            reference["reference"] = _resolved(store, names, reference["reference"])
        try:
            done[place] = carry_out(trial, base, asked)
        except Refused as error:
            raise Refused(error.status, error.code, f"entry {place}: {error}") from error
    references.check(trial, done.values())
    store.adopt(trial)
    return [_entry(base, requests[place][0], done[place], whole) for place in range(len(entries))]


def _asked(entry: Resource) -> Asked:
    request = entry.get("request", {})
    method, url, resource = request.get("method"), request.get("url", ""), entry.get("resource")
    path, _, query = url.partition("?")
    steps = tuple(path.split("/"))
    if method not in ORDER or not steps[0] or (resource is None) is (method in ("POST", "PUT")):
        raise Refused(400, "invalid", "an entry needs a method, a URL, and a resource if it is to be written")
    if ("ifNoneExist" in request and method != "POST") or (
        "ifMatch" in request and method not in ("PUT", "DELETE")
    ):
        raise Refused(400, "invalid", f"an entry has a condition that {method} does not have")
    known(steps[0])
    condition = (
        parse_qsl(request["ifNoneExist"], keep_blank_values=True) if "ifNoneExist" in request else None
    )
    criteria = tuple(parse_qsl(query, keep_blank_values=True))
    return Asked(method, steps, criteria, _copied(resource), request.get("ifMatch"), condition)


def _copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    return [_copied(one) for one in value] if isinstance(value, list) else value


def _placed(store: Store, asked: Asked) -> tuple[Asked, str]:
    """The request with the id that a resource it creates will have, and the path that it is about."""
    kind, criteria = asked.steps[0], asked.if_none_exist if asked.method == "POST" else asked.query
    if asked.method == "GET" or len(asked.steps) > 1:
        return asked, "/".join(asked.steps)
    found = search.only(store, kind, criteria) if criteria is not None else None
    if found:
        return asked, path_of(found)
    new = replace(asked, new_id=str(uuid.uuid4()))
    return new, f"{kind}/{new.new_id}"


def _names(entries: list[Resource], requests: list[tuple[Asked, str]]) -> dict[str, str]:
    """The path of each entry by its fullUrl; entries that write one resource, or may make one twice, are refused."""
    names: dict[str, str] = {}
    written: set[object] = set()
    for entry, (asked, path) in zip(entries, requests, strict=True):
        full = entry.get("fullUrl")
        if full is not None and names.setdefault(full, path) != path:
            raise Refused(400, "invalid", "two entries have one fullUrl")
        same: list[object] = [path] if asked.method != "GET" else []
        if asked.new_id and (asked.if_none_exist or asked.query):
            same.append((asked.steps[0], tuple(asked.if_none_exist or asked.query)))
        for one in same:
            if one in written:
                raise Refused(400, "invalid", f"two entries are about one {asked.steps[0]}")
            written.add(one)
    return names


def _unresolved(resource: Any) -> Iterator[dict[str, Any]]:
    for one in references.within(resource):
        if one["reference"].startswith("urn:") or "?" in one["reference"]:
            yield one


def _resolved(store: Store, names: Mapping[str, str], reference: str) -> str:
    if reference in names:
        return names[reference]
    kind, question, query = reference.partition("?")
    if not question:
        raise Refused(400, "invalid", "a reference is to no entry of the bundle")
    found = search.only(store, kind, parse_qsl(query, keep_blank_values=True))
    if found is None:
        raise Refused(400, "not-found", f"a reference finds no {kind}")
    return path_of(found)


def _entry(base: str, asked: Asked, done: Done, whole: bool) -> Resource:
    response: Resource = {"status": f"{done.status} {_REASONS[done.status]}"}
    entry: Resource = {"response": response}
    if done.version and not (asked.method == "POST" and done.status == 200):
        response |= {"location": done.location, "etag": done.version.tag, "lastModified": done.version.moment}
    if done.content and (whole or asked.method == "GET"):
        entry["resource"] = done.content
        if done.path:
            entry["fullUrl"] = f"{base}/{done.path}"
    return entry
