"""What happens in an author's code when its run parks: the function is left, and begun anew later.

In an `async def` flow a CancelledError is raised at the wait, in a `def` flow one that is not an
Exception. So `finally` blocks and `__exit__` methods run each time a run parks, and run again in
the next attempt: what must happen once belongs in a step.
"""

import asyncio
import contextlib
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from backroom import Backroom, State, first, gather, sleep, step, wait_for_event
from backroom.records.errors import RunFailed
from backroom.testing import at_work, eventually
from tests.flows.house import LONG, checkpoints, outcome, parked, result, state, waits


@step
async def work(word: str) -> str:
    return word


@step
def work_plainly(word: str) -> str:
    return word


def test_finally_runs_each_time_a_run_parks(app: Backroom) -> None:
    left: list[str] = []

    @app.flow
    async def job() -> str:
        try:
            await sleep(0.001)
            return await wait_for_event("word", str)
        finally:
            left.append("async")

    @app.flow
    def job_plainly() -> str:
        try:
            sleep(0.001).wait()
            return wait_for_event("word", str).wait()
        finally:
            left.append("def")

    with at_work(app):
        for flow in (job, job_plainly):
            run = flow.start()
            eventually(lambda: len(left) % 3 == 2, within=LONG)
            run.emit("word", "done").wait()
            assert result(run) == "done"
    assert left == ["async"] * 3 + ["def"] * 3


def test_context_managers_are_left_and_entered_again(app: Backroom) -> None:
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def room() -> AsyncIterator[None]:
        log.append("enter")
        try:
            yield
        finally:
            await asyncio.sleep(0)
            log.append("leave")

    @contextlib.contextmanager
    def room_plainly() -> Iterator[None]:
        log.append("enter")
        try:
            yield
        finally:
            log.append("leave")

    @app.flow
    async def job() -> None:
        async with room():
            await sleep(0.001)

    @app.flow
    def job_plainly() -> None:
        with room_plainly():
            sleep(0.001).wait()

    with at_work(app):
        for flow in (job, job_plainly):
            log.clear()
            result(flow.start())
            assert log == ["enter", "leave"] * 2


def test_except_exception_does_not_see_a_run_park(app: Backroom) -> None:
    seen: list[BaseException] = []

    @app.flow
    async def job() -> str:
        try:
            await sleep(0.001)
        except Exception as error:
            seen.append(error)
        return "done"

    @app.flow
    def job_plainly() -> str:
        try:
            sleep(0.001).wait()
        except Exception as error:
            seen.append(error)
        return "done"

    with at_work(app):
        assert [result(job.start()), result(job_plainly.start())] == ["done", "done"]
    assert seen == []


def test_a_flow_that_swallows_it_changes_nothing(app: Backroom) -> None:
    """suppress(BaseException) goes on: but no step runs any more, and its result is not taken."""
    ran: list[str] = []

    @step
    async def note(word: str) -> None:
        ran.append(word)

    @step
    def note_plainly(word: str) -> None:
        ran.append(word)

    @app.flow
    async def job() -> str:
        with contextlib.suppress(BaseException):
            await sleep(days=1)
            await note("async")
            return "slept"
        with contextlib.suppress(BaseException):
            await note("must not run")
        return "swallowed"

    @app.flow
    def job_plainly() -> str:
        with contextlib.suppress(BaseException):
            sleep(days=1).wait()
            note_plainly("def")
            return "slept"
        with contextlib.suppress(BaseException):
            note_plainly("must not run")
        return "swallowed"

    with at_work(app) as bench:
        runs = [job.start(), job_plainly.start()]
        for run in runs:
            parked(run)
        assert ran == []
        bench.move_clock(days=1)
        assert [result(run) for run in runs] == ["slept", "slept"]
    assert sorted(ran) == ["async", "def"]


def test_an_error_in_a_finally_block_does_not_undo_the_parking(app: Backroom) -> None:
    @app.flow
    async def job() -> str:
        slept = False
        try:
            await sleep(days=1)
            slept = True
        finally:
            if not slept:
                raise ValueError("in the clean-up")
        return "done"

    @app.flow
    def job_plainly() -> str:
        slept = False
        try:
            sleep(days=1).wait()
            slept = True
        finally:
            if not slept:
                raise ValueError("in the clean-up")
        return "done"

    with at_work(app) as bench:
        runs = [job.start(), job_plainly.start()]
        for run in runs:
            parked(run)
        bench.move_clock(days=1)
        assert [result(run) for run in runs] == ["done", "done"]


def test_a_task_group_around_steps_and_a_wait_behind_it(app: Backroom) -> None:
    @app.flow
    async def job() -> list[str]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work(word)) for word in ("a", "b")]
        await sleep(0.001)
        return [task.result() for task in tasks]

    with at_work(app):
        run = job.start()
        assert result(run) == ["a", "b"]
        assert {"work#1", "work#2"} <= checkpoints(app, run).keys()


def test_a_wait_inside_a_task_group_stays_in_memory(app: Backroom) -> None:
    """Nobody knows what else such tasks do, so nothing parks; a `gather` would."""

    @app.flow
    async def job() -> str:
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(keep(wait_for_event("word", str)))
            group.create_task(work("a"))
        return waiting.result()

    async def keep(wait: object) -> str:
        word: str = await wait  # type: ignore[misc]
        return word

    with at_work(app):
        run = job.start()
        eventually(lambda: checkpoints(app, run) == {"work#1": "done"})
        assert state(run) is State.RUNNING
        run.emit("word", "done").wait()
        assert result(run) == "done"
        assert run.status().wait().attempt == 1


