"""Claim: who is next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from backroom.records.runs import Claimed, Claims, Mail, RunRow, StepRow, WaitRow
from backroom.records.states import State
from backroom.rules.rates import next_token_at, tokens
from backroom.rules.suspicion import lines
from backroom.store.verbs import Claim
from tests.store.model.tables import ALIVE, Row, Tables

__all__ = ["claim"]

Place = tuple[int, int, int, str]
"""Priority, since when, turn within a parted queue, id: the order among all queues."""


def claim(t: Tables, verb: Claim) -> Claims:
    queues = list(dict.fromkeys(verb.queues))
    ruled = [name for name in queues if is_ruled(t.queue.get(name))]
    heeds = verb.ruled or verb.suspects
    line: list[Place] = []
    for name in queues:
        if name not in ruled:
            line += in_order(verb, due(t, verb, name))
        elif heeds:
            ready_parted(t, verb, name)
            line += from_ruled(t, verb, name)
    rows = [t.live[place[3]] for place in sorted(line)[: verb.limit]]
    runs = [take(t, verb, row, counted=row["queue"] in ruled) for row in rows]
    spent = Counter(row["queue"] for row in rows if row["queue"] in ruled)
    for name, number in spent.items():
        rules = t.queue[name]
        if rules["interval_us"] is not None:
            rules["full_at"] = max(rules["full_at"], t.now) + number * rules["interval_us"]
    next_due_at = None
    if len(runs) < verb.limit:
        next_due_at = next_due(t, verb, queues, ruled if heeds else [])
    return Claims(tuple(runs), t.now, next_due_at, ruled=bool(ruled))


def is_ruled(rules: Row | None) -> bool:
    """Whether a queue has rules for claims."""
    return rules is not None and (
        bool(rules["parted"])
        or any(rules[name] is not None for name in ("concurrency", "interval_us", "paused_at"))
    )


def due(t: Tables, verb: Claim, queue: str) -> list[Row]:
    return [
        row
        for row in t.live.values()
        if row["queue"] == queue
        and row["state"] in ALIVE
        and row["available_at"] <= t.now
        and row["flow"] in verb.flows
        and row["priority"] in lines(suspects=verb.suspects)
    ]


def in_order(verb: Claim, rows: Sequence[Row]) -> list[Place]:
    """The places of runs that have no partition."""
    places = [(r["priority"], r["available_at"], 0, r["id"]) for r in rows if not parted(r)]
    return sorted(places)[: verb.limit]


def parted(row: Row) -> bool:
    return row["partition"] is not None


def ready_parted(t: Tables, verb: Claim, queue: str) -> None:
    """Timers of runs with a partition that have come due stand by it from now on."""
    rules = t.queue[queue]
    if verb.suspects or not rules["parted"] or rules["paused_at"] is not None:
        return
    for row in t.live.values():
        timer = row["queue"] == queue and row["state"] in ("scheduled", "waiting") and parted(row)
        if timer and row["available_at"] <= t.now and row["priority"] < 10:
            row["state"] = "ready"


def from_ruled(t: Tables, verb: Claim, queue: str) -> list[Place]:
    rules = t.queue[queue]
    running = [
        row
        for row in t.live.values()
        if row["queue"] == queue and row["counted"] and row["state"] == "running"
    ]
    room = verb.limit
    if rules["paused_at"] is not None:
        room = 0
    if rules["concurrency"] is not None:
        room = min(room, rules["concurrency"] - len(running))
    if rules["interval_us"] is not None:
        room = min(room, tokens(t.now, rules["full_at"], rules["interval_us"], rules["burst"]))
    if room <= 0:
        return []
    busy = Counter(row["partition"] for row in running)
    most = rules["per_partition"]
    rows = due(t, verb, queue)
    if verb.suspects:
        free = [r for r in rows if not parted(r) or most is None or busy[r["partition"]] < most]
        return sorted((r["priority"], r["available_at"], 0, r["id"]) for r in free)[:1]
    places = in_order(verb, rows)
    if not rules["parted"]:
        return places[:room]
    turns = [(priority, 0, since, run_id) for priority, since, _, run_id in places]
    turns += by_turns([r for r in rows if parted(r)], busy, most, room)
    return placed(sorted(turns)[:room])


Turn = tuple[int, int, int, str]
"""Priority, how many of its partition run then, due time, id: the order within a parted queue."""


def placed(turns: Sequence[Turn]) -> list[Place]:
    """A parted queue stands where the longest waiting run does that it offers at a priority."""
    since = {p: min(due for q, _, due, _ in turns if p == q) for p, _, _, _ in turns}
    return [(p, since[p], turn, i) for turn, (p, _, _, i) in enumerate(turns)]


def by_turns(rows: Sequence[Row], busy: Counter[str], most: int | None, room: int) -> list[Turn]:
    """The next runs of a parted queue: of the partition with the fewest running ones first."""
    left = sorted(rows, key=lambda r: (r["priority"], r["available_at"], r["id"]))
    picked: list[Turn] = []
    while len(picked) < room:
        heads = {row["partition"]: row for row in reversed(left)}
        turns = [
            ((r["priority"], busy[part] + 1, r["available_at"], r["id"]), r)
            for part, r in heads.items()
            if most is None or busy[part] < most
        ]
        if not turns:
            break
        turn, row = min(turns, key=lambda each: each[0])
        busy[row["partition"]] += 1
        left.remove(row)
        picked.append(turn)
    return picked


def next_due(t: Tables, verb: Claim, queues: Sequence[str], ruled: Sequence[str]) -> int | None:
    """When there is more to claim, if that is known."""
    times = [
        row["available_at"]
        for row in t.live.values()
        if row["queue"] in queues
        and row["state"] in ALIVE
        and row["priority"] in lines(suspects=verb.suspects)
        and t.now < row["available_at"] < 2**63 - 1
        and not (parted(row) and row["state"] == "ready" and row["priority"] < 10)
    ]
    for name in ruled:
        rules = t.queue[name]
        if rules["interval_us"] is not None and rules["paused_at"] is None:
            at = next_token_at(rules["full_at"], rules["interval_us"], rules["burst"])
            times += [at] if at > t.now else []
    return min(times, default=None)


def take(t: Tables, verb: Claim, row: Row, *, counted: bool) -> Claimed:
    due_at = row["available_at"]
    row.update(
        state="running",
        attempt=row["attempt"] + 1,
        starts=row["starts"] + 1,
        worker=verb.worker,
        claimed_at=t.now,
        started_at=t.now if row["started_at"] is None else row["started_at"],
        counted=True if counted else row["counted"],
    )
    run = t.run[row["id"]]
    replayed = row["attempt"] > 1
    waits = t.waits_of(row["id"]) if replayed else []
    names = dict.fromkeys(wait["name"] for wait in waits if wait["kind"] == "child")
    same: tuple[str, ...] = ("id", "flow", "queue", "attempt", "starts", "failures", "parent_id")
    same += ("deadline_at", "cancel_reason", "priority", "expires_at")
    cold = ("input", "root_id", "depth", "key", "created_at", "subject")
    given: dict[str, Any] = {name: row[name] for name in same} | {name: run[name] for name in cold}
    return Claimed(
        **given,
        now=t.now,
        due_at=due_at,
        steps=tuple(map(step_row, t.steps_of(row["id"]))) if replayed else (),
        waits=tuple(WaitRow(w["address"], w["kind"], w["name"], None, w["due_at"]) for w in waits),
        mail=tuple(map(mail, t.mail_of(row["id"]))) if replayed else (),
        ended=tuple(run_row(t, name) for name in names if name in t.result),
    )


def step_row(row: Row) -> StepRow:
    fields = (
        "address", "name", "kind", "state", "result", "error", "fingerprint", "tries",
        "started_at", "finished_at",
    )  # fmt: skip
    return StepRow(*(row[name] for name in fields))


def mail(row: Row) -> Mail:
    return Mail(row["id"], row["run_id"], row["name"], row["payload"], row["created_at"])


def run_row(t: Tables, run_id: str) -> RunRow:
    """A run that has ended."""
    run, result = t.run[run_id], t.result[run_id]
    told = t.progress.get(run_id, {"fraction": None, "status": None})
    return RunRow(
        run_id,
        run["flow"],
        run["queue"],
        State(result["state"]),
        run["priority"],
        run["key"],
        result["attempt"],
        run["input"],
        result["result"],
        result["error"],
        told["fraction"],
        told["status"],
        run["created_at"],
        None,
        result["started_at"],
        result["finished_at"],
        run["parent_id"],
        run["cause_id"],
        result["worker"],
        None,
        run["subject"],
        run["erased_at"],
        run["version"],
    )
