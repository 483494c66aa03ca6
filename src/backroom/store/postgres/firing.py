"""Fire and PauseTrigger: changes of the application's rows become runs, in one function of the
server's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backroom.records import limits
from backroom.records.triggers import Fired
from backroom.store.postgres.statement import Answers, Row, Sql, Statement
from backroom.store.verbs import Fire, PauseTrigger

__all__ = ["fire", "pause_triggers"]


def fire(sql: Sql, verbs: Sequence[tuple[int, Fire]], answers: Answers) -> Iterator[Statement]:
    for place, verb in verbs:

        def take(rows: Sequence[Row], place: int = place) -> None:
            answers[place] = Fired(*rows[0])

        yield Statement(sql["fire"], {"limit": verb.limit, "depth": limits.TRIGGER_DEPTH}, take)


def pause_triggers(
    sql: Sql, verbs: Sequence[tuple[int, PauseTrigger]], answers: Answers
) -> Iterator[Statement]:
    for place, verb in verbs:

        def take(rows: Sequence[Row], place: int = place) -> None:
            answers[place] = bool(rows)

        values = {"name": verb.name, "on": verb.on, "by": verb.by}
        yield Statement(sql["pause_trigger"], values, take)
