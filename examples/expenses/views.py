"""backroom's public views, for joins with our own tables.

They are stable: columns are added, never renamed or removed. On SQLite they are called
`backroom_runs` and `backroom_steps` and give times as ISO text; on PostgreSQL they are `runs` and
`steps` in backroom's schema and give timestamps.
"""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import FromClause, column, table

from examples.expenses.app import app
from examples.expenses.database import is_sqlite
from examples.expenses.tables import RunId

__all__ = ["moment", "runs", "steps"]


def runs() -> FromClause:
    return _view("runs", "id", "state", "status", "progress", "attempt", "error", "available_at")


def steps() -> FromClause:
    return _view("steps", "run_id", "name", "kind", "state", "tries", "attempt", "finished_at")


def moment(value: datetime | str | None) -> datetime | None:
    """A time of a view as a moment in UTC."""
    if value is None:
        return None
    found = datetime.fromisoformat(value) if isinstance(value, str) else value
    return found.astimezone(UTC)


def _view(name: str, run_id: str, *others: str) -> FromClause:
    columns = column(run_id, RunId), *(column(each) for each in others)
    if is_sqlite():
        return table(f"backroom_{name}", *columns)
    return table(name, *columns, schema=app.settings.schema_name)
