"""Modules: the file is there, takes what it is given and is given what it needs, and has the outputs that are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tree_sitter import Node

from tools.bicep_check import expressions
from tools.bicep_check.syntax import (
    Declaration,
    Finding,
    Source,
    declarations,
    named,
    properties,
    read,
    text,
    walk,
)

_BUILT_IN = ("string", "int", "bool", "object", "array")


def check(source: Source, declared: Sequence[Declaration]) -> Iterator[Finding]:
    """What is wrong with the modules of a file, and with the defaults of its parameters."""
    for one in declared:
        if one.kind in ("param", "output") and one.value is not None:
            yield from _default(source, one, declared)
        if one.kind == "module":
            yield from _module(source, one, declared)


def required(declared: Sequence[Declaration]) -> set[str]:
    """The parameters that must be given."""
    return {one.name for one in declared if one.kind == "param" and one.value is None and "?" not in one.type}


def check_parameters(source: Source) -> Iterator[Finding]:
    """What is wrong with a parameter file: the template it names must take and get what it assigns."""
    using = next((node for node in named(source.root) if node.type == "using_statement"), None)
    if using is None:
        yield source.finding(source.root, "module", "no template is named")
        return
    path = source.path.parent / text(named(using)[0]).strip("'")
    if not path.is_file():
        yield source.finding(using, "module", f"{path.name} does not exist")
        return
    assigned = [one for one in declarations(source) if one.kind == "var"]
    theirs = declarations(read(path))
    takes = {one.name: one for one in theirs if one.kind == "param"}
    for one in assigned:
        if one.name not in takes:
            yield source.finding(one.node, "module-param", f"{path.name} has no parameter '{one.name}'")
        elif one.value is not None:
            given = expressions.type_of(one.value, assigned)
            yield from _mismatch(source, one, takes[one.name], given)
    for name in sorted(required(theirs) - {one.name for one in assigned}):
        yield source.finding(using, "module-param", f"{path.name} needs '{name}'")


def _default(source: Source, one: Declaration, declared: Sequence[Declaration]) -> Iterator[Finding]:
    assert one.value is not None
    yield from _mismatch(source, one, one, expressions.type_of(one.value, declared))


def _mismatch(source: Source, at: Declaration, wanted: Declaration, given: str | None) -> Iterator[Finding]:
    if given is not None and wanted.type in _BUILT_IN and given not in (wanted.type, "null"):
        yield source.finding(at.node, "type", f"'{at.name}' is {wanted.type}, {given} is given")


def _module(source: Source, one: Declaration, declared: Sequence[Declaration]) -> Iterator[Finding]:
    path = source.path.parent / one.type
    if not path.is_file():
        yield source.finding(one.node, "module", f"{one.type} does not exist")
        return
    theirs = declarations(read(path))
    takes = {each.name: each for each in theirs if each.kind == "param"}
    given = {name: (key, value) for key, name, value in _params(one) if name}
    for name, (key, value) in given.items():
        if name not in takes:
            yield source.finding(key, "module-param", f"{one.type} has no parameter '{name}'")
        else:
            kind, wanted = expressions.type_of(value, declared), takes[name].type
            if kind is not None and wanted in _BUILT_IN and kind not in (wanted, "null"):
                yield source.finding(key, "type", f"'{name}' of {one.type} is {wanted}, {kind} is given")
    for name in sorted(required(theirs) - given.keys()):
        yield source.finding(one.node, "module-param", f"{one.type} needs '{name}'")
    yield from _outputs(source, one, {each.name for each in theirs if each.kind == "output"})


def _params(one: Declaration) -> Iterator[tuple[Node, str | None, Node]]:
    for _, name, value in properties(one.value) if one.value is not None else ():
        if name == "params":
            yield from properties(value)


def _outputs(source: Source, one: Declaration, outputs: set[str]) -> Iterator[Finding]:
    """Reads of `module.outputs.name` that the module does not have."""
    for node in walk(source.root):
        path = expressions.path(node)
        if (
            path is not None
            and len(path) == 3
            and path[:2] == [one.name, "outputs"]
            and path[2] not in outputs
        ):
            yield source.finding(node, "module-output", f"{one.type} has no output '{path[2]}'")
