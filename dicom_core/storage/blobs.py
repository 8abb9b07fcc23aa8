"""The bytes of instances in Azure Blob Storage.

    dicom    {partition}/{hh}/{transaction}-{part}.dcm     the bytes as received; the UIDs in its metadata
    derived  {partition}/{hh}/{transaction}-{part}.bulky   a header, frames and bulk data that no row can hold
             ~rendered/{partition}/{hh}/{study}/{transaction}-{part}-{name}.rendered   what took long to render
    import   see `drop_zone`

`hh` is a hash of the transaction, so that writes spread over the service's own partitions, and all blobs of a
transaction share one prefix. That of renditions begins `{study}`, a hash of the study's UID. No UID is in a name: names
are logged by the platform.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from hashlib import blake2b
from urllib.parse import quote
from xml.etree import ElementTree

from dicom_core import versions
from dicom_core.errors import ResourceNotFound, StorageUnavailable
from dicom_core.resources import Resource
from dicom_core.storage.rest import Client, Kind, Reply

CONTAINERS = ("dicom", "derived", "import")

RENDERED = "~rendered/"
"""What names of renditions begin with, so that the account's lifecycle rules can tell them; no partition does."""

_META = "x-ms-meta-"
_CREATED = frozenset({201, 202})
_COPY_DONE = "success"


def blob_name(partition: str, version: str) -> str:
    """Name of the blob of a version."""
    return f"{partition}/{versions.spread(versions.transaction_of(version))}/{version}.dcm"


def bulky_name(partition: str, version: str) -> str:
    """Name of the blob that holds what is too large for the row of a version."""
    return f"{blob_name(partition, version).removesuffix('.dcm')}.bulky"


def rendered_prefix(partition: str, study: str) -> str:
    """How the names of all renditions of a study begin: one list finds them, whatever transactions it came by."""
    digest = blake2b(study.encode(), digest_size=16).hexdigest()
    return f"{RENDERED}{partition}/{digest[:2]}/{digest}/"


def rendered_name(resource: Resource, version: str, name: str) -> str:
    """Name of the blob that holds a rendition of a version."""
    return f"{rendered_prefix(resource.partition, resource.study or '')}{version}-{name}.rendered"


def rendered_version(name: str) -> str:
    """The version that a rendition is of, by its blob's name."""
    return name.rpartition("/")[2].rpartition("-")[0]


def blob_prefix(partition: str, transaction: str) -> str:
    """How the names of all blobs of a transaction begin."""
    return f"{partition}/{versions.spread(transaction)}/{transaction}-"


def version_in(name: str) -> str:
    """The version whose blob has a name."""
    return name.rpartition("/")[2].removesuffix(".dcm")


def origin(name: str) -> tuple[str, str]:
    """The partition and the transaction whose blob has a name."""
    return name.partition("/")[0], versions.transaction_of(version_in(name))


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob as a list tells of it; `modified` in seconds since 1970, by the clock of the service."""

    name: str
    length: int
    modified: float
    metadata: Mapping[str, str]


class Container:
    """One container of the account; its blobs are written once and never changed."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def put(
        self,
        name: str,
        content: Sequence[bytes],
        metadata: Mapping[str, str] | None = None,
        content_type: str = "application/dicom",
    ) -> None:
        """Write a blob with its metadata in one request.

        A blob of this name that is there already was written by an attempt whose reply was lost: names are used once.
        """
        headers = {
            "x-ms-blob-type": "BlockBlob",
            "x-ms-blob-content-type": content_type,
            **_metadata(metadata),
            "If-None-Match": "*",
        }
        reply = await self._client.send(
            Kind.BLOB_WRITE, "PUT", self._path(name), headers=headers, body=content
        )
        _expect(reply, "write")

    async def stage(self, name: str, number: int, content: Sequence[bytes]) -> None:
        """Write one block; no one sees it before `assemble`."""
        reply = await self._client.send(
            Kind.BLOB_WRITE,
            "PUT",
            self._path(name),
            query={"comp": "block", "blockid": _block(number)},
            body=content,
        )
        _expect(reply, "write")

    async def assemble(self, name: str, blocks: int, metadata: Mapping[str, str]) -> None:
        """Make staged blocks a blob."""
        listed = "".join(f"<Latest>{_block(number)}</Latest>" for number in range(blocks))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{listed}</BlockList>'.encode()
        headers = {"x-ms-blob-content-type": "application/dicom", **_metadata(metadata), "If-None-Match": "*"}
        reply = await self._client.send(
            Kind.BLOB_WRITE,
            "PUT",
            self._path(name),
            query={"comp": "blocklist"},
            headers=headers,
            body=(body,),
        )
        _expect(reply, "write")

    async def copy(self, name: str, to: str) -> None:
        """Write a blob with the bytes and the metadata of another of this container."""
        headers = {"x-ms-copy-source": f"{self._client.endpoint}{self._path(name)}", "If-None-Match": "*"}
        reply = await self._client.send(Kind.BLOB_WRITE, "PUT", self._path(to), headers=headers)
        _expect(reply, "copy")
        if reply.headers.get("x-ms-copy-status", _COPY_DONE) != _COPY_DONE:
            raise StorageUnavailable("storage has not finished a copy within the account")

    async def get(
        self, name: str, start: int, length: int | None, missing: Exception
    ) -> AsyncIterator[bytes]:
        """Begin to read a range of a blob; one of no bytes, which no Range header can name, without a request."""
        if length == 0:
            return _nothing()
        end = None if length is None else start + length
        return await self._client.stream(Kind.BLOB_READ, self._path(name), start, end, missing)

    async def blobs(self, prefix: str = "", after: str = "") -> AsyncIterator[Blob]:
        """List the blobs whose names begin so, in the order of their names; those after a name only."""
        async for answer in self._list({"include": "metadata", "prefix": prefix}):
            for element in answer.iter("Blob"):
                blob = _listed(element)
                if blob.name > after:
                    yield blob

    async def first_level(self) -> tuple[list[Blob], list[str]]:
        """The blobs that lie in no folder, and the names of the folders with the slash at their ends."""
        blobs, folders = list[Blob](), list[str]()
        async for answer in self._list({"delimiter": "/"}):
            blobs += map(_listed, answer.iter("Blob"))
            folders += (element.findtext("Name") or "" for element in answer.iter("BlobPrefix"))
        return blobs, folders

    async def _list(self, what: Mapping[str, str]) -> AsyncIterator[ElementTree.Element]:
        """Answers to a list, page by page."""
        asked = {"restype": "container", "comp": "list", **what}
        marker = ""
        while True:
            query = {**asked, "marker": marker} if marker else asked
            reply = await self._client.send(Kind.BLOB_LIST, "GET", f"/{self._name}", query=query)
            if reply.status != 200:
                raise StorageUnavailable(f"storage refused a list ({reply.error})")
            answer = ElementTree.fromstring(reply.body)
            yield answer
            marker = answer.findtext("NextMarker") or ""
            if not marker:
                return

    async def exists(self, name: str) -> bool:
        """Say if there is a blob of this name."""
        reply = await self._client.send(Kind.BLOB_READ, "HEAD", self._path(name))
        if reply.status not in (200, 404):
            raise StorageUnavailable(f"storage refused a read ({reply.error})")
        return reply.status == 200

    async def metadata(self, name: str) -> Mapping[str, str] | None:
        """The metadata of a blob; None if there is none of this name."""
        reply = await self._client.send(Kind.BLOB_READ, "HEAD", self._path(name))
        if reply.status not in (200, 404):
            raise StorageUnavailable(f"storage refused a read ({reply.error})")
        if reply.status == 404:
            return None
        return {
            header[len(_META) :].lower(): value
            for header, value in reply.headers.items()
            if header.lower().startswith(_META)
        }

    async def delete(self, name: str) -> None:
        """Delete a blob; one that is gone already is no error."""
        reply = await self._client.send(Kind.BLOB_DELETE, "DELETE", self._path(name))
        if reply.status not in (202, 404):
            raise StorageUnavailable(f"storage refused a delete ({reply.error})")

    def _path(self, name: str) -> str:
        return f"/{self._name}/{quote(name)}"


