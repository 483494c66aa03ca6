"""Erase: blanking what came from outside in runs that have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backroom.records.erasure import ERASED, ERASED_ERROR, Erased
from backroom.store.postgres.statement import Answers, Row, Sql, Statement, id_array, valid_id
from backroom.store.verbs import Erase

__all__ = ["erase"]


def erase(sql: Sql, place: int, verb: Erase, answers: Answers) -> Iterator[Statement]:
    values = {
        "ids": id_array(dict.fromkeys(filter(valid_id, verb.run_ids))),
        "audit_id": verb.audit_id,
        "by": verb.by,
        "dry_run": verb.dry_run,
        "erased": ERASED,
        "error": ERASED_ERROR,
    }
    yield Statement(sql["erase"], values, told(place, verb, answers))


def told(place: int, verb: Erase, answers: Answers) -> Callable[[Sequence[Row]], None]:
    def take(rows: Sequence[Row]) -> None:
        found = {row[0]: row[1:] for row in rows}
        done, refused = [], []
        for run_id in dict.fromkeys(verb.run_ids):
            ended, there, needed = found.get(run_id, (False, False, False))
            if ended:
                done.append(run_id)
            elif not there:
                refused.append((run_id, "there is no such run"))
            elif needed:
                refused.append((run_id, "a run that has not ended may still read it"))
            else:
                refused.append((run_id, "it has not ended"))
        answers[place] = Erased(tuple(done), tuple(refused))

    return take
