"""Workers and their leases, and what is swept away: Expire, Prune, Erase."""

from __future__ import annotations

import json
from collections.abc import Sequence

from backroom.records.erasure import ERASED, ERASED_ERROR, Erased
from backroom.records.limits import KEY_KEPT_US, STARTS
from backroom.records.queues import Pruned
from backroom.store.verbs import Erase, Expire, Prune, Reconcile, Register, Renew, Rescue, Retire
from tests.store.model.ends import cancelled, end
from tests.store.model.tables import Row, Tables

__all__ = ["erase", "expire", "prune", "reconcile", "register", "renew", "rescue", "retire"]


def register(t: Tables, verb: Register) -> None:
    worker = verb.worker
    before = t.worker.get(worker.id, {})
    t.worker[worker.id] = {
        "id": worker.id,
        "name": worker.name,
        "lease_until": t.now + verb.lease_us,
        "started_at": before.get("started_at") or worker.started_at or t.now,
        "concurrency": worker.concurrency,
        "bell": worker.bell,
        "queues": json.dumps(worker.queues),
        "flows": json.dumps(worker.flows),
    }


def renew(t: Tables, verb: Renew) -> frozenset[str]:
    known = [worker for worker in verb.worker_ids if worker in t.worker]
    for worker in known:
        t.worker[worker]["lease_until"] = t.now + verb.lease_us
    return frozenset(known)


def retire(t: Tables, verb: Retire) -> tuple[str, ...]:
    t.worker.pop(verb.worker_id, None)
    held = held_by(t, verb.worker_id)
    return lose(t, held, STARTS) if verb.lost else hand_back(t, held)


def rescue(t: Tables, verb: Rescue) -> tuple[str, ...]:
    for worker, row in list(t.worker.items()):
        if row["lease_until"] <= t.now:
            del t.worker[worker]
    running = [row for row in t.live.values() if row["state"] == "running"]
    return lose(t, [row for row in running if row["worker"] not in t.worker], verb.max_starts)


def reconcile(t: Tables, verb: Reconcile) -> tuple[str, ...]:
    held = held_by(t, verb.worker_id)
    return hand_back(t, [r for r in held if (r["id"], r["attempt"]) not in verb.holding])


def held_by(t: Tables, worker: str) -> list[Row]:
    return [r for r in t.live.values() if r["state"] == "running" and r["worker"] == worker]


def hand_back(t: Tables, rows: Sequence[Row]) -> tuple[str, ...]:
    for row in rows:
        t.let_go(row, "ready", t.now, starts=max(row["starts"] - 1, 0))
    return tuple(row["id"] for row in rows)


def lose(t: Tables, rows: Sequence[Row], max_starts: int) -> tuple[str, ...]:
    for row in rows:
        t.note_attempt(row, "lost", None)
        line, starts = row["priority"] % 10, row["starts"]
        if starts >= max_starts and row["priority"] >= 10:
            message = (
                f"Its worker died {starts} times in a row while it performed this run, without any "
                "progress in between, the last time with no other run beside it. Find out what "
                "kills the process, then retry or cancel the run."
            )
            error = json.dumps({"kind": "Poison", "message": message})
            t.let_go(row, "needs_attention", priority=line, error=error)
        else:
            t.let_go(row, "ready", t.now, priority=line if starts < 2 else line + 10)
    return tuple(row["id"] for row in rows)


def expire(t: Tables, verb: Expire) -> int:
    late = [
        row
        for row in t.live.values()
        if row["state"] in ("ready", "scheduled")
        and row["started_at"] is None
        and row["expires_at"] is not None
        and row["expires_at"] <= t.now
    ]
    late = sorted(late, key=lambda row: (row["expires_at"], row["id"]))[: verb.limit]
    for row in late:
        end(t, row | {"started_at": None}, "cancelled", error=cancelled("expired"))
    return len(late)


