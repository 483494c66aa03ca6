"""From the rounds to tables, a table a work, and to a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import Calibration
from benchmarks.page import DOCS, put
from benchmarks.peers.catalogue import NOT_MEASURED, Peer
from benchmarks.peers.measuring import Results, Series
from benchmarks.plot import Bar, BarPanel, bars
from benchmarks.report import noise, number, table

__all__ = ["as_json", "as_markdown", "as_svg", "save"]

PLOTTED = ("jobs/s", "steps/s", "ms")


def as_markdown(
    results: Results,
    peers: Sequence[Peer],
    about: Mapping[str, str],
    before: Calibration,
    after: Calibration,
) -> str:
    lines = [f"- {name}: {text}" for name, text in about.items()]
    lines.append(f"- noise: {noise(before, after)}")
    lines += [f"- {peer.title}: {peer.note}" for peer in peers if peer.note]
    lines += [f"- not measured: {names}; {why}" for names, why in NOT_MEASURED.items()]
    for work, series in by_work(results).items():
        unit = series[0].unit
        head = [f"{work}, {unit}", "settings", "median", "range", "ours beside", "ours is ahead"]
        lines += ["", *table(head, [row(each) for each in series])]
    if results.failures:
        lines += ["", "Not measured in this run:", ""]
        lines += [
            f"- {title}, {work}: {reason}" for (title, work), reason in results.failures.items()
        ]
    return "\n".join(lines) + "\n"


def by_work(results: Results) -> dict[str, list[Series]]:
    found: dict[str, list[Series]] = {}
    for series in results.series.values():
        found.setdefault(series.work, []).append(series)
    for work, entries in found.items():
        found[work] = sorted(
            entries, key=lambda each: (not each.is_ours, each.entry.peer.place, each.entry.title)
        )
    return found


def row(series: Series) -> list[str]:
    title, label = series.entry.peer.title, series.entry.label
    if not series.values:
        return [title, label, series.remark or "not measured", "", "", ""]
    values = series.values
    between = f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""
    ours = number(statistics.median(series.ours)) if series.ours else ""
    return [title, label, number(statistics.median(values)), between, ours, ahead(series.ahead)]


def ahead(ratio: float | None) -> str:
    """`2.1 times`; below one it is said that we are behind."""
    if ratio is None:
        return ""
    if ratio >= 1:
        return f"{ratio:.2g} times" if ratio < 100 else f"{ratio:.0f} times"
    return f"behind: {ratio:.2f}"


def as_svg(results: Results) -> str:
    panels = []
    for work, entries in by_work(results).items():
        series = [each for each in entries if each.values]
        if not series or series[0].unit not in PLOTTED:
            continue
        unit = series[0].unit
        better = "less is better" if series[0].less_is_better else "more is better"
        drawn = [
            Bar(each.entry.title, middle, number(middle), ours=each.is_ours)
            for each in series
            for middle in [statistics.median(each.values)]
        ]
        drawn.sort(key=lambda bar: bar.value, reverse=not series[0].less_is_better)
        panels.append(BarPanel(f"{work} ({unit}; {better})", drawn))
    return bars(panels)


def as_json(results: Results, about: Mapping[str, str]) -> dict[str, Any]:
    return {
        "about": dict(about),
        "rows": [
            {
                "peer": each.entry.peer.title, "settings": each.entry.label, "work": each.work,
                "unit": each.unit, "values": each.values, "ours": each.ours,
                "ahead": each.ahead, "remark": each.remark,
            }
            for each in results.series.values()
        ],
        "failures": [[*key, reason] for key, reason in results.failures.items()],
    }  # fmt: skip


def save(markdown: str, svg: str) -> Path:
    (DOCS / "performance-peers.svg").write_text(svg, encoding="utf-8")
    picture = "![Ours beside the others, a panel a work](performance-peers.svg)"
    return put("peers", f"{picture}\n\n{markdown}")
