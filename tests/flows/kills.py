"""Kill workers with signal 9, again and again, while a flow fills a table chunk by chunk.

Each kill waits for a chunk that was written since the last one, and the flow for the kills when it
is far ahead of them. Without that a harness that a busy machine has held up would kill three times
in a row before there was any progress, and then the run is set aside (`rules/suspicion.py`), as it
should be; or find the run at its end.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from backroom import Backroom, Run, State
from backroom.store.protocol import Reader
from tests.engine.processes import eventually, exists, program
from tests.flows.filling import PACE, declare
from tests.flows.side import Side

__all__ = ["fill_and_kill"]

CHUNK = 3


def fill_and_kill(database: str, folder: Path, *, chunks: int, kills: int) -> list[int]:
    """What the table holds at the end."""
    client = declare(Backroom(database))
    assert client.office.store.schema_version()
    side = Side(database)

    def written() -> int:
        return int(side.query("SELECT count(*) FROM side")[0][0]) // CHUNK

    def performer() -> int | None:
        """The process that performs the run."""

        def look(reader: Reader) -> int | None:
            row = reader.run(run.id)
            names = {worker.id: worker.name for worker in reader.workers()}
            name = names.get(row.worker or "") if row is not None else None
            return int(name.rpartition(":")[2]) if name else None

        return client.office.read(look).result(20)

    def allow(chunk: int) -> None:
        (folder / PACE).write_text(str(chunk * CHUNK))

    def is_beyond(goal: int) -> bool:
        row = client.office.read(lambda reader: reader.run(run.id)).result(20)
        assert row is not None
        assert row.state is not State.NEEDS_ATTENTION, row.error
        return written() > goal

    app = "tests.flows.filling:app"
    with program("worker", "-n", "3", database=database, folder=folder, app=app) as work:
        work.ready()
        run: Run[int] = client.start("fill", rows=chunks * CHUNK, size=CHUNK)
        goal = 0
        for kill in range(kills):
            allow(chunks - kills + kill)  # a chunk at least is left for each kill to come
            goal = max(goal, chunks * kill // (kills + 1))
            eventually(lambda: is_beyond(goal), seconds=120)  # noqa: B023
            pid = eventually(performer, seconds=120)
            assert pid is not None
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            eventually(lambda: not exists(pid))  # noqa: B023
            goal = written()
        allow(chunks)
        assert run.result().wait(300) == chunks * CHUNK
        lost = client.office.read(lambda reader: reader.attempts(run.id)).result(20)
    client.close()
    assert len(lost) > kills // 2, "kills that came between two attempts are none"
    return side.numbers()
