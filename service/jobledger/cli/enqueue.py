"""`enqueue`: hand in one job by its kind's name, and perhaps wait for its result."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.jobs.options import EnqueueOptions
    from jobledger.store.pool import Store

Kind = Annotated[str, typer.Argument(help="The kind's name, as a worker has registered it.")]
Document = Annotated[
    str | None,
    typer.Argument(
        metavar="[ARGS]", help="Arguments by name: a JSON object, @FILE, or - for stdin.", show_default=False
    ),
]
Args = Annotated[str | None, typer.Option("--args", "-a", help="The same, as an option.")]
Tenant = Annotated[str, typer.Option("--tenant", "-t", help="Whose job it is.")]
Queue = Annotated[str | None, typer.Option("--queue", "-q", help="Default: the kind's.")]
Priority = Annotated[
    int | None, typer.Option("--priority", help="-1000 (first) to 1000 (last) among the tenant's own jobs.")
]
RunAt = Annotated[
    str | None, typer.Option("--run-at", help="Not before: a time with its zone, or 10m, 2h, 3d from now.")
]
KillAt = Annotated[str | None, typer.Option("--kill-at", help="Killed if not finished by then; the same forms.")]
Timeout = Annotated[str | None, typer.Option("--timeout", help="Of one attempt: seconds, or 10m, 2h.")]
MaxAttempts = Annotated[int | None, typer.Option("--max-attempts", help="1 to 1000.")]
Owner = Annotated[str | None, typer.Option("--owner", help="The person it runs for.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="May be given several times.")]
Meta = Annotated[str | None, typer.Option("--meta", help="Any JSON object, kept with the job.")]
Key = Annotated[str | None, typer.Option("--key", help="Idempotency key: within 24 hours the same key enqueues once.")]
UniqueKey = Annotated[str | None, typer.Option("--unique-key", help="No other open job of the tenant may hold it.")]
Lax = Annotated[bool, typer.Option("--lax", help="Also what no worker has registered: another kind, other arguments.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the end and print the result.")]
WaitTimeout = Annotated[str | None, typer.Option("--wait-timeout", help="Wait no longer: seconds, or 10m.")]


def enqueue(
    kind: Kind,
    document: Document = None,
    args: Args = None,
    tenant: Tenant = "default",
    queue: Queue = None,
    priority: Priority = None,
    run_at: RunAt = None,
    kill_at: KillAt = None,
    timeout: Timeout = None,
    max_attempts: MaxAttempts = None,
    owner: Owner = None,
    tag: Tags = None,
    meta: Meta = None,
    key: Key = None,
    unique_key: UniqueKey = None,
    lax: Lax = False,
    wait: Wait = False,
    wait_timeout: WaitTimeout = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Enqueue one job and print its id; with --wait also its result.

    The arguments are checked by what a worker has registered for the kind.
    A job that ends without a result makes the status 9.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.errors import InvalidArgument

    if document is not None and args is not None:
        raise InvalidArgument("Give the arguments once: in place or by --args.")
    arguments = values.mapping("--args", args if document is None else document) or {}
    settings = settings_of(dsn, data)
    given: dict[str, Any] = {
        "tenant": tenant,
        "queue": queue,
        "priority": priority,
        "run_at": values.moment("--run-at", run_at),
        "kill_at": values.moment("--kill-at", kill_at),
        "timeout": values.seconds("--timeout", timeout),
        "max_attempts": max_attempts,
        "owner": owner,
        "tags": tag or None,
        "meta": values.mapping("--meta", meta),
        "key": key,
        "unique_key": unique_key,
        "actor": actor_name(actor, settings.actor),
    }
    options: EnqueueOptions = {name: value for name, value in given.items() if value is not None}  # type: ignore[assignment]  # the names are those of EnqueueOptions
    patience = values.seconds("--wait-timeout", wait_timeout)
    with located(settings) as place:
        asyncio.run(_enqueue(place, kind, arguments, options, not lax, wait, patience, as_json))


async def _enqueue(
    place: Place,
    kind: str,
    args: dict[str, Any],
    options: EnqueueOptions,
    strict: bool,
    wait: bool,
    patience_s: int | None,
    as_json: bool,
) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import store_at
    from jobledger.errors import UnknownKind
    from jobledger.jobs.client import Client

    async with store_at(place) as store:
        if strict:
            await _must_fit(store, kind, args)
        try:
            handle = await Client(store, strict=strict).enqueue(kind, args, **options)
        except UnknownKind as error:
            raise UnknownKind(error.message, hint="Start a worker that has it, or add --lax.") from None
        said: dict[str, Any] = {"id": str(handle.id), "created": handle.created}
        if wait:
            if not as_json:
                output.note(f"enqueued {handle.id}; waiting for its end")
            said["result"] = await handle.result(timeout=patience_s)
    if as_json:
        output.document(said)
    elif wait:
        output.document(said["result"])
    else:
        output.say(said["id"])


async def _must_fit(store: Store, kind: str, args: dict[str, Any]) -> None:
    """Raise `InvalidArgs` or `SecretInPlain` for arguments that do not fit what the kind was registered with."""
    from jobledger.errors import InvalidArgs
    from jobledger.jobs.fitting import Fitting
    from jobledger.store.kinds import registered_kind

    async with store.connection() as connection:
        registered = await registered_kind(connection, store.shard, kind)
    if registered is None or registered.schema is None:
        return
    try:
        Fitting().check(registered.schema, args)
    except InvalidArgs as error:
        rules = "; ".join(f"{fault['field']}: {fault['rule']}" for fault in error.detail["fields"])
        hint = f"{rules}. Mend them, or add --lax where a newer worker takes them."
        raise InvalidArgs(error.message, hint=hint, detail=error.detail) from None
