"""Imports files of the drop zone: each is stored as if a Store transaction had brought it (PS3.18 10.5).

A file is removed when it has been stored, or had been before, byte for byte; one that cannot be stored is moved out of
the way with a reason beside it. Every step may be repeated, or be taken by several at once: the Store sees to it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

import orjson

from dicom_core.errors import ResourceNotFound, StorageUnavailable, TransactionError, described
from dicom_core.ports import Dropped, Stores
from dicom_core.record import Dataset
from dicom_core.resources import DEFAULT_PARTITION, Resource, is_partition
from dicom_core.studies import store
from dicom_core.web.media_types import DICOM_JSON
from dicom_core.web.messages import Request

OVERDUE = 600.0
"""Seconds after which a file is imported although no event told of it; also how often such files are looked for."""

LONGEST = 240.0
"""Seconds after which no further overdue file is begun: the timer's function may run for 10 minutes (host.json)."""

_NOTHING = Resource()

log = logging.getLogger("dicom")


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a file cannot be stored; `explanation` has no attribute values. The UIDs are those that could be read."""

    status: int
    explanation: tuple[str, ...]
    reason: str | None = None
    sop_class: str | None = None
    instance: str | None = None
    resource: Resource = _NOTHING

    def to_json(self) -> bytes:
        """What lies beside the file."""
        fields = {
            "status": self.status,
            "FailureReason": self.reason,
            "explanation": list(self.explanation),
            "StudyInstanceUID": self.resource.study,
            "SeriesInstanceUID": self.resource.series,
            "SOPClassUID": self.sop_class,
            "SOPInstanceUID": self.instance,
        }
        known = {name: value for name, value in fields.items() if value is not None}
        return orjson.dumps(known, option=orjson.OPT_INDENT_2)


async def take(name: str, stores: Stores, served: Collection[str] | None = None) -> None:
    """Store a file of the drop zone, and remove it.

    Parameters
    ----------
    served
        The partitions that can be asked for what they hold; a file for another is rejected. None: all.

    Raises
    ------
    StorageUnavailable
        To be repeated; the file is where it was.
    """
    file = await stores.drop_zone.find(name)
    if file is None:
        return
    started = time.perf_counter()
    try:
        resource, rejection = await _store(file, stores, served)
        if rejection is None:
            await stores.drop_zone.remove(file)
        else:
            await stores.drop_zone.reject(file, rejection.to_json())
    except ResourceNotFound:
        return  # another has imported it meanwhile
    log.info(
        "importing.take %s status=%d reason=%s bytes=%d ms=%.1f",
        "-" if resource.study is None else resource.path,
        200 if rejection is None else rejection.status,
        (rejection and rejection.reason) or "-",
        file.length,
        (time.perf_counter() - started) * 1000,
    )


class Overdue:
    """Imports what no event told of. It looks seldom: a list costs as much as a write."""

    def __init__(
        self,
        served: Collection[str] | None = None,
        age: float = OVERDUE,
        longest: float = LONGEST,
    ) -> None:
        self._served = served
        self._age = age
        self._longest = longest
        self._next = 0.0

    async def take(self, stores: Stores) -> None:
        """Import file by file, if it is time to; one that fails is left to the next time."""
        started = time.monotonic()
        if started < self._next:
            return
        async for name in stores.drop_zone.waiting(self._age):
            if time.monotonic() - started > self._longest:
                return
            try:
                await take(name, stores, self._served)
            except StorageUnavailable as error:
                log.warning("importing: a file is left to the next time: %s", error)
        self._next = started + self._age


async def _store(
    file: Dropped, stores: Stores, served: Collection[str] | None
) -> tuple[Resource, Rejection | None]:
    """Store a file as the payload of a POST; what it holds, as far as that is known, and why it cannot be stored."""
    partition = _partition(file.name)
    if served is not None and partition not in served:
        return _NOTHING, Rejection(
            404, (f"the first folder names a partition that is not served; there is {', '.join(served)}",)
        )
    if not is_partition(partition):
        return _NOTHING, Rejection(400, ("the name of the folder cannot be that of a partition",))
    request = Request(
        "POST",
        Resource(partition=partition),
        base_url="",
        headers={"content-type": "application/dicom", "accept": DICOM_JSON},
        body=_content(file, stores),
    )
    try:
        response = await store.store(request, stores)
    except (StorageUnavailable, ResourceNotFound):
        raise
    except TransactionError as error:
        return _NOTHING, Rejection(error.status, (str(error),))
    except Exception as error:
        log.error("importing failed: %s", described(error))
        return _NOTHING, Rejection(500, ("something went wrong inside of the service; it has been logged",))
    resource = next(iter(response.about), _NOTHING)
    if response.status in (200, 202):
        return resource, None
    assert isinstance(response.body, bytes)
    return resource, _rejection(orjson.loads(response.body), resource)


def _partition(name: str) -> str:
    """The partition that a file is for: its first folder."""
    folder, slash, _ = name.partition("/")
    return folder if slash else DEFAULT_PARTITION


async def _content(file: Dropped, stores: Stores) -> AsyncIterator[bytes]:
    async for chunk in await stores.drop_zone.get(file):
        yield chunk


def _rejection(answer: Dataset, resource: Resource) -> Rejection:
    """What the answer of a Store says of its one part that was not stored."""
    (item,) = answer["00081198"]["Value"]
    comments = item.get("00741048", {}).get("Value", [])
    sop_class, instance = (item.get(tag, {}).get("Value", [None])[0] for tag in ("00081150", "00081155"))
    return Rejection(
        409,
        tuple(comment["00000902"]["Value"][0] for comment in comments),
        f"{item['00081197']['Value'][0]:04X}",
        sop_class,
        instance,
        resource,
    )
