"""From points to tables and to a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.growth.curves import Point
from benchmarks.machine import Calibration
from benchmarks.page import DOCS, put
from benchmarks.plot import Curve, CurvePanel, curves
from benchmarks.report import noise, number, table

__all__ = ["as_markdown", "as_svg", "save"]

Found = Mapping[str, Sequence[Point]]
"""By database, all rounds together."""

# How each plot is drawn: its title, its axes, and the curves in it.
PANELS = (
    ("A run's cost, with others in the database", "runs", ("runs waiting", "runs finished")),
    ("Flows at once", "flows", ("flows at once",)),
    ("Payload in, through a step, and out", "bytes", ("payload",)),
    ("Steps of a run", "steps", ("steps of a run",)),
)


def as_markdown(
    found: Found, about: Mapping[str, str], before: Calibration, after: Calibration
) -> str:
    lines = [f"- {name}: {text}" for name, text in about.items()]
    lines.append(f"- noise: {noise(before, after)}")
    for _, across, names in PANELS:
        for name in names:
            cells = rows(found, name)
            if cells:
                unit = cells[0][1]
                head = [
                    f"{name} ({across})",
                    "unit",
                    *found,
                    *(f"of the first, {d}" for d in found),
                ]
                lines += ["", *table(head, [[row[0], unit, *row[2:]] for row in cells])]
    single = {p.curve: p.unit for points in found.values() for p in points if p.at == 0}
    if single:
        cells = [
            [name, unit, *(number(middle(found[database], name, 0)) for database in found)]
            for name, unit in single.items()
        ]
        lines += ["", *table(["", "unit", *found], cells)]
    return "\n".join(lines) + "\n"


def rows(found: Found, name: str) -> list[list[str]]:
    """One row a place on the curve: the values, and each as a multiple of the first."""
    places = sorted({p.at for points in found.values() for p in points if p.curve == name})
    units = [p.unit for points in found.values() for p in points if p.curve == name]
    cells = []
    for at in places:
        values = [middle(points, name, at) for points in found.values()]
        firsts = [middle(points, name, places[0]) for points in found.values()]
        multiples = [
            f"{value / first:.2f}" if value is not None and first else ""
            for value, first in zip(values, firsts, strict=True)
        ]
        cells.append([f"{at:,}", units[0], *map(number, values), *multiples])
    return cells


def middle(points: Sequence[Point], name: str, at: int) -> float | None:
    values = [point.value for point in points if point.curve == name and point.at == at]
    return statistics.median(values) if values else None


def as_svg(found: Found) -> str:
    panels = []
    for title, across, names in PANELS:
        drawn = []
        unit = ""
        for name in names:
            for database, points in found.items():
                units = {point.at: point.unit for point in points if point.curve == name}
                if units:
                    unit = next(iter(units.values()))
                    label = database if len(names) == 1 else f"{database}, {name.split()[-1]}"
                    drawn.append(
                        Curve(label, [(at, middle(points, name, at) or 0) for at in sorted(units)])
                    )
        if drawn:
            panels.append(CurvePanel(title, across, unit, drawn))
    return curves(panels)


def save(markdown: str, svg: str) -> Path:
    (DOCS / "performance-growth.svg").write_text(svg, encoding="utf-8")
    picture = "![How cost grows, a panel a measure](performance-growth.svg)"
    return put("growth", f"{picture}\n\n{markdown}")
