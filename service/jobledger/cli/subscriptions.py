"""`subscriptions`: durable readers of the log: how far each is, where it goes on, what it has set aside."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json, Kind, Owner, Queue, Reason, TenantOf, Types  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from jobledger.cli.connect import Place
    from jobledger.order.checkpoints import Lag, SetAside, Slice
    from jobledger.order.desk import Status
    from jobledger.order.subscription import Subscription

application = typer.Typer(
    help="Durable subscriptions: named readers of the log that the database remembers.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The subscription's name.", show_default=False)]


@application.command("list")
def list_(
    tenant: Annotated[
        str | None, typer.Option("--tenant", "-t", help="Only this tenant's; _global: everybody's.")
    ] = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say how every subscription stands: who consumes it, how far it is behind, what it has set aside."""
    from jobledger.cli import output

    async def run(place: Place) -> list[Status]:
        from jobledger.cli.connect import store_at
        from jobledger.jobs.client import Client

        async with store_at(place) as store, Client(store) as client:
            return await client.subscriptions(tenant=tenant)

    found = _located(run, dsn, data)
    if as_json:
        output.document({"subscriptions": [_facts(one) for one in found]})
        return
    columns = ("name", "tenant", "state", "types", "slices#", "consumers#", "set aside#", "behind#", "behind for")
    output.table(columns, (_row(one) for one in found))


@application.command()
def show(name: Name, tenant: TenantOf = None, dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Say what one wants, where it is, and who consumes each of its slices."""
    from jobledger.cli import output

    async def run(one: Subscription) -> tuple[Status, list[Slice]]:
        return await one.status(), await one.slices()

    status, slices = _with(run, name, tenant, None, dsn, data)
    if as_json:
        shown = [
            {
                "slice": one.slice,
                "consumer": one.about,
                "lease_until": one.lease_until,
                "moved_at": one.moved_at,
                "failures": one.failures,
                "lag": one.lag._asdict(),
            }
            for one in slices
        ]
        output.document({**_facts(status), "shares": shown})
        return
    options = status.options
    output.facts(
        [
            ("name", status.name),
            ("tenant", status.tenant),
            ("state", _state(status)),
            ("types", status.types),
            ("queue", status.queue),
            ("kind", status.kind),
            ("owner", status.owner),
            ("strict", options.strict),
            ("failures", f"{options.max_failures}, the first tried again after {output.span(options.backoff_s)}"),
            ("lease", output.span(options.lease_s)),
            ("cursor", status.cursor),
            ("created", status.created_at),
            ("set aside", status.aside),
        ]
    )
    columns = ("slice#", "consumer", "moved", "failures#", "behind#", "behind for")
    output.table(columns, ((one.slice, one.about, one.moved_at, one.failures, *_behind(one.lag)) for one in slices))


@application.command()
def create(
    name: Name,
    tenant: TenantOf = None,
    types: Types = None,
    queue: Queue = None,
    kind: Kind = None,
    owner: Owner = None,
    begin: Annotated[
        str,
        typer.Option(
            "--from", help="Begin behind this cursor or time (2h: so long ago), at the beginning, or at the end."
        ),
    ] = "beginning",
    slices: Annotated[int, typer.Option("--slices", help="How many consumers can work at once, 1 to 256.")] = 8,
    strict: Annotated[
        bool, typer.Option("--strict", help="Hold a job's later events back while one of it is set aside.")
    ] = False,
    max_failures: Annotated[
        int, typer.Option("--max-failures", help="Failures of an event until it is set aside, 1 to 1000.")
    ] = 5,
    backoff: Annotated[str, typer.Option("--backoff", help="Before the first repetition: seconds, or 10m.")] = "1",
    lease: Annotated[str, typer.Option("--lease", help="Of a consumer that says nothing: seconds, or 10m.")] = "30",
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create a subscription; one that is there keeps its place, and takes over what may be changed.

    What it wants, its slices and strictness are fixed. Then consume it: docs/howto/subscribe.md.
    """
    from jobledger.cli import output, values

    options: dict[str, Any] = {
        "types": values.names(types),
        "queue": queue,
        "kind": kind,
        "owner": owner,
        "slices": slices,
        "strict": strict,
        "max_failures": max_failures,
        "backoff_s": values.seconds("--backoff", backoff),
        "lease_s": values.seconds("--lease", lease),
        "reason": reason,
        **values.begun("--from", begin, silent="beginning"),
    }

    async def run(one: Subscription) -> bool:
        return await one.create(**options)

    new = _with(run, name, tenant, actor, dsn, data)
    if as_json:
        output.document({"subscription": name, "created": new})
    else:
        output.say(f"{name}: created." if new else f"{name}: was there.")


@application.command()
def reset(
    name: Name,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Go on behind this cursor or time (2h: so long ago), at the beginning, or at the end. "
            "Default: where it was.",
            show_default=False,
        ),
    ] = None,
    tenant: TenantOf = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let a subscription go on from another place, or one that was disabled go on."""
    from jobledger.cli import values

    place = {} if to is None else values.begun("--to", to)

    async def run(one: Subscription) -> None:
        await one.reset(reason=reason, **place)

    _with(run, name, tenant, actor, dsn, data)
    _done(name, "reset", as_json)


@application.command()
def disable(
    name: Name,
    tenant: TenantOf = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give the consumers of a subscription nothing until it is reset."""

    async def run(one: Subscription) -> bool:
        return await one.disable(reason=reason)

    _done(name, "disabled", as_json, _with(run, name, tenant, actor, dsn, data))


