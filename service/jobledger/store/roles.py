"""What a key may do: the roles that are given to keys, tokens and JWTs."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """One right of a key. A key has any number; without one it sees its tenant's public resources only."""

    ENQUEUE = "enqueue"
    """Enqueue jobs."""
    WORK = "work"
    """Register workers, claim jobs, report how they ended."""
    READ = "read"
    """Read jobs whole, with arguments and errors; events, status, subscriptions."""
    OPERATE = "operate"
    """Act on jobs, pause and resume, set limits, manage webhooks, manage and consume subscriptions."""
    ADMIN = "admin"
    """Everything, and keys."""
