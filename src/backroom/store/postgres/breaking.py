"""Probe, CloseBreaker, and what checkpoints tell of calls of outside services.

A service that works has no row. The first failure brings one, the next success takes it away; in
between it counts, is open until a time, and then lets one call through to try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.store.postgres.statement import Answers, Row, Sql, Statement
from backroom.store.verbs import CloseBreaker, Probe, Probed, SaveStep

__all__ = ["close_breaker", "count", "probe"]


def count(sql: Sql, verbs: Sequence[tuple[int, SaveStep]]) -> Iterator[Statement]:
    """What these checkpoints' calls say of their services; each once, also if it is repeated. To be
    asked before the checkpoints are stored."""
    for verb in dict.fromkeys(verb for _, verb in verbs if verb.strike or verb.mends):
        me = f"{verb.run_id}/{verb.step.address}"
        if (strike := verb.strike) is not None:
            values = {
                "id": verb.run_id,
                "attempt": verb.attempt,
                "name": strike.name,
                "failures": strike.failures,
                "pause_us": strike.pause_us,
                "error": strike.error,
                "probe": me,
                "address": verb.step.address,
                "tries": verb.step.tries,
                "state": verb.step.state,
            }
            yield Statement(sql["strike"], values)
        if verb.mends is not None:
            yield Statement(sql["close_breaker"], {"name": verb.mends, "probe": me})


def probe(sql: Sql, verbs: Sequence[tuple[int, Probe]], answers: Answers) -> Iterator[Statement]:
    for place, verb in verbs:
        values = {
            "id": verb.run_id,
            "attempt": verb.attempt,
            "name": verb.name,
            "probe": f"{verb.run_id}/{verb.address}",
            "lease_us": verb.lease_us,
        }
        yield Statement(sql["probe"], values, told(place, answers))


def told(place: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        go, until = rows[0]
        answers[place] = Probed(go) if go else Probed(go, until)

    return take


def close_breaker(
    sql: Sql, verbs: Sequence[tuple[int, CloseBreaker]], answers: Answers
) -> Iterator[Statement]:
    for place, verb in verbs:

        def take(rows: Sequence[Row], place: int = place) -> None:
            answers[place] = rows[0][0]

        yield Statement(sql["close_breaker"], {"name": verb.name, "probe": None}, take)
