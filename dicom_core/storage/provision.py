"""Creates the containers and tables of an account reached by key: Azurite. In Azure, `infra/` does it."""

from __future__ import annotations

from contextlib import suppress

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import AzureError, ResourceExistsError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient

from dicom_core.errors import StorageUnavailable
from dicom_core.settings import SharedKeyAccount
from dicom_core.storage import deliveries
from dicom_core.storage.blobs import CONTAINERS
from dicom_core.storage.tables import TABLES

_RETRIES = 2


async def create(account: SharedKeyAccount) -> None:
    """Create what is missing.

    Raises
    ------
    StorageUnavailable
        The account cannot be reached.
    """
    try:
        await _create_containers(account)
        await _create_tables(account)
    except AzureError as error:
        raise StorageUnavailable(f"storage cannot be prepared ({type(error).__name__})") from error


async def _create_containers(account: SharedKeyAccount) -> None:
    credential = {"account_name": account.name, "account_key": account.key}
    async with BlobServiceClient(account.blobs, credential=credential, retry_total=_RETRIES) as service:
        for name in CONTAINERS:
            with suppress(ResourceExistsError):
                await service.create_container(name)


async def _create_tables(account: SharedKeyAccount) -> None:
    credential = AzureNamedKeyCredential(account.name, account.key)
    async with TableServiceClient(account.tables, credential=credential, retry_total=_RETRIES) as service:
        for name in (*TABLES, deliveries.TABLE):
            await service.create_table_if_not_exists(name)
