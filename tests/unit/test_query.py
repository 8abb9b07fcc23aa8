"""The matching kinds of PS3.4 C.2.2.2 per value representation, candidates, and what a query returns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dicom_core import attributes, query, record
from dicom_core.attributes import Attribute
from dicom_core.query import AnyOf, FuzzyName, Match, Query, Range, SingleValue, UIDList, WildCard
from dicom_core.record import Instance
from dicom_core.resources import Level, Resource
from dicom_core.values import normal as normal_form
from dicom_core.web import match_parameters
from dicom_core.web.match_parameters import Matching


def attribute(keyword: str) -> Attribute:
    """An attribute that is known."""
    found = attributes.find(keyword)
    assert found is not None
    return found


def matches(keyword: str, text: str, *values: Any, fuzzy: bool = False) -> bool:
    """Match the values of an attribute with the value of a match parameter."""
    condition = match_parameters.condition_of(attribute(keyword), text, Matching(fuzzy=fuzzy))
    assert condition is not None
    return condition.matches(list(values))


NAME = {
    "Alphabetic": "Müller-Lüdenscheidt^Ben Émile^^Dr.",
    "Ideographic": "山田^太郎",
    "Phonetic": "やまだ^たろう",
}


@pytest.mark.parametrize(
    ("keyword", "text", "stored", "expected"),
    [
        ("AccessionNumber", "A1", "A1", True),
        ("AccessionNumber", "a1", "A1", True),
        ("AccessionNumber", "A1", "A1  ", True),
        ("AccessionNumber", "A1 ", "A1\0", True),
        ("AccessionNumber", "A1", "A12", False),
        ("AccessionNumber", "A1", None, False),
        ("PatientID", "straße", "STRASSE", True),
        ("StudyDescription", "Mu\u0308ller", "MÜLLER", True),
        ("StudyDescription", "Muller", "Müller", False),
        ("PatientSex", "f", "F ", True),
        ("PatientAge", "030Y", "030Y", True),
        ("DocumentTitle", "Report", "REPORT ", True),
        ("StudyInstanceUID", "1.2.3", "1.2.3\0", True),
        ("StudyInstanceUID", "1.2.3", "1.2.30", False),
        ("SOPClassUID", "1.2.3", "1.2.3", True),
        ("SeriesNumber", "0003", 3, True),
        ("SeriesNumber", "3", "0003", True),
        ("SeriesNumber", "+3", 3, True),
        ("SeriesNumber", "3", 30, False),
        ("SeriesNumber", "3", "three", False),
        ("InstanceNumber", "0", 0, True),
        ("PatientWeight", "70", 70.0, True),
        ("PatientWeight", "7e1", "70.00", True),
        ("PatientWeight", "70.5", 70.5, True),
        ("PatientWeight", "70.5", 70.51, False),
        ("StudyDate", "20260131", "20260131", True),
        ("StudyDate", "20260131", "2026.01.31", True),
        ("StudyDate", "20260131", "20260130", False),
        ("StudyTime", "103015.123456", "103015.123456", True),
        ("StudyTime", "103015", "103015.5", True),
        ("StudyTime", "103015", "10:30:15", True),
        ("StudyTime", "1030", "103059", True),
        ("StudyTime", "1030", "1031", False),
        ("StudyTime", "10", "1059", True),
        ("StudyTime", "103015", "10", False),
        ("AcquisitionDateTime", "20260131103015", "20260131103015.25", True),
        ("AcquisitionDateTime", "20260131", "20260131235959", True),
        ("AcquisitionDateTime", "202602", "20260228235959.999999", True),
        ("AcquisitionDateTime", "202602", "20260301", False),
        ("AcquisitionDateTime", "20260131103000+0100", "20260131093000", True),
        ("AcquisitionDateTime", "20260131103000-0500", "20260131153000", True),
        ("AcquisitionDateTime", "20260131103000", "20260131103000+0100", False),
    ],
)
def test_single_value(keyword: str, text: str, stored: Any, expected: bool) -> None:
    """Single Value Matching compares by the VR: text without case, numbers by value, times as far as given."""
    assert matches(keyword, text, stored) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Müller-Lüdenscheidt^Ben Émile^^Dr.", True),
        ("muller-ludenscheidt^ben emile^^dr.", True),
        ("MÜLLER-LÜDENSCHEIDT^BEN ÉMILE^^DR.^", True),
        ("Müller-Lüdenscheidt ^ Ben Émile^^Dr.", True),
        ("Müller-Lüdenscheidt", False),
        ("山田^太郎", True),
        ("やまだ^たろう", True),
        ("muller-ludenscheidt^ben emile^^dr.=山田^太郎", True),
        ("muller-ludenscheidt^ben emile^^dr.=山田^太郎=やまだ^たろう", True),
        ("=山田^太郎", True),
        ("山田^太郎=muller-ludenscheidt^ben emile^^dr.", False),
        ("muller-ludenscheidt^ben emile^^dr.=田中^太郎", False),
    ],
)
def test_single_value_of_a_name(text: str, expected: bool) -> None:
    """A name equals without case, accents and trailing components, by any group or by each that is given."""
    assert matches("PatientName", text, NAME) is expected


def test_single_value_of_a_name_without_all_groups() -> None:
    """A group that is asked for and that the name has not does not match."""
    assert not matches("PatientName", "DOE^JOHN=山田", {"Alphabetic": "Doe^John"})


def test_values_of_a_name_as_text() -> None:
    """A name may also be stored as text with its groups separated by `=`."""
    assert matches("PatientName", "山田", "Yamada=山田")


@pytest.mark.parametrize(
    ("keyword", "text", "values"),
    [
        ("ImageType", "primary", ["ORIGINAL", "PRIMARY", "AXIAL"]),
        ("ImageType", "PRIM*", ["ORIGINAL", None, "PRIMARY"]),
        ("OperatorsName", "roe^*", [{"Alphabetic": "DOE"}, {"Alphabetic": "ROE^JANE"}]),
        ("ModalitiesInStudy", "MR", ["CT", "MR"]),
    ],
)
def test_attribute_with_several_values(keyword: str, text: str, values: list[Any]) -> None:
    """An attribute with several values matches if any of them does."""
    assert matches(keyword, text, *values)


@pytest.mark.parametrize(
    ("keyword", "text", "stored", "expected"),
    [
        ("PatientID", "*B*", "abc", True),
        ("PatientID", "*b", "abc", False),
        ("PatientID", "a*c", "ac", True),
        ("PatientID", "a?c", "abc", True),
        ("PatientID", "a?c", "ac", False),
        ("PatientID", "??", "ab", True),
        ("PatientID", "a*b*c", "aXbYc", True),
        ("PatientID", "a*b?*c", "aXbc", False),
        ("PatientID", "*b?b*", "abcb", True),
        ("PatientID", "a.c*", "abc", False),
        ("PatientID", "[a]*", "[A]b", True),
        ("PatientID", "a**c", "abc", True),
        ("PatientID", "a*", None, False),
        ("StudyDescription", "chest*", "CHEST\nPA", True),
        ("ManufacturerModelName", "Device*", "Device A", True),
        ("AccessionNumber", "*A1*", "XA12", True),
        ("Modality", "C?", "CT", True),
        ("PatientName", "*ben*", {"Alphabetic": "LONG^BÉN"}, True),
        ("PatientName", "*Bén*", {"Alphabetic": "LONG^BEN"}, True),
        ("PatientName", "DOE^*", {"Alphabetic": "DOE"}, True),
        ("PatientName", "DOE^*", {"Alphabetic": "DOE^JOHN"}, True),
        ("PatientName", "DO*^*", {"Alphabetic": "DOWN^ANN^M"}, True),
        ("PatientName", "DOE^*", {"Alphabetic": "DOEN"}, False),
        ("PatientName", "山*", NAME, True),
        ("PatientName", "mu*=山*", NAME, True),
        ("PatientName", "mu*=川*", NAME, False),
    ],
)
def test_wild_card(keyword: str, text: str, stored: Any, expected: bool) -> None:
    """Wild Card Matching: `*` is any characters or none, `?` exactly one, anywhere (PS3.4 C.2.2.2.4)."""
    assert matches(keyword, text, stored) is expected


def test_wild_card_takes_linear_time() -> None:
    """A pattern of many `*` over a long value does not explode."""
    began = time.perf_counter()

    assert not matches("PatientID", "*a" * 60 + "b", "a" * 400)

    assert time.perf_counter() - began < 1


@given(
    st.text("ab*?", min_size=1, max_size=8).filter(lambda pattern: pattern.strip("*")),
    st.text("ab", max_size=8),
)
def test_wild_card_like_its_definition(pattern: str, text: str) -> None:
    """A pattern matches exactly what its definition, written out, says."""

    def defined(pattern: str, text: str) -> bool:
        if not pattern:
            return not text
        if pattern[0] == "*":
            return any(defined(pattern[1:], text[at:]) for at in range(len(text) + 1))
        return bool(text) and pattern[0] in ("?", text[0]) and defined(pattern[1:], text[1:])

    assert matches("PatientID", pattern, text) is defined(pattern, text)


@pytest.mark.parametrize(
    ("keyword", "text", "stored", "expected"),
    [
        ("StudyDate", "20260101-20260131", "20260101", True),
        ("StudyDate", "20260101-20260131", "20260131", True),
        ("StudyDate", "20260101-20260131", "20260201", False),
        ("StudyDate", "20260101-", "20270101", True),
        ("StudyDate", "20260101-", "20251231", False),
        ("StudyDate", "-20260101", "20260101", True),
        ("StudyDate", "-20260101", "20260102", False),
        ("StudyDate", "20260101 - 20260131", "2026.01.15", True),
        ("StudyDate", "20260101-20260131", "2026", False),
        ("StudyDate", "-20260101", "", False),
        ("PatientBirthDate", "19800101-19801231", "19800615", True),
        ("StudyTime", "10-1030", "100000", True),
        ("StudyTime", "10-1030", "103059.999999", True),
        ("StudyTime", "10-1030", "1031", False),
        ("StudyTime", "10-1030", "10:15:30", True),
        ("StudyTime", "1030-", "10", False),
        ("StudyTime", "-1030", "10", True),
        ("StudyTime", "1030.5-", "103100", None),
        ("StudyTime", "103000.5-", "103000.4", False),
        ("StudyTime", "103000.5-", "103000.50", True),
        ("AcquisitionDateTime", "2026-2027", "20271231235959", True),
        ("AcquisitionDateTime", "2026-2027", "2028", False),
        ("AcquisitionDateTime", "20260101-", "20260101", True),
        ("AcquisitionDateTime", "-20260101", "2026010112", True),
        ("AcquisitionDateTime", "2026010110-0500-2026010112-0500", "2026010116", True),
        ("AcquisitionDateTime", "2026010110-0500-2026010112-0500", "2026010112", False),
        ("AcquisitionDateTime", "2026010110+0100-", "2026010109", True),
    ],
)
def test_range(keyword: str, text: str, stored: str, expected: bool | None) -> None:
    """Range Matching includes both ends, may be open, and takes partial ends whole (PS3.4 C.2.2.2.5)."""
    if expected is None:
        with pytest.raises(ValueError, match="a time"):
            matches(keyword, text, stored)
    else:
        assert matches(keyword, text, stored) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mul", True),
        ("Lüd", True),
        ("ben", True),
        ("emi mul", True),
        ("Müller^Ben", True),
        ("dr., muller-lud", True),
        ("山", True),
        ("たろ 山田", True),
        ("ben x", False),
        ("llu", False),
        ("*UD*", True),
        ("b?n", False),
    ],
)
def test_fuzzy_name(text: str, expected: bool) -> None:
    """Each word begins some word of the name; a value with wild cards stays a pattern."""
    assert matches("PatientName", text, NAME, fuzzy=True) is expected


YAMADA = "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize(
    ("text", "stored", "expected"),
    [
        ("山田", YAMADA, True),
        ("太", YAMADA, True),
        ("田", YAMADA, False),
        ("やま", YAMADA, True),
        ("やまた", YAMADA, False),
        ("tarou yama", YAMADA, True),
        ("Yamada 太郎", YAMADA, True),
        ("Yamada^Tarou=山田^太郎", YAMADA, True),
        ("tarou yamadas", YAMADA, False),
        ("ﾔﾏﾀﾞ", "Yamada^Tarou==ヤマダ^タロウ", True),
        ("김희", "Hong^Gildong=김희수", True),
        ("기", "Hong^Gildong=김희수", False),
        ("O'Neil", "O'Neil^Shaun", True),
        ("O’Neil", "O'Neil^Shaun", True),
        ("o'n sh", "O’Neil^Shaun", True),
        ("neil", "O'Neil^Shaun", True),
        ("eil", "O'Neil^Shaun", False),
        ("smith", "Jones-Smith^Ann", True),
        ("jones-sm", "Jones-Smith^Ann", True),
        ("jones‐smith", "Jones-Smith^Ann", True),
        ("ann jones", "Jones-Smith^Ann", True),
        ("-", "Jones-Smith^Ann", None),
        ("'t hooft", "'t Hooft^Gerard", True),
        ("jose nunez", "Núñez^José", True),
        ("NÚÑEZ", "Nunez^Jose", True),
        ("Иван", "Иванов^Пётр", True),
    ],
)
def test_fuzzy_name_in_other_scripts(text: str, stored: str, expected: bool | None) -> None:
    """Any component of any group, without accents; what follows a hyphen or an apostrophe is a word as well."""
    condition = match_parameters.condition_of(attribute("PatientName"), text, Matching(fuzzy=True))

    assert (None if condition is None else condition.matches([stored])) is expected


def test_wild_card_takes_a_syllable_for_one_character() -> None:
    """A letter made up of others is one character, also where accents are taken away."""
    assert matches("PatientName", "김?수", "김희수")
    assert matches("PatientName", "J?se", "José")


def test_fuzzy_only_for_names() -> None:
    """Fuzzy matching leaves other attributes exact."""
    assert not matches("PatientID", "AB", "ABC", fuzzy=True)


@pytest.mark.parametrize("text", ["1.2,1.3", "1.2\\1.3", " 1.2 , 1.3 ", "1.3,,1.2,"])
def test_uid_list(text: str) -> None:
    """List of UID Matching takes commas and backslashes (PS3.4 C.2.2.2.2)."""
    assert match_parameters.condition_of(attribute("StudyInstanceUID"), text) == UIDList(
        frozenset({"1.2", "1.3"})
    )
    assert matches("StudyInstanceUID", text, "1.3")
    assert not matches("StudyInstanceUID", text, "1.4")


@pytest.mark.parametrize("text", ["CT,MR", "CT\\MR", "ct, m?"])
def test_modalities_in_study_list(text: str) -> None:
    """A list of ModalitiesInStudy matches a study that has any of them."""
    assert matches("ModalitiesInStudy", text, "MR", "SR")
    assert not matches("ModalitiesInStudy", text, "US")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        *itertools.product(
            ("PatientID", "PatientName", "StudyDate", "StudyInstanceUID"), ("", " ", "*", "**")
        ),
        ("ModalitiesInStudy", "CT,*"),
        ("ModalitiesInStudy", ","),
        ("StudyInstanceUID", ","),
        ("PatientName", "^^"),
    ],
)
def test_universal(keyword: str, text: str) -> None:
    """An empty value, or `*` alone, restricts nothing (PS3.4 C.2.2.2.3)."""
    assert match_parameters.condition_of(attribute(keyword), text) is None


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("StudyDate", "2026"),
        ("StudyDate", "20260230"),
        ("StudyDate", "00000101"),
        ("StudyDate", "-"),
        ("StudyDate", "20260102-20260101"),
        ("StudyDate", "20260101-20260102-20260103"),
        ("StudyDate", "2026*"),
        ("StudyDate", "٢٠٢٦٠١٠١"),
        ("StudyTime", "24"),
        ("StudyTime", "1"),
        ("StudyTime", "12-10"),
        ("AcquisitionDateTime", "20261301"),
        ("AcquisitionDateTime", "00010101+1400"),
        ("AcquisitionDateTime", "99991231-1200"),
        ("AcquisitionDateTime", "-"),
        ("StudyInstanceUID", "1.2.x"),
        ("StudyInstanceUID", "1.2.*"),
        ("StudyInstanceUID", "1.2,y"),
        ("SeriesNumber", "three"),
        ("SeriesNumber", "1*"),
        ("SeriesNumber", "1e99999"),
    ],
)
def test_malformed_value(keyword: str, text: str) -> None:
    """A value without the form of its VR is refused, and the text does not repeat it."""
    with pytest.raises(ValueError, match=r"^a ") as caught:
        match_parameters.condition_of(attribute(keyword), text)

    assert text == "-" or text not in str(caught.value)


@pytest.mark.parametrize(
    ("keyword", "text", "expected"),
    [
        ("PatientID", "P1", SingleValue("LO", "p1")),
        ("PatientID", "P*", WildCard("LO", "p*")),
        ("StudyDate", "20260131", SingleValue("DA", "20260131")),
        ("StudyDate", "20260101-", Range("DA", "20260101", "")),
        ("StudyTime", "10-11", Range("TM", "100000.000000", "115959.999999")),
        ("StudyInstanceUID", "1.2", SingleValue("UI", "1.2")),
        ("PatientName", "Doe^J", FuzzyName(("doe", "j"))),
        ("ModalitiesInStudy", "CT", AnyOf((SingleValue("CS", "ct"),))),
    ],
)
def test_condition_of(keyword: str, text: str, expected: query.Condition) -> None:
    """A value becomes the matching kind of its form, with normalised operands that an index can use."""
    assert match_parameters.condition_of(attribute(keyword), text, Matching(fuzzy=True)) == expected


SEARCHABLE = [row for row in attributes.TABLE if row.searchable and row.vr != "SQ"]


@example(next(row for row in SEARCHABLE if row.vr == "PN"), "0 ≠")
@given(st.sampled_from(SEARCHABLE), st.text() | st.text("0123456789.-+^=* "))
def test_normalise_is_stable(row: Attribute, value: str) -> None:
    """The normal form of a normal form is itself: index keys and operands are made alike."""
    normal = normal_form(row.vr, value)

    if row.vr != "DT":  # whose normal form is not written as DICOM writes it
        assert normal_form(row.vr, normal) == normal


@given(st.sampled_from(SEARCHABLE), st.text(), st.lists(st.none() | st.text() | st.integers() | st.floats()))
def test_matching_takes_any_stored_value(row: Attribute, text: str, values: list[Any]) -> None:
    """Whatever is stored, matching answers yes or no; whatever is asked, it is read or refused."""
    try:
        condition = match_parameters.condition_of(row, text, Matching(fuzzy=True))
    except ValueError:
        return

    assert condition is None or condition.matches(values) in (True, False)


def read(level: Level = Level.STUDY, matching: Matching = match_parameters.BASIC, **texts: str) -> Query:
    """A query by keywords, with `__` for the dots of a path."""
    pairs = [(name.replace("__", "."), text) for name, text in texts.items()]
    warnings: list[str] = []
    found, _ = match_parameters.read(pairs, level, matching, warnings)
    assert not warnings
    return Query(level, matches=found)


@pytest.mark.parametrize(
    ("date", "time", "stored_date", "stored_time", "expected"),
    [
        ("20060705-20060707", "1000-1800", "20060705", "095959", False),
        ("20060705-20060707", "1000-1800", "20060705", "100000", True),
        ("20060705-20060707", "1000-1800", "20060706", "0300", True),
        ("20060705-20060707", "1000-1800", "20060707", "180059.999", True),
        ("20060705-20060707", "1000-1800", "20060707", "1801", False),
        ("20060705-20060707", "1000-1800", "20060708", "12", False),
        ("20060705-20060707", "1800-1000", "20060706", "12", True),
        ("20060705-20060707", "1800-1000", "20060705", "12", False),
        ("20060705-20060707", "1800-1000", "20060707", "12", False),
        ("20060705-", "10-", "20060706", "09", True),
        ("20060705-", "10-", "20060705", "09", False),
        ("-20060705", "-10", "20060704", "23", True),
        ("-20060705", "-10", "20060705", "1059", True),
        ("-20060705", "-10", "20060705", "11", False),
        ("20060705-20060707", "10-18", "2006.07.06", "03:00", True),
        ("20060705-20060707", "10-18", "20060706", "", True),
        ("20060705-20060707", "10-18", "20060705", "", False),
        ("20060705-20060707", "10-18", "20060706", "noon", True),
        ("20060705-20060707", "10-18", "", "12", False),
        ("20060705-20060707", "10-", "20060706", "09", False),
        ("20060705-", "-10", "20060706", "11", False),
        ("20060705-20060707", "10", "20060706", "11", False),
        ("20060705-20060707", "10", "20060706", "1030", True),
        ("20060706", "10-18", "20060706", "09", False),
        ("20060705-20060707", "", "20060705", "09", True),
        ("", "10-18", "20060705", "09", False),
    ],
)
@pytest.mark.parametrize(
    ("level", "kind"),
    [
        (Level.STUDY, "Study"),
        (Level.SERIES, "Series"),
        (Level.SERIES, "PerformedProcedureStepStart"),
        (Level.INSTANCE, "Content"),
    ],
)
def test_date_and_time(
    level: Level, kind: str, date: str, time: str, stored_date: str, stored_time: str, expected: bool
) -> None:
    """Ranges of dates and times of the same form are one range of date-times (PS3.4 C.2.2.2.5.4)."""
    asked_for = read(level, **{f"{kind}Time": time, f"{kind}Date": date})

    dataset = study_level(**{f"{kind}Date": stored_date, f"{kind}Time": stored_time})

    assert query.matches(asked_for, dataset) is expected


REQUESTS = [
    {"00400009": {"vr": "SH", "Value": ["SPS1"]}, "00401001": {"vr": "SH", "Value": ["RP1"]}},
    {
        "00400009": {"vr": "SH", "Value": ["SPS2"]},
        "00401001": {"vr": "SH"},
        "00400008": {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["CT1"]}}]},
    },
]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ({"ScheduledProcedureStepID": "SPS2"}, True),
        ({"ScheduledProcedureStepID": "sps?"}, True),
        ({"ScheduledProcedureStepID": "SPS3"}, False),
        ({"ScheduledProcedureStepID": "SPS1", "RequestedProcedureID": "RP1"}, True),
        ({"ScheduledProcedureStepID": "SPS2", "RequestedProcedureID": "RP1"}, False),
        ({"ScheduledProcedureStepID": "SPS2", "RequestedProcedureID": ""}, True),
        ({"ScheduledProcedureStepID": "SPS2", "ScheduledProtocolCodeSequence__CodeValue": "CT1"}, True),
        ({"ScheduledProcedureStepID": "SPS1", "ScheduledProtocolCodeSequence__CodeValue": "CT1"}, False),
        ({"ScheduledProtocolCodeSequence__CodeValue": "CT2"}, False),
        ({"RequestedProcedureID": '""'}, True),
        ({"RequestedProcedureID": '""', "ScheduledProcedureStepID": "SPS1"}, False),
    ],
)
def test_sequence(texts: dict[str, str], expected: bool) -> None:
    """An item has all that is asked for of its sequence, and of sequences in it (PS3.4 C.2.2.2.6)."""
    paths = {f"RequestAttributesSequence__{name}": text for name, text in texts.items()}
    asked_for = read(Level.SERIES, Matching(empty=True), **paths)

    assert query.matches(asked_for, {"00400275": {"vr": "SQ", "Value": REQUESTS}}) is expected
    assert not query.matches(asked_for, {})


@pytest.mark.parametrize(
    ("keyword", "values", "expected"),
    [
        ("AccessionNumber", [], True),
        ("AccessionNumber", [""], True),
        ("AccessionNumber", [None], True),
        ("AccessionNumber", [" \0"], True),
        ("AccessionNumber", ["A"], False),
        ("OtherPatientIDs", ["", "A"], False),
        ("PatientName", [{"Alphabetic": "^^"}], True),
        ("PatientName", [{"Ideographic": "山田"}], False),
        ("StudyDate", [], True),
        ("StudyDate", ["20260131"], False),
        ("PatientWeight", [0], False),
        ("ModalitiesInStudy", [], True),
        ("StudyInstanceUID", ["1.2"], False),
    ],
)
def test_empty_value(keyword: str, values: list[Any], expected: bool) -> None:
    """Two quotation marks match what is absent or says nothing (PS3.4 C.2.2.2.7)."""
    condition = match_parameters.condition_of(attribute(keyword), '""', Matching(empty=True))

    assert condition is not None
    assert condition.matches(values) is expected


def test_empty_value_unless_asked_for() -> None:
    """Without emptyvaluematching quotation marks are characters like others."""
    assert matches("AccessionNumber", '""', '""')
    assert not matches("AccessionNumber", '""')


@pytest.mark.parametrize(
    ("keyword", "text", "values", "expected"),
    [
        ("ModalitiesInStudy", "CT\\PT", ["PT", "CT", "SR"], True),
        ("ModalitiesInStudy", "CT\\PT", ["CT"], False),
        ("ModalitiesInStudy", "CT,PT", ["CT"], True),
        ("ModalitiesInStudy", "CT,MR\\SR", ["SR", "MR"], True),
        ("ModalitiesInStudy", "CT\\", ["CT"], True),
        ("ImageType", "axial\\ORIGINAL", ["ORIGINAL", "PRIMARY", "AXIAL"], True),
        ("ImageType", "ORIGINAL\\LOCALIZER", ["ORIGINAL", "PRIMARY", "AXIAL"], False),
        ("OtherPatientIDs", "A\\B", ["B", "C", "A"], True),
        ("OtherPatientIDs", "A\\B", ["B", "C"], False),
        ("OperatorsName", "Doe^J\\Roe^*", [{"Alphabetic": "ROE^ANN"}, {"Alphabetic": "DOE^J"}], True),
        ("SOPClassesInStudy", "1.2\\1.3", ["1.3"], True),
        ("DocumentTitle", "a\\b", ["a\\b"], True),
    ],
)
def test_multiple_values(keyword: str, text: str, values: list[Any], expected: bool) -> None:
    """Each value is present, in any order; UIDs stay alternatives, text stays one (PS3.4 C.2.2.2.8)."""
    condition = match_parameters.condition_of(attribute(keyword), text, Matching(multiple=True))

    assert condition is not None
    assert condition.matches(values) is expected


def asked(level: Level = Level.STUDY, resource: Resource | None = None, **texts: str) -> Query:
    """A query by keyword."""
    found = (
        (attribute(keyword), match_parameters.condition_of(attribute(keyword), text))
        for keyword, text in texts.items()
    )
    return Query(level, resource or Resource(), tuple(Match(a, c) for a, c in found if c is not None))


EXTENDED = Matching(empty=True, multiple=True)


def study_level(**values: str) -> dict[str, Any]:
    """A data set by keyword."""
    return {attribute(keyword).tag: {"vr": "LO", "Value": [value]} for keyword, value in values.items()}


def test_matches_asks_for_all() -> None:
    """An answer matches if each attribute does; one that is missing does not."""
    dataset = study_level(PatientID="P1", StudyDate="20260101")

    assert query.matches(asked(PatientID="P1", StudyDate="20260101"), dataset)
    assert not query.matches(asked(PatientID="P1", StudyDate="20260102"), dataset)
    assert not query.matches(asked(PatientID="P1", StudyID="1"), dataset)
    assert query.matches(asked(), {})


@pytest.mark.parametrize(
    ("query_", "given_", "expected"),
    [
        (asked(PatientID="P1"), None, True),
        (asked(), {}, True),
        (asked(PatientID="P1"), {Level.STUDY: study_level(PatientID="P1")}, True),
        (asked(PatientID="P1"), {Level.STUDY: study_level(PatientID="P2")}, False),
        (asked(PatientID="P1"), {Level.STUDY: {}}, True),
        (asked(PatientID="P1", StudyID="1"), {Level.STUDY: study_level(PatientID="P2")}, False),
        (asked(PatientID="P1", StudyID="1"), {Level.STUDY: study_level(PatientID="P2", StudyID="1")}, True),
        (asked(ModalitiesInStudy="CT"), {Level.SERIES: study_level(Modality="CT")}, True),
        (asked(ModalitiesInStudy="CT"), {Level.SERIES: study_level(Modality="MR")}, False),
        (asked(ModalitiesInStudy="CT"), {Level.SERIES: {}}, True),
        (asked(Level.SERIES, Modality="CT"), {Level.SERIES: study_level(Modality="MR")}, True),
        (asked(Level.INSTANCE, SOPInstanceUID="1.2"), {Level.STUDY: study_level(PatientID="P2")}, True),
        (
            read(PatientID="P1", ProcedureCodeSequence__CodeValue="C"),
            {Level.STUDY: study_level(PatientID="P2")},
            True,
        ),
        (
            read(Level.SERIES, PatientID="P1", RequestAttributesSequence__RequestedProcedureID="R"),
            {Level.STUDY: study_level(PatientID="P2")},
            False,
        ),
        (
            read(StudyDate="20260101-20260131", StudyTime="10-12"),
            {Level.STUDY: study_level(StudyDate="20260201")},
            False,
        ),
        (
            read(StudyDate="20260101-20260131", StudyTime="10-12"),
            {Level.STUDY: study_level(StudyDate="20260201", StudyTime="11")},
            True,
        ),
        (
            read(matching=EXTENDED, StudyID='""', PatientID="P1"),
            {Level.STUDY: study_level(PatientID="P2")},
            True,
        ),
        (read(matching=EXTENDED, StudyID='""'), {Level.STUDY: study_level(StudyID="1")}, False),
        (
            read(matching=EXTENDED, ModalitiesInStudy="CT\\PT"),
            {Level.SERIES: study_level(Modality="PT")},
            True,
        ),
        (
            read(matching=EXTENDED, ModalitiesInStudy="CT\\PT"),
            {Level.SERIES: study_level(Modality="MR")},
            False,
        ),
    ],
)
def test_candidate(query_: Query, given_: Mapping[Level, Mapping[str, Any]] | None, expected: bool) -> None:
    """A study is a candidate if a transaction gives it a value that matches, or none that contradicts."""
    assert query.candidate(query_, given_) is expected


stored = st.fixed_dictionaries(
    {
        "PatientID": st.sampled_from(["", "A", "B"]),
        "StudyID": st.sampled_from(["", "A", "B"]),
        "StudyDate": st.sampled_from(["", "20260101", "20260103"]),
        "StudyTime": st.sampled_from(["", "09", "11"]),
        "Modality": st.sampled_from(["CT", "MR", "PT"]),
        "code": st.sampled_from(["", "C", "D"]),
        "indexed": st.booleans(),
    }
)
wanted = st.fixed_dictionaries(
    {},
    optional={
        "PatientID": st.sampled_from(["A", '""']),
        "StudyID": st.sampled_from(["A", '""']),
        "StudyDate": st.sampled_from(["20260101-20260102", "20260101-", "20260103", '""']),
        "StudyTime": st.sampled_from(["10-12", "10-", '""']),
        "ModalitiesInStudy": st.sampled_from(["CT", "CT\\PT", "CT,PT"]),
        "ProcedureCodeSequence__CodeValue": st.sampled_from(["C", '""']),
    },
)


def element(keyword: str, value: Any) -> dict[str, Any]:
    """An element of a data set, which is empty for an empty value."""
    found = attribute(keyword)
    return {found.tag: {"vr": found.vr, "Value": [value]} if value else {"vr": found.vr}}


@given(st.lists(stored, min_size=1, max_size=4), st.permutations(range(4)), wanted)
def test_candidate_misses_no_study(
    transactions: list[dict[str, Any]], order: list[int], wanted: dict[str, str]
) -> None:
    """A study that matches has a journal row that makes it a candidate, or matched as it was last indexed.

    Versions may become visible in another order than that of their names.
    """
    rows, pending, hints = [], [], []
    for number, values in enumerate(transactions):
        code = element("CodeValue", values["code"])
        dataset = element("ProcedureCodeSequence", code if values["code"] else "")
        for keyword in ("PatientID", "StudyID", "StudyDate", "StudyTime", "Modality"):
            dataset |= element(keyword, values[keyword])
        row = Instance(
            "1", "1.1", f"1.1.{number}", f"{order[number]}-0000", "1.9", "1.2.840.10008.1.2.1", 1, "", "p",
            attributes.extract(dataset),
        )  # fmt: skip
        rows.append(row)
        if not values["indexed"]:
            pending.append(row)
            hints.append(attributes.hint(dataset))
    question = read(matching=EXTENDED, **wanted)
    settled = record.study_answer([row for row in rows if row not in pending])

    if query.matches(question, record.study_answer(rows)):
        found_by_search_row = bool(settled) and query.matches(question, settled)
        assert found_by_search_row or any(query.candidate(question, hint) for hint in hints)


@pytest.mark.parametrize(
    ("query_", "expected"),
    [
        (asked(), None),
        (asked(Level.SERIES, Resource("1.2")), {"1.2"}),
        (asked(StudyInstanceUID="1.2,1.3"), {"1.2", "1.3"}),
        (asked(Level.SERIES, StudyInstanceUID="1.2"), {"1.2"}),
        (asked(PatientID="1.2"), None),
    ],
)
def test_studies_that_a_query_names(query_: Query, expected: set[str] | None) -> None:
    """A query names studies by its path or by StudyInstanceUID."""
    assert query_.studies == expected


STUDY_UID, SERIES_UID, INSTANCE_UID = "0020000D", "0020000E", "00080018"


@pytest.mark.parametrize(
    ("level", "resource", "levels", "uids"),
    [
        (Level.STUDY, Resource(), [Level.STUDY], []),
        (Level.SERIES, Resource(), [Level.STUDY, Level.SERIES], []),
        (Level.SERIES, Resource("1"), [Level.SERIES], [STUDY_UID]),
        (Level.INSTANCE, Resource(), list(Level), []),
        (Level.INSTANCE, Resource("1"), [Level.SERIES, Level.INSTANCE], [STUDY_UID]),
        (Level.INSTANCE, Resource("1", "2"), [Level.INSTANCE], [STUDY_UID, SERIES_UID]),
    ],
)
def test_returned_by_default(level: Level, resource: Resource, levels: list[Level], uids: list[str]) -> None:
    """The default sets of the levels that the path leaves open, and every UID, ascending (PS3.18 10.6.3.3)."""
    expected = {tag for each in levels for tag in attributes.RETURNED[each]} | set(uids)

    assert list(query.returned(Query(level, resource))) == sorted(expected)


def test_returned_as_asked() -> None:
    """What was matched and what was asked for is returned as well."""
    question = Query(Level.STUDY, matches=asked(PatientAge="030Y").matches, include=frozenset({"00101030"}))

    assert set(query.returned(question)) == {*attributes.RETURNED[Level.STUDY], "00101010", "00101030"}


def test_returned_all() -> None:
    """All of the table down to the query's level is returned by includefield=all."""
    question = Query(Level.SERIES, Resource("1"), include_all=True)

    assert set(query.returned(question)) == {*attributes.TAGS[Level.STUDY], *attributes.TAGS[Level.SERIES]}
