"""Shows a replay while it goes on: a live screen for people at a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from jobledger.simulate.tally import Tally, TenantTally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobledger.simulate.plan import Plan

_TENANTS_SHOWN = 10
_PLAIN_EVERY_S = 2.0


class Display(Protocol):
    """Shows the counts; `update` is called a few times a second."""

    def update(self, tally: Tally) -> None:
        """Show the counts as they are now."""


class Silent:
    """Shows nothing."""

    def update(self, tally: Tally) -> None:
        """Show nothing."""


class PlainLines:
    """Writes one line every two seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        """Write to `console`."""
        self._console = console
        self._due_s = 0.0

    def update(self, tally: Tally) -> None:
        """Write a line if one is due, and one when everything has ended."""
        if tally.elapsed_s < self._due_s and tally.finished < tally.total:
            return
        self._due_s = tally.elapsed_s + _PLAIN_EVERY_S
        self._console.print(
            f"{tally.elapsed_s:6.1f} s  enqueued {tally.enqueued:,}/{tally.total:,}  running {tally.running:,}  "
            f"finished {tally.finished:,}  {tally.per_second():,.0f}/s",
            highlight=False,
        )


class LiveScreen:
    """A progress bar and the busiest tenants, redrawn in place."""

    def __init__(self, live: Live, total: int) -> None:
        """Draw into `live`."""
        self._live = live
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:,}/{task.total:,}"),
            TimeElapsedColumn(),
            expand=True,
        )
        self._enqueued = self._bar.add_task("enqueued", total=total)
        self._finished = self._bar.add_task("finished", total=total)

    def update(self, tally: Tally) -> None:
        """Redraw."""
        self._bar.update(self._enqueued, completed=tally.enqueued)
        self._bar.update(self._finished, completed=tally.finished)
        facts = f"running {tally.running:,} · {tally.per_second():,.0f} jobs/s"
        for outcome, number in sorted(tally.outcomes.items()):
            facts += f" · {outcome} {number:,}"
        self._live.update(Group(self._bar, facts, _busiest(tally)))


@contextmanager
def showing(console: Console, total: int, *, silent: bool = False) -> Iterator[Display]:
    """Give the display that fits the console: a live screen on a terminal, lines elsewhere, nothing when `silent`."""
    if silent:
        yield Silent()
    elif not console.is_terminal:
        yield PlainLines(console)
    else:
        with Live(console=console, refresh_per_second=4, transient=True) as live:
            yield LiveScreen(live, total)


def per_tenant(plan: Plan, tally: Tally) -> Table:
    """Return the table of all tenants: how many jobs ended how."""
    table = _table(f"{len(plan.counts())} tenants")
    for tenant in plan.counts():
        _row(table, tenant, tally.tenant(tenant))
    table.add_section()
    whole = TenantTally(tally.enqueued, tally.running, tally.outcomes)
    _row(table, "all", whole)
    return table


def stderr_console() -> Console:
    """Return a console on stderr, where progress goes, so that stdout keeps the result alone."""
    return Console(file=sys.stderr)


def _busiest(tally: Tally) -> Table:
    table = _table("busiest tenants")
    ranked = sorted(tally.tenants.items(), key=lambda item: (-item[1].running, -item[1].enqueued))
    for tenant, counts in ranked[:_TENANTS_SHOWN]:
        _row(table, tenant, counts)
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("tenant")
    for column in ("enqueued", "running", "succeeded", "failed", "cancelled"):
        table.add_column(column, justify="right")
    return table


def _row(table: Table, tenant: str, counts: TenantTally) -> None:
    numbers = [
        counts.enqueued,
        counts.running,
        *(counts.outcomes[name] for name in ("succeeded", "failed", "cancelled")),
    ]
    table.add_row(tenant, *(f"{number:,}" if number else "-" for number in numbers))
