"""Bad requests: each ends in a plain-text answer that says what is wrong and where, and leaves nothing behind."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests import dicomweb, instances
from tests.dicomweb import BOUNDARY, DICOM_JSON, MULTIPART, Answer, joined, made, request
from tests.serving import served, storage_settings
from tools.local_host.azurite import Azurite

INSTANCE = "/v2/studies/1.2.3/series/1.2.4/instances/1.2.5"
SINGLE = "application/dicom"
LIMIT = 1 << 20
SECRET = "Unspeakable"
"""A value of the patient's that no error text may hold."""


def check(answer: Answer, status: int, text: str) -> None:
    """Compare an answer that is the service's own."""
    assert (answer.status, text in answer.text) == (status, True), (answer.status, answer.text)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "\n" not in answer.text


def ask(service: str, target: str, *fields: str, method: str = "GET") -> Answer:
    """Ask for a path and query as they are written."""
    return dicomweb.raw(service, request(f"{method} {target}", *fields))


def send(service: str, body: bytes, content_type: str = MULTIPART, target: str = "/v2/studies") -> Answer:
    """Post a payload."""
    fields = (f"Content-Type: {content_type}", f"Content-Length: {len(body)}")
    return dicomweb.raw(service, request(f"POST {target}", *fields, body=body))


UID = "in the path is not a UID (digits and dots, at most 64 characters)"
FRAMES = f"{INSTANCE}/frames"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/v2/studies/..", f"{{study}} {UID}"),
        ("/v2/studies/%2e%2e", f"{{study}} {UID}"),
        ("/v2/studies/1.2%2F3", f"{{study}} {UID}"),
        ("/v2/studies/1.2%2f..%2f..", f"{{study}} {UID}"),
        ("/v2/studies/1.2%003", f"{{study}} {UID}"),
        ("/v2/studies/1.2%5c3", f"{{study}} {UID}"),
        ("/v2/studies/1.2%ff", f"{{study}} {UID}"),
        ("/v2/studies/%zz", f"{{study}} {UID}"),
        ("/v2/studies/1..2", f"{{study}} {UID}"),
        ("/v2/studies/1.2.", f"{{study}} {UID}"),
        ("/v2/studies/abc/metadata", f"{{study}} {UID}"),
        (f"/v2/studies/{'1' * 65}", f"{{study}} {UID}"),
        ("/v2/studies/1.2/series/x", f"{{series}} {UID}"),
        ("/v2/studies/1.2/series/1.3/instances/'", f"{{instance}} {UID}"),
        (f"{FRAMES}/0", "entry 1 is not a positive number"),
        (f"{FRAMES}/-1", "entry 1 is not a positive number"),
        (f"{FRAMES}/1,,2", "entry 2 is not a positive number"),
        (f"{FRAMES}/1,2,", "entry 3 is not a positive number"),
        (f"{FRAMES}/99999999999", "entry 1 is not a positive number"),
        (f"{FRAMES}/%D9%A1", "entry 1 is not a positive number"),
        (f"{FRAMES}/1.0", "entry 1 is not a positive number"),
        (f"{FRAMES}/{'1,' * 10000}1", "lists 10001 frames; at most 10000 are allowed"),
    ],
    ids=lambda value: value[:60],
)
def test_path(service: str, path: str, text: str) -> None:
    """What cannot name a resource is refused before anything is looked up (PS3.18 8.2)."""
    check(ask(service, path), 400, text)


@pytest.mark.parametrize("path", [f"{FRAMES}/1000000000", f"{FRAMES}/1%2C2", "/v2/studies/1.2%00"])
def test_path_to_nothing(service: str, path: str) -> None:
    """What could name a resource, but does not, is not found."""
    check(ask(service, path), 404, "there is no studies/1.2")


