"""Reads the content tree of structured reports (PS3.3 C.17.3) out of DICOM JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dicom_core.fhir.datasets import item, items, text
from dicom_core.fhir.terminology import translated
from dicom_core.record import Dataset

Code = tuple[str, str]
"""Coding Scheme Designator and Code Value."""


@dataclass(frozen=True, slots=True)
class Found:
    """A content item, and the nearest containers above it from the root on, by their concept names."""

    item: Dataset
    code: Code
    within: tuple[Dataset, ...]


def children(node: Dataset) -> list[Dataset]:
    """The content items right below one."""
    return items(node, "0040A730")


def name(node: Dataset) -> Code:
    """The concept name of a content item, in the code that is used today."""
    code = item(node, "0040A043")
    designator, value = text(code, "00080102"), text(code, "00080100")
    modern = translated(designator, value)
    return (designator, value) if modern is None else ("SCT", modern[0])


def child(node: Dataset, code: Code) -> Dataset:
    """The first content item of this name right below one; empty if there is none."""
    return next((below for below in children(node) if name(below) == code), {})


def walk(root: Dataset, *, beyond: frozenset[Code] = frozenset()) -> Iterator[Found]:
    """All content items below one in the order of the tree, without those of these names and what is below them."""
    waiting: list[tuple[Dataset, tuple[Dataset, ...]]] = [
        (below, (root,)) for below in reversed(children(root))
    ]
    while waiting:
        node, within = waiting.pop()
        code = name(node)
        if code not in beyond:
            yield Found(node, code, within)
            deeper = (*within, node)
            waiting += [(below, deeper) for below in reversed(children(node))]
