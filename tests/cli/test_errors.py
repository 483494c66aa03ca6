"""What is wrong with a database or an application is said in sentences, with exit code 1."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from backroom import Backroom
from backroom.app import settings
from backroom.app.settings import load
from backroom.app.stores import make_store
from backroom.records.errors import StoreDamaged
from tests.cli.conftest import Said, Terminal

# Even root is then bound to a file's mode: it drops the capability to pass over it.
BOUND_TO_MODES = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "backroom", *sys.argv[1:]])
"""


def fails(said: Said, *words: str) -> None:
    assert said.code == 1
    assert said.err.startswith("Error: ")
    assert said.out == ""
    for word in words:
        assert word in said.err
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    for command in (["list"], ["show", "x"], ["cancel", "x"], ["retry", "x"], ["emit", "x", "e"]):
        fails(
            Terminal(str(missing))(*command),
            f"There is no database {missing}.",
            "Run `backroom migrate`, or correct the path.",
        )
    assert not missing.exists(), "looking makes no file"


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    backroom = Terminal(str(tmp_path / "nowhere" / "backroom.db"))
    fails(backroom("migrate"), "There is no folder", "nowhere")


@pytest.mark.timeout(20)  # a damaged file isn't waited for
def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of a database here, but long enough to look like one" * 20)
    fails(Terminal(str(path))("list"), "is no SQLite database")
    with pytest.raises(StoreDamaged, match="restore a backup"):
        Backroom(path, migrate="never").run("01a20e70-497f-7000-8093-98c6cb2f3a13").cancel().wait()


def test_an_empty_address(monkeypatch: pytest.MonkeyPatch) -> None:
    fails(Terminal("")("list"), "The database's address is empty", "unset BACKROOM_DATABASE")


def test_a_variable_that_is_no_setting_is_told_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("BACKROOM_GRAZE", "3")
    monkeypatch.setenv("BACKROOM_XYZZYPLUGH", "3")
    monkeypatch.setattr(settings, "_told", set())  # another test of this process may have caused it
    load()
    load()
    assert [r.getMessage() for r in caplog.records] == [
        "BACKROOM_GRAZE is set but is no setting; the nearest one is BACKROOM_GRACE. Correct its "
        "name, or unset it.",
        "BACKROOM_XYZZYPLUGH is set but is no setting. Correct its name, or unset it.",
    ]


@pytest.mark.blank
def test_a_database_that_is_not_migrated(database: str, backroom: Terminal) -> None:
    if "://" not in database:
        sqlite3.connect(database).close()
        Path(database).touch()
    fails(backroom("list"), "Run `backroom migrate`")
    said = backroom("migrate", "--check")
    assert said.code == 1
    assert backroom("migrate").code == 0
    assert backroom("migrate", "--check").code == 0
    assert backroom("list").out == "No runs.\n"


def test_a_schema_that_is_newer(database: str, backroom: Terminal) -> None:
    store = make_store(load(database=database))
    insert = (
        "INSERT INTO {} (number, name, checksum, applied_at) VALUES (99, '0099_later', 'x', {})"
    )
    if "://" in database:
        import psycopg

        with psycopg.connect(database) as connection:
            connection.execute(insert.format("backroom.migration", "now()"))
    else:
        with sqlite3.connect(database) as file:
            file.execute(insert.format("backroom_migration", "'2030-01-01'"))
        file.close()
    store.close()
    for command in (["list"], ["migrate"], ["worker", "tests.cli.shop:app"]):
        said = backroom(*command) if command[0] != "worker" else run(database, *command)
        fails(said, "is newer than this program", "0099_later")


def test_a_file_that_is_read_only(sqlite_path: Path) -> None:
    make_store(load(database=str(sqlite_path))).migrate()
    sqlite_path.chmod(0o444)
    sqlite_path.parent.chmod(0o555)
    try:
        said = run(str(sqlite_path), "cancel", "x", bound=True)
        fails(said, "is read-only", "Make")
        said = run(str(sqlite_path), "worker", "tests.cli.shop:app", bound=True)
        fails(said, "is read-only", "Make")
    finally:
        sqlite_path.parent.chmod(0o755)


def test_a_server_that_accepts_no_writes(postgres_dsn: str) -> None:
    import psycopg

    backroom = Terminal(postgres_dsn)
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    assert backroom("list").code == 0
    fails(backroom("cancel", "01a20c82-0000-7000-8000-000000000000"), "accepts no writes")


def test_a_server_that_is_not_there_and_its_password(postgres_dsn: str) -> None:
    address = "postgresql://me:s3cret@127.0.0.1:1/nothing"
    backroom = Terminal(address)
    fails(backroom("list"), "127.0.0.1")
    assert "s3cret" not in backroom("list").err
    doctor = backroom("doctor")
    assert doctor.code == 1
    assert "postgresql://me:***@127.0.0.1:1/nothing" in doctor.out
    assert "s3cret" not in doctor.out + doctor.err + backroom("doctor", "--json").out
    worker = run(address, "worker", "tests.cli.shop:app")
    fails(worker, "127.0.0.1")
    assert "s3cret" not in worker.err


