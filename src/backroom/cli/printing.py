"""How things look in a terminal: aligned, coloured where that can be seen, whole where it can't.

Without a terminal nothing is cut to a width, so that output can be searched and piped.
"""

from __future__ import annotations

import json
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from backroom.records.runs import FOREVER
from backroom.records.states import State

__all__ = ["ago", "iso", "print_json", "print_table", "shortened", "stored", "styled", "took"]

COLOURS = {
    State.SUCCEEDED: "green", State.FAILED: "red", State.CANCELLED: "bright_black",
    State.RUNNING: "cyan", State.WAITING: "blue", State.READY: "yellow",
    State.SCHEDULED: "blue", State.NEEDS_ATTENTION: "magenta",
}  # fmt: skip


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, last: str = "") -> None:
    """Columns, two spaces apart. `last`: the last head, if its column takes what width is left.

    In a terminal that column is cut to the width; the others are never cut.
    """
    table = [[head.upper() for head in heads], *([*row] for row in rows)]
    widths = [max(width(row[i]) for row in table) for i in range(len(heads))]
    if last and sys.stdout.isatty():
        room = shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(widths) - 1)
        if room < 12:  # no use; rather no column than a torn one
            widths, table = widths[:-1], [row[:-1] for row in table]
        else:
            table = [[*row[:-1], shortened(row[-1], room)] for row in table]
    for i, row in enumerate(table):
        line = aligned(row, widths)
        click.echo(click.style(line, bold=True) if i == 0 else line)


def aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [cell + " " * (room - width(cell)) for cell, room in zip(row, widths, strict=True)]
    return "  ".join(cells).rstrip()


def width(cell: str) -> int:
    """How many columns of a terminal a text takes: some signs take two."""
    plain = click.unstyle(cell)
    if plain.isascii():
        return len(plain)
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in plain)


def shortened(text: str, columns: int) -> str:
    if width(text) <= columns:
        return text
    while width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


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
