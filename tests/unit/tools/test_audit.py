"""What is known against the packages: who is asked, of what, and what an answer means."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import pytest

from tests.serving import ROOT
from tools import audit
from tools.audit import NotPossible

UNREACHABLE = "pypi.org does not tell from here"


def test_service_that_tells() -> None:
    """Who knows something against an old release can be asked."""
    audit.ask(lambda url: {"vulnerabilities": [{"id": "PYSEC-2021-108"}]})


@pytest.mark.parametrize(
    "answer", [{"vulnerabilities": []}, {"info": {}}, OSError("timed out"), ValueError("no JSON")]
)
def test_service_that_does_not_tell(answer: Any) -> None:
    """A mirror that knows nothing against anything is no one to ask, nor is who does not answer."""

    def fetch(url: str) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(NotPossible, match=UNREACHABLE):
        audit.ask(fetch)


@pytest.mark.parametrize(("allowed", "code"), [(["--if-possible"], 0), ([], 2)])
def test_audit_that_is_not_possible(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], allowed: list[str], code: int
) -> None:
    """It is said, and fails unless that is allowed."""
    monkeypatch.setattr(audit, "fetched", lambda url: {"vulnerabilities": []})
    monkeypatch.setattr("sys.argv", ["audit", *allowed])

    with pytest.raises(SystemExit) as ended:
        audit.main()

    assert ended.value.code == code
    assert capsys.readouterr().out.startswith("audit: NOT DONE, ")


@pytest.mark.parametrize(("found", "code"), [(["a 1: CVE-1"], 1), ([], 0)])
def test_weakness_fails_the_audit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: list[str], code: int
) -> None:
    """Even where it may be impossible."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(audit, "fetched", lambda url: {"vulnerabilities": ["one"]})
    monkeypatch.setattr(audit, "audited", lambda pinned: found)
    monkeypatch.setattr("sys.argv", ["audit", "--if-possible"])

    with pytest.raises(SystemExit) as ended:
        audit.main()

    assert ended.value.code == code
    assert f"{len(found)} known weaknesses" in capsys.readouterr().out


def test_what_is_audited() -> None:
    """All that is pinned for here, and what it needs in turn; nothing that only the tests need."""
    pinned = audit.closure(audit.requirements((ROOT / "requirements.txt").read_text()))

    assert pinned["aiohttp"] == version("aiohttp")
    assert pinned["multidict"] == version("multidict")
    assert pinned["msal"] == version("msal")
    assert {"pytest", "hypothesis", "mypy"}.isdisjoint(pinned)


def test_requirements_of_other_machines() -> None:
    """A marker that does not hold, comments and empty lines ask for nothing."""
    text = "# a\n\na==1\nb==2; python_version < '3'  # old\nc[d]==3\n"

    assert [str(one) for one in audit.requirements(text)] == ["a==1", "c[d]==3"]


def test_package_that_is_not_installed() -> None:
    """What is not there cannot be audited, and is named."""
    with pytest.raises(NotPossible, match="no-such-package is not installed"):
        audit.closure(audit.requirements("No_Such.Package==1"))


def test_output_with_weaknesses() -> None:
    """Each is a line that says what mends it."""
    output = json.dumps(
        {
            "dependencies": [
                {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2", "3"]}]},
                {"name": "b", "version": "1", "vulns": [{"id": "CVE-2", "fix_versions": []}]},
                {"name": "c", "version": "1", "vulns": []},
            ],
            "fixes": [],
        }
    )

    assert audit.weaknesses(output, "") == [
        "a 1: CVE-1, mended in 2, 3",
        "b 1: CVE-2, mended in no version",
    ]


@pytest.mark.parametrize(("output", "errors"), [("", "ERROR: a\nno connection\n"), ("{}", "no connection")])
def test_output_that_breaks_off(output: str, errors: str) -> None:
    """What is no result is none: the last line of the errors says why."""
    with pytest.raises(NotPossible, match="pip-audit failed: no connection"):
        audit.weaknesses(output, errors)
