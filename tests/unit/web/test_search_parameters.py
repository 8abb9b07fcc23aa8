"""Search parameters: what real clients send, options, match parameters, warnings and refusals."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_core import attributes, query, record
from dicom_core.attributes import TABLE
from dicom_core.errors import BadRequest
from dicom_core.query import (
    AnyOf,
    EmptyValue,
    FuzzyName,
    Match,
    MultipleValues,
    Range,
    SequenceItem,
    SingleValue,
    UIDList,
    WildCard,
)
from dicom_core.resources import Level, Resource
from dicom_core.web import search_parameters
from dicom_core.web.search_parameters import Parsed

STUDY = "1.2.3"


def parse(text: str, level: Level = Level.STUDY, resource: Resource | None = None) -> Parsed:
    """Parse a query string."""
    pairs = tuple(parse_qsl(text, keep_blank_values=True))
    return search_parameters.parse(pairs, level, resource or Resource())


def conditions(parsed: Parsed) -> dict[str, object]:
    """The conditions by keyword."""
    return {match.attribute.keyword: match.condition for match in parsed.query.matches}


OHIF_FIELDS = "includefield=00081030%2C00080060"
OF_STUDY = Resource(STUDY)


@pytest.mark.parametrize(
    ("text", "level", "resource", "keywords"),
    [
        pytest.param(
            f"limit=101&offset=0&fuzzymatching=true&{OHIF_FIELDS}", Level.STUDY, None, "", id="OHIF list"
        ),
        pytest.param(
            "PatientName=*Ben*&00100020=*B*&AccessionNumber=*A1*&StudyDescription=*Bench*&ModalitiesInStudy=CT%2CMR"
            f"&limit=101&offset=200&fuzzymatching=true&{OHIF_FIELDS}&StudyDate=20260101-20261231",
            Level.STUDY,
            None,
            "PatientName PatientID AccessionNumber StudyDescription ModalitiesInStudy StudyDate",
            id="OHIF filters",
        ),
        pytest.param(
            f"limit=101&offset=0&fuzzymatching=false&{OHIF_FIELDS}&StudyInstanceUID=1.2.3%5C1.2.4",
            Level.STUDY,
            None,
            "StudyInstanceUID",
            id="OHIF studies",
        ),
        pytest.param(
            f"00100020=MRN1&limit=101&offset=0&fuzzymatching=true&{OHIF_FIELDS}",
            Level.STUDY,
            None,
            "PatientID",
            id="OHIF prior studies",
        ),
        pytest.param(
            "includefield=00080021%2C00080031%2C0008103E%2C00200011",
            Level.SERIES,
            OF_STUDY,
            "",
            id="OHIF series",
        ),
        pytest.param("ModalitiesInStudy=SM", Level.STUDY, None, "ModalitiesInStudy", id="Slim studies"),
        pytest.param(
            f"Modality=SM&StudyInstanceUID={STUDY}",
            Level.SERIES,
            None,
            "Modality StudyInstanceUID",
            id="Slim series",
        ),
        pytest.param("Modality=ANN", Level.SERIES, OF_STUDY, "Modality", id="Slim series of a study"),
        pytest.param("Modality=SR", Level.INSTANCE, OF_STUDY, "Modality", id="Slim instances of a study"),
        pytest.param(
            "includefield=00080020,00080030,00080050,00080061,00080090,00081030,00100010,00100020,00100021,00100030,"
            "00100040,0020000D,00200010",
            Level.STUDY,
            None,
            "",
            id="Weasis studies",
        ),
        pytest.param(
            "includefield=0008103E,00080060,0020000E,00200011,00081190",
            Level.SERIES,
            OF_STUDY,
            "",
            id="Weasis series",
        ),
        pytest.param(
            "includefield=00080016,00080018,00200013,00081190",
            Level.INSTANCE,
            Resource(STUDY, "1.2.3.4"),
            "",
            id="Weasis instances",
        ),
        pytest.param(
            "0020000E=1.2.3.4&includefield=00201209",
            Level.SERIES,
            OF_STUDY,
            "SeriesInstanceUID",
            id="Weasis counts",
        ),
        pytest.param("limit=100&offset=300", Level.STUDY, None, "", id="Slicer pages"),
        pytest.param("Modality=SEG", Level.SERIES, None, "Modality", id="MONAI Label segmentations"),
        pytest.param(
            "SeriesInstanceUID=1.2.3.4", Level.SERIES, None, "SeriesInstanceUID", id="MONAI Label series"
        ),
        pytest.param(
            "includefield=StudyDate&includefield=PatientName&offset=5",
            Level.STUDY,
            None,
            "",
            id="dicomweb-client repeats includefield",
        ),
    ],
)
def test_request_of_client(text: str, level: Level, resource: Resource | None, keywords: str) -> None:
    """What clients really send is understood in full, without a warning and without reading headers."""
    parsed = parse(text, level, resource)

    assert parsed.warnings == ()
    assert list(conditions(parsed)) == keywords.split()
    assert not record.needs_header(parsed.query)
    assert (parsed.query.level, parsed.query.resource) == (level, resource or Resource())


def test_defaults() -> None:
    """Without parameters everything matches, a hundred at a time."""
    asked = parse("").query

    assert (asked.limit, asked.offset, asked.matches, asked.include, asked.include_all) == (
        100,
        0,
        (),
        set(),
        False,
    )


@pytest.mark.parametrize(("text", "limit", "offset"), [("limit=1", 1, 0), ("Limit=1000&OFFSET=7", 1000, 7)])
def test_paging(text: str, limit: int, offset: int) -> None:
    """Limit and offset are read whatever the case of their names (PS3.18 8.3.4.4)."""
    asked = parse(text).query

    assert (asked.limit, asked.offset) == (limit, offset)


def test_limit_above_the_most() -> None:
    """A larger limit is cut, and the answer says so."""
    parsed = parse("limit=5001")

    assert parsed.query.limit == search_parameters.MAX_LIMIT
    assert parsed.warnings == ("limit is more than the service returns at once; it returns 1000",)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=ten", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A1", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("offset=-1", "offset"),
        ("offset=x", "offset"),
        ("limit=1&limit=1", "limit"),
        ("fuzzymatching=yes", "fuzzymatching"),
        ("fuzzymatching=", "fuzzymatching"),
        ("emptyvaluematching=1", "emptyvaluematching"),
        ("StudyDate=yesterday", "StudyDate"),
        ("00080020=20260231", "StudyDate"),
        ("StudyTime=25", "StudyTime"),
        ("StudyInstanceUID=1.a", "StudyInstanceUID"),
        ("PatientWeight=heavy", "PatientWeight"),
        ("PatientID=secret&PatientID=secret", "PatientID"),
        ("PatientID=secret&00100020=other", "PatientID"),
        ("PatientID=&PatientID=other", "PatientID"),
        ("multiplevaluematching=yes", "multiplevaluematching"),
        ("StudyDate=20260101-20260102&StudyTime=25-26", "StudyTime must be a time"),
        ("StudyTime=10-12&StudyDate=20260102-20260101", "StudyDate must be a date"),
        ("StudyDate=20260101-20260101&StudyTime=12-10", "StudyTime must be a range"),
        ("StudyDate=20260101-&StudyTime=12-10", "StudyTime must be a time"),
        ("StudyDate=-&StudyTime=-", "StudyDate must be a date"),
        (
            "ProcedureCodeSequence.CodeValue=A&00081032.00080100=B",
            "ProcedureCodeSequence.CodeValue is given twice",
        ),
        (
            "ReferencedStudySequence.ReferencedSOPInstanceUID=secret",
            "ReferencedStudySequence.ReferencedSOPIns",
        ),
    ],
)
def test_malformed_parameter(text: str, named: str) -> None:
    """A malformed value, or an attribute given twice, is refused by its name and without its value."""
    with pytest.raises(BadRequest, match=named) as caught:
        parse(text)

    assert "yesterday" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PatientID=", {}),
        ("PatientName=*", {}),
        ("PatientID=P1", {"PatientID": SingleValue("LO", "p1")}),
        ("00100020=P1", {"PatientID": SingleValue("LO", "p1")}),
        ("PatientID=%20P1%00", {"PatientID": SingleValue("LO", "p1")}),
        ("PatientID=P%2A", {"PatientID": WildCard("LO", "p*")}),
        ("PatientName=Doe", {"PatientName": SingleValue("PN", "doe")}),
        ("PatientName=Doe&FuzzyMatching=TRUE", {"PatientName": FuzzyName(("doe",))}),
        ("PatientName=*oe&fuzzymatching=true", {"PatientName": WildCard("PN", "*oe")}),
        ("StudyDate=-20260101", {"StudyDate": Range("DA", "", "20260101")}),
        (
            "StudyInstanceUID=1.2&StudyInstanceUID=1.3",
            {"StudyInstanceUID": UIDList(frozenset({"1.2", "1.3"}))},
        ),
        (
            "StudyInstanceUID=1.2&0020000d=1.3,1.4",
            {"StudyInstanceUID": UIDList(frozenset({"1.2", "1.3", "1.4"}))},
        ),
        (
            "ModalitiesInStudy=CT&ModalitiesInStudy=M*",
            {"ModalitiesInStudy": AnyOf((SingleValue("CS", "ct"), WildCard("CS", "m*")))},
        ),
        ("PatientID=%22%22", {"PatientID": SingleValue("LO", '""')}),
        ("PatientID=%22%22&emptyvaluematching=true", {"PatientID": EmptyValue("LO")}),
        ("PatientID=&emptyvaluematching=true", {}),
        ("OtherPatientIDs=A%5CB", {"OtherPatientIDs": SingleValue("LO", "a\\b")}),
        (
            "OtherPatientIDs=A%5CB&multiplevaluematching=true",
            {"OtherPatientIDs": MultipleValues((SingleValue("LO", "a"), SingleValue("LO", "b")))},
        ),
        (
            "ModalitiesInStudy=CT&ModalitiesInStudy=MR&multiplevaluematching=true",
            {"ModalitiesInStudy": AnyOf((SingleValue("CS", "ct"), SingleValue("CS", "mr")))},
        ),
        (
            "ModalitiesInStudy=CT%5CMR&multiplevaluematching=true",
            {
                "ModalitiesInStudy": MultipleValues(
                    (AnyOf((SingleValue("CS", "ct"),)), AnyOf((SingleValue("CS", "mr"),)))
                )
            },
        ),
        ("PatientAge=*%5C&multiplevaluematching=true", {}),
        (
            "StudyTime=10-&StudyDate=20260101-",
            {"StudyTime": Range("DT", "2026-01-01T10:00:00.000000"), "StudyDate": Range("DA", "20260101")},
        ),
    ],
)
def test_match_parameter(text: str, expected: dict[str, object]) -> None:
    """A match parameter is an attribute, by keyword or tag, and its value by the VR (PS3.18 8.3.4.1)."""
    parsed = parse(text)

    assert conditions(parsed) == expected
    assert parsed.warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        "ProcedureCodeSequence.CodeValue=C&ProcedureCodeSequence.CodingSchemeDesignator=S",
        "00081032.00080100=C&00081032.00080102=S",
        "00081032.CodeValue=C&ProcedureCodeSequence.00080102=S&ProcedureCodeSequence.CodeMeaning=",
    ],
)
def test_path_into_a_sequence(text: str) -> None:
    """Tags and keywords with dots between them are matched in one item of the sequence (PS3.18 8.3.4.1)."""
    parsed = parse(text)

    ((sequence, item),) = conditions(parsed).items()
    assert sequence == "ProcedureCodeSequence"
    assert isinstance(item, SequenceItem)
    assert [(match.attribute.keyword, match.condition) for match in item.wanted] == [
        ("CodeValue", SingleValue("SH", "c")),
        ("CodingSchemeDesignator", SingleValue("SH", "s")),
    ]
    assert parsed.warnings == ()
    assert "00081032" in query.returned(parsed.query)


def test_path_through_sequences() -> None:
    """A sequence in an item is matched like the item's other attributes."""
    parsed = parse(
        "RequestAttributesSequence.ScheduledProtocolCodeSequence.CodeValue=C", Level.SERIES, OF_STUDY
    )

    (outer,) = parsed.query.matches
    assert isinstance(outer.condition, SequenceItem)
    (inner,) = outer.condition.wanted
    assert inner.attribute.keyword == "ScheduledProtocolCodeSequence"
    assert isinstance(inner.condition, SequenceItem)
    assert inner.condition.wanted == (Match(attributes.find("CodeValue"), SingleValue("SH", "c")),)


