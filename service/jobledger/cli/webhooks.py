"""`webhooks`: endpoints that are sent the events of a tenant, an owner or everybody, and how their deliveries go."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json, Kind, Owner, Queue, Reason, TenantOf, Types  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path
    from uuid import UUID

    from jobledger.cli.connect import Place
    from jobledger.delivery.sender import Sent
    from jobledger.delivery.webhooks import MadeWebhook, WebhookRow, Webhooks

application = typer.Typer(
    help="Webhooks: events are sent to an endpoint, signed, again and again until it takes them.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="The webhook's name, or its id.", show_default=False)]


@application.command("list")
def list_(
    tenant: Annotated[str | None, typer.Option("--tenant", "-t", help="Only this tenant's.")] = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Say how the deliveries of every webhook go: since when one fails, how far it is behind."""
    from jobledger.cli import output

    async def run(webhooks: Webhooks) -> list[WebhookRow]:
        return await webhooks.all()

    found = _run(run, tenant, None, dsn, data)
    if as_json:
        output.document({"webhooks": [one._asdict() for one in found]})
        return
    columns = ("name", "tenant", "state", "events", "last success", "last answer", "failing since", "behind for", "URL")
    output.table(columns, (_row(one) for one in found))


@application.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is called; one of its tenant has the name.", show_default=False)],
    url: Annotated[str, typer.Argument(help="The endpoint, https://.", show_default=False)],
    tenant: TenantOf = None,
    types: Types = None,
    queue: Queue = None,
    kind: Kind = None,
    owner: Owner = None,
    batch: Annotated[
        int, typer.Option("--batch", help="1: one event a request; up to 100: a list of at most so many.")
    ] = 1,
    begin: Annotated[
        str,
        typer.Option(
            "--from", help="Begin behind this cursor or time (2h: so long ago), at the beginning, or at the end."
        ),
    ] = "end",
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Create a webhook and show the secret that its requests are signed with. What it wants is fixed.

    `jobledger serve` delivers. Its endpoint: docs/howto/webhooks.md.
    """
    from jobledger.cli import output, values

    options: dict[str, Any] = {
        "types": values.names(types),
        "queue": queue,
        "kind": kind,
        "owner": owner,
        "batch": batch,
        "reason": reason,
        **values.begun("--from", begin, silent="end"),
    }

    async def run(webhooks: Webhooks) -> MadeWebhook:
        return await webhooks.create(name, url, **options)

    made = _run(run, tenant, actor, dsn, data)
    if as_json:
        output.document({"webhook": name, "id": made.id, "secret": made.secret, "created": made.created})
    else:
        output.say(f"{name}: created." if made.created else f"{name}: was there.")
        output.say(f"Its secret is {made.secret}")


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
    """Let a webhook go on from another place, or one that was disabled go on; what failed is tried at once."""
    from jobledger.cli import values

    place = {} if to is None else values.begun("--to", to)

    async def run(webhooks: Webhooks, webhook: UUID) -> None:
        await webhooks.reset(webhook, reason=reason, **place)

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
    """Send a webhook's endpoint nothing until it is reset."""

    async def run(webhooks: Webhooks, webhook: UUID) -> bool:
        return await webhooks.disable(webhook, reason=reason)

    _done(name, "disabled", as_json, _with(run, name, tenant, actor, dsn, data))


@application.command()
def rotate(
    name: Name,
    tenant: TenantOf = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give a webhook another secret and show it; for a day requests are signed with the one before, too."""
    from jobledger.cli import output

    async def run(webhooks: Webhooks, webhook: UUID) -> str:
        return await webhooks.rotate(webhook, reason=reason)

    secret = _with(run, name, tenant, actor, dsn, data)
    if as_json:
        output.document({"webhook": name, "secret": secret})
    else:
        output.say(f"Its secret is {secret}")


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
    """Remove a webhook and its place in the log."""

    async def run(webhooks: Webhooks, webhook: UUID) -> None:
        await webhooks.remove(webhook, reason=reason)

    _with(run, name, tenant, actor, dsn, data)
    _done(name, "removed", as_json)


@application.command("test")
def try_(name: Name, tenant: TenantOf = None, dsn: Dsn = None, data: Data = None, as_json: Json = False) -> None:
    """Send a webhook's endpoint one signed event and say what became of it; status 1 where it was not taken."""
    from jobledger.cli import output

    async def run(webhooks: Webhooks, webhook: UUID) -> Sent:
        return await webhooks.test(webhook)

    sent = _with(run, name, tenant, None, dsn, data)
    if as_json:
        facts = {"ok": sent.ok, "status": sent.status, "outcome": sent.told, "elapsed_s": round(sent.elapsed_s, 3)}
        output.document({"webhook": name, **facts})
    else:
        output.say(f"{name}: {'taken' if sent.ok else 'not taken'}, {sent.told}, after {sent.elapsed_s:.2f} s.")
    if not sent.ok:
        raise typer.Exit(1)


def _row(one: WebhookRow) -> tuple[Any, ...]:
    from jobledger.cli import output

    status = str(one.last_status) if one.last_status is not None else one.last_fault
    behind = output.span(one.behind_s) if one.behind_s else None
    return (
        *(one.name, one.tenant or "everybody", one.state, one.types or "all", one.succeeded_at, status),
        *(one.failing_since, behind, one.url),
    )


def _done(name: str, word: str, as_json: bool, changed: bool = True) -> None:
    from jobledger.cli import output

    if as_json:
        output.document({"webhook": name, word: changed})
    else:
        output.say(f"{name}: {word}." if changed else f"{name}: was {word} already.")


def _with(
    run: Callable[[Webhooks, UUID], Awaitable[Any]],
    name: str,
    tenant: str | None,
    actor: str | None,
    dsn: str | None,
    data: Path | None,
) -> Any:
    """Run a coroutine with the webhook that the words name, and return what it returns."""

    async def found(webhooks: Webhooks) -> Any:
        from jobledger.errors import InvalidArgument, NotFound

        named = [one for one in await webhooks.all() if one.tenant == tenant and name in (one.name, str(one.id))]
        if not named:
            raise NotFound("There is no such webhook.", hint="The list has them; --tenant says whose it is.")
        if len(named) > 1:
            raise InvalidArgument("Several owners have a webhook of this name.", hint="Say its id: the list has it.")
        return await run(webhooks, named[0].id)

    return _run(found, tenant, actor, dsn, data)


def _run(
    run: Callable[[Webhooks], Awaitable[Any]], tenant: str | None, actor: str | None, dsn: str | None, data: Path | None
) -> Any:
    """Run a coroutine with the webhooks of a tenant, or all, and return what it returns."""
    from jobledger.cli.connect import located, settings_of, store_at
    from jobledger.cli.options import actor_name
    from jobledger.delivery.webhooks import Webhooks

    async def awaited(place: Place) -> Any:
        who, private = actor_name(actor, place.settings.actor), place.settings.send_private
        async with store_at(place) as store:
            return await run(Webhooks(store, tenant=tenant, actor=who, private=private))

    with located(settings_of(dsn, data)) as place:
        return asyncio.run(awaited(place))
