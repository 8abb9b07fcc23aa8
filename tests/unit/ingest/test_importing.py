"""Files of the drop zone are stored as by a POST, or moved out of the way with a reason."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from dicom_core.errors import StorageUnavailable
from dicom_core.ingest import importing
from dicom_core.ports import Dropped, Stores
from dicom_core.resources import DEFAULT_PARTITION
from dicom_core.storage.memory import (
    MemoryDeliveries,
    MemoryDropZone,
    MemoryFeed,
    MemoryIndex,
    MemoryRenditions,
    MemoryStore,
)
from tests import dicomweb, instances
from tests.storage import contents

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


class Zone(MemoryDropZone):
    """A drop zone in which something happens while a file is read."""

    def meanwhile(self) -> None:
        """What happens."""

    async def get(self, file: Dropped) -> AsyncIterator[bytes]:
        """Read a file; when its end has come, something has happened."""
        content = await super().get(file)

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in content:
                yield chunk
            self.meanwhile()

        return chunks()


@pytest.fixture
def zone() -> Zone:
    """A drop zone."""
    return Zone()


@pytest.fixture
def stores(zone: Zone) -> Stores:
    """An empty archive."""
    return Stores(MemoryStore(), MemoryIndex(), zone, MemoryRenditions(), MemoryFeed(), MemoryDeliveries())


@pytest.mark.parametrize(
    ("folder", "partition"),
    [
        ("", DEFAULT_PARTITION),
        ("Ward-7/", "Ward-7"),
        ("Ward_7.b/of/any depth/", "Ward_7.b"),
        (f"{'x' * 64}/", "x" * 64),
    ],
)
async def test_file_is_stored(stores: Stores, zone: Zone, folder: str, partition: str) -> None:
    """A file, whatever its name, is stored in the partition of its first folder, and removed."""
    one = dicomweb.made()
    zone.files[f"{folder}IM0001"] = one.content

    await importing.take(f"{folder}IM0001", stores)

    assert await contents(stores, partition, one.study) == {one.instance: one.content}
    assert (zone.files, zone.rejected) == ({}, {})


async def test_file_that_is_stored_already(stores: Stores, zone: Zone) -> None:
    """The same bytes are removed: they are stored."""
    one = dicomweb.made()
    for name in ("first", "second"):
        zone.files[name] = one.content
        await importing.take(name, stores)

    assert await contents(stores, DEFAULT_PARTITION, one.study) == {one.instance: one.content}
    assert (zone.files, zone.rejected) == ({}, {})


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("x", b"", {"status": 400, "explanation": ["the body is empty"]}),
        ("x.txt", b"no DICOM", {"status": 409, "FailureReason": "0110"}),
        ("x", instances.file()[:-8], {"status": 409, "FailureReason": "0110"}),
        ("x", instances.file(StudyInstanceUID=None), {"status": 409, "FailureReason": "A900"}),
        ("my folder/x", instances.file(), {"status": 400}),
        ("../x", instances.file(), {"status": 400}),
        (f"{'x' * 65}/x", instances.file(), {"status": 400}),
        ("/x", instances.file(), {"status": 400}),
    ],
    ids=["empty", "text", "cut", "no UID", "space", "dots", "long", "no folder"],
)
async def test_file_that_cannot_be_stored(
    stores: Stores, zone: Zone, name: str, content: bytes, expected: dict[str, Any]
) -> None:
    """It is moved out of the way, and what lies beside it says why."""
    zone.files[name] = content

    await importing.take(name, stores)

    ((moved, reason),) = zone.rejected.values()
    said = orjson.loads(reason)
    assert (zone.files, moved) == ({}, content)
    assert {key: said[key] for key in expected} == expected
    assert all(said["explanation"])
    assert stores.index.rows == {}  # type: ignore[attr-defined]


async def test_file_with_other_bytes_under_the_same_uids(
    stores: Stores, zone: Zone, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused as by a POST; reason and log name it by its UIDs, without attribute values or names of files."""
    caplog.set_level(logging.INFO, "dicom")
    one = dicomweb.made()
    other = dicomweb.made(one.study, one.series, one.instance, PatientName="Roe^Richard")
    for name, content in (("Doe_Jane", one.content), ("Roe_Richard", other.content)):
        zone.files[name] = content
        await importing.take(name, stores)

    assert await contents(stores, DEFAULT_PARTITION, one.study) == {one.instance: one.content}
    assert orjson.loads(zone.rejected["Roe_Richard"][1]) == {
        "status": 409,
        "FailureReason": "B00E",
        "explanation": ["DICOM100: other bytes are stored under the same UIDs"],
        "StudyInstanceUID": one.study,
        "SeriesInstanceUID": one.series,
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
        "SOPInstanceUID": one.instance,
    }
    lines = [text for text in caplog.messages if text.startswith("importing.take ")]
    named = f"importing.take studies/{one.study}/series/{one.series}/instances/{one.instance}"
    assert [line.split(" bytes=")[0] for line in lines] == [
        f"{named} status=200 reason=-",
        f"{named} status=409 reason=B00E",
    ]
    assert "Roe" not in caplog.text


