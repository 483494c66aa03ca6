"""Everything an author can write, performed by a real worker: one test for each thing.

The whole file runs on SQLite and on PostgreSQL, once with doorbells and once without any. No test
sleeps: a wait for days is over when the database's clock has been moved.
"""

import asyncio
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import BaseModel

from backroom import (
    Backroom,
    Retry,
    State,
    current_run,
    first,
    gather,
    progress,
    sleep,
    step,
    wait_for_event,
)
from backroom.records.errors import (
    RunCancelled,
    RunEnded,
    RunFailed,
    RunNotFound,
    StepFailed,
    TimedOut,
)
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, checkpoints, outcome, parked, result, state, steps, waits

DAY = 86_400.0


# --- steps ------------------------------------------------------------------------------------


def test_an_async_flow_awaits_its_steps_and_returns_their_results(app: Backroom) -> None:
    ran: list[str] = []

    @step
    async def greet(name: str) -> str:
        ran.append(name)
        return f"Hello, {name}"

    @app.flow
    async def welcome(name: str) -> list[str]:
        return [await greet(name), await greet("you")]

    with at_work(app):
        assert result(welcome.start("Ada")) == ["Hello, Ada", "Hello, you"]
    assert ran == ["Ada", "you"]


def test_a_def_flow_calls_its_steps_plainly(app: Backroom) -> None:
    @step
    def double(n: int) -> int:
        return 2 * n

    @app.flow
    def fourfold(n: int) -> int:
        return double(double(n))

    with at_work(app):
        run = fourfold.start(3)
        assert result(run) == 12
        assert list(checkpoints(app, run)) == ["double#1", "double#2"]


def test_a_def_step_in_an_async_flow_goes_through_a_thread(app: Backroom) -> None:
    threads: list[threading.Thread] = []

    @step
    def double(n: int) -> int:
        threads.append(threading.current_thread())
        return 2 * n

    @app.flow
    async def fourfold(n: int) -> int:
        threads.append(threading.current_thread())
        return await asyncio.to_thread(double, await asyncio.to_thread(double, n))

    with at_work(app):
        run = fourfold.start(3)
        assert result(run) == 12
        assert list(checkpoints(app, run)) == ["double#1", "double#2"]
    loop, *bodies = threads
    assert loop not in bodies


def test_a_step_that_is_kept_never_runs_again(app: Backroom) -> None:
    ran: list[int] = []

    @step
    async def count(n: int) -> int:
        ran.append(n)
        return n

    @app.flow
    async def in_pieces() -> list[int]:
        counted = []
        for n in range(4):
            counted.append(await count(n))
            await sleep(days=1)
        return counted

    with at_work(app) as bench:
        run = in_pieces.start()
        for passed in range(4):
            eventually(lambda: len(ran) == passed + 1, within=LONG)  # noqa: B023
            parked(run)
            bench.move_clock(days=1)
        assert result(run) == [0, 1, 2, 3]
        assert run.status().wait().attempt == 5
    assert ran == [0, 1, 2, 3]


def test_outside_of_a_flow_steps_and_flows_are_plain_functions(app: Backroom) -> None:
    @step(retry=Retry(attempts=5))
    async def greet(name: str) -> str:
        return f"Hello, {name}"

    @step
    def shout(text: str) -> str:
        return text.upper()

    @app.flow
    async def welcome(name: str) -> str:
        return shout(await greet(name))

    assert asyncio.run(welcome("Ada")) == "HELLO, ADA"


def test_a_step_inside_a_step_is_a_plain_call(app: Backroom) -> None:
    @step
    async def inner() -> int:
        return 1

    @step
    async def outer() -> int:
        return 1 + await inner()

    @app.flow
    async def nested() -> int:
        return await outer()

    with at_work(app):
        run = nested.start()
        assert result(run) == 2
        assert list(checkpoints(app, run)) == ["outer#1"]


def test_results_come_back_with_their_types(app: Backroom) -> None:
    @dataclass(frozen=True)
    class Line:
        price: Decimal
        due: datetime

    class Order(BaseModel):
        lines: tuple[Line, ...]
        tags: set[str]

    @step
    async def cheapest(order: Order) -> Line:
        return min(order.lines, key=lambda line: line.price)

    @app.flow
    async def inspect(order: Order) -> tuple[str, Line, set[str]]:
        line = await cheapest(order)
        await sleep(0.001)  # parks: from here on the line comes from its checkpoint
        return type(line).__name__, line, order.tags

    line = Line(Decimal("1.10"), datetime(2026, 1, 1, tzinfo=UTC))
    with at_work(app):
        run = inspect.start(Order(lines=(line,), tags={"a", "b"}))
        assert result(run) == ("Line", line, {"a", "b"})


# --- retries, alternatives, time-outs -----------------------------------------------------------


