"""Claims from the CSV file are worked on while the workers are killed; then all is counted.

The supervisor and its workers are processes of their own. Here are the loader, the mailbox and the
approvers, who decide by a rule that the tests know: a claim whose digits add up to a multiple of
five is rejected. Each kill takes the workers, or the supervisor with them, at a random moment.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from backroom.testing import eventually
from examples.expenses import views
from examples.expenses.app import app
from examples.expenses.claims import Decision
from examples.expenses.config import config
from examples.expenses.database import engine, reading
from examples.expenses.loading import load, read
from examples.expenses.mailbox import catch_all
from examples.expenses.submitting import AlreadyDecided, decide
from examples.expenses.tables import BookingRow, ClaimRow, MailRow, RefusedRow
from tests.examples.calls import CALLS, make_table
from tests.examples.conftest import free_port

__all__ = ["Report", "kill_and_count"]

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 1.0
NOT_THIS_QUARTER = "Not in this quarter"


@dataclass
class Report:
    """What happened, for people to read."""

    seed: int
    claims: int = 0
    refused: int = 0
    approved: int = 0
    rejected: int = 0
    kills: list[str] = field(default_factory=list)
    steps: int = 0
    calls: int = 0
    lost_attempts: int = 0
    set_aside: int = 0  # as suspected of killing their workers; an administrator retried them
    mails: int = 0
    mails_twice: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.claims} claims and {self.refused} refused lines in "
            f"{self.seconds:.1f} s; {len(self.kills)} kills ({', '.join(self.kills)}); "
            f"{self.approved} approved and booked, {self.rejected} rejected; "
            f"{self.steps} checkpoints from {self.calls} calls of steps, "
            f"{self.lost_attempts} attempts lost, {self.set_aside} runs set aside and retried; "
            f"{self.mails} mails, {self.mails_twice} of them "
            "delivered more than once"
        )


def rejects(number: str) -> bool:
    """The approvers' rule."""
    return sum(int(digit) for digit in number if digit.isdigit()) % 5 == 0


def kill_and_count(
    content: bytes, *, kills: int, pauses: tuple[float, float], seed: int, log: Path,
    concurrency: int = 100,
) -> Report:  # fmt: skip
    """Load in as many portions as there are kills, kill in between, and see that all is right.

    pauses  shortest and longest time from the first step that a portion causes to the kill, in
            seconds
    concurrency  how many runs each of the two workers performs at once
    """
    dice = random.Random(seed)
    report = Report(seed)
    began = time.monotonic()
    config.catch_all_port = free_port()
    engine()
    make_table()
    office = Approvers()
    with log.open("wb") as out, catch_all() as takes_mail, Workers(out, concurrency) as workers:
        assert takes_mail
        with office.deciding():
            for portion in portions(content, kills):
                before = calls_so_far()
                load(portion, "claims.csv")
                eventually(functools.partial(workers.get_on, beyond=before), within=60)
                time.sleep(dice.uniform(*pauses))
                report.kills.append(workers.kill(with_supervisor=dice.random() < 0.5))
            load(content, "claims.csv")
            report.set_aside = until_all_have_ended(workers, log)
    count(report, content)
    report.seconds = time.monotonic() - began
    return report


def calls_so_far() -> int:
    with reading() as session:
        return session.scalars(select(func.count()).select_from(CALLS)).one()


