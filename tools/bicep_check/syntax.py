"""Bicep files as syntax trees: declarations, literals, and where the text is no Bicep."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))

_DECLARATIONS = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
    "type_declaration": "type",
    "user_defined_function": "func",
}

_ESCAPES = {"\\'": "'", "\\\\": "\\", "\\n": "\n", "\\r": "\r", "\\t": "\t", "\\$": "$"}

Literal = str | int | bool | None | list["Literal"] | dict[str, "Literal"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where."""

    path: Path
    line: int
    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.text}"


@dataclass(frozen=True, slots=True)
class Declaration:
    """A parameter, variable, resource, module, output, type or function.

    Parameters
    ----------
    type
        What stands for the type: `string` of a parameter, `Microsoft.Web/sites@2025-05-01` of a resource, the path of
        a module.
    value
        What follows the equals sign, without the condition and the loop around it.
    """

    kind: str
    name: str
    node: Node
    type: str
    value: Node | None
    decorators: Mapping[str, Node | None] = field(default_factory=dict)
    is_existing: bool = False
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file."""

    path: Path
    root: Node

    def finding(self, node: Node, rule: str, message: str) -> Finding:
        """Say what is wrong with a part of the file."""
        return Finding(self.path, node.start_point.row + 1, rule, message)


def read(path: Path) -> Source:
    """Parse a file; the grammar has no parameter files, whose assignments are those of variables."""
    content = path.read_bytes()
    if path.suffix == ".bicepparam":
        content = re.sub(rb"^param ", b"var   ", content, flags=re.MULTILINE)
    return Source(path, _PARSER.parse(content).root_node)


def text(node: Node) -> str:
    """The characters of a node."""
    return (node.text or b"").decode()


def named(node: Node) -> list[Node]:
    """The named children, without comments."""
    return [child for child in node.named_children if child.type != "comment"]


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text."""
    yield node
    for child in node.children:
        yield from walk(child)


def string(node: Node | None) -> str | None:
    """The value of a string without interpolation; None of anything else."""
    if node is None or node.type != "string" or any(one.type == "interpolation" for one in node.children):
        return None
    return "".join(_ESCAPES.get(text(one), text(one)) for one in named(node))


def properties(node: Node) -> Iterator[tuple[Node, str | None, Node]]:
    """Key, name and value of each property of an object; a computed key has no name."""
    for one in named(node):
        if one.type == "object_property":
            parts = named(one)
            if len(parts) == 2:
                key, value = parts
                yield key, string(key) if key.type == "string" else text(key), value


def literal(node: Node) -> Literal:
    """The value of an expression that is a literal.

    Raises
    ------
    ValueError
        It is not.
    """
    match node.type:
        case "string" if (value := string(node)) is not None:
            return value
        case "number":
            return int(text(node))
        case "boolean":
            return text(node) == "true"
        case "null":
            return None
        case "array":
            return [literal(one) for one in named(node)]
        case "object":
            return {name or text(key): literal(value) for key, name, value in properties(node)}
    raise ValueError(f"line {node.start_point.row + 1}: {text(node)} is no literal")


def body(node: Node | None) -> Node | None:
    """What a condition or a loop is about: the object inside."""
    while node is not None and node.type in ("if_statement", "for_statement"):
        node = named(node)[-1]
    return node


def loops(node: Node) -> Iterator[str]:
    """The variables that a `for` binds."""
    for one in named(node)[:-2]:
        yield from map(text, named(one)) if one.type == "for_loop_parameters" else [text(one)]


def declarations(source: Source) -> list[Declaration]:
    """All declarations of a file, those of nested resources behind the one that they are in."""
    found: list[Declaration] = []
    decorators: dict[str, Node | None] = {}
    for node in named(source.root):
        if node.type == "decorators":
            decorators = dict(map(_decorator, named(node)))
        elif node.type in _DECLARATIONS:
            found += _declared(node, decorators)
            decorators = {}
    return found


def _decorator(node: Node) -> tuple[str, Node | None]:
    """Name and first argument."""
    call = named(node)[0]
    if call.type != "call_expression":
        return text(call), None
    name, arguments = named(call)[0], named(call)[-1]
    return text(name).removeprefix("sys."), next(iter(named(arguments)), None)


def _declared(
    node: Node, decorators: Mapping[str, Node | None], parent: Declaration | None = None
) -> Iterator[Declaration]:
    kind = _DECLARATIONS[node.type]
    name, *rest = named(node)
    words = {child.type for child in node.children}
    value = rest[-1] if rest and "=" in words else None
    kind_of = rest[0] if rest and kind != "var" and (len(rest) > 1 or value is None) else None
    one = Declaration(
        kind,
        text(name),
        node,
        (string(kind_of) or text(kind_of)) if kind_of is not None else "",
        body(value) if kind in ("resource", "module") else value,
        decorators,
        "existing" in words,
        None if parent is None else parent.name,
    )
    if parent is not None:
        one = _nested(one, parent)
    yield one
    if kind == "resource" and one.value is not None:
        for inner in named(one.value):
            for child in [inner, *named(inner)]:
                if child.type == "resource_declaration":
                    yield from _declared(child, {}, one)


def _nested(one: Declaration, parent: Declaration) -> Declaration:
    """A nested resource, with the whole of its type."""
    outer, _, version = parent.type.partition("@")
    inner, _, own = one.type.partition("@")
    whole = f"{outer}/{inner}@{own or version}"
    return Declaration(
        one.kind, one.name, one.node, whole, one.value, one.decorators, one.is_existing, one.parent
    )


def faults(source: Source) -> Iterator[Finding]:
    """Where the text is no Bicep, and items that commas or lines do not part as Bicep wants it."""
    for node in walk(source.root):
        if node.is_missing:
            yield source.finding(node, "syntax", f"'{node.type}' is missing")
        elif node.is_error:
            yield source.finding(node, "syntax", f"unexpected '{text(node).splitlines()[0][:40]}'")
        elif node.type in ("object", "array") and not node.has_error:
            yield from _separators(source, node)


def _separators(source: Source, node: Node) -> Iterator[Finding]:
    items = named(node)
    content = text(node).encode()
    for before, after in itertools.pairwise(items):
        between = content[before.end_byte - node.start_byte : after.start_byte - node.start_byte]
        gap = re.sub(rb"//[^\n]*|/\*.*?\*/", b"", between, flags=re.DOTALL)
        if (b"," in gap) == (b"\n" in gap):
            yield source.finding(
                after, "syntax", "items are parted by a comma or a new line, and not by both"
            )