def test_a_step_is_tried_again_after_its_pause(app: Backroom) -> None:
    tries: list[int] = []

    @step(retry=Retry(attempts=3, delay_seconds=0.01))
    async def flaky() -> str:
        tries.append(current_run().tries)
        if len(tries) < 3:
            raise ConnectionError("busy")
        return "through"

    @app.flow
    async def call() -> str:
        return await flaky()

    with at_work(app):
        run = call.start()
        assert result(run) == "through"
        (row,) = steps(app, run)
        assert (row.state, row.tries, row.error) == ("done", 3, None)
    assert tries == [1, 2, 3]


def test_a_long_pause_is_a_row_and_no_memory(app: Backroom) -> None:
    tries: list[int] = []

    @step(retry=Retry(attempts=2, delay_seconds=4 * DAY, max_delay_seconds=4 * DAY))
    def flaky() -> str:
        tries.append(current_run().tries)
        if len(tries) == 1:
            raise ConnectionError("busy")
        return "through"

    @app.flow
    def call() -> str:
        return flaky()

    with at_work(app) as bench:
        run = call.start()
        parked(run)
        assert checkpoints(app, run) == {"flaky#1": "trying"}
        assert [wait.kind for wait in waits(app, run)] == ["retry"]
        bench.move_clock(days=1.9)
        assert state(run) is State.WAITING
        bench.move_clock(days=0.2)
        assert result(run) == "through"
    assert tries == [1, 2]


def test_a_pause_stays_in_memory_while_a_sibling_works(app: Backroom) -> None:
    through = threading.Event()
    tries: list[int] = []

    @step(retry=Retry(attempts=2, delay_seconds=0.02))
    async def flaky() -> str:
        tries.append(current_run().attempt)
        if len(tries) == 1:
            raise ConnectionError("busy")
        through.set()
        return "through"

    @step
    def long() -> str:
        return "waited for" if through.wait(LONG) else "in vain"

    @app.flow
    async def both() -> tuple[str, str]:
        return await gather(flaky(), lambda: long())

    with at_work(app):
        run = both.start()
        assert result(run) == ("through", "waited for")
    assert tries == [1, 1], "both tries were of the first attempt: the run never parked"


def test_after_the_last_try_the_error_reaches_the_flow_and_stays_the_same(app: Backroom) -> None:
    tries: list[int] = []

    @step(retry=Retry(attempts=2, delay_seconds=0))
    async def broken() -> str:
        tries.append(1)
        raise ConnectionError("nobody there")

    @app.flow
    async def call() -> list[str]:
        seen = []
        try:
            await broken()
        except StepFailed as error:
            seen += [error.step, error.kind, error.message, str(error.tries)]
            seen += ["as said"] if error.caused_by(ConnectionError) else ["not as said"]
        await sleep(0.001)
        return seen

    with at_work(app):
        run = call.start()
        assert result(run) == [
            *("broken", "ConnectionError", "nobody there", "2", "as said"),
        ]
    assert len(tries) == 2


def test_a_retry_names_the_errors_that_are_worth_one(app: Backroom) -> None:
    tries: list[str] = []

    @step(retry=Retry(attempts=5, delay_seconds=0, on=OSError, never=(FileNotFoundError,)))
    async def read(name: str) -> str:
        tries.append(name)
        raise {"gone": FileNotFoundError, "odd": ValueError}.get(name, OSError)(name)

    @app.flow
    async def call(name: str) -> str:
        return await read(name)

    with at_work(app):
        for name in ("gone", "odd", "busy"):
            with pytest.raises(RunFailed, match=name):
                result(call.start(name))
    assert tries == ["gone", "odd", *["busy"] * 5]


def test_the_alternative_is_taken_when_the_retries_are_used_up(app: Backroom) -> None:
    ran: list[str] = []

    def fax(text: str) -> str:
        ran.append("fax")
        return f"faxed {text}"

    @step(retry=Retry(attempts=2, delay_seconds=0), otherwise=fax)
    def mail(text: str) -> str:
        ran.append("mail")
        raise ConnectionError("no network")

    @app.flow
    def send(text: str) -> str:
        sent = mail(text)
        sleep(0.001).wait()
        return sent

    with at_work(app):
        assert result(send.start("it")) == "faxed it"
    assert ran == ["mail", "mail", "fax"]


def test_if_the_alternative_fails_as_well_its_error_counts(app: Backroom) -> None:
    async def fax() -> str:
        raise ValueError("no paper")

    @step(otherwise=fax)
    async def mail() -> str:
        raise ConnectionError("no network")

    @app.flow
    async def send() -> str:
        return await mail()

    with at_work(app), pytest.raises(RunFailed, match="ValueError: no paper"):
        result(send.start())


def test_an_async_step_that_takes_too_long_is_stopped_and_tried_again(app: Backroom) -> None:
    ended: list[str] = []

    @step(timeout=0.05, retry=Retry(attempts=2, delay_seconds=0))
    async def slow() -> str:
        if current_run().tries == 2:
            return "quick enough"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("stopped")
            raise
        return "never"

    @app.flow
    async def call() -> str:
        return await slow()

    with at_work(app):
        assert result(call.start()) == "quick enough"
    assert ended == ["stopped"]


