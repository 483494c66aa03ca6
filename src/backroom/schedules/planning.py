"""What becomes of the slots that are due: pure decisions about one schedule.

    due slots ─▶ paused then?      skipped
              ─▶ missed: several?  once   the last one starts, those before are merged into it
                                   skip   those that are late are skipped
                                   all    each starts, the newest `catch_up` of them
              ─▶ overlap: is the   queue     starts, and begins when the one before has ended
                 last run alive?   skip      skipped
                                   cancel    the last run is cancelled, the slot begins after it
                                   together  starts

Every slot gets a decision. Slots in a row of which none is started share a row, so that a schedule
of each second that was off for a month doesn't write millions.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, cast, get_args

from backroom.records import limits
from backroom.records.errors import InvalidTime, Refused
from backroom.records.schedules import Decision, DueSchedule, SlotRow
from backroom.schedules.calendars import Calendar, Slot, at_in, moment
from backroom.schedules.zones import SECOND

__all__ = ["Missed", "Options", "Overlap", "Plan", "options_of", "plan", "upcoming"]

Missed = Literal["once", "skip", "all"]
Overlap = Literal["queue", "skip", "cancel", "together"]

LOOK = 2_000  # slots that one look decides at most


@dataclass(frozen=True)
class Options:
    """How a schedule's slots are treated.

    late_us   from when on a slot counts as missed, for `missed="skip"`
    slot      the flow's parameter that takes the slot's time
    begin_us, end_us   slots before the one and after the other don't exist
    """

    missed: Missed = "once"
    catch_up: int = 100
    late_us: int = 60 * SECOND
    overlap: Overlap = "queue"
    jitter_us: int = 0
    begin_us: int | None = None
    end_us: int | None = None
    slot: str | None = None

    def __post_init__(self) -> None:
        if self.missed not in get_args(Missed):
            raise Refused(f"missed={self.missed!r} can't be. Use 'once', 'skip' or 'all'.")
        if self.overlap not in get_args(Overlap):
            raise Refused(
                f"overlap={self.overlap!r} can't be. Use 'queue', 'skip', 'cancel' or 'together'."
            )
        if not 1 <= self.catch_up <= limits.SCHEDULE_CATCH_UP:
            raise Refused(
                f"catch_up={self.catch_up} can't be. Use 1 to {limits.SCHEDULE_CATCH_UP:,}."
            )
        if not 0 <= self.jitter_us <= limits.SCHEDULE_JITTER_US:
            raise InvalidTime("A jitter is 0 to 24 hours.")
        if self.late_us < 0:
            raise InvalidTime("late= is a number of seconds, 0 or more.")
        if self.end_us is not None and self.begin_us is not None and self.end_us < self.begin_us:
            raise InvalidTime("The schedule ends before it begins. Exchange begin= and end=.")

    def as_json(self) -> str:
        """What differs from the defaults."""
        told: dict[str, Any] = {}
        if self.missed != "once":
            told["missed"] = self.missed
        if self.catch_up != 100:
            told["catch_up"] = self.catch_up
        if self.late_us != 60 * SECOND:
            told["late"] = self.late_us / SECOND
        if self.overlap != "queue":
            told["overlap"] = self.overlap
        if self.jitter_us:
            told["jitter"] = self.jitter_us / SECOND
        if self.begin_us is not None:
            told["begin"] = moment(self.begin_us)
        if self.end_us is not None:
            told["end"] = moment(self.end_us)
        if self.slot is not None:
            told["slot"] = self.slot
        return json.dumps(told)


KNOWN = {"missed", "catch_up", "late", "overlap", "jitter", "begin", "end", "slot"}


def options_of(text: str) -> Options:
    """Options from their JSON, which people may have written in SQL."""
    try:
        told = json.loads(text)
        if unknown := set(told) - KNOWN:
            raise Refused(
                f"There is no option {min(unknown)!r}; there are {', '.join(sorted(KNOWN))}."
            )
        return Options(
            missed=cast("Missed", told.get("missed", "once")),
            catch_up=int(told.get("catch_up", 100)),
            late_us=round(float(told.get("late", 60)) * SECOND),
            overlap=cast("Overlap", told.get("overlap", "queue")),
            jitter_us=round(float(told.get("jitter", 0)) * SECOND),
            begin_us=None if told.get("begin") is None else at_in(told["begin"]),
            end_us=None if told.get("end") is None else at_in(told["end"]),
            slot=None if told.get("slot") is None else str(told["slot"]),
        )
    except (ValueError, TypeError, OverflowError, AttributeError) as error:
        raise Refused(f"The options {text[:200]} can't be read: {error}.") from None


class Plan(NamedTuple):
    """Decisions about slots, in their order; those that are started have no run yet."""

    slots: tuple[SlotRow, ...]
    place: int | None
    next_at: int | None
    cancels: str | None = None  # the run that has to go


def plan(due: DueSchedule, calendar: Calendar, options: Options, now: int) -> Plan:
    """Decide about all slots that are due; also when to look again."""
    row = due.row
    found: list[Slot] = []
    slot = following(row.place, row.since, calendar, options)
    while slot is not None and fires_at(row.name, slot, options) <= now and len(found) < LOOK:
        found.append(slot)
        slot = following(slot.place, row.since, calendar, options)
    next_at = None if slot is None else fires_at(row.name, slot, options)
    if len(found) == LOOK and next_at is not None and next_at <= now:
        # More are due. The newest, which may start, are left for the next look.
        del found[LOOK - (1 if options.missed == "once" else limits.SCHEDULE_CATCH_UP) :]
        next_at = now
        decided = [
            skipped(slot, paused(due, slot) or "more were missed than are caught up")
            if options.missed != "once" or paused(due, slot)
            else merged(slot, None)
            for slot in found
        ]
        return Plan(collapsed(decided), found[-1].place, next_at)
    place = found[-1].place if found else row.place
    open_ = [slot for slot in found if not paused(due, slot)]
    starting, decisions = sifted(row.name, open_, options, now)
    starting, overlapping = parted(due, starting, options)
    decisions |= overlapping
    for slot in found:
        if reason := paused(due, slot):
            decisions[slot.place] = skipped(slot, reason)
    for slot in starting:
        decisions[slot.place] = SlotRow(slot.place, slot.at, slot.at, 1, Decision.STARTED)
    cancels = None
    if options.overlap == "cancel" and starting and due.last_lives:
        cancels = row.last_run
    rows = [decisions[slot.place] for slot in found]
    return Plan(collapsed(rows), place, next_at, cancels)


def sifted(
    name: str, slots: list[Slot], options: Options, now: int
) -> tuple[list[Slot], dict[int, SlotRow]]:
    """Which of the due slots may start, by the policy for missed ones; and what the others get."""
    decisions: dict[int, SlotRow] = {}
    match options.missed:
        case "once":
            starting = slots[-1:]
            for slot in slots[:-1]:
                decisions[slot.place] = merged(slot, starting[0])
        case "skip":
            starting = []
            for slot in slots:
                if now - fires_at(name, slot, options) <= options.late_us:
                    starting.append(slot)
                else:
                    decisions[slot.place] = skipped(slot, "missed: no worker was there in time")
        case "all":
            starting = slots[-options.catch_up :]
            for slot in slots[: -options.catch_up]:
                decisions[slot.place] = skipped(slot, "more were missed than are caught up")
    return starting, decisions


def parted(
    due: DueSchedule, starting: list[Slot], options: Options
) -> tuple[list[Slot], dict[int, SlotRow]]:
    """The same by the policy for overlaps."""
    decisions: dict[int, SlotRow] = {}
    match options.overlap:
        case "skip":
            room = 0 if due.last_lives else 1
            for slot in starting[room:]:
                decisions[slot.place] = skipped(slot, "the run before it has not ended")
            starting = starting[:room]
        case "cancel":
            for slot in starting[:-1]:
                decisions[slot.place] = merged(slot, starting[-1])
            starting = starting[-1:]
        case "queue":
            room = max(0, limits.SCHEDULE_LINE - due.in_line)
            for slot in starting[room:]:
                decisions[slot.place] = skipped(
                    slot, f"{limits.SCHEDULE_LINE} of its runs have not ended"
                )
            starting = starting[:room]
        case "together":
            pass
    return starting, decisions


def upcoming(
    name: str, calendar: Calendar, options: Options, place: int | None, since: int, count: int
) -> list[Slot]:
    """The next slots, with the times at which they start, jitter included."""
    found: list[Slot] = []
    slot = following(place, since, calendar, options)
    while slot is not None and len(found) < count:
        found.append(Slot(slot.place, fires_at(name, slot, options)))
        slot = following(slot.place, since, calendar, options)
    return found


def following(place: int | None, since: int, calendar: Calendar, options: Options) -> Slot | None:
    if options.begin_us is not None:
        since = max(since, options.begin_us - 1)
    slot = calendar.next(place, since)
    if slot is not None and options.begin_us is not None and slot.at < options.begin_us:
        slot = calendar.next(None, options.begin_us - 1)
        if slot is not None and place is not None and slot.place <= place:
            return None
    if slot is None or (options.end_us is not None and slot.at > options.end_us):
        return None
    return slot


def fires_at(name: str, slot: Slot, options: Options) -> int:
    """The slot's time and its jitter: the same on every worker, since it comes from the name."""
    if not options.jitter_us:
        return slot.at
    digest = hashlib.blake2b(f"{name}/{slot.place}".encode(), digest_size=8).digest()
    return slot.at + int.from_bytes(digest) % (options.jitter_us + 1)


def paused(due: DueSchedule, slot: Slot) -> str:
    row = due.row
    if row.paused_at is None or slot.at < row.paused_at:
        return ""
    if row.resumed_at is not None and slot.at >= row.resumed_at:
        return ""
    return f"paused: {row.paused_by}" if row.paused_by else "paused"


def skipped(slot: Slot, reason: str) -> SlotRow:
    return SlotRow(slot.place, slot.at, slot.at, 1, Decision.SKIPPED, None, reason)


def merged(slot: Slot, into: Slot | None) -> SlotRow:
    reason = "into a later one" if into is None else f"into {moment(into.at)}"
    return SlotRow(slot.place, slot.at, slot.at, 1, Decision.MERGED, None, reason)


def collapsed(rows: list[SlotRow]) -> tuple[SlotRow, ...]:
    """Neighbours with the same decision and reason as one row, unless they are started."""
    kept: list[SlotRow] = []
    for row in rows:
        last = kept[-1] if kept else None
        if (
            last is not None
            and row.decision != Decision.STARTED
            and (last.decision, last.reason) == (row.decision, row.reason)
        ):
            kept[-1] = replace(last, last_at=row.at, count=last.count + 1)
        else:
            kept.append(row)
    return tuple(kept)
