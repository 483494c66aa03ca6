"""Bad input is refused at the door: with its cause, a remedy and nothing stored."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from backroom import Backroom, Retry, progress, sleep, step
from backroom.records import limits
from backroom.records.errors import (
    InvalidInput,
    InvalidTime,
    NotStorable,
    Refused,
    RunFailed,
    RunNotFound,
    TooLarge,
    UnknownFlow,
)
from backroom.testing import at_work
from tests.flows.house import result


@dataclass
class Order:
    id: int
    price: Decimal


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    made = Backroom(database, poll=0.02)
    yield made
    assert made.office.read(lambda reader: reader.runs()).result() == [], "nothing was stored"
    made.close()


@pytest.fixture
def unopened() -> Backroom:
    """An application whose database would not even open."""
    return Backroom("/nowhere/at/all.db")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda flow: flow.start(), "missing a required argument: 'order'"),
        (lambda flow: flow.start(Order(1, Decimal(1)), 2, 3, 4), "too many positional"),
        (lambda flow: flow.start(Order(1, Decimal(1)), colour="red"), "unexpected keyword"),
        (lambda flow: flow.start(Order(1, Decimal(1)), order=1), "multiple values"),
        (lambda flow: flow.start("not an order"), "order: Input should be"),
        (lambda flow: flow.start({"id": "x", "price": 1}), "order.id: Input should be a valid int"),
        (lambda flow: flow.start({"id": 1}), "order.price: Field required"),
        (lambda flow: flow.start(Order(1, Decimal("NaN"))), "order.price"),
        (lambda flow: flow.start(Order(1, Decimal(1)), tags=[1]), r"tags.0"),
    ],
)
def test_wrong_arguments(app: Backroom, call: Callable[[Any], object], says: str) -> None:
    @app.flow
    async def fulfil(order: Order, tags: list[str] | None = None) -> None: ...

    for refused in (call, lambda flow: call(Preparing(flow))):
        with pytest.raises((InvalidInput, NotStorable), match=says):
            refused(fulfil)


@pytest.mark.parametrize("arguments", [(True,), (1, True), (1, None, False)])
def test_true_is_no_number(app: Backroom, arguments: tuple[Any, ...]) -> None:
    @app.flow
    async def count(n: int, ratio: float | None = None, most: int | float = 1) -> None: ...

    with pytest.raises(InvalidInput, match=r"(n|ratio|most): (True|False) is no number"):
        count.start(*arguments)
    with pytest.raises(InvalidInput, match="is no number"):
        count.spec.signature.decode('{"n": true}')


class Preparing:
    """Prepares where the test starts."""

    def __init__(self, flow: Any) -> None:
        self.start = flow.prepare


def test_what_fits_after_a_conversion_is_taken(database: str) -> None:
    app = Backroom(database, poll=0.02)

    @app.flow
    async def price(order: Order) -> Decimal:
        return order.price

    with at_work(app):
        assert result(app.start("price", order={"id": 1, "price": "1.50"})) == Decimal("1.50")
    app.close()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (lambda: {"a": [1, object()]}, r"payload'?\]?\['a'\]\[1\]"),
        (lambda: {"a": "\ud800"}, r"\['a'\]"),
        (lambda: open, "builtin"),
        (lambda: 10**5000, "4,000 digits"),
    ],
)
def test_what_cannot_be_stored_is_named_with_its_path(
    app: Backroom, value: Callable[[], object], path: str
) -> None:
    @app.flow
    async def keep(payload: Any) -> None: ...

    with pytest.raises(NotStorable, match=path):
        keep.start(value())


def test_what_is_too_large_is_told_its_size(app: Backroom) -> None:
    @app.flow
    async def keep(payload: bytes) -> None: ...

    with pytest.raises(TooLarge, match="Store it as a file or a row of your own") as caught:
        keep.start(bytes(limits.PAYLOAD_BYTES))
    assert caught.value.size_bytes > caught.value.limit_bytes == limits.PAYLOAD_BYTES


def test_a_flow_that_nobody_knows_names_those_that_are(app: Backroom) -> None:
    @app.flow
    async def known() -> None: ...

    with pytest.raises(UnknownFlow, match="known flows: known") as caught:
        app.start("unknown")
    assert (caught.value.name, caught.value.known) == ("unknown", ("known",))


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1},
        {"delay": -1e-9},
        {"delay": math.nan},
        {"delay": math.inf},
        {"delay": 1e20},
        {"delay": timedelta(days=-1)},
        {"delay": timedelta.max},
        {"delay": 10 * 366 * 86_400 + 1},
        {"at": datetime(2026, 1, 1)},
        {"at": datetime(1969, 12, 31, tzinfo=UTC)},
        {"at": datetime.max.replace(tzinfo=UTC)},
        {"timeout": 0},
        {"timeout": -1},
        {"timeout": math.nan},
        {"timeout": 1e20},
    ],
    ids=str,
)
def test_impossible_times(app: Backroom, options: dict[str, Any]) -> None:
    @app.flow
    async def job() -> None: ...

    with pytest.raises(InvalidTime):
        job.using(**options).start()


@pytest.mark.parametrize(
    "options",
    [
        {"delay": 1, "at": datetime(2026, 1, 1, tzinfo=UTC)},
        {"priority": 10},
        {"priority": -1},
        {"priority": 5.5},
        {"priority": True},
        {"key": ""},
        {"key": "x" * (limits.KEY_CHARS + 1)},
        {"key": "nul \0"},
        {"key": "lone \ud800"},
        {"queue": "two words"},
        {"queue": ""},
        {"queue": "x" * (limits.NAME_CHARS + 1)},
        {"on": "a connection"},
    ],
    ids=repr,
)
def test_impossible_options(app: Backroom, options: dict[str, Any]) -> None:
    @app.flow
    async def job() -> None: ...

    with pytest.raises(Refused):
        job.using(**options).start()


@pytest.mark.parametrize("key", ["ü" * limits.KEY_CHARS, "a/b]c[d%", " ", "\n", "'; DROP TABLE"])
def test_keys_are_the_authors_own_text(database: str, key: str) -> None:
    app = Backroom(database, poll=0.02)

    @step
    async def keep(n: int) -> int:
        return n

    @app.flow
    async def job() -> int:
        return await keep.using(key=key)(1)

    with at_work(app):
        run = job.using(key=key).start()
        assert result(run) == 1
        assert job.find(key).id == run.id
    app.close()


@pytest.mark.parametrize("name", ["", "two words", "1st", "a/b", "ü", "x" * 201, "a\nb", "a#1"])
def test_bad_names(unopened: Backroom, name: str) -> None:
    def body() -> None: ...

    with pytest.raises(Refused, match="can't be the name of a step"):
        step(name=name or " ")(body)
    with pytest.raises(Refused, match="can't be the name of a flow"):
        unopened.flow(name=name or " ")(body)
    with pytest.raises(Refused, match="can't be the name of a queue"):
        unopened.flow(queue=name)(body)


def test_bad_declarations(unopened: Backroom) -> None:
    async def body(order: Order) -> None: ...

    def plain(order: Order) -> None: ...

    with pytest.raises(Refused, match=r"has no parameter 'other'"):
        unopened.flow(key="other.id")(body)
    with pytest.raises(Refused, match="priority=11"):
        unopened.flow(priority=11)(body)
    with pytest.raises(InvalidTime):
        unopened.flow(timeout=0)(body)
    with pytest.raises(InvalidTime):
        step(timeout=-1)(body)
    with pytest.raises(TypeError, match="of one colour"):
        step(otherwise=plain)(body)
    with pytest.raises(TypeError, match="can't be stored by name"):
        step(name="listed")(lambda *args: args)
    unopened.flow(name="twice")(body)
    with pytest.raises(Refused, match="Two flows are called 'twice'"):
        unopened.flow(name="twice")(body)
    with pytest.raises(Refused, match="Two flows are called 'twice'"):
        unopened.flow(name="other", aliases=("twice",))(body)


def test_a_key_that_is_empty_or_too_long(app: Backroom) -> None:
    @app.flow(key="order.number")
    async def fulfil(order: dict[str, str | None]) -> None: ...

    for number, says in ((None, "empty here"), ("", "empty here"), ("x" * 201, "characters")):
        with pytest.raises(Refused, match=says):
            fulfil.start({"number": number})


def test_an_annotation_that_cannot_be_resolved(app: Backroom) -> None:
    async def body(order: "Missing") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    flow = app.flow(body)
    with pytest.raises(InvalidInput, match="Import it at run time"):
        flow.start(1)


def test_an_annotation_that_pydantic_cannot_describe(app: Backroom) -> None:
    class Connection: ...

    @app.flow
    async def job(connection: Connection) -> None: ...

    with pytest.raises(NotStorable, match="can't describe"):
        job.start(Connection())


@pytest.mark.parametrize(
    "arguments",
    [
        {"attempts": 0},
        {"delay_seconds": -1},
        {"delay_seconds": math.inf},
        {"delay_seconds": math.nan},
        {"max_delay_seconds": math.inf},
        {"delay_seconds": 10, "max_delay_seconds": 1},
    ],
    ids=str,
)
def test_impossible_retries(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, InvalidTime)):
        Retry(**arguments)


def test_a_handle_of_no_id(app: Backroom) -> None:
    for run_id in ("", "1", "x" * 36, "00000000-0000-7000-8000-00000000000G", "0" * 5000):
        with pytest.raises(RunNotFound):
            app.run(run_id)


def test_events_with_bad_names_or_payloads(app: Backroom) -> None:
    run = app.run("00000000-0000-7000-8000-000000000000")
    with pytest.raises(Refused, match="can't be the name of an event"):
        run.emit("two words")
    with pytest.raises(NotStorable):
        run.emit("word", object())
    with pytest.raises(TooLarge):
        run.emit("word", "x" * (limits.PAYLOAD_BYTES + 1))
    with pytest.raises(RunNotFound):
        run.emit("word", 1, key="nul \0")


# --- inside a flow ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        lambda: sleep(-1),
        lambda: sleep(math.nan),
        lambda: sleep(days=4000),
        lambda: sleep(until=datetime(2026, 1, 1)),
        lambda: progress(1.5),
        lambda: progress(math.nan),
        lambda: progress(-0.1),
    ],
)
def test_impossible_waits_fail_the_run_and_say_why(
    sqlite_app: Backroom, wait: Callable[[], object]
) -> None:
    @sqlite_app.flow
    async def job() -> None:
        wait()

    refusal = r"Refused|InvalidTime"
    with at_work(sqlite_app), pytest.raises(RunFailed, match=refusal):
        result(sqlite_app.start("job"))


def test_a_result_that_cannot_be_stored_fails_without_a_second_try(sqlite_app: Backroom) -> None:
    tries: list[int] = []

    @step(retry=Retry(attempts=3, delay_seconds=0))
    async def make() -> Any:
        tries.append(1)
        return object()

    @sqlite_app.flow
    async def job() -> None:
        await make()

    @sqlite_app.flow
    async def returns_nonsense() -> int:
        return "nonsense"  # type: ignore[return-value]

    with at_work(sqlite_app):
        with pytest.raises(RunFailed, match="the result of make can't be stored"):
            result(sqlite_app.start("job"))
        with pytest.raises(RunFailed, match="the result of returns_nonsense can't be stored"):
            result(sqlite_app.start("returns_nonsense"))
    assert tries == [1], "the work was done; doing it again would only do it twice"


def test_a_step_may_take_what_cannot_be_stored(sqlite_app: Backroom) -> None:
    @step
    async def use(client: Any, blob: bytes) -> int:
        return len(blob)

    @sqlite_app.flow
    async def job() -> int:
        used = await use(object(), bytes(2 * limits.PAYLOAD_BYTES))
        await sleep(0.001)
        return used

    with at_work(sqlite_app):
        assert result(job.start()) == 2 * limits.PAYLOAD_BYTES