def test_a_flow_sees_the_time_out_of_a_def_step_at_once(app: Backroom) -> None:
    go_on = threading.Event()

    @step(timeout=0.05)
    def stuck() -> str:
        go_on.wait(LONG)
        return "late"

    @app.flow
    def call() -> str:
        try:
            return stuck()
        except StepFailed as error:
            return error.kind

    with at_work(app):
        run = call.start()
        assert result(run) == "TimedOut"
        assert not go_on.is_set()
        go_on.set()


def test_the_retry_of_a_def_step_waits_until_its_thread_has_returned(app: Backroom) -> None:
    go_on = threading.Event()
    log: list[str] = []

    @step(timeout=0.05, retry=Retry(attempts=2, delay_seconds=0.001))
    def stuck() -> str:
        tries = current_run().tries
        log.append(f"begin {tries}")
        if tries == 1:
            go_on.wait(LONG)
        log.append(f"end {tries}")
        return "done"

    @app.flow
    def call() -> str:
        return stuck()

    with at_work(app):
        run = call.start()
        eventually(lambda: checkpoints(app, run) == {"stuck#1": "trying"})
        assert log == ["begin 1"]
        go_on.set()
        assert result(run) == "done"
    assert log == ["begin 1", "end 1", "begin 2", "end 2"]


def test_a_run_that_works_past_its_time_out_fails(app: Backroom) -> None:
    @step
    async def endless() -> None:
        await asyncio.Event().wait()

    @app.flow(timeout=0.1)
    async def slow() -> None:
        await endless()

    with at_work(app), pytest.raises(RunFailed, match="TimedOut") as caught:
        result(slow.start())
    assert caught.value.kind == "TimedOut"


def test_a_run_that_waits_past_its_time_out_fails(app: Backroom) -> None:
    @app.flow(timeout=DAY)
    async def patient() -> None:
        await wait_for_event("go")

    with at_work(app) as bench:
        run = patient.start()
        parked(run)
        bench.move_clock(days=1.1)
        with pytest.raises(RunFailed, match="time-out"):
            result(run)


def test_a_time_out_counts_from_when_the_run_is_due(app: Backroom) -> None:
    @app.flow(timeout=DAY)
    async def quick() -> str:
        return "in time"

    with at_work(app) as bench:
        run = quick.using(delay=10 * DAY).start()
        bench.move_clock(days=10)
        assert result(run) == "in time"


# --- sleeping -----------------------------------------------------------------------------------


def test_a_sleep_of_days_is_over_when_the_days_are(app: Backroom) -> None:
    @app.flow
    async def nap() -> str:
        await sleep(days=2, hours=1, minutes=1)
        return "awake"

    with at_work(app) as bench:
        run = nap.start()
        parked(run)
        bench.move_clock(days=2)
        assert state(run) is State.WAITING
        bench.move_clock(hours=1, minutes=1)
        assert result(run) == "awake"


def test_a_sleep_until_a_moment_in_some_time_zone(app: Backroom) -> None:
    @app.flow
    async def nap(until: datetime) -> str:
        await sleep(until=until)
        return "awake"

    with at_work(app) as bench:
        run = nap.start(datetime.now(UTC) + timedelta(hours=5))
        parked(run)
        bench.move_clock(hours=4)
        assert state(run) is State.WAITING
        bench.move_clock(hours=1)
        assert result(run) == "awake"
        assert result(nap.start(datetime(2001, 1, 1, tzinfo=UTC))) == "awake"


def test_sleeps_follow_one_another(app: Backroom) -> None:
    @app.flow
    def naps(times: int) -> int:
        for _ in range(times):
            sleep(timedelta(milliseconds=5)).wait()
        sleep(0).wait()
        return times

    with at_work(app):
        run = naps.start(3)
        assert result(run) == 3
        assert run.status().wait().attempt <= 5


# --- events -------------------------------------------------------------------------------------


def test_an_event_that_came_before_the_wait_is_there(app: Backroom) -> None:
    @app.flow
    async def listen() -> str:
        heard: str = await wait_for_event("word", str)
        return heard

    run = listen.start()
    run.emit("word", "early").wait()
    with at_work(app):
        assert result(run) == "early"


def test_an_event_that_comes_after_the_wait_wakes_the_run(app: Backroom) -> None:
    @app.flow
    async def listen() -> str:
        return await wait_for_event("word", str)

    with at_work(app):
        run = listen.start()
        parked(run)
        run.emit("word", "late").wait()
        assert result(run) == "late"


