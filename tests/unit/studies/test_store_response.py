"""What the response of a Store names for the log."""

from __future__ import annotations

import pytest

from dicom_core.resources import Resource
from dicom_core.studies.store_response import FailureReason, Result, respond
from dicom_core.web.messages import Request

REQUEST = Request("POST", Resource(), "http://localhost/v2")


def result(study: str, number: str, failure: FailureReason | None = None) -> Result:
    """What became of an instance."""
    return Result("1.2", f"{study}.9.{number}", Resource(study, f"{study}.9", f"{study}.9.{number}"), failure)


REFUSED = FailureReason.ALREADY_STORED


@pytest.mark.parametrize(
    ("results", "named"),
    [
        ([result("1", "1")], [Resource("1", "1.9", "1.9.1")]),
        ([result("1", "1", REFUSED)], [Resource("1", "1.9", "1.9.1")]),
        ([result("1", "1"), result("2", "1"), result("1", "2")], [Resource("1"), Resource("2")]),
        ([result("1", "1"), result("2", "1", REFUSED)], [Resource("1"), Resource("2")]),
        ([Result(failure=FailureReason.PROCESSING_FAILURE)], []),
    ],
    ids=["one", "one that was refused", "studies", "a study that was refused", "unknown"],
)
def test_what_it_was_about(results: list[Result], named: list[Resource]) -> None:
    """A single instance, or each study once: who tried to change one can be found, too."""
    assert list(respond(REQUEST, results).about) == named
