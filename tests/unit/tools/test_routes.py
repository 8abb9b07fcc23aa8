"""Route templates of the local host."""

from __future__ import annotations

import pytest

from tools.local_host.routes import Table, compile_route, decoded_path


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("studies", "/studies", {}),
        ("studies", "/studies/", {}),
        ("studies", "/STUDIES", {}),
        ("studies", "/studies/1.2", None),
        ("", "/", {}),
        ("studies/$bulkUpdate", "/studies/$bulkupdate", {}),
        ("studies/{study}", "/studies/1.2.3", {"study": "1.2.3"}),
        ("studies/{study}", "/studies/", None),
        ("studies/{study}", "/studies//", None),
        ("studies/{study}", "/studies/1.2/series", None),
        ("frames/{frames}", "/frames/1,2,3", {"frames": "1,2,3"}),
        ("v{version}/studies", "/v2/studies", {"version": "2"}),
        ("v{version:int}/studies", "/V12/studies", {"version": "12"}),
        ("v{version:int}/studies", "/vx/studies", None),
        ("v{version:int}/studies", "/v/studies", None),
        ("{name}.{extension}", "/a.b.dcm", {"name": "a.b", "extension": "dcm"}),
        ("n/{n:int}", "/n/-7", {"n": "-7"}),
        ("n/{n:int}", "/n/2147483648", None),
        ("n/{n:long}", "/n/2147483648", {"n": "2147483648"}),
        ("n/{n:min(5)}", "/n/4", None),
        ("n/{n:range(5,9)}", "/n/9", {"n": "9"}),
        ("n/{n:int:max(3)}", "/n/4", None),
        ("n/{n:length(2,3)}", "/n/abcd", None),
        ("n/{n:length(3)}", "/n/abc", {"n": "abc"}),
        ("n/{n:alpha}", "/n/a1", None),
        ("n/{n:bool}", "/n/True", {"n": "True"}),
        (
            "n/{n:guid}",
            "/n/7f1d8f4e-96c3-4a53-8d0a-1d2e3f4a5b6c",
            {"n": "7f1d8f4e-96c3-4a53-8d0a-1d2e3f4a5b6c"},
        ),
        (r"n/{n:regex(^\d{{2}}$)}", "/n/12", {"n": "12"}),
        (r"n/{n:regex(^\d{{2}}$)}", "/n/123", None),
        ("n/{n:regex(^(a|b:c)$)}", "/n/b:c", {"n": "b:c"}),
        ("n/{n?}", "/n", {}),
        ("n/{n?}", "/n/1", {"n": "1"}),
        ("n/{n:int?}", "/n/x", None),
        ("n/{n=7}", "/n", {"n": "7"}),
        ("n/{n=7}", "/n/8", {"n": "8"}),
        ("rest/{*path}", "/rest/a/b", {"path": "a/b"}),
        ("rest/{*path}", "/rest", {}),
        ("rest/{**path}", "/rest/a", {"path": "a"}),
    ],
)
def test_template_against_path(template: str, path: str, values: dict[str, str] | None) -> None:
    """A template fits a path as the router of ASP.NET Core has it."""
    assert compile_route(template, None).match(path) == values


@pytest.mark.parametrize(
    "template", ["a//b", "a/{b", "a/b}", "a/{b:unknown}", "a/{b}/{B}", "a/{b c}", "a/{*b}x{*c}{"]
)
def test_template_malformed(template: str) -> None:
    """A template that the host would refuse is refused."""
    with pytest.raises(ValueError, match="route"):
        compile_route(template, None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/a/b", "literal"),
        ("/a/7", "constrained"),
        ("/a/c", "parameter"),
        ("/a/c/d", "catch-all"),
    ],
)
def test_table_precedence(path: str, expected: str) -> None:
    """A literal goes before a constrained parameter, that before a plain one, that before a catch-all."""
    templates = {"catch-all": "a/{*p}", "parameter": "a/{p}", "constrained": "a/{p:int}", "literal": "a/b"}
    table = Table(compile_route(template, name) for name, template in templates.items())

    found = table.find("GET", path)

    assert found is not None
    assert found[0] == expected


def test_table_same_template_with_other_methods() -> None:
    """A template may occur once for each method; another method finds nothing."""
    table = Table([compile_route("a", "read", ["GET", "HEAD"]), compile_route("a", "write", ["post"])])

    assert [table.find(method, "/a") for method in ("HEAD", "POST", "PUT")] == [
        ("read", {}),
        ("write", {}),
        None,
    ]


def test_table_route_without_methods() -> None:
    """A route that names no method takes every method, beside those that name one."""
    table = Table([compile_route("{p}", "any"), compile_route("a", "read", ["GET"])])

    assert [table.find(m, p) for m, p in (("GET", "/a"), ("GET", "/b"), ("PATCH", "/a"))] == [
        ("read", {}),
        ("any", {"p": "b"}),
        ("any", {"p": "a"}),
    ]


def test_route_prefix() -> None:
    """The prefix of host.json goes before every template."""
    assert compile_route("/studies/", None, prefix="api").match("/api/studies") == {}


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        (b"/studies/1.2", "/studies/1.2"),
        (b"/studies/%24bulkUpdate", "/studies/$bulkUpdate"),
        (b"/frames/1%2C2", "/frames/1,2"),
        (b"/a%2Fb%2fc", "/a%2Fb%2fc"),
        (b"/%C3%A9", "/\u00e9"),
        (b"/100%25", "/100%"),
    ],
)
def test_path_decoding(raw: bytes, decoded: str) -> None:
    """Every escape is decoded once, but a slash: that would split a segment."""
    assert decoded_path(raw) == decoded
