"""Digests the published models of Azure's resources into one file: `python -m tools.bicep_check.digest FOLDER FILE`.

The wheels azure-mgmt-* are generated from the specifications of Azure Resource Manager. Their code is read here and
never run: the functions that build requests tell resource types, API versions and bodies, the classes of their models
tell properties. Both generations of the generator are read.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.bicep_check.models import ANY_NAME

_BUILDER = re.compile(r'^def (build_\w+_request)\((.*?)^    return HttpRequest\(method="(\w+)"', re.S | re.M)
_URL = re.compile(r'_url = (?:kwargs\.pop\(\s*"template_url",)?\s*\(?\s*((?:"[^"]*"[,\s]*(?:#[^\n]*)?\s*)+)')
_VERSION = re.compile(r'"api-version", "([\w-]+)"')
_DOCUMENTED = re.compile(r":vartype (\w+):\s+str\s+or\s+~[\w.]+\.(\w+)")

_SCALARS = (("bool", "bool"), ("int", "int"), ("long", "int"), ("float", "number"), ("str", "string"))
_TEXTS = ("datetime", "timedelta", "duration", "iso-8601", "rfc-1123", "date", "time", "base64")

Json = dict[str, Any]


@dataclass(slots=True)
class _Package:
    """The classes of one folder of models: of one package, or of one API version of it."""

    classes: dict[str, ast.ClassDef] = field(default_factory=dict)

    def enum(self, name: str) -> list[str] | None:
        """The values of an enumeration, None of anything else."""
        node = self.classes.get(name)
        if node is None or not any("Enum" in ast.unparse(base) for base in node.bases):
            return None
        return [
            str(one.value.value)
            for one in node.body
            if isinstance(one, ast.Assign) and isinstance(one.value, ast.Constant)
        ]


def digest(wheels: Iterable[Path]) -> Json:
    """The resource types and the models that they are made of."""
    types: Json = {}
    models: Json = {}
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            for folder, files in _folders(archive).items():
                _add_types(types, f"{wheel.name.split('-')[0]}/{folder}", files["operations"])
                models |= _models(f"{wheel.name.split('-')[0]}/{folder}", files["models"])
    return {"types": types, "models": _reachable(types, models)}


def _folders(archive: zipfile.ZipFile) -> Mapping[str, Mapping[str, list[str]]]:
    """The sources of operations and models, by the folder that has both."""
    found: dict[str, dict[str, list[str]]] = {}
    for name in archive.namelist():
        match = re.match(r"azure/mgmt/(.*)/(operations|models)/_\w+\.py$", name)
        if match and "/aio" not in match[1]:
            kinds = found.setdefault(match[1], {"operations": [], "models": []})
            kinds[match[2]].append(archive.read(name).decode())
    return found


# Resource types


def _add_types(types: Json, place: str, sources: Iterable[str]) -> None:
    for source in sources:
        bodies = _bodies(source)
        for name, text, method in _BUILDER.findall(source):
            url, version = _URL.search(text), _VERSION.search(text)
            if url is None or version is None:
                continue
            kind, fixed = _type("".join(re.findall(r'"([^"]*)"', url[1])))
            if not kind:
                continue
            body, result = bodies.get(name, ("", ""))
            variant = (
                types.setdefault(kind, {})
                .setdefault(version[1], {})
                .setdefault(fixed, {"write": "", "read": ""})
            )
            if method == "PUT" and body:
                variant["write"] = variant["write"] or f"{place}/{body}"
            if method == "GET" and result and f"{place}/{result}" != variant["read"]:
                variant["read"] = variant["read"] or f"{place}/{result}"


def _type(url: str) -> tuple[str, str]:
    """The type that a URL is of, and the name if it fixes one; empty if it is of no resource."""
    _, found, tail = url.rpartition("/providers/")
    namespace, *parts = tail.lower().split("/")
    kinds, names = parts[0 : len(parts) // 2 * 2 : 2], parts[1::2]
    if not found or not kinds or any(one.startswith("{") for one in [namespace, *kinds]):
        return "", ""
    if len(parts) % 2:
        return "/".join([namespace, *kinds]), "?"  # an action, or a list
    return "/".join([namespace, *kinds]), ANY_NAME if names[-1].startswith("{") else names[-1]


def _bodies(source: str) -> Mapping[str, tuple[str, str]]:
    """The models of body and answer, by the function that builds the request."""
    found = {}
    for text in source.split("\n    def ")[1:]:
        built = re.search(r"= (build_\w+_request)\(", text)
        signature = re.match(r"\w+\((.*?)\)\s*->\s*(.*?):\s*\n", text, re.S)
        if built and signature:
            body = re.search(r"Union\[\s*_models\.(\w+)|: _models\.(\w+)", signature[1])
            answer = re.match(r"_models\.(\w+)$", signature[2])
            found[built[1]] = ((body[1] or body[2]) if body else "", answer[1] if answer else "")
    return found


# Models


def _models(place: str, sources: Iterable[str]) -> Json:
    package = _Package()
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.ClassDef):
                package.classes.setdefault(node.name, node)
    found: Json = {}
    for name, node in package.classes.items():
        if package.enum(name) is None:
            found |= _model(package, place, node)
    return found


def _model(package: _Package, place: str, node: ast.ClassDef) -> Json:
    """A model, and those that its flattened properties stand for."""
    old = {target: value for target, value in _assignments(node) if target.startswith("_")}
    if "_attribute_map" in old:
        return _old_model(
            package, place, node, {name: ast.literal_eval(value) for name, value in old.items()}
        )
    model: Json = {"properties": {}}
    for cls in reversed(_bases(package, node)):
        for wire, one, is_discriminator in _fields(package, place, cls):
            model["properties"][wire] = one
            if is_discriminator:
                model["discriminator"] = wire
    subtypes = {
        keyword.value.value: f"{place}/{one.name}"
        for one in package.classes.values()
        if any(getattr(base, "id", "") == node.name for base in one.bases)
        for keyword in one.keywords
        if keyword.arg == "discriminator" and isinstance(keyword.value, ast.Constant)
    }
    return {f"{place}/{node.name}": model | ({"subtypes": subtypes} if subtypes else {})}


def _bases(package: _Package, node: ast.ClassDef) -> list[ast.ClassDef]:
    """The class and those that it inherits from, as far as they are models."""
    found = [node]
    for base in node.bases:
        parent = package.classes.get(getattr(base, "id", getattr(base, "attr", "")))
        if parent is not None:
            found += _bases(package, parent)
    return found


def _assignments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for one in node.body:
        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name):
            yield one.targets[0].id, one.value


def _fields(package: _Package, place: str, node: ast.ClassDef) -> Iterator[tuple[str, Json, bool]]:
    """The properties that a class of the newer generator declares itself."""
    for one in node.body:
        if not (isinstance(one, ast.AnnAssign) and isinstance(one.value, ast.Call)):
            continue
        called = getattr(one.value.func, "id", "")
        if called not in ("rest_field", "rest_discriminator") or not isinstance(one.target, ast.Name):
            continue
        given = {
            keyword.arg: ast.literal_eval(keyword.value)
            for keyword in one.value.keywords
            if keyword.arg != "type"
        }
        annotation = ast.unparse(one.annotation)
        kind = _property(package, place, annotation)
        if given.get("visibility") == ["read"]:
            kind["readonly"] = True
        elif not annotation.startswith("Optional["):
            kind["required"] = True
        yield given.get("name", one.target.id), kind, called == "rest_discriminator"


def _old_model(package: _Package, place: str, node: ast.ClassDef, tables: Mapping[str, Any]) -> Json:
    """A model of the older generator, which tells its properties in tables and joins nested names by points."""
    name = f"{place}/{node.name}"
    found: Json = {name: {"properties": {}}}
    documented = dict(_DOCUMENTED.findall(ast.get_docstring(node) or ""))
    rules = tables.get("_validation", {})
    for attribute, told in tables["_attribute_map"].items():
        kind = _property(package, place, told["type"])
        if (values := package.enum(documented.get(attribute, ""))) and kind["kind"] == "string":
            kind["values"] = values
        rule = rules.get(attribute, {})
        kind |= {word: True for word in ("required", "readonly") if rule.get(word)}
        *outer, last = [part.replace("\0", ".") for part in told["key"].replace("\\.", "\0").split(".")]
        owner = name
        for part in outer:
            found[owner]["properties"].setdefault(part, {"kind": "model", "model": f"{owner}.{part}"})
            owner = f"{owner}.{part}"
            found.setdefault(owner, {"properties": {}})
        found[owner]["properties"][last] = kind
    for attribute, subtypes in tables.get("_subtype_map", {}).items():
        found[name]["discriminator"] = tables["_attribute_map"][attribute]["key"].replace("\\.", ".")
        found[name]["subtypes"] = {value: f"{place}/{one}" for value, one in subtypes.items()}
    return found


def _property(package: _Package, place: str, annotation: str) -> Json:
    """What an annotation, or the type in a table of the older generator, says."""
    told: Json = {}
    if re.search(r"\b[Dd]ict\[|Mapping\[|^\{", annotation):
        told["many"] = "map"
    elif re.search(r"\b[Ll]ist\[|Sequence\[|^\[", annotation):
        told["many"] = "array"
    words = re.findall(r"\w[\w-]*", annotation)
    for word in words:
        if (values := package.enum(word)) is not None:
            return told | {"kind": "string", "values": values}
        if word in package.classes:
            return told | {"kind": "model", "model": f"{place}/{word}"}
    if any(word in _TEXTS for word in words):
        return told | {"kind": "string"}
    return told | {"kind": next((kind for word, kind in _SCALARS if word in words), "any")}


def _reachable(types: Json, models: Json) -> Json:
    """The models that a resource is made of."""
    waiting = [
        name
        for versions in types.values()
        for names in versions.values()
        for variant in names.values()
        for name in (variant["write"], variant["read"])
    ]
    found: Json = {}
    while waiting:
        name = waiting.pop()
        if name in found or name not in models:
            continue
        model = found[name] = models[name]
        waiting += [one["model"] for one in model["properties"].values() if "model" in one]
        waiting += model.get("subtypes", {}).values()
    return found


if __name__ == "__main__":
    folder, file = map(Path, sys.argv[1:])
    file.write_text(json.dumps(digest(sorted(folder.glob("*.whl")))))
