"""Whether a failed try is followed by another, and after how long."""

from __future__ import annotations

from dataclasses import dataclass

from backroom.records.errors import InvalidTime

__all__ = ["NO_RETRY", "UNDO_RETRY", "Retry", "delay_us"]


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, after how long and for which errors a step or a flow is tried again.

    attempts:          tries in all, the first one included
    delay_seconds:     upper bound of the pause after the first failure
    factor:            by which that bound grows with every failure
    max_delay_seconds: where it stops growing
    on, never:         error classes that are retried, and those that never are (`never` wins)

    The pause is drawn evenly between zero and the bound (full jitter), so that a thousand runs that
    failed together don't come back together.
    """

    attempts: int = 3
    delay_seconds: float = 1.0
    factor: float = 2.0
    max_delay_seconds: float = 300.0
    on: type[Exception] | tuple[type[Exception], ...] = Exception
    never: type[Exception] | tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"Retry(attempts={self.attempts}): at least 1, the first try counts.")
        if not (0 <= self.delay_seconds <= self.max_delay_seconds < float("inf")):
            raise InvalidTime(
                "Retry needs 0 <= delay_seconds <= max_delay_seconds, both finite; "
                f"got {self.delay_seconds!r} and {self.max_delay_seconds!r}."
            )

    def allows(self, error: Exception, tries: int) -> bool:
        """Whether another try follows this error, after `tries` tries."""
        return (
            tries < self.attempts
            and isinstance(error, self.on)
            and not isinstance(error, self.never)
        )


NO_RETRY = Retry(attempts=1)
UNDO_RETRY = Retry(attempts=8)
"""An undo is tried harder than what it takes back: its failure needs a person."""


def delay_us(retry: Retry, tries: int, chance: float) -> int:
    """The pause after `tries` failed tries, in microseconds. `chance`: a draw from [0, 1)."""
    # The exponent is capped before the power is taken: 2.0 ** 2000 overflows.
    bound = min(retry.max_delay_seconds, retry.delay_seconds * retry.factor ** min(tries - 1, 60))
    return int(bound * chance * 1_000_000)
