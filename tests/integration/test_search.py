"""The Search transaction over HTTP (PS3.18 10.6), rule by rule, and as viewers ask."""

from __future__ import annotations

from dataclasses import dataclass

import pydicom
import pytest

from tests import dicomweb, instances
from tests.dicomweb import DICOM_JSON, Stored, get, made, search, value, values

STUDY, SERIES, INSTANCE, URL = "0020000D", "0020000E", "00080018", "00081190"


@dataclass(frozen=True, slots=True)
class Kept:
    """Three studies with a PatientID of their own; what sets them apart is in `studies`."""

    patient: str
    studies: tuple[Stored, Stored, Stored]
    report: Stored

    def numbers(self, found: list[dict[str, object]]) -> list[int]:
        """Which studies were found, by their number."""
        uids = [one.study for one in self.studies]
        return sorted(uids.index(value(item, STUDY)) for item in found)


def code(value: str, scheme: str) -> pydicom.Dataset:
    """An item of a code sequence."""
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, value
    return item


def request(step: str, procedure: str) -> pydicom.Dataset:
    """An item of Request Attributes Sequence."""
    item = pydicom.Dataset()
    item.ScheduledProcedureStepID, item.RequestedProcedureID = step, procedure
    return item


@pytest.fixture(scope="module")
def kept(service: str) -> Kept:
    """What the tests of this file only read."""
    patient = instances.uid()[-16:]
    first = made(
        PatientID=patient, PatientName="Müller^Jürgen=山田^太郎", SpecificCharacterSet="ISO_IR 192",
        StudyDate="20260115", StudyTime="101500", AccessionNumber="ACC-1", StudyDescription="Chest CT",
        StudyID="S1", SeriesNumber=3, InstanceNumber=7, PatientSex="F", PatientBirthDate="19700101",
        ReferringPhysicianName="House^Gregory", SeriesDescription="Axial", ManufacturerModelName="Model 1",
        PerformedProcedureStepStartDate="20260115", ProcedureCodeSequence=[code("C1", "S1")],
        RequestAttributesSequence=[request("STEP1", "R1"), request("STEP2", "R2")],
    )  # fmt: skip
    report = made(first.study, PatientID=patient, Modality="SR", PixelData=None, SeriesNumber=4)
    second = made(
        PatientID=patient, PatientName="Miller-Smith^Anna Maria", StudyDate="20260220", StudyTime="235959",
        AccessionNumber="ACC-2", StudyDescription="Head MR", Modality="MR",
        ProcedureCodeSequence=[code("C1A", "S1"), code("C2", "S2")],
    )  # fmt: skip
    third = made(PatientID=patient, PatientName="Doe^J*", StudyDate="", StudyTime="", Modality="SM")
    dicomweb.keep(service, report)
    dicomweb.keep(service, first, second, third)
    return Kept(patient, (first, second, third), report)


