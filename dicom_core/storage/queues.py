"""A queue of the storage account, as far as events need it: messages are put in."""

from __future__ import annotations

from dicom_core.errors import StorageUnavailable
from dicom_core.storage.rest import Client, Kind, Reply


class Queue:
    """One queue; made when it is missing."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def put(self, text: str) -> None:
        """Put a message, which stays until someone takes it; the text has no characters that XML would escape.

        Raises
        ------
        StorageUnavailable
            It may or may not have been put.
        """
        reply = await self._put(text)
        if reply.status == 404:
            await self._create()
            reply = await self._put(text)
        if reply.status != 201:
            raise StorageUnavailable(f"storage refused a message ({reply.error})")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _put(self, text: str) -> Reply:
        body = f"<QueueMessage><MessageText>{text}</MessageText></QueueMessage>".encode()
        return await self._client.send(
            Kind.QUEUE,
            "POST",
            f"/{self._name}/messages",
            query={"messagettl": "-1"},
            headers={"Content-Type": "application/xml"},
            body=(body,),
        )

    async def _create(self) -> None:
        reply = await self._client.send(Kind.QUEUE, "PUT", f"/{self._name}")
        if reply.status not in (201, 204, 409):
            raise StorageUnavailable(f"storage refused a queue ({reply.error})")
