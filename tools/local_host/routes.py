r"""Route templates as the Functions host understands them (those of ASP.NET Core).

A template is a list of segments: literals, parameters `{study}`, mixtures `v{version:int}`, optional ones
`{study?}`, ones with a default `{limit=10}`, and a catch-all `{*path}` at the end. A constraint follows a colon
and must hold for the value: a route whose constraint fails is no match. Case matters in values only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

T = TypeVar("T")
Constraint = Callable[[str], object]

_PART = re.compile(r"(\{(?:[^{}]|\{\{|\}\})*\})")
_PARAMETER = re.compile(r"\{(\*{0,2})(\w+)((?::[^=?]+(?:\((?:.*)\))?)*)(\?|=.*)?\}", re.DOTALL)
_CONSTRAINT = re.compile(r":(\w+)(?:\((.*?)\)(?=:|$))?", re.DOTALL)

# The rank of a segment: the lower one wins (RoutePrecedence of ASP.NET Core).
_LITERAL, _CONSTRAINED, _PLAIN, _CONSTRAINED_CATCH_ALL, _CATCH_ALL = 1, 2, 3, 4, 5


def _pattern(pattern: str) -> Constraint:
    return re.compile(pattern, re.IGNORECASE).fullmatch


def _integer(bits: int) -> Constraint:
    limit = 2 ** (bits - 1)
    digits = re.compile(r"-?[0-9]{1,20}").fullmatch
    return lambda value: digits(value) is not None and -limit <= int(value) < limit


def _length(argument: str) -> Constraint:
    low, _, high = argument.partition(",")
    return lambda value: int(low) <= len(value) <= int(high or low)


def _range(argument: str) -> Constraint:
    low, _, high = argument.partition(",")
    is_long = _integer(64)
    return lambda value: bool(is_long(value)) and int(low) <= int(value) <= int(high)


def _regex(argument: str) -> Constraint:
    return re.compile(argument.replace("{{", "{").replace("}}", "}"), re.IGNORECASE).search


_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?"
_LARGEST = 2**63 - 1
_CONSTRAINTS: Mapping[str, Callable[[str], Constraint]] = {
    "int": lambda _: _integer(32),
    "long": lambda _: _integer(64),
    "bool": lambda _: _pattern("true|false"),
    "guid": lambda _: _pattern(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|[0-9a-f]{32}"),
    "alpha": lambda _: _pattern("[a-z]*"),
    "decimal": lambda _: _pattern(_NUMBER),
    "double": lambda _: _pattern(_NUMBER),
    "float": lambda _: _pattern(_NUMBER),
    "required": lambda _: _pattern(r".+"),
    "length": _length,
    "minlength": lambda argument: _length(f"{argument},{_LARGEST}"),
    "maxlength": lambda argument: _length(f"0,{argument}"),
    "min": lambda argument: _range(f"{argument},{_LARGEST}"),
    "max": lambda argument: _range(f"{-_LARGEST},{argument}"),
    "range": _range,
    "regex": _regex,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a template."""

    name: str
    constraints: tuple[Constraint, ...]
    optional: bool
    default: str | None
    catch_all: bool


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """A compiled template and what it leads to."""

    template: str
    target: T
    methods: frozenset[str] | None
    regex: re.Pattern[str]
    constraints: tuple[tuple[str, Constraint], ...]
    defaults: Mapping[str, str]
    rank: tuple[int, ...]

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters' values if the path fits the template."""
        found = self.regex.fullmatch(path)
        if found is None:
            return None
        values: dict[str, str] = {name: value for name, value in found.groupdict().items() if value}
        for name, holds in self.constraints:
            if name in values and not holds(values[name]):
                return None
        return {**self.defaults, **values} if self.defaults else values


