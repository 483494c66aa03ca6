"""Whether an annotation restores every part of a value, and where two values differ."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from types import NoneType, UnionType
from typing import Any, ForwardRef, TypeVar, Union, get_args, get_origin
from uuid import UUID

__all__ = ["difference", "is_certain", "is_loose"]

_LEAVES = (bool, int, float, str, bytes, NoneType, Decimal, UUID, datetime, timedelta)
_BARE = (Any, object, dict, list, tuple, set, frozenset)


def is_loose(hint: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether some part of this annotation says nothing about its type: Any, object, a bare `dict`.

    What can't be looked into (a forward reference, a type variable) counts as saying nothing.
    """
    if id(hint) in seen:
        return False
    seen |= {id(hint)}
    if any(hint is bare for bare in _BARE) or isinstance(hint, TypeVar | ForwardRef | str):
        return True
    if get_origin(hint) is not None or get_args(hint):
        return any(is_loose(part, seen) for part in get_args(hint) if not _is_marker(part))
    return any(is_loose(part, seen) for part in _parts(hint))


def is_certain(hint: Any) -> bool:
    """Whether nothing of this annotation can come back as something else than it was: leaves of
    exactly one class each, in containers. Models may have subclasses and hidden fields, a union may
    choose another member, a constraint may refuse."""
    if hint in _LEAVES or hint is None:
        return True
    kind, parts = get_origin(hint), get_args(hint)
    if kind is tuple or kind is list or kind is set or kind is frozenset:
        return all(part is Ellipsis or is_certain(part) for part in parts)
    if kind is dict:
        return parts[0] is str and is_certain(parts[1])
    if kind is Union or kind is UnionType:
        one, other = (*parts, None)[:2]
        return len(parts) == 2 and NoneType in parts and is_certain(one) and is_certain(other)
    return False


def _is_marker(part: Any) -> bool:
    """What stands in an annotation without being one: `...`, a Literal's value, Annotated's
    extras."""
    return part is Ellipsis or not (
        isinstance(part, type | TypeVar | ForwardRef)
        or part is Any
        or get_origin(part) is not None
        or get_args(part)
    )


def _parts(hint: Any) -> Iterable[Any]:
    """The annotations of a model's, dataclass's or typed dictionary's fields."""
    model_fields = getattr(hint, "model_fields", None)
    if isinstance(model_fields, dict):
        return [field.annotation for field in model_fields.values()]
    if is_dataclass(hint) or hasattr(hint, "__required_keys__"):
        from typing import get_type_hints

        try:
            return list(get_type_hints(hint).values())
        except NameError:
            return [Any]
    return ()


def difference(before: Any, after: Any, path: str) -> tuple[str, str] | None:
    """The first place where `after` isn't what `before` was: its path, and the type it had
    there."""
    kind = type(before)
    here = path, f"{kind.__module__}.{kind.__qualname__}"
    if kind is not type(after):
        both_numbers = kind in (int, float) and type(after) in (int, float)
        return None if both_numbers and before == after else here
    if kind is dict:
        if list(map(type, before)) != list(map(type, after)) or list(before) != list(after):
            return here
        return _first((before[key], after[key], f"{path}[{key!r}]") for key in before)
    if kind in (list, tuple):
        if len(before) != len(after):
            return here
        pairs = zip(before, after, strict=True)
        return _first((a, b, f"{path}[{n}]") for n, (a, b) in enumerate(pairs))
    names = _fields(before)
    if names is not None:
        return _first((getattr(before, n), getattr(after, n), f"{path}.{n}") for n in names)
    if kind is float and math.isnan(before) and math.isnan(after):
        return None
    if kind in (set, frozenset):
        return None if before == after and _kinds(before) == _kinds(after) else here
    if kind is datetime and before.tzinfo != after.tzinfo:
        return here
    if getattr(kind, "__eq__", None) is getattr(object, "__eq__", None):
        return None  # nothing is known of it but that it is of the same class
    return None if before == after else here


def _first(places: Iterable[tuple[Any, Any, str]]) -> tuple[str, str] | None:
    return next((found for a, b, path in places if (found := difference(a, b, path))), None)


def _fields(value: Any) -> list[str] | None:
    if is_dataclass(value):
        return [field.name for field in fields(value)]
    model_fields = getattr(type(value), "model_fields", None)
    return list(model_fields) if isinstance(model_fields, dict) else None


def _kinds(items: Iterable[Any]) -> list[str]:
    return sorted(type(item).__name__ for item in items)
