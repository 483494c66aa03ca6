"""Values go to text and come back: equal, and of the same types through and through; or not at all.

What can't come back so is refused when it is about to be stored, with the path to the part.
"""

import itertools
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from ipaddress import IPv4Address
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Union
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    computed_field,
    create_model,
)
from typing_extensions import TypedDict

from backroom.flows.codec import ANY, Codec
from backroom.records import limits
from backroom.records.errors import InvalidInput, NotStorable, TooLarge

BERLIN = ZoneInfo("Europe/Berlin")


class Colour(Enum):
    RED = "red"
    BLUE = 2


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    YES = "yes"
    NO = "no"


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types at every place."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        keys = zip(a, b, strict=True)
        return len(a) == len(b) and all(same(x, y) and same(a[x], b[y]) for x, y in keys)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, set | frozenset):
        return bool(a == b) and {type(each) for each in a} == {type(each) for each in b}
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    if isinstance(a, Decimal) and a.is_nan():
        return str(a) == str(b)
    if isinstance(a, datetime):
        return a == b and (a.tzinfo, a.utcoffset()) == (b.tzinfo, b.utcoffset())
    if hasattr(a, "__dict__") and not isinstance(a, Enum):
        return same(vars(a), vars(b))
    return bool(a == b)


def back(value: Any, hint: Any) -> Any:
    codec = Codec(hint)
    text = codec.encode(value)
    json.loads(text)
    return codec.decode(text)


# --- every type at once -------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=20)
zones = st.sampled_from(
    [UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(seconds=-61)), BERLIN]
    + [ZoneInfo(name) for name in ("America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")]
)
LEAVES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(),
    str: texts,
    bytes: st.binary(max_size=20),
    type(None): st.none(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    UUID: st.uuids(),
    date: st.dates(),
    datetime: st.datetimes(timezones=st.none() | zones, allow_imaginary=False),
    time: st.times(),
    timedelta: st.timedeltas(),
    Colour: st.sampled_from(Colour),
    Level: st.sampled_from(Level),
    Word: st.sampled_from(Word),
    Fraction: st.fractions(),
    PurePosixPath: texts.map(lambda text: PurePosixPath(text.replace("\0", "") or ".")),
    IPv4Address: st.ip_addresses(v=4),
    Literal["a", 1]: st.sampled_from(["a", 1]),
}
KEYS: dict[Any, st.SearchStrategy[Any]] = {
    hint: strategy for hint, strategy in LEAVES.items() if hint not in (float, type(None))
}
Typed = tuple[Any, st.SearchStrategy[Any]]


def typed(children: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    def listed(child: Typed) -> Typed:
        return list[child[0]], st.lists(child[1], max_size=3)  # type: ignore[valid-type]

    def in_tuple(pair: tuple[Typed, Typed]) -> Typed:
        (a, b), (c, d) = pair
        return tuple[a, c], st.tuples(b, d)  # type: ignore[valid-type]

    def in_dict(pair: tuple[Any, Typed]) -> Typed:
        key, (hint, strategy) = pair
        return dict[key, hint], st.dictionaries(KEYS[key], strategy, max_size=3)  # type: ignore[valid-type]

    def optional(child: Typed) -> Typed:
        return Union[child[0], None], st.none() | child[1]  # noqa: UP007

    def in_dataclass(pair: tuple[Typed, Typed]) -> Typed:
        (a, b), (c, d) = pair
        made = make_dataclass("Made", [("x", a), ("y", c)])
        return made, st.builds(made, b, d)

    def in_model(pair: tuple[Typed, Typed]) -> Typed:
        (a, b), (c, d) = pair
        made = create_model("Made", x=(a, ...), y=(c, ...))
        return made, st.builds(made.model_construct, x=b, y=d)

    both = st.tuples(children, children)
    return st.one_of(
        children.map(listed),
        children.map(optional),
        both.map(in_tuple),
        both.map(in_dataclass),
        both.map(in_model),
        st.tuples(st.sampled_from(list(KEYS)), children).map(in_dict),
        st.sampled_from(list(KEYS)).map(
            lambda key: (set[key], st.sets(KEYS[key], max_size=3))  # type: ignore[valid-type]
        ),
    )


anything_typed: st.SearchStrategy[Typed] = st.recursive(
    st.sampled_from(list(LEAVES)).map(lambda hint: (hint, LEAVES[hint])), typed, max_leaves=4
)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_whatever_is_annotated_comes_back_as_it_was(data: st.DataObject) -> None:
    hint, strategy = data.draw(anything_typed)
    value = data.draw(strategy)
    assert same(back(value, hint), value)


plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), texts, st.binary(max_size=9),
        st.decimals(), st.uuids(), st.dates(), st.timedeltas(), st.fractions(), st.times(),
        st.datetimes(timezones=st.none() | zones, allow_imaginary=False),
        st.complex_numbers(allow_nan=False),
    ),
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.lists(parts, max_size=3).map(tuple),
        st.sets(st.integers() | texts, max_size=3),
        st.frozensets(st.uuids(), max_size=3),
        st.dictionaries(texts | st.just("$"), parts, max_size=3),
        st.dictionaries(st.integers() | texts | st.uuids() | st.dates(), parts, max_size=3),
    ),
    max_leaves=8,
)  # fmt: skip


