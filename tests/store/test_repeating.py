"""Every verb can be repeated: the answer to its first commit may have been lost.

Time moves between the two, so that a row that is written anew would show it.
"""

from collections.abc import Callable

import pytest

from backroom.records.runs import WorkerRow
from backroom.records.states import State
from backroom.store.verbs import (
    Again,
    Attention,
    Cancel,
    Emit,
    Erase,
    HandBack,
    Lock,
    Park,
    Progress,
    Reconcile,
    Register,
    Renew,
    Reschedule,
    Rescue,
    Retire,
    Revive,
    SaveStep,
    SaveWaits,
    Settle,
    Start,
    Strike,
    Verb,
)
from tests.store.desk import HOUR, SECOND, Desk, child, event, step, timer

AUDIT_ID = "01a20c82-0000-7000-8000-00000000a0d1"

Case = Callable[[Desk], Verb]


def save_step(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    desk.emit(run.id, "go", event="event-1")
    new = (desk.new(parent_id=run.id), desk.new(key="k", delay_us=HOUR))
    return SaveStep(run.id, run.attempt, step(), "event-1", new, clears_starts=True)


def save_waits(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    return SaveWaits(run.id, run.attempt, (timer(HOUR), event()))


def settle(state: State) -> Case:
    def case(desk: Desk) -> Verb:
        parent = desk.started_and_claimed()
        run = desk.started_and_claimed(parent_id=parent.id)
        desk.start(parent_id=run.id, delay_us=HOUR)
        desk.park(parent, child(run.id))
        return Settle(run.id, run.attempt, state, "1", '{"kind": "E"}')

    return case


def park(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    waits = (timer(HOUR), event())
    return Park(run.id, run.attempt, waits, (step("a#1", "trying", error="{}"),))


def park_at_once_due(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    desk.emit(run.id, "go")
    return Park(run.id, run.attempt, (event("go"),))


def cancel_waiting(desk: Desk) -> Verb:
    return Cancel(desk.parked(event()).id, "why")


def cancel_running(desk: Desk) -> Verb:
    return Cancel(desk.started_and_claimed().id, "why")


def revive(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    desk.emit(run.id, "go", event="event-1")
    desk.done(SaveStep(run.id, run.attempt, step("go#1"), "event-1"))
    desk.done(Settle(run.id, run.attempt, State.FAILED, error='{"kind": "E"}'))
    return Revive(run.id, run.attempt, "rewound", "{}", ("go#1",), (step("rewind"),))


def emit(desk: Desk) -> Verb:
    return Emit(desk.parked(event("go")).id, "event-1", "go", "{}")


def ending(make: Callable[[str, int], Verb]) -> Case:
    def case(desk: Desk) -> Verb:
        run = desk.started_and_claimed()
        return make(run.id, run.attempt)

    return case


def strikes(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    strike = Strike("pay", 5, HOUR, "E")
    return SaveStep(run.id, run.attempt, step(state="trying", error="{}"), strike=strike)


def mends(desk: Desk) -> Verb:
    desk.do(strikes(desk))
    run = desk.started_and_claimed()
    return SaveStep(run.id, run.attempt, step(), mends="pay")


def in_line(desk: Desk) -> Verb:
    first = desk.started_and_claimed()
    desk.do(Lock(first.id, first.attempt, "lock#1", ("x",)))
    run = desk.started_and_claimed()
    return Lock(run.id, run.attempt, "lock#1", ("x",))


def gives_back(desk: Desk) -> Verb:
    run = desk.started_and_claimed()
    desk.do(Lock(run.id, run.attempt, "lock#1", ("x",)))
    return SaveStep(run.id, run.attempt, step("lock#1"), releases=True)


CASES: dict[str, Case] = {
    "Start": lambda desk: Start(desk.new()),
    "Start delayed": lambda desk: Start(desk.new(delay_us=HOUR, timeout_us=HOUR)),
    "Start keyed": lambda desk: Start(desk.new(key="k")),
    "Emit": emit,
    "Cancel a waiting run": cancel_waiting,
    "Cancel a running run": cancel_running,
    "Erase": lambda desk: Erase((desk.settled(key="k"), desk.start()), AUDIT_ID, "Grace"),
    "Revive": revive,
    "Reschedule": lambda desk: Reschedule(desk.start(timeout_us=HOUR), at=desk.now() + HOUR),
    "SaveStep": save_step,
    "SaveStep that gives locks back": gives_back,
    "SaveStep of a failed call": strikes,
    "SaveStep of a call that mends": mends,
    "Lock": ending(lambda run_id, attempt: Lock(run_id, attempt, "lock#1", ("x", "y"))),
    "Lock that has to wait": in_line,
    "SaveWaits": save_waits,
    "Settle succeeded": settle(State.SUCCEEDED),
    "Settle failed": settle(State.FAILED),
    "Settle cancelled": settle(State.CANCELLED),
    "Park": park,
    "Park at once due": park_at_once_due,
    "Again": ending(lambda run_id, attempt: Again(run_id, attempt, HOUR, "{}")),
    "HandBack": ending(HandBack),
    "Attention": ending(lambda run_id, attempt: Attention(run_id, attempt, "{}")),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_repeated_verb_leaves_the_same_rows_and_answers(desk: Desk, case: Case) -> None:
    verb = case(desk)
    first = desk.do(verb)
    rows = desk.everything()
    desk.store.move_clock(SECOND)
    assert desk.do(verb) == first
    assert desk.everything() == rows
    assert desk.session.apply([verb, verb]) == [first, first]
    assert desk.everything() == rows


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_a_verb_repeated_within_one_batch_counts_once(desk: Desk, case: Case) -> None:
    verb = case(desk)
    first, second = desk.session.apply([verb, verb])
    rows = desk.everything()
    assert first == second
    assert desk.do(verb) == first
    assert desk.everything() == rows


def test_progress_repeated_is_the_same_progress(desk: Desk) -> None:
    run = desk.started_and_claimed()
    verb = Progress(run.id, run.attempt, 0.5, "half")
    for _ in range(2):
        desk.done(verb)
        assert desk.row(run.id).progress == 0.5


def test_registering_and_renewing_can_be_repeated(desk: Desk) -> None:
    for _ in range(2):
        desk.done(Register(WorkerRow("worker", "name"), HOUR))
        assert desk.do(Renew(("worker", "gone"), HOUR)) == {"worker"}
    assert len(desk.reader.workers()) == 1


@pytest.mark.parametrize(
    "verb",
    [
        Rescue(),
        Retire("worker"),
        Retire("worker", lost=False),
        Reconcile("worker", frozenset()),
    ],
    ids=str,
)
def test_releasing_again_releases_nothing_more(desk: Desk, verb: Verb) -> None:
    run = desk.started_and_claimed()
    assert desk.do(verb) == (run.id,)
    rows = desk.everything()
    assert desk.do(verb) == ()
    assert desk.everything() == rows


def test_a_settle_is_known_again_after_its_run_was_retried(desk: Desk) -> None:
    run = desk.started_and_claimed()
    verb = Settle(run.id, run.attempt, State.FAILED, error="{}")
    desk.done(verb)
    desk.revive(run.id)
    desk.claim()
    rows = desk.everything()
    desk.done(verb)
    assert desk.everything() == rows


def test_a_parking_is_known_again_after_its_run_was_woken(desk: Desk) -> None:
    run = desk.started_and_claimed()
    verb = Park(run.id, run.attempt, (event("go"),))
    desk.done(verb)
    desk.emit(run.id, "go")
    rows = desk.everything()
    desk.done(verb)
    assert desk.everything() == rows
    desk.claim()
    desk.lost(verb)
