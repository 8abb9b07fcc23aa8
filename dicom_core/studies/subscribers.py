"""The subscribers of the change feed: how far each has got, what could not be delivered to it, and to try it again.

Not of PS3.18: for those who operate the service.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from dicom_core import tasks
from dicom_core.errors import ResourceNotFound
from dicom_core.ports import Stores
from dicom_core.tasks import Load, Position, Task
from dicom_core.web import subscriber_parameters
from dicom_core.web.media_types import JSON
from dicom_core.web.messages import Request, Response

_FIELDS = {"Content-Type": JSON}


async def listed(request: Request, stores: Stores) -> Response:
    """All subscribers."""
    subscriber_parameters.none(request.parameters)
    last = await stores.feed.latest()
    latest = 0 if last is None else last.sequence
    told = []
    for name in stores.deliveries.names:
        position, load = await stores.deliveries.position(name), await stores.deliveries.load(name)
        told.append(_subscriber(name, position, latest, load))
    return Response(200, _FIELDS, orjson.dumps(told))


async def failures(request: Request, stores: Stores) -> Response:
    """Studies whose changes could not be delivered to a subscriber, and why.

    Raises
    ------
    ResourceNotFound
        There is no such subscriber.
    """
    name = _name(request, stores)
    asked = subscriber_parameters.window(request.parameters)
    found = await stores.deliveries.failures(name, asked.offset, asked.limit)
    return Response(200, _FIELDS, orjson.dumps([_failure(task) for task in found]))


async def retry(request: Request, stores: Stores) -> Response:
    """Have failures of a subscriber tried again: that of a study, or all.

    Raises
    ------
    ResourceNotFound
        There is no such subscriber, or no such failure.
    """
    name = _name(request, stores)
    study = subscriber_parameters.study(request.parameters)
    if study is None:
        retried = await _retry_all(stores, name)
    else:
        tried = await stores.deliveries.find(name, [(request.resource.partition, study)])
        retried = await _retry(stores, name, [task for task in tried if task.failed])
        if not retried:
            raise ResourceNotFound(f"no delivery of study {study} to {name} has failed")
    return Response(202, _FIELDS, orjson.dumps({"retried": retried}))


async def _retry_all(stores: Stores, name: str) -> int:
    """Make due all that has failed by now; what is due again, and fails at once, is passed over."""
    begun = datetime.now(UTC)
    retried = passed = 0
    while found := await stores.deliveries.failures(name, passed, tasks.AT_ONCE):
        former = [task for task in found if task.since < begun]
        retried += await _retry(stores, name, former)
        passed += len(found) - len(former)
    return retried


async def _retry(stores: Stores, name: str, failed: Sequence[Task]) -> int:
    """Make failed tasks due; those that someone else did meanwhile are left."""
    now = datetime.now(UTC)
    due = [tasks.retried(task, now) for task in failed]
    if not due or await stores.deliveries.save(name, due):
        return len(due)
    return sum([await stores.deliveries.save(name, [task]) is not None for task in due])


def _name(request: Request, stores: Stores) -> str:
    name = request.variables["subscriber"]
    if name not in stores.deliveries.names:
        raise ResourceNotFound("there is no such subscriber")
    return name


def _subscriber(name: str, position: Position | None, latest: int, load: Load) -> dict[str, Any]:
    """A subscriber; one that has not begun has no sequence, one that does not rest nothing about a rest."""
    told: dict[str, Any] = {"name": name, "latest": latest, "waiting": load.waiting, "failed": load.failed}
    if position is None:
        return told
    if position.rests_until is not None:
        told |= {"restsUntil": _time(position.rests_until), "reason": position.reason}
    return {**told, "sequence": position.sequence}


def _failure(task: Task) -> dict[str, Any]:
    return {
        "partitionName": task.partition,
        "studyInstanceUid": task.study,
        "first": task.first,
        "last": task.last,
        "attempts": task.attempts,
        "since": _time(task.since),
        "reason": task.reason,
    }


def _time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
