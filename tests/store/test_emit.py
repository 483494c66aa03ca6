"""Emit: mailboxes, waking, and what is refused."""

from uuid import UUID

import pytest

from backroom.records.errors import MailboxFull, RunEnded, RunNotFound
from backroom.records.limits import MAILBOX_EVENTS
from backroom.records.states import State
from backroom.store.verbs import Emit, SaveStep, Settle, Start
from tests.store.desk import HOUR, MINUTE, Desk, event, step, timer


def test_an_event_lies_in_the_mailbox_until_it_is_consumed(desk: Desk) -> None:
    run = desk.started_and_claimed()
    assert desk.emit(run.id, "go", '{"n": 1}', "event-1") is None
    (mail,) = desk.reader.mail([run.id])
    assert (mail.id, mail.run_id, mail.name, mail.payload) == ("event-1", run.id, "go", '{"n": 1}')
    desk.done(SaveStep(run.id, run.attempt, step("event:go#1"), consumes="event-1"))
    assert desk.reader.mail([run.id]) == []


def test_mail_comes_oldest_first(desk: Desk) -> None:
    run_id = desk.start()
    for name in ("b", "a", "c"):
        desk.emit(run_id, "go", event=name)
        desk.store.move_clock(MINUTE)
    assert [mail.id for mail in desk.reader.mail([run_id])] == ["b", "a", "c"]


def test_an_event_wakes_the_run_that_waits_for_its_name(desk: Desk) -> None:
    run = desk.parked(event("go"))
    assert desk.state(run.id) is State.WAITING
    desk.emit(run.id, "other")
    assert not desk.claims().runs
    desk.emit(run.id, "go", "[7]")
    again = desk.claim()
    assert (again.id, again.attempt) == (run.id, run.attempt + 1)
    assert {mail.name for mail in again.mail} == {"other", "go"}


def test_an_event_does_not_delay_a_run_that_is_overdue(desk: Desk) -> None:
    run = desk.parked(event("go"), timer(MINUTE))
    due = desk.row(run.id).available_at
    desk.store.move_clock(HOUR)
    desk.emit(run.id, "go")
    assert desk.row(run.id).available_at == due


def test_an_event_does_not_wake_a_run_that_is_only_scheduled(desk: Desk) -> None:
    run_id = desk.start(delay_us=HOUR)
    assert desk.emit(run_id, "go") is None
    assert not desk.claims().runs


def test_a_repeated_event_is_one_event(desk: Desk) -> None:
    run = desk.started_and_claimed()
    verb = Emit(run.id, "event-1", "go", "{}")
    assert desk.session.apply([verb, verb]) == [None, None]
    assert len(desk.reader.mail([run.id])) == 1
    desk.done(SaveStep(run.id, run.attempt, step(), consumes="event-1"))
    desk.done(verb)
    assert desk.reader.mail([run.id]) == []
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED))
    desk.done(verb)


def test_an_unknown_run_takes_no_event(desk: Desk) -> None:
    unknown = str(UUID(int=99))
    answer = desk.emit(unknown)
    assert isinstance(answer, RunNotFound)
    assert answer.run_id == unknown
    assert isinstance(desk.emit("no id at all"), RunNotFound)


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_run_takes_no_event(desk: Desk, state: State) -> None:
    answer = desk.emit(desk.settled(state))
    assert isinstance(answer, RunEnded)
    assert answer.state == state


def test_a_full_mailbox_refuses_and_a_read_one_takes_again(desk: Desk) -> None:
    run = desk.started_and_claimed()
    first, *rest = [Emit(run.id, f"event-{n}", "go", "{}") for n in range(MAILBOX_EVENTS)]
    assert set(desk.session.apply([first, *rest])) == {None}
    one_more = Emit(run.id, "one more", "go", "{}")
    answer = desk.do(one_more)
    assert isinstance(answer, MailboxFull)
    assert (answer.run_id, answer.limit) == (run.id, MAILBOX_EVENTS)
    desk.done(first)
    desk.done(SaveStep(run.id, run.attempt, step(), consumes="event-0"))
    desk.done(one_more)
    assert isinstance(desk.emit(run.id), MailboxFull)


def test_the_limit_holds_within_one_batch(desk: Desk) -> None:
    run_id = desk.start()
    verbs = [Emit(run_id, f"event-{n}", "go", "{}") for n in range(MAILBOX_EVENTS + 3)]
    answers = desk.session.apply(verbs)
    assert answers[:MAILBOX_EVENTS] == [None] * MAILBOX_EVENTS
    assert all(isinstance(answer, MailboxFull) for answer in answers[MAILBOX_EVENTS:])
    assert len(desk.reader.mail([run_id])) == MAILBOX_EVENTS


def test_a_run_can_be_started_and_written_to_in_one_batch(desk: Desk) -> None:
    run = desk.new()
    desk.session.apply([Emit(run.id, "event-1", "go", "{}"), Start(run)])
    assert len(desk.reader.mail([run.id])) == 1
