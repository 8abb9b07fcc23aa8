"""The checker of Bicep files, on files and models that are made here."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from tools.bicep_check import digest
from tools.bicep_check.__main__ import check, files
from tools.bicep_check.models import Catalogue, Model, Property, Variant
from tools.bicep_check.syntax import declarations, literal, read

NOTHING = Catalogue({}, {})

BOX = Catalogue(
    {
        "example.boxes/boxes": {"2025-01-01": {"*": Variant("Box", "Box"), "?": Variant("", "")}},
        "example.boxes/boxes/lids": {"2025-01-01": {"default": Variant("Lid", "")}},
    },
    {
        "Box": Model(
            {
                "location": Property("string", required=True),
                "kind": Property("string", values=("Round", "Square")),
                "tags": Property("string", many="map"),
                "properties": Property("model", model="BoxProperties"),
            }
        ),
        "BoxProperties": Model(
            {
                "width": Property("int"),
                "isOpen": Property("bool"),
                "state": Property("string", readonly=True),
                "labels": Property("string", many="array"),
                "content": Property("model", many="array", model="Content"),
            }
        ),
        "Content": Model({"type": Property("string", required=True)}, "type", {"Ball": "Ball"}),
        "Ball": Model({"type": Property("string", required=True), "radius": Property("int", required=True)}),
        "Lid": Model({}),
    },
)


def rules(tmp_path: Path, content: str, catalogue: Catalogue = NOTHING) -> list[str]:
    """The rules that a file breaks."""
    path = tmp_path / "file.bicep"
    path.write_text(content)
    return [finding.rule for finding in check([path], catalogue)]


def box(body: str) -> str:
    """A template with one resource."""
    return "resource box 'Example.Boxes/boxes@2025-01-01' = {\n  name: 'a'\n" + body + "\n}\n"


LANGUAGE = [
    pytest.param("param a string\noutput b string = a\n", [], id="nothing"),
    pytest.param("param a string = \n", ["syntax"], id="no value"),
    pytest.param("var a = {\n  b: 1\n\noutput c object = a\n", ["syntax"], id="no brace"),
    pytest.param("var a = [1, 2]\noutput b array = a\n", [], id="commas"),
    pytest.param("var a = [\n  1 // one\n  2\n]\noutput b array = a\n", [], id="lines"),
    pytest.param("var a = [\n  1,\n  2\n]\noutput b array = a\n", ["syntax"], id="comma and line"),
    pytest.param("output a string = b\n", ["undefined"], id="undefined"),
    pytest.param("output a string = a\n", ["undefined"], id="an output is no name"),
    pytest.param(
        "param a string\noutput a string = 'x'\n", ["unused"], id="unused beside an output of its name"
    ),
    pytest.param("var a = 1\nvar a = 2\noutput b int = a\n", ["duplicate"], id="duplicate"),
    pytest.param("output a string = toUper('x')\n", ["function"], id="function"),
    pytest.param("func f(x string) string => '${x}!'\noutput a string = f('x')\n", [], id="own function"),
    pytest.param("@descripton('x')\nparam a string\noutput b string = a\n", ["decorator"], id="decorator"),
    pytest.param("param l array\noutput a array = [for (x, i) in l: '${x}${i}']\n", [], id="loop"),
    pytest.param("param l array\noutput a array = [for x in l: y]\n", ["undefined"], id="in a loop"),
    pytest.param("param l array\noutput a array = filter(l, x => x.n > 0 && x.m)\n", [], id="lambda"),
    pytest.param("param l array\noutput a array = filter(l, x => y.n)\n", ["undefined"], id="in a lambda"),
    pytest.param("param a int = 'x'\noutput b int = a\n", ["type"], id="default"),
    pytest.param("param a bool\noutput b int = a ? 1 : 2\n", [], id="ternary"),
    pytest.param("param a bool\noutput b string = !a\n", ["type"], id="negation"),
    pytest.param(
        "var a = {\n  'b-c': 1\n  d: { e: 2 }\n}\noutput f object = a\n", [], id="keys are no names"
    ),
]


@pytest.mark.parametrize(("content", "broken"), LANGUAGE)
def test_file_breaks_these_rules(tmp_path: Path, content: str, broken: list[str]) -> None:
    """Syntax, names and types of a file by itself."""
    assert rules(tmp_path, content) == broken


RESOURCES = [
    pytest.param("  location: 'x'\n  kind: 'Round'\n  tags: {}\n  scope: resourceGroup()", [], id="right"),
    pytest.param("  kind: 'Round'", ["required"], id="required"),
    pytest.param("  location: 'x'\n  Kind: 'Round'", ["property"], id="case of a property"),
    pytest.param("  location: 'x'\n  kind: 'Flat'", ["value"], id="value"),
    pytest.param("  location: 'x'\n  kind: true ? 'Round' : 'Flat'", ["value"], id="value in a branch"),
    pytest.param("  location: 1", ["type"], id="type"),
    pytest.param("  location: 'x'\n  properties: { width: '1' }", ["type"], id="type inside"),
    pytest.param("  location: 'x'\n  properties: { isOpen: empty('') }", [], id="type of a function"),
    pytest.param(
        "  location: 'x'\n  properties: { isOpen: string(1) }", ["type"], id="wrong type of a function"
    ),
    pytest.param("  location: 'x'\n  properties: { state: 'x' }", ["readonly"], id="readonly"),
    pytest.param("  location: 'x'\n  properties: { labels: ['a', 1] }", ["type"], id="item"),
    pytest.param("  location: 'x'\n  properties: { labels: 'a' }", ["type"], id="no array"),
    pytest.param("  location: 'x'\n  tags: { a: 1 }", ["type"], id="value of a map"),
    pytest.param("  location: 'x'\n  tags: { '${'a'}': 'b' }", [], id="computed key"),
    pytest.param(
        "  location: 'x'\n  properties: { content: [{ type: 'Ball', radius: 1 }] }", [], id="subtype"
    ),
    pytest.param(
        "  location: 'x'\n  properties: { content: [{ type: 'Ball' }] }", ["required"], id="of a subtype"
    ),
    pytest.param(
        "  location: 'x'\n  properties: { content: [for i in [1]: { type: 'Ball', size: i }] }",
        ["property", "required"],
        id="in a loop",
    ),
    pytest.param("  location: null", [], id="null"),
]


@pytest.mark.parametrize(("body", "broken"), RESOURCES)
def test_resource_breaks_these_rules(tmp_path: Path, body: str, broken: list[str]) -> None:
    """Properties of a resource against its model."""
    assert rules(tmp_path, box(body), BOX) == broken


PLACES = [
    pytest.param(
        "resource a 'Example.Boxes/bags@2025-01-01' = {\n  name: 'a'\n}\n", ["resource-type"], id="type"
    ),
    pytest.param(
        "resource a 'Example.Boxes/boxes@2025-01-02' = {\n  name: 'a'\n}\n", ["api-version"], id="version"
    ),
    pytest.param(
        "resource a 'example.boxes/BOXES@2025-01-01' existing = {\n  name: 'a'\n}\n", [], id="case of a type"
    ),
    pytest.param(
        "resource a 'Example.Boxes/boxes/lids@2025-01-01' = {\n  name: 'x'\n}\n", ["resource-type"], id="name"
    ),
    pytest.param(
        "resource a 'Example.Boxes/boxes@2025-01-01' = {\n  location: 'x'\n}\n", ["required"], id="no name"
    ),
    pytest.param(
        "resource a 'Example.Boxes/boxes@2025-01-01' existing = {\n  name: 'a'\n\n"
        "  resource lid 'lids' = {\n    name: 'default'\n  }\n}\n",
        [],
        id="nested",
    ),
    pytest.param(
        "resource a 'Example.Boxes/boxes@2025-01-01' existing = {\n  name: 'a'\n\n"
        "  resource lid 'caps' = {\n    name: 'default'\n  }\n}\n",
        ["resource-type"],
        id="type of a nested one",
    ),
    pytest.param(box("  location: 'x'") + "output a string = box.properties.state\n", [], id="read"),
    pytest.param(
        box("  location: 'x'") + "output a string = box.properties.sate\n", ["property"], id="wrong read"
    ),
    pytest.param(
        box("  location: 'x'") + "output a string = box.properties.labels.x\n", [], id="read of many"
    ),
    pytest.param(
        "@allowed(['Round', 'Flat'])\nparam k string\n" + box("  location: 'x'\n  kind: k"),
        ["value"],
        id="allowed",
    ),
    pytest.param(
        "resource a 'Example.Boxes/boxes@2025-01-01' = [for n in ['x']: if (n != 'y') {\n  name: n\n}]\n",
        ["required"],
        id="loop and condition",
    ),
]


@pytest.mark.parametrize(("content", "broken"), PLACES)
def test_declaration_breaks_these_rules(tmp_path: Path, content: str, broken: list[str]) -> None:
    """Types, versions and names of resources, and what is read of them."""
    assert rules(tmp_path, content, BOX) == broken


MODULES = [
    pytest.param("params: { a: 'x' }", "one.outputs.b", [], id="right"),
    pytest.param("params: { a: 'x', c: 2 }", "one.outputs.b", [], id="optional"),
    pytest.param("params: {}", "one.outputs.b", ["module-param"], id="missing"),
    pytest.param("params: { a: 'x', d: 1 }", "one.outputs.b", ["module-param"], id="unknown"),
    pytest.param("params: { a: 1 }", "one.outputs.b", ["type"], id="type"),
    pytest.param("params: { a: 'x' }", "one.outputs.c", ["module-output"], id="output"),
]


@pytest.mark.parametrize(("params", "reading", "broken"), MODULES)
def test_module_breaks_these_rules(tmp_path: Path, params: str, reading: str, broken: list[str]) -> None:
    """Parameters and outputs of a module."""
    (tmp_path / "one.bicep").write_text("param a string\nparam c int = 1\noutput b string = '${a}${c}'\n")
    content = f"module one 'one.bicep' = {{\n  name: 'one'\n  {params}\n}}\noutput x string = {reading}\n"
    assert rules(tmp_path, content) == broken


def test_missing_module_is_found(tmp_path: Path) -> None:
    """A module is a file."""
    assert rules(tmp_path, "module one 'two.bicep' = {\n  name: 'one'\n}\n") == ["module"]


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        ("using 'file.bicep'\nparam a = 'x'\n", []),
        ("using 'file.bicep'\nparam a = readEnvironmentVariable('A', '')\nparam b = bool('true')\n", []),
        ("using 'file.bicep'\n", ["module-param"]),
        ("using 'file.bicep'\nparam a = 'x'\nparam c = 1\n", ["module-param"]),
        ("using 'file.bicep'\nparam a = 'x'\nparam b = 'true'\n", ["type"]),
        ("using 'none.bicep'\nparam a = 'x'\n", ["module"]),
        ("param a = 'x'\n", ["module"]),
    ],
)
def test_parameter_file_breaks_these_rules(tmp_path: Path, content: str, broken: list[str]) -> None:
    """A parameter file assigns parameters of its template, and all that have no default."""
    (tmp_path / "file.bicep").write_text(
        "param a string\nparam b bool = false\noutput c string = '${a}${b}'\n"
    )
    path = tmp_path / "file.bicepparam"
    path.write_text(content)
    assert [finding.rule for finding in check([path], NOTHING)] == broken


def test_finding_says_where(tmp_path: Path) -> None:
    """A finding names file, line and rule."""
    path = tmp_path / "file.bicep"
    path.write_text("\n\noutput a string = b\n")
    (finding,) = check(files([tmp_path]), NOTHING)
    assert str(finding) == f"{path}:3: undefined: 'b' is not declared"


def test_literals_are_read(tmp_path: Path) -> None:
    """Literals have the values that Bicep gives them; an expression is none."""
    path = tmp_path / "file.bicep"
    path.write_text("var a = { b: ['it\\'s', 1, true, null], 'c-d': {} }\nvar e = a.b\n")
    one, two = declarations(read(path))
    assert one.value is not None
    assert two.value is not None
    assert literal(one.value) == {"b": ["it's", 1, True, None], "c-d": {}}
    with pytest.raises(ValueError, match="line 2"):
        literal(two.value)


def builder(name: str, method: str, url: str) -> str:
    """What the generator writes of a request."""
    return f'''def build_{name}_request(x: str, **kwargs: Any) -> HttpRequest:
    api_version: str = kwargs.pop("api_version", _params.pop("api-version", "2025-01-01"))
    _url = "{url}"
    return HttpRequest(method="{method}", url=_url, params=_params, headers=_headers, **kwargs)


'''


def operation(name: str, builds: str, body: str, result: str) -> str:
    """What the generator writes of an operation."""
    return f"""
    def {name}(
        self, x: str, {body}**kwargs: Any
    ) -> {result}:
        _request = build_{builds}_request(x=x)
