"""How often the ringer asks for the bells it has to ring."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing

import pytest

from backroom.store.sqlite import bell as module
from backroom.store.sqlite.bell import NONE_SECONDS, REFRESH_SECONDS, Ringer, SqliteBell


class Street:
    """Bells that can be looked up, and the time."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.looks = 0
        self.bells: list[str] = []

    def monotonic(self) -> float:
        return self.now

    def look(self) -> list[str]:
        self.looks += 1
        return self.bells


@pytest.fixture
def street(monkeypatch: pytest.MonkeyPatch) -> Street:
    street = Street()
    monkeypatch.setattr(module, "time", street)
    return street


@pytest.fixture
def ringer(street: Street) -> Iterator[Ringer]:
    with closing(Ringer(street.look)) as ringer:
        yield ringer


def rings(bell: SqliteBell) -> bool:
    readable, _, _ = select.select([bell], [], [], 5)
    return bool(readable)


def test_a_worker_that_comes_after_the_first_ring_is_rung_soon(
    street: Street, ringer: Ringer
) -> None:
    ringer.ring()
    with closing(SqliteBell()) as bell:
        street.bells = [bell.address]
        street.now += 2 * NONE_SECONDS
        ringer.ring()
        assert rings(bell)


def test_a_crowd_of_rings_asks_once(street: Street, ringer: Ringer) -> None:
    for _ in range(100):
        ringer.ring()
    assert street.looks == 1
    with closing(SqliteBell()) as bell:
        street.bells = [bell.address]
        street.now += 2 * NONE_SECONDS
        for _ in range(100):
            ringer.ring()
        assert street.looks == 2
        street.now += 2 * REFRESH_SECONDS
        ringer.ring()
        assert street.looks == 3
