"""What operators do to jobs: cancel, kill, retry, unpark, reschedule, reprioritise, move; by id or by filter."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobledger.cli.options import (  # noqa: TC001 - typer reads the annotations
    Actor,
    Data,
    Dsn,
    Json,
    Kind,
    Owner,
    Queue,
    State,
    Tenant,
    Yes,
)
from jobledger.cli.options import Reason as ReasonIfAny  # noqa: TC001 - the same

Ids = Annotated[list[str] | None, typer.Argument(help="Job ids; or none, and a filter.", show_default=False)]
Tag = Annotated[str | None, typer.Option("--tag", help="Only with this tag.")]
Preview = Annotated[bool, typer.Option("--preview", help="Only say how many jobs the filter means.")]
Reason = Annotated[str, typer.Option("--reason", "-r", help="Why, for the record.")]


def cancel(
    reason: Reason,
    ids: Ids = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Cancel jobs: a waiting one at once, a running one as soon as its handler listens."""
    _act("cancel", ids, (tenant, queue, kind, state, owner, tag), actor, reason, {}, preview, yes, dsn, data, as_json)


def kill(
    reason: Reason,
    ids: Ids = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Kill jobs: at once, whatever they do; what a running handler still returns is thrown away, on record."""
    _act("kill", ids, (tenant, queue, kind, state, owner, tag), actor, reason, {}, preview, yes, dsn, data, as_json)


def retry(
    reason: Reason,
    ids: Ids = None,
    attempts: Annotated[
        int | None, typer.Option("--attempts", help="How many more attempts. Default: as many as it had.")
    ] = None,
    run_at: Annotated[
        str | None, typer.Option("--run-at", help="Not before: a time with its zone, or 10m, 2h.")
    ] = None,
    kill_at: Annotated[str | None, typer.Option("--kill-at", help="A kill date of its own; the same forms.")] = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Run failed, killed or cancelled jobs again, with fresh attempts and a new kill date."""
    from jobledger.cli import values

    how = _given(
        attempts=attempts, run_at=values.moment("--run-at", run_at), kill_at=values.moment("--kill-at", kill_at)
    )
    _act("retry", ids, (tenant, queue, kind, state, owner, tag), actor, reason, how, preview, yes, dsn, data, as_json)


def unpark(
    ids: Ids = None,
    reason: ReasonIfAny = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Let parked jobs go on: what they needed is there."""
    _act("unpark", ids, (tenant, queue, kind, state, owner, tag), actor, reason, {}, preview, yes, dsn, data, as_json)


def reschedule(
    run_at: Annotated[str, typer.Option("--run-at", help="Not before: a time with its zone, or 10m, 2h, 3d from now.")],
    ids: Ids = None,
    kill_at: Annotated[str | None, typer.Option("--kill-at", help="A kill date of its own; the same forms.")] = None,
    reason: ReasonIfAny = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give waiting jobs another time."""
    from jobledger.cli import values

    how = _given(run_at=values.moment("--run-at", run_at), kill_at=values.moment("--kill-at", kill_at))
    chosen = (tenant, queue, kind, state, owner, tag)
    _act("reschedule", ids, chosen, actor, reason, how, preview, yes, dsn, data, as_json)


def reprioritise(
    priority: Annotated[int, typer.Option("--priority", help="-1000 (first) to 1000 (last).", min=-1000, max=1000)],
    ids: Ids = None,
    reason: ReasonIfAny = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Give waiting jobs another priority among their tenant's own."""
    chosen = (tenant, queue, kind, state, owner, tag)
    _act("reprioritise", ids, chosen, actor, reason, {"priority": priority}, preview, yes, dsn, data, as_json)


def move(
    to: Annotated[str, typer.Option("--to", help="The queue to move them to.")],
    ids: Ids = None,
    reason: ReasonIfAny = None,
    tenant: Tenant = None,
    queue: Queue = None,
    kind: Kind = None,
    state: State = None,
    owner: Owner = None,
    tag: Tag = None,
    preview: Preview = False,
    yes: Yes = False,
    actor: Actor = None,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Move waiting jobs to another queue."""
    chosen = (tenant, queue, kind, state, owner, tag)
    _act("move", ids, chosen, actor, reason, {"queue": to}, preview, yes, dsn, data, as_json)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _act(
    act: Any,
    ids: list[str] | None,
    chosen: tuple[str | None, ...],
    actor: str | None,
    reason: str | None,
    how: dict[str, Any],
    preview: bool,
    yes: bool,
    dsn: str | None,
    data: Any,
    as_json: bool,
) -> None:
    import asyncio

    from jobledger.cli import acts
    from jobledger.cli.connect import located, settings_of
    from jobledger.cli.options import actor_name

    settings = settings_of(dsn, data)
    order = acts.Order(act, actor_name(actor, settings.actor), reason, how, as_json)
    wanted = acts.wanted(ids, chosen)
    with located(settings) as place:
        if ids:
            asyncio.run(acts.on_ids(place, order, ids, tenant=chosen[0]))
        else:
            asyncio.run(acts.on_all(place, order, wanted, preview_only=preview, yes=yes))
