"""Limits that belong to no one file of tests, and the document's table of all of them."""

from __future__ import annotations

import ast
import importlib
import re

import pytest

from dicom_core import versions
from dicom_core.errors import BadRequest, PayloadTooLarge
from dicom_core.ports import Stores
from dicom_core.representations import frames
from dicom_core.representations.instances import InvalidInstance
from dicom_core.resources import MAX_FRAMES, MAX_REPEATS, MAX_UID, is_uid, parse_frames
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from dicom_core.studies import receiving, store
from dicom_core.studies.receiving import BLOCK, Part
from dicom_core.web import api_parameters
from tests import instances
from tests.serving import ROOT
from tests.storage import store_request
from tests.unit.representations import samples
from tests.unit.representations.samples import SEQUENCE_END, UNDEFINED, element, instance, item

UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1}
TABLE = re.compile(r"^\| .+? \| ([\d,.]+) ?(\w*) \| `([\w.]+)` \| (.+) \|$", re.MULTILINE)
SECURITY = (ROOT / "docs" / "security.md").read_text()
LIMITS = TABLE.findall(SECURITY)

ELSEWHERE = {
    "representations.rendering.MAX_VALUE",
    "settings.MAX_RETENTION_HOURS",
    "tasks.MAX_REASON",
    "web.changefeed_parameters.MAX_OFFSET",
    "web.subscriber_parameters.MAX_LIMIT",
    "web.subscriber_parameters.MAX_OFFSET",
}
"""Limits that no request can exceed, or that the conformance statement has."""


@pytest.mark.parametrize(("number", "unit", "name", "tests"), LIMITS, ids=[row[2] for row in LIMITS])
def test_table_of_limits(number: str, unit: str, name: str, tests: str) -> None:
    """The document has each limit as the code has it, and names tests that there are."""
    module, _, constant = name.rpartition(".")

    assert (
        getattr(importlib.import_module(f"dicom_core.{module}"), constant)
        == float(number.replace(",", "")) * UNITS[unit]
    )
    for file, test in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests):
        tree = ast.parse((ROOT / file).read_text())
        assert test in {
            one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
        }
    assert "`tests/" in tests


def test_table_of_limits_is_complete() -> None:
    """Every constant that is named as a limit of what comes from outside is in the document."""
    found = {
        f"{'.'.join(path.relative_to(ROOT / 'dicom_core').with_suffix('').parts)}.{name}"
        for folder in ("", "web", "representations", "studies")
        for path in (ROOT / "dicom_core" / folder).glob("*.py")
        for name in re.findall(r"^(MAX_[A-Z_]+)\b", path.read_text(), re.MULTILINE)
    }

    assert found - {name for _, _, name, _ in LIMITS} - ELSEWHERE == set()


async def test_parts_of_a_payload(monkeypatch: pytest.MonkeyPatch) -> None:
    """A payload of more parts than a transaction can number is refused as soon as the next one begins."""
    monkeypatch.setattr(versions, "MAX_PARTS", 2)
    stores = Stores(
        MemoryStore(), MemoryIndex(), MemoryDropZone(), MemoryRenditions(), MemoryFeed(), MemoryDeliveries()
    )

    with pytest.raises(PayloadTooLarge, match="more than 2 parts"):
        await store.store(store_request([instances.file()] * 3, "p"), stores)


async def test_part_without_uids() -> None:
    """A part whose UIDs do not come soon is refused: it cannot be named, and so not be written."""
    content = instance(element(0x00080005, "OB", bytes(2 * receiving.MAX_HEADER)))
    part = Part(0, MemoryStore())
    for at in range(0, receiving.MAX_HEADER, BLOCK):
        part.feed(content[at : at + BLOCK])
        await part.relieve()
    part.feed(bytes(1))

    with pytest.raises(InvalidInstance, match=f"within the first {receiving.MAX_HEADER} bytes"):
        await part.relieve()

    part.release()


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (",".join(map(str, range(1, MAX_FRAMES + 1))), True),
        (",".join(map(str, range(1, MAX_FRAMES + 2))), False),
        (",".join(["7"] * MAX_REPEATS), True),
        (",".join(["7"] * (MAX_REPEATS + 1)), False),
    ],
    ids=["most", "one more", "most repeats", "one repeat more"],
)
def test_frames_of_a_request(value: str, fits: bool) -> None:
    """A request names so many frames, and each so often, before anything is read of them."""
    if fits:
        assert len(parse_frames(value)) == value.count(",") + 1
        return
    with pytest.raises(BadRequest, match="are allowed"):
        parse_frames(value)


def test_length_of_a_uid() -> None:
    """A UID has at most 64 characters (PS3.5 9.1)."""
    assert is_uid("1" * MAX_UID)
    assert not is_uid("1" * (MAX_UID + 1))


def test_fragments_of_an_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an instance of more fragments no frame is given; what is kept of each is bounded, and it can be stored."""
    content = instance(
        element(0x00280008, "IS", b"3 "),
        element(0x7FE00010, "OB", b"".join(map(item, (b"", b"ab", b"cd", b"ef"))) + SEQUENCE_END, UNDEFINED),
        syntax="1.2.840.10008.1.2.4.50",
    )
    before = samples.read(content).frames
    monkeypatch.setattr(frames, "MAX_FRAGMENTS", 2)

    assert (before.count, samples.read(content).frames.count) == (3, 0)


def test_frames_are_described_with_their_limits() -> None:
    """Who reads the description of the API knows how many frames may be asked for, and how often each."""
    description = api_parameters.IN_PATH["frames"][1]

    assert f"at most {MAX_FRAMES} " in description
    assert f"each at most {MAX_REPEATS} times" in description
