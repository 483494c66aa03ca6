"""A Django project on the database of each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import django
import pytest
from asgiref.local import Local

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.django.project.settings")
django.setup()

from django.db import connection, connections  # noqa: E402

from backroom import Backroom  # noqa: E402
from backroom.django import application  # noqa: E402
from backroom.django.application import made  # noqa: E402
from tests.django.project.settings import configured  # noqa: E402


def point(alias: str, address: str) -> None:
    """Let a database of Django's be this one, in every thread."""
    new = connections.configure_settings({"default": {}, alias: configured(address)})[alias]
    connections.settings[alias] = new
    vars(connections)["_connections"] = Local(connections.thread_critical)


@pytest.fixture
def project(database: str) -> Iterator[str]:
    """The project's database, with a table of its own and ours; its address."""
    before = dict(connections.settings)
    point("default", database)
    made.clear()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE note (text varchar(20))")
    application(poll=0.02).open()
    yield database
    for each in made.values():
        each.close()
    made.clear()
    connections.close_all()
    connections.settings.clear()
    connections.settings.update(before)


@pytest.fixture
def app(project: str) -> Backroom:
    """The Backroom of the project."""
    return application()
