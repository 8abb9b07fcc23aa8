"""Folding the rows of a study to what it answers."""

from __future__ import annotations

import gzip
import itertools
from dataclasses import replace
from typing import Any

import orjson
import pytest

from dicom_core import attributes, record
from dicom_core.access_paths import Path
from dicom_core.query import Match, Query
from dicom_core.record import Dataset, Instance
from dicom_core.resources import Level, Resource
from dicom_core.web import match_parameters

CT, SR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.11"


def row(
    number: int, *, series: str = "1.1", version: str = "", sop_class: str = CT, **values: Any
) -> Instance:
    """A row by number, with its attributes by keyword and its whole data set as header."""
    dataset: Dataset = {
        "00080060": {"vr": "CS", "Value": ["CT"]},
        "0020000D": {"vr": "UI", "Value": ["1"]},
        "0020000E": {"vr": "UI", "Value": [series]},
        "00080018": {"vr": "UI", "Value": [f"{series}.{number}"]},
        "00080016": {"vr": "UI", "Value": [sop_class]},
    }
    for keyword, value in values.items():
        found = attributes.find(keyword)
        assert found is not None
        dataset[found.tag] = {"vr": found.vr, "Value": [value]} if value is not None else {"vr": found.vr}
    return Instance(
        study="1",
        series=series,
        instance=f"{series}.{number}",
        version=version or f"{number:026}-0000",
        sop_class=sop_class,
        transfer_syntax="1.2.840.10008.1.2.1",
        length=1,
        digest="",
        partition="p",
        attributes=attributes.extract(dataset),
        header=gzip.compress(orjson.dumps(dataset)),
    )


def asked(level: Level, resource: Resource | None = None, *include: str, **texts: str) -> Query:
    """A query by keyword."""
    matches = []
    for keyword, text in texts.items():
        attribute = attributes.find(keyword)
        assert attribute is not None
        condition = match_parameters.condition_of(attribute, text)
        assert condition is not None
        matches.append(Match(attribute, condition))
    return Query(level, resource or Resource(), tuple(matches), frozenset(include))


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """The values of an attribute by keyword."""
    attribute = attributes.find(keyword)
    assert attribute is not None
    return attributes.values_of(dataset, attribute.tag)


def uids(datasets: list[Dataset], keyword: str) -> list[str]:
    """One UID of each data set."""
    return [values(dataset, keyword)[0] for dataset in datasets]


TWO_SERIES = [
    row(1, series="1.2", Modality="SR", sop_class=SR, PatientID="P1", SeriesDescription="Report"),
    row(2, series="1.1", PatientID="P1", InstanceNumber=2),
    row(1, series="1.1", PatientID="P1", InstanceNumber=1),
]


def test_study_answer_takes_the_latest_value() -> None:
    """Per attribute, the value of the latest version that has one; an empty one never wins."""
    rows = [
        row(1, PatientID="old", StudyID="only", StudyDate="20260101"),
        row(3, PatientID="new", StudyID=None),
        row(2, PatientID="middle", StudyDate="20260102"),
    ]

    answer = record.study_answer(rows)

    assert [values(answer, keyword) for keyword in ("PatientID", "StudyID", "StudyDate")] == [
        ["new"],
        ["only"],
        ["20260102"],
    ]


def test_study_answer_counts() -> None:
    """Counts, modalities, SOP classes and availability come from the rows."""
    answer = record.study_answer(TWO_SERIES)

    assert values(answer, "NumberOfStudyRelatedSeries") == [2]
    assert values(answer, "NumberOfStudyRelatedInstances") == [3]
    assert values(answer, "ModalitiesInStudy") == ["CT", "SR"]
    assert values(answer, "SOPClassesInStudy") == [CT, SR]
    assert values(answer, "InstanceAvailability") == ["ONLINE"]
    assert values(answer, "StudyInstanceUID") == ["1"]


def test_study_answer_without_modality() -> None:
    """A study none of whose instances has a modality lists none."""
    assert "00080061" not in record.study_answer([row(1, Modality=None)])


def test_study_answer_of_nothing() -> None:
    """A study without instances answers nothing: it does not exist."""
    assert record.study_answer([]) == {}
    assert record.matching([], asked(Level.STUDY)) == []


def test_study_answer_whatever_the_order_of_rows() -> None:
    """The answer follows from the versions, not from the order of reading."""
    rows = [*TWO_SERIES, row(9, series="1.3", PatientID="P9")]
    answers = {orjson.dumps(record.study_answer(order)) for order in itertools.permutations(rows)}

    assert len(answers) == 1


def test_matching_studies() -> None:
    """A study is one result, with its default attributes in ascending order."""
    (found,) = record.matching(TWO_SERIES, asked(Level.STUDY))

    assert list(found) == sorted(found)
    assert found.keys() <= set(attributes.RETURNED[Level.STUDY])
    assert values(found, "PatientID") == ["P1"]
    assert "00080062" not in found


