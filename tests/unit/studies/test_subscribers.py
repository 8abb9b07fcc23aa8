"""Subscribers are listed, and what could not be delivered to them is tried again on request."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from dicom_core import tasks
from dicom_core.delivery.subscribing import Failed, Refused, Unavailable
from dicom_core.errors import BadRequest, ResourceNotFound
from dicom_core.ports import Stores
from dicom_core.resources import Resource
from dicom_core.storage.memory import MemoryDeliveries
from dicom_core.studies import subscribers
from dicom_core.tasks import Load, Position, Saved, Task
from dicom_core.web.messages import Request, Response
from tests.delivering import Told, World

BASE = "http://localhost/v2"


def world() -> World:
    """Two subscribers."""
    return World(MemoryDeliveries(("told", "new")))


def asked(method: str, *parameters: tuple[str, str], name: str = "told") -> Request:
    """A request for failures."""
    return Request(
        method, Resource(partition="p"), BASE, parameters=parameters, variables={"subscriber": name}
    )


def read(response: Response) -> Any:
    """What an answer says."""
    assert isinstance(response.body, bytes)
    assert response.headers["Content-Type"] == "application/json"
    return orjson.loads(response.body)


async def with_failures(count: int) -> tuple[World, Told]:
    """A subscriber that refused so many studies."""
    each = world()

    async def refuse(task: Task) -> None:
        raise Refused("status 400")

    told = Told(answer=refuse)
    each.change(*(f"1.{number}" for number in range(100, 100 + count)))
    await each.run(told)
    return each, told


async def test_listed() -> None:
    """Each with how far it has got; one that has not begun says nothing of that."""
    each, told = await with_failures(2)

    async def fail(task: Task) -> None:
        raise Failed("status 500")

    told.answer = fail
    each.change("1.1")
    await each.run(told)
    each.change("1.2", "1.2")

    response = await subscribers.listed(asked("GET"), each.stores)

    assert read(response) == [
        {"name": "told", "latest": 5, "waiting": 1, "failed": 2, "sequence": 3},
        {"name": "new", "latest": 5, "waiting": 0, "failed": 0},
    ]


async def test_list_has_no_parameters() -> None:
    """One that means something elsewhere is not passed over in silence."""
    each = world()

    with pytest.raises(BadRequest, match="limit is no parameter of this resource; it has none"):
        await subscribers.listed(asked("GET", ("limit", "1")), each.stores)


async def test_rest_is_told() -> None:
    """Until when, and why."""
    each = world()

    async def down(task: Task) -> None:
        raise Unavailable("status 503", 60.0)

    each.change("1.1")
    await each.run(Told(answer=down))

    response = await subscribers.listed(asked("GET"), each.stores)

    assert read(response)[0] == {
        "name": "told",
        "latest": 1,
        "waiting": 1,
        "failed": 0,
        "sequence": 1,
        "restsUntil": "2026-01-31T08:01:00.000000Z",
        "reason": "status 503",
    }


async def test_failures_are_told() -> None:
    """By study, with what it would have been told and why it was not."""
    each, _ = await with_failures(3)

    response = await subscribers.failures(asked("GET", ("limit", "1"), ("offset", "1")), each.stores)

    assert read(response) == [
        {
            "partitionName": "p",
            "studyInstanceUid": "1.101",
            "first": 2,
            "last": 2,
            "attempts": 1,
            "since": "2026-01-31T08:00:00.000000Z",
            "reason": "status 400",
        }
    ]


async def test_all_are_tried_again() -> None:
    """Also more of them than are kept at once; those that are mended are delivered by the next run."""
    each, told = await with_failures(250)

    response = await subscribers.retry(asked("POST"), each.stores)

    assert (response.status, read(response)) == (202, {"retried": 250})
    told.answer = None
    each.clock.move(10**9)  # the request took the time of day
    await each.run(told)
    assert len(told.tasks) == 250
    assert await each.deliveries.load("told") == Load(0, 0)


@pytest.mark.parametrize("again", [1, 60, 99])
async def test_what_fails_again_is_not_tried_again(again: int) -> None:
    """Each failure once, though the first of them fail again while the others are taken up."""
    each, _ = await with_failures(250)
    save, saves = each.deliveries.save, 0

    async def save_and_run(name: str, kept: Sequence[Task], position: Position | None = None) -> Saved | None:
        nonlocal saves
        saved, saves = await save(name, kept, position), saves + 1
        assert saves <= 10
        failed = (
            [tasks.given_up(task, "status 400", task.due) for task in saved.tasks[:again]] if saved else []
        )
        await save(name, failed)
        return saved

    each.deliveries.save = save_and_run  # type: ignore[method-assign, assignment]

    response = await subscribers.retry(asked("POST"), each.stores)

    assert read(response) == {"retried": 250}


async def test_failure_that_would_be_due_later_is_tried_again() -> None:
    """One that was tried for a day has a time of its next attempt that it never will have."""
    each, _ = await with_failures(0)
    now = datetime.now(UTC) - timedelta(seconds=1)
    spent = Task("p", "1.1", 1, 1, now, now, attempts=tasks.ATTEMPTS - 1)
    await each.deliveries.save("told", [tasks.put_off(spent, "status 500", now)])

    assert read(await subscribers.retry(asked("POST"), each.stores)) == {"retried": 1}


async def test_one_is_tried_again() -> None:
    """That of a study; the others stay."""
    each, _ = await with_failures(3)

    response = await subscribers.retry(asked("POST", ("study", "1.101")), each.stores)

    assert (response.status, read(response)) == (202, {"retried": 1})
    assert await each.deliveries.load("told") == Load(1, 2)


async def test_nothing_has_failed() -> None:
    """All of nothing is nothing; a study that has not failed cannot be tried again."""
    each = world()
    each.change("1.1")

    assert read(await subscribers.retry(asked("POST"), each.stores)) == {"retried": 0}
    with pytest.raises(ResourceNotFound, match=r"1\.1"):
        await subscribers.retry(asked("POST", ("study", "1.1")), each.stores)


async def test_race_for_a_failure() -> None:
    """One that someone else had tried again meanwhile does not keep the others from it."""
    each, _ = await with_failures(3)
    stale = await each.deliveries.failures("told", 0, 3)
    await subscribers.retry(asked("POST", ("study", "1.101")), each.stores)

    assert await subscribers._retry(each.stores, "told", stale) == 2
    assert await each.deliveries.load("told") == Load(3, 0)


@pytest.mark.parametrize("transaction", [subscribers.failures, subscribers.retry])
async def test_subscriber_that_is_none(transaction: Any) -> None:
    """Only those of the settings are there, whatever storage has."""
    each, _ = await with_failures(1)
    stores: Stores = each.stores

    with pytest.raises(ResourceNotFound):
        await transaction(asked("GET", name="nobody"), stores)


@pytest.mark.parametrize(
    ("transaction", "parameters"),
    [
        (subscribers.failures, [("limit", "0")]),
        (subscribers.failures, [("limit", "1001")]),
        (subscribers.failures, [("limit", "x")]),
        (subscribers.failures, [("offset", "-1")]),
        (subscribers.failures, [("offset", "1"), ("offset", "1")]),
        (subscribers.failures, [("study", "1.2")]),
        (subscribers.retry, [("study", "DOE^JANE")]),
        (subscribers.retry, [("study", "")]),
        (subscribers.retry, [("limit", "1")]),
    ],
)
async def test_parameter_that_is_malformed(transaction: Any, parameters: list[tuple[str, str]]) -> None:
    """It is refused by its name; what it said is not repeated."""
    each = world()

    with pytest.raises(BadRequest, match=parameters[0][0]) as caught:
        await transaction(asked("GET", *parameters), each.stores)

    assert "DOE" not in str(caught.value)
