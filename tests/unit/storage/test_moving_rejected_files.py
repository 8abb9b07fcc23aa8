"""A rejected file is not deleted before its copy is complete, whatever the service answers."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dicom_core.errors import ResourceNotFound, StorageUnavailable
from dicom_core.ports import Dropped
from dicom_core.storage.drop_zone import BlobDropZone
from dicom_core.storage.rest import Client, Reply

FILE = Dropped("x", 1, '"0x1"')
OWN = {"x-ms-meta-state": "0x1"}
OTHER = {"x-ms-meta-state": "0x2"}
COPYING = {"x-ms-copy-status": "pending"}
FAILED = {"x-ms-copy-status": "failed"}


class Service:
    """Answers in their order, to requests that are noted."""

    endpoint = "https://account"

    def __init__(self, *replies: tuple[int, dict[str, str]]) -> None:
        self.asked: list[str] = []
        self._replies = [Reply(status, headers, b"") for status, headers in replies]

    async def send(self, kind: str, method: str, path: str, **_: Any) -> Reply:
        """The next answer."""
        self.asked.append(f"{method} {path}")
        return self._replies.pop(0)


COPY, LOOK, DROP = "PUT /import/rejected/x", "HEAD /import/rejected/x", "DELETE /import/rejected/x"
EXPLAIN, REMOVE = "PUT /import/rejected/x.json", "DELETE /import/x"


@pytest.mark.parametrize(
    ("replies", "asked"),
    [
        ([(202, {}), (201, {}), (202, {})], [COPY, EXPLAIN, REMOVE]),
        ([(409, {}), (200, OWN), (201, {}), (202, {})], [COPY, LOOK, EXPLAIN, REMOVE]),
        ([(412, {}), (200, OWN), (201, {}), (202, {})], [COPY, LOOK, EXPLAIN, REMOVE]),
        ([(202, COPYING), (200, OWN), (201, {}), (202, {})], [COPY, LOOK, EXPLAIN, REMOVE]),
        (
            [(409, {}), (200, OTHER), (202, {}), (201, {}), (202, {})],
            [COPY, LOOK, "PUT /import/rejected/0x1/x", "PUT /import/rejected/0x1/x.json", REMOVE],
        ),
        (
            [(202, {}), (409, {}), (200, OTHER), (201, {}), (202, {})],
            [COPY, EXPLAIN, "HEAD /import/rejected/x.json", "PUT /import/rejected/x.0x1.json", REMOVE],
        ),
    ],
    ids=[
        "at once",
        "repeated",
        "repeated, as documented",
        "copied meanwhile",
        "name taken",
        "reason's name taken",
    ],
)
async def test_file_is_deleted_when_it_was_copied(
    replies: list[tuple[int, dict[str, str]]], asked: list[str]
) -> None:
    """Copy, reason, delete: in this order, each under a name that no other file has."""
    service = Service(*replies)

    await BlobDropZone(cast(Client, service)).reject(FILE, b"{}")

    assert service.asked == asked


@pytest.mark.parametrize(
    ("replies", "asked", "error"),
    [
        ([(404, {})], [COPY], ResourceNotFound),
        ([(412, {}), (404, {})], [COPY, LOOK], ResourceNotFound),
        ([(403, {}), (404, {})], [COPY, LOOK], StorageUnavailable),
        ([(202, COPYING), (200, OWN | COPYING)], [COPY, LOOK], StorageUnavailable),
        ([(409, {}), (200, OWN | FAILED), (202, {})], [COPY, LOOK, DROP], StorageUnavailable),
        ([(202, {}), (403, {}), (404, {})], [COPY, EXPLAIN, f"{LOOK}.json"], StorageUnavailable),
    ],
    ids=["gone", "replaced", "refused", "slow copy", "failed copy", "reason refused"],
)
async def test_file_that_was_not_moved_stays(
    replies: list[tuple[int, dict[str, str]]], asked: list[str], error: type[Exception]
) -> None:
    """The file is not touched; a copy that failed makes room for the next."""
    service = Service(*replies)

    with pytest.raises(error):
        await BlobDropZone(cast(Client, service)).reject(FILE, b"{}")

    assert service.asked == asked
