"""The project's Backroom: its runs are kept in a database that `settings.DATABASES` names."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from backroom.app.backroom import Backroom
from backroom.records.errors import Refused

if TYPE_CHECKING:
    from backroom.app.settings import Settings

__all__ = ["ProjectBackroom", "address_of", "application", "in_memory"]

# What may stand in a database's OPTIONS and is Django's own business, not libpq's.
NOT_LIBPQS = frozenset(
    {"assume_role", "client_encoding", "cursor_factory", "isolation_level", "pool"}
    | {"server_side_binding"}
)

made: dict[str, ProjectBackroom] = {}
making = threading.Lock()


def application(database: str = "default", **settings: Any) -> Backroom:
    """The Backroom of this database of Django's; the same one for all who ask in this process.

    Flows are declared with it: `app = application()`, then `@app.flow`, in a module `flows` of any
    installed app. `settings` are for whoever asks first.
    """
    with making:
        if database not in made:
            made[database] = ProjectBackroom(database, **settings)
            if has_tasks():
                from backroom.django.performing import declare

                declare(made[database])
        return made[database]


def has_tasks() -> bool:
    """Whether there is django.tasks or django-tasks; without them there are flows all the same."""
    try:
        import backroom.django.interface  # noqa: F401
    except ImportError:
        return False
    return True


class ProjectBackroom(Backroom):
    """Asks for the address when it is needed: a test runner changes it after the start."""

    def __init__(self, alias: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.alias = alias

    @property
    def settings(self) -> Settings:
        from django.db import connections

        address = address_of(connections[self.alias].settings_dict)
        if address != self._given["database"] and self._office is None:
            self._given["database"] = address
            self._settings = None
        return super().settings


def address_of(settings: Mapping[str, Any]) -> str:
    """A database of `settings.DATABASES` as an address of ours."""
    engine, name = str(settings["ENGINE"]), str(settings["NAME"] or "")
    if engine.endswith(("sqlite3", "spatialite")):
        if in_memory(settings):
            raise Refused(
                "Django's database is in memory, where runs can't be kept. Name a file; for tests, "
                'in DATABASES["default"]["TEST"]["NAME"].'
            )
        return name
    if not engine.endswith(("postgresql", "postgis")):
        raise Refused(
            f"Runs can't be kept in a database of {engine}. Use SQLite or PostgreSQL, or name a "
            'Backroom of your own: OPTIONS = {"app": "module:name"}.'
        )
    user = quote(str(settings["USER"] or ""), safe="")
    password = quote(str(settings["PASSWORD"] or ""), safe="")
    login = f"{user}:{password}@" if password else f"{user}@" if user else ""
    host, port = str(settings["HOST"] or ""), str(settings["PORT"] or "")
    words = {
        key: str(value)
        for key, value in (settings["OPTIONS"] or {}).items()
        if key not in NOT_LIBPQS and isinstance(value, str | int)
    }
    if host.startswith("/"):
        words["host"], host = host, ""
        if port:
            words["port"], port = port, ""
    place = f"{host}:{port}" if port else host
    query = f"?{urlencode(words)}" if words else ""
    return f"postgresql://{login}{place}/{quote(name, safe='')}{query}"


def in_memory(settings: Mapping[str, Any]) -> bool:
    """Whether it is one of SQLite's databases that end with their process."""
    name = str(settings["NAME"] or "")
    return str(settings["ENGINE"]).endswith(("sqlite3", "spatialite")) and (
        not name or ":memory:" in name or "mode=memory" in name
    )
