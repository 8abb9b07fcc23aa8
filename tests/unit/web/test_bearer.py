"""Authorization and WWW-Authenticate (RFC 6750)."""

from __future__ import annotations

import pytest

from dicom_core.errors import Unauthorized
from dicom_core.web import bearer


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ([], None),
        ([""], None),
        (["Basic Zm9vOmJhcg=="], None),
        (["Bearerabc"], None),
        (["Bearer abc.def-_~+/.ghi=="], "abc.def-_~+/.ghi=="),
        (["bearer   abc  "], "abc"),
        ([" BEARER abc"], "abc"),
    ],
)
def test_token(fields: list[str], token: str | None) -> None:
    """The scheme has any case; of another scheme there is no token (RFC 9110 11.1)."""
    assert bearer.token(fields) == token


@pytest.mark.parametrize(
    "fields",
    [
        ["Bearer"],
        ["Bearer "],
        ["Bearer a b"],
        ["Bearer a,b"],
        ["Bearer =a"],
        ['Bearer "a"'],
        ["Bearer é"],
        ["Bearer " + "a" * bearer.LONGEST],
        ["Bearer a", "Bearer a"],
        ["Basic a", "Bearer a"],
    ],
    ids=lambda fields: str(fields)[:30],
)
def test_what_is_no_token(fields: list[str]) -> None:
    """What follows the scheme is one word of some characters (RFC 6750 2.1)."""
    with pytest.raises(Unauthorized) as refused:
        bearer.token(fields)

    assert 'error="invalid_token"' in refused.value.challenge


def test_challenge_without_token() -> None:
    """Who sent nothing is told what to send, and of no error (RFC 6750 3.1)."""
    error = bearer.missing(["Dicom.Read"])

    assert (error.status, error.headers) == (
        401,
        {"WWW-Authenticate": 'Bearer realm="dicom", scope="Dicom.Read"'},
    )


def test_challenge_of_a_token_that_does_not_count() -> None:
    """The description is the reason (RFC 6750 3)."""
    error = bearer.refused("it has expired")

    assert error.headers == {
        "WWW-Authenticate": 'Bearer realm="dicom", error="invalid_token", error_description="it has expired"'
    }
    assert str(error) == "the token is refused: it has expired"


@pytest.mark.parametrize(
    ("scopes", "scope"),
    [(["Dicom.Read"], ', scope="Dicom.Read"'), (["Dicom.Admin", "Dicom.Read"], ""), ([], "")],
)
def test_challenge_of_a_token_that_does_not_suffice(scopes: list[str], scope: str) -> None:
    """The scope is named where it is the one that is needed; of several, all would be (RFC 6750 3)."""
    error = bearer.forbidden(scopes)

    assert error.status == 403
    assert error.challenge.startswith('Bearer realm="dicom", error="insufficient_scope", error_description="')
    assert error.challenge.endswith(f'"{scope}')
    assert ("scope=" in error.challenge) == bool(scope)
    assert all(name in str(error) for name in scopes)
