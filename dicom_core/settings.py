"""Settings of the service, read once from the environment (application settings in Azure).

| setting | meaning | default |
|---|---|---|
| DicomStorage | connection string of the storage account; for Azurite only | |
| DicomStorage__blobServiceUri | blob endpoint of the account, reached by identity | |
| DicomStorage__tableServiceUri | table endpoint of the account, reached by identity | |
| DicomStorage__clientId | client ID of the user-assigned identity, if it is not the default one | |
| DicomPublicUrl | what URLs begin with, as https://dicom.example.org | X-Forwarded-*, then WEBSITE_HOSTNAME |
| DicomCorsOrigins | origins whose pages may call, separated by commas; `*` for all, empty for none | `*` |
| DicomRetentionHours | hours that deleted and replaced instances can still be restored, at least 1 | 1 |
| DicomBlobSource | how the host learns of new blobs: `EventGrid` or `LogsAndContainerScan` | EventGrid |
| DicomSweepSchedule | when to index and to finish what was broken off, six fields; read by the host | 0 * * * * * |
| FUNCTIONS_REQUEST_BODY_SIZE_LIMIT | largest request body in bytes; the platform enforces it too | 220200960 |
"""

from __future__ import annotations

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
class Settings:
    """All settings of the service."""

    account: SharedKeyAccount | IdentityAccount
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
        origins = environment.get("DicomCorsOrigins", "*").split(",")
        return cls(
            account=_account(environment),
            public_url=environment.get("DicomPublicUrl", "").rstrip("/") or None,
            site=environment.get("WEBSITE_HOSTNAME") or None,
            cors_origins=tuple(origin.strip() for origin in origins if origin.strip()),
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
