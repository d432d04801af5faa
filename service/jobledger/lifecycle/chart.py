"""The state machine as text: the table and the chart of docs/lifecycle.md, made from the one table of transitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobledger.lifecycle.machine import STATES, TRANSITIONS, Releases, Transition, possible
from jobledger.lifecycle.states import FINISHED, State

if TYPE_CHECKING:
    from collections.abc import Iterable

_COST = {1: "one is spent", 0: "", -1: "given back"}
_RELEASES = {Releases.KEPT: "", Releases.RESET: "back to 0", Releases.COUNTED: "one more"}
_AGAIN = {None: "", True: " with `retry_at`", False: " without `retry_at`"}


def table() -> str:
    """Return the table "event x state -> state, cost in attempts" as markdown."""
    head = ["event", "from", "to", "attempts", "free releases in a row", "only where"]
    return _table(head, (_cells(row) for row in TRANSITIONS))


def by_state() -> str:
    """Return what can happen in each state as markdown, one row a state."""
    return _table(
        ["state", "events that are possible in it"],
        (
            [f"`{state}`" if state else "(no job yet)", ", ".join(f"`{event}`" for event in possible(state))]
            for state in (None, *STATES)
        ),
    )


def diagram() -> str:
    """Return the chart in the language of mermaid; events that leave the state as it is are not drawn."""
    arrows: dict[tuple[State | None, State], list[str]] = {}
    for row in TRANSITIONS:
        for source in sorted(row.sources, key=_rank):
            target = row.leads_to(source)
            if target is not source:
                arrows.setdefault((source, target), []).append(_label(row))
    lines = ["stateDiagram-v2"]
    lines += [f"    {source or '[*]'} --> {target}: {', '.join(labels)}" for (source, target), labels in arrows.items()]
    lines += [f"    {state} --> [*]" for state in STATES if state in FINISHED]
    return "\n".join(["```mermaid", *lines, "```"])


def page() -> str:
    """Return all of it, as it stands between the marks in docs/lifecycle.md."""
    return "\n\n".join([diagram(), table(), by_state()])


def _cells(row: Transition) -> list[str]:
    sources = ", ".join(f"`{source}`" if source else "(no job yet)" for source in sorted(row.sources, key=_rank))
    return [
        f"`{row.event}`{_AGAIN[row.again]}",
        sources,
        f"`{row.target}`" if row.target else "(stays)",
        _COST[row.cost],
        _RELEASES[row.releases],
        f"`{row.condition.words}`" if row.condition else "",
    ]


def _label(row: Transition) -> str:
    name = row.event.removeprefix("job.")
    return f"{name} (again)" if row.again else f"{name} (final)" if row.again is False else name


def _rank(state: State | None) -> int:
    return -1 if state is None else list(State).index(state)


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
