"""Schedules in the store: a slot is decided once, whoever comes and however often."""

import pytest

from backroom.records.errors import Refused
from backroom.records.schedules import ScheduleRow, SlotRow
from backroom.records.states import State
from backroom.store.verbs import (
    Decide,
    PauseSchedule,
    PutSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RetireSchedules,
    Settle,
)
from tests.store.desk import HOUR, MINUTE, SECOND, Desk

EVERY_MINUTE = '{"every": 60.0}'


def put(desk: Desk, name: str = "s", calendar: str = EVERY_MINUTE, **fields: str) -> ScheduleRow:
    desk.done(PutSchedule(name, fields.pop("flow", "flow"), calendar, **fields))
    return row(desk, name)


def row(desk: Desk, name: str = "s") -> ScheduleRow:
    (found,) = desk.reader.schedules(name)
    return found


def started(place: int, run_id: str) -> SlotRow:
    return SlotRow(place, place, place, 1, "started", run_id)


def decision(desk: Desk, place: int, *, before: int | None = None, series: int = 1) -> Decide:
    """Another worker's decision to start the slot at this place."""
    run = desk.new()
    return Decide(
        "s", series, before, (started(place, run.id),), (run,), place, place + MINUTE, None, HOUR
    )


def runs(desk: Desk) -> int:
    return len(desk.reader.runs(limit=1_000))


def test_a_slot_is_started_by_the_first_who_decides(desk: Desk) -> None:
    put(desk)
    for _ in range(20):
        desk.done(decision(desk, MINUTE))
    assert runs(desk) == 1
    (slot,) = desk.reader.slots("s", 10)
    assert (slot.place, slot.decision) == (MINUTE, "started")
    assert slot.run_id is not None
    assert desk.state(slot.run_id) is State.READY
    assert (row(desk).place, row(desk).next_at) == (MINUTE, 2 * MINUTE)
    assert row(desk).last_run == slot.run_id
    assert desk.reader.slot_of(slot.run_id) == slot


def test_without_the_slots_key_every_scheduler_starts_it(desk: Desk) -> None:
    """The sabotage: what the test above shows comes from the key, and from nothing else."""
    put(desk)
    if desk.store.dialect == "sqlite":
        desk.query("ALTER TABLE backroom_slot RENAME TO backroom_slot_before")
        desk.query("CREATE TABLE backroom_slot AS SELECT * FROM backroom_slot_before")
    else:
        desk.query("ALTER TABLE backroom.slot DROP CONSTRAINT slot_pkey")
    for _ in range(20):
        desk.done(decision(desk, MINUTE))
    assert runs(desk) == 20


def test_a_decision_is_made_as_a_whole_or_not_at_all(desk: Desk) -> None:
    put(desk)
    desk.done(decision(desk, MINUTE))
    late = desk.new()
    slots = (started(MINUTE, desk.new_id()), started(2 * MINUTE, late.id))
    desk.done(Decide("s", 1, None, slots, (late,), 2 * MINUTE, 3 * MINUTE))
    assert [slot.place for slot in desk.reader.slots("s", 10)] == [MINUTE]
    assert runs(desk) == 1


def test_a_decision_about_a_schedule_that_was_changed_is_not_heard(desk: Desk) -> None:
    put(desk)
    changed = put(desk, calendar='{"every": 120.0}')
    assert changed.series == 2
    desk.done(decision(desk, MINUTE))
    assert runs(desk) == 0
    desk.done(decision(desk, MINUTE, series=2))
    assert runs(desk) == 1
    desk.done(RemoveSchedule("s"))
    desk.done(decision(desk, 2 * MINUTE, series=2))
    assert runs(desk) == 1


def test_a_look_without_slots_moves_the_next_time_only_from_where_it_looked(desk: Desk) -> None:
    put(desk)
    desk.done(Decide("s", 1, None, (), (), None, 5 * MINUTE))
    assert row(desk).next_at == 5 * MINUTE
    desk.done(decision(desk, 5 * MINUTE))
    desk.done(Decide("s", 1, None, (), (), None, 5 * MINUTE))
    assert row(desk).next_at == 6 * MINUTE


def test_an_unchanged_declaration_changes_nothing(desk: Desk) -> None:
    put(desk, source="code")
    desk.done(decision(desk, MINUTE))
    before = row(desk)
    desk.store.move_clock(HOUR)
    assert put(desk, source="code") == before


def test_other_options_keep_the_place_and_another_calendar_counts_from_now(desk: Desk) -> None:
    put(desk)
    desk.done(decision(desk, MINUTE))
    desk.store.move_clock(HOUR)
    patient = put(desk, options='{"missed": "all"}')
    assert (patient.series, patient.place) == (1, MINUTE)
    other = put(desk, calendar='{"every": 5.0}')
    assert (other.series, other.place) == (2, None)
    assert other.since > patient.since


def test_a_schedule_that_was_removed_comes_back_from_now_on(desk: Desk) -> None:
    first = put(desk)
    desk.done(RemoveSchedule("s"))
    assert row(desk).retired_at is not None
    assert isinstance(desk.do(RemoveSchedule("s")), Refused)
    desk.store.move_clock(HOUR)
    again = put(desk)
    assert (again.retired_at, again.series) == (None, 2)
    assert again.since >= first.since + HOUR