async def test_file_that_takes_the_place_of_another(stores: Stores, zone: Zone) -> None:
    """What is put there while the former is stored stays, and is imported in its turn."""
    one, two = dicomweb.made(), dicomweb.made()
    zone.files["x"] = one.content
    zone.meanwhile = lambda: zone.files.update({"x": two.content})  # type: ignore[method-assign]

    await importing.take("x", stores)

    assert zone.files == {"x": two.content}
    await importing.take("x", stores)
    assert zone.files == {}
    for each in (one, two):
        assert await contents(stores, DEFAULT_PARTITION, each.study) == {each.instance: each.content}


@pytest.mark.parametrize("content", [dicomweb.made().content, b"no DICOM"], ids=["good", "bad"])
async def test_file_that_another_has_taken(stores: Stores, zone: Zone, content: bytes) -> None:
    """If it is gone at the end, or was before, nothing is left to do."""
    zone.files["x"] = content
    zone.meanwhile = zone.files.clear  # type: ignore[method-assign]

    await importing.take("x", stores)
    await importing.take("x", stores)

    assert (zone.files, zone.rejected) == ({}, {})


def _unavailable() -> None:
    raise StorageUnavailable("away")


def _broken() -> None:
    raise ValueError("Doe^Jane")


async def test_storage_that_is_away(stores: Stores, zone: Zone) -> None:
    """It is raised, so that the trigger comes again; the file stays where it is."""
    zone.files["x"] = content = dicomweb.made().content
    zone.meanwhile = _unavailable  # type: ignore[method-assign]

    with pytest.raises(StorageUnavailable):
        await importing.take("x", stores)

    assert (zone.files, zone.rejected) == ({"x": content}, {})


async def test_fault_inside(stores: Stores, zone: Zone, caplog: pytest.LogCaptureFixture) -> None:
    """A file that something unexpected happens to does not come again and again; the log says where."""
    zone.files["x"] = content = dicomweb.made().content
    zone.meanwhile = _broken  # type: ignore[method-assign]

    await importing.take("x", stores)

    ((moved, reason),) = zone.rejected.values()
    assert (zone.files, moved, orjson.loads(reason)["status"]) == ({}, content, 500)
    assert "test_importing.py" in caplog.text
    assert "Doe" not in caplog.text + reason.decode()


async def test_overdue_files_are_taken(stores: Stores, zone: Zone, caplog: pytest.LogCaptureFixture) -> None:
    """One that fails does not keep the others; after a look, the next is due when files may be overdue again."""
    good = {name: dicomweb.made().content for name in "abc"}
    zone.files |= good
    taking = iter([_unavailable, *[lambda: None] * 9])
    zone.meanwhile = lambda: next(taking)()  # type: ignore[method-assign]
    overdue = importing.Overdue(age=3600)

    await overdue.take(stores)
    await overdue.take(stores)

    assert zone.files == {"a": good["a"]}
    assert caplog.messages == ["importing: a file is left to the next time: away"]


async def test_overdue_files_are_too_many(stores: Stores, zone: Zone) -> None:
    """A look that takes too long ends, and goes on at the next time."""
    zone.files |= {name: dicomweb.made().content for name in "abc"}
    overdue = importing.Overdue(age=3600, longest=-1)

    await overdue.take(stores)
    assert len(zone.files) == 3
    overdue._longest = 60

    await overdue.take(stores)
    assert zone.files == {}
