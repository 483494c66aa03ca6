"""Again, HandBack and Attention: attempts that end and leave their run alive."""

from backroom.records.states import State
from backroom.store.verbs import Again, Attention, HandBack
from tests.store.desk import MINUTE, SECOND, Desk


def test_a_failed_attempt_is_tried_again_later(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Again(run.id, run.attempt, MINUTE, '{"kind": "E"}'))
    row = desk.row(run.id)
    assert (row.state, row.worker, row.finished_at) == (State.SCHEDULED, None, None)
    assert not desk.claims().runs
    (attempt,) = desk.reader.attempts(run.id)
    assert (attempt.outcome, attempt.error, attempt.worker) == ("failed", '{"kind": "E"}', "worker")
    desk.store.move_clock(MINUTE + SECOND)
    again = desk.claim()
    assert (again.attempt, again.starts, again.failures) == (2, 1, 1)
    desk.done(Again(again.id, again.attempt, 0, "{}"))
    assert desk.claim().failures == 2


def test_a_run_handed_back_is_ready_and_unmarked(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(HandBack(run.id, run.attempt))
    row = desk.row(run.id)
    assert (row.state, row.worker) == (State.READY, None)
    assert desk.reader.attempts(run.id) == []
    again = desk.claim()
    assert (again.attempt, again.starts, again.failures) == (2, 1, 0)


def test_a_run_set_aside_waits_for_a_person(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Attention(run.id, run.attempt, '{"kind": "CodeMismatch"}'))
    row = desk.row(run.id)
    assert (row.state, row.worker) == (State.NEEDS_ATTENTION, None)
    assert (row.error, row.available_at) == ('{"kind": "CodeMismatch"}', None)
    assert [a.error for a in desk.reader.attempts(run.id)] == ['{"kind": "CodeMismatch"}']
    assert not desk.claims().runs
    assert desk.claims().next_due_at is None


def test_a_late_attempt_ends_nothing(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.lose(run)
    before = desk.everything()
    for verb in (
        Again(run.id, run.attempt, 0, "{}"),
        HandBack(run.id, run.attempt),
        Attention(run.id, run.attempt, "{}"),
    ):
        desk.lost(verb)
    assert desk.everything() == before


def test_a_refusal_leaves_its_neighbours_alone(desk: Desk) -> None:
    late, good = desk.started_and_claimed(), desk.started_and_claimed()
    desk.hand_back(late)
    lost, done = desk.session.apply(
        [Again(late.id, late.attempt + 1, 0, "{}"), Again(good.id, good.attempt, 0, "{}")]
    )
    assert lost is not None
    assert done is None
