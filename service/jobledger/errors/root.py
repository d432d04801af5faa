"""The root of the tree of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

PROBLEM_TYPES: Final = "https://jobledger.dev/problems/"
"""What the type of a problem begins with; its code follows."""


class JobledgerError(Exception):
    """Something went wrong in jobledger.

    `detail` holds machine-readable facts (never a value that the caller gave), `hint` the way out.
    """

    code: ClassVar[str] = "internal"
    sqlstate: ClassVar[str] = "JL000"
    http_status: ClassVar[int] = 500
    exit_status: ClassVar[int] = 1

    def __init__(
        self, message: str | None = None, *, hint: str | None = None, detail: Mapping[str, Any] | None = None
    ) -> None:
        """Keep the sentence, the way out and the facts."""
        self.message = message or (self.__doc__ or self.code).strip().splitlines()[0]
        self.hint = hint
        self.detail: dict[str, Any] = dict(detail or {})
        super().__init__(self.message)

    def __str__(self) -> str:
        """Say the facts, then the way out."""
        return f"{self.message} {self.hint}" if self.hint else self.message


def problem_of(error: JobledgerError) -> dict[str, Any]:
    """Return the problem (RFC 9457) that an error is: its type (by code), status, sentence, way out and facts."""
    found: dict[str, Any] = {
        "type": PROBLEM_TYPES + error.code,
        "title": (type(error).__doc__ or error.code).strip().splitlines()[0],
        "status": error.http_status,
        "detail": error.message,
        "code": error.code,
    }
    if error.hint:
        found["hint"] = error.hint
    if error.detail:
        found["facts"] = error.detail
    return found
