"""The Python client that 3D Slicer, MONAI Label and highdicom use, as a user uses it: nothing of it is changed."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image, ImageSequence
from pydicom.uid import JPEG2000Lossless

from tests import dicomweb, instances
from tests.dicomweb import Stored, made, value, values

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture
def client(service: str) -> DICOMwebClient:
    """A client with its defaults."""
    return DICOMwebClient(service)


def dataset(stored: Stored) -> pydicom.Dataset:
    """What a user has in hand."""
    return pydicom.dcmread(io.BytesIO(stored.content))


def two_series() -> list[Stored]:
    """A study of two series, of two instances and of one; its PatientID is its own."""
    study, first, second, patient = instances.uid(), instances.uid(), instances.uid(), instances.uid()[-16:]
    return [
        made(study, first, PatientID=patient, InstanceNumber=1, PixelData=bytes(32)),
        made(study, first, PatientID=patient, InstanceNumber=2, PixelData=b"\1" * 32),
        made(study, second, PatientID=patient, InstanceNumber=1, Modality="SR", PixelData=b"\2" * 32),
    ]


@pytest.fixture(scope="module")
def study(service: str) -> list[Stored]:
    """A study that the tests of this file only read."""
    stored = two_series()
    dicomweb.keep(service, *stored)
    return stored


def test_store_one(client: DICOMwebClient) -> None:
    """The answer is read as a data set that refers to the instance."""
    one = made()

    answer = client.store_instances([dataset(one)])

    assert [item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence] == [one.instance]
    assert "FailedSOPSequence" not in answer
    assert answer.ReferencedSOPSequence[0].RetrieveURL.endswith(one.path)


def test_store_into_study(client: DICOMwebClient) -> None:
    """With a study in the path the answer has the study's RetrieveURL."""
    stored = two_series()

    answer = client.store_instances(list(map(dataset, stored)), stored[0].study)

    assert len(answer.ReferencedSOPSequence) == 3
    assert answer.RetrieveURL.endswith(f"studies/{stored[0].study}")


def test_store_into_other_study(client: DICOMwebClient) -> None:
    """What belongs to another study is refused, which the client reports as a conflict."""
    with pytest.raises(requests.HTTPError) as refusal:
        client.store_instances([dataset(made())], instances.uid())

    assert refusal.value.response is not None
    assert refusal.value.response.status_code == 409
    failed = value(refusal.value.response.json(), "00081198")
    assert value(failed, "00081197") == 0xA901


def test_store_in_chunks(client: DICOMwebClient) -> None:
    """Above 1 MB the client sends no Content-Length."""
    study = instances.uid()
    stored = [made(study, Rows=512, Columns=512, PixelData=bytes([n]) * 524288) for n in range(4)]

    client.store_instances(list(map(dataset, stored)))

    back = {str(one.SOPInstanceUID): one.PixelData for one in client.iter_study(study)}
    assert back == {one.instance: bytes([n]) * 524288 for n, one in enumerate(stored)}


def test_store_twice(client: DICOMwebClient) -> None:
    """A repeated Store of the same instance is a success, with a warning."""
    one = dataset(made())
    client.store_instances([one])

    answer = client.store_instances([one])

    assert answer.ReferencedSOPSequence[0].WarningReason == 0xB00E


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"PatientName": "Doe^Jane"},
        {"PatientName": "doe*"},
        {"00100010": "*JANE"},
        {"StudyDate": "20260101-20260201"},
        {"StudyDate": "20260131-"},
        {"ModalitiesInStudy": "SR"},
        {"Modality": "SR"},
        {"NoSuchAttribute": "1"},
    ],
    ids=lambda filters: "&".join(f"{name}={text}" for name, text in filters.items()) or "none",
)
def test_search_for_studies(client: DICOMwebClient, study: list[Stored], filters: dict[str, str]) -> None:
    """Filters by keyword or tag, exact, with wild cards or ranges; what is unknown is passed over."""
    patient = str(dataset(study[0]).PatientID)

    found = client.search_for_studies(search_filters={"PatientID": patient, **filters})

    assert [value(item, "0020000D") for item in found] == [study[0].study]


