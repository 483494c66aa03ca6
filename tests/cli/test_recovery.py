"""`backroom retry`, `rewind` and `undone`, and what `show` tells of undos."""

from __future__ import annotations

import getpass

from backroom import Backroom, Run, State
from tests.cli import shop
from tests.cli.conftest import Terminal
from tests.flows.house import outcome


def stuck(client: Backroom) -> Run[None]:
    """A run whose first undo has failed."""
    shop.broken = True
    with client.working():
        run = shop.trip.start(["Athens", "Rhodes"])
        assert outcome(run) is State.NEEDS_ATTENTION
    return run


def test_show_lists_what_is_undone_and_what_is_open(backroom: Terminal, client: Backroom) -> None:
    run = stuck(client)
    out = backroom("show", run.id).out
    undos = out[out.index("Undos, in the order") :]
    assert "book#2  failed  ConnectionError: Rhodes doesn't answer" in undos
    assert "book#1  open" in undos
    assert "undo" not in out[out.index("Steps") : out.index("Undos")], "that is bookkeeping"
    assert "Error of undoing book#2" in out
    shown = backroom("show", "--json", run.id).json()
    assert [(undo["step"], undo["state"]) for undo in shown["undos"]] == [
        ("book#2", "failed"),
        ("book#1", "open"),
    ]
    assert "undo the rest by hand" in backroom("why", run.id).out
    assert "being undone already" in backroom("cancel", run.id).out


def test_undone_keeps_who_did_it_and_how(backroom: Terminal, client: Backroom) -> None:
    run = stuck(client)
    said = backroom("undone", run.id, "book#2", "--note", "phoned them", "--by", "ann")
    assert said.out == f"It is kept that book#2 of {run.id} has been undone by hand.\n"
    shop.broken = False
    with client.working():
        assert outcome(run) is State.FAILED
    out = backroom("show", run.id).out
    assert "book#2  by hand  phoned them (ann)" in out
    assert "book#1  undone" in out
    assert "undone   " in out[out.index("what was done about it") :]
    again = backroom("undone", run.id, "book#2", "--note", "phoned them")
    assert again.code == 1
    assert "no undo of it waits for a person" in again.err


def test_retry_goes_on_with_the_open_undos_and_keeps_who_asked(
    backroom: Terminal, client: Backroom
) -> None:
    run = stuck(client)
    shop.broken = False
    assert backroom("retry", run.id, "--by", "ann").out == f"{run.id} is ready again.\n"
    with client.working():
        assert outcome(run) is State.FAILED
    assert "Retried: by ann" in backroom("show", run.id).out
    said = backroom("retry", run.id)
    assert said.code == 1
    assert "rewind this one to book#1 or to what began before it" in said.err


def test_rewind_shows_what_it_means_before_it_does_it(backroom: Terminal, client: Backroom) -> None:
    with client.working():
        run = shop.ship.start("pen")
        run.result().wait(20)
    said = backroom("rewind", run.id, "--to", "weigh#1")
    assert said.code == 0, said.err
    assert "Done again, from the first on\n  weigh#1\n" in said.out
    assert "Nothing has been changed yet. To do it, add --yes." in said.out
    assert run.status().wait().state is State.SUCCEEDED
    plan = backroom("rewind", run.id, "--to", "weigh#1", "--json").json()
    assert (plan["again"], plan["done"]) == (["weigh#1"], False)
    said = backroom("rewind", run.id, "--to", "weigh#1", "--yes")
    assert f"{run.id} is ready again." in said.out
    assert run.status().wait().state is State.READY
    assert f"Rewound: to weigh#1 by {getpass.getuser()}; again: weigh#1" in (
        backroom("show", run.id).out
    )


def test_what_was_undone_is_told_by_rewind(backroom: Terminal, client: Backroom) -> None:
    run = stuck(client)
    shop.broken = False
    backroom("retry", run.id)
    with client.working():
        assert outcome(run) is State.FAILED
    out = backroom("rewind", run.id, "--to", "book#1").out
    assert "  book#1 (what it did has been undone)\n" in out


def test_rewind_refuses_with_the_remedy(backroom: Terminal, client: Backroom) -> None:
    run = shop.ship.start("pen")
    said = backroom("rewind", run.id, "--to", "weigh#1", "--yes")
    assert said.code == 1
    assert "Cancel it, or let it come to its end, first." in said.err
    assert "Missing option '--to'" in backroom("rewind", run.id).err
