"""The plug-in for pytest, in a project of somebody else's: a process of its own."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

# Without the other plug-ins, which take their time; so this one is named.
ENVIRONMENT = os.environ | {
    "PYTHONPATH": str(ROOT / "src"),
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}

PROJECT = """
from backroom import Backroom, sleep, step
from backroom.testing import did, eventually, simulate

app = Backroom("never-opened.db")

@step
async def charge() -> None:
    did("charge")

@app.flow
async def order() -> str:
    await charge()
    await sleep(days=30)
    return "done"

def test_order():
    simulate(order)

def test_waits_of_days(backroom_at_work):
    bench = backroom_at_work(app)
    run = order.start()
    eventually(lambda: run.status().wait().state == "waiting")
    bench.move_clock(days=31)
    assert run.result().wait(timeout=30) == "done"
"""


def run_pytest(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_project.py").write_text(PROJECT)
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "no:cacheprovider",
            "-p",
            "backroom.testing.plugin",
            *words,
        ],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_a_failure_prints_a_seed_that_replays_it(tmp_path: Path) -> None:
    found = run_pytest(tmp_path, "-k", "test_order")
    assert found.returncode == 1
    assert "order: 'charge' was done twice, without faults once." in found.stdout
    assert "Replay it with pytest --backroom-seed=before:2" in found.stdout
    again = run_pytest(tmp_path, "-k", "test_order", "--backroom-seed=before:2")
    assert again.returncode == 1
    assert "'charge' was done twice" in again.stdout


def test_an_application_is_at_work_on_a_private_database(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "-k", "test_waits_of_days")
    assert done.returncode == 0, done.stdout
    assert not (tmp_path / "never-opened.db").exists()


def test_the_plug_in_is_declared_and_imports_next_to_nothing() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared == {"pytest11": {"backroom": "backroom.testing.plugin"}}
    look = (
        "import sys, backroom.testing.plugin as p; "
        "print([m for m in ('pydantic', 'sqlite3', 'backroom.engine') if m in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    assert said.stdout.strip() == "[]"
