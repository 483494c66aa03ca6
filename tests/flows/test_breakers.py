"""Breakers in flows: a service that is down costs no tries, and is tried by one."""

from __future__ import annotations

from typing import Any

import pytest

from backroom import Backroom, Breaker, Retry, State, step
from backroom.errors import Refused, RunFailed
from backroom.store.verbs import Probe, SaveStep, Verb
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, parked, result, state, steps

HOUR_US = 3_600_000_000


def test_while_a_service_is_down_runs_are_parked_and_use_up_no_tries(app: Backroom) -> None:
    calls: list[str] = []
    down = True

    @step(
        retry=Retry(attempts=2, delay_seconds=0.001),
        breaker=Breaker("payments", failures=2, seconds=1800),
    )
    async def charge(name: str) -> str:
        calls.append(name)
        if down:
            raise ConnectionError("no route")
        return f"charged {name}"

    @app.flow
    async def pay(name: str) -> str:
        return await charge(name)

    with at_work(app):
        first = pay.start("a")
        with pytest.raises(RunFailed, match="tried 2 times"):
            result(first)
        others = [pay.start(name) for name in "bcd"]
        for run in others:
            parked(run)
        assert calls == ["a", "a"]
        told = others[0].why().wait(LONG)
        assert told.reason == "waiting"
        assert "for the breaker payments, open after 2 failures in a row" in told.text
        assert "ConnectionError" in told.text
        (wait,) = told.facts["for"]
        assert (wait["breaker"], wait["failures"]) == ("payments", 2)
        assert [row.name for row in app.breakers().wait(LONG)] == ["payments"]
        app.office.store.move_clock(HOUR_US)
        eventually(lambda: len(calls) == 3, within=LONG)
        for run in others:
            parked(run)
        assert len(calls) == 3, "more than one tried"
        down = False
        app.office.store.move_clock(HOUR_US)
        assert sorted(result(run) for run in others) == ["charged b", "charged c", "charged d"]
        assert app.breakers().wait(LONG) == []
        for run in others:
            (row,) = steps(app, run)
            assert row.tries <= 2


def test_an_operator_closes_it(app: Backroom) -> None:
    down = True

    @step(breaker=Breaker("mail", failures=1, seconds=3600))
    async def send() -> str:
        if down:
            raise ConnectionError("no")
        return "sent"

    @app.flow
    async def work() -> str:
        return await send()

    with at_work(app):
        first = work.start()
        eventually(lambda: state(first) is State.FAILED, within=LONG)
        second = work.start()
        parked(second)
        down = False
        assert app.close_breaker("mail").wait(LONG) is True
        assert result(second) == "sent"
        assert app.close_breaker("mail").wait(LONG) is False


@pytest.mark.parametrize("colour", ["async def", "def"])
def test_errors_that_tell_nothing_of_the_service_do_not_count(app: Backroom, colour: str) -> None:
    breaker = Breaker("api", failures=1, seconds=3600, on=ConnectionError)

    @step(breaker=breaker)
    async def ask(error: bool) -> str:
        if error:
            raise ValueError("bad order")
        return "fine"

    @step(breaker=breaker, name="ask")
    def ask_plainly(error: bool) -> str:
        if error:
            raise ValueError("bad order")
        return "fine"

    @app.flow
    async def work(error: bool) -> str:
        return await ask(error)

    @app.flow
    def plain(error: bool) -> str:
        return ask_plainly(error)

    flow = app.handle("work" if colour == "async def" else "plain")
    with at_work(app):
        bad = flow.start(True)
        eventually(lambda: state(bad) is State.FAILED, within=LONG)
        assert result(flow.start(False)) == "fine"
    assert app.breakers().wait(LONG) == []


def test_a_service_that_works_costs_no_write(
    sqlite_app: Backroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    @step(breaker=Breaker("api"))
    async def ask() -> int:
        return 1

    @sqlite_app.flow
    async def work() -> int:
        return sum([await ask() for _ in range(5)])

    seen: list[Verb] = []
    submit: Any = sqlite_app.office.main.submit

    def noting(verb: Verb, *more: Any) -> Any:
        seen.append(verb)
        return submit(verb, *more)

    monkeypatch.setattr(sqlite_app.office.main, "submit", noting)
    with at_work(sqlite_app):
        assert result(work.start()) == 5
    saved = [verb for verb in seen if isinstance(verb, SaveStep)]
    assert len(saved) == 5
    assert all(verb.strike is None and verb.mends is None for verb in saved)
    assert not any(isinstance(verb, Probe) for verb in seen)


def test_what_cannot_be_a_breaker_is_refused() -> None:
    for options in ({"name": "a b"}, {"name": "x", "failures": 0}, {"name": "x", "seconds": 0}):
        with pytest.raises(Refused):
            Breaker(**options)
    with pytest.raises(TypeError, match="transaction=True and a breaker"):

        @step(transaction=True, breaker=Breaker("x"))  # type: ignore[call-overload,untyped-decorator]
        def work(connection: object) -> None: ...
