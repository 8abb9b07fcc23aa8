"""The routes of function_app.py, as azure-functions lists them."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from dicom_core import functions_http
from dicom_core.functions_http import Transaction
from tests.serving import ROOT

EXAMPLES = {
    "{version:int}": "2",
    "{study}": "1.2.3",
    "{series}": "1.2.4",
    "{instance}": "1.2.5",
    "{frames}": "1",
    "{subscriber}": "queue-events",
    "{*bulkdata}": "00420011",
    "{*path}": "nothing",
}
"""What may stand for each parameter of a route."""


@dataclass(frozen=True, slots=True)
class Route:
    """A function that HTTP triggers, by one of its methods."""

    name: str
    method: str
    template: str
    level: str
    call: Callable[[Any], Any]

    @property
    def path(self) -> str:
        """A path that fits the route."""
        path = f"/{self.template}"
        for parameter, example in EXAMPLES.items():
            path = path.replace(parameter, example)
        return path


def function_app(**settings: str) -> ModuleType:
    """The module of the app, made anew with some settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"DicomStorage": "UseDevelopmentStorage=true", **settings}.items():
            patch.setenv(name, value)
        spec = importlib.util.spec_from_file_location("function_app_of_a_test", ROOT / "function_app.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def routes(module: ModuleType) -> list[Route]:
    """Every route, once for each of its methods."""
    found = []
    for function in module.app.get_functions():
        trigger = function.get_trigger().get_dict_repr()
        for method in trigger.get("methods", ()):
            found.append(
                Route(
                    function.get_function_name(),
                    str(getattr(method, "value", method)),
                    trigger["route"],
                    str(getattr(trigger["authLevel"], "value", trigger["authLevel"])).lower(),
                    function.get_user_function(),
                )
            )
    return found


class Recorder:
    """Stands where the responder does, and says what was asked of it."""

    def __init__(self) -> None:
        self.asked: list[Transaction] = []

    async def __call__(self, http: object, transaction: Transaction) -> None:
        """Take note of a transaction."""
        self.asked.append(transaction)

    async def options(self, http: object, transaction: Transaction) -> None:
        """Take note of what follows where it is no preflight."""
        self.asked.append(transaction)

    async def unknown(self, http: object) -> None:
        """Take note of what is no transaction."""
        self.asked.append(functions_http.unknown)
