"""The table of attributes, looking one up, and picking them out of a data set."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import datadict

from dicom_core import attributes
from dicom_core.attributes import TABLE, Attribute
from dicom_core.resources import Level


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.level.name}-{row.keyword}")
def test_table_row_agrees_with_the_dictionary(row: Attribute) -> None:
    """Tag, keyword and VR of each row are those of PS3.6."""
    number = int(row.tag, 16)

    assert (datadict.dictionary_keyword(number), datadict.dictionary_VR(number)) == (row.keyword, row.vr)


@pytest.mark.parametrize("level", Level)
def test_table_is_ordered_by_tag(level: Level) -> None:
    """The tags of a level ascend, each once: answers are built in this order."""
    assert list(attributes.TAGS[level]) == sorted(set(attributes.TAGS[level]))


REQUIRED_KEYS = {
    Level.STUDY: "StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName PatientName PatientID"
    " StudyInstanceUID StudyID PatientBirthDate StudyDescription",
    Level.SERIES: "Modality SeriesInstanceUID SeriesNumber PerformedProcedureStepStartDate"
    " PerformedProcedureStepStartTime ManufacturerModelName",
    Level.INSTANCE: "SOPClassUID SOPInstanceUID InstanceNumber",
}
REQUIRED_RETURNS = {
    Level.STUDY: "SpecificCharacterSet StudyDate StudyTime AccessionNumber InstanceAvailability ModalitiesInStudy"
    " ReferringPhysicianName TimezoneOffsetFromUTC RetrieveURL PatientName PatientID PatientBirthDate PatientSex"
    " StudyInstanceUID StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances StudyDescription",
    Level.SERIES: "SpecificCharacterSet Modality TimezoneOffsetFromUTC SeriesDescription RetrieveURL"
    " SeriesInstanceUID SeriesNumber NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate"
    " PerformedProcedureStepStartTime RequestAttributesSequence ManufacturerModelName",
    Level.INSTANCE: "SpecificCharacterSet SOPClassUID SOPInstanceUID InstanceAvailability TimezoneOffsetFromUTC"
    " RetrieveURL InstanceNumber Rows Columns BitsAllocated NumberOfFrames",
}


@pytest.mark.parametrize("level", Level)
def test_table_has_the_required_match_keys(level: Level) -> None:
    """What PS3.18 Table 10.6.1-5 and version 2 of the Azure service match by can be searched by."""
    searchable = {row.keyword for row in TABLE if row.level is level and row.searchable}

    assert searchable >= set(REQUIRED_KEYS[level].split())


@pytest.mark.parametrize("level", Level)
def test_table_returns_the_required_attributes(level: Level) -> None:
    """What PS3.18 Tables 10.6.3-3 to -5 and version 2 of the Azure service return is returned by default."""
    returned = {row.keyword for row in TABLE if row.level is level and row.returned}

    assert returned == set(REQUIRED_RETURNS[level].split())


def test_indexed_by_version_1_is_searchable() -> None:
    """What version 1 of the Azure service indexes can be searched by here."""
    assert {row.tag for row in TABLE if row.searchable} >= attributes.INDEXED_BY_VERSION_1


@pytest.mark.parametrize(
    ("name", "keyword", "level"),
    [
        ("PatientName", "PatientName", Level.STUDY),
        ("00100010", "PatientName", Level.STUDY),
        ("0020000d", "StudyInstanceUID", Level.STUDY),
        ("0020000E", "SeriesInstanceUID", Level.SERIES),
        ("SOPInstanceUID", "SOPInstanceUID", Level.INSTANCE),
        ("SpecificCharacterSet", "SpecificCharacterSet", Level.STUDY),
    ],
)
def test_find_known_attribute(name: str, keyword: str, level: Level) -> None:
    """An attribute is found by keyword or by tag in any case; one of several levels at the highest."""
    found = attributes.find(name)

    assert found is not None
    assert (found.keyword, found.level) == (keyword, level)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PixelSpacing", ("PixelSpacing", "00280030", "DS")),
        ("00280030", ("PixelSpacing", "00280030", "DS")),
        ("60003000", ("OverlayData", "60003000", "OB")),
        ("00091001", ("", "00091001", "UN")),
        ("0009100a", ("", "0009100A", "UN")),
    ],
    ids=["keyword", "tag", "repeating group", "private", "private in lower case"],
)
def test_find_attribute_outside_of_the_table(name: str, expected: tuple[str, str, str]) -> None:
    """Attributes of PS3.6 and private ones by tag are known, but are not searchable."""
    found = attributes.find(name)

    assert found is not None
    assert (found.keyword, found.tag, found.vr) == expected
    assert (found.level, found.searchable, found.returned) == (Level.INSTANCE, False, False)


@pytest.mark.parametrize(
    "name", ["", "patientname", "Patient", "12345678", "0010001", "001000100", "FFFEE000", "٠٠١٠٠٠١٠"]
)
def test_find_unknown_name(name: str) -> None:
    """Keywords are case-sensitive; what PS3.6 does not have, and delimiters of items, are not attributes."""
    assert attributes.find(name) is None


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ({"vr": "LO"}, True),
        ({"vr": "LO", "Value": []}, True),
        ({"vr": "LO", "Value": [None]}, True),
        ({"vr": "LO", "Value": [""]}, True),
        ({"vr": "PN", "Value": [{}]}, True),
        ({"vr": "PN", "Value": [{"Alphabetic": ""}]}, True),
        ({"vr": "LO", "Value": [None, "x"]}, False),
        ({"vr": "US", "Value": [0]}, False),
        ({"vr": "PN", "Value": [{"Alphabetic": "DOE"}]}, False),
        ({"vr": "SQ", "Value": [{"00080100": {"vr": "SH"}}]}, False),
    ],
)
def test_is_empty(element: dict[str, Any], expected: bool) -> None:
    """An element is empty if none of its values says anything; zero says something."""
    assert attributes.is_empty(element) is expected


DATASET = {
    "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
    "00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]},
    "00080020": {"vr": "DA"},
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00080061": {"vr": "CS", "Value": ["CT"]},
    "00100020": {"vr": "LO", "Value": ["P1"]},
    "00280010": {"vr": "US", "Value": [512]},
    "00280030": {"vr": "DS", "Value": [1, 1]},
}


def test_extract_by_level() -> None:
    """Attributes with a value are picked by level; those of several levels at each, computed ones at none."""
    picked = attributes.extract(DATASET)

    assert {level: set(dataset) for level, dataset in picked.items()} == {
        Level.STUDY: {"00080005", "00100020"},
        Level.SERIES: {"00080005", "00080060"},
        Level.INSTANCE: {"00080005", "00080016", "00280010"},
    }
    assert picked[Level.STUDY]["00100020"] is DATASET["00100020"]


def test_hint_has_what_studies_are_searched_by() -> None:
    """A hint has the searchable attributes of the study, and what lists over the study are gathered from."""
    assert {level: set(dataset) for level, dataset in attributes.hint(DATASET).items()} == {
        Level.STUDY: {"00100020"},
        Level.SERIES: {"00080060"},
        Level.INSTANCE: {"00080016"},
    }


def test_values_that_must_not_be_are_few() -> None:
    """Of an attribute that has one value by PS3.6, so many that can be looked for; more would cost rows without end."""
    description, ids = {"vr": "LO", "Value": ["x"] * 240}, {"vr": "LO", "Value": ["y"] * 240}

    found = attributes.extract({"00081030": description, "00101000": ids})[Level.STUDY]

    assert found["00081030"]["Value"] == ["x"] * attributes.MOST_VALUES
    assert found["00101000"] == ids
