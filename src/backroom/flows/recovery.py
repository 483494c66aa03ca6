"""What a person can do about a run that failed or was set aside: retry, rewind, mark as undone.

    look at the run ── decide, or refuse with the remedy ──▶ Revive: all of it in one transaction,
                                                             if the run still is as it was seen

What retry means depends on why the run stopped:

    failed           goes on with what it failed of: those checkpoints go, all others stay
    failed, undone   refused: what the steps did is taken back, so nothing can go on behind them
    cancelled        goes on where it was
    set aside        goes on where it was: with the first open undo if it was going backwards

A step whose failure the flow has dealt with is not what it failed of: it stays failed, since the
flow has gone another way because of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from backroom.engine.world import mapped_id
from backroom.flows.failures import read
from backroom.flows.rewinding import REWIND, Rewind, began, dropped, is_own, next_rounds, rounds
from backroom.flows.undo import ALTERNATIVE, MARK, done_address, in_order
from backroom.records import limits
from backroom.records.errors import Refused, RunErased, RunNotFound
from backroom.records.runs import RunRow, StepRow
from backroom.records.states import FINAL, State
from backroom.rules.windows import window
from backroom.store.protocol import Reader
from backroom.store.verbs import Revive

__all__ = ["Decision", "Undo", "mark_undone", "retry", "rewind", "undos", "undos_of"]

T = TypeVar("T")

Decision = Callable[[Reader, str], tuple[T, Revive | None]]
"""A look at a run, and what follows: what the caller is told, and what is to be done."""


@dataclass(frozen=True, slots=True)
class Undo:
    """How it stands with what takes back a step of a run. The first one is undone first.

    step   the step's address
    state  open (not begun), trying, failed, undone, or by_hand
    note   what was said when it was undone by hand, and by whom
    error  why the last try failed
    """

    step: str
    state: str
    note: str = ""
    by: str = ""
    error: str | None = None


def retry(by: str) -> Decision[None]:
    def decide(reader: Reader, run_id: str) -> tuple[None, Revive]:
        run, rows = _seen(reader, run_id)
        if run.state not in (State.FAILED, State.CANCELLED, State.NEEDS_ATTENTION):
            raise Refused(
                f"Run {run_id} is {run.state} and can't be retried. "
                "Retry takes up runs that are failed, cancelled or need attention."
            )
        if run.state in FINAL and _goes_backwards(rows):
            raise Refused(
                f"Run {run_id} is {run.state} and what its steps have done is taken back, so it "
                "can't go on from there. Start a new run, or rewind this one to "
                f"{_first_undone(rows)} or to what began before it."
            )
        gone = [row.address for row in rows if _is_retried(run, row)]
        note = _note("Retried", f"by {by}" if by else "")
        return None, Revive(run_id, run.attempt, "retried", note, tuple(gone), waits=False)

    return decide


def _is_retried(run: RunRow, row: StepRow) -> bool:
    """Whether a checkpoint goes at a retry, to be tried anew."""
    if row.state == "failed" and row.address.startswith("undo "):
        return True
    if row.state == "failed" and run.state is State.FAILED:
        failed_of = read(run.error).get("failed")
        return failed_of is None or row.address in failed_of
    return row.state == "trying"


def _first_undone(rows: Sequence[StepRow]) -> str:
    addresses = {row.address for row in rows}
    done = [row for row in rows if done_address(row.address) in addresses]
    return min(done, key=began).address if done else "its first step"


def rewind(to: str, by: str, *, dry_run: bool) -> Decision[Rewind]:
    def decide(reader: Reader, run_id: str) -> tuple[Rewind, Revive | None]:
        run, rows = _seen(reader, run_id)
        gone = dropped(run, rows, to)
        away = {row.address for row in gone}
        children, ended = _children(reader, run, rows, gone)
        again = tuple(row.address for row in _listed(gone))
        plan = Rewind(
            run_id,
            to,
            again=again,
            stays=tuple(row.address for row in _listed(rows) if row.address not in away),
            undone=tuple(address for address in again if done_address(address) in away),
            events=tuple(name for at, name in reader.read_mail(run_id) if at in away),
            children=tuple(children),
        )
        if dry_run:
            return plan, None
        note = _note(
            "Rewound", f"to {to}{f' by {by}' if by else ''}; again: {', '.join(plan.again)}"
        )
        keeps = (next_rounds(rows, gone, reader.now()),)
        verb = Revive(
            run_id, run.attempt, "rewound", note, tuple(away), keeps,
            ended=tuple(ended),
        )  # fmt: skip
        return plan, verb

    return decide


def _listed(rows: Sequence[StepRow]) -> list[StepRow]:
    """The checkpoints that a person knows of, in the order in which they began."""
    return sorted(filter(is_own, rows), key=lambda row: (began(row), row.address))


def _children(
    reader: Reader, run: RunRow, rows: Sequence[StepRow], gone: Sequence[StepRow]
) -> tuple[list[str], list[str]]:
    """The runs that these checkpoints have started and that won't be found again, and the windows
    in which none may be alive. A run with a key is found again by its key."""
    counts = rounds(next((row for row in rows if row.address == REWIND), None))
    children: list[str] = []
    windows: list[str] = []
    alive: list[str] = []
    for row in gone:
        if row.kind == "start":
            child = reader.run(json.loads(row.result or "null"))
            if child is None or child.key is not None:
                continue
            standing = [(child.id, child.state)]
            windows.append(window(child.id, child.id))
        elif row.kind == "map" and not row.address.rpartition(".")[2].isdigit():
            again = counts.get(row.address)
            address = row.address if again is None else f"{row.address}@{again}"
            ids = [mapped_id(run.id, address, index) for index in (0, limits.MAP_ITEMS - 1)]
            standing = reader.standing(ids[0], ids[1], run.id)
            windows.append(window(ids[0], ids[1]))
        else:
            continue
        children += [child_id for child_id, _ in standing]
        alive += [child_id for child_id, state in standing if state not in FINAL]
    if alive:
        raise Refused(
            f"Run {run.id} has started {alive[0]}, which is alive and would be started again. "
            "Cancel it, or let it come to its end, first."
        )
    return children, windows


def mark_undone(steps: Sequence[str], note: str, by: str) -> Decision[None]:
    def decide(reader: Reader, run_id: str) -> tuple[None, Revive]:
        run, rows = _seen(reader, run_id)
        listed = undos_of(rows)
        still = [undo.step for undo in listed if undo.state not in ("undone", "by_hand")]
        if run.state is not State.NEEDS_ATTENTION or not _goes_backwards(rows):
            raise Refused(
                f"Run {run_id} is {run.state}, and no undo of it waits for a person. Cancel it to "
                "have its steps undone."
            )
        wrong = [step for step in steps if step not in still]
        if wrong or not steps:
            raise Refused(
                f"{wrong[0] if wrong else 'Nothing'} isn't an open undo of run {run_id}. Open are: "
                f"{', '.join(still)}."
            )
        if not note.strip():
            raise Refused("Say in a note how it was undone: whoever looks later wants to know.")
        if len(note) > limits.STATUS_CHARS:
            raise Refused(
                f"The note has {len(note)} characters; at most {limits.STATUS_CHARS}. Put the rest "
                "where you keep such things, and refer to it."
            )
        now = reader.now()
        said = json.dumps({"by_hand": note, "by": by}, ensure_ascii=False)
        names = {row.address: row.name for row in rows if row.kind == "undo"}
        keeps = [
            StepRow(
                done_address(step), f"undo {names[f'undo {step}']}", "step", "done", said, tries=0,
                started_at=now, finished_at=now,
            )
            for step in dict.fromkeys(steps)
        ]  # fmt: skip
        taken = {row.address for row in keeps}
        gone = [r.address for r in rows if _is_retried(run, r) and r.address not in taken]
        message = f"{', '.join(steps)} by hand{f', by {by}' if by else ''}: {note}"
        verb = Revive(
            run_id, run.attempt, "undone", _note("Undone", message), tuple(gone), tuple(keeps),
            waits=False,
        )  # fmt: skip
        return None, verb

    return decide


def undos(reader: Reader, run_id: str) -> list[Undo]:
    """What is registered to be undone, and how it stands, in the order in which it is undone."""
    return undos_of(_seen(reader, run_id)[1])


def undos_of(rows: Sequence[StepRow]) -> list[Undo]:
    """The same from a run's checkpoints."""
    calls = {row.address: row for row in rows}
    return [_undo(row, calls.get(f"{row.address}:done")) for row in in_order(rows)]