@pytest.mark.parametrize(
    "text",
    [
        "PatientAge=",
        "PatientAge=*",
        "ProcedureCodeSequence=",
        "ProcedureCodeSequence.CodeValue=",
        "ProcedureCodeSequence.CodeValue=*",
    ],
)
def test_universal_matching_returns_the_attribute(text: str) -> None:
    """What is given without a value restricts nothing and is returned (PS3.4 C.2.2.2.3)."""
    parsed = parse(text)

    assert parsed.query.matches == ()
    assert parsed.query.include == {attributes.find(text.split("=")[0].split(".")[0]).tag}
    assert parsed.warnings == ()


def test_study_in_path_and_as_parameter() -> None:
    """A StudyInstanceUID beside one in the path restricts as well."""
    parsed = parse(f"StudyInstanceUID={STUDY}", Level.SERIES, OF_STUDY)

    assert conditions(parsed) == {"StudyInstanceUID": SingleValue("UI", STUDY)}
    assert parsed.query.resource == OF_STUDY


@pytest.mark.parametrize("row", [row for row in TABLE if row.searchable], ids=lambda row: row.keyword)
def test_attribute_by_level(row: attributes.Attribute) -> None:
    """An attribute matches at its own level and below; above, it is ignored with a warning."""
    value = {"DA": "20260101", "TM": "10", "DT": "2026", "UI": "1.2"}.get(row.vr, "1")
    name = f"{row.tag}.CodeValue" if row.vr == "SQ" else row.tag

    for level in Level:
        parsed = parse(f"{name}={value}", level)
        assert (len(parsed.query.matches), len(parsed.warnings)) == ((1, 0) if row.level <= level else (0, 1))


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("orderby=StudyDate", "orderby is no parameter or attribute that is known; it is ignored"),
        ("patientname=Doe", "patientname is no parameter or attribute that is known; it is ignored"),
        ("PixelSpacing=1", "PixelSpacing is no attribute that can be searched by; it is ignored"),
        ("00091001=1", "00091001 is no attribute that can be searched by; it is ignored"),
        ("Modality=CT", "Modality is no attribute by which studies can be searched; it is ignored"),
        (
            "00400275.00400009=1",
            "00400275.00400009 is no attribute by which studies can be searched; it is ignored",
        ),
        (
            "PatientID.CodeValue=1",
            "PatientID.CodeValue is no parameter or attribute that is known; it is ignored",
        ),
        ("00081032.=1", "00081032. is no parameter or attribute that is known; it is ignored"),
        ("00081032.X=1", "00081032.X is no parameter or attribute that is known; it is ignored"),
        (
            ".".join(["00081032"] * 5000) + "=1",
            "a parameter is no parameter or attribute that is known; it is ignored",
        ),
        (
            "ProcedureCodeSequence=1",
            "ProcedureCodeSequence is a sequence, which is searched by its attributes; it is ignored",
        ),
        (
            "OtherPatientIDsSequence.PatientID=1",
            "OtherPatientIDsSequence.PatientID is no attribute that can be searched by; it is ignored",
        ),
        ("00081032.00091001=1", "00081032.00091001 is no attribute that can be searched by; it is ignored"),
        ("%22%0D%0AX=1", "a parameter is no parameter or attribute that is known; it is ignored"),
        ("includefield=Nothing", "includefield Nothing is no attribute that is known; it is ignored"),
    ],
)
def test_warning(text: str, warning: str) -> None:
    """What is not understood is ignored, with a warning that names it and is safe in a header."""
    parsed = parse(text)

    assert parsed.warnings == (warning,)
    assert parsed.query.matches == ()


