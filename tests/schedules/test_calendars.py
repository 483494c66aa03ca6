"""Which slots a calendar has, through both changes of the clocks in every zone there is."""

import json
import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest

from backroom import cron, errors, every, once, rrule
from backroom.schedules.calendars import Calendar, Slot, calendar_of
from backroom.schedules.zones import EPOCH, SECOND, instant_of, zone


def us(moment: datetime) -> int:
    return (moment - EPOCH.replace(tzinfo=UTC)) // timedelta(microseconds=1)


def at(text: str) -> int:
    return us(datetime.fromisoformat(text).replace(tzinfo=UTC))


def slots(calendar: Calendar, begin: str, end: str) -> list[Slot]:
    found: list[Slot] = []
    slot = calendar.next(None, at(begin) - 1)
    while slot is not None and slot.at < at(end):
        found.append(slot)
        slot = calendar.next(slot.place, at(begin) - 1)
    return found


def told(calendar: Calendar, begin: str, end: str) -> list[str]:
    return [
        datetime.fromtimestamp(slot.at / SECOND, UTC).strftime("%m-%d %H:%M")
        for slot in slots(calendar, begin, end)
    ]


# What comes of a night, in UTC. Each was looked up in the zone's own history.
NIGHTS = [
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 01:00", "03-30 00:30"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["10-25 00:30", "10-26 01:30"]),
    ("30 2 * * *", "America/New_York", "2026-03-07T12:00", ["03-08 07:00", "03-09 06:30"]),
    ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["11-01 05:30", "11-02 06:30"]),
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", ["10-03 15:30", "10-04 15:15"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T00:00", ["04-04 14:45", "04-05 15:15"]),
    ("0 0 * * *", "America/Santiago", "2026-09-05T12:00", ["09-06 04:00", "09-07 03:00"]),
    ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00", ["04-23 22:00", "04-24 21:00"]),
    ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00", ["03-28 22:00", "03-29 21:00"]),
    ("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00", ["12-29 22:00", "12-30 22:00"]),
    ("30 2 * * *", "Antarctica/Troll", "2026-03-28T12:00", ["03-29 01:00", "03-30 00:30"]),
    ("30 2 * * *", "Africa/Casablanca", "2026-02-14T12:00", ["02-15 01:30", "02-16 02:30"]),
    ("15 6 * * *", "Asia/Kathmandu", "2026-03-28T12:00", ["03-29 00:30", "03-30 00:30"]),
    ("*/15 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["03-29 01:00", "03-30 00:00"]),
]


@pytest.mark.parametrize(("expression", "tz", "begin", "expected"), NIGHTS)
def test_a_daily_job_runs_once_in_a_night_of_two_clocks(
    expression: str, tz: str, begin: str, expected: list[str]
) -> None:
    end = (datetime.fromisoformat(begin) + timedelta(days=3)).isoformat()
    assert told(cron(expression, tz), begin, end)[:2] == expected


def test_an_hourly_job_counts_real_hours() -> None:
    spring = told(cron("30 * * * *", "Europe/Berlin"), "2026-03-28T23:00", "2026-03-29T03:00")
    assert spring == ["03-28 23:30", "03-29 00:30", "03-29 01:30", "03-29 02:30"]
    autumn = told(cron("30 * * * *", "Europe/Berlin"), "2026-10-24T23:00", "2026-10-25T03:00")
    assert autumn == ["10-24 23:30", "10-25 00:30", "10-25 01:30", "10-25 02:30"]


def test_several_missing_times_are_one_slot_at_the_first_moment_after() -> None:
    found = told(cron("0,15,30 2,3 * * *", "Europe/Berlin"), "2026-03-29T00:00", "2026-03-29T12:00")
    assert found == ["03-29 01:00", "03-29 01:15", "03-29 01:30"]


ZONES = sorted(available_timezones() - {"Factory", "localtime", "posixrules"})
BEGIN, END = datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)


def test_in_every_zone_a_daily_job_runs_once_a_local_day_for_two_years() -> None:
    """Zones that do the same in these two years count as one, and only the days around changes are
    walked through; `test_every_zone_day_by_day` takes neither of these short cuts."""
    chance = random.Random(11)
    alike = {tuple(changes(tz)): tz for tz in ZONES}
    assert len(alike) > 50
    for seen, tz in alike.items():
        for hour in (0, 1, 2, 3, chance.randrange(4, 24)):
            calendar = cron(f"{chance.randrange(60)} {hour} * * *", tz)
            for day, _ in seen:
                once_a_day(calendar, tz, day - timedelta(days=3), 6)


