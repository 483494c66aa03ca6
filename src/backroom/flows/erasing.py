"""Erasing what is kept of a person: which runs, batch by batch, and what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from backroom.engine.futures import new_future
from backroom.engine.office import Office
from backroom.records.erasure import Erased
from backroom.store.verbs import Cancel, Erase

__all__ = ["erase"]

BATCH = 100  # runs that one transaction erases


def erase(
    office: Office,
    *,
    subject: str | None,
    run_ids: Sequence[str],
    cancel: bool,
    dry_run: bool,
    by: str,
) -> Future[Erased]:
    """In a thread of its own, since it goes to the database many times."""
    result: Future[Erased] = new_future()

    def work() -> None:
        try:
            result.set_result(all_of_it())
        except Exception as error:  # whatever it is: somebody waits for this future
            result.set_exception(error)

    def all_of_it() -> Erased:
        done: list[str] = []
        refused: list[tuple[str, str]] = []
        for ids in batches(office, subject, run_ids):
            if cancel and not dry_run:
                for run_id in ids:
                    office.doors.future(Cancel(run_id, "erased")).exception()  # the answer says it
            verb = Erase(tuple(ids), office.world.new_id(), by, dry_run)
            answer: Erased = office.doors.future(verb).result()
            done += answer.runs
            refused += answer.refused
        return Erased(tuple(done), tuple(refused))

    threading.Thread(target=work, name="backroom-erasing", daemon=True).start()
    return result


def batches(office: Office, subject: str | None, run_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(run_ids), BATCH):
        yield run_ids[start : start + BATCH]
    ids: Sequence[str] = run_ids if subject is None else about(office, subject, None)
    while subject is not None and ids:
        yield ids
        ids = about(office, subject, ids[-1])


def about(office: Office, subject: str, after: str | None) -> list[str]:
    return office.read(lambda reader: reader.about(subject, after, BATCH)).result()
