"""The Store transaction over HTTP (PS3.18 10.5), rule by rule, in both versions of the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pydicom
import pytest
import requests
from pydicom.uid import ImplicitVRLittleEndian

from tests import dicomweb, instances
from tests.dicomweb import BOUNDARY, DICOM_JSON, MULTIPART, SINGLE, Stored, joined, made, value, values

FAILED, REFERENCED, RETRIEVE_URL = "00081198", "00081199", "00081190"
REASON, WARNING, COMMENTS, COMMENT = "00081197", "00081196", "00741048", "00000902"
CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def v1(service: str) -> str:
    """The base URL of the first version."""
    return service.replace("/v2", "/v1")


@pytest.fixture(params=[1, 2])
def both(request: pytest.FixtureRequest, service: str) -> str:
    """The base URL of each version in turn."""
    return service.replace("/v2", f"/v{request.param}")


def referenced(url: str, one: Stored, warning: int | None = None) -> dict[str, Any]:
    """What the answer has of an instance that was stored; FailedAttributesSequence is looked at elsewhere."""
    item = {
        "00081150": {"vr": "UI", "Value": [CT]},
        "00081155": {"vr": "UI", "Value": [one.instance]},
        RETRIEVE_URL: {"vr": "UR", "Value": [f"{url}/{one.path}"]},
    }
    return item if warning is None else {**item, WARNING: {"vr": "US", "Value": [warning]}}


def items(answer: requests.Response, tag: str) -> list[dict[str, Any]]:
    """The items of a sequence of the answer, without their FailedAttributesSequence."""
    assert answer.headers["Content-Type"] == DICOM_JSON
    return [
        {key: element for key, element in item.items() if key != COMMENTS}
        for item in values(answer.json(), tag)
    ]


def comments(item: dict[str, Any]) -> list[str]:
    """The comments of an item's FailedAttributesSequence."""
    return [value(entry, COMMENT) for entry in values(item, COMMENTS)]


def given_back(service: str, one: Stored) -> bytes:
    """The instance's bytes as the service has them."""
    return dicomweb.get(f"{service}/{one.path}", SINGLE).content


# What the answer says


def test_all_stored(both: str) -> None:
    """200; each instance is referenced with its URL, in the version that was asked; nothing failed."""
    stored = [made(), made()]

    answer = dicomweb.post(f"{both}/studies", *(one.content for one in stored))

    assert answer.status_code == 200
    assert items(answer, REFERENCED) == [referenced(both, one) for one in stored]
    assert answer.json().keys() == {REFERENCED}


def test_failed_attributes_of_what_was_stored(service: str, v1: str) -> None:
    """Version 2 always has FailedAttributesSequence, empty if there is nothing to say; version 1 has not."""
    of_2 = value(dicomweb.post(f"{service}/studies", made().content).json(), REFERENCED)
    of_1 = value(dicomweb.post(f"{v1}/studies", made().content).json(), REFERENCED)

    assert of_2[COMMENTS] == {"vr": "SQ"}
    assert COMMENTS not in of_1


def test_some_stored(both: str) -> None:
    """202; what failed is in FailedSOPSequence, what was stored in ReferencedSOPSequence."""
    good, bad = made(), made(SeriesInstanceUID=None)

    answer = dicomweb.post(f"{both}/studies", bad.content, good.content)

    assert answer.status_code == 202
    assert items(answer, REFERENCED) == [referenced(both, good)]
    assert items(answer, FAILED) == [
        {
            "00081150": {"vr": "UI", "Value": [CT]},
            "00081155": {"vr": "UI", "Value": [bad.instance]},
            REASON: {"vr": "US", "Value": [0xA900]},
        }
    ]
    assert dicomweb.search(both, f"studies?StudyInstanceUID={bad.study}") == []


def test_none_stored(both: str) -> None:
    """409; there is no ReferencedSOPSequence and no RetrieveURL."""
    bad = made(SeriesInstanceUID=None)

    answer = dicomweb.post(f"{both}/studies/{bad.study}", bad.content)

    assert answer.status_code == 409
    assert answer.json().keys() == {FAILED}
    assert items(answer, FAILED)[0].keys() == {"00081150", "00081155", REASON}


