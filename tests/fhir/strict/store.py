"""Resources in memory, with all their versions."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tests.fhir.client import Resource, path_of


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a resource; one without content is its deletion."""

    number: int
    moment: str
    method: str
    content: Resource | None

    @property
    def tag(self) -> str:
        """Its entity tag."""
        return f'W/"{self.number}"'


@dataclass(slots=True)
class Store:
    """The versions of every resource by its path, the oldest first."""

    histories: dict[str, tuple[Version, ...]] = field(default_factory=dict)

    def trial(self) -> Store:
        """A store to try writes in, which this one can adopt."""
        return Store(dict(self.histories))

    def adopt(self, trial: Store) -> None:
        """Have what another store has."""
        self.histories = trial.histories

    def latest(self, path: str) -> Version | None:
        """The newest version, which may be a deletion."""
        history = self.histories.get(path)
        return history[-1] if history else None

    def current(self, path: str) -> Resource | None:
        """The resource, if it is there now."""
        latest = self.latest(path)
        return latest.content if latest else None

    def resources(self, kind: str) -> Iterator[Resource]:
        """All resources of a type that are there now, the oldest first."""
        for path, history in self.histories.items():
            content = history[-1].content
            if content is not None and path.startswith(f"{kind}/"):
                yield content

    def put(self, resource: Resource, method: str) -> Version:
        """Write a version of a resource that has its id."""
        path = path_of(resource)
        number, moment = self._next(path)
        content = copy.deepcopy(resource)
        content["meta"] = {**content.get("meta", {}), "versionId": str(number), "lastUpdated": moment}
        return self._add(path, Version(number, moment, method, content))

    def delete(self, path: str) -> Version:
        """Write that a resource is gone."""
        return self._add(path, Version(*self._next(path), "DELETE", None))

    def _next(self, path: str) -> tuple[int, str]:
        latest = self.latest(path)
        moment = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return (latest.number if latest else 0) + 1, moment

    def _add(self, path: str, version: Version) -> Version:
        self.histories[path] = (*self.histories.get(path, ()), version)
        return version
