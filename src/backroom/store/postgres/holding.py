"""Lock: the lines in which runs stand for what one of them has at a time.

A line is the rows of one name in the order of their turn; the first of them has the lock. Whoever
leaves a line passes the lock on to the next: the table's own trigger does that, since a run leaves
at the end of its `with` block or at its own end, however that comes. What is decided about a line
(who is next, whether runs would wait for each other in a circle) rests on all lines, so only one
transaction at a time changes any of them. Where nobody asks for locks, that costs a look into an
empty table at the end of runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    text_array,
    valid_id,
)
from backroom.store.verbs import Cancel, Lock, Locked, Park, SaveStep, Settle, Verb

__all__ = ["alone", "lock"]


def alone(sql: Sql, verbs: Sequence[Verb]) -> Iterator[Statement]:
    """Keep others from changing the lines, if this batch will."""
    surely = any(changes_lines(verb) for verb in verbs)
    ending = [verb.run_id for verb in verbs if isinstance(verb, Settle | Cancel)]
    if surely or ending:
        values = {"surely": surely, "ids": id_array(filter(valid_id, ending))}
        yield Statement(sql["alone_with_locks"], values)


def changes_lines(verb: Verb) -> bool:
    match verb:
        case Lock():
            return True
        case SaveStep():
            return verb.releases
        case Park():  # it looks whether it has the lock, and must be seen to wait for it
            return any(wait.kind == "lock" for wait in verb.waits)
        case _:
            return False


def lock(sql: Sql, verbs: Sequence[tuple[int, Lock]], answers: Answers) -> Iterator[Statement]:
    for place, verb in verbs:
        values = {
            "id": verb.run_id,
            "attempt": verb.attempt,
            "names": text_array(verb.names),
            "address": verb.address,
            "path": verb.path,
        }
        yield Statement(sql["take_lock"], values, told(place, answers))


def told(place: int, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        said, *circle = (rows[0][0] or "lost").split()
        answers[place] = Locked(said == "held", tuple(circle))

    return take
