"""Reads what the tests compare: declarations, literals and properties of the templates."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tree_sitter import Node

from tools.bicep_check.syntax import Declaration, declarations, literal, properties, read, text, walk

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
FILES = sorted(INFRA.rglob("*.bicep*"))


@cache
def declared(name: str) -> dict[str, Declaration]:
    """What a file declares but for its outputs, by name."""
    return {one.name: one for one in declarations(read(INFRA / name)) if one.kind != "output"}


def value(name: str, variable: str) -> Any:
    """The literal that a file gives a variable or a parameter."""
    node = declared(name)[variable].value
    assert node is not None
    return literal(node)


def bound(name: str, parameter: str, decorator: str) -> Any:
    """What a decorator says of a parameter."""
    node = declared(name)[parameter].decorators[decorator]
    assert node is not None
    return literal(node)


def keys(name: str, variable: str) -> set[str]:
    """The keys of an object."""
    node = declared(name)[variable].value
    assert node is not None
    return {key for _, key, _ in properties(node) if key}


def at(node: Node | None, path: str) -> Node:
    """The property of an object at a path of words."""
    for word in path.split("."):
        assert node is not None
        node = {key: one for _, key, one in properties(node)}[word]
    assert node is not None
    return node


def source(name: str, variable: str) -> str:
    """The text of what a variable stands for."""
    node = declared(name)[variable].value
    assert node is not None
    return text(node)


def values(name: str, variable: str, key: str) -> list[Node]:
    """The values of a key in a list of objects."""
    node = declared(name)[variable].value
    assert node is not None
    objects = [one for one in walk(node) if one.type == "object"]
    return [found for one in objects for _, word, found in properties(one) if word == key]
