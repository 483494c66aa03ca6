"""`backroom list` and `show`: what people read and what programs read."""

from __future__ import annotations

import os
import re
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from backroom import Backroom
from backroom.records.errors import RunFailed
from backroom.testing import eventually
from tests.cli import shop
from tests.cli.conftest import Terminal


@pytest.fixture
def runs(client: Backroom) -> dict[str, str]:
    """A run that succeeded, one that failed, one that waits, and one for later."""
    with client.working():
        shipped = shop.ship.start("pen")
        paid = shop.pay.start(Decimal("1.10"))
        asked = shop.ask.start("why?")
        shipped.result().wait(20)
        with pytest.raises(RunFailed):
            paid.result().wait(20)
        while asked.status().wait().state != "waiting":
            pass
    later = shop.ship.using(delay=3600, queue="slow").start("ink")
    return {"shipped": shipped.id, "paid": paid.id, "asked": asked.id, "later": later.id}


def test_a_list_has_the_newest_first_and_a_remark(backroom: Terminal, runs: dict[str, str]) -> None:
    lines = backroom("list").out.splitlines()
    assert lines[0].split() == ["RUN", "FLOW", "STATE", "CREATED", "REMARK"]
    assert [line[:36] for line in lines[1:]] == sorted(runs.values(), reverse=True)
    by_id = {line[:36]: line for line in lines[1:]}
    assert re.search(r"scheduled .* due in (1 h|59 min)", by_id[runs["later"]])
    assert "StepFailed: Step charge failed, tried 2 times" in by_id[runs["paid"]]
    assert "waiting" in by_id[runs["asked"]]


def test_a_remark_is_one_line_of_bounded_length_and_show_has_all_of_it(
    backroom: Terminal, client: Backroom
) -> None:
    whole = "first line\nsecond line " + "and more " * 40
    run = shop.ship.using(delay=3600).start("pen")
    run.cancel(whole).wait()
    remark = backroom("list").out.splitlines()[1].partition("Cancelled: ")[2]
    assert remark.startswith("first line second line and more")
    assert remark.endswith("…")
    assert len(remark) < 120
    assert whole.strip() in backroom("show", run.id).out
    bare = shop.ship.using(delay=3600).start("ink")
    bare.cancel().wait()
    (line,) = [line for line in backroom("list").out.splitlines() if line.startswith(bare.id)]
    assert line.endswith("  Cancelled")
    assert "  Cancelled\n" in backroom("show", bare.id).out


def test_show_says_of_a_second_attempt_whether_one_went_wrong(
    backroom: Terminal, client: Backroom
) -> None:
    asked = shop.ask.start("why?")
    with client.working():
        eventually(lambda: asked.status().wait().state == "waiting")
        asked.emit("answer", "because").wait()
        asked.result().wait(20)
        failed = shop.pay.start(Decimal("1.10"))
        with pytest.raises(RunFailed):
            failed.result().wait(20)
        failed.retry().wait()
        with pytest.raises(RunFailed):
            failed.result().wait(20)
    assert "  attempt   2, none ended badly" in backroom("show", asked.id).out
    out = backroom("show", failed.id).out
    assert re.search(r"^  attempt   \d+, 2 of which ended badly\b", out, re.M)


def test_a_list_can_be_narrowed_and_paged(backroom: Terminal, runs: dict[str, str]) -> None:
    def ids(*options: str) -> list[str]:
        return [run["id"] for run in backroom("list", "--json", *options).json()]

    assert ids("--flow", "ship") == [runs["later"], runs["shipped"]]
    assert ids("--queue", "slow") == [runs["later"]]
    assert ids("--state", "failed", "--state", "waiting") == sorted(
        [runs["paid"], runs["asked"]], reverse=True
    )
    first = ids("--limit", "2")
    rest = ids("--limit", "2", "--before", first[-1])
    assert first + rest == sorted(runs.values(), reverse=True)
    assert f"--before {first[-1]}" in backroom("list", "--limit", "2").err
    assert backroom("list", "--flow", "none").out == "No such runs.\n"


def test_an_empty_list_says_so(backroom: Terminal, client: Backroom) -> None:
    assert backroom("list").out == "No runs.\n"
    assert backroom("list", "--json").json() == []


