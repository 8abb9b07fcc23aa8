"""Requests of any kind to a running service, made from its own description of the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks

from dicom_core.web import api_description
from tests import dicomweb
from tests.dicomweb import Stored
from tests.fuzz import requests_of
from tests.fuzz.requests_of import Operation
from tests.integration import images

LONGEST = 20
"""Seconds in which any request must be answered, on a machine that does much else."""

OPERATIONS = [
    (method, path)
    for path, item in orjson.loads(api_description.as_json("http://localhost/v2"))["paths"].items()
    for method in item.keys() - {"parameters", "servers"}
    if (method, path) != ("get", "/api.json")  # which schemathesis itself asks for, and leaves out
]
OPERATIONS.sort(key=lambda each: (each[0] == "delete", each))
"""Deletions last, so that the others find something."""

CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
SHIPPED = (
    "rtdose_rle.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_bigendian.dcm",
)


@pytest.fixture(scope="module")
def stored(service: str) -> Sequence[Stored]:
    """Instances of many kinds that the service has."""
    made = [*map(images.shipped, SHIPPED), images.document(), images.video(b"ab"), images.report()]
    for each in made:
        assert dicomweb.post(f"{service}/studies", each.content).status_code in (200, 202)
    return made


@pytest.fixture(scope="module")
def operations(service: str) -> dict[tuple[str, str], Operation]:
    """The operations that the service describes, by method and path."""
    schema = schemathesis.openapi.from_url(f"{service}/api.json")
    return {(each.ok().method, each.ok().path): each.ok() for each in schema.get_all_operations()}


def ask(operation: Operation, stored: Sequence[Stored], examples: int) -> None:
    """Make some requests for an operation, and look at the answers."""
    with requests.Session() as session:

        @settings(
            max_examples=examples,
            derandomize=True,
            database=None,
            deadline=timedelta(seconds=LONGEST),
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        @given(st.data())
        def asked(data: st.DataObject) -> None:
            case = requests_of.request(data.draw, operation, stored)
            answer = case.call(session=session, timeout=LONGEST)
            case.validate_response(answer, checks=CHECKS)

        asked()


def test_description_is_what_is_served(service: str) -> None:
    """The service tells what is tested here, of itself."""
    assert requests.get(f"{service}/api.json", timeout=30).content == api_description.as_json(service)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_operation(
    operations: dict[tuple[str, str], Operation], stored: Sequence[Stored], method: str, path: str
) -> None:
    """Whatever is asked: no 5xx and no hang, and statuses, media types and JSON as described."""
    ask(operations[method, path], stored, 2 if method == "head" else 12)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_operation_at_length(
    operations: dict[tuple[str, str], Operation], stored: Sequence[Stored], method: str, path: str
) -> None:
    """The same, with many more requests."""
    ask(operations[method, path], stored, 20 if method == "head" else 250)
