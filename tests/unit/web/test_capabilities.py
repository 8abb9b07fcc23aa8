"""The Capabilities Description tells of every route, and of nothing else."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from dicom_core.web import capabilities

ROOT = Path(__file__).parents[3]
BASE = "v{version:int}/"
OTHERS = {"answer_unknown", "retrieve_capabilities", "check_health"}
"""What is no resource: other paths, the description itself, and what lies outside of the base URL."""


def test_every_route_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """Methods, paths and names of the description = those of the functions."""
    monkeypatch.setenv("DicomStorage", "UseDevelopmentStorage=true")
    spec = importlib.util.spec_from_file_location("function_app_of_capabilities", ROOT / "function_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    triggers = {
        one.get_function_name(): one.get_trigger().get_dict_repr() for one in module.app.get_functions()
    }

    routed = {
        (str(getattr(method, "value", method)), trigger["route"].removeprefix(BASE).replace("{*", "{"), name)
        for name, trigger in triggers.items()
        if name not in OTHERS
        for method in trigger.get("methods", ())
    }

    told = {
        (name, path, method.id)
        for path, methods in capabilities.TABLE.items()
        for method in methods
        for name in (("GET", "HEAD") if method.name == "GET" else (method.name,))
    }
    assert told == routed
