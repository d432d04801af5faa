"""Carries out one act of an operator: on jobs named by id, or on all that fit a filter, after saying how many."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from jobledger.cli import output, values
from jobledger.cli.connect import connection_at, store_at
from jobledger.errors import Conflict, InvalidArgument, JobGone, JobledgerError, NotFound, UniqueTaken, WrongState
from jobledger.store import operate
from jobledger.store.filters import JobFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jobledger.cli.connect import Place
    from jobledger.store.operate import Act, Acted

_DONE: Final = frozenset({"done", "requested"})
_REFUSALS: Final[Mapping[str, type[JobledgerError]]] = {
    "not_found": NotFound,
    "job_gone": JobGone,
    "wrong_state": WrongState,
    "unique_taken": UniqueTaken,
}


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done, by whom, why, and how the outcome is shown."""

    act: Act
    actor: str
    reason: str | None
    how: Mapping[str, Any]
    as_json: bool


def wanted(ids: Sequence[str] | None, chosen: tuple[str | None, ...]) -> JobFilter:
    """Return the filter. Raises `InvalidArgument` where ids and a filter are given, or neither."""
    tenant, queue, kind, state, owner, tag = chosen
    if ids and any((queue, kind, state, owner, tag)):
        raise InvalidArgument("Name jobs either by id or by a filter.", hint="--tenant may stand beside ids.")
    if not ids and not any(chosen):
        raise InvalidArgument(
            "Which jobs?", hint="Give ids, or a filter: --tenant, --queue, --kind, --state, --owner, --tag."
        )
    return JobFilter(tenant, state.split(",") if state else None, queue, kind, owner, tag)


async def on_ids(place: Place, order: Order, texts: Sequence[str], *, tenant: str | None) -> None:
    """Act on the jobs of these ids in one transaction and say what became of each.

    Raises:
        NotFound, WrongState, UniqueTaken: what refused the only job, or every one.
        Conflict: some were acted on, some not.
    """
    ids = list(dict.fromkeys(values.ids(texts)))
    async with connection_at(place.dsn) as connection:
        acted = await operate.act(
            connection,
            place.settings.shard,
            order.act,
            ids,
            actor=order.actor,
            reason=order.reason,
            tenant=tenant,
            data=order.how,
        )
    if order.as_json:
        output.document({"act": order.act, "jobs": [one._asdict() for one in acted]})
    else:
        rows = ((str(one.id), one.verdict.replace("_", " "), one.state) for one in acted)
        output.table(("id", order.act, "state now"), rows)
    _refuse(order.act, acted)


async def on_all(place: Place, order: Order, wanted: JobFilter, *, preview_only: bool, yes: bool) -> None:
    """Say how many jobs fit, ask, then act on them in batches."""
    async with store_at(place) as store:
        async with store.connection() as connection:
            found = await operate.preview(connection, store.shard, order.act, wanted)
        number = f"{'more than ' if found.more else ''}{found.jobs:,}"
        if preview_only or not found.jobs:
            if order.as_json:
                output.document({"act": order.act, "fit": found.jobs, "more": found.more, "verdicts": {}})
            else:
                output.say(f"{number} jobs fit; nothing was changed.")
            return
        if not yes:
            _ask(order, number)
        verdicts = await operate.act_on_all(
            store, order.act, wanted, actor=order.actor, reason=order.reason, data=order.how
        )
    if order.as_json:
        output.document({"act": order.act, "fit": found.jobs, "more": found.more, "verdicts": dict(verdicts)})
    else:
        output.table((order.act, "jobs#"), ((name.replace("_", " "), count) for name, count in verdicts.items()))


def _ask(order: Order, number: str) -> None:
    if not sys.stdin.isatty():
        raise InvalidArgument(
            f"{number} jobs fit, and there is nobody to ask.", hint="Add --yes to do it, or --preview to count only."
        )
    typer.confirm(f"{order.act} {number} jobs?", abort=True, err=True)


def _refuse(act: str, acted: Sequence[Acted]) -> None:
    refused = [one for one in acted if one.verdict not in _DONE]
    if not refused:
        return
    verdicts = {one.verdict for one in refused}
    detail = {"refused": [str(one.id) for one in refused]}
    if len(refused) < len(acted) or len(verdicts) > 1:
        raise Conflict(f"{len(refused)} of {len(acted)} jobs were left as they are.", detail=detail)
    kind = _REFUSALS.get(verdicts.pop(), Conflict)
    if kind is WrongState:
        states = sorted({str(one.state) for one in refused})
        raise WrongState(
            f"{act} is not possible for a job that is {' or '.join(states)}.",
            hint=f"It is possible in: {', '.join(operate.ACTS_ON[act])}.",
            detail=detail,
        )
    if kind is NotFound:
        raise NotFound("No such job.", hint="Look at its id, and at the tenant you ask for.", detail=detail)
    raise kind(detail=detail)
