"""Which slots a schedule has: `cron`, `every`, `rrule` and `once`.

A **slot** is one time at which a schedule is due. It has an instant, and a **place**, by which it
is known: the reading of the clock on the wall where the calendar goes by that, else the instant. So
two workers with different releases of the tz database mean the same slot by "2027-03-28 02:30", and
it is taken once, even if they disagree about when that is.

Two kinds of calendars, and the two nights of the year:

    by the wall     cron with named hours, rrule     one slot for each reading, whatever the clocks
                                                     do; a missing one at the first moment after
    by real time    every, once, cron with hour *    `every` counts seconds; a cron with hour `*`
                                                     or `*/n` fires whenever the wall shows a match

cronsim and dateutil find the readings; both are asked with naive times only, because what they do
about the two nights isn't this (cronsim lets `*/15 2 * * *` miss its night, dateutil answers times
that don't exist).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from backroom.flows.waits import to_delay_us, to_microseconds
from backroom.records.errors import InvalidTime, Refused
from backroom.schedules.zones import (
    EPOCH,
    SECOND,
    instant_of,
    matching_after,
    moment_at,
    reading_at,
    since_epoch,
    zone,
)

if TYPE_CHECKING:
    from dateutil.rrule import rrule as DateutilRule

__all__ = [
    "Calendar",
    "Cron",
    "Every",
    "Once",
    "Rrule",
    "Slot",
    "at_in",
    "calendar_of",
    "cron",
    "every",
    "moment",
    "once",
    "rrule",
]

YEARS = timedelta(days=41 * 366)
"""How far a match is looked for. 29 February on a Monday comes within 40 years, also over 2100."""

ANCHOR = datetime(2001, 1, 1)  # a Monday, the first of a month and of a year
SHORTEST_US = SECOND
LONGEST_RULE = 1_000  # characters of a cron expression or an rrule
READABLE = datetime(9990, 1, 1)  # no reading is looked for beyond it


class Slot(NamedTuple):
    place: int
    at: int  # the instant, in microseconds


class Calendar(Protocol):
    """When something is due."""

    def next(self, place: int | None, since: int) -> Slot | None:
        """The first slot after the one at this place, or (None) after an instant; None: there is no
        more."""
        ...

    def as_json(self) -> dict[str, Any]: ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class Cron:
    """Five fields (minute, hour, day of month, month, day of week), or six with the second first.

    Besides numbers, names, lists, ranges and steps: `L` for the last day of the month, `LW` its
    last weekday, `FRI#2` its second Friday, `5L` its last Friday. If both days are restricted one
    of them has to match, as in every cron.
    """

    expression: str
    tz: str = "UTC"

    def __post_init__(self) -> None:
        zone(self.tz)
        if len(self.expression) > LONGEST_RULE:
            raise InvalidTime(f"A cron expression has at most {LONGEST_RULE} characters.")
        if self._following(ANCHOR) is None:
            raise InvalidTime(
                f"The cron expression {self.expression!r} never comes true: there is no such day. "
                "Look at its days and months."
            )

    @property
    def by_the_wall(self) -> bool:
        fields = self.expression.split()
        return not fields[-4].startswith("*")

    def next(self, place: int | None, since: int) -> Slot | None:
        tz = zone(self.tz)
        if self.by_the_wall:
            return next_by_the_wall(self._following, tz, place, since)
        instant = matching_after(since if place is None else place, tz, self._following)
        return None if instant is None else Slot(instant, instant)

    def _following(self, reading: datetime) -> datetime | None:
        from cronsim import CronSim, CronSimError

        try:
            found = CronSim(self.expression, reading)
        except CronSimError as error:
            raise InvalidTime(
                f"The cron expression {self.expression!r} can't be read, or never comes true: "
                f"{error}. Write minute, hour, day of month, month, day of week: '30 2 * * 1-5'."
            ) from None
        try:
            return next(found, None)
        except OverflowError:  # the year 10000
            return None

    def as_json(self) -> dict[str, Any]:
        return {"cron": self.expression, "tz": self.tz}

    def __str__(self) -> str:
        return f"cron {self.expression} ({self.tz})"


@dataclass(frozen=True)
class Every:
    """Every so many microseconds of real time, counted from a moment (default: from 1970, so every
    hour is on the hour)."""

    length_us: int
    from_us: int = 0

    def __post_init__(self) -> None:
        if self.length_us < SHORTEST_US:
            raise InvalidTime(
                "An interval is at least one second. What has to be done more often is a loop in "
                "one run."
            )

    def next(self, place: int | None, since: int) -> Slot | None:
        after = since if place is None else place
        count = max(0, (after - self.from_us) // self.length_us + 1)
        at = self.from_us + count * self.length_us
        return Slot(at, at)

    def as_json(self) -> dict[str, Any]:
        return {"every": self.length_us / SECOND} | (
            {"begin": moment(self.from_us)} if self.from_us else {}
        )

    def __str__(self) -> str:
        return f"every {timedelta(microseconds=self.length_us)}"


@dataclass(frozen=True)
class Once:
    """A single moment."""

    at_us: int

    def next(self, place: int | None, since: int) -> Slot | None:
        """Also one that has passed already: set for a time is set, however late it is stored."""
        return Slot(self.at_us, self.at_us) if place is None else None

    def as_json(self) -> dict[str, Any]:
        return {"at": moment(self.at_us)}

    def __str__(self) -> str:
        return f"once at {moment(self.at_us)}"


@dataclass(frozen=True)
class Rrule:
    """A recurrence rule of RFC 5545: `FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9;BYMINUTE=0`.

    `begin`: the reading from which it counts (DTSTART). Without one it counts from 2001-01-01
    00:00, a Monday, which a rule with INTERVAL or COUNT may not leave to chance.
    """

    rule: str
    tz: str = "UTC"
    begin: datetime | None = None

    def __post_init__(self) -> None:
        zone(self.tz)
        if len(self.rule) > LONGEST_RULE:
            raise InvalidTime(f"An rrule has at most {LONGEST_RULE} characters.")
        if self.begin is not None and self.begin.tzinfo is not None:
            raise InvalidTime(
                "The begin of an rrule is what the clock on the wall shows: leave out its time "
                "zone, and give tz=."
            )
        parts = {part.partition("=")[0].strip().upper() for part in self.rule.split(";")}
        if self.begin is None and parts & {"INTERVAL", "COUNT"}:
            raise InvalidTime(
                f"The rule {self.rule!r} counts from its begin. Say from when: "
                "rrule(..., begin=datetime(2027, 1, 4, 9))."
            )
        if self._following(self._begin - timedelta(seconds=1)) is None:
            raise InvalidTime(
                f"The rule {self.rule!r} never comes true. Look at its days and months."
            )

    @property
    def _begin(self) -> datetime:
        return ANCHOR if self.begin is None else self.begin

    def next(self, place: int | None, since: int) -> Slot | None:
        return next_by_the_wall(self._following, zone(self.tz), place, since)

    def _following(self, reading: datetime) -> datetime | None:
        found: datetime | None = self._parsed().after(reading)
        return found if found is not None and found - reading < YEARS else None

    def _parsed(self) -> DateutilRule:
        rrule, rrulestr = dateutil()
        try:
            parsed = rrulestr(self.rule.removeprefix("RRULE:"), dtstart=self._begin)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidTime(
                f"The rule {self.rule!r} can't be read: {error}. Write it as in RFC 5545: "
                "'FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9;BYMINUTE=0'."
            ) from None
        if not isinstance(parsed, rrule):
            raise InvalidTime("An rrule is one rule, without EXDATE, RDATE or DTSTART lines.")
        if parsed._freq > 3:  # hourly and more often
            raise InvalidTime(
                "An rrule is daily or rarer. For what is due more often use every() or cron()."
            )
        return parsed

    def as_json(self) -> dict[str, Any]:
        begin = {} if self.begin is None else {"begin": self.begin.isoformat()}
        return {"rrule": self.rule, "tz": self.tz} | begin

    def __str__(self) -> str:
        return f"rrule {self.rule} ({self.tz})"


def dateutil() -> tuple[type[DateutilRule], Callable[..., Any]]:
    try:
        from dateutil.rrule import rrule, rrulestr
    except ModuleNotFoundError:
        raise Refused("rrule() needs dateutil: pip install 'backroom[rrule]'.") from None
    return rrule, rrulestr


def next_by_the_wall(
    following: Callable[[datetime], datetime | None], tz: tzinfo, place: int | None, since: int
) -> Slot | None:
    """The next reading that has an instant of its own. Several missing ones share the first moment
    after the gap, and that is one slot."""
    last = since
    if place is None:
        # Near a change readings go back and forth: begin early and pass by what is not later.
        reading = reading_at(since, tz) - timedelta(days=2)
    else:
        reading = EPOCH + timedelta(microseconds=place)
        last = instant_of(reading, tz) or 0
    while (found := following(reading)) is not None:
        at = instant_of(found, tz)
        if at is not None and at > last:
            return Slot(since_epoch(found), at)
        reading = found
    return None


def moment(at_us: int) -> str:
    return moment_at(at_us, UTC).isoformat()


# --- what authors write ---------------------------------------------------------------------------


def cron(expression: str, tz: str = "UTC") -> Cron:
    """Due by a cron expression: `cron("30 2 * * 1-5", "Europe/Berlin")`; see `Cron`."""
    return Cron(expression, tz)


def every(
    length: timedelta | None = None,
    /,
    *,
    seconds: float = 0,
    minutes: float = 0,
    hours: float = 0,
    days: float = 0,
    begin: datetime | None = None,
) -> Every:
    """Due every so often in real time, whatever the clocks on the walls do. `begin`: a moment from
    which it counts; default: it is in step with the clock in UTC."""
    whole = length or timedelta()
    whole += timedelta(seconds=seconds, minutes=minutes, hours=hours, days=days)
    return Every(to_delay_us(whole), 0 if begin is None else to_microseconds(begin))


def rrule(rule: str, tz: str = "UTC", *, begin: datetime | None = None) -> Rrule:
    """Due by a calendar rule of RFC 5545: `rrule("FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=9", tz)`."""
    return Rrule(rule, tz, begin)


def once(at: datetime) -> Once:
    """Due at a single moment."""
    return Once(to_microseconds(at))


# --- as it is stored ------------------------------------------------------------------------------


def calendar_of(text: str) -> Calendar:
    """A calendar from its JSON, which people may have written in SQL; InvalidTime, Refused."""
    try:
        stored = json.loads(text)
        told: dict[str, Any] = stored if isinstance(stored, dict) else {}
        begin = told.get("begin")
        if "cron" in told:
            return Cron(text_in(told, "cron"), text_in(told, "tz", "UTC"))
        if "every" in told:
            return Every(to_delay_us(told["every"]), 0 if begin is None else at_in(begin))
        if "rrule" in told:
            return Rrule(
                text_in(told, "rrule"), text_in(told, "tz", "UTC"),
                None if begin is None else datetime.fromisoformat(begin),
            )  # fmt: skip
        if "at" in told:
            return Once(at_in(told["at"]))
    except (ValueError, TypeError) as error:
        raise InvalidTime(f"The calendar {text[:200]} can't be read: {error}.") from None
    raise InvalidTime(
        f"The calendar {text[:200]} can't be read. Write one of "
        '{"cron": "30 2 * * *", "tz": "Europe/Berlin"}, {"every": 900}, '
        '{"rrule": "FREQ=WEEKLY", "tz": …}, {"at": "2027-01-01T09:00:00Z"}.'
    )


def text_in(stored: dict[str, Any], name: str, default: str = "") -> str:
    value = stored.get(name, default)
    if not isinstance(value, str):
        raise ValueError(f"{name} is not a text")
    return value


def at_in(text: str) -> int:
    return to_microseconds(datetime.fromisoformat(text))
