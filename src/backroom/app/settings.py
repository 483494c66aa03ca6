"""Settings: what an argument doesn't say, `BACKROOM_*` may; what neither says, pyproject.toml may.

    argument  >  BACKROOM_DATABASE=…  >  [tool.backroom] database = …  >  default

pyproject.toml is looked for in the working directory and above it.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    PyprojectTomlConfigSettingsSource,
    SettingsConfigDict,
)

from backroom.records.errors import Refused

__all__ = ["Settings", "load", "origins", "unknown_variables"]

log = logging.getLogger("backroom")
_told: set[str] = set()  # variables that were complained of in this process


def _names(value: Any) -> Any:
    """Names as a list, or as "a, b" where only text can be written."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)]


class Settings(BaseSettings):
    """Every setting, with its default. Times in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="BACKROOM_",
        env_prefix_target="all",  # else a setting with an alias is looked for without the prefix
        pyproject_toml_table_header=("tool", "backroom"),
        extra="forbid",
    )

    app: str = Field("", description="The application, as module:name; for the command line.")
    database: str = Field("backroom.db", description="A SQLite file or a postgresql:// address.")
    schema_name: str = Field(
        "backroom", description="PostgreSQL: the schema of our tables.", alias="schema"
    )
    prepare: bool | None = Field(
        None, description="PostgreSQL: use prepared statements; unset: unless a pooler is found."
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
    queues: Names = Field(
        (), description="Worker: queues to serve, a,b; none named: all that its flows use."
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
    keep_days: float = Field(
        30.0,
        ge=0,
        le=3660,
        description="Worker: days after which an ended run is removed; 0: never.",
    )
    processes: int = Field(
        0, ge=0, le=1_000, description="Worker: processes for steps with process=True; 0: as many "
        "as there are cores.",
    )  # fmt: skip
    process_calls: int = Field(
        1_000, ge=0, description="Worker: after this many calls such a process is replaced; 0: "
        "never.",
    )  # fmt: skip
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
    for name, said in unknown_variables().items():
        if name not in _told:
            _told.add(name)
            log.warning("%s Correct its name, or unset it.", said)
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
    except tomllib.TOMLDecodeError as error:
        raise Refused(f"{_pyproject()} is no valid TOML: {error}. Correct it.") from None


def origins(given: Mapping[str, Any]) -> dict[str, str]:
    """Where each setting in force comes from, by its public name; `given` as for `load`."""
    toml = _table()
    found = {}
    for name, field in Settings.model_fields.items():
        public = field.alias or name
        if given.get(public) is not None:
            found[public] = "argument"
        elif _variable(public) in _variables():
            found[public] = _variable(public)
        elif public in toml:
            found[public] = str(_pyproject())
        else:
            found[public] = "default"
    return found


def unknown_variables() -> dict[str, str]:
    """BACKROOM_* variables of the environment that are no settings: misspelt, perhaps. A sentence
    about each."""
    known = {_variable(field.alias or name) for name, field in Settings.model_fields.items()}
    found = {}
    for name in sorted(_variables() - known):
        if not name.startswith("BACKROOM_TEST_"):
            near = get_close_matches(name, known, 1, cutoff=0.8)
            hint = f"; the nearest one is {near[0]}" if near else ""
            found[name] = f"{name} is set but is no setting{hint}."
    return found


def _variable(public: str) -> str:
    return f"BACKROOM_{public.upper()}"


def _variables() -> set[str]:
    return {name.upper() for name in os.environ if name.upper().startswith("BACKROOM_")}


def _table() -> dict[str, Any]:
    path = _pyproject()
    if path is None:
        return {}
    table: dict[str, Any] = tomllib.loads(path.read_text()).get("tool", {}).get("backroom", {})
    return table


def _pyproject() -> Path | None:
    here = Path.cwd()
    return next(
        (p for folder in (here, *here.parents) if (p := folder / "pyproject.toml").is_file()), None
    )
