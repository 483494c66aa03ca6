"""The Django app: makes our tables where `migrate` makes Django's, test databases included."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db import connections
from django.db.models.signals import post_migrate

__all__ = ["BackroomConfig"]


class BackroomConfig(AppConfig):
    name = "backroom.django"
    label = "backroom"
    verbose_name = "Background jobs"

    def ready(self) -> None:
        post_migrate.connect(make_tables, sender=self)


def make_tables(using: str, **kwargs: Any) -> None:
    """On the databases in which the project keeps runs: those of our backends, else "default"."""
    from backroom.app.stores import make_store
    from backroom.django.application import application, in_memory

    ours = [
        task.get("OPTIONS", {})
        for task in getattr(settings, "TASKS", {}).values()
        if str(task.get("BACKEND", "")).startswith("backroom.django.")
    ]
    keeping = {options.get("database", "default") for options in ours if not options.get("app")}
    engine = connections[using].settings_dict
    if using not in (keeping or {"default"}) or in_memory(engine):
        return
    if not str(engine["ENGINE"]).endswith(("sqlite3", "spatialite", "postgresql", "postgis")):
        return
    store = make_store(application(using).settings)
    try:
        store.migrate()
    finally:
        store.close()
