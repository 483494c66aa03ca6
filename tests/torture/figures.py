"""What the long runs have counted: kept in `figures.json`, shown in docs/promises.md.

make torture PYTEST=--save      measures, and puts the figures in place of the last ones
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

__all__ = ["FIGURES", "Entry", "Figure", "kept", "save", "table"]

FIGURES = Path(__file__).with_name("figures.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One figure of one test."""

    test: str  # tests/torture/test_kills.py::test_...[sqlite]
    said: str  # "1,000 kills, 100,000 runs: 0 lost"
    seconds: int
    seed: int | None
    commit: str
    machine: str
    date: str


class Figure(Protocol):
    """The fixture `figure`: says what was counted."""

    def __call__(self, said: str, *, seed: int | None = None) -> None: ...


def kept() -> list[Entry]:
    if not FIGURES.exists():
        return []
    return [Entry(**entry) for entry in json.loads(FIGURES.read_text())]


def save(entries: Iterable[Entry]) -> None:
    """Put these in place of the ones that the same tests have left."""
    by_test = {entry.test: entry for entry in (*kept(), *entries)}
    found = [asdict(by_test[test]) for test in sorted(by_test)]
    FIGURES.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def table(entries: Iterable[Entry]) -> str:
    lines = ["| test | counted | seed | commit | took |", "|---|---|---|---|---|"]
    machines: list[str] = []
    for entry in entries:
        if entry.machine not in machines:
            machines.append(entry.machine)
        file, _, test = entry.test.partition("::")
        name, _, database = test.rstrip("]").partition("[")
        on = f" ({database.partition('-')[0]})" if database else ""
        lines.append(
            f"| `{file}::{name}`{on} | {entry.said} | {entry.seed or ''} | {entry.commit} | "
            f"{entry.seconds:,} s |"
        )
    return "\n".join([*lines, "", *(f"Measured on: {machine}." for machine in machines)])
