"""Databases for every test: a SQLite file, a PostgreSQL database, or one test on both.

    def test_...(database): ...       # runs on SQLite and on PostgreSQL; the address as a string
    def test_...(sqlite_path): ...    # the path of a SQLite file that doesn't exist yet
    def test_...(sqlite_file): ...    # the path of one with our tables
    def test_...(postgres_dsn): ...   # the address of a PostgreSQL database
    def test_...(postgres): ...       # the server itself: make your own databases, look at its pid
    def test_...(chromium): ...       # where the browser is

The tables of `database` and `postgres_dsn` are made already and empty; with the marker `blank`
there are none. A PostgreSQL database has been other tests' before (`recycling.py`).

`--postgres=newest|oldest|both|none` says on which PostgreSQL; the newest is the default.
`--pgbouncer=prepared|unprepared|both` sends the tests of `database` through PgBouncer in
transaction mode instead, with and without prepared statements.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backroom.store.postgres import PostgresStore
from backroom.store.sqlite import SqliteStore
from tests.pgbouncer import find_pgbouncer, through_pgbouncer
from tests.postgres import Server, drop_database, fresh_database, owned_folder, server_in
from tests.postgres_binaries import Version
from tests.recycling import Stock, drop_moulds, recycled

CHOICES: dict[str, tuple[Version, ...]] = {
    "newest": ("newest",),
    "oldest": ("oldest",),
    "both": ("newest", "oldest"),
    "none": (),
}

POOLED: dict[str, tuple[str, ...]] = {
    "no": (),
    "prepared": ("prepared",),
    "unprepared": ("unprepared",),
    "both": ("prepared", "unprepared"),
}

# How the workers of pytest-xdist, which are other processes, learn of their controller's folder.
FOLDER = "BACKROOM_TEST_FOLDER"

open_until_the_end = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--postgres",
        choices=CHOICES,
        default="newest",
        help="which PostgreSQL to run the tests on (newest)",
    )
    parser.addoption(
        "--pgbouncer",
        choices=POOLED,
        default="no",
        help="run the tests of both databases through PgBouncer instead (no)",
    )
    parser.addoption(
        "--cluster-seeds",
        metavar="FIRST:COUNT",
        default="0:30",
        help="which simulated clusters to play (0:30); see tests/promises/simulation",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        stack = config.stash[open_until_the_end] = ExitStack()
        os.environ[FOLDER] = str(stack.enter_context(owned_folder()))


def pytest_unconfigure(config: pytest.Config) -> None:
    if open_until_the_end in config.stash:
        drop_moulds(Path(os.environ[FOLDER]))
        config.stash[open_until_the_end].close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for started in sorted(Path(os.environ[FOLDER]).glob("*.json")):
        release = json.loads(started.read_text())["release"]
        terminalreporter.write_line(f"The {started.stem} PostgreSQL was {release}.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    versions = CHOICES[metafunc.config.getoption("--postgres")]
    servers = [
        pytest.param(version, id=f"postgres-{version}", marks=pytest.mark.postgres)
        for version in versions
    ]
    if "database" in metafunc.fixturenames:
        pooled = [
            pytest.param(
                (versions[0], mode),
                id=f"pgbouncer-{mode}",
                marks=(pytest.mark.postgres, pytest.mark.pgbouncer),
            )
            for mode in POOLED[metafunc.config.getoption("--pgbouncer")]
        ]
        both = [pytest.param("sqlite", id="sqlite"), *servers]
        metafunc.parametrize("database", pooled or both, indirect=True)
    if "postgres" in metafunc.fixturenames:
        none = pytest.param("none", marks=pytest.mark.skip(reason="--postgres=none"))
        metafunc.parametrize("postgres", servers or [none], indirect=True, scope="session")


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Server:
    """The test session's server. Others use it too: keep to databases of your own."""
    return server_in(Path(os.environ[FOLDER]), request.param)


@pytest.fixture(scope="session")
def stock_of() -> Iterator[Callable[[Server], Stock]]:
    """The databases of a server that tests use one after another."""
    stocks: dict[str, Stock] = {}
    with ExitStack() as stack:

        def stock(server: Server) -> Stock:
            if server.dsn not in stocks:
                found = recycled(Path(os.environ[FOLDER]), server)
                stocks[server.dsn] = stack.enter_context(found)
            return stocks[server.dsn]

        yield stock


@pytest.fixture
def database_on(
    request: pytest.FixtureRequest, stock_of: Callable[[Server], Stock]
) -> Iterator[Callable[[Server], str]]:
    """The address of a database on this server, for this test alone."""
    with ExitStack() as stack:

        def made(server: Server) -> str:
            if request.node.get_closest_marker("blank"):
                dsn = fresh_database(server)
                stack.callback(drop_database, server, dsn)
                return dsn
            return stack.enter_context(stock_of(server).one())

        yield made


@pytest.fixture
def postgres_dsn(postgres: Server, database_on: Callable[[Server], str]) -> str:
    """The address of a PostgreSQL database."""
    return database_on(postgres)


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Where a SQLite file may be created."""
    return tmp_path / "backroom.db"


@pytest.fixture(scope="session")
def sqlite_mould(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with our tables, to be copied."""
    path = tmp_path_factory.mktemp("mould") / "backroom.db"
    store = SqliteStore(path)
    store.migrate()
    store.close()
    return path


@pytest.fixture
def sqlite_file(sqlite_path: Path, sqlite_mould: Path) -> Path:
    """A SQLite file with our tables, for this test alone."""
    shutil.copy(sqlite_mould, sqlite_path)
    return sqlite_path


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """The address of a database: the test runs once on SQLite, once on PostgreSQL."""
    if request.param == "sqlite":
        blank = request.node.get_closest_marker("blank")
        return str(request.getfixturevalue("sqlite_path" if blank else "sqlite_file"))
    if isinstance(request.param, tuple):
        version, mode = request.param
        request.getfixturevalue("pgbouncer")
        prepare = mode == "prepared"
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setenv("BACKROOM_PREPARE", str(prepare))
        server = server_in(Path(os.environ[FOLDER]), version)
        dsn = str(request.getfixturevalue("database_on")(server))
        defaults = PostgresStore.__init__.__kwdefaults__ or {}
        monkeypatch.setitem(defaults, "prepare", prepare)
        monkeypatch.setitem(defaults, "listen_dsn", dsn)  # nobody hears a doorbell through a pooler
        return through_pgbouncer(Path(os.environ[FOLDER]), server, dsn)
    server = server_in(Path(os.environ[FOLDER]), request.param)
    return str(request.getfixturevalue("database_on")(server))


@pytest.fixture(scope="session")
def pgbouncer() -> str:
    """The pooler's program. Without one the test is skipped, but in CI it fails."""
    if found := find_pgbouncer():
        return found
    if os.environ.get("CI"):
        pytest.fail("PgBouncer is not installed, and CI has to test the stores through it.")
    pytest.skip("PgBouncer is not installed")


@pytest.fixture
def pooled_dsn(pgbouncer: str, postgres: Server) -> Iterator[str]:
    """The address of an empty PostgreSQL database by way of PgBouncer."""
    dsn = fresh_database(postgres)
    yield through_pgbouncer(Path(os.environ[FOLDER]), postgres, dsn)
    drop_database(postgres, dsn)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's program. Without one the test is skipped, but in CI it fails."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("No Chromium is installed, and CI has to test the pages in one.")
    pytest.skip("no Chromium is installed")
