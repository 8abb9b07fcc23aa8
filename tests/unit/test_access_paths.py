"""Which keys a study has, and which of them answer a query, in which order."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core import access_paths, query
from dicom_core.access_paths import Path
from dicom_core.query import Query
from dicom_core.resources import Level, Resource
from dicom_core.web import search_parameters


def study(uid: str = "1.2", **values: Any) -> dict[str, Any]:
    """The answer of a study with some values by keyword; names as text of their component groups."""
    tags = {
        "StudyDate": ("00080020", "DA"),
        "AccessionNumber": ("00080050", "SH"),
        "ModalitiesInStudy": ("00080061", "CS"),
        "StudyDescription": ("00081030", "LO"),
        "PatientName": ("00100010", "PN"),
        "PatientID": ("00100020", "LO"),
        "PatientBirthDate": ("00100030", "DA"),
    }
    answer: dict[str, Any] = {"0020000D": {"vr": "UI", "Value": [uid]}}
    for keyword, value in values.items():
        tag, vr = tags[keyword]
        listed = value if isinstance(value, list) else [value]
        if vr == "PN":
            groups = ("Alphabetic", "Ideographic", "Phonetic")
            listed = [dict(zip(groups, text.split("="), strict=False)) for text in listed]
        answer[tag] = {"vr": vr, "Value": listed}
    return answer


def asked(**parameters: str) -> Query:
    """A search for studies."""
    pairs = tuple(parameters.items())
    return search_parameters.parse(pairs, Level.STUDY, Resource()).query


def test_keys_of_a_study() -> None:
    """A study has a key for its date and for each value that can be looked for; names from each word on."""
    answer = study(
        StudyDate="20250131", PatientID="P/1", PatientName="Doe^Jane=山田", ModalitiesInStudy=["CT", "MR"]
    )

    keys = access_paths.keys(answer)

    assert {keyword: [key for key in listed if key[0] != "*"] for keyword, listed in keys.items()} == {
        "StudyDate": ["79749868|1.2"],
        "PatientID": ["p%2f1|79749868|1.2"],
        "PatientName": ["doe^jane|79749868|1.2", "jane|79749868|1.2", "山田|79749868|1.2"],
        "ModalitiesInStudy": ["ct|79749868|1.2", "mr|79749868|1.2"],
    }


def test_keys_for_what_stands_anywhere() -> None:
    """A value has a key from each character on, but for a single last letter; one last ideograph has one."""
    keys = access_paths.keys(study(PatientID="P*12", PatientName="Do^Jo=山田"))

    assert keys["PatientID"] == [f"{text}|99999999|1.2" for text in ("*%2a12", "*12", "*p%2a12", "p%2a12")]
    anywhere = [key.partition("|")[0] for key in keys["PatientName"] if key.startswith("*")]
    assert anywhere == ["*do^jo", "*jo", "*o^jo", "*山田", "*田"]


def test_keys_of_an_overlong_value_are_bounded() -> None:
    """A value that no standard allows does not make rows without end."""
    keys = access_paths.keys(study(PatientID="ab" * 5000))

    assert len(keys["PatientID"]) <= 129


def test_keys_order_newest_first() -> None:
    """Studies without a date come last."""
    studies = [study("1", StudyDate="20200101"), study("2"), study("3", StudyDate="20250101")]

    assert sorted(studies, key=lambda one: access_paths.keys(one)["StudyDate"]) == [
        studies[2],
        studies[0],
        studies[1],
    ]


@pytest.mark.parametrize(
    ("parameters", "keyword"),
    [
        ({}, "StudyDate"),
        ({"StudyDate": "20250101-"}, "StudyDate"),
        ({"PatientID": "P1", "StudyDate": "20250101"}, "PatientID"),
        ({"PatientID": "P1", "AccessionNumber": "A1"}, "AccessionNumber"),
        ({"PatientID": "*12*"}, "PatientID*"),
        ({"PatientID": "*1*"}, "StudyDate"),
        ({"PatientName": "*山*"}, "PatientName*"),
        ({"PatientName": "D*smith*"}, "PatientName*"),
        ({"PatientName": "Smith*j*"}, "PatientName"),
        ({"PatientName": "*^*"}, "StudyDate"),
        ({"PatientName": "Doe*"}, "PatientName"),
        ({"PatientName": "jane", "fuzzymatching": "true"}, "PatientName"),
        ({"ModalitiesInStudy": "CT"}, "ModalitiesInStudy"),
        ({"ModalitiesInStudy": "CT", "StudyDate": "20250101-"}, "ModalitiesInStudy"),
        ({"ModalitiesInStudy": "CT", "PatientName": "*smith*"}, "PatientName*"),
        ({"PatientName": "*ma*", "StudyDate": "20250101"}, "StudyDate"),
        ({"PatientName": "*smith*", "StudyDate": "20200101-20251231"}, "PatientName*"),
        ({"ModalitiesInStudy": "CT,MR"}, "StudyDate"),
        ({"StudyDescription": "Head"}, "StudyDescription*"),
        ({"StudyDescription": "*ABDO*"}, "StudyDescription*"),
        ({"StudyInstanceUID": "1.2"}, "StudyDate"),
    ],
)
def test_path_that_narrows_most(parameters: dict[str, str], keyword: str) -> None:
    """The condition that narrows most is chosen, of those that a range of keys meets."""
    path = access_paths.choose(asked(**parameters))

    assert path.keyword + "*" * path.first.startswith("*") == keyword


ANSWERS = [
    study("1.1", StudyDate="20250131", PatientID="P1", PatientName="Doe^Jane", PatientBirthDate="19700101"),
    study(
        "1.2", StudyDate="20240229", PatientID="p1", PatientName="Doe-Smith^John^^Dr", AccessionNumber="A|1"
    ),
    study("1.3", PatientID="P10", PatientName="Müller^Jörg", ModalitiesInStudy=["CT", "PT"]),
    study(
        "1.4", StudyDate="19991231", PatientID="X" * 300, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう"
    ),
    study("1.5", StudyDate="20250131", PatientName="O'Neil^Anne", AccessionNumber="%#?/"),
    study("1.6", AccessionNumber="A=B", StudyDescription="Head", PatientID="12", StudyDate="20240229"),
    study("1.7", StudyDescription="^ Neck", PatientName="^Jane", PatientID="111"),
    study("1.8", StudyDescription="H", PatientName="Null^Ulla"),
]
VALUES = {
    "PatientID": ["P1", "P*", "p1?", "X" * 300, "X" * 120 + "*", "*1", "*xx*", "?1*"],
    "PatientName": [
        "doe^jane",
        "Doe*",
        "DOE^*",
        "mull*",
        "山田*",
        "やまだ^たろう",
        "=山田",
        "o'neil",
        "d?e*",
        "smith",
        "*ULL*",
        "*太*",
        "*^J*",
        "d*^jane",
        "*=*山*",
    ],
    "AccessionNumber": ["a|1", "%#?/", "%*", "*#*", "a=b", "*=b", "A*B*"],
    "StudyDescription": ["Head", "*EAD*", "H*", "^ neck", "*^ n*", "h"],
    "PatientBirthDate": [
        "19700101",
        "1960-1980".replace("1960-1980", "19600101-19801231"),
        "19700101-",
        "-19700101",
    ],
    "StudyDate": ["20250131", "20240101-20241231", "20240229-", "-20240229"],
    "ModalitiesInStudy": ["CT", "C*", "PT,MR"],
}


@given(
    chosen=st.dictionaries(st.sampled_from(sorted(VALUES)), st.integers(0, 19), max_size=3),
    fuzzy=st.booleans(),
)
def test_every_match_lies_on_the_path(chosen: dict[str, int], fuzzy: bool) -> None:
    """Whatever a query matches is met on the path that is chosen for it."""
    parameters = {keyword: VALUES[keyword][at % len(VALUES[keyword])] for keyword, at in chosen.items()}
    question = asked(**parameters, fuzzymatching=str(fuzzy).lower())
    path = access_paths.choose(question)

    for answer in ANSWERS:
        if query.matches(question, answer):
            assert path.position(answer) is not None


@pytest.mark.parametrize(
    ("parameters", "given", "expected"),
    [
        ({}, {}, ""),
        ({}, {"StudyDate": "20250131"}, "79749868"),
        ({"PatientName": "d*"}, {"StudyDate": "20250131", "PatientName": "Doe^Dan"}, "dan"),
        ({"PatientName": "d*"}, {"StudyDate": "20250131", "PatientName": "Smith^Jo"}, None),
        ({"PatientName": "d*"}, {"StudyDate": "20250131"}, "d"),
        ({"PatientName": "d*"}, {"PatientName": "Doe^Dan"}, "d"),
    ],
)
def test_bound_is_not_behind_where_a_study_may_be_met(
    parameters: dict[str, str], given: dict[str, str], expected: str | None
) -> None:
    """By what a transaction brings, whatever the date; from the first key on where it does not tell enough."""
    path = access_paths.choose(asked(**parameters))

    assert access_paths.bound(path, "1.2", {Level.STUDY: study(**given)}) == expected


def test_bound_by_modality() -> None:
    """ModalitiesInStudy is gathered from the series."""
    path = access_paths.choose(asked(ModalitiesInStudy="CT"))
    series = {"00080060": {"vr": "CS", "Value": ["CT"]}}

    bound = access_paths.bound(path, "1.2", {Level.STUDY: study(StudyDate="20250131"), Level.SERIES: series})

    assert bound == "ct"


def test_bound_of_a_study_that_may_come_to_match_by_anything() -> None:
    """It may be the first on the path."""
    assert access_paths.bound(access_paths.choose(asked(PatientID="P1")), "1.2", None) == "p1|"


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, True),
        ({"StudyDate": "20250101-20250131"}, True),
        ({"StudyDate": "20250101"}, True),
        ({"StudyDate": "20250101", "PatientSex": "F"}, False),
        ({"PatientID": "P1"}, False),
        ({"StudyDate": '""', "emptyvaluematching": "true"}, False),
    ],
)
def test_path_suffices(parameters: dict[str, str], expected: bool) -> None:
    """Only where each study on the path is a result may a search pass over it unread."""
    question = asked(**parameters)

    assert access_paths.suffices(question, access_paths.choose(question)) is expected


def test_position_is_the_first_key_on_the_path() -> None:
    """A study with several keys on a path is met at the smallest; one beside it is not met."""
    path = Path("ModalitiesInStudy", "ct", "pu")

    assert path.position(study(ModalitiesInStudy=["PT", "CT"])) == "ct|99999999|1.2"
    assert path.position(study(ModalitiesInStudy=["US"])) is None


@pytest.mark.parametrize(
    "pattern", ["a\ud7ff*", "\ud7ff*", "a\U0010ffff*", "\U0010ffff*", "*a\U0010ffff*", "\ue000*"]
)
def test_path_of_the_last_characters(pattern: str) -> None:
    """Behind a text that ends in the last character of all, or before the surrogates, there still is a text."""
    path = access_paths.choose(asked(PatientName=pattern))
    text = pattern.strip("*")

    assert path.first < path.last
    path.last.encode()
    assert path.position(study(PatientName=f"{text}x")) is not None
    assert path.position(study(PatientName="b")) is None


def test_keys_of_a_name_of_many_words_are_bounded() -> None:
    """Words far behind are not looked for, by keys or by comparison."""
    name = "a " * 5000 + "zz"
    question = asked(PatientName="zz", fuzzymatching="true")

    assert len(access_paths.keys(study(PatientName=name))["PatientName"]) < 300
    assert not query.matches(question, study(PatientName=name))