@application.command()
def remove(
    name: Name,
    tenant: TenantOf = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Remove a subscription, its place and what it had set aside; its consumers end."""

    async def run(one: Subscription) -> None:
        await one.remove(reason=reason)

    _with(run, name, tenant, actor, dsn, data)
    _done(name, "removed", as_json)


@application.command("set-aside")
def set_aside(
    name: Name,
    tenant: TenantOf = None,
    limit: Annotated[int, typer.Option("--limit", "-n", help="At most so many, 1 to 10000.")] = 100,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """List the events that a subscription has set aside, and why."""
    from jobledger.cli import output

    async def run(one: Subscription) -> list[SetAside]:
        return await one.set_aside(limit=limit)

    found = _with(run, name, tenant, None, dsn, data)
    if as_json:
        output.document(
            {"set_aside": [{key: item for key, item in one._asdict().items() if key != "place"} for one in found]}
        )
        return
    columns = ("id", "event", "tenant", "state", "failures#", "first", "error")
    output.table(
        columns,
        ((str(one.stream_id), one.type, one.tenant, one.state, one.failures, one.first_at, one.error) for one in found),
    )


@application.command()
def retry(
    name: Name,
    jobs: Annotated[list[str] | None, typer.Argument(metavar="JOB", help="Only of these jobs.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="All that was set aside.")] = False,
    drop: Annotated[bool, typer.Option("--drop", help="Give them up instead: they stay listed as dropped.")] = False,
    tenant: TenantOf = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hand out again what was set aside, of some jobs or (--all) of all."""
    from jobledger.cli import output, values
    from jobledger.errors import InvalidArgument

    if bool(jobs) == all_:
        raise InvalidArgument("Which?", hint="Name jobs, or give --all.")
    ids = values.ids(jobs) if jobs else None

    async def run(one: Subscription) -> int:
        return await (one.drop if drop else one.retry)(ids, reason=reason)

    count = _with(run, name, tenant, actor, dsn, data)
    word = "dropped" if drop else "to be tried again"
    if as_json:
        output.document({"subscription": name, "events": count})
    else:
        output.say(f"{name}: {count} {word}.")


def _facts(one: Status) -> dict[str, Any]:
    return {**one._asdict(), "options": one.options._asdict(), "lag": one.lag._asdict()}


def _row(one: Status) -> tuple[Any, ...]:
    return (
        *(one.name, one.tenant or "everybody", _state(one), one.types or "all"),
        *(one.options.slices, one.consumers, one.aside, *_behind(one.lag)),
    )


def _state(one: Status) -> str:
    return "disabled" if one.disabled else "consumed" if one.consumers else "waiting"


def _behind(lag: Lag) -> tuple[str, str | None]:
    from jobledger.cli import output

    return f"{'' if lag.exact else '~'}{lag.events:,}", output.span(lag.seconds) if lag.events else None


def _done(name: str, word: str, as_json: bool, changed: bool = True) -> None:
    from jobledger.cli import output

    if as_json:
        output.document({"subscription": name, word: changed})
    else:
        output.say(f"{name}: {word}." if changed else f"{name}: was {word} already.")


def _with(
    run: Callable[[Subscription], Awaitable[Any]],
    name: str,
    tenant: str | None,
    actor: str | None,
    dsn: str | None,
    data: Path | None,
) -> Any:
    """Run a coroutine with the subscription that the words name, and return what it returns."""
    from jobledger.cli.connect import store_at
    from jobledger.cli.options import actor_name
    from jobledger.jobs.client import Client

    async def connected(place: Place) -> Any:
        who = actor_name(actor, place.settings.actor)
        async with store_at(place) as store, Client(store, actor=who) as client:
            return await run(client.subscription(name, tenant=tenant))

    return _located(connected, dsn, data)


def _located(run: Callable[[Place], Awaitable[Any]], dsn: str | None, data: Path | None) -> Any:
    from jobledger.cli.connect import located, settings_of

    async def awaited(place: Place) -> Any:
        return await run(place)

    with located(settings_of(dsn, data)) as place:
        return asyncio.run(awaited(place))
