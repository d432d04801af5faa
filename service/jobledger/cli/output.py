"""What commands print: tables for people, JSON for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PIPE_WIDTH = 200
_SENTENCE_MAX = 300
_SEVERITIES = {"alarm": "bold red", "warning": "yellow", "note": "cyan", "good": "green"}
# What an event needs for rebuilding and nobody for reading.
_MACHINERY = frozenset({"call", "beat", "trace"})
_COLOURS = {
    "ready": "cyan",
    "scheduled": "blue",
    "running": "yellow",
    "parked": "magenta",
    "succeeded": "green",
    "failed": "red",
    "killed": "red",
    "cancelled": "bright_black",
}


def console() -> Console:
    """Return the console on stdout. Into a pipe it is wide, so that nothing is cut off."""
    plain = Console()
    return plain if plain.is_terminal else Console(width=_PIPE_WIDTH)


def document(value: Any) -> None:
    """Print one JSON document on one line."""
    line(encoded(value))


def documents(values: Iterable[Any]) -> None:
    """Print one JSON document a line (NDJSON)."""
    for value in values:
        line(encoded(value))


def line(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def encoded(value: Any) -> str:
    """Return a value as JSON; times are RFC 3339 in UTC, ids text."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return value._asdict()
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, title: str | None = None) -> None:
    """Print a table; a column whose name ends in `#` holds numbers, set to the right. Ids are never cut."""
    shown = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        shown.add_column(
            column.rstrip("#"),
            justify="right" if column.endswith("#") else "left",
            no_wrap=column == "id",
            overflow="fold",
        )
    for row in rows:
        shown.add_row(*(cell if isinstance(cell, Text) else Text(word(cell)) for cell in row))
    console().print(shown)


def facts(pairs: Iterable[tuple[str, Any]]) -> None:
    """Print names and values, one pair a line; values of None are left out."""
    shown = Table.grid(padding=(0, 2))
    shown.add_column(style="bold")
    shown.add_column(overflow="fold")
    for name, value in pairs:
        if value is not None:
            shown.add_row(name, value if isinstance(value, Text) else Text(word(value)))
    console().print(shown)


def say(sentence: str) -> None:
    """Print a sentence on stdout."""
    console().print(sentence, markup=False, highlight=False, soft_wrap=True)


def note(sentence: str) -> None:
    """Print a sentence on stderr, beside the result."""
    Console(stderr=True).print(sentence, markup=False, highlight=False, soft_wrap=True)


def finding(severity: str, topic: str, said: str, way_out: str | None) -> None:
    """Print one finding of the doctor, with the way out below it."""
    text = Text()
    text.append(f"{severity:<8}", style=_SEVERITIES.get(severity, ""))
    text.append(f"{topic:<14}", style="bold")
    text.append(said)
    if way_out and severity != "good":
        text.append(f"\n{'':<22}{way_out}", style="dim")
    console().print(text, soft_wrap=True)


def state(name: str) -> Text:
    """Return a job's state in its colour."""
    return Text(name, style=_COLOURS.get(name, ""))


def word(value: Any) -> str:
    """Return a value for a person: `-` for nothing, times in UTC to the millisecond, thousands parted."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    if isinstance(value, (list, tuple)):
        return ", ".join(word(item) for item in value)
    if isinstance(value, dict):
        return encoded(value)
    return str(value)


def sentence(data: dict[str, Any]) -> str:
    """Return an event's data in one line: the reason first, an error as type and message, then the rest by name."""
    rest = {name: value for name, value in data.items() if name not in _MACHINERY and value is not None}
    parts: list[str] = []
    if reason := rest.pop("reason", None):
        parts.append(str(reason))
    if isinstance(error := rest.pop("error", None), dict):
        parts.append(f"{error.get('type')}: {error.get('message')}" if error.get("message") else str(error.get("type")))
    parts += [f"{name}={_told(name, value)}" for name, value in rest.items()]
    text = "  ".join(parts).replace("\n", " ")
    return text if len(text) <= _SENTENCE_MAX else f"{text[: _SENTENCE_MAX - 1]}…"


def _told(name: str, value: Any) -> str:
    """Return a member of an event's data: texts as they are, times like all the others."""
    if not isinstance(value, str):
        return encoded(value)
    if name == "at" or name.endswith("_at"):
        with contextlib.suppress(ValueError):
            at = datetime.fromisoformat(value)
            return moment(at) if at.tzinfo is not None else value
    return value


def moment(at: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    return at.astimezone(UTC).isoformat(sep=" ", timespec="milliseconds").replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Return a length of time in the unit that suits it."""
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
