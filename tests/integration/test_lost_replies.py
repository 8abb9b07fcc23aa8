"""Storage that loses requests and replies: a transaction ends as if nothing had happened, or with 503 and undone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Container
from functools import partial
from typing import cast

import aiohttp
import pytest

from dicom_core.storage import rest, rows
from dicom_core.studies import retrieve, search
from tests.integration.scenarios import TRANSACTIONS, Scenario, scenarios
from tests.storage import Fault, Faults, Transaction, answer, contents, opened, request

pytestmark = pytest.mark.azurite

SCENARIOS = {scenario.name: scenario for scenario in scenarios(large=False)}
CarryOut = Callable[[], Awaitable[aiohttp.ClientResponse]]

_partitions = itertools.count()


class Answer:
    """A reply that the service did not give."""

    def __init__(self, status: int, *, broken: bool = False) -> None:
        self.status = status
        self.headers = {"x-ms-error-code": "Made"}
        self._broken = broken

    async def read(self) -> bytes:
        """The body, or as much of it as comes."""
        if self._broken:
            raise aiohttp.ClientPayloadError
        return b""

    def close(self) -> None:
        """Nothing is open."""

    release = close


async def lost(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Carried out; the connection breaks before the reply."""
    await (await carry_out()).read()
    raise aiohttp.ServerDisconnectedError


async def timed_out(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Carried out; the reply does not come in time."""
    await (await carry_out()).read()
    raise TimeoutError


async def failed(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Carried out; the service says that it failed."""
    await (await carry_out()).read()
    return cast(aiohttp.ClientResponse, Answer(500))


async def broken(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Carried out; the reply breaks off within its body."""
    response = await carry_out()
    await response.read()
    return cast(aiohttp.ClientResponse, Answer(response.status, broken=True))


async def unsent(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Not carried out: there is no connection."""
    raise aiohttp.ClientConnectionError


async def busy(carry_out: CarryOut) -> aiohttp.ClientResponse:
    """Not carried out: the service is busy."""
    return cast(aiohttp.ClientResponse, Answer(503))


def _at(fault: Fault, steps: Container[int], number: int) -> Fault | None:
    """The fault, at some storage requests."""
    return fault if number in steps else None


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "_FIRST_DELAY", 0.0005)


@pytest.fixture
def scenario(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A scenario by name, with batches of its size."""
    found = SCENARIOS[request.param]
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", found.batch)
    return found


async def carried_out(
    scenario: Scenario, connection_string: str, plan: Callable[[int], Fault | None]
) -> tuple[tuple[int, bytes], dict[str, bytes], int]:
    """Answer, study afterwards, and storage requests of a scenario in a partition of its own."""
    partition = f"Lost{next(_partitions)}"
    async with opened(connection_string) as stores:
        await scenario.seed(stores, partition)
    faults = Faults(plan)
    async with opened(connection_string, faults) as stores:
        said = await answer(TRANSACTIONS[scenario.method], scenario.request(partition), stores)
    async with opened(connection_string) as stores:
        return said, await contents(stores, partition, scenario.study), faults.sent


@pytest.mark.parametrize(
    "fault", [lost, timed_out, failed, broken, unsent, busy], ids=lambda fault: fault.__name__
)
@pytest.mark.parametrize("scenario", SCENARIOS, indirect=True)
async def test_one_fault_changes_nothing(scenario: Scenario, fault: Fault, connection_string: str) -> None:
    """Whatever storage request meets a fault, the answer and the study are as without it (promise 1)."""
    said, left, sent = await carried_out(scenario, connection_string, lambda number: None)
    assert (said[0], left) == (scenario.status, scenario.after)

    for step in range(1, sent + 1):
        one = await carried_out(scenario, connection_string, partial(_at, fault, {step}))
        assert one[:2] == (said, left), f"storage request {step} of {sent}"


@pytest.mark.parametrize("fault", [lost, unsent], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("scenario", SCENARIOS, indirect=True)
async def test_lasting_fault_is_unavailable(scenario: Scenario, fault: Fault, connection_string: str) -> None:
    """Storage that stays away is 503, and leaves whole batches, or nothing."""
    _, _, sent = await carried_out(scenario, connection_string, lambda number: None)

    for step in range(1, sent + 1):
        said, left, _ = await carried_out(
            scenario, connection_string, partial(_at, fault, range(step, 1 << 20))
        )
        assert said[0] == 503, f"storage request {step} of {sent}"
        assert scenario.may_be(left), f"storage request {step} of {sent}"


@pytest.mark.parametrize("scenario", ["store", "put"], indirect=True)
async def test_nothing_is_written_before_it_is_journalled(scenario: Scenario, connection_string: str) -> None:
    """A blob without a row of the journal would be an orphan that nobody finds."""
    sent_meanwhile: list[int] = []

    async def slow(carry_out: CarryOut) -> aiohttp.ClientResponse:
        response = await carry_out()
        await asyncio.sleep(0.05)
        sent_meanwhile.append(faults.sent)
        return response

    faults = Faults(lambda at: slow if at == 1 else None)
    async with opened(connection_string, faults) as stores:
        await answer(TRANSACTIONS[scenario.method], scenario.request(f"Lost{next(_partitions)}"), stores)

    assert "/pending(" in faults.paths[0]
    assert sent_meanwhile == [1]


READS: dict[str, Transaction] = {
    "instances": retrieve.instances,
    "metadata": retrieve.metadata,
    "search": search.instances,
}


@pytest.mark.parametrize("fault", [lost, broken, unsent, busy], ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("transaction", READS.values(), ids=READS)
async def test_one_fault_changes_no_read(
    transaction: Transaction, fault: Fault, connection_string: str
) -> None:
    """A read that meets a fault gives what it gives without."""
    scenario, partition = SCENARIOS["delete"], f"Lost{next(_partitions)}"
    faults = Faults()
    async with opened(connection_string, faults) as stores:
        await scenario.seed(stores, partition)
        faults.sent = 0
        asked = request(partition, scenario.study)
        _, expected = await answer(transaction, asked, stores)
        for step in range(1, faults.sent + 1):
            if fault is broken and transaction is retrieve.instances and step > 1:
                continue  # the body of a read of a blob is taken up again, not repeated: test_rest.py
            faults.sent = 0
            faults.plan = partial(_at, fault, {step})
            status, body = await answer(transaction, asked, stores)
            assert status == 200
            assert _unbounded(body) == _unbounded(expected)


def _unbounded(body: bytes) -> bytes:
    """A body without its boundary, which is another each time."""
    if not body.startswith(b"--"):
        return body
    return body.replace(body[2 : body.index(b"\r\n")], b"")
