"""The FHIR servers that tests use: one that others made, and a strict one in which faults can be planned."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.fhir.client import Fhir
from tests.fhir.strict import endpoint
from tests.serving import ROOT, served

PYTHON = ROOT / ".tools" / "fhir" / "bin" / "python"
SEKMET = ROOT / "tests" / "fhir" / "server" / "main.py"
GIVEN = os.environ.get("FHIR_URL")

GAPS = {
    "test_invalid_create[unknown code]": "required codes are not checked",
    "test_invalid_update[unknown code]": "required codes are not checked",
    "test_conditional_update_of_old_version": "If-Match of a conditional update is ignored",
    "test_transaction_that_fails[old version of match]": "ifMatch of a conditional update is ignored",
    "test_transaction_of_same_resource": "two entries may write one resource",
}
"""What SEKMET does not do."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the gaps of SEKMET to be gaps: one that is closed fails its test."""
    for item in items:
        gap = GAPS.get(item.name.replace("[sekmet]", "").replace("[sekmet-", "["))
        if gap and "[sekmet" in item.name:
            item.add_marker(pytest.mark.xfail(reason=gap, strict=True))


@pytest.fixture(scope="session")
def strict_endpoint() -> Iterator[endpoint.Endpoint]:
    """The strict server, one for each test process."""
    with endpoint.served() as running:
        yield running


@pytest.fixture
def strict(strict_endpoint: endpoint.Endpoint) -> Iterator[endpoint.Endpoint]:
    """The strict server, empty and without faults."""
    strict_endpoint.clear()
    yield strict_endpoint
    strict_endpoint.clear()


@pytest.fixture(scope="session")
def sekmet() -> Iterator[str]:
    """The base URL of SEKMET, one for each test process; tests share what it keeps."""
    if not PYTHON.exists():
        if os.environ.get("CI") == "true":
            pytest.fail("the FHIR server is not installed: run make setup")
        pytest.skip("the FHIR server is not installed: run make setup")
    with served(command=(str(PYTHON), str(SEKMET))) as running:
        yield running.url


@pytest.fixture(scope="session", params=["given"] if GIVEN else ["strict", "sekmet"])
def fhir_url(request: pytest.FixtureRequest) -> str:
    """The base URL of each server in turn, or of the one that FHIR_URL names."""
    if GIVEN:
        return GIVEN.rstrip("/")
    running = request.getfixturevalue("strict_endpoint" if request.param == "strict" else "sekmet")
    return str(getattr(running, "url", running))


@pytest.fixture
def fhir(fhir_url: str) -> Iterator[Fhir]:
    """A client of each server in turn."""
    client = Fhir(fhir_url, os.environ.get("FHIR_TOKEN") if GIVEN else None)
    with client.session:
        yield client
