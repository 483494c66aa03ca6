"""Restart the workers again and again under load, with old code and new code in turn.

    release ─▶ SIGHUP ─▶ new children come, old ones go ─▶ the other release ─▶ SIGHUP ─▶ …
    meanwhile: runs of every kind, started by old and by new programs

A restart is a stop like any other, so it must cost nothing: no run may be lost, no attempt counted
as bad, no run set aside, and every result is that of the version that the run was started with.
"""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path
from typing import Any

from backroom import Backroom, State
from backroom.flows.flow import Prepared
from backroom.records.limits import STARTS
from tests.engine.deployed import expected, new_code, old_code
from tests.engine.processes import Program, eventually, exists, program

__all__ = ["roll"]

PATIENCE_SECONDS = 120.0


def roll(
    database: str, folder: Path, *, restarts: int, load: int, processes: int, seconds: float
) -> int:
    """Restart so often, with so many runs of each kind started meanwhile; how many runs it was.

    `seconds` of each step of the long runs, which end when all restarts have been.
    """
    runs: dict[str, tuple[str, int]] = {}
    (folder / "release").write_text("old")
    with (
        closing(old_code(Backroom(database))) as old,
        closing(new_code(Backroom(database))) as new,
        program(
            "worker", "-n", str(processes), "--grace", "0.1", "--log-level", "warning",
            database=database, folder=folder, app="tests.engine.deployed:app",
        ) as worker,
    ):  # fmt: skip
        children = eventually(lambda: at_work(worker, processes), what="the first workers")
        longest = [old.handle("long").start(seconds).id for _ in range(2)]
        for number in range(restarts):
            for app in (old, new):
                runs |= start(app, range(number * load, (number + 1) * load))
            (folder / "release").write_text("old" if number % 2 else "new")
            worker.signal(signal.SIGHUP)
            children = replaced(worker, children, processes)
        (folder / "release").write_text("new")  # which knows them all
        worker.signal(signal.SIGHUP)
        replaced(worker, children, processes)
        (folder / "rolled").touch()
        check(new, runs)
        for run_id in longest:
            result = new.run(run_id).result().wait(PATIENCE_SECONDS)
            assert [number for number, _ in result] == list(range(len(result)))
            assert unharmed(new, run_id)
            assert result[-1][1] > STARTS, "it was handed back more often than it might have died"
    return len(runs) + len(longest)


def start(app: Backroom, numbers: range) -> dict[str, tuple[str, int]]:
    """Runs of every flow that this program has, as it starts them; flow and number by their ids."""
    names = {spec.name for spec in app.flows.values()} - {"long"}
    wanted = [
        (handle.spec, number, handle.prepare(number))
        for handle in map(app.handle, sorted(names))
        for number in numbers
    ]
    prepared: list[Prepared[Any]] = [each for _, _, each in wanted]
    served = [f"{spec.name}@2" if spec.version == 2 else spec.name for spec, _, _ in wanted]
    return {
        run.id: (flow, number)
        for run, flow, (_, number, _) in zip(app.start_many(prepared), served, wanted, strict=True)
    }


def at_work(worker: Program, processes: int) -> list[int]:
    assert worker.process.poll() is None, worker.output()
    children = worker.children()
    return children if len(children) == processes else []


def replaced(worker: Program, before: list[int], processes: int) -> list[int]:
    """The children that have taken the place of these."""
    eventually(lambda: not any(map(exists, before)), PATIENCE_SECONDS, "the old ones' end")
    return eventually(lambda: at_work(worker, processes), PATIENCE_SECONDS, "the new ones")


def check(app: Backroom, runs: dict[str, tuple[str, int]]) -> None:
    for run_id, (flow, number) in runs.items():
        assert app.run(run_id).result().wait(PATIENCE_SECONDS) == expected(flow, number), flow
        assert unharmed(app, run_id), flow


def unharmed(app: Backroom, run_id: str) -> bool:
    """Whether a run has succeeded without one bad attempt."""
    attempts = app.office.read(lambda reader: reader.attempts(run_id)).result(PATIENCE_SECONDS)
    return attempts == [] and app.run(run_id).status().wait().state is State.SUCCEEDED
