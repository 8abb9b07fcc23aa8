"""What is refused, and how an answer says so."""

from __future__ import annotations

from tests.fhir.client import Resource


class Refused(Exception):
    """A request that is not carried out; nothing of it is done."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code

    @property
    def outcome(self) -> Resource:
        """The resource that says so."""
        return outcome(self.code, str(self))


def outcome(code: str, text: str, severity: str = "error") -> Resource:
    """An OperationOutcome of one issue."""
    issue = {"severity": severity, "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
