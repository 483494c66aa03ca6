"""Doorbells: hints that work may be ready. They carry no truth and never complain."""

import select
from threading import Thread

import pytest

from backroom.records.runs import WorkerRow
from backroom.store.protocol import Bell, Store
from backroom.store.verbs import Register
from tests.store.desk import HOUR, Desk

SECONDS = 5


def rings(bell: Bell, seconds: float = SECONDS) -> bool:
    readable, _, _ = select.select([bell], [], [], seconds)
    return bool(readable)


def registered_bell(desk: Desk, worker: str = "worker") -> Bell:
    bell = desk.store.bell()
    assert bell is not None
    desk.done(Register(WorkerRow(worker, worker, bell=bell.address), HOUR))
    return bell


def test_every_bell_rings(desk: Desk) -> None:
    bells = [registered_bell(desk, f"worker-{n}") for n in range(3)]
    desk.store.ring()
    assert all(rings(bell) for bell in bells)
    for bell in bells:
        bell.close()


def test_a_drained_bell_is_silent_until_the_next_ring(desk: Desk) -> None:
    bell = registered_bell(desk)
    desk.store.ring()
    assert rings(bell)
    bell.drain()
    assert not rings(bell, 0)
    bell.drain()
    desk.store.ring()
    assert rings(bell)
    bell.close()


def test_ringing_where_nobody_listens_is_fine(desk: Desk) -> None:
    desk.store.ring()
    registered_bell(desk).close()
    for _ in range(3):
        desk.store.ring()


@pytest.mark.blank
def test_ringing_without_our_tables_is_fine(store: Store) -> None:
    store.ring()


def test_many_threads_ring_at_once(desk: Desk) -> None:
    bell = registered_bell(desk)
    threads = [Thread(target=desk.store.ring) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rings(bell)
    bell.close()