def test_an_address_that_leads_to_no_database_of_ours() -> None:
    fails(Terminal("mysql://localhost/x")("list"), "mysql:// is no database")
    fails(Terminal(":memory:")("list"), "A database in memory", "Name a file")


def test_settings_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backroom = Terminal(str(tmp_path / "backroom.db"))
    monkeypatch.setenv("BACKROOM_CONCURRENCY", "many")
    fails(backroom("list"), "concurrency", "BACKROOM_*")
    monkeypatch.delenv("BACKROOM_CONCURRENCY")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.backroom\n")
    fails(backroom("list"), "is no valid TOML")
    (tmp_path / "pyproject.toml").write_text("[tool.backroom]\nlaese = 3\n")
    fails(backroom("list"), "laese")


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ("", "Which application?"),
        ("tests.cli.nothing:app", "There is no module 'tests.cli.nothing'"),
        (
            "tests.cli.shop:appp",
            "tests.cli.shop has no 'appp'. Correct the name: tests.cli.shop:app.",
        ),
        ("tests.cli.shop:log", "is a Logger, not a Backroom"),
        ("tests/cli/shop.py:app", "names no module"),
        ("json", "Which application of json is meant? It has none"),
    ],
)
def test_an_application_that_is_not_there(
    backroom: Terminal, app: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("--app", app) if app else ()
    fails(backroom("start", "ship", *arguments), words)


def test_an_application_is_found_without_its_name(backroom: Terminal, client: Backroom) -> None:
    arguments = ("--app", "tests.cli.shop", "--database", backroom.database)
    said = backroom("start", "ship", "--arg", 'order="pen"', *arguments)
    assert said.code == 0, said.err


def test_an_application_that_raises_while_it_is_imported(
    backroom: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "torn.py").write_text("import nothing_of_that_name\n")
    said = backroom("start", "ship", "--app", "torn:app")
    assert said.code == 1
    assert "Importing torn failed" in said.err
    assert 'torn.py", line 1' in said.err
    assert "No module named 'nothing_of_that_name'" in said.err
    assert "loading.py" not in said.err


def test_a_wrong_option_has_exit_code_2(backroom: Terminal) -> None:
    said = backroom("list", "--state", "done")
    assert said.code == 2
    assert "'done' is not one of" in said.err
    assert backroom("wrok").code == 2
    assert backroom("worker", "-n", "0").code == 2


NOWHERE = "01a20c82-0000-7000-8000-000000000000"
START = ("start", "ship", "--app", "tests.cli.shop:app", "--arg")


@pytest.mark.parametrize(
    ("command", "cause", "remedy"),
    [
        (("show", "x"), "There is no run x.", "Check the id"),
        (("why", NOWHERE), f"There is no run {NOWHERE}.", "Check the id"),
        (("cancel", NOWHERE), f"There is no run {NOWHERE}.", "Check the id"),
        (("retry", NOWHERE), f"There is no run {NOWHERE}.", "Check the id"),
        (("reschedule", NOWHERE, "--delay", "1h"), f"There is no run {NOWHERE}.", "Check the id"),
        (("emit", NOWHERE, "go"), f"There is no run {NOWHERE}.", "Check the id"),
        (("emit", NOWHERE, "go now"), "can't be the name of an event", "Use letters"),
        (("pause", "a queue"), "can't be the name of a queue", "Use letters"),
        ((*START, "order=3"), "order: Input should be a valid string", "Pass what"),
        ((*START, 'ordr="pen"'), "missing a required argument: 'order'", "Pass the arguments"),
        ((*START, 'order="pen"', "--key", "k" * 201), "A key has 1 to 200", "this one has 201"),
        ((*START, 'order="pen"', "--queue", "a b"), "can't be the name of a queue", "Use letters"),
        ((*START, 'order="pen"', "--delay", "9999d"), "A delay of", "at most ten years"),
        ((*START, 'order="pen"', "--at", "9999-12-31T00:00Z"), "can't be waited for", "Use a"),
        ((*START, f'order="{"x" * 1_100_000}"'), "more than the limit", "pass its name"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_can_not_be_is_refused_with_a_remedy(
    backroom: Terminal, client: Backroom, command: tuple[str, ...], cause: str, remedy: str
) -> None:
    where = ("--database", backroom.database) if command[0] == "start" else ()
    fails(backroom(*command, *where), cause, remedy)
    assert backroom("list").out == "No runs.\n", "and nothing was stored"


def test_help_names_every_command_without_cutting(backroom: Terminal) -> None:
    said = backroom("--help")
    for name in ("worker", "serve", "migrate", "start", "list", "show", "cancel", "retry", "emit"):
        assert f"\n  {name} " in said.out
    commands = said.out[said.out.index("Commands:") :]
    assert "..." not in commands
    assert max(map(len, said.out.splitlines())) <= 80


def run(database: str, *arguments: str, bound: bool = False) -> Said:
    """The program as a process of its own; `bound`: file modes count, for root as well."""
    command = ["-c", BOUND_TO_MODES] if bound else ["-m", "backroom"]
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        env=os.environ | {"BACKROOM_DATABASE": database}, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout, done.stderr)
