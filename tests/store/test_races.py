"""Lost wake-ups, keys and claims under real concurrency: many rounds, two sessions or more."""

from collections import Counter

import pytest

from backroom.records.runs import Claims, Started
from backroom.records.states import State
from backroom.store.verbs import Cancel, Claim, Emit, Park, SaveStep, Settle, Start, Verb
from tests.store.desk import HOUR, Desk, child, event, step
from tests.store.racing import in_parallel

ROUNDS = 60


def test_an_event_never_falls_between_the_look_and_the_parking(desk: Desk) -> None:
    runs = [desk.started_and_claimed() for _ in range(ROUNDS)]
    parks = [Park(run.id, run.attempt, (event("go"),)) for run in runs]
    emits = [Emit(run.id, f"event of {run.id}", "go", "{}") for run in runs]
    parked, emitted = in_parallel(desk, parks, emits)
    assert parked == emitted == [None] * ROUNDS
    claimed = {run.id: run for run in desk.claims(ROUNDS).runs}
    assert set(claimed) == {run.id for run in runs}
    assert all(len(run.mail) == 1 for run in claimed.values())


@pytest.mark.parametrize("attached", [True, False], ids=["child", "any run"])
def test_a_runs_end_never_falls_between_the_look_and_the_parking(
    desk: Desk, attached: bool
) -> None:
    parents = [desk.started_and_claimed() for _ in range(ROUNDS)]
    children = [
        desk.started_and_claimed(parent_id=parent.id if attached else None) for parent in parents
    ]
    parks = [
        Park(parent.id, parent.attempt, (child(run.id),))
        for parent, run in zip(parents, children, strict=True)
    ]
    settles = [Settle(run.id, run.attempt, State.SUCCEEDED, "1") for run in children]
    parked, settled = in_parallel(desk, parks, settles)
    assert parked == settled == [None] * ROUNDS
    claimed = {run.id: run for run in desk.claims(ROUNDS).runs}
    assert set(claimed) == {parent.id for parent in parents}
    assert all(len(run.ended) == 1 for run in claimed.values())


def test_a_childs_cancelling_wakes_a_parent_that_parks_meanwhile(desk: Desk) -> None:
    parents = [desk.started_and_claimed() for _ in range(ROUNDS)]
    children = [desk.start(parent_id=parent.id, delay_us=HOUR) for parent in parents]
    parks = [
        Park(parent.id, parent.attempt, (child(run_id),))
        for parent, run_id in zip(parents, children, strict=True)
    ]
    parked, cancelled = in_parallel(desk, parks, [Cancel(run_id) for run_id in children])
    assert parked == [None] * ROUNDS
    assert cancelled == [State.CANCELLED] * ROUNDS
    assert {run.id for run in desk.claims(ROUNDS).runs} == {parent.id for parent in parents}


def test_a_key_goes_to_one_of_many(desk: Desk) -> None:
    lanes = [
        [Start(desk.new(key=f"key-{n}", input=f"[{lane}]")) for n in range(20)] for lane in range(4)
    ]
    answers = in_parallel(desk, *lanes)
    for n in range(20):
        started = [answer[n] for answer in answers]
        assert all(isinstance(answer, Started) for answer in started)
        holders = {getattr(answer, "run_id", None) for answer in started}
        assert holders == {desk.reader.find("flow", f"key-{n}")}
        assert Counter(getattr(answer, "created", None) for answer in started) == {
            True: 1,
            False: 3,
        }
    assert len(desk.claims(1000).runs) == 20


def test_the_same_start_from_two_sides_is_one_run(desk: Desk) -> None:
    starts: list[Verb] = [Start(desk.new(key=f"key-{n}" if n % 2 else None)) for n in range(40)]
    first, second = in_parallel(desk, starts, starts)
    assert first == second
    assert all(isinstance(answer, Started) and answer.created for answer in first)
    assert len(desk.claims(1000).runs) == 40


def test_no_run_is_claimed_twice(desk: Desk) -> None:
    ids = [desk.start() for _ in range(120)]
    claims = [
        [Claim(f"worker-{lane}", ("default",), ("flow",), 3) for _ in range(20)]
        for lane in range(3)
    ]
    answers = in_parallel(desk, *claims)
    found = Counter(
        run.id
        for lane in answers
        for answer in lane
        if isinstance(answer, Claims)
        for run in answer.runs
    )
    assert set(found.values()) == {1}
    found.update(run.id for run in desk.claims(1000).runs)
    assert found == Counter(ids)


def test_a_batch_of_one_side_never_deadlocks_with_that_of_another(desk: Desk) -> None:
    """The same runs, in opposite order."""
    runs = [desk.started_and_claimed() for _ in range(20)]
    there = [SaveStep(run.id, run.attempt, step("there#1")) for run in runs]
    back = [SaveStep(run.id, run.attempt, step("back#1")) for run in reversed(runs)]
    for _ in range(10):
        lanes = in_parallel(desk, there, back)
        assert lanes == [[None] * 20] * 2
    assert all(len(desk.reader.steps(run.id)) == 2 for run in runs)
