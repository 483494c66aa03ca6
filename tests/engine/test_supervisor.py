"""What the supervisor promises, with real processes on both databases."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backroom import Backroom, Run, State
from backroom.records.runs import AttemptRow
from tests.engine.processes import Marks, Program, eventually, exists, program
from tests.engine.supervised import declare

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
    pytest.mark.timeout(240),
]


@pytest.fixture
def marks(tmp_path: Path) -> Marks:
    return Marks(tmp_path)


@pytest.fixture
def client(database: str) -> Iterator[Backroom]:
    app = declare(Backroom(database))
    yield app
    app.close()


def state(run: Run[Any]) -> State:
    return run.status().wait().state


def attempts(client: Backroom, run: Run[Any]) -> list[AttemptRow]:
    return client.office.read(lambda reader: reader.attempts(run.id)).result(10)


def begun(marks: Marks, what: str, times: int = 1) -> list[int]:
    return eventually(lambda: pids if len(pids := marks.of(what)) >= times else [], what=what)


def test_a_killed_workers_run_goes_on_elsewhere_from_its_checkpoint(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", "-n", "2", database=database, folder=tmp_path) as worker:
        worker.ready(2)
        run = client.start("two_steps", gate="open")
        victim = begun(marks, "second")[0]
        killed = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        survivor = begun(marks, "second", 2)[1]
        took = time.monotonic() - killed
        marks.open("open")
        assert run.result().wait(20) == [victim, survivor]
        assert survivor != victim
        assert took < 3, "its lease of 6 s must be given up, not run out"
        assert len(marks.of("first")) == 1
        assert [a.outcome for a in attempts(client, run)] == ["lost"]
        eventually(lambda: len(worker.children()) == 2, what="a new child")
        assert victim not in worker.children()


def test_the_only_worker_killed_is_replaced_and_goes_on(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        run = client.start("two_steps", gate="open")
        victim = begun(marks, "second")[0]
        os.kill(victim, signal.SIGKILL)
        marks.open("open")
        result = run.result().wait(20)
        assert result[0] == victim
        assert result[1] in worker.children()
        assert len(marks.of("first")) == 1


def test_children_of_a_killed_supervisor_stop_and_others_take_over(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program(
        "worker", "-n", "2", "--grace", "0.2", database=database, folder=tmp_path
    ) as worker:
        worker.ready(2)
        run = client.start("two_steps", gate="open")
        begun(marks, "second")
        orphans = worker.children()
        os.kill(worker.pid, signal.SIGKILL)
        worker.exit_code()
        eventually(lambda: not any(map(exists, orphans)), what="the orphans' end")
        assert state(run) is State.READY
        assert attempts(client, run) == [], "handed back, not lost"
        marks.open("open")
        with program("worker", database=database, folder=tmp_path) as other:
            other.ready()
            assert run.result().wait(20)[1] in other.children()
        assert len(marks.of("first")) == 1


def test_a_stopped_worker_loses_its_lease_and_its_late_writes(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with (
        program("worker", "--lease", "1", database=database, folder=tmp_path) as stalled,
        program("worker", "--lease", "1", database=database, folder=tmp_path) as other,
    ):
        stalled.ready()
        other.ready()
        run = client.start("two_steps", gate="open")
        victim = begun(marks, "second")[0]
        supervisor, rescuer = (stalled, other) if victim in stalled.children() else (other, stalled)
        os.kill(victim, signal.SIGSTOP)
        survivor = begun(marks, "second", 2)[1]
        assert survivor in rescuer.children()
        marks.open("open")
        assert run.result().wait(20) == [victim, survivor]
        os.kill(victim, signal.SIGCONT)
        eventually(lambda: not exists(victim), what="the end of who lost its lease")
        eventually(lambda: len(supervisor.children()) == 1, what="its replacement")
        assert len(marks.of("first")) == 1
        assert len(marks.of("second")) == 2
        assert run.status().wait().attempt == 2
        assert run.result().wait() == [victim, survivor], "the late result was refused"


def test_a_dead_machines_runs_are_elsewhere_within_ten_seconds(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with (
        program("worker", database=database, folder=tmp_path) as dying,
        program("worker", database=database, folder=tmp_path) as other,
    ):
        dying.ready()
        other.ready()
        run = client.start("two_steps", gate="open")
        victim = begun(marks, "second")[0]
        if victim not in dying.children():
            dying, other = other, dying
        for pid in (dying.pid, victim):
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        assert begun(marks, "second", 2)[1] in other.children()
        assert time.monotonic() - killed < 10
        marks.open("open")
        run.result().wait(20)
        assert len(marks.of("first")) == 1


def test_a_body_that_holds_the_interpreter_for_three_leases_is_not_started_again(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", "-n", "2", "--lease", "1", database=database, folder=tmp_path) as worker:
        worker.ready(2)
        runs = [client.start("hog", seconds=3.2), client.start("hog", seconds=3.2)]
        assert [run.result().wait(30) for run in runs] == [1, 1]
        assert len(marks.of("hog")) == 2


def test_a_stop_hands_back_without_burning_an_attempt(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    run: Run[Any] | None = None
    for times in range(1, 5):  # more often than a run may start and die
        with program("worker", "--grace", "0.1", database=database, folder=tmp_path) as worker:
            worker.ready()
            run = run or client.start("two_steps", gate="open")
            begun(marks, "second", times)
            worker.signal(signal.SIGTERM)
            assert worker.exit_code() == 0
    assert run is not None
    assert state(run) is State.READY
    assert attempts(client, run) == []
    assert len(marks.of("first")) == 1


def test_a_step_that_never_returns_does_not_keep_the_process(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", "--grace", "0.1", database=database, folder=tmp_path) as worker:
        worker.ready()
        run = client.start("in_pool", gate="never")
        begun(marks, "second")
        worker.signal(signal.SIGTERM)
        assert worker.exit_code(5) == 0
        assert "which doesn't return" in worker.output()
        assert state(run) is State.READY


def test_a_stop_lets_a_run_finish_within_the_grace(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        run = client.start("two_steps", gate="open")
        begun(marks, "second")
        worker.signal(signal.SIGINT)
        eventually(lambda: "may go on for" in worker.output(), what="stopping")
        marks.open("open")
        assert worker.exit_code() == 0
        assert state(run) is State.SUCCEEDED


def test_a_second_signal_stops_at_once_and_hands_back(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", "--grace", "600", database=database, folder=tmp_path) as worker:
        worker.ready()
        run = client.start("two_steps", gate="open")
        begun(marks, "second")
        worker.signal(signal.SIGTERM)
        eventually(lambda: "may go on for" in worker.output(), what="stopping")
        worker.signal(signal.SIGTERM)
        assert worker.exit_code() == 128 + signal.SIGTERM
        assert state(run) is State.READY
        assert attempts(client, run) == []


@pytest.mark.parametrize(
    ("how", "told"),
    [("exit", "ended with exit code 7"), ("memory", "was killed by SIGKILL")],
    ids=["exit", "memory"],
)
def test_a_run_that_kills_its_worker_is_set_aside(
    database: str, client: Backroom, tmp_path: Path, how: str, told: str
) -> None:
    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        run = client.start("die", how=how)
        eventually(lambda: state(run) is State.NEEDS_ATTENTION, 60, what="set aside")
        assert [a.outcome for a in attempts(client, run)] == ["lost"] * 3
        assert client.start("quick").result().wait(30), "the others work on"
        assert worker.output().count(told) == 3


def test_a_worker_leaves_flows_alone_that_it_does_not_know(
    database: str, client: Backroom, tmp_path: Path
) -> None:
    @client.flow
    async def newer() -> int:
        return 1

    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        strange = newer.start()
        assert client.start("quick").result().wait(20) in worker.children()
        assert state(strange) is State.READY
        assert strange.status().wait().attempt == 0


def test_a_hang_up_replaces_the_children_one_after_another(
    database: str, client: Backroom, tmp_path: Path
) -> None:
    with program("worker", "-n", "2", database=database, folder=tmp_path) as worker:
        worker.ready(2)
        old = worker.children()
        worker.signal(signal.SIGHUP)
        eventually(lambda: not any(map(exists, old)), what="the old ones' end")
        eventually(lambda: len(worker.children()) == 2, what="two new ones")
        assert client.start("quick").result().wait(20) in worker.children()
        worker.signal(signal.SIGTERM)
        assert worker.exit_code() == 0


def test_a_worker_told_to_stop_by_itself_is_replaced(
    database: str, client: Backroom, tmp_path: Path
) -> None:
    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        (child,) = worker.children()
        os.kill(child, signal.SIGTERM)
        eventually(lambda: worker.children() not in ([], [child]), what="a new one")
        assert client.start("quick").result().wait(20) in worker.children()


def fails(worker: Program, *words: str) -> None:
    assert worker.exit_code() == 1
    for word in words:
        assert word in worker.output()
    assert "Traceback" not in worker.output()


def test_a_worker_without_an_application_says_so(database: str, tmp_path: Path) -> None:
    with program("worker", database=database, folder=tmp_path, app="") as worker:
        fails(worker, "Which application?")
    with program("worker", "nowhere:app", database=database, folder=tmp_path) as worker:
        fails(worker, "There is no module 'nowhere'")
    with program(
        "worker", "tests.engine.supervised:no_app", database=database, folder=tmp_path
    ) as worker:
        fails(worker, "is a int, not a Backroom", "tests.engine.supervised:app")


def test_an_application_that_cannot_be_imported_is_shown_once(
    database: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("import os\nraise ValueError('no settings')\n")
    with program("worker", "broken:app", "-n", "3", database=database, folder=tmp_path) as worker:
        assert worker.exit_code() == 1
        assert worker.output().count("ValueError: no settings") == 1
        assert 'broken.py", line 2' in worker.output()
        assert "importlib" not in worker.output()


def test_a_first_child_that_is_killed_before_it_is_ready_is_started_again(
    database: str, client: Backroom, marks: Marks, tmp_path: Path
) -> None:
    """Whatever kills it while it imports the application: the system, for memory, say."""
    with program("worker", database=database, folder=tmp_path, app=module(tmp_path, 2)) as worker:
        worker.ready()
        assert client.start("quick").result().wait(20) in worker.children()
        assert len(marks.of("imported")) == 3
        assert worker.output().count("was killed by SIGKILL") == 2


def test_a_first_child_that_never_gets_ready_is_given_up_with_the_reason(
    database: str, marks: Marks, tmp_path: Path
) -> None:
    with program("worker", database=database, folder=tmp_path, app=module(tmp_path, 99)) as worker:
        fails(worker, "was killed by SIGKILL before it was ready, as did the 4 before it.")
        assert len(marks.of("imported")) == 5


def module(folder: Path, deaths: int) -> str:
    """An application whose process is killed so many times while it is imported."""
    (folder / "fragile.py").write_text(
        "import os, signal\n"
        "from tests.engine.supervised import app, mark, marks\n"
        "mark('imported')\n"
        f"if marks('imported') <= {deaths}:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    return "fragile:app"
