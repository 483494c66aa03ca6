"""Settings: what an argument doesn't say, `BACKROOM_*` may; what neither says, pyproject.toml may.

    argument  >  BACKROOM_DATABASE=…  >  [tool.backroom] database = …  >  default

pyproject.toml is looked for in the working directory and above it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
)

from backroom.records.errors import Refused

__all__ = ["Settings", "load"]


class Settings(BaseSettings):
    """Every setting, with its default. Times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="BACKROOM_", pyproject_toml_table_header=("tool", "backroom"), extra="forbid"
    )

    app: str = Field("", description="The application, as module:name; for the command line.")
    database: str = Field("backroom.db", description="A SQLite file or a postgresql:// address.")
    schema_name: str = Field(
        "backroom", description="PostgreSQL: the schema of our tables.", alias="schema"
    )
    prepare: bool = Field(
        True, description="PostgreSQL: use prepared statements (not through PgBouncer)."
    )
    direct_database: str = Field(
        "", description="PostgreSQL: an address past the pooler, for doorbells."
    )
    migrate: Literal["auto", "never"] = Field(
        "auto", description="Whether opening may create or update our tables."
    )
    busy_seconds: float = Field(
        30.0, gt=0, description="SQLite: how long to wait for another's write transaction."
    )
    queues: tuple[str, ...] = Field(
        (), description="Worker: queues to serve; none named: all that its flows use."
    )
    concurrency: int = Field(
        100, ge=1, le=10_000, description="Worker: runs performed at once in one process."
    )
    lease: float = Field(
        6.0,
        ge=0.05,
        le=3600,
        description="Worker: after this long without a sign its runs are given away.",
    )
    poll: float = Field(
        0.2, gt=0, le=60, description="Worker: longest pause between two looks for work."
    )
    grace: float = Field(
        20.0, ge=0, le=3600, description="Worker: how long runs may go on when it is stopped."
    )
    doorbells: bool = Field(
        True, description="Ring and hear doorbells; off: everything works, slower."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="Command line: how log lines look."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        toml = PyprojectTomlConfigSettingsSource(settings_cls, toml_file=_pyproject())
        return init_settings, env_settings, toml


def load(**given: Any) -> Settings:
    """The settings in force; `given` are arguments, None meaning not given."""
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors()
        )
        raise Refused(
            f"The settings can't be used: {problems}. Look at BACKROOM_* and [tool.backroom]."
        ) from None


def _pyproject() -> Path | None:
    here = Path.cwd()
    return next(
        (p for folder in (here, *here.parents) if (p := folder / "pyproject.toml").is_file()), None
    )