def test_matching_series() -> None:
    """Series come by UID, each with the study's attributes, its own and its count."""
    first, second = record.matching(TWO_SERIES, asked(Level.SERIES))

    assert [values(dataset, "SeriesInstanceUID") for dataset in (first, second)] == [["1.1"], ["1.2"]]
    assert [values(dataset, "NumberOfSeriesRelatedInstances") for dataset in (first, second)] == [[2], [1]]
    assert [values(dataset, "Modality") for dataset in (first, second)] == [["CT"], ["SR"]]
    assert values(first, "NumberOfStudyRelatedInstances") == [3]
    assert values(second, "SeriesDescription") == ["Report"]
    assert list(first) == sorted(first)


def test_matching_series_of_a_study() -> None:
    """Below a study its attributes are left out, but for its UID (PS3.18 10.6.3.3)."""
    (first, _) = record.matching(TWO_SERIES, asked(Level.SERIES, Resource("1", partition="p")))

    assert values(first, "StudyInstanceUID") == ["1"]
    assert "00100020" not in first


def test_matching_instances() -> None:
    """Instances come by the UIDs of series and instance, with study, series and own attributes."""
    found = record.matching(TWO_SERIES, asked(Level.INSTANCE))

    assert uids(found, "SOPInstanceUID") == ["1.1.1", "1.1.2", "1.2.1"]
    assert [values(dataset, "InstanceNumber") for dataset in found] == [[1], [2], []]
    assert uids(found, "SOPClassUID") == [CT, CT, SR]
    assert all(values(dataset, "PatientID") == ["P1"] for dataset in found)
    assert all(values(dataset, "InstanceAvailability") == ["ONLINE"] for dataset in found)
    assert all(list(dataset) == sorted(dataset) for dataset in found)


def test_matching_instance_keeps_its_own_value() -> None:
    """Of an attribute that is at several levels, the nearest counts."""
    rows = [row(1, TimezoneOffsetFromUTC="+0100"), row(2, TimezoneOffsetFromUTC="+0200")]

    found = record.matching(rows, asked(Level.INSTANCE))

    assert [values(dataset, "TimezoneOffsetFromUTC") for dataset in found] == [["+0100"], ["+0200"]]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (asked(Level.INSTANCE, Modality="SR"), ["1.2.1"]),
        (asked(Level.INSTANCE, PatientID="p1", InstanceNumber="02"), ["1.1.2"]),
        (asked(Level.INSTANCE, PatientID="p2"), []),
        (asked(Level.INSTANCE, ModalitiesInStudy="SR,MR"), ["1.1.1", "1.1.2", "1.2.1"]),
        (asked(Level.INSTANCE, SOPClassUID=SR), ["1.2.1"]),
        (asked(Level.INSTANCE, Resource("1", "1.2")), ["1.2.1"]),
        (asked(Level.INSTANCE, Resource("1", "1.2"), SeriesInstanceUID="1.1"), []),
        (asked(Level.INSTANCE, Resource("2")), []),
        (asked(Level.INSTANCE, Resource("1"), StudyInstanceUID="2"), []),
    ],
)
def test_matching_instances_by_any_level(question: Query, expected: list[str]) -> None:
    """Instances are found by their own attributes, by those of series and study, and within the path."""
    assert uids(record.matching(TWO_SERIES, question), "SOPInstanceUID") == expected


def test_matching_series_by_the_study() -> None:
    """Series are found by attributes of the study, and of other series nothing is said."""
    found = record.matching(TWO_SERIES, asked(Level.SERIES, PatientID="P*", Modality="CT"))

    assert uids(found, "SeriesInstanceUID") == ["1.1"]


def test_matching_by_the_folded_value_only() -> None:
    """A value that a later version replaced finds nothing."""
    rows = [row(1, PatientID="A"), row(2, PatientID="B")]

    assert record.matching(rows, asked(Level.STUDY, PatientID="A")) == []
    assert len(record.matching(rows, asked(Level.STUDY, PatientID="B"))) == 1


def test_returned_includes_what_is_asked_for() -> None:
    """Included and matched attributes are returned, those of the table without a header."""
    question = asked(Level.STUDY, None, "00101030", PatientAge="030Y")
    rows = [replace(row(1, PatientWeight=70, PatientAge="030Y"), header=b"")]

    (found,) = record.matching(rows, question)

    assert not record.needs_header(question)
    assert (values(found, "PatientWeight"), values(found, "PatientAge")) == ([70], ["030Y"])


def test_returned_all() -> None:
    """With includefield=all the whole table is returned, and no header is needed."""
    question = Query(Level.SERIES, include_all=True)

    found = record.matching(TWO_SERIES, question)

    assert not record.needs_header(question)
    assert [values(dataset, "SOPClassesInStudy") for dataset in found] == [[CT, SR], [CT, SR]]


