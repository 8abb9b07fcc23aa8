"""multipart/related payloads, decoded and encoded as a stream (RFC 2387, RFC 2046 5.1)."""

import itertools
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from dicom_core.errors import BadRequest
from dicom_core.web import multipart

Part = tuple[dict[str, str], bytes]

DICOM = {"content-type": "application/dicom"}


def decode(chunks: Iterable[bytes], boundary: str = "b", **limits: int) -> list[Part]:
    """Decode a payload, and check that its events come in order."""
    decoder = multipart.Decoder(boundary, **limits)
    events = [event for chunk in chunks for event in decoder.feed(chunk)] + decoder.finish()
    parts: list[tuple[dict[str, str], list[bytes]]] = []
    inside = False
    for event in events:
        assert inside is not isinstance(event, multipart.Begin)
        if isinstance(event, multipart.Begin):
            parts.append((event.headers, []))
            assert event.number == len(parts)
            inside = True
        elif isinstance(event, multipart.Data):
            assert event.content
            parts[-1][1].append(event.content)
        else:
            inside = False
    assert not inside
    return [(headers, b"".join(content)) for headers, content in parts]


def splits(payload: bytes) -> Iterator[list[bytes]]:
    """A payload whole, byte by byte, and in two at every position."""
    yield [payload]
    yield [payload[at : at + 1] for at in range(len(payload))]
    for at in range(len(payload) + 1):
        yield [payload[:at], payload[at:]]


CASES = [
    pytest.param(b"--b\r\n\r\nx\r\n--b--\r\n", [({}, b"x")], id="boundary-at-byte-0"),
    pytest.param(b"\r\n--b\r\n\r\nx\r\n--b--\r\n", [({}, b"x")], id="boundary-after-CRLF"),
    pytest.param(b"pre --b\r\namble\r\n--b\r\n\r\nx\r\n--b--", [({}, b"x")], id="preamble"),
    pytest.param(b"--b\r\n\r\nx\r\n--b--\r\nepi\r\n--b\r\nlogue", [({}, b"x")], id="epilogue"),
    pytest.param(b"--b\r\n\r\nx\r\n--b--epilogue", [({}, b"x")], id="epilogue-on-the-closing-line"),
    pytest.param(b"--b\r\n\r\nx\r\n--b--", [({}, b"x")], id="no-CRLF-after-closing"),
    pytest.param(b"--b \t\r\n\r\nx\r\n--b  \r\n\r\ny\r\n--b-- \t", [({}, b"x"), ({}, b"y")], id="padding"),
    pytest.param(b"--b--\r\n", [], id="no-parts"),
    pytest.param(b"\r\n--b--", [], id="no-parts-after-CRLF"),
    pytest.param(b"--b\r\nA: 1\r\n\r\nx\r\n--b--", [({"a": "1"}, b"x")], id="header"),
    pytest.param(
        b"--b\r\nA:1\r\nB :  2 \r\n\r\n\r\n--b--", [({"a": "1", "b": "2"}, b"")], id="spaces-in-header"
    ),
    pytest.param(
        b"--b\r\nA: 1;\r\n \t x\r\nB: 2\r\n\r\n\r\n--b--", [({"a": "1; x", "b": "2"}, b"")], id="folded"
    ),
    pytest.param(b"--b\r\nA: 1\r\na: 2\r\n\r\n\r\n--b--", [({"a": "1, 2"}, b"")], id="field-twice"),
    pytest.param(b"--b\r\nA: b:c\r\n\r\n\r\n--b--", [({"a": "b:c"}, b"")], id="colon-in-value"),
    pytest.param(b"--b\r\nA:\r\n\r\n\r\n--b--", [({"a": ""}, b"")], id="empty-value"),
    pytest.param(b"--b\r\nA: \xe9\r\n\r\n\r\n--b--", [({"a": "\xe9"}, b"")], id="header-not-ASCII"),
    pytest.param(b"--b\r\n\r\n\r\n--b--", [({}, b"")], id="empty-part"),
    pytest.param(b"--b\r\n\r\n--b\r\n\r\n--b--", [({}, b""), ({}, b"")], id="empty-part-without-line-end"),
    pytest.param(b"--b\r\nA: 1\r\n\r\n--b--", [({"a": "1"}, b"")], id="no-content-after-header"),
    pytest.param(b"--b\r\n\r\n\r\n\r\n--b--", [({}, b"\r\n")], id="content-is-CRLF"),
    pytest.param(b"--b\r\n\r\nx\r\r\n--b--", [({}, b"x\r")], id="content-ends-with-CR"),
    pytest.param(b"--b\r\n\r\n\r\nx\n\r\n--b--", [({}, b"\r\nx\n")], id="line-ends-in-content"),
    pytest.param(b"--b\r\n\r\nx--b--\r\n--b--", [({}, b"x--b--")], id="boundary-inside-a-line"),
    pytest.param(b"--b\r\n\r\n\n--b--\r\n--b--", [({}, b"\n--b--")], id="boundary-after-LF"),
    pytest.param(b"--b\r\n\r\n\r\n--bc\r\n--b--", [({}, b"\r\n--bc")], id="longer-boundary"),
    pytest.param(b"--b\r\n\r\n--bc\r\n--b--", [({}, b"--bc")], id="longer-boundary-first"),
    pytest.param(b"--b\r\n\r\nx\r\n--b-c\r\n--b--", [({}, b"x\r\n--b-c")], id="one-hyphen-more"),
    pytest.param(b"--b\r\n\r\nx\r\n--b \rc\r\n--b--", [({}, b"x\r\n--b \rc")], id="padding-and-text"),
    pytest.param(b"--b\r\n\r\nx\r\n--\r\n-\r\n\r\n--b--", [({}, b"x\r\n--\r\n-\r\n")], id="boundary-begun"),
    pytest.param(
        b"--b\r\n\r\nx\r\n--b" + b" " * 200 + b"\r\n\r\n--b--",
        [({}, b"x\r\n--b" + b" " * 200 + b"\r\n")],
        id="padding-without-end-is-content",
    ),
]