def test_an_event_comes_as_the_type_that_is_waited_for(app: Backroom) -> None:
    class Decision(BaseModel):
        ok: bool
        amount: Decimal

    @app.flow
    async def decide() -> tuple[Decision, object]:
        typed = await wait_for_event("typed", Decision)
        return typed, await wait_for_event("plain")

    with at_work(app):
        run = decide.start()
        run.emit("typed", Decision(ok=True, amount=Decimal("9.90"))).wait()
        run.emit("plain", {"ok": True}).wait()
        assert result(run) == (Decision(ok=True, amount=Decimal("9.90")), {"ok": True})


def test_events_of_one_name_are_read_in_the_order_they_came(app: Backroom) -> None:
    @app.flow
    async def listen() -> list[int]:
        return [await wait_for_event("n", int) for _ in range(4)]

    with at_work(app):
        run = listen.start()
        for n in range(4):
            run.emit("n", n).wait()
        assert result(run) == [0, 1, 2, 3]


def test_the_same_key_twice_is_one_event(app: Backroom) -> None:
    @app.flow
    async def listen() -> list[str]:
        return [await wait_for_event("hook", str), await wait_for_event("hook", str)]

    with at_work(app):
        run = listen.start()
        run.emit("hook", "first", key="delivery 1").wait()
        run.emit("hook", "again", key="delivery 1").wait()
        parked(run)
        run.emit("hook", "again", key="delivery 1").wait()
        run.emit("hook", "second", key="delivery 2").wait()
        assert result(run) == ["first", "second"]


def test_each_of_two_waits_for_one_name_gets_an_event_of_its_own(app: Backroom) -> None:
    @app.flow
    async def listen() -> tuple[int, int]:
        return await gather(wait_for_event("n", int), wait_for_event("n", int))

    with at_work(app):
        run = listen.start()
        parked(run)
        run.emit("n", 1).wait()
        eventually(lambda: len(steps(app, run)) == 1)
        parked(run)
        run.emit("n", 2).wait()
        one, other = result(run)
        assert {one, other} == {1, 2}


def test_a_run_may_send_an_event_to_another_and_a_replay_sends_none(app: Backroom) -> None:
    @app.flow
    async def listen() -> list[str]:
        return [await wait_for_event("word", str), await wait_for_event("word", str)]

    @app.flow
    async def speak(run_id: str) -> None:
        await app.run(run_id).emit("word", "from a flow")
        await sleep(0.001)

    with at_work(app):
        run = listen.start()
        result(speak.start(run.id))
        run.emit("word", "from outside").wait()
        assert result(run) == ["from a flow", "from outside"]


def test_a_run_that_has_ended_takes_no_event(app: Backroom) -> None:
    @app.flow
    async def short() -> None: ...

    with at_work(app):
        run = short.start()
        result(run)
        with pytest.raises(RunEnded, match="succeeded"):
            run.emit("word", "too late")


# --- first --------------------------------------------------------------------------------------


def test_first_gives_the_event_that_came_before_the_deadline(app: Backroom) -> None:
    @app.flow
    async def ask() -> str:
        answer = await first(wait_for_event("answer", str), sleep(days=1))
        return "no answer" if answer is None else answer

    with at_work(app):
        run = ask.start()
        parked(run)
        run.emit("answer", "yes").wait()
        assert result(run) == "yes"


def test_first_gives_none_when_the_deadline_comes_first(app: Backroom) -> None:
    @app.flow
    def ask() -> str | None:
        return first(wait_for_event("answer", str), sleep(days=1)).wait()

    with at_work(app) as bench:
        run = ask.start()
        parked(run)
        bench.move_clock(days=1)
        assert result(run) is None


def test_what_happened_earliest_wins_even_if_all_is_seen_late(app: Backroom) -> None:
    @app.flow
    async def ask() -> str:
        answer = await first(sleep(hours=2), wait_for_event("answer", str))
        return "no answer" if answer is None else answer

    with at_work(app):
        early, late = ask.start(), ask.start()
        parked(early)
        parked(late)
    early.emit("answer", "in time").wait()
    app.office.store.move_clock(3 * 3600 * 1_000_000)
    late.emit("answer", "too late").wait()
    with at_work(app):
        assert result(early) == "in time"
        assert result(late) == "no answer"


def test_the_event_that_lost_is_still_there(app: Backroom) -> None:
    @app.flow
    async def ask() -> tuple[str, str]:
        winner = await first(wait_for_event("a", str), wait_for_event("b", str))
        return winner, await first(wait_for_event("a", str), wait_for_event("b", str))

    run = ask.start()
    run.emit("b", "first").wait()
    run.emit("a", "second").wait()
    with at_work(app):
        assert result(run) == ("first", "second")


def test_first_takes_children_and_other_firsts(app: Backroom) -> None:
    @app.flow
    async def child() -> int:
        return await wait_for_event("n", int)

    @app.flow
    async def race() -> tuple[int | str | None, str]:
        run = await child.start()
        progress(status=run.id)
        either = first(wait_for_event("word", str), sleep(days=1))
        return await first(run.result(), either), "over"

    with at_work(app):
        run = race.start()
        parked(run)
        child_id = eventually(lambda: run.status().wait().text or "")
        app.run(child_id).emit("n", 7).wait()
        assert result(run) == (7, "over")