def prune(t: Tables, verb: Prune) -> Pruned:
    before = t.now - verb.older_than_us
    seen = [
        t.result[run_id]
        for run_id in sorted(t.result)
        if run_id > (verb.after or "") and made_at(run_id) <= before // 1000
    ][: verb.limit]
    old = [row for row in seen if row["finished_at"] < before]
    gone = [row["run_id"] for row in old if not needed(t, row)]
    if not verb.dry_run:
        for run_id in gone:
            remove(t, run_id)
    more = seen[-1]["run_id"] if len(seen) == verb.limit else None
    return Pruned(len(gone), len(old) - len(gone), more)


def made_at(run_id: str) -> int:
    """The milliseconds with which an id begins."""
    return int(run_id.replace("-", "")[:12], 16)


def needed(t: Tables, result: Row) -> bool:
    run = t.run[result["run_id"]]
    return (
        bool(t.waiting_for(run["id"], "child"))
        or run["parent_id"] in t.live
        or run["cause_id"] in t.live
        or any(row["parent_id"] == run["id"] for row in t.live.values())
        or (run["key"] is not None and result["finished_at"] >= t.now - KEY_KEPT_US)
    )


def remove(t: Tables, run_id: str) -> None:
    forget_key(t, run_id)
    for by_run in (t.run, t.result, t.progress):
        by_run.pop(run_id, None)
    for by_pair in (t.step, t.wait, t.attempt):
        for pair in [pair for pair in by_pair if pair[0] == run_id]:
            del by_pair[pair]  # type: ignore[arg-type]
    for event in [event for event in t.event.values() if event["run_id"] == run_id]:
        del t.event[event["id"]]


def forget_key(t: Tables, run_id: str) -> None:
    run = t.run[run_id]
    if t.key.get((run["flow"], run["key"]), {}).get("run_id") == run_id:
        del t.key[run["flow"], run["key"]]


def erase(t: Tables, verb: Erase) -> Erased:
    done: list[str] = []
    refused: list[tuple[str, str]] = []
    for run_id in dict.fromkeys(verb.run_ids):
        run = t.run.get(run_id)
        if run is None:
            refused.append((run_id, "there is no such run"))
        elif t.waiting_for(run_id, "child") or run["parent_id"] in t.live:
            refused.append((run_id, "a run that has not ended may still read it"))
        elif run_id in t.live:
            refused.append((run_id, "it has not ended"))
        else:
            done.append(run_id)
    fresh = [run_id for run_id in done if t.run[run_id]["erased_at"] is None]
    if fresh and not verb.dry_run:
        for run_id in fresh:
            blank(t, run_id)
        t.audit[verb.audit_id] = {
            "id": verb.audit_id,
            "at": t.now,
            "act": "erase",
            "by": verb.by,
            "what": json.dumps({"runs": fresh}),
        }
    return Erased(tuple(done), tuple(refused))


def blank(t: Tables, run_id: str) -> None:
    """Nothing is left of what came from outside; that the run was, is."""
    forget_key(t, run_id)
    t.progress.pop(run_id, None)
    t.run[run_id].update(input=ERASED, key=None, partition=None, subject=None, erased_at=t.now)
    result = t.result[run_id]
    result["result"] = result["result"] and ERASED
    result["error"] = result["error"] and ERASED_ERROR
    for number, step in enumerate(t.steps_of(run_id), 1):
        del t.step[run_id, step["address"]]
        if "[" in step["address"]:
            step["address"] = f"[erased]{number}"
        if step["kind"] != "start":
            step["result"] = step["result"] and ERASED
        step["error"] = step["error"] and ERASED_ERROR
        step["fingerprint"] = None
        t.step[run_id, step["address"]] = step
    for event in t.event.values():
        if event["run_id"] == run_id:
            event["payload"] = ERASED
    for (of, _), attempt in t.attempt.items():
        if of == run_id:
            attempt["error"] = attempt["error"] and ERASED_ERROR