# Matching


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0, 1, 2]),
        ("PatientName=Müller^Jürgen", [0]),
        ("PatientName=muller^jurgen", [0]),
        ("PatientName=MÜLLER*", [0]),
        ("PatientName=M*l%3Fer*", [0, 1]),
        ("PatientName=*", [0, 1, 2]),
        ("00100010=*anna*", [1]),
        ("PatientName=山田^太郎", [0]),
        ("PatientName=", [0, 1, 2]),
        ("PatientName=anna&fuzzymatching=true", [1]),
        ("PatientName=mar mil&fuzzymatching=true", [1]),
        ("PatientName=anna&fuzzymatching=false", []),
        ("PatientName=rgen&fuzzymatching=true", []),
        ("ReferringPhysicianName=greg&fuzzymatching=true", [0]),
        ("StudyDate=20260115", [0]),
        ("StudyDate=20260101-20260131", [0]),
        ("StudyDate=20260115-20260220", [0, 1]),
        ("StudyDate=20260116-", [1]),
        ("StudyDate=-20260219", [0]),
        ("StudyTime=101500", [0]),
        ("StudyTime=10-11", [0]),
        ("StudyTime=2359-", [1]),
        ("AccessionNumber=ACC-1", [0]),
        ("AccessionNumber=ACC-%3F", [0, 1]),
        ("00080050=*2", [1]),
        ("StudyDescription=*ct*", [0]),
        ("StudyID=S1", [0]),
        ("PatientSex=F", [0]),
        ("PatientBirthDate=19700101", [0]),
        ("ModalitiesInStudy=SR", [0]),
        ("ModalitiesInStudy=CT", [0]),
        ("ModalitiesInStudy=SR,MR", [0, 1]),
        ("ModalitiesInStudy=SR%5CMR", [0, 1]),
        ("ModalitiesInStudy=US", []),
        ("NoSuchAttribute=1", [0, 1, 2]),
        ("PatientSex=F&AccessionNumber=ACC-2", []),
        ("PatientName=山&fuzzymatching=true", [0]),
        ("PatientName=smith&fuzzymatching=true", [1]),
        ("StudyDate=20260115-20260220&StudyTime=2300-1000", []),
        ("StudyDate=20260115-20260220&StudyTime=10-2359", [0, 1]),
        ("StudyDate=20260114-20260220&StudyTime=2300-1000", [0]),
        ("StudyDate=20260115-&StudyTime=11-", [1]),
        ("ProcedureCodeSequence.CodeValue=C1", [0]),
        ("00081032.00080100=C*&00081032.CodingSchemeDesignator=S2", [1]),
        ("ProcedureCodeSequence.CodeValue=C1&ProcedureCodeSequence.CodingSchemeDesignator=S2", []),
        ("AccessionNumber=%22%22&emptyvaluematching=true", [2]),
        ("StudyDate=%22%22&emptyvaluematching=true", [2]),
        ("AccessionNumber=%22%22", []),
        ("AccessionNumber=&emptyvaluematching=true", [0, 1, 2]),
        ("ModalitiesInStudy=SR%5CCT&multiplevaluematching=true", [0]),
        ("ModalitiesInStudy=SR%5CMR&multiplevaluematching=true", []),
        ("ModalitiesInStudy=SR,MR&multiplevaluematching=true", [0, 1]),
    ],
)
@pytest.mark.parametrize("version", [1, 2])
def test_match(service: str, kept: Kept, query: str, found: list[int], version: int) -> None:
    """Each kind of matching, by keyword and by tag (PS3.4 C.2.2.2)."""
    base = service.replace("/v2", f"/v{version}")

    assert kept.numbers(search(base, f"studies?PatientID={kept.patient}&{query}")) == found


@pytest.mark.parametrize(
    "separator", [",", "%5C", "\\", "&StudyInstanceUID="], ids=["comma", "%5C", "backslash", "repeated"]
)
def test_list_of_uids(service: str, kept: Kept, separator: str) -> None:
    """A list of UIDs finds each of them (PS3.4 C.2.2.2.2)."""
    uids = separator.join(one.study for one in kept.studies[:2])

    assert kept.numbers(search(service, f"studies?StudyInstanceUID={uids}")) == [0, 1]


