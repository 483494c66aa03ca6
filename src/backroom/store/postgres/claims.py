"""Claim: take due runs, and preload what those that were claimed before will replay.

The runs are taken inside the batch's transaction. The preload comes after its commit: from then on
nothing of an earlier attempt is accepted any more, so what it reads is final.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from backroom.records.limits import PRIORITIES, SWEEP_RUNS
from backroom.records.runs import FOREVER, Claimed, Claims
from backroom.rules import suspicion
from backroom.store.postgres.rows import grouped, mail, run_row, step_row, wait_row
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    number_array,
    text_array,
)
from backroom.store.verbs import Claim

__all__ = ["claim", "complete"]


def claim(sql: Sql, verbs: Sequence[tuple[int, Claim]], answers: Answers) -> Iterator[Statement]:
    for place, verb in verbs:
        queues = tuple(dict.fromkeys(verb.queues))
        priorities = suspicion.lines(suspects=verb.suspects)
        text = sql["claim" if len(queues) == 1 else "claim_from_several"]
        values = {
            **lines(queues, priorities),
            "floors": number_array(
                [
                    verb.floors.get((queue, priority), -FOREVER)
                    for priority in priorities
                    for queue in queues
                ]
            ),
            "flows": text_array(verb.flows),
            "limit": verb.limit,
            "worker": verb.worker,
        }
        if verb.ruled or verb.suspects:
            yield from claim_ruled(sql, place, verb, values, answers)
            continue
        yield Statement(text, values, taken(place, answers))
        looks = lines(queues, priorities)
        yield Statement(sql["next_due"], looks, due(place, verb.limit, answers))


def claim_ruled(
    sql: Sql, place: int, verb: Claim, values: dict[str, object], answers: Answers
) -> Iterator[Statement]:
    """The way for queues with rules: locked first, then counted by a later statement."""
    queues = tuple(dict.fromkeys(verb.queues))
    priorities = suspicion.lines(suspects=verb.suspects)
    yield Statement(sql["lock_queues"], {"queues": text_array(queues), "schema": sql.schema})
    if not verb.suspects:
        yield Statement(sql["ready_parted"], lines(queues) | {"sweep": SWEEP_RUNS})
    parted = {"parted": not verb.suspects}
    yield Statement(sql["claim_ruled"], values | parted, taken(place, answers))
    looks = lines(queues, priorities)
    yield Statement(sql["next_due_ruled"], looks, due(place, verb.limit, answers))


def lines(queues: Sequence[str], priorities: Sequence[int] = PRIORITIES) -> dict[str, object]:
    """The places to look at: every queue at every priority, the most urgent first."""
    return {
        "queues": text_array([queue for _ in priorities for queue in queues]),
        "priorities": number_array([priority for priority in priorities for _ in queues]),
    }


def taken(place: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        now: int = rows[0][0]
        runs = [
            Claimed(
                run_id, flow, input_, queue, attempt, starts, failures, now, parent_id, root_id,
                depth, key, created_at, deadline_at, cancel_reason, priority, due_at, expires_at,
                subject,
            )
            for (
                _, run_id, flow, input_, queue, attempt, starts, failures, parent_id, root_id,
                depth, key, created_at, deadline_at, cancel_reason, priority, due_at, expires_at,
                subject,
            ) in rows
            if run_id is not None
        ]  # fmt: skip
        answers[place] = Claims(tuple(runs), now)

    return take


def complete(sql: Sql, verbs: Sequence[tuple[int, Claim]], answers: Answers) -> Iterator[Statement]:
    """The statements after the commit."""
    for place, _ in verbs:
        claims = answers[place]
        assert isinstance(claims, Claims)
        again = [run.id for run in claims.runs if run.attempt > 1]
        if again:
            yield from preload(sql, again, place, answers)


def preload(sql: Sql, ids: Sequence[str], place: int, answers: Answers) -> Iterator[Statement]:
    """What these runs will replay, in one query each for all of them together."""
    of_ids = {"ids": id_array(ids)}
    parts: list[dict[str, list[Row]]] = []

    def collect(owner: int) -> Callable[[Sequence[Row]], None]:
        return lambda rows: parts.append(grouped(rows, owner))

    def last(rows: Sequence[Row]) -> None:
        steps, waits, mails, ended = *parts, grouped(rows, -1)
        claims = answers[place]
        assert isinstance(claims, Claims)
        runs = [
            replace(
                run,
                steps=tuple(map(step_row, steps.get(run.id, ()))),
                waits=tuple(map(wait_row, waits.get(run.id, ()))),
                mail=tuple(map(mail, mails.get(run.id, ()))),
                ended=tuple(map(run_row, ended.get(run.id, ()))),
            )
            if run.attempt > 1
            else run
            for run in claims.runs
        ]
        answers[place] = replace(claims, runs=tuple(runs))

    yield Statement(sql["steps_of"], of_ids, collect(0))
    yield Statement(sql["waits_of"], of_ids, collect(0))
    yield Statement(sql["mail_of"], of_ids, collect(1))
    yield Statement(sql["ended_children_of"], of_ids, last)


def due(place: int, limit: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    """When more will be due, for a worker that has got all there is."""

    def take(rows: Sequence[Row]) -> None:
        claims = answers[place]
        assert isinstance(claims, Claims)
        at, ruled, *locked = rows[0]
        if len(claims.runs) >= limit or at == FOREVER:
            at = None
        if ruled or at is not None:
            answers[place] = replace(claims, next_due_at=at, ruled=ruled, busy=any(locked))

    return take
