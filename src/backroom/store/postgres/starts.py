"""Start, and the runs that a checkpoint starts: a cold row, a hot row and, perhaps, a key.

Most starts come from outside, are due at once and have nothing special about them: a batch of those
alone is one narrow statement (`PlainStarts`), which takes less than half of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.records.errors import Busy
from backroom.records.runs import NewRun, Started, served_as
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
from backroom.store.verbs import SaveStep, Start, Verb

__all__ = ["PlainStarts", "start"]

Given = tuple[NewRun, str | None, int | None]
"""A run, and the run and attempt whose checkpoint starts it, if one does."""


class PlainStarts:
    """A batch of such starts. `counted`: one of their queues takes in no more than so many, so
    nothing was stored, and the batch has to go the whole way."""

    def __init__(self, sql: Sql, verbs: Sequence[Verb]) -> None:
        self.sql = sql
        self.runs = {verb.run.id: verb.run for verb in verbs if isinstance(verb, Start)}
        self.queues = {run.queue for run in self.runs.values()}
        self.answers: Answers = [Started(v.run.id, True) for v in verbs if isinstance(v, Start)]
        self.counted = False

    @staticmethod
    def fits(verbs: Sequence[Verb]) -> bool:
        return all([isinstance(verb, Start) and is_plain(verb.run) for verb in verbs])

    def before_commit(self) -> Iterator[Statement]:
        runs = self.runs.values()
        values = {
            "ids": id_array(self.runs),
            "flows": text_array([run.flow for run in runs]),
            "queues": text_array([run.queue for run in runs]),
            "priorities": number_array([run.priority for run in runs]),
            "inputs": text_array([run.input for run in runs]),
            "names": text_array(self.queues),
        }
        yield Statement(self.sql["start_plain"], values, self.take)

    def take(self, rows: Sequence[Row]) -> None:
        self.counted = rows[0][0]


def is_plain(run: NewRun) -> bool:
    return (
        run.key is None
        and run.cause_id is None
        and run.parent_id is None
        and run.root_id is None
        and run.delay_us == 0
        and run.at is None
        and run.timeout_us is None
        and run.depth == 0
        and run.partition is None
        and run.expires_us is None
        and run.expires_at is None
        and run.subject is None
        and run.version == 1
        and not run.after
    )


def start(
    sql: Sql,
    doors: Sequence[tuple[int, Start]],
    steps: Sequence[tuple[int, SaveStep]],
    answers: Answers,
) -> Iterator[Statement]:
    """All starts of a batch in one statement; those with a key take it in another one before."""
    given: dict[str, Given] = {}
    for place, door in doors:
        given.setdefault(door.run.id, (door.run, None, None))
        answers[place] = Started(door.run.id, True)
    for _, step in steps:
        for run in step.starts:
            given.setdefault(run.id, (run, step.run_id, step.attempt))
    if not given:
        return
    runs = [run for run, _, _ in given.values()]
    values: dict[str, object] = {
        "ids": id_array([run.id for run in runs]),
        "flows": text_array([run.flow for run in runs]),
        "keys": text_array([run.key for run in runs]),
        "owners": number_array([owner for _, owner, _ in given.values()]),
        "attempts": number_array([attempt for _, _, attempt in given.values()]),
    }
    keyed = any([run.key is not None for run in runs])
    if keyed:
        yield Statement(sql["take_keys"], values)
    refused: set[str] = set()
    yield Statement(sql["start"], values | columns(runs), full(doors, refused, answers))
    if keyed:
        asking = [(place, door.run) for place, door in doors if door.run.key is not None]
        yield Statement(
            sql["key_holders"],
            {
                "places": number_array([place for place, _ in asking]),
                "flows": text_array([run.flow for _, run in asking]),
                "keys": text_array([run.key for _, run in asking]),
            },
            holders(doors, refused, answers),
        )
    for run in runs:
        if run.after:
            values = {
                "id": run.id,
                "leaders": id_array(filter(valid_id, run.after)),
                "must_succeed": not run.after_any_end,
            }
            yield Statement(sql["follow"], values)


def columns(runs: Sequence[NewRun]) -> dict[str, object]:
    return {
        "queues": text_array([run.queue for run in runs]),
        "priorities": number_array([run.priority for run in runs]),
        "inputs": text_array([run.input for run in runs]),
        "ats": number_array([run.at for run in runs]),
        "delays": number_array([run.delay_us for run in runs]),
        "timeouts": number_array([run.timeout_us for run in runs]),
        "parents": number_array([run.parent_id for run in runs]),
        "causes": number_array([run.cause_id for run in runs]),
        "roots": number_array([run.root_id for run in runs]),
        "depths": number_array([run.depth for run in runs]),
        "partitions": text_array([run.partition for run in runs]),
        "expiries": number_array([run.expires_at for run in runs]),
        "lives": number_array([run.expires_us for run in runs]),
        "subjects": text_array([run.subject for run in runs]),
        "versions": number_array([run.version for run in runs]),
        "served": text_array([served_as(run.flow, run.version) for run in runs]),
    }


def full(
    doors: Sequence[tuple[int, Start]], refused: set[str], answers: Answers
) -> Callable[[Sequence[Row]], None]:
    """Tell those whom a full queue refused."""

    def take(rows: Sequence[Row]) -> None:
        refused.update(run_id for (run_id,) in rows)
        if refused:
            for place, door in doors:
                if door.run.id in refused:
                    answers[place] = Busy(
                        f"The queue {door.run.queue} has as many runs that haven't begun as it may "
                        "have. Nothing of this call was stored; try again in a moment, or raise "
                        "the queue's max_waiting."
                    )

    return take


def holders(
    doors: Sequence[tuple[int, Start]], refused: set[str], answers: Answers
) -> Callable[[Sequence[Row]], None]:
    ids = {place: door.run.id for place, door in doors if door.run.key is not None}

    def take(rows: Sequence[Row]) -> None:
        held: dict[int, str] = dict(rows)
        for place, run_id in ids.items():
            if place in held:
                answers[place] = Started(held[place], held[place] == run_id)
            elif run_id not in refused:
                answers[place] = Busy(
                    "The run that held this key was removed at this very moment; nothing was "
                    "stored. Try again."
                )

    return take
