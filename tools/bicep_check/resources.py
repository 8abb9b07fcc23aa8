"""Resources: type, API version and name exist, and properties are those of the published models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tree_sitter import Node

from tools.bicep_check import expressions
from tools.bicep_check.models import Catalogue, Model, Property
from tools.bicep_check.syntax import (
    Declaration,
    Finding,
    Literal,
    Source,
    body,
    literal,
    named,
    properties,
    string,
    walk,
)

_OF_BICEP = frozenset({"name", "parent", "scope", "dependsOn"})
_OF_READS = frozenset({"id", "name", "type", "apiVersion"})
_FITS = {"string": {"string"}, "int": {"int"}, "number": {"int"}, "bool": {"bool"}}


@dataclass(frozen=True, slots=True)
class Resources:
    """Checks the resources of a file against a catalogue."""

    source: Source
    declared: Sequence[Declaration]
    catalogue: Catalogue

    def check(self) -> Iterator[Finding]:
        """What is wrong with the resources, and with what is read of them."""
        for one in self.declared:
            if one.kind == "resource":
                yield from self._resource(one)
        yield from self._reads()

    def _resource(self, one: Declaration) -> Iterator[Finding]:
        kind, _, version = one.type.partition("@")
        versions = self.catalogue.types.get(kind.lower())
        if versions is None:
            yield self.source.finding(one.node, "resource-type", f"'{kind}' is not among the published types")
        elif version not in versions:
            known = ", ".join(sorted(versions))
            yield self.source.finding(
                one.node, "api-version", f"'{kind}' has no version '{version}', but {known}"
            )
        elif not one.is_existing and one.value is not None:
            yield from self._body(one, one.value)

    def _body(self, one: Declaration, value: Node) -> Iterator[Finding]:
        kind, _, version = one.type.partition("@")
        given = {name: part for _, name, part in properties(value) if name}
        if "name" not in given:
            yield self.source.finding(one.node, "required", f"'{one.name}' has no name")
        variant = self.catalogue.variant(kind, version, string(given.get("name")))
        if variant is None or not variant.write:
            yield self.source.finding(one.node, "resource-type", f"'{kind}' of this name cannot be written")
            return
        model = self.catalogue.models[variant.write]
        yield from self._object(value, model, kind, _OF_BICEP)

    def _object(
        self, node: Node, model: Model, where: str, beside: frozenset[str] = frozenset()
    ) -> Iterator[Finding]:
        model = self._chosen(node, model)
        seen: set[str] = set()
        computed = False
        for key, name, value in properties(node):
            if name is None:
                computed = True
                continue
            seen.add(name)
            if name in beside:
                continue
            wanted = model.properties.get(name)
            if wanted is None:
                yield self.source.finding(key, "property", f"{where} has no '{name}'{_hint(name, model)}")
            elif wanted.readonly:
                yield self.source.finding(key, "readonly", f"{where}.{name} cannot be written")
            else:
                yield from self._value(value, wanted, f"{where}.{name}")
        for name, wanted in model.properties.items():
            if wanted.required and not wanted.readonly and name not in seen | beside and not computed:
                yield self.source.finding(node, "required", f"{where} needs '{name}'")

    def _chosen(self, node: Node, model: Model) -> Model:
        """The model that the discriminator's value chooses."""
        for _, name, value in properties(node):
            if name == model.discriminator and model.subtypes and (chosen := string(value)):
                return self.catalogue.models.get(model.subtypes.get(chosen, ""), model)
        return model

    def _value(self, node: Node, wanted: Property, where: str) -> Iterator[Finding]:
        inner = Property(wanted.kind, "", wanted.model, wanted.values)
        if wanted.many == "array" and node.type == "array":
            for one in named(node):
                yield from self._value(one, inner, f"{where}[]")
        elif wanted.many == "array" and node.type == "for_statement":
            if (item := body(node)) is not None:
                yield from self._value(item, inner, f"{where}[]")
        elif wanted.many == "map" and node.type == "object":
            for _, name, one in properties(node):
                yield from self._value(one, inner, f"{where}.{name or '*'}")
        elif node.type == "ternary_expression":
            for one in named(node)[1:]:
                yield from self._value(one, wanted, where)
        elif not wanted.many and wanted.kind == "model" and node.type == "object":
            if (model := self.catalogue.models.get(wanted.model)) is not None:
                yield from self._object(node, model, where)
        else:
            yield from self._scalar(node, wanted, where)

    def _scalar(self, node: Node, wanted: Property, where: str) -> Iterator[Finding]:
        kind = expressions.type_of(node, self.declared)
        allowed = {"array": {"array"}, "map": {"object"}}.get(wanted.many) or _FITS.get(
            wanted.kind, {"object"}
        )
        if kind not in (None, "null") and wanted.kind != "any" and kind not in allowed:
            yield self.source.finding(node, "type", f"{where} takes {' or '.join(allowed)}, not {kind}")
        elif wanted.values and not wanted.many:
            known = {value.lower() for value in wanted.values}
            for value in self._possible(node):
                if value.lower() not in known:
                    some = ", ".join(wanted.values[:8])
                    yield self.source.finding(node, "value", f"{where} is one of {some}, not '{value}'")

    def _possible(self, node: Node) -> list[str]:
        """The texts that an expression can have, as far as they are known: its own, or what a parameter allows."""
        if (value := string(node)) is not None:
            return [value]
        words = expressions.path(node)
        one = next((each for each in self.declared if words == [each.name]), None)
        allowed = None if one is None else one.decorators.get("allowed")
        try:
            values: Literal = [] if allowed is None else literal(allowed)
        except ValueError:
            return []
        return [each for each in values if isinstance(each, str)] if isinstance(values, list) else []

    def _reads(self) -> Iterator[Finding]:
        """Reads of properties that a resource does not have."""
        resources = {one.name: one for one in self.declared if one.kind == "resource"}
        within: set[int] = set()
        for node in walk(self.source.root):
            if node.type != "member_expression" or node.id in within:
                continue
            within |= {one.id for one in walk(node)}
            words = expressions.path(node)
            if words is not None and words[0] in resources:
                yield from self._read(node, resources[words[0]], words[1:])

    def _read(self, node: Node, one: Declaration, words: Sequence[str]) -> Iterator[Finding]:
        kind, _, version = one.type.partition("@")
        value = one.value
        name = string(_given(value).get("name")) if value is not None else None
        variant = self.catalogue.variant(kind, version, name)
        if variant is None or not variant.read or words[0] in _OF_READS:
            return
        model: Model | None = self.catalogue.models.get(variant.read)
        for word in words:
            if model is None or not model.properties:
                return
            if word not in model.properties:
                yield self.source.finding(
                    node, "property", f"{kind} has no '{'.'.join(words)}'{_hint(word, model)}"
                )
                return
            wanted = model.properties[word]
            model = self.catalogue.models.get(wanted.model) if not wanted.many else None


def _given(node: Node) -> Mapping[str, Node]:
    return {name: value for _, name, value in properties(node) if name}


def _hint(name: str, model: Model) -> str:
    """What may have been meant."""
    near = next((one for one in model.properties if one.lower() == name.lower()), None)
    return f", but '{near}'" if near else ""
