"""Verbs that meet: several sessions, each in a thread of its own, step by step together."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from backroom.store.verbs import Verb
from tests.store.desk import Desk


def in_parallel(desk: Desk, *lanes: Sequence[Verb]) -> list[list[object]]:
    """The answers of each lane. The n-th verbs of all lanes are applied at the same instant."""
    together = Barrier(len(lanes))

    def run(lane: Sequence[Verb]) -> list[object]:
        session = desk.store.session()
        session.apply([])  # connected before the first meeting
        try:
            answers: list[object] = []
            for verb in lane:
                together.wait()
                answers += session.apply([verb])
            return answers
        finally:
            session.close()

    with ThreadPoolExecutor(len(lanes)) as threads:
        return list(threads.map(run, lanes))
