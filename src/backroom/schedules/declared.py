"""What an author says about a schedule, and the verb that stores it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from backroom.flows.flow import FlowSpec
from backroom.flows.waits import to_delay_us, to_microseconds
from backroom.schedules.calendars import Calendar
from backroom.schedules.planning import Missed, Options, Overlap
from backroom.schedules.scheduler import input_text
from backroom.store.verbs import PutSchedule

__all__ = ["Declared", "options_from"]


@dataclass(frozen=True)
class Declared:
    """A schedule as code declares it."""

    name: str
    spec: FlowSpec
    calendar: Calendar
    options: Options
    arguments: Mapping[str, Any]
    source: str = "code"
    by: str = ""

    def verb(self) -> PutSchedule:
        """Checked now and not when it is declared: types may be defined further down."""
        return PutSchedule(
            self.name, self.spec.name, json.dumps(self.calendar.as_json()),
            input_text(self.spec, self.arguments, self.options), self.options.as_json(), self.by,
            self.source,
        )  # fmt: skip


def options_from(
    *,
    missed: Missed,
    catch_up: int,
    late: float | timedelta,
    overlap: Overlap,
    jitter: float | timedelta,
    begin: datetime | None,
    end: datetime | None,
    slot: str | None,
) -> Options:
    """Options as people write them, in seconds and moments."""
    return Options(
        missed=missed,
        catch_up=catch_up,
        late_us=to_delay_us(late),
        overlap=overlap,
        jitter_us=to_delay_us(jitter),
        begin_us=None if begin is None else to_microseconds(begin),
        end_us=None if end is None else to_microseconds(end),
        slot=slot,
    )