"""


OPERATIONS = (
    builder("box_put", "PUT", "/subscriptions/{s}/providers/Example.Boxes/boxes/{boxName}")
    + builder("box_get", "GET", "/subscriptions/{s}/providers/Example.Boxes/boxes/{boxName}")
    + builder("box_list", "GET", "/subscriptions/{s}/providers/Example.Boxes/boxes")
    + builder("box_open", "POST", "/subscriptions/{s}/providers/Example.Boxes/boxes/{boxName}/open")
    + "class BoxOperations:\n"
    + operation("put", "box_put", "box: Union[\n            _models.Box, IO[bytes]], ", "Iterator[bytes]")
    + operation("get", "box_get", "", "_models.Box")
)

NEW_MODELS = '''
class Shape(str, Enum, metaclass=CaseInsensitiveEnumMeta):
    ROUND = "Round"
    """A ball's."""


class Base(_Model):
    location: str = rest_field(visibility=["read", "create"])


class Box(Base):
    id: Optional[str] = rest_field(visibility=["read"])
    shape: Optional[Union[str, "_models.Shape"]] = rest_field(name="boxShape", visibility=["read", "create"])
    content: Optional[list["_models.Content"]] = rest_field(visibility=["read", "create"])
    tags: Optional[dict[str, str]] = rest_field(visibility=["read", "create"])


