"""Names: each is declared once, known where it stands, and needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tree_sitter import Node

from tools.bicep_check.syntax import Declaration, Finding, Source, loops, named, text, walk


def _words(names: str) -> frozenset[str]:
    return frozenset(names.split())


FUNCTIONS = _words(
    """any array base64 base64ToJson base64ToString bool cidrHost cidrSubnet coalesce concat contains dataUri
    dataUriToString dateTimeAdd dateTimeFromEpoch dateTimeToEpoch deployer deployment empty endsWith
    environment extensionResourceId fail filter first flatten format getSecret groupBy guid indexOf int
    intersection items join json last lastIndexOf length listKeys loadFileAsBase64 loadJsonContent
    loadTextContent loadYamlContent managementGroup managementGroupResourceId map mapValues max min newGuid
    objectKeys padLeft parseCidr pickZones range readEnvironmentVariable reduce reference replace
    resourceGroup resourceId shallowMerge skip sort split startsWith string subscription
    subscriptionResourceId substring take tenant tenantResourceId toLogicalZone toLower toObject toUpper
    trim union uniqueString uri uriComponent uriComponentToString utcNow"""
)
"""Functions of the language (learn.microsoft.com, Bicep functions)."""

DECORATORS = _words(
    """allowed batchSize description discriminator export maxLength maxValue metadata minLength minValue
    onlyIfNotExists retryOn sealed secure waitUntil"""
)

_NEEDED = ("param", "var", "type", "func")

_NAMING = _words(
    """parameter_declaration variable_declaration resource_declaration module_declaration output_declaration
    type_declaration user_defined_function object_property parameter lambda_expression"""
)
"""Nodes whose first word is a name that they give."""

_WITHOUT_NAMES = _words(
    "target_scope_assignment using_statement decorator metadata_declaration for_loop_parameters"
)


def check(source: Source, declared: Sequence[Declaration]) -> Iterator[Finding]:
    """What is wrong with the names of a file."""
    yield from _duplicates(source, declared)
    yield from _decorators(source, declared)
    known = frozenset(one.name for one in declared if one.kind != "output")
    used: set[str] = set()
    for node, scope in _references(source.root, known):
        used.add(text(node))
        is_function = node.parent is not None and node.parent.type == "call_expression"
        if is_function and text(node) not in FUNCTIONS | scope:
            yield source.finding(node, "function", f"there is no function '{text(node)}'")
        elif not is_function and text(node) not in scope:
            yield source.finding(node, "undefined", f"'{text(node)}' is not declared")
    for one in declared:
        if one.kind in _NEEDED and source.path.suffix == ".bicep" and one.name not in used:
            yield source.finding(one.node, "unused", f"{one.kind} '{one.name}' is used nowhere")


def _duplicates(source: Source, declared: Sequence[Declaration]) -> Iterator[Finding]:
    seen: set[tuple[bool, str | None, str]] = set()
    for one in declared:
        place = (one.kind == "output", one.parent, one.name)
        if place in seen:
            yield source.finding(one.node, "duplicate", f"'{one.name}' is declared twice")
        seen.add(place)


def _decorators(source: Source, declared: Sequence[Declaration]) -> Iterator[Finding]:
    for one in declared:
        for name in one.decorators.keys() - DECORATORS:
            yield source.finding(one.node, "decorator", f"there is no decorator '@{name}'")


def _references(node: Node, scope: frozenset[str]) -> Iterator[tuple[Node, frozenset[str]]]:
    """Identifiers that stand for something declared elsewhere, each with the names known there."""
    if node.type in _WITHOUT_NAMES:
        return
    if node.type == "identifier":
        yield node, scope
        return
    children = named(node)
    for child in children[1:] if node.type in _NAMING and children[0].type == "identifier" else children:
        yield from _references(child, scope | _bound(node, child))


def _bound(node: Node, child: Node) -> frozenset[str]:
    """The names that a child of a node knows beside those of the node."""
    if node.type == "for_statement":
        return frozenset(loops(node))
    if node.type == "arguments":  # the grammar ends a lambda before the operators of its body
        lambdas = [one for one in walk(child) if one.type == "lambda_expression"]
        return frozenset(text(one) for found in lambdas for one in named(found)[:-1])
    if node.type == "user_defined_function":
        return frozenset(
            text(named(one)[0]) for part in named(node) if part.type == "parameters" for one in named(part)
        )
    return frozenset()