@pytest.mark.parametrize(
    ("path", "query", "count"),
    [
        ("series", "PatientID={patient}", 4),
        ("series", "Modality=SR&StudyInstanceUID={study}", 1),
        ("series", "SeriesInstanceUID={series}", 1),
        ("series", "SeriesNumber=3&PatientID={patient}", 1),
        ("series", "SeriesDescription=xial&PatientID={patient}", 0),
        ("series", "SeriesDescription=AX*&PatientID={patient}", 1),
        ("series", "ManufacturerModelName=Model%201&PatientID={patient}", 1),
        ("series", "PerformedProcedureStepStartDate=2026010*&PatientID={patient}", None),
        ("series", "PerformedProcedureStepStartDate=20260101-&PatientID={patient}", 1),
        ("series", "00400275.00400009=STEP2&PatientID={patient}", 1),
        (
            "studies/{study}/series",
            "RequestAttributesSequence.ScheduledProcedureStepID=STEP2&RequestAttributesSequence.00401001=R2",
            1,
        ),
        (
            "studies/{study}/series",
            "RequestAttributesSequence.ScheduledProcedureStepID=STEP2&RequestAttributesSequence.00401001=R1",
            0,
        ),
        ("series", "PerformedProcedureStepStartDate=%22%22&emptyvaluematching=true&PatientID={patient}", 3),
        ("instances", "RequestAttributesSequence.RequestedProcedureID=R1&PatientID={patient}", 1),
        ("instances", "PatientID={patient}", 4),
        ("instances", "SOPInstanceUID={instance}", 1),
        ("instances", "InstanceNumber=7&PatientID={patient}", 1),
        ("instances", "InstanceNumber=007&PatientID={patient}", 1),
        ("instances", "SOPClassUID=1.2.840.10008.5.1.4.1.1.2&PatientID={patient}", 4),
        ("studies/{study}/series", "", 2),
        ("studies/{study}/series", "Modality=CT", 1),
        ("studies/{study}/instances", "", 2),
        ("studies/{study}/instances", "Modality=SR", 1),
        ("studies/{study}/instances", "SeriesInstanceUID={series}", 1),
        ("studies/{study}/series/{series}/instances", "", 1),
        ("studies/{study}/series/{series}/instances", "InstanceNumber=8", 0),
        ("studies/{study}/series/1.2.3/instances", "", 0),
        ("studies/1.2.3/series", "", 0),
    ],
)
def test_match_below_studies(service: str, kept: Kept, path: str, query: str, count: int | None) -> None:
    """The other five resources; by attributes of their own level and of those above."""
    first = kept.studies[0]
    names = {
        "patient": kept.patient,
        "study": first.study,
        "series": first.series,
        "instance": first.instance,
    }

    answer = get(f"{service}/{path.format(**names)}?{query.format(**names)}", DICOM_JSON)

    if count is None:
        assert answer.status_code == 400
    else:
        assert (answer.status_code, len(answer.json()) if count else 0) == (200 if count else 204, count)


# What is returned


def test_study(service: str, kept: Kept) -> None:
    """The attributes that are returned of a study by default, computed ones included (PS3.18 Table 10.6.3-3)."""
    (found,) = search(service, f"studies?StudyInstanceUID={kept.studies[0].study}")

    assert list(found) == sorted(found)
    expected: dict[str, list[object]] = {
        "00080005": ["ISO_IR 192"], "00080020": ["20260115"], "00080030": ["101500"], "00080050": ["ACC-1"],
        "00080056": ["ONLINE"], "00080061": ["CT", "SR"], "00081030": ["Chest CT"],
        "00080090": [{"Alphabetic": "House^Gregory"}],
        "00100010": [{"Alphabetic": "Müller^Jürgen", "Ideographic": "山田^太郎"}],
        "00100020": [kept.patient], "00100030": ["19700101"], "00100040": ["F"],
        STUDY: [kept.studies[0].study], "00200010": ["S1"], "00201206": [2], "00201208": [2],
        URL: [f"{service}/studies/{kept.studies[0].study}"],
    }  # fmt: skip
    assert {tag: sorted(map(str, values(found, tag))) for tag in expected} == {
        tag: sorted(map(str, wanted)) for tag, wanted in expected.items()
    }


def test_series(service: str, kept: Kept) -> None:
    """A series of all studies has its study's attributes too; below a study it has its own."""
    first = kept.studies[0]
    (everywhere,) = search(service, f"series?SeriesInstanceUID={first.series}")
    below = search(service, f"studies/{first.study}/series?SeriesInstanceUID={first.series}")

    url = f"{service}/studies/{first.study}/series/{first.series}"
    for found in (everywhere, below[0]):
        assert [value(found, tag) for tag in (STUDY, SERIES, URL)] == [first.study, first.series, url]
        assert [value(found, tag) for tag in ("00080060", "00200011", "00201209")] == ["CT", 3, 1]
        assert value(found, "0008103E") == "Axial"
    assert value(everywhere, "00100020") == kept.patient


