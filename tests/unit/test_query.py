"""The matching kinds of PS3.4 C.2.2.2 per value representation, candidates, and what a query returns."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core import attributes, query, record
from dicom_core.attributes import Attribute
from dicom_core.query import AnyOf, FuzzyName, Match, Query, Range, SingleValue, UIDList, WildCard
from dicom_core.record import Instance
from dicom_core.resources import Level, Resource


def attribute(keyword: str) -> Attribute:
    """An attribute that is known."""
    found = attributes.find(keyword)
    assert found is not None
    return found


def matches(keyword: str, text: str, *values: Any, fuzzy: bool = False) -> bool:
    """Match the values of an attribute with the value of a match parameter."""
    condition = query.condition_of(attribute(keyword), text, fuzzy=fuzzy)
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
        ("Lüd", False),
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


def test_fuzzy_only_for_names() -> None:
    """Fuzzy matching leaves other attributes exact."""
    assert not matches("PatientID", "AB", "ABC", fuzzy=True)


@pytest.mark.parametrize("text", ["1.2,1.3", "1.2\\1.3", " 1.2 , 1.3 ", "1.3,,1.2,"])
def test_uid_list(text: str) -> None:
    """List of UID Matching takes commas and backslashes (PS3.4 C.2.2.2.2)."""
    assert query.condition_of(attribute("StudyInstanceUID"), text) == UIDList(frozenset({"1.2", "1.3"}))
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
    assert query.condition_of(attribute(keyword), text) is None


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
        query.condition_of(attribute(keyword), text)

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
    assert query.condition_of(attribute(keyword), text, fuzzy=True) == expected


SEARCHABLE = [row for row in attributes.TABLE if row.searchable]


@given(st.sampled_from(SEARCHABLE), st.text() | st.text("0123456789.-+^=* "))
def test_normalise_is_stable(row: Attribute, value: str) -> None:
    """The normal form of a normal form is itself: index keys and operands are made alike."""
    normal = query.normalise(row, value)

    if row.vr != "DT":  # whose normal form is not written as DICOM writes it
        assert query.normalise(row, normal) == normal


@given(st.sampled_from(SEARCHABLE), st.text(), st.lists(st.none() | st.text() | st.integers() | st.floats()))
def test_matching_takes_any_stored_value(row: Attribute, text: str, values: list[Any]) -> None:
    """Whatever is stored, matching answers yes or no; whatever is asked, it is read or refused."""
    try:
        condition = query.condition_of(row, text, fuzzy=True)
    except ValueError:
        return

    assert condition is None or condition.matches(values) in (True, False)


def asked(level: Level = Level.STUDY, resource: Resource | None = None, **texts: str) -> Query:
    """A query by keyword."""
    found = (
        (attribute(keyword), query.condition_of(attribute(keyword), text)) for keyword, text in texts.items()
    )
    return Query(level, resource or Resource(), tuple(Match(a, c) for a, c in found if c is not None))


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
    ],
)
def test_candidate(query_: Query, given_: Mapping[Level, Mapping[str, Any]] | None, expected: bool) -> None:
    """A study is a candidate if a transaction gives it a value that matches, or none that contradicts."""
    assert query.candidate(query_, given_) is expected


values_or_nothing = st.sampled_from(["", "A", "B"])
stored = st.tuples(values_or_nothing, values_or_nothing, st.sampled_from(["CT", "MR"]), st.booleans())


@given(
    st.lists(stored, min_size=1, max_size=4),
    st.permutations(range(4)),
    st.tuples(st.sampled_from(["", "A"]), st.sampled_from(["", "A"]), st.sampled_from(["", "CT"])),
)
def test_candidate_misses_no_study(
    transactions: list[tuple[str, str, str, bool]], order: list[int], wanted: tuple[str, str, str]
) -> None:
    """A study that matches has a journal row that makes it a candidate, or matched as it was last indexed.

    Versions may become visible in another order than that of their names.
    """
    rows, pending, hints = [], [], []
    for number, (patient, study_id, modality, indexed) in enumerate(transactions):
        dataset = {
            "00100020": {"vr": "LO", "Value": [patient]},
            "00200010": {"vr": "SH", "Value": [study_id]},
            "00080060": {"vr": "CS", "Value": [modality]},
        }
        row = Instance(
            "1", "1.1", f"1.1.{number}", f"{order[number]}-0000", "1.9", "1.2.840.10008.1.2.1", 1, "", "p",
            attributes.extract(dataset),
        )  # fmt: skip
        rows.append(row)
        if not indexed:
            pending.append(row)
            hints.append(attributes.hint(dataset))
    question = asked(PatientID=wanted[0], StudyID=wanted[1], ModalitiesInStudy=wanted[2])
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
