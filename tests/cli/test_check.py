"""`backroom check`: runs that an old program has begun, against a new one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from backroom import Backroom, Run
from backroom.cli.loading import load_app
from backroom.testing import at_work, eventually
from tests.cli.conftest import Said, Terminal

OLD = """
import asyncio
from pathlib import Path
from backroom import Backroom, Rollback, current_run, first, gather, sleep, step, wait_for_event

app = Backroom()
done = Path(__file__).with_suffix(".done")

def note(what):
    with done.open("a") as file:
        file.write(what + "\\n")

async def refund(cents: int, paid: str | None) -> None:
    note("refund")

@step(undo=refund)
async def charge(cents: int) -> str:
    note("charge")
    return f"paid {cents}"

@step
async def pack(what: str) -> str:
    note(f"pack {what}")
    return what

@step
def label(what: str) -> str:
    note(f"label {what}")
    return what

@app.flow
async def ship() -> str:
    paid = await charge(5)
    await gather(pack("pen"), asyncio.to_thread(label, "box"))
    await wait_for_event("go")
    await pack("ink")
    return paid

@app.flow
def send() -> str:
    one = label("one")
    wait_for_event("go").wait()
    return label(one + "more")

@app.flow
async def parent() -> str:
    started = await child.start(1)
    note("parent's own code")
    print("the flow prints this")
    await started.emit("news", "from the parent")
    return await started.result()

@app.flow
async def child(n: int) -> str:
    await wait_for_event("never")
    return "child"
"""

BESIDE = """

async def by_post() -> str:
    sent = await pack("letter")
    await wait_for_event("go")
    return sent

@app.flow(otherwise=by_post)
async def deliver() -> str:
    await pack("parcel")
    raise Rollback("no bike")
