"""FHIR's data types (R4 2.24), made of DICOM values; {} or None for what says nothing, which `compact` leaves out."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from dicom_core import values
from dicom_core.fhir import datasets
from dicom_core.fhir.datasets import cleaned, named, text
from dicom_core.fhir.terminology import SYSTEMS, Schemes, translated
from dicom_core.record import Dataset
from dicom_core.resources import is_uid

Element = dict[str, Any]

URI = "urn:ietf:rfc:3986"
"""The identifier and coding system of what is a URI itself."""

_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"
_REPRESENTATIONS = {"Alphabetic": "ABC", "Ideographic": "IDE", "Phonetic": "SYL"}

_PARTIAL_DATE = re.compile(r"([0-9]{4})(?:([0-9]{2})(?:00)?)?")
_DATE_TIME = re.compile(rf"([0-9]{{4,8}})([0-9]{{2,6}}(?:\.[0-9]{{1,6}})?)?({values.OFFSET})?")
_OFFSET = re.compile(values.OFFSET)
_ESCAPED = re.compile(r"[\\,|$]")
_ABSOLUTE = re.compile(r"(?:https?://|urn:[A-Za-z0-9][A-Za-z0-9-]+:)\S+")


def compact(element: Element) -> Element:
    """An element without what is empty; FHIR has no empty strings, lists or objects."""
    return {name: value for name, value in element.items() if value not in ("", None, [], {})}


def date(value: Any) -> str | None:
    """A date, or the year or month that is known of it (R4 date)."""
    day = cleaned(value)
    whole = values.earliest("DA", day)
    if whole is not None:
        return f"{whole[:4]}-{whole[4:6]}-{whole[6:]}"
    partial = _PARTIAL_DATE.fullmatch(day)
    if partial is None or partial[1] == "0000":
        return None
    year, month = partial.groups()
    if month in (None, "00"):
        return year
    return f"{year}-{month}" if int(month) <= 12 else None


def date_time(day: Any, time: Any, offset: Any) -> str | None:
    """A date with its time (R4 dateTime).

    FHIR has no time without minutes or without an offset from UTC: where one is not known, the date stands alone.
    """
    on = date(day)
    at = values.earliest("TM", cleaned(time))
    zone = _zone(cleaned(offset))
    if on is None or at is None or zone is None or len(on) < 10 or len(cleaned(time)) < 4:
        return on
    second = min(at[4:6], "59")  # of a leap second
    fraction = at[7:].rstrip("0")
    return f"{on}T{at[:2]}:{at[2:4]}:{second}{'.' if fraction else ''}{fraction}{zone}"


def combined(value: Any, offset: Any) -> str | None:
    """A dateTime of a value of VR DT; the offset is that of the data set, for one without its own."""
    found = _DATE_TIME.fullmatch(cleaned(value))
    return None if found is None else date_time(found[1], found[2], found[3] or offset)


def _zone(offset: str) -> str | None:
    """The offset from UTC, within what FHIR allows."""
    if _OFFSET.fullmatch(offset) is None or offset[1:] > "1400":
        return None
    return f"{'+' if offset[1:] == '0000' else offset[0]}{offset[1:3]}:{offset[3:]}"


def human_names(name: Any) -> list[Element]:
    """A person name, a HumanName for each way in which it is written (PS3.5 6.2.1)."""
    groups = list(named(name))
    names = []
    for group, written in groups:
        family, given, middle, prefix, suffix = (f"{written}^^^^".split("^") + [""] * 5)[:5]
        parts: Element = {
            "use": "usual",
            "family": cleaned(family),
            "given": [part for part in map(cleaned, (given, middle)) if part],
            "prefix": [part for part in (cleaned(prefix),) if part],
            "suffix": [part for part in (cleaned(suffix),) if part],
        }
        if len(groups) > 1 or group != "Alphabetic":
            parts["extension"] = [{"url": _REPRESENTATION, "valueCode": _REPRESENTATIONS[group]}]
        names.append(compact(parts))
    return names


def display(name: Any) -> str:
    """A person name as a person reads it."""
    for group, written in named(name):
        family, given, middle, prefix, suffix = (f"{written}^^^^".split("^") + [""] * 5)[:5]
        order = (prefix, given, middle, family, suffix) if group == "Alphabetic" else (family, given, middle)
        return " ".join(part for part in map(cleaned, order) if part)
    return ""


def coding(code: Mapping[str, Any], schemes: Schemes) -> Element:
    """The Coding of an item with a code (PS3.3 8.8)."""
    value = " ".join(_code_value(code).split())
    designator, meaning = text(code, "00080102"), text(code, "00080104")
    if not value:
        return {}
    if text(code, "00080120"):
        return compact({"system": URI, "code": value, "display": meaning})
    modern = translated(designator, value)
    if modern is not None:
        return {"system": SYSTEMS["SCT"], "code": modern[0], "display": modern[1]}
    system = SYSTEMS.get(designator) or schemes.get(designator)
    if system is None and designator:
        meaning = f"{meaning} ({designator})".strip()
    return compact({"system": system, "code": value, "display": meaning})


def _code_value(code: Mapping[str, Any]) -> str:
    return text(code, "00080100") or text(code, "00080119") or text(code, "00080120")


def concept(code: Mapping[str, Any], schemes: Schemes) -> Element:
    """The CodeableConcept of an item with a code; its text alone, if that is all there is."""
    coded = coding(code, schemes)
    return compact({"coding": [coded] if coded else [], "text": text(code, "00080104")})


def concepts(dataset: Mapping[str, Any], tag: str, schemes: Schemes) -> list[Element]:
    """The CodeableConcepts of a sequence of codes, each once."""
    return distinct(concept(code, schemes) for code in datasets.items(dataset, tag))


def distinct(elements: Iterable[Element]) -> list[Element]:
    """Those that say something, each once, in their order."""
    found: list[Element] = []
    for element in elements:
        if element and element not in found:
            found.append(element)
    return found


def quantity(number: Any, unit: Mapping[str, Any]) -> Element:
    """A Quantity with the unit of a code, of UCUM if it says so; {} if it is no number."""
    if number.__class__ not in (int, float) or not math.isfinite(number):
        return {}
    code, meaning = " ".join(_code_value(unit).split()), text(unit, "00080104")
    if text(unit, "00080102") != "UCUM" or not code:
        return compact({"value": number, "unit": meaning or code})
    return {"value": number, "unit": code, "system": SYSTEMS["UCUM"], "code": code}


def identifier_type(code: str) -> Element:
    """The type of an identifier (HL7 v2 table 0203)."""
    return {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": code}]}


def issuer(qualifiers: Mapping[str, Any], local: str = "") -> tuple[str, str]:
    """The identifier system of an issuer, and its name (PS3.3 10.14, HL7 v2 HD).

    Parameters
    ----------
    qualifiers
        The item that identifies it: a universal ID, and its local name (0040,0031).
    local
        The name or ID that stands in its own attribute, also as NAME&ID&TYPE.
    """
    name, universal, kind = (f"{local}&&".split("&") + [""] * 3)[:3]
    name = text(qualifiers, "00400031") or cleaned(name)
    universal = text(qualifiers, "00400032") or cleaned(universal)
    kind = text(qualifiers, "00400033") or cleaned(kind)
    return _system(universal, kind) or _system(name, "") or quote(name or universal, safe=_SAFE), name


_SAFE = "!#$%&'()*+,/:;=?@[]-._~"


def _system(universal: str, kind: str) -> str:
    """The URI of a universal ID (PS3.3 Table 10-17); "" if it is none."""
    if kind in ("", "ISO") and "." in universal and is_uid(universal):
        return f"urn:oid:{universal}"
    if kind == "UUID" and universal:
        return f"urn:uuid:{quote(universal.lower(), safe='')}"
    return universal if _ABSOLUTE.fullmatch(universal) else ""


def identifier(value: str, system: str, name: str = "", **more: Any) -> Element:
    """An Identifier; `name` is its issuer's."""
    assigner = {"display": name} if name else {}
    return compact({**more, "system": system, "value": value, "assigner": assigner})