@given(plain)
@settings(max_examples=300, deadline=None)
def test_plain_values_need_no_annotation(value: object) -> None:
    assert same(ANY.decode(ANY.encode(value)), value)


@given(plain)
@settings(max_examples=100, deadline=None)
def test_text_is_utf8_without_nul(value: object) -> None:
    text = ANY.encode(value)
    assert text.encode()
    assert "\0" not in text, "NUL stands as an escape, which both databases take"


# --- the hard ones ------------------------------------------------------------------------------


@pytest.mark.parametrize("fold", [0, 1])
def test_the_repeated_hour_keeps_its_fold(fold: int) -> None:
    moment = datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=BERLIN)
    for hint in (datetime, Any):
        again = back(moment, hint)
        assert (again, again.fold, again.tzinfo) == (moment, fold, BERLIN)
        assert again.utcoffset() == moment.utcoffset()


def test_the_hour_that_never_was_and_the_ends_of_time_come_back() -> None:
    for moment in (
        datetime(2026, 3, 29, 2, 30, tzinfo=BERLIN),
        datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo")),
        datetime(9999, 12, 31, 23, 59, tzinfo=ZoneInfo("America/New_York")),
        datetime.max,
    ):
        assert same(back(moment, datetime), moment)


def test_a_time_of_day_keeps_its_zone() -> None:
    for moment in (time(10, tzinfo=BERLIN), time(10, tzinfo=UTC), time(2, 30, fold=1)):
        again = back(moment, time)
        assert (again, again.tzinfo, again.fold) == (moment, moment.tzinfo, moment.fold)


def test_unions_keep_the_type_that_was_given() -> None:
    for members in itertools.combinations(SAMPLES, 2):
        hint: Any = Union[members]  # noqa: UP007  made from values
        for member in members:
            try:
                again = back(SAMPLES[member], hint)
            except NotStorable:  # an Enum beside the type of its values can't be told from them
                assert Colour in members
            else:
                assert same(again, SAMPLES[member]), (hint, member)


SAMPLES: dict[Any, Any] = {
    int: 7, str: "2026-01-01", float: 1.0, date: date(2026, 1, 1), Decimal: Decimal("1"),
    UUID: UUID(int=1), bytes: b"x", bool: True, Colour: Colour.BLUE,
    datetime: datetime(2026, 1, 1),
}  # fmt: skip


def test_mappings_keep_the_types_of_their_keys() -> None:
    for value, hint in [
        ({1: "a", "1": "b"}, dict[int | str, str]),
        ({True: 1}, dict[bool, int]),
        ({None: 1, "null": 2}, dict[str | None, int]),
        ({(1, "x"): [1]}, dict[tuple[int, str], list[int]]),
        ({frozenset({1}): 1}, dict[frozenset[int], int]),
        ({1.5: 1}, dict[float, int]),
        ({Colour.RED: 1, Colour.BLUE: 2}, dict[Colour, int]),
        ({"$": "decimal", "v": "1"}, dict[str, str]),
        ({"$": Decimal(1)}, dict[str, Decimal]),
    ]:
        assert same(back(value, hint), value), hint


def test_models_with_aliases_computed_and_nested_fields_come_back() -> None:
    class Line(BaseModel):
        model_config = ConfigDict(extra="forbid")
        price: Decimal = Field(alias="unitPrice")

    class Order(BaseModel):
        lines: list[Line]
        note: str | None = None

        @computed_field
        def total(self) -> Decimal:
            return sum((line.price for line in self.lines), Decimal(0))

    order = Order(lines=[Line(unitPrice=Decimal("1.50"))])
    assert same(back(order, Order), order)
    assert Codec(Order).decode('{"lines":[{"unitPrice":"1.50"}]}') == order, "aliases are read"


def test_strict_models_come_back() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        when: datetime
        parts: tuple[int, ...]
        tags: set[str]
        price: Decimal

    value = Strict(
        when=datetime(2026, 1, 1, tzinfo=UTC), parts=(1, 2), tags={"a"}, price=Decimal(1)
    )
    assert same(back(value, Strict), value)


def test_typed_dicts_named_tuples_and_nested_dataclasses_come_back() -> None:
    class Point(NamedTuple):
        x: int
        y: float

    class Movie(TypedDict):
        name: str
        at: Point

    @dataclass
    class Show:
        movies: dict[str, Movie]
        seen: list[Point] = field(default_factory=list)

    show = Show({"a": {"name": "A", "at": Point(1, 2.0)}}, [Point(3, 4.5)])
    assert same(back(show, Show), show)


