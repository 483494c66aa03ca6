"""Why a run isn't running: the first reason that holds, as a sentence and as data.

The reasons are asked in the order in which they would have to be removed:

    ended, running, needs attention, waiting, due later      the run's own
    paused, limit, partition's limit, rate                   its queue's
    no worker, none for the queue, none for the flow         the workers'
    behind others, or nothing: the next look takes it

All of it is read at one moment and may have changed in the next; nothing is decided by it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from backroom.flows.failures import read
from backroom.flows.rewinding import REFUSED
from backroom.records.errors import RunNotFound
from backroom.records.queues import Standing
from backroom.records.runs import FOREVER, RunRow, WaitRow, served_as
from backroom.records.states import FINAL, State
from backroom.store.protocol import Reader

__all__ = ["Why", "why"]


@dataclass(frozen=True, slots=True)
class Why:
    """The answer. `reason` is one of: ended, running, needs_attention, waiting, due_later, retry,
    paused, limit, partition_limit, rate, no_worker, no_worker_for_queue, no_worker_for_flow,
    behind, next. What `facts` has depends on it; times are in UTC."""

    run_id: str
    reason: str
    text: str
    facts: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.text


def why(reader: Reader, run_id: str) -> Why:
    """Why this run isn't running; RunNotFound."""
    for _ in range(3):  # it may end between two looks
        run = reader.run(run_id)
        if run is None:
            raise RunNotFound(run_id)
        if run.state in FINAL:
            return Why(run_id, "ended", f"It has ended: {run.state}.", {"state": run.state.value})
        standing = reader.in_queue(run_id)
        if standing is not None:
            now = reader.now()
            return (
                of_itself(reader, run, standing, now)
                or of_its_queue(run, standing, now)
                or of_workers(reader, run, now)
                or in_line(run, standing)
            )
        time.sleep(0.001)
    raise AssertionError("a run that isn't final and has no live row")


def of_itself(reader: Reader, run: RunRow, standing: Standing, now: int) -> Why | None:
    if run.state is State.RUNNING:
        return Why(
            run.id, "running",
            f"It is running: attempt {run.attempt}, begun {ago(standing.claimed_at, now)}.",
            {"attempt": run.attempt, "worker": run.worker, "since": moment(standing.claimed_at)},
        )  # fmt: skip
    if run.state is State.NEEDS_ATTENTION:
        error = read(run.error)
        acts = "retry it or undo the rest by hand" if "open" in error else "retry or cancel it"
        return Why(
            run.id, "needs_attention",
            f"It waits for a person to {acts}, because of {error['kind']}: {error['message']}",
            {"kind": error["kind"], "message": error["message"]},
        )  # fmt: skip
    due_at = FOREVER if run.available_at is None else run.available_at
    if due_at <= now:
        return None
    if run.state is State.WAITING:
        return waiting(reader, run, standing, now)
    facts = {"due_at": moment(due_at)}
    if standing.failures:
        return Why(
            run.id, "retry",
            f"Attempt {run.attempt} failed; it is tried again {ago(due_at, now)}.",
            facts | {"failures": standing.failures},
        )  # fmt: skip
    return Why(run.id, "due_later", f"It is due {ago(due_at, now)}.", facts)


def waiting(reader: Reader, run: RunRow, standing: Standing, now: int) -> Why:
    waits = reader.waits(run.id)
    told = [for_what(reader, run, wait, now) for wait in waits]
    since = ago(standing.claimed_at, now)
    what = ", and ".join(text for text, _ in told)
    return Why(
        run.id, "waiting", f"It waits {what}; last active {since}.",
        {"since": moment(standing.claimed_at), "for": [facts for _, facts in told]},
    )  # fmt: skip


def for_what(reader: Reader, run: RunRow, wait: WaitRow, now: int) -> tuple[str, dict[str, Any]]:
    facts: dict[str, Any] = {"kind": wait.kind, "address": wait.address}
    ends = wait.due_at is not None and wait.due_at < FOREVER
    facts["until"] = moment(wait.due_at)
    until = f" (at most: {ago(wait.due_at, now)})" if ends else ""
    match wait.kind:
        case "event":
            return for_event(reader, run, wait, until, now, facts | {"event": wait.name})
        case "child":
            text, facts = for_run(reader, wait, facts)
            return f"{text}{until}", facts
        case "children":
            return f"for runs that it has started to end{until}", facts
        case "lock":
            return for_locks(reader, run, wait, facts)
        case "breaker":
            return for_breaker(reader, wait, now, facts)
        case "after" | "after_end":
            text, facts = for_run(reader, wait, facts)
            return f"{text} before it begins", facts
        case "retry":
            return (
                f"to try the step {wait.name} again {ago(wait.due_at, now)}",
                facts | {"step": wait.name},
            )
        case _:
            return f"for a time: {ago(wait.due_at, now)}", facts


