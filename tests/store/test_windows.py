"""A run that waits for a window of children is woken once, by the last end."""

from __future__ import annotations

import pytest

from backroom.engine.world import mapped_id
from backroom.records.runs import Claimed, NewRun, WaitRow
from backroom.records.states import State
from backroom.rules.windows import bounds, is_mapped, window
from backroom.store.verbs import Cancel, Park, SaveStep, Settle
from tests.store.desk import Desk, event, step
from tests.store.racing import in_parallel


class Family:
    """A parent that performs, with a window of children ready to be claimed."""

    def __init__(self, desk: Desk, size: int) -> None:
        self.desk = desk
        self.parent = desk.started_and_claimed()
        ids = [mapped_id(self.parent.id, "map#1", index) for index in range(size)]
        desk.ids += ids
        self.name = window(ids[0], ids[-1])
        self.ids = ids
        runs = tuple(NewRun(run_id, "flow", parent_id=self.parent.id) for run_id in ids)
        desk.done(SaveStep(self.parent.id, self.parent.attempt, step("map#1"), starts=runs))

    def wait(self) -> WaitRow:
        return WaitRow("map#1.0", "children", self.name)

    def park(self) -> None:
        self.desk.park(self.parent, self.wait())

    def state(self) -> State:
        return self.desk.state(self.parent.id)


def settle(run: Claimed, state: State = State.SUCCEEDED) -> Settle:
    error = None if state is State.SUCCEEDED else '{"kind": "E"}'
    return Settle(run.id, run.attempt, state, None, error)


def test_the_ids_of_a_window_lie_side_by_side() -> None:
    parent = "01a20cb2-c7c9-7000-8015-99c852c2583c"
    ids = [mapped_id(parent, "map#1", index) for index in (0, 1, 255, 16_777_215)]
    assert ids == sorted(ids)
    assert ids[1] == ids[0][:-1] + "1"
    assert ids[3].endswith("ffffff")
    assert all(is_mapped(run_id) for run_id in ids)
    assert not is_mapped(parent)
    assert mapped_id(parent, "map#2", 0)[:-6] != ids[0][:-6]
    assert bounds(window(ids[0], ids[1])) == (ids[0], ids[1])


def test_only_the_last_end_wakes_the_parent(desk: Desk) -> None:
    family = Family(desk, 3)
    family.park()
    one, two, three = desk.claims().runs
    desk.done(settle(one))
    assert family.state() is State.WAITING
    desk.done(settle(two, State.FAILED))
    assert family.state() is State.WAITING
    desk.done(settle(three))
    assert family.state() is State.READY
    assert desk.claim().id == family.parent.id


def test_all_ends_in_one_batch_wake_the_parent(desk: Desk) -> None:
    family = Family(desk, 5)
    family.park()
    desk.session.apply([settle(run) for run in desk.claims().runs])
    assert family.state() is State.READY


def test_a_parent_that_parks_after_the_last_end_is_ready_at_once(desk: Desk) -> None:
    family = Family(desk, 2)
    desk.session.apply([settle(run) for run in desk.claims().runs])
    family.park()
    assert desk.claim().id == family.parent.id


def test_other_children_of_the_parent_keep_nobody_waiting(desk: Desk) -> None:
    family = Family(desk, 1)
    desk.start(parent_id=family.parent.id, delay_us=10**12)
    (run,) = desk.claims().runs
    family.park()
    desk.done(settle(run))
    assert family.state() is State.READY


def test_an_event_wakes_a_parent_that_waits_for_a_window_too(desk: Desk) -> None:
    family = Family(desk, 2)
    desk.park(family.parent, family.wait(), event("go"))
    desk.emit(family.parent.id)
    assert family.state() is State.READY


@pytest.mark.parametrize("performed", [True, False])
def test_a_cancelled_child_counts_as_ended(desk: Desk, performed: bool) -> None:
    family = Family(desk, 2)
    family.park()
    one, two = desk.claims().runs
    desk.done(settle(one))
    if not performed:
        desk.hand_back(two)
    desk.do(Cancel(two.id))
    if performed:
        desk.done(settle(two, State.CANCELLED))
    assert family.state() is State.READY


def test_a_cancelled_parent_takes_its_window_along(desk: Desk) -> None:
    family = Family(desk, 3)
    family.park()
    assert desk.do(Cancel(family.parent.id)) is State.CANCELLED
    assert {desk.state(run_id) for run_id in family.ids} == {State.CANCELLED}


def test_a_child_that_is_retried_is_waited_for_again(desk: Desk) -> None:
    family = Family(desk, 2)
    family.park()
    one, two = desk.claims().runs
    desk.done(settle(one, State.FAILED))
    desk.revive(one.id)
    desk.done(settle(two))
    assert family.state() is State.WAITING
    desk.done(settle(desk.claim()))
    assert family.state() is State.READY


def test_a_reader_tells_how_a_window_stands(desk: Desk) -> None:
    family = Family(desk, 3)
    one, two, _three = desk.claims().runs
    desk.done(settle(one))
    desk.done(settle(two, State.FAILED))
    first, last = bounds(family.name)
    stands = [State.SUCCEEDED, State.FAILED, State.RUNNING]
    expected = list(zip(family.ids, stands, strict=True))
    assert desk.reader.standing(first, last, family.parent.id) == expected
    assert desk.reader.standing(first, last, one.id) == []
    found = desk.reader.runs_between(first, last, 2)
    assert [(row.id, row.state) for row in found] == expected[:2]
    over = window(one.id, two.id)
    assert desk.reader.windows_over([family.name, over]) == [over]


def test_of_two_that_end_the_last_of_a_window_at_once_one_wakes_the_parent(desk: Desk) -> None:
    for _ in range(20):
        family = Family(desk, 2)
        family.park()
        one, two = desk.claims().runs
        in_parallel(desk, (settle(one),), (settle(two),))
        assert family.state() is State.READY
        desk.done(settle(desk.claim()))


def test_the_last_end_never_falls_between_the_look_and_the_parking(desk: Desk) -> None:
    for _ in range(20):
        family = Family(desk, 1)
        (run,) = desk.claims().runs
        park = Park(family.parent.id, family.parent.attempt, (family.wait(),))
        in_parallel(desk, (settle(run),), (park,))
        (woken,) = desk.claims().runs
        assert woken.id == family.parent.id
        desk.done(settle(woken))
