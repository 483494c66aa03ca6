"""`app.schedules`: lists, previews, adds, pauses and removes schedules while everything runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backroom.engine.office import Office
from backroom.flows.flow import AsyncFlow, Flow, FlowSpec
from backroom.flows.pending import Pending, Promise
from backroom.flows.steps import check_name
from backroom.records import limits
from backroom.records.errors import BackroomError, Refused
from backroom.records.schedules import ScheduleRow, SlotRow, no_schedule
from backroom.schedules.calendars import Calendar, calendar_of
from backroom.schedules.declared import Declared, options_from
from backroom.schedules.planning import Missed, Options, Overlap, options_of, upcoming
from backroom.schedules.scheduler import time_of
from backroom.store.protocol import Reader
from backroom.store.verbs import PauseSchedule, RemoveSchedule, ResumeSchedule, Verb

__all__ = ["Schedule", "Schedules", "preview"]


@dataclass(frozen=True)
class Schedule:
    """A schedule as it stands. `next`: when its next slots start, up to five of them."""

    row: ScheduleRow
    next: tuple[datetime, ...]
    error: str | None = None

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def flow(self) -> str:
        return self.row.flow

    @property
    def paused_by(self) -> str | None:
        """Who has paused it; None: it isn't paused."""
        return self.row.paused_by if self.row.is_paused else None

    @property
    def retired(self) -> bool:
        return self.row.retired_at is not None


class Schedules:
    """The schedules of one database."""

    def __init__(self, office: Callable[[], Office], specs: Mapping[str, FlowSpec]) -> None:
        self._office = office
        self._specs = specs

    def add(
        self,
        name: str,
        flow: AsyncFlow[..., Any] | Flow[..., Any] | str,
        calendar: Calendar,
        /,
        *,
        input: Mapping[str, Any] | None = None,
        slot: str | None = None,
        missed: Missed = "once",
        catch_up: int = 100,
        late: float | timedelta = 60,
        overlap: Overlap = "queue",
        jitter: float | timedelta = 0,
        begin: datetime | None = None,
        end: datetime | None = None,
        by: str = "",
    ) -> Pending[None]:
        """Add a schedule while everything runs, or change one that was added so. As
        `app.schedule` otherwise; `by`: who, or why, for people."""
        options = options_from(
            missed=missed, catch_up=catch_up, late=late, overlap=overlap, jitter=jitter,
            begin=begin, end=end, slot=slot,
        )  # fmt: skip
        spec = self._spec(flow) if isinstance(flow, str) else flow.spec
        declared = Declared(
            check_name(name, "schedule"), spec, calendar, options, input or {}, "call",
            by[: limits.STATUS_CHARS],
        )  # fmt: skip
        return self._asked(declared.verb(), "Adding a schedule")

    def remove(self, name: str) -> Pending[None]:
        """Let a schedule start nothing more. What became of its slots is kept for 30 days."""
        return self._asked(RemoveSchedule(check_name(name, "schedule")), "Removing a schedule")

    def pause(self, name: str, *, by: str = "") -> Pending[None]:
        """Let a schedule start nothing until `resume`: its slots until then are skipped."""
        verb = PauseSchedule(check_name(name, "schedule"), by[: limits.STATUS_CHARS])
        return self._asked(verb, "Pausing a schedule")

    def resume(self, name: str) -> Pending[None]:
        """Let a paused schedule go on."""
        return self._asked(ResumeSchedule(check_name(name, "schedule")), "Resuming a schedule")

    def list(self, *, retired: bool = False) -> Pending[list[Schedule]]:
        """All schedules by name; with `retired`, also those that start nothing any more."""

        def look(reader: Reader) -> list[Schedule]:
            rows = reader.schedules()
            return [preview(row) for row in rows if retired or row.retired_at is None]

        return Promise(self._office().read(look), lambda found: found, what="Reading schedules")

    def show(self, name: str) -> Pending[Schedule]:
        """One schedule; Refused if there is none of that name."""

        def look(reader: Reader) -> Schedule:
            return preview(there(reader, name))

        return Promise(self._office().read(look), lambda found: found, what="Reading a schedule")

    def next(self, name: str, count: int = 5) -> Pending[tuple[datetime, ...]]:
        """When its next slots start, in the zone of its calendar."""

        def look(reader: Reader) -> tuple[datetime, ...]:
            return preview(there(reader, name), count).next

        return Promise(self._office().read(look), lambda found: found, what="Reading a schedule")

    def slots(self, name: str, limit: int = 20) -> Pending[Sequence[SlotRow]]:
        """What became of its slots, the newest first."""
        looked = self._office().read(lambda reader: reader.slots(name, limit))
        return Promise(looked, lambda found: found, what="Reading slots")

    def _spec(self, flow: str) -> FlowSpec:
        versions = [spec for spec in self._specs.values() if flow in (spec.name, *spec.aliases)]
        if not versions:
            raise Refused(
                f"This program declares no flow {flow!r}, so its arguments can't be checked. Name "
                "one that it does, or add the schedule by SQL."
            )
        return max(versions, key=lambda spec: spec.version)

    def _asked(self, verb: Verb, what: str) -> Pending[None]:
        waits = asyncio._get_running_loop() is None
        future: Future[Any] = self._office().doors.future(verb, waits=waits)
        if waits:
            future.result()
        return Promise(future, lambda _: None, what=what)


def there(reader: Reader, name: str) -> ScheduleRow:
    rows = reader.schedules(name)
    if not rows:
        raise no_schedule(name)
    return rows[0]


def preview(row: ScheduleRow, count: int = 5) -> Schedule:
    """A schedule with its next times; without any, and an error, if it can't be read."""
    try:
        calendar, options = calendar_of(row.calendar), options_of(row.options)
    except BackroomError as error:
        return Schedule(row, (), str(error))
    if row.retired_at is not None or row.error is not None:
        return Schedule(row, (), row.error)
    return Schedule(row, times(row, calendar, options, count), None)


def times(
    row: ScheduleRow, calendar: Calendar, options: Options, count: int
) -> tuple[datetime, ...]:
    slots = upcoming(row.name, calendar, options, row.place, row.since, count)
    return tuple(time_of(slot.at, calendar) for slot in slots)
