"""Schedules: adding, pausing and removing them, and what becomes of their slots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.records.runs import NewRun
from backroom.records.schedules import declared_in_code, no_schedule
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    number_array,
    text_array,
)
from backroom.store.verbs import (
    Decide,
    PauseSchedule,
    PutSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RetireSchedules,
    Verb,
)

__all__ = ["schedule"]


def schedule(sql: Sql, verbs: Sequence[tuple[int, Verb]], answers: Answers) -> Iterator[Statement]:
    """The verbs of one kind, by name: two workers that decide about the same schedules lock them in
    the same order."""
    for place, verb in sorted(verbs, key=lambda placed: getattr(placed[1], "schedule", "")):
        match verb:
            case PutSchedule():
                values: dict[str, object] = {
                    "name": verb.name, "flow": verb.flow, "calendar": verb.calendar,
                    "input": verb.input, "options": verb.options, "made_by": verb.made_by,
                    "source": verb.source,
                }  # fmt: skip
                yield Statement(sql["put_schedule"], values, refusal(verb.name, place, answers))
            case RetireSchedules(flows, keep):
                values = {"flows": text_array(flows), "keep": text_array(keep)}
                yield Statement(sql["retire_schedules"], values, names(place, answers))
            case RemoveSchedule(name):
                yield Statement(
                    sql["remove_schedule"], {"name": name}, refusal(name, place, answers)
                )
            case PauseSchedule(name, by):
                values = {"name": name, "by": by}
                yield Statement(sql["pause_schedule"], values, refusal(name, place, answers))
            case ResumeSchedule(name):
                yield Statement(
                    sql["resume_schedule"], {"name": name}, refusal(name, place, answers)
                )
            case Decide():
                yield from decide(sql, verb)


def refusal(name: str, place: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        match rows[0][0]:
            case "missing":
                answers[place] = no_schedule(name)
            case "declared":
                answers[place] = declared_in_code(name)

    return take


def names(place: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        answers[place] = tuple(sorted(name for (name,) in rows))

    return take


def decide(sql: Sql, verb: Decide) -> Iterator[Statement]:
    slots, runs = verb.slots, verb.runs
    yield Statement(
        sql["decide"],
        {
            "schedule": verb.schedule,
            "series": verb.series,
            "before": verb.before,
            "place": verb.place,
            "next_at": verb.next_at,
            "error": verb.error,
            "forget_us": verb.forget_us,
            "last_run": runs[-1].id if runs else None,
            "places": number_array([slot.place for slot in slots]),
            "ats": number_array([slot.at for slot in slots]),
            "lasts": number_array([slot.last_at for slot in slots]),
            "counts": number_array([slot.count for slot in slots]),
            "decisions": text_array([slot.decision for slot in slots]),
            "run_ids": number_array([slot.run_id for slot in slots]),
            "reasons": text_array([slot.reason for slot in slots]),
        },
    )
    if runs:
        yield Statement(sql["start_slots"], columns(runs))


def columns(runs: Sequence[NewRun]) -> dict[str, object]:
    return {
        "ids": id_array([run.id for run in runs]),
        "flows": text_array([run.flow for run in runs]),
        "inputs": text_array([run.input for run in runs]),
        "keys": text_array([run.key for run in runs]),
        "queues": text_array([run.queue for run in runs]),
        "priorities": number_array([run.priority for run in runs]),
        "timeouts": number_array([run.timeout_us for run in runs]),
        "subjects": text_array([run.subject for run in runs]),
        "versions": number_array([run.version for run in runs]),
        "partitions": text_array([run.partition or None for run in runs]),
        "expiries": number_array([run.expires_us for run in runs]),
        "leaders": number_array([run.after[0] if run.after else None for run in runs]),
    }