def test_no_parts(both: str) -> None:
    """204 without a body: nothing was sent, nothing is wrong."""
    answer = dicomweb.post(f"{both}/studies")

    assert (answer.status_code, answer.content) == (204, b"")


def test_into_a_study(both: str) -> None:
    """With the study in the path the answer has its RetrieveURL (PS3.18 Table I.1-1)."""
    one = made()

    answer = dicomweb.post(f"{both}/studies/{one.study}", one.content)

    assert answer.json()[RETRIEVE_URL] == {"vr": "UR", "Value": [f"{both}/studies/{one.study}"]}


def test_into_another_study(both: str) -> None:
    """An instance of another study than that of the path fails with 43265, and only that one."""
    good, other = made(), made()

    answer = dicomweb.post(f"{both}/studies/{good.study}", other.content, good.content)

    assert answer.status_code == 202
    assert [value(item, REASON) for item in items(answer, FAILED)] == [43265]
    assert items(answer, REFERENCED) == [referenced(both, good)]
    assert dicomweb.search(both, f"studies?StudyInstanceUID={other.study}") == []


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", "application/*", DICOM_JSON, "application/json, text/html", "text/html"],
)
def test_accept(service: str, accept: str | None) -> None:
    """An answer is given as JSON, also to whoever asks for something else: what was stored is stored."""
    answer = dicomweb.send(f"{service}/studies", made().content, accept, "application/dicom")

    named = accept or ""
    expected = "application/json" if named.startswith("application/json") else DICOM_JSON
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, expected)


def test_answer_as_xml(service: str) -> None:
    """Some senders read the response module as XML only (PS3.18 10.5.3, F.3)."""
    one = made()

    answer = dicomweb.send(f"{service}/studies", one.content, "application/dicom+xml", "application/dicom")

    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/dicom+xml")
    assert f'keyword="ReferencedSOPInstanceUID"><Value number="1">{one.instance}</Value>' in answer.text


@pytest.mark.parametrize(
    ("headers", "begin"),
    [
        ({"X-Forwarded-Host": "pacs.example.org"}, "http://pacs.example.org/v2/studies/"),
        (
            {"X-Forwarded-Host": "pacs.example.org", "X-Forwarded-Proto": "https"},
            "https://pacs.example.org/v2/studies/",
        ),
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Prefix": "/dicom/"}, "http://a.example/dicom/v2/"),
    ],
)
def test_retrieve_url_behind_a_proxy(service: str, headers: dict[str, str], begin: str) -> None:
    """URLs begin with what the proxy says it is called."""
    answer = dicomweb.post(f"{service}/studies", made().content, **headers)

    assert value(value(answer.json(), REFERENCED), RETRIEVE_URL).startswith(begin)


# Duplicates


@pytest.mark.parametrize(("version", "status"), [(1, 200), (2, 202)])
def test_again_the_same_bytes(service: str, version: int, status: int) -> None:
    """A sender may repeat a Store: the instance is referenced, with WarningReason 45070."""
    url, one = service.replace("/v2", f"/v{version}"), made()
    dicomweb.keep(url, one)

    answer = dicomweb.post(f"{url}/studies", one.content)

    assert answer.status_code == status
    assert items(answer, REFERENCED) == [referenced(url, one, 45070)]


def test_other_bytes_under_the_same_uids(both: str) -> None:
    """They fail with 45070, and what was stored first stays."""
    one = made()
    dicomweb.keep(both, one)
    other = made(one.study, one.series, one.instance, PatientID="P2")

    answer = dicomweb.post(f"{both}/studies", other.content)

    assert answer.status_code == 409
    assert [value(item, REASON) for item in items(answer, FAILED)] == [45070]
    assert given_back(both, one) == one.content
    assert dicomweb.search(both, f"studies?StudyInstanceUID={one.study}&PatientID=P2") == []


def test_twice_in_one_request(both: str) -> None:
    """The first of different ones is stored, the second fails with 45070."""
    one = made()
    other = made(one.study, one.series, one.instance, PatientID="P2")

    answer = dicomweb.post(f"{both}/studies", one.content, other.content)

    assert answer.status_code == 202
    assert items(answer, REFERENCED) == [referenced(both, one)]
    assert [value(item, REASON) for item in items(answer, FAILED)] == [45070]
    assert given_back(both, one) == one.content


def test_twice_the_same_in_one_request(service: str) -> None:
    """Both are referenced; the second with a warning."""
    one = made()

    answer = dicomweb.post(f"{service}/studies", one.content, one.content)

    assert answer.status_code == 202
    assert items(answer, REFERENCED) == [referenced(service, one), referenced(service, one, 45070)]
    assert len(dicomweb.search(service, f"studies/{one.study}/instances")) == 1


def test_the_same_instance_in_two_studies(service: str) -> None:
    """The three UIDs together name an instance, not its own alone."""
    one = made()
    other = made(instance=one.instance)

    dicomweb.keep(service, one, other)

    assert (given_back(service, one), given_back(service, other)) == (one.content, other.content)


def test_one_uid_for_study_series_and_instance(service: str) -> None:
    """The same UID may name all three."""
    uid = instances.uid()

    dicomweb.keep(service, made(uid, uid, uid))

    assert len(dicomweb.search(service, f"studies/{uid}/series/{uid}/instances")) == 1


def test_stored_again_after_delete(service: str) -> None:
    """What was deleted may be stored again, with other bytes."""
    one = made()
    dicomweb.keep(service, one)
    dicomweb.delete(f"{service}/{one.path}")
    again = made(one.study, one.series, one.instance, PatientID="P2")

    dicomweb.keep(service, again)

    assert given_back(service, one) == again.content


# PUT


def test_put_new(both: str) -> None:
    """PUT of what is not there stores it."""
    one = made()

    answer = dicomweb.post(f"{both}/studies", one.content, method="PUT")

    assert (answer.status_code, items(answer, REFERENCED)) == (200, [referenced(both, one)])


def test_put_over_an_instance(both: str) -> None:
    """PUT replaces what is there, for Retrieve and for Search."""
    one = made()
    dicomweb.keep(both, one)
    other = made(one.study, one.series, one.instance, PatientID="P2")

    answer = dicomweb.post(f"{both}/studies/{one.study}", other.content, method="PUT")

    assert (answer.status_code, items(answer, REFERENCED)) == (200, [referenced(both, other)])
    assert given_back(both, one) == other.content
    (found,) = dicomweb.search(both, f"studies?StudyInstanceUID={one.study}")
    assert (value(found, "00100020"), value(found, "00201208")) == ("P2", 1)
    assert dicomweb.search(both, f"studies?StudyInstanceUID={one.study}&PatientID=P1") == []


def test_put_twice_in_one_request(service: str) -> None:
    """The last one counts."""
    one = made()
    other = made(one.study, one.series, one.instance, PatientID="P2")

    answer = dicomweb.post(f"{service}/studies", one.content, other.content, method="PUT")

    assert (answer.status_code, len(items(answer, REFERENCED))) == (200, 2)
    assert given_back(service, one) == other.content


def test_put_into_another_study(service: str) -> None:
    """PUT too looks at the study in the path."""
    answer = dicomweb.post(f"{service}/studies/{instances.uid()}", made().content, method="PUT")

    assert answer.status_code == 409
    assert [value(item, REASON) for item in items(answer, FAILED)] == [43265]


# Attributes


@pytest.mark.parametrize("patient", [None, ""], ids=["missing", "empty"])
def test_without_patient_id_in_version_1(v1: str, patient: str | None) -> None:
    """Version 1 refuses an instance without PatientID."""
    one = made(PatientID=patient)

    answer = dicomweb.post(f"{v1}/studies", one.content)

    assert answer.status_code == 409
    assert value(value(answer.json(), FAILED), REASON) == 0xA900
    assert comments(value(answer.json(), FAILED)) == ["DICOM100: (0010,0020) PatientID is missing or empty"]


def test_without_patient_id_in_version_2(service: str) -> None:
    """Version 2 stores an instance with an empty PatientID, and warns."""
    one = made(PatientID="")

    answer = dicomweb.post(f"{service}/studies", one.content)

    assert answer.status_code == 202
    assert items(answer, REFERENCED) == [referenced(service, one, 1)]
    assert comments(value(answer.json(), REFERENCED)) == [
        "DICOM100: (0010,0020) - PatientID is missing or empty"
    ]
    assert given_back(service, one) == one.content


INVALID = {"StudyDate": "2026-1-1", "Modality": "zq!", "PatientName": "A" * 65, "PatientID": "A" * 65}


def invalid(**elements: str) -> Stored:
    """An instance with values that their VR does not allow; pydicom lets none through by itself."""
    one = made()
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(one.content))
    for keyword, text in elements.items():
        dataset[keyword] = pydicom.DataElement(keyword, pydicom.datadict.dictionary_VR(keyword), text,
                                               validation_mode=pydicom.config.IGNORE)  # fmt: skip
    written = pydicom.filebase.DicomBytesIO()
    with pydicom.config.disable_value_validation():
        dataset.save_as(written)
    return Stored(one.study, one.series, one.instance, written.getvalue())


@pytest.mark.parametrize("keyword", INVALID)
def test_invalid_value_in_version_1(v1: str, keyword: str) -> None:
    """Version 1 refuses an invalid value of an attribute that it indexes, and does not repeat the value."""
    one = invalid(**{keyword: INVALID[keyword]})

    answer = dicomweb.post(f"{v1}/studies", one.content)

    assert (answer.status_code, value(value(answer.json(), FAILED), REASON)) == (409, 0xA900)
    (comment,) = comments(value(answer.json(), FAILED))
    assert comment.startswith(f"DICOM100: ({pydicom.tag.Tag(keyword).group:04X},")
    assert INVALID[keyword] not in answer.text


@pytest.mark.parametrize("keyword", [*INVALID, "ContentDate", "ImageType"])
def test_invalid_value_in_version_2(service: str, keyword: str) -> None:
    """Version 2 stores it as it is, with WarningReason 1 and a comment by tag."""
    text = INVALID.get(keyword, "wrong!")
    one = invalid(**{keyword: text})

    answer = dicomweb.post(f"{service}/studies", one.content)

    assert answer.status_code == 202
    assert items(answer, REFERENCED) == [referenced(service, one, 1)]
    (comment,) = comments(value(answer.json(), REFERENCED))
    tag = pydicom.tag.Tag(keyword)
    assert comment.startswith(f"DICOM100: ({tag.group:04X},{tag.element:04X}) - ")
    assert text not in answer.text
    assert given_back(service, one) == one.content


def test_invalid_value_that_version_1_does_not_index(v1: str) -> None:
    """Version 1 does not look at other attributes."""
    answer = dicomweb.post(f"{v1}/studies", invalid(ContentDate="wrong!").content)

    assert answer.status_code == 200
    assert items(answer, REFERENCED)[0].keys() == {"00081150", "00081155", RETRIEVE_URL}


@pytest.mark.parametrize(("version", "status"), [(1, 200), (2, 202)])
def test_implicit_vr(service: str, version: int, status: int) -> None:
    """Implicit VR is stored with WarningReason 45063."""
    url, one = service.replace("/v2", f"/v{version}"), made()
    dataset = pydicom.dcmread(pydicom.filebase.DicomBytesIO(one.content))
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    written = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(written, dataset, implicit_vr=True, little_endian=True)

    answer = dicomweb.post(f"{url}/studies", written.getvalue())

    assert (answer.status_code, items(answer, REFERENCED)) == (status, [referenced(url, one, 45063)])


def test_without_pixel_data(service: str) -> None:
    """Pixel Data are not required of any SOP Class."""
    dicomweb.keep(service, made(PixelData=None))


def test_uid_padded_with_blanks(service: str) -> None:
    """Padding is no part of a UID: with and without it is the same instance."""
    one = made(instance="1.2.3.45")
    padded = one.content.replace(b"1.2.3.45", b"1.2.3.4 ")
    assert padded != one.content

    answer = dicomweb.post(f"{service}/studies", padded)

    assert answer.status_code in (200, 202), answer.text
    path = f"studies/{one.study}/series/{one.series}/instances/1.2.3.4"
    assert dicomweb.get(f"{service}/{path}", SINGLE).content == padded
    assert (
        len(dicomweb.search(service, f"instances?SOPInstanceUID=1.2.3.4&StudyInstanceUID={one.study}")) == 1
    )


# The payload


def _chunks(body: bytes, size: int) -> Iterator[bytes]:
    return (body[at : at + size] for at in range(0, len(body), size))


@pytest.mark.parametrize(
    "content_type",
    [
        MULTIPART,
        f"multipart/related;type=application/dicom;boundary={BOUNDARY}",
        f'Multipart/Related; boundary="{BOUNDARY}"; type="Application/DICOM"',
        f'multipart/related; type="application/dicom"; boundary={BOUNDARY}; transfer-syntax=*',
    ],
    ids=["quoted", "unquoted", "capitals", "with another parameter"],
)
def test_content_type(service: str, content_type: str) -> None:
    """The type and the boundary may be quoted or not, in any order and case."""
    one = made()
    headers = {"Content-Type": content_type}

    answer = requests.post(f"{service}/studies", joined([one.content]), headers=headers, timeout=30)

    assert answer.status_code == 200, answer.text
    assert given_back(service, one) == one.content


@pytest.mark.parametrize(
    "boundary",
    ["a", "a b", "--", "=_Part_1'()+_,-./:=?", "0" * 70, "0" * 150],
    ids=["one letter", "blank", "dashes", "all signs", "70", "150"],
)
def test_boundary(service: str, boundary: str) -> None:
    """Any boundary, longer than RFC 2046 has it too."""
    one = made()
    body = joined([one.content]).replace(BOUNDARY.encode(), boundary.encode())
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"'}

    answer = requests.post(f"{service}/studies", body, headers=headers, timeout=30)

    assert answer.status_code == 200, answer.text
    assert given_back(service, one) == one.content


@pytest.mark.parametrize(
    "changed",
    [
        lambda body: b"\r\n" + body,
        lambda body: body.removesuffix(b"\r\n"),
        lambda body: b"\r\n" + body.removesuffix(b"\r\n"),
        lambda body: b"This is a preamble.\r\n" + body + b"This is an epilogue.",
        lambda body: body.replace(b"Content-Type: application/dicom", b"", 1).replace(
            b"\r\n\r\n", b"\r\n", 1
        ),
        lambda body: body.replace(b"Content-Type", b"content-TYPE"),
        lambda body: body.replace(
            b"application/dicom\r\n",
            b"application/dicom; transfer-syntax=1.2.840.10008.1.2.1\r\nContent-Location: x\r\n",
        ),
        lambda body: body.replace(BOUNDARY.encode() + b"\r\n", BOUNDARY.encode() + b"  \t\r\n"),
    ],
    ids=[
        "line end first",
        "no last line end",
        "as the JavaScript client",
        "preamble and epilogue",
        "part without header",
        "header in other case",
        "more header",
        "blanks behind the boundary",
    ],
)
@pytest.mark.parametrize("size", [None, 7], ids=["whole", "chunked"])
def test_payload(service: str, changed: Any, size: int | None) -> None:
    """Payloads as clients really make them, as a whole or in chunks of any size (RFC 2046 5.1)."""
    one = made()
    body = changed(joined([one.content]))
    data = body if size is None else _chunks(body, size)

    answer = requests.post(f"{service}/studies", data, headers={"Content-Type": MULTIPART}, timeout=30)

    assert answer.status_code == 200, answer.text
    assert given_back(service, one) == one.content


@pytest.mark.parametrize("size", [None, 100], ids=["whole", "chunked"])
def test_single_part(service: str, size: int | None) -> None:
    """A payload of type application/dicom is one instance; a parameter does not matter."""
    one = made()
    data = one.content if size is None else _chunks(one.content, size)
    headers = {"Content-Type": "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"}

    answer = requests.post(f"{service}/studies/{one.study}", data, headers=headers, timeout=30)

    assert (answer.status_code, items(answer, REFERENCED)) == (200, [referenced(service, one)])
    assert given_back(service, one) == one.content


def test_preamble_is_kept(service: str) -> None:
    """The 128 bytes before DICM may be a TIFF header, and stay as they are."""
    one = made()
    content = b"II*\0" + bytes(range(124)) + one.content[128:]
    dicomweb.keep(service, Stored(one.study, one.series, one.instance, content))

    assert given_back(service, one) == content


def test_content_that_holds_the_boundary(service: str) -> None:
    """Text like the boundary within an instance ends no part."""
    one = made(PixelData=f"--{BOUNDARY}0\r\n-{BOUNDARY}\r\n--{BOUNDARY[:-1]}".encode())

    dicomweb.keep(service, one)

    assert given_back(service, one) == one.content


def test_many_studies_at_once(service: str) -> None:
    """One request may have instances of many studies; each is found."""
    stored = [made(PatientID="many") for _ in range(30)]
    dicomweb.keep(service, *stored)

    uids = ",".join(one.study for one in stored)
    found = dicomweb.search(service, f"studies?StudyInstanceUID={uids}")

    assert {value(item, "0020000D") for item in found} == {one.study for one in stored}


def test_study_of_many_patients(service: str) -> None:
    """A study's attributes are the latest that are not empty; each file keeps its own."""
    study = instances.uid()
    first, second, third = (made(study, PatientID=patient) for patient in ("", "A", "B"))
    dicomweb.post(f"{service}/studies", first.content)
    dicomweb.keep(service, second)
    dicomweb.keep(service, third)

    (found,) = dicomweb.search(service, f"studies?StudyInstanceUID={study}")

    assert (value(found, "00100020"), value(found, "00201208")) == ("B", 3)
    assert given_back(service, second) == second.content


def test_repeated_bytes_of_a_refused_instance_are_refused(service: str) -> None:
    """What is acknowledged is stored: the second of two equal parts is no better than the first."""
    stored = made()
    dicomweb.keep(service, stored)
    other = made(stored.study, stored.series, stored.instance, PatientName="Other^Bytes")

    answer = dicomweb.post(f"{service}/studies", other.content, other.content)

    assert answer.status_code == 409
    assert len(items(answer, FAILED)) == 2


def test_large_part_is_checked_to_its_end(service: str) -> None:
    """A part named by the beginning of its header is refused if its UIDs turn out to be others."""
    one = made()
    element = b"\x21\x00\x01\x10OB\x00\x00" + (5 << 20).to_bytes(4, "little") + bytes(5 << 20)
    again = b"\x20\x00\x0e\x00UI\x04\x001|2 "
    content = one.content.replace(b"\x28\x00\x02\x00US", element + again + b"\x28\x00\x02\x00US", 1)
    assert len(content) > 5 << 20

    answer = dicomweb.post(f"{service}/studies", content)

    assert answer.status_code == 409
    assert dicomweb.search(service, f"studies?StudyInstanceUID={one.study}") == []


def test_transfer_syntax_that_is_no_uid(service: str) -> None:
    """It would stand in header fields of answers: no line end may come by it."""
    content = made().content
    end = content.index(b"1.2.840.10008.1.2.1\0")
    broken = content[:end] + b"1.2.840\r\nSet-Cook: a" + content[end + 20 :]

    answer = dicomweb.post(f"{service}/studies", broken)

    assert answer.status_code == 409
    assert "TransferSyntaxUID" in answer.text


def test_compressed_payload(service: str) -> None:
    """A payload in a content coding is refused by its name (RFC 9110 15.5.16)."""
    answer = dicomweb.post(f"{service}/studies", made().content, **{"Content-Encoding": "gzip"})

    assert (answer.status_code, "Content-Encoding" in answer.text) == (415, True)
