"""Values to JSON text and back, with their types kept.

The types come from the author's annotations: pydantic takes a value apart (`dump_python`) and puts
it together again (`validate_python`). In between stands JSON, in which leaves that JSON lacks are
tagged: `{"$": "decimal", "v": "1.10"}`. So bytes, exact decimals, named time zones, sets and
mappings with any key survive even inside a model that was never told about JSON.

Where there is no annotation there is nobody to put a value together again, so only values that need
no help are taken: plain JSON and the tagged leaves. Everything else is refused with the path to it.
Never pickle: a database writer must not become a code runner.

Three paths lead to text. What is plain already, a scalar of exactly the annotated class or
arguments that are all such, needs neither pydantic nor a walk. For the rest the fast path leaves
the walking to `json` (C) with a hook for odd leaves; the careful one walks in Python and knows
where it is. Whatever the faster ones trip over, the careful one either stores or names.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import is_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from backroom.records import limits
from backroom.records.errors import InvalidInput, NotStorable, TooLarge

__all__ = ["ANY", "Codec", "decode_plain"]

_SCALARS = (bool, int, float, str)
_MARK = '"$":'  # what a tag looks like in our text; inside a string the quote would be escaped


class Codec:
    """Encodes and decodes values of one annotated type. `ANY` does without annotation.

    fields  of the mapping of a function's arguments (`flows/signature.py`): their annotations
    """

    __slots__ = ("_adapter", "_hint", "_models", "_owner", "_scalar", "_scalar_fields")

    def __init__(
        self, hint: Any = Any, *, owner: str = "value", fields: Mapping[str, Any] | None = None
    ) -> None:
        self._hint = hint
        self._owner = owner  # how errors call the value: "the result of ship"
        self._adapter: Any = None
        self._models: tuple[tuple[str | None, type], ...] | None = None
        self._scalar = hint if hint in _SCALARS else None
        self._scalar_fields = (
            None
            if fields is None
            else {name: kind for name, kind in fields.items() if kind in _SCALARS}
        )

    @property
    def adapter(self) -> Any:
        """The pydantic TypeAdapter; built at first use, since importing pydantic takes a while."""
        if self._adapter is None:
            self._adapter = _adapter(self._hint, self._owner)
        return self._adapter

    def encode(self, value: Any) -> str:
        """JSON text of a value; NotStorable or TooLarge if it can't be stored."""
        if value is None:
            return "null"
        if self._is_plain(value):
            text = _dumps(value)
        elif self._hint is Any:
            text = _dumps(_careful(value, self._owner, typed=False, depth=0))
        else:
            text = self._encode_typed(value)
        return _within_limits(text, self._owner)

    def _is_plain(self, value: Any) -> bool:
        """Whether pydantic and JSON would both give this value back as it is."""
        kind = type(value)
        if self._scalar_fields is None:
            return kind is self._scalar and (kind is not float or math.isfinite(value))
        if kind is not dict or not self._hint.__required_keys__ <= value.keys():
            return False
        for field, part in value.items():
            kind = type(part)
            if kind is not self._scalar_fields.get(field):
                return False
            if kind is float and not math.isfinite(part):
                return False
        return True

    def _encode_typed(self, value: Any) -> str:
        self._refuse_subclasses(value)
        try:
            plain = self.adapter.dump_python(value, mode="python", warnings="error")
        except Exception as error:  # pydantic's own errors, and whatever a custom serializer throws
            raise NotStorable(
                self._owner,
                f"it is not a {_name(self._hint)} ({_first_line(error)})",
                "Return or pass what the annotation says, or correct the annotation.",
            ) from error
        tags = 0

        def hook(leaf: Any) -> Any:
            nonlocal tags
            tags += 1
            return _tag(leaf, self._owner, typed=True)

        try:
            text = json.dumps(
                plain, default=hook, ensure_ascii=False, allow_nan=False, separators=(",", ":")
            )
        except (ValueError, TypeError, RecursionError, NotStorable):
            text = ""
        if not text or (_MARK in text and (not tags or _has_own_marks(plain))):
            text = _dumps(_careful(plain, self._owner, typed=True, depth=0))
        return text

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

    def decode(self, text: str) -> Any:
        """The value again; InvalidInput if the text doesn't fit the type."""
        plain = decode_plain(text)
        if self._hint is Any or self._is_plain(plain):
            return plain
        try:
            return self.adapter.validate_python(plain)
        except ValueError as error:
            if _MARK not in text:
                # Strict models take JSON's lists and strings only when they know that it is JSON.
                try:
                    return self.adapter.validate_json(text)
                except ValueError:
                    pass
            raise InvalidInput(
                f"{self._owner} doesn't fit {_name(self._hint)}: {_problems(error)}"
            ) from error

    def validate(self, value: Any) -> Any:
        """The value as the type wants it (a mapping becomes a model); InvalidInput if it can't
        be."""
        if self._hint is Any or self._is_plain(value):
            return value
        try:
            return self.adapter.validate_python(value)
        except ValueError as error:
            raise InvalidInput(
                f"{self._owner} doesn't fit {_name(self._hint)}: {_problems(error)}"
            ) from error

    def json_schema(self) -> dict[str, Any]:
        schema: dict[str, Any] = self.adapter.json_schema()
        return schema


