"""The worker's part in schedules: from those that are due to the verbs that decide their slots.

Every worker is a scheduler. It knows when the next slot of its flows is (it comes with the look for
runs that have expired, so waiting costs no query), wakes at that moment, and decides:

    look ─▶ due schedules ─▶ plan (planning.py) ─▶ runs, as the flow declares ─▶ Decide ─▶ commit
                                                                                  │
                          another worker's decision about the first slot is there ┘ nothing is done

There is no leader. Whoever comes first is heard, by the key of the slot's row.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from backroom.engine.world import World
from backroom.flows.codec import ANY
from backroom.flows.flow import FlowSpec, new_run
from backroom.flows.flow import Options as RunOptions
from backroom.records import limits
from backroom.records.errors import BackroomError, Refused
from backroom.records.queues import QueueRules
from backroom.records.runs import NewRun
from backroom.records.schedules import Decision, DueSchedule, SlotRow
from backroom.schedules.calendars import Calendar, calendar_of
from backroom.schedules.planning import Options, options_of, plan
from backroom.schedules.zones import EPOCH_UTC, moment_at, zone
from backroom.store.verbs import Cancel, Decide, Verb

__all__ = ["Scheduler", "input_of", "input_text", "time_of"]

log = logging.getLogger("backroom.schedules")


class Scheduler:
    """Knows an application's flows. Asked from one thread at a time."""

    def __init__(
        self, specs: Mapping[str, FlowSpec], queues: Mapping[str, QueueRules], world: World
    ) -> None:
        self._queues = queues
        self._world = world
        self._specs: dict[str, FlowSpec] = {}
        for spec in specs.values():
            for name in (spec.name, *spec.aliases):
                if name not in self._specs or self._specs[name].version < spec.version:
                    self._specs[name] = spec

    def flows(self) -> tuple[str, ...]:
        """The flows whose schedules it can decide about."""
        return tuple(self._specs)

    def decide(self, due: Sequence[DueSchedule], now: int) -> list[list[Verb]]:
        """What to do about schedules that are due: for each the verbs of one transaction."""
        return [self._decide(each, now) for each in due]

    def _decide(self, due: DueSchedule, now: int) -> list[Verb]:
        row = due.row
        try:
            calendar, options = calendar_of(row.calendar), options_of(row.options)
            planned = plan(due, calendar, options, now)
        except BackroomError as error:
            log.error("schedule %s can't be read: %s", row.name, error)
            told = str(error)[: limits.STATUS_CHARS]
            return [Decide(row.name, row.series, row.place, (), (), row.place, None, told)]
        slots: list[SlotRow] = []
        runs: list[NewRun] = []
        leader = row.last_run if due.last_lives and options.overlap != "together" else None
        for slot in planned.slots:
            if slot.decision != Decision.STARTED:
                slots.append(slot)
                continue
            made = self._run(due, slot, calendar, options, leader)
            if isinstance(made, str):
                slots.append(replace(slot, decision=Decision.REFUSED, reason=made))
                log.error("schedule %s: its flow can't be started: %s", row.name, made)
                continue
            slots.append(replace(slot, run_id=made.id))
            runs.append(made)
            leader = made.id if options.overlap == "queue" else leader
        decide = Decide(
            row.name, row.series, row.place, tuple(slots), tuple(runs), planned.place,
            planned.next_at, forget_us=limits.SLOT_KEPT_US,
        )  # fmt: skip
        if planned.cancels is not None and runs:
            return [decide, Cancel(planned.cancels, f"the schedule {row.name} starts the next one")]
        return [decide]

    def _run(
        self,
        due: DueSchedule,
        slot: SlotRow,
        calendar: Calendar,
        options: Options,
        leader: str | None,
    ) -> NewRun | str:
        """A slot's run, or why it can't be."""
        spec = self._specs[due.row.flow]
        try:
            when = time_of(slot.at, calendar)
            arguments = input_of(spec, due.row.input, options, when)
            return new_run(
                spec, RunOptions(after=(leader,) if leader else (), after_any_end=True), (),
                arguments, run_id=self._world.new_id(), queues=self._queues,
            )  # fmt: skip
        except Exception as error:  # whatever an author's types make of it
            return f"{type(error).__name__}: {error}"[: limits.STATUS_CHARS]


def time_of(at: int, calendar: Calendar) -> datetime:
    """A slot's time, in the zone of its calendar."""
    return moment_at(at, zone(calendar.as_json().get("tz", "UTC")))


def input_of(spec: FlowSpec, text: str, options: Options, when: datetime) -> dict[str, Any]:
    """The arguments that are stored with a schedule, and the slot's time where it is wanted."""
    if options.slot is not None:
        stored = json.loads(text)
        stored[options.slot] = json.loads(ANY.encode(fitting(spec, options.slot, when)))
        text = json.dumps(stored)
    return spec.signature.decode(text)


def input_text(spec: FlowSpec, arguments: Mapping[str, Any], options: Options) -> str:
    """Arguments as they are stored with a schedule; InvalidInput if the flow doesn't take them."""
    given = dict(arguments)
    if options.slot is not None:
        if options.slot not in spec.signature.parameters or options.slot in given:
            raise Refused(
                f"The slot's time is for the parameter {options.slot!r} of {spec.name}, which has "
                "no such parameter, or gets it from input= already. Correct slot=."
            )
        given[options.slot] = fitting(spec, options.slot, EPOCH_UTC)
    stored = json.loads(spec.signature.encode((), given))
    if options.slot is not None:
        del stored[options.slot]
    return json.dumps(stored)


def fitting(spec: FlowSpec, parameter: str, when: datetime) -> datetime | date:
    """The time as the parameter's type wants it."""
    return when.date() if spec.signature.hint(parameter) is date else when
