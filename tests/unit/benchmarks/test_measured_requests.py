"""What the benchmarks send, what they take for an answer, and what they print of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from threading import Thread

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000Lossless

from benchmarks import __main__ as bench
from benchmarks import load, peer, service
from benchmarks.images import LARGE, SMALL, chest, image
from benchmarks.load import Call
from benchmarks.scenarios import GROUPS, SCENARIOS, Round, Scenario
from benchmarks.service import Sample

ANSWER = b"x" * 1000
ANY = Scenario("frames", "Any", lambda _: Round([Call("/any")]))


class Answers(BaseHTTPRequestHandler):
    """Answers with octets; below /missing with 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def do_POST(self) -> None:
        """Answer."""
        self.do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of a server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def sent(server: str, *calls: Call) -> tuple[list[int], list[str]]:
    """What the calls moved, and what went wrong."""
    sizes: list[int] = []
    errors: list[str] = []
    load.send(server, calls, sizes, errors)
    return sizes, errors


def sample(
    wall: float = 0.002, cpu: float = 0.001, requests: Mapping[str, float] | None = None, size: float = 4_000
) -> Sample:
    """What an operation took."""
    return Sample(10, wall, cpu, 0.0005, 0.01, size, requests or {})


def test_calls_move_the_bytes_of_both_bodies(server: str) -> None:
    """The bytes of a call are those of its request's body and of the answer's."""
    assert sent(server, Call("/a"), Call("/b", method="POST", body=(b"123", b"45"))) == ([1000, 1005], [])


def test_calls_end_at_an_answer_that_is_no_success(server: str) -> None:
    """What is not answered is not measured."""
    sizes, errors = sent(server, Call("/a"), Call("/missing/b"), Call("/c"))

    assert sizes == [1000]
    assert "GET /missing/b: 404" in errors[0]


def test_calls_end_at_an_answer_of_another_media_type(server: str) -> None:
    """A server that answers something else has not done what is measured."""
    sizes, errors = sent(
        server, Call("/a", gives="octet-stream"), Call("/b", "image/jpeg", gives="image/jpeg")
    )

    assert sizes == [1000]
    assert "GET /b: 200 application/octet-stream" in errors[0]


def test_storage_requests_are_added_up_from_the_lines_of_requests(tmp_path: Path) -> None:
    """Of the lines from a position on, those of requests, and of them the numbers by kind, whatever else they say."""
    log = tmp_path / "log"
    before = "INFO dicom: a.b GET - status=200 bytes=1 ms=0.1 table=7\n"
    log.write_text(
        f"{before}INFO dicom: sweep: studies=3 indexed=3\n"
        "INFO dicom: a.b GET - status=200 bytes=1 ms=10.5 who=- app=- blob_read=2 table=1\n"
        "INFO dicom: a.b GET - status=200 bytes=1 ms=3.0 who=table=x app=- table=1 broken=table\n"
    )

    assert service.storage_requests(log, len(before), 2) == {"blob_read": 2, "table": 2}


def test_sample_of_each_operation_divides_what_all_took() -> None:
    """Time, CPU, bytes and requests are shared; the pace of the machine is not."""
    whole = Sample(2, 1.0, 0.5, 0.25, 0.01, 400, {"table": 8})

    assert whole.each(4) == Sample(4, 0.25, 0.125, 0.0625, 0.01, 100, {"table": 2})


def test_check_ends_the_run_where_storage_was_asked_for_something_else() -> None:
    """Metadata that are not packed must not be printed as packed."""
    kept = Scenario("indexed", "Kept", ANY.rounds, reads={"table": 1, "blob_read": 1})
    bench.check(kept, [sample(requests={"blob_read": 1, "table": 1})])
    bench.check(ANY, [sample(requests={"table": 2})])

    with pytest.raises(bench.MeasuredSomethingElse, match=r"Kept: .* table=2, not"):
        bench.check(kept, [sample(requests={"blob_read": 1, "table": 1}), sample(requests={"table": 2})])


def test_row_has_medians_and_how_far_they_spread() -> None:
    """Rates are those of the median."""
    found = [sample(wall, wall / 2, {"table": 1}) for wall in (0.004, 0.002, 0.1)]

    cells = bench.row(ANY, found).strip("| ").split(" | ")

    assert cells == ["Any", "10", "250", "1.00", "4.00 (2.00-100)", "2.00 (1.00-50.0)", "0.50", "table=1"]


def test_row_beside_a_peer_has_the_ratios_of_the_medians() -> None:
    """Below 1 is less than the peer takes."""
    ours, theirs = [sample(0.002, 0.001)], [sample(0.001, 0.004)]

    cells = peer.row(ANY, ours, theirs).strip("| ").split(" | ")

    assert cells[1:4] == ["1.00 (1.00-1.00)", "4.00 (4.00-4.00)", "0.25"]
    assert cells[4:] == ["2.00 (2.00-2.00)", "1.00 (1.00-1.00)", "2"]


def test_row_beside_a_peer_says_what_it_refused() -> None:
    """There is no ratio to what was not measured."""
    cells = [cell.strip() for cell in peer.row(ANY, [sample()], []).split("|")]

    assert cells[3:5] == ["refused", ""]


def test_every_scenario_belongs_to_a_group_and_no_two_have_a_name() -> None:
    """What belongs to no group is never measured."""
    assert {one.group for one in SCENARIOS} == set(GROUPS)
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)


@pytest.mark.parametrize("side", [SMALL, LARGE])
def test_image_shows_the_chest_in_the_bits_that_it_stores(side: int) -> None:
    """What is rendered and compressed is an image, and one that its attributes describe."""
    one = image(side, 1, 2)

    dataset = pydicom.dcmread(BytesIO(one.head + one.pixels))
    pixels = np.frombuffer(dataset.PixelData, "<u2").reshape(dataset.Rows, dataset.Columns)

    assert pixels.max() < 1 << dataset.BitsStored
    np.testing.assert_array_equal(pixels, chest(side))


def test_compressed_image_shows_the_same() -> None:
    """It is lossless JPEG 2000, under the same UIDs."""
    native, one = image(LARGE, 1, 2), image(LARGE, 1, 2, compressed=True)

    dataset = pydicom.dcmread(BytesIO(one.head + one.pixels))
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)

    assert dataset.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert (dataset.SOPInstanceUID, one.instance) == (native.instance, native.instance)
    assert one.size < native.size / 2
    np.testing.assert_array_equal(imagecodecs.jpeg2k_decode(frame), chest(LARGE))
