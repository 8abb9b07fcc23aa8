"""Studies as the archive of a hospital has them, as rows of the record: ten years, and patients who come back.

All of it follows from a seed, and the first studies are the same however many are made. They are in no order of time:
the first thousand cover the ten years as the first ten thousand do.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
from collections.abc import Container, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from random import Random
from typing import Any

import orjson

from benchmarks import people
from benchmarks.people import Name, Patient
from dicom_core import attributes, versions
from dicom_core.ports import Transaction
from dicom_core.record import Dataset, Instance
from dicom_core.resources import DEFAULT_PARTITION, Level

SEED = 20260131
FIRST_DAY, LAST_DAY = date(2017, 1, 1), date(2026, 12, 31)

NEW_PATIENTS = 0.4
"""The share of studies that are a patient's first. Any other is of the patient of one of the `RECENT` studies before
it: who came often comes again, and visits follow a power law."""

RECENT = 1_000

MOST_SERIES, MOST_INSTANCES = 4, 3
"""Of a study, and of a series: the index depends on studies, and small ones are made in less time."""

_PROCEDURES = """
    120|DX         |CHEST    |Chest PA and lateral          |PA;Lateral
     70|DX         |CHEST    |Thorax p.a. im Stehen         |p.a.
     45|DX         |KNEE     |Knee AP/LAT right             |AP;LAT
     40|DX         |HAND     |Main gauche, face et oblique  |Face;Oblique
     25|CR         |CHEST    |胸部単純X線撮影               |正面
     25|CR         |PELVIS   |Beckenübersicht               |a.p.
     20|CR         |FOOT     |Pied droit, 3 incidences      |Face;Profil;Oblique
     50|CT,CT,SR   |HEAD     |CT Head without contrast      |Axial 5.0;Bone 1.0;Dose report
     45|CT,CT,CT,SR|ABDOMEN  |CT Abdomen/Pelvis w contrast  |Scout;Portal venous 1.0;Coronal MPR;Dose report
     35|CT,CT,CT,SR|CHEST    |CT Thorax mit KM              |Topogramm;Thorax 1.0 B70f;Thorax 5.0 B31f;Dosis
     15|CT,CT,CT   |CHEST    |Thorax^1_Routine (Adult)      |Topogram;Lung 1.0;Mediastinum 3.0
     10|CT,CT      |NECK     |Angio-scanner des TSA         |Artériel 0.6;MIP
     10|CT,CT      |CHEST    |胸部CT                        |肺野条件;縦隔条件
     30|MR,MR,MR,MR|HEAD     |MRI Brain w/o contrast        |t1_tse_sag;t2_tse_tra;t2_flair;ep2d_diff
     25|MR,MR,MR   |SPINE    |MRT LWS nativ                 |t2_sag;t1_sag;t2_tra
     20|MR,MR,MR   |KNEE     |IRM du genou droit            |DP FS sag;DP FS cor;T1 cor
     10|MR,MR,SR   |PROSTATE |MRI Prostate multiparametric  |T2 tra;DWI b1400;PI-RADS
      8|MR,MR      |HEAD     |頭部MRI                       |T2WI;MRA
     60|US         |ABDOMEN  |US Abdomen complete           |Abdomen
     40|US         |UTERUS   |Obstetric ultrasound          |2nd trimester
     30|US         |THYROID  |Échographie thyroïdienne      |Thyroïde
     20|US,US      |HEART    |Echocardiography transthoracic|PLAX;A4C
     35|MG,MG,MG,MG|BREAST   |Mammography screening         |R CC;L CC;R MLO;L MLO
     12|MG,MG,US   |BREAST   |Mammographie beidseits        |R MLO;L MLO;Sonographie
     20|XA,XA      |HEART    |Coronary angiography          |LCA;RCA
     10|RF         |ESOPHAGUS|Barium swallow                |Swallow
     12|NM,NM      |SKELETON |Bone scintigraphy whole body  |Anterior;Posterior
     15|PT,CT,CT   |WHOLEBODY|PET/CT FDG skull base to thigh|PET AC;CT AC;CT diagnostic
      8|ES         |COLON    |Colonoscopy                   |Colon
      8|PX         |JAW      |Orthopantomogram              |OPG
     10|OT         |CHEST    |Externe Voraufnahme Thorax    |Import
