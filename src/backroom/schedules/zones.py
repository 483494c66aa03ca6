"""Between the clock on the wall and instants.

An instant is whole microseconds since 1970 UTC. A reading is what a clock on the wall shows, as a
naive `datetime`. Twice a year the two part in most zones:

    forward    02:00 ──▶ 03:00    readings in between are missing
    back       03:00 ──▶ 02:00    readings in between come twice

`instant_of` says what a schedule makes of that: a missing reading is the first instant after the
gap, a reading that comes twice is its first time, and a reading of a day that the zone has left out
altogether (Apia, 2011-12-30) is no instant at all.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from backroom.records.errors import Refused

__all__ = [
    "EPOCH",
    "EPOCH_UTC",
    "SECOND",
    "instant_of",
    "matching_after",
    "moment_at",
    "reading_at",
    "since_epoch",
    "zone",
]

SECOND = 1_000_000
DAY = 86_400 * SECOND
EPOCH = datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Following = Callable[[datetime], datetime | None]
"""The first reading that matches after another one; None: never again."""


@lru_cache(maxsize=512)
def zone(name: str) -> tzinfo:
    """A time zone by its name in the tz database."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not found is a KeyError, `../x` a ValueError
        raise Refused(
            f"There is no time zone {name!r}. Use a name of the tz database, Europe/Berlin say; "
            "where the system has none of them, `pip install tzdata`."
        ) from None


def moment_at(instant: int, tz: tzinfo) -> datetime:
    """An instant, in a zone."""
    return (EPOCH_UTC + timedelta(microseconds=instant)).astimezone(tz)


def reading_at(instant: int, tz: tzinfo) -> datetime:
    """What the clock on the wall shows."""
    return moment_at(instant, tz).replace(tzinfo=None, fold=0)


def instant_of(reading: datetime, tz: tzinfo) -> int | None:
    """The instant that a schedule means by a reading; None: there was no such day."""
    instant = (reading.replace(tzinfo=tz) - EPOCH_UTC) // MICROSECOND
    if reading_at(instant, tz) == reading:
        return instant  # with fold 0, so of two the first
    after = change_before(instant, tz)
    last = reading_at(after - SECOND, tz) + timedelta(seconds=1)
    midnight = reading.replace(hour=0, minute=0, second=0, microsecond=0)
    if last <= midnight and reading_at(after, tz) >= midnight + timedelta(days=1):
        return None
    return after


def matching_after(instant: int, tz: tzinfo, following: Following) -> int | None:
    """The first instant after this one at which the wall shows a reading that matches. Readings
    that are missing are passed by, those that come twice match twice.

    `following` answers the first matching reading after another one. The way: as long as the offset
    stays, readings and instants go in step; where it changes the search begins anew behind the
    change. A change can bring back what was passed within the day before it and no more.
    """
    while True:
        reading = reading_at(instant, tz)
        offset = instant - since_epoch(reading)
        found = following(reading)
        if found is None:
            return None
        there = since_epoch(found) + offset
        until = min(there, instant + DAY)
        if until - since_epoch(reading_at(until, tz)) == offset:
            if until == there:
                return there
            # Nothing within a day: no change brings any reading back before the one that was found.
            instant = first_at_least(found, tz) - SECOND
        else:
            change = change_before(until, tz)
            shown = reading_at(change, tz)
            if following(shown - timedelta(seconds=1)) == shown:
                return change
            instant = change


def first_at_least(reading: datetime, tz: tzinfo) -> int:
    instant = (reading.replace(tzinfo=tz) - EPOCH_UTC) // MICROSECOND
    return instant if reading_at(instant, tz) == reading else change_before(instant, tz)


def since_epoch(reading: datetime) -> int:
    return (reading - EPOCH) // MICROSECOND


def change_before(instant: int, tz: tzinfo) -> int:
    """The last moment, up to this one, at which the offset changed; within two days."""
    high = instant // SECOND
    offset = high - since_epoch(reading_at(high * SECOND, tz)) // SECOND
    low = high - 2 * 86_400
    while high - low > 1:
        middle = (low + high) // 2
        if middle - since_epoch(reading_at(middle * SECOND, tz)) // SECOND == offset:
            high = middle
        else:
            low = middle
    return high * SECOND
