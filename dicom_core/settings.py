"""Settings of the service, read once from the environment (application settings in Azure).

| setting | meaning | default |
|---|---|---|
| DicomStorage | connection string of the storage account; for Azurite only | |
| DicomStorage__blobServiceUri | blob endpoint of the account, reached by identity | |
| DicomStorage__tableServiceUri | table endpoint of the account, reached by identity | |
| DicomStorage__clientId | client ID of the user-assigned identity, if it is not the default one | |
| DicomAuthentication | who may call: `entra`, `function-key`; `anonymous` is for local runs only | local: `anonymous` |
| DicomIssuer | who issues the tokens, as their claim `iss` says; several separated by commas | |
| DicomAudience | whom the tokens are for, as their claim `aud` says; several separated by commas | |
| DicomPublicUrl | what URLs begin with, as https://dicom.example.org | X-Forwarded-*, then WEBSITE_HOSTNAME |
| DicomCorsOrigins | origins whose pages may call, separated by commas; `*` for all, empty for none | `*` |
| DicomRetentionHours | hours that deleted and replaced instances can still be restored, at least 1 | 1 |
| DicomBlobSource | how the host learns of new blobs: `EventGrid` or `LogsAndContainerScan` | EventGrid |
| DicomSweepSchedule | when to index and to finish what was broken off, six fields; read by the host | 0 * * * * * |
| FUNCTIONS_REQUEST_BODY_SIZE_LIMIT | largest request body in bytes; the platform enforces it too | 220200960 |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

DEFAULT_BODY_LIMIT = 210 << 20
"""210 MB is the largest request of every Functions plan (learn.microsoft.com, Azure Functions scale and hosting)."""

AZURITE = {
    "AccountName": "devstoreaccount1",
    "AccountKey": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
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


class SettingsError(Exception):
    """A setting is missing or malformed; the text names it."""


@dataclass(frozen=True, slots=True)
class SharedKeyAccount:
    """An account reached by its key: Azurite."""

    name: str
    key: str
    blobs: str
    tables: str


@dataclass(frozen=True, slots=True)
class IdentityAccount:
    """An account reached by the identity of the app."""

    blobs: str
    tables: str
    client_id: str | None


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
        source = environment.get("DicomBlobSource", BLOB_SOURCES[0])
        if source not in BLOB_SOURCES:
            raise SettingsError(f"DicomBlobSource is none of {', '.join(BLOB_SOURCES)}")
        return cls(
            account=_account(environment),
            authentication=_authentication(environment),
            public_url=environment.get("DicomPublicUrl", "").rstrip("/") or None,
            site=environment.get("WEBSITE_HOSTNAME") or None,
            cors_origins=_members(environment.get("DicomCorsOrigins", "*")),
            body_limit=int(limit),
            blob_source=source,
            retention_hours=int(hours),
        )


def _account(environment: Mapping[str, str]) -> SharedKeyAccount | IdentityAccount:
    blobs = environment.get("DicomStorage__blobServiceUri")
    tables = environment.get("DicomStorage__tableServiceUri")
    if blobs and tables:
        return IdentityAccount(blobs, tables, environment.get("DicomStorage__clientId") or None)
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
            fields["AccountName"], fields["AccountKey"], fields["BlobEndpoint"], fields["TableEndpoint"]
        )
    except KeyError as missing:
        raise SettingsError(f"DicomStorage has no {missing.args[0]}") from None


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