def _undo(registered: StepRow, call: StepRow | None) -> Undo:
    step = registered.address.removeprefix("undo ")
    if call is None:
        return Undo(step, "open")
    said: Any = json.loads(call.result or "null")
    if isinstance(said, dict) and "by_hand" in said:
        return Undo(step, "by_hand", said["by_hand"], said["by"])
    error = read(call.error) if call.error is not None else None
    told = f"{error['kind']}: {error['message']}" if error else None
    return Undo(step, "undone" if call.state == "done" else call.state, error=told)


def _goes_backwards(rows: Sequence[StepRow]) -> bool:
    """Whether its undos have begun: those of the flow, or of the alternative if that has begun."""
    marks = {row.address: row.name for row in rows if row.kind == "rollback"}
    if ALTERNATIVE in marks:
        return marks[ALTERNATIVE] != "begun"
    return MARK in marks


def _seen(reader: Reader, run_id: str) -> tuple[RunRow, list[StepRow]]:
    run = reader.run(run_id)
    if run is None:
        raise RunNotFound(run_id)
    if run.erased_at is not None:
        raise RunErased(run_id)
    return run, reader.steps(run_id)


def _note(kind: str, message: str) -> str:
    return json.dumps({"kind": kind, "message": message}, ensure_ascii=False)
