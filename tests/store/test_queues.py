"""Queues with rules: limits over all workers, rates, partitions, pauses."""

from __future__ import annotations

import pytest

from backroom.records.errors import Busy
from backroom.records.queues import QueueRules
from backroom.records.runs import Claimed, Started
from backroom.records.states import State
from backroom.rules.rates import interval_us
from backroom.store.verbs import (
    AsDeclared,
    Claim,
    Declare,
    Park,
    Pause,
    Resume,
    Retire,
    Settle,
    Start,
)
from tests.store.desk import HOUR, MINUTE, SECOND, Desk, event, timer
from tests.store.racing import in_parallel


def declare(desk: Desk, name: str = "default", **rules: int) -> None:
    desk.done(Declare(QueueRules(name, **rules)))


def end(desk: Desk, run: Claimed) -> None:
    desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))


def ids(runs: tuple[Claimed, ...]) -> list[str]:
    return [run.id for run in runs]


# --- code and operators


def rules_in_force(desk: Desk, name: str = "default") -> tuple[QueueRules, str | None]:
    (row,) = desk.reader.queues(name)
    return row.rules, row.set_by


def test_an_operators_rules_outlast_what_programs_declare(desk: Desk) -> None:
    declare(desk, concurrency=5)
    desk.done(Declare(QueueRules("default", concurrency=1), by="Ann"))
    declare(desk, concurrency=5)
    declare(desk, concurrency=7, rate=10, per_us=SECOND, burst=1, concurrency_per_partition=2)
    assert rules_in_force(desk) == (QueueRules("default", concurrency=1), "Ann")
    assert desk.do(AsDeclared("default")) is True
    assert rules_in_force(desk) == (QueueRules("default", 7, 2, 10, SECOND, 1), None)
    assert desk.do(AsDeclared("default")) is False
    declare(desk, concurrency=9)
    assert rules_in_force(desk) == (QueueRules("default", concurrency=9), None)


def test_an_operators_limit_counts_what_runs_already(desk: Desk) -> None:
    for _ in range(4):
        desk.start()
    first = desk.claims(2).runs
    desk.done(Declare(QueueRules("default", concurrency=2), by="Ann"))
    assert not desk.claims().runs
    end(desk, first[0])
    assert len(desk.claims().runs) == 1
    assert desk.do(AsDeclared("default")) is True
    assert rules_in_force(desk) == (QueueRules("default"), None)
    assert len(desk.claims().runs) == 1


# --- how many at once


def test_a_queue_gives_no_more_runs_than_its_limit(desk: Desk) -> None:
    declare(desk, concurrency=3)
    started = [desk.start() for _ in range(5)]
    first = desk.claims().runs
    assert ids(first) == started[:3]
    assert not desk.claims(worker="another").runs
    end(desk, first[1])
    assert ids(desk.claims(worker="another").runs) == [started[3]]


def test_a_run_that_is_parked_makes_room_and_needs_it_again(desk: Desk) -> None:
    declare(desk, concurrency=1)
    run = desk.parked(timer(MINUTE))
    other = desk.start()
    assert desk.claim().id == other
    desk.store.move_clock(2 * MINUTE)
    assert not desk.claims().runs
    desk.done(Settle(other, 1, State.SUCCEEDED, "1"))
    assert desk.claim().id == run.id


def test_runs_of_a_dead_worker_count_until_they_are_released(desk: Desk) -> None:
    declare(desk, concurrency=2)
    for _ in range(4):
        desk.start()
    lost = desk.claims(worker="dead").runs
    assert len(lost) == 2
    assert not desk.claims().runs
    assert desk.do(Retire("dead", lost=True)) == tuple(sorted(ids(lost)))
    assert len(desk.claims().runs) == 2


def test_runs_claimed_before_there_was_a_limit_count(desk: Desk) -> None:
    for _ in range(4):
        desk.start()
    assert len(desk.claims(2).runs) == 2
    declare(desk, concurrency=3)
    assert len(desk.claims().runs) == 1


