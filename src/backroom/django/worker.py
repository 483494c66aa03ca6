"""What a worker of a Django project performs: its tasks, and the flows of its apps.

    python manage.py backroom worker

is the same as `backroom worker backroom.django.worker:app` with DJANGO_SETTINGS_MODULE set.
"""

from __future__ import annotations

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import autodiscover_modules

from backroom.app.backroom import Backroom

__all__ = ["app"]


def found_application() -> Backroom:
    """The one Backroom of the project's backends, with the queues of all of them."""
    if not apps.ready:
        django.setup()
    from backroom.django.application import application
    from backroom.django.backend import BackroomBackend
    from backroom.django.interface import task_backends

    autodiscover_modules("flows")
    backends = [task_backends[alias] for alias in task_backends.settings]
    ours = [backend for backend in backends if isinstance(backend, BackroomBackend)]
    found = {id(backend.backroom): backend.backroom for backend in ours}
    if len(found) > 1:
        raise ImproperlyConfigured(
            "The backends of TASKS keep their runs in several databases, and a worker serves one. "
            "Give each an application of its own (OPTIONS['app']) and start a worker for each."
        )
    only = next(iter(found.values()), None) or application()
    if not only.settings.queues:
        queues = {queue for backend in ours for queue in backend.queues}
        queues |= {spec.queue for spec in only.flows.values()} | {"default"}
        only.override(queues=tuple(sorted(queues)))
    return only


app = found_application()
