"""What an upload makes of the answers to its requests."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Any

import orjson
import pytest

from tools.upload import answers
from tools.upload.answers import ATTEMPTS, Reply, Stop
from tools.upload.files import Batch, File
from tools.upload.outcomes import Fate, Outcome

TEXT = {"content-type": "text/plain; charset=utf-8"}


def batch(names: str, attempt: int = 1) -> Batch:
    """A batch of files of ten bytes; each has its name as UID."""
    return Batch(tuple(File(name, 10, name) for name in names), attempt)


def names(batches: tuple[Batch, ...]) -> list[tuple[str, int]]:
    """The names of the files of each batch, and its attempt."""
    return [("".join(file.path for file in one.files), one.attempt) for one in batches]


def item(instance: str = "", *, failure: int = 0, warning: int = 0, comments: tuple[str, ...] = ()) -> Any:
    """An item of a Store Instances Response Module."""
    attributes = [{"00000902": {"vr": "LO", "Value": [comment]}} for comment in comments]
    values = {"00081155": instance, "00081197": failure, "00081196": warning}
    elements: dict[str, Any] = {tag: {"vr": "US", "Value": [value]} for tag, value in values.items() if value}
    return elements | {"00741048": {"vr": "SQ", "Value": attributes}}


def reply(status: int, *, stored: tuple[Any, ...] = (), failed: tuple[Any, ...] = ()) -> Reply:
    """The answer of a Store."""
    sequences = {"00081198": failed, "00081199": stored}
    return Reply(
        status, orjson.dumps({tag: {"vr": "SQ", "Value": items} for tag, items in sequences.items()})
    )


def test_each_file_is_found_by_its_uid() -> None:
    """An instance is stored, stored with a warning, there already, or not stored (PS3.18 Annex I)."""
    answer = reply(
        202,
        stored=(
            item("c", warning=0xB00E),
            item("a"),
            item("b", warning=1, comments=("DICOM100: (0008,0020)",)),
        ),
        failed=(item("d", failure=0xA900, comments=("DICOM100: no study", "no series")),),
    )

    verdict = answers.judge(batch("abcd"), answer)

    assert verdict.again == ()
    assert verdict.outcomes == (
        Outcome("a", 10, Fate.STORED),
        Outcome("b", 10, Fate.WARNED, "attributes are not valid", "0001", ("(0008,0020)",)),
        Outcome("c", 10, Fate.IDENTICAL),
        Outcome(
            "d",
            10,
            Fate.FAILED,
            "a required attribute is missing or not valid",
            "A900",
            ("no study", "no series"),
        ),
    )


def test_file_that_is_not_named_goes_alone() -> None:
    """What an answer says of an instance without UID cannot be told of a file: those left over are sent singly."""
    answer = reply(202, stored=(item("b"),), failed=(item(failure=0x0110), item(failure=0x0110)))

    verdict = answers.judge(batch("abc", attempt=3), answer)

    assert [outcome.path for outcome in verdict.outcomes] == ["b"]
    assert names(verdict.again) == [("a", 1), ("c", 1)]


@pytest.mark.parametrize(
    ("answer", "fate", "reason"),
    [
        (reply(200, stored=(item("other"),)), Fate.STORED, ""),
        (reply(409, failed=(item(failure=0x0110),)), Fate.FAILED, "could not be processed"),
        (reply(409, failed=(item(failure=0xA7FF),)), Fate.FAILED, "the service is out of resources"),
        (reply(409, failed=(item(failure=0xC123),)), Fate.FAILED, "could not be understood"),
        (reply(409, failed=(item(failure=0x4711),)), Fate.FAILED, "not stored"),
        (reply(409, failed=(item(),)), Fate.FAILED, "not stored"),
        (reply(202, stored=(item(warning=0x4711),)), Fate.WARNED, "warning"),
        (Reply(200), Fate.STORED, ""),
        (Reply(200, b"<xml/>"), Fate.STORED, ""),
        (Reply(200, b"[]"), Fate.STORED, ""),
        (Reply(202, b"[3]"), Fate.FAILED, "the service answered 202 and does not say why"),
        (Reply(409), Fate.FAILED, "the service answered 409 and does not say why"),
    ],
)
def test_file_alone_needs_no_uid(answer: Reply, fate: Fate, reason: str) -> None:
    """The answer to a request of one file is about that file."""
    (outcome,) = answers.judge(batch("a"), answer).outcomes

    assert (outcome.fate, outcome.reason) == (fate, reason)


@pytest.mark.parametrize("status", [400, 406, 413, 415, 501])
def test_refused_batch_is_halved(status: int) -> None:
    """A refusal is of the batch, so its halves are tried at once; one file that is refused has failed."""
    refusal = Reply(status, b"too large\nor so", TEXT)

    verdict = answers.judge(batch("abc", attempt=2), refusal)
    alone = answers.judge(batch("a"), refusal)

    assert (names(verdict.again), verdict.wait, verdict.outcomes) == ([("ab", 2), ("c", 2)], 0, ())
    assert [(one.reason, one.comments) for one in alone.outcomes] == [
        (f"the service answered {status}", ("too large",))
    ]


def test_wrong_root_is_hinted_at() -> None:
    """A host that has no such path says nothing of its own; what is missing is most often the version."""
    with pytest.raises(Stop, match=r"the service answered 404: .*/v2"):
        answers.judge(batch("a"), Reply(404))


@pytest.mark.parametrize("status", [408, 429, 503])
def test_busy_service_is_asked_again_later(status: int) -> None:
    """The same batch is sent again after Retry-After."""
    verdict = answers.judge(batch("abc"), Reply(status, b"", {"retry-after": "7"}))

    assert (names(verdict.again), verdict.wait) == ([("abc", 2)], 7)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_service_that_broke_down_gets_halves(status: int) -> None:
    """One file may be why the service failed: it is not to fail the others."""
    verdict = answers.judge(batch("abc"), Reply(status))

    assert names(verdict.again) == [("ab", 2), ("c", 2)]
    assert 0 < verdict.wait <= 0.5


@pytest.mark.parametrize("status", [500, 503])
def test_attempts_end(status: int) -> None:
    """What was tried often enough has failed, each file of it."""
    verdict = answers.judge(batch("ab", ATTEMPTS), Reply(status, b"out of order", TEXT))

    reason = f"the service answered {status}, {ATTEMPTS} times"
    assert verdict.again == ()
    assert [(one.path, one.reason, one.comments) for one in verdict.outcomes] == [
        ("a", reason, ("out of order",)),
        ("b", reason, ("out of order",)),
    ]


@pytest.mark.parametrize("status", [301, 302, 308, 401, 403, 404, 405])
def test_wrong_url_or_token_stops(status: int) -> None:
    """What every other request would be answered as well is the end."""
    with pytest.raises(Stop, match=f"the service answered {status}: https://elsewhere"):
        answers.judge(batch("a"), Reply(status, b"", {"location": "https://elsewhere"}))


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("0", 0, 0),
        ("12", 12, 12),
        ("99999", 120, 120),
        ("soon", 0.25, 0.5),
        ("-3", 0.25, 0.5),
        ("", 0.25, 0.5),
    ],
)
def test_retry_after(value: str, low: float, high: float) -> None:
    """Retry-After in seconds is not waited for without end; what cannot be read is a back-off."""
    verdict = answers.judge(batch("a"), Reply(503, b"", {"retry-after": value}))

    assert low <= verdict.wait <= high


@pytest.mark.parametrize(("seconds", "low", "high"), [(60, 50, 60), (-60, 0, 0)])
def test_retry_after_date(seconds: int, low: float, high: float) -> None:
    """Retry-After may be a date (RFC 9110 10.2.3)."""
    value = formatdate(time.time() + seconds, usegmt=True)

    verdict = answers.judge(batch("a"), Reply(503, b"", {"retry-after": value}))

    assert low <= verdict.wait <= high


def test_back_off_grows_to_a_limit() -> None:
    """The wait doubles up to half a minute."""
    assert 1.0 <= answers.back_off(3) <= 2.0
    assert 15.0 <= answers.back_off(30) <= 30.0
