"""Payloads of one part and of many."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from dicom_core.resources import Resource
from dicom_core.studies import payloads
from dicom_core.web.media_types import Offer
from dicom_core.web.messages import Request


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_single_part_without_bytes(method: str) -> None:
    """Nothing is read for it: no range has no bytes (RFC 9110 14.1.2)."""

    async def read(start: int, length: int) -> AsyncIterator[bytes]:
        raise AssertionError((start, length))

    offer = Offer("application/octet-stream", None, multipart=False)
    request = Request(method, Resource("1.2"), "http://localhost/v2")

    response = await payloads.single(request, offer, '"1"', read, (100, 0))

    assert (response.status, response.headers["Content-Length"], response.body) == (200, "0", b"")
