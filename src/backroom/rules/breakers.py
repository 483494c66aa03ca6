"""When an outside service isn't called any more, and when it is tried again."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backroom.records import limits
from backroom.records.errors import InvalidTime, Refused

__all__ = ["Breaker"]

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Breaker:
    """What all steps that call one outside service have in common, on all workers.

    name:      the service's; steps with a breaker of the same name share it
    failures:  calls in a row that failed, whoever made them, after which it opens
    seconds:   how long nobody calls then, until one call is made to try; if that fails, as long
    again on, never: errors that count, and those that don't (`never` wins); an error that doesn't
               count shows that the service answers

    While it is open a step isn't tried and no try of it is used up: its run is parked.
    """

    name: str
    failures: int = 5
    seconds: float = 30.0
    on: type[Exception] | tuple[type[Exception], ...] = Exception
    never: type[Exception] | tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        if len(self.name) > limits.NAME_CHARS or not NAME.fullmatch(self.name):
            raise Refused(
                f"{self.name[:60]!r} can't be the name of a breaker. Use letters, digits and "
                f"_ . : - only, starting with a letter, at most {limits.NAME_CHARS} characters."
            )
        if type(self.failures) is not int or not 1 <= self.failures <= limits.BREAKER_FAILURES:
            raise Refused(
                f"failures={self.failures!r} can't be. Use a whole number from 1 to "
                f"{limits.BREAKER_FAILURES:,}."
            )
        if not 0.001 <= self.seconds <= limits.DELAY_US / 1_000_000:
            raise InvalidTime(
                f"seconds={self.seconds!r} can't be. Use seconds, from 0.001 to ten years."
            )

    @property
    def pause_us(self) -> int:
        return round(self.seconds * 1_000_000)

    def counts(self, error: Exception) -> bool:
        """Whether an error tells against the service."""
        return isinstance(error, self.on) and not isinstance(error, self.never)
