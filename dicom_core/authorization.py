"""Who may carry out which transaction: roles, what each transaction asks for, and what a token grants.

The roles are those of the data actions of the managed service (read, write, delete). A role implies no other, but
`Dicom.Admin` all: who may only write can send instances and see nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from types import MappingProxyType


class Role(StrEnum):
    """What a token may grant, by the name of the app role or of the scope."""

    READ = "Dicom.Read"
    WRITE = "Dicom.Write"
    DELETE = "Dicom.Delete"
    ADMIN = "Dicom.Admin"


Rule = frozenset[Role] | None
"""Roles of which a caller must have one; None asks for no token at all."""

READING: Rule = frozenset({Role.READ})
WRITING: Rule = frozenset({Role.WRITE})
DELETING: Rule = frozenset({Role.DELETE})
ADMINISTERING: Rule = frozenset({Role.ADMIN})
ANY_ROLE: Rule = frozenset(Role)
EVERYONE: Rule = None

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "retrieve.instances": READING,
        "retrieve.metadata": READING,
        "rendered.rendered": READING,
        "rendered.thumbnail": READING,
        "bulkdata.frames": READING,
        "bulkdata.all_bulkdata": READING,
        "bulkdata.bulkdata": READING,
        "bulkdata.pixel_data": READING,
        "uri_service.instance": READING,
        "store.store": WRITING,
        "store.upsert": WRITING,
        "search.studies": READING,
        "search.series": READING,
        "search.instances": READING,
        "delete.delete": DELETING,
        "changefeed.changes": READING,
        "changefeed.latest": READING,
        "subscribers.listed": ADMINISTERING,
        "subscribers.failures": ADMINISTERING,
        "subscribers.retry": ADMINISTERING,
        "capabilities.retrieve": ANY_ROLE,
        "functions_http.unknown": ANY_ROLE,
        "capabilities.description": EVERYONE,
        "health.check": EVERYONE,
    }
)
"""What each transaction asks for, by its module and its name; one that is not listed is refused to all."""

_NAMES = {str(role): role for role in Role}
_NONE: frozenset[Role] = frozenset()
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: a user or an application by itself, the application that is used, and what they may do."""

    subject: str = "-"
    application: str = "-"
    roles: frozenset[Role] = _NONE


UNKNOWN = Caller()
"""Who has not been asked who they are."""


def caller(claims: Mapping[str, object]) -> Caller:
    """The caller that the claims of a verified token describe."""
    return Caller(
        _identifier(claims, "oid", "sub"), _identifier(claims, "appid", "azp", "client_id"), granted(claims)
    )


def granted(claims: Mapping[str, object]) -> frozenset[Role]:
    """The roles that the claims of a verified token grant.

    `roles` are those of the user or the application, `scp` or `scope` what a user lets an application do on their
    behalf. An application may do neither what its user may not, nor what it was not given: where both name roles of
    this service, both count. Scopes alone count where an issuer has no roles; other scopes mean nothing.
    """
    scopes = _named(claims.get("scp")) | _named(claims.get("scope"))
    if "roles" not in claims:
        return scopes
    roles = _named(claims["roles"])
    return roles & scopes if scopes else roles


def _named(value: object) -> frozenset[Role]:
    """The roles among the members of a claim: a list, or a text with spaces between (RFC 8693 4.2)."""
    members = value.split() if isinstance(value, str) else value if isinstance(value, list) else ()
    found = frozenset(_NAMES[each] for each in members if isinstance(each, str) and each in _NAMES)
    return frozenset(Role) if Role.ADMIN in found else found


def _identifier(claims: Mapping[str, object], *names: str) -> str:
    """The first of some claims as it is logged: a UUID as it is, any other by its hash, since it may be a name."""
    value = next((found for name in names if isinstance(found := claims.get(name), str) and found), None)
    if value is None or _UUID.fullmatch(value):
        return value or "-"
    return f"sha256:{sha256(value.encode(errors='surrogatepass')).hexdigest()[:16]}"