def for_event(
    reader: Reader, run: RunRow, wait: WaitRow, until: str, now: int, facts: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    text = f"for the event {wait.name}{until}"
    refused = [s for s in reader.steps(run.id) if s.kind == REFUSED and s.name == wait.name]
    if not refused:
        return text, facts
    last = max(refused, key=lambda step: step.finished_at)
    what = read(last.error).get("what", "")
    text += f"; the last one came {ago(last.started_at, now)} and was refused: {what}"
    return text, facts | {"refused": what}


def for_run(reader: Reader, wait: WaitRow, facts: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    run = reader.run(wait.name)
    facts |= {"run": wait.name, "state": None if run is None else run.state.value}
    return f"for the run {wait.name} ({about(run)})", facts


def for_locks(
    reader: Reader, run: RunRow, wait: WaitRow, facts: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    """The locks that a request still lacks, who has each, and how many come before it."""
    lacking = [
        row
        for row in reader.locks_of(run.id)
        if row.address == wait.address and row.held_at is None
    ]
    told = []
    for row in lacking:
        holder = None if row.holder is None else reader.run(row.holder)
        line = f", behind {row.ahead - 1} others" if row.ahead > 1 else ""
        told.append(
            f"for the lock {row.name}, which the run {row.holder} ({about(holder)}) has{line}"
        )
    text = " and ".join(told) or f"for the lock {wait.name}, which it has by now"
    return text, facts | {"lock": wait.name, "holders": [row.holder for row in lacking]}


def for_breaker(
    reader: Reader, wait: WaitRow, now: int, facts: dict[str, Any]
) -> tuple[str, dict[str, Any]]:
    facts |= {"breaker": wait.name}
    found = reader.breakers(wait.name)
    if not found:
        return f"for the breaker {wait.name}, which has closed by now", facts
    facts |= {"failures": found[0].failures, "error": found[0].error}
    return (
        f"for the breaker {wait.name}, open after {found[0].failures} failures in a row (the last "
        f"one: {found[0].error}); it is asked again {ago(wait.due_at, now)}",
        facts,
    )


def about(run: RunRow | None) -> str:
    return "which is gone" if run is None else f"{run.flow}, {run.state}"


def of_its_queue(run: RunRow, standing: Standing, now: int) -> Why | None:
    queue, rules = standing.queue, standing.queue.rules
    if queue.paused_at is not None:
        by = f" by {queue.paused_by}" if queue.paused_by else ""
        return Why(
            run.id, "paused",
            f"The queue {run.queue} is paused{by}: {ago(queue.paused_at, now)}.",
            {"queue": run.queue, "since": moment(queue.paused_at), "by": queue.paused_by},
        )  # fmt: skip
    if rules.concurrency is not None and queue.running >= rules.concurrency:
        return Why(
            run.id, "limit",
            f"The queue {run.queue} performs {rules.concurrency} runs at once, its limit: "
            f"{named(standing.holders, queue.running)}.",
            {"queue": run.queue, "limit": rules.concurrency, "holders": list(standing.holders)},
        )  # fmt: skip
    most = rules.concurrency_per_partition
    if standing.partition is not None and most is not None and standing.partition_running >= most:
        return Why(
            run.id, "partition_limit",
            f"The queue {run.queue} performs {most} runs of partition {standing.partition!r} at "
            f"once, its limit: {named(standing.partition_holders, standing.partition_running)}.",
            {
                "queue": run.queue, "partition": standing.partition, "limit": most,
                "holders": list(standing.partition_holders),
            },
        )  # fmt: skip
    if queue.next_token_at is not None and queue.next_token_at > now:
        per = took(rules.per_us or 0)
        return Why(
            run.id, "rate",
            f"The queue {run.queue} takes up {rules.rate} runs in {per}; the next one "
            f"{ago(queue.next_token_at, now)}{behind(standing)}.",
            {
                "queue": run.queue, "rate": rules.rate, "per_seconds": (rules.per_us or 0) / 1e6,
                "next_at": moment(queue.next_token_at), "ahead": standing.ahead,
            },
        )  # fmt: skip
    return None


def of_workers(reader: Reader, run: RunRow, now: int) -> Why | None:
    alive = [worker for worker in reader.workers() if worker.lease_until > now]
    if not alive:
        return Why(run.id, "no_worker", "No worker is alive. Start one: `backroom worker`.")
    serving = [worker for worker in alive if run.queue in worker.queues]
    if not serving:
        return Why(
            run.id, "no_worker_for_queue",
            f"No living worker serves the queue {run.queue}. Start one with --queues {run.queue}.",
            {"queue": run.queue, "workers": [worker.name for worker in alive]},
        )  # fmt: skip
    flow = served_as(run.flow, run.version)
    if not any(flow in worker.flows for worker in serving):
        return Why(
            run.id, "no_worker_for_flow",
            f"No living worker of the queue {run.queue} knows the flow {flow}. Deploy the code "
            "that has it.",
            {"flow": flow, "workers": [worker.name for worker in serving]},
        )  # fmt: skip
    return None


def in_line(run: RunRow, standing: Standing) -> Why:
    if standing.ahead:
        number = "1 run" if standing.ahead == 1 else f"{standing.ahead:,} runs"
        return Why(
            run.id, "behind",
            f"{number} of the queue {run.queue} are more urgent or have been due for longer."
            if standing.ahead != 1
            else f"1 run of the queue {run.queue} is more urgent or has been due for longer.",
            {"queue": run.queue, "ahead": standing.ahead},
        )  # fmt: skip
    return Why(run.id, "next", "It is the next in its queue: a worker with room takes it.")


def behind(standing: Standing) -> str:
    return f", and {standing.ahead:,} come before this one" if standing.ahead else ""


def named(holders: Sequence[str], running: int) -> str:
    more = running - len(holders)
    return ", ".join(holders) + (f" and {more:,} more" if more > 0 else "")


def moment(at: int | None) -> datetime | None:
    if at is None or at >= 253_370_764_800_000_000:
        return None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)


def ago(at: int | None, now: int) -> str:
    """How far a time is from now: `3 min ago`, `in 2 h`."""
    if at is None:
        return "an unknown time"
    return f"in {took(at - now)}" if at > now else f"{took(now - at)} ago"


UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def took(us: int) -> str:
    seconds = -(-us // 1_000_000)
    for size, unit in UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