def test_a_limit_is_changed_while_runs_are_running(desk: Desk) -> None:
    declare(desk, concurrency=1)
    for _ in range(6):
        desk.start()
    assert len(desk.claims().runs) == 1
    declare(desk, concurrency=4)
    assert len(desk.claims().runs) == 3
    declare(desk, concurrency=2)
    assert not desk.claims().runs
    declare(desk)
    assert len(desk.claims().runs) == 2


def test_a_queue_with_rules_and_one_without_are_one_line(desk: Desk) -> None:
    declare(desk, "mail", concurrency=1)
    second = desk.start(queue="mail", at=2)
    desk.start(queue="mail", at=3)
    third = desk.start(at=4)
    first = desk.start(at=1)
    urgent = desk.start(at=9, priority=0)
    found = desk.claims(queues=("default", "mail")).runs
    assert ids(found) == [urgent, first, second, third]


def test_a_claim_without_rules_passes_over_queues_that_have_some(desk: Desk) -> None:
    declare(desk, "mail", concurrency=1)
    desk.start(queue="mail")
    free = desk.start()
    answer = desk.do(Claim("worker", ("default", "mail"), ("flow",), 10))
    assert free in ids(getattr(answer, "runs", ()))
    assert getattr(answer, "ruled", None) is True
    answer = desk.do(Claim("worker", ("default",), ("flow",), 10))
    assert getattr(answer, "ruled", None) is False


@pytest.mark.parametrize("limit", [1, 5])
def test_claims_at_the_same_instant_never_exceed_the_limit(desk: Desk, limit: int) -> None:
    declare(desk, concurrency=limit)
    desk.session.apply([Start(desk.new()) for _ in range(40)])
    claim = Claim("worker", ("default",), ("flow",), 3, ruled=True)
    answers = in_parallel(desk, *[[claim] * 4 for _ in range(4)])
    found = [run for lane in answers for claims in lane for run in getattr(claims, "runs", ())]
    assert 1 <= len(found) <= limit
    assert len(found) + len(desk.claims().runs) == limit


# --- how often


def test_a_rate_lets_through_no_more_than_it_says(desk: Desk) -> None:
    declare(desk, rate=60, per_us=MINUTE, burst=1)
    started = [desk.start() for _ in range(4)]
    claims = desk.claims()
    assert ids(claims.runs) == started[:1]
    assert claims.next_due_at is not None
    assert 0 < claims.next_due_at - claims.now <= SECOND
    assert not desk.claims().runs
    desk.store.move_clock(SECOND)
    assert ids(desk.claims().runs) == started[1:2]
    desk.store.move_clock(10 * SECOND)
    assert ids(desk.claims().runs) == started[2:3]


def test_a_burst_comes_at_once_and_is_earned_again(desk: Desk) -> None:
    declare(desk, rate=60, per_us=MINUTE, burst=3)
    for _ in range(10):
        desk.start()
    assert len(desk.claims().runs) == 3
    assert not desk.claims().runs
    desk.store.move_clock(2 * SECOND)
    assert len(desk.claims().runs) == 2
    desk.store.move_clock(HOUR)
    assert len(desk.claims().runs) == 3