@pytest.mark.parametrize(
    "filters",
    [
        {"PatientName": "Doe^John"},
        {"StudyDate": "-20260130"},
        {"ModalitiesInStudy": "MR"},
        {"PatientSex": "F"},
    ],
    ids=lambda filters: "&".join(filters),
)
def test_search_without_match(client: DICOMwebClient, study: list[Stored], filters: dict[str, str]) -> None:
    """No match is an empty list."""
    assert client.search_for_studies(search_filters={"StudyInstanceUID": study[0].study, **filters}) == []


@pytest.mark.parametrize("name", ["doe", "JAN", "jane doe", "Do Ja"])
def test_search_fuzzy(client: DICOMwebClient, study: list[Stored], name: str) -> None:
    """With fuzzymatching each word is the beginning of a word of the name."""
    filters = {"PatientName": name, "StudyInstanceUID": study[0].study}

    assert len(client.search_for_studies(fuzzymatching=True, search_filters=filters)) == 1
    assert client.search_for_studies(fuzzymatching=False, search_filters=filters) == []


def test_search_fields(client: DICOMwebClient, study: list[Stored]) -> None:
    """Fields are returned beside the default ones, by keyword or tag, whether searchable or not."""
    found = client.search_for_instances(
        study[0].study, fields=["PhotometricInterpretation", "00280102", "NoSuchField"]
    )

    assert [(value(item, "00280004"), value(item, "00280102")) for item in found] == [("MONOCHROME2", 15)] * 3


def test_search_for_series(client: DICOMwebClient, study: list[Stored]) -> None:
    """Series of a study, and of all studies; each with its study and counts."""
    below = client.search_for_series(study[0].study)
    everywhere = client.search_for_series(search_filters={"SeriesInstanceUID": study[2].series})

    counts = {value(item, "0020000E"): value(item, "00201209") for item in below}
    assert counts == {study[0].series: 2, study[2].series: 1}
    assert [(value(item, "0020000D"), value(item, "00080060")) for item in everywhere] == [
        (study[0].study, "SR")
    ]


def test_search_for_instances(client: DICOMwebClient, study: list[Stored]) -> None:
    """Instances of all studies, of one, of a series; filters may be of the level above."""
    first = study[0]

    def found(*path: str, **filters: Any) -> set[str]:
        return {
            value(item, "00080018") for item in client.search_for_instances(*path, search_filters=filters)
        }

    assert found(StudyInstanceUID=first.study) == {one.instance for one in study}
    assert found(first.study, InstanceNumber=1) == {first.instance, study[2].instance}
    assert found(first.study, Modality="SR") == {study[2].instance}
    assert found(first.study, first.series) == {first.instance, study[1].instance}


def test_search_page_by_page(client: DICOMwebClient, service: str) -> None:
    """Pages by limit and offset have each match once, and an empty one ends them."""
    patient = instances.uid()[-16:]
    stored = [made(PatientID=patient) for _ in range(7)]
    dicomweb.keep(service, *stored)
    filters = {"PatientID": patient}

    pages: list[list[str]] = []
    while page := client.search_for_studies(limit=3, offset=3 * len(pages), search_filters=filters):
        pages.append([value(item, "0020000D") for item in page])

    assert [len(page) for page in pages] == [3, 3, 1]
    paged = [uid for page in pages for uid in page]
    assert sorted(paged) == sorted(one.study for one in stored)
    remaining = client.search_for_studies(limit=2, get_remaining=True, search_filters=filters)
    assert [value(item, "0020000D") for item in remaining] == paged


