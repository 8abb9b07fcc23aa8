"""Whether a resource keeps the rules of its type: elements, cardinality, formats, required codes, targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import BaseModel, ValidationError

from tests.fhir.strict.outcome import Refused


def check(resource: Any, kind: str) -> None:
    """Refuse what is no valid resource of a type."""
    if not isinstance(resource, dict) or resource.get("resourceType") != kind:
        raise Refused(400, "structure", f"the payload is no {kind}")
    try:
        model = get_fhir_model_class(kind).model_validate(resource)
    except ValidationError as error:
        places = (".".join(str(step) for step in one["loc"]) for one in error.errors())
        raise Refused(400, "structure", f"{kind} is wrong at {', '.join(places)}") from None
    wrong = list(_wrong(model, kind))
    if wrong:
        raise Refused(422, "code-invalid", f"no such code or target at {', '.join(wrong)}")


def _wrong(model: BaseModel, place: str) -> Iterator[str]:
    """The places of codes that the element does not have, and of references to types that it may not refer to."""
    for name, rules in type(model).model_fields.items():
        extra = rules.json_schema_extra
        values = getattr(model, name)
        if not isinstance(extra, dict):
            continue
        for value in values if isinstance(values, list) else [values]:
            at = f"{place}.{name}"
            codes: Any = extra.get("enum_values")
            if codes and value is not None and value not in codes:
                yield at
            if isinstance(value, BaseModel):
                targets: Any = extra.get("enum_reference_types")
                if targets and not _may_refer(getattr(value, "reference", None), targets):
                    yield at
                yield from _wrong(value, at)


def _may_refer(reference: str | None, targets: list[str]) -> bool:
    if reference is None or reference.startswith(("#", "urn:", "http:", "https:")):
        return True
    return "Resource" in targets or reference.partition("/")[0].partition("?")[0] in targets