class Content(_Model):
    kind: str = rest_discriminator(name="kind", visibility=["read", "create"])


class Ball(Content, discriminator="Ball"):
    radius: int = rest_field(visibility=["read", "create"])
'''

OLD_MODELS = '''
class Shape(str, Enum, metaclass=CaseInsensitiveEnumMeta):
    ROUND = "Round"


class Box(_serialization.Model):
    """A box.

    :vartype shape: str or
     ~azure.mgmt.boxes.models.Shape
    """

    _validation = {"id": {"readonly": True}, "location": {"required": True}}
    _attribute_map = {
        "id": {"key": "id", "type": "str"},
        "location": {"key": "location", "type": "str"},
        "shape": {"key": "boxShape", "type": "str"},
        "content": {"key": "content", "type": "[Content]"},
        "tags": {"key": "tags", "type": "{str}"},
    }


class Content(_serialization.Model):
    _validation = {"kind": {"required": True}}
    _attribute_map = {"kind": {"key": "kind", "type": "str"}}
    _subtype_map = {"kind": {"Ball": "Ball"}}


class Ball(Content):
    _validation = {"kind": {"required": True}, "radius": {"required": True}}
    _attribute_map = {"kind": {"key": "kind", "type": "str"}, "radius": {"key": "radius", "type": "int"}}
