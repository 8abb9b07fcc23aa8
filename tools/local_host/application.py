"""The functions of an app, enumerated through the public interface of azure-functions."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import sys
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func

from tools.local_host.errors import StartUpError

_MODULE = "function_app"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Function:
    """One function: its trigger and how to call it with the trigger's value."""

    name: str
    trigger: Mapping[str, Any]
    call: Callable[[Any], Awaitable[Any]]
    annotation: object

    @property
    def type(self) -> str:
        """The trigger's type, as in `function.json`."""
        return str(self.trigger["type"])


def load(folder: Path) -> list[Function]:
    """Import `function_app.py` and list its functions.

    Raises
    ------
    StartUpError
        There is no such file, not exactly one FunctionApp in it, or a function needs what this host lacks; or the app
        raises an exception of its own.
    """
    if not (folder / f"{_MODULE}.py").exists():
        raise StartUpError(f"There is no {_MODULE}.py in {folder.absolute()}.")
    sys.path.insert(0, str(folder.absolute()))
    module = _imported()
    apps = {id(value): value for value in vars(module).values() if isinstance(value, func.FunctionRegister)}
    if len(apps) != 1:
        raise StartUpError(f"{_MODULE}.py must have one FunctionApp at its top level; it has {len(apps)}.")
    return [_function(one) for one in next(iter(apps.values())).get_functions()]


def _imported() -> ModuleType:
    """The app's module. What it raises of its own is meant for who starts it, what Python raises for who wrote it."""
    try:
        return importlib.import_module(_MODULE)
    except Exception as error:
        if type(error).__module__.partition(".")[0] in sys.stdlib_module_names:
            raise
        _log.debug("%s.py could not be imported", _MODULE, exc_info=True)
        raise StartUpError(f"{_MODULE}.py cannot start: {error}") from error


def _function(built: Any) -> Function:
    name, user = built.get_function_name(), built.get_user_function()
    trigger = built.get_trigger()
    argument = trigger.name
    parameters = set(inspect.signature(user).parameters)
    if parameters != {argument}:
        other = ", ".join(sorted(parameters ^ {argument}))
        raise StartUpError(f"Function {name}: the local host supplies the trigger's value only, not {other}.")
    return Function(
        name=name,
        trigger=trigger.get_dict_repr(),
        call=_caller(user, argument),
        annotation=typing.get_type_hints(user).get(argument),
    )


def _caller(user: Callable[..., Any], argument: str) -> Callable[[Any], Awaitable[Any]]:
    """Call with the trigger's value; a synchronous function runs in a thread, as in the worker."""
    if inspect.iscoroutinefunction(user):
        return lambda value: typing.cast(Awaitable[Any], user(**{argument: value}))
    return lambda value: asyncio.to_thread(user, **{argument: value})