def test_the_order_of_a_set_makes_no_difference_to_its_text() -> None:
    """A set of strings has another order in every process; fingerprints must not."""
    program = (
        "from backroom.flows.codec import ANY, Codec\n"
        "words = {str(n) for n in range(50)}\n"
        "print(ANY.encode(words), Codec(set[str]).encode(words), Codec(frozenset[str]).encode("
        "frozenset(words)))"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(printed) == 1


# --- what is refused ----------------------------------------------------------------------------


class Base(BaseModel):
    x: int = 1


class Derived(Base):
    y: int = 2


@dataclass
class Left:
    x: int


@dataclass
class Right:
    x: int


class Hidden(BaseModel):
    seen: int
    kept_out: int = Field(default=0, exclude=True)


REFUSED: list[tuple[object, Any, str]] = [
    ({"a": [1, object()]}, Any, r"value\['a'\]\[1\]"),
    ({"a": {"b": Left(1)}}, Any, r"value\['a'\]\['b'\]"),
    ([1, Colour.RED], Any, r"value\[1\]"),
    (lambda: 1, Any, "value"),
    ("\ud800", str, "value"),
    ({"a": "\ud800"}, Any, r"value\['a'\]"),
    ({"a": ["\ud800"]}, dict[str, list[str]], "value"),
    ("5", int, "value"),
    (None, int, "value"),
    (None, Left, "value"),
    (1.5, Decimal, "value"),
    ([Derived()], list[Base], r"value\[0\]"),
    ({"a": Derived()}, dict[str, Base], r"value\['a'\]"),
    (Derived(), Base, "value"),
    ([Right(1)], list[Left | Right], r"value\[0\]"),
    (Hidden(seen=1, kept_out=2), Hidden, r"value.kept_out"),
    (-1, Annotated[int, Field(gt=0)], "value"),
    (SecretStr("x"), SecretStr, "value"),
    (10**5000, int, "value"),
    (10**5000, Any, "value"),
    ({"a": 10**5000}, dict[str, int], r"value\['a'\]"),
    ([1, None], list[int], "value"),
]


@pytest.mark.parametrize(("value", "hint", "path"), REFUSED, ids=range(len(REFUSED)))
def test_what_would_not_come_back_is_refused_with_its_path(
    value: object, hint: Any, path: str
) -> None:
    with pytest.raises(NotStorable, match=f"^{path} can't be stored: ") as caught:
        Codec(hint).encode(value)
    assert caught.value.path


def test_what_pydantic_cannot_describe_is_refused() -> None:
    class Connection: ...

    with pytest.raises(NotStorable, match="Connection"):
        Codec(Connection).encode(Connection())


def test_nesting_has_a_limit() -> None:
    def nested(depth: int) -> object:
        value: object = 1
        for _ in range(depth):
            value = [value]
        return value

    deepest = nested(limits.JSON_DEPTH)
    assert ANY.decode(ANY.encode(deepest)) == deepest
    for depth in (limits.JSON_DEPTH + 1, 10_000):
        with pytest.raises(NotStorable, match="nested more than 64 deep"):
            ANY.encode(nested(depth))


def test_a_circle_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(NotStorable):
        ANY.encode(circle)
    with pytest.raises(NotStorable):
        Codec(list[Any]).encode(circle)


@pytest.mark.parametrize("make", [str, lambda text: {"a": text}, lambda text: [text]])
def test_size_has_a_limit_counted_in_bytes(make: Callable[[str], object]) -> None:
    assert ANY.encode("x" * (limits.PAYLOAD_BYTES - 2))
    for text in ("x" * limits.PAYLOAD_BYTES, "ü" * (limits.PAYLOAD_BYTES // 2)):
        with pytest.raises(TooLarge) as caught:
            ANY.encode(make(text))
        assert caught.value.size_bytes > caught.value.limit_bytes == limits.PAYLOAD_BYTES


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"$": "pickle", "v": ""}', '{"$": "decimal"}', '{"$": "decimal", "v": "x"}',
     '{"$": 1, "v": 1}', '{"$": "bytes", "v": "ä"}', "[" * 100_000, "9" * 5000,
     '{"$": "datetime", "v": "2026-01-01T00:00:00+00:00", "z": "No/Where"}'],
)  # fmt: skip
def test_what_was_not_written_by_us_is_named_as_such(text: str) -> None:
    for codec in (ANY, Codec(Decimal), Codec(Left)):
        with pytest.raises(InvalidInput):
            codec.decode(text)


def test_what_does_not_fit_the_type_is_refused_with_its_place() -> None:
    class Line(BaseModel):
        price: Decimal

    class Order(BaseModel):
        lines: list[Line]

    with pytest.raises(InvalidInput, match=r"lines\.0\.price"):
        Codec(Order).decode('{"lines": [{"price": "x"}]}')
