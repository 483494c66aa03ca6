"""The stable views: what people's own SQL may rely on."""

from backroom.records.states import State
from backroom.store.verbs import Attention, Cancel, Progress, SaveStep
from tests.store.desk import HOUR, Desk, event, step

RUNS = """
    id, flow, queue, state, status, progress, key, priority, attempt, input, result, error,
    created_at, available_at, started_at, finished_at, parent_id, cause_id, worker, cancel_reason
"""
STEPS = """
    run_id, address, name, kind, state, result, error, tries, attempt, started_at, finished_at
"""


def test_the_columns_are_those_that_are_documented(desk: Desk) -> None:
    for columns, view in ((RUNS, "runs"), (STEPS, "steps")):
        desk.query(f"SELECT {columns} FROM {{b}}{view}")


def test_the_states_are_those_that_the_reader_tells(desk: Desk) -> None:
    ids = [
        desk.settled(),
        desk.settled(State.FAILED),
        desk.parked(event()).id,
        desk.started_and_claimed().id,
    ]
    aside = desk.started_and_claimed()
    desk.done(Attention(aside.id, aside.attempt, '{"kind": "E"}'))
    due, later = desk.start(delay_us=1), desk.start(delay_us=10 * HOUR)
    desk.store.move_clock(HOUR)
    rows = desk.query("SELECT id, state FROM {b}runs ORDER BY id")
    assert [(str(run_id), state) for run_id, state in rows] == [
        (run_id, desk.state(run_id).value) for run_id in (*ids, aside.id, due, later)
    ]


def test_a_running_run_shows_its_worker_progress_and_cancelling(desk: Desk) -> None:
    run = desk.started_and_claimed(key="k", priority=3)
    desk.done(Progress(run.id, run.attempt, 0.5, "half way"))
    desk.do(Cancel(run.id, "stop"))
    columns = "status, progress, key, priority, attempt, worker, cancel_reason, available_at"
    assert desk.query(f"SELECT {columns} FROM {{b}}runs") == [
        ("half way", 0.5, "k", 3, 1, "worker", "stop", None)
    ]


def test_times_are_readable(desk: Desk) -> None:
    desk.settled()
    ((created, finished),) = desk.query("SELECT created_at, finished_at FROM {b}runs")
    assert str(created)[:4].isdecimal()
    assert str(finished) >= str(created)


def test_a_run_that_waits_for_ever_shows_no_time(desk: Desk) -> None:
    desk.parked(event())
    assert desk.query("SELECT available_at FROM {b}runs") == [(None,)]


def test_steps_are_shown_with_their_attempt(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(SaveStep(run.id, run.attempt, step("a#1", tries=2)))
    assert desk.query(
        "SELECT address, name, kind, state, result, tries, attempt FROM {b}steps"
    ) == [("a#1", "a", "step", "done", "1", 2, 1)]
