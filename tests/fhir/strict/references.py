"""References between resources: none is left that leads to nothing (FHIR R4 2.3, 3.1.0.7)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tests.fhir.strict.interactions import Done
from tests.fhir.strict.outcome import Refused
from tests.fhir.strict.store import Store


def within(value: Any) -> Iterator[dict[str, Any]]:
    """The elements that refer to something, at any depth."""
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value
        for one in value.values():
            yield from within(one)
    elif isinstance(value, list):
        for one in value:
            yield from within(one)


def check(store: Store, done: Iterable[Done]) -> None:
    """Refuse writes and deletions after which something refers to what is not there."""
    for one in done:
        if one.version:
            _check_referents(store, one.path, one.version.content)
        elif one.path:
            _check_referrers(store, one.path)


def _check_referents(store: Store, path: str, content: Any) -> None:
    for element in within(content):
        other = element["reference"]
        if "://" not in other and not other.startswith("#") and store.current(other) is None:
            raise Refused(400, "invalid", f"{path} refers to {other}, which is not there")


def _check_referrers(store: Store, path: str) -> None:
    for other, history in store.histories.items():
        if any(element["reference"] == path for element in within(history[-1].content)):
            raise Refused(409, "conflict", f"{other} refers to {path}")
