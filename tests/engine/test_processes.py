"""Processes that perform one call at a time, without any flow around them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from backroom import Backroom
from backroom.engine.processes import Call, Processes
from backroom.records.errors import ProcessDied
from backroom.testing import eventually
from tests.engine.processes import Marks, exists, program
from tests.engine.supervised import declare

LONG = 30.0


def wait_for(path: str) -> int:
    """Say who is there, then wait until the file is gone."""
    Path(path).write_text(str(os.getpid()))
    while Path(path).exists():
        time.sleep(0.005)
    return os.getpid()


def begun(path: Path) -> int:
    """The process that performs `wait_for`."""
    return int(eventually(lambda: path.exists() and path.read_text(), within=LONG) or 0)


@pytest.fixture
def one() -> Iterator[Processes]:
    made = Processes(1)
    yield made
    made.shutdown(cancel_futures=True)


def test_one_process_performs_call_after_call(one: Processes) -> None:
    calls = [one.submit(os.getpid) for _ in range(3)]
    pids = {call.result(LONG) for call in calls}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_a_process_is_replaced_after_so_many_calls() -> None:
    made = Processes(1, calls=2)
    try:
        first, second, third = (made.submit(os.getpid).result(LONG) for _ in range(3))
        assert first == second != third
        eventually(lambda: not exists(first), within=LONG)
    finally:
        made.shutdown()


def test_what_waits_can_be_cancelled_without_harm_to_what_runs(
    one: Processes, tmp_path: Path
) -> None:
    running = one.submit(wait_for, str(tmp_path / "gate"))
    waiting = one.submit(os.getpid)
    pid = begun(tmp_path / "gate")
    assert waiting.cancel()
    assert waiting.cancelled()
    (tmp_path / "gate").unlink()
    assert running.result(LONG) == pid
    assert one.submit(os.getpid).result(LONG) == pid


def test_cancelling_what_runs_kills_its_process(one: Processes, tmp_path: Path) -> None:
    running = one.submit(wait_for, str(tmp_path / "gate"))
    pid = begun(tmp_path / "gate")
    assert running.cancel()
    with pytest.raises(CancelledError):
        running.result(LONG)
    assert not exists(pid)
    assert one.submit(os.getpid).result(LONG) != pid


def test_a_call_that_is_done_cannot_be_cancelled(one: Processes) -> None:
    call = one.submit(os.getpid)
    assert call.result(LONG)
    assert not call.cancel()


def test_the_death_of_a_process_is_told_with_its_exit_code(one: Processes) -> None:
    with pytest.raises(ProcessDied, match="exit code 9") as caught:
        one.submit(os._exit, 9).result(LONG)
    assert caught.value.exit_code == 9
    assert one.submit(os.getpid).result(LONG)


def test_it_is_told_when_a_call_begins(one: Processes, tmp_path: Path) -> None:
    told = threading.Event()
    call = one.submit(wait_for, str(tmp_path / "gate"))
    assert isinstance(call, Call)
    call.when_begun(told.set)
    assert told.wait(LONG)
    begun(tmp_path / "gate")
    (tmp_path / "gate").unlink()
    call.result(LONG)
    again = threading.Event()
    call.when_begun(again.set)
    assert again.is_set(), "at once, if that was before"


def test_an_error_is_the_calls_own(one: Processes) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        one.submit(os.stat, "/nowhere").result(LONG)


def test_shutting_down_ends_the_processes_and_refuses_more(tmp_path: Path) -> None:
    made = Processes(2)
    running = made.submit(wait_for, str(tmp_path / "gate"))
    pid = begun(tmp_path / "gate")
    made.shutdown(cancel_futures=True)
    assert not exists(pid)
    with pytest.raises(CancelledError):
        running.result(LONG)
    with pytest.raises(RuntimeError, match="shut down"):
        made.submit(os.getpid)


def test_a_process_goes_with_its_worker_and_the_run_goes_on_elsewhere(
    database: str, tmp_path: Path
) -> None:
    client = declare(Backroom(database))
    marks = Marks(tmp_path)
    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        run = client.start("computed", gate="open")
        (pid,) = eventually(lambda: marks.of("compute"), within=LONG)
        (child,) = worker.children()
        assert pid not in (child, worker.pid)
        os.kill(child, signal.SIGKILL)
        eventually(lambda: not exists(pid), within=LONG)
        eventually(lambda: len(marks.of("compute")) == 2, within=LONG)
        marks.open("open")
        assert run.result().wait(LONG)[1] == marks.of("compute")[1]
        assert len(marks.of("first")) == 1
        worker.signal(signal.SIGTERM)
        assert worker.exit_code() == 0
    eventually(lambda: not exists(marks.of("compute")[1]), within=LONG)
    client.close()
