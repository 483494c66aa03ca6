"""SaveStep, SaveWaits and Progress: what an attempt keeps while it goes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from backroom.records.runs import StepRow, WaitRow
from backroom.store.postgres.fence import Fence
from backroom.store.postgres.statement import (
    Answers,
    Row,
    Sql,
    Statement,
    id_array,
    number_array,
    text_array,
)
from backroom.store.verbs import Park, Progress, SaveStep, SaveWaits

__all__ = ["save_progress", "save_steps", "save_waits", "wait_columns"]


def save_progress(sql: Sql, verbs: Sequence[tuple[int, Progress]]) -> Iterator[Statement]:
    """The last of several words of one attempt counts, for fraction and status apart."""
    kept: dict[tuple[str, int], tuple[float | None, str | None]] = {}
    for _, verb in verbs:
        fraction, status = kept.get((verb.run_id, verb.attempt), (None, None))
        kept[verb.run_id, verb.attempt] = (
            fraction if verb.fraction is None else verb.fraction,
            status if verb.status is None else verb.status,
        )
    if kept:
        values = {
            "ids": id_array([run_id for run_id, _ in kept]),
            "attempts": number_array([attempt for _, attempt in kept]),
            "fractions": number_array([fraction for fraction, _ in kept.values()]),
            "statuses": text_array([status for _, status in kept.values()]),
        }
        yield Statement(sql["save_progress"], values)


def save_steps(
    sql: Sql, verbs: Sequence[tuple[int, SaveStep]], parks: Sequence[tuple[int, Park]]
) -> Iterator[Statement]:
    """Checkpoints, those of parking runs included; of two for one address the last one counts."""
    kept: dict[tuple[str, int, str], StepRow] = {}
    for _, verb in verbs:
        kept[verb.run_id, verb.attempt, verb.step.address] = verb.step
    for _, park in parks:
        for step in park.steps:
            kept[park.run_id, park.attempt, step.address] = step
    if not kept:
        return
    steps = kept.values()
    values = {
        "run_ids": id_array([run_id for run_id, _, _ in kept]),
        "attempts": number_array([attempt for _, attempt, _ in kept]),
        "addresses": text_array([address for _, _, address in kept]),
        "names": text_array([step.name for step in steps]),
        "kinds": text_array([step.kind for step in steps]),
        "states": text_array([step.state for step in steps]),
        "results": text_array([step.result for step in steps]),
        "errors": text_array([step.error for step in steps]),
        "fingerprints": text_array([step.fingerprint for step in steps]),
        "tries": number_array([step.tries for step in steps]),
        "starts": number_array([step.started_at for step in steps]),
        "ends": number_array([step.finished_at for step in steps]),
    }
    yield Statement(sql["save_steps"], values)
    forgetting = [verb for _, verb in verbs if verb.forgets is not None]
    if forgetting:
        values = {
            "ids": id_array([verb.run_id for verb in forgetting]),
            "attempts": number_array([verb.attempt for verb in forgetting]),
            "prefixes": text_array([verb.forgets for verb in forgetting]),
        }
        yield Statement(sql["forget_steps"], values)
    consuming = [verb for _, verb in verbs if verb.consumes is not None]
    if consuming:
        values = {
            "ids": text_array([verb.consumes for verb in consuming]),
            "run_ids": id_array([verb.run_id for verb in consuming]),
            "attempts": number_array([verb.attempt for verb in consuming]),
            "addresses": text_array([verb.step.address for verb in consuming]),
        }
        yield Statement(sql["consume"], values)
    releasing = {(v.run_id, v.attempt, v.step.address) for _, v in verbs if v.releases}
    if releasing:
        values = {
            "ids": id_array([run_id for run_id, _, _ in releasing]),
            "attempts": number_array([attempt for _, attempt, _ in releasing]),
            "addresses": text_array([address for _, _, address in releasing]),
        }
        yield Statement(sql["release_locks"], values)
    clearing = {(verb.run_id, verb.attempt) for _, verb in verbs if verb.clears_starts}
    if clearing:
        values = {
            "ids": id_array([run_id for run_id, _ in clearing]),
            "attempts": number_array([attempt for _, attempt in clearing]),
        }
        yield Statement(sql["clear_starts"], values)


def save_waits(
    sql: Sql, verbs: Sequence[tuple[int, SaveWaits]], fence: Fence, answers: Answers
) -> Iterator[Statement]:
    if not verbs:
        return

    def take(rows: Sequence[Row]) -> None:
        kept = {
            (run_id, address): WaitRow(address, kind, name, None, due_at)
            for run_id, address, kind, name, due_at in rows
        }
        for place, verb in verbs:
            if fence.holds(verb):
                answers[place] = tuple([kept[verb.run_id, w.address] for w in verb.waits])

    given = [(verb.run_id, verb.attempt, wait) for _, verb in verbs for wait in verb.waits]
    yield Statement(sql["save_waits"], wait_columns(given))
    run_ids = {verb.run_id for _, verb in verbs}
    yield Statement(sql["waits_of"], {"ids": id_array(run_ids)}, take)


def wait_columns(given: Iterable[tuple[str, int, WaitRow]]) -> dict[str, object]:
    rows = {(run_id, attempt, wait.address): wait for run_id, attempt, wait in given}
    waits = rows.values()
    return {
        "run_ids": id_array([run_id for run_id, _, _ in rows]),
        "attempts": number_array([attempt for _, attempt, _ in rows]),
        "addresses": text_array([wait.address for wait in waits]),
        "kinds": text_array([wait.kind for wait in waits]),
        "names": text_array([wait.name for wait in waits]),
        "delays": number_array([wait.delay_us for wait in waits]),
        "dues": number_array([wait.due_at for wait in waits]),
    }
