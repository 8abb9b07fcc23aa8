"""Spans and audit records, and what is not loaded without them."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from azurefunctions.extensions.http.fastapi import Request as HttpRequest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from dicom_core.authorization import Caller, Role
from dicom_core.functions_http import Responder
from dicom_core.guard import Guard
from dicom_core.ports import Stores
from dicom_core.resources import Resource
from dicom_core.settings import Settings
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.storage.rest import waits
from dicom_core.studies import search
from dicom_core.telemetry import Tracing
from dicom_core.web.messages import Request, Response
from tests.serving import ROOT

STORAGE = {"DicomStorage": "UseDevelopmentStorage=true"}
READER = Caller("reader", "viewer", frozenset({Role.READ}))


async def reader(token: str) -> Caller:
    """Everybody is the same reader."""
    return READER


async def stores() -> Stores:
    """Stores with nothing in them."""
    return Stores(
        MemoryStore(), MemoryIndex(), MemoryDropZone(), MemoryRenditions(), MemoryFeed(), MemoryDeliveries()
    )


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """What has been sent."""
    return InMemorySpanExporter()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> Tracing:
    """Tracing that sends at once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return Tracing(provider.get_tracer("test"))


@pytest.fixture
def respond(tracing: Tracing) -> Responder:
    """A responder that makes traces."""
    return Responder(Settings.from_environment(STORAGE), stores, Guard("", reader), tracing)


def asked(query: bytes = b"") -> HttpRequest:
    """A request of the host."""

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/v2/studies",
        "query_string": query,
        "headers": [(b"authorization", b"Bearer a")],
        "path_params": {"version": "2"},
    }
    return HttpRequest(scope, receive)


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    """The one span that was sent."""
    (span,) = spans.get_finished_spans()
    return span


async def test_span_has_the_audit_record(
    respond: Responder, spans: InMemorySpanExporter, caplog: pytest.LogCaptureFixture
) -> None:
    """The attributes of the span and the fields of the log record are the same."""
    caplog.set_level(logging.INFO, "dicom")

    await respond(asked(b"PatientName=Quirinius"), search.studies)

    attributes = dict(only(spans).attributes or {})
    (record,) = caplog.records
    assert vars(record)["fields"] == attributes
    assert attributes.items() >= {"transaction": "search.studies", "who": "reader", "app": "viewer"}.items()
    assert only(spans).name == "search.studies"
    assert "Quirinius" not in f"{attributes}{vars(record)}"


async def test_span_of_what_failed(respond: Responder, spans: InMemorySpanExporter) -> None:
    """A span fails with a status of 500 and above; what a user agent did wrong is no failure of the service."""

    async def failing(request: Request, stores: Stores) -> Response:
        raise ValueError("Quirinius")

    failing.__module__, failing.__name__ = search.__name__, "studies"

    await respond(asked(), failing)
    await respond(asked(b"limit=x"), search.studies)

    failed, refused = spans.get_finished_spans()
    assert not failed.status.is_ok
    assert refused.status.is_ok
    assert "Quirinius" not in failed.to_json()


async def test_body_that_is_sent_later(respond: Responder, spans: InMemorySpanExporter) -> None:
    """The span of a streamed body ends with it; what storage is asked for meanwhile counts, and is its child."""
    inside: list[object] = []

    async def content() -> None:
        for _ in range(3):
            waits.get().append(0.25)
            inside.append(trace.get_current_span().get_span_context().span_id)
            yield b"a" * (1 << 20)

    async def streamed(request: Request, stores: Stores) -> Response:
        return Response(200, body=content())

    streamed.__module__, streamed.__name__ = search.__name__, "studies"
    answer = await respond(asked(), streamed)
    before = spans.get_finished_spans()
    size = sum([len(chunk) async for chunk in answer.body_iterator])

    attributes = dict(only(spans).attributes or {})
    assert before == ()
    assert attributes["bytes"] == size == 3 << 20
    assert (attributes["storage_ms"], attributes["storage_longest_ms"]) == (750, 250)
    assert set(inside) == {only(spans).get_span_context().span_id}


async def test_most_studies_of_a_record(respond: Responder, spans: InMemorySpanExporter) -> None:
    """A record names a hundred studies and no more: it would be cut anywhere."""
    many = tuple(Resource(f"1.2.{number}") for number in range(150))

    async def storing(request: Request, stores: Stores) -> Response:
        return Response(200, about=many)

    storing.__module__, storing.__name__ = search.__name__, "studies"

    await respond(asked(), storing)

    named = str((only(spans).attributes or {})["study"]).split(",")
    assert named == [resource.study for resource in many[:100]]


def test_telemetry_is_not_loaded_where_it_is_off() -> None:
    """Without the setting nothing that sends telemetry is imported: every start would be slower."""
    code = (
        "import function_app, sys;"
        "print({'opentelemetry.sdk', 'azure.monitor', 'dicom_core.telemetry'} & sys.modules.keys())"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**STORAGE, "APPLICATIONINSIGHTS_CONNECTION_STRING": "InstrumentationKey=1", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "set()"
