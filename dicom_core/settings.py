"""Settings of the service, read once from the environment (application settings in Azure).

| setting | meaning | default |
|---|---|---|
| DicomStorage | connection string of the storage account; for Azurite only | |
| DicomStorage__blobServiceUri | blob endpoint of the account, reached by identity | |
| DicomStorage__tableServiceUri | table endpoint of the account, reached by identity | |
| DicomStorage__queueServiceUri | queue endpoint of the account: events that go to a queue, poison messages | |
| DicomStorage__clientId | client ID of the user-assigned identity, if it is not the default one | |
| DicomAuthentication | who may call: `entra`, `function-key`; `anonymous` is for local runs only | local: `anonymous` |
| DicomIssuer | who issues the tokens, as their claim `iss` says; several separated by commas | |
| DicomAudience | whom the tokens are for, as their claim `aud` says; several separated by commas | |
| DicomPublicUrl | what URLs begin with, as https://dicom.example.org | X-Forwarded-*, then WEBSITE_HOSTNAME |
| DicomCorsOrigins | origins whose pages may call, separated by commas; `*` for all, empty for none | `*` |
| DicomRetentionHours | hours that deleted and replaced instances can still be restored, at least 1 | 1 |
| DicomBlobSource | how the host learns of new blobs: `EventGrid` or `LogsAndContainerScan` | EventGrid |
| DicomSweepSchedule | when to index and to finish what was broken off, six fields; read by the host | 0 * * * * * |
| DicomEventTargets | where events go, separated by commas: URLs of Event Grid topics or webhooks, `queue:NAME` | |
| DicomEventSchema | how events are written: `CloudEventSchemaV1_0` or `EventGridSchema` | CloudEventSchemaV1_0 |
| DicomEventSecret | signs what webhooks get: `whsec_` and 24 to 64 bytes in base64; several separated by spaces | |
| DicomFhirUrl | base URL of the FHIR server that is told of studies | |
| DicomFhirAuthentication | how it learns who we are: `identity`, `client-credentials`, `none` | identity |
| DicomFhirScope | scope of the tokens for it | identity: `/.default` of its URL |
| DicomFhirTokenUrl | where tokens are given out, for `client-credentials` | |
| DicomFhirClientId | who asks for them, for `client-credentials` | |
| DicomFhirClientSecret | by which secret, for `client-credentials` | |
| DicomFhirPatientSystem | identifier system of a Patient ID whose issuer is not known, a URI | |
| PYTHON_ENABLE_OPENTELEMETRY | `true`: audit records and traces go to Application Insights as data | |
| APPLICATIONINSIGHTS_CONNECTION_STRING | where they go to | |
| OTEL_TRACES_SAMPLER_ARG | requests a second whose traces are kept; audit records always are | 5 |
| PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY | never `true`: telemetry of the worker's own names patients | |
| FUNCTIONS_REQUEST_BODY_SIZE_LIMIT | largest request body in bytes; the platform enforces it too | 220200960 |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dicom_core import event_targets
from dicom_core.event_targets import Kind, TargetError
from dicom_core.subscriptions import EVENT_SCHEMAS, FHIR, Events, FhirServer

DEFAULT_BODY_LIMIT = 210 << 20
"""210 MB is the largest request of every Functions plan (learn.microsoft.com, Azure Functions scale and hosting)."""

AZURITE = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
    "QueueEndpoint": "http://127.0.0.1:10001/devstoreaccount1",
    "TableEndpoint": "http://127.0.0.1:10002/devstoreaccount1",
}
"""What `UseDevelopmentStorage=true` stands for; account and key are public (learn.microsoft.com, Azurite)."""


BLOB_SOURCES = ("EventGrid", "LogsAndContainerScan")
"""The sources of a blob trigger, as the host names them."""

AUTHENTICATION_MODES = ("entra", "function-key", "anonymous")
"""Who may call: holders of tokens of an OpenID Connect issuer, holders of a key, which the host asks for, everyone."""

_PLATFORM = ("WEBSITE_INSTANCE_ID", "WEBSITE_SKU", "WEBSITE_POD_NAME", "MANAGED_ENVIRONMENT")
"""Variables of the plans of Azure Functions; no plan has all of them, and Core Tools set none."""

_LOCAL_SITE = re.compile(r"((localhost|\[[0-9a-f:.]+\]|[0-9.]+)(:[0-9]+)?)?", re.IGNORECASE)

MAX_RETENTION_HOURS = 99_999
"""More than eleven years."""


TRACES_PER_SECOND = 5.0
"""Enough to see what is slow; each is a kilobyte of logs."""


_NO_EVENTS = Events()


class SettingsError(Exception):
    """A setting is missing or malformed; the text names it."""


@dataclass(frozen=True, slots=True)
class SharedKeyAccount:
    """An account reached by its key: Azurite."""

    name: str
    key: str = field(repr=False)
    blobs: str
    tables: str
    queues: str | None = None


@dataclass(frozen=True, slots=True)
class IdentityAccount:
    """An account reached by the identity of the app."""

    blobs: str
    tables: str
    client_id: str | None
    queues: str | None = None


@dataclass(frozen=True, slots=True)
class Authentication:
    """Who may call; no one where there is a fault, which says what is wrong with the settings."""

    mode: str
    issuers: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    fault: str = ""

    @property
    def by_key(self) -> bool:
        """Whether the host asks those who call for a key, before it passes their requests on."""
        return self.mode == "function-key"


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of the service."""

    account: SharedKeyAccount | IdentityAccount
    authentication: Authentication
    public_url: str | None = None
    site: str | None = None
    cors_origins: tuple[str, ...] = ("*",)
    body_limit: int = DEFAULT_BODY_LIMIT
    blob_source: str = BLOB_SOURCES[0]
    retention_hours: int = 1
    app: str = ""
    telemetry: str = ""
    traces_per_second: float = TRACES_PER_SECOND
    events: Events = _NO_EVENTS
    fhir: FhirServer | None = None

    @property
    def subscribers(self) -> tuple[str, ...]:
        """Names of what the change feed is passed on to."""
        names = tuple(target.name for target in self.events.targets)
        return names if self.fhir is None else (*names, FHIR)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the settings.

        Raises
        ------
        SettingsError
            One is missing or malformed.
        """
        limit = environment.get("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT", str(DEFAULT_BODY_LIMIT))
        if not limit.isdigit():
            raise SettingsError("FUNCTIONS_REQUEST_BODY_SIZE_LIMIT is not a number of bytes")
        hours = environment.get("DicomRetentionHours", "1")
        if not hours.isdecimal() or not 1 <= int(hours) <= MAX_RETENTION_HOURS:
            raise SettingsError(
                f"DicomRetentionHours is not a number of hours from 1 to {MAX_RETENTION_HOURS}"
            )
        rate = environment.get("OTEL_TRACES_SAMPLER_ARG", str(TRACES_PER_SECOND))
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", rate):
            raise SettingsError("OTEL_TRACES_SAMPLER_ARG is not a number of traces a second")
        source = environment.get("DicomBlobSource", BLOB_SOURCES[0])
        if source not in BLOB_SOURCES:
            raise SettingsError(f"DicomBlobSource is none of {', '.join(BLOB_SOURCES)}")
        account = _account(environment)
        return cls(
            account=account,
            authentication=_authentication(environment),
            public_url=environment.get("DicomPublicUrl", "").rstrip("/") or None,
            site=environment.get("WEBSITE_HOSTNAME") or None,
            cors_origins=_members(environment.get("DicomCorsOrigins", "*")),
            body_limit=int(limit),
            blob_source=source,
            retention_hours=int(hours),
            app=environment.get("WEBSITE_SITE_NAME", ""),
            telemetry=_telemetry(environment),
            traces_per_second=float(rate),
            events=_events(environment, account),
            fhir=_fhir(environment),
        )


def _account(environment: Mapping[str, str]) -> SharedKeyAccount | IdentityAccount:
    blobs = environment.get("DicomStorage__blobServiceUri")
    tables = environment.get("DicomStorage__tableServiceUri")
    if blobs and tables:
        client_id = environment.get("DicomStorage__clientId") or None
        queues = environment.get("DicomStorage__queueServiceUri") or None
        return IdentityAccount(blobs, tables, client_id, queues)
    text = environment.get("DicomStorage")
    if not text:
        raise SettingsError(
            "set DicomStorage__blobServiceUri and DicomStorage__tableServiceUri, or DicomStorage"
        )
    if text.strip().lower() == "usedevelopmentstorage=true":
        fields = AZURITE
    else:
        fields = dict(item.split("=", 1) for item in text.strip().split(";") if "=" in item)
    try:
        return SharedKeyAccount(
            fields["AccountName"],
            fields["AccountKey"],
            fields["BlobEndpoint"],
            fields["TableEndpoint"],
            fields.get("QueueEndpoint"),
        )
    except KeyError as missing:
        raise SettingsError(f"DicomStorage has no {missing.args[0]}") from None


def _events(environment: Mapping[str, str], account: SharedKeyAccount | IdentityAccount) -> Events:
    """Where events go; nowhere if nothing is said."""
    try:
        targets = event_targets.parse(environment.get("DicomEventTargets", ""), local=_is_local(environment))
    except TargetError as error:
        raise SettingsError(f"DicomEventTargets: {error}") from None
    if account.queues is None and any(target.kind is Kind.QUEUE for target in targets):
        raise SettingsError(
            "DicomEventTargets has a queue: set DicomStorage__queueServiceUri, or QueueEndpoint in DicomStorage"
        )
    schema = environment.get("DicomEventSchema", "").strip() or EVENT_SCHEMAS[0]
    secrets = tuple(environment.get("DicomEventSecret", "").split())
    events = Events(targets, schema, secrets)
    if events.fault:
        raise SettingsError(events.fault)
    return events


def _fhir(environment: Mapping[str, str]) -> FhirServer | None:
    """The FHIR server; none if there is no URL."""
    server = FhirServer(
        url=environment.get("DicomFhirUrl", "").strip().rstrip("/"),
        authentication=environment.get("DicomFhirAuthentication", "").strip() or "identity",
        scope=environment.get("DicomFhirScope", "").strip(),
        token_url=environment.get("DicomFhirTokenUrl", "").strip(),
        client_id=environment.get("DicomFhirClientId", "").strip(),
        client_secret=environment.get("DicomFhirClientSecret", "").strip(),
        patient_system=environment.get("DicomFhirPatientSystem", "").strip(),
    )
    if not server.url:
        return None
    if fault := server.fault(local=_is_local(environment)):
        raise SettingsError(fault)
    return server


def _telemetry(environment: Mapping[str, str]) -> str:
    """Where traces are sent to; nothing if they are not."""
    if _is_true(environment.get("PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY", "")):
        raise SettingsError(
            "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY records the queries of requests, and so names of patients: "
            "set PYTHON_ENABLE_OPENTELEMETRY in its place"
        )
    if not _is_true(environment.get("PYTHON_ENABLE_OPENTELEMETRY", "")):
        return ""
    if not (destination := environment.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "").strip()):
        raise SettingsError(
            "set APPLICATIONINSIGHTS_CONNECTION_STRING, which PYTHON_ENABLE_OPENTELEMETRY needs"
        )
    return destination


def _is_true(value: str) -> bool:
    """What the worker takes for true."""
    return value.strip().lower() in ("true", "1", "t", "y", "yes")


def _authentication(environment: Mapping[str, str]) -> Authentication:
    """Who may call. A fault is not raised: those who call are told, and what does not depend on them goes on."""
    local = _is_local(environment)
    mode = environment.get("DicomAuthentication", "").strip() or ("anonymous" if local else "")
    issuers = _members(environment.get("DicomIssuer", ""))
    audiences = _members(environment.get("DicomAudience", ""))
    fault = ""
    if mode not in AUTHENTICATION_MODES:
        fault = "set DicomAuthentication to entra or function-key"
    elif mode == "anonymous" and not local:
        fault = "DicomAuthentication is anonymous, which it may be on a developer's machine only"
    elif mode == "entra" and not (issuers and audiences):
        fault = f"set {'DicomAudience' if issuers else 'DicomIssuer'}, which DicomAuthentication=entra needs"
    elif mode == "entra" and not all(_is_issuer(url, local) for url in issuers):
        fault = "DicomIssuer is no URL that begins with https://"
    return Authentication(mode, issuers, audiences, fault)


def _is_local(environment: Mapping[str, str]) -> bool:
    """Whether there is nothing of Azure around: the platform never names an app by an address, as Core Tools do."""
    if any(environment.get(name) for name in _PLATFORM):
        return False
    return _LOCAL_SITE.fullmatch(environment.get("WEBSITE_HOSTNAME", "")) is not None


def _is_issuer(url: str, local: bool) -> bool:
    return url.startswith(("https://", "http://") if local else "https://")


def _members(value: str) -> tuple[str, ...]:
    return tuple(member.strip() for member in value.split(",") if member.strip())
