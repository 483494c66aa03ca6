"""Breakers: failures in a row are counted over all runs, and one call is made to try."""

from __future__ import annotations

from itertools import count

import pytest

from backroom.records.runs import Claimed, WaitRow
from backroom.records.states import State
from backroom.store.verbs import CloseBreaker, Probe, Probed, SaveStep, Strike
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, step
from tests.store.racing import in_parallel

TRIES = count(1)
GO = Probed(go=True)


def runs(desk: Desk, count: int) -> list[Claimed]:
    for _ in range(count):
        desk.start()
    return list(desk.claims().runs)


def fails(desk: Desk, run: Claimed, *, after: int = 3) -> None:
    strike = Strike("pay", after, MINUTE, "ConnectionError")
    row = step(state="trying", tries=next(TRIES))
    desk.done(SaveStep(run.id, run.attempt, row, strike=strike))


def goes_well(desk: Desk, run: Claimed) -> None:
    desk.done(SaveStep(run.id, run.attempt, step(tries=next(TRIES)), mends="pay"))


def asks(desk: Desk, run: Claimed) -> Probed:
    answer = desk.do(Probe(run.id, run.attempt, "pay", "work#1", 10 * SECOND))
    assert isinstance(answer, Probed)
    return answer


def opened(desk: Desk, run: Claimed) -> int:
    for _ in range(3):
        fails(desk, run)
    (row,) = desk.reader.breakers("pay")
    assert row.open_until is not None
    return row.open_until


def test_enough_failures_in_a_row_open_it_whoever_made_them(desk: Desk) -> None:
    a, b = runs(desk, 2)
    assert asks(desk, a) == GO
    fails(desk, a)
    fails(desk, b)
    (row,) = desk.reader.breakers()
    assert (row.name, row.failures, row.open_until) == ("pay", 2, None)
    assert row.error == "ConnectionError"
    assert asks(desk, b) == GO
    fails(desk, a)
    (row,) = desk.reader.breakers("pay")
    assert row.open_until == row.failed_at + MINUTE
    assert asks(desk, b) == Probed(go=False, until=row.open_until)


def test_a_success_in_between_forgets_the_failures(desk: Desk) -> None:
    (a,) = runs(desk, 1)
    fails(desk, a)
    fails(desk, a)
    goes_well(desk, a)
    assert desk.reader.breakers() == []
    fails(desk, a)
    assert asks(desk, a) == GO


def test_one_call_tries_and_the_others_wait_for_its_end(desk: Desk) -> None:
    a, b = runs(desk, 2)
    opened(desk, a)
    desk.store.move_clock(MINUTE)
    assert asks(desk, a) == GO
    assert asks(desk, a) == GO, "the same call, after a crash"
    answer = asks(desk, b)
    assert not answer.go
    assert desk.now() < answer.until <= desk.now() + 10 * SECOND
    fails(desk, a)
    (row,) = desk.reader.breakers("pay")
    assert (row.failures, row.open_until) == (4, row.failed_at + MINUTE)
    assert asks(desk, b) == Probed(go=False, until=row.failed_at + MINUTE)
    desk.store.move_clock(MINUTE)
    assert asks(desk, b) == GO
    goes_well(desk, b)
    assert desk.reader.breakers() == []


def test_one_that_never_came_back_from_trying_is_followed_by_another(desk: Desk) -> None:
    a, b = runs(desk, 2)
    opened(desk, a)
    desk.store.move_clock(MINUTE)
    assert asks(desk, a) == GO
    desk.store.move_clock(11 * SECOND)
    assert asks(desk, b) == GO


def test_calls_that_began_before_it_opened_do_not_count(desk: Desk) -> None:
    a, b = runs(desk, 2)
    until = opened(desk, a)
    fails(desk, b)
    goes_well(desk, b)
    (row,) = desk.reader.breakers("pay")
    assert (row.failures, row.open_until) == (3, until)


@pytest.mark.parametrize("how", ["by the call that tried", "by a person"])
def test_who_waits_for_it_wakes_when_it_closes(desk: Desk, how: str) -> None:
    a, b = runs(desk, 2)
    until = opened(desk, a)
    desk.park(b, WaitRow("work#1:breaker", "breaker", "pay", None, until + HOUR))
    desk.store.move_clock(MINUTE)
    assert desk.row(b.id).state is State.WAITING
    if how == "by a person":
        assert desk.do(CloseBreaker("pay")) is True
        assert desk.do(CloseBreaker("pay")) is False
    else:
        assert asks(desk, a) == GO
        goes_well(desk, a)
    assert desk.claim().id == b.id


def test_who_parks_when_it_has_just_closed_is_due_at_once(desk: Desk) -> None:
    a, b = runs(desk, 2)
    until = opened(desk, a)
    desk.do(CloseBreaker("pay"))
    desk.park(b, WaitRow("work#1:breaker", "breaker", "pay", None, until))
    assert desk.claim().id == b.id


def test_an_old_attempt_counts_for_nothing(desk: Desk) -> None:
    (a,) = runs(desk, 1)
    desk.hand_back(a)
    strike = Strike("pay", 1, MINUTE, "E")
    desk.lost(SaveStep(a.id, a.attempt, step(state="trying"), strike=strike))
    assert desk.reader.breakers() == []
    desk.lost(Probe(a.id, a.attempt, "pay", "work#1", SECOND))


def test_of_many_at_the_same_instant_one_tries(desk: Desk) -> None:
    several = runs(desk, 4)
    opened(desk, several[0])
    desk.store.move_clock(MINUTE)
    answers = in_parallel(
        desk, *([Probe(run.id, run.attempt, "pay", "work#1", MINUTE)] for run in several)
    )
    told = [answer for (answer,) in answers if isinstance(answer, Probed)]
    assert [answer.go for answer in told].count(True) == 1
    assert all(answer.go or answer.until > desk.now() for answer in told)
