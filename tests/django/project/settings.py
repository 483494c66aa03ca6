"""A Django project whose database is the one of the test: PROJECT_DATABASE has its address."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import django


def configured(address: str) -> dict[str, Any]:
    """An address as Django spells it."""
    if not address.startswith("postgresql"):
        return {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": address,
            "OPTIONS": {"timeout": 30},
        }
    parts = urlsplit(address)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.removeprefix("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port,
    }


SECRET_KEY = "nothing here is secret"
USE_TZ = True
DATABASES = {"default": configured(os.environ.get("PROJECT_DATABASE", "project.db"))}
INSTALLED_APPS = ["backroom.django", "tests.django.project"]
if django.VERSION < (6, 0):
    INSTALLED_APPS.append("django_tasks")
TASKS = {
    "default": {
        "BACKEND": "backroom.django.backend.BackroomBackend",
        "QUEUES": ["default", "mail"],
        "OPTIONS": {"poll": 0.02},
    },
    "later": {
        "BACKEND": "backroom.django.backend.BackroomBackend",
        "OPTIONS": {"on_commit": True},
    },
}
