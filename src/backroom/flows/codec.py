"""Values to JSON text and back, with their types kept.

The types come from the author's annotations: pydantic takes a value apart (`dump_python`) and puts
it together again (`validate_python`). In between stands JSON, in which leaves that JSON lacks are
tagged: `{"$": "decimal", "v": "1.10"}`. So bytes, exact decimals, named time zones, sets and
mappings with any key survive even inside a model that was never told about JSON.

Where there is no annotation, or one that says nothing (Any, a bare dict), there is nobody to put a
value together again, so only values that need no help are taken: plain JSON and the tagged leaves.
Everything else is refused with the path to it.
Never pickle: a database writer must not become a code runner.

Three paths lead to text. What is plain already, a scalar of exactly the annotated class or
arguments that are all such, needs neither pydantic nor a walk. For the rest the fast path leaves
the walking to `json` (C) with a hook for odd leaves; the careful one walks in Python and knows
where it is. Whatever the faster ones trip over, the careful one either stores or names.

And one proof: what was not plain is read back at once and compared. A value that would come back
otherwise (a subclass's fields, the wrong member of a union) is refused while its author is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from json.encoder import encode_basestring
from types import UnionType
from typing import Any, Union, get_args, get_origin

from backroom.flows.exactness import difference, is_certain, is_loose
from backroom.flows.tagged import (
    MARK,
    MOST,
    careful,
    decode_plain,
    dumps,
    first_line,
    has_own_marks,
    tag,
    within_limits,
)
from backroom.records.errors import InvalidInput, NotStorable

__all__ = ["ANY", "Codec", "decode_plain"]

# How json writes scalars; asking it for each costs more than writing them.
_SCALARS: dict[type, Callable[[Any], str]] = {
    bool: {False: "false", True: "true"}.__getitem__,
    int: int.__repr__,
    float: float.__repr__,
    str: encode_basestring,
}


_NUMBERS = (int, float)
UNIONS = (Union, UnionType)
MORE_EXACTLY = "Annotate this part exactly (not Any, dict or list alone)."


class Codec:
    """Encodes and decodes values of one annotated type. `ANY` does without annotation.

    fields  of the mapping of a function's arguments (`flows/signature.py`): their annotations
    """

    __slots__ = (
        "_adapter", "_hint", "_loose", "_models", "_none", "_numbers", "_owner", "_proof",
        "_scalar", "_scalar_fields",
    )  # fmt: skip

    def __init__(
        self, hint: Any = Any, *, owner: str = "value", fields: Mapping[str, Any] | None = None
    ) -> None:
        self._hint = hint
        self._owner = owner  # how errors call the value: "the result of ship"
        self._adapter: Any = None
        self._models: tuple[tuple[str | None, type], ...] | None = None
        self._loose: bool | None = None
        self._proof: bool | None = None
        self._none: bool | None = None
        self._numbers = (
            {None} if fields is None and _is_number(hint)
            else {name for name, kind in (fields or {}).items() if _is_number(kind)}
        )  # fmt: skip
        self._scalar = hint if _is_scalar(hint) else None
        self._scalar_fields = (
            None
            if fields is None
            else {name: kind for name, kind in fields.items() if _is_scalar(kind)}
        )

    @property
    def adapter(self) -> Any:
        """The pydantic TypeAdapter; built at first use, since importing pydantic takes a while."""
        if self._adapter is None:
            self._adapter = _adapter(self._hint, self._owner)
        return self._adapter

    def encode(self, value: Any) -> str:
        """JSON text of a value; NotStorable or TooLarge if it can't be stored."""
        if value is None and self._takes_none():
            return "null"
        if self._is_plain(value):
            text = _plain_text(value)
        elif self._hint is Any:
            text = dumps(careful(value, self._owner, typed=False, depth=0))
        else:
            text = self._encode_typed(value)
        return within_limits(text, self._owner)

    def outline(self, value: Any) -> str:
        """Text to tell one value from another by, across processes; NotStorable if there is none.

        It needn't come back and may be of any size. Fields of models that have their default are
        left out, so a field that is added to a model with a default changes nothing.
        """
        if self._is_plain(value):
            return _plain_text(value)
        if self._hint is not Any:
            value = self._dump(value, exclude_defaults=True)
        return dumps(careful(value, self._owner, typed=self._hint is not Any, depth=0))

    def _takes_none(self) -> bool:
        if self._none is None:
            try:
                self._none = self._hint is Any or self.adapter.validate_python(None) is None
            except ValueError:
                self._none = False
        return self._none

    def _is_plain(self, value: Any) -> bool:
        """Whether pydantic and JSON would both give this value back as it is."""
        kind = type(value)
        if self._scalar_fields is None:
            return kind is self._scalar and (kind not in _NUMBERS or _is_simple(value))
        if kind is not dict or not self._hint.__required_keys__ <= value.keys():
            return False
        for field, part in value.items():
            kind = type(part)
            if kind is not self._scalar_fields.get(field):
                return False
            if kind in _NUMBERS and not _is_simple(part):
                return False
        return True

    def _encode_typed(self, value: Any) -> str:
        """The first text from which the value comes back as it is. What no text brings back is
        refused: nobody would notice that a part has become another type or lost something."""
        self._refuse_subclasses(value)
        plain = self._dump(value)
        if not self._needs_proof():
            self._check(value)
            if (text := self._fast(value, plain)) is not None:
                return text
        refusal = NotStorable(self._owner, "there is no text for it", MORE_EXACTLY)
        for write in (self._fast, self._careful, self._as_pydantic_does):
            try:
                text = write(value, plain)
            except NotStorable as error:
                refusal = error
                continue
            if text is not None:
                changed = self._change(value, text, exactly=write == self._as_pydantic_does)
                if changed is None:
                    return text
                if write != self._as_pydantic_does:
                    refusal = NotStorable(*changed, MORE_EXACTLY)
        raise refusal

    def _check(self, value: Any) -> None:
        """Dumping passes over None where none is annotated."""
        try:
            self.adapter.validate_python(value)
        except ValueError as error:
            raise self._unfit(error) from error

    def _unfit(self, error: BaseException) -> NotStorable:
        return NotStorable(
            self._owner,
            f"it is not a {_name(self._hint)} ({first_line(error)})",
            "Return or pass what the annotation says, or correct the annotation.",
        )

    def _dump(self, value: Any, *, exclude_defaults: bool = False) -> Any:
        """The value taken apart by its annotation. Fields go by their names, whatever aliases they
        have, and what is only computed stays behind."""
        try:
            return self.adapter.dump_python(
                value, mode="python", warnings="error", by_alias=False, round_trip=True,
                exclude_defaults=exclude_defaults,
            )  # fmt: skip
        except Exception as error:  # pydantic's own errors, and whatever a custom serializer throws
            raise self._unfit(error) from error

    def _fast(self, _value: Any, plain: Any) -> str | None:
        if self._is_loose():
            return None
        tags = 0

        def hook(leaf: Any) -> Any:
            nonlocal tags
            tags += 1
            return tag(leaf, self._owner, typed=True)

        try:
            text = json.dumps(
                plain, default=hook, ensure_ascii=False, allow_nan=False, separators=(",", ":")
            )
        except (ValueError, TypeError, RecursionError, NotStorable):
            return None
        return None if MARK in text and (not tags or has_own_marks(plain)) else text

    def _careful(self, _value: Any, plain: Any) -> str | None:
        return dumps(careful(plain, self._owner, typed=True, depth=0))

    def _as_pydantic_does(self, value: Any, _plain: Any) -> str | None:
        try:
            written: bytes = self.adapter.dump_json(value, by_alias=False, round_trip=True)
        except Exception:  # its own errors, and whatever a custom serializer throws
            return None
        return None if b"*****" in written else written.decode()

    def _change(self, value: Any, text: str, *, exactly: bool) -> tuple[str, str] | None:
        """Where and how the value would come back from this text as another one.

        `exactly`: look at every part, since things may be equal without being the same: True and
        1, or one moment in two zones. Our own tags keep those apart, where an annotation says
        what is to come.
        """
        try:
            back = self.decode(text)
        except InvalidInput as error:
            return self._owner, f"it would not be read back ({first_line(error)})"
        if (
            not exactly
            and not self._is_loose()
            and type(back) is type(value)
            and _equal(back, value)
        ):
            return None
        changed = difference(value, back, self._owner)
        if changed is None:
            return None
        path, kind = changed
        return path, f"this {kind} would come back as something else"

    def _needs_proof(self) -> bool:
        """Not where dumping alone tells that a value is of its type: containers of leaves."""
        if self._proof is None:
            self._proof = not is_certain(self._hint)
        return self._proof

    def _is_loose(self) -> bool:
        if self._loose is None:
            self._loose = is_loose(self._hint)
        return self._loose

    def _refuse_subclasses(self, value: Any) -> None:
        """A subclass of the annotated model would lose its own fields without a word."""
        if self._models is None:
            self._models = tuple(_annotated_models(self._hint))
        for field, model in self._models:
            part = value if field is None else value.get(field)
            if type(part) is not model and isinstance(part, model):
                kind = type(part).__name__
                raise NotStorable(
                    self._owner if field is None else f"{field} in {self._owner}",
                    f"it is a {kind} where {model.__name__} is annotated, so the fields of "
                    f"{kind} would be lost",
                    "Annotate the union of the classes that can occur.",
                )

    def decode(self, text: str, *, strict: bool = False) -> Any:
        """The value again; InvalidInput if the text doesn't fit the type. `strict`: it comes from
        outside, so see `_refuse_truth`."""
        plain = decode_plain(text)
        if self._hint is Any or self._is_plain(plain):
            return plain
        if strict:
            self._refuse_truth(plain)
        try:
            return self.adapter.validate_python(plain, by_alias=True, by_name=True)
        except ValueError as error:
            if MARK not in text:
                # Strict models take JSON's lists and strings only when they know that it is JSON.
                try:
                    return self.adapter.validate_json(text, by_alias=True, by_name=True)
                except ValueError:
                    pass
            raise self._invalid(error) from error

    def validate(self, value: Any) -> Any:
        """The value as the type wants it (a mapping becomes a model); InvalidInput if it can't
        be."""
        if self._hint is Any or self._is_plain(value):
            return value
        self._refuse_truth(value)
        try:
            return self.adapter.validate_python(value)
        except ValueError as error:
            raise self._invalid(error) from error

    def _refuse_truth(self, value: Any) -> None:
        """True is 1 to Python and to pydantic, and a mistake to whoever is asked for a number. What
        stands inside the author's models is up to them."""
        for field in self._numbers:
            part = value if field is None else value.get(field) if type(value) is dict else None
            if type(part) is bool:
                where = f"{field}: " if field else ""
                raise InvalidInput(
                    f"{self._owner} doesn't fit {_name(self._hint)}: {where}{part} is no number",
                    "Pass what the annotation says, or correct it.",
                )

    def _invalid(self, error: ValueError) -> InvalidInput:
        return InvalidInput(
            f"{self._owner} doesn't fit {_name(self._hint)}: {_problems(error)}",
            "Pass what the annotation says, or correct it.",
        )

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self.adapter.json_schema()
        return schema


