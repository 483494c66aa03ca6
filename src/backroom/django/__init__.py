"""Backroom in a Django project: runs in Django's own database, and a backend for `django.tasks`.

    INSTALLED_APPS = [..., "backroom.django"]
    TASKS = {"default": {"BACKEND": "backroom.django.backend.BackroomBackend"}}

    python manage.py backroom worker

    apps.py          makes our tables beside Django's, when `migrate` makes those
    application.py   the project's Backroom, on a database of `DATABASES`
    backend.py       the backend: tasks as runs, runs as task results
    performing.py    the flows as which tasks are performed
    interface.py     django.tasks (Django 6), or the package django-tasks (Django 5)
    worker.py        what `backroom worker` performs in a Django project

Nobody below imports this room, and it uses only what any application could.
"""

from __future__ import annotations

from backroom.django.application import application

__all__ = ["application"]
