"""Undoing: when it begins, in which order it goes, and what can't disturb it.

(`tests/promises/test_sagas.py` plays every pair of failures forward and backward.)
"""

import asyncio
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from backroom import Backroom, Retry, Rollback, Run, State, gather, step
from backroom.testing import eventually
from tests.flows.house import LONG, outcome, state, steps

ONE_TRY = Retry(attempts=1)
DAY = timedelta(days=1)


class World:
    """What steps have done outside, in order."""

    def __init__(self) -> None:
        self.marks: list[str] = []
        self.begun = threading.Event()
        self.gate = threading.Event()

    def move(self, what: str = "moved") -> None:
        """A body that takes its time, and whose effect comes at its end."""
        self.begun.set()
        assert self.gate.wait(LONG)
        self.marks.append(what)


def attempts(run: Run[Any]) -> int:
    return run.status().wait(LONG).attempt


def open_undos(app: Backroom, run: Run[Any]) -> list[str]:
    row = app.office.read(lambda reader: reader.run(run.id)).result(LONG)
    assert row is not None
    still: list[str] = json.loads(row.error or "{}")["open"]
    return still


@pytest.fixture
def world() -> World:
    return World()


# --- when it begins


def test_a_body_in_a_thread_comes_to_its_end_before_it_is_undone(
    app: Backroom, world: World
) -> None:
    @step(undo=lambda moved: world.marks.append(f"undone, having heard {moved}"))
    def move() -> str:
        world.move()
        return "all"

    @app.flow
    async def job() -> None:
        try:
            await asyncio.to_thread(move)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(0.05, world.gate.set)
            raise

    with app.working():
        run = job.start()
        assert world.begun.wait(LONG)
        run.cancel().wait(LONG)
        assert outcome(run) is State.CANCELLED
    assert world.marks == ["moved", "undone, having heard all"]


@pytest.mark.parametrize("colour", ["def", "async"])
def test_a_body_that_outlived_its_time_out_comes_to_its_end_before_it_is_undone(
    app: Backroom, world: World, colour: str
) -> None:
    @step(undo=lambda moved: world.marks.append("undone"), timeout=0.02)
    def move() -> None:
        world.move()

    @app.flow(name="job")
    async def async_job() -> None:
        await asyncio.to_thread(move)

    @app.flow(name="def_job")
    def def_job() -> None:
        move()

    with app.working():
        run = async_job.start() if colour == "async" else def_job.start()
        assert world.begun.wait(LONG)
        threading.Timer(0.1, world.gate.set).start()
        assert outcome(run) is State.FAILED
    assert world.marks == ["moved", "undone"]


def test_an_undo_that_outlived_its_time_out_ends_before_it_is_tried_again(app: Backroom) -> None:
    inside: list[int] = []
    most: list[int] = []
    gate = threading.Event()

    def move_back(moved: None) -> None:
        inside.append(1)
        most.append(len(inside))
        if len(most) == 1:
            gate.wait(0.2)
        inside.pop()

    @step(undo=move_back, undo_retry=Retry(attempts=3, delay_seconds=0), timeout=0.05)
    def move() -> None: ...

    @app.flow
    def job() -> None:
        move()
        raise Rollback

    with app.working():
        assert outcome(job.start()) is State.FAILED
    assert most == [1, 1]


def test_what_a_flow_leaves_behind_in_a_task_is_undone_too(app: Backroom, world: World) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def move_back(moved: None) -> None:
        world.marks.append("undone")

    @step(undo=move_back)
    async def move() -> None:
        world.begun.set()
        await asyncio.to_thread(world.gate.wait, LONG)
        world.marks.append("moved")

    @app.flow
    async def job() -> None:
        tasks.append(asyncio.create_task(move.using(key="k")()))
        await asyncio.to_thread(world.begun.wait, LONG)
        raise Rollback("never mind the task")

    with app.working():
        run = job.start()
        assert world.begun.wait(LONG)
        threading.Timer(0.05, world.gate.set).start()
        assert outcome(run) is State.FAILED
    assert world.marks == ["moved", "undone"]


