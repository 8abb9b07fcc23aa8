"""The container `import`, into which others put files that shall be stored.

    {name}  {partition}/{name}    what waits to be stored
    rejected/{name}               what cannot be; the ETag that it had before is in its metadata
    rejected/{name}.json          why

A name may be used again at any time: what is read, moved or removed is the state that was looked at, told by its ETag.
If another file has been rejected under the same name, both stay: the later one gets its ETag in front of its name.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from urllib.parse import quote

from dicom_core.errors import ResourceNotFound, StorageUnavailable
from dicom_core.ports import Dropped
from dicom_core.storage.blobs import Container
from dicom_core.storage.rest import Client, Kind, Reply

NAME = "import"
REJECTED = "rejected/"

_LONGEST = 900
"""Characters of a name that are kept of a rejected file: a blob's name takes 1,024 with what is added."""

_STATE = "x-ms-meta-state"
_DONE, _UNDER_WAY = "success", "pending"


class BlobDropZone:
    """`DropZone` over a container."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._container = Container(client, NAME)

    async def find(self, name: str) -> Dropped | None:
        """Read the properties of a blob."""
        if name.startswith(REJECTED):
            return None
        reply = await self._head(name)
        if reply is None:
            return None
        return Dropped(name, int(reply.headers["Content-Length"]), reply.headers["ETag"])

    async def get(self, file: Dropped) -> AsyncIterator[bytes]:
        """Begin to read a blob."""
        condition = {"If-Match": file.state}
        path = _path(file.name)
        return await self._client.stream(Kind.BLOB_READ, path, 0, None, _gone(), headers=condition)

    async def remove(self, file: Dropped) -> None:
        """Delete a blob, if it is as it was."""
        condition = {"If-Match": file.state}
        reply = await self._client.send(Kind.BLOB_DELETE, "DELETE", _path(file.name), headers=condition)
        if reply.status not in (202, 404, 412):
            raise StorageUnavailable(f"storage refused a delete ({reply.error})")

    async def reject(self, file: Dropped, reason: bytes) -> None:
        """Copy a blob within the account, say why, then delete it; each step may be repeated."""
        name, state = file.name[-_LONGEST:], file.state.strip('"')

        async def copy(to: str) -> Reply:
            source = f"{self._client.endpoint}{_path(file.name)}"
            headers = {"x-ms-copy-source": source, "x-ms-source-if-match": file.state}
            return await self._create(to, state, headers, ())

        async def explain(to: str) -> Reply:
            headers = {"x-ms-blob-type": "BlockBlob", "x-ms-blob-content-type": "application/json"}
            return await self._create(to, state, headers, (reason,))

        moved = await self._first((f"{REJECTED}{name}", f"{REJECTED}{state}/{name}"), state, copy)
        await self._first((f"{moved}.json", f"{moved}.{state}.json"), state, explain)
        await self.remove(file)

    async def waiting(self, age: float) -> AsyncIterator[str]:
        """List the blobs folder by folder, but for those that were rejected."""
        latest = time.time() - age
        blobs, folders = await self._container.first_level()
        for blob in blobs:
            if blob.modified <= latest:
                yield blob.name
        for folder in folders:
            if folder != REJECTED:
                async for blob in self._container.blobs(folder):
                    if blob.modified <= latest:
                        yield blob.name

    async def _first(
        self, names: Iterable[str], state: str, create: Callable[[str], Awaitable[Reply]]
    ) -> str:
        """Create a blob under the first name that no other file has; that name."""
        for name in names:
            reply = await create(name)
            if reply.status == 404:
                raise _gone()
            if reply.status in (201, 202) and _copied(reply) == _DONE:
                return name
            found = await self._head(name)
            if found is None and reply.status == 412:  # it is the source that did not meet its condition
                raise _gone()
            if found is None:
                raise StorageUnavailable(f"storage refused to move a file ({reply.error})")
            if found.headers.get(_STATE) == state:
                if _copied(found) == _DONE:
                    return name
                if _copied(found) != _UNDER_WAY:
                    await self._container.delete(name)
                raise StorageUnavailable("storage has not finished a copy within the account")
        raise StorageUnavailable("another file was rejected under the same name")

    async def _create(
        self, name: str, state: str, headers: Mapping[str, str], body: tuple[bytes, ...]
    ) -> Reply:
        fields = {**headers, _STATE: state, "If-None-Match": "*"}
        return await self._client.send(Kind.BLOB_WRITE, "PUT", _path(name), headers=fields, body=body)

    async def _head(self, name: str) -> Reply | None:
        reply = await self._client.send(Kind.BLOB_READ, "HEAD", _path(name))
        if reply.status not in (200, 404):
            raise StorageUnavailable(f"storage refused a read ({reply.error})")
        return reply if reply.status == 200 else None


def _path(name: str) -> str:
    return f"/{NAME}/{quote(name)}"


def _gone() -> ResourceNotFound:
    return ResourceNotFound("the file is gone, or another took its place")


def _copied(reply: Reply) -> str:
    """How far the copy has come that a blob is; one that is no copy is done."""
    return reply.headers.get("x-ms-copy-status", _DONE)
