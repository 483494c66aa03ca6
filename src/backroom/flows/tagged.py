"""Plain values as JSON text, with the leaves that JSON lacks as tagged mappings.

    Decimal("1.10")  ->  {"$": "decimal", "v": "1.10"}

Nothing here knows annotations; `flows/codec.py` does, and says with `typed` whether an annotation
will restore what a tag can't (an Enum, a path).

`careful` walks in Python and knows where it is, so whatever can't be stored is named with its path.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from backroom.records import limits
from backroom.records.errors import InvalidInput, NotStorable, TooLarge

__all__ = [
    "MARK",
    "MOST",
    "careful",
    "decode_plain",
    "dumps",
    "first_line",
    "has_own_marks",
    "tag",
    "within_limits",
]

MOST = 10**4000
"""Whole numbers end here: Python itself reads no more than 4,300 digits."""

MARK = '"$":'  # what a tag looks like in our text; inside a string the quote would be escaped


def decode_plain(text: str) -> Any:
    """JSON text to Python values, tags resolved; no types applied."""
    try:
        if MARK in text:
            return json.loads(text, object_hook=_untag)
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"What is stored is not our JSON: {first_line(error)}") from error


# Made once: json.dumps would make it anew at every call.
dumps = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def within_limits(text: str, owner: str) -> str:
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
    # A text shorter than that can't be nested deeper than that.
    if len(text) > limits.JSON_DEPTH and text.count("[") + text.count("{") > limits.JSON_DEPTH:
        _check_depth(text, owner)
    return text


def _check_depth(text: str, owner: str) -> None:
    # A tagged mapping takes three levels where the author wrote one.
    allowed = limits.JSON_DEPTH * 3 if MARK in text else limits.JSON_DEPTH
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


def tag(leaf: Any, path: str, *, typed: bool) -> Any:
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
            return _tag_time(leaf)
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
        case PurePath() if typed:
            return str(leaf)
        case set() | frozenset() if typed:
            return careful(leaf, path, typed=True, depth=0)
    if typed:
        if isinstance(leaf, Enum):
            return careful(leaf.value, path, typed=True, depth=0)
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
    if moment.tzinfo is None and moment.fold:
        tagged["f"] = 1
    elif isinstance(moment.tzinfo, ZoneInfo):
        tagged["z"] = _zone_name(moment.tzinfo)
    elif moment.tzinfo is not None and not isinstance(moment.tzinfo, timezone):
        # pydantic's own UTC class, pytz, dateutil: the offset is kept, a name they may have is not.
        tagged["v"] = moment.astimezone(timezone(moment.utcoffset() or timedelta())).isoformat()
    return tagged


def _tag_time(moment: time) -> dict[str, Any]:
    """Of a time of day alone a named zone can't tell the offset, so its name is all there is."""
    tagged: dict[str, Any] = {"$": "time", "v": moment.isoformat()}
    if moment.fold:
        tagged["f"] = 1
    if isinstance(moment.tzinfo, ZoneInfo):
        tagged["z"] = _zone_name(moment.tzinfo)
        tagged["v"] = moment.replace(tzinfo=None).isoformat()
    return tagged


def _zone_name(zone: ZoneInfo) -> str:
    if zone.key is None:
        raise NotStorable(
            "the time zone",
            "it was read from a file and has no name",
            "Use ZoneInfo('Area/City').",
        )
    return zone.key


def _ask_pydantic(leaf: Any, path: str) -> Any:
    """Paths, addresses, patterns and the rest: pydantic writes them, the annotation restores
    them."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        return careful(to_jsonable_python(leaf), path, typed=True, depth=0)
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
    if zone is None:
        if moment.tzinfo == UTC:
            return moment.replace(tzinfo=UTC)
        return moment.replace(fold=1) if mapping.get("f") else moment
    for fold in (0, 1):
        there = moment.replace(tzinfo=ZoneInfo(zone), fold=fold)
        if there.utcoffset() == moment.utcoffset():
            return there
    # The rules of the zone have changed since: the moment counts, not what the clocks showed.
    return moment.astimezone(ZoneInfo(zone))


def _untag_time(mapping: dict[str, Any]) -> time:
    moment = time.fromisoformat(mapping["v"])
    if mapping.get("f"):
        moment = moment.replace(fold=1)
    zone = mapping.get("z")
    return moment if zone is None else moment.replace(tzinfo=ZoneInfo(zone))


_RESTORE: dict[str, Callable[[dict[str, Any]], Any]] = {
    "float": lambda m: float(m["v"]),
    "decimal": lambda m: Decimal(m["v"]),
    "datetime": _untag_datetime,
    "date": lambda m: date.fromisoformat(m["v"]),
    "time": _untag_time,
    "timedelta": lambda m: timedelta(*m["v"]),
    "uuid": lambda m: UUID(m["v"]),
    "bytes": lambda m: b64decode(m["v"]),
    # These two are written by triggers on the application's tables (`store/*/watching.py`).
    "hex": lambda m: bytes.fromhex(m["v"]),
    "json": lambda m: json.loads(m["v"]),
    "complex": lambda m: complex(float(m["v"][0]), float(m["v"][1])),
    "fraction": lambda m: Fraction(m["v"]),
    "tuple": lambda m: tuple(m["v"]),
    "set": lambda m: set(m["v"]),
    "frozenset": lambda m: frozenset(m["v"]),
    "map": lambda m: dict(m["v"]),
}


# --- the careful path ---------------------------------------------------------------------------


def careful(value: Any, path: str, *, typed: bool, depth: int) -> Any:
    """Walk a value in Python, tagging as needed, and name the path of what can't be stored."""
    if depth > limits.JSON_DEPTH:
        raise NotStorable(path, f"it is nested more than {limits.JSON_DEPTH} deep", "Flatten it.")
    match value:
        case None | bool():
            return value
        case Enum() if typed:
            return careful(value.value, path, typed=True, depth=depth)
        case str() if typed or type(value) is str:
            return _careful_text(value, path)
        case int() if typed or type(value) is int:
            if not -MOST < value < MOST:
                raise NotStorable(
                    path,
                    "it is a whole number of more than 4,000 digits, and Python reads no such text",
                    "Pass it as bytes.",
                )
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
                careful(item, f"{path}[{n}]", typed=typed, depth=depth + 1)
                for n, item in enumerate(value)
            ]
            if isinstance(value, list):
                return items
            if isinstance(value, set | frozenset):
                # In every process another order, and texts are compared: see `Codec.outline`.
                items.sort(key=dumps)
            return {"$": _kind(value), "v": items}
    return tag(value, path, typed=typed)


def _kind(value: Any) -> str:
    return next(kind.__name__ for kind in (tuple, set, frozenset) if isinstance(value, kind))


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
            _careful_text(key, path): careful(
                item, f"{path}[{key!r}]", typed=typed, depth=depth + 1
            )
            for key, item in value.items()
        }
    pairs = []
    for key, item in value.items():
        kept = careful(key, f"{path} key {key!r}", typed=typed, depth=depth + 1)
        pairs.append([kept, careful(item, f"{path}[{key!r}]", typed=typed, depth=depth + 1)])
    return {"$": "map", "v": pairs}


def has_own_marks(plain: Any) -> bool:
    """Whether the author's own mappings use our mark as a key, beside real tags."""
    match plain:
        case dict():
            return "$" in plain or any(has_own_marks(item) for item in plain.values())
        case list() | tuple() | set() | frozenset():
            return any(has_own_marks(item) for item in plain)
    return False


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
