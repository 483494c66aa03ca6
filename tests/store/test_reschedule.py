"""Reschedule: moving a run that hasn't begun to another time."""

from uuid import UUID

import pytest

from backroom.records.errors import Refused, RunEnded, RunNotFound
from backroom.records.states import State
from backroom.store.verbs import Attention, Reschedule
from tests.store.desk import HOUR, MINUTE, Desk, event


def test_a_ready_run_can_be_put_off(desk: Desk) -> None:
    run_id = desk.start()
    desk.done(Reschedule(run_id, delay_us=HOUR))
    assert desk.state(run_id) is State.SCHEDULED
    assert not desk.claims().runs
    desk.store.move_clock(HOUR)
    assert desk.claim().id == run_id


def test_a_scheduled_run_can_be_brought_forward(desk: Desk) -> None:
    run_id = desk.start(delay_us=HOUR)
    desk.done(Reschedule(run_id))
    assert desk.state(run_id) is State.READY
    assert desk.claim().id == run_id


def test_an_absolute_time_is_kept_as_it_is(desk: Desk) -> None:
    run_id = desk.start()
    at = desk.now() + HOUR
    desk.done(Reschedule(run_id, at=at, delay_us=5))
    assert desk.row(run_id).available_at == at


def test_the_deadline_moves_along(desk: Desk) -> None:
    run_id = desk.start(timeout_us=MINUTE)
    at = desk.now() + HOUR
    for _ in range(2):
        desk.done(Reschedule(run_id, at=at))
    desk.store.move_clock(2 * HOUR)
    assert desk.claim().deadline_at == at + MINUTE


@pytest.mark.parametrize("state", ["running", "waiting", "needs_attention"])
def test_other_states_are_refused_by_name(desk: Desk, state: str) -> None:
    run = desk.parked(event()) if state == "waiting" else desk.started_and_claimed()
    if state == "needs_attention":
        desk.done(Attention(run.id, run.attempt, "{}"))
    before = desk.row(run.id)
    answer = desk.do(Reschedule(run.id, delay_us=HOUR))
    assert isinstance(answer, Refused)
    assert state in str(answer)
    assert desk.row(run.id) == before


def test_an_ended_run_is_refused(desk: Desk) -> None:
    assert isinstance(desk.do(Reschedule(desk.settled())), RunEnded)


def test_an_unknown_run_is_not_found(desk: Desk) -> None:
    assert isinstance(desk.do(Reschedule(str(UUID(int=99)))), RunNotFound)