class BlobStore:
    """`InstanceStore` over a container."""

    def __init__(self, container: Container) -> None:
        self._container = container

    async def put(self, resource: Resource, version: str, content: Sequence[bytes]) -> None:
        """Write the bytes as one Put Blob."""
        await self._container.put(blob_name(resource.partition, version), content, _uids(resource))

    async def stage(self, resource: Resource, version: str, number: int, content: Sequence[bytes]) -> None:
        """Write a piece of the bytes as one Put Block."""
        await self._container.stage(blob_name(resource.partition, version), number, content)

    async def assemble(self, resource: Resource, version: str, blocks: int) -> None:
        """Make the pieces the blob of the version."""
        await self._container.assemble(blob_name(resource.partition, version), blocks, _uids(resource))

    async def copy(self, resource: Resource, version: str, to: str) -> None:
        """Copy a blob within the account."""
        await self._container.copy(blob_name(resource.partition, version), blob_name(resource.partition, to))

    async def get(
        self, partition: str, version: str, start: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """Begin to read the blob of a version."""
        missing = StorageUnavailable("the bytes of an instance are missing from storage")
        return await self._container.get(blob_name(partition, version), start, length, missing)


class BlobRenditions:
    """`Renditions` over a container."""

    def __init__(self, container: Container) -> None:
        self._container = container

    async def put(self, resource: Resource, version: str, name: str, content: bytes) -> None:
        """Write the bytes as one Put Blob."""
        blob = rendered_name(resource, version, name)
        await self._container.put(blob, (content,), content_type="application/octet-stream")

    async def get(self, resource: Resource, version: str, name: str) -> AsyncIterator[bytes] | None:
        """Begin to read the blob."""
        blob = rendered_name(resource, version, name)
        try:
            return await self._container.get(blob, 0, None, ResourceNotFound("not rendered before"))
        except ResourceNotFound:
            return None


async def _nothing() -> AsyncIterator[bytes]:
    return
    yield b""


def _uids(resource: Resource) -> dict[str, str]:
    """The metadata of a blob: what the index can be rebuilt from without opening it."""
    return {
        "study": resource.study or "",
        "series": resource.series or "",
        "instance": resource.instance or "",
    }


def _listed(element: ElementTree.Element) -> Blob:
    properties = element.find("Properties")
    metadata = element.find("Metadata")
    assert properties is not None
    modified = parsedate_to_datetime(properties.findtext("Last-Modified") or "")
    return Blob(
        element.findtext("Name") or "",
        int(properties.findtext("Content-Length") or 0),
        modified.timestamp(),
        {} if metadata is None else {item.tag: item.text or "" for item in metadata},
    )


def _metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    return {f"{_META}{name}": value for name, value in (metadata or {}).items()}


def _block(number: int) -> str:
    return base64.b64encode(f"{number:06d}".encode()).decode()


def _expect(reply: Reply, what: str) -> None:
    if reply.status not in _CREATED and reply.error != "BlobAlreadyExists":
        raise StorageUnavailable(f"storage refused a {what} ({reply.error})")