"""
"""Share, modality of each series (the last one of the rest, too), BodyPartExamined, StudyDescription, and
SeriesDescription of each series."""

_SOP_CLASSES = {
    "CR": "1.2.840.10008.5.1.4.1.1.1",
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "DX": "1.2.840.10008.5.1.4.1.1.1.1",
    "ES": "1.2.840.10008.5.1.4.1.1.77.1.1",
    "MG": "1.2.840.10008.5.1.4.1.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "NM": "1.2.840.10008.5.1.4.1.1.20",
    "OT": "1.2.840.10008.5.1.4.1.1.7",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
    "PX": "1.2.840.10008.5.1.4.1.1.1.1",
    "RF": "1.2.840.10008.5.1.4.1.1.12.2",
    "SR": "1.2.840.10008.5.1.4.1.1.88.67",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "XA": "1.2.840.10008.5.1.4.1.1.12.1",
}
_SITES = ("General Hospital", "Universitätsklinikum Süd", "Clinique Sainte-Élise", "中央病院")
_DAYS = (100, 105, 100, 100, 90, 25, 15)
"""Studies by day of the week, from Monday."""

_HOURS = (3, 2, 2, 2, 2, 3, 8, 40, 90, 100, 100, 90, 60, 70, 90, 80, 60, 35, 20, 12, 10, 8, 6, 4)
_PHYSICIANS = 60
_KNOWN = {row.keyword: row for row in attributes.TABLE}
_EXPLICIT_VR_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
_CHARACTER_SET = "ISO_IR 192"


@dataclass(frozen=True, slots=True)
class Procedure:
    """What is done in a study; each series has a modality and a description."""

    share: int
    series: tuple[tuple[str, str], ...]
    body_part: str
    description: str


@dataclass(frozen=True, slots=True)
class Study:
    """A study, as one transaction stores it."""

    transaction: Transaction
    instances: tuple[Instance, ...]

    @property
    def uid(self) -> str:
        """Its StudyInstanceUID."""
        return self.transaction.study

    @property
    def hint(self) -> dict[Level, Dataset]:
        """What the transaction is journalled with: that of its first instance, as a Store has it."""
        levels = self.instances[0].attributes
        return attributes.hint(levels[Level.STUDY] | levels[Level.SERIES] | levels[Level.INSTANCE])


@cache
def procedures() -> tuple[Procedure, ...]:
    """What can be done in a study."""
    found = []
    for line in _PROCEDURES.strip().splitlines():
        share, modalities, body_part, description, series = (cell.strip() for cell in line.split("|"))
        given = modalities.split(",")
        named = zip(itertools.chain(given, itertools.repeat(given[-1])), series.split(";"), strict=False)
        found.append(Procedure(int(share), tuple(named), body_part, description))
    return tuple(found)


def generate(count: int, seed: int = SEED, newest: Container[int] = ()) -> list[Study]:
    """The first studies of an archive."""
    return list(itertools.islice(archive(seed, newest), count))


def archive(seed: int = SEED, newest: Container[int] = ()) -> Iterator[Study]:
    """All studies of an archive, without end; the `newest`, by their numbers from 0, are of its last day."""
    random = Random(seed)
    physicians = [people.physician(random) for _ in range(_PHYSICIANS)]
    popularity = [1 / rank for rank in range(1, _PHYSICIANS + 1)]
    shares = [procedure.share for procedure in procedures()]
    days = [FIRST_DAY + timedelta(days) for days in range((LAST_DAY - FIRST_DAY).days + 1)]
    weights = list(itertools.accumulate(_DAYS[day.weekday()] for day in days))
    seen: list[Patient] = []
    patients = 0
    for number in itertools.count():
        if seen and random.random() >= NEW_PATIENTS:
            seen.append(seen[-random.randint(1, min(RECENT, len(seen)))])
        else:
            patients += 1
            seen.append(people.patient(random, patients))
        (day,) = random.choices(days, cum_weights=weights)
        (hour,) = random.choices(range(24), _HOURS)
        day = LAST_DAY if number in newest else day
        begin = datetime.combine(day, time(hour, random.randrange(60), random.randrange(60)))
        (procedure,) = random.choices(procedures(), shares)
        (physician,) = random.choices(physicians, popularity)
        yield _study(random, number, seen[-1], begin, procedure, physician)


def _study(
    random: Random, number: int, patient: Patient, begin: datetime, procedure: Procedure, physician: Name
) -> Study:
    uid = _uid(random)
    # Named by its number, not by the time, so that it is the same in each run.
    transaction = Transaction(f"{number:026d}", uid, DEFAULT_PARTITION)
    common = _of_study(random, number, patient, begin, procedure, physician)
    common |= _elements(StudyInstanceUID=uid)
    count = random.randint(1, len(procedure.series))
    site = _SITES[patient.number % len(_SITES)]
    instances: list[Instance] = []
    for ordinal, (modality, description) in enumerate(procedure.series[:count], 1):
        start = begin + timedelta(minutes=4 * ordinal)
        series = common | _of_series(ordinal, modality, description, start, procedure.body_part, site)
        series |= _elements(SeriesInstanceUID=_uid(random))
        levels = attributes.extract(series)
        for part in range(1, random.randint(1, MOST_INSTANCES) + 1):
            own = _of_instance(random, modality, part, start)
            version = versions.version_of(transaction.name, len(instances))
            instances.append(_instance(transaction, version, series, levels, own))
    return Study(transaction, tuple(instances))


def _of_study(
    random: Random, number: int, patient: Patient, begin: datetime, procedure: Procedure, physician: Name
) -> Dataset:
    """Attributes of patient and study; some are missing, as they are in real ones."""
    modality = procedure.series[0][0]
    return _elements(
        SpecificCharacterSet=_CHARACTER_SET,
        StudyDate=f"{begin:%Y%m%d}",
        StudyTime=f"{begin:%H%M%S}",
        AccessionNumber=f"{begin:%y}{modality}{number * 7_654_321 % 10**7:07d}"
        if random.random() < 0.97
        else None,
        ReferringPhysicianName=physician if random.random() < 0.9 else None,
        StudyDescription=procedure.description if random.random() < 0.95 else None,
        PatientName=patient.name,
        PatientID=patient.identifier,
        PatientBirthDate=f"{patient.birth:%Y%m%d}" if patient.birth else None,
        PatientSex=patient.sex,
        PatientAge=f"{(begin.date() - patient.birth).days // 365:03d}Y" if patient.birth else None,
        StudyID=str(number % 10_000 + 1),
        RequestedProcedureDescription=procedure.description,
    )


def _of_series(
    ordinal: int, modality: str, description: str, start: datetime, body_part: str, site: str
) -> Dataset:
    return _elements(
        SeriesDate=f"{start:%Y%m%d}",
        SeriesTime=f"{start:%H%M%S}",
        Modality=modality,
        Manufacturer="EXAMPLE MEDICAL",
        InstitutionName=site,
        StationName=f"{modality}{len(site)}01",
        SeriesDescription=description,
        ManufacturerModelName=f"Model {modality} 2",
        BodyPartExamined=body_part,
        ProtocolName=description,
        SeriesNumber=ordinal,
        PerformedProcedureStepStartDate=f"{start:%Y%m%d}",
        PerformedProcedureStepStartTime=f"{start:%H%M%S}",
    )


def _of_instance(random: Random, modality: str, part: int, start: datetime) -> Dataset:
    """Attributes of an instance: an image, but for a report."""
    own = _elements(
        SpecificCharacterSet=_CHARACTER_SET,
        SOPClassUID=_SOP_CLASSES[modality],
        SOPInstanceUID=_uid(random),
        ContentDate=f"{start:%Y%m%d}",
        ContentTime=f"{start:%H%M%S}",
        InstanceNumber=part,
    )
    if modality == "SR":
        return own | _elements(CompletionFlag="COMPLETE", VerificationFlag="UNVERIFIED")
    return own | _elements(
        ImageType=("ORIGINAL", "PRIMARY"),
        PhotometricInterpretation="RGB" if modality in ("ES", "US") else "MONOCHROME2",
        Rows=512,
        Columns=512,
        BitsAllocated=8 if modality in ("ES", "US") else 16,
    )


def _instance(
    transaction: Transaction, version: str, series: Dataset, levels: dict[Level, Dataset], own: Dataset
) -> Instance:
    uid: str = own["00080018"]["Value"][0]
    return Instance(
        study=transaction.study,
        series=series["0020000E"]["Value"][0],
        instance=uid,
        version=version,
        sop_class=own["00080016"]["Value"][0],
        transfer_syntax=_EXPLICIT_VR_LITTLE_ENDIAN,
        length=1 << 19,
        digest=hashlib.sha256(uid.encode()).hexdigest(),
        partition=transaction.partition,
        attributes=levels | {Level.INSTANCE: attributes.extract(own)[Level.INSTANCE]},
        header=gzip.compress(orjson.dumps(dict(sorted((series | own).items()))), 1, mtime=0),
    )


def _elements(**values: Any) -> Dataset:
    """A data set by keywords; None leaves an element out, a tuple is several values."""
    return {
        _KNOWN[keyword].tag: {
            "vr": _KNOWN[keyword].vr,
            "Value": list(value) if isinstance(value, tuple) else [value],
        }
        for keyword, value in values.items()
        if value is not None
    }


def _uid(random: Random) -> str:
    """A UID derived from a random UUID (PS3.5 B.2)."""
    return f"2.25.{random.getrandbits(128)}"