def test_nothing_more_begins_once_it_is_undone(app: Backroom, world: World) -> None:
    """A thread that the flow has left behind goes on while the undos run."""
    refused: list[bool] = []
    undoing = threading.Event()

    def move_back(which: str, moved: None) -> None:
        world.marks.append(f"{which} undone")
        undoing.set()
        assert world.gate.wait(LONG)

    @step(undo=move_back)
    def move(which: str) -> None:
        world.marks.append(f"{which} moved")

    @step
    def look(which: str) -> None:
        world.marks.append(f"{which} looked at")

    def stray() -> None:
        assert undoing.wait(LONG)
        for call in (look, move.using(key="late")):
            try:
                call("late")
            except BaseException:
                refused.append(True)
        world.gate.set()

    @app.flow
    async def job() -> None:
        await asyncio.to_thread(move, "early")
        asyncio.get_running_loop().run_in_executor(None, _with_context(stray))
        raise Rollback

    with app.working():
        assert outcome(job.start()) is State.FAILED
    assert refused == [True, True]
    assert world.marks == ["early moved", "early undone"]


def _with_context(function: Callable[[], None]) -> Callable[[], None]:
    from contextvars import copy_context

    inside = copy_context()
    return lambda: inside.run(function)


# --- in which order


def test_branches_in_threads_register_their_undos_one_by_one(app: Backroom) -> None:
    undone: list[int] = []
    barrier = threading.Barrier(8)

    @step(undo=lambda n, moved: undone.append(n))
    def move(n: int) -> None: ...

    def branch(n: int) -> None:
        barrier.wait(LONG)
        move(n)

    @app.flow
    def job() -> None:
        gather(*[(lambda n=n: branch(n)) for n in range(8)]).wait()
        raise Rollback

    with app.working():
        run = job.start()
        assert outcome(run) is State.FAILED
    undos = [row for row in steps(app, run) if row.kind == "undo"]
    numbers = [json.loads(row.result or "")["number"] for row in undos]
    assert sorted(numbers) == list(range(1, 9))
    assert sorted(undone) == list(range(8))


def test_a_step_that_ran_again_after_a_retry_is_undone_first(app: Backroom) -> None:
    """Its undo was registered before that of its sibling, and is registered anew behind it."""
    undone: list[str] = []
    mended = threading.Event()

    async def move_back(which: str, moved: None) -> None:
        undone.append(which)

    @step(undo=move_back)
    async def move(which: str) -> None:
        if which == "b" and not mended.is_set():
            raise ConnectionError("closed")

    @app.flow(retry=Retry(attempts=2, delay_seconds=0.001))
    async def job() -> None:
        await move.using(key="a")("a")
        try:
            await gather(move.using(key="b")("b"), move.using(key="c")("c"))
        except Exception:
            mended.set()
            raise
        await move.using(key="d")("d")
        raise Rollback

    with app.working():
        assert outcome(job.start()) is State.FAILED
    assert undone == ["d", "c", "b", "a"]


# --- what can't disturb it


@pytest.mark.parametrize("why", ["cancelled", "timed out"])
def test_between_two_tries_of_an_undo_the_run_rests(app: Backroom, why: str) -> None:
    """Neither the cancel nor the time-out that began it wakes it again and again."""
    tries: list[int] = []
    begun = threading.Event()

    async def move_back(moved: None) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError("closed")

    @step(undo=move_back, undo_retry=Retry(attempts=2, delay_seconds=7200, max_delay_seconds=7200))
    async def move() -> None:
        begun.set()
        await asyncio.sleep(LONG)

    @app.flow
    async def job() -> None:
        await move()

    with app.working():
        run = job.using(timeout=0.3 if why == "timed out" else 1000).start()
        assert begun.wait(LONG)
        if why == "cancelled":
            run.cancel("stop").wait(LONG)
        eventually(lambda: state(run) is State.WAITING, within=LONG)
        assert run.cancel("once more").wait(LONG) is State.WAITING
        resting = run.status().wait(LONG)
        assert resting.available_at is not None
        at = app.office.read(lambda reader: reader.waits(run.id)[0].due_at).result(LONG)
        row = app.office.read(lambda reader: reader.run(run.id)).result(LONG)
        assert row is not None
        assert row.available_at == at
        assert resting.attempt == 1
        app.office.store.move_clock(3_600_000_000)
        assert outcome(run) is (State.CANCELLED if why == "cancelled" else State.FAILED)
    assert attempts(run) == 2
    assert len(tries) == 2


