"""All errors of backroom, for `except errors.RunFailed:`. Their home is `records/errors.py`."""

from backroom.records.errors import *  # noqa: F403  a public door to one module, nothing else
from backroom.records.errors import __all__ as __all__
