"""What an attempt ends with: a value, handled in one `match` (`engine/attempt.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from backroom.records.runs import StepRow, WaitRow

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


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The flow returned; `result` is its encoded value."""

    result: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """The flow raised, or ran out of time."""

    error: str


@dataclass(frozen=True, slots=True)
class TryAgain:
    """The flow raised and its own retry allows another attempt."""

    delay_us: int
    error: str


@dataclass(frozen=True, slots=True)
class Parked:
    """Every branch of the flow waits for something; nothing of it stays in memory."""

    waits: tuple[WaitRow, ...]
    steps: tuple[StepRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody asked for it and the flow has stopped."""

    reason: str


@dataclass(frozen=True, slots=True)
class NeedsAttention:
    """Going on would be a guess; a person decides."""

    error: str


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The worker stops; another one takes the run from its last checkpoint."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The attempt no longer holds the run. Nothing is written, by anybody, for it."""


Outcome = Succeeded | Failed | TryAgain | Parked | Cancelled | NeedsAttention | HandedBack | Lost
