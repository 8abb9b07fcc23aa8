"""The Native DICOM Model: metadata as XML (PS3.19 A.1, PS3.18 F.3), made from DICOM JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from dicom_core import attributes
from dicom_core.record import Dataset

NAMESPACE = "http://dicom.nema.org/PS3.19/models/NativeDICOM"

_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">'
_TAIL = "</NativeDicomModel>"
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def document(dataset: Dataset) -> bytes:
    """One data set as an XML document.

    Characters that XML cannot have are replaced by U+FFFD. A private attribute has the tag that it has in the data set,
    and its Private Creator beside it.
    """
    return "".join((_HEAD, *_attributes(dataset), _TAIL)).encode()


def _attributes(dataset: Mapping[str, Any]) -> Iterator[str]:
    for tag in sorted(dataset):
        element = dataset[tag]
        vr = element.get("vr", "UN")
        yield f'<DicomAttribute tag="{tag}" vr={quoteattr(vr)}{_named(dataset, tag)}>'
        yield from _content(vr, element)
        yield "</DicomAttribute>"


def _named(dataset: Mapping[str, Any], tag: str) -> str:
    """The keyword of a standard attribute, or the creator of a private one."""
    if int(tag[3], 16) % 2 == 0:
        keyword = _keyword(tag)
        return f' keyword="{keyword}"' if keyword else ""
    creator = dataset.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value") or [None]
    return f" privateCreator={quoteattr(_text(creator[0]))}" if isinstance(creator[0], str) else ""


@lru_cache(maxsize=4096)
def _keyword(tag: str) -> str:
    attribute = attributes.find(tag)
    return "" if attribute is None else attribute.keyword


def _content(vr: str, element: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if vr == "SQ":
            yield f'<Item number="{number}">'
            yield from _attributes(value or {})
            yield "</Item>"
        elif value is None:
            continue
        elif isinstance(value, dict):
            yield f'<PersonName number="{number}">'
            yield from _name(value)
            yield "</PersonName>"
        else:
            yield f'<Value number="{number}">{_escaped(value)}</Value>'


def _name(groups: Mapping[str, str]) -> Iterator[str]:
    for group in _GROUPS:
        if text := groups.get(group):
            yield f"<{group}>"
            for component, part in zip(_COMPONENTS, text.split("^", 4), strict=False):
                if part:
                    yield f"<{component}>{_escaped(part)}</{component}>"
            yield f"</{group}>"


def _escaped(value: Any) -> str:
    """A value as character data; parsers would make a line feed of a carriage return (XML 1.0, 2.11)."""
    return escape(_text(value), {"\r": "&#13;"})


def _text(value: Any) -> str:
    return _NOT_IN_XML.sub("\ufffd", value if isinstance(value, str) else str(value))
