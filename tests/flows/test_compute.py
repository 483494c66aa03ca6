"""Steps in processes of their own and in executors of others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from backroom import Backroom, Retry, Rollback, State, gather, step
from backroom.records.errors import Refused, RunFailed, StepFailed
from backroom.testing import at_work, eventually
from tests.flows import heavy
from tests.flows.heavy import Place, marks, open_gate
from tests.flows.house import EvenChance, outcome, result, state, steps


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    """An application on an empty database, with two processes for its steps."""
    made = Backroom(database, world=EvenChance(), poll=0.02, processes=2)
    yield made
    made.close()


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return str(tmp_path)


def began(folder: str, name: str, times: int = 1) -> list[int]:
    """Wait for the mark of a body that has begun."""
    return eventually(lambda: len(m := marks(folder, name)) >= times and m, within=30) or []


def test_a_process_step_runs_in_another_process_in_both_colours(app: Backroom) -> None:
    @app.flow
    def plain() -> tuple[Place, Place]:
        return heavy.where(), heavy.where()

    @app.flow
    async def asynchronous() -> tuple[Place, Place]:
        return await asyncio.to_thread(heavy.where), await heavy.where_async()

    with at_work(app):
        for run in (plain.start().wait(), asynchronous.start().wait()):
            one, two = result(run)
            assert os.getpid() not in (one.pid, two.pid)
            assert one.run_id == two.run_id == run.id
            assert one.tries == two.tries == 1
            assert one.step_key != two.step_key
            assert None not in (one.step_key, two.step_key)
            assert [(row.state, row.kind) for row in steps(app, run)] == [("done", "step")] * 2


def test_a_process_step_has_the_step_key_that_it_would_have_here(app: Backroom) -> None:
    there = heavy.where.using(key="one")
    here = heavy.here.using(key="one")

    @app.flow
    def flow() -> tuple[str | None, str | None]:
        return there().step_key, here()

    @app.flow
    def other() -> tuple[str | None, str | None]:
        return there().step_key, here()

    with at_work(app):
        keys = result(flow.start()), result(other.start())
    assert len({key for pair in keys for key in pair}) == 4


def test_outside_of_a_flow_a_process_step_is_a_plain_call(folder: str) -> None:
    open_gate(folder, "a may go")
    assert heavy.hold(folder, "a") == os.getpid()


def test_bodies_run_side_by_side_and_no_more_than_there_are_processes(
    app: Backroom, folder: str
) -> None:
    @app.flow
    def flow() -> list[int]:
        return list(gather(*(partial(heavy.hold, folder, name) for name in "abc")).wait())

    with at_work(app):
        run = flow.start()
        eventually(lambda: sum(bool(marks(folder, name)) for name in "abc") == 2, within=30)
        (waiting,) = [name for name in "abc" if not marks(folder, name)]
        busy = "a" if waiting != "a" else "b"
        open_gate(folder, f"{busy} may go")
        assert set(began(folder, waiting)) == set(marks(folder, busy)), "in the place of the first"
        for name in "abc":
            open_gate(folder, f"{name} may go")
        pids = result(run)
        assert len(set(pids)) == 2


def test_progress_said_in_another_process_can_be_seen(app: Backroom, folder: str) -> None:
    @app.flow
    def flow() -> None:
        heavy.halfway(folder)

    with at_work(app):
        run = flow.start()
        eventually(lambda: run.status().wait().progress == 0.5, within=30)
        assert run.status().wait().text == "half of it"
        open_gate(folder, "seen")
        result(run)
        assert run.status().wait().progress == 1.0


def test_an_error_comes_back_with_its_class_and_where_it_was_raised(app: Backroom) -> None:
    @app.flow
    def flow() -> int:
        try:
            heavy.fail(402)
        except StepFailed as error:
            cause = error.__cause__
            return cause.code if isinstance(cause, heavy.Declined) else 0
        return 1

    with at_work(app):
        run = flow.start()
        assert result(run) == 402
        (row,) = steps(app, run)
        error = json.loads(row.error or "{}")
        assert error["kind"] == "tests.flows.heavy.Declined"
        assert error["message"] == "402: no money"
        assert "heavy.py" in error["traceback"]


def test_sys_exit_in_another_process_is_an_error_like_any(app: Backroom) -> None:
    @app.flow
    def flow() -> None:
        heavy.leave()

    with at_work(app), pytest.raises(RunFailed, match=r"called sys\.exit\(4\)"):
        result(flow.start())


def test_what_cannot_travel_is_refused_and_what_cannot_come_back_fails(app: Backroom) -> None:
    @app.flow
    def there() -> None:
        heavy.take(open)  # a builtin travels
        heavy.take(lambda: 1)

    @app.flow
    def back() -> None:
        heavy.unreadable()

    with at_work(app):
        with pytest.raises(RunFailed, match="arguments can't be sent"):
            result(there.start())
        with pytest.raises(RunFailed, match="pickle"):
            result(back.start())


def test_a_body_that_cannot_be_imported_is_refused_when_it_is_decorated() -> None:
    with pytest.raises(TypeError, match="top level of a module"):

        @step(process=True)
        def local() -> None: ...

    with pytest.raises(TypeError, match="top level of a module"):
        step(executor="gpu", name="shortcut")(lambda: None)


renamed = step(process=True, name="renamed")(heavy.die)


def test_a_body_that_is_not_found_under_its_name_is_refused_at_its_first_call(
    app: Backroom, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.flow
    def flow() -> int:
        return renamed(folder, "exit")

    monkeypatch.setattr(heavy, "die", print)
    with at_work(app), pytest.raises(RunFailed, match=r"heavy\.die is not it"):
        result(flow.start())


def test_an_executor_that_nobody_declared_is_named(app: Backroom) -> None:
    @app.flow
    def flow() -> Place:
        return heavy.elsewhere()

    with (
        at_work(app),
        pytest.raises(RunFailed, match=r"wants the executor 'other'.*Known: process"),
    ):
        result(flow.start())


def test_declarations_that_cannot_be_are_refused(app: Backroom) -> None:
    app.executor("render", processes=1)
    with pytest.raises(Refused, match="Two executors"):
        app.executor("render", processes=1)
    with pytest.raises(Refused, match="either"):
        app.executor("neither")
    with pytest.raises(Refused, match="either"):
        app.executor("both", ThreadPoolExecutor, processes=1)
    with pytest.raises(TypeError, match="doesn't go together"):
        step(process=True, executor="gpu")(heavy.die)
    with pytest.raises(TypeError, match="doesn't go together"):
        step(process=True, transaction=True)(heavy.die)  # type: ignore[call-overload]


# --- stopping


def test_a_time_out_kills_the_process_and_the_next_try_has_another(
    app: Backroom, folder: str
) -> None:
    @app.flow
    def flow() -> int:
        return heavy.too_slow_once(folder)

    with at_work(app):
        run = flow.start()
        pid = result(run)
        first, second = marks(folder, "slow")
        assert second == pid != first
        gone(first)
        (row,) = steps(app, run)
        assert row.tries == 2


def test_a_cancel_kills_the_process_and_nobody_elses(app: Backroom, folder: str) -> None:
    @app.flow
    def plain(name: str) -> int:
        return heavy.hold(folder, name)

    @app.flow
    async def asynchronous(name: str) -> int:
        return await asyncio.to_thread(heavy.hold, folder, name)

    with at_work(app):
        for flow, name in ((plain, "a"), (asynchronous, "b")):
            neighbour = plain.start(f"beside {name}")
            run = flow.start(name)
            (pid,) = began(folder, name)
            (beside,) = began(folder, f"beside {name}")
            run.cancel("enough").wait()
            assert outcome(run) is State.CANCELLED
            gone(pid)
            open_gate(folder, f"beside {name} may go")
            assert result(neighbour) == beside
            assert len(marks(folder, f"beside {name}")) == 1


def test_an_await_that_the_author_cancels_kills_the_process(app: Backroom, folder: str) -> None:
    @app.flow
    async def flow() -> str:
        try:
            async with asyncio.timeout(0.5):
                await heavy.hold_async(folder, "a")
        except TimeoutError:
            return "given up"
        return "done"

    with at_work(app):
        run = flow.start()
        assert result(run) == "given up"
        for pid in marks(folder, "a"):
            gone(pid)


def test_a_run_past_its_time_out_kills_the_process(app: Backroom, folder: str) -> None:
    @app.flow
    def first() -> Place:
        return heavy.where()

    @app.flow(timeout=1.5)
    def flow() -> int:
        return heavy.hold(folder, "a")

    with at_work(app):
        result(first.start())  # has a process started, which may take longer than the time-out
        run = flow.start()
        (pid,) = began(folder, "a")
        assert outcome(run) is State.FAILED
        gone(pid)


def test_a_stopping_worker_hands_back_what_its_processes_do(app: Backroom, folder: str) -> None:
    @app.flow
    def flow() -> int:
        return heavy.hold(folder, "a")

    with at_work(app, grace=0):
        run = flow.start()
        (pid,) = began(folder, "a")
    gone(pid)
    assert state(run) is State.READY
    open_gate(folder, "a may go")
    with at_work(app):
        assert result(run) != pid


# --- deaths


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("segfault", "SIGSEGV"),
        ("exit", "exit code 7"),
        ("abort", "SIGABRT"),
        ("kill", "SIGKILL, as the system does when memory runs out"),
    ],
)
def test_a_body_that_kills_its_process_fails_and_says_how(
    app: Backroom, folder: str, how: str, told: str
) -> None:
    @app.flow
    def flow() -> str:
        try:
            heavy.die_once(folder, how)
        except StepFailed as error:
            return f"{error.kind} {error.message}"
        return "survived"

    with at_work(app):
        said = result(flow.start())
        assert said.startswith("ProcessDied")
        assert told in said
        assert len(marks(folder, how)) == 1


def test_a_body_that_takes_too_much_memory_fails_and_leaves_its_process(
    app: Backroom, folder: str
) -> None:
    @app.flow
    def flow() -> tuple[str, int]:
        try:
            heavy.die_once(folder, "memory")
        except StepFailed as error:
            return error.kind, heavy.where().pid
        return "survived", 0

    with at_work(app, concurrency=1):
        kind, after = result(flow.start())
        (pid,) = marks(folder, "memory")
        assert kind in ("MemoryError", "ProcessDied")
        assert after != pid


def test_a_step_that_kills_every_process_is_stopped_after_three(app: Backroom, folder: str) -> None:
    @app.flow(retry=Retry(attempts=3, delay_seconds=0))
    def flow() -> int:
        return heavy.die_always(folder, "exit")

    @app.flow
    def neighbour() -> int:
        return heavy.hold(folder, "a")

    with at_work(app):
        beside = neighbour.start()
        (pid,) = began(folder, "a")
        run = flow.start()
        with pytest.raises(RunFailed, match="ProcessDied"):
            result(run)
        assert len(marks(folder, "exit")) == 3
        open_gate(folder, "a may go")
        assert result(beside) == pid
        assert len(marks(folder, "a")) == 1


def test_a_process_that_died_once_is_a_failed_try(app: Backroom, folder: str) -> None:
    @app.flow
    def flow() -> int:
        return heavy.die_at_first(folder)

    with at_work(app):
        run = flow.start()
        result(run)
        (row,) = steps(app, run)
        assert (row.state, row.tries) == ("done", 2)


def test_a_process_that_was_killed_while_it_had_nothing_to_do_is_nobodys_failure(
    app: Backroom, folder: str
) -> None:
    @app.flow
    def flow() -> Place:
        return heavy.where()

    with at_work(app, concurrency=1):
        before = result(flow.start()).pid
        os.kill(before, signal.SIGKILL)
        run = flow.start()
        assert result(run).pid != before
        (row,) = steps(app, run)
        assert row.tries == 1


def test_an_undo_of_a_process_step_runs_in_the_worker(app: Backroom, folder: str) -> None:
    @app.flow
    def flow() -> None:
        heavy.undoable(folder)
        raise Rollback("no")

    with at_work(app):
        assert outcome(flow.start()) is State.FAILED
        assert marks(folder, "undone") == [os.getpid()]


# --- executors of others


def test_any_executor_performs_steps(app: Backroom) -> None:
    app.executor("other", lambda: ThreadPoolExecutor(1, thread_name_prefix="mine"))

    @app.flow
    def flow() -> Place:
        return heavy.elsewhere()

    with at_work(app):
        run = flow.start()
        place = result(run)
        assert place.thread.startswith("mine")
        assert (place.pid, place.run_id) == (os.getpid(), run.id)
        status = run.status().wait()
        assert (status.progress, status.text) == (0.25, "there")


def test_a_broken_pool_is_made_anew_and_only_the_culprit_has_failed(
    app: Backroom, folder: str
) -> None:
    made: list[ProcessPoolExecutor] = []

    def make() -> ProcessPoolExecutor:
        made.append(ProcessPoolExecutor(3, mp_context=get_context("spawn")))
        return made[-1]

    app.executor("other", make)

    @app.flow
    def innocent(name: str) -> int:
        return heavy.hold_elsewhere(folder, name)

    @app.flow
    def guilty() -> int:
        return heavy.die_elsewhere(folder)

    with at_work(app):
        neighbours = [innocent.start("a"), innocent.start("b")]
        began(folder, "a")
        began(folder, "b")
        culprit = guilty.start()
        for name in "ab":
            open_gate(folder, f"{name} may go")
        with pytest.raises(RunFailed, match="ProcessDied"):
            result(culprit)
        for run in neighbours:
            result(run)
            (row,) = steps(app, run)
            assert row.tries == 1
        # Once in the crowd, where nobody knows whose fault it was; then alone, three times.
        assert len(marks(folder, "exit")) == 4
    for pool in made:
        pool.shutdown()


def test_a_body_that_its_executor_cannot_stop_is_waited_for_before_the_next_try(
    app: Backroom, folder: str
) -> None:
    app.executor("other", lambda: ThreadPoolExecutor(2))

    @app.flow
    def flow() -> int:
        return heavy.too_slow_elsewhere(folder)

    with at_work(app):
        run = flow.start()
        eventually(lambda: steps(app, run) and steps(app, run)[0].state == "trying", within=30)
        assert marks(folder, "late") == []
        open_gate(folder, "late")
        assert result(run) == 1


@pytest.fixture(scope="module")
def dask() -> Iterator[Client]:
    """A cluster of one worker process on this machine, as Dask makes it."""
    with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def test_a_dask_cluster_performs_steps(app: Backroom, dask: Client) -> None:
    app.executor("other", dask.get_executor)

    @app.flow
    async def flow() -> Place:
        return await asyncio.to_thread(heavy.elsewhere)

    with at_work(app):
        run = flow.start()
        place = result(run)
        assert place.pid != os.getpid()
        assert (place.run_id, place.tries) == (run.id, 1)
        assert run.status().wait().text == "there"


def test_a_cancel_and_a_time_out_reach_a_dask_cluster(
    app: Backroom, dask: Client, folder: str
) -> None:
    app.executor("other", dask.get_executor)

    @app.flow
    def cancelled() -> int:
        return heavy.hold_elsewhere(folder, "a")

    @app.flow
    def slow() -> int:
        return heavy.too_slow_elsewhere(folder)

    with at_work(app):
        run = cancelled.start()
        began(folder, "a")
        run.cancel().wait()
        assert outcome(run) is State.CANCELLED
        eventually(lambda: not processing(dask))
        open_gate(folder, "a may go")
        assert result(slow.start()) == 0
        open_gate(folder, "late")


def processing(client: Client) -> list[str]:
    """The tasks that the cluster is asked to perform."""
    found: dict[str, list[str]] = client.processing()  # type: ignore[no-untyped-call]
    return [task for tasks in found.values() for task in tasks]


def gone(pid: int) -> None:
    """Wait until a process has ended."""

    def ended() -> bool:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return True
        return stat.rpartition(")")[2].split()[0] == "Z"

    eventually(ended, within=20)
