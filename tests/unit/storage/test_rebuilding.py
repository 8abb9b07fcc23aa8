"""A rebuild restores from the blobs what the tables told, and nothing that was removed or refused."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from dataclasses import replace

import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import CTImageStorage

from dicom_core import versions
from dicom_core.errors import StorageUnavailable
from dicom_core.record import Columns
from dicom_core.resources import DEFAULT_PARTITION, Level, Resource
from dicom_core.storage import rebuilding, rows
from dicom_core.storage.blobs import blob_name
from dicom_core.storage.rebuilding import Fate
from dicom_core.storage.table_service import Action, Operation
from dicom_core.studies import receiving
from dicom_core.web import search_parameters
from tests.instances import file
from tests.rebuilding import Account, files_of

STUDY = "1.2.3"
KEY = rows.partition_key(DEFAULT_PARTITION, STUDY)

KINDS = [
    "CT_small.dcm",  # explicit little endian, one frame
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "image_dfl.dcm",  # deflated
    "JPEG2000.dcm",  # encapsulated, one frame
    "examples_ybr_color.dcm",  # several frames
    "SC_rgb_rle_2frame.dcm",  # encapsulated, several frames
    "reportsi.dcm",  # no pixel data
    "waveform_ecg.dcm",  # bulk data within sequences
    "liver_1frame.dcm",
]


def content(name: str) -> bytes:
    """A file of pydicom's own tests."""
    path = get_testdata_file(name)
    assert path is not None
    with open(path, "rb") as stream:
        return stream.read()


@pytest.fixture
def account() -> Account:
    """An account without anything."""
    return Account()


@pytest.mark.parametrize("name", KINDS)
async def test_row_restored_is_the_row_stored(account: Account, name: str) -> None:
    """Each property of the row, header, frames and bulk data included, is what the Store wrote."""
    assert await account.post(content(name)) in (200, 202)
    before = account.rows()
    account.lose()

    fates = await account.rebuild()

    assert list(fates.values()) == [Fate.RESTORED]
    assert account.rows() == before != {}


