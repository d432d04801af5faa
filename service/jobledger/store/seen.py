"""What a live answer saw, and what an answer about the past says of its moment."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - part of the answers' types, which are read at run time
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Seen(NamedTuple):
    """The snapshot of the very statement that answered, and its clock; to be told to nobody but as a token."""

    epoch: int
    mark: int
    """Which epoch, event and block these are, beyond their numbers."""
    block: int
    """The last one that was sealed then."""
    position: int
    """That of the last event since; 0 for none."""
    snapshot: str
    at: datetime


class AsOf(NamedTuple):
    """Which moment an answer is of.

    `moment` asks for it again: a token of a live answer, else what was asked for. `block` is the last one of the log
    that lies in the moment whole, or the one that a cursor points into, with the time at which it was sealed; both are
    None in a live answer and in a tenant's. `at` is the clock by which states are named; None where a tenant asked by a
    cursor, whose clock is that block's.
    """

    moment: str
    at: datetime | None
    block: int | None = None
    sealed_at: datetime | None = None


def seen_in(row: Mapping[str, Any]) -> Seen | None:
    """Return what a statement saw, from its columns `seen_epoch`, `seen_mark`, …; None where it could not be told."""
    if row["seen_epoch"] is None:
        return None
    return Seen(
        row["seen_epoch"],
        row["seen_mark"],
        row["seen_block"],
        row["seen_position"],
        row["seen_snapshot"],
        row["seen_at"],
    )
