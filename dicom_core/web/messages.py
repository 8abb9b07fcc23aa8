"""Request and response messages (PS3.18 8.1), free of any framework."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from dicom_core.resources import Resource


async def _nothing() -> AsyncIterator[bytes]:
    """The payload of a request without one."""
    return
    yield b""


@dataclass(frozen=True, slots=True)
class Request:
    """A request message.

    `headers` has lower-case names; `parameters` are the query's decoded pairs in their order; `variables` are the
    template variables of the route that are no UIDs (`frames`, `bulkdata`); `base_url` is what the service's URLs
    begin with, version and partition included, without a slash at its end; `body` can be read once.
    """

    method: str
    resource: Resource
    base_url: str
    version: int = 2
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: tuple[tuple[str, str], ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    body: AsyncIterator[bytes] = field(default_factory=_nothing)

    def url(self, resource: Resource) -> str:
        """The absolute URL of a resource of this service."""
        return f"{self.base_url}/{resource.path}"


@dataclass(frozen=True, slots=True)
class Response:
    """A response message; a body of unknown length is an iterator of chunks.

    `about` are the resources that it is about, for the log, where the path does not name them.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    about: tuple[Resource, ...] = ()