def test_a_failed_run_is_shown_with_its_steps_and_its_traceback(
    backroom: Terminal, runs: dict[str, str]
) -> None:
    out = backroom("show", runs["paid"]).out
    assert f"Run {runs['paid']}" in out
    assert "state     failed" in out
    assert "progress  50% half way" in out
    assert '"v": "1.10"' in out, "the input"
    assert "StepFailed: Step charge failed, tried 2 times: RuntimeError: no money: 1.10" in out
    assert 'raise RuntimeError(f"no money: {amount}")' in out
    assert out.count("Traceback (most recent call last)") == 2, "the cause isn't told twice"
    steps = out[out.index("\nSteps\n") :].splitlines()
    assert steps[2].split() == ["STEP", "KIND", "STATE", "TRIES", "TOOK", "RESULT"]
    assert re.match(r"weigh#1 +step  done +1 +\d+ ms +5$", steps[3])
    assert re.match(r"charge#1 +step  failed +2 ", steps[4])
    assert "\nAttempts that ended otherwise than well, and what was done about it\n" in out


def test_a_waiting_run_is_shown_with_what_it_waits_for(
    backroom: Terminal, runs: dict[str, str]
) -> None:
    out = backroom("show", runs["asked"]).out
    assert "state     waiting" in out
    assert re.search(r"^event +answer +-$", out, re.M)


def test_an_event_that_was_refused_is_shown_and_the_cure_it_names_works(
    backroom: Terminal, client: Backroom
) -> None:
    run = shop.ask.start("why?")
    assert backroom("emit", run.id, "answer", "[1]").code == 0
    with client.working():
        eventually(lambda: "was refused" in run.why().wait().text)
        out = backroom("show", run.id).out
        refused = out[out.index("Events answer that were refused, since they don't fit\n") :]
        assert re.search(r"^  it came .* ago: \[1\]$", refused, re.M)
        assert "UnfitEvent: the event answer doesn't fit str: " in refused
        assert "Emit answer again with a value that fits" in refused
        assert "refused" not in out[: out.index("Events answer")], "it is no step"
        steps = backroom("show", "--json", run.id).json()["steps"]
        kept = [(s["kind"], s["tries"], s["result"]) for s in steps if s["kind"] != "step"]
        assert kept == [("refused", 1, [1])]
        assert backroom("emit", run.id, "answer", '"because"').code == 0
        run.result().wait(20)


def test_a_run_is_shown_as_json(backroom: Terminal, runs: dict[str, str]) -> None:
    paid = backroom("show", "--json", runs["paid"]).json()
    assert paid["state"] == "failed"
    assert paid["error"]["kind"] == "StepFailed"
    assert paid["input"] == {"amount": {"$": "decimal", "v": "1.10"}}
    assert [(s["address"], s["state"], s["tries"]) for s in paid["steps"]] == [
        ("charge#1", "failed", 2),
        ("weigh#1", "done", 1),
    ]
    assert [a["outcome"] for a in paid["attempts"]] == ["failed"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", paid["created_at"])
    asked = backroom("show", "--json", runs["asked"]).json()
    assert [(w["kind"], w["name"], w["due_at"]) for w in asked["waits"]] == [
        ("event", "answer", None)
    ]
    shipped = backroom("show", "--json", runs["shipped"]).json()
    assert shipped["result"] == {"weight": 3}
    assert shipped["key"] == "pen"


def test_a_run_that_does_not_exist_is_an_error(backroom: Terminal, client: Backroom) -> None:
    said = backroom("show", "01a20c82-0000-7000-8000-000000000000")
    assert said.code == 1
    assert said.err.startswith("Error: There is no run 01a20c82-0000-7000-8000-000000000000.")
    assert said.out == ""
    assert backroom("show", "nonsense").code == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns_is_enough(
    backroom: Terminal, runs: dict[str, str], tmp_path: Path
) -> None:
    import fcntl
    import pty
    import struct
    import subprocess
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "backroom", "list", "--database", backroom.database],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment | {"TERM": "xterm"},
        cwd=tmp_path,
    )  # fmt: skip
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 65_536):
            text += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(20) == 0
    assert b"\x1b[31mfailed\x1b[0m" in text
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text.decode()).splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= 80
    assert any(line.endswith("…") for line in lines), "the error is cut"