@pytest.mark.parametrize(("payload", "parts"), CASES)
def test_decoder(payload: bytes, parts: list[Part]) -> None:
    """A payload has the same parts however it is cut into chunks (RFC 2046 5.1.1)."""
    for chunks in splits(payload):
        assert decode(chunks) == parts, chunks


UUID = "0f3cf5c0-70e0-41ef-baef-c6f9f65ec3e1"
PART10 = b"\0" * 16 + b"DICM\x02\0\0\0UL\x04\0\r\n--"


@pytest.mark.parametrize(
    ("boundary", "payload", "headers"),
    [
        pytest.param(
            "b0undary",
            b"\r\n--b0undary\r\nContent-Type: application/dicom\r\n\r\n" + PART10
            + b"\r\n--b0undary\r\nContent-Type: application/dicom\r\n\r\n" + PART10
            + b"\r\n--b0undary--",
            DICOM,
            id="dicomweb-client-javascript",  # CRLF before the first boundary, none after the last
        ),
        pytest.param(
            UUID,
            f"\r\n--{UUID}\r\nContent-Type: application/dicom\r\n\r\n".encode() + PART10
            + f"\r\n--{UUID}\r\nContent-Type: application/dicom\r\n\r\n".encode() + PART10
            + f"\r\n--{UUID}--".encode(),
            DICOM,
            id="dicomweb-client-python",
        ),
        pytest.param(
            "myboundary",
            b"\r\n--myboundary\r\nContent-Type: application/dicom\r\nContent-Location: 1.dcm\r\n\r\n" + PART10
            + b"\r\n--myboundary\r\nContent-Type: application/dicom\r\nContent-Location: 1.dcm\r\n\r\n" + PART10
            + b"\r\n--myboundary--",
            DICOM | {"content-location": "1.dcm"},
            id="dcm4che-stowrs",
        ),
        pytest.param(
            "mime",
            b"--mime\r\nContent-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80\r\n"
            b"Content-Length: 34\r\nMIME-Version: 1.0\r\n\r\n" + PART10
            + b"\r\n--mime\r\nContent-Type: application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80\r\n"
            b"Content-Length: 34\r\nMIME-Version: 1.0\r\n\r\n" + PART10
            + b"\r\n--mime--\r\n",
            {
                "content-type": "application/dicom; transfer-syntax=1.2.840.10008.1.2.4.80",
                "content-length": "34",
                "mime-version": "1.0",
            },
            id="more-headers",
        ),
    ],
)  # fmt: skip
def test_decoder_with_requests_of_clients(boundary: str, payload: bytes, headers: dict[str, str]) -> None:
    """Store requests in the shape of real clients hold two instances, however they are cut."""
    for chunks in splits(payload):
        assert decode(chunks, boundary) == [(headers, PART10)] * 2


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        pytest.param(b"", "none of its 0 bytes begins a line with the boundary", id="empty"),
        pytest.param(b"x --b\r\n\r\nx", "none of its 10 bytes begins", id="boundary-inside-a-line"),
        pytest.param(b"\r\n--c\r\n\r\nx\r\n--c--", "none of its 17 bytes begins", id="another-boundary"),
        pytest.param(b"--b", "none of its 3 bytes begins", id="nothing-behind-the-boundary"),
        pytest.param(b"--b\r\n", "ends inside the header of part 1, at byte 5", id="no-header"),
        pytest.param(b"--b\r\nA: 1\r\n", "ends inside the header of part 1, at byte 11", id="header"),
        pytest.param(b"--b\r\n\r\n", "ends inside part 1, at byte 7", id="no-content"),
        pytest.param(b"--b\r\n\r\nxyz\r\n", "ends inside part 1, at byte 12", id="content"),
        pytest.param(b"--b\r\n\r\nx\r\n--b\r\n\r\ny", "ends inside part 2, at byte 18", id="second-part"),
        pytest.param(b"--b\r\n\r\nx\r\n--b-", "ends inside part 1, at byte 14", id="closing"),
        pytest.param(
            b"--b\r\nA: 1\r\nB 2\r\n\r\nx\r\n--b--", "field 2 in the header of part 1, at byte 5", id="colon"
        ),
        pytest.param(
            b"--b\r\n: 2\r\n\r\nx\r\n--b--", "field 1 in the header of part 1, at byte 5", id="no-name"
        ),
        pytest.param(
            b"--b\r\n A: 2\r\n\r\nx\r\n--b--", "field 1 in the header of part 1", id="folds-nothing"
        ),
        pytest.param(b"--b\r\n\r\nx\r\n--b\r\nA\r\n\r\n\r\n--b--", "part 2, at byte 15", id="second-header"),
        pytest.param(
            b"--b\r\nA: " + b"1" * 60 + b"\r\n\r\n\r\n--b--", "part 1, at byte 5, is larger", id="large"
        ),
        pytest.param(b"--b\r\nA: " + b"1" * 99, "part 1, at byte 5, is larger than 64 bytes", id="endless"),
    ],
)
def test_decoder_refuses(payload: bytes, text: str) -> None:
    """A malformed payload is 400, and the text says what and where, however it is cut."""
    for chunks in splits(payload):
        with pytest.raises(BadRequest, match=text):
            decode(chunks, max_header=64)


