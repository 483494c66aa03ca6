"""From the figures of all rounds to a table: median, range, and the ratio to the raw database."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import Calibration
from benchmarks.page import put
from benchmarks.works import BATCH, Figure

__all__ = ["Report", "Row", "as_json", "as_markdown", "noise", "number", "rows_of", "save", "table"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a work on a database, over all rounds."""

    database: str
    work: str
    unit: str
    median: float
    least: float
    most: float
    raw_single: float | None
    raw_batched: float | None
    ratio: float | None  # the median of the rounds' ratios, each taken within one round


@dataclass(frozen=True, slots=True)
class Report:
    """A whole measurement."""

    about: dict[str, str]
    rounds: int
    before: Calibration
    after: Calibration
    rows: list[Row]


def rows_of(database: str, rounds: Sequence[Sequence[Figure]]) -> list[Row]:
    """The rows of one database; each round has the same figures in the same order."""
    rows = []
    for figures in zip(*rounds, strict=True):
        values = [figure.value for figure in figures]
        rows.append(
            Row(
                database=database,
                work=figures[0].work,
                unit=figures[0].unit,
                median=statistics.median(values),
                least=min(values),
                most=max(values),
                raw_single=middle(figure.single for figure in figures),
                raw_batched=middle(figure.batched for figure in figures),
                ratio=middle(figure.ratio for figure in figures),
            )
        )
    return rows


def middle(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def as_markdown(report: Report) -> str:
    lines = [f"- {name}: {text}" for name, text in report.about.items()]
    lines += [
        f"- rounds: {report.rounds}; medians over them, ratios taken within each",
        f"- noise: {noise(report.before, report.after)}",
    ]
    head = ["", "unit", "median", "range", "raw, one by one", f"raw, {BATCH} at once", "of raw"]
    for database in dict.fromkeys(row.database for row in report.rows):
        cells = [
            [
                row.work, row.unit, number(row.median),
                f"{number(row.least)} to {number(row.most)}",
                number(row.raw_single), number(row.raw_batched), times(row.ratio),
            ]
            for row in report.rows if row.database == database
        ]  # fmt: skip
        lines += ["", *table([database, *head[1:]], cells)]
    return "\n".join(lines) + "\n"


def noise(before: Calibration, after: Calibration) -> str:
    worst = max(before.python_worst_ms, after.python_worst_ms)
    return (
        f"a fixed Python loop took {before.python_ms:.1f} ms at best before and "
        f"{after.python_ms:.1f} ms after, {worst:.1f} ms at worst; "
        f"a sync of 4 KB {before.sync_ms:.2f} and {after.sync_ms:.2f} ms"
    )


def table(head: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Aligned, so that it reads well in a terminal too."""
    widths = [max(len(row[n]) for row in [head, *cells]) for n in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            text.ljust(width) if n < 2 else text.rjust(width)
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = [f"{'-' * (width - 1)}{'-' if n < 2 else ':'}" for n, width in enumerate(widths)]
    return [line(head), f"| {' | '.join(rule)} |", *map(line, cells)]


def number(value: float | None) -> str:
    """Three digits are as many as the noise leaves."""
    if value is None:
        return ""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def times(ratio: float | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio:.0%}" if ratio < 1 else f"{ratio:.2g} times"


def as_json(report: Report) -> dict[str, Any]:
    return asdict(report)


def save(report: Report) -> Path:
    """Put the table into docs/performance.md."""
    return put("figures", as_markdown(report))
