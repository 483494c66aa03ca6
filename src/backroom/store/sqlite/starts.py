"""Start: a run becomes a cold row, a hot row and, where it has one, a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backroom.records.errors import Busy
from backroom.records.runs import NewRun, Started, served_as
from backroom.store.sqlite.holding import TIE
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql

__all__ = ["start_all"]

KNOWN_RUNS = sql("known_runs")
INSERT_RUN = sql("insert_run")
INSERT_LIVE = sql("insert_live")
KEY_HOLDER = sql("key_holder")
INSERT_KEY = sql("insert_key")
FULL_QUEUES = sql("full_queues")
COUNT_UNBEGUN = sql("count_unbegun")
LEADERS = sql("leaders")
SAVE_WAIT = sql("save_wait")
HOLD_UNTIL = sql("hold_until")
NOT_TO_BEGIN = sql("not_to_begin")


def start_all(tx: Transaction, runs: Sequence[NewRun]) -> list[Started | Busy]:
    """Store these runs, all with two statements; only keys cost a look each."""
    rooms = rooms_of(tx, runs)
    known = known_runs(tx, (run.id for run in runs))
    now = tx.now
    cold: list[Row] = []
    hot: list[Row] = []
    following: list[tuple[NewRun, int]] = []
    answers: list[Started | Busy] = []
    for run in runs:
        run_id = run.id
        if run_id in known:
            answers.append(Started(run_id, True))
            continue
        if run.key is not None:
            holder = tx.one(KEY_HOLDER, (run.flow, run.key))
            if holder is not None:
                answers.append(Started(holder[0], False))
                continue
        if rooms and run.cause_id is None and run.queue in rooms:
            rooms[run.queue] -= 1
            if rooms[run.queue] < 0:
                answers.append(queue_full(run.queue))
                continue
        if run.key is not None:
            tx.run(INSERT_KEY, (run.flow, run.key, run_id))
        known.add(run_id)
        available_at = now + run.delay_us if run.at is None else run.at
        deadline_at = None if run.timeout_us is None else available_at + run.timeout_us
        expires_at = run.expires_at
        if expires_at is None and run.expires_us is not None:
            expires_at = available_at + run.expires_us
        if run.after:
            following.append((run, available_at))
        cold.append(
            (
                run_id,
                run.flow,
                run.queue,
                run.priority,
                run.key,
                run.input,
                run.timeout_us,
                run.parent_id,
                run.cause_id,
                run.root_id,
                run.depth,
                now,
                run.partition,
                run.subject,
                run.version,
            )
        )
        hot.append(
            (
                run_id,
                served_as(run.flow, run.version),
                run.queue,
                run.priority,
                "ready" if available_at <= now else "scheduled",
                available_at,
                deadline_at,
                run.parent_id,
                run.partition,
                expires_at,
            )
        )
        answers.append(Started(run_id, True))
    tx.insert(INSERT_RUN, cold)
    tx.insert(INSERT_LIVE, hot)
    for run, due_at in following:
        follow(tx, run, due_at)
    return answers


def follow(tx: Transaction, run: NewRun, due_at: int) -> None:
    """Let a run that has just been stored begin only after others, if any of them is still alive.
    One that is no more, or was never, has not succeeded."""
    alive: list[str] = []
    for leader, lives, ended in tx.all(LEADERS, (as_json(run.after),)):
        if lives:
            alive.append(leader)
        elif ended != "succeeded" and not run.after_any_end:
            reason = f"the run {leader}, after which it was to begin, has {ended or 'gone'}"
            tx.run(NOT_TO_BEGIN, (tx.now, reason, run.id))
            return
    if alive:
        kind = "after_end" if run.after_any_end else "after"
        waits = [(run.id, f"after#{n}", kind, leader, due_at) for n, leader in enumerate(alive, 1)]
        tx.many(SAVE_WAIT, waits)
        tx.run(TIE, (as_json(alive),))
        tx.run(HOLD_UNTIL, (run.id,))


def known_runs(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Those of these ids that are stored already: starts that are repeated."""
    return {row[0] for row in tx.all(KNOWN_RUNS, (as_json(ids),))}


def rooms_of(tx: Transaction, runs: Sequence[NewRun]) -> dict[str, int]:
    """How many runs more each of their queues takes in; those without a limit are left out."""
    limited: dict[str, int] = dict(tx.all(FULL_QUEUES)) if tx.has_full else {}
    if not limited:
        return limited
    rooms: dict[str, int] = {}
    for queue in {run.queue for run in runs}.intersection(limited):
        (unbegun,) = tx.one(COUNT_UNBEGUN, (queue, limited[queue])) or (0,)
        rooms[queue] = limited[queue] - unbegun
    return rooms


def queue_full(queue: str) -> Busy:
    return Busy(
        f"The queue {queue} has as many runs that haven't begun as it may have. Nothing of this "
        "call was stored; try again in a moment, or raise the queue's max_waiting."
    )
