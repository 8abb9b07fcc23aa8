"""A small app with one function of each kind that the local host serves."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import azure.functions as func
from azurefunctions.extensions.bindings.blob import BlobClient
from azurefunctions.extensions.http.fastapi import JSONResponse, Request, Response, StreamingResponse

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

SEEN: dict[str, list[str]] = {"blobs": [], "clients": [], "messages": [], "timer": []}


@app.route(route="digest", methods=["POST"])
async def digest(req: Request) -> Response:
    """Consume the body as a stream."""
    digest, length = hashlib.sha256(), 0
    async for chunk in req.stream():
        digest.update(chunk)
        length += len(chunk)
    return JSONResponse({"length": length, "digest": digest.hexdigest()})


@app.route(route="zeros/{count:int}", methods=["GET"])
async def zeros(req: Request) -> Response:
    """Answer with that many bytes, as a stream."""

    async def chunks(left: int) -> AsyncIterator[bytes]:
        while left > 0:
            chunk = bytes(min(left, 256 * 1024))
            left -= len(chunk)
            yield chunk

    return StreamingResponse(chunks(int(req.path_params["count"])), media_type="application/octet-stream")


@app.route(route="echo", methods=["POST"])
async def echo(req: Request) -> Response:
    """Stream the body in, then out."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    async for chunk in req.stream():
        spool.write(chunk)
    spool.seek(0)

    async def chunks() -> AsyncIterator[bytes]:
        with spool:
            while chunk := spool.read(256 * 1024):
                yield chunk

    return StreamingResponse(chunks())


@app.route(route="v{version:int}/studies/{study}", methods=["GET", "HEAD"])
async def variables(req: Request) -> Response:
    """Answer with the route's values."""
    return JSONResponse(req.path_params)


@app.route(route="empty", methods=["GET"])
async def empty(req: Request) -> Response:
    """Answer with nothing."""
    return Response()


@app.route(route="sync", methods=["GET"])
def synchronous(req: Request) -> Response:
    """Answer from a thread."""
    time.sleep(0.01)
    return Response("sync")


@app.route(route="secret", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def secret(req: Request) -> Response:
    """Answer whoever has the key."""
    return Response("open")


@app.route(route="fails", methods=["GET"])
async def fails(req: Request) -> Response:
    """Raise."""
    raise RuntimeError("inside")


@app.route(route="forgets", methods=["GET"])
async def forgets(req: Request) -> Response:
    """Return no response."""
    return None  # type: ignore[return-value]


@app.route(route="seen", methods=["GET"])
async def seen(req: Request) -> Response:
    """What the triggers have seen."""
    return JSONResponse({**SEEN, "pid": os.getpid(), "cwd": str(Path.cwd())})


@app.blob_trigger(arg_name="blob", path="drop/{name}.dcm", connection="DicomStorage")
async def on_blob(blob: func.InputStream) -> None:
    """Note the blob, and fail for a poisonous one."""
    SEEN["blobs"].append(f"{blob.name}:{blob.read().decode()}")
    if "poison" in str(blob.name):
        raise ValueError("poison")


@app.blob_trigger(arg_name="blob", path="drop/{folder}/{name}.txt", connection="DicomStorage")
async def on_blob_by_client(blob: BlobClient) -> None:
    """Note what the client of the blob says and reads."""
    kind = f"{type(blob).__module__}.{type(blob).__name__}"
    content = blob.download_blob().readall().decode()
    SEEN["clients"].append(f"{kind} {blob.container_name} {blob.blob_name}: {content}")


@app.queue_trigger(arg_name="message", queue_name="work", connection="DicomStorage")
def on_message(message: func.QueueMessage) -> None:
    """Note the message, and fail for a poisonous one."""
    body = message.get_body().decode()
    SEEN["messages"].append(body)
    if json.loads(body).get("poison"):
        raise ValueError("poison")


@app.timer_trigger(arg_name="timer", schedule="* * * * * *", run_on_startup=True)
async def on_time(timer: func.TimerRequest) -> None:
    """Note the time."""
    SEEN["timer"].append(str(time.time()))
