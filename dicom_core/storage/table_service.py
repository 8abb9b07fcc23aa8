"""The Table service, as far as the index needs it: point reads, range queries, entity-group transactions.

Checks what the real service checks and Azurite does not, so that a mistake shows on the developer's machine.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any
from urllib.parse import quote

import orjson

from dicom_core.errors import StorageUnavailable
from dicom_core.storage.rest import Client, Kind, Reply

Entity = dict[str, Any]
"""Properties by name; a property with a type JSON lacks has a companion `name@odata.type`."""

MAX_PAGE = 1000
MAX_OPERATIONS = 100
MAX_BATCH_BYTES = 4 << 20
MAX_PROPERTIES = 252
MAX_PROPERTY_BYTES = 64 << 10
MAX_ENTITY_BYTES = 1 << 20
MAX_COMPARISONS = 15
"""Limits of the service: learn.microsoft.com, Understanding the Table service data model."""

_KEY = re.compile(r"[^/\\#?\x00-\x1f\x7f-\x9f]{0,512}")
_PROPERTY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_LITERAL = re.compile(r"'[^']*'")
_COMPARISON = re.compile(r"\b(?:eq|ne|gt|ge|lt|le)\b")
_TYPE = "@odata.type"
_JSON = "application/json;odata=nometadata"
_JSON_ETAG = "application/json;odata=minimalmetadata"
_HEADERS = {"Accept": _JSON, "DataServiceVersion": "3.0"}
_HEADERS_ETAG = {"Accept": _JSON_ETAG, "DataServiceVersion": "3.0"}
_WRITE_HEADERS = {**_HEADERS, "Content-Type": "application/json", "Prefer": "return-no-content"}
_BATCH_HEADERS = {"Content-Type": "multipart/mixed; boundary=batch_0", "DataServiceVersion": "3.0"}
_CONTINUATION = ("NextPartitionKey", "NextRowKey")
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_ETAG = re.compile(rb'\r\nETag: (W/"[^"\r\n]*")', re.IGNORECASE)
_FAILED_INDEX = re.compile(rb'"value":\s*"(\d+):')

_BATCH_DELAYS = (0.0, 0.2, 1.0)
"""Seconds before each attempt at a batch: a time-out or a busy partition is said within an answer of status 202."""


class Action(Enum):
    """What an operation of a transaction does to its entity."""

    INSERT = "POST"
    UPSERT = "PUT"
    MERGE = "MERGE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of an entity-group transaction; with an ETag, UPSERT is a replace of that version only."""

    action: Action
    row: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None


class Conflict(Exception):
    """A transaction was refused as a whole, because of the operation at `index`; nothing was changed."""

    def __init__(self, index: int, status: int) -> None:
        super().__init__(f"operation {index}: status {status}")
        self.index = index
        self.status = status


