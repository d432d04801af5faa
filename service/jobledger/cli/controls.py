"""`pause`, `resume`, `limits`: hold back a tenant, queue or kind, and set defaults for jobs to come."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
import enum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Actor, Data, Dsn, Json, Reason  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from pathlib import Path

    from jobledger.cli.connect import Place


class Held(enum.StrEnum):
    """What can be paused."""

    TENANT = "tenant"
    QUEUE = "queue"
    KIND = "kind"


class Limited(enum.StrEnum):
    """What defaults can be set for."""

    TENANT = "tenant"
    QUEUE = "queue"
    KIND = "kind"
    SERVICE = "service"


Scope = Annotated[Held, typer.Argument(help="What is meant.")]
Name = Annotated[str, typer.Argument(help="Its name.")]


def pause(
    scope: Scope,
    name: Name,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Hold back the waiting jobs of a tenant, queue or kind; what runs goes on."""
    _hold("pause", scope, name, reason, actor, dsn, data, as_json)


def resume(
    scope: Scope,
    name: Name,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """End a pause."""
    _hold("resume", scope, name, reason, actor, dsn, data, as_json)


def limits(
    scope: Annotated[
        Limited | None, typer.Argument(help="What is meant; nothing: show all.", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Argument(help="Its name; none for the service.", show_default=False)] = None,
    max_attempts: Annotated[int | None, typer.Option("--max-attempts", help="Attempts of a job, 1 to 1000.")] = None,
    timeout: Annotated[str | None, typer.Option("--timeout", help="Of one attempt: seconds, or 10m, 2h.")] = None,
    kill_after: Annotated[str | None, typer.Option("--kill-after", help="From when a job is due: 12h, 7d.")] = None,
    args_limit: Annotated[int | None, typer.Option("--args-limit", help="Bytes of arguments; service only.")] = None,
    result_limit: Annotated[int | None, typer.Option("--result-limit", help="Bytes of a result; service only.")] = None,
    clear: Annotated[
        list[str] | None, typer.Option("--clear", help="Take a default back by its name, such as timeout.")
    ] = None,
    reason: Reason = None,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show what is paused and set; with options set defaults of a kind, queue, tenant or the service.

    What is set binds jobs enqueued from then on. For one job the kind's comes first, then the queue's, the tenant's,
    the service's.
    """
    from jobledger.cli import values
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.errors import InvalidArgument

    given: dict[str, int | None] = {
        "max_attempts": max_attempts,
        "timeout": values.seconds("--timeout", timeout),
        "kill_after": values.seconds("--kill-after", kill_after),
        "args_limit": args_limit,
        "result_limit": result_limit,
    }
    for cleared in clear or ():
        if cleared.replace("-", "_") not in given:
            raise InvalidArgument("--clear names no default.", hint=f"Defaults are: {', '.join(given)}.")
    changes: dict[str, int | None] = {key: value for key, value in given.items() if value is not None}
    changes |= dict.fromkeys((cleared.replace("-", "_") for cleared in clear or ()), None)
    if changes and (scope is None or (scope is not Limited.SERVICE and name is None)):
        raise InvalidArgument("Whose default?", hint="jobledger limits kind send_mail --timeout 10m")
    settings = settings_of(dsn, data)
    with located(settings) as place:
        asyncio.run(_limits(place, scope, name, changes, reason, actor_name(actor, settings.actor), as_json))


async def _limits(
    place: Place,
    scope: Limited | None,
    name: str | None,
    changes: dict[str, int | None],
    reason: str | None,
    actor: str,
    as_json: bool,
) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at
    from jobledger.store import operate

    named = "" if scope is Limited.SERVICE else name
    async with connection_at(place.dsn) as connection:
        shard = place.settings.shard
        if changes and scope is not None:
            await operate.set_limit(connection, shard, scope.value, named or "", changes, actor=actor, reason=reason)
        found = await operate.limits(connection, shard, scope=scope.value if scope else None, name=named)
    if as_json:
        output.document({"limits": [one._asdict() for one in found]})
    elif not found:
        output.say("Nothing is paused and nothing is set: the defaults of the service hold.")
    else:
        columns = ("scope", "name", "paused", "attempts#", "timeout#", "kill after#", "by", "changed", "reason")
        output.table(
            columns,
            (
                (
                    one.scope,
                    one.name,
                    one.paused,
                    one.max_attempts,
                    one.timeout,
                    one.kill_after,
                    one.changed_by,
                    one.changed_at,
                    one.reason,
                )
                for one in found
            ),
        )


def _hold(
    act: str,
    scope: Held,
    name: str,
    reason: str | None,
    actor: str | None,
    dsn: str | None,
    data: Path | None,
    as_json: bool,
) -> None:
    from jobledger.cli import output
    from jobledger.cli.connect import connection_at, located, settings_of
    from jobledger.cli.options import actor_name
    from jobledger.store import operate

    settings = settings_of(dsn, data)
    who = actor_name(actor, settings.actor)
    call: Any = operate.pause if act == "pause" else operate.resume

    async def run(place: Place) -> bool:
        async with connection_at(place.dsn) as connection:
            changed: bool = await call(connection, settings.shard, scope.value, name, actor=who, reason=reason)
            return changed

    with located(settings) as place:
        changed = asyncio.run(run(place))
    if as_json:
        output.document({"act": act, "scope": scope.value, "name": name, "changed": changed})
    else:
        now = "paused" if act == "pause" else "not paused"
        since = " any more" if act == "resume" and changed else "" if changed else ", as it was before"
        output.say(f"{scope.value} {name} is {now}{since}.")
