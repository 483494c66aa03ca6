"""What an attempt ends with: a value, handled in one `match` (`engine/attempt.py`)."""

from __future__ import annotations

from backroom.records.runs import StepRow, WaitRow
from backroom.records.values import value

__all__ = [
    "Cancelled",
    "Failed",
    "HandedBack",
    "Lost",
    "NeedsAttention",
    "Outcome",
    "Parked",
    "Succeeded",
    "TryAgain",
]


@value
class Succeeded:
    """The flow returned; `result` is its encoded value."""

    result: str | None


@value
class Failed:
    """The flow raised, or ran out of time."""

    error: str


@value
class TryAgain:
    """The flow raised and its own retry allows another attempt."""

    delay_us: int
    error: str


@value
class Parked:
    """Every branch of the flow waits for something; nothing of it stays in memory."""

    waits: tuple[WaitRow, ...]
    steps: tuple[StepRow, ...] = ()
    backwards: bool = False  # between two tries of an undo
    timeless: bool = False  # its deadline has struck, and there is no other


@value
class Cancelled:
    """Somebody asked for it and the flow has stopped."""

    reason: str


@value
class NeedsAttention:
    """Going on would be a guess; a person decides."""

    error: str


@value
class HandedBack:
    """The worker stops; another one takes the run from its last checkpoint."""


@value
class Lost:
    """The attempt no longer holds the run. Nothing is written, by anybody, for it."""


Outcome = Succeeded | Failed | TryAgain | Parked | Cancelled | NeedsAttention | HandedBack | Lost
