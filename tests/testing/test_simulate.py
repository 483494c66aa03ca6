"""What `simulate` finds in flows with the bugs that people make, and that it finds no others."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backroom import (
    Backroom,
    Retry,
    Rollback,
    State,
    current_run,
    first,
    gather,
    sleep,
    step,
    wait_for_event,
)
from backroom.errors import Refused
from backroom.testing import Simulated, SimulationFailed, did, simulate


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Backroom]:
    app = Backroom(tmp_path / "never-opened.db")
    yield app
    assert not (tmp_path / "never-opened.db").exists(), "a simulation has a database of its own"


def found(flow: Any, *args: Any, **options: Any) -> SimulationFailed:
    """What breaks the flow; the printed seed breaks it again, in the same way."""
    with pytest.raises(SimulationFailed) as first_time:
        simulate(flow, *args, **options)
    with pytest.raises(SimulationFailed) as again:
        simulate(flow, *args, seed=first_time.value.seed, **options)
    assert again.value.broken == first_time.value.broken
    assert story(again.value) == story(first_time.value)
    return first_time.value


def story(failure: SimulationFailed) -> str:
    return str(failure).rpartition("Replay it with")[0]


# --- what is sound --------------------------------------------------------------------------------


def ten_steps(app: Backroom) -> Any:
    @step
    async def add(n: int) -> int:
        did(f"add to {n}", key=current_run().step_key)
        return n + 1

    @app.flow
    async def count() -> int:
        n = 0
        for _ in range(10):
            n = await add(n)
        return n

    return count


def test_a_sound_flow_of_ten_steps_is_cut_off_everywhere_and_quickly(app: Backroom) -> None:
    began = time.process_time()
    simulation = simulate(ten_steps(app))
    took = time.process_time() - began
    assert simulation.clean.result == 10
    assert simulation.calls == 12  # a claim, ten steps, an end
    assert {f"before:{n}" for n in range(2, 13)} <= set(simulation.seeds)
    assert {f"after:{n}" for n in range(1, 13)} <= set(simulation.seeds)
    assert simulation.executions > 50
    assert took < 5, f"{took:.1f} s for {simulation.executions} executions"


def test_def_flows_branches_and_children_are_simulated_too(app: Backroom) -> None:
    @step
    def double(n: int) -> int:
        did(f"double {n}", key=current_run().step_key)
        return 2 * n

    @app.flow
    def child(n: int) -> int:
        return double(n)

    @app.flow
    def parent() -> list[int]:
        one, two = gather(lambda: double(1), lambda: child(2)).wait()
        sleep(days=3).wait()
        return [one, two, double(3)]

    simulation = simulate(parent)
    assert simulation.clean.result == [2, 4, 6]
    assert simulation.clean.calls == {
        "double#1 of child": 1,
        "gather#1.0/double#1": 1,
        "double#1": 1,
    }


def test_events_come_early_late_twice_and_in_another_order(app: Backroom) -> None:
    @app.flow
    async def ask() -> tuple[str, str]:
        return await wait_for_event("one", str), await wait_for_event("two", str)

    simulation = simulate(ask, events=[("one", "a"), ("two", "b")])
    assert simulation.clean.result == ("a", "b")
    assert {"early:1", "late:0", "twice:0", "twice:1", "swap:0"} <= set(simulation.seeds)


def test_a_timer_may_be_seen_an_hour_late(app: Backroom) -> None:
    ends: list[str] = []

    @app.flow
    async def remind() -> str:
        answer = await first(wait_for_event("answer", str), sleep(minutes=10))
        return answer or "nobody answered"

    def note(seen: Simulated) -> None:
        ends.append(seen.result)

    simulate(remind, events=[("answer", "yes")], check=note)
    assert set(ends) == {"yes", "nobody answered"}  # an event that is late loses, as it should


def test_the_simulation_may_be_called_from_an_asynchronous_test(app: Backroom) -> None:
    async def test() -> int:
        return simulate(ten_steps(app), plays=0).executions

    assert asyncio.run(test()) > 30


def test_two_simulations_go_the_same_way(app: Backroom) -> None:
    flow = ten_steps(app)
    assert simulate(flow, plays=5).seeds == simulate(flow, plays=5).seeds


# --- the bugs that people make --------------------------------------------------------------------


def charging(app: Backroom, charge: Callable[[], object]) -> Any:
    @step
    async def pay(cents: int) -> str:
        charge()
        return f"paid {cents}"

    @app.flow
    async def order() -> str:
        return await pay(5)

    return order


def test_a_charge_without_the_steps_key_is_found(app: Backroom) -> None:
    failure = found(charging(app, lambda: did("charge 5 cents")))
    assert failure.seed == "before:2"
    assert failure.broken == "'charge 5 cents' was done twice, without faults once."
    assert "worker 1 dies before it has stored this: kept the result of pay#1" in str(failure)
    assert "current_run().step_key" in str(failure)
    assert "--backroom-seed=before:2 (1 fault, " in str(failure)


def test_a_charge_with_the_steps_key_is_sound(app: Backroom) -> None:
    flow = charging(app, lambda: did("charge", key=current_run().step_key))
    simulate(flow, failing_steps=True)


def test_a_charge_before_a_failure_is_counted_twice(app: Backroom) -> None:
    @step(retry=Retry(attempts=3))
    async def pay() -> None:
        did("charge")

    @app.flow
    async def order() -> None:
        await pay()

    failure = found(order, failing_steps=True, plays=0)
    assert failure.seed == "before:2"  # a death does it too; the failing step alone:
    with pytest.raises(SimulationFailed, match="was done 3 times") as caught:
        simulate(order, failing_steps=True, seed="half:pay#1")
    failure = caught.value
    assert "fails when it has done its work" in str(failure)


def test_work_in_the_flows_own_code_is_found(app: Backroom) -> None:
    @step
    async def look() -> int:
        return 1

    @app.flow
    async def order() -> None:
        did("mail")
        await look()

    failure = found(order)
    assert "in the flow's own code" in str(failure)


def test_a_random_number_between_steps_is_found(app: Backroom) -> None:
    @step
    async def by_post() -> str:
        return "post"

    @step
    async def by_bike() -> str:
        return "bike"

    @step
    async def pack(how: str) -> str:
        return f"packed for {how}"

    @app.flow
    async def ship() -> str:
        how = await by_post() if random.random() < 0.5 else await by_bike()
        return await pack(how)

    failure = found(ship)
    assert "the last one didn't come by it: it went another way" in failure.broken
    assert "Between its steps a flow must go the same way" in str(failure)


def test_a_clock_between_steps_is_found(app: Backroom) -> None:
    ticks = iter(range(10**9))

    @step
    async def stamp(at: int) -> int:
        return at

    @app.flow
    async def job() -> int:
        now = next(ticks)  # as time.time() would be: another one at each replay
        return await stamp(now) - now

    with pytest.raises(SimulationFailed, match="made from other arguments"):
        simulate(job)


def test_an_event_that_is_taken_outside_of_the_flow_is_found(app: Backroom) -> None:
    inbox: list[str] = []

    def fresh() -> None:
        inbox[:] = ["first order", "second order"]

    @step
    async def book(order: str) -> str:
        return order

    @app.flow
    async def take() -> str:
        order = inbox.pop(0)  # gone for the next attempt
        return await book(order)

    failure = found(take, setup=fresh)
    assert "look at them in a step" in str(failure)


def test_a_missing_undo_is_found(app: Backroom) -> None:
    async def refund(cents: int, paid: str | None) -> None:
        did("refund", key=current_run().step_key)

    def balanced(seen: Simulated) -> None:
        if seen.state is State.FAILED:
            assert seen.done("reserve") == seen.done("release"), "the room is still reserved"

    def booking(undo: Any) -> Any:
        local = Backroom("unused.db")

        @step(undo=undo)
        async def reserve(room: int) -> str:
            did("reserve", key=current_run().step_key)
            return "reserved"

        @step
        async def pay() -> None:
            did("charge", key=current_run().step_key)

        @local.flow
        async def book() -> str:
            await reserve(7)
            await pay()
            return "booked"

        return book

    async def release(room: int, reserved: str | None) -> None:
        did("release", key=current_run().step_key)

    failure = found(booking(None), check=balanced, failing_steps=True)
    assert failure.seed in {"half:reserve#1", "down:pay#1", "half:pay#1"}
    assert "check failed: the room is still reserved" in failure.broken
    simulate(booking(release), check=loosely_balanced, failing_steps=True)


def loosely_balanced(seen: Simulated) -> None:
    """An undo is also called for a step of which nobody knows whether it happened."""
    if seen.state is State.FAILED:
        assert seen.done("reserve") <= seen.done("release")


def test_branches_whose_order_changes_are_found(app: Backroom) -> None:
    @step
    async def fetch(name: str) -> str:
        return f"{name}'s page"

    @app.flow
    async def crawl() -> dict[str, str]:
        names = ["a", "b", "c"]
        random.shuffle(names)
        pages = await gather(*(fetch(name) for name in names))
        return dict(zip(names, pages, strict=True))

    assert "made from other arguments" in str(found(crawl))


def test_a_flow_that_nobody_answers_says_what_it_waits_for(app: Backroom) -> None:
    @app.flow
    async def ask() -> str:
        return await wait_for_event("approval", str)

    with pytest.raises(SimulationFailed, match="waits for event approval#1") as caught:
        simulate(ask)
    assert "events=[(name, payload)]" in str(caught.value)


def test_a_rollback_without_faults_is_an_end_like_any_other(app: Backroom) -> None:
    async def refund(paid: str | None) -> None:
        did("refund", key=current_run().step_key)

    @step(undo=refund)
    async def pay() -> str:
        did("charge", key=current_run().step_key)
        return "paid"

    @app.flow
    async def order() -> None:
        await pay()
        raise Rollback("declined")

    simulation = simulate(order)
    assert simulation.clean.state is State.FAILED
    assert simulation.clean.done("refund") == 1


def test_results_that_chance_decides_in_a_step_are_no_failure(app: Backroom) -> None:
    @step
    async def draw() -> float:
        return random.random()

    @app.flow
    async def lottery() -> float:
        return await draw()

    simulate(lottery)


def test_several_faults_are_shrunk_to_those_that_matter(app: Backroom) -> None:
    def patient(seen: Simulated) -> None:
        troubles = sum("✕" in line for line in seen.story)
        assert seen.calls["pay#1"] < 2 or troubles < 2, "called again, and more went wrong"

    flow = charging(app, lambda: did("charge", key=current_run().step_key))
    failure = found(flow, check=patient, plays=100)
    troubles = failure.seed.split("+")
    assert 1 < len(troubles) <= 3
    for left_out in troubles:  # none of them can be left out
        simulate(flow, check=patient, seed="+".join(t for t in troubles if t != left_out))


def test_a_seed_that_was_mistyped_is_refused(app: Backroom) -> None:
    with pytest.raises(Refused, match="no trouble of a simulation"):
        simulate(ten_steps(app), seed="befor:3")