async def test_row_restored_of_a_large_part(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that was staged in blocks has the same row again."""
    monkeypatch.setattr(receiving, "SINGLE_WRITE", 1 << 16)
    monkeypatch.setattr(receiving, "BLOCK", 1 << 14)
    await account.post(file(STUDY, PixelData=bytes(1 << 18)))
    before = account.rows()
    account.lose()

    await account.rebuild()

    assert account.rows() == before != {}


async def test_header_outside_of_the_row_is_written_again(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is too large for a row lies beside it again, whatever an earlier release left there."""
    monkeypatch.setattr(rows, "MAX_BULKY_BYTES", 100)
    await account.post(*files_of(STUDY, 1))
    (name,) = account.derived.kept
    told = await account.index.records(Resource(STUDY), Columns.HEADER | Columns.PIXELS)
    account.derived.kept[name] = replace(account.derived.kept[name], content=b"of an earlier release")
    account.lose()

    await account.rebuild()

    assert list(account.derived.kept) == [name]
    assert await account.index.records(Resource(STUDY), Columns.HEADER | Columns.PIXELS) == told


async def test_transaction_of_several_batches_is_restored(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction larger than a batch is restored by a chain, which ends decided."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 3)
    monkeypatch.setattr(rebuilding, "_SLICE", 4)
    await account.post(*files_of(STUDY, 14, ("1", "2")))
    before = account.rows()
    account.lose()

    await account.rebuild()

    assert account.rows() == before
    assert {row["state"] for row in account.rows(kind="change|").values()} == {"done"}


async def test_batch_of_many_series_fits_the_service(account: Account) -> None:
    """The two decisions and the series' pointers find room in each batch."""
    await account.post(*files_of(STUDY, 100, [str(number) for number in range(60)]))
    before = account.rows()
    account.lose()

    await account.rebuild()

    assert account.rows() == before


async def test_twice_is_once(account: Account) -> None:
    """A second run changes no row of any table."""
    await account.post(*files_of(STUDY, 3))
    await account.put(file(STUDY, f"{STUDY}.1", f"{STUDY}.9.1", PatientID="other"))
    account.lose()
    await account.rebuild()
    tables = {name: account.rows(name, "") for name in ("studies", "pending")}

    fates = await account.rebuild()

    assert set(fates.values()) == {Fate.THERE, Fate.DECIDED}
    assert {name: account.rows(name, "") for name in tables} == tables


def transaction_listed(at: int, number: int) -> str:
    """A transaction that sorts by its number, and whose blobs are listed at a place from 0 to 2."""
    found = (f"{number}{suffix:025}" for suffix in itertools.count())
    return next(name for name in found if int(versions.spread(name), 16) * 3 // 256 == at)


async def keep(account: Account, transaction: str, part: int, content: bytes) -> str:
    """Keep a blob as a Store leaves it; its name."""
    uids = {"study": STUDY, "series": f"{STUDY}.1", "instance": f"{STUDY}.9"}
    name = blob_name(DEFAULT_PARTITION, versions.version_of(transaction, part))
    await account.instances.put(name, [content], uids)
    return name


def one(patient: str) -> bytes:
    """One of several files with the same UIDs."""
    return file(STUDY, f"{STUDY}.1", f"{STUDY}.9", PatientID=patient)


@pytest.mark.parametrize("window", [1, 5000])
@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_highest_version_wins_in_any_order(
    account: Account, order: tuple[int, ...], window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of blobs with the same UIDs the latest is restored, in whichever order they are listed."""
    monkeypatch.setattr(rebuilding, "WINDOW", window)
    transactions = [transaction_listed(at, number) for at, number in enumerate(order)]
    for name, number in zip(transactions, order, strict=True):
        await keep(account, name, 0, one(str(number)))

    await account.rebuild()

    assert account.versions() == {versions.version_of(max(transactions), 0)}
    decisions = account.rows(kind="change|").values()
    given_up = {version for row in decisions for version in rows.decided(row)} - account.versions()
    assert given_up == {versions.version_of(name, 0) for name in sorted(transactions)[:2]}


async def test_highest_version_wins_within_a_transaction(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same of parts of one request, even if they are not looked at together."""
    monkeypatch.setattr(rebuilding, "_SLICE", 2)
    name = transaction_listed(0, 1)
    for part in range(5):
        await keep(account, name, part, one(str(part)))

    fates = await account.rebuild()

    assert Counter(fates.values()) == {Fate.RESTORED: 1, Fate.SUPERSEDED: 4}
    assert account.versions() == {versions.version_of(name, 4)}


async def test_unreadable_version_gives_way_to_the_one_before(account: Account) -> None:
    """What cannot be read takes no one's place; it is named, with the reason."""
    name = transaction_listed(0, 1)
    await keep(account, name, 0, one("0"))
    broken = await keep(account, name, 1, b"no DICOM file")

    seen = await account.seen()

    assert {one.blob.name: one.reason for one in seen if one.fate is Fate.UNREADABLE} == {
        broken: "not a DICOM file: no 'DICM' at byte 128, no data set at byte 0"
    }
    assert account.versions() == {versions.version_of(name, 0)}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f"{STUDY}.9", f"{STUDY}.8", "its UIDs differ from those of its metadata"),
        (
            CTImageStorage,
            CTImageStorage[:-1] + "x",
            "(0008,0016) SOPClassUID is missing or is not a UID",
        ),
    ],
)
async def test_bytes_that_no_store_would_have_kept(account: Account, old: str, new: str, reason: str) -> None:
    """What a Store refuses, or its metadata contradicts, is no instance."""
    content = one("1").replace(old.encode(), new.encode())
    await keep(account, transaction_listed(0, 1), 0, content)

    (seen,) = await account.seen()

    assert (seen.fate, seen.reason) == (Fate.UNREADABLE, reason)
    assert account.rows("studies", "") == {}


async def test_metadata_that_a_copy_has_lost_is_read_from_the_bytes(account: Account) -> None:
    """Blobs without metadata have the same rows again."""
    await account.post(*files_of(STUDY, 3))
    before = account.rows()
    for name, kept in account.instances.kept.items():
        account.instances.kept[name] = replace(kept, metadata={})
    account.lose()

    fates = await account.rebuild()

    assert set(fates.values()) == {Fate.RESTORED}
    assert account.rows() == before


async def test_bytes_without_metadata_and_without_uids(account: Account) -> None:
    """What says nowhere of what it is cannot be restored."""
    name = blob_name(DEFAULT_PARTITION, versions.version_of(transaction_listed(0, 1), 0))
    await account.instances.put(name, [file(STUDY, SeriesInstanceUID=None)])

    (seen,) = await account.seen()

    assert (seen.fate, seen.reason) == (
        Fate.UNREADABLE,
        "(0020,000E) SeriesInstanceUID is missing or is not a UID",
    )


@pytest.mark.parametrize("name", ["x.dcm", "P/00/01ARZ3NDEKTSV4RRFFQ69G5FAV-0000.dcm", "P/a#b/x-0000.dcm"])
async def test_foreign_blob_is_left_alone(account: Account, name: str) -> None:
    """A blob that no version can name is none of the service's, or lies where the service does not look."""
    await account.instances.put(name, [one("1")])

    assert await account.rebuild() == {name: Fate.FOREIGN}
    assert account.rows("studies", "") == {}


async def test_young_blobs_are_left_alone_with_their_whole_transaction(account: Account) -> None:
    """The request may be at work still: nothing of it is restored before all of it is old enough."""
    await account.post(*files_of(STUDY, 3))
    name = max(account.instances.kept)
    account.instances.kept[name].modified = time.time() - 59 * 60
    account.lose()

    assert set((await account.rebuild()).values()) == {Fate.YOUNG}
    assert account.rows("studies", "") == {}
    assert set((await account.rebuild(settled=58 * 60)).values()) == {Fate.RESTORED}


async def test_removed_and_replaced_stay_so(account: Account) -> None:
    """What the decisions say is gone is not restored, though its blob is still there."""
    await account.post(*files_of(STUDY, 4))
    await account.put(file(STUDY, f"{STUDY}.1", f"{STUDY}.9.0", PatientID="other"))
    await account.delete(STUDY, f"{STUDY}.1", f"{STUDY}.9.1")
    before = account.rows("studies", "")

    fates = await account.rebuild()

    assert Counter(fates.values()) == {Fate.THERE: 3, Fate.DECIDED: 2}
    assert account.rows("studies", "") == before


async def test_refused_stays_refused(account: Account) -> None:
    """Bytes that a Store has refused are not restored, even after what stood there was deleted."""
    await account.post(one("first"))
    assert await account.post(one("second")) == 409
    await account.delete(STUDY)

    fates = await account.rebuild()

    assert set(fates.values()) == {Fate.DECIDED}
    assert account.rows() == {}


async def test_what_a_large_deletion_hides_stays_hidden(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deletion on its way has removed what its marker names."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    await account.post(*files_of(STUDY, 6))
    batches = 0

    def stop(name: str, partition: str, operations: object) -> None:
        nonlocal batches
        batches += name == "studies"
        if batches == 2:
            raise KeyboardInterrupt

    account.service.written = stop
    with pytest.raises(KeyboardInterrupt):
        await account.delete(STUDY)
    account.service.written = lambda name, partition, operations: None

    fates = await account.rebuild()

    assert Counter(fates.values()) == {Fate.THERE: 2, Fate.DECIDED: 4}
    assert await account.index.records(Resource(STUDY), Columns.NONE) == []


async def test_aborted_stays_aborted(account: Account) -> None:
    """A transaction that the sweep has given up is not restored."""
    name = transaction_listed(0, 1)
    await keep(account, name, 0, one("1"))
    aborted = rows.Decision(drop=[rows.EVERYTHING]).to_entity("aborted")
    change = Operation(Action.INSERT, rows.change_key(name), aborted)
    await account.service.table("studies").transact(KEY, [change])

    assert set((await account.rebuild()).values()) == {Fate.DECIDED}
    assert account.rows() == {}


async def test_blob_that_goes_meanwhile_is_not_restored(account: Account) -> None:
    """The blob is looked for last: what was removed long ago has lost its decision before its blob."""
    await account.post(*files_of(STUDY, 2))
    account.lose()
    listed = [blob async for blob in account.instances.blobs()]
    del account.instances.kept[listed[0].name]

    async def as_it_was(prefix: str = "", after: str = ""):  # type: ignore[no-untyped-def]
        for blob in listed:
            yield blob

    account.instances.blobs = as_it_was  # type: ignore[method-assign]
    fates = await account.rebuild()

    assert fates == {listed[0].name: Fate.GONE, listed[1].name: Fate.RESTORED}


async def test_sweep_does_not_give_up_what_is_being_restored(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old names do not look abandoned: a sweep at any moment of a rebuild aborts none of its transactions."""
    monkeypatch.setattr(rows, "INSTANCES_AT_ONCE", 2)
    for at, part in itertools.product(range(3), range(5)):
        name = blob_name(DEFAULT_PARTITION, versions.version_of(transaction_listed(at, at), part))
        await account.instances.put(name, [file(STUDY, f"{STUDY}.1", f"{STUDY}.9.{at}.{part}")])
    swept: list[asyncio.Future[None]] = []

    def sweep(name: str, partition: str, operations: object) -> None:
        if len(swept) < 100:
            swept.append(asyncio.ensure_future(account.index.sweep()))

    account.service.written = sweep
    fates = await account.rebuild()
    await asyncio.gather(*swept)

    assert set(fates.values()) == {Fate.RESTORED}
    assert len(account.versions()) == 15
    assert "aborted" not in {row["state"] for row in account.rows(kind="change|").values()}


async def test_index_after_a_rebuild_is_cheap(account: Account) -> None:
    """The journal names only the batches of the rebuild: no transaction is looked for there that it does not know."""
    for at in range(30):
        await account.post(file(STUDY, f"{STUDY}.1", f"{STUDY}.9.{at}"))
    account.lose()
    await account.rebuild()
    account.service.requests = 0

    assert await account.indexer.index(DEFAULT_PARTITION, STUDY)

    assert account.rows("pending", "") == {}
    assert account.service.requests <= 20


async def test_series_restored_after_an_index_run_are_found_by_their_uids(account: Account) -> None:
    """What comes back later than the study was indexed gets its own pointers."""
    for at in range(2):
        await account.post(file(STUDY, f"{STUDY}.{at}", f"{STUDY}.9.{at}"))
    account.lose()
    later = max(account.instances.kept)
    account.instances.kept[later].modified = time.time()
    await account.rebuild()
    await account.indexer.index(DEFAULT_PARTITION, STUDY)
    account.instances.kept[later].modified = 0.0
    await account.rebuild()
    await account.indexer.index(DEFAULT_PARTITION, STUDY)

    for at in range(2):
        asked = search_parameters.parse(
            (("SeriesInstanceUID", f"{STUDY}.{at}"),), Level.SERIES, Resource()
        ).query
        assert len((await account.index.search(asked)).datasets) == 1


async def test_storage_that_does_not_answer_ends_it(account: Account) -> None:
    """The failure is told as it is, from however deep; what was restored stays, and the next run goes on."""
    await account.post(*files_of(STUDY, 2))
    await account.post(*files_of("1.2.4", 2))
    account.lose()
    decided = 0

    def fail(name: str, partition: str, operations: object) -> None:
        nonlocal decided
        decided += name == "studies"
        if decided == 2:
            raise StorageUnavailable("storage does not answer")

    account.service.written = fail
    with pytest.raises(StorageUnavailable):
        await account.rebuild()
    account.service.written = lambda name, partition, operations: None
    await account.rebuild()

    assert len(account.versions()) == 4