def test_only_declared_schedules_of_these_flows_are_retired(desk: Desk) -> None:
    put(desk, "kept", source="code")
    put(desk, "dropped", source="code")
    put(desk, "others", source="code", flow="elsewhere")
    put(desk, "added")
    assert desk.do(RetireSchedules(("flow",), ("kept",))) == ("dropped",)
    assert desk.do(RetireSchedules(("flow",), ("kept",))) == ()
    alive = [found.name for found in desk.reader.schedules() if found.retired_at is None]
    assert alive == ["added", "kept", "others"]


def test_a_pause_keeps_its_time_until_it_is_lifted(desk: Desk) -> None:
    put(desk)
    desk.done(PauseSchedule("s", "Ann"))
    paused = row(desk)
    assert paused.is_paused
    desk.store.move_clock(SECOND)
    desk.done(PauseSchedule("s", "Bob"))
    assert row(desk) == paused
    desk.done(ResumeSchedule("s"))
    resumed = row(desk)
    assert not resumed.is_paused
    desk.store.move_clock(SECOND)
    desk.done(ResumeSchedule("s"))
    assert row(desk) == resumed
    assert isinstance(desk.do(PauseSchedule("none")), Refused)
    assert isinstance(desk.do(ResumeSchedule("none")), Refused)


def test_only_due_schedules_of_known_flows_are_looked_at(desk: Desk) -> None:
    put(desk)
    put(desk, "other", flow="elsewhere")
    (due,) = desk.reader.due_schedules(("flow",), 10)
    assert (due.row, due.last_lives, due.in_line) == (row(desk), False, 0)
    chores = desk.reader.chores(("flow",))
    assert chores.next_at == row(desk).next_at
    assert not chores.expired
    assert desk.reader.chores(()).next_at is None
    desk.done(Decide("s", 1, None, (), (), None, desk.now() + HOUR))
    assert desk.reader.due_schedules(("flow",), 10) == []


def test_the_line_of_a_schedule_is_counted_while_its_last_run_lives(desk: Desk) -> None:
    put(desk)
    for minute in (1, 2, 3):
        desk.done(decision(desk, minute * MINUTE))
    desk.query("UPDATE {b}schedule SET next_at = 1")
    (due,) = desk.reader.due_schedules(("flow",), 10)
    assert (due.last_lives, due.in_line) == (True, 3)
    for run in desk.claims().runs:
        desk.done(Settle(run.id, run.attempt, State.SUCCEEDED, "1"))
    (due,) = desk.reader.due_schedules(("flow",), 10)
    assert (due.last_lives, due.in_line) == (False, 0)


def test_a_slots_run_begins_after_the_one_before(desk: Desk) -> None:
    put(desk)
    desk.done(decision(desk, MINUTE))
    first = row(desk).last_run or ""
    run = desk.new(after=(first,), after_any_end=True)
    desk.done(Decide("s", 1, MINUTE, (started(2 * MINUTE, run.id),), (run,), 2 * MINUTE, None))
    assert desk.state(run.id) is State.WAITING
    claimed = desk.claim()
    assert claimed.id == first
    desk.done(Settle(claimed.id, claimed.attempt, State.FAILED, None, '{"kind": "E"}'))
    assert desk.claim().id == run.id


def test_old_decisions_are_forgotten_a_few_at_a_time(desk: Desk) -> None:
    put(desk)
    for minute in range(1, 16):
        desk.done(decision(desk, minute * MINUTE))
    desk.store.move_clock(2 * HOUR)
    desk.done(decision(desk, 16 * MINUTE))
    assert len(desk.reader.slots("s", 100)) == 6
    desk.done(decision(desk, 17 * MINUTE))
    assert [slot.place // MINUTE for slot in desk.reader.slots("s", 100)] == [17, 16]


@pytest.mark.parametrize(
    "verb",
    [
        PutSchedule("s", "flow", '{"every": 5.0}'),
        RetireSchedules(("flow",), ()),
        PauseSchedule("s", "Ann"),
        ResumeSchedule("s"),
    ],
    ids=lambda verb: type(verb).__name__,
)
def test_a_verb_of_schedules_can_be_repeated(desk: Desk, verb: object) -> None:
    put(desk)
    desk.done(PauseSchedule("s", "Bob"))
    desk.do(verb)  # type: ignore[arg-type]
    before = desk.reader.schedules()
    desk.store.move_clock(SECOND)
    desk.do(verb)  # type: ignore[arg-type]
    assert desk.reader.schedules() == before


def test_a_decision_can_be_repeated(desk: Desk) -> None:
    put(desk)
    verb = decision(desk, MINUTE)
    desk.done(verb)
    before = (desk.everything(), desk.reader.slots("s", 10), row(desk))
    desk.store.move_clock(SECOND)
    desk.done(verb)
    assert (desk.everything(), desk.reader.slots("s", 10), row(desk)) == before