def test_returned_from_headers() -> None:
    """What is in no row comes from the latest version whose header has it."""
    rows = [
        row(1, ProtocolName="a", KVP=80, ExposureTime=5),
        row(2, KVP=100),
        row(3, ProtocolName="c"),
    ]
    question = asked(Level.SERIES, Resource("1"), "00180060", "00181150", "00091001")

    (found,) = record.matching(rows, question)

    assert record.needs_header(question)
    assert (values(found, "KVP"), values(found, "ExposureTime")) == ([100], [5])
    assert "00091001" not in found
    assert list(found) == sorted(found)


def test_returned_from_its_own_header() -> None:
    """An instance returns what its own header has."""
    rows = [row(1, KVP=80), row(2, KVP=100), row(3)]

    found = record.matching(rows, asked(Level.INSTANCE, None, "00180060"))

    assert [values(dataset, "KVP") for dataset in found] == [[80], [100], []]


def test_found_on_the_path_of_the_query() -> None:
    """A study is met where its first key lies on the path; one that does not match is not met."""
    rows = [row(1, StudyDate="20250101", PatientID="P1")]

    ((position, datasets),) = record.found(rows, asked(Level.STUDY), Path("StudyDate"))

    assert position == "79749898|1"
    assert uids(datasets, "StudyInstanceUID") == ["1"]
    assert record.found(rows, asked(Level.STUDY, PatientID="P2"), Path("StudyDate")) == []


def test_found_beside_the_path_comes_last() -> None:
    """A match that no key leads to is not lost, and its place is like no other's."""
    studies = [[replace(row(1), study=uid)] for uid in ("1", "2")]

    places = [record.found(rows, asked(Level.STUDY), Path("PatientID"))[0][0] for rows in studies]

    assert places == ["~|1", "~|2"]


@pytest.mark.parametrize(
    ("limit", "offset", "expected", "more"),
    [(2, 0, ["1", "2"], True), (2, 2, ["3"], False), (3, 0, ["1", "2", "3"], False), (2, 5, [], False)],
)
def test_page_is_cut(limit: int, offset: int, expected: list[str], more: bool) -> None:
    """A page holds what limit and offset ask for, and tells if more follows (PS3.18 8.3.4.4)."""
    datasets: list[Dataset] = [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in "123"]

    page = record.cut(datasets, Query(Level.STUDY, limit=limit, offset=offset))

    assert (uids(page.datasets, "StudyInstanceUID"), page.more) == (expected, more)


OF_SERIES = [
    asked(Level.SERIES, Resource("1")),
    asked(Level.SERIES, Resource("1"), Modality="SR"),
    asked(Level.SERIES, Resource("1"), SeriesInstanceUID="1.1"),
    asked(Level.SERIES, Resource("1"), SeriesDescription="*port"),
    asked(Level.SERIES, Resource("1"), "00080021", "00200011"),
    asked(Level.SERIES, Resource("1", "1.2")),
]


@pytest.mark.parametrize("question", OF_SERIES)
def test_series_answers_suffice(question: Query) -> None:
    """A query for the series of a study that asks of series alone is answered by what they say of themselves."""
    expected = record.matching(TWO_SERIES, question)

    assert record.is_in_series_answers(question)
    assert record.of_series(record.series_answers(TWO_SERIES), question) == expected
    assert expected


@pytest.mark.parametrize(
    "question",
    [
        asked(Level.SERIES),
        asked(Level.STUDY, Resource("1")),
        asked(Level.INSTANCE, Resource("1")),
        asked(Level.SERIES, Resource("1"), PatientID="P1"),
        asked(Level.SERIES, Resource("1"), StudyInstanceUID="1"),
        asked(Level.SERIES, Resource("1"), "00100010"),
        asked(Level.SERIES, Resource("1"), "00091001"),
        Query(Level.SERIES, Resource("1"), include_all=True),
    ],
)
def test_series_answers_do_not_suffice(question: Query) -> None:
    """Other studies, other levels, and what only the study or a header tells take more."""
    assert not record.is_in_series_answers(question)


def test_series_takes_nothing_of_other_series() -> None:
    """What a series could say itself, as the time zone of its times, is not taken from another one."""
    rows = [row(1, series="1.1", TimezoneOffsetFromUTC="+0100"), row(1, series="1.2")]

    found = record.matching(rows, asked(Level.SERIES))

    assert [values(dataset, "TimezoneOffsetFromUTC") for dataset in found] == [["+0100"], []]


@pytest.mark.parametrize(
    ("question", "series"),
    [
        (asked(Level.INSTANCE, Resource("1", "1.1")), "1.1"),
        (asked(Level.INSTANCE, Resource("1", "1.1"), StudyInstanceUID="1"), "1.1"),
        (asked(Level.INSTANCE, Resource("1", "1.1"), PatientID="P1"), None),
        (asked(Level.INSTANCE, Resource("1", "1.1"), "00201208"), None),
        (asked(Level.INSTANCE, Resource("1")), None),
        (asked(Level.STUDY), None),
    ],
)
def test_scope(question: Query, series: str | None) -> None:
    """The rows of a series suffice unless the answer tells of its study."""
    assert record.scope(question, "1") == Resource("1", series, partition=question.resource.partition)
