"""Says what was measured, and on what: numbers of two runs compare only where this is the same."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path

import orjson

from tools.local_host.azurite import TOOLS, script

_ROOT = Path(__file__).parent.parent


def described() -> str:
    """Processor, system, versions, date and commit."""
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, Azurite {_azurite()}, {time.strftime('%Y-%m-%d')}, {_commit()}"
    )


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _azurite() -> str:
    package = script(_ROOT / TOOLS).parents[2] / "package.json"
    return str(orjson.loads(package.read_bytes())["version"]) if package.exists() else "not installed"


def _commit() -> str:
    """The commit, and if the files differ from it."""
    name = _git("rev-parse", "--short", "HEAD")
    if not name:
        return "no commit"
    return f"commit {name}{' with changes' if _git('status', '--porcelain') else ''}"


def _git(*arguments: str) -> str:
    """What git prints; nothing where it or the repository is missing."""
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
