"""Carries out transactions in processes of their own that end abruptly at a chosen storage request.

`python -m tests.integration.crashing` reads one JSON object: the connection string, the size of batches, and jobs, each
with the request and the number of the storage request at which its process dies: before it is sent ("before"), or
after the service has carried it out ("after"); 0 is never. Each job is a fork of a process that has loaded everything.
Prints a line for each job, in their order: the status that was answered, or null if the process died before.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
from dataclasses import replace
from typing import Any

import aiohttp
import orjson

from dicom_core.resources import Resource
from dicom_core.storage import rows
from dicom_core.web.messages import Request
from tests.integration.scenarios import TRANSACTIONS
from tests.storage import Faults, answer, opened, store_request

AT_ONCE = 3
_UNANSWERED = b"null"


async def _die_before(carry_out: Any) -> aiohttp.ClientResponse:
    os._exit(1)


async def _die_after(carry_out: Any) -> aiohttp.ClientResponse:
    await (await carry_out()).read()
    os._exit(1)


async def _carry_out(connection_string: str, job: dict[str, Any]) -> int:
    die = _die_before if job["when"] == "before" else _die_after
    faults = Faults(lambda number: die if number == job["step"] else None)
    async with opened(connection_string, faults) as stores:
        status, _ = await answer(TRANSACTIONS[job["method"]], _request(job), stores)
    return status


def _request(job: dict[str, Any]) -> Request:
    if job["method"] == "DELETE":
        return Request("DELETE", Resource(job["study"], partition=job["partition"]), "http://localhost/v2")
    files = [base64.b64decode(file) for file in job["files"]]
    return replace(store_request(files, job["partition"]), method=job["method"])


def _fork(connection_string: str, job: dict[str, Any]) -> tuple[int, int]:
    """Process and the end of a pipe from which its answer comes, if any does."""
    ours, theirs = os.pipe()
    process = os.fork()
    if process:
        os.close(theirs)
        return process, ours
    try:
        status = asyncio.run(_carry_out(connection_string, job))
        os.write(theirs, b"%d" % status)
    finally:
        os._exit(0)


def main() -> None:
    """Read jobs, carry them out, print what was answered."""
    asked = orjson.loads(sys.stdin.buffer.read())
    rows.INSTANCES_AT_ONCE = asked["batch"]
    running: list[tuple[int, int]] = []
    upcoming = iter(asked["jobs"])
    while True:
        while len(running) < AT_ONCE and (job := next(upcoming, None)) is not None:
            running.append(_fork(asked["connection_string"], job))
        if not running:
            return
        process, pipe = running.pop(0)
        with open(pipe, "rb") as answered:
            print((answered.read() or _UNANSWERED).decode(), flush=True)
        os.waitpid(process, 0)


if __name__ == "__main__":
    main()
