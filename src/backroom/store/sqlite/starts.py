"""Start: a run becomes a cold row, a hot row and, where it has one, a key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backroom.records.runs import NewRun, Started
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql

__all__ = ["start_all"]

KNOWN_RUNS = sql("known_runs")
INSERT_RUN = sql("insert_run")
INSERT_LIVE = sql("insert_live")
KEY_HOLDER = sql("key_holder")
INSERT_KEY = sql("insert_key")


def start_all(tx: Transaction, runs: Sequence[NewRun]) -> list[Started]:
    """Store these runs, all with two statements; only keys cost a look each."""
    known = known_runs(tx, (run.id for run in runs))
    now = tx.now
    cold: list[Row] = []
    hot: list[Row] = []
    answers: list[Started] = []
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
            tx.run(INSERT_KEY, (run.flow, run.key, run_id))
        known.add(run_id)
        available_at = now + run.delay_us if run.at is None else run.at
        deadline_at = None if run.timeout_us is None else available_at + run.timeout_us
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
            )
        )
        hot.append(
            (
                run_id,
                run.flow,
                run.queue,
                run.priority,
                "ready" if available_at <= now else "scheduled",
                available_at,
                deadline_at,
                run.parent_id,
            )
        )
        answers.append(Started(run_id, True))
    tx.insert(INSERT_RUN, cold)
    tx.insert(INSERT_LIVE, hot)
    return answers


def known_runs(tx: Transaction, ids: Iterable[str]) -> set[str]:
    """Those of these ids that are stored already: starts that are repeated."""
    return {row[0] for row in tx.all(KNOWN_RUNS, (as_json(ids),))}
