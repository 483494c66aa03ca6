"""Register, Renew, Retire, Rescue and Reconcile: workers, their leases, and what they leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from backroom.records.limits import STARTS
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    number_array,
    text_array,
)
from backroom.store.verbs import Reconcile, Register, Renew, Rescue, Retire, Verb

__all__ = ["lease"]


def lease(sql: Sql, place: int, verb: Verb, answers: Answers) -> Iterator[Statement]:
    """The statements of one verb about workers; there are few of them, each is alone."""
    match verb:
        case Register(worker, lease_us):
            values = {
                "id": worker.id,
                "name": worker.name,
                "started_at": worker.started_at,
                "concurrency": worker.concurrency,
                "bell": worker.bell,
                "queues": json.dumps(worker.queues),
                "flows": json.dumps(worker.flows),
                "lease_us": lease_us,
            }
            yield Statement(sql["register"], values)
        case Renew(worker_ids, lease_us):
            renewed = {"ids": text_array(worker_ids), "lease_us": lease_us}
            yield Statement(sql["renew"], renewed, first_column(place, answers, frozenset))
        case Retire(worker_id, lost):
            yield Statement(sql["remove_worker"], {"id": worker_id})
            if lost:
                yield release_lost(sql, place, answers, worker_id, STARTS)
            else:
                yield from release_held(sql, place, answers, worker_id, frozenset())
        case Rescue(max_starts):
            yield Statement(sql["remove_expired_workers"])
            yield release_lost(sql, place, answers, None, max_starts)
        case Reconcile(worker_id, holding):
            yield from release_held(sql, place, answers, worker_id, holding)


def release_lost(
    sql: Sql, place: int, answers: Answers, worker: str | None, max_starts: int
) -> Statement:
    values = {"worker": worker, "max_starts": max_starts}
    return Statement(sql["release_lost"], values, first_column(place, answers, tuple))


def release_held(
    sql: Sql, place: int, answers: Answers, worker: str, holding: frozenset[tuple[str, int]]
) -> Iterator[Statement]:
    yield Statement(sql["lock_held"], {"worker": worker})
    held = sorted(holding)
    values = {
        "worker": worker,
        "ids": id_array([run_id for run_id, _ in held]),
        "attempts": number_array([attempt for _, attempt in held]),
    }
    yield Statement(sql["release_held"], values, first_column(place, answers, tuple))


def first_column(
    place: int, answers: Answers, make: Callable[[list[str]], object]
) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        answers[place] = make([row[0] for row in rows])

    return take
