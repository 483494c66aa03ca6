"""Databases for every test: a SQLite file, a PostgreSQL database, or one test on both.

    def test_...(database): ...       # runs on SQLite and on PostgreSQL; the address as a string
    def test_...(sqlite_path): ...    # the path of a SQLite file that doesn't exist yet
    def test_...(postgres_dsn): ...   # the address of an empty PostgreSQL database
    def test_...(postgres): ...       # the server itself: make your own databases, look at its pid
    def test_...(chromium): ...       # where the browser is

`--postgres=newest|oldest|both|none` says on which PostgreSQL; the newest is the default.
`--pgbouncer=prepared|unprepared|both` sends the tests of `database` through PgBouncer in
transaction mode instead, with and without prepared statements.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from backroom.store.postgres import PostgresStore
from tests.pgbouncer import find_pgbouncer, through_pgbouncer
from tests.postgres import Server, drop_database, fresh_database, owned_folder, server_in
from tests.postgres_binaries import Version

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


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        stack = config.stash[open_until_the_end] = ExitStack()
        os.environ[FOLDER] = str(stack.enter_context(owned_folder()))


def pytest_unconfigure(config: pytest.Config) -> None:
    if open_until_the_end in config.stash:
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


@pytest.fixture
def postgres_dsn(postgres: Server) -> Iterator[str]:
    """The address of an empty PostgreSQL database, dropped after the test."""
    dsn = fresh_database(postgres)
    yield dsn
    drop_database(postgres, dsn)


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Where a SQLite file may be created."""
    return tmp_path / "backroom.db"


@pytest.fixture
def database(request: pytest.FixtureRequest, sqlite_path: Path) -> Iterator[str]:
    """The address of an empty database: the test runs once on SQLite, once on PostgreSQL."""
    if request.param == "sqlite":
        yield str(sqlite_path)
    elif isinstance(request.param, tuple):
        version, mode = request.param
        request.getfixturevalue("pgbouncer")
        prepare = mode == "prepared"
        monkeypatch = request.getfixturevalue("monkeypatch")
        monkeypatch.setenv("BACKROOM_PREPARE", str(prepare))
        monkeypatch.setitem(PostgresStore.__init__.__kwdefaults__ or {}, "prepare", prepare)
        server = server_in(Path(os.environ[FOLDER]), version)
        dsn = fresh_database(server)
        yield through_pgbouncer(Path(os.environ[FOLDER]), server, dsn)
        drop_database(server, dsn)
    else:
        server = server_in(Path(os.environ[FOLDER]), request.param)
        dsn = fresh_database(server)
        yield dsn
        drop_database(server, dsn)


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