@pytest.mark.torture
@pytest.mark.timeout(3_600)
def test_every_zone_day_by_day() -> None:
    chance = random.Random(12)
    for tz in ZONES:
        for _ in range(4):
            hour = chance.choice((0, 1, 2, 3, chance.randrange(24)))
            calendar = cron(f"{chance.randrange(60)} {hour} * * *", tz)
            once_a_day(calendar, tz, BEGIN, (END - BEGIN).days)


def once_a_day(calendar: Calendar, tz: str, begin: datetime, days: int) -> None:
    """So many slots, each later than the one before and on the next local day."""
    place: int | None = None
    instants = []
    for _ in range(days):
        slot = calendar.next(place, us(begin))
        assert slot is not None
        instants.append(slot.at)
        place = slot.place
    local = [datetime.fromtimestamp(instant / SECOND, ZoneInfo(tz)).date() for instant in instants]
    assert all(b - a == timedelta(days=1) for a, b in pairwise(local)), (tz, str(calendar), local)
    assert all(a < b for a, b in pairwise(instants)), (tz, str(calendar))


def changes(tz: str) -> list[tuple[datetime, timedelta | None]]:
    """The days on which a zone's offset changes, with the new one; the first day too."""
    info = ZoneInfo(tz)
    found = [(BEGIN, BEGIN.astimezone(info).utcoffset())]
    day = BEGIN
    while day < END:
        after = day + timedelta(days=7)
        if after.astimezone(info).utcoffset() != day.astimezone(info).utcoffset():
            while day.astimezone(info).utcoffset() == found[-1][1]:
                day += timedelta(days=1)
            found.append((day, day.astimezone(info).utcoffset()))
        else:
            day = after
    return found


@pytest.mark.parametrize(
    ("tz", "night"),
    [
        ("Europe/Berlin", "2026-03-28T12:00"),
        ("Europe/Berlin", "2026-10-24T12:00"),
        ("Australia/Lord_Howe", "2026-04-04T00:00"),
        ("Australia/Lord_Howe", "2026-10-03T00:00"),
        ("America/St_Johns", "2026-11-01T00:00"),
        ("Antarctica/Troll", "2026-10-24T12:00"),
    ],
)
def test_the_slots_of_a_night_are_those_that_a_walk_through_all_minutes_finds(
    tz: str, night: str
) -> None:
    """The plain way, minute by minute, for expressions that go by real time."""
    for expression in ("*/20 * * * *", "7 * * * 0", "50 */3 * * *"):
        begin, end = night, (datetime.fromisoformat(night) + timedelta(days=2)).isoformat()
        minutes, hours, *_, weekdays = expression.split()
        expected = []
        moment = datetime.fromisoformat(begin).replace(tzinfo=UTC)
        while moment < datetime.fromisoformat(end).replace(tzinfo=UTC):
            local = moment.astimezone(ZoneInfo(tz))
            wanted = set(range(0, 60, 20)) if minutes == "*/20" else {int(minutes)}
            if (
                local.minute in wanted
                and (hours != "*/3" or local.hour % 3 == 0)
                and (weekdays == "*" or local.isoweekday() == 7)
            ):
                expected.append(us(moment))
            moment += timedelta(minutes=1)
        assert [slot.at for slot in slots(cron(expression, tz), begin, end)] == expected


def test_two_releases_of_the_tz_database_mean_the_same_slot() -> None:
    """A worker that doesn't know of a change yet has another instant, and the same place."""
    (here,) = slots(cron("30 2 * * *", "Europe/Berlin"), "2026-07-01T00:00", "2026-07-02T00:00")
    (there,) = slots(cron("30 2 * * *", "Africa/Lagos"), "2026-07-01T00:00", "2026-07-02T00:00")
    assert here.place == there.place
    assert here.at != there.at


def test_seconds_steps_and_last_days_work() -> None:
    found = slots(cron("*/20 59 23 L * *"), "2026-02-01T00:00", "2026-03-01T00:00")
    assert len(found) == 3
    assert told(cron("0 9 * * 5L"), "2026-02-01T00:00", "2026-03-01T00:00") == ["02-27 09:00"]


