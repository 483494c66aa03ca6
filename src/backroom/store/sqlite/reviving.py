"""Revive: taking a run up again that has ended or was set aside."""

from __future__ import annotations

from backroom.records.errors import MovedOn, Refused, RunErased, RunNotFound
from backroom.records.runs import served_as
from backroom.records.states import FINAL, State
from backroom.store.sqlite.checkpoints import SAVE_STEP, step_rows
from backroom.store.sqlite.transaction import Transaction, as_json, sql
from backroom.store.verbs import Revive

__all__ = ["revive"]

REVIVE_SUBJECT = sql("revive_subject")
ANY_ALIVE = sql("any_alive")
DELETE_RESULT = sql("delete_result")
DELETE_STEPS = sql("delete_steps")
RETURN_EVENTS = sql("return_events")
DELETE_WAITS = sql("delete_waits")
DELETE_PAUSES = sql("delete_pauses")
INSERT_ATTEMPT = sql("insert_attempt")
REVIVE_LIVE = sql("revive_live")


def revive(tx: Transaction, verb: Revive) -> Refused | None:
    run_id = verb.run_id
    found = tx.one(REVIVE_SUBJECT, (run_id, verb.attempt))
    if found is None:
        return RunNotFound(run_id)
    (
        state, newest, flow, version, queue, priority, partition, parent_id, timeout_us, started_at,
        erased, *act,
    ) = found  # fmt: skip
    if act == [verb.act, verb.note]:
        return None  # this very act has been performed before
    if erased:
        return RunErased(run_id)
    resting = state in FINAL or state == State.NEEDS_ATTENTION
    if newest != verb.attempt or not resting or tx.one(ANY_ALIVE, (as_json(verb.ended),)):
        return MovedOn(run_id, state)
    dropped = (run_id, as_json(verb.drops))
    tx.run(DELETE_RESULT, (run_id,))
    tx.run(DELETE_STEPS, dropped)
    tx.run(RETURN_EVENTS, dropped)
    tx.run(DELETE_WAITS if verb.waits else DELETE_PAUSES, (run_id,))
    attempt = newest + 1
    tx.many(SAVE_STEP, step_rows(run_id, attempt, verb.keeps))
    tx.run(INSERT_ATTEMPT, (run_id, attempt, None, tx.now, tx.now, verb.act, verb.note))
    deadline_at = None if timeout_us is None else tx.now + timeout_us
    row = (run_id, served_as(flow, version), queue, priority, tx.now, attempt, partition)
    tx.run(REVIVE_LIVE, (*row, started_at, deadline_at, parent_id))
    return None
