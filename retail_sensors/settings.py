"""Settings: the only place that reads the environment.

Every setting is a variable `RETAIL_SENSORS_...` or a line of `.env` in the project root; the environment wins. What
belongs elsewhere: which cameras exist (the registry in Postgres) and how one run differs (Dagster run config).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from dotenv import dotenv_values
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from retail_sensors.errors import ConfigurationError

DEFAULT_ALLOWED_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "fc00::/7")
"""Private and loopback ranges; link-local is left out, cloud metadata services live there."""


def project_root() -> Path:
    """The folder with `workspace.yaml` and `dagster.yaml`: the nearest above the working directory, else the checkout."""
    for folder in (Path.cwd(), *Path.cwd().parents):
        if (folder / "workspace.yaml").is_file() and (folder / "dagster.yaml").is_file():
            return folder
    return Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """How this installation runs; a value that cannot be meant is refused with the variable's name."""

    model_config = SettingsConfigDict(env_prefix="RETAIL_SENSORS_", extra="ignore", frozen=True)

    home: Path = Field(
        default=Path(".retail_sensors"),
        description="Folder of the embedded Postgres and of Dagster's logs; relative to the project root.",
    )
    database_url: str | None = Field(
        default=None, description="Postgres 15 to 18 to use for the data; unset: the embedded server."
    )
    dagster_database_url: str | None = Field(
        default=None,
        description="Postgres for Dagster's own storage; unset: schema `dagster` in the data's database, or a database of its "
        "own on the embedded server.",
    )
    allowed_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=DEFAULT_ALLOWED_NETWORKS, description="Networks that cameras may live in, separated by commas."
    )
    notify_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        default=DEFAULT_ALLOWED_NETWORKS,
        description="Networks that alerts may be sent to besides public addresses, separated by commas.",
    )
    in_flight: int = Field(default=256, ge=1, le=4096, description="Requests in flight over the whole fleet.")
    connect_timeout_seconds: float = Field(default=5.0, gt=0, description="Time to reach a camera.")
    request_timeout_seconds: float = Field(default=60.0, gt=0, description="Time for one try, connection to last byte.")
    tries: int = Field(default=3, ge=1, le=3, description="Tries for one question.")
    max_body_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, description="Largest answer that is read.")
    settle_seconds: float = Field(
        default=120.0, ge=0, description="Time after an hour's end from which its counts are taken for final."
    )
    lease_timeout_seconds: float = Field(
        default=90.0, gt=0, description="How long to wait for a camera that another process is asking."
    )
    pause_seconds: float = Field(default=0.0, ge=0, description="Pause between two questions to one camera.")
    webserver_port: int = Field(default=3000, ge=1, le=65535, description="Loopback port of the Dagster UI.")
    event_log_days: int = Field(
        default=30, ge=1, description="Days for which Dagster's runs and their events are kept."
    )
    archive_folder: Path = Field(
        default=Path("archive"),
        description="Folder that months older than their table's policy are archived into; relative to the home.",
    )
    running_hour_minutes: int = Field(
        default=5,
        description="Minutes between two collections of the running hour while a store is open: 5, 10, 15 or 30.",
    )

    @field_validator("allowed_networks", "notify_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("allowed_networks", "notify_networks")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value

    @field_validator("running_hour_minutes")
    @classmethod
    def _check_pace(cls, value: int) -> int:
        if value not in (5, 10, 15, 30):
            raise ValueError("is not one of 5, 10, 15 and 30")
        return value

    @field_validator("database_url", "dagster_database_url")
    @classmethod
    def _normalise_url(cls, value: str | None) -> str | None:
        return None if not value else normalise_url(value)


def normalise_url(url: str) -> str:
    """The same Postgres URL with the scheme `postgresql+psycopg2`: a bare one lets SQLAlchemy choose another driver."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("is not a URL of the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE") from None
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise ValueError(f"names the database kind {parsed.get_backend_name()!r}; only postgresql is supported")
    return parsed.set(drivername="postgresql+psycopg2").render_as_string(hide_password=False)


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process: `environ` (default: the environment), then `.env`, then the defaults.

    Raises ConfigurationError with one sentence that names each variable at fault.
    """
    root = project_root()
    values = dict(os.environ if environ is None else environ)
    dotenv = _read_dotenv(root / ".env") if environ is None else {}
    merged = {**dotenv, **values}
    prefix = "RETAIL_SENSORS_"
    fields = {
        name: merged[prefix + name.upper()] for name in Settings.model_fields if merged.get(prefix + name.upper())
    }
    try:
        settings = Settings.model_validate(fields)
    except ValidationError as error:
        faults = "; ".join(
            f"{prefix}{'_'.join(str(part) for part in fault['loc'][:1]).upper()} {_plain(fault['msg'])}"
            for fault in error.errors()
        )
        raise ConfigurationError(
            f"A setting cannot be used: {faults}. Mend it in the environment or in .env."
        ) from None
    home = settings.home if settings.home.is_absolute() else root / settings.home
    # A path that is absolute stays what it is.
    return settings.model_copy(update={"home": home, "archive_folder": home / settings.archive_folder})


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def _read_dotenv(path: Path) -> dict[str, str]:
    return {key: value for key, value in dotenv_values(path).items() if value} if path.is_file() else {}
