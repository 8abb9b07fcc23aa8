"""Traces and audit records, sent to Application Insights by OpenTelemetry (docs/decisions/0009-telemetry.md).

Imported only where it is configured. Nothing is instrumented by itself: what instruments servers and clients of HTTP
records the queries of requests, and so the names of patients. What is sent is what `functions_http` says of a request,
and the log lines of this service.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

LOGGER = "dicom"
"""The logger whose lines are sent; those of libraries may hold anything, and are not."""

_ENVIRONMENT = {
    "OTEL_METRICS_EXPORTER": "none",  # the host counts requests itself
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "azure_functions",  # others ask the network who they are
    "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",  # what the library tells its makers
    "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",  # what its makers may tell the library
}
os.environ.update(_ENVIRONMENT)

from azure.monitor.opentelemetry import configure_azure_monitor  # noqa: E402 (it reads the environment)
from opentelemetry import context, trace  # noqa: E402
from opentelemetry.trace import StatusCode, Tracer  # noqa: E402

_INSTRUMENTED = (
    "azure_sdk",
    "django",
    "fastapi",
    "flask",
    "httpx",
    "httpx2",
    "psycopg2",
    "requests",
    "urllib",
    "urllib3",
)
