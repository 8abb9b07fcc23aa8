"""Processes that die at any storage request: nothing acknowledged is lost, nothing is half visible (promise 1)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from dicom_core.ports import Stores
from dicom_core.storage import rows
from dicom_core.studies import retrieve
from tests.integration.scenarios import TRANSACTIONS, Scenario, scenarios
from tests.serving import ROOT
from tests.storage import Faults, answer, contents, opened, request

pytestmark = pytest.mark.azurite

SCENARIOS = {scenario.name: scenario for scenario in scenarios()}

_partitions = itertools.count()


@pytest.fixture
def scenario(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Scenario:
    """A scenario by name, with batches of its size."""
    found = SCENARIOS[request.param]
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", found.batch)
    return found


def carry_out(connection_string: str, scenario: Scenario, jobs: Sequence[dict[str, Any]]) -> list[int | None]:
    """Let processes carry out the scenario; the status that each answered, None if it died before."""
    files = [base64.b64encode(file).decode() for file in scenario.files]
    same = {"method": scenario.method, "study": scenario.study, "files": files}
    asked = {
        "connection_string": connection_string,
        "batch": scenario.batch,
        "jobs": [{**same, **job} for job in jobs],
    }
    command = [sys.executable, "-m", "tests.integration.crashing"]
    done = subprocess.run(
        command, cwd=ROOT, input=orjson.dumps(asked), capture_output=True, check=True, timeout=120
    )
    assert not done.stderr, done.stderr.decode()
    return [orjson.loads(line) for line in done.stdout.splitlines()]


async def steps(scenario: Scenario, connection_string: str) -> Sequence[int]:
    """The storage requests at which a process may die."""
    if scenario.steps:
        return scenario.steps
    partition, faults = f"Crash{next(_partitions)}", Faults()
    async with opened(connection_string, faults) as stores:
        await scenario.seed(stores, partition)
        faults.sent = 0
        status, _ = await answer(TRANSACTIONS[scenario.method], scenario.request(partition), stores)
    assert status == scenario.status
    return range(1, faults.sent + 1)


@pytest.mark.parametrize("scenario", SCENARIOS, indirect=True)
async def test_crash_at_any_storage_request(scenario: Scenario, connection_string: str) -> None:
    """A crash leaves all of a batch or nothing, an answer all; the same request again ends as if there was none."""
    jobs: list[dict[str, Any]] = [
        {"partition": f"Crash{next(_partitions)}", "step": step, "when": when}
        for step in await steps(scenario, connection_string)
        for when in ("before", "after")
    ]
    async with opened(connection_string) as stores:
        for job in jobs:
            await scenario.seed(stores, job["partition"])

    answered = await asyncio.to_thread(carry_out, connection_string, scenario, jobs)

    assert answered == [None] * len(jobs)
    async with opened(connection_string) as stores:
        for job in jobs:
            found = await contents(stores, job["partition"], scenario.study)
            assert scenario.may_be(found), job
    again = await asyncio.to_thread(
        carry_out, connection_string, scenario, [{**job, "step": 0} for job in jobs]
    )
    async with opened(connection_string) as stores:
        for job, status in zip(jobs, again, strict=True):
            assert status in (scenario.status, scenario.again), job
            assert await contents(stores, job["partition"], scenario.study) == scenario.after, job
            if scenario.method == "DELETE":
                assert await rows_left(stores, job["partition"], scenario) == [], job


async def rows_left(stores: Stores, partition: str, scenario: Scenario) -> list[str]:
    """Instances of before that are there for who reads just one."""
    return [
        uid
        for uid in scenario.before
        if (
            await answer(retrieve.instances, request(partition, scenario.study, scenario.series, uid), stores)
        )[0]
        not in (404, 410)
    ]
