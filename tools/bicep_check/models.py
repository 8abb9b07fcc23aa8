"""The resource types that Microsoft publishes, as `digest` has written them down."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANY_NAME = "*"


@dataclass(frozen=True, slots=True)
class Property:
    """What a property takes.

    Parameters
    ----------
    kind
        `string`, `int`, `number`, `bool`, `model`, or `any`.
    many
        `array` or `map` if it takes many of that kind, else empty.
    model
        Name of the model, if it is one.
    """

    kind: str
    many: str = ""
    model: str = ""
    values: tuple[str, ...] = ()
    required: bool = False
    readonly: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """An object of properties; `subtypes` are the models that the value of the discriminator chooses from."""

    properties: Mapping[str, Property]
    discriminator: str = ""
    subtypes: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """The models of a resource when it is written and when it is read; empty where it is not."""

    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Resource types by lower-case name, API version and name of the resource, and the models they are made of."""

    types: Mapping[str, Mapping[str, Mapping[str, Variant]]]
    models: Mapping[str, Model]

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read what `digest` has written."""
        content: dict[str, Any] = json.loads(path.read_text())
        types = {
            kind: {
                version: {name: Variant(**variant) for name, variant in names.items()}
                for version, names in versions.items()
            }
            for kind, versions in content["types"].items()
        }
        models = {
            name: Model(
                {
                    wire: Property(**{**one, "values": tuple(one.get("values", ()))})
                    for wire, one in model["properties"].items()
                },
                model.get("discriminator", ""),
                model.get("subtypes"),
            )
            for name, model in content["models"].items()
        }
        return cls(types, models)

    def variant(self, kind: str, version: str, name: str | None) -> Variant | None:
        """The models of a resource; a name that its type fixes chooses its own."""
        names = self.types.get(kind.lower(), {}).get(version, {})
        return names.get((name or ANY_NAME).lower()) or names.get(ANY_NAME)
