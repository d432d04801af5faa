"""`keys`: who may ask the service over HTTP, and what."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json, Reason  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from jobledger.cli.connect import Place
    from jobledger.store.keys import Key
    from jobledger.store.pool import Connection, Store

application = typer.Typer(help="Keys of the service: who may ask it, and what.", no_args_is_help=True)


@application.command()
def create(
    name: Annotated[str, typer.Argument(help="What people call it.", show_default=False)],
    roles: Annotated[
        list[str] | None,
        typer.Option(
            "--role",
            help="enqueue, work, read, operate or admin; several with commas, or repeated. Default: none, "
            "which is the public resources of its tenants only.",
            show_default=False,
        ),
    ] = None,
    tenants: Annotated[
        list[str] | None,
        typer.Option("--tenant", "-t", help="Whose jobs; several with commas, or repeated.", show_default=False),
    ] = None,
    every_tenant: Annotated[bool, typer.Option("--every-tenant", help="Of every tenant.")] = False,
    owner: Annotated[
        str | None,
        typer.Option("--owner", help="Bound to the jobs of this person in its one tenant.", show_default=False),
    ] = None,
    rate: Annotated[
        int | None,
        typer.Option("--rate", help="Requests a second. Default: JOBLEDGER_HTTP_RATE.", show_default=False),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", help="Counts until then: a time with its zone, or 90d. Default: for ever.", show_default=False
        ),
    ] = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Make a key, and print it: this once, since only its hash is kept."""
    from jobledger.cli import output, values
    from jobledger.errors import InvalidArgument
    from jobledger.store import keys
    from jobledger.store.service_key import ServiceKey

    whose = values.names(tenants)
    if (whose is None) != every_tenant:
        raise InvalidArgument("Whose jobs?", hint="Give --tenant, or --every-tenant.")
    options: dict[str, Any] = {
        "roles": values.names(roles) or [],
        "tenants": whose,
        "owner": owner,
        "rate": rate,
        "expires_at": values.moment("--expires", expires),
        "reason": reason,
    }

    async def run(place: Place, store: Store) -> tuple[str, UUID, Any]:
        async with store.transaction() as connection:
            key = keys.new_key(await ServiceKey.load(connection))
            who = _actor(place, actor)
            return key, *await keys.create_key(connection, store.shard, key, name, actor=who, **options)

    key, id_, at = _run(run, dsn, data)
    if as_json:
        output.document({"key": key, "id": id_, "name": name, "prefix": key[: keys.PREFIX], "created_at": at})
    else:
        output.line(key)
        output.note(f"{name} ({id_}). Keep it: it is shown this once.")


@application.command("list")
def list_(
    ended: Annotated[bool, typer.Option("--ended", help="Also those that were revoked, or are over.")] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the keys, oldest first: what they may, and when they were last used (to the minute)."""
    from jobledger.cli import output

    async def run(_: Place, store: Store) -> list[Key]:
        async with store.connection() as connection:
            return await _all(connection, store.shard, ended=ended)

    found = _run(run, dsn, data)
    if as_json:
        output.document({"keys": [key._asdict() for key in found]})
        return
    columns = ("id", "name", "prefix", "roles", "tenants", "owner", "rate#", "created", "last used", "ends")
    output.table(columns, (_row(key) for key in found))


@application.command()
def revoke(
    key: Annotated[str, typer.Argument(help="Its id, or the prefix that is shown of it.", show_default=False)],
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Take a key back: within 2 seconds it opens nothing any more, nor do tokens that were made with it."""
    from jobledger.cli import output
    from jobledger.store import keys

    async def run(place: Place, store: Store) -> tuple[UUID, bool]:
        async with store.transaction() as connection:
            id_ = await _which(connection, store.shard, key)
            who = _actor(place, actor)
            return id_, await keys.revoke_key(connection, store.shard, id_, actor=who, reason=reason)

    id_, changed = _run(run, dsn, data)
    if as_json:
        output.document({"key": id_, "revoked": changed})
    else:
        output.say(f"{id_}: revoked." if changed else f"{id_}: was revoked already.")


def _row(key: Key) -> tuple[Any, ...]:
    ends = "revoked" if key.revoked_at is not None else key.expires_at
    whose = key.tenants if key.tenants is not None else "every one"
    return (
        *(str(key.id), key.name, key.prefix, key.roles or None, whose, key.owner, key.rate, key.created_at),
        *(key.last_used, ends),
    )


async def _all(connection: Connection, shard: int, *, ended: bool) -> list[Key]:
    from jobledger.store import keys

    found: list[Key] = []
    while True:
        after = found[-1].id if found else None
        page = await keys.list_keys(connection, shard, ended=ended, after=after, limit=keys.PAGE_MAX)
        found += page
        if len(page) < keys.PAGE_MAX:
            return found


async def _which(connection: Connection, shard: int, text: str) -> UUID:
    """Return the id of a key by its id or its prefix. Raises `NotFound`; `InvalidArgument` where several have it."""
    from uuid import UUID

    from jobledger.errors import InvalidArgument, NotFound
    from jobledger.store.keys import PREFIX

    try:
        return UUID(text)
    except ValueError:
        pass
    # The whole key is taken, too: who found one that got about has nothing else.
    named = [key.id for key in await _all(connection, shard, ended=True) if key.prefix == text[:PREFIX]]
    if not named:
        raise NotFound("There is no such key.", hint="Give its id or prefix; `jobledger keys list` shows them.")
    if len(named) > 1:
        raise InvalidArgument("Several keys have this prefix.", hint="Give the id.")
    return named[0]


def _actor(place: Place, given: str | None) -> str:
    from jobledger.cli.options import actor_name

    return actor_name(given, place.settings.actor)


def _run(run: Callable[[Place, Store], Awaitable[Any]], dsn: str | None, data: Path | None) -> Any:
    from jobledger.cli.connect import located, settings_of, store_at

    async def connected(place: Place) -> Any:
        async with store_at(place) as store:
            return await run(place, store)

    with located(settings_of(dsn, data)) as place:
        return asyncio.run(connected(place))
