"""The table of searches that are measured, and what each must answer."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

import orjson

from benchmarks.studies import Study
from dicom_core import attributes, query, record
from dicom_core.query import Query
from dicom_core.record import Dataset
from dicom_core.resources import Level, Resource
from dicom_core.web import search_parameters
from dicom_core.web.messages import Request, Response

OHIF = "limit=101&offset=0&fuzzymatching=true&includefield=00081030%2C00080060"
"""What OHIF adds to every search for studies, for page after page of 100."""

SUBJECTS = 100
"""The first studies, from which the values that are looked for are taken: they are in archives of every size."""

_BASE = "http://localhost:7071/v2"
_RETRIEVE_URL = "00081190"
_OHIF_SERIES = "includefield=00080021%2C00080031%2C0008103E%2C00200011"


@dataclass(frozen=True, slots=True)
class Search:
    """One row: a search for studies, or for the series of one.

    `by_date` says if the answer must be in the order of the dates, the newest first; `waits`, if the search is measured
    with studies that wait to be indexed, too.
    """

    name: str
    query: str
    study: str | None = None
    by_date: bool = False
    waits: bool = False

    @property
    def level(self) -> Level:
        """What is searched for."""
        return Level.STUDY if self.study is None else Level.SERIES

    @property
    def request(self) -> Request:
        """The request message."""
        parameters = tuple(parse_qsl(self.query, keep_blank_values=True))
        headers = {"accept": "application/dicom+json"}
        return Request("GET", Resource(self.study), _BASE, headers=headers, parameters=parameters)


def searches(some: Sequence[Study], size: int) -> tuple[Search, ...]:
    """The searches of an archive of a size, from the first of its studies on."""
    told = [record.study_answer(study.instances) for study in some[:SUBJECTS]]
    latin = _first(told, lambda one: _name(one)[:1].isascii() and not _name(one).isascii())
    japanese = _first(told, lambda one: bool(_name(one, "Ideographic")))
    cyrillic = _first(told, lambda one: _name(one)[:1] > "\u0400")
    identifier, accession = _value(latin, "PatientID"), _value(latin, "AccessionNumber")
    family, given = _name(latin).split("^")[:2]
    modality, month = _value(latin, "ModalitiesInStudy"), _value(latin, "StudyDate")[:6]
    dates = f"StudyDate={month}01-{month}28"
    described = max(_value(latin, "StudyDescription").split(), key=len)
    uids = ",".join(study.uid for study in some[:10])
    return (
        Search("All, as OHIF lists them", OHIF, by_date=True, waits=True),
        Search("All, the last tenth", f"limit=100&offset={size * 9 // 10}", by_date=True),
        Search("PatientID", f"00100020={identifier}&{OHIF}", waits=True),
        Search("PatientID `*1234*`", f"00100020={_anywhere(identifier[2:6])}&{OHIF}", waits=True),
        Search("PatientName `*family*`", f"PatientName={_anywhere(family)}&{OHIF}", waits=True),
        Search(
            "PatientName `*part*`, without accents", f"PatientName={_anywhere(_plain(family)[1:5])}&{OHIF}"
        ),
        Search(
            "PatientName `*ideographs*`",
            f"PatientName={_anywhere(_name(japanese, 'Ideographic')[:2])}&{OHIF}",
        ),
        Search("PatientName `*кириллица*`", f"PatientName={_anywhere(_name(cyrillic)[1:5])}&{OHIF}"),
        Search("PatientName `prefix*`, limit 25", f"PatientName={quote(family[:3])}*&limit=25"),
        Search(
            "PatientName fuzzy, two words",
            f"PatientName={quote(f'{given} {family}')}&fuzzymatching=true&limit=25",
        ),
        Search("PatientName `*nobody*`", f"PatientName={_anywhere('qxzqv')}&{OHIF}"),
        Search("AccessionNumber", f"AccessionNumber={accession}&{OHIF}"),
        Search("AccessionNumber `*1234*`", f"AccessionNumber={_anywhere(accession[-4:])}&{OHIF}"),
        Search("Modality, limit 25", "ModalitiesInStudy=MR&limit=25", by_date=True, waits=True),
        Search("Modalities CT or MR", f"ModalitiesInStudy=CT%2CMR&{OHIF}", by_date=True),
        Search("Month, limit 25", f"{dates}&limit=25", by_date=True, waits=True),
        Search(
            "Month and modality, limit 25", f"{dates}&ModalitiesInStudy={modality}&limit=25", by_date=True
        ),
        Search("StudyDescription `*thorax*`", f"StudyDescription=*thorax*&{OHIF}", waits=True),
        Search(
            "OHIF's filters together",
            f"PatientName={_anywhere(family[:3])}&00100020={_anywhere(identifier[2:6])}"
            f"&AccessionNumber={_anywhere(accession[-4:])}&StudyDescription={_anywhere(described)}"
            f"&ModalitiesInStudy={modality}%2CPR&StudyDate=20170101-20261231&{OHIF}",
        ),
        Search("ReferringPhysicianName `*nobody*`", f"ReferringPhysicianName={_anywhere('qxzqv')}&limit=25"),
        Search("10 StudyInstanceUIDs", f"StudyInstanceUID={quote(uids)}&{OHIF}"),
        Search("Series of a study", _OHIF_SERIES, study=_value(latin, "StudyInstanceUID")),
    )


class Oracle:
    """What searches must answer, by plain evaluation of every study."""

    def __init__(self, some: Iterable[Study]) -> None:
        self._studies = {study.uid: study.instances for study in some}
        self._told = {uid: record.study_answer(rows) for uid, rows in self._studies.items()}

    def check(self, search: Search, response: Response) -> int:
        """Compare an answer with what it must be: its number of results.

        Raises
        ------
        RuntimeError
            It is another one; the text says which search and what is wrong.
        """
        asked = search_parameters.parse(
            search.request.parameters, search.level, search.request.resource
        ).query
        expected = self._evaluated(search, asked)
        page = expected[asked.offset : asked.offset + asked.limit]
        results = _results(response)
        by_uid = {_uid(dataset): dataset for dataset in expected}
        says_more = "there are more results" in response.headers.get("Warning", "")
        problems = {
            f"{len(results)} results, not {len(page)}": len(results) != len(page),
            "a result twice": len({_uid(dataset) for dataset in results}) != len(results),
            "a result that is not as expected": any(by_uid.get(_uid(one)) != one for one in results),
            "another order": search.by_date and results != page,
            "what it says of more results": says_more != (len(expected) > asked.offset + asked.limit),
        }
        wrong = [problem for problem, is_there in problems.items() if is_there]
        if wrong:
            raise RuntimeError(f"{search.name}: {', '.join(wrong)}")
        return len(results)

    def _evaluated(self, search: Search, asked: Query) -> list[Dataset]:
        """All results, the newest studies first."""
        if search.study is not None:
            return record.matching(self._studies[search.study], asked)
        tags = query.returned(asked)
        found = [answer for answer in self._told.values() if query.matches(asked, answer)]
        found.sort(key=_uid)
        found.sort(key=lambda answer: _value(answer, "StudyDate"), reverse=True)
        return [record.restrict(answer, tags) for answer in found]


def _results(response: Response) -> list[Dataset]:
    """The results of an answer, without what is computed from the request."""
    assert isinstance(response.body, bytes)
    datasets: list[Dataset] = orjson.loads(response.body) if response.status == 200 else []
    return [{tag: one for tag, one in dataset.items() if tag != _RETRIEVE_URL} for dataset in datasets]


def _uid(dataset: Mapping[str, Any]) -> str:
    """The UID of a result: of its series, or of its study."""
    element = dataset.get("0020000E", dataset["0020000D"])
    uid: str = element["Value"][0]
    return uid


def _first(told: Sequence[Dataset], fits: Callable[[Dataset], bool]) -> Dataset:
    """The first study that fits, of a patient who seldom comes, and lacks nothing that is looked for."""
    visits = Counter(_value(one, "PatientID") for one in told)
    return next(
        one
        for one in told
        if fits(one)
        and visits[_value(one, "PatientID")] == 1
        and _value(one, "AccessionNumber")
        and _value(one, "StudyDescription").isascii()
        and _value(one, "StudyDate")[6:] <= "28"
    )


def _value(dataset: Mapping[str, Any], keyword: str) -> str:
    attribute = attributes.find(keyword)
    assert attribute is not None
    return str(next(iter(attributes.values_of(dataset, attribute.tag)), ""))


def _name(dataset: Mapping[str, Any], group: str = "Alphabetic") -> str:
    (name,) = attributes.values_of(dataset, "00100010")
    text: str = name.get(group, "")
    return text


def _anywhere(text: str) -> str:
    """A value with a wild card on both sides, as OHIF sends what was typed."""
    return quote(f"*{text}*", safe="*")


def _plain(text: str) -> str:
    """A text without accents."""
    return "".join(one for one in unicodedata.normalize("NFD", text) if not unicodedata.combining(one))
