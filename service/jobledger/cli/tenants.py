"""`tenants`: how each tenant does, how one does, and how many jobs there were at a moment of the past."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.moments import AsOfMoment, Token  # noqa: TC001 - typer reads the annotations
from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobledger.cli.connect import Place
    from jobledger.order.counts import PastCounts
    from jobledger.store.tenants import History, OpenJobs, TenantLevels, TenantStatus

_STATES = ("ready", "running", "parked", "succeeded", "failed", "killed", "cancelled")
_LISTED = 100


def tenants(
    tenant: Annotated[str | None, typer.Argument(help="How this one does. Without it: all, by name.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="History of one tenant from here on: a time, or 10m, 2h, 3d ago.")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="And up to here. Default: now.")] = None,
    after: Annotated[str | None, typer.Option("--after", help="Of all: go on after this name.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-n", help="Of all: at most so many, 1 to 1000. Default: 100.")
    ] = None,
    as_of: AsOfMoment = None,
    token: Token = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Show how tenants do: open jobs, what they wait for, how long they took and how they ended.

    Open jobs of one tenant are counted in the live tables, or, beyond 5,000 of them, as they were counted a moment
    ago; history (the last hour by default) and the list of all tenants are what was counted. Each part says as of when
    it is. With --as-of it is the number of jobs in each state at a moment of the past.
    """
    from jobledger.cli import moments, values
    from jobledger.cli.connect import located, settings_of
    from jobledger.errors import InvalidArgument

    moment = moments.asked(as_of)
    begin, end = values.past("--since", since), values.past("--until", until)
    if tenant is None and (begin or end):
        raise InvalidArgument("--since and --until are for the history of one tenant.")
    if moment is not None and (begin or end or token or after or limit is not None):
        raise InvalidArgument(
            "--as-of goes with one tenant or with all of them, and with no other choice.",
            hint="Leave out --since, --until, --after, --limit and --token.",
        )
    with located(settings_of(dsn, data)) as place:
        if moment is not None:
            _print_past(asyncio.run(_past(place, tenant, moment)), as_json)
        elif tenant is None:
            most = _LISTED if limit is None else limit
            _print_all(asyncio.run(_all(place, after or "", most)), most, as_json)
        else:
            _print_one(asyncio.run(_one(place, tenant, begin, end, token or as_json)), token, as_json)


async def _one(place: Place, tenant: str, since: datetime | None, until: datetime | None, token: bool) -> TenantStatus:
    from jobledger.cli.connect import connection_at
    from jobledger.errors import Forbidden
    from jobledger.order.moment import moments_for
    from jobledger.store.tenants import tenant_status

    told = None
    async with connection_at(place.dsn) as connection:
        if token:
            # A role that is bound to tenants gets its answer without one.
            with contextlib.suppress(Forbidden):
                told = (await moments_for(connection, tenant)).token
        return await tenant_status(connection, place.settings.shard, tenant, since=since, until=until, told=told)


async def _all(place: Place, after: str, limit: int) -> Sequence[TenantLevels]:
    from jobledger.cli.connect import connection_at
    from jobledger.store.tenants import list_tenants

    async with connection_at(place.dsn) as connection:
        return await list_tenants(connection, place.settings.shard, after=after, limit=limit)


async def _past(place: Place, tenant: str | None, moment: str | datetime) -> PastCounts:
    from jobledger.cli.connect import connection_at
    from jobledger.order.counts import counts_as_of

    async with connection_at(place.dsn) as connection:
        return await counts_as_of(connection, place.settings.shard, moment, tenant=tenant)


def _print_past(past: PastCounts, as_json: bool) -> None:
    from jobledger.cli import moments, output

    if as_json:
        output.document({"as_of": moments.document(past.as_of), "counts": [one._asdict() for one in past.counts]})
        return
    rows = ((one.tenant, one.queue, one.kind, output.state(one.state), one.jobs) for one in past.counts)
    output.table(("tenant", "queue", "kind", "state", "jobs#"), rows)
    if not past.counts:
        output.note("There were no jobs.")
    moments.tell(past.as_of, token=False)


def _print_all(found: Sequence[TenantLevels], limit: int, as_json: bool) -> None:
    from jobledger.cli import output

    if as_json:
        output.document({"tenants": [one.model_dump() for one in found]})
        return
    rows = ((one.tenant, *(getattr(one, state) for state in _STATES)) for one in found)
    output.table(("tenant", *(f"{state}#" for state in _STATES)), rows)
    if not found:
        output.note("No tenant has been counted yet.")
        return
    output.note(f"Counted up to {output.word(found[0].as_of)}; scheduled jobs are among the ready.")
    if len(found) == limit:
        output.note(f"There may be more: --after {found[-1].tenant}")


def _print_one(status: TenantStatus, token: bool, as_json: bool) -> None:
    from jobledger.cli import moments, output
    from jobledger.store.seen import AsOf

    if as_json:
        output.document(status.model_dump())
        return
    _print_open(status.open)
    if status.history is None:
        output.note("No history: the projection tenants is not made yet; see `jobledger projections list`.")
    else:
        _print_history(status.history)
    if token:
        moments.tell(AsOf(status.token, status.at) if status.token else None, token)


def _print_open(jobs: OpenJobs) -> None:
    from jobledger.cli import output

    rows = ((output.state(one.state), one.queue, one.kind, one.jobs) for one in jobs.counts)
    output.table(("state", "queue", "kind", "jobs#"), rows)
    how = "exact" if jobs.source == "live" else "as counted"
    oldest = f"; ready since {output.moment(jobs.oldest_ready)}" if jobs.oldest_ready else ""
    output.note(f"{jobs.jobs:,} open jobs, {how} as of {output.moment(jobs.as_of)}{oldest}.")
    for paused in jobs.paused:
        output.note(
            f"Paused: {paused.scope} {paused.name}, since {output.moment(paused.since)}: {paused.reason or '-'}"
        )
    for waits in jobs.waits:
        least = "at least " if waits.at_least else ""
        output.note(f"{least}{waits.jobs:,} {waits.state} for: {waits.reason or '-'}")


def _print_history(history: History) -> None:
    from jobledger.cli import output

    names: dict[tuple[str | None, str | None], dict[str, Any]] = {}
    for one in history.times:
        names.setdefault((one.queue, one.kind), {})[one.measure] = one
    columns = (
        "queue",
        "kind",
        "claimed#",
        *(f"{what} {p}#" for what in ("wait", "run") for p in ("p50", "p95", "p99")),
    )
    rows = []
    for (queue, kind), took in names.items():
        wait, run = took.get("wait"), took.get("run")
        shown = [_seconds(getattr(one, p)) if one else "-" for one in (wait, run) for p in ("p50", "p95", "p99")]
        rows.append((queue or "all", kind or "all", wait.count if wait else 0, *shown))
    output.table(columns, rows)
    ends = ", ".join(f"{count:,} {state}" for state, count in sorted(history.outcomes.items())) or "no job ended"
    span = f"{output.moment(history.since)} to {output.moment(history.until)}"
    output.note(f"{span}: {ends}. Counted up to {output.moment(history.as_of)}.")


def _seconds(value: float) -> str:
    """Return a length of time as people read it."""
    if value < 1:
        return f"{value * 1000:.3g} ms"
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7_200 else f"{value / 3_600:.3g} h"
