"""How runs end, and whom that wakes."""

from __future__ import annotations

import json
from collections.abc import Iterable

from backroom.rules.windows import is_mapped
from tests.store.model.tables import Row, Tables

__all__ = ["cancel_below", "cancel_family", "cancelled", "end", "leave_lines"]


def end(
    t: Tables,
    row: Row,
    state: str,
    *,
    result: str | None = None,
    error: str | None = None,
    worker: str | None = None,
) -> None:
    """The hot row and the waits go, the result comes, and whoever waited goes on."""
    run_id = row["id"]
    t.result[run_id] = {
        "run_id": run_id,
        "state": state,
        "attempt": row["attempt"],
        "result": result,
        "error": error,
        "worker": worker,
        "started_at": row["started_at"],
        "finished_at": t.now,
    }
    del t.live[run_id]
    for wait in t.waits_of(run_id):
        del t.wait[run_id, wait["address"]]
    leave_lines(t, [turn for turn, k in t.lock.items() if k["run_id"] == run_id])
    release_followers(t, run_id, state)
    for wait in t.waiting_for(run_id, "child"):
        t.wake(wait["run_id"])
    parent_id = t.run[run_id]["parent_id"]
    if is_mapped(run_id):
        for wait in t.waits_of(parent_id):
            if wait["kind"] == "children" and not t.any_live(wait["name"]):
                t.wake(parent_id)


def leave_lines(t: Tables, turns: Iterable[int]) -> None:
    """Take requests out of their lines; who is next has the lock, and goes on if it has all."""
    for turn in list(turns):
        name = t.lock.pop(turn)["name"]
        line = sorted(turn for turn, k in t.lock.items() if k["name"] == name)
        if not line or t.lock[line[0]]["held_at"] is not None:
            continue
        head = t.lock[line[0]]
        head["held_at"] = t.now
        wait = t.wait.get((head["run_id"], head["address"]))
        lacks = any(
            k["held_at"] is None
            for k in t.lock.values()
            if (k["run_id"], k["address"]) == (head["run_id"], head["address"])
        )
        if wait and wait["kind"] == "lock" and not lacks:
            t.wake(head["run_id"])


def release_followers(t: Tables, leader: str, state: str) -> None:
    """Runs that were to begin after this one do, once it was the last; or never, if it was to
    succeed and hasn't."""
    for wait in t.waiting_for(leader, "after", "after_end"):
        row = t.live[wait["run_id"]]
        others = [
            w
            for w in t.waits_of(row["id"])
            if w["kind"] in ("after", "after_end") and w["name"] != leader
        ]
        if row["state"] == "waiting" and wait["kind"] == "after" and state != "succeeded":
            reason = f"the run {leader}, after which it was to begin, has {state}"
            row.update(state="ready", available_at=t.now)
            row["cancel_reason"] = row["cancel_reason"] or reason
        elif row["state"] == "waiting" and not others:
            due, late = wait["due_at"], max(0, t.now - wait["due_at"])
            row.update(state="scheduled" if due > t.now else "ready", available_at=max(due, t.now))
            for bound in ("deadline_at", "expires_at"):
                row[bound] = row[bound] and row[bound] + late
        del t.wait[row["id"], wait["address"]]


def cancelled(reason: str) -> str:
    return json.dumps({"kind": "Cancelled", "message": reason})


def cancel_family(t: Tables, run_ids: Iterable[str], reason: str) -> None:
    """Cancel these live runs and all attached runs below them."""
    family: list[str] = []
    below = [run_id for run_id in run_ids if run_id in t.live]
    while below:
        family += below
        parents = set(below)
        below = [i for i, row in t.live.items() if row["parent_id"] in parents and i not in family]
    ending = []
    for run_id in sorted(family):
        row = t.live[run_id]
        steps = t.steps_of(run_id)
        backwards = any(s["address"] == "rollback" for s in steps) and not any(
            s["address"] == "otherwise" and s["name"] == "begun" for s in steps
        )
        because = row["cancel_reason"] if row["cancel_reason"] is not None else reason
        if row["state"] == "running":
            row["cancel_reason"] = because
        elif backwards:
            continue
        elif any(s["kind"] == "undo" for s in steps):
            row.update(state="ready", available_at=min(row["available_at"], t.now))
            row["cancel_reason"] = because
        else:
            ending.append((row, because))
    for row, because in ending:
        end(t, row, "cancelled", error=cancelled(because))


def cancel_below(t: Tables, run_id: str) -> None:
    """A run has ended as cancelled; what is attached to it goes as well."""
    children = [i for i, row in t.live.items() if row["parent_id"] == run_id]
    cancel_family(t, children, "the run that started it was cancelled")