# --- gather -------------------------------------------------------------------------------------


def test_gather_returns_in_order_whoever_was_first(app: Backroom) -> None:
    second_done = threading.Event()

    @step
    def slow() -> str:
        second_done.wait(LONG)
        return "slow"

    @step
    def quick() -> str:
        second_done.set()
        return "quick"

    @app.flow
    def both() -> tuple[str, str]:
        return gather(slow, quick).wait()

    @app.flow
    async def both_async() -> tuple[str, str]:
        return await gather(slow, quick)

    with at_work(app):
        assert result(both.start()) == ("slow", "quick")
        second_done.clear()
        assert result(both_async.start()) == ("slow", "quick")


def test_gathers_nest_and_their_branches_wait(app: Backroom) -> None:
    ran: list[str] = []

    @step
    async def note(word: str) -> str:
        ran.append(word)
        return word

    @app.flow
    async def tree() -> list[str]:
        async def branch(name: str, days: int) -> str:
            before = await note(f"{name} before")
            await sleep(days=days)
            inner = await gather(note(f"{name} left"), wait_for_event(name, str))
            return " ".join([before, *inner])

        return list(await gather(branch("a", 1), branch("b", 2), note("c")))

    with at_work(app) as bench:
        run = tree.start()
        eventually(lambda: len(ran) == 3)
        parked(run)
        bench.move_clock(days=1)
        eventually(lambda: "a left" in ran)
        parked(run)
        run.emit("b", "B").wait()
        bench.move_clock(days=1)
        eventually(lambda: "b left" in ran)
        run.emit("a", "A").wait()
        assert result(run) == ["a before a left A", "b before b left B", "c"]
    assert sorted(ran) == ["a before", "a left", "b before", "b left", "c"]


def test_when_a_branch_fails_its_siblings_still_finish(app: Backroom) -> None:
    ran: list[str] = []

    @step
    async def work(name: str) -> str:
        ran.append(name)
        if name.startswith("bad"):
            raise ValueError(name)
        return name

    @app.flow
    async def mixed() -> str:
        async def after_a_nap(name: str) -> str:
            await sleep(0.005)
            return await work(name)

        try:
            await gather(after_a_nap("good"), after_a_nap("bad 1"), work("bad 2"))
        except StepFailed as error:
            return error.message
        return "no error"

    with at_work(app):
        assert result(mixed.start()) == "bad 1", "the error of the lowest branch"
    assert sorted(ran) == ["bad 1", "bad 2", "good"]


def test_a_gather_of_nothing_is_nothing(app: Backroom) -> None:
    @app.flow
    async def nothing() -> tuple[int, ...]:
        none: tuple[int, ...] = await gather()
        await sleep(0.001)
        return none

    @app.flow
    def nothing_plainly() -> tuple[int, ...]:
        none: tuple[int, ...] = gather().wait()
        sleep(0.001).wait()
        return none

    with at_work(app):
        runs = nothing.start(), nothing_plainly.start()
        assert [result(run) for run in runs] == [(), ()]
        assert [run.status().wait().attempt for run in runs] == [2, 2], "both have parked"


# --- child runs ---------------------------------------------------------------------------------


def test_a_flow_awaits_another_as_its_child(app: Backroom) -> None:
    ran: list[int] = []

    @app.flow
    async def square(n: int) -> int:
        ran.append(n)
        return n * n

    @app.flow
    def cube(n: int) -> int:
        return n * n * n

    @app.flow
    async def sums(n: int) -> int:
        return await square(n) + await asyncio.to_thread(cube, n)

    with at_work(app):
        run = sums.start(3)
        assert result(run) == 36
        children = app.office.read(lambda reader: reader.runs(parent_id=run.id)).result()
        assert {(child.flow, child.state) for child in children} == {
            ("square", State.SUCCEEDED),
            ("cube", State.SUCCEEDED),
        }
    assert ran == [3]


def test_a_flow_starts_children_and_asks_for_their_results_later(app: Backroom) -> None:
    @app.flow
    async def square(n: int) -> int:
        return n * n

    @app.flow
    async def sums(n: int) -> int:
        runs = [await square.start(k) for k in range(n)]
        return sum([await run.result() for run in runs])

    @app.flow
    def sums_plainly(n: int) -> int:
        runs = [square.start(k) for k in range(n)]
        return sum(run.result().wait() for run in runs)

    with at_work(app):
        run = sums.start(5)
        assert result(run) == 30
        assert result(sums_plainly.start(5)) == 30
        children = app.office.read(lambda reader: reader.runs(parent_id=run.id)).result()
        assert len(children) == 5, "the replays started none again"


