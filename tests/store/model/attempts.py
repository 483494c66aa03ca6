"""What an attempt keeps, what it asks for, and what it ends with."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from backroom.records.errors import LeaseLost
from backroom.records.runs import FOREVER, WaitRow
from backroom.store.verbs import (
    Again,
    Attention,
    CloseBreaker,
    Fenced,
    HandBack,
    Lock,
    Locked,
    Park,
    Probe,
    Probed,
    Progress,
    SaveStep,
    SaveWaits,
    Settle,
)
from tests.store.model.doors import put_step, start_run
from tests.store.model.ends import cancel_below, end, leave_lines
from tests.store.model.tables import Row, Tables

__all__ = [
    "again",
    "close_breaker",
    "fenced",
    "hand_back",
    "lock",
    "park",
    "probe",
    "progress",
    "save_step",
    "save_waits",
    "set_aside",
    "settle",
]


V = TypeVar("V", bound=Fenced)


def fenced(perform: Callable[[Tables, V], object]) -> Callable[[Tables, V], object]:
    """Only the attempt that holds its run may do it; a repeated end is answered like the first."""

    def guarded(t: Tables, verb: V) -> object:
        row = t.live.get(verb.run_id)
        if row is not None and (row["state"], row["attempt"]) == ("running", verb.attempt):
            return perform(t, verb)
        return None if applied_before(t, verb) else LeaseLost(verb.run_id, verb.attempt)

    return guarded


def applied_before(t: Tables, verb: Fenced) -> bool:
    """Whether this very verb has ended its attempt already, so that it is only repeated."""
    row = t.live.get(verb.run_id)
    outcome = t.attempt.get((verb.run_id, verb.attempt), {}).get("outcome")
    match verb:
        case Settle():
            result = t.result.get(verb.run_id, {})
            ended = (result.get("state"), result.get("attempt")) == (verb.state, verb.attempt)
            return ended or (verb.state == "failed" and outcome == "failed")
        case Again() | Attention():
            return outcome == "failed"
        case HandBack():
            stands = row is not None and (row["state"], row["attempt"]) == ("ready", verb.attempt)
            return outcome is None and stands
        case Park():
            return (
                outcome is None
                and row is not None
                and row["state"] in ("waiting", "ready")
                and (row["attempt"], row["starts"]) == (verb.attempt, 0)
                and {w["address"] for w in t.waits_of(verb.run_id)}
                == {w.address for w in verb.waits}
            )
        case _:
            return False


# --- what it keeps


def progress(t: Tables, verb: Progress) -> None:
    before = t.progress.get(verb.run_id, {"fraction": None, "status": None})
    t.progress[verb.run_id] = {
        "run_id": verb.run_id,
        "fraction": before["fraction"] if verb.fraction is None else verb.fraction,
        "status": before["status"] if verb.status is None else verb.status,
        "updated_at": t.now,
    }


def save_step(t: Tables, verb: SaveStep) -> None:
    run_id, address = verb.run_id, verb.step.address
    judge(t, verb)
    put_step(t, run_id, verb.attempt, verb.step)
    if verb.forgets is not None:
        for step in t.steps_of(run_id):
            below = step["address"].startswith(verb.forgets)
            if below and (run_id, f"undo {step['address']}") not in t.step:
                del t.step[run_id, step["address"]]
    if verb.consumes is not None and t.event[verb.consumes]["consumed_at"] is None:
        t.event[verb.consumes].update(consumed_at=t.now, consumed_by=address)
    row = t.live[run_id]
    if verb.clears_starts and row["starts"] != 1:
        row.update(starts=1, priority=row["priority"] % 10)
    for run in verb.starts:
        start_run(t, run)
    if verb.releases:
        leave_lines(t, requests(t, run_id, address))


def judge(t: Tables, verb: SaveStep) -> None:
    """What a checkpoint's call says of its service; once, also if it is repeated."""
    step = verb.step
    before = t.step.get((verb.run_id, step.address))
    if before and (before["attempt"], before["tries"], before["state"]) == (
        verb.attempt,
        step.tries,
        step.state,
    ):
        return
    me = f"{verb.run_id}/{step.address}"
    if (strike := verb.strike) is not None:
        found = t.breaker.get(strike.name)
        is_open = found is not None and found["open_until"] is not None
        if found is None or not is_open or found["probe"] == me:
            failures = (found["failures"] if found else 0) + 1
            opens = is_open or failures >= strike.failures
            t.breaker[strike.name] = {
                "name": strike.name,
                "failures": failures,
                "failed_at": t.now,
                "open_until": t.now + strike.pause_us if opens else None,
                "probe_until": None,
                "probe": None,
                "error": strike.error,
            }
    if (name := verb.mends) is not None:
        found = t.breaker.get(name)
        if found and (found["open_until"] is None or found["probe"] == me):
            close_breaker(t, CloseBreaker(name))


def save_waits(t: Tables, verb: SaveWaits) -> tuple[WaitRow, ...]:
    for wait in verb.waits:
        t.wait.setdefault((verb.run_id, wait.address), wait_row(t, verb.run_id, wait))
    kept = [t.wait[verb.run_id, wait.address] for wait in verb.waits]
    return tuple(WaitRow(w["address"], w["kind"], w["name"], None, w["due_at"]) for w in kept)


def wait_row(t: Tables, run_id: str, wait: WaitRow) -> Row:
    due_at = wait.due_at
    if due_at is None:
        due_at = FOREVER if wait.delay_us is None else t.now + wait.delay_us
    return {
        "run_id": run_id,
        "address": wait.address,
        "kind": wait.kind,
        "name": wait.name,
        "due_at": due_at,
    }


# --- what it asks for


