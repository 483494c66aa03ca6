"""The fence locks, it doesn't only compare.

The moment that matters: a late checkpoint has compared its attempt but not yet written when the run
is released and claimed anew. A conflicting row of a third transaction holds the checkpoint there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import psycopg
import pytest

from backroom.records.errors import LeaseLost
from backroom.records.runs import Claimed, StepRow
from backroom.store.postgres import PostgresStore
from backroom.store.verbs import Retire, SaveStep
from tests.store.desk import Desk, step
from tests.store.postgres.waiting import until_blocked

HELD_UP = (
    "INSERT INTO backroom.step (run_id, started_at, finished_at, tries, attempt, address, name, "
    "kind, state) VALUES (%s, 0, 0, 1, 1, 'pay#1', 'pay', 'step', 'done')"
)


class Seen(NamedTuple):
    heir: tuple[Claimed, ...]
    """What the next worker was given while the late checkpoint was under way."""

    answer: object
    steps: list[StepRow]


def late_checkpoint(desk: Desk) -> Seen:
    run = desk.started_and_claimed()
    session = desk.store.session()
    with psycopg.connect(desk.database) as third, ThreadPoolExecutor(1) as thread:
        third.execute(HELD_UP, [run.id])
        late = thread.submit(session.apply, [SaveStep(run.id, run.attempt, step("pay#1"))])
        until_blocked(desk.database)
        desk.do(Retire("worker", lost=True))
        heir = desk.claims(worker="heir").runs
        third.rollback()
        (answer,) = late.result()
    session.close()
    return Seen(heir, answer, desk.reader.steps(run.id))


def test_no_run_is_handed_on_while_a_checkpoint_of_it_is_written(desk: Desk) -> None:
    seen = late_checkpoint(desk)
    assert seen.heir == ()
    assert seen.answer is None
    assert len(seen.steps) == 1


def test_without_the_lock_a_stale_checkpoint_gets_through(
    desk: Desk, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sabotage twin: it shows that the test above would notice."""
    unlocked = store.sql["lock_runs"].replace("FOR UPDATE", "")
    monkeypatch.setitem(store.sql.texts, "lock_runs", unlocked)
    seen = late_checkpoint(desk)
    assert [(run.attempt, run.steps) for run in seen.heir] == [(2, ())]
    assert seen.answer is None
    assert len(seen.steps) == 1, "the heir was told that there is no such checkpoint"


def test_a_checkpoint_that_waited_for_the_next_claim_is_refused(desk: Desk) -> None:
    run = desk.started_and_claimed()
    session = desk.store.session()
    with psycopg.connect(desk.database) as claimer, ThreadPoolExecutor(1) as thread:
        claimer.execute("UPDATE backroom.live SET attempt = attempt + 1 WHERE id = %s", [run.id])
        late = thread.submit(session.apply, [SaveStep(run.id, run.attempt, step("pay#1"))])
        until_blocked(desk.database)
        claimer.commit()
        (answer,) = late.result()
    session.close()
    assert isinstance(answer, LeaseLost)
    assert desk.reader.steps(run.id) == []
