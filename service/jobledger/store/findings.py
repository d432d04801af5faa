"""What the doctor says: one finding a thing, with its severity and the way out."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - a NamedTuple's annotations are read by tools
from typing import Any, Final, Literal, NamedTuple

Severity = Literal["alarm", "warning", "note", "good"]
SEVERITIES: Final[tuple[Severity, ...]] = ("alarm", "warning", "note", "good")


class Finding(NamedTuple):
    """One thing found.

    `severity`: alarm (act now), warning (it will hurt), note (know it), good (looked at, and sound). `topic` groups
    findings; `way_out` is what to do; `facts` are the numbers behind the sentence.
    """

    severity: Severity
    topic: str
    sentence: str
    way_out: str | None = None
    facts: Mapping[str, Any] = {}

    @property
    def rank(self) -> int:
        """Its place among findings: alarms first."""
        return SEVERITIES.index(self.severity)

    def __str__(self) -> str:
        """Say it with the way out."""
        return f"{self.severity}: {self.sentence}" + (f" {self.way_out}" if self.way_out else "")
