"""A whole cluster in one thread, from one seed: whatever goes wrong in it, what we promise holds.

Each seed makes a script (`simulation/script.py`): what callers ask for, and what goes wrong. After
each commit an oracle looks whether all promises hold, and in the end everything has to be over. A
script that fails is made smaller and printed; it is kept in `tests/seeds/`, with a sentence, and
every run of the suite plays it again.

Sabotaged programs show that the oracle would see it, each by a kept seed. (That a transaction
begins with its write lock can't be seen here, where one at a time has the turn.)

    pytest --cluster-seeds=70000:500     500 scripts from this seed on, instead of the usual ones
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from backroom.engine.claiming import Claiming
from backroom.store.sqlite import claims
from backroom.store.verbs import Fenced, SaveStep, Verb
from backroom.testing import cluster, faults
from backroom.testing.databases import Files, private_files
from tests.promises.simulation.life import play, violation
from tests.promises.simulation.script import Script, parse, script_of, smaller

SEEDS = Path(__file__).parent.parent / "seeds"
KEPT = sorted(SEEDS.glob("*.txt"))
GROUP = 5


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    with private_files() as files:
        yield files


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first_seed" in metafunc.fixturenames:
        begin, _, count = metafunc.config.getoption("--cluster-seeds").partition(":")
        seeds = range(int(begin), int(begin) + int(count or GROUP), GROUP)
        metafunc.parametrize("first_seed", seeds)


def test_nothing_is_broken_in_a_cluster(first_seed: int, files: Files) -> None:
    for seed in range(first_seed, first_seed + GROUP):
        check(script_of(seed), files)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_seed_that_failed_once_holds(path: Path, files: Files) -> None:
    text = path.read_text()
    assert text.startswith("# "), "begin with a sentence about what went wrong"
    check(parse(text), files)


def check(script: Script, files: Files) -> None:
    """Play a script; what it breaks is told with the smallest script that breaks something."""
    found = violation(script, files)
    if found is None:
        return
    least = smaller(script, lambda less: violation(less, files) is not None)
    found = violation(least, files) or found
    story = "\n".join(getattr(found, "__notes__", []))
    raise AssertionError(
        f"{found}\n\n{story}\n\nThis is left of the seed {script.dice}. Mend what it shows, and "
        f"keep it in tests/seeds/, with a sentence in its first line:\n\n{least}"
    )


def test_the_same_seed_lives_the_same_life(files: Files) -> None:
    script = script_of(7)
    assert play(script, files) == play(parse(str(script)), files)


def test_a_failing_script_is_made_smaller() -> None:
    script = next(s for s in map(script_of, range(100)) if len(s.acts) > 20 and s.workers == 4)
    needed = [script.acts[3], script.acts[-2]]

    least = smaller(script, lambda less: set(needed) <= set(less.acts) and less.workers > 1)

    assert list(least.acts) == needed
    assert least.workers == 2


# --- sabotage: would we see it? -------------------------------------------------------------------


def found_by(seed: str, files: Files) -> str:
    """What is broken by a kept seed, in one order or another of what happens."""
    script = parse((SEEDS / f"{seed}.txt").read_text())
    for dice in range(10):
        if found := violation(replace(script, dice=dice), files):
            return str(found)
    return ""


def test_a_store_without_a_fence_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes what any attempt sends for what the present one sends."""

    def unfenced(self: faults.FaultySession, verbs: Sequence[Verb]) -> list[object]:
        path = self._session._path  # type: ignore[attr-defined]
        with closing(sqlite3.connect(path)) as file:
            now = dict(file.execute("SELECT id, attempt FROM backroom_live").fetchall())
        renumbered = [
            replace(verb, attempt=now.get(verb.run_id, verb.attempt))
            if isinstance(verb, Fenced)
            else verb
            for verb in verbs
        ]
        answers = self._session.apply(renumbered)
        self._plan.on_commit(verbs, answers)
        return answers

    monkeypatch.setattr(faults.FaultySession, "_perform", unfenced)
    assert "holds the run" in found_by("stopped-past-the-lease", files)


def test_a_store_that_counts_failures_instead_of_starts_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What kills its worker is never told to have failed, so it would go on for ever."""
    for name in ("CLAIM_RUNS", "CLAIM_COUNTED"):
        text = getattr(claims, name)
        counting = text.replace("starts = starts + 1", "starts = failures")
        assert counting != text
        monkeypatch.setattr(claims, name, counting)
    assert "stuck" in found_by("a-body-that-kills", files)


def test_a_worker_that_trusts_its_doorbell_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "POLL_SECONDS", 1e9)
    assert "stuck" in found_by("a-start-unheard", files)


def test_a_worker_that_only_looks_behind_its_cursor_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes in late with an earlier time it never sees."""
    monkeypatch.setattr(Claiming, "_floors_now", lambda self: dict(self._floors))
    assert "stuck" in found_by("a-start-before-the-cursor", files)


def test_a_store_that_reads_events_in_a_transaction_of_their_own_is_found_out(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    apply = faults.FaultySession.apply

    def hasty(self: faults.FaultySession, verbs: Sequence[Verb]) -> list[object]:
        path = self._session._path  # type: ignore[attr-defined]
        for verb in verbs:
            if isinstance(verb, SaveStep) and verb.consumes is not None and not self._plan.dead:
                with closing(sqlite3.connect(path, isolation_level=None)) as file:
                    file.execute(
                        "UPDATE backroom_event SET consumed_at = 1, consumed_by = ? WHERE id = ?",
                        (verb.step.address, verb.consumes),
                    )
        return apply(self, verbs)

    monkeypatch.setattr(faults.FaultySession, "apply", hasty)
    assert "nothing is kept of it" in found_by("deaths-at-the-mailbox", files)