def lock(t: Tables, verb: Lock) -> Locked:
    t.live[verb.run_id]["tied"] = True
    asked = {t.lock[turn]["name"] for turn in requests(t, verb.run_id, verb.address)}
    for name in dict.fromkeys(verb.names):
        if name not in asked:
            free = all(k["name"] != name for k in t.lock.values())
            t.lock[max(t.lock, default=0) + 1] = {
                "name": name,
                "run_id": verb.run_id,
                "address": verb.address,
                "path": verb.path,
                "asked_at": t.now,
                "held_at": t.now if free else None,
            }
    mine = requests(t, verb.run_id, verb.address)
    if all(t.lock[turn]["held_at"] is not None for turn in mine):
        return Locked(held=True)
    circle = circle_of(t, verb)
    if circle:
        leave_lines(t, mine)
    return Locked(held=False, circle=circle)


def requests(t: Tables, run_id: str, address: str) -> list[int]:
    """The turns of what was asked for in one go."""
    asked = (run_id, address)
    return [turn for turn, k in t.lock.items() if (k["run_id"], k["address"]) == asked]


def circle_of(t: Tables, verb: Lock) -> tuple[str, ...]:
    """The runs that would wait for each other, if this request would wait for itself."""

    def before(turn: int) -> list[Row]:
        return [k for u, k in t.lock.items() if u < turn and k["name"] == t.lock[turn]["name"]]

    stuck: set[int] = set()
    mine = requests(t, verb.run_id, verb.address)
    fresh = {turn for turn in mine if t.lock[turn]["held_at"] is None}
    while fresh:
        stuck |= fresh
        ahead = [k for turn in fresh for k in before(turn)]
        fresh = {
            turn
            for turn, o in t.lock.items()
            if o["held_at"] is None
            and any(o["run_id"] == k["run_id"] and o["path"].startswith(k["path"]) for k in ahead)
        } - stuck
    myself = any(
        k["run_id"] == verb.run_id and verb.path.startswith(k["path"])
        for turn in stuck
        for k in before(turn)
    )
    return tuple({t.lock[turn]["run_id"] for turn in stuck}) if myself else ()


def probe(t: Tables, verb: Probe) -> Probed:
    found = t.breaker.get(verb.name)
    if found is None or found["open_until"] is None:
        return Probed(go=True)
    if found["open_until"] > t.now:
        return Probed(go=False, until=found["open_until"])
    me = f"{verb.run_id}/{verb.address}"
    if (found["probe_until"] or 0) > t.now and found["probe"] != me:
        return Probed(go=False, until=found["probe_until"])
    found.update(probe=me, probe_until=t.now + verb.lease_us)
    return Probed(go=True)


def close_breaker(t: Tables, verb: CloseBreaker) -> bool:
    if t.breaker.pop(verb.name, None) is None:
        return False
    for wait in t.waiting_for(verb.name, "breaker"):
        t.wake(wait["run_id"])
    return True


# --- what it ends with


def settle(t: Tables, verb: Settle) -> None:
    row = t.live[verb.run_id]
    if verb.state == "failed":
        t.note_attempt(row, "failed", verb.error)
    end(t, row, verb.state, result=verb.result, error=verb.error, worker=row["worker"])
    if verb.state == "cancelled":
        cancel_below(t, verb.run_id)


def park(t: Tables, verb: Park) -> None:
    row = t.live[verb.run_id]
    for step in verb.steps:
        put_step(t, verb.run_id, verb.attempt, step)
    before = {w["address"]: w for w in t.waits_of(verb.run_id)}
    for address in before:
        del t.wait[verb.run_id, address]
    for wait in verb.waits:
        made = wait_row(t, verb.run_id, wait)
        if wait.address in before:
            made["due_at"] = before[wait.address]["due_at"]
        t.wait[verb.run_id, wait.address] = made
    waits = t.waits_of(verb.run_id)
    ends = [] if verb.timeless or row["deadline_at"] is None else [row["deadline_at"]]
    at = min([w["due_at"] for w in waits] + ends, default=FOREVER)
    asked_to_cancel = row["cancel_reason"] is not None and not verb.backwards
    if asked_to_cancel or any(is_there(t, wait) for wait in waits):
        at = t.now
    t.let_go(row, "waiting", at, starts=0, priority=row["priority"] % 10)


def is_there(t: Tables, wait: Row) -> bool:
    """Whether what is waited for has come already."""
    match wait["kind"]:
        case "event":
            return any(e["name"] == wait["name"] for e in t.mail_of(wait["run_id"]))
        case "child":
            return wait["name"] in t.result
        case "children":
            return not t.any_live(wait["name"])
        case "breaker":
            return t.breaker.get(wait["name"], {}).get("open_until") is None
        case "lock":
            mine = requests(t, wait["run_id"], wait["address"])
            return all(t.lock[turn]["held_at"] is not None for turn in mine)
        case _:
            return False


def again(t: Tables, verb: Again) -> None:
    row = t.live[verb.run_id]
    t.note_attempt(row, "failed", verb.error)
    at = t.now + (verb.delay_us if row["cancel_reason"] is None else 0)
    fresh = {"failures": row["failures"] + 1, "starts": 0, "priority": row["priority"] % 10}
    t.let_go(row, "scheduled", at, **fresh)


def hand_back(t: Tables, verb: HandBack) -> None:
    row = t.live[verb.run_id]
    t.let_go(row, "ready", t.now, starts=max(row["starts"] - 1, 0))


def set_aside(t: Tables, verb: Attention) -> None:
    row = t.live[verb.run_id]
    t.note_attempt(row, "failed", verb.error)
    t.let_go(row, "needs_attention", priority=row["priority"] % 10, error=verb.error)
