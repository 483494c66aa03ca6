"""JSON, times and lengths of time as they are written on a command line."""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime
from typing import Any

import click

__all__ = ["arguments", "moment", "parsed", "seconds"]


def parsed(text: str, what: str) -> Any:
    """JSON; `-`: from standard input."""
    if text == "-":
        text = sys.stdin.read()
    try:
        return json.loads(text, parse_constant=refuse_constant)
    except ValueError as error:
        raise click.BadParameter(
            f"{what} isn't JSON: {error}. Text needs its own quotes, as in '\"some text\"'."
        ) from None


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def arguments(pairs: tuple[str, ...], whole: str | None) -> dict[str, Any]:
    """The arguments of a flow, from --input and then --arg."""
    found: Any = {} if whole is None else parsed(whole, "--input")
    if not isinstance(found, dict):
        raise click.BadParameter("--input has to be a JSON object: the arguments by name.")
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"--arg {pair!r} has to be name=JSON, for example n=3.")
        found[name] = parsed(value, f"--arg {name}")
    return found


UNITS = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400}


def seconds(text: str | None, option: str = "--delay") -> float | None:
    """90, 90s, 15min, 2h, 3d."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if match is None or match[2] not in UNITS:
        raise click.BadParameter(
            f"{option} {text!r} can't be read. Write seconds, or 90s, 15min, 2h, 3d."
        )
    return float(match[1]) * UNITS[match[2]]


def moment(text: str | None) -> datetime | None:
    """A moment with its time zone, in ISO 8601."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise click.BadParameter(
            f"--at {text!r} can't be read. Write a moment with its time zone, as in "
            "2026-03-01T08:00:00+01:00."
        )
    return at
