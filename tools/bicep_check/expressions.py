"""What can be said of an expression without evaluating it."""

from __future__ import annotations

from collections.abc import Sequence

from tree_sitter import Node

from tools.bicep_check.syntax import Declaration, named, text

_TYPES = {
    "string": "string",
    "number": "int",
    "boolean": "bool",
    "object": "object",
    "array": "array",
    "for_statement": "array",
    "null": "null",
}

_RESULTS = {
    "bool": "bool",
    "concat": "array",
    "contains": "bool",
    "empty": "bool",
    "filter": "array",
    "guid": "string",
    "int": "int",
    "join": "string",
    "length": "int",
    "map": "array",
    "max": "int",
    "min": "int",
    "readEnvironmentVariable": "string",
    "replace": "string",
    "string": "string",
    "subscriptionResourceId": "string",
    "toLower": "string",
    "union": "object",
    "uniqueString": "string",
    "uriComponent": "string",
}

_OF_BOOLEANS = {"==", "!=", "=~", "!~", "<", ">", "<=", ">=", "&&", "||", "!"}


def type_of(node: Node, declared: Sequence[Declaration]) -> str | None:
    """The type of an expression, None if it cannot be told."""
    if node.type in _TYPES:
        return _TYPES[node.type]
    parts = named(node)
    if node.type == "parenthesized_expression":
        return type_of(parts[0], declared)
    if node.type == "ternary_expression":
        kinds = {type_of(one, declared) for one in parts[1:]} - {"null"}
        return kinds.pop() if len(kinds) == 1 else None
    if node.type in ("binary_expression", "unary_expression"):
        operators = {child.type for child in node.children}
        return "bool" if operators & _OF_BOOLEANS else None
    if node.type == "call_expression":
        return _RESULTS.get(text(parts[0]))
    if node.type == "identifier":
        one = next((each for each in declared if each.name == text(node)), None)
        if one is not None and one.kind == "param":
            return one.type if one.type in _TYPES.values() else None
        if one is not None and one.kind == "var" and one.value is not None:
            return type_of(one.value, declared)
    return None


def path(node: Node) -> list[str] | None:
    """`a.b.c` as its words, from a declared name on; None of anything else."""
    if node.type == "identifier":
        return [text(node)]
    if node.type == "resource_expression":
        return [text(named(node)[-1])]
    if node.type == "member_expression":
        before, word = named(node)
        words = path(before)
        return None if words is None else [*words, text(word)]
    if node.type == "subscript_expression":
        return path(named(node)[0])
    return None
