"""Settle, Again, HandBack and Attention: what an attempt ends with; and how a run ends.

A verb whose attempt no longer holds its run is one of two things: late, and answered with
LeaseLost; or repeated, since the answer to the first commit was lost, and answered like the first.
What the first left behind tells them apart (`applied_before`).
"""

from __future__ import annotations

from collections.abc import Sequence

from backroom.records.errors import LeaseLost
from backroom.records.states import State
from backroom.store.sqlite.cancelling import cancel_children
from backroom.store.sqlite.ends import end_runs
from backroom.store.sqlite.fence import Fence, Held
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Again, Attention, Fenced, HandBack, Settle

__all__ = ["end_attempts", "lost_or_repeated", "settle"]

INSERT_ATTEMPT = sql("insert_attempt")
ATTEMPT_OUTCOME = sql("attempt_outcome")
RESULT_OF = sql("result_of")
STANDS = sql("stands")
TRY_AGAIN = sql("try_again")
HAND_BACK = sql("hand_back")
SET_ASIDE = sql("set_aside")


def settle(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, Settle]],
    answers: list[object],
) -> None:
    ended: list[Row] = []
    failed: list[Row] = []
    late: list[tuple[int, Fenced]] = []
    now = tx.now
    for place, verb in verbs:
        run_id, attempt, state, result, error = (
            verb.run_id,
            verb.attempt,
            verb.state,
            verb.result,
            verb.error,
        )
        held = fence.get(run_id)
        if held is None or held[1] != attempt:
            late.append((place, verb))
            continue
        del fence[run_id]
        _, _, _, _, worker, started_at, claimed_at, _ = held
        ended.append((run_id, state.value, attempt, result, error, worker, started_at, now))
        if state is State.FAILED:
            failed.append((run_id, attempt, worker, claimed_at, now, "failed", error))
    tx.many(INSERT_ATTEMPT, failed)
    if ended:
        end_runs(tx, ended)
    if cancelled := [row[0] for row in ended if row[1] == "cancelled"]:
        cancel_children(tx, as_json(cancelled))
    for place, late_verb in late:
        answers[place] = lost_or_repeated(tx, late_verb)


def end_attempts(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, Again | HandBack | Attention]],
    answers: list[object],
) -> None:
    """The attempts that end and leave the run alive."""
    for place, verb in verbs:
        held = fence.get(verb.run_id)
        if held is None or held.attempt != verb.attempt:
            answers[place] = lost_or_repeated(tx, verb)
            continue
        del fence[verb.run_id]
        match verb:
            case Again():
                tx.run(TRY_AGAIN, (tx.now + verb.delay_us, tx.now, verb.run_id))
                tx.run(INSERT_ATTEMPT, failed_attempt(tx, held, verb.error))
            case HandBack():
                tx.run(HAND_BACK, (tx.now, verb.run_id))
            case Attention():
                tx.run(SET_ASIDE, (verb.error, verb.run_id))
                tx.run(INSERT_ATTEMPT, failed_attempt(tx, held, verb.error))


def failed_attempt(tx: Transaction, held: Held, error: str | None) -> Row:
    return (held.id, held.attempt, held.worker, held.claimed_at, tx.now, "failed", error)


def lost_or_repeated(tx: Transaction, verb: Fenced) -> LeaseLost | None:
    """The answer to a verb whose attempt doesn't hold its run (any more)."""
    return None if applied_before(tx, verb) else LeaseLost(verb.run_id, verb.attempt)


def applied_before(tx: Transaction, verb: Fenced) -> bool:
    """Whether exactly this verb, of this attempt, has been applied already."""
    outcome = tx.one(ATTEMPT_OUTCOME, (verb.run_id, verb.attempt))
    match verb:
        case Settle():
            # A retried run has no result any more, but the attempt that failed is kept.
            if verb.state is State.FAILED and outcome == ("failed",):
                return True
            return tx.one(RESULT_OF, (verb.run_id,)) == (verb.state.value, verb.attempt)
        case Again() | Attention():
            return outcome == ("failed",)
        case HandBack():
            stands = tx.one(STANDS, (verb.run_id,))
            return outcome is None and stands is not None and stands[:2] == ("ready", verb.attempt)
        case _:
            return False
