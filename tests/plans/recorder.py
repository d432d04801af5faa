"""What the server really did for one call: every statement inside it, with its plan, buffers and WAL.

Postgres's `auto_explain` sends each plan to the session as a notice, those inside functions too; the last one of a call
is the call itself, and its root counts the buffers and the WAL of everything below it, the planning inside included.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    import asyncpg

LOG = ("events", "finished", "idempotency", "ready", "running", "unique_keys", "waiting")
"""Tables that grow with the jobs (`events` also by its partitions): reading one from end to end is a fault."""

SETTINGS = MappingProxyType(
    {
        "log_min_duration": "0",
        "log_analyze": "on",
        "log_buffers": "on",
        "log_wal": "on",
        "log_timing": "off",
        "log_nested_statements": "on",
        "log_format": "json",
        "log_level": "notice",
    }
)


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a plan. `rows` and `removed` are of all loops together; `removed` is what any filter threw away."""

    kind: str
    relation: str
    index: str
    loops: float
    rows: float
    removed: float

    @property
    def work(self) -> float:
        """How many rows went through the node."""
        return self.rows + self.removed

    @property
    def reads_all(self) -> bool:
        """Tell whether it read a table that grows from its first page to its last."""
        return self.kind == "Seq Scan" and self.loops > 0 and self.relation.startswith(LOG)

    def __str__(self) -> str:
        """Say it in a line."""
        by = f" by {self.index}" if self.index else ""
        return (
            f"{self.kind} {self.relation}{by}: {self.rows:.0f} rows, {self.removed:.0f} removed, {self.loops:.0f} loops"
        )


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement that ran: its text, its nodes, and the figures of its root."""

    text: str
    nodes: tuple[Node, ...]
    buffers: int
    wal_bytes: int
    full_pages: int
    compiled: bool

    @property
    def begins(self) -> str:
        """The beginning of its text in one line."""
        return " ".join(self.text.split())[:110]


@dataclass(slots=True)
class Call:
    """One call of the contract: all statements that ran in it, the call itself last."""

    statements: list[Statement] = field(default_factory=list)

    @property
    def buffers(self) -> int:
        """Shared buffers that were hit or read, by everything in the call."""
        return self.statements[-1].buffers

    @property
    def wal_bytes(self) -> int:
        """Bytes of WAL, full-page images included where there were any."""
        return self.statements[-1].wal_bytes

    def whole_tables(self) -> list[tuple[float, str]]:
        """Return which tables that grow were read from end to end: how many rows they had, and by what."""
        read = [(node, run.begins) for run in self.statements for node in run.nodes if node.reads_all]
        return [(node.work / node.loops, f"{node} in: {begins}") for node, begins in read]

    def busiest(self) -> tuple[float, str]:
        """Return the most rows that went through one node, all runs of its statement together, and which one it was."""
        work: dict[tuple[str, int], float] = defaultdict(float)
        said: dict[tuple[str, int], str] = {}
        for run in self.statements:
            for at, node in enumerate(run.nodes):
                work[run.text, at] += node.work
                said[run.text, at] = f"{node} in: {run.begins}"
        most = max(work, key=lambda place: work[place], default=None)
        return (work[most], said[most]) if most is not None else (0.0, "")


class Recorder:
    """Records the plans of one connection."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        """Listen to its notices; `install` once."""
        self._connection = connection
        self._call: Call | None = None
        connection.add_log_listener(self._hear)

    async def install(self) -> None:
        """Have the session explain what it runs, whenever `recorded` asks for it."""
        await self._connection.execute("load 'auto_explain'")
        for name, value in SETTINGS.items():
            if name != "log_min_duration":
                await self._connection.execute(f"set auto_explain.{name} = '{value}'")

    @asynccontextmanager
    async def recorded(self) -> AsyncIterator[Call]:
        """Record the one call that is made inside; the record is whole when the block has ended."""
        call = Call()
        await self._connection.execute(f"set auto_explain.log_min_duration = {SETTINGS['log_min_duration']}")
        self._call = call
        try:
            yield call
        finally:
            await self._connection.execute("set auto_explain.log_min_duration = -1")
            # Notices are handed to listeners by the loop, after the answer they came with.
            await asyncio.sleep(0)
            self._call = None

    def _hear(self, _: object, message: Any) -> None:
        text: str = message.message
        if self._call is None or " plan:\n" not in text:
            return
        self._call.statements.append(_read(json.loads(text.partition(" plan:\n")[2])))


def _read(said: Mapping[str, Any]) -> Statement:
    root = said["Plan"]
    return Statement(
        text=said["Query Text"],
        nodes=tuple(_nodes(root)),
        buffers=root["Shared Hit Blocks"] + root["Shared Read Blocks"],
        wal_bytes=root["WAL Bytes"],
        full_pages=root["WAL FPI"],
        compiled="JIT" in said,
    )


def _nodes(plan: Mapping[str, Any]) -> Iterator[Node]:
    loops = plan.get("Actual Loops", 0)
    removed = sum(value for name, value in plan.items() if name.startswith("Rows Removed by"))
    yield Node(
        kind=plan["Node Type"],
        relation=plan.get("Relation Name", ""),
        index=plan.get("Index Name", ""),
        loops=loops,
        rows=plan.get("Actual Rows", 0) * loops,
        removed=removed * loops,
    )
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
