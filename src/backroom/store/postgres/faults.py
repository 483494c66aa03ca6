"""What the server or the network said, as errors of backroom: a cause, then a remedy.

The line that matters runs through the commit. Before it was sent, nothing is stored and we say so
(StoreUnavailable and its kin). Once it was sent, an error that the server itself reported still
means that nothing is stored, since a failed statement aborts its transaction; but a connection that
broke means that nobody can tell (OutcomeUnknown).
"""

from __future__ import annotations

from backroom.records.errors import (
    Contended,
    OutcomeUnknown,
    SchemaError,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

__all__ = [
    "LOCK_TIMEOUT",
    "PLAN_CHANGED",
    "breaks_connection",
    "fault",
    "is_passing",
    "is_pooled",
    "sqlstate",
]

LOCK_TIMEOUT = "55P03"
DEADLOCK = "40P01"
SERIALISATION = "40001"
PLAN_CHANGED = "0A000"  # "cached plan must not change result type", after a migration elsewhere
LOST_STATEMENT = ("26000", "42P05")  # a pooler gave us another session than the one prepared on

UNKNOWN = (
    "The connection to PostgreSQL broke while committing, so it isn't known whether it took. "
    "Look, or repeat the call with the same id: it is stored at most once."
)


def sqlstate(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def is_passing(error: BaseException) -> bool:
    """Whether the same transaction will do on a second try, on this connection or a new one."""
    state = sqlstate(error)
    return state in (DEADLOCK, SERIALISATION) or (
        state == PLAN_CHANGED and "cached plan" in str(error)
    )


def is_pooled(error: BaseException) -> bool:
    """Whether a prepared statement was lost: a pooler in between doesn't keep them."""
    return sqlstate(error) in LOST_STATEMENT


def breaks_connection(error: BaseException) -> bool:
    state = sqlstate(error)
    return not state or state[:2] == "08" or state[:3] == "57P"


def fault(error: BaseException, *, committing: bool = False) -> StoreError:
    """The error of ours that tells of this one of psycopg's."""
    state = sqlstate(error)
    said = " ".join(str(error).split()) or type(error).__name__
    if breaks_connection(error):
        if committing:
            return OutcomeUnknown(UNKNOWN)
        return StoreUnavailable(unreachable(state, said))
    match state:
        case "53100":
            return StoreFull(
                f"The disk of the PostgreSQL server is full ({said}). Make room on it."
            )
        case "25006":
            return StoreUnavailable(
                "The PostgreSQL server accepts no writes: it is a standby, or set to read-only. "
                "Point the address at the primary."
            )
        case "53300":
            return StoreUnavailable(
                f"The PostgreSQL server has no connection left for us ({said}). Raise "
                "max_connections, or put a pooler in front."
            )
        case "42P01" | "3F000" | "42883" | "42703":
            return SchemaError(
                f"The tables of backroom are missing or of another version ({said}). "
                "Run `backroom migrate`."
            )
        case "42501":
            return StoreUnavailable(
                f"The database role may not do this ({said}). Grant it the rights on the schema."
            )
        case "55P03":
            return Contended(
                "Another transaction holds a row or key that this call needs, for longer than the "
                "lock time-out; nothing was stored. Try again, and keep transactions that start "
                "runs short."
            )
        case "57014":
            return StoreUnavailable(
                f"The server cancelled the statement ({said}); nothing was stored. Raise "
                "statement_timeout, or look what slows the server down."
            )
    if state[:2] in ("53", "58", "XX"):
        return StoreUnavailable(f"The PostgreSQL server is in trouble: {said}. See its log.")
    return StoreError(
        f"PostgreSQL refused the transaction: {said} (SQLSTATE {state}). Report this."
    )


def unreachable(state: str, said: str) -> str:
    if state == "57P03" or "starting up" in said:
        return f"The PostgreSQL server isn't ready yet ({said}). Try again in a moment."
    if "password" in said or "authentication" in said or "no pg_hba" in said:
        return f"The PostgreSQL server refused to let us in ({said}). Correct user and password."
    if "does not exist" in said:
        return f"There is no such database or role ({said}). Create it, or correct the address."
    if "too many" in said or "remaining connection slots" in said:
        return (
            f"The PostgreSQL server has no connection left for us ({said}). Raise "
            "max_connections, or put a pooler in front."
        )
    return f"The PostgreSQL server can't be reached ({said}). Start it, or correct the address."
