"""What becomes of slots: every policy, as pure decisions."""

from typing import Any

import pytest

from backroom.records import limits
from backroom.records.errors import BackroomError
from backroom.records.schedules import DueSchedule, ScheduleRow
from backroom.schedules.calendars import Every
from backroom.schedules.planning import Options, Plan, options_of, plan, upcoming
from backroom.schedules.zones import SECOND

MINUTE = 60 * SECOND
CALENDAR = Every(MINUTE)


def due(
    since: int = 0, *, place: int | None = None, lives: bool = False, line: int = 0, **fields: Any
) -> DueSchedule:
    whole: dict[str, Any] = {
        "paused_at": None, "paused_by": None, "resumed_at": None, "retired_at": None, "error": None,
        "last_run": "before",
    }  # fmt: skip
    row = ScheduleRow(
        "s", "flow", "{}", "{}", "{}", "code", "", 1, since, place, since, **(whole | fields)
    )
    return DueSchedule(row, lives, line)


def words(planned: Plan) -> list[tuple[str, int]]:
    return [(slot.decision, slot.count) for slot in planned.slots]


def planned(minutes: float, options: Options, **fields: Any) -> Plan:
    """So many minutes after the schedule was made."""
    return plan(due(**fields), CALENDAR, options, round(minutes * MINUTE))


def test_nothing_is_due_before_its_time() -> None:
    found = planned(0.5, Options())
    assert (found.slots, found.place, found.next_at) == ((), None, MINUTE)


def test_once_starts_the_last_of_the_missed_slots() -> None:
    found = planned(10, Options())
    assert words(found) == [("merged", 9), ("started", 1)]
    assert (found.place, found.next_at) == (10 * MINUTE, 11 * MINUTE)


def test_skip_starts_none_that_is_late() -> None:
    assert words(planned(10.5, Options(missed="skip", late_us=30 * SECOND))) == [
        ("skipped", 9),
        ("started", 1),
    ]
    assert words(planned(10.5, Options(missed="skip", late_us=29 * SECOND))) == [("skipped", 10)]


def test_all_starts_each_up_to_its_cap() -> None:
    found = planned(10, Options(missed="all", catch_up=3, overlap="together"))
    assert words(found) == [("skipped", 7), ("started", 1), ("started", 1), ("started", 1)]


def test_slots_of_a_pause_are_skipped_and_the_others_are_not() -> None:
    paused = {"paused_at": 3 * MINUTE, "resumed_at": 6 * MINUTE, "paused_by": "Ann"}
    found = planned(7, Options(missed="all", overlap="together"), **paused)
    assert words(found) == [
        ("started", 1),
        ("started", 1),
        ("skipped", 3),
        ("started", 1),
        ("started", 1),
    ]
    assert found.slots[2].reason == "paused: Ann"


def test_skip_starts_nothing_beside_a_run_that_has_not_ended() -> None:
    options = Options(missed="all", overlap="skip")
    assert words(planned(3, options, lives=True)) == [("skipped", 3)]
    assert words(planned(3, options)) == [("started", 1), ("skipped", 2)]


def test_cancel_starts_the_last_and_names_the_run_that_has_to_go() -> None:
    found = planned(3, Options(missed="all", overlap="cancel"), lives=True)
    assert words(found) == [("merged", 2), ("started", 1)]
    assert found.cancels == "before"
    assert planned(3, Options(overlap="cancel")).cancels is None


def test_a_line_of_runs_has_an_end() -> None:
    options = Options(missed="all")
    assert words(planned(3, options, lives=True, line=limits.SCHEDULE_LINE - 1)) == [
        ("started", 1),
        ("skipped", 2),
    ]


def test_jitter_is_the_same_for_a_slot_whoever_asks_and_stays_within_its_bounds() -> None:
    options = Options(jitter_us=30 * SECOND)
    once, again = (upcoming("s", CALENDAR, options, None, 0, 50) for _ in range(2))
    other = upcoming("other", CALENDAR, options, None, 0, 50)
    assert once == again
    assert once != other
    late = [slot.at - slot.place for slot in once]
    assert all(0 <= each <= 30 * SECOND for each in late)
    assert len(set(late)) > 40


def test_begin_and_end_bound_the_slots() -> None:
    options = Options(begin_us=3 * MINUTE, end_us=5 * MINUTE)
    assert [slot.at for slot in upcoming("s", CALENDAR, options, None, 0, 50)] == [
        3 * MINUTE,
        4 * MINUTE,
        5 * MINUTE,
    ]
    after = planned(20, Options(begin_us=3 * MINUTE, end_us=5 * MINUTE))
    assert words(after) == [("merged", 2), ("started", 1)]
    assert after.next_at is None


@pytest.mark.parametrize("missed", ["once", "skip", "all"])
def test_days_off_are_decided_in_bites_and_no_slot_is_left_out(missed: Any) -> None:
    calendar, options = Every(10 * SECOND), Options(missed=missed, catch_up=7, overlap="together")
    now = 2 * 24 * 60 * MINUTE
    place, counted, started, looks = None, 0, 0, 0
    while True:
        found = plan(due(place=place), calendar, options, now)
        counted += sum(slot.count for slot in found.slots)
        started += sum(slot.decision == "started" for slot in found.slots)
        place, looks = found.place, looks + 1
        assert len(found.slots) <= 2 * 7
        if found.next_at is None or found.next_at > now:
            break
    assert counted == now // (10 * SECOND)
    assert started == {"once": 1, "skip": 7, "all": 7}[missed]
    assert looks > 2


@pytest.mark.parametrize(
    "text",
    [
        '{"missed": "never"}',
        '{"overlap": "perhaps"}',
        '{"catch_up": 0}',
        '{"jitter": 1e9}',
        '{"late": -1}',
        '{"late": "x"}',
        '{"late": 1e400}',
        '{"begin": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}',
        '{"begin": "2026-01-02"}',
        '{"begins": "2026-01-02"}',
        '["missed"]',
    ],
)
def test_options_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(BackroomError):
        options_of(text)


def test_options_are_the_same_after_they_were_stored() -> None:
    options = Options("all", 5, SECOND, "skip", MINUTE, MINUTE, 2 * MINUTE, "day")
    assert options_of(options.as_json()) == options
    assert options_of("{}") == Options()
    assert Options().as_json() == "{}"
