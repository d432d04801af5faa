"""What a measurement is asked to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from jobledger.errors import InvalidArgument

_LIMITS = {
    "jobs": (1, 10_000_000),
    "tenants": (1, 100_000),
    "concurrency": (1, 10_000),
    "processes": (0, 64),
    "batch": (1, 10_000),
    "clients": (1, 256),
    "partitions": (0, 500),
    "paused": (0, 100_000),
    "waiting": (0, 20_000_000),
}


@dataclass(frozen=True, slots=True)
class Setup:
    """The numbers of one measurement; which of them count depends on what is measured.

    Raises `InvalidArgument` for a number out of its range.
    """

    jobs: int = 100_000
    tenants: int = 20
    concurrency: int = 1_000
    processes: int = 1
    batch: int = 1_000
    clients: int = 2
    partitions: int = 0
    paused: int = 0
    waiting: int = 0
    unlogged: bool = True
    notify: Literal["off", "idle", "always"] = "idle"

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, (least, most) in _LIMITS.items():
            within(name, getattr(self, name), least, most)

    def document(self) -> dict[str, Any]:
        """Return the numbers for the result."""
        return asdict(self)

    def tenant(self, number: int) -> str:
        """Return the tenant of the job of this number: the tenants take turns."""
        return f"tenant-{number % self.tenants}"


def within(name: str, value: float, least: float, most: float) -> None:
    """Raise `InvalidArgument` for a number out of its range."""
    if not least <= value <= most:
        raise InvalidArgument(f"{name} lies between {least:,} and {most:,}.", detail={"option": name})
