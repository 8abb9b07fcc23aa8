"""`python -m tools.upload FOLDER…`: store DICOM files through a DICOMweb service.

It is safe to repeat: what is stored already, byte for byte, succeeds. An upload that was interrupted goes on when it
is started again.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TextIO
from urllib.parse import urlsplit

import aiohttp

from tools.progress import Display, State
from tools.upload import files
from tools.upload.answers import Stop
from tools.upload.files import Batch
from tools.upload.outcomes import Fate, Outcome, Summary
from tools.upload.sending import Sender

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_CODES = """\
exit code: 0 all stored, 1 something failed, 2 wrong usage, or the service cannot be reached or refuses everything
"""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    paths: Sequence[str]
    url: str
    parallel: int = 8
    batch_bytes: int = 20 << 20
    token: str = ""
    replace: bool = False
    everything: bool = False
    verbose: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Upload; the exit code."""
    parsed = _parser().parse_args(arguments)
    missing = [path for path in parsed.paths if not os.path.exists(path)]
    if missing:
        print(f"There is no {missing[0]}.", file=sys.stderr)
        return 2
    failures: str | None = vars(parsed).pop("failures")
    summary = Summary()
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open(failures, "w", encoding="utf-8")) if failures else None
        except OSError as error:
            print(f"{failures} cannot be written: {error.strerror}", file=sys.stderr)
            return 2
        code = _run(Options(**vars(parsed)), summary, file)
    print(summary)
    return code


def _run(options: Options, summary: Summary, failures: TextIO | None) -> int:
    try:
        asyncio.run(upload(options, summary, failures))
    except Stop as stop:
        print(f"Stopped, not everything was sent: {stop}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted, not everything was sent: start it again to go on.", file=sys.stderr)
        return 130
    return 1 if summary.failures else 0


async def upload(options: Options, summary: Summary, failures: TextIO | None = None) -> None:
    """Upload, and count in `summary` what became of the files.

    Raises
    ------
    Stop
        The service cannot be reached, or refuses everything.
    """
    started = time.monotonic()
    connector = aiohttp.TCPConnector(limit=0)  # the sender keeps to the limit
    async with aiohttp.ClientSession(connector=connector, trust_env=True) as session:
        display = Display(sys.stderr, lambda: _state(summary, sender, time.monotonic() - started))
        note = display.note if options.verbose else _quiet
        sender = _sender(options, session, _reporter(summary, failures, note), note)
        background = [
            asyncio.create_task(display.run()),
            asyncio.create_task(_measure(options.paths, summary)),
        ]
        try:
            await sender.send(_entries(options))
        finally:
            for task in background:
                task.cancel()
            display.end()


async def _measure(paths: Sequence[str], summary: Summary) -> None:
    """Find out how much there is to do, while it is being done."""
    summary.total_files, summary.total_bytes = await asyncio.to_thread(files.measure, paths)


def _state(summary: Summary, sender: Sender, seconds: float) -> State:
    size = summary.bytes_done + sender.bytes_in_flight
    failed = len(summary.failures)
    return State(summary.files_done, size, failed, seconds, summary.total_files, summary.total_bytes)


def _sender(
    options: Options,
    session: aiohttp.ClientSession,
    report: Callable[[Outcome], None],
    note: Callable[[str], None],
) -> Sender:
    headers = {"Authorization": f"Bearer {options.token}"} if options.token else {}
    method = "PUT" if options.replace else "POST"
    return Sender(session, options.url, method, options.parallel, report, note, headers)


def _entries(options: Options) -> Iterator[Batch | Outcome]:
    looked = (files.look(path, everything=options.everything) for path in files.walk(options.paths))
    return files.grouped(looked, options.batch_bytes)


def _reporter(
    summary: Summary, failures: TextIO | None, note: Callable[[str], None]
) -> Callable[[Outcome], None]:
    def report(outcome: Outcome) -> None:
        summary.add(outcome)
        note(str(outcome))
        if failures is not None and outcome.fate is Fate.FAILED:
            print(outcome.json(), file=failures, flush=True)

    return report


def _quiet(text: str) -> None:
    """Leave out what only --verbose tells."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tools.upload",
        description=__doc__.partition("\n\n")[2].replace("\n", " "),
        epilog=_CODES,
    )
    add = parser.add_argument
    add("paths", nargs="+", metavar="FOLDER", help="a folder, with all below it, or a file")
    add("--url", type=_url, default="http://127.0.0.1:7071/v2", help="the service (%(default)s)")
    add("--parallel", type=_positive, default=8, metavar="N", help="requests at a time (%(default)s)")
    add("--batch-bytes", type=_size, default="20M", metavar="SIZE", help="files of one request (%(default)s)")
    add("--token", default=os.environ.get("DICOM_TOKEN", ""), help="bearer token; else that of DICOM_TOKEN")
    add("--replace", action="store_true", help="replace what is stored under the same UIDs, by PUT")
    add("--all", action="store_true", dest="everything", help="send also what does not look like DICOM")
    add("--failures", metavar="FILE", help="write what failed to a file, a line of JSON each")
    add("--verbose", action="store_true", help="tell of every file, and of what is sent again")
    return parser


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no http or https URL")
    return text.rstrip("/").removesuffix("/studies")


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no positive number")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"([0-9]+)([KMG]?)B?", text.upper())
    if match is None or not int(match[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes, such as 500K or 20M")
    return int(match[1]) * _UNITS[match[2]]


if __name__ == "__main__":
    sys.exit(main())
