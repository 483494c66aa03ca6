"""Declare, AsDeclared, Pause, Resume: what is stored about a queue. Expire and Prune: what is swept
away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence

from backroom.records.limits import KEY_KEPT_US
from backroom.records.queues import Pruned
from backroom.rules.rates import interval_us
from backroom.store.postgres.statement import Answers, Row, Sql, Statement
from backroom.store.verbs import AsDeclared, Declare, Expire, Pause, Prune, Resume, Verb

__all__ = ["rule", "sweep"]

FIRST_ID = "00000000-0000-0000-0000-000000000000"


def rule(sql: Sql, place: int, verb: Verb, answers: Answers) -> Iterator[Statement]:
    match verb:
        case Declare(rules, by):
            interval = None
            if rules.rate is not None and rules.per_us is not None:
                interval = interval_us(rules.rate, rules.per_us)
            values: dict[str, object] = {
                "name": rules.name,
                "concurrency": rules.concurrency,
                "per_partition": rules.concurrency_per_partition,
                "rate": rules.rate,
                "per_us": rules.per_us,
                "interval_us": interval,
                "burst": rules.burst,
                "max_waiting": rules.max_waiting,
            }
            parted = rules.concurrency_per_partition is not None
            yield Statement(sql["declare_queue"], values | {"parted": parted, "by": by})
            if by is None:
                noted = {"name": rules.name, "declared": json.dumps(values)}
                yield Statement(sql["note_declared"], noted)
            yield Statement(sql["count_running"], {"name": rules.name})
        case AsDeclared(queue):

            def take(rows: Sequence[Row]) -> None:
                answers[place] = bool(rows)

            yield Statement(sql["as_declared"], {"name": queue}, take)
            yield Statement(sql["count_running"], {"name": queue})
        case Pause(queue, by):
            yield Statement(sql["pause_queue"], {"name": queue, "by": by})
        case Resume(queue):
            yield Statement(sql["resume_queue"], {"name": queue})


def sweep(sql: Sql, place: int, verb: Verb, answers: Answers) -> Iterator[Statement]:
    match verb:
        case Expire(limit):

            def count(rows: Sequence[Row]) -> None:
                answers[place] = rows[0][0]

            yield Statement(sql["expire"], {"limit": limit}, count)
            yield Statement(sql["wake_after_expiry"])
        case Prune(older_than_us, after, limit, dry_run):
            values = {
                "older_than_us": older_than_us,
                "key_kept_us": max(older_than_us, KEY_KEPT_US),
                "after": after or FIRST_ID,
                "limit": limit,
                "dry_run": dry_run,
            }
            yield Statement(sql["prune"], values, pruned(place, limit, answers))


def pruned(place: int, limit: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        seen, gone, kept, last = rows[0]
        answers[place] = Pruned(gone, kept, last if seen == limit else None)

    return take
