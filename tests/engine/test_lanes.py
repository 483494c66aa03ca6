"""A lane commits what comes in: in its own thread, or in the thread of whoever waits for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from backroom.engine.lane import Lane
from backroom.store.verbs import Resume, Verb

SECONDS = 10


class Noting:
    """A session that notes which thread commits what, and commits no faster than it may."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[str]]] = []
        self.begun = threading.Semaphore(0)
        self.may = threading.Event()
        self.may.set()

    def apply(self, verbs: Sequence[Verb]) -> list[object]:
        names = [verb.queue for verb in verbs if isinstance(verb, Resume)]
        self.batches.append((threading.current_thread().name, names))
        self.begun.release()
        assert self.may.wait(SECONDS)
        return list(names)

    def close(self) -> None: ...


@pytest.fixture
def session() -> Noting:
    return Noting()


@pytest.fixture
def lane(session: Noting) -> Iterator[Lane]:
    lane = Lane(lambda: session, "tested")
    yield lane
    session.may.set()
    lane.close()


def test_a_thread_that_waits_commits_by_itself(lane: Lane, session: Noting) -> None:
    assert lane.call(Resume("a")) == "a"
    assert session.batches == [(threading.current_thread().name, ["a"])]


def test_who_does_not_wait_is_served_by_the_lane(lane: Lane, session: Noting) -> None:
    assert lane.future(Resume("a")).result(SECONDS) == "a"
    assert session.batches == [("backroom-tested", ["a"])]


def test_what_comes_in_meanwhile_shares_the_next_commit(lane: Lane, session: Noting) -> None:
    session.may.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lane.call, Resume("a"))
        assert session.begun.acquire(timeout=SECONDS)
        others: list[Future[object]] = [lane.future(Resume(name), waits=True) for name in "bcd"]
        assert not any(other.done() for other in others)
        session.may.set()
        assert first.result(SECONDS) == "a"
        assert [other.result(SECONDS) for other in others] == ["b", "c", "d"]
    assert [name for _, names in session.batches for name in names] == ["a", "b", "c", "d"]
    assert len(session.batches) <= 3  # the lane may have woken for the first of them alone


def test_nobody_overtakes_what_is_queued(lane: Lane, session: Noting) -> None:
    """A post, then a call: in this order."""
    session.may.clear()
    lane.post(Resume("a"))
    assert session.begun.acquire(timeout=SECONDS)
    lane.post(Resume("b"))
    last = lane.future(Resume("c"), waits=True)
    session.may.set()
    assert last.result(SECONDS) == "c"
    assert [name for _, names in session.batches for name in names] == ["a", "b", "c"]


def test_nobody_overtakes_what_a_full_batch_has_left(
    lane: Lane, session: Noting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call in the very moment between two batches."""
    monkeypatch.setattr("backroom.engine.lane.BATCH", 1)
    late: list[Future[object]] = []

    class Turn:
        def __init__(self) -> None:
            self.lock = threading.Lock()

        def acquire(self, blocking: bool = True) -> bool:
            return self.lock.acquire(blocking)

        def release(self) -> None:
            self.lock.release()

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if len(session.batches) == 2:  # b has been taken, c is left
                late.append(lane.future(Resume("d"), waits=True))

    monkeypatch.setattr(lane, "_turn", Turn())
    session.may.clear()
    lane.post(Resume("a"))
    assert session.begun.acquire(timeout=SECONDS)
    lane.post(Resume("b"))
    last = lane.future(Resume("c"))
    session.may.set()
    assert last.result(SECONDS) == "c"
    assert late[0].result(SECONDS) == "d"
    assert [name for _, names in session.batches for name in names] == ["a", "b", "c", "d"]