ANY = Codec()


def decode_plain(text: str) -> Any:
    """JSON text to Python values, tags resolved; no types applied."""
    try:
        if _MARK in text:
            return json.loads(text, object_hook=_untag)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"What is stored is not our JSON: {_first_line(error)}") from error


# --- text ---------------------------------------------------------------------------------------


# Made once: json.dumps would make it anew at every call.
_dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _within_limits(text: str, owner: str) -> str:
    if len(text) * 4 > limits.PAYLOAD_BYTES or not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise NotStorable(
                owner,
                f"it has a lone surrogate ({error.object[error.start]!r}) that no database takes",
                "Decode the text properly (errors='replace') before passing it on.",
            ) from error
        if size > limits.PAYLOAD_BYTES:
            raise TooLarge(owner, size, limits.PAYLOAD_BYTES)
    if text.count("[") + text.count("{") > limits.JSON_DEPTH:
        _check_depth(text, owner)
    return text


def _check_depth(text: str, owner: str) -> None:
    # A tagged mapping takes three levels where the author wrote one.
    allowed = limits.JSON_DEPTH * 3 if _MARK in text else limits.JSON_DEPTH
    depth = 0
    inside = escaped = False
    for char in text:
        if inside:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                inside = False
        elif char == '"':
            inside = True
        elif char in "[{":
            depth += 1
            if depth > allowed:
                raise NotStorable(
                    owner, f"it is nested more than {limits.JSON_DEPTH} deep", "Flatten it."
                )
        elif char in "]}":
            depth -= 1


# --- tags ---------------------------------------------------------------------------------------


def _tag(leaf: Any, path: str, *, typed: bool) -> Any:
    """A leaf that JSON lacks, as a tagged mapping. `typed`: an annotation will restore the rest."""
    match leaf:
        case bool() | int() | str():
            return leaf  # subclasses that json handles by itself never come here
        case float():
            return {"$": "float", "v": repr(leaf)}
        case Decimal():
            return {"$": "decimal", "v": str(leaf)}
        case datetime():
            return _tag_datetime(leaf)
        case date():
            return {"$": "date", "v": leaf.isoformat()}
        case time():
            return {"$": "time", "v": leaf.isoformat()}
        case timedelta():
            return {"$": "timedelta", "v": [leaf.days, leaf.seconds, leaf.microseconds]}
        case UUID():
            return {"$": "uuid", "v": str(leaf)}
        case bytes() | bytearray():
            return {"$": "bytes", "v": b64encode(leaf).decode("ascii")}
        case complex():
            return {"$": "complex", "v": [repr(leaf.real), repr(leaf.imag)]}
        case Fraction():
            return {"$": "fraction", "v": str(leaf)}
    if typed:
        if isinstance(leaf, Enum):
            return _careful(leaf.value, path, typed=True, depth=0)
        if "Secret" in type(leaf).__name__:
            raise NotStorable(
                path,
                "it is a secret and would be stored as asterisks",
                "Pass the name of the secret and read it inside the step.",
            )
        return _ask_pydantic(leaf, path)
    remedy = (
        "Annotate the flow's or step's parameter or return type, so that the type can be restored."
    )
    raise NotStorable(
        path,
        f"{type(leaf).__module__}.{type(leaf).__qualname__} needs a type to come back as",
        remedy,
    )


def _tag_datetime(moment: datetime) -> dict[str, Any]:
    tagged: dict[str, Any] = {"$": "datetime", "v": moment.isoformat()}
    if isinstance(moment.tzinfo, ZoneInfo):
        if moment.tzinfo.key is None:
            raise NotStorable(
                "the time zone",
                "it was read from a file and has no name",
                "Use ZoneInfo('Area/City').",
            )
        tagged["z"] = moment.tzinfo.key
    elif moment.tzinfo is not None and not isinstance(moment.tzinfo, timezone):
        # pydantic's own UTC class, pytz, dateutil: the offset is kept, a name they may have is not.
        tagged["v"] = moment.astimezone(timezone(moment.utcoffset() or timedelta())).isoformat()
    return tagged


