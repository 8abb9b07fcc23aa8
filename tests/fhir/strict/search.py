"""Search: criteria, chains, what is included, order and pages (FHIR R4 3.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlencode

from tests.fhir.client import Resource, path_of
from tests.fhir.strict import values
from tests.fhir.strict.outcome import Refused
from tests.fhir.strict.parameters import known, parameter
from tests.fhir.strict.store import Store

Query = Sequence[tuple[str, str]]

PAGE = 10
RESULT = frozenset({"_count", "_include", "_page", "_revinclude", "_sort", "_summary", "_total"})
"""What says how to answer, not what matches."""


def matching(store: Store, kind: str, criteria: Query) -> list[Resource]:
    """The resources of a type that meet all criteria."""
    known(kind)
    for name, _ in criteria:
        if name in RESULT:
            raise Refused(400, "not-supported", f"{name} is no criterion")
    tests = [_test(store, kind, *one) for one in criteria]
    return [one for one in store.resources(kind) if all(test(one) for test in tests)]


def only(store: Store, kind: str, criteria: Query) -> Resource | None:
    """The one match of a conditional interaction, if there is any."""
    if not criteria:
        raise Refused(400, "required", "the condition is empty")
    found = matching(store, kind, criteria)
    if len(found) > 1:
        raise Refused(412, "multiple-matches", f"{len(found)} resources meet the condition")
    return found[0] if found else None


def _test(store: Store, kind: str, name: str, asked: str) -> values.Test:
    """What tells whether a resource of a type meets one criterion; what cannot be asked is refused."""
    if name.startswith("_has:"):
        return _test_of_referrers(store, name, asked)
    first, dot, rest = name.partition(".")
    code, _, modifier = first.partition(":")
    found = parameter(kind, code)
    target = modifier if modifier in found.targets else ""
    if not dot:
        sought = f"{target}/{asked}" if target and "/" not in asked else asked
        return values.test_of(found, "" if target else modifier, sought)
    if found.kind != "reference" or (not target and len(found.targets) > 1):
        raise Refused(400, "invalid", f"{code} does not lead to one type")
    target = target or found.targets[0]
    test = _test(store, target, rest, asked)
    return lambda resource: any(test(one) for one in _referents(store, resource, code, target))


def _referents(store: Store, resource: Resource, code: str, target: str = "") -> Iterator[Resource]:
    """The resources that a parameter's references lead to."""
    for element in values.found(resource, parameter(resource["resourceType"], code)):
        path = element.get("reference", "")
        other = store.current(path)
        if other is not None and path.startswith(f"{target}/" if target else ""):
            yield other


def _test_of_referrers(store: Store, name: str, asked: str) -> values.Test:
    try:
        _, kind, code, rest = name.split(":", 3)
    except ValueError:
        raise Refused(400, "invalid", "_has needs a type and two parameters") from None
    parameter(kind, code)
    test = _test(store, kind, rest, asked)
    return lambda resource: any(test(one) for one in _referrers(store, resource, kind, code))


def _referrers(store: Store, resource: Resource, kind: str, code: str) -> Iterator[Resource]:
    path = path_of(resource)
    for other in store.resources(kind):
        if any(path_of(one) == path for one in _referents(store, other, code)):
            yield other


def answer(store: Store, base: str, kind: str, query: Query) -> Resource:
    """The searchset that answers a query."""
    asked = [one for one in query if one[0] in RESULT]
    found = matching(store, kind, [one for one in query if one[0] not in RESULT])
    how = dict(asked)
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": [_link("self", base, kind, query)],
    }
    if how.get("_total") == "accurate" or how.get("_summary") == "count":
        bundle["total"] = len(found)
    if how.get("_summary") == "count":
        return bundle
    if "_summary" in how:
        raise Refused(400, "not-supported", "of summaries there is only the count")
    for name in reversed(how["_sort"].split(",") if "_sort" in how else []):
        found = _sorted(found, kind, name)
    page, size = int(how.get("_page", "0")), int(how.get("_count", PAGE))
    shown = found[page * size : (page + 1) * size]
    if (page + 1) * size < len(found):
        rest = [one for one in query if one[0] != "_page"]
        bundle["link"].append(_link("next", base, kind, [*rest, ("_page", str(page + 1))]))
    entries = [_entry(base, one, "match") for one in shown]
    entries += [_entry(base, one, "include") for one in _included(store, shown, asked)]
    return {**bundle, "entry": entries} if entries else bundle


def _sorted(found: Iterable[Resource], kind: str, name: str) -> list[Resource]:
    by = parameter(kind, name.removeprefix("-"))
    keys = {path_of(one): values.found(one, by) for one in found}
    order = values.span if by.kind == "date" else str
    have = [one for one in found if keys[path_of(one)]]
    have.sort(key=lambda one: min(order(key) for key in keys[path_of(one)]), reverse=name.startswith("-"))
    return have + [one for one in found if not keys[path_of(one)]]


def _included(store: Store, shown: Sequence[Resource], asked: Query) -> list[Resource]:
    found: dict[str, Resource] = {}
    for name, value in asked:
        if name in ("_include", "_revinclude"):
            kind, code, target = (*value.split(":"), "", "")[:3]
            if parameter(kind, code).kind != "reference":
                raise Refused(400, "invalid", f"{code} is no reference")
            for one in shown:
                if name == "_revinclude":
                    found |= {path_of(other): other for other in _referrers(store, one, kind, code)}
                elif one["resourceType"] == kind:
                    found |= {path_of(other): other for other in _referents(store, one, code, target)}
    matched = {path_of(one) for one in shown}
    return [one for path, one in found.items() if path not in matched]


def _entry(base: str, resource: Resource, mode: str) -> Resource:
    return {"fullUrl": f"{base}/{path_of(resource)}", "resource": resource, "search": {"mode": mode}}


def _link(relation: str, base: str, kind: str, query: Query) -> Resource:
    return {"relation": relation, "url": f"{base}/{kind}?{urlencode(query)}"}