"""

numbers = count()


class House:
    """An old program that has runs under way, and new ones that are checked against them."""

    def __init__(self, database: str, folder: Path, backroom: Terminal) -> None:
        self.folder = folder
        self.backroom = backroom
        self.old, self.name = self.program(OLD + BESIDE)
        self.old.override(database=database)

    def program(self, text: str) -> tuple[Backroom, str]:
        name = f"house_{next(numbers)}"
        (self.folder / f"{name}.py").write_text(text)
        return load_app(f"{name}:app"), name

    def waits(self, flow: str) -> Run[Any]:
        """A run that the old program has taken up to its wait."""
        with at_work(self.old):
            run = self.old.start(flow)
            eventually(lambda: run.status().wait().state == "waiting")
        return run

    def check(self, change: Callable[[str], str], *options: str) -> Said:
        """What is said of a new program; no step of it is called."""
        text = change(OLD + BESIDE)
        assert text != OLD + BESIDE or not options or change is unchanged
        _app, name = self.program(text)
        said = self.backroom("check", "--app", f"{name}:app", *options)
        assert not (self.folder / f"{name}.done").exists() or "parent" in self.did(name)
        return said

    def did(self, name: str) -> str:
        return (self.folder / f"{name}.done").read_text()


def unchanged(text: str) -> str:
    return text


def swapped(before: str, after: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert before in text
        return text.replace(before, after)

    return change


@pytest.fixture
def house(
    database: str, tmp_path: Path, backroom: Terminal, monkeypatch: pytest.MonkeyPatch
) -> Iterator[House]:
    monkeypatch.syspath_prepend(tmp_path)
    house = House(database, tmp_path, backroom)
    yield house
    house.old.close()


def test_the_same_code_fits(house: House) -> None:
    house.waits("ship")
    house.waits("send")
    said = house.check(unchanged)
    assert said.code == 0
    assert said.out == "2 runs are under way, and all of them fit.\n"


def test_a_changed_argument_is_a_mismatch_at_its_address(house: House) -> None:
    run = house.waits("ship")
    said = house.check(swapped("charge(5)", "charge(6)"), "--json")
    assert said.code == 1
    assert json_of(said) == {
        "checked": 1,
        "findings": [
            {
                "run": run.id, "flow": "ship", "state": "waiting", "kind": "mismatch",
                "address": "charge#1",
                "what": "it was made from other arguments than the step now gets. If they may "
                "differ between replays (a time, a random number), make them in a step of their "
                "own, or say check_input=False",
            }
        ],
    }  # fmt: skip


def test_a_run_on_its_alternative_path_is_checked_there(house: House) -> None:
    run = house.waits("deliver")
    assert house.check(unchanged).code == 0
    assert house.check(swapped('pack("parcel")', 'pack("box")')).code == 0  # it came by that before

    said = house.check(swapped('pack("letter")', 'pack("card")'), "--json")
    assert said.code == 1
    (finding,) = json_of(said)["findings"]
    assert (finding["run"], finding["kind"]) == (run.id, "mismatch")
    assert finding["address"] == "otherwise/pack#1"

    said = house.check(swapped('sent = await pack("letter")', 'sent = "by hand"'), "--json")
    (finding,) = json_of(said)["findings"]
    assert (finding["kind"], finding["address"]) == ("unreached", "otherwise/pack#1")


def test_a_person_reads_where_and_what_to_do(house: House) -> None:
    run = house.waits("ship")
    said = house.check(swapped("charge(5)", "charge(6)"))
    assert said.code == 1
    heads, line = said.out.splitlines()
    assert heads.split() == ["RUN", "FLOW", "STATE", "FINDING", "ADDRESS", "WHAT"]
    assert line.split()[:5] == [run.id, "ship", "waiting", "mismatch", "charge#1"]
    assert "will be set aside for a person" in said.err


def test_a_changed_type_of_a_result_is_a_mismatch(house: House) -> None:
    house.waits("send")
    change = swapped(
        'def label(what: str) -> str:\n    note(f"label {what}")\n    return what',
        "def label(what: str) -> int:\n    return len(what)",
    )
    (finding,) = json_of(house.check(change, "--json"))["findings"]
    assert finding["address"] == "label#1"
    assert finding["kind"] == "mismatch"
    assert "its type has changed" in finding["what"]


def test_a_renamed_step_is_out_of_reach_unless_it_has_an_alias(house: House) -> None:
    house.waits("ship")
    renamed = swapped("charge(", "bill(")
    (finding,) = json_of(house.check(renamed, "--json"))["findings"]
    assert (finding["kind"], finding["address"]) == ("unreached", "charge#1")
    assert "the code comes to bill#1 without it; so are 2 more" in finding["what"]
    alias = "@step(undo=refund, aliases=('charge',))"
    aliased = house.check(lambda text: renamed(text).replace("@step(undo=refund)", alias))
    assert aliased.code == 0, aliased.out


def test_an_inserted_step_keeps_what_is_behind_it_out_of_reach(house: House) -> None:
    house.waits("send")
    inserted = swapped('one = label("one")', 'note_first()\n    one = label("one")')
    new_step = "@step\ndef note_first() -> None:\n    note('called')\n\n@app.flow\ndef send"

    def change(text: str) -> str:
        return inserted(text).replace("@app.flow\ndef send", new_step)

    assert house.check(change, "--json").code == 1
    assert house.check(change, "--allow-unreached").code == 0


def test_a_flow_that_is_gone_and_one_that_raises_are_found(house: House) -> None:
    house.waits("send")
    gone = json_of(house.check(swapped("@app.flow\ndef send", "def send"), "--json"))
    assert "No flow is named 'send'" in gone["findings"][0]["what"]
    raising = swapped('    wait_for_event("go").wait()', '    raise KeyError("gone")')
    (finding,) = json_of(house.check(raising, "--json"))["findings"]
    assert (finding["kind"], finding["what"]) == ("fails", "KeyError: 'gone'")


def test_a_failing_flow_with_undos_is_found_and_undoes_nothing(house: House) -> None:
    house.waits("ship")
    raising = swapped('    await wait_for_event("go")', '    raise KeyError("gone")')
    (finding,) = json_of(house.check(raising, "--json"))["findings"]
    assert (finding["kind"], finding["what"]) == ("fails", "KeyError: 'gone'")


def test_what_a_flow_starts_and_sends_in_its_own_code_isnt_done(
    house: House, backroom: Terminal
) -> None:
    house.waits("parent")
    before = backroom("list", "--json").json()
    start = "await child.using(detached=True).start(2)"
    more = f'await started.emit("more")\n    {start}\n    return await'
    said = house.check(swapped("return await started", f"{more} started"), "--json")
    assert said.json() == {"checked": 2, "findings": []}  # and what the flow prints isn't there
    assert backroom("list", "--json").json() == before
    (child,) = [run["id"] for run in before if run["flow"] == "child"]
    letters = house.old.office.read(lambda reader: reader.mail([child])).result()
    assert [letter.name for letter in letters] == ["news"]  # from the old program


def test_runs_that_have_not_begun_are_checked_by_their_input(house: House) -> None:
    house.old.handle("child").start(1)
    (finding,) = json_of(house.check(swapped("child(n: int)", "child(m: str)"), "--json"))[
        "findings"
    ]
    assert (finding["kind"], finding["address"]) == ("mismatch", "the input")


def test_one_flow_or_some_runs_may_be_checked(house: House) -> None:
    house.waits("ship")
    for _ in range(3):
        house.waits("send")
    assert json_of(house.check(unchanged, "--json", "--flow", "ship"))["checked"] == 1
    assert json_of(house.check(unchanged, "--json", "--limit", "2"))["checked"] == 2


def test_a_flow_whose_own_code_waits_is_given_up(house: House) -> None:
    house.waits("send")
    slow = "import time; time.sleep(0.5); one = label('one')"
    waiting = swapped('one = label("one")', slow)
    said = house.check(waiting, "--json", "--seconds", "0.1")
    assert json_of(said)["findings"][0]["kind"] == "unfinished"


def test_a_check_changes_nothing_and_needs_to_read_only(
    house: House, database: str, request: pytest.FixtureRequest
) -> None:
    house.waits("ship")
    house.old.close()
    if "://" in database:
        with psycopg.connect(database, autocommit=True) as server:
            role = f"reader_{urlsplit(database).path[-8:]}"
            server.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'only'")
            server.execute(f"GRANT USAGE ON SCHEMA backroom TO {role}")
            server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA backroom TO {role}")
            parts = urlsplit(database)
            place = parts.netloc.rpartition("@")[2]
            reading = parts._replace(netloc=f"{role}:only@{place}").geturl()
            try:
                said = house.check(unchanged, "--database", reading)
            finally:
                server.execute(f"DROP OWNED BY {role}")
                server.execute(f"DROP ROLE {role}")
    else:
        with closing(sqlite3.connect(database)) as file:
            before = list(file.iterdump())
            said = house.check(unchanged)
            assert list(file.iterdump()) == before
    assert (said.code, said.out) == (0, "1 runs are under way, and all of them fit.\n")


def json_of(said: Said) -> Any:
    import json

    return json.loads(said.out)
