"""Creates the containers and tables of an account reached by key: Azurite. In Azure, `infra/` does it."""

from __future__ import annotations

from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError
from azure.data.tables.aio import TableServiceClient
from azure.storage.blob.aio import BlobServiceClient

from dicom_core.settings import SharedKeyAccount
from dicom_core.storage.blobs import CONTAINERS
from dicom_core.storage.tables import TABLES


async def create(account: SharedKeyAccount) -> None:
    """Create what is missing."""
    credential = {"account_name": account.name, "account_key": account.key}
    async with BlobServiceClient(account.blobs, credential=credential) as blobs:
        for name in CONTAINERS:
            try:
                await blobs.create_container(name)
            except ResourceExistsError:
                continue
    async with TableServiceClient(
        account.tables, credential=AzureNamedKeyCredential(account.name, account.key)
    ) as tables:
        for name in TABLES:
            await tables.create_table_if_not_exists(name)
