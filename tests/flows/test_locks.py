"""Locks in flows: held across steps and waits, given back however a run ends, never for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from backroom import Backroom, Retry, Rollback, State, gather, lock, sleep, step, wait_for_event
from backroom.records.errors import Deadlock, NotInFlow, Refused, RunCancelled
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, outcome, parked, result, state


def holders(app: Backroom) -> dict[str, str]:
    held = app.office.read(lambda reader: reader.locks()).result(LONG)
    return {each.name: each.run_id for each in held}


@pytest.mark.parametrize("colour", ["async def", "def"])
def test_runs_that_take_one_lock_exclude_each_other(app: Backroom, colour: str) -> None:
    inside: list[str] = []

    @step
    async def enter(name: str) -> None:
        inside.append(f"in {name}")

    @step
    async def leave(name: str) -> None:
        inside.append(f"out {name}")

    @step(name="enter")
    def enter_plainly(name: str) -> None:
        inside.append(f"in {name}")

    @step(name="leave")
    def leave_plainly(name: str) -> None:
        inside.append(f"out {name}")

    @app.flow(name="work")
    async def awaiting(name: str) -> None:
        async with lock("account:7"):
            await enter(name)
            await sleep(0.01)
            await leave(name)

    @app.flow(name="plain")
    def blocking(name: str) -> None:
        with lock("account:7"):
            enter_plainly(name)
            sleep(0.01).wait()
            leave_plainly(name)

    flow = app.handle("work" if colour == "async def" else "plain")
    with at_work(app):
        runs = app.start_many(flow.prepare(f"r{n}") for n in range(6))
        for run in runs:
            result(run)
    assert len(inside) == 12
    for entered, left in zip(inside[::2], inside[1::2], strict=True):
        assert left == entered.replace("in ", "out ")
    assert holders(app) == {}


def test_a_lock_is_held_while_its_run_is_parked_and_over_a_restart(app: Backroom) -> None:
    @app.flow
    async def hold() -> str:
        async with lock("x"):
            await wait_for_event("go")
            return "held"

    @app.flow
    async def follow() -> str:
        async with lock("x"):
            return "followed"

    with at_work(app):
        first = hold.start()
        parked(first)
        second = follow.start()
        parked(second)
    assert holders(app) == {"x": first.id}
    with at_work(app):
        told = second.why().wait(LONG)
        assert told.reason == "waiting"
        assert f"for the lock x, which the run {first.id} (hold, waiting) has" in told.text
        (waits_for,) = told.facts["for"]
        assert waits_for["lock"] == "x"
        assert waits_for["holders"] == [first.id]
        first.emit("go").wait(LONG)
        assert result(first) == "held"
        assert result(second) == "followed"


@pytest.mark.parametrize("how", ["fails", "is cancelled", "rolls back", "is late"])
def test_however_a_run_ends_the_next_one_goes_on(app: Backroom, how: str) -> None:
    undone: list[dict[str, str]] = []

    async def take_back(done: None) -> None:
        undone.append(holders(app))

    @step(undo=take_back)
    async def act() -> None: ...

    @app.flow(timeout=3600)
    async def hold() -> None:
        async with lock("x"):
            await act()
            if how in ("is cancelled", "is late"):
                await wait_for_event("never")
            if how == "fails":
                raise ValueError("no")
            raise Rollback("no")

    @app.flow
    async def follow() -> str:
        async with lock("x"):
            return "followed"

    with at_work(app):
        run = hold.start()
        if how in ("is cancelled", "is late"):
            parked(run)
            second = follow.start()
            parked(second)
            if how == "is late":
                app.office.store.move_clock(4_000_000_000)
            else:
                run.cancel().wait(LONG)
        else:
            second = follow.start()
        assert outcome(run) is (State.CANCELLED if how == "is cancelled" else State.FAILED)
        assert result(second) == "followed"
    assert len(undone) == 1
    if how in ("is cancelled", "is late"):
        assert undone[0] == {"x": run.id}, "its undos had to do without its lock"


def test_opposite_orders_end_one_with_an_error_that_names_the_runs(app: Backroom) -> None:
    both = threading.Barrier(2)

    @step
    async def meet() -> None:
        await asyncio.to_thread(both.wait, LONG)

    @app.flow
    async def work(first: str, second: str) -> str:
        async with lock(first):
            await meet()
            async with lock(second):
                return "done"

    with at_work(app):
        runs = [work.start("a", "b"), work.start("b", "a")]
        states = {outcome(run) for run in runs}
    assert states == {State.SUCCEEDED, State.FAILED}
    loser = next(run for run in runs if state(run) is State.FAILED)
    error = loser.status().wait(LONG).error or ""
    assert "Deadlock" in error
    assert all(run.id in error for run in runs)
    assert holders(app) == {}


def test_with_a_retry_opposite_orders_both_end_well(app: Backroom) -> None:
    met = threading.Barrier(2)
    entered: list[str] = []

    @step
    async def meet() -> None:
        await asyncio.to_thread(met.wait, LONG)

    @step
    async def inside(name: str) -> None:
        entered.append(name)

    @app.flow(retry=Retry(attempts=3, delay_seconds=0.01, on=Deadlock))
    async def work(first: str, second: str) -> dict[str, str]:
        async with lock(first):
            await meet()
            async with lock(second):
                await inside(first)
                return holders(app)

    with at_work(app):
        runs = [work.start("a", "b"), work.start("b", "a")]
        for run in runs:
            assert result(run) == {"a": run.id, "b": run.id}, "not held in the second attempt"
    assert sorted(entered) == ["a", "b"]


def test_locks_asked_for_together_never_meet_in_a_circle(app: Backroom) -> None:
    @app.flow
    async def work(first: str, second: str) -> None:
        for _ in range(3):
            async with lock(first, second):
                await sleep(0.001)

    with at_work(app):
        runs = [work.start(*pair) for _ in range(4) for pair in (("a", "b"), ("b", "a"))]
        for run in runs:
            result(run)


def test_a_replay_does_not_take_a_lock_again_that_was_given_back(app: Backroom) -> None:
    @app.flow
    async def work() -> str:
        async with lock("x"):
            await sleep(0.001)
        await wait_for_event("go")
        return "done"

    @app.flow
    async def hold() -> None:
        async with lock("x"):
            await wait_for_event("never")

    with at_work(app):
        run = work.start()
        eventually(lambda: state(run) is State.WAITING and not holders(app), within=LONG)
        other = hold.start()
        parked(other)
        run.emit("go").wait(LONG)
        assert result(run) == "done"
        assert holders(app) == {"x": other.id}


def test_branches_of_one_run_wait_for_each_other_in_memory(app: Backroom) -> None:
    order: list[str] = []
    entered = threading.Event()

    @step
    async def note(what: str) -> None:
        order.append(what)
        entered.set()

    async def branch(name: str) -> None:
        async with lock("x"):
            await note(f"in {name}")
            await sleep(0.01)
            await note(f"out {name}")

    @app.flow
    async def work() -> None:
        await gather(branch("a"), branch("b"), branch("c"))

    with at_work(app):
        result(work.start())
    assert [word.split()[0] for word in order] == ["in", "out"] * 3


def test_a_deadlock_that_is_caught_is_the_same_on_every_replay(app: Backroom) -> None:
    @app.flow
    async def work() -> str:
        async with lock("x"):
            try:
                async with lock("x"):
                    return "in"
            except Deadlock as error:
                await sleep(0.001)
                return f"{error.lock} {len(error.runs)}"

    with at_work(app):
        assert result(work.start()) == "x 1"


def test_what_cannot_be_a_lock_is_refused(app: Backroom) -> None:
    with pytest.raises(NotInFlow):
        lock("x")

    @app.flow
    async def work(names: list[str]) -> str:
        try:
            async with lock(*names):
                return "held"
        except Refused as error:
            return str(error)

    with at_work(app):
        assert "1 to 100 names" in result(work.start([]))
        assert "1 to 200 characters" in result(work.start([""]))
        assert result(work.start(["any text, even §"])) == "held"


# --- runs that begin after others


def test_a_run_begins_after_others_from_outside_and_from_a_flow(app: Backroom) -> None:
    order: list[str] = []

    @app.flow
    async def work(name: str) -> str:
        if name == "first":
            await wait_for_event("go")
        order.append(name)
        return name

    @app.flow
    async def plan() -> list[str]:
        first = await work.start("first in a flow")
        second = await work.using(after=first).start("second in a flow")
        return [await second.result(), await first.result()]

    with at_work(app):
        first = work.start("first")
        second = work.using(after=first).start("second")
        (third,) = app.start_many([work.using(after=[first.id, second]).prepare("third")])
        parked(first)
        told = third.why().wait(LONG)
        assert told.reason == "waiting"
        assert f"for the run {first.id} (work, waiting) before it begins" in told.text
        assert order == []
        first.emit("go").wait(LONG)
        assert result(third) == "third"
        assert order == ["first", "second", "third"]
        assert result(plan.start()) == ["second in a flow", "first in a flow"]


def test_a_run_whose_forerunner_fails_is_cancelled_and_says_why(app: Backroom) -> None:
    @app.flow
    async def fail() -> None:
        raise ValueError("no")

    @app.flow
    async def work() -> str:
        return "done"

    with at_work(app):
        bad = fail.start()
        run = work.using(after=bad).start()
        anyhow = work.using(after=bad, after_any_end=True).start()
        with pytest.raises(RunCancelled) as caught:
            result(run)
        assert caught.value.reason == f"the run {bad.id}, after which it was to begin, has failed"
        assert result(anyhow) == "done"
        run.retry().wait(LONG)
        assert result(run) == "done"


def test_a_flow_waits_for_a_run_that_it_has_not_started(app: Backroom) -> None:
    @app.flow
    async def other() -> str:
        return str(await wait_for_event("go"))

    @app.flow
    async def work(run_id: str) -> str:
        return f"it said {await app.run(run_id).result()}"

    with at_work(app):
        awaited = other.start()
        run = work.start(awaited.id)
        parked(run)
        parked(awaited)
        awaited.emit("go", "hello").wait(LONG)
        assert result(run) == "it said hello"
