"""Suspects: runs that were there twice when a worker died, and are performed alone from then on."""

from __future__ import annotations

import pytest

from backroom.records.runs import Claimed
from backroom.records.states import State
from backroom.rules.suspicion import SUSPECT_AFTER, SUSPECT_LINES
from backroom.store.verbs import (
    Again,
    Attention,
    Park,
    Reconcile,
    Reschedule,
    Rescue,
    Retire,
    SaveStep,
)
from tests.store.desk import HOUR, Desk, step, timer


def die(desk: Desk, run: Claimed) -> None:
    """The worker of a run dies."""
    assert desk.do(Rescue(max_starts=3)) == (run.id,)


def suspect(desk: Desk, *, queue: str = "default", priority: int = 5) -> str:
    """A run that two workers have died with."""
    run_id = desk.start(queue=queue, priority=priority)
    for _ in range(SUSPECT_AFTER):
        die(desk, desk.claim(queues=(queue,)))
    return run_id


def seen(desk: Desk, *queues: str, flows: tuple[str, ...] = ("flow",)) -> int:
    return desk.reader.suspects(queues or ("default",), flows, 100)


def test_one_death_is_an_accident(desk: Desk) -> None:
    run_id = desk.start()
    die(desk, desk.claim())
    assert seen(desk) == 0
    assert desk.claims(suspects=True).runs == ()
    assert desk.claim().id == run_id


def test_after_two_deaths_only_a_claim_of_suspects_takes_a_run(desk: Desk) -> None:
    run_id = suspect(desk, priority=2)
    other = desk.start(priority=9)
    assert seen(desk) == 1
    assert [run.id for run in desk.claims().runs] == [other]
    run = desk.claim(suspects=True)
    assert (run.id, run.attempt, run.starts) == (run_id, 3, 3)
    assert seen(desk) == 0
    assert desk.row(run_id).priority == 2, "what people see stays as it was asked for"


def test_suspects_of_several_queues_are_found_the_urgent_ones_first(desk: Desk) -> None:
    later = suspect(desk, queue="mail", priority=7)
    first = suspect(desk, queue="slow", priority=1)
    assert seen(desk, "mail", "slow") == 2
    assert seen(desk, "mail") == 1
    assert seen(desk, "mail", "slow", flows=("another",)) == 0
    queues = ("mail", "slow")
    assert desk.claim(suspects=True, queues=queues).id == first
    assert desk.claim(suspects=True, queues=queues).id == later


def test_only_a_death_alone_sets_a_run_aside(desk: Desk) -> None:
    run_id = suspect(desk)
    run = desk.claim(suspects=True)
    desk.hand_back(run)  # a worker that stops by itself
    run = desk.claim(suspects=True)
    assert run.starts == 3
    die(desk, run)
    assert desk.state(run_id) is State.NEEDS_ATTENTION
    assert [a.outcome for a in desk.reader.attempts(run_id)] == ["lost"] * 3


def test_a_death_in_company_never_sets_a_run_aside(desk: Desk) -> None:
    run_id = desk.start()
    die(desk, desk.claim())
    run = desk.claim()
    desk.query("UPDATE {b}live SET starts = 7")  # however it came to that
    die(desk, run)
    assert desk.state(run_id) is State.READY
    assert seen(desk) == 1


@pytest.mark.parametrize("how", ["step", "park", "again"])
def test_progress_takes_a_run_back_among_the_others(desk: Desk, how: str) -> None:
    run_id = suspect(desk)
    run = desk.claim(suspects=True)
    match how:
        case "step":
            desk.done(SaveStep(run_id, run.attempt, step(), clears_starts=True))
            die(desk, run)
        case "park":
            desk.done(Park(run_id, run.attempt, (timer(0),)))
        case "again":
            desk.done(Again(run_id, run.attempt, 0, "{}"))
    assert seen(desk) == 0
    assert desk.claim().id == run_id


@pytest.mark.parametrize("how", ["handed back", "retired", "reconciled", "rescheduled"])
def test_a_suspect_stays_one_whatever_else_happens(desk: Desk, how: str) -> None:
    run_id = suspect(desk)
    desk.register()
    if how != "rescheduled":
        run = desk.claim(suspects=True)
    match how:
        case "handed back":
            desk.hand_back(run)
        case "retired":
            assert desk.do(Retire("worker", lost=False)) == (run_id,)
        case "reconciled":
            assert desk.do(Reconcile("worker", frozenset())) == (run_id,)
        case "rescheduled":
            desk.done(Reschedule(run_id, delay_us=HOUR))
            assert seen(desk) == 0
            desk.store.move_clock(HOUR)
    assert desk.claims().runs == ()
    assert desk.claim(suspects=True).id == run_id


@pytest.mark.parametrize("aside", ["poison", "attention"])
def test_a_person_who_retries_a_run_takes_the_suspicion_off(desk: Desk, aside: str) -> None:
    run_id = suspect(desk, priority=3)
    run = desk.claim(suspects=True)
    if aside == "poison":
        die(desk, run)
    else:
        desk.done(Attention(run_id, run.attempt, "{}"))
    desk.revive(run_id)
    again = desk.claim()
    assert (again.id, again.starts, again.priority) == (run_id, 1, 3)


def test_the_lines_of_suspects_are_those_that_the_statements_spell_out() -> None:
    assert SUSPECT_AFTER == 2
    assert range(10, 20) == SUSPECT_LINES