def _is_scalar(hint: Any) -> bool:
    return isinstance(hint, type) and hint in _SCALARS


def _is_number(hint: Any) -> bool:
    """Whether it is annotated as a number, or as one or None."""
    kinds = set(get_args(hint)) - {type(None)} if get_origin(hint) in UNIONS else {hint}
    return bool(kinds) and kinds <= {int, float}


def _is_simple(scalar: Any) -> bool:
    """Whether JSON has it as it is, and Python reads it again."""
    return math.isfinite(scalar) if type(scalar) is float else -MOST < scalar < MOST


def _equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b)
    except Exception:  # an author's __eq__ may do anything
        return False


def _plain_text(value: Any) -> str:
    """A scalar, or a mapping of scalars, as json would write it."""
    if type(value) is not dict:
        return _SCALARS[type(value)](value)
    parts = [f"{encode_basestring(k)}:{_SCALARS[type(part)](part)}" for k, part in value.items()]
    return f"{{{','.join(parts)}}}"


ANY = Codec()


def _adapter(hint: Any, owner: str) -> Any:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

    try:
        return TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise NotStorable(
            owner,
            f"pydantic can't describe {_name(hint)}: {first_line(error)}",
            "Use a dataclass, a pydantic model or plain types.",
        ) from error


def _annotated_models(hint: Any) -> Iterator[tuple[str | None, type]]:
    """The models and dataclasses that stand in an annotation directly, or one field down (a
    function's parameters are such fields)."""
    from typing import NotRequired, get_origin

    from typing_extensions import is_typeddict

    def is_model(found: Any) -> bool:
        return isinstance(found, type) and (is_dataclass(found) or hasattr(found, "model_fields"))

    if is_typeddict(hint):
        for field, annotated in hint.__annotations__.items():
            inner = annotated.__args__[0] if get_origin(annotated) is NotRequired else annotated
            if is_model(inner):
                yield field, inner
    elif is_model(hint):
        yield None, hint


def _name(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")


def _problems(error: ValueError) -> str:
    """pydantic's list of problems in one line: `order.price: Input should be a valid decimal`."""
    found = getattr(error, "errors", None)
    if found is None:
        return first_line(error)
    parts = []
    for problem in found(include_url=False, include_context=False, include_input=False)[:5]:
        where = ".".join(str(part) for part in problem["loc"])
        parts.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    return "; ".join(parts)