DATE = "must be a date YYYYMMDD or a range of dates"


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("StudyDate=2026", f"StudyDate {DATE}"),
        ("StudyDate=20260231", f"StudyDate {DATE}"),
        ("StudyDate=-", f"StudyDate {DATE}"),
        ("StudyDate=20260201-20260101", f"StudyDate {DATE}"),
        ("00080020=today", f"StudyDate {DATE}"),
        (f"PatientBirthDate={SECRET}", f"PatientBirthDate {DATE}"),
        ("StudyTime=99", "StudyTime must be a time HHMMSS.FFFFFF"),
        ("StudyInstanceUID=1.2.", "StudyInstanceUID must be a UID or a list of UIDs"),
        ("StudyInstanceUID=..%2F..", "StudyInstanceUID must be a UID or a list of UIDs"),
        ("limit=0", "limit must be a number from 1"),
        ("limit=-1", "limit must be a number from 1"),
        ("limit=", "limit must be a number from 1"),
        ("limit=ten", "limit must be a number from 1"),
        ("limit=%D9%A1", "limit must be a number from 1"),
        ("limit=1&limit=2", "limit is given twice"),
        ("limit=1&LIMIT=1", "limit is given twice"),
        ("offset=-1", "offset must be a number from 0, of at most 18 digits"),
        ("offset=1.5", "offset must be a number from 0, of at most 18 digits"),
        (f"offset={'9' * 20}", "offset must be a number from 0, of at most 18 digits"),
        ("fuzzymatching=1", "fuzzymatching must be true or false"),
        (f"PatientName={SECRET}&00100010=x", "PatientName is given twice"),
    ],
)
def test_query(service: str, query: str, text: str) -> None:
    """A malformed value is refused by the name of its parameter, and not repeated (PS3.18 8.3.4)."""
    answer = ask(service, f"/v2/studies?{query}")

    check(answer, 400, text)
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        ("PatientName=%ff%fe", None),
        ("PatientName=a%00b", None),
        ("PatientName=%F0%9F%98%80", None),
        ("PatientID=" + "A" * 60000, None),
        ("PatientID=" + "*" * 5000 + "Z", None),
        ("PatientName=" + "%3f*" * 2000 + "Z", None),
        ("%00=1", "a parameter is no parameter or attribute"),
        ("<script>=1", "a parameter is no parameter or attribute"),
        ("%22%0d%0aSet-Cookie:%20a=1", "a parameter is no parameter or attribute"),
        ("&".join(f"a{number}=1" for number in range(3000)), "a0 is no parameter or attribute"),
        ("&&=&;", "a parameter is no parameter or attribute"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_odd_query(service: str, query: str, warning: str | None) -> None:
    """What is only odd matches nothing, or is ignored with a warning that is safe to send; and it is quick."""
    study = instances.uid()
    started = time.monotonic()

    answer = ask(service, f"/v2/studies?{query}&StudyInstanceUID={study}")

    assert (answer.status, answer.text) == (204, "")
    assert (warning or "") in answer.headers.get("warning", "")
    assert "set-cookie" not in answer.headers
    assert len(answer.headers.get("warning", "")) < 4096
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "query",
    ["PatientName=x" * 20000, "PatientName=\xff\xfe"],
    ids=["longer than a request line may be", "bytes that are not encoded"],
)
def test_query_that_is_no_http(service: str, query: str) -> None:
    """The server itself refuses a request line that it does not read."""
    answer = ask(service, f"/v2/studies?{query}")

    assert (answer.status, answer.text) == (400, "Invalid HTTP request received.")


@pytest.mark.parametrize("version", ["v0", "v3", "v02", "v-1"])
def test_version(service: str, version: str) -> None:
    """There are two versions."""
    check(ask(service, f"/{version}/studies"), 404, "there are v1 and v2")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "/v2/studies"),
        ("DELETE", "/v2/studies"),
        ("PUT", INSTANCE),
        ("POST", "/v2/series"),
        ("DELETE", f"{FRAMES}/1"),
        ("GET", "/v2/nothing"),
        ("GET", "/vx/studies"),
        ("GET", "/studies"),
        ("GET", "/v2/studies/1.2/3"),
        ("GET", f"{FRAMES}/"),
    ],
)
def test_no_route(service: str, method: str, path: str) -> None:
    """Another verb or path is no resource; the host's own answer, to what is not below a version, has no text."""
    answer = ask(service, path, "Content-Length: 0", method=method)

    text = "there is no such resource" if path.startswith("/v2/") and method != "PATCH" else ""
    assert (answer.status, answer.text) == (404, text)


OCTETS = 'multipart/related; type="application/octet-stream", or application/octet-stream alone'


