"""A catch-all mailbox for development: takes any mail on a loopback port, stores it, sends nothing.

It runs in the web application's process. The pages show what it took in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from sqlalchemy.dialects import postgresql, sqlite

from examples.expenses.config import config
from examples.expenses.database import is_sqlite, writing
from examples.expenses.tables import MailRow

__all__ = ["catch_all", "keep"]

log = logging.getLogger("expenses.mailbox")
logging.getLogger("mail.log").setLevel(logging.WARNING)  # else every line of every session


@contextmanager
def catch_all() -> Iterator[bool]:
    """Take mail for as long as the block lasts. False where mail goes to a real server, or another
    process has the port already and takes it."""
    if config.smtp_host:
        yield False
        return
    controller = Controller(
        _Handler(), hostname="127.0.0.1", port=config.catch_all_port, data_size_limit=1_000_000
    )
    try:
        controller.start()
    except OSError as error:
        log.warning("The catch-all mailbox can't open port %d: %s", config.catch_all_port, error)
        yield False
        return
    try:
        yield True
    finally:
        controller.stop()


class _Handler:
    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        try:
            await asyncio.to_thread(keep, content, tuple(envelope.rcpt_tos))
        except Exception:
            log.exception("A mail could not be kept")
            return "451 The mailbox can't take mail right now"
        return "250 OK"


def keep(content: bytes, recipients: tuple[str, ...]) -> None:
    message = message_from_bytes(content, policy=policy.default)
    assert isinstance(message, EmailMessage)
    body = message.get_body(preferencelist=("plain", "html"))
    values = {
        "message_id": str(message["Message-ID"] or f"<none-{datetime.now(UTC).timestamp()}>"),
        "sender": str(message["From"] or ""),
        "recipient": ", ".join(recipients),
        "subject": str(message["Subject"] or ""),
        "body": body.get_content() if body is not None else "",
        "claim": str(message["X-Claim"] or ""),
        "received_at": datetime.now(UTC),
        "deliveries": 1,
    }
    insert = (sqlite if is_sqlite() else postgresql).insert(MailRow).values(**values)
    with writing() as session:
        session.execute(
            insert.on_conflict_do_update(
                index_elements=["message_id"], set_={"deliveries": MailRow.deliveries + 1}
            )
        )
