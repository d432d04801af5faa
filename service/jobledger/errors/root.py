"""The root of the tree of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


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