@pytest.mark.parametrize("accept", ["text/html", "image/gif", "garbage", "*/*;q=0", "audio/basic"])
@pytest.mark.parametrize(
    ("path", "default"),
    [
        ("/v2/studies", "application/dicom+json"),
        ("/v2/studies/1.2/instances", "application/dicom+json"),
        (f"{INSTANCE}/metadata", "application/dicom+json"),
        ("/v2/studies/1.2.3", 'multipart/related; type="application/dicom"'),
        (INSTANCE, 'multipart/related; type="application/dicom", or application/dicom alone'),
        (f"{FRAMES}/1", OCTETS),
        (f"{FRAMES}/1,2", OCTETS.partition(",")[0]),
        (f"{INSTANCE}/bulkdata/00420011", OCTETS),
    ],
)
def test_accept(service: str, path: str, default: str, accept: str) -> None:
    """406 says what there is, also where there is no resource (PS3.18 8.7.8.1)."""
    answer = ask(service, path, f"Accept: {accept}")

    check(answer, 406, "Accept: none of the media types asked for can be given for ")
    assert answer.text.endswith(f"; there is {default}")


@pytest.mark.parametrize(
    "fields",
    [
        ("Accept: \xff\xfe\x80",),
        ("Accept: " + "a/b," * 10000,),
        ("Accept: " + '"' * 10000,),
        ("Accept: multipart/related; type=" + "\\" * 1000,),
    ],
    ids=["no text", "long list", "quotes", "backslashes"],
)
def test_garbage_in_accept(service: str, fields: tuple[str, ...]) -> None:
    """A header that makes no sense asks for nothing that there is."""
    check(ask(service, "/v2/studies", *fields), 406, "Accept: ")


@pytest.mark.parametrize(
    "field",
    ["Range: \xff", "Range: bytes=-", "Range: bytes=5-2", "Range: lines=1-2", "If-None-Match: \xff,,W/"],
)
def test_garbage_in_other_headers(service: str, field: str) -> None:
    """Ranges and conditions that are not understood are ignored (RFC 9110 14.2, 13.1.2)."""
    one = made()
    dicomweb.keep(service, one)

    answer = ask(service, f"/v2/{one.path}/frames/1", "Accept: application/octet-stream", field)

    assert (answer.status, len(answer.text)) == (200, 32)