def portions(content: bytes, many: int) -> Iterator[bytes]:
    """The file's head and a part of its lines, many times."""
    head, *lines = content.splitlines(keepends=True)
    for n in range(many):
        yield head + b"".join(lines[n * len(lines) // many : (n + 1) * len(lines) // many])


class Workers:
    """`backroom worker` with two processes, killed and started again."""

    def __init__(self, out: IO[bytes], concurrency: int) -> None:
        self._out = out
        self._concurrency = concurrency
        self._supervisor: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Workers:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill(with_supervisor=True, again=False)

    def _start(self) -> None:
        environment = os.environ | {
            "BACKROOM_DATABASE": app.settings.database,
            "EXPENSES_CATCH_ALL_PORT": str(config.catch_all_port),
        }
        self._supervisor = subprocess.Popen(
            [
                sys.executable, "-m", "backroom", "worker", "tests.examples.counted:app",
                "--processes", "2", "--lease", str(LEASE_SECONDS),
                "--concurrency", str(self._concurrency),
            ],
            cwd=ROOT, env=environment, stdout=self._out, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def keep_up(self) -> None:
        """Start it again if it has ended, as a service manager would: it gives up when one of its
        first children dies before it is ready."""
        assert self._supervisor is not None
        if self._supervisor.poll() is not None:
            self._start()

    def get_on(self, *, beyond: int) -> bool:
        """Whether there have been more calls of steps than this."""
        self.keep_up()
        return calls_so_far() > beyond

    def kill(self, *, with_supervisor: bool, again: bool = True) -> str:
        assert self._supervisor is not None
        doomed = children_of(self._supervisor.pid)
        assert doomed or not again, "there is nobody to kill"
        if with_supervisor:
            self._supervisor.kill()
        for pid in doomed:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if with_supervisor:
            self._supervisor.wait()
            if again:
                self._start()
        return f"{len(doomed)} workers" + (" and supervisor" if with_supervisor else "")


def children_of(pid: int) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except OSError:  # it has just ended
                continue
            if int(stat.rpartition(")")[2].split()[1]) == pid:
                found.append(int(folder.name))
    return found


class Approvers:
    """All of them, deciding one claim after another, a little slower than claims come in."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._failed: list[BaseException] = []

    @contextmanager
    def deciding(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work, name="approvers")
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()
        assert self._failed == []

    def _work(self) -> None:
        try:
            while not self._over.is_set():
                with reading() as session:
                    waiting = session.scalars(
                        select(ClaimRow).where(ClaimRow.state == "awaiting").limit(8)
                    ).all()
                for row in waiting:
                    no = rejects(row.number)
                    decision = Decision(not no, row.approver, NOT_THIS_QUARTER if no else "")
                    try:
                        decide(row.number, row.version, decision)
                    except AlreadyDecided:
                        raise AssertionError("nobody else decides here") from None
                self._over.wait(0.05)
        except BaseException as error:
            self._failed.append(error)


def until_all_have_ended(workers: Workers, log: Path) -> int:
    """Wait for the last run, as an administrator who retries what was set aside; how many that
    were."""
    runs = views.runs()
    state = func.coalesce(runs.c.state, "missing")
    query = (
        select(ClaimRow.run_id, state)
        .outerjoin(runs, runs.c.id == ClaimRow.run_id)
        .where(state.not_in(("succeeded", "failed", "cancelled")))
    )
    set_aside = 0
    deadline = time.monotonic() + 120
    while True:
        with reading() as session:
            left = session.execute(query).all()
        if not left:
            return set_aside
        for run_id, found in left:
            if found == "needs_attention":
                app.run(run_id).retry().wait()
                set_aside += 1
        workers.keep_up()
        states = Counter(found for _, found in left)
        assert time.monotonic() < deadline, f"{states} don't end:\n{log.read_text()[-4000:]}"
        time.sleep(0.1)


# --- counting


def count(report: Report, content: bytes) -> None:
    readable, unreadable = read(content)
    with reading() as session:
        claims = {row.number: row for row in session.scalars(select(ClaimRow))}
        assert set(claims) == {claim.number for _, claim in readable}
        report.claims = len(claims)
        count_runs(session, report)
        count_steps(session, report)
        count_money(session, report, claims)
        count_mails(session, report, claims)
        lines = session.scalars(select(RefusedRow)).all()
        assert {line.line for line in lines} >= {each.line for each in unreadable}
        assert all(line.reason and line.excerpt for line in lines)
        report.refused = len(unreadable)


def count_runs(session: Session, report: Report) -> None:
    """Every claim has one run, and it ended well; no run belongs to nobody."""
    runs = views.runs()
    rows = session.execute(select(runs.c.state, runs.c.attempt, runs.c.error)).all()
    assert Counter(row.state for row in rows) == {"succeeded": report.claims}, rows
    # A claim takes at most two attempts, before and after the wait; the others were lost to kills.
    report.lost_attempts = sum(max(0, row.attempt - 2) for row in rows)


def count_steps(session: Session, report: Report) -> None:
    """No step ran again once its result was kept: not in a later attempt, nor in the same one."""
    steps = views.steps()
    kept = {
        (row.run_id, row.name): row.attempt
        for row in session.execute(
            select(steps.c.run_id, steps.c.name, steps.c.attempt).where(
                steps.c.kind == "step", steps.c.state == "done"
            )
        )
    }
    calls = session.execute(select(CALLS)).all()
    keys: dict[str, tuple[str, str]] = {}
    for call in calls:
        place = (call.run_id, call.name)
        assert keys.setdefault(call.step_key, place) == place, "two steps have one key"
        assert place in kept, f"{call} was called and nothing was kept"
        assert call.attempt <= kept[place], f"{call} ran again after attempt {kept[place]} kept it"
    assert len(keys) == len(kept), "a step has kept a result without a call, or has two keys"
    same = Counter((call.step_key, call.attempt, call.tries) for call in calls)
    assert set(same.values()) <= {1}, [each for each, times in same.items() if times > 1]
    report.steps, report.calls = len(kept), len(calls)


def count_money(session: Session, report: Report, claims: dict[str, ClaimRow]) -> None:
    """The ledger has the approved claims, each once and with its amount, and nothing else."""
    bookings = session.scalars(select(BookingRow)).all()
    booked = {booking.claim_id: (booking.amount_cents, booking.currency) for booking in bookings}
    assert len(booked) == len(bookings)
    paid = {row.id: row for row in claims.values() if row.state == "paid"}
    assert booked == {row.id: (row.amount_cents, row.currency) for row in paid.values()}
    for row in claims.values():
        assert row.state in ("paid", "rejected"), f"{row.number} is {row.state}"
        if row.state == "paid":
            assert not rejects(row.number)
            assert row.version == 2
        else:
            assert row.reason, f"{row.number} was rejected without a reason"
            assert row.decided_by == "policy" or rejects(row.number)
    report.approved = len(paid)
    report.rejected = len(claims) - len(paid)


def count_mails(session: Session, report: Report, claims: dict[str, ClaimRow]) -> None:
    """Everybody was written to about every claim, under one Message-ID for each matter. A mail was
    delivered again only where its step was called again."""
    mails = session.scalars(select(MailRow)).all()
    expected = Counter((row.number, "tell_claimant") for row in claims.values())
    expected.update(
        (row.number, "ask_approver") for row in claims.values() if row.decided_by != "policy"
    )
    about = Counter(
        (mail.claim, "ask_approver" if "to approve" in mail.subject else "tell_claimant")
        for mail in mails
    )
    assert about == expected
    numbers = {row.run_id: row.number for row in claims.values()}
    again = Counter(
        (numbers[call.run_id], call.name) for call in session.execute(select(CALLS)).all()
    )
    for mail in mails:
        matter = "ask_approver" if "to approve" in mail.subject else "tell_claimant"
        assert mail.deliveries <= again[mail.claim, matter]
    report.mails = len(mails)
    report.mails_twice = sum(mail.deliveries > 1 for mail in mails)
