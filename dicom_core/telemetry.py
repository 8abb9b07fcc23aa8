"""Traces and audit records, sent to Application Insights by OpenTelemetry (docs/decisions/0009-telemetry.md).

Imported only where it is configured. Our providers are no one else's: whatever finds global ones, as FastAPI does,
records the queries of requests, and so the names of patients. What is sent is what `audit` says of a request,
and the log lines of this service.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

from azure.monitor.opentelemetry.exporter import (
    AzureMonitorLogExporter,
    AzureMonitorTraceExporter,
    RateLimitedSampler,
)
from opentelemetry import context, trace
from opentelemetry._logs import Logger, LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, StatusCode, Tracer

NAME = "dicom"
"""The logger whose lines are sent; those of libraries may hold anything, and are not."""

_ENVIRONMENT = {
    "APPLICATIONINSIGHTS_OPENTELEMETRY_RESOURCE_METRIC_DISABLED": "true",  # who sends, again with each batch
    "APPLICATIONINSIGHTS_SDKSTATS_DISABLED": "true",  # how many items were sent
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",  # what the library tells those who made it
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",  # what they may tell the library
}
"""What the library can be told by the environment only."""

_SEVERITIES = {
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
}


def configure(connection_string: str, app: str, traces_per_second: float) -> Tracing:
    """Send spans and log lines to a component of Application Insights from now on.

    Who sends them the library reads from APPLICATIONINSIGHTS_AUTHENTICATION_STRING. Of spans some so many a second are
    sent, chosen by a hash of their trace, as the host does; of log lines, and so of audit records, all.
    """
    os.environ.update(_ENVIRONMENT)
    resource = Resource.create({SERVICE_NAME: app or NAME})
    records = LoggerProvider(resource)
    records.add_log_record_processor(
        BatchLogRecordProcessor(AzureMonitorLogExporter(connection_string=connection_string))
    )
    spans = TracerProvider(RateLimitedSampler(traces_per_second), resource)
    spans.add_span_processor(
        BatchSpanProcessor(AzureMonitorTraceExporter(connection_string=connection_string))
    )
    log = logging.getLogger(NAME)
    log.setLevel(logging.INFO)
    log.addHandler(Lines(records.get_logger(NAME)))
    return Tracing(spans.get_tracer(NAME))


class Lines(logging.Handler):
    """Passes log lines on, with the data that some have beside their text, as records of the span of their request."""

    def __init__(self, logger: Logger) -> None:
        super().__init__()
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one on; an exception that it may have is left out."""
        self._logger.emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                context=context.get_current(),
                severity_number=_SEVERITIES.get(record.levelno),
                severity_text=record.levelname,
                body=record.getMessage(),
                attributes=getattr(record, "fields", None),
            )
        )


class Tracing:
    """Makes a span of each request."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, name: str) -> RequestSpan:
        """Begin a span, as a child of the one that the worker has told of."""
        return RequestSpan(self._tracer.start_span(name))


class RequestSpan:
    """The span of one request."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def enter(self) -> None:
        """Have what is logged here belong to the span: a body is sent in another context than it was made in."""
        context.attach(trace.set_span_in_context(self._span))

    def end(self, fields: Mapping[str, str | int | float], *, failed: bool) -> None:
        """End it with what the audit record says."""
        self._span.set_attributes(dict(fields))
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()
