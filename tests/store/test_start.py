"""Start: what is stored, keys, and starting again."""

from dataclasses import replace

import pytest

from backroom.records.runs import FOREVER, Started
from backroom.records.states import State
from backroom.store.verbs import Settle, Start
from tests.store.desk import HOUR, MINUTE, Desk


def test_a_run_is_kept_as_it_was_asked_for(desk: Desk) -> None:
    parent = desk.start()
    run = desk.new(
        "letters",
        input='{"to": "Zoë"}',
        queue="mail",
        priority=2,
        key="k-1",
        parent_id=parent,
        cause_id=parent,
        root_id=parent,
        depth=1,
    )
    assert desk.do(Start(run)) == Started(run.id, True)
    row = desk.row(run.id)
    assert (row.flow, row.input, row.queue, row.priority) == (
        "letters",
        '{"to": "Zoë"}',
        "mail",
        2,
    )
    assert (row.key, row.parent_id, row.cause_id) == ("k-1", parent, parent)
    assert (row.state, row.attempt, row.started_at) == (State.READY, 0, None)
    assert row.available_at == row.created_at
    claimed = desk.claim(queues=("mail",), flows=("letters",))
    assert (claimed.root_id, claimed.depth, claimed.key) == (parent, 1, "k-1")


def test_a_delayed_run_is_scheduled_by_the_databases_clock(desk: Desk) -> None:
    run_id = desk.start(delay_us=HOUR)
    row = desk.row(run_id)
    assert row.state is State.SCHEDULED
    assert row.available_at == row.created_at + HOUR
    assert not desk.claims().runs
    desk.store.move_clock(HOUR)
    assert desk.state(run_id) is State.READY
    assert desk.claim().id == run_id


def test_an_absolute_time_wins_over_a_delay(desk: Desk) -> None:
    at = desk.now() + HOUR
    assert desk.row(desk.start(at=at, delay_us=5)).available_at == at


def test_a_time_in_the_past_is_due_at_once(desk: Desk) -> None:
    run_id = desk.start(at=desk.now() - HOUR)
    assert desk.state(run_id) is State.READY
    assert desk.claim().id == run_id


def test_a_time_that_never_comes_is_no_time(desk: Desk) -> None:
    row = desk.row(desk.start(at=FOREVER))
    assert (row.state, row.available_at) == (State.SCHEDULED, None)


def test_the_deadline_counts_from_when_the_run_is_due(desk: Desk) -> None:
    desk.start(delay_us=HOUR, timeout_us=MINUTE)
    desk.store.move_clock(HOUR)
    run = desk.claim()
    assert run.deadline_at == run.created_at + HOUR + MINUTE


def test_the_same_id_again_is_one_run(desk: Desk) -> None:
    run = desk.new()
    answers = desk.session.apply([Start(run), Start(run)])
    assert answers == [Started(run.id, True)] * 2
    assert desk.do(Start(run)) == Started(run.id, True)
    assert len(desk.claims().runs) == 1


def test_the_same_id_again_does_not_bring_an_ended_run_back(desk: Desk) -> None:
    run = desk.new()
    desk.do(Start(run))
    claimed = desk.claim()
    desk.done(Settle(run.id, claimed.attempt, State.SUCCEEDED))
    assert desk.do(Start(run)) == Started(run.id, True)
    assert desk.state(run.id) is State.SUCCEEDED
    assert not desk.claims().runs


def test_a_key_holds_one_run_per_flow(desk: Desk) -> None:
    first = desk.start("flow", key="k")
    other = desk.new("flow", key="k")
    assert desk.do(Start(other)) == Started(first, False)
    assert desk.reader.run(other.id) is None
    elsewhere = desk.start("other flow", key="k")
    assert desk.reader.find("flow", "k") == first
    assert desk.reader.find("other flow", "k") == elsewhere
    assert desk.reader.find("flow", "unknown") is None


def test_a_key_within_one_batch_goes_to_the_first(desk: Desk) -> None:
    first, second = desk.new(key="k"), desk.new(key="k")
    assert desk.session.apply([Start(first), Start(second)]) == [
        Started(first.id, True),
        Started(first.id, False),
    ]


def test_a_key_stays_taken_after_its_run_has_ended(desk: Desk) -> None:
    ended = desk.settled(key="k")
    assert desk.do(Start(desk.new(key="k"))) == Started(ended, False)


def test_a_repeated_keyed_start_is_still_the_one_that_made_the_run(desk: Desk) -> None:
    run = desk.new(key="k")
    other = desk.new(key="k")
    for _ in range(2):
        assert desk.do(Start(run)) == Started(run.id, True)
        assert desk.do(Start(other)) == Started(run.id, False)


@pytest.mark.parametrize("number", [1, 24, 25, 26, 60, 301])
def test_batches_of_any_size_store_every_run_once(desk: Desk, number: int) -> None:
    runs = [desk.new(input=f"[{n}]") for n in range(number)]
    answers = desk.session.apply([Start(run) for run in runs])
    assert answers == [Started(run.id, True) for run in runs]
    claimed = desk.claims(1000).runs
    assert [run.input for run in claimed] == [run.input for run in runs]


def test_a_batch_with_old_and_new_runs_stores_only_the_new(desk: Desk) -> None:
    runs = [desk.new() for _ in range(6)]
    desk.session.apply([Start(run) for run in runs[::2]])
    desk.session.apply([Start(replace(run, input="[]")) for run in runs])
    assert [desk.row(run.id).input for run in runs] == ["{}", "[]"] * 3