@pytest.mark.parametrize(
    "message",
    [
        b"\0\1\2garbage\r\n\r\n",
        request("GET /v2/studies", "Acc ept: x"),
        request("GET /v2/studies", "Accept: \0"),
        request("POST /v2/studies", "Content-Length: 3", "Content-Length: 5", body=b"abcde"),
        request("POST /v2/studies", "Content-Length: 3, 5", body=b"abcde"),
        request("POST /v2/studies", "Content-Length: -3", body=b"abcde"),
        request(f"GET {FRAMES}/{'1,' * 100000}1"),
        request("POST /v2/studies", "Content-Length: 20", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        request(
            "POST /v2/studies", f"Content-Type: {SINGLE}", "Transfer-Encoding: chunked", body=b"zz\r\na\r\n"
        ),
    ],
    ids=[
        "no request line",
        "blank in a name",
        "NUL in a value",
        "two lengths",
        "list of lengths",
        "negative length",
        "list of 100001 frames",
        "length and chunks",
        "no chunk",
    ],
)
def test_message_that_is_no_http(service: str, message: bytes) -> None:
    """The server refuses what two readers could read differently (RFC 9112 6.3)."""
    answer = dicomweb.raw(service, message)

    assert (answer.status, answer.text) == (400, "Invalid HTTP request received.")


CONTENT = joined([made("1.2.3", "1.2.4", "1.2.5", PatientName=SECRET).content])
"""A payload that would be stored, were there nothing wrong with it."""


@pytest.mark.parametrize(
    ("content_type", "status", "text"),
    [
        ("", 415, "Content-Type: Store takes application/dicom and multipart/related"),
        ("application/dicom+json", 415, "Content-Type: Store takes application/dicom"),
        ('multipart/related; type="application/dicom+json"; boundary=a', 415, "Content-Type: Store takes"),
        ("multipart/form-data; boundary=a", 415, "Content-Type: Store takes"),
        ("\xff\xfe", 415, "Content-Type: Store takes"),
        ('multipart/related; type="application/dicom"', 400, "without the parameter boundary"),
        ('multipart/related; type="application/dicom"; boundary=""', 400, "without the parameter boundary"),
        (
            f'multipart/related; type="application/dicom"; boundary="{"a" * 201}"',
            400,
            "the boundary is not 1 to 200 printable characters",
        ),
        (f"{MULTIPART}; start=<1>", 400, "Content-Type: the parameter start is not supported"),
        (
            'multipart/related; type="application/dicom"; boundary=other',
            400,
            f"none of its {len(CONTENT)} bytes begins a line with the boundary",
        ),
    ],
    ids=lambda value: str(value)[:70],
)
def test_content_type(service: str, content_type: str, status: int, text: str) -> None:
    """The payload must be of a type that Store takes (PS3.18 10.5.1)."""
    check(send(service, CONTENT, content_type), status, text)
    assert_nothing_stored(service, "1.2.3")


def assert_nothing_stored(service: str, study: str) -> None:
    """Neither search nor retrieve knows of the study."""
    assert dicomweb.search(service, f"instances?StudyInstanceUID={study}") == []
    assert dicomweb.get(f"{service}/studies/{study}/metadata", DICOM_JSON).status_code == 404


def cut_off(first: bytes, second: bytes) -> bytes:
    """Two parts, the second without its end."""
    return joined([first, second])[: -len(BOUNDARY) - 40]


@pytest.mark.parametrize(
    ("damage", "status", "text"),
    [
        (cut_off, 400, "it ends inside part 2, at byte "),
        (
            lambda first, second: joined([first]).replace(b"--\r\n", b"\r\nContent-Ty"),
            400,
            "it ends inside the header of part 2, at byte ",
        ),
        (
            lambda first, second: (
                joined([first])[:-4]
                + b"\r\nContent-Type: text/plain\r\n\r\na\r\n--"
                + BOUNDARY.encode()
                + b"--"
            ),
            415,
            "part 2: its Content-Type is not application/dicom",
        ),
        (
            lambda first, second: joined([first]).replace(b"--\r\n", b"\r\ngarbage\r\n\r\n"),
            400,
            "field 1 in the header of part 2, at byte ",
        ),
        (
            lambda first, second: joined([first]).replace(b"--\r\n", b"\r\nX: " + b"a" * 17000),
            400,
            "the header of part 2, at byte ",
        ),
    ],
    ids=["cut in a part", "cut in a header", "type of a part", "no header", "long header"],
)
def test_payload_damaged_behind_a_good_part(service: str, damage, status: int, text: str) -> None:  # type: ignore[no-untyped-def]
    """A payload that cannot be read to its end stores nothing, not even what came before (PS3.18 8.6.1.2)."""
    first, second = made(PatientName=SECRET), made()

    answer = send(service, damage(first.content, second.content))

    check(answer, status, text)
    assert SECRET not in answer.text
    assert_nothing_stored(service, first.study)
    assert_nothing_stored(service, second.study)


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        (b"", SINGLE, "the body is empty"),
        (b"", MULTIPART, "none of its 0 bytes begins a line with the boundary"),
        (b"\r\n\r\n", MULTIPART, "none of its 4 bytes begins a line with the boundary"),
    ],
    ids=["single part", "multipart", "line ends"],
)
def test_empty_body(service: str, body: bytes, content_type: str, text: str) -> None:
    """A payload without anything is no request to store."""
    check(send(service, body, content_type), 400, text)


def test_study_in_path_that_is_no_uid(service: str) -> None:
    """The path is looked at before the payload."""
    check(send(service, CONTENT, target="/v2/studies/1.2%2F..%2F3"), 400, f"{{study}} {UID}")


def element(tag: int, vr: str, value: bytes) -> bytes:
    """An element with explicit VR and a short length."""
    numbers = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return numbers + vr.encode() + len(value).to_bytes(2, "little") + value


def encoded(*elements: bytes) -> bytes:
    """A file with elements as they are."""
    return bytes(128) + b"DICM" + element(0x00020010, "UI", b"1.2.840.10008.1.2.1\0") + b"".join(elements)


