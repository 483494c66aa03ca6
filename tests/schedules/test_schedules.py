"""Schedules from end to end: declared, fired by workers, paused, retired, made at run time."""

from datetime import UTC, date, datetime, timedelta

import pytest

from backroom import Backroom, cron, errors, every, once
from backroom.records.schedules import Decision, SlotRow
from backroom.testing import at_work, eventually


def decisions(app: Backroom, name: str) -> list[tuple[str, int]]:
    """What became of a schedule's slots, the oldest first."""
    return [(slot.decision, slot.count) for slot in reversed(app.schedules.slots(name).wait())]


def started(app: Backroom, name: str) -> list[SlotRow]:
    slots = app.schedules.slots(name).wait()
    return [slot for slot in reversed(slots) if slot.decision == Decision.STARTED]


def test_a_schedule_starts_its_flow_at_each_slot_and_tells_it_the_time(app: Backroom) -> None:
    seen: list[tuple[str, datetime]] = []

    @app.schedule(every(hours=1), input={"region": "eu"}, slot="hour")
    @app.flow
    async def report(region: str, hour: datetime) -> None:
        seen.append((region, hour))

    with at_work(app) as bench:
        first, second, *_ = app.schedules.next("report").wait()
        assert second - first == timedelta(hours=1)
        bench.move_clock(hours=1)
        eventually(lambda: seen == [("eu", first)])
        bench.move_clock(hours=1)
        eventually(lambda: seen == [("eu", first), ("eu", second)])
    assert decisions(app, "report") == [("started", 1), ("started", 1)]


def test_a_flow_that_takes_a_date_gets_the_local_day(app: Backroom) -> None:
    seen: list[date] = []

    @app.schedule(cron("30 0 * * *", "Asia/Kathmandu"), slot="day")
    @app.flow
    async def close(day: date) -> None:
        seen.append(day)

    with at_work(app) as bench:
        (due,) = app.schedules.next("close", 1).wait()
        assert (due.hour, due.minute) == (0, 30)
        bench.move_clock(days=1)
        eventually(lambda: seen == [due.date()])


def test_a_single_time_fires_once_and_never_again(app: Backroom) -> None:
    seen: list[int] = []

    @app.flow
    async def remind(number: int) -> None:
        seen.append(number)

    app.schedules.add(
        "reminder", remind, once(datetime.now(UTC) + timedelta(hours=1)), input={"number": 7}
    ).wait()
    with at_work(app) as bench:
        bench.move_clock(hours=2)
        eventually(lambda: seen == [7])
        bench.move_clock(days=2)
        eventually(lambda: app.schedules.show("reminder").wait().row.next_at is None)
    assert app.schedules.next("reminder").wait() == ()
    assert seen == [7]


def test_missed_slots_are_merged_into_the_last_one_and_each_has_a_decision(app: Backroom) -> None:
    @app.schedule(every(minutes=1))
    @app.flow
    async def look() -> None: ...

    with at_work(app):
        eventually(lambda: app.schedules.show("look").wait().row.place is None)
        eventually(lambda: (app.schedules.show("look").wait().row.next_at or 0) > 0)
    app.office.store.move_clock(3_600_000_000)
    with at_work(app):
        eventually(lambda: bool(started(app, "look")))
    (merged, _), *rest = (
        ((slot.count, slot.decision), slot) for slot in reversed(app.schedules.slots("look").wait())
    )
    assert merged == (59, "merged") or merged == (60, "merged")
    assert len(rest) == 1


def test_a_paused_schedule_skips_its_slots_and_says_who_paused_it(app: Backroom) -> None:
    @app.schedule(every(minutes=1), missed="all")
    @app.flow
    async def look() -> None: ...

    app.schedules.pause("look", by="Ann").wait()
    app.office.store.move_clock(180_000_000)
    app.schedules.resume("look").wait()
    app.office.store.move_clock(120_000_000)
    with at_work(app):
        eventually(lambda: len(started(app, "look")) == 2)
    slots = app.schedules.slots("look").wait()
    assert (slots[-1].decision, slots[-1].count, slots[-1].reason) == ("skipped", 3, "paused: Ann")


def test_a_schedule_that_is_not_declared_any_more_is_retired(database: str) -> None:
    def deploy(*calendars: tuple[str, int]) -> Backroom:
        app = Backroom(database)

        @app.flow
        async def work() -> None: ...

        for name, minutes in calendars:
            app.schedule(every(minutes=minutes), name=name)(work)
        app.open()
        return app

    deploy(("a", 1), ("b", 1)).close()
    app = deploy(("b", 1))
    assert [schedule.name for schedule in app.schedules.list().wait()] == ["b"]
    names = {each.name: each.retired for each in app.schedules.list(retired=True).wait()}
    assert names == {"a": True, "b": False}
    series = app.schedules.show("b").wait().row.series
    app.close()
    app = deploy(("a", 1), ("b", 2))
    assert app.schedules.show("b").wait().row.series == series + 1
    assert not app.schedules.show("a").wait().retired
    app.close()


def test_a_program_without_the_flow_retires_nothing(database: str) -> None:
    first, other = Backroom(database), Backroom(database)

    @first.schedule(every(minutes=1))
    @first.flow
    async def mine() -> None: ...

    @other.flow
    async def theirs() -> None: ...

    first.open()
    other.open()
    assert [schedule.name for schedule in other.schedules.list().wait()] == ["mine"]
    first.close()
    other.close()


def test_what_is_declared_in_code_is_changed_in_code(app: Backroom) -> None:
    @app.schedule(every(minutes=1))
    @app.flow
    async def mine() -> None: ...

    with pytest.raises(errors.Refused, match="declared in code"):
        app.schedules.add("mine", mine, every(minutes=2)).wait()
    with pytest.raises(errors.Refused, match="declared in code"):
        app.schedules.remove("mine").wait()
    with pytest.raises(errors.Refused, match="no schedule 'yours'"):
        app.schedules.pause("yours").wait()