def test_instance(service: str, kept: Kept) -> None:
    """An instance of all studies has the attributes of its study and series too."""
    first = kept.studies[0]
    (found,) = search(service, f"instances?SOPInstanceUID={first.instance}")
    (below,) = search(service, f"studies/{first.study}/series/{first.series}/instances")

    for item in (found, below):
        assert [value(item, tag) for tag in (STUDY, SERIES, INSTANCE)] == [
            first.study, first.series, first.instance,
        ]  # fmt: skip
        assert value(item, URL) == f"{service}/{first.path}"
        assert [value(item, tag) for tag in ("00200013", "00280010", "00280011", "00280100")] == [7, 4, 4, 16]
        assert value(item, "00080016") == "1.2.840.10008.5.1.4.1.1.2"
    assert [value(found, tag) for tag in ("00100020", "00080060")] == [kept.patient, "CT"]


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ("includefield=PhotometricInterpretation", {"00280004"}),
        ("includefield=00280004", {"00280004"}),
        ("includefield=00280004,BitsStored", {"00280004", "00280101"}),
        ("includefield=00280004%2C00280101", {"00280004", "00280101"}),
        ("includefield=00280004&includefield=HighBit", {"00280004", "00280102"}),
        ("includefield=00091001", {"00091001"}),
        ("includefield=all", {"00280004"}),
        ("includefield=all&includefield=BitsStored", {"00280004", "00280101"}),
        ("includefield=NoSuchField", set()),
    ],
)
def test_includefield(service: str, fields: str, tags: set[str]) -> None:
    """Fields that are asked for are added, private ones and such that are not searchable too (PS3.18 8.3.4.3)."""
    one = made()
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(one.content))
    dataset.private_block(0x0009, "TEST", create=True).add_new(0x01, "LO", "private")
    written = pydicom.filebase.DicomBytesIO()
    dataset.save_as(written)
    dicomweb.keep(service, Stored(one.study, one.series, one.instance, written.getvalue()))

    (plain,) = search(service, f"studies/{one.study}/instances")
    (found,) = search(service, f"studies/{one.study}/instances?{fields}")

    assert not tags & plain.keys()
    assert plain.keys() | tags <= found.keys()
    if "all" not in fields:
        assert found.keys() == plain.keys() | tags


@pytest.mark.parametrize(
    "query",
    [
        "includefield=ProcedureCodeSequence.CodeValue",
        "includefield=00081032.00080102",
        "ProcedureCodeSequence.CodeValue=C2",
        "ProcedureCodeSequence.CodeValue=",
    ],
)
def test_sequence_is_returned_whole(service: str, kept: Kept, query: str) -> None:
    """An attribute of a sequence, asked for or matched, returns all items of the sequence."""
    (found,) = search(service, f"studies?{query}&StudyInstanceUID={kept.studies[1].study}")

    assert [value(item, "00080100") for item in values(found, "00081032")] == ["C1A", "C2"]


def test_counts_and_modalities(service: str) -> None:
    """Counts and modalities are of all instances, each series counted once."""
    study, series = instances.uid(), instances.uid()
    dicomweb.keep(service, made(study, series), made(study, series), made(study, Modality="PT"))

    (found,) = search(service, f"studies?StudyInstanceUID={study}")
    below = search(service, f"studies/{study}/series")

    assert [value(found, tag) for tag in ("00201206", "00201208")] == [2, 3]
    assert values(found, "00080061") == ["CT", "PT"]
    assert sorted(value(item, "00201209") for item in below) == [1, 2]


# Pages, warnings, empty answers