def uid_identifier(uid: str) -> Element:
    """The Identifier of what has a UID (R4 ImagingStudy 8.17.3)."""
    return {"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}


def token(found: Element) -> str:
    """What to look for in the search parameter `identifier` (R4 3.1.1.4.10); values escaped (3.1.1.5.4)."""
    system, value = (_ESCAPED.sub(r"\\\g<0>", found.get(part, "")) for part in ("system", "value"))
    return f"{system}|{value}"


def person(name: Any, identification: Mapping[str, Any], schemes: Schemes) -> Element:
    """A reference to a practitioner by name, and by what identifies them (PS3.3 10.1), as no resource is known."""
    code = coding(datasets.item(identification, "00401101"), schemes)
    identified = compact({"system": code.get("system"), "value": code.get("code")})
    shown = display(name)
    if not shown and not identified:
        return {}
    return compact({"type": "Practitioner", "identifier": identified, "display": shown})


def people(dataset: Mapping[str, Any], tag: str, identifications: str, schemes: Schemes) -> list[Element]:
    """References to the people of an attribute; the items that identify them are in the same order."""
    names = datasets.values(dataset, tag)
    known = datasets.items(dataset, identifications)
    known = known if len(known) == len(names) else []
    return distinct(
        person(name, known[position] if known else {}, schemes) for position, name in enumerate(names)
    )


def schemes_of(datasets_of_study: Iterable[Dataset]) -> Schemes:
    """The systems of the coding schemes that data sets identify (PS3.3 C.12.1.1.1 Coding Scheme Identification)."""
    return {
        designator: f"urn:oid:{uid}"
        for dataset in datasets_of_study
        for scheme in datasets.items(dataset, "00080110")
        if (designator := text(scheme, "00080102")) and is_uid(uid := text(scheme, "0008010C"))
    }
