"""Plots as SVG, written by hand: bars and curves, nothing else.

The files are shown on light and on dark pages. Text, lines and fills take their colours from a
style sheet that asks which of both it is, and there is no background.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Bar", "BarPanel", "Curve", "CurvePanel", "bars", "curves"]

STYLE = """
  <style>
    text { font: 12px system-ui, sans-serif; fill: #24292f }
    .title { font-weight: 600 }
    .small { font-size: 11px; fill: #57606a }
    .grid { stroke: #d0d7de; stroke-width: 1; fill: none }
    .theirs { fill: #8c959f }
    .ours { fill: #0969da }
    .line { stroke-width: 2; fill: none }
    .s0 { stroke: #0969da } .d0 { fill: #0969da }
    .s1 { stroke: #bc4c00 } .d1 { fill: #bc4c00 }
    .s2 { stroke: #1a7f37 } .d2 { fill: #1a7f37 }
    .s3 { stroke: #8250df } .d3 { fill: #8250df }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
      .theirs { fill: #656c76 } .ours { fill: #4493f8 }
      .s0 { stroke: #4493f8 } .d0 { fill: #4493f8 } .s1 { stroke: #f0883e } .d1 { fill: #f0883e }
      .s2 { stroke: #3fb950 } .d2 { fill: #3fb950 } .s3 { stroke: #ab7df8 } .d3 { fill: #ab7df8 }
    }
  </style>"""

WIDTH = 760
NAMES = 290  # of the bars
ROW = 18
PANEL = 340  # a panel of curves, in width
HEIGHT = 230


@dataclass(frozen=True, slots=True)
class Bar:
    name: str
    value: float
    text: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class BarPanel:
    title: str
    bars: Sequence[Bar]


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class CurvePanel:
    """Both axes are logarithmic."""

    title: str
    across: str
    up: str
    curves: Sequence[Curve]


def bars(panels: Sequence[BarPanel]) -> str:
    """Panels below each other; the longest bar of each takes the whole width."""
    parts: list[str] = []
    top = 0
    for panel in panels:
        top += 24
        parts.append(f'<text class="title" x="0" y="{top}">{escape(panel.title)}</text>')
        top += 8
        most = max((bar.value for bar in panel.bars), default=0) or 1
        for bar in panel.bars:
            length = max(1, (WIDTH - NAMES - 90) * bar.value / most)
            kind = "ours" if bar.ours else "theirs"
            parts.append(
                f'<text x="{NAMES - 8}" y="{top + 13}" text-anchor="end">{escape(bar.name)}</text>'
                f'<rect class="{kind}" x="{NAMES}" y="{top + 3}" width="{length:.1f}" '
                f'height="{ROW - 5}" rx="2"/>'
                f'<text class="small" x="{NAMES + length + 6:.1f}" y="{top + 13}">'
                f"{escape(bar.text)}</text>"
            )
            top += ROW
        top += 12
    return drawing(WIDTH, top, parts)


def curves(panels: Sequence[CurvePanel]) -> str:
    """Panels beside each other, two in a row."""
    parts: list[str] = []
    for number, panel in enumerate(panels):
        left = number % 2 * (PANEL + 60)
        top = number // 2 * (HEIGHT + 80)
        parts.append(f'<g transform="translate({left} {top})">{"".join(curve_panel(panel))}</g>')
    rows = math.ceil(len(panels) / 2)
    return drawing(2 * PANEL + 80, rows * (HEIGHT + 80), parts)


def curve_panel(panel: CurvePanel) -> list[str]:
    points = [point for curve in panel.curves for point in curve.points]
    parts = [f'<text class="title" x="0" y="16">{escape(panel.title)}</text>']
    if not points:
        return parts
    across = Axis.around([x for x, _ in points], 56, PANEL)
    up = Axis.around([y for _, y in points], HEIGHT, 44)
    for tick in across.ticks():
        at = across.place(tick)
        parts.append(
            f'<path class="grid" d="M{at:.1f} 44V{HEIGHT}"/><text class="small" x="{at:.1f}" '
            f'y="{HEIGHT + 16}" text-anchor="middle">{short(tick)}</text>'
        )
    for tick in up.ticks():
        at = up.place(tick)
        parts.append(
            f'<path class="grid" d="M56 {at:.1f}H{PANEL}"/><text class="small" x="50" '
            f'y="{at + 4:.1f}" text-anchor="end">{short(tick)}</text>'
        )
    parts.append(f'<text class="small" x="0" y="34">{escape(panel.up)}</text>')
    parts.append(
        f'<text class="small" x="{PANEL}" y="{HEIGHT + 34}" text-anchor="end">'
        f"{escape(panel.across)}</text>"
    )
    for number, curve in enumerate(panel.curves):
        places = [(across.place(x), up.place(y)) for x, y in curve.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="line s{number % 4}" points="{path}"/>')
        parts += [
            f'<circle class="d{number % 4}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places
        ]
        x = 56 + number % 2 * 140
        y = HEIGHT + 34 + number // 2 * 16 + (16 if len(panel.curves) > 1 else 0)
        parts.append(
            f'<circle class="d{number % 4}" cx="{x}" cy="{y - 4}" r="4"/>'
            f'<text class="small" x="{x + 9}" y="{y}">{escape(curve.name)}</text>'
        )
    return parts


@dataclass(frozen=True, slots=True)
class Axis:
    """From values, by their logarithm, to places."""

    least: int  # powers of ten
    most: int
    begin: float
    end: float

    @classmethod
    def around(cls, values: Sequence[float], begin: float, end: float) -> Axis:
        positive = [value for value in values if value > 0] or [1.0]
        least = math.floor(math.log10(min(positive)))
        most = math.ceil(math.log10(max(positive)))
        return cls(least, max(most, least + 1), begin, end)

    def place(self, value: float) -> float:
        exponent = math.log10(value) if value > 0 else self.least
        return self.begin + (self.end - self.begin) * (exponent - self.least) / (
            self.most - self.least
        )

    def ticks(self) -> list[float]:
        return [10.0**power for power in range(self.least, self.most + 1)]


def short(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def drawing(width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">{STYLE}\n  '
        + "\n  ".join(parts)
        + "\n</svg>\n"
    )
