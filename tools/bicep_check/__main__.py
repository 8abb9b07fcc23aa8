"""`python -m tools.bicep_check FOLDER…`: prints what is wrong, and ends with 1 if anything is."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tools.bicep_check import modules, names
from tools.bicep_check.models import Catalogue
from tools.bicep_check.resources import Resources
from tools.bicep_check.syntax import Finding, declarations, faults, read

MODELS = Path(".tools/models.json")


def check(paths: Iterable[Path], catalogue: Catalogue) -> Iterator[Finding]:
    """What is wrong with files."""
    for path in paths:
        source = read(path)
        wrong = list(faults(source))
        yield from wrong
        if wrong:
            continue  # what the tree does not hold cannot be judged
        declared = declarations(source)
        yield from names.check(source, declared)
        if path.suffix == ".bicepparam":
            yield from modules.check_parameters(source)
        else:
            yield from modules.check(source, declared)
            yield from Resources(source, declared, catalogue).check()


def files(folders: Iterable[Path]) -> list[Path]:
    """The files of folders; a file stands for itself."""
    return [
        path
        for folder in folders
        for path in (sorted(folder.rglob("*.bicep*")) if folder.is_dir() else [folder])
    ]


def main(arguments: list[str]) -> int:
    """Check, and print."""
    paths = files(map(Path, arguments))
    findings = list(check(paths, Catalogue.load(MODELS)))
    for finding in findings:
        print(finding)
    print(f"{len(paths)} files, {len(findings)} findings")
    return bool(findings) or not paths


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
