"""The doorbell's two ends: coalesced on the one, unbreakable on the other."""

from __future__ import annotations

import select
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Event

import pytest

from backroom.store.postgres import PostgresStore, bell
from backroom.store.postgres.bell import PostgresBell
from backroom.store.postgres.ringer import Ringer
from tests.store.desk import Desk

SECONDS = 5


class Counted:
    """A ringer whose sending is counted, and whose rests last until the test ends them."""

    def __init__(self) -> None:
        self.sent: SimpleQueue[str] = SimpleQueue()
        self.rests: SimpleQueue[str] = SimpleQueue()
        self.lengths: list[float] = []
        self.ringer = Ringer(
            lambda bells: self.sent.put("ring " + "+".join(sorted(bells))), rest=self.rest
        )

    def rest(self, closing: Event, seconds: float) -> None:
        self.lengths.append(seconds)
        self.sent.put("rest")
        self.rests.get()

    def seen(self) -> str:
        return self.sent.get(timeout=SECONDS)


@pytest.fixture
def counted() -> Iterator[Counted]:
    counted = Counted()
    yield counted
    counted.rests.put("over")
    counted.ringer.close()


def test_the_first_ring_goes_out_at_once(counted: Counted) -> None:
    counted.ringer.ring()
    assert (counted.seen(), counted.seen()) == ("ring work", "rest")


def test_rings_during_a_rest_become_one_when_it_is_over(counted: Counted) -> None:
    counted.ringer.ring()
    assert (counted.seen(), counted.seen()) == ("ring work", "rest")
    for _ in range(1000):
        counted.ringer.ring()
    assert counted.sent.empty()
    counted.rests.put("over")
    assert (counted.seen(), counted.seen()) == ("ring work", "rest")
    counted.rests.put("over")
    counted.ringer.ring()
    assert (counted.seen(), counted.seen()) == ("ring work", "rest")
    assert counted.sent.empty()


def test_the_rests_grow_while_it_never_stops_ringing(counted: Counted) -> None:
    counted.ringer.ring()
    for _ in range(7):
        assert (counted.seen(), counted.seen()) == ("ring work", "rest")
        counted.ringer.ring()
        counted.rests.put("over")
    assert (counted.seen(), counted.seen()) == ("ring work", "rest")
    assert counted.lengths == [0.001, 0.002, 0.004, 0.008, 0.016, 0.02, 0.02, 0.02]


def test_both_bells_go_out_together(counted: Counted) -> None:
    counted.ringer.ring()
    assert (counted.seen(), counted.seen()) == ("ring work", "rest")
    counted.ringer.ring("ends")
    counted.ringer.ring("work")
    counted.rests.put("over")
    assert (counted.seen(), counted.seen()) == ("ring ends+work", "rest")


def rings(listening: PostgresBell) -> bool:
    return bool(select.select([listening], [], [], SECONDS)[0])


def test_a_bell_rings_again_after_its_connection_was_lost(desk: Desk, store: PostgresStore) -> None:
    listening = store.bell()
    assert listening is not None
    killed = desk.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'backroom' "
        "AND query LIKE 'SELECT pg_backend_pid%'"
    )
    assert killed == [(True,)]
    assert rings(listening), "after a reconnection nobody knows what was rung in between"
    listening.drain()
    assert not select.select([listening], [], [], 0)[0]
    store.ring()
    assert rings(listening)
    listening.close()


def test_there_is_no_bell_where_listening_does_not_reach_us(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler in transaction mode: its process number is made up, and no ring arrives."""
    monkeypatch.setattr(bell, "is_direct", lambda connection: False)
    monkeypatch.setattr(bell, "arrives", lambda connection, ring: False)
    assert store.bell() is None


def test_a_bell_behind_a_pooler_that_keeps_sessions_is_found_to_work(
    store: PostgresStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bell, "is_direct", lambda connection: False)
    listening = store.bell()
    assert listening is not None
    listening.close()


def test_there_is_no_bell_without_a_server() -> None:
    store = PostgresStore("postgresql://nobody@127.0.0.1:1/nothing")
    store.ring()
    assert store.bell() is None
    store.close()
