"""Settle, Park, Again, HandBack and Attention: what an attempt ends with.

A verb whose attempt no longer holds its run is one of two things: late, and answered with
LeaseLost; or repeated, since the answer to the first commit was lost, and answered like the first.
What the first left behind tells them apart; the look at it comes after the commit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backroom.records.errors import LeaseLost
from backroom.records.states import State
from backroom.rules.windows import is_mapped
from backroom.store.postgres.checkpoints import wait_columns
from backroom.store.postgres.fence import ENDS
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    number_array,
    text_array,
)
from backroom.store.verbs import Again, Attention, Fenced, HandBack, Park, Settle

__all__ = ["again", "hand_back", "late", "park", "set_aside", "settle", "wake_at_last_end"]

PARENT_CANCELLED = "the run that started it was cancelled"


def settle(sql: Sql, verbs: Sequence[tuple[int, Settle]]) -> Iterator[Statement]:
    if not verbs:
        return
    values: dict[str, object] = {
        "ids": id_array([verb.run_id for _, verb in verbs]),
        "attempts": number_array([verb.attempt for _, verb in verbs]),
        "states": id_array([verb.state for _, verb in verbs]),
        "results": text_array([verb.result for _, verb in verbs]),
        "errors": text_array([verb.error for _, verb in verbs]),
    }
    yield Statement(sql["settle"], values)
    yield from wake_at_last_end(sql, [verb.run_id for _, verb in verbs])
    cancelled = [verb.run_id for _, verb in verbs if verb.state is State.CANCELLED]
    if cancelled:
        below: dict[str, object] = {"ids": id_array(cancelled), "reason": PARENT_CANCELLED}
        yield Statement(sql["cancel"], below | {"itself": False})


def wake_at_last_end(sql: Sql, ended: Sequence[str]) -> Iterator[Statement]:
    """Wake the parents whose windows are over now; nothing where no window is concerned."""
    of_windows = [run_id for run_id in ended if is_mapped(run_id)]
    if of_windows:
        yield Statement(sql["wake_at_last_end"], {"ids": id_array(of_windows)})


def park(sql: Sql, verbs: Sequence[tuple[int, Park]]) -> Iterator[Statement]:
    """Three statements: the waits that go, those that come, and then the look at what is there."""
    if not verbs:
        return
    waits = wait_columns((verb.run_id, verb.attempt, w) for _, verb in verbs for w in verb.waits)
    runs: dict[str, object] = {
        "ids": id_array([verb.run_id for _, verb in verbs]),
        "attempts": number_array([verb.attempt for _, verb in verbs]),
    }
    kept = {"run_ids": waits["run_ids"], "addresses": waits["addresses"]}
    yield Statement(sql["drop_other_waits"], runs | kept)
    yield Statement(sql["park_waits"], waits)
    heeded = {
        "backwards": number_array([verb.backwards for _, verb in verbs]),
        "timeless": number_array([verb.timeless for _, verb in verbs]),
    }
    yield Statement(sql["park"], runs | heeded)


def again(sql: Sql, verbs: Sequence[tuple[int, Again]]) -> Iterator[Statement]:
    if verbs:
        values = {
            "ids": id_array([verb.run_id for _, verb in verbs]),
            "attempts": number_array([verb.attempt for _, verb in verbs]),
            "delays": number_array([verb.delay_us for _, verb in verbs]),
            "errors": text_array([verb.error for _, verb in verbs]),
        }
        yield Statement(sql["again"], values)


def hand_back(sql: Sql, verbs: Sequence[tuple[int, HandBack]]) -> Iterator[Statement]:
    if verbs:
        values = {
            "ids": id_array([verb.run_id for _, verb in verbs]),
            "attempts": number_array([verb.attempt for _, verb in verbs]),
        }
        yield Statement(sql["hand_back"], values)


def set_aside(sql: Sql, verbs: Sequence[tuple[int, Attention]]) -> Iterator[Statement]:
    if verbs:
        values = {
            "ids": id_array([verb.run_id for _, verb in verbs]),
            "attempts": number_array([verb.attempt for _, verb in verbs]),
            "errors": text_array([verb.error for _, verb in verbs]),
        }
        yield Statement(sql["set_aside"], values)


def late(sql: Sql, answers: Answers, verbs: Sequence[tuple[int, Fenced]]) -> Iterator[Statement]:
    """The second look at verbs that were answered with LeaseLost, to be run after the commit."""
    ending = [
        (place, verb)
        for place, verb in verbs
        if isinstance(verb, ENDS) and isinstance(answers[place], LeaseLost)
    ]
    if not ending:
        return

    def take(rows: Sequence[Row]) -> None:
        left = {(row[0], row[1]): row[2:] for row in rows}
        for place, verb in ending:
            row = left.get((verb.run_id, verb.attempt))
            if row is not None and applied_before(verb, *row):
                answers[place] = None

    values = {
        "ids": id_array([verb.run_id for _, verb in ending]),
        "attempts": number_array([verb.attempt for _, verb in ending]),
    }
    yield Statement(sql["left_behind"], values, take)


def applied_before(
    verb: Fenced,
    outcome: str | None,
    result: str | None,
    result_attempt: int | None,
    state: str | None,
    attempt: int | None,
    starts: int | None,
    waits: list[str],
) -> bool:
    """Whether exactly this verb, of this attempt, has been applied already."""
    match verb:
        case Settle():
            # A retried run has no result any more, but the attempt that failed is kept.
            if verb.state is State.FAILED and outcome == "failed":
                return True
            return (result, result_attempt) == (verb.state, verb.attempt)
        case Again() | Attention():
            return outcome == "failed"
        case HandBack():
            return outcome is None and (state, attempt) == ("ready", verb.attempt)
        case Park():
            return (
                outcome is None
                and state in ("waiting", "ready")
                and (attempt, starts) == (verb.attempt, 0)
                and set(waits) == {wait.address for wait in verb.waits}
            )
        case _:
            return False
