"""The documents say what the code does: tables are compared, row by row."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

from dicom_core import attributes, authorization, settings
from dicom_core.studies.store_response import FailureReason, WarningReason

ROOT = Path(__file__).parent.parent
CONFORMANCE = (ROOT / "docs" / "conformance.md").read_text()


def table(text: str, *columns: str) -> list[tuple[str, ...]]:
    """The rows of the tables that have these columns."""
    head = "| " + " | ".join(columns) + " |\n|" + "---|" * len(columns) + "\n"
    found: list[tuple[str, ...]] = []
    for part in text.split(head)[1:]:
        for line in part.splitlines():
            if not line.startswith("|"):
                break
            found.append(tuple(cell.strip() for cell in line.strip("|").split(" | ")))
    return found


@pytest.fixture(scope="module")
def functions() -> list[tuple[str, str, str]]:
    """(method, route, name) of every HTTP function, in the order of function_app.py."""
    patch = pytest.MonkeyPatch()
    patch.setenv("DicomStorage", "UseDevelopmentStorage=true")
    spec = importlib.util.spec_from_file_location("function_app_of_the_documents", ROOT / "function_app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    patch.undo()
    triggers = [
        (one.get_function_name(), one.get_trigger().get_dict_repr()) for one in module.app.get_functions()
    ]
    return [
        (str(getattr(method, "value", method)), trigger["route"], name)
        for name, trigger in triggers
        for method in trigger.get("methods", ())
    ]


def test_conformance_lists_every_route(functions: list[tuple[str, str, str]]) -> None:
    """Resources of the conformance statement = routes of function_app.py, in the same order."""
    assert table(CONFORMANCE, "method", "path", "function") == functions


def test_conformance_lists_every_attribute() -> None:
    """Attributes of the conformance statement = attributes.TABLE."""
    rows = [
        (row.keyword, row.level.name.lower(), "yes" * row.searchable, "yes" * row.returned)
        for row in attributes.TABLE
    ]
    assert table(CONFORMANCE, "attribute", "level", "match", "returned") == rows


def test_conformance_lists_every_reason() -> None:
    """Additional reasons are declared in the conformance statement (PS3.18 Annex I)."""
    listed = [(value, name) for value, name, _ in table(CONFORMANCE, "value", "name", "meaning")]
    assert listed == [
        (f"{reason:04X}", reason.name) for kind in (FailureReason, WarningReason) for reason in kind
    ]


def test_security_lists_every_rule() -> None:
    """Roles of the security document = authorization.RULES."""
    rows = table((ROOT / "docs" / "security.md").read_text(), "role", "requests", "transactions")
    wide = {"any of them": authorization.ANY_ROLE, "none": authorization.EVERYONE}
    listed = {
        name: wide.get(role, frozenset({role.strip("`")}))
        for role, _, names in rows
        for name in re.findall(r"`([\w.]+)`", names)
    }
    assert listed == authorization.RULES


def test_settings_are_those_that_are_read() -> None:
    """Every name in the table of settings.py is read there, and every one read is in the table."""
    source = (ROOT / "dicom_core" / "settings.py").read_text()
    named = {row[0] for row in table(source, "setting", "meaning", "default")}
    read = set(re.findall(r'environment\.get\("(\w+)"', source))
    of_the_host = {"DicomSweepSchedule"}
    assert of_the_host <= json.loads((ROOT / "local.settings.sample.json").read_text())["Values"].keys()
    assert named - of_the_host | {"WEBSITE_HOSTNAME", "WEBSITE_SITE_NAME"} == read


def test_sample_has_the_settings_of_subscribers() -> None:
    """What a developer may want to try is there to be filled in; as it is, no one is told of anything."""
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    named = [row[0] for row in table(settings.__doc__ or "", "setting", "meaning", "default")]
    of_subscribers = [name for name in named if name.startswith(("DicomEvent", "DicomFhir"))]

    assert [name for name in values if name.startswith(("DicomEvent", "DicomFhir"))] == of_subscribers
    assert settings.Settings.from_environment(values).subscribers == ()


def test_sample_settings_start_the_service() -> None:
    """local.settings.sample.json has what Settings.from_environment needs."""
    values = json.loads((ROOT / "local.settings.sample.json").read_text())["Values"]
    assert isinstance(settings.Settings.from_environment(values).account, settings.SharedKeyAccount)


@pytest.mark.parametrize(
    "path", ["README.md", "CONTRIBUTING.md", *sorted(str(p) for p in Path("docs").rglob("*.md"))]
)
def test_links_between_documents_lead_somewhere(path: str) -> None:
    """A relative link names a file that exists."""
    file = ROOT / path
    links = re.findall(r"\]\((?!https?://)([^)#]+)", file.read_text())
    assert [link for link in links if not (file.parent / link).exists()] == []
