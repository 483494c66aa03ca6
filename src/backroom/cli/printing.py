"""How things look in a terminal: aligned, coloured where that can be seen, whole where it can't.

Without a terminal nothing is cut off, so that output can be searched and piped.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from backroom.records.runs import FOREVER
from backroom.records.states import State

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ago", "console", "iso", "print_json", "print_table", "stored", "styled", "took"]

COLOURS = {
    State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "bright_black",
    State.RUNNING: "cyan", State.WAITING: "blue", State.READY: "yellow",
    State.SCHEDULED: "blue", State.NEEDS_ATTENTION: "magenta",
}  # fmt: skip


def console() -> Console:
    from rich.console import Console

    found = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    return found


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, last: str = "") -> None:
    """Columns, two spaces apart. `last`: a head whose column takes what width is left.

    In a terminal the last column is cut to the width; the others are never cut.
    """
    table = [[*row] for row in rows]
    shown = list(heads)
    widths = [
        max(len(head), *(len(plain(row[i])) for row in table), 0) if table else len(head)
        for i, head in enumerate(shown)
    ]
    out = console()
    if last and out.is_terminal:
        room = out.width - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if room < 12:  # no use; rather no column than a torn one
            shown, widths = shown[:-1], widths[:-1]
            table = [row[:-1] for row in table]
        else:
            table = [[*row[:-1], shortened(row[-1], room)] for row in table]
            widths[-1] = min(widths[-1], room)
    click.secho(aligned([head.upper() for head in shown], widths), bold=True)
    for row in table:
        click.echo(aligned(row, widths))


def aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell + " " * (width - len(plain(cell))) for cell, width in zip(row, widths, strict=True)
    ]
    return "  ".join(cells).rstrip()


def plain(cell: str) -> str:
    return click.unstyle(cell)


def shortened(text: str, chars: int) -> str:
    return text if len(text) <= chars else text[: chars - 1] + "…"


def styled(state: State) -> str:
    return click.style(state.value, fg=COLOURS[state])


def iso(at: int | None) -> str | None:
    """A time of the database as ISO 8601 in UTC; None for none and for never."""
    if at is None or at >= FOREVER:
        return None
    moment = datetime.fromtimestamp(at // 1_000_000, UTC).replace(microsecond=at % 1_000_000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ago(at: int | None, now: int) -> str:
    """How far a time is from now, in words as short as a column."""
    if at is None or at >= FOREVER:
        return "-"
    return f"{took(now - at)} ago" if at <= now else f"in {took(at - now)}"


def took(us: int) -> str:
    seconds = us / 1_000_000
    if seconds < 1:
        return f"{us / 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 3600:
        return two_units(int(seconds), 60, "min", 1, "s")
    if seconds < 86_400:
        return two_units(int(seconds), 3600, "h", 60, "min")
    return two_units(int(seconds), 86_400, "d", 3600, "h")


def two_units(seconds: int, size: int, unit: str, small_size: int, small: str) -> str:
    whole, rest = divmod(seconds, size)
    part = rest // small_size
    return f"{whole} {unit} {part} {small}" if part and whole < 10 else f"{whole} {unit}"


def stored(text: str | None) -> Any:
    """A stored payload as plain JSON, for people and for `--json`. Tags stay as they are stored."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