@pytest.mark.parametrize(
    "media_types",
    [
        None,
        ("application/dicom",),
        (("application/dicom", "*"),),
        (("application/dicom", "1.2.840.10008.1.2.1"),),
    ],
    ids=["default", "dicom", "any syntax", "explicit"],
)
def test_retrieve(client: DICOMwebClient, study: list[Stored], media_types: Any) -> None:
    """A study, a series and an instance come back, whether all at once or one after the other."""
    first = study[0]
    uids = (first.study, first.series)
    accepted = {"media_types": media_types}

    whole = [client.retrieve_study(first.study, **accepted), list(client.iter_study(first.study, **accepted))]
    series = [client.retrieve_series(*uids, **accepted), list(client.iter_series(*uids, **accepted))]
    instance = client.retrieve_instance(*uids, first.instance, **accepted)

    assert [sorted(one.SOPInstanceUID for one in found) for found in whole] == [
        sorted(one.instance for one in study)
    ] * 2
    assert [sorted(one.SOPInstanceUID for one in found) for found in series] == [
        sorted(one.instance for one in study[:2])
    ] * 2
    assert instance == dataset(first)
    assert instance.file_meta == dataset(first).file_meta


def test_retrieve_other_syntax(client: DICOMwebClient, study: list[Stored]) -> None:
    """What can be transcoded is."""
    found = client.retrieve_study(study[0].study, (("application/dicom", str(JPEG2000Lossless)),))

    assert {one.file_meta.TransferSyntaxUID for one in found} == {JPEG2000Lossless}


def test_metadata(client: DICOMwebClient, study: list[Stored]) -> None:
    """Metadata of a study, a series and an instance read as data sets."""
    first = study[0]

    of_study = client.retrieve_study_metadata(first.study)
    of_series = client.retrieve_series_metadata(first.study, first.series)
    of_instance = client.retrieve_instance_metadata(first.study, first.series, first.instance)

    assert sorted(value(item, "00080018") for item in of_study) == sorted(one.instance for one in study)
    assert [value(item, "00200013") for item in sorted(of_series, key=str)] in ([1, 2], [2, 1])
    assert of_instance in of_series
    assert of_instance in of_study
    read = pydicom.Dataset.from_json(of_instance, bulk_data_uri_handler=lambda _: b"")
    read.PixelData = dataset(first).PixelData
    assert read == dataset(first)


@pytest.fixture
def frames(client: DICOMwebClient) -> Iterator[tuple[tuple[str, str, str], pydicom.Dataset]]:
    """An instance of 15 frames, stored by the client, with UIDs of its own."""
    image = pydicom.dcmread(SHIPPED / "rtdose.dcm")
    image.StudyInstanceUID, image.SeriesInstanceUID = instances.uid(), instances.uid()
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = instances.uid()
    client.store_instances([image])
    yield (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID), image
    client.delete_instance(image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)


@pytest.mark.parametrize(
    "media_types",
    [
        None,
        ("application/octet-stream",),
        (("application/octet-stream", "*"),),
        (("application/octet-stream", "1.2.840.10008.1.2.1"),),
    ],
    ids=["default", "octet-stream", "any syntax", "explicit"],
)
def test_frames(
    client: DICOMwebClient, frames: tuple[tuple[str, str, str], pydicom.Dataset], media_types: Any
) -> None:
    """Frames come as they were asked for, as a list or one after the other."""
    uids, image = frames
    size = image.Rows * image.Columns * 4
    numbers = [1, 15, 2, 3]

    at_once = client.retrieve_instance_frames(*uids, numbers, media_types=media_types)
    in_turn = list(client.iter_instance_frames(*uids, numbers, media_types=media_types))

    assert at_once == [image.PixelData[(number - 1) * size : number * size] for number in numbers]
    assert in_turn == at_once


def test_frames_of_compressed_image(client: DICOMwebClient) -> None:
    """A compressed frame is given as it is, under its media type or as any bytes; as pixels if neither is asked for."""
    image = pydicom.dcmread(SHIPPED / "MR_small_jp2klossless.dcm")
    image.StudyInstanceUID = instances.uid()
    client.store_instances([image])
    uids = (image.StudyInstanceUID, image.SeriesInstanceUID, image.SOPInstanceUID)
    expected = [pydicom.encaps.get_frame(image.PixelData, 0, number_of_frames=1)]

    (pixels,) = client.retrieve_instance_frames(*uids, [1])
    assert len(pixels) == image.Rows * image.Columns * 2
    for media_type in ("image/jp2", ("image/jp2", str(JPEG2000Lossless)), ("application/octet-stream", "*")):
        assert client.retrieve_instance_frames(*uids, [1], media_types=(media_type,)) == expected


