"""Events that don't fit what a wait takes: kept beside it, told of, and the wait goes on."""

import asyncio
import json
import threading
from typing import Any

from pydantic import BaseModel, field_validator

from backroom import Backroom, Run, first, gather, sleep, step, wait_for_event
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, checkpoints, parked, result, steps


def refusals(app: Backroom, run: Run[Any]) -> list[tuple[str, int, str]]:
    """Where, how often, and what for events were refused."""
    return [
        (row.address, row.tries, json.loads(row.error or "{}")["what"])
        for row in steps(app, run)
        if row.kind == "refused"
    ]


NO_BOOL = "the event answer doesn't fit bool: Input should be a valid boolean"


def test_an_event_that_does_not_fit_is_refused_and_the_wait_goes_on(app: Backroom) -> None:
    @app.flow
    async def ask() -> bool:
        return await wait_for_event("answer", bool)

    with at_work(app):
        run = ask.start()
        parked(run)
        run.emit("answer", [1]).wait()
        run.emit("answer", {"ok": True}).wait()
        [(address, _, what)] = eventually(lambda: [r for r in refusals(app, run) if r[1] == 2])
        assert (address, what[: len(NO_BOOL)]) == ("event answer#1:refused", NO_BOOL)
        parked(run)
        told = run.why().wait().text
        assert "for the event answer; the last one came" in told
        assert NO_BOOL in told
        run.emit("answer", True).wait()
        assert result(run) is True
    kept = next(row for row in steps(app, run) if row.kind == "refused")
    assert (kept.name, kept.result) == ("answer", '{"ok":true}')
    error = json.loads(kept.error or "")
    assert error["kind"] == "UnfitEvent"
    assert "Emit answer again with a value that fits" in error["message"]


def test_an_event_refused_in_memory_does_not_keep_a_busy_run_from_the_next(app: Backroom) -> None:
    go = threading.Event()

    @step
    def work() -> None:
        go.wait(LONG)

    @app.flow
    async def both() -> bool:
        _, answer = await gather(asyncio.to_thread(work), wait_for_event("answer", bool))
        return answer

    with at_work(app):
        run = both.start()
        run.emit("answer", "neither").wait()
        eventually(lambda: refusals(app, run))
        run.emit("answer", False).wait()
        eventually(lambda: "event answer" in str(checkpoints(app, run)))
        go.set()
        assert result(run) is False


def test_first_refuses_an_event_that_none_of_its_waits_takes(app: Backroom) -> None:
    @app.flow
    async def either() -> list[Any]:
        async def number_or_word() -> Any:
            return await first(wait_for_event("a", int), wait_for_event("a", str), sleep(days=9))

        return [await number_or_word() for _ in range(3)]

    run = either.start()
    payloads: list[Any] = ["word", [], 7]
    for payload in payloads:
        run.emit("a", payload).wait()
    with at_work(app) as bench:
        eventually(lambda: len([a for a in checkpoints(app, run) if a.startswith("first")]) == 3)
        parked(run)
        bench.move_clock(days=9)
        assert result(run) == ["word", 7, None]
    [(address, tries, what)] = refusals(app, run)
    assert (address, tries) == ("first#2:refused", 1)
    assert "the event a doesn't fit int" in what


def test_true_is_no_number(app: Backroom) -> None:
    @app.flow
    async def ask() -> int:
        return await wait_for_event("n", int)

    run = ask.start()
    run.emit("n", True).wait()
    run.emit("n", 2).wait()
    with at_work(app):
        assert result(run) == 2
    assert refusals(app, run) == [
        ("event n#1:refused", 1, "the event n doesn't fit int: True is no number")
    ]


def test_what_comes_behind_the_event_that_is_taken_is_left_to_the_next_wait(app: Backroom) -> None:
    @app.flow
    async def listen() -> tuple[int, str]:
        return await wait_for_event("a", int), await wait_for_event("a", str)

    run = listen.start()
    run.emit("a", 1).wait()
    run.emit("a", "word").wait()
    with at_work(app):
        assert result(run) == (1, "word")
    assert refusals(app, run) == []


def test_a_validator_that_breaks_at_an_event_refuses_it(app: Backroom) -> None:
    class Strange(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def look_up(cls, value: int) -> int:
            return {1: 1}[value]

    @app.flow
    async def ask() -> int:
        return (await wait_for_event("n", Strange)).n

    run = ask.start()
    run.emit("n", {"n": 2}).wait()
    run.emit("n", {"n": 1}).wait()
    with at_work(app):
        assert result(run) == 1
    assert refusals(app, run) == [
        ("event n#1:refused", 1, "the event n can't be read: KeyError(2)"),
    ]