def test_decoder_at_the_limit_of_a_header() -> None:
    """A header of just the largest size, its line ends included, is taken however it is cut; one more byte is not."""
    for chunks in splits(b"--b\r\nA: 123\r\n\r\n\r\n--b--"):
        assert decode(chunks, max_header=8) == [({"a": "123"}, b"")]
        with pytest.raises(BadRequest, match="larger than 7 bytes"):
            decode(chunks, max_header=7)


def test_decoder_limits_no_content() -> None:
    """The largest size is one of headers: content may be larger, however it is cut."""
    for chunks in splits(b"--b\r\n\r\n" + b"x" * 40 + b"\r\n--b\r\nA: 1\r\n\r\n" + b"y" * 40 + b"\r\n--b--"):
        assert decode(chunks, max_header=8) == [({}, b"x" * 40), ({"a": "1"}, b"y" * 40)]


def test_decoder_says_nothing_of_the_content() -> None:
    """The text of an error holds nothing that the payload holds."""
    with pytest.raises(BadRequest) as caught:
        decode([b"--b\r\nPatientName Doe^John\r\n\r\nx\r\n--b--"])

    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize("boundary", ["", "b\r\nc", "b\0", "bä", "b" * 201])
def test_decoder_refuses_boundary(boundary: str) -> None:
    """A boundary that no line can begin with is 400."""
    with pytest.raises(BadRequest, match="boundary"):
        multipart.Decoder(boundary)


@pytest.mark.parametrize("boundary", ["b" * 200, "a b", "'()+_,-./:=?", "=_Part_1.2"])
def test_decoder_takes_boundary(boundary: str) -> None:
    """Any printable boundary will do, longer than RFC 2046 5.1.1 allows too."""
    payload = b"--%b\r\n\r\nx\r\n--%b--" % (boundary.encode(), boundary.encode())

    assert decode([payload], boundary) == [({}, b"x")]


def test_decoder_passes_chunks_on() -> None:
    """A chunk inside of a part is passed on as it is, not copied."""
    chunk = bytes(range(14, 256)) * 100
    decoder = multipart.Decoder("b")
    decoder.feed(b"--b\r\n\r\n")
    decoder.feed(b"x")

    (event,) = decoder.feed(chunk)

    assert isinstance(event, multipart.Data)
    assert event.content is chunk


@given(
    st.lists(st.sampled_from([b"\r", b"\n", b"--", b"b", b" ", b"x", b"\r\n--b" + b" " * 90]), max_size=40)
)
def test_decoder_keeps_little_back(chunks: list[bytes]) -> None:
    """What is kept back of a part never grows beyond a boundary with its padding."""
    decoder = multipart.Decoder("b")
    decoder.feed(b"--b\r\n\r\n")
    fed = given_out = 0
    for chunk in chunks:
        fed += len(chunk)
        for event in decoder.feed(chunk):
            if not isinstance(event, multipart.Data):
                return
            given_out += len(event.content)
        assert fed - given_out <= len(b"\r\n--b") + 128 + 1


