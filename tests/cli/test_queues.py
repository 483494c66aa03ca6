"""`backroom queues`, `pause`, `resume`, `limit`, `why`, `locks` and `breakers`."""

from __future__ import annotations

import pytest

from backroom import Backroom, State
from backroom.records.queues import QueueRules
from backroom.store.verbs import Declare
from backroom.testing import at_work, eventually
from tests.cli import shop
from tests.cli.conftest import Terminal


def queue_of(backroom: Terminal, name: str) -> dict[str, object]:
    found = [queue for queue in backroom("queues", "--json").json() if queue["name"] == name]
    assert len(found) == 1
    row: dict[str, object] = found[0]
    return row


def test_queues_shows_the_lines_and_their_rules(backroom: Terminal, client: Backroom) -> None:
    assert backroom("queues").out == "No queue has runs or rules.\n"
    rules = QueueRules("mail", concurrency=5, max_waiting=10_000)
    client.office.doors.call(Declare(rules))
    shop.ship.using(queue="mail").start("pen")
    shop.ship.using(queue="mail", delay=3600).start("ink")
    said = backroom("queues")
    assert said.code == 0
    assert said.out.splitlines()[0].split()[:2] == ["QUEUE", "DUE"]
    assert "5 at once; at most 10,000 waiting" in said.out
    row = queue_of(backroom, "mail")
    assert (row["due"], row["later"], row["running"]) == (1, 1, 0)
    assert (row["concurrency"], row["max_waiting"], row["rate"]) == (5, 10_000, None)


def test_a_queue_is_paused_and_goes_on(backroom: Terminal, client: Backroom) -> None:
    run = shop.ship.using(queue="mail").start("pen")
    said = backroom("pause", "mail", "--by", "Ann, the mail server is down")
    assert said.out == "mail is paused. Go on with: backroom resume mail\n"
    assert queue_of(backroom, "mail")["paused_by"] == "Ann, the mail server is down"
    assert "paused by Ann, the mail server is down" in backroom("queues").out
    told = backroom("why", run.id, "--json").json()
    assert (told["reason"], told["facts"]["by"]) == ("paused", "Ann, the mail server is down")
    assert told["facts"]["since"].endswith("Z")
    assert backroom("resume", "mail").out == "mail goes on.\n"
    assert queue_of(backroom, "mail")["paused_at"] is None
    assert backroom("why", run.id).out == "No worker is alive. Start one: `backroom worker`.\n"


def test_who_pauses_is_known_by_name(
    backroom: Terminal, client: Backroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "grace")
    backroom("pause", "mail", "reports")
    assert {queue_of(backroom, name)["paused_by"] for name in ("mail", "reports")} == {"grace"}


def test_a_name_that_cannot_be_a_queue_is_refused(backroom: Terminal, client: Backroom) -> None:
    said = backroom("pause", "a b")
    assert said.code == 1
    assert "can't be the name of a queue" in said.err


def test_locks_shows_who_has_one_and_why_names_the_holder(
    backroom: Terminal, client: Backroom
) -> None:
    assert backroom("locks").out == "No run holds a lock.\n"
    with at_work(client):
        first = shop.hold.start("till 1")
        eventually(lambda: first.status().wait().state is State.WAITING)
        second = shop.hold.start("till 1")
        eventually(lambda: second.status().wait().state is State.WAITING)
    (row,) = backroom("locks", "--json").json()
    assert (row["name"], row["run_id"], row["waiting"]) == ("till 1", first.id, 1)
    said = backroom("locks")
    assert said.out.splitlines()[1].split()[0] == first.id
    assert said.out.rstrip().endswith("1        till 1")
    assert f"which the run {first.id} (hold, waiting) has" in backroom("why", second.id).out


def test_breakers_are_listed_and_closed(backroom: Terminal, client: Backroom) -> None:
    assert backroom("breakers").out == "No breaker has counted a failure.\n"
    with at_work(client):
        run = shop.call_bank.start()
        eventually(lambda: run.status().wait().state is State.FAILED)
        second = shop.call_bank.start()
        eventually(lambda: second.status().wait().state is State.WAITING)
    (row,) = backroom("breakers", "--json").json()
    assert (row["name"], row["stands"], row["failures"]) == ("bank", "open", 1)
    assert row["error"] == "ConnectionError"
    line = backroom("breakers").out.splitlines()[1]
    assert line.startswith("bank")
    assert "open, tried in" in line
    assert "for the breaker bank" in backroom("why", second.id).out
    assert backroom("breakers", "--close", "bank").out == "bank is closed.\n"
    assert backroom("breakers", "--close", "bank").out == "bank has counted no failures.\n"
    assert second.status().wait().state is State.READY


def test_a_limit_is_changed_at_run_time_and_kept_over_a_deploy(
    backroom: Terminal, client: Backroom
) -> None:
    declared = QueueRules("mail", concurrency=5, max_waiting=100)
    client.office.doors.call(Declare(declared))
    said = backroom("limit", "mail", "--concurrency", "2", "--by", "Ann")
    assert said.out == "mail: 2 at once; at most 100 waiting.\n"
    client.office.doors.call(Declare(declared))  # as every program does that opens the database
    row = queue_of(backroom, "mail")
    assert (row["concurrency"], row["max_waiting"], row["set_by"]) == (2, 100, "Ann")
    assert "set by Ann" in backroom("queues").out
    said = backroom("limit", "mail", "--max-waiting", "none", "--rate", "10", "--per", "60")
    assert said.out == "mail: 2 at once; 10 in 1 min.\n"
    assert backroom("limit", "mail", "--as-declared").out == "mail is as the code declares.\n"
    row = queue_of(backroom, "mail")
    assert (row["concurrency"], row["max_waiting"], row["set_by"]) == (5, 100, None)
    assert backroom("limit", "mail", "--as-declared").out == "mail was already.\n"


def test_a_limit_that_cannot_be_is_refused(backroom: Terminal, client: Backroom) -> None:
    assert "can't be" in backroom("limit", "mail", "--concurrency", "0").err
    assert "neither a whole number nor none" in backroom("limit", "mail", "--burst", "x").err
    assert "needs both" in backroom("limit", "mail", "--rate", "5").err
    assert backroom("queues", "--json").json() == []