class Table:
    """One table of the account."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def upsert(self, partition: str, row: str, properties: Mapping[str, Any]) -> None:
        """Insert an entity, or replace the one of these keys."""
        check(partition, row, properties)
        body = orjson.dumps({"PartitionKey": partition, "RowKey": row, **properties})
        reply = await self._client.send(
            Kind.TABLE, "PUT", self._entity(partition, row), headers=_WRITE_HEADERS, body=(body,)
        )
        if reply.status != 204:
            raise StorageUnavailable(f"storage refused a row ({reply.error})")

    async def get(
        self, partition: str, row: str, select: Sequence[str], *, etag: bool = False
    ) -> Entity | None:
        """Read one entity; None if there is none. With `etag`, under `odata.etag`."""
        reply = await self._client.send(
            Kind.TABLE,
            "GET",
            self._entity(partition, row),
            query={"$select": ",".join(select)},
            headers=_HEADERS_ETAG if etag else _HEADERS,
        )
        if reply.status == 404:
            return None
        return _decoded(reply)

    async def query(
        self, condition: str, select: Sequence[str], *, etag: bool = False, most: int | None = None
    ) -> AsyncGenerator[list[Entity], None]:
        """Read the entities that meet a condition, page by page (of at most so many), in the order of their keys."""
        check_condition(condition)
        asked = query = {"$filter": condition, "$select": ",".join(select)}
        if most is not None:
            asked["$top"] = str(most)
        while True:
            reply = await self._client.send(
                Kind.TABLE,
                "GET",
                f"/{self._name}()",
                query=query,
                headers=_HEADERS_ETAG if etag else _HEADERS,
            )
            yield _decoded(reply)["value"]
            more = {
                name: reply.headers[header]
                for name in _CONTINUATION
                if (header := f"x-ms-continuation-{name}") in reply.headers
            }
            if not more:
                return
            query = asked | more

    async def transact(self, partition: str, operations: Sequence[Operation]) -> list[str]:
        """Carry out operations on entities of one partition, all or none; their new ETags ('' for a delete).

        Raises
        ------
        Conflict
            An insert met an entity, or a replace or delete met none or another version.
        StorageUnavailable
            No answer, or one that cannot be a race: the outcome is unknown.
        """
        body = self._batch(partition, operations)
        failed: int | None = None
        for delay in _BATCH_DELAYS:
            if delay:
                await asyncio.sleep(delay)
            reply = await self._client.send(
                Kind.TABLE, "POST", "/$batch", headers=_BATCH_HEADERS, body=(body,)
            )
            if reply.status != 202:
                raise StorageUnavailable(f"storage refused a transaction ({reply.error})")
            failed = next((int(status) for status in _STATUS.findall(reply.body) if int(status) >= 400), None)
            if failed is None:
                return _etags(reply.body, operations)
            if failed in (404, 409, 412):
                index = _FAILED_INDEX.search(reply.body)
                raise Conflict(int(index[1]) if index else 0, failed)
            if failed < 500:
                break
        raise StorageUnavailable(f"storage refused a transaction (status {failed})")

    async def delete(self, partition: str, deletions: Sequence[Operation]) -> None:
        """Delete entities of one partition in one transaction; one by one if some are gone already.

        Raises
        ------
        Conflict
            One is of another version.
        StorageUnavailable
            As `transact`.
        """
        try:
            await self.transact(partition, deletions)
        except Conflict as conflict:
            if conflict.status != 404:
                raise
            for deletion in deletions if len(deletions) > 1 else ():
                await self.delete(partition, [deletion])

    def _entity(self, partition: str, row: str) -> str:
        return f"/{self._name}(PartitionKey='{_quoted(partition)}',RowKey='{_quoted(row)}')"

    def _batch(self, partition: str, operations: Sequence[Operation]) -> bytes:
        if len(operations) > MAX_OPERATIONS:
            raise ValueError(
                f"{len(operations)} operations in one transaction; the service takes {MAX_OPERATIONS}"
            )
        parts = [b"--batch_0\r\nContent-Type: multipart/mixed; boundary=changeset_0\r\n\r\n"]
        for operation in operations:
            path = (
                f"/{self._name}"
                if operation.action is Action.INSERT
                else self._entity(partition, operation.row)
            )
            head = (
                "--changeset_0\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
                f"{operation.action.value} {self._client.endpoint}{path} HTTP/1.1\r\n"
                "Accept: application/json;odata=minimalmetadata\r\nDataServiceVersion: 3.0\r\n"
            )
            if operation.etag is not None:
                head += f"If-Match: {operation.etag}\r\n"
            if operation.action is Action.DELETE:
                parts.append(f"{head}\r\n".encode())
                continue
            check(partition, operation.row, operation.properties)
            body = orjson.dumps({"PartitionKey": partition, "RowKey": operation.row, **operation.properties})
            head += (
                "Content-Type: application/json\r\nPrefer: return-no-content\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            parts += (head.encode(), body, b"\r\n")
        parts.append(b"--changeset_0--\r\n--batch_0--\r\n")
        batch = b"".join(parts)
        if len(batch) > MAX_BATCH_BYTES:
            raise ValueError(f"a transaction of {len(batch)} bytes; the service takes {MAX_BATCH_BYTES}")
        return batch


def check(partition: str, row: str, properties: Mapping[str, Any]) -> None:
    """Check an entity by the rules of the real service.

    Raises
    ------
    ValueError
        A key has a character that keys cannot have, or a property's name or size, or their number, is too much.
    """
    for key in (partition, row):
        if _KEY.fullmatch(key) is None:
            raise ValueError("a key is too long or has a character that keys cannot have")
    number, total = 0, 2 * (len(partition) + len(row))
    for name, value in properties.items():
        if name.endswith(_TYPE):
            continue
        if _PROPERTY.fullmatch(name) is None:
            raise ValueError(f"{name!r} cannot be the name of a property")
        number += 1
        size = _size(value, properties.get(name + _TYPE)) if isinstance(value, str) else 8
        if size > MAX_PROPERTY_BYTES:
            raise ValueError(f"property {name} has {size} bytes; the service takes {MAX_PROPERTY_BYTES}")
        total += size + 2 * len(name) + 8
    if number > MAX_PROPERTIES:
        raise ValueError(f"{number} properties; the service takes {MAX_PROPERTIES}")
    if total > MAX_ENTITY_BYTES:
        raise ValueError(f"an entity of {total} bytes; the service takes {MAX_ENTITY_BYTES}")


def changed_at(entity: Entity) -> float:
    """Seconds since 1970 when an entity was last written, by the clock of the service; `Timestamp` must be selected."""
    return datetime.fromisoformat(entity["Timestamp"]).timestamp()


def check_condition(condition: str) -> None:
    """Check a filter by the rules of the real service.

    Raises
    ------
    ValueError
        It compares more often than the service allows.
    """
    comparisons = len(_COMPARISON.findall(_LITERAL.sub("", condition)))
    if comparisons > MAX_COMPARISONS:
        raise ValueError(f"{comparisons} comparisons in a filter; the service takes {MAX_COMPARISONS}")


def text_size(text: str) -> int:
    """Bytes of a text as the service counts them: in UTF-16."""
    return 2 * len(text) if text.isascii() else len(text.encode("utf-16-le"))


def literal(value: str) -> str:
    """A string as a literal of a filter."""
    return "'" + value.replace("'", "''") + "'"


def _size(value: str, kind: str | None) -> int:
    if kind == "Edm.Binary":
        return len(value) * 3 // 4 - value.count("=", -2)
    return text_size(value)


def _quoted(key: str) -> str:
    return quote(key.replace("'", "''"), safe="")


def _decoded(reply: Reply) -> Entity:
    if reply.status != 200:
        raise StorageUnavailable(f"storage refused a read ({reply.error})")
    entity: Entity = orjson.loads(reply.body)
    return entity


def _etags(body: bytes, operations: Sequence[Operation]) -> list[str]:
    found = iter(_ETAG.findall(body))
    return ["" if operation.action is Action.DELETE else next(found).decode() for operation in operations]
