"""Emit, Cancel and Reschedule: what anybody may ask of a run from outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.records.errors import MailboxFull, Refused, RunEnded, RunNotFound
from backroom.records.limits import MAILBOX_EVENTS
from backroom.records.states import FINAL, State
from backroom.store.postgres.endings import wake_at_last_end
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    number_array,
    text_array,
    valid_id,
)
from backroom.store.verbs import Cancel, Emit, Reschedule

__all__ = ["cancel", "emit", "reschedule"]


def emit(sql: Sql, verbs: Sequence[tuple[int, Emit]], answers: Answers) -> Iterator[Statement]:
    known: list[tuple[int, Emit]] = []
    for place, verb in verbs:
        if valid_id(verb.run_id):
            known.append((place, verb))
        else:
            answers[place] = RunNotFound(verb.run_id)
    if not known:
        return
    by_place = dict(known)

    def take(rows: Sequence[Row]) -> None:
        for place, live, repeated, full, ended in rows:
            run_id = by_place[place].run_id
            if repeated:
                continue  # the run may have read the event and ended meanwhile
            if ended is not None:
                answers[place] = RunEnded(run_id, ended, "take an event")
            elif not live:
                answers[place] = RunNotFound(run_id)
            elif full:
                answers[place] = MailboxFull(run_id, MAILBOX_EVENTS)

    values = {
        "places": number_array([place for place, _ in known]),
        "run_ids": id_array([verb.run_id for _, verb in known]),
        "ids": text_array([verb.event_id for _, verb in known]),
        "names": text_array([verb.name for _, verb in known]),
        "payloads": text_array([verb.payload for _, verb in known]),
        "mailbox": MAILBOX_EVENTS,
    }
    yield Statement(sql["emit"], values, take)


def cancel(sql: Sql, verbs: Sequence[tuple[int, Cancel]], answers: Answers) -> Iterator[Statement]:
    known = [(place, verb) for place, verb in verbs if valid_id(verb.run_id)]
    for place, verb in verbs:
        answers[place] = RunNotFound(verb.run_id)
    if not known:
        return
    ids = id_array([verb.run_id for _, verb in known])
    for _, verb in known:
        values = {"ids": id_array([verb.run_id]), "reason": verb.reason, "itself": True}
        yield Statement(sql["cancel"], values)
    # Further below, parents go together with their windows.
    yield from wake_at_last_end(sql, [verb.run_id for _, verb in known])

    def take(rows: Sequence[Row]) -> None:
        states = {run_id: State(state) for run_id, state in rows}
        for place, verb in known:
            if verb.run_id.lower() in states:
                answers[place] = states[verb.run_id.lower()]

    yield Statement(sql["states"], {"ids": ids}, take)


def reschedule(
    sql: Sql, verbs: Sequence[tuple[int, Reschedule]], answers: Answers
) -> Iterator[Statement]:
    for place, verb in verbs:
        answers[place] = RunNotFound(verb.run_id)
        if valid_id(verb.run_id):
            values = {"id": verb.run_id, "at": verb.at, "delay_us": verb.delay_us}
            yield Statement(sql["reschedule"], values, moved(place, verb, answers))


def moved(place: int, verb: Reschedule, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        for state, done in rows:
            if done:
                answers[place] = None
            elif state in FINAL:
                answers[place] = RunEnded(verb.run_id, state, "be rescheduled")
            else:
                answers[place] = Refused(
                    f"Run {verb.run_id} is {state} and can't be rescheduled. "
                    "Only runs that are scheduled or ready can be moved to another time."
                )

    return take