'''


def published(tmp_path: Path, models: str, operations: str = OPERATIONS) -> Catalogue:
    """The catalogue of one wheel."""
    with zipfile.ZipFile(tmp_path / "azure_mgmt_boxes-1.0.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("azure/mgmt/boxes/operations/_operations.py", operations)
        wheel.writestr("azure/mgmt/boxes/aio/operations/_operations.py", "no Python")
        wheel.writestr("azure/mgmt/boxes/models/_models.py", models)
    path = tmp_path / "models.json"
    path.write_text(json.dumps(digest.digest([tmp_path / "azure_mgmt_boxes-1.0.0-py3-none-any.whl"])))
    return Catalogue.load(path)


@pytest.mark.parametrize("models", [NEW_MODELS, OLD_MODELS], ids=["new", "old"])
def test_models_are_read(tmp_path: Path, models: str) -> None:
    """Both generations of published models tell the same of a resource."""
    catalogue = published(tmp_path, models)

    assert catalogue.types.keys() == {"example.boxes/boxes"}
    variant = catalogue.variant("Example.Boxes/Boxes", "2025-01-01", None)
    assert variant is not None
    assert variant.write == variant.read
    model = catalogue.models[variant.write]
    content = model.properties["content"].model
    assert model.properties == {
        "id": Property("string", readonly=True),
        "location": Property("string", required=True),
        "boxShape": Property("string", values=("Round",)),
        "content": Property("model", many="array", model=content),
        "tags": Property("string", many="map"),
    }
    ball = catalogue.models[(catalogue.models[content].subtypes or {})["Ball"]]
    assert catalogue.models[content].discriminator == "kind"
    assert ball.properties == {
        "kind": Property("string", required=True),
        "radius": Property("int", required=True),
    }


def test_flattened_properties_are_nested_again(tmp_path: Path) -> None:
    """The older generator joins names by points; a point of a name itself is escaped."""
    models = """
class Box(_serialization.Model):
    _attribute_map = {
        "width": {"key": "properties.size.width", "type": "int"},
        "odata": {"key": "properties.odata\\\\.type", "type": "str"},
    }
"""
    catalogue = published(tmp_path, models)

    variant = catalogue.variant("example.boxes/boxes", "2025-01-01", "any")
    assert variant is not None
    properties = catalogue.models[catalogue.models[variant.write].properties["properties"].model].properties
    assert properties.keys() == {"size", "odata.type"}
    assert catalogue.models[properties["size"].model].properties == {"width": Property("int")}


def test_name_that_a_type_fixes_has_its_own_model(tmp_path: Path) -> None:
    """`boxes/{name}/config/lid` is a resource named lid, and no other."""
    operations = (
        builder("lid_put", "PUT", "/providers/Example.Boxes/boxes/{boxName}/config/lid")
        + "class BoxOperations:\n"
        + operation("put", "lid_put", "lid: Union[_models.Box, IO[bytes]], ", "_models.Box")
    )
    catalogue = published(tmp_path, NEW_MODELS, operations)

    assert catalogue.variant("example.boxes/boxes/config", "2025-01-01", "Lid") is not None
    assert catalogue.variant("example.boxes/boxes/config", "2025-01-01", "base") is None
