"""Asks pypi.org what is known against the packages that are deployed: `python -m tools.audit [--if-possible]`.

Those of requirements.txt, and what they need, in the versions that are installed here. Whether pypi.org can be asked is
found out first, by a release that it knows something against: mirrors of it know nothing against anything.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REQUIREMENTS = Path("requirements.txt")
AUDITOR = Path(".tools/audit/bin/pip-audit")
KNOWN = "https://pypi.org/pypi/urllib3/1.26.4/json"
"""A release that several weaknesses are known of."""

_PATIENCE = 5.0
_FAILED, _FOUND = 2, 1

Fetch = Callable[[str], Any]
"""Reads JSON from a URL."""


class NotPossible(Exception):
    """Nothing can be said of the packages; the text says why."""


def main() -> None:
    """Audit, and end with 1 for a weakness; with 2 where nothing can be said, unless that is allowed."""
    parser = argparse.ArgumentParser(prog="audit", description=__doc__)
    parser.add_argument("--if-possible", action="store_true", help="0 where nothing can be said")
    options = parser.parse_args()
    try:
        ask(fetched)
        pinned = closure(requirements(REQUIREMENTS.read_text()))
        weaknesses = audited(pinned)
    except NotPossible as error:
        print(f"audit: NOT DONE, {error}")
        sys.exit(0 if options.if_possible else _FAILED)
    for line in weaknesses:
        print(f"audit: {line}")
    print(f"audit: {len(pinned)} packages, {len(weaknesses)} known weaknesses")
    sys.exit(_FOUND if weaknesses else 0)


def ask(fetch: Fetch) -> None:
    """Find out whether weaknesses are told.

    Raises
    ------
    NotPossible
        There is no answer, or one that knows of none.
    """
    try:
        known = fetch(KNOWN)["vulnerabilities"]
    except (OSError, ValueError, LookupError) as error:
        raise NotPossible(f"pypi.org does not tell from here what is known of packages ({error})") from None
    if not known:
        raise NotPossible("pypi.org does not tell from here what is known of packages (it knows nothing)")


def fetched(url: str) -> Any:
    """Read JSON from a URL."""
    with urllib.request.urlopen(url, timeout=_PATIENCE) as answer:
        return json.load(answer)


def requirements(text: str) -> list[Requirement]:
    """What a requirements file asks for here."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [one for line in lines if line and applies(one := Requirement(line))]


def closure(wanted: Iterable[Requirement]) -> dict[str, str]:
    """The versions of some packages, and of all that they need, as they are installed.

    Raises
    ------
    NotPossible
        One of them is not.
    """
    found: dict[str, str] = {}
    waiting = list(wanted)
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            raise NotPossible(f"{name} is not installed") from None
        found[name] = package.version
        needed = map(Requirement, package.requires or ())
        waiting += [one for one in needed if applies(one, extras)]
    return dict(sorted(found.items()))


def applies(requirement: Requirement, extras: Iterable[str] = ()) -> bool:
    """Whether a requirement counts on this machine, or for one of some extras."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))


def audited(pinned: dict[str, str]) -> list[str]:
    """The weaknesses that are known of some packages, a line each.

    Raises
    ------
    NotPossible
        They could not be asked for.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(f"{name}=={version}\n" for name, version in pinned.items()))
        file.flush()
        command = [str(AUDITOR), "--disable-pip", "--no-deps", "--strict", "--format", "json"]
        done = subprocess.run(
            [*command, "--progress-spinner", "off", "--requirement", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    return weaknesses(done.stdout, done.stderr)


def weaknesses(output: str, errors: str) -> list[str]:
    """What pip-audit has found, from what it has written.

    Raises
    ------
    NotPossible
        It was broken off.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except (ValueError, LookupError):
        last = errors.strip().splitlines()[-1:] or ["without a word"]
        raise NotPossible(f"pip-audit failed: {last[0]}") from None
    return [
        f"{one['name']} {one['version']}: {found['id']}, mended in {', '.join(found['fix_versions']) or 'no version'}"
        for one in packages
        for found in one.get("vulns", ())
    ]


if __name__ == "__main__":
    main()
