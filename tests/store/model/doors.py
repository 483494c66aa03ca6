"""Start, Emit, Cancel, Revive and Reschedule: what anybody may ask."""

from __future__ import annotations

from backroom.records.errors import (
    Busy,
    MailboxFull,
    MovedOn,
    Refused,
    RunEnded,
    RunErased,
    RunNotFound,
)
from backroom.records.limits import MAILBOX_EVENTS
from backroom.records.runs import FOREVER, NewRun, Started, StepRow, served_as
from backroom.records.states import FINAL, State
from backroom.store.verbs import Cancel, Emit, Reschedule, Revive, Start
from tests.store.model.ends import cancel_family
from tests.store.model.tables import ALIVE, Row, Tables

__all__ = ["cancel", "emit", "put_step", "reschedule", "revive", "start", "start_run"]


def start(t: Tables, verb: Start) -> Started | Busy:
    return start_run(t, verb.run)


def start_run(t: Tables, run: NewRun) -> Started | Busy:
    if run.id in t.run:
        return Started(run.id, True)
    if run.key is not None and (run.flow, run.key) in t.key:
        return Started(t.key[run.flow, run.key]["run_id"], False)
    most = t.queue.get(run.queue, {}).get("max_waiting")
    if most is not None and run.cause_id is None:
        unbegun = [
            row
            for row in t.live.values()
            if row["queue"] == run.queue and row["state"] in ALIVE and row["started_at"] is None
        ]
        if len(unbegun) >= most:
            return Busy(
                f"The queue {run.queue} has as many runs that haven't begun as it may have. Nothing"
                " of this call was stored; try again in a moment, or raise the queue's max_waiting."
            )
    if run.key is not None:
        t.key[run.flow, run.key] = {"flow": run.flow, "key": run.key, "run_id": run.id}
    at = t.now + run.delay_us if run.at is None else run.at
    expires_at = run.expires_at
    if expires_at is None and run.expires_us is not None:
        expires_at = at + run.expires_us
    t.run[run.id] = {
        "id": run.id,
        "flow": run.flow,
        "queue": run.queue,
        "priority": run.priority,
        "key": run.key,
        "input": run.input,
        "format": 1,
        "timeout_us": run.timeout_us,
        "parent_id": run.parent_id,
        "cause_id": run.cause_id,
        "root_id": run.root_id,
        "depth": run.depth,
        "created_at": t.now,
        "version": run.version,
        "subject": run.subject,
        "erased_at": None,
        "partition": run.partition,
        "started_by": None,
    }
    put_live(
        t,
        t.run[run.id],
        "ready" if at <= t.now else "scheduled",
        at,
        deadline_at=None if run.timeout_us is None else at + run.timeout_us,
        expires_at=expires_at,
    )
    if run.after:
        follow(t, run, at)
    return Started(run.id, True)


def follow(t: Tables, run: NewRun, due: int) -> None:
    """Let it begin only after others."""
    row = t.live[run.id]
    alive = [leader for leader in run.after if leader in t.live]
    bad = [i for i in run.after if i not in t.live and t.state_of(i) != "succeeded"]
    if bad and not run.after_any_end:
        how = t.state_of(bad[0]) or "gone"
        row.update(state="ready", available_at=t.now)
        row["cancel_reason"] = f"the run {bad[0]}, after which it was to begin, has {how}"
        return
    kind = "after_end" if run.after_any_end else "after"
    for number, leader in enumerate(alive, 1):
        address = f"after#{number}"
        wait = {"run_id": run.id, "address": address, "kind": kind, "name": leader, "due_at": due}
        t.wait[run.id, address] = wait
        t.live[leader]["tied"] = True
        row.update(state="waiting", available_at=FOREVER)


def put_live(t: Tables, run: Row, state: str, at: int, **given: object) -> None:
    """A hot row, as fresh as can be but for what is given."""
    t.live[run["id"]] = {
        "id": run["id"],
        "flow": served_as(run["flow"], run["version"]),
        "queue": run["queue"],
        "priority": run["priority"],
        "state": state,
        "available_at": at,
        "attempt": 0,
        "starts": 0,
        "failures": 0,
        "worker": None,
        "started_at": None,
        "claimed_at": None,
        "deadline_at": None,
        "parent_id": run["parent_id"],
        "cancel_reason": None,
        "error": None,
        "expires_at": None,
        "partition": run["partition"],
        "counted": None,
        "tied": None,
        "of_row": None,
    } | given


