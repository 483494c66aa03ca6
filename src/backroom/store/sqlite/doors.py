"""Emit, Cancel and Reschedule: what anybody may ask of a run from outside."""

from __future__ import annotations

from backroom.records.errors import MailboxFull, Refused, RunEnded, RunNotFound
from backroom.records.limits import MAILBOX_EVENTS
from backroom.records.states import FINAL, State
from backroom.store.sqlite.cancelling import cancel_family
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import Cancel, Emit, Reschedule

__all__ = ["cancel", "emit", "reschedule"]

RUN_STATE = sql("run_state")
EVENT_KNOWN = sql("event_known")
MAILBOX_IS_FULL = sql("mailbox_is_full")
INSERT_EVENT = sql("insert_event")
WAKE_FOR_EVENT = sql("wake_for_event")
RESCHEDULE_SUBJECT = sql("reschedule_subject")
RESCHEDULE = sql("reschedule")


def emit(tx: Transaction, verb: Emit) -> Refused | None:
    # The repeated event comes first: meanwhile the run may have read it and ended.
    if tx.one(EVENT_KNOWN, (verb.event_id,)):
        return None
    state = state_of(tx, verb.run_id)
    if state is None:
        return RunNotFound(verb.run_id)
    if state in FINAL:
        return RunEnded(verb.run_id, state, "take an event")
    if tx.one(MAILBOX_IS_FULL, (verb.run_id, MAILBOX_EVENTS - 1)):
        return MailboxFull(verb.run_id, MAILBOX_EVENTS)
    tx.run(INSERT_EVENT, (verb.event_id, verb.run_id, verb.name, verb.payload, tx.now))
    tx.run(WAKE_FOR_EVENT, (tx.now, verb.run_id, verb.name))
    return None


def cancel(tx: Transaction, verb: Cancel) -> Refused | State:
    state = state_of(tx, verb.run_id)
    if state is None:
        return RunNotFound(verb.run_id)
    if state in FINAL:
        return state
    cancel_family(tx, as_json([verb.run_id]), verb.reason)
    return state_of(tx, verb.run_id) or state


def reschedule(tx: Transaction, verb: Reschedule) -> Refused | None:
    found = tx.one(RESCHEDULE_SUBJECT, (verb.run_id,))
    if found is None:
        ended = state_of(tx, verb.run_id)
        if ended is None:
            return RunNotFound(verb.run_id)
        return RunEnded(verb.run_id, ended, "be rescheduled")
    state, available_at, deadline_at, expires_at = found
    if state not in (State.SCHEDULED, State.READY):
        return Refused(
            f"Run {verb.run_id} is {state} and can't be rescheduled. "
            "Only runs that are scheduled or ready can be moved to another time."
        )
    at = tx.now + verb.delay_us if verb.at is None else verb.at
    if deadline_at is not None:
        deadline_at += at - available_at
    if expires_at is not None:
        expires_at += at - available_at
    moved = State.READY if at <= tx.now else State.SCHEDULED
    tx.run(RESCHEDULE, (moved.value, at, deadline_at, expires_at, verb.run_id))
    return None


def state_of(tx: Transaction, run_id: str) -> State | None:
    """Where a run stands, ended or not; None: there is no such run."""
    row = tx.one(RUN_STATE, (run_id,))
    return None if row is None else State(row[0])