LIKE = [b"\r", b"\n", b"\r\n", b"-", b"--", b"bound", b"ary", b"\r\n--bound", b"\r\n--boundarx", b" ", b"\0"]
CONTENT = st.lists(st.one_of(st.sampled_from(LIKE), st.binary(max_size=20)), max_size=12).map(b"".join)
FIELDS = st.dictionaries(
    st.from_regex(r"[A-Za-z]{1,8}(-[A-Za-z]{1,8})?", fullmatch=True),
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20),
    max_size=3,
)


def lower(fields: dict[str, str]) -> dict[str, str]:
    """Header fields as the decoder names them."""
    return {name.lower(): value for name, value in fields.items()}


@given(st.lists(st.tuples(FIELDS, CONTENT), max_size=4), st.lists(st.integers(0, 400), max_size=6))
@example([({}, b"\r\n--bound"), ({}, b"\r\n--boundaryx")], [])
@example([({}, b"--boundaryx")], [6])
def test_round_trip(parts: list[Part], cuts: list[int]) -> None:
    """What was encoded is decoded to the same parts, however it is cut; contents hold no line of the boundary."""
    assume(all(len(lower(fields)) == len(fields) for fields, _ in parts))
    for _, content in parts:
        assume(not any(line[10:].strip(b" \t")[:2] in (b"", b"--") for line in lines_like_boundary(content)))
    encoder = multipart.Encoder("boundary")
    payload = b"".join(encoder.head(fields) + content for fields, content in parts) + encoder.tail()
    edges = [0, *sorted(min(cut, len(payload)) for cut in cuts), len(payload)]

    decoded = decode([payload[start:end] for start, end in itertools.pairwise(edges)], "boundary")

    assert decoded == [(lower(fields), content) for fields, content in parts]


def lines_like_boundary(content: bytes) -> list[bytes]:
    """The lines of a content that begin with the boundary."""
    return [line for line in content.split(b"\r\n") if line.startswith(b"--boundary")]


@given(st.binary(max_size=80), st.integers(0, 200))
def test_decoder_needs_the_closing_boundary(content: bytes, cut: int) -> None:
    """A payload that is cut anywhere before its closing boundary is refused."""
    assume(b"--b" not in content)
    payload = b"--b\r\nA: 1\r\n\r\n" + content + b"\r\n--b"

    with pytest.raises(BadRequest):
        decode([payload[:cut]])


@given(
    st.lists(
        st.one_of(st.sampled_from([b"\r\n", b"--b", b"--", b":", b" ", b"A: 1"]), st.binary()), max_size=30
    )
)
def test_decoder_with_any_bytes(chunks: list[bytes]) -> None:
    """Any bytes are parts or 400, and the same whether they come whole or in chunks."""
    outcomes = []
    for feed in (chunks, [b"".join(chunks)]):
        try:
            outcomes.append(repr(decode(feed)))
        except BadRequest as error:
            outcomes.append(str(error))

    assert outcomes[0] == outcomes[1]


def test_encoder() -> None:
    """The first boundary stands at byte 0, later ones on their own line, the closing one ends the payload."""
    encoder = multipart.Encoder("b")
    head = encoder.head({"Content-Type": "application/dicom"})

    assert head == b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    assert encoder.head({}) == b"\r\n--b\r\n\r\n"
    assert encoder.tail() == b"\r\n--b--\r\n"


def test_encoder_without_parts() -> None:
    """The closing boundary of no parts stands at byte 0."""
    assert multipart.Encoder("b").tail() == b"--b--\r\n"


@pytest.mark.parametrize("name", ["content-type", "Content-Type", "CONTENT-TYPE"])
def test_encoder_capitalises_names(name: str) -> None:
    """The name is written as Content-Type: Cornerstone looks for exactly that."""
    assert b"\r\nContent-Type: x/y\r\n" in multipart.Encoder("b").head({name: "x/y"})


def test_encoder_writes_short_heads() -> None:
    """A head stays below 500 bytes: dicomweb-client for JavaScript looks no further than 1000."""
    uid = "1." + "2" * 62
    encoder = multipart.Encoder("f" * 32)
    encoder.head({})

    head = encoder.head(
        {
            "Content-Type": f"application/octet-stream; transfer-syntax={uid}",
            "Content-Location": f"/v2/studies/{uid}/series/{uid}/instances/{uid}/frames/1",
        }
    )

    assert len(head) < 500
