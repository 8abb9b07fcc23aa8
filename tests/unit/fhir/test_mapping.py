"""DICOM attributes become FHIR elements (R4 ImagingStudy, Patient, Endpoint; docs/fhir-mapping.md)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dicom_core.fhir import mapping
from dicom_core.fhir.dose import COMPONENTS
from dicom_core.fhir.mapping import Options, Unmappable
from dicom_core.fhir.terminology import SYSTEMS
from tests.test_docs import table
from tests.unit.fhir.samples import CT, OPTIONS, SERIES, STUDY, at, code, data, mapped, of, row

DOCUMENT = (Path(__file__).parents[3] / "docs" / "fhir-mapping.md").read_text()

SCT = "http://snomed.info/sct"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
V2 = "http://terminology.hl7.org/CodeSystem/v2-0203"
ROLES = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"

Row = tuple[str, str, dict[str, Any], Any]

PATIENT: tuple[Row, ...] = (
    ("Patient.identifier[0].value", "(0010,0020)", {"PatientID": "P-1"}, "P-1"),
    (
        "Patient.identifier[0].type",
        "(0010,0020)",
        {"PatientID": "P-1"},
        {"coding": [{"system": V2, "code": "MR"}]},
    ),
    (
        "Patient.identifier[0].system",
        "(0010,0024), (0010,0021), setting",
        {"IssuerOfPatientID": "HOSPITAL A"},
        "HOSPITAL%20A",
    ),
    (
        "Patient.identifier[0].assigner",
        "(0010,0024), (0010,0021)",
        {"IssuerOfPatientID": "HOSPITAL A"},
        {"display": "HOSPITAL A"},
    ),
    (
        "Patient.identifier[1]",
        "(0010,1002)",
        {"OtherPatientIDsSequence": {"PatientID": "X9", "IssuerOfPatientID": "2.16.840.1"}},
        {
            "use": "secondary",
            "system": "urn:oid:2.16.840.1",
            "value": "X9",
            "assigner": {"display": "2.16.840.1"},
        },
    ),
    (
        "Patient.name[0]",
        "(0010,0010)",
        {"PatientName": "Doe^Jane Ann^Mary^Dr.^MD"},
        {
            "use": "usual",
            "family": "Doe",
            "given": ["Jane Ann", "Mary"],
            "prefix": ["Dr."],
            "suffix": ["MD"],
        },
    ),
    ("Patient.gender", "(0010,0040)", {"PatientSex": "F"}, "female"),
    ("Patient.birthDate", "(0010,0030)", {"PatientBirthDate": "19700131"}, "1970-01-31"),
)

ENDPOINT: tuple[Row, ...] = (
    ("Endpoint.identifier[0].value", "address", {}, OPTIONS.base_url),
    ("Endpoint.identifier[0].system", "address", {}, "urn:ietf:rfc:3986"),
    ("Endpoint.status", "constant", {}, "active"),
    ("Endpoint.connectionType.code", "constant", {}, "dicom-wado-rs"),
    ("Endpoint.name", "constant", {}, "DICOMweb"),
    ("Endpoint.payloadType", "constant", {}, [{"text": "DICOM WADO-RS"}]),
    ("Endpoint.payloadMimeType", "constant", {}, ["application/dicom"]),
    ("Endpoint.address", "address", {}, OPTIONS.base_url),
)

IMAGING_STUDY: tuple[Row, ...] = (
    ("ImagingStudy.meta.source", "address", {}, OPTIONS.base_url),
    (
        "ImagingStudy.identifier[0]",
        "(0020,000D)",
        {},
        {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"},
    ),
    (
        "ImagingStudy.identifier[1]",
        "(0008,0050), (0008,0051)",
        {
            "AccessionNumber": "A7",
            "IssuerOfAccessionNumberSequence": {
                "LocalNamespaceEntityID": "RIS",
                "UniversalEntityID": "1.2.9",
                "UniversalEntityIDType": "ISO",
            },
        },
        {
            "type": {"coding": [{"system": V2, "code": "ACSN"}]},
            "system": "urn:oid:1.2.9",
            "value": "A7",
            "assigner": {"display": "RIS"},
        },
    ),
    ("ImagingStudy.status", "constant", {}, "available"),
    ("ImagingStudy.modality", "(0008,0061)", {"Modality": "MR"}, [{"system": DCM, "code": "MR"}]),
    (
        "ImagingStudy.encounter",
        "(0038,0010), (0038,0014)",
        {"AdmissionID": "V3"},
        {
            "type": "Encounter",
            "identifier": {"type": {"coding": [{"system": V2, "code": "VN"}]}, "value": "V3"},
        },
    ),
    (
        "ImagingStudy.started",
        "(0008,0020), (0008,0030), (0008,0201)",
        {"StudyDate": "20260131", "StudyTime": "1015", "TimezoneOffsetFromUTC": "-0530"},
        "2026-01-31T10:15:00-05:30",
    ),
    (
        "ImagingStudy.basedOn",
        "(0040,0275) (0008,0050), (0008,0050)",
        {
            "AccessionNumber": "A7",
            "RequestAttributesSequence": [
                {"AccessionNumber": "A8", "RequestedProcedureDescription": "CT head"},
                {"AccessionNumber": "A8"},
            ],
        },
        [
            {
                "type": "ServiceRequest",
                "identifier": {"type": {"coding": [{"system": V2, "code": "ACSN"}]}, "value": "A8"},
                "display": "CT head",
            },
            {
                "type": "ServiceRequest",
                "identifier": {"type": {"coding": [{"system": V2, "code": "ACSN"}]}, "value": "A7"},
            },
        ],
    ),
    (
        "ImagingStudy.referrer",
        "(0008,0090), (0008,0096)",
        {
            "ReferringPhysicianName": "Ray^X^^Dr",
            "ReferringPhysicianIdentificationSequence": {
                "PersonIdentificationCodeSequence": code("L17", "SCT", "x")
            },
        },
        {"type": "Practitioner", "identifier": {"system": SCT, "value": "L17"}, "display": "Dr X Ray"},
    ),
    (
        "ImagingStudy.interpreter",
        "(0008,1060), (0008,1062)",
        {"NameOfPhysiciansReadingStudy": ["One^A", "Two^B"]},
        [{"type": "Practitioner", "display": "A One"}, {"type": "Practitioner", "display": "B Two"}],
    ),
    ("ImagingStudy.numberOfSeries", "counted", {}, 1),
    ("ImagingStudy.numberOfInstances", "counted", {}, 1),
    (
        "ImagingStudy.procedureCode",
        "(0008,1032)",
        {"ProcedureCodeSequence": code("24627-2", "LN", "CT Chest")},
        [
            {
                "coding": [{"system": "http://loinc.org", "code": "24627-2", "display": "CT Chest"}],
                "text": "CT Chest",
            }
        ],
    ),
    (
        "ImagingStudy.location",
        "(0008,0080), (0008,1040)",
        {"InstitutionName": "St. Elsewhere", "InstitutionalDepartmentName": "Radiology"},
        {"display": "St. Elsewhere, Radiology"},
    ),
    (
        "ImagingStudy.reasonCode",
        "(0040,1012), (0040,0275) (0040,100A), (0040,0275) (0040,1002)",
        {
            "ReasonForPerformedProcedureCodeSequence": code("R05", "I10", "Cough"),
            "RequestAttributesSequence": {"ReasonForTheRequestedProcedure": "not this"},
        },
        [
            {
                "coding": [{"system": "http://hl7.org/fhir/sid/icd-10", "code": "R05", "display": "Cough"}],
                "text": "Cough",
            }
        ],
    ),
    ("ImagingStudy.note", "(0008,1030)", {"StudyDescription": "Chest CT"}, [{"text": "Chest CT"}]),
    ("ImagingStudy.description", "(0008,1030)", {"StudyDescription": "Chest CT"}, "Chest CT"),
    ("ImagingStudy.series[0].uid", "(0020,000E)", {}, SERIES),
    ("ImagingStudy.series[0].number", "(0020,0011)", {"SeriesNumber": 0}, 0),
    ("ImagingStudy.series[0].modality", "(0008,0060)", {"Modality": "CT"}, {"system": DCM, "code": "CT"}),
    ("ImagingStudy.series[0].description", "(0008,103E)", {"SeriesDescription": "Axial"}, "Axial"),
    ("ImagingStudy.series[0].numberOfInstances", "counted", {}, 1),
    (
        "ImagingStudy.series[0].bodySite",
        "(0008,2218), (0018,0015)",
        {"BodyPartExamined": "CHEST"},
        {"system": SCT, "code": "816094009", "display": "Chest"},
    ),
    (
        "ImagingStudy.series[0].laterality",
        "(0020,0060), (0020,0062)",
        {"Laterality": "L"},
        {"system": SCT, "code": "419161000", "display": "Unilateral left"},
    ),
    (
        "ImagingStudy.series[0].started",
        "(0008,0021), (0008,0031), (0008,0201), (0040,0244), (0040,0245)",
        {"SeriesDate": "20260131", "SeriesTime": "101530.5", "TimezoneOffsetFromUTC": "+0100"},
        "2026-01-31T10:15:30.5+01:00",
    ),
    (
        "ImagingStudy.series[0].performer[0]",
        "(0008,1050), (0008,1052)",
        {"PerformingPhysicianName": "Per^Form"},
        {
            "function": {"coding": [{"system": ROLES, "code": "PRF"}]},
            "actor": {"type": "Practitioner", "display": "Form Per"},
        },
    ),
    (
        "ImagingStudy.series[0].performer[0]",
        "(0008,1070), (0008,1072)",
        {"OperatorsName": "Tech^Nick"},
        {
            "function": {"coding": [{"system": ROLES, "code": "SPRF"}]},
            "actor": {"type": "Practitioner", "display": "Nick Tech"},
        },
    ),
    ("ImagingStudy.series[0].instance[0].uid", "(0008,0018)", {}, f"{SERIES}.0"),
    (
        "ImagingStudy.series[0].instance[0].sopClass",
        "(0008,0016)",
        {},
        {"system": "urn:ietf:rfc:3986", "code": f"urn:oid:{CT}"},
    ),
    ("ImagingStudy.series[0].instance[0].number", "(0020,0013)", {"InstanceNumber": 7}, 7),
    (
        "ImagingStudy.series[0].instance[0].title",
        "(0070,0080), (0040,A043), (0042,0010), (0008,0008)",
        {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        "ORIGINAL\\PRIMARY\\AXIAL",
    ),
)

REFERENCES = {
    ("ImagingStudy.subject", "Patient"),
    ("ImagingStudy.endpoint", "Endpoint"),
    ("ImagingStudy.series.endpoint", "Endpoint"),
}

ROWS = PATIENT + ENDPOINT + IMAGING_STUDY


@pytest.mark.parametrize(("path", "tags", "elements", "expected"), ROWS, ids=[f"{r[0]}-{r[1]}" for r in ROWS])
def test_element_comes_from_its_attributes(
    path: str, tags: str, elements: dict[str, Any], expected: Any
) -> None:
    """Each FHIR element has the value of the DICOM attributes that the table names."""
    assert at(of(**elements), path) == expected


def test_document_lists_every_element() -> None:
    """Rows of docs/fhir-mapping.md = rows that are tested here."""
    rows = {(re.sub(r"\[[0-9]+\]", "", path), tags) for path, tags, _, _ in ROWS}
    assert {row[:2] for row in table(DOCUMENT, "element", "from", "rule")} == rows | REFERENCES


VARIANTS: tuple[tuple[str, dict[str, Any], Any], ...] = (
    ("Patient.gender", {"PatientSex": "X"}, None),
    ("Patient.gender", {"PatientSex": "O"}, "other"),
    ("Patient.birthDate", {"PatientBirthDate": "197001"}, "1970-01"),
    ("Patient.birthDate", {"PatientBirthDate": "1970"}, "1970"),
    ("Patient.birthDate", {"PatientBirthDate": "19700000"}, "1970"),
    ("Patient.birthDate", {"PatientBirthDate": "19700100"}, "1970-01"),
    ("Patient.birthDate", {"PatientBirthDate": "1970.01.31"}, "1970-01-31"),
    ("Patient.birthDate", {"PatientBirthDate": "19701340"}, None),
    ("Patient.birthDate", {"PatientBirthDate": "00000000"}, None),
    ("Patient.birthDate", {"PatientBirthDate": "unknown"}, None),
    ("Patient.identifier[0].system", {}, "urn:example:patients"),
    ("Patient.identifier[0].system", {"IssuerOfPatientID": "A&1.2.5&ISO"}, "urn:oid:1.2.5"),
    ("Patient.identifier[0].assigner.display", {"IssuerOfPatientID": "A&1.2.5&ISO"}, "A"),
    ("Patient.identifier[0].system", {"IssuerOfPatientID": "http://a.org/ids"}, "http://a.org/ids"),
    ("Patient.identifier[0].system", {"IssuerOfPatientID": "http://a.org/a b"}, "http://a.org/a%20b"),
    (
        "Patient.identifier[0].system",
        {
            "IssuerOfPatientID": "A",
            "IssuerOfPatientIDQualifiersSequence": {
                "UniversalEntityID": "C6A4-B",
                "UniversalEntityIDType": "UUID",
            },
        },
        "urn:uuid:c6a4-b",
    ),
    (
        "Patient.identifier[0].system",
        {
            "IssuerOfPatientIDQualifiersSequence": {
                "UniversalEntityID": "a.org",
                "UniversalEntityIDType": "DNS",
            }
        },
        "a.org",
    ),
    ("Patient.identifier[1]", {"OtherPatientIDsSequence": {"PatientID": "P2"}}, None),
    (
        "Patient.identifier[1]",
        {
            "IssuerOfPatientID": "A",
            "OtherPatientIDsSequence": {"PatientID": "P1", "IssuerOfPatientID": "A"},
        },
        None,
    ),
    (
        "Patient.identifier[1].value",
        {"OtherPatientIDsSequence": [{}, {"PatientID": "P2", "IssuerOfPatientID": "A"}]},
        "P2",
    ),
    ("Patient.name", {"PatientName": "^^^^"}, None),
    ("Patient.name[0]", {"PatientName": "Anonymous"}, {"use": "usual", "family": "Anonymous"}),
    ("Patient.name[1].family", {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"}, "山田"),
    (
        "Patient.name[2].extension",
        {"PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう"},
        [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation",
                "valueCode": "SYL",
            }
        ],
    ),
    ("Patient.name[0].extension[0].valueCode", {"PatientName": "=山田^太郎"}, "IDE"),
    ("ImagingStudy.started", {"StudyTime": "101500"}, None),
    ("ImagingStudy.started", {"StudyDate": "20260131", "StudyTime": "101500"}, "2026-01-31"),
    (
        "ImagingStudy.started",
        {"StudyDate": "20260131", "StudyTime": "10", "TimezoneOffsetFromUTC": "+0000"},
        "2026-01-31",
    ),
    (
        "ImagingStudy.started",
        {"StudyDate": "20260131", "StudyTime": "235960", "TimezoneOffsetFromUTC": "-0000"},
        "2026-01-31T23:59:59+00:00",
    ),
    (
        "ImagingStudy.started",
        {"StudyDate": "20260131", "StudyTime": "101500", "TimezoneOffsetFromUTC": "+1430"},
        "2026-01-31",
    ),
    (
        "ImagingStudy.started",
        {"StudyDate": "202601", "StudyTime": "1015", "TimezoneOffsetFromUTC": "+0100"},
        "2026-01",
    ),
    ("ImagingStudy.started", {"StudyDate": "20260230"}, None),
    ("ImagingStudy.identifier[1]", {"AccessionNumber": " "}, None),
    ("ImagingStudy.basedOn", {}, None),
    ("ImagingStudy.modality", {}, None),
    ("ImagingStudy.series[0].modality.code", {}, "OT"),
    ("ImagingStudy.series[0].number", {"SeriesNumber": -1}, None),
    ("ImagingStudy.series[0].number", {"SeriesNumber": 1 << 31}, None),
    ("ImagingStudy.series[0].number", {"SeriesNumber": "4a"}, None),
    ("ImagingStudy.series[0].number", {"SeriesNumber": True}, None),
    ("ImagingStudy.series[0].modality.code", {"Modality": "C  T"}, "C T"),
    (
        "ImagingStudy.series[0].bodySite",
        {"BodyPartExamined": "tspine"},
        {"system": SCT, "code": "122495006", "display": "Thoracic spine"},
    ),
    ("ImagingStudy.series[0].bodySite", {"BodyPartExamined": "L ANKLE 2"}, {"display": "L ANKLE 2"}),
    (
        "ImagingStudy.series[0].bodySite",
        {"BodyPartExamined": "CHEST", "AnatomicRegionSequence": code("T-D4000", "SRT", "Abdomen")},
        {"system": SCT, "code": "818981001", "display": "Abdomen"},
    ),
    ("ImagingStudy.series[0].laterality", {"Laterality": "U"}, None),
    ("ImagingStudy.series[0].laterality.code", {"ImageLaterality": "R"}, "419465000"),
    (
        "ImagingStudy.series[0].started",
        {"PerformedProcedureStepStartDate": "20260131", "PerformedProcedureStepStartTime": "1015"},
        "2026-01-31",
    ),
    (
        "ImagingStudy.procedureCode",
        {
            "ProcedureCodeSequence": [code("C1", "99LOCAL", "Ours"), code("C1", "99LOCAL", "Ours")],
            "CodingSchemeIdentificationSequence": {
                "CodingSchemeDesignator": "99LOCAL",
                "CodingSchemeUID": "1.2.7",
            },
        },
        [{"coding": [{"system": "urn:oid:1.2.7", "code": "C1", "display": "Ours"}], "text": "Ours"}],
    ),
    (
        "ImagingStudy.procedureCode",
        {"ProcedureCodeSequence": code("C  1", "99LOCAL", "Ours")},
        [{"coding": [{"code": "C 1", "display": "Ours (99LOCAL)"}], "text": "Ours"}],
    ),
    (
        "ImagingStudy.procedureCode",
        {"ProcedureCodeSequence": [{"CodeMeaning": "Ours"}, {}]},
        [{"text": "Ours"}],
    ),
    (
        "ImagingStudy.procedureCode[0].coding",
        {"ProcedureCodeSequence": {"LongCodeValue": "1234567890123456789", "CodingSchemeDesignator": "SCT"}},
        [{"system": SCT, "code": "1234567890123456789"}],
    ),
    (
        "ImagingStudy.procedureCode[0].coding",
        {"ProcedureCodeSequence": {"URNCodeValue": "urn:oid:1.2.3"}},
        [{"system": "urn:ietf:rfc:3986", "code": "urn:oid:1.2.3"}],
    ),
    (
        "ImagingStudy.reasonCode",
        {"RequestAttributesSequence": {"ReasonForTheRequestedProcedure": "Cough"}},
        [{"text": "Cough"}],
    ),
    (
        "ImagingStudy.interpreter",
        {
            "NameOfPhysiciansReadingStudy": ["One^A", "Two^B"],
            "PhysiciansReadingStudyIdentificationSequence": {
                "PersonIdentificationCodeSequence": code("L17", "SCT", "x")
            },
        },
        [{"type": "Practitioner", "display": "A One"}, {"type": "Practitioner", "display": "B Two"}],
    ),
    ("ImagingStudy.referrer.display", {"ReferringPhysicianName": "=山田^太郎"}, "山田 太郎"),
    ("ImagingStudy.series[0].instance[0].title", {"ContentLabel": "SEG", "ImageType": ["ORIGINAL"]}, "SEG"),
    (
        "ImagingStudy.series[0].instance[0].title",
        {"ConceptNameCodeSequence": code("126000", "DCM", "Imaging Measurement Report")},
        "Imaging Measurement Report",
    ),
    ("ImagingStudy.description", {"StudyDescription": " a\u3000b\x00\x1b\x85 "}, "a b"),
    ("ImagingStudy.description", {"StudyDescription": "x" * 70}, "x" * 70),
)


@pytest.mark.parametrize(("path", "elements", "expected"), VARIANTS)
def test_element_of_unusual_values(path: str, elements: dict[str, Any], expected: Any) -> None:
    """What cannot be mapped is left out; what is partly known is mapped as far as FHIR can say it."""
    assert at(of(**elements), path) == expected


@pytest.mark.parametrize("value", ["", " ", "\0"])
def test_resources_without_patient_id_are_refused(value: str) -> None:
    """A study without a Patient ID is refused; the text names the tag."""
    with pytest.raises(Unmappable, match=r"^\(0010,0020\) PatientID is missing or empty$"):
        of(PatientID=value, PatientName="Doe^Jane")


def test_references_are_the_full_urls_of_their_entries() -> None:
    """What refers to another resource does so by its full URL, which stands before it."""
    desired = of()
    patient, endpoint = {"reference": desired.patient.full_url}, {"reference": desired.endpoint.full_url}
    assert at(desired, "ImagingStudy.subject") == patient
    assert at(desired, "ImagingStudy.endpoint") == [endpoint]
    assert at(desired, "ImagingStudy.series[0].endpoint") == [endpoint]
    assert [entry.type for entry in desired.entries] == ["Patient", "Endpoint", "ImagingStudy"]


def test_full_urls_are_those_of_the_identifiers() -> None:
    """The same identifiers make the same full URLs, other ones others."""
    one, again, other = of(), of(PatientName="Doe"), of(PatientID="P2")
    assert [entry.full_url for entry in one.entries] == [entry.full_url for entry in again.entries]
    assert one.patient.full_url != other.patient.full_url
    assert len({entry.full_url for entry in one.entries}) == 3
    assert all(entry.full_url.startswith("urn:uuid:") for entry in one.entries)


def test_identifiers_find_what_was_made() -> None:
    """Each entry says what finds it; what has a meaning in searches is escaped (R4 3.1.1.5.4)."""
    desired = of(PatientID="a|b,c$d\\e")
    assert desired.patient.identifier == r"urn:example:patients|a\|b\,c\$d\\e"
    assert (
        desired.imaging_study.identifier
        == mapping.study_identifier(STUDY)
        == f"urn:dicom:uid|urn:oid:{STUDY}"
    )
    assert desired.endpoint.identifier == mapping.endpoint_identifier(OPTIONS)
    assert mapped([row(data(PatientID="P1"))], Options("https://a/v2")).patient.identifier == "|P1"


def test_study_answers_as_the_record_does() -> None:
    """Where instances disagree, the latest version that has a value decides."""
    old = data(PatientID="P1", StudyDescription="old", AccessionNumber="A1", Modality="CT")
    new = data(PatientID="P1", StudyDescription="new", Modality="MR")
    rows = [row(new, 2), row(old, 1), row(old, 0, series="1.2.3.5")]
    desired = mapped(rows)
    assert at(desired, "ImagingStudy.description") == "new"
    assert at(desired, "ImagingStudy.identifier[1].value") == "A1"
    assert [one["code"] for one in at(desired, "ImagingStudy.modality")] == ["CT", "MR"]
    assert at(desired, "ImagingStudy.series[0].modality.code") == "MR"
    assert at(desired, "ImagingStudy.numberOfInstances") == 3
    assert [one["uid"] for one in at(desired, "ImagingStudy.series")] == [SERIES, "1.2.3.5"]
    assert mapped(rows[::-1]) == desired


def test_issuer_of_another_patient_id_is_not_taken() -> None:
    """What qualifies a Patient ID comes from an instance that has this ID."""
    qualified = data(
        PatientID="P1",
        IssuerOfPatientIDQualifiersSequence={"UniversalEntityID": "1.2.9", "UniversalEntityIDType": "ISO"},
        OtherPatientIDsSequence={"PatientID": "P7", "IssuerOfPatientID": "A"},
    )
    desired = mapped([row(qualified, 1), row(data(PatientID="P2"), 2, series="1.2.3.5")])
    assert at(desired, "Patient.identifier") == [
        {
            "use": "usual",
            "type": {"coding": [{"system": V2, "code": "MR"}]},
            "system": "urn:example:patients",
            "value": "P2",
        }
    ]


def test_laterality_of_one_of_several_images_is_not_taken() -> None:
    """Image Laterality tells of a series only where it has one image."""
    dataset = data(PatientID="P1", ImageLaterality="L")
    assert at(mapped([row(dataset, 1), row(dataset, 2)]), "ImagingStudy.series[0].laterality") is None


def test_wanted_is_the_latest_instance_of_each_series() -> None:
    """Of each series one header is read: that of the latest version."""
    dataset = data(PatientID="P1")
    rows = [row(dataset, number, series=f"1.2.{number % 2}") for number in range(6)]
    for order in (rows, rows[::-1]):
        assert sorted(one.instance for one in mapping.wanted(order)) == [f"{SERIES}.4", f"{SERIES}.5"]


def test_headers_that_have_gone_are_done_without() -> None:
    """A header that was deleted meanwhile takes nothing with it but what only it holds."""
    rows = [row(data(PatientID="P1", SeriesDescription="Axial", ImageLaterality="L"))]
    desired = mapping.resources(rows, [], OPTIONS)
    assert at(desired, "ImagingStudy.series[0].description") == "Axial"
    assert at(desired, "ImagingStudy.series[0].laterality") is None


def test_document_lists_every_coding_system() -> None:
    """Coding systems of docs/fhir-mapping.md = terminology.SYSTEMS."""
    assert table(DOCUMENT, "designator", "system") == list(SYSTEMS.items())


def test_document_lists_every_component() -> None:
    """Components of docs/fhir-mapping.md = dose.COMPONENTS."""
    rows = [(scheme, value, meaning) for (scheme, value), meaning in COMPONENTS.items()]
    assert table(DOCUMENT, "scheme", "code", "meaning") == rows
