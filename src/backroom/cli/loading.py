"""From `module:name` to the user's application. The only place where user code is imported."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from types import ModuleType
from typing import Any

from backroom.app.backroom import Backroom
from backroom.records.errors import BackroomError

__all__ = ["NotLoadable", "load_app", "load_object"]


class NotLoadable(BackroomError):
    """`module:name` leads to nothing that can be used."""


def load_app(target: str) -> Backroom:
    """The application at `module:name`, or the only one in `module`."""
    module_name, _, attribute = target.partition(":")
    module = load_module(module_name, target)
    known = [name for name, value in vars(module).items() if isinstance(value, Backroom)]
    if not attribute:
        if len(known) != 1:
            has = " and ".join(known) or "none"
            raise NotLoadable(
                f"Which application of {module_name} is meant? It has {has}; "
                f"name it as {module_name}:{known[0] if known else 'app'}."
            )
        attribute = known[0]
    found = attribute_of(module, attribute, known)
    if not isinstance(found, Backroom):
        raise NotLoadable(
            f"{target} is a {type(found).__name__}, not a Backroom. Name the object that "
            f"`app = Backroom()` has made{hint(module_name, known)}."
        )
    return found


def load_object(target: str) -> Any:
    """Whatever stands at `module:name`."""
    module_name, separator, attribute = target.partition(":")
    if not separator or not attribute:
        raise NotLoadable(f"{target!r} names no object. Write module:name, for example web:app.")
    return attribute_of(load_module(module_name, target), attribute, [])


def load_module(name: str, target: str) -> ModuleType:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise NotLoadable(
            f"{target!r} names no module. Write module:name, for example shop.jobs:app."
        )
    here = os.getcwd()
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise NotLoadable(
                f"There is no module {error.name!r} in {here} or among the installed packages. "
                "Run this where your code is, or correct the name."
            ) from None
        raise broken(name, error) from error
    except Exception as error:  # user code may raise anything
        raise broken(name, error) from error


def broken(name: str, error: Exception) -> NotLoadable:
    """The traceback starts in the user's code: what comes before is the machinery of imports."""
    trace = error.__traceback__
    while trace is not None and (
        trace.tb_frame.f_code.co_filename in (__file__, importlib.__file__)
        or trace.tb_frame.f_code.co_filename.startswith("<frozen")
    ):
        trace = trace.tb_next
    lines = traceback.format_exception(type(error), error, trace)
    return NotLoadable(
        f"Importing {name} failed with the error below. Correct it, then try again.\n\n"
        f"{''.join(lines).rstrip()}"
    )


def attribute_of(module: ModuleType, attribute: str, known: list[str]) -> Any:
    found: Any = module
    for name in attribute.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise NotLoadable(
                f"{module.__name__} has no {attribute!r}. Correct the name"
                f"{hint(module.__name__, known)}."
            ) from None
    return found


def hint(module: str, known: list[str]) -> str:
    return f": {' or '.join(f'{module}:{name}' for name in known)}" if known else ""