def test_an_interval_counts_from_its_begin() -> None:
    begin = datetime(2026, 3, 1, 0, 10, tzinfo=UTC)
    found = told(every(hours=12, begin=begin), "2026-02-27T00:00", "2026-03-02T00:00")
    assert found == ["03-01 00:10", "03-01 12:10"]


def test_a_calendar_rule_goes_by_the_wall() -> None:
    rule = rrule("FREQ=MONTHLY;BYDAY=-1SU;BYHOUR=2;BYMINUTE=30", "Europe/Berlin")
    assert told(rule, "2026-02-01T00:00", "2026-05-01T00:00") == [
        "02-22 01:30",
        "03-29 01:00",
        "04-26 00:30",
    ]
    fortnight = rrule("FREQ=WEEKLY;INTERVAL=2", begin=datetime(2026, 1, 5, 9))
    assert told(fortnight, "2026-01-01T00:00", "2026-02-10T00:00") == [
        "01-05 09:00",
        "01-19 09:00",
        "02-02 09:00",
    ]


@pytest.mark.parametrize(
    "expression",
    ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * *", "60 * * * *", "x", "", "0 0 * * 8#2"],
)
def test_a_cron_that_never_comes_true_is_refused(expression: str) -> None:
    with pytest.raises(errors.InvalidTime, match="never comes true"):
        cron(expression)


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "never comes true"),
        ("FREQ=HOURLY", "daily or rarer"),
        ("FREQ=WEEKLY;INTERVAL=2", "counts from its begin"),
        ("FREQ=SOMETIMES", "can't be read"),
        ("nonsense", "can't be read"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rule: str, reason: str) -> None:
    with pytest.raises(errors.InvalidTime, match=reason):
        rrule(rule)


def test_other_things_that_cannot_be_are_refused() -> None:
    with pytest.raises(errors.InvalidTime, match="at least one second"):
        every(seconds=0.5)
    with pytest.raises(errors.Refused, match="no time zone 'Mars/Olympus'"):
        cron("0 0 * * *", "Mars/Olympus")
    with pytest.raises(errors.Refused, match="no time zone"):
        cron("0 0 * * *", "../../etc/passwd")
    with pytest.raises(errors.InvalidTime, match="no time zone, so"):
        once(datetime(2026, 1, 1))


def test_expressions_made_at_random_are_read_or_refused_and_never_slow() -> None:
    """Each finds its next slot within the bounds of the search, or says why there is none."""
    chance = random.Random(14)
    fields = [
        ["*", "0", "59", "*/7", "1-5", "60"],
        ["*", "0", "23", "*/5", "1-5", "0-24"],
        ["*", "31", "30", "29", "L", "LW", "*/9", "0"],
        ["*", "2", "FEB", "4,6", "*/5", "x"],
        ["*", "SUN", "5#5", "1L", "1-5", "7", "6#6"],
    ]
    read = 0
    for _ in range(1_000):
        expression = " ".join(chance.choice(field) for field in fields)
        try:
            calendar = cron(expression, "Europe/Berlin")
        except errors.InvalidTime:
            continue
        assert calendar.next(None, at("2026-01-01T00:00")) is not None, expression
        read += 1
    assert 100 < read < 900


@pytest.mark.parametrize(
    "calendar",
    [
        cron("30 2 * * 1-5", "Europe/Berlin"),
        every(minutes=15),
        every(days=1, begin=datetime(2026, 1, 1, 6, tzinfo=UTC)),
        once(datetime(2026, 1, 1, tzinfo=UTC)),
        rrule("FREQ=WEEKLY;INTERVAL=2", "Asia/Tokyo", begin=datetime(2026, 1, 5, 9)),
    ],
    ids=str,
)
def test_a_calendar_is_the_same_after_it_was_stored(calendar: Calendar) -> None:
    assert calendar_of(json.dumps(calendar.as_json())) == calendar


def test_a_missing_reading_is_the_first_moment_after_the_gap() -> None:
    tz = zone("Europe/Berlin")
    assert instant_of(datetime(2026, 3, 29, 2, 0), tz) == at("2026-03-29T01:00")
    assert instant_of(datetime(2026, 3, 29, 2, 59, 59), tz) == at("2026-03-29T01:00")
    assert instant_of(datetime(2026, 3, 29, 3, 0), tz) == at("2026-03-29T01:00")
    assert instant_of(datetime(2011, 12, 30, 12), zone("Pacific/Apia")) is None
