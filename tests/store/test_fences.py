"""Only the attempt that holds a run can write for it."""

from collections.abc import Callable

import pytest

from backroom.records.errors import LeaseLost
from backroom.records.runs import Claims
from backroom.records.states import State
from backroom.store.verbs import (
    Again,
    Attention,
    Claim,
    Fenced,
    HandBack,
    Park,
    Progress,
    SaveStep,
    SaveWaits,
    Settle,
    Verb,
)
from tests.store.desk import HOUR, Desk, event, step, timer
from tests.store.racing import in_parallel

FENCED: dict[str, Callable[[str, int], Fenced]] = {
    "SaveStep": lambda run, attempt: SaveStep(run, attempt, step(f"by#{attempt}")),
    "SaveWaits": lambda run, attempt: SaveWaits(run, attempt, (timer(HOUR),)),
    "Progress": lambda run, attempt: Progress(run, attempt, 0.5),
    "Settle": lambda run, attempt: Settle(run, attempt, State.SUCCEEDED, str(attempt)),
    "Park": lambda run, attempt: Park(run, attempt, (timer(HOUR),)),
    "Again": lambda run, attempt: Again(run, attempt, HOUR, "{}"),
    "HandBack": HandBack,
    "Attention": lambda run, attempt: Attention(run, attempt, "{}"),
}

every_fenced_verb = pytest.mark.parametrize("make", FENCED.values(), ids=FENCED.keys())


@every_fenced_verb
def test_an_old_attempt_is_refused_and_changes_nothing(
    desk: Desk, make: Callable[[str, int], Fenced]
) -> None:
    old = desk.started_and_claimed()
    desk.lose(old)
    before = desk.everything()
    answer = desk.do(make(old.id, old.attempt))
    assert isinstance(answer, LeaseLost)
    assert (answer.run_id, answer.attempt) == (old.id, old.attempt)
    assert desk.everything() == before


@every_fenced_verb
def test_an_attempt_that_has_not_come_yet_is_refused(
    desk: Desk, make: Callable[[str, int], Fenced]
) -> None:
    run = desk.started_and_claimed()
    before = desk.everything()
    desk.lost(make(run.id, run.attempt + 1))
    assert desk.everything() == before


@every_fenced_verb
@pytest.mark.parametrize("state", ["ready", "waiting", "ended", "released", "unknown"])
def test_a_run_that_nobody_performs_takes_nothing(
    desk: Desk, make: Callable[[str, int], Fenced], state: str
) -> None:
    match state:
        case "ready":
            run_id, attempt = desk.start(), 1
        case "waiting":
            run_id, attempt = desk.parked(event("other")).id, 1
        case "ended":
            run_id, attempt = desk.settled(State.CANCELLED), 1
        case "released":
            run = desk.started_and_claimed()
            run_id, attempt = desk.lose(run).id, 1
        case _:
            run_id, attempt = desk.new_id(), 1
    before = desk.everything()
    desk.lost(make(run_id, attempt))
    assert desk.everything() == before


@every_fenced_verb
def test_only_one_of_two_attempts_gets_through_in_a_batch(
    desk: Desk, make: Callable[[str, int], Fenced]
) -> None:
    run = desk.lose(desk.started_and_claimed())
    answers = desk.session.apply([make(run.id, n) for n in (1, 2, 3)])
    assert [isinstance(answer, LeaseLost) for answer in answers] == [True, False, True]


def test_of_two_ends_at_the_same_instant_one_counts(desk: Desk) -> None:
    verbs: list[tuple[Verb, Verb]] = []
    for _ in range(30):
        run = desk.started_and_claimed()
        settle = Settle(run.id, run.attempt, State.SUCCEEDED, '"settled"')
        verbs.append((settle, HandBack(run.id, run.attempt)))
    answers = in_parallel(desk, *zip(*verbs, strict=True))
    for (settle, _), settled, handed_back in zip(verbs, *answers, strict=True):
        assert isinstance(settle, Settle)
        assert isinstance(settled, LeaseLost) != isinstance(handed_back, LeaseLost)
        ended = desk.state(settle.run_id) is State.SUCCEEDED
        assert ended == (settled is None)


def test_an_old_attempt_never_gets_past_the_next_claim(desk: Desk) -> None:
    for _ in range(40):
        old = desk.started_and_claimed()
        desk.hand_back(old)
        late = SaveStep(old.id, old.attempt, step())
        claim = Claim("worker", ("default",), ("flow",), 1)
        (saved,), (claims,) = in_parallel(desk, (late,), (claim,))
        assert isinstance(saved, LeaseLost)
        assert isinstance(claims, Claims)
        assert desk.reader.steps(old.id) == []
        # A claim passes over a run that another transaction has locked at that moment.
        (now,) = claims.runs or desk.claims().runs
        assert now.steps == ()
        desk.done(Settle(old.id, now.attempt, State.SUCCEEDED))
