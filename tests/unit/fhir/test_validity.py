"""Whatever a data set holds, what it is mapped to is valid FHIR."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import datadict
from pydicom.sr._concepts_dict import concepts

from dicom_core.fhir import body_sites, elements, terminology
from dicom_core.fhir.dose import COMPONENTS
from dicom_core.fhir.mapping import Unmappable
from dicom_core.record import Dataset
from tests.unit.fhir import reports
from tests.unit.fhir.samples import data, mapped, row
from tests.unit.representations import samples
from tests.unit.representations.samples import FILES

SOURCES = Path(elements.__file__).parent
TAGS = sorted(
    {
        tag
        for name in ("dose", "content", "elements", "imaging_study", "patient", "study")
        for tag in re.findall(r'"([0-9A-F]{8})"', (SOURCES / f"{name}.py").read_text())
    }
)
"""Every tag that the mapping reads."""

BLANKS = st.text(st.sampled_from(" \t\n\r\0\x1b\x85\xa0\u2028\u3000^=\\&,|a"), max_size=8)
DIGITS = st.text(st.sampled_from("0123456789.:+-T"), max_size=20)
TEXT = st.one_of(st.text(max_size=12), BLANKS, DIGITS)
CODES = st.sampled_from(
    [
        *(
            "DCM",
            "SCT",
            "SRT",
            "UCUM",
            "M",
            "F",
            "L",
            "R",
            "CHEST",
            "20260131",
            "1015",
            "+0100",
            "ISO",
            "UUID",
        ),
        *(code for _, code in COMPONENTS),
        *("113701", "113500", "113819", "113706", "113502", "113764", "113769", "121012", "123014", "1.2.3"),
    ]
)
NAMES = st.dictionaries(
    st.sampled_from(["Alphabetic", "Ideographic", "Phonetic"]), TEXT | st.none(), max_size=3
)
PRIMITIVES = st.one_of(
    CODES, TEXT, NAMES, st.none(), st.booleans(), st.integers(-(2**40), 2**40), st.floats(allow_nan=False)
)


def dataset_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Dataset]:
    """Data sets of the tags that are read, with such values."""
    element = st.builds(lambda found: {"vr": "UN", "Value": found}, st.lists(values, max_size=3))
    return st.dictionaries(st.sampled_from(TAGS), element | st.just({"vr": "UN"}), max_size=12)


DATASETS = dataset_of(st.recursive(PRIMITIVES, lambda inner: PRIMITIVES | dataset_of(inner), max_leaves=30))


def named(scheme: str, code: str) -> Dataset:
    """The elements of a content item of this concept name."""
    return data(ConceptNameCodeSequence={"CodeValue": code, "CodingSchemeDesignator": scheme})


ITEMS = st.builds(
    lambda code, value, below: {**value, **named(*code), **({"0040A730": {"vr": "SQ", "Value": below}})},
    st.sampled_from(
        [
            *COMPONENTS,
            *(
                ("DCM", code)
                for code in ("113819", "113706", "113502", "113764", "113769", "121012", "121013")
            ),
            *(("DCM", code) for code in ("123014", "111526", "113809", "121058")),
        ]
    ),
    dataset_of(PRIMITIVES | dataset_of(PRIMITIVES | dataset_of(PRIMITIVES))),
    st.lists(st.deferred(lambda: ITEMS), max_size=2),
)


@settings(deadline=None)
@given(DATASETS, DATASETS)
def test_resources_of_any_data_sets_are_valid(one: Dataset, other: Dataset) -> None:
    """Values of any kind in any attribute are mapped to valid resources, and never raise."""
    patient = data(PatientID="P1")
    rows = [row({**one, **patient}, 0), row({**other, **patient}, 1, series="1.2.3.5")]
    assert len(mapped(rows).entries) >= 3


@settings(deadline=None)
@given(DATASETS)
def test_data_sets_without_patient_are_refused(dataset: Dataset) -> None:
    """Any data set is mapped, or refused for its Patient ID."""
    try:
        mapped([row(dataset)])
    except Unmappable as refused:
        assert str(refused) == "(0010,0020) PatientID is missing or empty"  # noqa: PT017 - either may happen


@settings(deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=3), DATASETS)
def test_observations_of_any_content_are_valid(items: list[Dataset], more: Dataset) -> None:
    """Content items of any kind make valid Observations, one summary for each report."""
    title = named("DCM", "113701")
    report = {**more, **data(PatientID="P1"), **title, "0040A730": {"vr": "SQ", "Value": items}}
    desired = mapped([row(report, sop_class=reports.XRAY_DOSE)])
    urls = [entry.full_url for entry in desired.observations]
    assert len(urls) == len(set(urls)) >= 1


@settings(deadline=None)
@given(st.lists(st.sampled_from([*FILES[::7]]), min_size=2, max_size=4, unique=True))
def test_files_of_one_study_are_mapped_together(paths: list[Path]) -> None:
    """Instances of any kind may stand in one study."""
    rows = [
        row(dataset, version, series=f"1.2.{version}")
        for version, path in enumerate(paths)
        for dataset in ({**samples.read(path.read_bytes()).header.dataset, **data(PatientID="P1")},)
    ]
    assert mapped(rows).imaging_study.resource["numberOfSeries"] == len(rows)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_file_is_mapped(path: Path) -> None:
    """Every file that pydicom ships becomes valid resources, or has no Patient ID."""
    found = reports.row_of(path.read_bytes())
    patient = samples.read(path.read_bytes()).header.dataset.get("00100020", {}).get("Value")
    if patient:
        desired = mapped([found])
        (series,) = desired.imaging_study.resource["series"]
        assert series["uid"] == found.series
        assert series["instance"][0]["uid"] == found.instance
    else:
        with pytest.raises(Unmappable):
            mapped([found])


SNOMED = {value: keyword for keyword, of_keyword in concepts["SCT"].items() for value in of_keyword}


def test_body_sites_are_concepts_of_the_standard() -> None:
    """Codes of body parts are those of PS3.16; what its context group 4031 names has the code that it has there."""
    meanings = {
        meaning.lower(): value
        for of_keyword in concepts["SCT"].values()
        for value, (meaning, groups) in of_keyword.items()
        if 4031 in groups
    }
    for value, meaning in body_sites.BY_BODY_PART.values():
        assert value in SNOMED
        assert meanings.get(meaning.lower(), value) == value


def test_codes_of_snomed_rt_are_translated_once() -> None:
    """No retired code stands for two concepts."""
    assert len(body_sites.FROM_SNOMED_RT) == sum(row[2] != "-" for row in body_sites._TABLE)
    assert all(value in SNOMED for value, _ in terminology._CONCEPTS.values())


def test_components_are_concepts_of_the_standard() -> None:
    """Codes of components, and their meanings in the DICOM ontology, are those of PS3.16 Annex D."""
    known = {
        value: meaning
        for of_keyword in concepts["DCM"].values()
        for value, (meaning, _) in of_keyword.items()
    }
    for (scheme, value), meaning in COMPONENTS.items():
        assert known[value].startswith(meaning) if scheme == "DCM" else value in SNOMED


def test_tags_that_are_read_are_in_the_dictionary() -> None:
    """Every tag that the mapping reads is an attribute of PS3.6."""
    assert len(TAGS) >= 70
    assert all(datadict.dictionary_has_tag(int(tag, 16)) for tag in TAGS)