def test_warnings_are_bounded() -> None:
    """However much is not understood, the warnings fit a header."""
    assert len(parse("&".join(f"x{number}=1" for number in range(500))).warnings) == 16


@pytest.mark.parametrize("text", ["accept=application/json", "accept-charset=utf-8", "Accept=a&accept=b"])
def test_parameters_of_other_clauses(text: str) -> None:
    """Accept and accept-charset are no match parameters (PS3.18 8.3.3)."""
    assert parse(text).warnings == ()


@pytest.mark.parametrize(
    ("text", "level", "expected"),
    [
        ("includefield=00081030,PatientAge", Level.STUDY, {"00081030", "00101010"}),
        ("includefield=00081030&IncludeField=0008103e", Level.SERIES, {"00081030", "0008103E"}),
        ("includefield=PixelSpacing,00091001", Level.STUDY, {"00280030", "00091001"}),
        ("includefield=00080060", Level.STUDY, set()),
        ("includefield=00080060", Level.SERIES, {"00080060"}),
        ("includefield=%20PatientAge%20,", Level.STUDY, {"00101010"}),
        ("includefield=ProcedureCodeSequence.CodeValue", Level.STUDY, {"00081032"}),
        ("includefield=00400275.00400009,00321064.00080100", Level.SERIES, {"00400275", "00321064"}),
        ("includefield=00400275.00400009", Level.STUDY, set()),
        ("includefield=", Level.STUDY, set()),
    ],
)
def test_includefield(text: str, level: Level, expected: set[str]) -> None:
    """Includefield repeats and lists attributes; what only lower levels have is passed over (PS3.18 8.3.4.3)."""
    parsed = parse(text, level)

    assert parsed.query.include == expected
    assert parsed.warnings == ()


