"""Header fields as values (RFC 9110)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core.errors import RangeNotSatisfiable
from dicom_core.web import headers

TEXT = st.text(st.characters(codec="latin-1"), max_size=60)
PRINTABLE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)
SYNTAX = st.text('ab1/*;,="\\ \t\r\n', max_size=40)


@pytest.mark.parametrize(
    ("value", "token", "parameters"),
    [
        pytest.param("application/dicom", "application/dicom", (), id="alone"),
        pytest.param("Application/DICOM ", "application/dicom", (), id="token-in-any-case"),
        pytest.param(
            "a/b; C=d; e=F", "a/b", (("c", "d"), ("e", "F")), id="names-in-any-case-values-as-they-are"
        ),
        pytest.param("a/b;c=d;e=f", "a/b", (("c", "d"), ("e", "f")), id="no-spaces"),
        pytest.param("a/b \t;  c \t=  d ;e=f", "a/b", (("c", "d"), ("e", "f")), id="many-spaces"),
        pytest.param('a/b; c="d"; e="f g"', "a/b", (("c", "d"), ("e", "f g")), id="quoted"),
        pytest.param(r'a/b; c="quoted \" x"', "a/b", (("c", 'quoted " x'),), id="escaped-quote"),
        pytest.param(r'a/b; c="back\\slash"', "a/b", (("c", "back\\slash"),), id="escaped-backslash"),
        pytest.param('a/b; c="d;e=f,g"', "a/b", (("c", "d;e=f,g"),), id="separators-in-quotes"),
        pytest.param(
            "a/b; type=c/d; x=*", "a/b", (("type", "c/d"), ("x", "*")), id="slash-and-star-unquoted"
        ),
        pytest.param("a/b; c=d=e==", "a/b", (("c", "d=e=="),), id="equals-in-value"),
        pytest.param("a/b; c=1; c=2", "a/b", (("c", "1"), ("c", "2")), id="duplicates-are-kept"),
        pytest.param("a/b; c", "a/b", (), id="no-equals-is-left-out"),
        pytest.param('a/b; =c; "d"', "a/b", (), id="no-name-is-left-out"),
        pytest.param("a/b; c=", "a/b", (("c", ""),), id="empty-value"),
        pytest.param('a/b; c=""', "a/b", (("c", ""),), id="empty-quoted-value"),
        pytest.param("a/b;; ;c=d;", "a/b", (("c", "d"),), id="empty-parameters"),
        pytest.param('a/b; c="d; e=f', "a/b", (("c", "d; e=f"),), id="missing-closing-quote"),
        pytest.param('a/b; c="d\\', "a/b", (("c", "d"),), id="backslash-at-the-end"),
        pytest.param('a/b; c="d"x; e=f', "a/b", (("c", "d"), ("e", "f")), id="text-behind-the-quote"),
        pytest.param('; c="d"', "", (("c", "d"),), id="no-token"),
        pytest.param("", "", (), id="empty"),
    ],
)
def test_parse_parameters(value: str, token: str, parameters: headers.Parameters) -> None:
    """A value is a token and parameters, quoted or not, with any spacing (RFC 9110 5.6.6)."""
    assert headers.parse_parameters(value) == (token, parameters)


def test_first_of_duplicates() -> None:
    """The first value of a parameter stands before later ones; a missing parameter is None."""
    parameters = (("a", "1"), ("b", "2"), ("a", "3"))

    assert headers.first(parameters, "a") == "1"
    assert headers.first(parameters, "c") is None


def test_every_of_duplicates() -> None:
    """All values of a parameter are found, in their order."""
    parameters = (("a", "1"), ("b", "2"), ("a", "3"))

    assert headers.every(parameters, "a") == ("1", "3")
    assert headers.every(parameters, "c") == ()


@pytest.mark.parametrize(
    ("value", "members"),
    [
        pytest.param("a/b, c/d", ["a/b", "c/d"], id="two"),
        pytest.param("a/b,c/d", ["a/b", "c/d"], id="no-spaces"),
        pytest.param('a/b; c="x,y", d/e', ['a/b; c="x,y"', "d/e"], id="comma-in-quotes"),
        pytest.param(r'a; b="\",", c', [r'a; b="\","', "c"], id="escaped-quote"),
        pytest.param(" , a,, b ,", ["a", "b"], id="empty-members"),
        pytest.param('a; b=",c', ['a; b=",c'], id="missing-closing-quote"),
        pytest.param("", [], id="empty"),
    ],
)
def test_split_list(value: str, members: list[str]) -> None:
    """A list is split at the commas outside of quotes, without its empty members (RFC 9110 5.6.1.2)."""
    assert headers.split_list(value) == members


@given(PRINTABLE)
def test_quote_round_trip(value: str) -> None:
    """Whatever a field can carry is read as it was quoted (RFC 9110 5.6.4)."""
    assert headers.parse_parameters(f"a; b={headers.quote(value)}; c=d") == ("a", (("b", value), ("c", "d")))


@given(st.text(max_size=60))
def test_quote_never_ends_the_line(value: str) -> None:
    """A quoted string holds printable ASCII only: no text can begin another header field."""
    quoted = headers.quote(value)

    assert quoted.isascii()
    assert quoted.replace("\t", " ").isprintable()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("bytes=0-99", (0, 100), id="first"),
        pytest.param("bytes=100-199", (100, 100), id="second"),
        pytest.param("bytes=999-999", (999, 1), id="last-byte"),
        pytest.param("bytes=0-0", (0, 1), id="first-byte"),
        pytest.param("bytes=900-5000", (900, 100), id="last-behind-the-end"),
        pytest.param("bytes=900-" + "9" * 100, (900, 100), id="last-far-behind-the-end"),
        pytest.param("bytes=65536-", None, id="open-behind-the-end"),
        pytest.param("bytes=200-", (200, 800), id="open"),
        pytest.param("bytes=-200", (800, 200), id="suffix"),
        pytest.param("bytes=-5000", (0, 1000), id="suffix-longer-than-all"),
        pytest.param("BYTES=0-9", (0, 10), id="unit-in-any-case"),
        pytest.param(" bytes=0-9 ", (0, 10), id="spaces-around"),
    ],
)
def test_parse_range_satisfiable(value: str, expected: tuple[int, int] | None) -> None:
    """One range of bytes is (start, length), or is not satisfiable (RFC 9110 14.1.2, 14.2)."""
    if expected is None:
        with pytest.raises(RangeNotSatisfiable):
            headers.parse_range(value, 1000)
    else:
        assert headers.parse_range(value, 1000) == expected


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="missing"),
        pytest.param("", id="empty"),
        pytest.param("bytes=0-9,20-29", id="several"),
        pytest.param("items=0-9", id="unit"),
        pytest.param("bytes=9-0", id="backwards"),
        pytest.param("bytes=-", id="no-numbers"),
        pytest.param("bytes=", id="no-range"),
        pytest.param("bytes=a-b", id="letters"),
        pytest.param("bytes=0-9x", id="text-behind"),
        pytest.param("bytes 0-9", id="no-equals"),
        pytest.param("bytes=٠-٩", id="digits-of-another-script"),
        pytest.param("bytes=0-" + "9" * 5000, id="absurd"),
    ],
)
def test_parse_range_ignored(value: str | None) -> None:
    """Several ranges, other units and wrong syntax are answered with the whole (RFC 9110 14.2)."""
    assert headers.parse_range(value, 1000) is None


@pytest.mark.parametrize(
    ("value", "length"),
    [("bytes=1000-", 1000), ("bytes=1000-1001", 1000), ("bytes=-0", 1000), ("bytes=0-", 0)],
)
def test_parse_range_not_satisfiable(value: str, length: int) -> None:
    """A range that begins behind the last byte is 416, and tells the length (RFC 9110 15.5.17)."""
    with pytest.raises(RangeNotSatisfiable) as caught:
        headers.parse_range(value, length)

    assert caught.value.headers == {"Content-Range": f"bytes */{length}"}


def test_parse_range_suffix_of_nothing() -> None:
    """The last bytes of an empty representation are answered with the whole: there is no range to name."""
    assert headers.parse_range("bytes=-5", 0) is None


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 40))
def test_parse_range_is_a_slice(start: int, last: int, length: int) -> None:
    """A range names the bytes that a slice to its last byte, inclusive, would hold."""
    content = bytes(range(length))
    try:
        found = headers.parse_range(f"bytes={start}-{last}", length)
    except RangeNotSatisfiable:
        assert start >= length
    else:
        assert (found is None) == (last < start)
        if found:
            assert content[found[0] : found[0] + found[1]] == content[start : last + 1]
            assert found[1] == len(content[start : last + 1])


def test_etag() -> None:
    """An entity tag is strong: it stands in quotes, alone (RFC 9110 8.8.3)."""
    assert headers.etag("01HZX-0000") == '"01HZX-0000"'


@pytest.mark.parametrize(
    ("value", "holds"),
    [
        pytest.param(None, True, id="missing"),
        pytest.param('"v1"', False, id="same"),
        pytest.param('"v2"', True, id="other"),
        pytest.param('W/"v1"', False, id="weak"),
        pytest.param('"v0", "v1","v2"', False, id="in-a-list"),
        pytest.param('"v0", W/"v1"', False, id="weak-in-a-list"),
        pytest.param('"v0", "v2"', True, id="not-in-the-list"),
        pytest.param("*", False, id="any"),
        pytest.param(" * ", False, id="any-with-spaces"),
        pytest.param('"a,b", "v1"', False, id="comma-inside-a-tag"),
        pytest.param("v1", True, id="no-quotes"),
        pytest.param('"v1', True, id="missing-closing-quote"),
        pytest.param('"v10"', True, id="longer"),
        pytest.param("", True, id="empty"),
    ],
)
def test_none_match(value: str | None, holds: bool) -> None:
    """The condition fails, for 304, if a listed tag is the representation's by weak comparison (13.1.2)."""
    assert headers.none_match(value, '"v1"') is holds


@given(st.one_of(TEXT, SYNTAX))
def test_parsers_with_any_text(value: str) -> None:
    """No text makes a parser fail, but for a range that is not satisfiable."""
    token, parameters = headers.parse_parameters(value)
    assert token == token.strip().lower()
    assert all(name for name, _ in parameters)
    assert all(headers.split_list(value))
    assert isinstance(headers.none_match(value, '"v"'), bool)


@given(st.one_of(TEXT, st.text("bytes=-,0123456789", max_size=30).map("bytes={}".format)), st.integers(0, 99))
def test_parse_range_with_any_text(value: str, length: int) -> None:
    """A range that is found is never empty and never leaves the representation."""
    try:
        found = headers.parse_range(value, length)
    except RangeNotSatisfiable:
        return
    assert found is None or 0 <= found[0] < found[0] + found[1] <= length
