"""Roles, what transactions ask for, and what tokens grant."""

from __future__ import annotations

from typing import Any

import pytest

from dicom_core import authorization, functions_http
from dicom_core.authorization import Role
from tests.routes import Recorder, function_app, routes

ALL = frozenset(Role)


async def test_every_route_has_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """What routes lead to is what rules are for: no route is without, and no rule is left over."""
    module, recorder = function_app(), Recorder()
    monkeypatch.setattr(module, "respond", recorder)
    every = routes(module)

    for route in every:
        await route.call(req=None)

    assert len(recorder.asked) == len(every)
    assert {functions_http.name_of(one) for one in recorder.asked} == authorization.RULES.keys()
    assert len(set(recorder.asked)) == len(authorization.RULES)


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, set()),
        ({"roles": ["Dicom.Read"]}, {Role.READ}),
        ({"roles": "Dicom.Read"}, {Role.READ}),
        ({"roles": ["Dicom.Write"]}, {Role.WRITE}),
        ({"roles": ["Dicom.Admin"]}, ALL),
        ({"roles": ["dicom.read", "Dicom.Reader", "DICOM.READ", 1, None, {}]}, set()),
        ({"roles": {"Dicom.Read": True}}, set()),
        ({"roles": None}, set()),
        ({"scp": "Dicom.Read Dicom.Delete"}, {Role.READ, Role.DELETE}),
        ({"scope": "openid Dicom.Read"}, {Role.READ}),
        ({"scope": ["Dicom.Read", "Dicom.Write"]}, {Role.READ, Role.WRITE}),
        ({"scp": "Dicom.Admin"}, ALL),
        ({"scp": "access_as_user", "roles": ["Dicom.Read"]}, {Role.READ}),
        ({"scp": "Dicom.Read", "roles": ["Dicom.Admin"]}, {Role.READ}),
        ({"scp": "Dicom.Admin", "roles": ["Dicom.Read"]}, {Role.READ}),
        ({"scp": "Dicom.Write", "roles": ["Dicom.Read"]}, set()),
        ({"scp": "Dicom.Admin", "roles": []}, set()),
        ({"scp": "Dicom.Admin", "roles": ["Another.Role"]}, set()),
    ],
)
def test_granted(claims: dict[str, object], roles: set[Role]) -> None:
    """Roles of a user, and scopes of the application that they use, limit each other."""
    assert authorization.granted(claims) == roles


UUID = "5e0f3b0a-1d5c-4f0e-9c6a-0d6a2f4b7c11"


@pytest.mark.parametrize(
    ("claims", "subject", "application"),
    [
        ({"oid": UUID, "sub": "pairwise", "azp": UUID}, UUID, UUID),
        ({"sub": UUID.upper(), "appid": UUID, "azp": "other"}, UUID.upper(), UUID),
        ({"sub": "a@b.example"}, "sha256:ebb18a030bf15174", "-"),
        ({"sub": "Doe", "client_id": "viewer"}, "sha256:fd53ef835b154855", "sha256:d35ca5051b82ffc3"),
        ({"oid": 1, "sub": "", "name": "Doe"}, "-", "-"),
        ({"sub": "\ud800\n"}, "sha256:31f87665300f4037", "-"),
    ],
)
def test_caller(claims: dict[str, Any], subject: str, application: str) -> None:
    """Who asks is logged by a UUID, or by the hash of what may be a name."""
    caller = authorization.caller(claims)

    assert (caller.subject, caller.application) == (subject, application)
