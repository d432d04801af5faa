"""Values as people type them: moments, lengths of time, ids, JSON. Errors name the option, never the value."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import orjson

from jobledger.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

_SPAN: Final = re.compile(r"(\d{1,9})(s|m|h|d|w)", re.ASCII)
# What every cursor looks like, so that a mistyped time is not taken for one.
_CURSOR: Final = re.compile(r"[ps][A-Za-z0-9_-]{20,}", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_FORM: Final = "Give a time with its zone (2026-05-01T12:00:00Z), or one from now: 90s, 10m, 2h, 3d, 1w."
_PAST_FORM: Final = "Give a time with its zone (2026-05-01T12:00:00Z), or how long ago: 90s, 10m, 2h, 3d, 1w."
_LONGEST_AGO_S: Final = 1_000 * 365 * 86_400


def moment(option: str, text: str | None, form: str = _FORM) -> datetime | None:
    """Return a time: RFC 3339 with a zone, or so far from now (`10m`, `2h`, `3d`)."""
    if text is None:
        return None
    match = _SPAN.fullmatch(text.removeprefix("+"))
    try:
        if match:
            return datetime.now(UTC) + timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise InvalidArgument(f"{option} is not a time.", hint=form, detail={"option": option}) from None
    if at.tzinfo is None:
        raise InvalidArgument(f"{option} has no time zone.", hint=form, detail={"option": option})
    return at


def past(option: str, text: str | None) -> datetime | None:
    """Return a time that is looked back from: RFC 3339 with a zone, or so long ago (`10m`, `2h`, `3d`)."""
    match = _SPAN.fullmatch(text) if text is not None else None
    if match:
        seconds_ago = min(int(match[1]) * _SECONDS[match[2]], _LONGEST_AGO_S)
        return datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return moment(option, text, _PAST_FORM)


def place(option: str, text: str | None) -> datetime | str | None:
    """Return a place in the log: a time, RFC 3339 with a zone or so long ago (`10m`, `2h`), else a cursor's text."""
    if text is None or _CURSOR.fullmatch(text):
        return text
    match = _SPAN.fullmatch(text)
    try:
        at = datetime.now(UTC) - timedelta(seconds=int(match[1]) * _SECONDS[match[2]]) if match else None
        at = at or datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidArgument(
            f"{option} is no place in the log.",
            hint="Give a cursor, a time with its zone (2026-05-01T12:00:00Z), or how long ago: 90s, 10m, 2h, 3d.",
            detail={"option": option},
        )
    return at


def begun(option: str, text: str, silent: str | None = None) -> dict[str, Any]:
    """Return where to begin or go on, as the library wants it; nothing for the word that is its own default."""
    if text == silent:
        return {}
    if text in ("beginning", "end"):
        return {"from_end" if text == "end" else "from_start": True}
    found = place(option, text)
    return {"after": found} if isinstance(found, str) else {"at": found}


def names(texts: Sequence[str] | None) -> list[str] | None:
    """Return names given one by one or with commas between them; None where none was given."""
    return [name.strip() for text in texts for name in text.split(",")] if texts else None


def seconds(option: str, text: str | None) -> int | None:
    """Return a length of time in seconds: a number of them, or `90s`, `10m`, `2h`, `3d`, `1w`."""
    if text is None:
        return None
    match = _SPAN.fullmatch(text if text[-1:].isalpha() else f"{text}s")
    if not match:
        raise InvalidArgument(
            f"{option} is not a length of time.", hint="Give seconds, or 10m, 2h, 3d, 1w.", detail={"option": option}
        )
    return int(match[1]) * _SECONDS[match[2]]


def ids(texts: Sequence[str]) -> list[UUID]:
    """Return job ids. Raises `InvalidArgument` with the places (from 1) of those that are none."""
    found: list[UUID] = []
    wrong: list[int] = []
    for place, text in enumerate(texts, start=1):
        try:
            found.append(UUID(text))
        except ValueError:
            wrong.append(place)
    if wrong:
        raise InvalidArgument(
            f"Not a job's id: number {', '.join(map(str, wrong[:10]))}.",
            hint="An id looks like 019aa0b1-7c00-7000-8000-000000000000; `jobledger jobs` lists them.",
            detail={"items": wrong},
        )
    return found


def document(option: str, text: str | None) -> Any:
    """Return a JSON document given as text, as `@FILE`, or as `-` for stdin."""
    if text is None:
        return None
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        return orjson.loads(text)
    except OSError as error:
        reason = (error.strerror or "unreadable").lower()
        raise InvalidArgument(f"The file of {option} cannot be read: {reason}.", detail={"option": option}) from None
    except ValueError:
        raise InvalidArgument(
            f"{option} is not JSON.", hint=f'For example: {option} \'{{"to": "ada"}}\'', detail={"option": option}
        ) from None


def mapping(option: str, text: str | None) -> dict[str, Any] | None:
    """Return a JSON object; as `document`."""
    value = document(option, text)
    if value is not None and not isinstance(value, dict):
        raise InvalidArgument(f"{option} is not a JSON object.", detail={"option": option})
    return value
