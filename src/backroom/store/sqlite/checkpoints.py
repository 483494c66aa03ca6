"""SaveStep, SaveWaits and Progress: what an attempt keeps while it goes on."""

from __future__ import annotations

from collections.abc import Sequence

from backroom.records.errors import LeaseLost
from backroom.records.runs import FOREVER, NewRun, StepRow, WaitRow
from backroom.store.sqlite.breaking import count
from backroom.store.sqlite.fence import Fence, held_only
from backroom.store.sqlite.holding import release
from backroom.store.sqlite.starts import start_all
from backroom.store.sqlite.transaction import Row, Transaction, as_json, sql
from backroom.store.verbs import Progress, SaveStep, SaveWaits

__all__ = ["due_at", "save_progress", "save_steps", "save_waits", "step_rows", "waits_of"]

SAVE_STEP = sql("save_step")
CONSUME_EVENT = sql("consume_event")
FORGET_STEPS = sql("forget_steps")
CLEAR_STARTS = sql("clear_starts")
SAVE_PROGRESS = sql("save_progress")
SAVE_WAIT = sql("save_wait")
WAITS_OF = sql("waits_of")


def save_steps(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, SaveStep]],
    answers: list[object],
) -> None:
    rows: list[Row] = []
    consumed: list[Row] = []
    cleared: list[Row] = []
    forgotten: list[Row] = []
    starts: list[NewRun] = []
    released: list[tuple[str, str]] = []
    counted: list[SaveStep] = []
    for place, verb in verbs:
        run_id = verb.run_id
        attempt = verb.attempt
        held = fence.get(run_id)
        if held is None or held[1] != attempt:
            answers[place] = LeaseLost(run_id, attempt)
            continue
        s = verb.step
        rows.append(
            (
                run_id,
                s.address,
                s.name,
                s.kind,
                s.state,
                s.result,
                s.error,
                s.fingerprint,
                s.tries,
                attempt,
                s.started_at,
                s.finished_at,
            )
        )
        if verb.consumes is not None:
            consumed.append((tx.now, s.address, verb.consumes))
        if verb.clears_starts and held[2] != 1:
            cleared.append((run_id,))
        if verb.forgets is not None:
            # The next character: everything below the prefix comes before it.
            behind = verb.forgets[:-1] + chr(ord(verb.forgets[-1]) + 1)
            forgotten.append((run_id, verb.forgets, behind))
        if verb.starts:
            starts.extend(verb.starts)
        if verb.releases:
            released.append((run_id, s.address))
        if verb.strike is not None or verb.mends is not None:
            counted.append(verb)
    count(tx, counted)  # before them: a checkpoint that is there already has been counted
    tx.many(SAVE_STEP, rows)
    tx.many(FORGET_STEPS, forgotten)
    tx.many(CONSUME_EVENT, consumed)
    tx.many(CLEAR_STARTS, cleared)
    if starts:
        start_all(tx, starts)
    release(tx, released)


def step_rows(run_id: str, attempt: int, steps: Sequence[StepRow]) -> list[Row]:
    """Checkpoints as rows for `save_step`."""
    return [
        (
            run_id,
            s.address,
            s.name,
            s.kind,
            s.state,
            s.result,
            s.error,
            s.fingerprint,
            s.tries,
            attempt,
            s.started_at,
            s.finished_at,
        )
        for s in steps
    ]


def save_waits(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, SaveWaits]],
    answers: list[object],
) -> None:
    held = list(held_only(fence, verbs, answers))
    rows = [
        (verb.run_id, w.address, w.kind, w.name, due_at(w, tx.now))
        for _, verb in held
        for w in verb.waits
    ]
    tx.many(SAVE_WAIT, rows)
    if held:
        kept = waits_of(tx, [verb.run_id for _, verb in held])
        for place, verb in held:
            of_run = kept.get(verb.run_id, {})
            answers[place] = tuple(of_run[w.address] for w in verb.waits)


def waits_of(tx: Transaction, run_ids: Sequence[str]) -> dict[str, dict[str, WaitRow]]:
    """The wait rows of these runs as they stand, by run and address."""
    kept: dict[str, dict[str, WaitRow]] = {}
    for run_id, address, kind, name, due in tx.all(WAITS_OF, (as_json(run_ids),)):
        kept.setdefault(run_id, {})[address] = WaitRow(address, kind, name, None, due)
    return kept


def due_at(wait: WaitRow, now: int) -> int:
    """When a wait that is stored now ends by itself."""
    if wait.due_at is not None:
        return wait.due_at
    return FOREVER if wait.delay_us is None else now + wait.delay_us


def save_progress(
    tx: Transaction,
    fence: Fence,
    verbs: Sequence[tuple[int, Progress]],
    answers: list[object],
) -> None:
    rows = [
        (verb.run_id, verb.fraction, verb.status, tx.now)
        for _, verb in held_only(fence, verbs, answers)
    ]
    tx.many(SAVE_PROGRESS, rows)
