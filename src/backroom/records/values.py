"""How values are declared: frozen for the type checker, and cheap to make at run time.

A dataclass that is frozen at run time sets each of its fields by a call of `object.__setattr__`,
which makes it four times as dear (a claimed run has 21 fields, and several values are made for
every run and step). mypy checks every line of ours, so there the freezing is kept; at run time a
value is an ordinary slotted dataclass that can be compared and hashed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value(cls: type[T]) -> type[T]:
    """Class decorator, in place of `@dataclass(frozen=True, slots=True)`."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
