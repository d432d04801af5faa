"""The doctor's look at the sealing of the log, and at those who read it: projections, subscriptions, webhooks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final

from jobledger.store.findings import Finding
from jobledger.store.statements import statement

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobledger.store.pool import Connection

LAG_S: Final = 60.0
"""Seconds that a sealed event may wait for a reader before the doctor tells it."""
ASIDE_MOST: Final = 10_000
"""Events that a subscription sets aside at most, as `subscription_failed` has it."""


async def sealing(connection: Connection, shard: int) -> list[Finding]:
    """Look whether the log is sealed: what is not, no reader gets, and none of them lags."""
    for_s = await connection.fetchval(statement("doctor_unsealed"), shard, LAG_S)
    if for_s is None:
        return [Finding("good", "sealing", "The log is sealed.")]
    said = f"The log has not been sealed for {for_s:.0f} s: feeds, subscriptions and projections get nothing new."
    way = "Start a worker, or run `jobledger seal`; workers with JOBLEDGER_SEAL off do not seal."
    return [Finding("warning", "sealing", said, way, {"for_s": for_s})]


async def projections(connection: Connection, shard: int) -> list[Finding]:
    """Look for projections that have stopped or lag."""
    found: list[Finding] = []
    for row in await connection.fetch(statement("doctor_projections"), shard, LAG_S):
        facts = dict(row)
        name = f"The rebuild of {row['name']}" if row["shadow"] else f"The projection {row['name']}"
        resume = f"`jobledger projections resume {row['name']}`"
        if row["error"]:
            said = f"{name} has stopped, {row['behind']:,} events behind: {row['error']}"
            found.append(Finding("alarm", "projections", said, f"Mend its fold, then {resume}.", facts))
        elif row["state"] == "stopped":
            said = f"{name} was stopped, and is {row['behind']:,} events behind."
            found.append(Finding("warning", "projections", said, f"To go on: {resume}.", facts))
        elif not row["shadow"]:
            said = f"{name} is {row['behind_s']:.0f} s and {row['behind']:,} events behind."
            way = (
                "Start a worker that has it, or `jobledger projections run --app …`; else `jobledger projections drop`."
            )
            found.append(Finding("warning", "projections", said, way, facts))
    return found or [Finding("good", "projections", "No projection stands still or lags.")]


async def subscriptions(connection: Connection, shard: int) -> list[Finding]:
    """Look for subscriptions that are disabled or lag, and for events that were set aside: nobody has handled those."""
    found: list[Finding] = []
    for row in await connection.fetch(statement("doctor_subscriptions"), shard, LAG_S):
        found += _of_subscription(dict(row))
    return found or [Finding("good", "subscriptions", "No subscription stands still, lags or has set events aside.")]


async def webhooks(connection: Connection, shard: int) -> list[Finding]:
    """Look for webhooks that are disabled, and for those whose events wait.

    The way out names them by their ids: owners of a tenant may use one name twice.
    """
    found: list[Finding] = []
    for row in await connection.fetch(statement("doctor_webhooks"), shard, LAG_S):
        facts = dict(row)
        name = row["name"] if row["tenant"] is None else f"{row['name']} of {row['tenant']}"
        waits = f"events have been waiting for {row['lag_s']:.0f} s"
        if row["disabled"]:
            said = f"The webhook {name} is disabled{'; ' + waits if row['lag_s'] else ''}."
            if row["disabled_reason"]:
                said = f"{said} {row['disabled_reason']}"
            way = f"Mend its endpoint, then `jobledger webhooks reset {row['id']}`; or remove it."
        elif row["failures"]:
            said = f"The webhook {name} cannot be delivered, {row['failures']} times in a row ({row['last']}): {waits}."
            way = f"Mend its endpoint; `jobledger webhooks test {row['id']}` tries it."
        else:
            said = f"The webhook {name} lags: {waits}."
            way = "Only `jobledger serve` and `jobledger up` deliver: start one, or a larger `--batch`."
        found.append(Finding("warning", "webhooks", said, way, facts))
    return found or [Finding("good", "webhooks", "Every webhook is delivered.")]


def _of_subscription(facts: Mapping[str, Any]) -> list[Finding]:
    found: list[Finding] = []
    said, command = _named(facts["name"], facts["tenant"])
    said = f"The subscription {said}"
    behind = f"{'' if facts['lag_exact'] else '~'}{facts['lag_events']:,} events behind"
    if facts["aside"]:
        full = facts["aside"] >= ASIDE_MOST
        told = f"{said} has set aside {facts['aside']:,} events that its consumers failed to handle"
        told += ", as many as there may be: what fails next holds up its slice." if full else "."
        way = f"Mend what `jobledger subscriptions set-aside {command}` tells, then `… retry`; or `… retry --drop`."
        found.append(Finding("alarm" if full else "warning", "subscriptions", told, way, facts))
    if facts["disabled"]:
        way = f"To go on: `jobledger subscriptions reset {command}`."
        found.append(Finding("warning", "subscriptions", f"{said} is disabled, and {behind}.", way, facts))
    elif facts["lag_s"] > LAG_S:
        told = f"{said} is {facts['lag_s']:.0f} s and {behind}"
        if facts["consumers"]:
            told += f"; consumers: {facts['consumers']}."
            way = f"See `jobledger subscriptions show {command}`: more consumers, or mend what a slice waits at."
        else:
            told += ", and nobody consumes it."
            way = f"Start its consumers; else `jobledger subscriptions remove {command}`."
        found.append(Finding("warning", "subscriptions", told, way, facts))
    return found


def _named(name: str, tenant: str | None) -> tuple[str, str]:
    """Return how to say a subscription's name, and how a command takes it."""
    if tenant is None:
        return name, shlex.quote(name)
    return f"{name} of {tenant}", f"{shlex.quote(name)} --tenant {shlex.quote(tenant)}"
