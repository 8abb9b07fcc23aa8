"""Packs the metadata of a series into one blob, so that a viewer's first question is one read.

The blob is written by the indexer under a name of its own and never changes. The row of the series points to it as
long as that is what the instances' rows would tell (`series_rows`).
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, Mapping

from dicom_core import record, versions
from dicom_core.record import Columns, Instance
from dicom_core.representations import metadata
from dicom_core.resources import Resource
from dicom_core.storage.blobs import Container
from dicom_core.storage.table_service import Entity

PACKED_FROM = 20
"""Instances of a study from which on it is worth a blob write for each series: below, the rows are as fast to read."""

PACKED_TO = 5000
"""Instances of a series up to which it is packed: its metadata are put together in memory."""

_LEFT_BEHIND = 400
"""Blobs that a study may have written and not deleted; one that changes all the time is packed again later."""

_LEVEL = 5

Records = Callable[[Resource, Columns], Awaitable[list[Instance]]]
"""Reads rows of the record."""


class Packer:
    """Packs series of one account; `base_url` is what the service's URLs are most likely asked by."""

    def __init__(self, derived: Container, records: Records, base_url: str) -> None:
        self._derived = derived
        self._records = records
        self._base_url = base_url

    async def pack(self, series: Resource, name: str) -> Entity:
        """Write the blob of a series; what its row is to say."""
        instances = await self._records(series, Columns.HEADER)
        texts = (
            metadata.absolute(metadata.unpack(row.header), f"{self._base_url}/{row.resource.path}")
            for row in instances
        )
        content = zlib.compress(b"".join(metadata.join(texts)), _LEVEL, wbits=31)
        await self._derived.put(blob_name(series.partition, name), [content], content_type="application/gzip")
        return {"packed": name, "packed_version": record.version(instances), "packed_url": self._base_url}


def is_worthwhile(sizes: Mapping[str, int], left_behind: int) -> bool:
    """Say if the series of a study, of so many instances each, are to be packed."""
    return (
        sum(sizes.values()) >= PACKED_FROM
        and max(sizes.values()) <= PACKED_TO
        and left_behind + len(sizes) <= _LEFT_BEHIND
    )


def name_of(run: str, number: int) -> str:
    """Name what a run of the indexer packs."""
    return versions.version_of(run, number)


def blob_name(partition: str, name: str) -> str:
    """Name of the blob in `derived`."""
    return f"{partition}/{versions.spread(versions.transaction_of(name))}/{name}.metadata"
