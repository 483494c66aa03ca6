"""Rewinding a run to one of its checkpoints: which ones go, and when it can't be right.

    a#1   b#1   c#1   d#1      rewind to c#1
    stay ─────┘ └─ go: done again, from c#1 on

What goes is the checkpoint itself and all that began after it: nothing that rests on it stays, and
what stays is what a replay would find if the run had stopped there. Waits count from when they were
over, a walk and a fan-out from their beginning.

What a step has done outside stays done when its checkpoint goes. So a step that can be undone only
goes when it has been undone: else the effect would be there twice, and the first one could never be
taken back. And one that has been undone can't stay: its checkpoint tells of what is no longer
there.

What is done again isn't a repetition of what was done before: the addresses that went get a new
round, which goes into the keys of their steps and the ids of their children (`RunContext.stamped`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from backroom.records.errors import Refused
from backroom.records.runs import RunRow, StepRow
from backroom.records.states import FINAL, State

__all__ = ["REFUSED", "REWIND", "Rewind", "began", "dropped", "is_own", "next_rounds", "rounds"]

REWIND = "rewind"
"""Where it is kept how often which address was rewound. An address of the flow's own has a number
or a key, so none is like this."""

REFUSED = "refused"
"""The kind of what is kept beside a wait: events that it has read and that didn't fit."""

ALTERNATIVE = "otherwise/"
MOMENTS = ("timer", "event", "child", "first", REFUSED)
WALK = re.compile(r"(?:chunks|pages)#\d+(?=\.(\d+)/)")
SHOWN = 20  # addresses that a refusal lists


@dataclass(frozen=True, slots=True)
class Rewind:
    """What it means to rewind a run.

    to        the checkpoint it goes back to
    again     addresses whose checkpoints go, in the order in which they began
    stays     those whose checkpoints stay
    undone    steps among `again` that have been undone
    events    names of the events that lie in the mailbox again
    children  ids of runs that stay as they are; new ones are started in their place
    """

    run_id: str
    to: str
    again: tuple[str, ...]
    stays: tuple[str, ...]
    undone: tuple[str, ...]
    events: tuple[str, ...]
    children: tuple[str, ...]


def rounds(row: StepRow | None) -> dict[str, int]:
    """How often each address was rewound, as kept."""
    found: dict[str, int] = json.loads(row.result or "{}") if row is not None else {}
    return found


def next_rounds(rows: Sequence[StepRow], gone: Sequence[StepRow], now: int) -> StepRow:
    """The same, once these have gone."""
    kept = next((row for row in rows if row.address == REWIND), None)
    counts = rounds(kept)
    again = {row.address for row in gone if row.kind not in ("undo", "rollback")}
    for row in gone:
        if row.kind == "undo":  # its step was perhaps killed in the middle, and has no checkpoint
            again |= {row.address.removeprefix("undo "), f"{row.address}:done"}
    for address in sorted(again):
        counts[address] = counts.get(address, 0) + 1
    text = json.dumps(counts, ensure_ascii=False)
    return StepRow(REWIND, REWIND, REWIND, "done", text, started_at=now, finished_at=now)


def began(row: StepRow) -> int:
    return row.finished_at if row.kind in MOMENTS else row.started_at


def dropped(run: RunRow, rows: Sequence[StepRow], to: str) -> list[StepRow]:
    """The checkpoints that go if the run is rewound to this one; Refused if that can't be right."""
    if run.state not in FINAL and run.state is not State.NEEDS_ATTENTION:
        raise Refused(
            f"Run {run.id} is {run.state} and can't be rewound while it is alive. Cancel it, or "
            "let it come to its end, first."
        )
    own = sorted((row for row in rows if is_own(row)), key=lambda row: (began(row), row.address))
    target = next((row for row in own if row.address == to), None)
    if target is None:
        known = ", ".join(row.address for row in own[:SHOWN]) or "none"
        more = f" and {len(own) - SHOWN} more" if len(own) > SHOWN else ""
        raise Refused(
            f"Run {run.id} has no checkpoint {to[:200]!r}. Name one of those it has: {known}{more}."
        )
    at = began(target)
    gone = {row.address: row for row in own if began(row) >= at}
    _check_walks(run, rows, gone)
    # What takes over when the flow has failed begins behind all of the flow, which stays undone.
    alternative = to.startswith(ALTERNATIVE)
    part = [row for row in rows if not alternative or _is_of_alternative(row)]
    gone |= _undos(run, part, gone, at)
    marks = [row for row in rows if row.kind == "rollback"]
    gone |= {row.address: row for row in marks if not alternative or row.address != "rollback"}
    return list(gone.values())


