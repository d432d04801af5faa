"""`verify`: the whole log through the pure fold beside the tables, and the blocks beside the log."""
# ruff: noqa: PLC0415 - the service is imported when a command runs, so that --help answers at once

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobledger.cli.options import Data, Dsn, Json  # noqa: TC001 - typer reads the annotations

if TYPE_CHECKING:
    from jobledger.cli.connect import Place
    from jobledger.order.audit import Verified

_SHOWN = 20


def verify(
    fold: Annotated[
        bool,
        typer.Option("--fold", help="Only: each stream folded, beside its row, the views and the keys."),
    ] = False,
    order: Annotated[
        bool, typer.Option("--order", help="Only: blocks follow each other, and each event lies in one.")
    ] = False,
    dsn: Dsn = None,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Verify the log: replay all of it through the state machine beside the tables, and look at its order.

    The system may go on meanwhile: what differs is looked at again before it is told. Of any size of log it keeps one
    page and a bit an event in memory. A difference makes the status 8; `jobledger doctor --repair` mends rows.
    """
    from jobledger.cli import output, progress
    from jobledger.cli.connect import located, settings_of, store_at
    from jobledger.errors import CheckFailed
    from jobledger.order import audit

    async def run(place: Place) -> Verified:
        both = fold == order
        with progress.bars() as (_, shown):
            async with store_at(place) as store:
                return await audit.verify(
                    store,
                    fold=fold or both,
                    order=order or both,
                    progress=lambda w, d, t: shown(f"{w}, percent", 100 * d // t, 100),
                )

    with located(settings_of(dsn, data)) as place:
        found = asyncio.run(run(place))
    if as_json:
        output.document(_document(found))
    else:
        _show(found)
    if not found.sound:
        raise CheckFailed(
            f"The log and what is derived from it differ in {found.faults_total:,} things.",
            hint="`jobledger doctor --repair` makes rows anew from the log; a changed log has to come from a backup.",
            detail={"faults": found.faults_total},
        )


def _document(found: Verified) -> dict[str, Any]:
    return {
        "sound": found.sound,
        **{name: value for name, value in found._asdict().items() if name != "faults"},
        "events_per_s": round(found.events / found.elapsed_s),
        "faults": [one._asdict() for one in found.faults],
    }


def _show(found: Verified) -> None:
    from jobledger.cli import output

    output.facts(
        [
            ("events", found.events),
            ("streams", found.streams),
            ("jobs", found.jobs),
            ("blocks", found.blocks),
            ("sealed", found.sealed),
            ("unsealed", found.unsealed),
            ("took", f"{output.span(found.elapsed_s)}, {round(found.events / found.elapsed_s):,} events a second"),
        ]
    )
    if found.sound:
        output.say("Nothing differs.")
        return
    shown = found.faults[:_SHOWN]
    rows = ((one.code, str(one.stream) if one.stream else None, one.found, one.expected) for one in shown)
    output.table(("fault", "id", "found", "expected"), rows)
    if found.faults_total > len(shown):
        output.note(f"{found.faults_total - len(shown):,} more; --json lists the first 1,000.")
