"""The generated archive: the same each time, all of it valid, and as varied as a hospital's."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import date, datetime
from itertools import pairwise
from typing import Any

import orjson
import pytest

from benchmarks import people, studies
from benchmarks.studies import Study
from dicom_core import attributes, record
from dicom_core.record import Dataset
from dicom_core.representations import validation
from dicom_core.resources import Level, is_uid

COUNT = 2_000


@pytest.fixture(scope="module")
def archive() -> list[Study]:
    """The first studies."""
    return studies.generate(COUNT)


@pytest.fixture(scope="module")
def answers(archive: list[Study]) -> list[Dataset]:
    """What the studies answer."""
    return [record.study_answer(study.instances) for study in archive]


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """The values of an attribute."""
    attribute = attributes.find(keyword)
    assert attribute is not None
    return attributes.values_of(dataset, attribute.tag)


def test_generate_same_seed_same_studies(archive: list[Study]) -> None:
    """The first studies are equal in each run, however many are made."""
    assert studies.generate(100) == archive[:100]


def test_generate_other_seed_other_studies(archive: list[Study]) -> None:
    """Another seed makes other studies."""
    uids = {study.uid for study in studies.generate(100, seed=7)}

    assert uids.isdisjoint(study.uid for study in archive)


def test_generate_newest_are_of_the_last_day(archive: list[Study]) -> None:
    """Studies that are to be the newest differ from what they would be by their dates."""
    made = studies.generate(20, newest={3, 4})

    dates = [values(record.study_answer(study.instances), "StudyDate") for study in made]
    assert [number for number, (day,) in enumerate(dates) if day == f"{studies.LAST_DAY:%Y%m%d}"] == [3, 4]
    assert [study.uid for study in made] == [study.uid for study in archive[:20]]


def test_generate_values_are_valid(archive: list[Study]) -> None:
    """Every value has the form that its VR asks for (PS3.5 6.2)."""
    wrong = [
        (tag, validation.reason(element["vr"], text))
        for study in archive
        for row in study.instances
        for dataset in row.attributes.values()
        for tag, element in dataset.items()
        for value in element["Value"]
        for text in (value.values() if isinstance(value, dict) else [str(value)])
        if element["vr"] in validation.TABLE and validation.reason(element["vr"], text)
    ]

    assert wrong == []


def test_generate_uids_and_versions_are_unique(archive: list[Study]) -> None:
    """No two studies, series, instances or versions have the same name, and UIDs are UIDs (PS3.5 9.1)."""
    rows = [row for study in archive for row in study.instances]
    series = {(row.study, row.series) for row in rows}
    uids = [study.uid for study in archive] + [uid for _, uid in series] + [row.instance for row in rows]

    assert all(map(is_uid, uids))
    assert len(set(uids)) == len(uids)
    assert len({row.version for row in rows}) == len(rows)


def test_generate_attributes_are_those_of_the_header(archive: list[Study]) -> None:
    """The attributes of a row are what a Store picks out of its header."""
    for study in archive[:50]:
        for row in study.instances:
            header = orjson.loads(gzip.decompress(row.header))
            assert attributes.extract(header) == row.attributes
            assert list(header) == sorted(header)
            assert values(header, "StudyInstanceUID") == [study.uid]
            assert values(header, "SOPInstanceUID") == [row.instance]


def test_generate_sizes_of_studies(answers: list[Dataset]) -> None:
    """Studies have one to four series, and these one to three instances."""
    series = Counter(values(answer, "NumberOfStudyRelatedSeries")[0] for answer in answers)
    instances = Counter(values(answer, "NumberOfStudyRelatedInstances")[0] for answer in answers)

    assert set(series) == set(range(1, studies.MOST_SERIES + 1))
    assert set(instances) <= set(range(1, studies.MOST_SERIES * studies.MOST_INSTANCES + 1))


def test_generate_patients_come_back(answers: list[Dataset]) -> None:
    """There are about 0.4 patients for each study; most come once, a few very often; each keeps name and birth date."""
    visits = Counter(values(answer, "PatientID")[0] for answer in answers)
    told = {
        orjson.dumps(
            [values(answer, keyword) for keyword in ("PatientID", "PatientName", "PatientBirthDate")]
        )
        for answer in answers
    }

    assert 0.36 < len(visits) / COUNT < 0.44
    assert 0.4 < sum(count == 1 for count in visits.values()) / len(visits) < 0.7
    assert max(visits.values()) >= 20
    assert len(told) == len(visits)


def test_generate_names_are_in_three_scripts(answers: list[Dataset]) -> None:
    """Names are Latin, often with accents, Japanese in all component groups, or Cyrillic."""
    names = [name for answer in answers for name in values(answer, "PatientName")]
    japanese = [name for name in names if "Ideographic" in name]
    cyrillic = [name for name in names if "\u0400" < name["Alphabetic"][0] < "\u0500"]
    accented = [name for name in names if not name["Alphabetic"].isascii() and name not in cyrillic]

    assert 0.15 < len(japanese) / COUNT < 0.35
    assert 0.08 < len(cyrillic) / COUNT < 0.25
    assert len(accented) / COUNT > 0.2
    assert all(set(name) == {"Alphabetic", "Ideographic", "Phonetic"} for name in japanese)
    assert len({name["Alphabetic"] for name in names}) > 400


def test_generate_dates_cover_ten_years_of_working_days(answers: list[Dataset]) -> None:
    """Each of ten years has its share; a weekend day has less than a half of what a working day has."""
    days = [datetime.strptime(values(answer, "StudyDate")[0], "%Y%m%d").date() for answer in answers]
    years, weekdays = Counter(day.year for day in days), Counter(day.weekday() for day in days)

    assert set(years) == set(range(2017, 2027))
    assert min(years.values()) > COUNT / 20
    assert max(weekdays[5], weekdays[6]) < min(weekdays[day] for day in range(5)) / 2


def test_generate_first_studies_are_in_no_order_of_time(answers: list[Dataset]) -> None:
    """A small archive covers the years as a large one does."""
    dates = [values(answer, "StudyDate")[0] for answer in answers[:100]]
    later = sum(first < second for first, second in pairwise(dates))

    assert len({day[:4] for day in dates}) >= 8
    assert 30 < later < 70


def test_generate_modalities_have_plausible_shares(answers: list[Dataset]) -> None:
    """Radiographs are most frequent; CT, US and MR are frequent; there are a dozen more, and reports."""
    shares = Counter(modality for answer in answers for modality in values(answer, "ModalitiesInStudy"))

    assert len(shares) >= 12
    assert 0.2 < shares["DX"] / COUNT < 0.45
    assert all(0.05 < shares[modality] / COUNT < 0.3 for modality in ("CT", "US", "MR"))
    assert shares["SR"]


def test_generate_some_values_are_missing(answers: list[Dataset]) -> None:
    """A few studies lack what a search looks for, as real ones do; accession numbers are told once."""
    lacking = {
        keyword: sum(not values(answer, keyword) for answer in answers) / COUNT
        for keyword in ("AccessionNumber", "StudyDescription", "ReferringPhysicianName", "PatientBirthDate")
    }
    accessions = [number for answer in answers for number in values(answer, "AccessionNumber")]

    assert all(0 < share < 0.2 for share in lacking.values())
    assert len(set(accessions)) == len(accessions)


def test_generate_no_patient_is_examined_before_birth(answers: list[Dataset]) -> None:
    """Every birth date is before the first study."""
    births = [day for answer in answers for day in values(answer, "PatientBirthDate")]

    assert max(births) <= f"{people.LAST_BIRTH:%Y%m%d}"
    assert people.LAST_BIRTH < studies.FIRST_DAY == date(2017, 1, 1)


def test_hint_is_that_of_a_store(archive: list[Study]) -> None:
    """A study is journalled with what a Store would say of its first instance."""
    for study in archive[:20]:
        header = orjson.loads(gzip.decompress(study.instances[0].header))
        assert study.hint == attributes.hint(header)
        assert study.hint[Level.STUDY]
