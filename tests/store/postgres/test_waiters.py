"""A run that parks to wait for another's end never misses it, related or not."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg

from backroom.records.states import State
from backroom.store.verbs import Park, Settle
from tests.store.desk import Desk, child
from tests.store.postgres.waiting import until_blocked


def test_an_end_that_comes_while_its_waiter_is_parking_waits_and_then_wakes_it(desk: Desk) -> None:
    """The parking transaction has written its waits and not yet committed."""
    waiter, awaited = desk.started_and_claimed(), desk.started_and_claimed()
    mine, its = desk.store.session(), desk.store.session()
    with psycopg.connect(desk.database) as third, ThreadPoolExecutor(2) as threads:
        third.execute(
            "INSERT INTO backroom.wait (run_id, due_at, address, kind, name) "
            "VALUES (%s, 0, %s, 'timer', '')",
            [waiter.id, f"child:{awaited.id}"],
        )
        parking = threads.submit(
            mine.apply, [Park(waiter.id, waiter.attempt, (child(awaited.id),))]
        )
        until_blocked(desk.database)
        end = Settle(awaited.id, awaited.attempt, State.SUCCEEDED, "1")
        ending = threads.submit(its.apply, [end])
        until_blocked(desk.database, sessions=2)
        third.rollback()
        assert parking.result() == ending.result() == [None]
    mine.close()
    its.close()
    (woken,) = desk.claims().runs
    assert woken.id == waiter.id
    assert [run.id for run in woken.ended] == [awaited.id]