def test_a_rate_holds_in_every_stretch_of_time(desk: Desk) -> None:
    rate, per_us, burst = 7, 10 * SECOND, 2
    declare(desk, rate=rate, per_us=per_us, burst=burst)
    desk.session.apply([Start(desk.new()) for _ in range(60)])
    begun: list[int] = []
    for number in range(60):
        claims = desk.claims()
        begun += [claims.now] * len(claims.runs)
        desk.store.move_clock((number * 37 % 11) * SECOND // 4)
    assert len(begun) > 20
    interval = interval_us(rate, per_us)
    for place, first in enumerate(begun):
        for number, last in enumerate(begun[place:], start=1):
            assert number <= (last - first + SECOND // 2) / interval + burst


def test_both_limits_of_a_queue_hold(desk: Desk) -> None:
    declare(desk, concurrency=2, rate=60, per_us=MINUTE, burst=3)
    for _ in range(5):
        desk.start()
    first = desk.claims().runs
    assert len(first) == 2
    for run in first:
        end(desk, run)
    assert len(desk.claims().runs) == 1


# --- partitions


def test_a_partition_gives_no_more_runs_than_its_limit(desk: Desk) -> None:
    declare(desk, concurrency_per_partition=2)
    ada = [desk.start(partition="ada") for _ in range(4)]
    bob = [desk.start(partition="bob") for _ in range(1)]
    first = desk.claims().runs
    assert {run.id for run in first} == {*ada[:2], *bob}
    assert not desk.claims().runs
    end(desk, next(run for run in first if run.id == ada[0]))
    assert ids(desk.claims().runs) == [ada[2]]


def test_partitions_share_a_queue_fairly(desk: Desk) -> None:
    declare(desk, concurrency=4, concurrency_per_partition=3)
    big = [Start(desk.new(partition="big", at=n)) for n in range(500)]
    desk.session.apply(big)
    small = {desk.start(partition=f"small {n}", at=10_000 + n) for n in range(9)}
    running = list(desk.claims().runs)
    assert sum(run.id in small for run in running) == 3
    seen = {run.id for run in running}
    for _ in range(10):
        end(desk, running.pop(0))
        running += desk.claims(1).runs
        seen |= {run.id for run in running}
    assert small <= seen


def test_the_most_urgent_of_all_partitions_come_first(desk: Desk) -> None:
    declare(desk, concurrency=2, concurrency_per_partition=2)
    desk.start(partition="ada")
    urgent = [desk.start(partition="bob", priority=0) for _ in range(2)]
    assert ids(desk.claims().runs) == urgent


def test_timers_and_delays_of_a_partition_come_due(desk: Desk) -> None:
    declare(desk, concurrency_per_partition=1)
    run_id = desk.start(partition="ada", delay_us=MINUTE)
    claims = desk.claims()
    assert not claims.runs
    assert claims.next_due_at == desk.row(run_id).available_at
    desk.store.move_clock(MINUTE)
    run = desk.claim()
    desk.done(Park(run.id, run.attempt, (timer(MINUTE),)))
    assert not desk.claims().runs
    desk.store.move_clock(MINUTE)
    again = desk.claim()
    assert (again.id, again.attempt) == (run_id, 2)
    desk.done(Park(again.id, again.attempt, (event(),)))
    desk.emit(run_id)
    assert desk.claim().id == run_id


def test_runs_without_a_partition_are_not_left_behind_in_a_parted_queue(desk: Desk) -> None:
    declare(desk, concurrency=3, concurrency_per_partition=1)
    plain = [desk.start(at=n) for n in range(2)]
    parted = desk.start(partition="ada", at=5)
    assert set(ids(desk.claims().runs)) == {*plain, parted}


def test_runs_with_a_partition_are_found_when_the_limit_is_lifted(desk: Desk) -> None:
    declare(desk, concurrency_per_partition=1)
    started = {desk.start(partition="ada") for _ in range(3)}
    declare(desk)
    assert set(ids(desk.claims().runs)) == started


def test_a_retried_run_keeps_its_partition(desk: Desk) -> None:
    declare(desk, concurrency_per_partition=1)
    run_id = desk.start(partition="ada")
    run = desk.claim()
    desk.done(Settle(run.id, run.attempt, State.FAILED, None, '{"kind": "E"}'))
    desk.start(partition="ada")
    desk.revive(run_id)
    assert len(desk.claims().runs) == 1


def test_a_suspect_keeps_to_the_limits_of_its_queue_and_its_partition(desk: Desk) -> None:
    declare(desk, concurrency=2, concurrency_per_partition=1)
    suspect = desk.start(partition="ada")
    for _ in range(2):
        assert ids(desk.claims(worker="killed").runs) == [suspect]
        desk.do(Retire("killed", lost=True))
    other = desk.start(partition="ada")
    assert ids(desk.claims().runs) == [other]
    assert not desk.claims(1, suspects=True).runs
    desk.done(Settle(other, 1, State.SUCCEEDED, "1"))
    assert ids(desk.claims(1, suspects=True).runs) == [suspect]
    desk.start(partition="ada")
    assert not desk.claims().runs


# --- pause


def test_a_paused_queue_gives_nothing_and_what_runs_goes_on(desk: Desk) -> None:
    run = desk.started_and_claimed()
    desk.done(Pause("default", "Ann"))
    waiting = desk.start()
    assert not desk.claims().runs
    end(desk, run)
    assert desk.state(run.id) is State.SUCCEEDED
    other = desk.start(queue="other")
    assert ids(desk.claims(queues=("default", "other")).runs) == [other]
    desk.done(Resume("default"))
    assert desk.claim().id == waiting


def test_a_pause_outlives_a_new_declaration(desk: Desk) -> None:
    desk.done(Pause("default"))
    declare(desk, concurrency=5)
    desk.start()
    assert not desk.claims().runs
    desk.done(Resume("default"))
    assert len(desk.claims().runs) == 1


def test_a_second_pause_keeps_the_first_ones_time(desk: Desk) -> None:
    desk.done(Pause("default", "Ann"))
    before = desk.reader.queues("default")[0]
    desk.store.move_clock(MINUTE)
    desk.done(Pause("default", "Bob"))
    after = desk.reader.queues("default")[0]
    assert (after.paused_at, after.paused_by) == (before.paused_at, "Ann")


# --- what is told


def test_the_reader_tells_how_queues_stand(desk: Desk) -> None:
    declare(desk, "mail", concurrency=2, rate=10, per_us=MINUTE, burst=2, max_waiting=9)
    desk.start(queue="mail")
    first = desk.start(queue="other", at=5)
    desk.start(queue="other", at=7)
    desk.start(queue="other", delay_us=HOUR)
    desk.claims(queues=("mail",))
    desk.done(Pause("third", "Ann"))
    mail, other, third = desk.reader.queues()
    assert mail.rules == QueueRules("mail", 2, None, 10, MINUTE, 2, 9)
    assert (mail.due, mail.running, mail.paused_at) == (0, 1, None)
    assert other.rules == QueueRules("other")
    assert (other.due, other.later, other.parked, other.running) == (2, 1, 0, 0)
    assert other.oldest_due_at == desk.row(first).available_at
    assert (third.rules.name, third.paused_by, third.due) == ("third", "Ann", 0)
    assert desk.reader.queues("other") == [other]


# --- intake


def test_a_full_queue_refuses_and_drops_nothing(desk: Desk) -> None:
    declare(desk, max_waiting=2)
    kept = [desk.start(), desk.start(delay_us=HOUR)]
    new = desk.new()
    answer = desk.do(Start(new))
    assert isinstance(answer, Busy)
    assert "max_waiting" in str(answer)
    assert desk.reader.run(new.id) is None
    assert desk.claim().id == kept[0]
    assert desk.do(Start(new)) == Started(new.id, True)
    assert isinstance(desk.do(Start(desk.new())), Busy)
    desk.start(queue="other")


def test_a_start_that_is_repeated_is_known_though_the_queue_is_full(desk: Desk) -> None:
    declare(desk, max_waiting=1)
    plain, keyed = desk.new(), desk.new(key="k")
    assert desk.do(Start(keyed)) == Started(keyed.id, True)
    assert desk.do(Start(keyed)) == Started(keyed.id, True)
    assert desk.do(Start(desk.new(key="k"))) == Started(keyed.id, False)
    assert isinstance(desk.do(Start(plain)), Busy)


def test_a_refused_start_leaves_its_key_to_others(desk: Desk) -> None:
    declare(desk, max_waiting=1)
    run_id = desk.start()
    refused = desk.new(key="k")
    assert isinstance(desk.do(Start(refused)), Busy)
    assert desk.reader.find("flow", "k") is None
    desk.claim()
    assert desk.do(Start(desk.new(key="k", queue="other")))
    assert run_id


def test_of_one_batch_as_many_are_taken_in_as_there_is_room(desk: Desk) -> None:
    declare(desk, max_waiting=3)
    answers = desk.session.apply([Start(desk.new()) for _ in range(5)])
    assert [isinstance(answer, Started) for answer in answers] == [True] * 3 + [False] * 2


def test_what_a_run_starts_is_let_into_a_full_queue(desk: Desk) -> None:
    declare(desk, max_waiting=1)
    cause = desk.started_and_claimed()
    desk.start()
    desk.start(cause_id=cause.id, depth=1)
    assert isinstance(desk.do(Start(desk.new())), Busy)
