"""Stores over a storage account, requests to drive transactions with, and all that can be read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import aiohttp
import orjson

from dicom_core import bootstrap
from dicom_core.errors import TransactionError
from dicom_core.ports import Stores
from dicom_core.record import Columns
from dicom_core.representations import metadata
from dicom_core.resources import Resource
from dicom_core.settings import Settings, SharedKeyAccount
from dicom_core.storage import deliveries
from dicom_core.storage.blobs import BlobRenditions, BlobStore, Container
from dicom_core.storage.deliveries import TableDeliveries
from dicom_core.storage.drop_zone import BlobDropZone
from dicom_core.storage.rest import Client
from dicom_core.storage.table_service import Table
from dicom_core.storage.tables import TableIndex
from dicom_core.studies import retrieve, search
from dicom_core.web.messages import Request, Response

BASE = "http://localhost/v2"

Transaction = Callable[[Request, Stores], Awaitable[Response]]
Fault = Callable[[Callable[[], Awaitable[aiohttp.ClientResponse]]], Awaitable[aiohttp.ClientResponse]]
"""What happens to one storage request instead: it is given what carries the request out."""


def account(connection_string: str) -> SharedKeyAccount:
    """The account of a connection string."""
    found = Settings.from_environment({"DicomStorage": connection_string}).account
    assert isinstance(found, SharedKeyAccount)
    return found


@dataclass(slots=True)
class Faults:
    """Counts the requests of both clients, and lets what is planned happen to them."""

    plan: Callable[[int], Fault | None] = lambda number: None
    sent: int = 0
    paths: list[str] = field(default_factory=list)


class _Session:
    """Where the storage clients' requests leave the process."""

    def __init__(self, session: aiohttp.ClientSession, faults: Faults) -> None:
        self._session = session
        self._faults = faults

    async def request(self, method: str, url: Any, **how: Any) -> aiohttp.ClientResponse:
        self._faults.sent += 1
        fault = self._faults.plan(self._faults.sent)
        self._faults.paths.append(f"{method} {url.path}")

        async def carry_out() -> aiohttp.ClientResponse:
            return await self._session.request(method, url, **how)

        return await (carry_out() if fault is None else fault(carry_out))

    async def close(self) -> None:
        await self._session.close()


@asynccontextmanager
async def opened(connection_string: str, faults: Faults | None = None) -> AsyncIterator[Stores]:
    """Stores of their own, as another process would have them."""
    clients = bootstrap.clients(account(connection_string))
    if faults is not None:
        for client in clients:
            _intercept(client, faults)
    blobs, tables = clients
    try:
        dicom, derived = Container(blobs, "dicom"), Container(blobs, "derived")
        index = TableIndex(tables, dicom, derived, retention=3600.0)
        yield Stores(
            BlobStore(dicom),
            index,
            BlobDropZone(blobs),
            BlobRenditions(derived),
            index.feed,
            TableDeliveries(Table(tables, deliveries.TABLE)),
        )
    finally:
        await asyncio.gather(blobs.close(), tables.close())


def _intercept(client: Client, faults: Faults) -> None:
    session = client._open()
    client._session = cast(aiohttp.ClientSession, _Session(session, faults))


def store_request(files: Sequence[bytes], partition: str, study: str | None = None, **fields: Any) -> Request:
    """A Store of some files."""
    parts = (b"\r\n--b\r\nContent-Type: application/dicom\r\n\r\n" + file for file in files)
    headers = {"content-type": 'multipart/related; type="application/dicom"; boundary=b'}
    body = b"".join([*parts, b"\r\n--b--\r\n"])
    return Request(
        "POST", Resource(study, partition=partition), BASE, headers=headers, body=_body(body), **fields
    )


def request(partition: str, study: str, series: str | None = None, instance: str | None = None) -> Request:
    """A request without a body for a resource."""
    return Request("GET", Resource(study, series, instance, partition), BASE)


async def _body(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 16):
        yield content[start : start + (1 << 16)]


async def answer(transaction: Transaction, asked: Request, stores: Stores) -> tuple[int, bytes]:
    """Status and whole body of the answer; an error's text is its body."""
    try:
        response = await transaction(asked, stores)
    except TransactionError as error:
        return error.status, str(error).encode()
    if isinstance(response.body, bytes):
        return response.status, response.body
    return response.status, b"".join([chunk async for chunk in response.body])


async def contents(stores: Stores, partition: str, study: str) -> dict[str, bytes]:
    """The bytes of every instance that a study has by its UID, after every way of reading it has said the same."""
    rows = await stores.index.records(Resource(study, partition=partition), Columns.HEADER)
    found: dict[str, bytes] = {}
    for row in rows:
        content = await stores.instances.get(partition, row.version)
        found[row.instance] = b"".join([chunk async for chunk in content])
        assert len(found[row.instance]) == row.length
        header = orjson.loads(metadata.unpack(row.header))
        assert header["00080018"]["Value"] == [row.instance]
    assert len(found) == len(rows)
    status, body = await answer(search.instances, request(partition, study), stores)
    listed = orjson.loads(body) if status == 200 else []
    assert sorted(one["00080018"]["Value"][0] for one in listed) == sorted(found)
    await _check_studies(stores, partition, study, len(found))
    status, body = await answer(retrieve.metadata, request(partition, study), stores)
    assert (status == 200) if found else status in (404, 410)
    if found:
        assert sorted(one["00080018"]["Value"][0] for one in orjson.loads(body)) == sorted(found)
    return found


async def _check_studies(stores: Stores, partition: str, study: str, count: int) -> None:
    """A search that reads the journal counts the same."""
    asked = Request("GET", Resource(partition=partition), BASE, parameters=(("PatientID", "P1"),))
    status, body = await answer(search.studies, asked, stores)
    answers = orjson.loads(body) if status == 200 else []
    counted = [one["00201208"]["Value"] for one in answers if one["0020000D"]["Value"] == [study]]
    assert counted == ([[count]] if count else [])
