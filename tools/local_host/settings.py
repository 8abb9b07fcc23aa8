"""The app's settings and host configuration, read from the files that Core Tools read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tools.local_host.errors import StartUpError

_DEVELOPMENT_STORAGE = "usedevelopmentstorage=true"
_FILE, _SAMPLE = "local.settings.json", "local.settings.sample.json"


def application_settings(folder: Path, *, or_sample: bool = True) -> dict[str, str]:
    """The values of `local.settings.json`, or of the sample if wanted; a variable of the environment wins."""
    names = (_FILE, _SAMPLE) if or_sample else (_FILE,)
    path = next((folder / name for name in names if (folder / name).exists()), None)
    values = _json(path).get("Values", {}) if path else {}
    return {name: os.environ.get(name, str(value)) for name, value in values.items()}


def uses_emulator(settings: Mapping[str, str]) -> bool:
    """Whether a setting, or a variable of the environment, asks for development storage."""
    return any(True for _ in _emulated({**settings, **os.environ}))


def apply(settings: Mapping[str, str], connection_string: str | None) -> None:
    """Put the settings into the environment, development storage replaced by a connection string."""
    os.environ.update(settings)
    if connection_string is not None:
        os.environ.update(dict.fromkeys(_emulated(os.environ), connection_string))


def host_configuration(folder: Path) -> dict[str, Any]:
    """`host.json`."""
    path = folder / "host.json"
    if not path.exists():
        raise StartUpError(f"{path} is missing.")
    return _json(path)


def extension(configuration: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The part of `host.json` that belongs to one extension."""
    return configuration.get("extensions", {}).get(name, {})  # type: ignore[no-any-return]


def expand(text: str) -> str:
    """Replace each `%NAME%` by the setting of that name."""
    return re.sub(r"%(\w+)%", _setting, text)


def _setting(name: re.Match[str]) -> str:
    value = os.environ.get(name[1])
    if value is None:
        raise StartUpError(f"A trigger names the setting {name[1]}, which is not set.")
    return value


def _emulated(values: Mapping[str, str]) -> Iterator[str]:
    for name, value in values.items():
        if value.strip().rstrip(";").lower() == _DEVELOPMENT_STORAGE:
            yield name


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise StartUpError(f"{path} is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise StartUpError(f"{path} is no JSON object.")
    return content
