"""Options that several commands share, with one wording each."""

from __future__ import annotations

import getpass
import os
from pathlib import Path
from typing import Annotated

import typer

Dsn = Annotated[
    str | None,
    typer.Option(
        "--dsn",
        help="Address of a Postgres server. Default: JOBLEDGER_DSN, DATABASE_URL, else the embedded Postgres.",
        metavar="URL",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Folder of the embedded Postgres, which is then used whatever address the environment holds. "
        "Default: JOBLEDGER_DATA, else in the user's data directory.",
        metavar="FOLDER",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]
Actor = Annotated[
    str | None,
    typer.Option("--actor", help="Who acts, for the record. Default: JOBLEDGER_ACTOR, else the account's name."),
]
Reason = Annotated[str | None, typer.Option("--reason", "-r", help="Why, for the record.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before acting on many jobs.")]
Tenant = Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant's.")]
TenantOf = Annotated[
    str | None, typer.Option("--tenant", "-t", help="The tenant it is of. Default: everybody's.", show_default=False)
]
Queue = Annotated[str | None, typer.Option("--queue", "-q", help="Only of this queue.")]
Kind = Annotated[str | None, typer.Option("--kind", "-k", help="Only of this kind.")]
State = Annotated[
    str | None,
    typer.Option(
        "--state", "-s", help="Only in this state: scheduled ready running parked succeeded failed killed cancelled."
    ),
]
Owner = Annotated[str | None, typer.Option("--owner", help="Only of this owner, the person a job runs for.")]

Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="Only events of this type, such as job.failed; several with commas, or repeated."),
]
Heartbeats = Annotated[
    bool, typer.Option("--heartbeats", help="Also the heartbeats of the workers that held it, and late reports.")
]


def actor_name(given: str | None, configured: str | None = None) -> str:
    """Return who acts: as given, as configured, else the account that runs the command."""
    if given or configured:
        return str(given or configured)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account number without a name, as in many containers
        return f"uid:{os.getuid()}"
