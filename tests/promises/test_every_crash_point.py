"""Whatever call to the database fails, and however: nothing is lost and nothing is done twice.

For each scenario the calls of its processes are counted, and it is played again with a fault at
the first, the second … until it has had one at every call. In the end it must have seen what it
sees when nothing fails; every run has ended; no step has run again that had been kept.

Two sabotaged programs show that the check would see it: one that says a step is kept before it is,
and one that makes a new id when it repeats a start.
"""

import itertools
import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from backroom.app.backroom import Backroom
from backroom.store.verbs import SaveStep, Start, Verb
from backroom.testing import faults
from backroom.testing.databases import Files, private_files
from backroom.testing.faults import Fault, Plan
from tests.postgres import Server, drop_database, fresh_database
from tests.promises.scenarios import SCENARIOS, Scenario
from tests.promises.site import Site

MOST_CALLS = 200
IN_WORKERS = [fault for fault in Fault if fault is not Fault.NONE]
IN_CLIENTS = [Fault.ERROR, Fault.UNKNOWN, Fault.VANISHED]


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    with private_files() as files:
        yield files


@pytest.fixture
def template(postgres: Server) -> Iterator[str]:
    """The name of a PostgreSQL database with our tables and nothing in them."""
    dsn = fresh_database(postgres)
    app = Backroom(dsn)
    assert app.office.store.schema_version()
    app.office.store.stop_clock()
    app.close()
    yield urlsplit(dsn).path.removeprefix("/")
    drop_database(postgres, dsn)


def check(database: str, scenario: Scenario, *plans: Plan, client: Plan | None = None) -> None:
    """Play a scenario; AssertionError if anything is lost, left behind or done twice."""
    site = Site(database, scenario.declare, plans, client)
    try:
        assert site.play() == scenario.sees
        assert not site.table.ran_after_kept(), "a step that was kept ran again"
        everything = site.reader.runs(limit=1000)
        assert len(everything) == scenario.runs, "runs were lost or started twice"
        if not any(plan.fired for plan in (*plans, client) if plan is not None):
            assert site.table.never_kept() == [], "a step was never kept"
    finally:
        site.close()
    assert left_over(database) == {"live": 0, "wait": 0, "worker": 0}


def left_over(database: str) -> dict[str, int]:
    """Rows that nobody needs any more when all runs have ended and all workers have stopped."""
    tables = ("live", "wait", "worker")
    if "://" in database:
        with psycopg.connect(database, autocommit=True) as server:
            return {table: one(server, f"backroom.{table}") for table in tables}
    with closing(sqlite3.connect(database)) as file:
        return {table: one(file, f"backroom_{table}") for table in tables}


def one(connection: Any, table: str) -> int:
    (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(number)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_without_faults(name: str, files: Files) -> None:
    check(files.fresh(), SCENARIOS[name])


@pytest.mark.parametrize("fault", IN_WORKERS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_every_call_of_the_worker(name: str, fault: Fault, files: Files) -> None:
    for at in range(1, MOST_CALLS):
        plan = Plan({at: fault})
        try:
            check(files.fresh(), SCENARIOS[name], plan)
        except AssertionError as error:
            raise AssertionError(f"at call {at}, where {fault.value}: {error}") from error
        if not plan.fired:
            assert at > 1, "there was no call at all"
            return
    raise AssertionError(f"more than {MOST_CALLS} calls")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_at_every_call_of_the_client(name: str, files: Files) -> None:
    for fault in IN_CLIENTS:
        for at in range(1, MOST_CALLS):
            client = Plan({at: fault})
            check(files.fresh(), SCENARIOS[name], client=client)
            if not client.fired:
                break


@pytest.mark.parametrize("name", SCENARIOS)
def test_faults_at_any_calls_of_several_lives(name: str, files: Files) -> None:
    for seed in range(4):
        check(files.fresh(), SCENARIOS[name], *storm(f"{name} {seed}", lives=3))


def test_faults_at_some_calls_on_postgresql(template: str, postgres: Server) -> None:
    for name in list(SCENARIOS)[::4]:  # a sample; `make torture` plays all of them
        database = fresh_database(postgres, template=template)
        check(database, SCENARIOS[name], *storm(name, lives=2))
        drop_database(postgres, database)


def storm(seed: str, *, lives: int) -> list[Plan]:
    """Plans of several lives with a fault at every fourth call or so."""
    chance = random.Random(seed)
    return [
        Plan({at: chance.choice(IN_WORKERS) for at in range(1, 20) if chance.random() < 0.25})
        for _ in range(lives)
    ]


# --- sabotage: would we see it? -------------------------------------------------------------------


def test_a_program_that_answers_before_it_has_kept_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes its steps with the next call only, but says at once that they are kept."""
    perform = faults.FaultySession._perform
    unwritten: dict[int, list[Verb]] = {}  # of each process

    def promising(self: faults.FaultySession, verbs: Sequence[Verb]) -> list[object]:
        behind = unwritten.pop(id(self._plan), [])
        unwritten[id(self._plan)] = [verb for verb in verbs if isinstance(verb, SaveStep)]
        now = [verb for verb in verbs if not isinstance(verb, SaveStep)]
        done = perform(self, [*behind, *now]) if behind or now else []
        answers = iter(done[len(behind) :])
        return [None if isinstance(verb, SaveStep) else next(answers) for verb in verbs]

    monkeypatch.setattr(faults.FaultySession, "_perform", promising)
    plans = [Plan({at: Fault.KILLED_BEFORE}) for at in range(1, 6)]
    found = [refusal(files, plan) for plan in plans]
    assert "a step that was kept ran again" in found


def refusal(files: Files, plan: Plan) -> str:
    try:
        check(files.fresh(), SCENARIOS["steps_in_sequence"], plan)
    except AssertionError as error:
        return str(error).partition("\n")[0]
    return ""


def test_a_program_that_repeats_a_start_under_a_new_id_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    perform = faults.FaultySession._perform
    numbers = itertools.count()

    def renamed(verb: Verb) -> Verb:
        if not isinstance(verb, Start):
            return verb
        return Start(replace(verb.run, id=f"{verb.run.id[:-4]}{next(numbers):04x}"))

    def renaming(self: faults.FaultySession, verbs: Sequence[Verb]) -> list[object]:
        return perform(self, [renamed(verb) for verb in verbs])

    monkeypatch.setattr(faults.FaultySession, "_perform", renaming)
    with pytest.raises(AssertionError, match="started twice"):
        check(files.fresh(), SCENARIOS["steps_in_sequence"], client=Plan({1: Fault.UNKNOWN}))
