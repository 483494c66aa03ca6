"""Revive: taking a run up again that has ended or was set aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.records.errors import MovedOn, RunErased, RunNotFound
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    number_array,
    text_array,
    valid_id,
)
from backroom.store.verbs import Revive

__all__ = ["revive"]


def revive(sql: Sql, verbs: Sequence[tuple[int, Revive]], answers: Answers) -> Iterator[Statement]:
    for place, verb in verbs:
        answers[place] = RunNotFound(verb.run_id)
        if not valid_id(verb.run_id):
            continue
        keeps = verb.keeps
        values = {
            "id": verb.run_id,
            "attempt": verb.attempt,
            "act": verb.act,
            "note": verb.note,
            "drops": text_array(verb.drops),
            "waits": verb.waits,
            "ended": text_array(verb.ended),
            "addresses": text_array([step.address for step in keeps]),
            "names": text_array([step.name for step in keeps]),
            "kinds": text_array([step.kind for step in keeps]),
            "states": text_array([step.state for step in keeps]),
            "results": text_array([step.result for step in keeps]),
            "errors": text_array([step.error for step in keeps]),
            "tries": number_array([step.tries for step in keeps]),
            "starts": number_array([step.started_at for step in keeps]),
            "ends": number_array([step.finished_at for step in keeps]),
        }
        yield Statement(sql["lock_result"], {"id": verb.run_id})
        yield Statement(sql["revive"], values, taken(place, verb.run_id, answers))


def taken(place: int, run_id: str, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        for state, done, erased in rows:
            if done:
                answers[place] = None
            else:
                answers[place] = RunErased(run_id) if erased else MovedOn(run_id, state)

    return take
