"""Schedules as they are stored, and what became of their slots."""

from __future__ import annotations

from enum import StrEnum

from backroom.records.errors import Refused
from backroom.records.runs import NewRun
from backroom.records.values import value

__all__ = [
    "Chores",
    "Decision",
    "DueSchedule",
    "ScheduleRow",
    "SlotRow",
    "SlotRun",
    "declared_in_code",
    "no_schedule",
]


class Decision(StrEnum):
    """What became of a slot."""

    STARTED = "started"
    MERGED = "merged"  # into a later slot
    SKIPPED = "skipped"
    REFUSED = "refused"  # its flow doesn't take the input


@value
class ScheduleRow:
    """A schedule. `calendar` and `options` are JSON; times are microseconds.

    series, place   which calendar it is, and how far its slots have been decided
    since           slots after this moment count
    next_at         when a worker looks at it again; None: never, it is over, retired or in error
    """

    name: str
    flow: str
    input: str
    calendar: str
    options: str
    source: str  # code, call or sql
    made_by: str
    series: int
    since: int
    place: int | None
    next_at: int | None
    last_run: str | None
    paused_at: int | None
    paused_by: str | None
    resumed_at: int | None
    retired_at: int | None
    error: str | None

    @property
    def is_paused(self) -> bool:
        return self.paused_at is not None and self.resumed_at is None


@value
class DueSchedule:
    """A schedule that has to be looked at, and what its last run is doing."""

    row: ScheduleRow
    last_lives: bool  # its last run hasn't ended
    in_line: int  # of its newest runs so many haven't ended, counted up to a limit


@value
class SlotRow:
    """A decision about a slot, or about `count` slots in a row of which none was started."""

    place: int
    at: int
    last_at: int
    count: int
    decision: str
    run_id: str | None = None
    reason: str | None = None
    decided_at: int = 0
    schedule: str = ""
    series: int = 0


@value
class SlotRun:
    """A slot that was started, and its run."""

    slot: SlotRow
    run: NewRun


@value
class Chores:
    """What there is to do beside performing runs."""

    now: int
    expired: bool  # runs haven't begun in time
    next_at: int | None  # when a schedule has to be looked at


def no_schedule(name: str) -> Refused:
    return Refused(
        f"There is no schedule {name!r}. `backroom schedules list` names those there are."
    )


def declared_in_code(name: str) -> Refused:
    return Refused(
        f"The schedule {name!r} is declared in code. Change it there and deploy, or pause it."
    )
