"""How transitions are shown: one job as a table, many as coloured lines; an object a line for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from jobledger.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from uuid import UUID

    from jobledger.events import Event
    from jobledger.order.replay import Replayed

_COLOURS: Final = {
    "succeeded": "green",
    "failed": "red",
    "killed": "red",
    "lease_expired": "yellow",
    "report_rejected": "yellow",
    "parked": "yellow",
    "retried": "magenta",
    "cancelled": "bright_black",
    "heartbeat": "bright_black",
    "claimed": "cyan",
}


def document(one: Replayed) -> dict[str, Any]:
    """Return an event for programs, with the seconds since the job's event before it, and since the one before it."""
    event = one.event
    found = {
        "stream_id": event.stream_id,
        "version": event.version,
        "type": event.type,
        "at": event.at,
        "tenant": event.tenant,
        "actor": event.actor,
        "worker": event.worker,
        "attempt": event.attempt,
        "data": event.data,
        "after_s": one.after.total_seconds() if one.after is not None else None,
        "since_s": one.since.total_seconds() if one.since is not None else None,
    }
    return found if one.cursor is None else {**found, "cursor": one.cursor}


def table(steps: Iterable[Replayed]) -> None:
    """Print the transitions of one job as a table."""
    output.table(
        ("#", "time", "after", "event", "attempt#", "worker", "actor", "what"),
        (
            (
                one.event.version,
                one.event.at,
                _span(one.after) or None,
                Text(one.event.type, style=_colour(one.event)),
                one.event.attempt,
                _end_of(one.event.worker) or None,
                one.event.actor,
                output.sentence(one.event.data or {}),
            )
            for one in steps
        ),
    )


class Lines:
    """Prints one line for each event as it comes, in colour at a terminal (unless NO_COLOR is set)."""

    def __init__(self, *, pauses: bool) -> None:
        """With `pauses` each line has the time since the job's event before it, and since the line before it."""
        self._console = output.console()
        self._pauses = pauses

    def write(self, one: Replayed) -> None:
        """Print one."""
        event = one.event
        pauses = f"{_span(one.since):>12}{_span(one.after):>12}" if self._pauses else ""
        parts = [
            (output.moment(event.at), "bright_black"),
            (f"{pauses}  ", ""),
            (f"{event.type:<21}", _colour(event)),
            (f"  {event.tenant:<12}  {event.stream_id}", ""),
            (f"  #{event.attempt}" if event.attempt is not None else "", ""),
            (f"  {_end_of(event.worker)}" if event.worker is not None else "", "bright_black"),
            (f"  by {event.actor}" if event.actor else "", ""),
            (f"  {output.sentence(event.data or {})}", ""),
        ]
        if self._console.is_terminal:
            self._console.print(Text.assemble(*parts), soft_wrap=True, highlight=False)
            return
        # What may be millions of lines into a pipe goes there as it is.
        output.line("".join(text for text, _ in parts).rstrip())


def _colour(event: Event) -> str:
    name = event.type.partition(".")[2]
    # A failure that is tried again is no end yet.
    return "yellow" if name == "failed" and (event.data or {}).get("retry_at") else _COLOURS.get(name, "")


def _end_of(worker: UUID | None) -> str:
    """Return the end of a worker's id; its beginning is a start time, and the same for many."""
    return f"…{str(worker)[-12:]}" if worker is not None else ""


def _span(passed: timedelta | None) -> str:
    return output.span(passed.total_seconds()) if passed is not None else ""
