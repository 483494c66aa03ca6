"""Declare, AsDeclared, Pause and Resume."""

from __future__ import annotations

from backroom.records.queues import QueueRules
from backroom.rules.rates import interval_us
from backroom.store.verbs import AsDeclared, Declare, Pause, Resume
from tests.store.model.tables import Row, Tables

__all__ = ["as_declared", "declare", "pause", "resume"]

RULES = ("concurrency", "per_partition", "rate", "per_us", "burst", "max_waiting")


def declare(t: Tables, verb: Declare) -> None:
    row = t.queue.get(verb.rules.name) or new_queue(t, verb.rules.name)
    values = dict(zip(RULES, given(verb.rules), strict=True))
    by_operator = row["set_by"] is not None
    if not by_operator or verb.by is not None:
        same = all(row[name] == value for name, value in values.items())
        if not same or row["set_by"] != verb.by or row["name"] not in t.queue:
            put_in_force(t, row, values, verb.by)
    t.queue[row["name"]] = row
    if verb.by is None:
        row["declared"] = verb.rules
    count_running(t, verb.rules.name)


def as_declared(t: Tables, verb: AsDeclared) -> bool:
    count_running(t, verb.queue)
    row = t.queue.get(verb.queue)
    if row is None or row["set_by"] is None:
        return False
    rules = row["declared"] or QueueRules(verb.queue)
    put_in_force(t, row, dict(zip(RULES, given(rules), strict=True)), None)
    return True


def given(rules: QueueRules) -> list[int | None]:
    return [
        rules.concurrency,
        rules.concurrency_per_partition,
        rules.rate,
        rules.per_us,
        rules.burst,
        rules.max_waiting,
    ]


def put_in_force(t: Tables, row: Row, values: dict[str, int | None], by: str | None) -> None:
    rate, per_us = values["rate"], values["per_us"]
    row.update(values)
    row["interval_us"] = None if rate is None or per_us is None else interval_us(rate, per_us)
    row["parted"] = row["parted"] or values["per_partition"] is not None
    row.update(changed_at=t.now, set_by=by)


def count_running(t: Tables, queue: str) -> None:
    """Runs that were claimed while it had no rules count as well."""
    for run in t.live.values():
        if run["queue"] == queue and run["state"] == "running":
            run["counted"] = True


def new_queue(t: Tables, name: str) -> Row:
    """A queue that declares nothing; not in the table yet."""
    return {
        **dict.fromkeys(RULES),
        "name": name,
        "interval_us": None,
        "full_at": 0,
        "parted": False,
        "paused_at": None,
        "paused_by": None,
        "set_by": None,
        "declared": None,
        "changed_at": t.now,
    }


def pause(t: Tables, verb: Pause) -> None:
    row = t.queue.setdefault(verb.queue, new_queue(t, verb.queue))
    if row["paused_at"] is None:
        row.update(paused_at=t.now, paused_by=verb.by, changed_at=t.now)


def resume(t: Tables, verb: Resume) -> None:
    if row := t.queue.get(verb.queue):
        row.update(paused_at=None, paused_by=None, changed_at=t.now)
