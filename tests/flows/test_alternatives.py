"""The alternative path of a whole run: what happens when it has failed for good."""

import asyncio
import threading

import pytest

from backroom import (
    Backroom,
    Retry,
    State,
    current_run,
    progress,
    sleep,
    step,
    wait_for_event,
)
from backroom.records.errors import Refused, Rollback, RunCancelled, RunFailed
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, checkpoints, parked, result, state


def test_its_result_becomes_the_runs(app: Backroom) -> None:
    async def by_hand(order: str, cents: int = 5) -> str:
        return f"{order} for {cents} by hand: {current_run().failure}"

    @app.flow(otherwise=by_hand)
    async def ship(order: str, cents: int = 5) -> str:
        raise ConnectionError("no lorry")

    with at_work(app):
        assert result(ship.start("lamp", 7)) == "lamp for 7 by hand: ConnectionError: no lorry"


@pytest.mark.parametrize("flow_colour", ["def", "async"])
@pytest.mark.parametrize("colour", ["def", "async"])
def test_it_may_be_of_either_colour_and_has_steps_of_its_own(
    app: Backroom, flow_colour: str, colour: str
) -> None:
    @step
    def note(text: str) -> str:
        return text

    def plain() -> str:
        return note("plain")

    async def awaited() -> str:
        return await asyncio.to_thread(note, "awaited")

    def fails() -> str:
        note("flow")
        raise ValueError

    async def fails_too() -> str:
        await asyncio.to_thread(note, "flow")
        raise ValueError

    otherwise = plain if colour == "def" else awaited
    flow = app.flow(name="job", otherwise=otherwise)(fails if flow_colour == "def" else fails_too)
    with at_work(app):
        run = flow.start()
        assert result(run) == ("plain" if colour == "def" else "awaited")
        assert {"note#1", "otherwise/note#1"} <= checkpoints(app, run).keys()


def test_it_comes_after_the_last_retry_and_isnt_retried_itself(app: Backroom) -> None:
    ran: list[str] = []

    async def instead() -> None:
        ran.append("instead")
        raise KeyError("no way")

    @app.flow(retry=Retry(attempts=3, delay_seconds=0.001), otherwise=instead)
    async def job() -> None:
        ran.append("flow")
        raise ValueError("no good")

    with at_work(app), pytest.raises(RunFailed, match="no way"):
        result(job.start())
    assert ran == ["flow"] * 3 + ["instead"]


def test_it_comes_after_the_undos(app: Backroom) -> None:
    ran: list[str] = []

    async def refund(charged: None) -> None:
        ran.append("refund")

    @step(undo=refund)
    async def charge() -> None:
        ran.append("charge")

    async def instead() -> str:
        ran.append("instead")
        return "declined"

    @app.flow(otherwise=instead)
    async def order() -> str:
        await charge()
        raise Rollback("too dear")

    with at_work(app):
        assert result(order.start()) == "declined"
    assert ran == ["charge", "refund", "instead"]


def test_the_flow_is_not_called_again_once_it_has_begun(app: Backroom) -> None:
    """Not even if it would succeed now: what has been said to people stands."""
    ran: list[str] = []

    async def instead() -> str:
        ran.append("instead")
        await wait_for_event("go")
        return "instead"

    @app.flow(otherwise=instead)
    async def job() -> str:
        ran.append("flow")
        if len(ran) > 1:
            return "flow"
        raise ValueError

    with at_work(app):
        run = job.start()
        parked(run)
        run.emit("go").wait()
        assert result(run) == "instead"
    assert ran == ["flow", "instead", "instead"]


def test_its_steps_are_kept_and_undone_when_it_fails_too(app: Backroom) -> None:
    ran: list[str] = []

    async def unbook(booked: None) -> None:
        ran.append("unbook")

    @step(undo=unbook)
    async def book() -> None:
        ran.append("book")

    async def instead() -> None:
        await book()
        await sleep(0.001)
        raise KeyError("full")

    @app.flow(otherwise=instead)
    async def job() -> None:
        raise ValueError

    with at_work(app), pytest.raises(RunFailed, match="full"):
        result(job.start())
    assert ran == ["book", "unbook"]


def test_a_run_that_was_too_late_has_time_for_it(app: Backroom) -> None:
    async def instead() -> str:
        await sleep(0.001)
        failure = current_run().failure
        assert failure is not None
        return failure

    @app.flow(timeout=0.2, otherwise=instead)
    async def job() -> str:
        await wait_for_event("never")
        return "came"

    with at_work(app):
        assert result(job.start()).startswith("TimedOut: ")


def test_a_cancelled_run_has_no_alternative(app: Backroom) -> None:
    ran: list[str] = []

    async def instead() -> None:
        ran.append("instead")

    @app.flow(otherwise=instead)
    async def job() -> None:
        await wait_for_event("never")

    with at_work(app):
        run = job.start()
        parked(run)
        run.cancel("enough").wait()
        with pytest.raises(RunCancelled):
            result(run)
    assert ran == []


def test_a_cancel_stops_the_alternative_too(app: Backroom) -> None:
    begun = threading.Event()

    async def instead() -> None:
        progress(status="in vain")
        begun.set()
        await wait_for_event("never")

    @app.flow(otherwise=instead)
    async def job() -> None:
        raise ValueError

    with at_work(app):
        run = job.start()
        assert begun.wait(LONG)
        run.cancel("enough").wait()
        eventually(lambda: state(run) is State.CANCELLED, within=LONG)


def test_a_person_retries_it_at_the_step_that_failed(app: Backroom) -> None:
    ran: list[str] = []

    @step
    async def call_them() -> str:
        ran.append("call")
        if len(ran) == 1:
            raise OSError("busy")
        return "called"

    async def instead() -> str:
        return await call_them()

    @app.flow(otherwise=instead)
    async def job() -> str:
        raise ValueError

    with at_work(app):
        run = job.start()
        with pytest.raises(RunFailed):
            result(run)
        run.retry().wait()
        assert result(run) == "called"


def test_it_must_take_the_flows_arguments(app: Backroom) -> None:
    async def instead(other: int) -> None: ...

    async def job(order: str) -> None: ...

    with pytest.raises(TypeError, match="alternative of flow job"):
        app.flow(otherwise=instead)(job)
    assert "job" not in app.flows
    with pytest.raises(Refused, match="Two flows"):
        [app.flow(job), app.flow(job)]
