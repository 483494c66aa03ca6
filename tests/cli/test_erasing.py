"""`backroom erase`: a person's data is gone from every copy that the database gives out."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from backroom import Backroom, State, errors, step, wait_for_event
from tests.cli.conftest import Terminal
from tests.flows.house import parked
from tests.postgres_binaries import find_binaries
from tests.store.by_sql import outsider

CANARY = "canary@example.org"
LONG = 20.0


@pytest.fixture
def app(database: str) -> Iterator[Backroom]:
    app = Backroom(database)

    @step
    async def look_up(mail: str) -> str:
        return f"the address of {mail}"

    @app.flow
    async def greet(mail: str) -> str:
        return f"hello {mail}"

    @app.flow(subject="mail", key="mail")
    async def invite(mail: str) -> str:
        address = await look_up.using(key=mail)(mail)
        said = await wait_for_event("answer", str)
        return f"{await greet(mail)} at {address}, who says {said}"

    @app.flow
    async def fail(mail: str) -> None:
        raise ValueError(f"no such person: {mail}")

    yield app
    app.close()


def everything_in(database: str) -> bytes:
    """All bytes that a copy of the database consists of."""
    if database.startswith("postgresql"):
        pg_dump = str(find_binaries("newest") / "pg_dump")
        return subprocess.run([pg_dump, database], capture_output=True, check=True).stdout
    return b"".join(
        Path(database + end).read_bytes()
        for end in ("", "-wal", "-shm")
        if Path(database + end).exists()
    )


def lives(app: Backroom) -> None:
    """Runs about the canary, with a child that says nothing of it, and one about somebody else."""
    with app.working():
        for mail in (CANARY, "bob@example.org"):
            run = app.start("invite", mail=mail)
            parked(run)
            run.emit("answer", f"yours, {mail}").wait()
            assert run.result().wait(LONG)
        failed = app.handle("fail").using(subject=CANARY).start(mail=CANARY)
        with pytest.raises(errors.RunFailed):
            failed.result().wait(LONG)


def test_a_persons_data_is_gone_from_a_dump(
    app: Backroom, database: str, backroom: Terminal
) -> None:
    lives(app)
    app.close()
    assert CANARY.encode() in everything_in(database)
    dry = backroom("erase", "--subject", CANARY, "--dry-run")
    assert dry.out == "3 runs would be erased.\n"
    said = backroom("erase", "--subject", CANARY, "--rewrite", "--by", "Grace, ticket 17")
    assert (said.code, said.out) == (0, "Erased 3 runs.\n")
    dump = everything_in(database)
    assert CANARY.encode() not in dump
    assert b"bob@example.org" in dump
    (deed,) = backroom("audit", "--json").json()
    assert (deed["act"], deed["by"], len(deed["runs"])) == ("erase", "Grace, ticket 17", 3)
    assert backroom("audit").out.count("Grace, ticket 17") == 1
    assert backroom("list", "--limit", "10").code == 0
    assert '"$": "erased"' in backroom("show", deed["runs"][0]).out
    assert backroom("erase", "--subject", CANARY).out == "Erased 0 runs.\n"


def test_an_erased_run_says_so(app: Backroom, database: str) -> None:
    lives(app)
    run = app.handle("invite").find(CANARY)
    failed = app.run(app.office.read(lambda r: r.runs(flow="fail")).result(LONG)[0].id)
    answer = app.erase(subject=CANARY).wait(LONG)
    assert {run.id, failed.id} <= set(answer.runs)
    with pytest.raises(errors.RunErased, match="was erased"):
        run.result().wait(LONG)
    with pytest.raises(errors.RunFailed, match="Erased on request"):
        failed.result().wait(LONG)
    with pytest.raises(errors.RunErased):
        failed.retry().wait(LONG)
    status = run.status().wait(LONG)
    assert (status.state, status.result, status.key, status.text) == (State.SUCCEEDED,) + (
        None,
    ) * 3
    with pytest.raises(errors.RunNotFound):
        app.handle("invite").find(CANARY)


def test_who_is_still_alive_is_refused_or_cancelled_first(
    app: Backroom, backroom: Terminal
) -> None:
    run = app.handle("greet").using(subject="Ada", delay=timedelta(days=1)).start(mail="ada")
    said = backroom("erase", "--subject", "Ada")
    assert said.code == 1
    assert said.out == f"Erased 0 runs.\n{run.id} stays as it is: it has not ended.\n"
    said = backroom("erase", "--subject", "Ada", "--cancel", "--json")
    assert said.json() == {"erased": [run.id], "found": [run.id], "refused": []}
    assert run.status().wait(LONG).state is State.CANCELLED


def test_runs_can_be_named(app: Backroom, backroom: Terminal) -> None:
    run = app.start("greet", mail="ada")
    run.cancel().wait(LONG)
    assert backroom("erase").code == 2
    assert backroom("erase", run.id, "--subject", "Ada").code == 2
    assert backroom("erase", run.id).out == "Erased 1 run.\n"
    with pytest.raises(errors.Refused, match="Say what to erase"):
        app.erase()


def test_sql_names_a_subject(app: Backroom, database: str) -> None:
    app.open()
    with outsider(database) as sql:
        run_id = sql.start("greet", '{"mail": "ada"}', subject="Ada")
    app.run(run_id).cancel().wait(LONG)
    assert app.erase(subject="Ada").wait(LONG).runs == (run_id,)


def test_many_are_erased_batch_by_batch(app: Backroom, monkeypatch: pytest.MonkeyPatch) -> None:
    from backroom.flows import erasing

    monkeypatch.setattr(erasing, "BATCH", 3)
    greet = app.handle("greet").using(subject="Ada", delay=60)
    runs = app.start_many(greet.prepare(mail=str(n)) for n in range(8))
    for run in runs[:7]:
        run.cancel().wait(LONG)
    answer = app.erase(subject="Ada").wait(LONG)
    assert sorted(answer.runs) == sorted(run.id for run in runs[:7])
    assert answer.refused == ((runs[7].id, "it has not ended"),)
    last = app.erase(runs=[runs[7].id], cancel=True).wait(LONG)
    assert last.runs == (runs[7].id,)
