"""Signatures of webhooks, by which a receiver knows who sent them (Standard Webhooks 1.0, symmetric)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

from dicom_core.subscriptions import SIGNING_SECRET


def headers(secrets: Sequence[str], message: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Header fields of a message: one signature by each secret, so that a receiver may change to another in its time.

    Parameters
    ----------
    message
        What tells the message from others; the same each time it is sent.
    timestamp
        Seconds since 1970 of this sending.
    """
    signed = f"{message}.{timestamp}.".encode() + body
    fields = {"webhook-id": message, "webhook-timestamp": str(timestamp)}
    if secrets:
        fields["webhook-signature"] = " ".join(_signature(secret, signed) for secret in secrets)
    return fields


def _signature(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SIGNING_SECRET))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