def test_a_failing_child_raises_in_its_parent_every_time_the_same(app: Backroom) -> None:
    @app.flow
    async def broken() -> None:
        raise ValueError("no good")

    @app.flow
    async def parent() -> list[str]:
        seen = []
        for _ in range(2):
            try:
                await broken()
            except RunFailed as error:
                seen.append(f"{error.kind}: {error.message}")
            await sleep(0.001)
        return seen

    with at_work(app):
        assert result(parent.start()) == ["ValueError: no good"] * 2


def test_a_cancelled_child_raises_in_its_parent(app: Backroom) -> None:
    @app.flow
    async def endless() -> None:
        await wait_for_event("never")

    @app.flow
    async def parent() -> str:
        child = await endless.start()
        progress(status=child.id)
        try:
            await child.result()
        except RunCancelled as error:
            return f"cancelled: {error.reason}"
        return "not cancelled"

    with at_work(app):
        run = parent.start()
        child_id = eventually(lambda: run.status().wait().text or "")
        parked(run)
        app.run(child_id).cancel("changed my mind").wait()
        assert result(run) == "cancelled: changed my mind"


def test_cancelling_a_run_cancels_what_is_attached_to_it(app: Backroom) -> None:
    @app.flow
    async def grandchild() -> None:
        await wait_for_event("never")

    @app.flow
    async def child() -> None:
        await grandchild()

    @app.flow
    async def parent() -> None:
        await child.using(detached=True).start()
        await child()

    with at_work(app):
        run = parent.start()
        everyone = app.office.read
        eventually(
            lambda: len(everyone(lambda reader: reader.runs(states=[State.WAITING])).result()) == 5
        )
        run.cancel("stop it").wait()
        states = {
            (row.flow, row.parent_id is None): row.state
            for row in everyone(lambda reader: reader.runs()).result()
        }
        assert states["parent", True] is State.CANCELLED
        assert states["child", False] is State.CANCELLED
        assert states["child", True] is State.WAITING, "the detached one goes on"


def test_a_detached_child_outlives_its_parent(app: Backroom) -> None:
    @app.flow
    async def child() -> str:
        return await wait_for_event("word", str)

    @app.flow
    async def parent() -> str:
        return (await child.using(detached=True).start()).id

    with at_work(app):
        run = app.run(result(parent.start()))
        run.emit("word", "alone").wait()
        assert result(run) == "alone"


def test_a_detached_child_can_be_awaited_too(app: Backroom) -> None:
    @app.flow
    async def child() -> str:
        return await wait_for_event("word", str)

    @app.flow
    async def parent() -> str:
        run = await child.using(detached=True).start()
        progress(status=run.id)
        return await run.result()

    with at_work(app):
        run = parent.start()
        child_id = eventually(lambda: run.status().wait().text or "")
        parked(run)
        app.run(child_id).emit("word", "done").wait()
        assert result(run) == "done"


def test_children_with_one_key_are_one_run(app: Backroom) -> None:
    ran: list[str] = []

    @app.flow
    async def child(word: str) -> str:
        ran.append(word)
        return word

    @app.flow
    async def parent(word: str) -> str:
        return await child.using(key="the one")(word)

    with at_work(app):
        assert result(parent.start("a")) == "a"
        assert result(parent.start("b")) == "a"
    assert ran == ["a"]


# --- ways to start ------------------------------------------------------------------------------


def test_the_same_key_is_the_same_run(app: Backroom) -> None:
    @app.flow(key="order.id")
    async def fulfil(order: dict[str, int]) -> int:
        return order["id"]

    once, twice = fulfil.start({"id": 7}), fulfil.start({"id": 7})
    assert (once.created, twice.created, once.id) == (True, False, twice.id)
    other = fulfil.using(key="special").start({"id": 7})
    assert other.id != once.id
    with at_work(app):
        assert result(twice) == 7
        assert fulfil.start({"id": 7}).id == once.id, "also after it has ended"
        assert result(fulfil.find("7")) == 7


def test_a_delayed_run_waits_for_its_time(app: Backroom) -> None:
    @app.flow
    async def later() -> str:
        return "now"

    with at_work(app) as bench:
        delayed = later.using(delay=timedelta(hours=1)).start()
        dated = later.using(at=datetime.now(UTC) + timedelta(hours=2)).start()
        assert (state(delayed), state(dated)) == (State.SCHEDULED, State.SCHEDULED)
        bench.move_clock(hours=1)
        assert result(delayed) == "now"
        assert state(dated) is State.SCHEDULED
        bench.move_clock(hours=1)
        assert result(dated) == "now"


def test_the_most_urgent_run_comes_first(app: Backroom) -> None:
    ran: list[int] = []

    @app.flow
    async def job(priority: int) -> None:
        ran.append(priority)

    runs = [job.using(priority=priority).start(priority) for priority in (5, 9, 0, 3)]
    with at_work(app, concurrency=1):
        for run in runs:
            result(run)
    assert ran == [0, 3, 5, 9]