def test_a_cancel_of_a_run_that_waits_for_a_person_to_undo_it_changes_nothing(
    app: Backroom,
) -> None:
    async def move_back(moved: None) -> None:
        raise ConnectionError("closed")

    @step(undo=move_back, undo_retry=ONE_TRY)
    async def move() -> None: ...

    @app.flow
    async def job() -> None:
        await move()
        raise Rollback

    with app.working():
        run = job.start()
        assert outcome(run) is State.NEEDS_ATTENTION
        assert run.cancel("stop").wait(LONG) is State.NEEDS_ATTENTION
        assert open_undos(app, run) == ["move#1"]


def test_a_run_whose_input_can_not_be_read_any_more_can_still_be_cancelled_and_undone(
    database: str,
) -> None:
    undone: list[str] = []

    def declare(app: Backroom, kind: Any) -> Any:
        async def move_back(what: str, moved: None) -> None:
            undone.append(what)

        @step(undo=move_back)
        async def move(what: str) -> None: ...

        async def job(what: Any) -> None:
            await move(str(what))
            await asyncio.Event().wait()

        job.__annotations__["what"] = kind
        return app.flow(job)

    before = Backroom(database, poll=0.02)
    flow = declare(before, str)
    with before.working(grace=0):
        run = flow.start("a word")
        eventually(lambda: len(steps(before, run)) == 2, within=LONG)
    before.close()
    after = Backroom(database, poll=0.02)
    declare(after, int)
    with after.working():
        run = after.run(run.id)
        assert outcome(run) is State.NEEDS_ATTENTION
        run.cancel("no longer wanted").wait(LONG)
        eventually(lambda: state(run) is State.CANCELLED, within=LONG)
    after.close()
    assert undone == ["a word"]


def test_what_an_undo_needs_can_not_be_read_any_more(database: str) -> None:
    """The list of what is open is shown in this case too."""

    def declare(app: Backroom, kind: Any) -> Any:
        async def move_back(what: Any, moved: None) -> None: ...

        async def move(what: Any) -> None:
            if kind is str:
                await asyncio.Event().wait()

        move.__annotations__["what"] = kind
        moving = step(undo=move_back)(move)

        @step(undo=lambda moved: None)
        async def other() -> None: ...

        @app.flow
        async def job(what: str) -> None:
            await other()
            await moving(what)

        return job

    before = Backroom(database, poll=0.02)
    flow = declare(before, str)
    with before.working(grace=0):
        run = flow.start("a word")
        eventually(lambda: len(steps(before, run)) == 3, within=LONG)
    before.close()
    after = Backroom(database, poll=0.02)
    declare(after, int)
    run = after.run(run.id)
    run.cancel("stop").wait(LONG)
    with after.working():
        assert outcome(run) is State.NEEDS_ATTENTION
        assert open_undos(after, run) == ["move#1", "other#1"]
    after.close()


@pytest.mark.parametrize("late", [False, True])
def test_an_undo_gets_the_arguments_whole_also_those_left_to_their_defaults(
    app: Backroom, late: bool
) -> None:
    undone: list[Any] = []

    async def move_back(what: str, cents: int, moved: str | None) -> None:
        undone.append((what, cents, moved))

    @step(undo=move_back)
    async def move(what: str, cents: int = 5) -> str:
        return "moved"

    @app.flow
    async def job() -> None:
        await (move("a", cents=7) if late else move("a"))
        raise Rollback

    with app.working():
        assert outcome(job.start()) is State.FAILED
    assert undone == [("a", 7 if late else 5, "moved")]


def test_another_step_serves_as_an_undo(app: Backroom) -> None:
    undone: list[str] = []

    @step
    async def move_back(what: str, moved: None) -> None:
        undone.append(what)

    @step(undo=move_back)
    async def move(what: str) -> None: ...

    @app.flow
    async def job() -> None:
        await move("a")
        raise Rollback

    with app.working():
        assert outcome(job.start()) is State.FAILED
    assert undone == ["a"]
