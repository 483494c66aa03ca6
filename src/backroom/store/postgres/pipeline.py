"""Statements in one round trip.

In pipeline mode everything is sent before the first answer is read. BEGIN and COMMIT travel with
the rest: if a statement fails, the server skips all that follows, the COMMIT included.

This speaks to libpq through psycopg's own thin layer (`psycopg.pq`) and not through its cursors:
four cursors a batch cost half a millisecond of Python, more than the server needs for thirty runs.
What a cursor does for us besides is done by hand here: named values, prepared statements, errors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from backroom.records.errors import StoreError
from backroom.store.postgres.driver import psycopg
from backroom.store.postgres.ready import ready
from backroom.store.postgres.silence import silent
from backroom.store.postgres.statement import Row, Statement

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.pq.abc import PGconn, PGresult

__all__ = ["Pipeline"]

NAMED = re.compile(r"%\((\w+)\)s|%%")

Take = Callable[[Sequence[Row]], None]


class Text(NamedTuple):
    """A statement as the server gets it."""

    sql: bytes
    names: tuple[str, ...]
    prepared: bytes
    """What it is called where it is prepared: the same name is the same statement for everybody,
    since a pooler may hand us a connection on which others have prepared theirs."""


@lru_cache(maxsize=1024)
def positional(sql: str) -> Text:
    """$1, $2 … in place of the named values."""
    places: dict[str, str] = {}

    def place(match: re.Match[str]) -> str:
        name = match[1]
        return places.setdefault(name, f"${len(places) + 1}") if name else "%"

    text = NAMED.sub(place, sql).encode()
    digest = hashlib.blake2b(text, digest_size=12).hexdigest()
    return Text(text, tuple(places), b"backroom_" + digest.encode())


class Pipeline:
    """The statements prepared on one connection, and the way to send more."""

    def __init__(
        self,
        connection: Connection[tuple[Any, ...]],
        prepare_threshold: int | None,
        silence_seconds: float,
    ) -> None:
        self.pgconn: PGconn = connection.pgconn
        self.threshold = prepare_threshold
        self.silence_seconds = silence_seconds
        self.transformer = psycopg().adapt.Transformer(connection)
        self.uses: dict[Text, int] = {}
        self.prepared: set[Text] = set()

    def send(self, statements: Iterable[Statement]) -> None:
        """Execute the statements and hand each its rows. Raises what psycopg raises; then the
        connection may stand inside a failed transaction."""
        texts = [(positional(s.sql), s) for s in statements]
        sending = [(text, values(text, s), s.take) for text, s in texts]
        fresh: list[Text] = []
        pgconn = self.pgconn
        pgconn.enter_pipeline_mode()
        takes: list[Take | None] = []
        for text, given, take in sending:
            if text not in self.prepared and self.worth_preparing(text):
                self.prepared.add(text)
                fresh.append(text)
                pgconn.send_prepare(text.prepared, text.sql)
                takes.append(None)
            if text in self.prepared:
                pgconn.send_query_prepared(text.prepared, given)
            else:
                pgconn.send_query_params(text.sql, given)
            takes.append(take)
        pgconn.pipeline_sync()
        failed: PGresult | None = None
        rows: list[tuple[Take, Sequence[Row]]] = []
        for result, take in zip(self.results(), takes, strict=False):
            if result.error_message and failed is None:
                failed = result
            elif take is not None and failed is None:
                self.transformer.set_pgresult(result)
                rows.append((take, self.transformer.load_rows(0, result.ntuples, tuple)))
        pgconn.exit_pipeline_mode()
        if failed is not None:
            for text in fresh:  # what came after the failure was never prepared
                self.prepared.discard(text)
            raise psycopg().errors.error_from_result(failed)
        for take, got in rows:
            take(got)

    def worth_preparing(self, text: Text) -> bool:
        if self.threshold is None:
            return False
        uses = self.uses[text] = self.uses.get(text, 0) + 1
        return uses > self.threshold

    def results(self) -> Iterator[PGresult]:
        """One result a statement, up to the end of the pipeline."""
        pgconn = self.pgconn
        pg = psycopg()
        sync, bad = pg.pq.ExecStatus.PIPELINE_SYNC, pg.pq.ConnStatus.BAD
        self.exchange()
        while True:
            while pgconn.is_busy():
                self.exchange()
            result = pgconn.get_result()
            if result is None:  # the end of one statement's results
                if pgconn.status == bad:
                    raise pg.OperationalError(pgconn.get_error_message())
                continue
            if result.status == sync:
                return
            yield result

    def exchange(self) -> None:
        """Send what can be sent and wait for what comes. Both at once: a server whose answers
        nobody takes stops reading."""
        pgconn = self.pgconn
        socket = pgconn.socket
        writing = [socket] if pgconn.flush() else []
        if not ready([socket], writing, ms=round(self.silence_seconds * 1000)):
            raise silent(self.silence_seconds)
        pgconn.consume_input()  # nothing there to take in is fine


def values(text: Text, statement: Statement) -> list[bytes | None]:
    given = statement.values
    return [encoded(given[name]) for name in text.names]


def encoded(value: object) -> bytes | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else str(value)
    if "\0" in text:
        raise StoreError(
            "A value has a NUL character, which PostgreSQL can't keep. Remove it, or encode the "
            "value; nothing of this batch was stored."
        )
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            "A value has half of a surrogate pair, which is no Unicode text. Remove it, or encode "
            "the value; nothing of this batch was stored."
        ) from error