def compile_route(
    template: str, target: T, methods: Iterable[str] | None = None, prefix: str = ""
) -> Route[T]:
    """Compile a template; no methods means every method.

    Raises
    ------
    ValueError
        The template is not one the Functions host would take.
    """
    full = "/".join(part.strip("/") for part in (prefix, template) if part.strip("/"))
    segments = [_segment(text, full) for text in full.split("/")] if full else []
    parameters = [parameter for _, _, of_segment in segments for parameter in of_segment]
    names = [parameter.name.lower() for parameter in parameters]
    if len(set(names)) != len(names):
        raise ValueError(f"route {full!r} names a parameter twice")
    return Route(
        template=full,
        target=target,
        methods=frozenset(method.upper() for method in methods) if methods else None,
        regex=re.compile("".join(regex for regex, _, _ in segments) + "/?", re.IGNORECASE | re.DOTALL),
        constraints=tuple((p.name, constraint) for p in parameters for constraint in p.constraints),
        defaults={p.name: p.default for p in parameters if p.default is not None},
        rank=tuple(rank for _, rank, _ in segments),
    )


def _segment(text: str, template: str) -> tuple[str, int, list[Parameter]]:
    """One segment: its regular expression with the slash before it, its rank, its parameters."""
    parts = [part for part in _PART.split(text) if part]
    if parts == []:
        raise ValueError(f"route {template!r} has an empty segment")
    parameters = [_parameter(part, template) for part in parts if part.startswith("{")]
    if any(set(part) & set("{}") for part in parts if not part.startswith("{")):
        raise ValueError(f"route {template!r} has an unmatched brace")
    if not parameters:
        return f"/{re.escape(text)}", _LITERAL, []
    if len(parts) > 1:
        return "/" + "".join(_in_mixture(part, template) for part in parts), _CONSTRAINED, parameters
    only = parameters[0]
    if only.catch_all:
        rank = _CONSTRAINED_CATCH_ALL if only.constraints else _CATCH_ALL
        return f"(?:/(?P<{only.name}>.*))?", rank, parameters
    regex = f"/(?P<{only.name}>[^/]+)"
    may_miss = only.optional or only.default is not None
    return f"(?:{regex})?" if may_miss else regex, _CONSTRAINED if only.constraints else _PLAIN, parameters


def _in_mixture(part: str, template: str) -> str:
    return f"(?P<{_parameter(part, template).name}>[^/]+)" if part.startswith("{") else re.escape(part)


def _parameter(text: str, template: str) -> Parameter:
    found = _PARAMETER.fullmatch(text)
    if found is None:
        raise ValueError(f"route {template!r}: {text!r} is no parameter")
    stars, name, constraints, tail = found.groups()
    return Parameter(
        name=name,
        constraints=tuple(_constraint(c[1], c[2] or "", template) for c in _CONSTRAINT.finditer(constraints)),
        optional=tail == "?",
        default=tail[1:] if tail and tail != "?" else None,
        catch_all=bool(stars),
    )


def _constraint(name: str, argument: str, template: str) -> Constraint:
    make = _CONSTRAINTS.get(name.lower())
    if make is None:
        raise ValueError(f"route {template!r}: the constraint {name!r} is unknown")
    return make(argument)


class Table(Generic[T]):
    """Every route of an app, the most specific first."""

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        self._any: list[Route[T]] = []
        self._by_method: dict[str, list[Route[T]]] = {}
        ordered = sorted(routes, key=lambda route: route.rank)
        methods = {method for route in ordered for method in route.methods or ()}
        for route in ordered:
            if route.methods is None:
                self._any.append(route)
            for method in route.methods or methods:
                self._by_method.setdefault(method, []).append(route)

    def find(self, method: str, path: str) -> tuple[T, dict[str, str]] | None:
        """The target of the first route that fits, and the values of its parameters."""
        for route in self._by_method.get(method, self._any):
            values = route.match(path)
            if values is not None:
                return route.target, values
        return None


def decoded_path(raw_path: bytes) -> str:
    """Decode a path as the host's server does: all but an escaped slash, which would split a value."""
    text = raw_path.decode("ascii", "replace")
    return unquote(text.replace("%2f", "%252f").replace("%2F", "%252F")) if "%" in text else text