def emit(t: Tables, verb: Emit) -> Refused | None:
    if verb.event_id in t.event:
        return None
    state = t.state_of(verb.run_id)
    if state is None:
        return RunNotFound(verb.run_id)
    if state in FINAL:
        return RunEnded(verb.run_id, state, "take an event")
    if len(t.mail_of(verb.run_id)) >= MAILBOX_EVENTS:
        return MailboxFull(verb.run_id, MAILBOX_EVENTS)
    t.event[verb.event_id] = {
        "id": verb.event_id,
        "run_id": verb.run_id,
        "name": verb.name,
        "payload": verb.payload,
        "created_at": t.now,
        "consumed_at": None,
        "consumed_by": None,
    }
    waits = t.waits_of(verb.run_id)
    if any(w["kind"] == "event" and w["name"] == verb.name for w in waits):
        t.wake(verb.run_id)
    return None


def cancel(t: Tables, verb: Cancel) -> Refused | State:
    if verb.run_id not in t.run:
        return RunNotFound(verb.run_id)
    cancel_family(t, [verb.run_id], verb.reason)
    state = t.state_of(verb.run_id)
    if state == "scheduled" and t.live[verb.run_id]["available_at"] <= t.now:
        state = "ready"
    return State(state or "")


def revive(t: Tables, verb: Revive) -> Refused | None:
    run_id, run = verb.run_id, t.run.get(verb.run_id)
    if run is None:
        return RunNotFound(run_id)
    told = t.attempt.get((run_id, verb.attempt + 1))
    if told and (told["outcome"], told["error"]) == (verb.act, verb.note):
        return None
    if run["erased_at"] is not None:
        return RunErased(run_id)
    live, result = t.live.get(run_id), t.result.get(run_id)
    numbers = [row["attempt"] for row in (live, result) if row]
    numbers += [number for of, number in t.attempt if of == run_id]
    state = t.state_of(run_id) or ""
    resting = state in FINAL or state == "needs_attention"
    if max(numbers) != verb.attempt or not resting or any(map(t.any_live, verb.ended)):
        return MovedOn(run_id, state)
    t.result.pop(run_id, None)
    for address in verb.drops:
        t.step.pop((run_id, address), None)
    for event in t.event.values():
        if event["run_id"] == run_id and event["consumed_by"] in verb.drops:
            event.update(consumed_at=None, consumed_by=None)
    for wait in t.waits_of(run_id):
        if verb.waits or wait["kind"] == "retry":
            del t.wait[run_id, wait["address"]]
    attempt = verb.attempt + 1
    for step in verb.keeps:
        put_step(t, run_id, attempt, step)
    t.attempt[run_id, attempt] = {
        "run_id": run_id,
        "attempt": attempt,
        "worker": None,
        "started_at": t.now,
        "ended_at": t.now,
        "outcome": verb.act,
        "error": verb.note,
    }
    timeout_us = run["timeout_us"]
    put_live(
        t,
        run,
        "ready",
        t.now,
        attempt=attempt,
        started_at=(result or live or {})["started_at"],
        deadline_at=None if timeout_us is None else t.now + timeout_us,
        counted=live and live["counted"],
        tied=live and live["tied"],
    )
    return None


def put_step(t: Tables, run_id: str, attempt: int, step: StepRow) -> None:
    t.step[run_id, step.address] = {
        "run_id": run_id,
        "address": step.address,
        "name": step.name,
        "kind": step.kind,
        "state": step.state,
        "result": step.result,
        "error": step.error,
        "fingerprint": step.fingerprint,
        "tries": step.tries,
        "attempt": attempt,
        "started_at": step.started_at,
        "finished_at": step.finished_at,
    }


def reschedule(t: Tables, verb: Reschedule) -> Refused | None:
    state = t.state_of(verb.run_id)
    if state is None:
        return RunNotFound(verb.run_id)
    if state in FINAL:
        return RunEnded(verb.run_id, state, "be rescheduled")
    if state not in ("scheduled", "ready"):
        return Refused(
            f"Run {verb.run_id} is {state} and can't be rescheduled. "
            "Only runs that are scheduled or ready can be moved to another time."
        )
    row = t.live[verb.run_id]
    at = t.now + verb.delay_us if verb.at is None else verb.at
    for bound in ("deadline_at", "expires_at"):
        row[bound] = row[bound] and row[bound] + at - row["available_at"]
    row.update(state="scheduled" if at > t.now else "ready", available_at=at)
    return None
