"""Every limit, with its name, default and unit. At a limit backroom refuses; it never drops."""

from __future__ import annotations

__all__ = [
    "AFTER",
    "BREAKER_FAILURES",
    "CHAIN_DEPTH",
    "DEATHS",
    "DELAY_US",
    "ERROR_CHARS",
    "INTAKE_OPS",
    "JSON_DEPTH",
    "KEY_CHARS",
    "KEY_KEPT_US",
    "LOCKS",
    "MAILBOX_EVENTS",
    "MAP_ITEMS",
    "NAME_CHARS",
    "PAYLOAD_BYTES",
    "PRIORITIES",
    "QUEUE_CONCURRENCY",
    "QUEUE_RATE",
    "QUEUE_WAITING",
    "SCHEDULE_CATCH_UP",
    "SCHEDULE_JITTER_US",
    "SCHEDULE_LINE",
    "SLOT_KEPT_US",
    "STARTS",
    "STATUS_CHARS",
    "STEPS",
    "SWEEP_RUNS",
    "TRANSACTIONS",
    "TRIGGER_DEPTH",
    "VERSION",
    "WINDOW",
]

PAYLOAD_BYTES = 1024 * 1024  # one input, result or event, as JSON in UTF-8
JSON_DEPTH = 64  # nesting of lists and mappings in one payload
KEY_CHARS = 200
NAME_CHARS = 200  # flows, steps, queues, events
ERROR_CHARS = 4096  # an error's text and traceback, each; what is longer is cut in the middle
STATUS_CHARS = 500
PRIORITIES = range(10)  # 0 is the most urgent
STEPS = 10_000  # checkpoints of one run
MAILBOX_EVENTS = 1_000  # unread events of one run
CHAIN_DEPTH = 32  # runs started by runs started by runs …
TRIGGER_DEPTH = 8  # runs that triggers started, in one chain of causes
BREAKER_FAILURES = 10_000  # failures in a row, the most that a breaker may wait for
AFTER = 1_000  # runs that one run can begin after
LOCKS = 100  # names that one call of lock() asks for
DELAY_US = 10 * 366 * 24 * 3600 * 1_000_000  # ten years
STARTS = 3  # claims without progress after which a run that kills its worker is set aside
DEATHS = 3  # processes in a row that one step may cost, however many retries it has
MAP_ITEMS = 0x1000000  # items of one fan-out: what six digits of their runs' ids can count
WINDOW = 1_000  # child runs of one fan-out that are open at once
TRANSACTIONS = 16  # transaction steps of one process at work at once; others wait their turn
INTAKE_OPS = 100_000  # calls of one process that wait for the database's writer
VERSION = 1_000_000_000  # of a flow's code
QUEUE_CONCURRENCY = (
    10_000  # the highest limit that a queue can declare: it is counted at each claim
)
QUEUE_RATE = 1_000_000  # claims in a period, the highest rate that a queue can declare
QUEUE_WAITING = 100_000  # the highest `max_waiting`: it is counted at each start
SWEEP_RUNS = 1_000  # runs that one transaction expires or prunes
KEY_KEPT_US = 7 * 24 * 3600 * 1_000_000  # how long after its end a run with a key is kept at least
SCHEDULE_CATCH_UP = 1_000  # missed slots of a schedule that are started at most, each by a run
SCHEDULE_LINE = (
    100  # runs of a schedule that haven't ended; with overlap="queue" no more are started
)
SCHEDULE_JITTER_US = 24 * 3600 * 1_000_000  # the widest spread of a schedule's slots
SLOT_KEPT_US = 30 * 24 * 3600 * 1_000_000  # how long a decision about a slot is kept
