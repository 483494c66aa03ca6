"""What was accepted, what the bodies did and what the database holds, held against each other.

    accepted-*   by the callers: "run-7 <id>", "event-7 <id>"; written after the answer
    journal-*    by the bodies: run, step, attempt; written before anything is kept
    database     runs, and their checkpoints, which name the attempt that wrote them

No clock is needed. An attempt that has begun has fenced off all before it, and a step is called
when the one before it has been kept. So if a body ran in a later attempt than the one whose
checkpoint is kept, or than one that had gone on to the next step, it was repeated after it had been
kept, or the checkpoint is a late write.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from backroom.records.runs import RunRow
from backroom.records.states import State
from backroom.store.protocol import Reader
from tests.torture.labour import EVERY, STEPS

__all__ = ["Balance", "accepted", "balance"]

PAGE = 1_000


@dataclass
class Balance:
    """What is wrong, with a word about each; all of them are empty if all is well."""

    runs: int = 0
    bodies: int = 0
    taken_over: int = 0  # runs whose steps were done by more than one attempt
    lost: list[str] = field(
        default_factory=list
    )  # accepted, and not there, not ended, or not heard
    twice: list[str] = field(default_factory=list)  # more than one run of one start
    repeated: list[str] = field(default_factory=list)  # a body after its checkpoint was kept
    late: list[str] = field(default_factory=list)  # written by an attempt that had lost its run

    def faults(self) -> dict[str, list[str]]:
        """A few of each kind."""
        kinds = {"lost": self.lost, "twice": self.twice, "repeated": self.repeated}
        return {kind: some[:3] for kind, some in (kinds | {"late": self.late}).items() if some}


def balance(reader: Reader, folder: Path, *, over: bool) -> Balance:
    """`over`: all should have come to its end."""
    found = Balance()
    told = accepted(folder)
    bodies = bodies_of(folder)
    ids = set(told.values())
    by_number: Counter[int] = Counter()
    seen: set[str] = set()
    for row in runs(reader):
        number = json.loads(row.input)["number"]
        by_number[number] += 1
        seen.add(row.id)
        found.runs += 1
        if row.state is State.SUCCEEDED:
            check(found, row, number, reader, bodies[row.id])
        elif over and row.id in ids:
            found.lost.append(f"run {row.id} is {row.state}")
    found.lost += [f"{what} of {run_id}" for what, run_id in told.items() if run_id not in seen]
    found.twice += [f"{n} has {count} runs" for n, count in by_number.items() if count > 1]
    found.bodies = sum(sum(of.values()) for of in bodies.values())
    return found


def check(
    found: Balance, row: RunRow, number: int, reader: Reader, bodies: Counter[tuple[int, int]]
) -> None:
    heard, done = json.loads(row.result or "")
    kept = {}
    for step in reader.steps(row.id):
        if step.kind == "step":
            at, attempt = json.loads(step.result or "")
            kept[at] = attempt
    if heard != number:
        found.lost.append(f"run {row.id} heard {heard} and not {number}")
    if [at for at, _ in done] != list(range(STEPS)) or sorted(kept) != list(range(STEPS)):
        found.lost.append(f"run {row.id} has kept {kept} and returned {done}")
        return
    attempts = [attempt for _, attempt in done]
    if attempts != sorted(attempts) or kept != dict(done):
        found.late.append(f"run {row.id} has kept {kept} and returned {done}")
    found.taken_over += len(set(attempts)) > 1
    for (at, attempt), times in bodies.items():
        kept_by = min([kept[at], *(by for later, by in bodies if later == at + 1)])
        if attempt > kept_by or times > 1:
            found.repeated.append(
                f"step {at} of run {row.id} was kept by attempt {kept_by}, and performed "
                f"{times} times in attempt {attempt}"
            )


def runs(reader: Reader) -> Iterator[RunRow]:
    before = None
    while page := reader.runs(before=before, limit=PAGE):
        yield from page
        before = page[-1].id


def accepted(folder: Path) -> dict[str, str]:
    """What the callers were told: what it was, and the run's id."""
    told: dict[str, str] = {}
    for path in folder.glob("accepted-*"):
        told |= dict(line.split() for line in path.read_text().splitlines())
    return told


def bodies_of(folder: Path) -> dict[str, Counter[tuple[int, int]]]:
    """By run: how often each step was performed in each attempt."""
    found: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for path in folder.glob("journal-*"):
        for line in path.read_text().splitlines():
            run_id, number, attempt = line.split()
            found[run_id][int(number), int(attempt)] += 1
    return found


def unheard(folder: Path) -> dict[int, str]:
    """Runs that were accepted and wait for an event that wasn't: number and id."""
    told = accepted(folder)
    started = {int(what[4:]): run_id for what, run_id in told.items() if what.startswith("run-")}
    return {n: run_id for n, run_id in started.items() if not n % EVERY}
