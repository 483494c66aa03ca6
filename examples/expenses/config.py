"""What can be set, with its default; from the environment.

The database is backroom's own setting, BACKROOM_DATABASE: both keep their tables in one place.
"""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

__all__ = ["Config", "config"]


class Config(BaseSettings):
    """EXPENSES_... for each name; times as ISO 8601 ("P2D", "PT30S") or seconds."""

    model_config = SettingsConfigDict(env_prefix="EXPENSES_")

    remind_after: timedelta = Field(
        timedelta(days=2), description="How long an approver has before the reminder."
    )
    decline_after: timedelta = Field(
        timedelta(days=2), description="How long after the reminder a claim is declined unanswered."
    )
    smtp_host: str = Field("", description="A real mail server; none: the catch-all mailbox.")
    smtp_port: int = Field(25, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: str = ""
    smtp_security: str = Field("starttls", pattern="^(starttls|tls|none)$")
    catch_all_port: int = Field(
        8025, ge=1, le=65535, description="Loopback port of the catch-all mailbox."
    )
    sender: str = "Expenses <expenses@example.com>"
    site: str = Field("http://127.0.0.1:8000", description="Where the links in mails lead.")
    receipt_bytes: int = Field(5 * 1024 * 1024, ge=1, description="Largest receipt.")
    csv_bytes: int = Field(2 * 1024 * 1024, ge=1, description="Largest CSV file.")

    @property
    def mail_server(self) -> tuple[str, int]:
        if self.smtp_host:
            return self.smtp_host, self.smtp_port
        return "127.0.0.1", self.catch_all_port


config = Config()
