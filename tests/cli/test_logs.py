"""Log lines carry the run that they belong to, the author's own lines included."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from backroom import Backroom
from backroom.cli import logs
from tests.cli import shop


@contextmanager
def new_process() -> Iterator[logging.Logger]:
    """The root logger as a new process has it. Not a fixture: pytest adds its handlers later."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        yield root
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def performed(client: Backroom) -> str:
    with client.working():
        run = shop.ship.start("pen")
        run.result().wait(20)
    return run.id


def test_json_lines_have_the_run_as_fields(client: Backroom) -> None:
    stream = io.StringIO()
    with new_process():
        logs.configure("json", "INFO", stream)
        run_id = performed(client)
    lines: list[dict[str, Any]] = [json.loads(line) for line in stream.getvalue().splitlines()]
    shipping, weighing = [line for line in lines if line["logger"] == "shop"]
    assert shipping["message"] == "shipping"
    assert shipping["level"] == "info"
    assert (shipping["run_id"], shipping["flow"], shipping["attempt"]) == (run_id, "ship", 1)
    assert "step" not in shipping
    assert (weighing["run_id"], weighing["step"], weighing["tries"]) == (run_id, "weigh#1", 1)
    ours = [line for line in lines if line["logger"] == "backroom.worker"]
    assert ours
    assert all("run_id" not in line for line in ours)


def test_text_lines_name_the_run(client: Backroom) -> None:
    stream = io.StringIO()
    with new_process():
        logs.configure("text", "INFO", stream)
        run_id = performed(client)
    lines = stream.getvalue().splitlines()
    (shipping,) = [line for line in lines if "shipping" in line]
    assert shipping.endswith(f"INFO    shop: shipping  [ship {run_id} attempt 1]")
    (weighing,) = [line for line in lines if "weighing" in line]
    assert weighing.endswith(f"[ship {run_id} attempt 1 step weigh#1]")


def test_extra_fields_and_tracebacks_are_in_json() -> None:
    stream = io.StringIO()
    with new_process():
        logs.configure("json", "INFO", stream)
        try:
            raise ValueError("odd")
        except ValueError:
            logging.getLogger("shop").exception("failed", extra={"order": 7})
    line = json.loads(stream.getvalue())
    assert line["order"] == 7
    assert line["traceback"].endswith("ValueError: odd")


def test_an_applications_own_logging_stays_and_gets_the_fields(client: Backroom) -> None:
    stream = io.StringIO()
    own = logging.StreamHandler(stream)
    own.setFormatter(logging.Formatter("%(name)s %(message)s %(run_id)s", defaults={"run_id": ""}))
    with new_process() as root:
        root.addHandler(own)
        logs.configure("json", "INFO")
        run_id = performed(client)
        assert root.handlers == [own]
    assert f"shop shipping {run_id}\n" in stream.getvalue()
