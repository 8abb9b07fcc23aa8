"""Settings → credential → stores, once per worker, when the first request needs them."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from azure.identity.aio import DefaultAzureCredential

from dicom_core.audit import Tracing
from dicom_core.functions_http import VERSIONS, public_url
from dicom_core.guard import Guard
from dicom_core.ports import Stores
from dicom_core.settings import IdentityAccount, Settings, SharedKeyAccount
from dicom_core.storage import deliveries
from dicom_core.storage.blobs import BlobRenditions, BlobStore, Container
from dicom_core.storage.deliveries import TableDeliveries
from dicom_core.storage.drop_zone import BlobDropZone
from dicom_core.storage.rest import Bearer, Client, SharedKey
from dicom_core.storage.table_service import Table
from dicom_core.storage.tables import TableIndex

if TYPE_CHECKING:
    from dicom_core.delivery.subscribing import Subscriber


def stores(settings: Settings) -> Callable[[], Awaitable[Stores]]:
    """Return what opens the stores: the first call in the worker's event loop does, later ones wait for it."""
    opening: asyncio.Task[Stores] | None = None

    async def opened() -> Stores:
        nonlocal opening
        if opening is None or (opening.done() and (opening.cancelled() or opening.exception())):
            opening = asyncio.ensure_future(open_stores(settings))
        return await asyncio.shield(opening)

    return opened


async def open_stores(settings: Settings) -> Stores:
    """Make the clients of an account; create what is missing in one that no template provisions."""
    account = settings.account
    if isinstance(account, SharedKeyAccount):
        # Imported here: the SDK's clients are slow to import, and not needed in Azure.
        from dicom_core.storage import provision

        await provision.create(account)
    blobs, tables = clients(account)
    _tune_collector()
    opened = index(settings, blobs, tables)
    return Stores(
        BlobStore(Container(blobs, "dicom")),
        opened,
        BlobDropZone(blobs),
        BlobRenditions(Container(blobs, "derived")),
        opened.feed,
        TableDeliveries(Table(tables, deliveries.TABLE), settings.subscribers),
    )


def index(settings: Settings, blobs: Client, tables: Client) -> TableIndex:
    """Make the index of an account."""
    retention = settings.retention_hours * 3600.0
    base_url = f"{public_url(settings, {}, 'http')}/v{VERSIONS[-1]}"
    return TableIndex(tables, Container(blobs, "dicom"), Container(blobs, "derived"), retention, base_url)


def delivering(settings: Settings) -> Callable[[Stores, float], Awaitable[None]]:
    """Return what has the subscribers of the change feed told, for so many seconds; nothing if there are none."""
    if not settings.subscribers:
        return _nothing
    # Imported here: few have subscribers.
    from dicom_core.delivery.worker import Delivery

    return Delivery(subscribers(settings)).run


def subscribers(settings: Settings) -> list[Subscriber]:
    """Make the subscribers that the settings name."""
    made: list[Subscriber] = []
    credential = partial(_credential, settings.account)
    base_url = public_url(settings, {}, "http")
    if settings.events.targets:
        from dicom_core.delivery import configuring

        client = None if settings.account.queues is None else queues(settings)
        made += configuring.event_subscribers(settings.events, base_url, credential, client)
    if settings.fhir is not None:
        from dicom_core.fhir import synchronizing

        root = f"{base_url}/v{VERSIONS[-1]}"
        made.append(synchronizing.subscriber(settings.fhir, credential, root))
    return made


async def _nothing(stores: Stores, seconds: float) -> None:
    """Tell no one."""


def guard(settings: Settings) -> Guard:
    """Make what stands before every transaction."""
    chosen = settings.authentication
    if chosen.fault or chosen.mode != "entra":
        return Guard(chosen.fault, None)
    # Imported here: other modes need no cryptography.
    from dicom_core.signing_keys import Issuer
    from dicom_core.tokens import Verifier

    return Guard("", Verifier([Issuer(url) for url in chosen.issuers], chosen.audiences))


def tracing(settings: Settings) -> Tracing | None:
    """What makes traces of requests, if the settings say so."""
    if not settings.telemetry:
        return None
    # Imported here: it takes a tenth of a second, and is not always needed.
    from dicom_core import telemetry

    return telemetry.configure(settings.telemetry, settings.app, settings.traces_per_second)


def _tune_collector() -> None:
    """Look for garbage cycles less often, and not among what start-up has made.

    Requests make many objects and hardly any cycles: at the default of 700 objects the collector took half of a search
    that reads 500 rows, and a sixth of a Store (benchmarks/README.md).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def clients(account: SharedKeyAccount | IdentityAccount) -> tuple[Client, Client]:
    """Clients of the blob and of the table service."""
    if isinstance(account, SharedKeyAccount):
        return (
            Client(account.blobs, SharedKey(account.name, account.key, table=False)),
            Client(account.tables, SharedKey(account.name, account.key, table=True)),
        )
    signer = Bearer(_credential(account))
    return Client(account.blobs, signer), Client(account.tables, signer)


def queues(settings: Settings) -> Client:
    """A client of the queue service; `Settings` has seen to it that there is an endpoint where it is needed."""
    account = settings.account
    assert account.queues is not None
    if isinstance(account, SharedKeyAccount):
        return Client(account.queues, SharedKey(account.name, account.key, table=False))
    return Client(account.queues, Bearer(_credential(account)))


def _credential(account: SharedKeyAccount | IdentityAccount) -> DefaultAzureCredential:
    """The identity of the app; of an account reached by key, that of who runs the service."""
    client_id = account.client_id if isinstance(account, IdentityAccount) else None
    identity = {} if client_id is None else {"managed_identity_client_id": client_id}
    return DefaultAzureCredential(**identity)
