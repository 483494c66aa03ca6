"""Mail by SMTP.

The Message-ID is made from the step's key, so it is the same on every try and after every crash. A
mail goes out twice only if the process died between the server's "250 OK" and our commit; whoever
receives both can tell that they are one.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from backroom import current_run
from examples.expenses.config import config
from examples.expenses.letters import Letter

__all__ = ["TRY_LATER", "Undeliverable", "send"]


class Undeliverable(Exception):
    """The server will never take this mail; trying again is of no use."""


TRY_LATER = (aiosmtplib.SMTPException, OSError, TimeoutError)
"""What a later try may get over. A refusal for good is `Undeliverable`, not one of these."""


async def send(letter: Letter) -> None:
    key = current_run().step_key
    message = EmailMessage()
    message["From"] = config.sender
    message["To"] = letter.to
    message["Subject"] = letter.subject
    message["Message-ID"] = f"<{key}@expenses.example.com>"
    message["Date"] = format_datetime(datetime.now(UTC))
    message["X-Claim"] = letter.claim
    message.set_content(letter.body)
    host, port = config.mail_server
    real = bool(config.smtp_host)
    try:
        await aiosmtplib.send(
            message,
            hostname=host,
            port=port,
            username=config.smtp_user or None,
            password=config.smtp_password or None,
            use_tls=real and config.smtp_security == "tls",
            start_tls=real and config.smtp_security == "starttls",
            timeout=10,
        )
    except aiosmtplib.SMTPResponseException as error:
        if 500 <= error.code < 600:
            raise Undeliverable(f"{letter.to}: {error.code} {error.message}") from error
        raise