@pytest.mark.parametrize("text", ["includefield=all", "includefield=ALL", "includefield=PatientAge,all"])
def test_includefield_all(text: str) -> None:
    """All may be asked for, also beside others, and needs no header."""
    asked = parse(text).query

    assert asked.include_all
    assert not record.needs_header(asked)


def test_includefield_outside_of_the_table() -> None:
    """What only headers hold is read from them."""
    assert record.needs_header(parse("includefield=PixelSpacing").query)


names = st.sampled_from(
    [row.keyword for row in TABLE]
    + ["limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching", "multiplevaluematching"]
    + ["ProcedureCodeSequence.CodeValue", "00400275.00400008.00080102", "ReferencedStudySequence.00081155"]
)
pieces = st.sampled_from(
    ["all", "20260101", "-", "1.2", ",", "\\", "*", "?", "=", "^", "true", "+0100", "10", '""', "."]
)


@given(
    st.lists(st.tuples(names | st.text(), st.text() | st.lists(pieces).map("".join)), max_size=4),
    st.sampled_from(Level),
)
def test_parse_raises_nothing_else(pairs: list[tuple[str, str]], level: Level) -> None:
    """Whatever is sent is read or refused as a bad request, and the warnings are safe in a header."""
    try:
        parsed = search_parameters.parse(tuple(pairs), level, Resource())
    except BadRequest:
        return

    for warning in parsed.warnings:
        assert warning.isascii()
        assert warning.isprintable()
        assert '"' not in warning