def test_a_worker_serves_its_queues_only(app: Backroom) -> None:
    @app.flow(queue="mail")
    async def send() -> str:
        return "sent"

    mail, bulk = send.start(), send.using(queue="bulk").start()
    with at_work(app, queues=("mail",)):
        assert result(mail) == "sent"
        assert state(bulk) is State.READY
    with at_work(app, queues=("bulk", "mail")):
        assert result(bulk) == "sent"


def test_many_runs_start_at_once(app: Backroom) -> None:
    @app.flow
    async def square(n: int) -> int:
        return n * n

    runs = app.start_many(square.prepare(n) for n in range(200))
    assert len({run.id for run in runs}) == 200
    with at_work(app):
        assert [result(run) for run in runs] == [n * n for n in range(200)]


def test_a_flow_is_started_by_its_name(app: Backroom) -> None:
    @app.flow(name="maths.square")
    async def square(n: int) -> int:
        return n * n

    with at_work(app):
        assert result(app.start("maths.square", n=4)) == 16


# --- handles ------------------------------------------------------------------------------------


def test_asynchronous_callers_await_what_others_wait_for(app: Backroom) -> None:
    @app.flow
    async def listen(word: str) -> str:
        return word + await wait_for_event("word", str)

    async def caller() -> tuple[str, State, bool]:
        run = await listen.using(key="k").start("hello ")
        await run.emit("word", "world")
        same = await listen.find("k")
        return await run.result(), (await run.status()).state, same.id == run.id

    with at_work(app):
        assert asyncio.run(caller()) == ("hello world", State.SUCCEEDED, True)


def test_a_forgotten_await_on_start_loses_nothing(app: Backroom) -> None:
    @app.flow
    async def job() -> str:
        return "done"

    async def forgetful() -> str:
        return job.start().id

    run_id = asyncio.run(forgetful())
    eventually(lambda: app.office.read(lambda reader: reader.run(run_id)).result())
    with at_work(app):
        assert result(app.run(run_id)) == "done"


def test_a_handle_needs_no_await_between_its_start_and_its_use(app: Backroom) -> None:
    @app.flow
    async def listen() -> str:
        return await wait_for_event("word", str)

    async def hasty() -> str:
        await listen.using(key="one").start()
        run = listen.using(key="one").start()  # whose id is known once it is stored
        await run.emit("word", "x")
        got = await run.result()
        other = listen.using(key="two").start()
        assert await other.cancel() in (State.CANCELLED, State.RUNNING)  # a worker may be quicker
        with pytest.raises(RunCancelled):
            await other.result()
        return got

    with at_work(app):
        assert asyncio.run(hasty()) == "x"


def test_progress_and_status_can_be_seen_while_a_run_goes_on(app: Backroom) -> None:
    go_on = threading.Event()

    @step
    def work() -> None:
        progress(0.5, status="half way")
        go_on.wait(LONG)

    @app.flow
    def job() -> str:
        progress(status="begun")
        work()
        progress(1)
        return "done"

    with at_work(app):
        run = job.start()
        seen = eventually(lambda: (status := run.status().wait()).progress and status)
        assert seen
        assert (seen.progress, seen.text, seen.state) == (0.5, "half way", State.RUNNING)
        assert seen.started_at is not None
        go_on.set()
        result(run)
        seen = run.status().wait()
        assert (seen.progress, seen.text, seen.result) == (1.0, "half way", "done")
        assert seen.is_final
        assert seen.finished_at is not None


def test_a_step_that_hangs_does_not_keep_its_runs_place(app: Backroom) -> None:
    ends = threading.Event()

    @step(timeout=0.05)
    def hang() -> None:
        ends.wait(LONG)

    @app.flow
    def stuck() -> None:
        hang()

    @app.flow
    def quick() -> str:
        return "done"

    with at_work(app, concurrency=1):
        run = stuck.start()
        with pytest.raises(RunFailed, match="TimedOut"):
            result(run)
        assert result(quick.start()) == "done"
        assert not ends.is_set()
        ends.set()


def test_what_a_flow_said_before_is_not_said_again_by_its_replay(app: Backroom) -> None:
    go_on = threading.Event()
    again = threading.Event()

    @step
    async def first_part() -> None:
        progress(0.4, status="in the first part")

    @step
    def second_part() -> None:
        again.set()
        go_on.wait(LONG)

    @app.flow
    async def job() -> None:
        progress(0.1, status="begun")
        await first_part()
        await wait_for_event("go")
        await asyncio.to_thread(second_part)
        progress(0.9, status="nearly there")

    with at_work(app):
        run = job.start()
        parked(run)
        run.emit("go")
        assert again.wait(LONG)
        eventually(lambda: state(run) is State.RUNNING, within=LONG)
        seen = run.status().wait()
        go_on.set()
        assert (seen.progress, seen.text) == (0.4, "in the first part")
        result(run)
        seen = run.status().wait()
        assert (seen.progress, seen.text) == (0.9, "nearly there")