def test_pages(service: str) -> None:
    """Pages have each match once, in an order that stays; the last but one says that there is more."""
    patient = instances.uid()[-16:]
    dicomweb.keep(service, *(made(PatientID=patient, StudyDate=f"202601{day:02}") for day in range(1, 8)))
    url = f"{service}/studies?PatientID={patient}"
    whole = [value(item, STUDY) for item in search(service, f"studies?PatientID={patient}")]

    pages = [get(f"{url}&limit=3&offset={offset}") for offset in (0, 3, 6, 7, 1000)]

    assert [page.status_code for page in pages] == [200, 200, 200, 204, 204]
    assert [value(item, STUDY) for page in pages[:3] for item in page.json()] == whole
    assert ["more results" in page.headers.get("Warning", "") for page in pages] == [True, True] + [False] * 3
    assert "Warning" not in get(f"{url}&limit=7").headers


def test_newest_first(service: str) -> None:
    """Studies come by date, the newest first."""
    patient, days = instances.uid()[-16:], (3, 9, 1, 7)
    dicomweb.keep(service, *(made(PatientID=patient, StudyDate=f"202601{day:02}") for day in days))

    found = search(service, f"studies?PatientID={patient}")

    assert [value(item, "00080020") for item in found] == [f"202601{day:02}" for day in (9, 7, 3, 1)]


def test_no_match(service: str) -> None:
    """204 without a body (as the managed service has it)."""
    answer = get(f"{service}/studies?StudyInstanceUID={instances.uid()}")

    assert (answer.status_code, answer.content) == (204, b"")
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        ("NoSuchAttribute=1", "NoSuchAttribute is no parameter or attribute that is known; it is ignored"),
        ("PixelData=1", "PixelData is no attribute that can be searched by; it is ignored"),
        ("Modality=CT", "Modality is no attribute by which studies can be searched; it is ignored"),
        ("includefield=Nonsense", "includefield Nonsense is no attribute that is known; it is ignored"),
        ("limit=5000", "limit is more than the service returns at once; it returns 1000"),
        (
            "ProcedureCodeSequence=1",
            "ProcedureCodeSequence is a sequence, which is searched by its attributes; it is ignored",
        ),
    ],
)
def test_warning(service: str, kept: Kept, query: str, warning: str) -> None:
    """What is not understood is passed over, and named by a warning (PS3.18 8.3.4.1)."""
    answer = get(f"{service}/studies?PatientID={kept.patient}&{query}")

    assert (answer.status_code, len(answer.json())) == (200, 3)
    assert answer.headers["Warning"] == f'299 dicom-functions "{warning}"'


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, DICOM_JSON),
        ("*/*", DICOM_JSON),
        (DICOM_JSON, DICOM_JSON),
        ("application/json", "application/json"),
        ("application/dicom+json, application/json", DICOM_JSON),
        ("application/dicom+json, multipart/related; type=application/octet-stream", DICOM_JSON),
        ("image/jxl,image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8", DICOM_JSON),
    ],
)
def test_accept(service: str, kept: Kept, accept: str | None, content_type: str) -> None:
    """An answer is DICOM JSON for everybody who can read that (PS3.18 8.7.8)."""
    answer = get(f"{service}/studies?PatientID={kept.patient}", accept)

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, content_type)


# Requests as clients send them


OHIF = "limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"{OHIF}&00100020=*{{patient}}*", [0, 1, 2]),
        (
            "PatientName=*ller*&00100020=*{patient}*&AccessionNumber=*CC-1*&StudyDescription=*Chest*"
            f"&ModalitiesInStudy=CT%2CMR&{OHIF}&StudyDate=20260101-20261231",
            [0],
        ),
        (f"{OHIF}&StudyInstanceUID={{study}}", [0]),
        (f"00100020={{patient}}&{OHIF}", [0, 1, 2]),
    ],
    ids=["list", "all filters", "one study", "prior studies"],
)
def test_ohif_studies(service: str, kept: Kept, query: str, found: list[int]) -> None:
    """OHIF's study list, its filters all at once, a study, and the patient's other studies."""
    study = kept.studies[0].study

    answer = get(f"{service}/studies?{query.format(patient=kept.patient, study=study)}", DICOM_JSON)

    assert (answer.status_code, kept.numbers(answer.json())) == (200, found)
    assert "Warning" not in answer.headers


