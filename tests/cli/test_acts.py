"""`backroom start`, `cancel`, `retry`, `reschedule` and `emit`."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backroom import Backroom, State
from backroom.records.errors import RunFailed
from tests.cli import shop
from tests.cli.conftest import Terminal

SHOP = ("--app", "tests.cli.shop:app")


def start(backroom: Terminal, *arguments: str) -> list[str]:
    return ["start", *arguments, *SHOP, "--database", backroom.database]


def test_start_prints_the_id(backroom: Terminal, client: Backroom) -> None:
    said = backroom(*start(backroom, "ship", "--arg", 'order="pen"', "--arg", "copies=2"))
    assert said.code == 0, said.err
    run_id = said.out.strip()
    shown = backroom("show", "--json", run_id).json()
    assert shown["flow"] == "ship"
    assert shown["input"] == {"order": "pen", "copies": 2}
    assert shown["state"] == "ready"


def test_start_takes_all_arguments_as_one_object(backroom: Terminal, client: Backroom) -> None:
    whole = '{"order": "pen", "copies": 3}'
    by_option = backroom(*start(backroom, "ship", "--input", whole, "--json")).json()
    by_stdin = backroom(*start(backroom, "ship", "--input", "-", "--json"), stdin=whole).json()
    assert by_option["created"] is True
    assert by_stdin == {"id": by_option["id"], "flow": "ship", "created": False}


def test_a_key_that_is_taken_is_said(backroom: Terminal, client: Backroom) -> None:
    first = backroom(*start(backroom, "ship", "--arg", 'order="pen"'))
    again = backroom(*start(backroom, "ship", "--arg", 'order="pen"'))
    assert again.out == first.out
    assert "nothing new was stored" in again.err
    other = backroom(*start(backroom, "ship", "--arg", 'order="pen"', "--key", "other"))
    assert other.out != first.out


def test_start_takes_a_time_a_queue_and_a_priority(backroom: Terminal, client: Backroom) -> None:
    options = ("--arg", 'order="pen"', "--queue", "slow", "--priority", "0")
    late = backroom(*start(backroom, "ship", *options, "--delay", "2h", "--json")).json()
    shown = backroom("show", "--json", late["id"]).json()
    assert (shown["queue"], shown["priority"], shown["state"]) == ("slow", 0, "scheduled")
    at = ("--arg", 'order="ink"', "--at", "2999-03-01T08:00:00+01:00")
    later = backroom(*start(backroom, "ship", *at, "--json")).json()
    shown = backroom("show", "--json", later["id"]).json()
    assert shown["available_at"] == "2999-03-01T07:00:00.000Z"


def test_start_waits_for_the_result(backroom: Terminal, client: Backroom) -> None:
    with client.working():
        run = shop.ship.start("pen")
        run.result().wait(20)
    wait = ("--arg", 'order="pen"', "--wait")  # the key's run has ended already
    said = backroom(*start(backroom, "ship", *wait))
    assert said.code == 0
    assert said.out.splitlines()[0] == run.id
    assert '"weight": 3' in said.out
    told = backroom(*start(backroom, "ship", *wait, "--json")).json()
    assert told["state"] == "succeeded"
    assert told["result"] == {"weight": 3}


def test_waiting_for_a_run_that_failed_is_an_error(backroom: Terminal, client: Backroom) -> None:
    with client.working():
        run = shop.pay.using(key="one").start(Decimal("5"))
        with pytest.raises(RunFailed):
            run.result().wait(20)
    pay = ("--arg", 'amount="5"', "--key", "one", "--wait")
    said = backroom(*start(backroom, "pay", *pay))
    assert said.code == 1
    assert "Error: Run" in said.err
    assert "no money: 5" in said.err
    said = backroom(*start(backroom, "pay", *pay, "--json"))
    assert said.code == 1
    assert '"state": "failed"' in said.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["nothing"], 1, "No flow is named 'nothing' here."),
        (["ship"], 1, "missing a required argument: 'order'"),
        (["ship", "--arg", "order=pen"], 2, "--arg order isn't JSON"),
        (["ship", "--arg", "order"], 2, "has to be name=JSON"),
        (["ship", "--arg", "order=NaN"], 2, "NaN is no number of JSON"),
        (["ship", "--input", "[1]"], 2, "has to be a JSON object"),
        (["ship", "--input", "{"], 2, "--input isn't JSON"),
        (["ship", "--arg", "order=1", "--arg", 'copies="many"'], 1, "copies"),
        (["ship", "--arg", 'order="a"', "--arg", "colour=1"], 1, "colour"),
        (["ship", "--arg", 'order="a"', "--delay", "soon"], 2, "90s, 15min, 2h, 3d"),
        (["ship", "--arg", 'order="a"', "--delay", "99999999999d"], 1, "at most ten years"),
        (["ship", "--arg", 'order="a"', "--at", "2027-01-01"], 2, "with its time zone"),
        (["ship", "--arg", 'order="a"', "--at", "tomorrow"], 2, "with its time zone"),
        (
            ["ship", "--arg", 'order="a"', "--delay", "1", "--at", "2027-01-01T00:00:00Z"],
            1,
            "not both",
        ),
        (["ship", "--arg", 'order="a"', "--priority", "10"], 2, "0<=x<=9"),
        (["ship", "--arg", 'order="a"', "--queue", "no way"], 1, "can't be the name of a queue"),
    ],
)
def test_what_cannot_be_started_says_why(
    backroom: Terminal, client: Backroom, arguments: list[str], code: int, words: str
) -> None:
    said = backroom(*start(backroom, *arguments))
    assert said.code == code
    assert words in said.err
    assert "Traceback" not in said.err
    assert backroom("list", "--json").json() == [], "nothing was stored"


def test_cancel_says_what_has_become_of_the_run(backroom: Terminal, client: Backroom) -> None:
    run = shop.ship.start("pen")
    assert backroom("cancel", run.id, "--reason", "changed").out == f"{run.id} is cancelled.\n"
    assert run.status().wait().state is State.CANCELLED
    again = backroom("cancel", run.id)
    assert again.code == 0
    assert "cancelled" in again.out
    with client.working():
        done = shop.ship.start("ink")
        done.result().wait(20)
    assert backroom("cancel", done.id).out == f"{done.id} had ended already: succeeded.\n"
    assert "There is no run" in backroom("cancel", "nonsense").err


def test_what_can_be_done_is_done_and_what_cannot_is_said(
    backroom: Terminal, client: Backroom
) -> None:
    first, second = shop.ship.start("pen"), shop.ship.start("ink")
    said = backroom("reschedule", first.id, "nosuch", second.id, "--delay", "1h")
    assert (said.code, said.out.count("is due"), said.err.count("There is no run")) == (1, 2, 1)
    said = backroom("cancel", first.id, "nosuch", second.id)
    assert said.code == 1
    assert said.out == f"{first.id} is cancelled.\n{second.id} is cancelled.\n"
    assert said.err.startswith("Error: There is no run nosuch.")
    said = backroom("retry", "nosuch", first.id)
    assert (said.code, said.out) == (1, f"{first.id} is ready again.\n")


def test_retry_takes_a_failed_run_up_again(backroom: Terminal, client: Backroom) -> None:
    with client.working():
        run = shop.pay.start(Decimal("2"))
        with pytest.raises(RunFailed):
            run.result().wait(20)
    assert backroom("retry", run.id).out == f"{run.id} is ready again.\n"
    assert run.status().wait().state is State.READY
    waiting = shop.ship.using(delay=3600).start("pen")
    said = backroom("retry", waiting.id)
    assert said.code == 1
    assert "is scheduled and can't be retried" in said.err


def test_emit_puts_an_event_into_the_mailbox(backroom: Terminal, client: Backroom) -> None:
    run = shop.ask.start("why?")
    said = backroom("emit", run.id, "answer", '"because"')
    assert said.code == 0, said.err
    assert "in the mailbox" in said.out
    shown = backroom("show", "--json", run.id).json()
    assert [(m["name"], m["payload"]) for m in shown["events"]] == [("answer", "because")]
    assert re_emit(backroom, run.id) == 1
    with client.working():
        assert run.result().wait(20) == "because"
    assert "can't take an event" in backroom("emit", run.id, "answer").err


def re_emit(backroom: Terminal, run_id: str) -> int:
    for _ in range(2):
        assert backroom("emit", run_id, "other", "1", "--key", "k").code == 0
    shown = backroom("show", "--json", run_id).json()
    return [m["name"] for m in shown["events"]].count("other")


def test_a_payload_that_is_not_json_is_refused(backroom: Terminal, client: Backroom) -> None:
    run = shop.ask.start("why?")
    said = backroom("emit", run.id, "answer", "because")
    assert said.code == 2
    assert "the payload isn't JSON" in said.err
    assert "can't be the name of an event" in backroom("emit", run.id, "no way", "1").err


def test_reschedule_moves_what_has_not_begun(backroom: Terminal, client: Backroom) -> None:
    run = shop.ship.using(delay=3600).start("pen")
    said = backroom("reschedule", run.id, "--at", "2999-03-01T08:00:00+01:00")
    assert said.out == f"{run.id} is due 2999-03-01T07:00:00+00:00.\n"
    assert run.status().wait().state is State.SCHEDULED
    assert backroom("reschedule", run.id, "--delay", "0").code == 0
    with client.working():
        assert run.result().wait(20) == {"weight": 3}
    said = backroom("reschedule", run.id, "--delay", "2h")
    assert said.code == 1
    assert "is succeeded and can't be rescheduled" in said.err


def test_reschedule_wants_to_know_when(backroom: Terminal, client: Backroom) -> None:
    run = shop.ship.start("pen")
    assert backroom("reschedule", run.id).code == 2
    assert backroom("reschedule", run.id, "--delay", "1h", "--at", "2999-03-01T08:00Z").code == 2
    said = backroom("reschedule", run.id, "--delay", "soon")
    assert said.code == 2
    assert "can't be read" in said.err
    said = backroom("reschedule", run.id, "--delay", "9999d")
    assert said.code == 1
    assert "ten years" in said.err
