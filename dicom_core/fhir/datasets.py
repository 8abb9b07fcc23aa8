"""Reads values out of DICOM JSON data sets (PS3.18 F.2) whose values may be anything that JSON has.

What is not of the kind that is asked for is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from dicom_core.attributes import is_empty
from dicom_core.record import Dataset

MOST_CHARACTERS = 1 << 20
"""The longest string of FHIR R4 (2.24.0.1)."""

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BLANK = re.compile(r"[^\S \t\r\n]")


def cleaned(value: Any) -> str:
    """A text as FHIR has it, without control characters, and without blanks around it; "" for what is no text."""
    if value.__class__ is not str:
        return ""
    if not value.isprintable():
        value = _BLANK.sub(" ", _CONTROL.sub("", value))
    return str(value).strip()[:MOST_CHARACTERS]


def values(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an element; none if it is missing or empty."""
    element = dataset.get(tag)
    return [] if element is None or is_empty(element) else element["Value"]


def texts(dataset: Mapping[str, Any], tag: str) -> list[str]:
    """The texts of an element that say something."""
    return [text for value in values(dataset, tag) if (text := cleaned(value))]


def text(dataset: Mapping[str, Any], tag: str) -> str:
    """The first text of an element that says something; "" if there is none."""
    return next((text for value in values(dataset, tag) if (text := cleaned(value))), "")


def items(dataset: Mapping[str, Any], tag: str) -> list[Dataset]:
    """The items of a sequence."""
    return [value for value in values(dataset, tag) if value.__class__ is dict]


def item(dataset: Mapping[str, Any], tag: str) -> Dataset:
    """The first item of a sequence; empty if there is none."""
    return next((value for value in values(dataset, tag) if value.__class__ is dict), {})


def unsigned(dataset: Mapping[str, Any], tag: str) -> int | None:
    """The first value of an element, where FHIR has it as an unsignedInt."""
    value = next(iter(values(dataset, tag)), None)
    return value if value.__class__ is int and 0 <= value < 1 << 31 else None


def named(name: Any) -> Iterator[tuple[str, str]]:
    """The component groups of a person name that say something (PS3.5 6.2.1.2), in their order."""
    if name.__class__ is dict:
        for group in ("Alphabetic", "Ideographic", "Phonetic"):
            if cleaned(name.get(group)).strip("^ "):
                yield group, cleaned(name[group])


def first(datasets: Iterable[Mapping[str, Any]], tags: Iterable[str]) -> Dataset:
    """Of each attribute the first element that is not empty."""
    found: Dataset = {}
    for dataset in datasets:
        for tag in tags:
            if tag not in found and values(dataset, tag):
                found[tag] = dataset[tag]
    return found