def test_an_error_in_a_task_group_fails_the_run_and_not_the_worker(app: Backroom) -> None:
    @step
    async def bad() -> None:
        raise ValueError("no good")

    @app.flow
    async def job() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(bad())
            group.create_task(work("a"))

    with at_work(app), pytest.raises(RunFailed, match="ExceptionGroup"):
        result(job.start())


def test_asyncio_gather_around_steps_works_too(app: Backroom) -> None:
    @app.flow
    async def job() -> list[str]:
        words = await asyncio.gather(work("a"), work("b"), work("c"))
        await sleep(0.001)
        return list(words)

    with at_work(app):
        assert result(job.start()) == ["a", "b", "c"]


def test_a_wait_that_the_authors_own_code_gave_up_counts_no_more(app: Backroom) -> None:
    """asyncio.timeout around a wait is no durable time-out, `first(..., sleep(...))` is: the run
    may park and begin anew. But a leaf that was taken out of its wait is busy again."""
    go_on = threading.Event()
    gave_up = threading.Event()

    @step
    def long() -> str:
        go_on.wait(LONG)
        return "long"

    @app.flow
    async def job() -> None:
        async def impatient() -> None:
            try:
                async with asyncio.timeout(0.02):
                    await wait_for_event("never")
            except TimeoutError:
                gave_up.set()
            await work("a")

        await gather(impatient(), lambda: long())
        await wait_for_event("word")

    with at_work(app):
        run = job.start()
        assert gave_up.wait(LONG)
        eventually(lambda: "gather#1.0/work#1" in checkpoints(app, run))
        assert state(run) is State.RUNNING, "a sibling is busy"
        go_on.set()
        parked(run)
        assert [wait.name for wait in waits(app, run)] == ["word"]


def test_a_run_is_handed_back_when_its_worker_stops(app: Backroom) -> None:
    running = threading.Event()
    stopped: list[str] = []

    @step
    async def endless() -> str:
        if not running.is_set():
            running.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.append("stopped")
        return "done"

    @app.flow
    async def job() -> str:
        await work("a")
        return await endless()

    run = job.start()
    with at_work(app, grace=0.01):
        assert running.wait(LONG)
    assert stopped == ["stopped"]
    assert state(run) is State.READY
    with at_work(app):
        assert result(run) == "done"
        attempts = app.office.read(lambda reader: reader.attempts(run.id)).result()
        assert attempts == [], "a hand-back is no failed attempt"


def test_a_wait_that_is_never_begun_is_warned_of(sqlite_app: Backroom) -> None:
    app = sqlite_app

    @app.flow
    async def forgetful() -> str:
        sleep(days=1)
        gc.collect()
        return "not slept"

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with at_work(app):
            assert result(forgetful.start()) == "not slept"
    (warning,) = [each for each in caught if issubclass(each.category, RuntimeWarning)]
    assert "sleep#1 was made and never begun" in str(warning.message)


def test_members_of_first_and_gather_are_begun_by_them(sqlite_app: Backroom) -> None:
    app = sqlite_app

    @app.flow
    async def job() -> None:
        await first(sleep(0), wait_for_event("never"))
        await gather(sleep(0), sleep(0))

    with at_work(app):
        result(job.start())
    gc.collect()  # warnings are errors here


def test_waits_outside_of_a_flow_say_so(sqlite_app: Backroom) -> None:
    from backroom.records.errors import NotInFlow

    makers: list[Callable[[], object]] = [
        lambda: sleep(1), lambda: wait_for_event("x"), gather, first,
    ]  # fmt: skip
    for make in makers:
        with pytest.raises(NotInFlow, match="works inside a flow only"):
            make()

    @step
    async def wrong() -> None:
        await sleep(1)

    @sqlite_app.flow
    async def job() -> None:
        await wrong()

    with at_work(sqlite_app), pytest.raises(RunFailed, match="NotInFlow"):
        result(job.start())


def test_a_def_step_called_plainly_in_an_async_flow_is_refused(sqlite_app: Backroom) -> None:
    @sqlite_app.flow
    async def job() -> str:
        return work_plainly("a")

    with at_work(sqlite_app), pytest.raises(RunFailed, match=r"asyncio\.to_thread\(work_plainly"):
        result(job.start())


@pytest.mark.parametrize("colour", ["async", "def"])
def test_sys_exit_fails_the_run_and_not_the_worker(sqlite_app: Backroom, colour: str) -> None:
    import sys

    app = sqlite_app

    @step
    async def leave() -> None:
        sys.exit(3)

    @step
    def leave_plainly() -> None:
        sys.exit(3)

    @app.flow
    async def in_step() -> None:
        await leave() if colour == "async" else await asyncio.to_thread(leave_plainly)

    @app.flow(name="in_flow")
    async def in_async_flow() -> None:
        sys.exit(4)

    @app.flow(name="in_def_flow")
    def in_def_flow() -> None:
        sys.exit(4)

    @app.flow
    async def in_branch() -> None:
        async def branch() -> None:
            sys.exit(5)

        await gather(branch(), work("a"))

    @app.flow
    async def innocent() -> str:
        return "still here"

    flow = in_async_flow if colour == "async" else in_def_flow
    with at_work(app):
        for each in (in_step, flow, in_branch):
            assert outcome(each.start()) is State.FAILED
        assert result(innocent.start()) == "still here"
