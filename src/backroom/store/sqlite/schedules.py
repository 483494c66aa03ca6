"""Schedules: adding, pausing and removing them, and what becomes of their slots."""

from __future__ import annotations

from backroom.records.errors import Refused
from backroom.records.runs import NewRun
from backroom.records.schedules import declared_in_code, no_schedule
from backroom.store.sqlite.starts import follow
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import (
    Decide,
    PauseSchedule,
    PutSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RetireSchedules,
)

__all__ = [
    "decide",
    "pause_schedule",
    "put_schedule",
    "remove_schedule",
    "resume_schedule",
    "retire_schedules",
]

SCHEDULE_SOURCE = sql("schedule_source")
PUT_SCHEDULE = sql("put_schedule")
RETIRE_SCHEDULES = sql("retire_schedules")
REMOVE_SCHEDULE = sql("remove_schedule")
PAUSE_SCHEDULE = sql("pause_schedule")
RESUME_SCHEDULE = sql("resume_schedule")
SCHEDULE_STANDS = sql("schedule_stands")
INSERT_SLOT = sql("insert_slot")
START_SLOT = sql("start_slot")
MOVE_SCHEDULE = sql("move_schedule")
FORGET_SLOTS = sql("forget_slots")


def put_schedule(tx: Transaction, verb: PutSchedule) -> Refused | None:
    if verb.source != "code" and source_of(tx, verb.name) == "code":
        return declared_in_code(verb.name)
    tx.run(
        PUT_SCHEDULE,
        (verb.name, verb.flow, verb.calendar, verb.input, verb.options, verb.made_by, verb.source),
    )
    return None


def retire_schedules(tx: Transaction, verb: RetireSchedules) -> tuple[str, ...]:
    rows = tx.all(RETIRE_SCHEDULES, (tx.now, as_json(verb.flows), as_json(verb.keep)))
    return tuple(sorted(name for (name,) in rows))


def remove_schedule(tx: Transaction, verb: RemoveSchedule) -> Refused | None:
    source = source_of(tx, verb.name)
    if source is None:
        return no_schedule(verb.name)
    if source == "code":
        return declared_in_code(verb.name)
    tx.run(REMOVE_SCHEDULE, (verb.name,))
    return None


def pause_schedule(tx: Transaction, verb: PauseSchedule) -> Refused | None:
    if source_of(tx, verb.name) is None:
        return no_schedule(verb.name)
    tx.run(PAUSE_SCHEDULE, (verb.name, verb.by))
    return None


def resume_schedule(tx: Transaction, verb: ResumeSchedule) -> Refused | None:
    if source_of(tx, verb.name) is None:
        return no_schedule(verb.name)
    tx.run(RESUME_SCHEDULE, (verb.name,))
    return None


def source_of(tx: Transaction, name: str) -> str | None:
    """Where a schedule was made; None: there is none, or it was removed."""
    row = tx.one(SCHEDULE_SOURCE, (name,))
    return None if row is None else row[0]


def decide(tx: Transaction, verb: Decide) -> None:
    if tx.one(SCHEDULE_STANDS, (verb.schedule, verb.series)) is None:
        return
    for number, slot in enumerate(verb.slots):
        kept = tx.run(
            INSERT_SLOT,
            (
                verb.schedule, verb.series, slot.place, slot.at, slot.last_at, slot.count,
                slot.decision, slot.run_id, slot.reason, tx.now,
            ),
        )  # fmt: skip
        if not kept and number == 0:
            return  # somebody was first
    for run in verb.runs:
        start_slot(tx, run)
    last_run = verb.runs[-1].id if verb.runs else None
    tx.run(
        MOVE_SCHEDULE,
        (
            verb.schedule, verb.series, verb.place, verb.next_at, last_run, verb.error,
            bool(verb.slots), verb.before,
        ),
    )  # fmt: skip
    if verb.slots:
        tx.run(FORGET_SLOTS, (verb.schedule, tx.now - verb.forget_us))


def start_slot(tx: Transaction, run: NewRun) -> None:
    tx.run(
        START_SLOT,
        (
            run.id, run.flow, run.input, run.key, run.queue, run.priority,
            seconds(run.timeout_us), run.subject, run.version, run.partition or None,
            seconds(run.expires_us),
        ),
    )  # fmt: skip
    if run.after:
        follow(tx, run, tx.now)


def seconds(length_us: int | None) -> float | None:
    return None if length_us is None else length_us / 1_000_000