def _ask_pydantic(leaf: Any, path: str) -> Any:
    """Paths, addresses, patterns and the rest: pydantic writes them, the annotation restores
    them."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return _careful(to_jsonable_python(leaf), path, typed=True, depth=0)
    except (PydanticSerializationError, ValueError, TypeError) as error:
        raise NotStorable(
            path,
            f"{type(leaf).__module__}.{type(leaf).__qualname__} has no JSON form",
            "Pass data (a model, a dataclass, plain values), not live objects such as "
            "connections or sessions.",
        ) from error


def _untag(mapping: dict[str, Any]) -> Any:
    tag = mapping.get("$")
    if tag is None:
        return mapping
    restore = _RESTORE.get(tag) if isinstance(tag, str) else None
    if restore is None or "v" not in mapping:
        raise ValueError(f"unknown tag {tag!r}")
    try:
        return restore(mapping)
    except (TypeError, ArithmeticError, KeyError) as error:
        raise ValueError(f"bad value under tag {tag!r}") from error


def _untag_datetime(mapping: dict[str, Any]) -> datetime:
    moment = datetime.fromisoformat(mapping["v"])
    zone = mapping.get("z")
    if zone is not None:
        # astimezone finds the right fold of a repeated hour by itself.
        return moment.astimezone(ZoneInfo(zone))
    return moment.replace(tzinfo=UTC) if moment.tzinfo == UTC else moment


_RESTORE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "float": lambda m: float(m["v"]),
    "decimal": lambda m: Decimal(m["v"]),
    "datetime": _untag_datetime,
    "date": lambda m: date.fromisoformat(m["v"]),
    "time": lambda m: time.fromisoformat(m["v"]),
    "timedelta": lambda m: timedelta(*m["v"]),
    "uuid": lambda m: UUID(m["v"]),
    "bytes": lambda m: b64decode(m["v"]),
    "complex": lambda m: complex(float(m["v"][0]), float(m["v"][1])),
    "fraction": lambda m: Fraction(m["v"]),
    "tuple": lambda m: tuple(m["v"]),
    "set": lambda m: set(m["v"]),
    "frozenset": lambda m: frozenset(m["v"]),
    "map": lambda m: dict(m["v"]),
}


# --- the careful path ---------------------------------------------------------------------------


def _careful(value: Any, path: str, *, typed: bool, depth: int) -> Any:
    """Walk a value in Python, tagging as needed, and name the path of what can't be stored."""
    if depth > limits.JSON_DEPTH:
        raise NotStorable(path, f"it is nested more than {limits.JSON_DEPTH} deep", "Flatten it.")
    match value:
        case None | bool():
            return value
        case Enum() if typed:
            return _careful(value.value, path, typed=True, depth=depth)
        case str() if typed or type(value) is str:
            return _careful_text(value, path)
        case int() if typed or type(value) is int:
            return int(value)
        case float() if typed or type(value) is float:
            return float(value) if math.isfinite(value) else {"$": "float", "v": repr(float(value))}
        case dict() if typed or type(value) is dict:
            return _careful_mapping(value, path, typed=typed, depth=depth)
        case list() | tuple() | set() | frozenset() if typed or type(value) in (
            list,
            tuple,
            set,
            frozenset,
        ):
            items = [
                _careful(item, f"{path}[{n}]", typed=typed, depth=depth + 1)
                for n, item in enumerate(value)
            ]
            if isinstance(value, list) or (typed and isinstance(value, tuple)):
                return items
            return {"$": type(value).__name__ if not typed else _plain_kind(value), "v": items}
    return _tag(value, path, typed=typed)


def _plain_kind(value: Any) -> str:
    return "frozenset" if isinstance(value, frozenset) else "set"


def _careful_text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotStorable(
            path,
            f"it has a lone surrogate ({error.object[error.start]!r}) that no database takes",
            "Decode the text properly (errors='replace') before passing it on.",
        ) from error
    return str.__str__(value)


def _careful_mapping(value: dict[Any, Any], path: str, *, typed: bool, depth: int) -> Any:
    if all(type(key) is str and key != "$" for key in value):
        return {
            _careful_text(key, path): _careful(
                item, f"{path}[{key!r}]", typed=typed, depth=depth + 1
            )
            for key, item in value.items()
        }
    pairs = []
    for key, item in value.items():
        kept = _careful(key, f"{path} key {key!r}", typed=typed, depth=depth + 1)
        if typed and isinstance(key, tuple):
            kept = {"$": "tuple", "v": kept}
        pairs.append([kept, _careful(item, f"{path}[{key!r}]", typed=typed, depth=depth + 1)])
    return {"$": "map", "v": pairs}


def _has_own_marks(plain: Any) -> bool:
    """Whether the author's own mappings use our mark as a key, beside real tags."""
    match plain:
        case dict():
            return "$" in plain or any(_has_own_marks(item) for item in plain.values())
        case list() | tuple() | set() | frozenset():
            return any(_has_own_marks(item) for item in plain)
    return False


# --- pydantic -----------------------------------------------------------------------------------


def _adapter(hint: Any, owner: str) -> Any:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation

    try:
        return TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation) as error:
        raise NotStorable(
            owner,
            f"pydantic can't describe {_name(hint)}: {_first_line(error)}",
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


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__


def _problems(error: ValueError) -> str:
    """pydantic's list of problems in one line: `order.price: Input should be a valid decimal`."""
    found = getattr(error, "errors", None)
    if found is None:
        return _first_line(error)
    parts = []
    for problem in found(include_url=False, include_context=False, include_input=False)[:5]:
        where = ".".join(str(part) for part in problem["loc"])
        parts.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    return "; ".join(parts)
