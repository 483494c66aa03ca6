"""What a function takes and returns, as codecs: for the inputs of flows and steps."""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from typing import Any, cast

from backroom.flows.codec import Codec
from backroom.records.errors import InvalidInput

__all__ = ["Signature"]

_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Signature:
    """The parameters of a function as one mapping, and its return type.

    Types are resolved at first use, not when the function is decorated: the names in its
    annotations may be defined further down in the author's module.

    `given`: how many of the first parameters aren't the caller's (a transaction step's connection).
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        names: Mapping[str, Any],
        *,
        given: int = 0,
    ) -> None:
        self.name = name
        self._function = function
        self._names = (
            names  # local names at the place of decoration, for classes made inside functions
        )
        self._input: Codec | None = None
        self._output: Codec | None = None
        whole = inspect.signature(function)
        self._callers = whole.replace(parameters=list(whole.parameters.values())[given:])
        self.parameters = self._callers.parameters
        for parameter in self.parameters.values():
            if parameter.kind not in _KINDS:
                raise TypeError(
                    f"{name} takes {parameter}, which can't be stored by name. "
                    "Give every parameter a name that can be passed as a keyword."
                )
        self._order = tuple(self.parameters)
        self._required = frozenset(
            p.name for p in self.parameters.values() if p.default is inspect.Parameter.empty
        )
        self._keyword_only = sum(
            p.kind is inspect.Parameter.KEYWORD_ONLY for p in self.parameters.values()
        )

    @property
    def input(self) -> Codec:
        """Codec of the mapping of all arguments."""
        if self._input is None:
            from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

            hints = self._hints()
            fields = {name: hints.get(name, Any) for name in self._order}
            marked = {
                name: hint if name in self._required else typing.NotRequired[hint]
                for name, hint in fields.items()
            }
            # The name is for errors ("the input of ship doesn't fit its parameters"), the title for
            # people who are shown the schema.
            shape: Any = cast("Any", TypedDict)("its parameters", marked)
            shape.__pydantic_config__ = {
                "title": f"{self.name} input", "extra": "forbid", "arbitrary_types_allowed": False,
            }  # fmt: skip
            self._input = Codec(shape, owner=f"the input of {self.name}", fields=fields)
        return self._input

    @property
    def output(self) -> Codec:
        """Codec of what the function returns."""
        if self._output is None:
            hint = self._hints().get("return", Any)
            self._output = Codec(
                type(None) if hint is None else hint, owner=f"the result of {self.name}"
            )
        return self._output

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name, as Python itself would bind them; InvalidInput if it couldn't."""
        if not args and not kwargs and not self._required:
            return {}
        positional = len(self._order) - self._keyword_only
        bound = dict(zip(self._order, args, strict=False))
        if not kwargs and len(args) == positional == len(self._order):
            return bound  # the usual case: all of them, by position
        if len(args) > positional or not bound.keys().isdisjoint(kwargs):
            self._explain(args, kwargs)
        bound.update(kwargs)
        if not (self._required <= bound.keys() <= self.parameters.keys()):
            self._explain(args, kwargs)
        return bound

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        """The arguments as JSON text, checked against the annotations."""
        bound = self.bind(args, kwargs)
        if not bound:
            return "{}"
        return self.input.encode(self.input.validate(bound))

    def decode(self, text: str) -> dict[str, Any]:
        """The arguments again, by name."""
        if text == "{}" and not self._required:
            return {}
        decoded: dict[str, Any] = self.input.decode(text, strict=True)
        return decoded

    def hint(self, parameter: str) -> Any:
        """What a parameter is annotated with; Any if with nothing."""
        return self._hints().get(parameter, Any)

    def _explain(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        try:
            self._callers.bind(*args, **kwargs)
        except TypeError as error:
            raise InvalidInput(
                f"{self.name}{self._callers} can't be called like this: {error}. Pass "
                "the arguments that it names."
            ) from None
        raise AssertionError("our binding refuses what Python's would take")

    def _hints(self) -> dict[str, Any]:
        function = inspect.unwrap(self._function)
        try:
            return typing.get_type_hints(function, localns=dict(self._names), include_extras=True)
        except NameError as error:
            raise InvalidInput(
                f"The annotations of {self.name} name something that can't be found: {error}. "
                "Import it at run time, not under TYPE_CHECKING only."
            ) from error


def caller_names(depth: int) -> Mapping[str, Any]:
    """Local names where a decorator was applied; empty at module level, where globals do."""
    frame = sys._getframe(depth + 1)
    return {} if frame.f_locals is frame.f_globals else frame.f_locals