def test_ohif_third_page(service: str, kept: Kept) -> None:
    """OHIF pages by 100 and asks for one more."""
    query = (
        f"limit=101&offset=200&fuzzymatching=true&includefield=00081030%2C00080060&00100020={kept.patient}"
    )

    assert get(f"{service}/studies?{query}").status_code == 204


def test_ohif_series(service: str, kept: Kept) -> None:
    """OHIF reads these attributes of each series."""
    fields = "00080021%2C00080031%2C0008103E%2C00200011"
    first = kept.studies[0]

    found = {
        value(item, SERIES): item
        for item in search(service, f"studies/{first.study}/series?includefield={fields}")
    }

    read = [value(found[first.series], tag) for tag in ("00080060", "00200011", "00201209", "0008103E")]
    assert read == ["CT", 3, 1, "Axial"]
    assert value(found[kept.report.series], "00080060") == "SR"


def test_slim(service: str, kept: Kept) -> None:
    """Slim looks for slides by modality, for series of all studies, and for instances by their series."""
    study = kept.studies[0].study

    slides = search(service, f"studies?ModalitiesInStudy=SM&PatientID={kept.patient}")
    reports = search(service, f"studies/{study}/instances?Modality=SR")

    assert kept.numbers(slides) == [2]
    assert [value(item, INSTANCE) for item in reports] == [kept.report.instance]
    assert len(search(service, f"series?Modality=SM&StudyInstanceUID={kept.studies[2].study}")) == 1
    assert search(service, f"studies/{study}/series?Modality=SEG") == []


def test_weasis(service: str, kept: Kept) -> None:
    """Weasis follows the RetrieveURL (0008,1190) of studies, series and instances."""
    first = kept.studies[0]
    tags = ["00080020", "00080030", "00080050", "00080061", "00080090", "00081030", "00100010", "00100020",
            "00100021", "00100030", "00100040", "0020000D", "00200010"]  # fmt: skip
    path = f"studies/{first.study}/series"

    (study,) = search(service, f"studies?{STUDY}={first.study}&includefield={','.join(tags)}")
    (series,) = search(
        service,
        f"{path}?{SERIES}={first.series}&includefield=0008103E,00080060,0020000E,00200011,00081190,00201209",
    )
    (instance,) = search(
        service, f"{path}/{first.series}/instances?includefield=00080016,00080018,00200013,00081190"
    )

    assert set(tags) - study.keys() == {"00100021"}
    assert value(series, "00201209") == 1
    for item in (study, series, instance):
        assert (
            get(value(item, URL), 'multipart/related;type="application/dicom";transfer-syntax=*').status_code
            == 200
        )


def test_monai(service: str, kept: Kept) -> None:
    """MONAI Label looks for series of all studies, and expects their study and URL."""
    (found,) = search(service, f"series?SeriesInstanceUID={kept.report.series}")

    assert value(found, STUDY) == kept.report.study
    assert value(found, URL).endswith(f"/studies/{kept.report.study}/series/{kept.report.series}")


def test_slicer(service: str, kept: Kept) -> None:
    """3D Slicer asks for page after page until one is empty."""
    pages: list[dict[str, object]] = []
    while page := search(service, f"studies?PatientID={kept.patient}&limit=1&offset={len(pages)}"):
        pages.extend(page)

    assert kept.numbers(pages) == [0, 1, 2]


@pytest.mark.parametrize(
    "accept", ["application/dicom+xml", 'multipart/related; type="application/dicom+xml"']
)
def test_results_as_xml(service: str, accept: str) -> None:
    """A part for each result (PS3.18 10.6.3.3)."""
    one = dicomweb.made()
    dicomweb.keep(service, one)

    answer = dicomweb.get(f"{service}/studies?StudyInstanceUID={one.study}", accept)

    ((header, document),) = dicomweb.parts_of(answer)
    assert "Content-Type: application/dicom+xml" in header
    assert f'keyword="StudyInstanceUID"><Value number="1">{one.study}</Value>'.encode() in document
