"""The attributes that Search knows: by which it matches and which it returns (PS3.18 10.6.1.2.3, 10.6.3.3).

`TABLE` is the union of what PS3.18 requires, what the Azure DICOM service (v2) knows, and what viewers ask
for by includefield. All of it is kept in the row of each instance, so that a search for it needs no header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydicom import datadict

from dicom_core.resources import Level

Dataset = dict[str, Any]
"""A data set as DICOM JSON (PS3.18 F.2); its home for users is `record.Dataset`."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of PS3.6: `tag` in 8 upper-case hex digits, `keyword` empty if it is private.

    `searchable` says if it can be a match parameter, a sequence by what is in it; `returned` if it is in an
    answer that asked for nothing.
    """

    keyword: str
    tag: str
    vr: str
    level: Level
    searchable: bool
    returned: bool


_ROWS = {
    Level.STUDY: """
        00080005 CS -      return SpecificCharacterSet
        00080020 DA search return StudyDate
        00080030 TM search return StudyTime
        00080050 SH search return AccessionNumber
        00080056 CS -      return InstanceAvailability
        00080061 CS search return ModalitiesInStudy
        00080062 UI search -      SOPClassesInStudy
        00080063 SQ search -      AnatomicRegionsInStudyCodeSequence
        00080090 PN search return ReferringPhysicianName
        00080201 SH -      return TimezoneOffsetFromUTC
        00081030 LO search return StudyDescription
        00081032 SQ search -      ProcedureCodeSequence
        00081048 PN search -      PhysiciansOfRecord
        00081060 PN search -      NameOfPhysiciansReadingStudy
        00081080 LO search -      AdmittingDiagnosesDescription
        00081110 SQ search -      ReferencedStudySequence
        00081190 UR -      return RetrieveURL
        00100010 PN search return PatientName
        00100020 LO search return PatientID
        00100021 LO search -      IssuerOfPatientID
        00100030 DA search return PatientBirthDate
        00100032 TM search -      PatientBirthTime
        00100040 CS search return PatientSex
        00101000 LO search -      OtherPatientIDs
        00101010 AS search -      PatientAge
        00101020 DS search -      PatientSize
        00101030 DS search -      PatientWeight
        00102180 SH search -      Occupation
        001021B0 LT -      -      AdditionalPatientHistory
        00120020 LO search -      ClinicalTrialProtocolID
        00120040 LO search -      ClinicalTrialSubjectID
        0020000D UI search return StudyInstanceUID
        00200010 SH search return StudyID
        00201206 IS -      return NumberOfStudyRelatedSeries
        00201208 IS -      return NumberOfStudyRelatedInstances
        00321032 PN search -      RequestingPhysician
        00321060 LO search -      RequestedProcedureDescription
    """,
    Level.SERIES: """
        00080005 CS -      return SpecificCharacterSet
        00080021 DA search -      SeriesDate
        00080031 TM search -      SeriesTime
        00080060 CS search return Modality
        00080070 LO search -      Manufacturer
        00080080 LO search -      InstitutionName
        00080201 SH -      return TimezoneOffsetFromUTC
        00081010 SH search -      StationName
        0008103E LO search return SeriesDescription
        00081040 LO search -      InstitutionalDepartmentName
        00081050 PN search -      PerformingPhysicianName
        00081070 PN search -      OperatorsName
        00081090 LO search return ManufacturerModelName
        00081190 UR -      return RetrieveURL
        00180015 CS search -      BodyPartExamined
        00181030 LO search -      ProtocolName
        00185100 CS search -      PatientPosition
        0020000E UI search return SeriesInstanceUID
        00200011 IS search return SeriesNumber
        00200052 UI search -      FrameOfReferenceUID
        00200060 CS search -      Laterality
        00201209 IS -      return NumberOfSeriesRelatedInstances
        00400244 DA search return PerformedProcedureStepStartDate
        00400245 TM search return PerformedProcedureStepStartTime
        00400253 SH search -      PerformedProcedureStepID
        00400254 LO search -      PerformedProcedureStepDescription
        00400275 SQ search return RequestAttributesSequence
    """,
    Level.INSTANCE: """
        00080005 CS -      return SpecificCharacterSet
        00080008 CS search -      ImageType
        00080012 DA search -      InstanceCreationDate
        00080013 TM search -      InstanceCreationTime
        00080016 UI search return SOPClassUID
        00080018 UI search return SOPInstanceUID
        00080022 DA search -      AcquisitionDate
        00080023 DA search -      ContentDate
        0008002A DT search -      AcquisitionDateTime
        00080032 TM search -      AcquisitionTime
        00080033 TM search -      ContentTime
        00080056 CS -      return InstanceAvailability
        00080201 SH -      return TimezoneOffsetFromUTC
        00081190 UR -      return RetrieveURL
        00200012 IS search -      AcquisitionNumber
        00200013 IS search return InstanceNumber
        00280004 CS search -      PhotometricInterpretation
        00280008 IS -      return NumberOfFrames
        00280010 US -      return Rows
        00280011 US -      return Columns
        00280100 US -      return BitsAllocated
        0040A043 SQ search -      ConceptNameCodeSequence
        0040A491 CS search -      CompletionFlag
        0040A493 CS search -      VerificationFlag
        00420010 ST search -      DocumentTitle
        00420012 LO search -      MIMETypeOfEncapsulatedDocument
        00700080 CS search -      ContentLabel
        00700081 LO search -      ContentDescription
        00700082 DA search -      PresentationCreationDate
        00700083 TM search -      PresentationCreationTime
    """,
}
"""Tag, VR, whether it can be a match parameter, whether it is returned by default, keyword; by level."""

COMPUTED = frozenset({"00080056", "00080061", "00080062", "00081190", "00201206", "00201208", "00201209"})
"""What no instance tells of itself: counts, lists over a study, availability, and the RetrieveURL."""

TABLE = tuple(
    Attribute(keyword, tag, vr, level, searchable == "search", returned == "return")
    for level, rows in _ROWS.items()
    for tag, vr, searchable, returned, keyword in map(str.split, rows.strip().splitlines())
)

TAGS: Mapping[Level, tuple[str, ...]] = MappingProxyType(
    {level: tuple(row.tag for row in TABLE if row.level is level) for level in Level}
)
"""The tags of `TABLE` by level, in ascending order."""

RETURNED: Mapping[Level, tuple[str, ...]] = MappingProxyType(
    {level: tuple(row.tag for row in TABLE if row.level is level and row.returned) for level in Level}
)
"""The tags that are returned by default, by level."""

INDEXED_BY_VERSION_1 = frozenset(
    {
        "00080018",  # SOPInstanceUID
        "00080020",  # StudyDate
        "00080050",  # AccessionNumber
        "00080060",  # Modality
        "00080090",  # ReferringPhysicianName
        "00081030",  # StudyDescription
        "00081090",  # ManufacturerModelName
        "00100010",  # PatientName
        "00100020",  # PatientID
        "00100030",  # PatientBirthDate
        "0020000D",  # StudyInstanceUID
        "0020000E",  # SeriesInstanceUID
        "00400244",  # PerformedProcedureStepStartDate
    }
)
"""The tags that version 1 of the Azure DICOM service indexes, and whose values it validates."""

MOST_VALUES = 4
"""Values of an attribute whose value multiplicity is 1 (PS3.6) that searches know; more are a mistake of the sender."""

_SINGLE = frozenset(
    row.tag for row in TABLE if datadict.dictionary_VM(int(row.tag, 16)) == "1" and row.vr != "SQ"
)
_STORED = {level: tuple(tag for tag in TAGS[level] if tag not in COMPUTED) for level in Level}
_HINTS = {
    Level.STUDY: tuple(
        row.tag
        for row in TABLE
        if row.level is Level.STUDY and row.searchable and row.vr != "SQ" and row.tag not in COMPUTED
    ),
    Level.SERIES: ("00080060",),  # for ModalitiesInStudy
    Level.INSTANCE: ("00080016",),  # for SOPClassesInStudy
}
_KNOWN = {
    name: attribute
    for attribute in reversed(TABLE)  # of an attribute at several levels, the highest is found
    for name in (attribute.keyword, attribute.tag)
}


def find(name: str) -> Attribute | None:
    """Look an attribute up by its keyword or its tag in 8 hex digits (PS3.18 8.3.4.1).

    Attributes outside of `TABLE` are those of PS3.6, and private ones by tag; they are not searchable.
    """
    attribute = _KNOWN.get(name)
    if attribute is not None:
        return attribute
    if _is_tag(name):
        return _KNOWN.get(name.upper()) or _of_tag(int(name, 16))
    number = datadict.tag_for_keyword(name) if name else None  # entries without a keyword are found by ""
    return None if number is None else _of_tag(number)


def is_in_table(tag: str) -> bool:
    """Say if the rows of the record keep an attribute, or a search computes it."""
    return tag in _KNOWN


def is_empty(element: Mapping[str, Any]) -> bool:
    """Say if an element of a data set has no value, or none that says anything."""
    values = element.get("Value")
    if not values:
        return True
    first = values[0]
    if first.__class__ is not dict:
        return not (first or first == 0 or any(values))
    return not any(first.values()) and not any(values[1:])


def values_of(dataset: Mapping[str, Any], tag: str) -> list[Any]:
    """The values of an attribute in a data set; none if it is missing or empty."""
    element = dataset.get(tag)
    return [] if element is None or is_empty(element) else list(element["Value"])


def extract(dataset: Mapping[str, Any]) -> dict[Level, Dataset]:
    """Pick the attributes of `TABLE` that have a value out of the whole data set of an instance, by level."""
    return {level: _pick(dataset, tags) for level, tags in _STORED.items()}


def hint(dataset: Mapping[str, Any]) -> dict[Level, Dataset]:
    """Pick what decides which searches for studies an instance may come to match (`query.candidate`)."""
    return {level: _pick(dataset, tags) for level, tags in _HINTS.items()}


def _pick(dataset: Mapping[str, Any], tags: Iterable[str]) -> Dataset:
    get = dataset.get
    return {
        tag: _few(tag, element) for tag in tags if (element := get(tag)) is not None and not is_empty(element)
    }


def _few(tag: str, element: dict[str, Any]) -> dict[str, Any]:
    """An element without values that it must not have, but for a few: each can be looked for, and costs rows."""
    if len(element["Value"]) <= MOST_VALUES or tag not in _SINGLE:
        return element
    return {**element, "Value": element["Value"][:MOST_VALUES]}


def _is_tag(name: str) -> bool:
    return len(name) == 8 and all(character in "0123456789abcdefABCDEF" for character in name)


def _of_tag(number: int) -> Attribute | None:
    """Describe an attribute outside of `TABLE`; None if PS3.6 does not know it."""
    tag = f"{number:08X}"
    if number >> 16 & 1:
        return Attribute("", tag, "UN", Level.INSTANCE, searchable=False, returned=False)
    try:
        vr, keyword = datadict.dictionary_VR(number), datadict.dictionary_keyword(number)
    except KeyError:
        return None
    if vr == "NONE":  # delimiters of items are no attributes
        return None
    return Attribute(keyword, tag, vr.split(" ")[0], Level.INSTANCE, searchable=False, returned=False)