@pytest.mark.parametrize(
    ("media_types", "form"),
    [
        (None, "JPEG"),
        (("image/jpeg",), "JPEG"),
        (("image/png",), "PNG"),
        (("image/gif",), "GIF"),
        (("image/png", "image/jpeg"), "JPEG"),
    ],
    ids=["default", "jpeg", "png", "gif", "either"],
)
@pytest.mark.parametrize(
    ("method", "depth", "numbers"),
    [
        ("retrieve_series_rendered", 2, ()),
        ("retrieve_instance_rendered", 3, ()),
        ("retrieve_instance_frames_rendered", 3, ([2],)),
    ],
)
def test_picture(
    client: DICOMwebClient,
    frames: tuple[tuple[str, str, str], pydicom.Dataset],
    method: str,
    depth: int,
    numbers: tuple[list[int], ...],
    media_types: Any,
    form: str,
) -> None:
    """A series, an instance and a frame are rendered as one picture (PS3.18 10.4.1.1.3)."""
    retrieve = getattr(client, method)

    content = retrieve(*frames[0][:depth], *numbers, media_types=media_types, params={"viewport": "5,5"})

    shown = Image.open(io.BytesIO(content))
    assert (shown.format, shown.size) == (form, (5, 5))


def test_animation(client: DICOMwebClient, frames: tuple[tuple[str, str, str], pydicom.Dataset]) -> None:
    """As GIF an instance is one picture of all its frames."""
    uids, image = frames

    content = client.retrieve_instance_rendered(*uids, media_types=("image/gif",))

    shown = Image.open(io.BytesIO(content))
    sizes = [frame.size for frame in ImageSequence.Iterator(shown)]
    assert sizes == [(image.Columns, image.Rows)] * image.NumberOfFrames


def test_bulkdata(client: DICOMwebClient, frames: tuple[tuple[str, str, str], pydicom.Dataset]) -> None:
    """A BulkDataURI of the metadata leads to the value."""
    uids, image = frames
    uri = client.retrieve_instance_metadata(*uids)["7FE00010"]["BulkDataURI"]

    assert client.retrieve_bulkdata(uri) == [image.PixelData]
    assert list(client.iter_bulkdata(uri)) == [image.PixelData]
    assert client.retrieve_bulkdata(uri, media_types=("application/octet-stream",)) == [image.PixelData]


def test_delete(client: DICOMwebClient) -> None:
    """An instance, a series, a study: each is gone, and what is beside it is not."""
    stored = two_series()
    client.store_instances(list(map(dataset, stored)))
    study = stored[0].study

    def left() -> list[str]:
        return sorted(value(item, "00080018") for item in client.search_for_instances(study))

    client.delete_instance(study, stored[0].series, stored[0].instance)
    assert left() == sorted(one.instance for one in stored[1:])
    client.delete_series(study, stored[2].series)
    assert left() == [stored[1].instance]
    client.delete_study(study)
    assert left() == []
    with pytest.raises(requests.HTTPError) as missing:
        client.delete_study(study)
    assert missing.value.response is not None
    assert missing.value.response.status_code == 404


def test_counts_after_delete(client: DICOMwebClient) -> None:
    """A study's counts and modalities follow what was deleted."""
    stored = two_series()
    client.store_instances(list(map(dataset, stored)))
    client.delete_series(stored[2].study, stored[2].series)

    (found,) = client.search_for_studies(search_filters={"StudyInstanceUID": stored[0].study})

    counts = (value(found, "00201206"), value(found, "00201208"), values(found, "00080061"))
    assert counts == (1, 2, ["CT"])