def _is_of_alternative(row: StepRow) -> bool:
    return row.address.removeprefix("undo ").startswith(ALTERNATIVE)


def is_own(row: StepRow) -> bool:
    """Whether it is a checkpoint of the flow's own, and not of its undoing or of a rewind."""
    return row.kind not in ("undo", "rollback", REWIND) and not row.address.startswith("undo ")


def _check_walks(run: RunRow, rows: Sequence[StepRow], gone: dict[str, StepRow]) -> None:
    """A walk can't go back to a chunk that it has passed: what was in it is no longer known."""
    cursors = {row.address: row for row in rows if row.kind == "cursor"}
    for address in gone:
        for walk, number in _walks_around(address):
            cursor = cursors.get(walk)
            if cursor is None or walk in gone:
                continue
            position = json.loads(cursor.result or "{}")
            if position.get("over") or position.get("number") != number:
                raise Refused(
                    f"{address} of run {run.id} lies in a chunk that {walk} has passed. Rewind to "
                    f"{walk}, which walks through everything again."
                )


def _walks_around(address: str) -> Iterator[tuple[str, int]]:
    """The walks that an address lies in, each with the number of the chunk."""
    for found in WALK.finditer(address):
        yield address[: found.end()], int(found[1])


def _undos(
    run: RunRow, rows: Sequence[StepRow], gone: dict[str, StepRow], at: int
) -> dict[str, StepRow]:
    """The undos that go with their steps; Refused where one is undone and stays, or the reverse."""
    by_address = {row.address: row for row in rows}
    going: dict[str, StepRow] = {}
    standing: list[str] = []
    missing: list[tuple[int, str]] = []
    touched: list[str] = []
    for undo in (row for row in rows if row.kind == "undo"):
        step = undo.address.removeprefix("undo ")
        call = by_address.get(f"{undo.address}:done")
        is_undone = call is not None and call.state == "done"
        # A step that was killed in the middle has an undo and no checkpoint.
        begun = began(by_address.get(step, undo))
        if step in gone or (step not in by_address and begun >= at):
            going[undo.address] = undo
            if call is not None:
                going[call.address] = call
            if not is_undone:
                standing.append(step)
        elif is_undone:
            missing.append((begun, step))
        elif call is not None:
            touched.append(step)
    if missing:
        _, first = min(missing)
        raise Refused(
            f"{first} of run {run.id} has been undone, so the run can't go on behind it. Rewind to "
            "it or to what began before it, or start a new run."
        )
    if touched:
        raise Refused(
            f"Undoing {touched[0]} of run {run.id} was tried and has failed, so nobody knows what "
            "is left of it. Retry the run until that is undone, or undo it by hand and say so with "
            "`backroom undone`; then rewind to it or to what began before it."
        )
    if standing:
        how = {
            State.SUCCEEDED: "Start a new run instead.",
            State.NEEDS_ATTENTION: "Cancel the run, which undoes it, and rewind it then.",
        }
        if any(row.kind == "rollback" for row in rows):
            how[State.NEEDS_ATTENTION] = "Retry the run until that is undone, and rewind it then."
        raise Refused(
            f"{', '.join(sorted(standing)[:SHOWN])} of run {run.id} can be undone and hasn't been, "
            "so doing it again would do it twice. "
            + how.get(run.state, "Rewind to something that began after it.")
        )
    return going
