"""What people and programs see: rows, pages, counts, and whether anything changed."""

import pytest

from backroom.records.states import State
from backroom.store.protocol import Store
from backroom.store.verbs import Attention, Emit, SaveStep, Start
from tests.store.desk import HOUR, MINUTE, Desk, event, step


def test_pages_come_newest_first_and_never_overlap(desk: Desk) -> None:
    ids = [desk.start() for _ in range(7)]
    pages = [desk.reader.runs(limit=3)]
    while pages[-1]:
        pages.append(desk.reader.runs(limit=3, before=pages[-1][-1].id))
    assert [[row.id for row in page] for page in pages] == [
        ids[6:3:-1],
        ids[3:0:-1],
        ids[:1],
        [],
    ]


def test_runs_are_filtered_by_flow_queue_and_parent(desk: Desk) -> None:
    parent = desk.start("a", queue="x")
    other = desk.start("b", queue="y", parent_id=parent)
    third = desk.start("a", queue="y")

    def seen(**filters: str) -> list[str]:
        return [row.id for row in desk.reader.runs(**filters)]  # type: ignore[arg-type]

    assert seen() == [third, other, parent]
    assert seen(flow="a") == [third, parent]
    assert seen(queue="y") == [third, other]
    assert seen(flow="a", queue="y") == [third]
    assert seen(parent_id=parent) == [other]
    assert seen(flow="none") == []


def test_runs_are_filtered_by_the_states_that_people_see(desk: Desk) -> None:
    by_state = {
        State.SUCCEEDED: desk.settled(),
        State.FAILED: desk.settled(State.FAILED),
        State.CANCELLED: desk.settled(State.CANCELLED),
        State.WAITING: desk.parked(event()).id,
        State.RUNNING: desk.started_and_claimed().id,
        State.READY: desk.start(),
        State.SCHEDULED: desk.start(delay_us=HOUR),
    }
    for state, run_id in by_state.items():
        (row,) = desk.reader.runs(states=(state,))
        assert (row.id, row.state) == (run_id, state)
    two = desk.reader.runs(states=(State.FAILED, State.SCHEDULED))
    assert [row.id for row in two] == [by_state[State.SCHEDULED], by_state[State.FAILED]]
    live = desk.reader.runs(states=(State.READY, State.RUNNING), limit=1)
    assert [row.id for row in live] == [by_state[State.READY]]
    assert desk.reader.runs(states=(State.NEEDS_ATTENTION,)) == []


def test_state_filters_go_with_the_others(desk: Desk) -> None:
    failed = desk.settled(State.FAILED)
    later = desk.settled(State.FAILED)
    desk.start("other")
    assert [
        row.id for row in desk.reader.runs(states=(State.FAILED,), flow="flow", before=later)
    ] == [failed]
    assert desk.reader.runs(states=(State.FAILED,), queue="other") == []


def test_a_timer_that_has_come_due_reads_as_ready(desk: Desk) -> None:
    run_id = desk.start(delay_us=MINUTE)
    assert desk.state(run_id) is State.SCHEDULED
    desk.store.move_clock(HOUR)
    assert desk.state(run_id) is State.READY
    assert [row.id for row in desk.reader.runs(states=(State.READY,))] == [run_id]
    assert desk.reader.runs(states=(State.SCHEDULED,)) == []
    assert desk.reader.queues()[0].due == 1


def test_queues_count_what_has_not_ended(desk: Desk) -> None:
    desk.settled()
    desk.settled(State.FAILED)
    desk.parked(event())
    aside = desk.started_and_claimed()
    desk.done(Attention(aside.id, aside.attempt, "{}"))
    desk.start(queue="mail")
    desk.start(queue="mail", delay_us=HOUR)
    default, mail = desk.reader.queues()
    assert (default.rules.name, mail.rules.name) == ("default", "mail")
    assert (default.due, default.later, default.parked, default.aside) == (0, 0, 1, 1)
    assert (mail.due, mail.later, mail.parked, mail.aside) == (1, 1, 0, 0)


def test_ended_answers_only_those_that_have_ended(desk: Desk) -> None:
    done = desk.settled()
    failed = desk.settled(State.FAILED)
    live = desk.start()
    rows = desk.reader.ended([live, failed, done, "no id at all"])
    assert {row.id: row.state for row in rows} == {
        done: State.SUCCEEDED,
        failed: State.FAILED,
    }
    assert desk.reader.ended([]) == []


def test_mail_of_several_runs_and_of_none(desk: Desk) -> None:
    one, two = desk.start(), desk.start()
    desk.emit(one, event="event-1")
    desk.emit(two, event="event-2")
    assert {mail.run_id: mail.id for mail in desk.reader.mail([one, two])} == {
        one: "event-1",
        two: "event-2",
    }
    assert desk.reader.mail([]) == []


def test_what_does_not_exist_reads_as_nothing(desk: Desk) -> None:
    unknown = desk.new_id()
    for run_id in (unknown, "no id at all"):
        assert desk.reader.run(run_id) is None
        assert desk.reader.steps(run_id) == []
        assert desk.reader.waits(run_id) == []
        assert desk.reader.attempts(run_id) == []
    assert desk.reader.queues() == []
    assert desk.reader.workers() == []


def test_the_clock_moves_forward_by_what_it_is_moved(desk: Desk, store: Store) -> None:
    before = desk.now()
    store.move_clock(HOUR)
    store.move_clock(MINUTE)
    moved = desk.now() - before
    assert HOUR + MINUTE <= moved < HOUR + 2 * MINUTE
    assert store.reader().now() - before >= HOUR + MINUTE


def test_a_reader_knows_whether_anything_was_committed(desk: Desk) -> None:
    if desk.reader.changed() is None:
        pytest.skip("this database can't tell cheaply")
    assert desk.reader.changed() is False
    run = desk.started_and_claimed()
    assert desk.reader.changed() is True
    assert desk.reader.changed() is False
    desk.done(SaveStep(run.id, run.attempt, step()))
    assert desk.reader.changed() is True
    desk.session.apply([])
    assert desk.reader.changed() is False


def test_an_empty_batch_is_no_work(desk: Desk) -> None:
    assert desk.session.apply([]) == []


def test_closed_sessions_and_readers_open_again(desk: Desk) -> None:
    run = desk.new()
    desk.session.close()
    desk.session.close()
    desk.do(Start(run))
    desk.reader.close()
    assert desk.row(run.id).state is State.READY


def test_text_comes_back_as_it_went_in(desk: Desk) -> None:
    text = "\"\\u0000 ü € 😀 \u2028 \x7f ''; -- %s {} $1 :a ?\""
    run_id = desk.start("flow", input=text, key=text)
    run = desk.claim()
    assert (run.input, run.key) == (text, text)
    assert desk.reader.find("flow", text) == run_id
    desk.done(SaveStep(run_id, run.attempt, step(text, result=text)))
    assert desk.reader.steps(run_id)[0].result == text
    desk.done(Emit(run_id, text, text, text))
    assert [(mail.id, mail.name, mail.payload) for mail in desk.reader.mail([run_id])] == [
        (text, text, text)
    ]
