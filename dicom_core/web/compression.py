"""Compresses what is text on its way out (RFC 9110 8.4): JSON, XML; never pixels, which would cost more than they save.

A compressed representation is another one: its entity tag ends in `-gzip`; a condition that names it means the same.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

from dicom_core.web import headers
from dicom_core.web.messages import Response

SMALLEST = 1024
"""Bytes from which on it is worth it."""

_LEVEL = 1
_SUFFIX = '-gzip"'
_TEXTS = (
    "application/dicom+json",
    "application/json",
    "application/dicom+xml",
    "application/vnd.sun.wadl+xml",
)


def uncompressed_condition(if_none_match: str) -> str:
    """An If-None-Match header by the entity tags of what is not compressed."""
    return if_none_match.replace(_SUFFIX, '"')


def compressed(response: Response, asked: Mapping[str, str]) -> Response:
    """The response as the header fields of its request ask for it, compressed if it is text."""
    tag = response.headers.get("ETag", "")
    tagged = {**response.headers, "ETag": tag[:-1] + _SUFFIX} if tag else dict(response.headers)
    if response.status == 304:
        was_compressed = tagged.get("ETag", _SUFFIX) in asked.get("if-none-match", "")
        return replace(response, headers=tagged) if was_compressed else response
    if response.headers.get("Content-Encoding") == "gzip":
        return replace(response, headers=tagged)
    if not _is_worth_it(response) or not headers.accepts_gzip(asked.get("accept-encoding")):
        return response
    tagged["Content-Encoding"] = "gzip"
    body = response.body
    content = zlib.compress(body, _LEVEL, wbits=31) if isinstance(body, bytes) else _through(body)
    return Response(response.status, tagged, content)


def _is_worth_it(response: Response) -> bool:
    is_text = response.headers.get("Content-Type", "").startswith(_TEXTS)
    is_small = isinstance(response.body, bytes) and len(response.body) < SMALLEST
    return is_text and not is_small and response.status == 200 and "Content-Range" not in response.headers


async def _through(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    compressor = zlib.compressobj(_LEVEL, wbits=31)
    async for chunk in body:
        if piece := compressor.compress(chunk):
            yield piece
    yield compressor.flush()
