"""Starts the local host as a process, for tests that speak HTTP with it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
LOCAL_HOST = (sys.executable, "-m", "tools.local_host")


@dataclass(frozen=True, slots=True)
class Service:
    """A running service."""

    url: str
    process: subprocess.Popen[str]
    ready_line: str

    @property
    def root(self) -> str:
        """The URL without the version at its end."""
        return self.url.rpartition("/")[0]


@contextmanager
def served(*arguments: str, command: Sequence[str] = LOCAL_HOST, **environment: str) -> Iterator[Service]:
    """A service that has said it is ready, on a free port unless PORT says which; it is stopped at the end."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [*command, *arguments],
            cwd=ROOT,
            env={**os.environ, "PORT": "0", **environment},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                errors.seek(0)
                raise RuntimeError(f"the service did not start: {errors.read()[-2000:]}")
            yield Service(line.split()[-1], process, line)
        finally:
            process.terminate()


def storage_settings(connection_string: str) -> dict[str, str]:
    """The settings that make a service use a running emulator."""
    return {"AzureWebJobsStorage": connection_string, "DicomStorage": connection_string}