IDENTITY = (
    element(0x00080016, "UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
    element(0x00080018, "UI", b"1.2.5\0"),
    element(0x0020000D, "UI", b"1.2.3\0"),
    element(0x0020000E, "UI", b"1.2.4\0"),
)
NAMES = ("(0008,0016) SOPClassUID", "(0008,0018) SOPInstanceUID", "(0020,000D) StudyInstanceUID",
         "(0020,000E) SeriesInstanceUID")  # fmt: skip
PREFIX = "DICOM100: "


def refusals() -> Iterator[tuple[bytes, int, str]]:
    """Instances that cannot be stored, the FailureReason, and what is said of it."""
    nothing = "not a DICOM file: no 'DICM' at byte 128, no data set at byte 0"
    yield b"", 0x0110, "not a DICOM file: no bytes"
    yield b"hello", 0x0110, nothing
    yield bytes(1000), 0x0110, nothing
    yield bytes(range(256)) * 40, 0x0110, nothing
    yield SECRET.encode() * 100, 0x0110, nothing
    yield b"%PDF-1.7" + bytes(200), 0x0110, nothing
    for name, missing in zip(NAMES, IDENTITY, strict=True):
        rest = [one for one in IDENTITY if one != missing]
        malformed = sorted([*rest, missing[:-6] + b"x../.\0"])
        yield encoded(*rest), 0xA900, f"{name} is missing or empty"
        yield encoded(*malformed), 0xA900, f"{name} is not a UID"
    yield encoded(*IDENTITY)[:-2], 0x0110, "the instance ends at byte "
    named = element(0x00100010, "PN", SECRET.encode() + b" ")
    yield encoded(*IDENTITY[:2], named, *IDENTITY[2:], b"\x28\0")[:-1], 0x0110, "the instance ends at byte "


@pytest.mark.parametrize(("content", "reason", "comment"), list(refusals()))
def test_instance_that_cannot_be_stored(service: str, content: bytes, reason: int, comment: str) -> None:
    """What is no instance, or has no identity, fails alone and with a reason (PS3.18 Annex I.2)."""
    good = made()

    answer = dicomweb.post(f"{service}/studies", content, good.content)

    assert answer.status_code == 202
    failed = dicomweb.value(answer.json(), "00081198")
    said = dicomweb.value(dicomweb.value(failed, "00741048"), "00000902")
    assert (dicomweb.value(failed, "00081197"), said.startswith(PREFIX + comment)) == (reason, True), said
    assert SECRET not in answer.text
    assert dicomweb.value(dicomweb.value(answer.json(), "00081199"), "00081155") == good.instance
    assert_nothing_stored(service, "1.2.3")


def test_client_gone(service: str) -> None:
    """What a user agent that went away has sent is not stored; the service goes on."""
    one, complete = made(), made()
    body = joined([complete.content, one.content])
    address, _, port = urlsplit(service).netloc.partition(":")

    for cut in (len(body) // 4, len(body) // 2, len(body) - 10):
        with socket.create_connection((address, int(port))) as connection:
            fields = (f"Content-Type: {MULTIPART}", f"Content-Length: {len(body)}")
            connection.sendall(request("POST /v2/studies", *fields, body=body[:cut]))
            time.sleep(0.05)

    assert_nothing_stored(service, one.study)
    assert_nothing_stored(service, complete.study)
    dicomweb.keep(service, one)


@pytest.fixture(scope="module")
def limited(azurite: Azurite) -> Iterator[str]:
    """A service that takes bodies of 1 MiB."""
    settings = storage_settings(azurite.connection_string)
    with served(**settings, FUNCTIONS_REQUEST_BODY_SIZE_LIMIT=str(LIMIT)) as running:
        yield running.url


TOO_LARGE = f"the payload is larger than {LIMIT} bytes, the most this service takes at once"


def test_length_over_the_limit(limited: str) -> None:
    """A Content-Length over the limit is refused before any of the body has come."""
    fields = (f"Content-Type: {SINGLE}", f"Content-Length: {LIMIT + 1}")

    check(dicomweb.raw(limited, request("POST /v2/studies", *fields)), 413, TOO_LARGE)


def test_chunks_over_the_limit(limited: str) -> None:
    """A body of unknown length is refused when it is over the limit, though it goes on."""
    one = made(Rows=1024, Columns=1024, PixelData=bytes(2 * LIMIT))
    head = request("POST /v2/studies", f"Content-Type: {SINGLE}", "Transfer-Encoding: chunked")
    size = 64 << 10
    pieces = [one.content[at : at + size] for at in range(0, LIMIT + size, size)]
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]

    check(dicomweb.raw(limited, head, *chunks), 413, TOO_LARGE)
    assert_nothing_stored(limited, one.study)


def test_body_at_the_limit(limited: str) -> None:
    """A body of exactly the limit is taken."""
    one = made(PixelData=bytes(LIMIT))
    one = made(one.study, one.series, one.instance, PixelData=bytes(2 * LIMIT - len(one.content)))
    assert len(one.content) == LIMIT

    assert send(limited, one.content, SINGLE).status == 200
