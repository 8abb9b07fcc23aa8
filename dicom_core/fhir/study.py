"""A study as the mapping sees it: its attributes, those of its series, its instances and its radiation dose reports."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

import orjson

from dicom_core import record
from dicom_core.fhir import datasets
from dicom_core.fhir.elements import schemes_of
from dicom_core.fhir.terminology import Schemes
from dicom_core.record import Dataset, Instance
from dicom_core.representations import metadata
from dicom_core.resources import Level, Resource

DOSE_REPORTS = frozenset({"113500", "113701"})
"""Codes (DCM) of the titles of radiation dose reports: of radiopharmaceuticals, of X-rays."""

_DOSE_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.88.67",  # X-Ray Radiation Dose SR
        "1.2.840.10008.5.1.4.1.1.88.68",  # Radiopharmaceutical Radiation Dose SR
    }
)
_REPORT_CLASSES = _DOSE_CLASSES | {
    "1.2.840.10008.5.1.4.1.1.88.22",  # Enhanced SR
    "1.2.840.10008.5.1.4.1.1.88.33",  # Comprehensive SR
    "1.2.840.10008.5.1.4.1.1.88.34",  # Comprehensive 3D SR
}

_OF_STUDY = (
    "00080051",  # IssuerOfAccessionNumberSequence
    "00080096",  # ReferringPhysicianIdentificationSequence
    "00081062",  # PhysiciansReadingStudyIdentificationSequence
    "00380010",  # AdmissionID
    "00380014",  # IssuerOfAdmissionIDSequence
    "00401012",  # ReasonForPerformedProcedureCodeSequence
)
_OF_PATIENT = (
    "00100024",  # IssuerOfPatientIDQualifiersSequence
    "00101002",  # OtherPatientIDsSequence
)
_OF_SERIES = (
    "00081052",  # PerformingPhysicianIdentificationSequence
    "00081072",  # OperatorIdentificationSequence
    "00082218",  # AnatomicRegionSequence
)
_IMAGE_LATERALITY = "00200062"


@dataclass(frozen=True, slots=True)
class Series:
    """A series: what it answers, with what only the header of its latest version holds, and its rows."""

    uid: str
    dataset: Dataset
    rows: tuple[Instance, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """A radiation dose report: its SOP Instance UID and its whole data set."""

    uid: str
    dataset: Dataset


@dataclass(frozen=True, slots=True)
class Study:
    """A study: what it answers, with what only headers hold; series by UID, dose reports from the latest version on."""

    uid: str
    dataset: Dataset
    series: tuple[Series, ...]
    reports: tuple[Report, ...]
    schemes: Schemes


def wanted(rows: Sequence[Instance]) -> list[Resource]:
    """The instances whose headers are needed: the latest version of each series, and radiation dose reports."""
    latest: dict[str, Instance] = {}
    for row in rows:
        known = latest.get(row.series)
        if known is None or row.version > known.version:
            latest[row.series] = row
    return [row.resource for row in rows if latest[row.series] is row or _may_be_report(row)]


def assemble(rows: Sequence[Instance], headers: Iterable[Instance]) -> Study:
    """Fold the rows of a study (`record.answers`), and add what only the headers of some of them hold."""
    read = sorted((row for row in headers if row.header), key=attrgetter("version"), reverse=True)
    whole = [(row, orjson.loads(metadata.unpack(row.header))) for row in read]
    answer = record.study_answer(rows)
    same_patient = [dataset for _, dataset in whole if _patient(dataset) == _patient(answer)]
    of_series: dict[str, list[Dataset]] = {}
    for row, dataset in whole:
        of_series.setdefault(row.series, []).append(dataset)
    return Study(
        uid=rows[0].study,
        dataset=datasets.first((dataset for _, dataset in whole), _OF_STUDY)
        | datasets.first(same_patient, _OF_PATIENT)
        | answer,
        series=tuple(
            _series(one, of_series.get(str(one.resource.series), []))
            for one in record.answers(rows, Level.SERIES)
        ),
        reports=tuple(Report(row.instance, dataset) for row, dataset in whole if _is_report(dataset)),
        schemes=schemes_of(dataset for _, dataset in whole),
    )


def _series(answer: record.Answer, headers: Sequence[Dataset]) -> Series:
    # What tells of one image tells of the series only where there is no other.
    more = (*_OF_SERIES, _IMAGE_LATERALITY) if len(answer.rows) == 1 else _OF_SERIES
    dataset = datasets.first(headers, more) | answer.dataset
    return Series(str(answer.resource.series), dataset, answer.rows)


def _patient(dataset: Dataset) -> str:
    return datasets.text(dataset, "00100020")


def _may_be_report(row: Instance) -> bool:
    """Say if an instance may be a dose report: its row holds the title of its content, unless it is older than that."""
    if row.sop_class not in _REPORT_CLASSES:
        return False
    title = datasets.item(row.attributes.get(Level.INSTANCE, {}), "0040A043")
    return row.sop_class in _DOSE_CLASSES or datasets.text(title, "00080100") in DOSE_REPORTS


def _is_report(dataset: Dataset) -> bool:
    title = datasets.item(dataset, "0040A043")
    return datasets.text(title, "00080100") in DOSE_REPORTS and bool(datasets.items(dataset, "0040A730"))
