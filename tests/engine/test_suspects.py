"""A run that kills its worker is found out, and those that stood beside it aren't punished."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from backroom import Backroom, Run, State
from backroom.records.runs import AttemptRow, Claims
from backroom.store.verbs import Claim, Rescue
from backroom.testing import at_work, eventually
from tests.engine.processes import Marks, program
from tests.engine.supervised import declare

RUNS = 100


def attempts(app: Backroom, run: Run[Any]) -> list[AttemptRow]:
    return app.office.read(lambda reader: reader.attempts(run.id)).result(20)


def state(run: Run[Any]) -> State:
    return run.status().wait().state


def test_one_of_a_hundred_crashes_and_is_stopped_after_three_deaths(
    database: str, tmp_path: Path
) -> None:
    client = declare(Backroom(database))
    others = RUNS - 1
    with program("worker", database=database, folder=tmp_path) as worker:
        worker.ready()
        crash = client.start("crash", bystanders=others)
        bystanders = [client.start("bystander") for _ in range(others)]
        for run in bystanders:
            assert run.result().wait(50) not in (worker.pid, None)
        eventually(lambda: state(crash) is State.NEEDS_ATTENTION)
        eventually(lambda: len(worker.children()) == 1)  # the one for suspects has gone
        assert client.start("quick").result().wait(20) in worker.children()
    assert len(Marks(tmp_path).of("crash")) == 3
    assert [a.outcome for a in attempts(client, crash)] == ["lost"] * 3
    assert {state(run) for run in bystanders} == {State.SUCCEEDED}
    assert [a.outcome for a in attempts(client, bystanders[0])] == ["lost"] * 2
    assert "SIGSEGV" in worker.output()
    client.close()


def lost_twice(app: Backroom, flow: str) -> Run[Any]:
    """A run that two workers have died with."""
    run = app.start(flow)
    session = app.office.store.session()
    for number in (1, 2):
        (claims,) = session.apply([Claim(f"ghost {number}", ("default",), (flow,), 1)])
        assert isinstance(claims, Claims)
        assert [claimed.id for claimed in claims.runs] == [run.id]
        assert session.apply([Rescue()]) == [(run.id,)]
    session.close()
    return run


def test_a_worker_without_a_supervisor_performs_a_suspect_when_it_has_nothing_else(
    database: str,
) -> None:
    app = Backroom(database, poll=0.02)
    inside: list[str] = []
    go = asyncio.Event()

    @app.flow
    async def suspicious() -> list[str]:
        inside.append("suspicious")
        await go.wait()
        return list(inside)

    @app.flow
    async def busy() -> None:
        await go.wait()

    @app.flow
    async def other() -> None:
        inside.append("other")

    suspect = lost_twice(app, "suspicious")
    company = busy.start().wait()
    with at_work(app) as bench:

        def open_the_gate() -> None:
            assert bench.worker._loop is not None
            bench.worker._loop.call_soon_threadsafe(go.set)
            bench.worker._loop.call_soon_threadsafe(go.clear)

        eventually(lambda: state(company) is State.RUNNING)
        eventually(lambda: bench.worker._claiming.suspects)
        assert state(suspect) is State.READY, "it has company"
        open_the_gate()
        company.result().wait(20)
        eventually(lambda: inside == ["suspicious"])
        later = other.start().wait()
        assert state(later) is State.READY
        open_the_gate()
        assert suspect.result().wait(20) == ["suspicious"], "nothing was performed beside it"
        later.result().wait(20)
    app.close()


def test_a_worker_for_suspects_performs_them_and_nothing_else_and_stops(database: str) -> None:
    app = Backroom(database, poll=0.02)
    performed: list[str] = []

    @app.flow
    async def suspicious() -> None:
        performed.append("suspicious")

    @app.flow
    async def other() -> None:
        performed.append("other")

    suspects = [lost_twice(app, "suspicious") for _ in range(3)]
    other.start().wait()
    asyncio.run(app.worker(only_suspects=True, concurrency=1).run())
    assert performed == ["suspicious"] * 3
    assert {state(run) for run in suspects} == {State.SUCCEEDED}
    app.close()