def test_a_failed_run_tells_why(app: Backroom) -> None:
    @app.flow
    async def broken() -> None:
        raise ValueError("no good")

    with at_work(app):
        run = broken.start()
        with pytest.raises(RunFailed) as caught:
            result(run)
        assert (caught.value.run_id, caught.value.kind, caught.value.message) == (
            run.id,
            "ValueError",
            "no good",
        )
        status = run.status().wait()
        assert (status.state, status.error) == (State.FAILED, "ValueError: no good")


@pytest.mark.parametrize("where", ["scheduled", "ready", "waiting", "running"])
def test_a_run_is_cancelled_wherever_it_stands(app: Backroom, where: str) -> None:
    ended = threading.Event()
    running = threading.Event()

    @step
    async def endless() -> None:
        running.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @app.flow
    async def job() -> None:
        if where == "waiting":
            await wait_for_event("never")
        await endless()

    if where == "ready":
        run = job.start()
        assert run.cancel("no more").wait() is State.CANCELLED
    else:
        with at_work(app):
            run = job.using(delay=DAY if where == "scheduled" else None).start()
            if where == "waiting":
                parked(run)
            if where == "running":
                assert running.wait(LONG)
            answer = run.cancel("no more").wait()
            assert answer is (State.RUNNING if where == "running" else State.CANCELLED)
            assert outcome(run) is State.CANCELLED
    assert ended.is_set() == (where == "running")
    with pytest.raises(RunCancelled) as caught:
        result(run)
    assert caught.value.reason == "no more"


def test_a_cancel_that_falls_together_with_a_wait_is_not_forgotten(app: Backroom) -> None:
    cancelled = threading.Event()

    @step
    def work() -> None:
        cancelled.wait(LONG)

    @app.flow
    def job() -> None:
        work()
        sleep(days=30).wait()

    with at_work(app):
        run = job.start()
        eventually(lambda: state(run) is State.RUNNING)
        run.cancel("now").wait()
        cancelled.set()
        assert outcome(run) is State.CANCELLED


def test_a_run_that_nobody_knows_is_said_to_be_unknown(app: Backroom) -> None:
    unknown = app.run("00000000-0000-7000-8000-000000000000")
    with pytest.raises(RunNotFound):
        unknown.result().wait(LONG)
    with pytest.raises(RunNotFound):
        unknown.status().wait(LONG)
    with pytest.raises(RunNotFound):
        unknown.cancel()
    with pytest.raises(RunNotFound):
        unknown.emit("word")


# --- knowing oneself ----------------------------------------------------------------------------


def test_a_step_has_the_same_key_on_every_try_and_every_attempt(app: Backroom) -> None:
    keys: list[str | None] = []

    @step(retry=Retry(attempts=3, delay_seconds=0.001))
    async def flaky(n: int) -> None:
        keys.append(current_run().step_key)
        if len(keys) % 3:
            raise ConnectionError("busy")

    @app.flow
    async def job() -> tuple[str, str, int, str | None]:
        await flaky(1)
        await flaky(2)
        here = current_run()
        assert here.step_key is None
        return here.id, here.flow, here.attempt, here.key

    with at_work(app):
        run = job.using(key="k").start()
        run_id, flow, attempt, key = result(run)
        assert (run_id, flow, key) == (run.id, "job", "k")
        assert attempt > 1
    assert keys[:3] == [keys[0]] * 3
    assert keys[3:] == [keys[3]] * 3
    assert keys[0] != keys[3]


def test_a_flow_that_fails_is_tried_again_from_its_checkpoints(app: Backroom) -> None:
    ran: list[str] = []

    @step
    async def good() -> None:
        ran.append("good")

    @step
    async def bad() -> str:
        ran.append("bad")
        if len(ran) < 4:
            raise ConnectionError("busy")
        return "through"

    @app.flow(retry=Retry(attempts=3, delay_seconds=0.002))
    async def job() -> str:
        await good()
        return await bad()

    with at_work(app):
        run = job.start()
        assert result(run) == "through"
        attempts = app.office.read(lambda reader: reader.attempts(run.id)).result()
        assert [attempt.outcome for attempt in attempts] == ["failed", "failed"]
    assert ran == ["good", "bad", "bad", "bad"]


def test_a_flow_that_keeps_failing_fails(app: Backroom) -> None:
    tries: list[int] = []

    @app.flow(retry=Retry(attempts=3, delay_seconds=0.001, on=(OSError, ValueError)))
    async def job(kind: str) -> None:
        tries.append(1)
        raise {"value": ValueError, "key": KeyError}[kind](kind)

    with at_work(app):
        for kind, times in (("value", 3), ("key", 1)):
            tries.clear()
            with pytest.raises(RunFailed):
                result(job.start(kind))
            assert len(tries) == times


def test_time_outs_are_told_apart_from_other_errors(app: Backroom) -> None:
    @step(timeout=0.02)
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.flow
    async def call() -> bool:
        try:
            await slow()
        except StepFailed as error:
            return error.caused_by(TimedOut)
        return False

    with at_work(app):
        assert result(call.start())
