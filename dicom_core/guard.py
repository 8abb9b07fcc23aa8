"""What stands before every transaction: nothing is read of a request whose caller may not make it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from dicom_core import authorization
from dicom_core.authorization import Caller
from dicom_core.errors import AuthenticationUnavailable
from dicom_core.web import bearer

Verify = Callable[[str], Awaitable[Caller]]
"""Says whose token this is, or raises Unauthorized."""

log = logging.getLogger("dicom")


class Guard:
    """Lets a caller through to a transaction, or raises what the caller is answered.

    Parameters
    ----------
    fault
        What is wrong with the settings, if anything: then no one is let through.
    verify
        None where callers need no token: the host has asked them for a key, or there is no one else.
    """

    def __init__(self, fault: str, verify: Verify | None) -> None:
        self._fault = fault
        self._verify = verify

    async def admit(self, transaction: str, fields: Sequence[str]) -> Caller:
        """Say who asks for a transaction, by its name, with some Authorization fields.

        Raises
        ------
        AuthenticationUnavailable
            The settings are wrong or missing, or the issuer of the token does not answer.
        Unauthorized
            There is no token, or it does not count.
        Forbidden
            The token does not grant the role; or no role does, for want of a rule.
        """
        if self._fault:
            log.error("no one is served: %s", self._fault)
            raise AuthenticationUnavailable(f"this service serves no one: {self._fault}")
        if transaction not in authorization.RULES:
            log.error("%s has no rule in dicom_core/authorization.py", transaction)
            raise bearer.forbidden(())
        rule = authorization.RULES[transaction]
        if rule is None or self._verify is None:
            return authorization.UNKNOWN
        token = bearer.token(fields)
        if token is None:
            raise bearer.missing(sorted(rule))
        caller = await self._verify(token)
        if rule.isdisjoint(caller.roles):
            raise bearer.forbidden(sorted(rule))
        return caller
