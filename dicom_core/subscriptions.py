"""What follows the change feed, as the settings have it: targets of events, and a FHIR server."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from dicom_core.event_targets import EventTarget

EVENT_SCHEMAS = ("CloudEventSchemaV1_0", "EventGridSchema")
"""How events are written, as Event Grid names it."""

FHIR_AUTHENTICATION = ("identity", "client-credentials", "none")
"""How a FHIR server learns who we are: by tokens of the app's identity, or of a client that it knows, or not at all."""

FHIR = "fhir"
"""What the subscriber is called that keeps a FHIR server up to date."""

SIGNING_SECRET = "whsec_"
"""What a signing secret begins with (Standard Webhooks)."""

VAULT_REFERENCE = "@Microsoft.KeyVault("
"""What a setting still begins with while the platform cannot read the secret that it refers to."""


@dataclass(frozen=True, slots=True)
class Events:
    """Where events go to, how they are written, and what signs those for webhooks: any of the secrets."""

    targets: tuple[EventTarget, ...] = ()
    schema: str = EVENT_SCHEMAS[0]
    secrets: tuple[str, ...] = field(default=(), repr=False)

    @property
    def fault(self) -> str:
        """The setting that is wrong; empty if none is."""
        if self.schema not in EVENT_SCHEMAS:
            return f"DicomEventSchema is none of {', '.join(EVENT_SCHEMAS)}"
        if not all(map(_can_sign, self.secrets)):
            return f"DicomEventSecret is not {SIGNING_SECRET} and 24 to 64 bytes in base64"
        return ""


@dataclass(frozen=True, slots=True)
class FhirServer:
    """A FHIR server. The scope may be empty, and what follows it but for client-credentials."""

    url: str
    authentication: str
    scope: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    patient_system: str

    def fault(self, *, local: bool) -> str:
        """The setting that is wrong; empty if none is. Only a local run may use http://."""
        if self.authentication not in FHIR_AUTHENTICATION:
            return f"DicomFhirAuthentication is none of {', '.join(FHIR_AUTHENTICATION)}"
        urls = {"DicomFhirUrl": self.url}
        if self.authentication == "client-credentials":
            urls["DicomFhirTokenUrl"] = self.token_url
            needed = {"DicomFhirClientId": self.client_id, "DicomFhirClientSecret": self.client_secret}
            for name, value in needed.items():
                if not value:
                    return f"set {name}, which DicomFhirAuthentication=client-credentials needs"
        for name, url in urls.items():
            if not _is_plain(url, local):
                return f"{name} is no URL that begins with https:// and has no query"
        return ""


def _can_sign(secret: str) -> bool:
    if secret.startswith(VAULT_REFERENCE):
        return True  # it will, when the platform can read it
    try:
        key = base64.b64decode(secret.removeprefix(SIGNING_SECRET), validate=True)
    except binascii.Error:
        return False
    return secret.startswith(SIGNING_SECRET) and 24 <= len(key) <= 64


def _is_plain(url: str, local: bool) -> bool:
    beginning = "https?://" if local else "https://"
    return re.fullmatch(beginning + r"[^/?#@\s]+(/[^?#\s]*)?", url) is not None
