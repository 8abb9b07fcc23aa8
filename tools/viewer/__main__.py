"""`python -m tools.viewer`: start the service, and the OHIF viewer for it, until told to stop.

The service is `python -m tools.local_host`, with its environment; --service names one that runs already.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tools.upload.answers import Stop
from tools.viewer import samples, site

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Failed(Exception):
    """The viewer cannot start; the text says why, unless the service has said so."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    service: str | None
    host: str
    port: int
    samples: bool


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve; the exit code."""
    options = Options(**vars(_parser().parse_args(arguments)))
    try:
        asyncio.run(_run(options))
    except _Failed as failed:
        print(failed, file=sys.stderr, end="\n" if str(failed) else "")
        return 1
    return 0


async def _run(options: Options) -> None:
    if not (site.FILES / "index.html").exists():
        raise _Failed("OHIF is not installed: run `make setup`.")
    stop = asyncio.Event()
    for number in _STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _service(options.service, stop) as service:
        if options.samples:
            await _store_samples(service)
        try:
            async with site.serve(site.FILES, service, options.host, options.port) as url:
                print(f"OHIF is ready: {url}", flush=True)
                await stop.wait()
        except OSError as error:
            raise _Failed(f"Cannot listen on {options.host}:{options.port}: set --port.") from error


async def _store_samples(service: str) -> None:
    try:
        await samples.store(service)
    except (aiohttp.ClientError, Stop) as error:
        raise _Failed(f"No samples could be stored: {error}") from error


@asynccontextmanager
async def _service(url: str | None, stop: asyncio.Event) -> AsyncIterator[str]:
    """The URL of the service, which is started unless it is given; when it ends, so does all."""
    if url is not None:
        yield url.rstrip("/")
        return
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.local_host", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    ended = asyncio.create_task(process.wait())
    ended.add_done_callback(lambda _: stop.set())
    try:
        line = (await process.stdout.readline()).decode()
        if not line:
            raise _Failed
        print(line, end="", flush=True)
        yield line.split()[-1]
    finally:
        if not ended.done():
            process.terminate()
        await ended
    if process.returncode:
        raise _Failed(f"The service ended, with exit code {process.returncode}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.viewer",
        description=__doc__.partition("\n\n")[2].replace("\n", " "),
    )
    add = parser.add_argument
    add("--service", metavar="URL", help="a service that runs, with its version, such as https://…/v2")
    add("--host", default=os.environ.get("HOST", "127.0.0.1"), help="where the viewer listens (%(default)s)")
    add("--port", type=int, default=3000, help="0 takes a free one (%(default)s)")
    add("--samples", action="store_true", help="store a few studies if the service has none")
    return parser


if __name__ == "__main__":
    sys.exit(main())
