"""Loads a function app through the library that is the Python worker in Azure, and prints what it says as JSON.

`python worker.py FOLDER [PATH [BLOB]]`: the names and bindings of the functions, with a path also the answer to a GET
through the worker's own HTTP server, and with the name of a blob (its container first) the functions that it has fired,
which are those with a trigger on its container. The Functions host's side of the conversation is played by stand-ins
for its messages: the library takes their classes from the caller.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp

_INVOCATION = "8f3b4f5e-0000-4000-8000-000000000001"


class _Fields:
    """A message: whatever fields it is made with."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class _OneOf:
    """A message with one of several values."""

    def __init__(self, kind: str, value: object) -> None:
        self._kind = kind
        setattr(self, kind, value)

    def WhichOneof(self, _: str) -> str:
        return self._kind


class _Status(_Fields):
    Failure, Success, Cancelled = 0, 1, 2
    exception = None


class _Binding(_Fields):
    in_, out, inout = 0, 1, 2
    undefined, string, binary, stream = 0, 1, 2, 3


_MESSAGES = (
    "WorkerInitResponse",
    "FunctionMetadataResponse",
    "FunctionLoadResponse",
    "InvocationResponse",
    "RpcFunctionMetadata",
    "RpcRetryOptions",
    "RpcException",
    "WorkerMetadata",
    "TypedData",
    "ParameterBinding",
    "FunctionEnvironmentReloadResponse",
)
_PROTOCOL = SimpleNamespace(
    **{name: type(name, (_Fields,), {}) for name in _MESSAGES}, StatusResult=_Status, BindingInfo=_Binding
)


def _request(**content: Any) -> Any:
    properties = {"host": "127.0.0.1", "protos": _PROTOCOL}
    return SimpleNamespace(request=SimpleNamespace(**content), properties=properties)


def _checked(response: Any) -> Any:
    if response.result.status != _Status.Success:
        raise SystemExit(f"rejected: {response.result.exception.message}")
    return response


async def _describe(runtime: Any, folder: Path, path: str | None, blob: str | None) -> dict[str, Any]:
    runtime.start_threadpool_executor()
    start = SimpleNamespace(capabilities={}, function_app_directory=str(folder))
    started = _checked(await runtime.worker_init_request(_request(worker_init_request=start)))
    asked = _request(functions_metadata_request=SimpleNamespace())
    listed = _checked(await runtime.functions_metadata_request(asked))
    functions = {
        one.name: (one.function_id, [json.loads(binding) for binding in one.raw_bindings])
        for one in listed.function_metadata_results
    }
    described: dict[str, Any] = {"functions": {name: bindings for name, (_, bindings) in functions.items()}}
    if path is not None:
        identity, bindings = next(f for f in functions.values() if f[1][0].get("route") == path)
        url = f"{started.capabilities['HttpUri']}/{path}"
        described["answer"] = await _get(runtime, url, identity, bindings[0]["name"])
    if blob is not None:
        container = f"{blob.partition('/')[0]}/"
        fired = {
            name: one for name, one in functions.items() if one[1][0].get("path", "").startswith(container)
        }
        for identity, (binding, *_) in fired.values():
            await _fire(runtime, blob, identity, binding)
        described["fired"] = list(fired)
    return described


async def _get(runtime: Any, url: str, function: str, argument: str) -> dict[str, Any]:
    """Forward the request and announce the invocation, as the host does both at once."""
    http = SimpleNamespace(method="", url="", headers={}, query={}, params={}, body=_OneOf("bytes", b""))
    invocation = _invocation(function, argument, _OneOf("http", http))
    async with aiohttp.ClientSession(headers={"x-ms-invocation-id": _INVOCATION}) as client:
        answering = asyncio.create_task(_answer(client, url))
        async with asyncio.timeout(20):
            _checked(await runtime.invocation_request(invocation))
            return await answering


async def _fire(runtime: Any, blob: str, function: str, binding: Mapping[str, str]) -> None:
    """Invoke a function for a blob: the host tells where it is, and does not load it."""
    container, _, name = blob.partition("/")
    content = {"Connection": binding["connection"], "ContainerName": container, "BlobName": name}
    model = SimpleNamespace(
        version="1.0",
        source="AzureStorageBlobs",
        content_type="application/json",
        content=json.dumps(content),
    )
    invocation = _invocation(function, binding["name"], _OneOf("model_binding_data", model))
    async with asyncio.timeout(20):
        _checked(await runtime.invocation_request(invocation))


def _invocation(function: str, argument: str, data: _OneOf) -> Any:
    value = SimpleNamespace(name=argument, data=data, WhichOneof=lambda _: "data")
    invocation = SimpleNamespace(
        invocation_id=_INVOCATION,
        function_id=function,
        input_data=[value],
        trigger_metadata={},
        trace_context=SimpleNamespace(
            trace_parent=os.environ.get("TRACE_PARENT", ""), trace_state="", attributes={}
        ),
        retry_context=SimpleNamespace(retry_count=0, max_retry_count=0, exception=None),
    )
    return _request(invocation_request=invocation)


async def _answer(client: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Ask until the worker's server listens, as the host does."""
    while True:
        try:
            async with client.get(url) as response:
                return {"status": response.status, "body": await response.text()}
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.05)


def main() -> None:
    """Describe the app of the folder that the command line names."""
    folder = Path(sys.argv[1]).absolute()
    path, blob = [*sys.argv[2:], None, None][:2]
    sys.path.insert(0, str(folder))
    os.chdir(folder)
    import azure_functions_runtime as runtime

    described = asyncio.run(_describe(runtime, folder, path, blob))
    print(json.dumps(described, default=str), flush=True)


if __name__ == "__main__":
    try:
        main()
    except SystemExit as reason:
        print(reason, file=sys.stderr, flush=True)
        os._exit(1)
    atexit._run_exitfuncs()  # telemetry sends the last of it
    os._exit(0)  # the worker's server has no way to be stopped
